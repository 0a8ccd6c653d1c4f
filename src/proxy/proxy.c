/* The main thread: it keeps the store, gives its snapshots to the workers, waits for signals, and
 * lets the workers drain. */
#include "proxy/proxy.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "proxy/admin.h"
#include "proxy/ads.h"
#include "proxy/config_dump.h"
#include "proxy/dns_capture.h"
#include "proxy/downstream.h"
#include "proxy/file_secrets.h"
#include "proxy/file_sources.h"
#include "proxy/identity.h"
#include "proxy/mesh_stats.h"
#include "proxy/password_pool.h"
#include "proxy/peer_node.h"
#include "proxy/store_kept.h"
#include "proxy/telemetry.h"
#include "proxy/trace_export.h"
#include "proxy/worker.h"
#include "xds/xds_types.h"

struct proxy {
    struct loop *loop;
    struct proxy_options options;
    struct store *store;
    struct file_sources *files;
    struct ads *ads; /* NULL: no control plane */
    struct file_secrets *file_secrets;
    struct identity *identity;   /* NULL: none */
    struct telemetry *telemetry; /* NULL: it is no sidecar's, or of nobody known */
    struct last_good *good;
    struct admin *admin;          /* NULL: none is asked for */
    struct app_probes *probes;    /* NULL: it is no sidecar */
    struct health_report *health; /* NULL: nobody is told */
    struct dns_capture *dns;      /* NULL: the pod asks others */
    struct name_table names;
    struct resolv_conf resolv;
    struct listener_address admin_at;
    bool has_admin;
    char *service;               /* who tells of traces */
    char *node;                  /* as JSON; NULL: there is no admin interface */
    struct loop_timer *closing;  /* of listeners, at the end of a graceful drain */
    bool closing_inbound;        /* of them alone */
    bool failed;                 /* health checks are to fail */
    struct proxy_config *config; /* in force */
    struct worker *workers[WORKERS_MAX];
    uint64_t begin_us;
    int64_t begin_real_us;
    struct buf bootstrap; /* packed; empty: there is no admin interface */
    unsigned n;
    unsigned n_ended;
    bool running;
    bool draining;
};

/* ---- signals ---- */

static void stop(struct proxy *p, uint64_t linger_ms)
{
    for (unsigned i = 0; i < p->n; i++)
        if (linger_ms && !p->draining)
            worker_leave(p->workers[i], linger_ms, p->options.drain_ms);
        else
            worker_drain(p->workers[i], p->draining ? 0 : p->options.drain_ms); /* twice: at once */
    p->draining = true;
}

static void on_stop(int signo, void *user)
{
    struct proxy *p = user;
    (void)signo;
    stop(p, p->options.linger_ms);
}

/* Whoever rotates logs has moved the files away. */
static void on_reopen(int signo, void *user)
{
    struct proxy *p = user;
    (void)signo;
    VEC_FOREACH (l, &p->config->listeners)
        VEC_FOREACH (log, &(*l)->all_logs)
            if (access_log_reopen(*log) < 0) {
                stats_inc(stats_main(stats_server()), SERVER_STAT_LOG_REOPEN_FAILED);
                log_error("cannot open the access log again", kv_s("file", (*log)->path));
            }
}

/* ---- the store ---- */

static void on_config(struct proxy_config *c, void *user)
{
    struct proxy *p = user;
    proxy_config_unref(p->config);
    p->config = c;
    for (unsigned i = 0; p->running && i < p->n; i++)
        worker_set_config(p->workers[i], proxy_config_ref(c));
}

static int on_bind(struct listener_config *c, void *user, struct err *reterr)
{
    struct proxy *p = user;
    return downstream_bind(c, p->options.workers, reterr);
}

static void on_want(const struct config_source *from, enum xds_resource type, struct str name,
                    bool wanted, void *user)
{
    struct proxy *p = user;
    if (from->of_identity && file_secrets_has(name) && p->file_secrets)
        file_secrets_want(p->file_secrets, name, wanted);
    else if (from->of_identity && p->identity)
        identity_want(p->identity, name, wanted);
    else if (from->of_identity && wanted)
        log_warn("a secret of this proxy's identity is wanted, and it has none: --identity",
                 kv_str("name", name));
    else if (from->of_identity)
        return;
    else if (!from->path && p->ads)
        ads_want(p->ads, type, name, wanted);
    else if (!from->path && wanted)
        log_warn("a resource of ads is wanted, but there is no dynamic_resources.ads_config",
                 kv_str("name", name));
    else if (wanted && from->path)
        file_sources_add(p->files, from->path);
}

