/* fairlead-proxy: the L7 data plane. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>

#include "base/program.h"
#include "base/sandbox.h"
#include "net/ask_command.h"
#include "net/tls.h"
#include "proxy/cluster.h"
#include "proxy/command_routes.h"
#include "proxy/interception_command.h"
#include "proxy/proxy.h"
#include "proxy/sidecar_bootstrap.h"
#include "xds/xds_file.h"

struct settings {
    const char *service_node, *service_cluster;
    const char *file, *listen, *access_log, *tls;
    const char *control, *control_root;
    bool sidecar, no_seccomp;
    struct arg_list routes;
    bool validate;
    int64_t workers;
    struct proxy_options options;
};

/* What the table of support has to say of a configuration; false: some of it is refused. */
static bool tell_findings(const struct xds_report *r, const char *file)
{
    VEC_FOREACH (f, &r->findings) {
        char line[32] = "";
        if (f->line)
            snprintf(line, sizeof(line), "%zu:", f->line);
        fprintf(stderr, "%s: %s:%s %s: %s\n", f->state == XDS_REFUSE ? "error" : "warning", file,
                line, f->path, f->text);
    }
    return !r->refused;
}

/* The node is called what the flags say, as with Envoy. */
static int name_node(const struct settings *s, struct arena *a,
                     Envoy__Config__Bootstrap__V3__Bootstrap *b)
{
    if (!s->service_node && !s->service_cluster)
        return 0;
    if (!b->node) {
        b->node = arena_alloc(a, sizeof(*b->node));
        if (!b->node)
            return -ENOMEM;
        envoy__config__core__v3__node__init(b->node);
    }
    if (s->service_node)
        b->node->id = (char *)(uintptr_t)s->service_node;
    if (s->service_cluster)
        b->node->cluster = (char *)(uintptr_t)s->service_cluster;
    return 0;
}

/* The pod tells who it is. */
static int sidecar_json(const struct settings *s, struct buf *ret, struct err *reterr)
{
    const struct sidecar_bootstrap b = {.control = s->control,
                                        .root_file = s->control_root,
                                        .identity = s->options.identity,
                                        .pod = getenv("POD_NAME"),
                                        .namespace_ = getenv("POD_NAMESPACE"),
                                        .ip = getenv("POD_IP"),
                                        .workload = getenv("WORKLOAD"),
                                        .environment = environ};
    return sidecar_bootstrap_json(&b, ret, reterr);
}

enum { APP_PROBES_PORT = 15020 };

/* What a kubelet asks us instead of the app; negative: told. */
static int read_probes(struct app_probes_config *ret)
{
    const char *table = getenv("ISTIO_KUBE_APP_PROBERS"), *ip = getenv("POD_IP"),
               *metrics = getenv("ISTIO_PROMETHEUS_ANNOTATIONS");
    struct err err = {0};
    int r = ip_parse(str_from(ip ? ip : ""), &ret->pod);
    if (r == 0 && !str_empty(table))
        r = app_probe_table_parse(str_from(table), &ret->table, &err);
    if (r < 0)
        return program_fail(EXIT_USAGE_ERROR, "the injector writes it",
                            "ISTIO_KUBE_APP_PROBERS: %s", err_text(&err));
    if (!str_empty(metrics) && app_metrics_parse(str_from(metrics), &ret->metrics, &err) < 0)
        return program_fail(EXIT_USAGE_ERROR, "the injector writes it",
                            "ISTIO_PROMETHEUS_ANNOTATIONS: %s", err_text(&err));
    ret->port = APP_PROBES_PORT;
    ret->stats_port = SIDECAR_STATS_PORT;
    return 0;
}

/* What a machine's proxy asks its app, beside those; negative: told. */
static int read_health(struct app_probes_config *to, struct health_settings *ret)
{
    const char *config = getenv("PROXY_CONFIG");
    AUTO_CHARS char *probers = NULL;
    struct app_probe_table own = {0};
    struct err err = {0};
    if (str_empty(getenv("ISTIO_META_AUTO_REGISTER_GROUP")) || str_empty(config))
        return 0;
    int r = health_settings_parse(str_from(config), ret, &probers, &err);
    if (r == 0 && probers)
        r = app_probe_table_parse(str_from(probers), &own, &err);
    if (r < 0)
        return program_fail(EXIT_USAGE_ERROR, "write it as JSON: {\"readinessProbe\": {…}}",
                            "PROXY_CONFIG: %s", err_text(&err));
    for (size_t i = 0; i < own.n; i++)
        vec_push(&to->table, own.v[i]);
    vec_done(&own); /* what is in it is the other's now */
    return 0;
}