static void on_want_peer(struct str name, bool wanted, void *user)
{
    struct proxy *p = user;
    ads_want(p->ads, XDS_WORKLOAD, name, wanted);
}

/* A sidecar asks whose the addresses are from which it is called, and its own. */
static void begin_peers(struct proxy *p, const Envoy__Config__Core__V3__Node *node)
{
    AUTO_DONE(buf) struct buf text = {0};
    struct ip ip;
    bool sidecar;
    if (!p->ads || !peer_node_read(node, &ip, &text, &sidecar))
        return;
    if (sidecar) /* who calls a gateway is of no mesh */
        peers_start(p->loop, on_want_peer, p);
    peers_set_self(&ip, buf_str(&text));
}

static int keep_on_disk(struct proxy *p, const Envoy__Config__Bootstrap__V3__Bootstrap *b,
                        struct err *reterr)
{
    if (!p->options.keep.dir)
        return 0;
    if (!p->ads) {
        log_warn("--state-dir keeps what a control plane sends, and there is no "
                 "dynamic_resources.ads_config");
        return 0;
    }
    int r = last_good_new(p->loop, p->store, &p->options.keep, b->node, &p->good, reterr);
    if (r == 0 && p->good)
        ads_keep(p->ads, p->good, b);
    return r;
}

static char *node_text(const Envoy__Config__Core__V3__Node *m)
{
    AUTO_JSON json_t *j = NULL;
    AUTO_DONE(buf) struct buf text = {0};
    if (!m || pb_json_print(&m->base, &xds_json_types, &j, NULL) < 0)
        return xstrdup("{}");
    json_write(&text, j);
    return buf_take_cstr(&text);
}

static void on_closing(void *user)
{
    struct proxy *p = user;
    for (unsigned i = 0; i < p->n; i++)
        worker_close_listeners(p->workers[i], p->closing_inbound);
}

static int start_identity(struct proxy *p, struct err *reterr)
{
    const struct proxy_options *o = &p->options;
    if (!o->identity)
        return 0;
    if (!p->ads || !o->xds_token_file)
        return err_set(reterr, -EINVAL, NULL,
                       "an identity is asked of a control plane (dynamic_resources.ads_config), by "
                       "a token (--xds-token-file)");
    p->identity = identity_new(p->loop, p->store,
                               &(struct identity_options){.cluster = ads_cluster(p->ads),
                                                          .token_file = o->xds_token_file,
                                                          .root_file = o->identity_root});
    return 0;
}

/* Of a sidecar: what its traffic is, to whom its token makes it known. */
/* Who is of the mesh: a sidecar, or a gateway with an identity. */
static bool tells_of_itself(const struct proxy *p, struct str node)
{
    return str_starts(node, STR("sidecar~")) ||
           (p->options.identity && str_starts(node, STR("router~")));
}

static void start_telemetry(struct proxy *p, const Envoy__Config__Core__V3__Node *node)
{
    const char *token = p->options.xds_token_file;
    if (p->ads && token && node && tells_of_itself(p, str_from(node->id)))
        p->telemetry = telemetry_new(p->loop, p->store,
                                     &(struct telemetry_options){.cluster = ads_cluster(p->ads),
                                                                 .node = node->id,
                                                                 .token_file = token});
}

int proxy_new(const Envoy__Config__Bootstrap__V3__Bootstrap *b, const struct proxy_options *o,
              struct proxy **ret, struct err *reterr)
{
    static const struct store_ops ops = {
        .on_config = on_config, .on_bind = on_bind, .on_want = on_want};
    struct proxy *p = NEW(struct proxy);
    p->options = *o;
    p->begin_us = time_mono_us();
    p->begin_real_us = time_real_us();
    endpoint_set_workers(o->workers);
    p->service = xstrdup(b->node && *b->node->cluster ? b->node->cluster
                         : b->node                    ? b->node->id
                                                      : "");
    trace_config_set_service(p->service);
    int r = loop_new(&p->loop, reterr);
    if (r == 0) {
        p->closing = loop_timer_new(p->loop, on_closing, p);
        p->store = store_new(p->loop, &ops, p);
        p->file_secrets = file_secrets_new(p->loop, p->store);
        r = file_sources_new(p->loop, p->store, &p->files, reterr);
    }
    if (r == 0 && b->dynamic_resources && b->dynamic_resources->ads_config)
        r = ads_new(p->loop, p->store, b,
                    &(struct ads_options){.token_file = o->xds_token_file,
                                          .identity = o->identity,
                                          .names = o->dns ? &p->names : NULL},
                    &p->ads, reterr);
    if (r == 0)
        r = start_identity(p, reterr);
    begin_peers(p, b->node);
    start_telemetry(p, b->node);
    p->has_admin = b->admin != NULL;
    if (r == 0 && b->admin) {
        store_keep_texts(p->store);
        r = pb_pack(&b->base, &p->bootstrap);
        p->node = node_text(b->node);
    }
    if (r == 0 && b->admin)
        r = admin_read_address(b->admin, &p->admin_at, reterr);
    if (r == 0)
        r = store_load(p->store, b, reterr);
    if (r < 0) {
        proxy_free(p);
        return r;
    }
    p->config = store_config(p->store);
    r = keep_on_disk(p, b, reterr);
    if (r < 0) {
        proxy_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

void proxy_free(struct proxy *p)
{
    if (!p)
        return;
    trace_export_stop();
    password_pool_stop();
    while (p->n) /* a signal may still come in the turns below */
        worker_free(p->workers[--p->n]);
    p->running = false;
    admin_free(p->admin);
    health_report_free(p->health);
    app_probes_free(p->probes);
    dns_capture_free(p->dns);
    resolv_conf_done(&p->resolv);
    app_probe_table_done(&p->options.probes.table);
    app_metrics_target_done(&p->options.probes.metrics);
    telemetry_free(TAKE(p->telemetry));
    mesh_stats_done();
    peers_stop();
    ads_free(TAKE(p->ads));
    name_table_done(&p->names);
    identity_free(TAKE(p->identity));
    file_secrets_free(TAKE(p->file_secrets));
    loop_timer_free(p->closing);
    file_sources_free(p->files); /* those that wait to be read are not */
    last_good_free(p->good);
    if (p->loop)
        loop_turn(p->loop, 0); /* what workers have posted */
    proxy_config_unref(p->config);
    store_free(p->store);
    if (p->loop)
        loop_turn(p->loop, 0); /* what ended in this turn is freed */
    loop_free(p->loop);
    stats_server_done();
    buf_done(&p->bootstrap);
    free(p->node);
    free(p->service);
    if (p->admin_at.path && p->admin)
        unlink(p->admin_at.path);
    free((char *)(uintptr_t)p->admin_at.path);
    free(p);
}

/* ---- running ---- */

static void on_worker_end(void *user)
{
    struct proxy *p = user;
    if (++p->n_ended == p->n)
        loop_stop(p->loop, 0);
}

static int start_workers(struct proxy *p, struct err *reterr)
{
    unsigned n = p->options.workers;
    for (unsigned i = 0; i < n; i++) {
        int r = worker_new(p->config, i, n, &p->workers[i], reterr);
        if (r < 0)
            return r;
        p->n++;
    }
    for (unsigned i = 0; i < n; i++) {
        int r = worker_start(p->workers[i], p->loop, on_worker_end, p);
        if (r < 0)
            return err_set(reterr, r, NULL, "thread of worker %u: %s", i, strerror(-r));
    }
    p->running = true;
    return 0;
}

/* Each connection is a descriptor, and the soft limit is a shell's. */
static void raise_descriptor_limit(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &l); /* it goes on with fewer */
    }
}

/* ---- admin ---- */

static enum admin_state admin_state(void *user)
{
    const struct proxy *p = user;
    return p->draining || p->failed    ? ADMIN_DRAINING
           : !store_is_ready(p->store) ? ADMIN_INITIALIZING
                                       : ADMIN_LIVE;
}

static struct proxy_config *admin_config(void *user)
{
    return ((struct proxy *)user)->config;
}

static void admin_program(struct stats_program *ret, void *user)
{
    static const uint8_t states[] = {
        [ADMIN_LIVE] = 0, [ADMIN_DRAINING] = 1, [ADMIN_INITIALIZING] = 3}; /* Envoy's numbers */
    const struct proxy *p = user;
    *ret = (struct stats_program){.live = !p->draining && !p->failed,
                                  .state = states[admin_state(user)],
                                  .uptime_s = (time_mono_us() - p->begin_us) / 1000000,
                                  .workers = p->options.workers,
                                  .running = p->running};
    store_count_warming(p->store, &ret->clusters_warming, &ret->listeners_warming);
}