/* The bootstrap that was asked for, checked; negative: told. */
static int read_bootstrap(const struct settings *s, struct arena *a,
                          Envoy__Config__Bootstrap__V3__Bootstrap **ret)
{
    AUTO_DONE(buf) struct buf json = {0};
    struct xds_report report = {0};
    struct err err = {0};
    int r;
    if (s->file)
        r = xds_file_read(s->file, a, ret, &report, &err);
    else if (s->sidecar)
        r = sidecar_json(s, &json, &err);
    else
        r = command_routes_json(s->listen, s->access_log, s->tls, s->routes.v, s->routes.n, &json,
                                &err);
    if (r == 0 && !s->file)
        r = xds_file_parse(buf_str(&json), "command line", a, ret, &report, &err);
    bool good = tell_findings(&report, s->file ? s->file : "command line");
    xds_report_done(&report);
    if (r == 0)
        r = name_node(s, a, *ret);
    if (r < 0 && good)
        program_fail(EXIT_USAGE_ERROR, NULL, "%s", err_text(&err));
    return r < 0 ? r : good ? 0 : -1;
}

/* The messages are gone when this returns: what is compiled is what is left of them. Negative:
 * told. */
static int make_proxy(const struct settings *s, struct proxy **ret)
{
    AUTO(arena) struct arena *a = arena_new(0);
    Envoy__Config__Bootstrap__V3__Bootstrap *b;
    struct err err = {0};
    int r = read_bootstrap(s, a, &b);
    if (r < 0)
        return r;
    struct proxy_options options = s->options;
    if (s->validate)
        options.keep.dir = NULL;
    if (s->sidecar && !s->validate &&
        (read_probes(&options.probes) > 0 || read_health(&options.probes, &options.health) > 0))
        return -EINVAL;
    const char *dns = getenv("ISTIO_META_DNS_CAPTURE");
    options.dns = s->sidecar && !s->validate && dns && streq(dns, "true");
    r = proxy_new(b, &options, ret, &err);
    if (r < 0)
        program_fail(EXIT_USAGE_ERROR, NULL, "%s%s%s", s->file ? s->file : "", s->file ? ": " : "",
                     err_text(&err));
    return r;
}

static int serve(const struct settings *s, struct proxy *p)
{
    struct err err = {0};
    tls_load_config();
    sandbox_start(s->no_seccomp, 0);
    return proxy_run(p, &err) < 0 ? program_fail(EXIT_FAILED, NULL, "%s", err_text(&err)) : EXIT_OK;
}

enum { SIDECAR_LINGER_MS = 5000 }; /* Istio's terminationDrainDuration, by default */

static int run(const struct settings *s)
{
    struct proxy *p;
    int code = EXIT_OK;
    /* messages of a control plane are large and soon gone: their memory goes back at once, and does
     * not lie between what stays (said, it does not grow by itself) */
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    if (make_proxy(s, &p) < 0)
        return EXIT_USAGE_ERROR;
    malloc_trim(0);
    if (s->validate)
        printf("configuration '%s' OK\n", s->file ? s->file : "command line");
    else
        code = serve(s, p);
    proxy_free(p);
    return code;
}

static const struct ask_command request_command = {
    .program = "fairlead-proxy",
    .name = "fairlead-proxy request",
    .summary = "asks the admin interface of the proxy beside it",
    .examples = "  fairlead-proxy request GET /config_dump\n"
                "  fairlead-proxy request POST '/logging?level=debug'\n",
    .example_path = "/ready",
    .what = "the admin interface",
    .where = "the bootstrap's admin.address says where the interface is",
    .port_flag = "admin-port",
    .port_help = "of 127.0.0.1, where the proxy's admin interface is (default 15000)",
    .port = 15000};