static struct config_dump *admin_dump(const struct config_dump_options *o, void *user)
{
    const struct proxy *p = user;
    return config_dump_new(o, p->store, buf_str(&p->bootstrap), p->begin_real_us);
}

static const char *admin_node(void *user)
{
    return ((const struct proxy *)user)->node;
}

static void admin_fail_checks(bool fail, void *user)
{
    struct proxy *p = user;
    p->failed = fail;
    for (unsigned i = 0; i < p->n; i++)
        worker_tell_clients(p->workers[i], fail);
}

static void admin_close_listeners(const struct admin_drain *d, void *user)
{
    struct proxy *p = user;
    p->closing_inbound = d->inbound_only;
    if (!d->graceful) {
        on_closing(p);
        return;
    }
    for (unsigned i = 0; i < p->n; i++)
        worker_tell_clients(p->workers[i], true);
    if (!d->stay_open)
        loop_timer_start(p->closing, p->options.drain_ms);
}

static void admin_quit(void *user)
{
    stop(user, 0); /* who asks for it knows that nobody comes */
}

static int start_admin(struct proxy *p, struct err *reterr)
{
    static const struct admin_ops ops = {.state = admin_state,
                                         .config = admin_config,
                                         .program = admin_program,
                                         .dump = admin_dump,
                                         .node = admin_node,
                                         .fail = admin_fail_checks,
                                         .drain_listeners = admin_close_listeners,
                                         .quit = admin_quit};
    return p->has_admin ? admin_new(p->loop, &p->admin_at, &ops, p, &p->admin, reterr) : 0;
}

static bool is_ready(void *user)
{
    return admin_state(user) == ADMIN_LIVE;
}

static int start_probes(struct proxy *p, struct err *reterr)
{
    static const struct app_probes_ops ops = {.is_ready = is_ready, .quit = admin_quit};
    struct app_probes_config *o = &p->options.probes;
    return o->port ? app_probes_new(p->loop, o, &ops, p, &p->probes, reterr) : 0;
}

static void on_health(bool healthy, const char *message, void *user)
{
    struct proxy *p = user;
    log_info(healthy ? "the workload is well" : "the workload is not well",
             kv_s("cause", healthy ? "" : message));
    ads_tell_health(p->ads, healthy, message);
}

static void start_health(struct proxy *p)
{
    if (p->probes && p->ads && p->options.health.period_ms)
        p->health =
            health_report_new(p->loop, &p->options.health, p->options.probes.port, on_health, p);
}

static int start_dns(struct proxy *p, struct err *reterr)
{
    enum { SERVER_PORT = 53 };
    if (!p->options.dns)
        return 0;
    resolv_conf_read("/etc/resolv.conf", &p->resolv);
    return dns_capture_new(p->loop, &p->names, &p->resolv, DNS_CAPTURE_PORT, SERVER_PORT, &p->dns,
                           reterr);
}

int proxy_run(struct proxy *p, struct err *reterr)
{
    raise_descriptor_limit();
    loop_signal_add(p->loop, SIGTERM, on_stop, p); /* before the threads: they inherit the mask */
    loop_signal_add(p->loop, SIGINT, on_stop, p);
    loop_signal_add(p->loop, SIGUSR1, on_reopen, p);
    store_start(p->store); /* what clusters keep for workers is there before them */
    trace_export_start(p->loop, p->store);
    if (p->telemetry)
        trace_export_tell(ads_cluster(p->ads), telemetry_take_spans, p->telemetry);
    int r = start_admin(p, reterr);
    if (r == 0)
        r = start_probes(p, reterr);
    if (r == 0)
        start_health(p);
    if (r == 0)
        r = start_dns(p, reterr);
    if (r == 0)
        r = start_workers(p, reterr);
    if (r < 0)
        return r;
    VEC_FOREACH (l, &p->config->listeners) {
        char text[IP_TEXT_BYTES];
        log_info("listening", kv_s("address", ip_format(&(*l)->ip, text)), kv_i("port", (*l)->port),
                 kv_i("workers", p->n));
    }
    loop_run(p->loop);
    store_stop(p->store);
    for (unsigned i = 0; i < p->n; i++)
        worker_join(p->workers[i]);
    return 0;
}