int main(int argc, char **argv)
{
    struct settings s = {
        .listen = ":8080",
        .workers = 1,
        .control = "fairlead-control.fairlead-system.svc.cluster.local:15012",
        .control_root = "/var/run/secrets/fairlead/root-cert.pem",
        .options = {.drain_ms = 30000},
    };
    struct arg_list rest = {0};
    struct arg args[] = {
        {"config", 'c', ARG_STRING, &s.file, "FILE", "Envoy v3 bootstrap, YAML or JSON", 0, 0,
         false},
        {"route", 0, ARG_STRINGS, &s.routes, "PATH=URL",
         "without a file: what goes where, such as /=http://127.0.0.1:9000; may be repeated", 0, 0,
         false},
        {"listen", 0, ARG_STRING, &s.listen, "ADDRESS:PORT", "where, with --route (default :8080)",
         0, 0, false},
        {"access-log", 0, ARG_STRING, &s.access_log, "FILE",
         "with --route: a line a request, \"-\" for standard output (default none)", 0, 0, false},
        {"tls", 0, ARG_STRING, &s.tls, "CERT,KEY",
         "with --route: PEM files; clients speak TLS (default none)", 0, 0, false},
        {"service-node", 0, ARG_STRING, &s.service_node, "ID",
         "what a control plane knows this proxy by, instead of the file's node.id", 0, 0, false},
        {"service-cluster", 0, ARG_STRING, &s.service_cluster, "NAME", "the same for node.cluster",
         0, 0, false},
        {"validate", 0, ARG_BOOL, &s.validate, NULL,
         "say what is wrong with the configuration, and end", 0, 0, false},
        {"sidecar", 0, ARG_BOOL, &s.sidecar, NULL,
         "without a file: stand beside the pod that POD_NAME, POD_NAMESPACE and POD_IP tell of", 0,
         0, false},
        {"control", 0, ARG_STRING, &s.control, "HOST:PORT",
         "with --sidecar: the control plane (default "
         "fairlead-control.fairlead-system.svc.cluster.local:15012)",
         0, 0, false},
        {"control-root", 0, ARG_STRING, &s.control_root, "FILE",
         "with --sidecar or --identity: whom it trusts to be that (default "
         "/var/run/secrets/fairlead/root-cert.pem)",
         0, 0, false},
        {"concurrency", 0, ARG_INT, &s.workers, "N", "worker threads (default 1)", 1, WORKERS_MAX,
         false},
        {"drain", 0, ARG_DURATION, &s.options.drain_ms, "DURATION",
         "how long requests may take to end after SIGTERM (default 30s)", 0, 0, false},
        {"xds-token-file", 0, ARG_STRING, &s.options.xds_token_file, "FILE",
         "a token that says to the control plane who this is, read for each stream (default none)",
         0, 0, false},
        {"identity", 0, ARG_BOOL, &s.options.identity, NULL,
         "have a certificate of the mesh, by that token: the secrets default and ROOTCA of the "
         "cluster sds-grpc (a sidecar that has a token does)",
         0, 0, false},
        {"state-dir", 0, ARG_STRING, &s.options.keep.dir, "DIR",
         "keep the last good configuration of the control plane there, and start from it (default "
         "none)",
         0, 0, false},
        {"state-no-secrets", 0, ARG_BOOL, &s.options.keep.no_secrets, NULL,
         "with --state-dir: without secrets, such as private keys", 0, 0, false},
        {"no-seccomp", 0, ARG_BOOL, &s.no_seccomp, NULL,
         "do not have the kernel refuse what this program never asks for", 0, 0, false},
        {.name = NULL},
    };
    const struct program program = {
        .name = "fairlead-proxy",
        .summary = "HTTP proxy",
        .usage = "(-c FILE | --route PATH=URL | --sidecar) [flags]",
        .examples = "  fairlead-proxy --route /=http://127.0.0.1:9000\n"
                    "  fairlead-proxy --validate -c examples/proxy/minimal.yaml\n",
        .args = args};
    if (argc > 1 && streq(argv[1], "interception"))
        return proxy_interception_command(argc - 1, argv + 1);
    if (argc > 1 && streq(argv[1], "request"))
        return ask_command(&request_command, argc - 1, argv + 1);
    int code = program_start(&program, argc, argv, &rest, NULL);
    int ways = (s.file != NULL) + (s.routes.n != 0) + s.sidecar;
    if (code < 0 && ways != 1)
        code = program_fail(EXIT_USAGE_ERROR, "fairlead-proxy --route /=http://127.0.0.1:9000",
                            ways ? "-c, --route and --sidecar exclude each other"
                                 : "there is nothing to do without -c, --route or --sidecar");
    s.options.workers = (unsigned)s.workers;
    if (s.sidecar && s.options.xds_token_file)
        s.options.identity = true;
    if (s.sidecar) /* others hear late that the pod goes */
        s.options.linger_ms = MIN(s.options.drain_ms, (uint64_t)SIDECAR_LINGER_MS);
    s.options.identity_root = s.options.identity ? s.control_root : NULL;
    if (code < 0)
        code = run(&s);
    arg_list_done(&s.routes);
    arg_list_done(&rest);
    return code;
}
