/* fairlead-labd apiserver: flags, files, signals around api_server.c. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/program.h"
#include "lab/apiserver/api_server.h"
#include "lab/command.h"

struct options {
    const char *bind, *advertise, *data_dir, *cert, *key, *ca, *tokens, *sa_key, *issuer,
        *kubelet_cert, *kubelet_key, *cidrs, *node_ports;
    int64_t port, watches_max;
    uint64_t bookmark_ms;
    bool ephemeral;
};

static int read_all(const char *path, struct buf *ret, struct err *reterr)
{
    FILE *f = fopen(path, "re");
    char piece[4096];
    size_t n;
    if (!f)
        return err_set(reterr, -errno, NULL, "%s: %s", path, strerror(errno));
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
        buf_add(ret, piece, n);
    fclose(f);
    return 0;
}

static int parse_cidrs(const char *text, struct api_config *c, struct err *reterr)
{
    struct str rest = str_from(text);
    while (rest.p && c->n_service_cidrs < 2) {
        struct str part = str_cut(rest, ',', &rest);
        struct prefix *p = &c->service_cidrs[c->n_service_cidrs];
        if (prefix_parse(part, p) < 0 || prefix_size(p) < 16)
            return err_set(reterr, -EINVAL, NULL,
                           "--service-cluster-ip-range: \"" STR_FMT "\" is not a usable prefix",
                           STR_ARG(part));
        c->n_service_cidrs++;
    }
    if (c->n_service_cidrs == 2 && c->service_cidrs[0].ip.family == c->service_cidrs[1].ip.family)
        return err_set(reterr, -EINVAL, NULL,
                       "--service-cluster-ip-range: two ranges of one family");
    return 0;
}

static int parse_ports(const char *text, struct api_config *c, struct err *reterr)
{
    struct str last, first = str_cut(str_from(text), '-', &last);
    uint64_t a, b;
    if (!last.p || str_to_u64(first, &a) < 0 || str_to_u64(last, &b) < 0 || a < 1 || b > 65535 ||
        a > b)
        return err_set(reterr, -EINVAL, NULL, "--service-node-port-range: \"%s\" is not FIRST-LAST",
                       text);
    c->node_port_first = (uint16_t)a;
    c->node_port_last = (uint16_t)b;
    return 0;
}

static int build_config(const struct options *o, struct api_config *c, struct err *reterr)
{
    const struct {
        const char *path;
        struct buf *into;
    } files[] = {{o->cert, &c->tls_cert},
                 {o->key, &c->tls_key},
                 {o->ca, &c->client_ca},
                 {o->sa_key, &c->sa_key},
                 {o->kubelet_cert, &c->kubelet_cert},
                 {o->kubelet_key, &c->kubelet_key}};
    int r = 0;
    if (!o->cert || !o->key || !o->ca)
        return err_set(reterr, -EINVAL, NULL,
                       "--tls-cert-file, --tls-private-key-file and --client-ca-file are required");
    if (!o->data_dir && !o->ephemeral)
        return err_set(reterr, -EINVAL, NULL,
                       "give --data-dir DIR, or --ephemeral to keep everything in memory");
    if (ip_parse(str_from(o->bind), &c->bind_ip) < 0)
        return err_set(reterr, -EINVAL, NULL, "--bind-address: \"%s\" is not an IP address",
                       o->bind);
    if (ip_parse(str_from(o->advertise ? o->advertise : o->bind), &c->advertise_ip) < 0)
        return err_set(reterr, -EINVAL, NULL, "--advertise-address: \"%s\" is not an IP address",
                       o->advertise);
    c->port = (uint16_t)o->port;
    c->data_dir = o->ephemeral ? NULL : o->data_dir;
    c->sa_issuer = o->issuer;
    c->bookmark_ms = o->bookmark_ms;
    c->watches_max = (uint64_t)o->watches_max;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(files); i++)
        if (files[i].path)
            r = read_all(files[i].path, files[i].into, reterr);
    if (r == 0 && o->tokens) {
        AUTO_DONE(buf) struct buf text = {0};
        r = read_all(o->tokens, &text, reterr);
        c->tokens = buf_take_cstr(&text);
    }
    if (r == 0)
        r = parse_cidrs(o->cidrs, c, reterr);
    return r < 0 ? r : parse_ports(o->node_ports, c, reterr);
}

static void on_stop(int signo, void *user)
{
    log_info("stopping", kv_s("signal", strsignal(signo)));
    loop_stop(user, 0);
}

int apiserver_command(int argc, char **argv)
{
    struct options o = {.bind = "127.0.0.1",
                        .port = 6443,
                        .issuer = "https://kubernetes.default.svc.cluster.local",
                        .cidrs = "10.96.0.0/16,fd00:10:96::/112",
                        .node_ports = "30000-32767"};
    struct arg args[] = {
        {"bind-address", 0, ARG_STRING, &o.bind, "IP", "address to listen on (default 127.0.0.1)",
         0, 0, false},
        {"port", 0, ARG_INT, &o.port, "N", "port to listen on (default 6443; 0: any)", 0, 65535,
         false},
        {"advertise-address", 0, ARG_STRING, &o.advertise, "IP",
         "address of the kubernetes Service's endpoint", 0, 0, false},
        {"data-dir", 0, ARG_STRING, &o.data_dir, "DIR", "where store.db lives", 0, 0, false},
        {"ephemeral", 0, ARG_BOOL, &o.ephemeral, NULL, "keep everything in memory", 0, 0, false},
        {"tls-cert-file", 0, ARG_STRING, &o.cert, "FILE", "own certificate", 0, 0, false},
        {"tls-private-key-file", 0, ARG_STRING, &o.key, "FILE", "its key", 0, 0, false},
        {"client-ca-file", 0, ARG_STRING, &o.ca, "FILE", "CA of client certificates and kubelets",
         0, 0, false},
        {"token-file", 0, ARG_STRING, &o.tokens, "FILE", "lines of token,user,uid,\"group,group\"",
         0, 0, false},
        {"service-account-key-file", 0, ARG_STRING, &o.sa_key, "FILE",
         "EC key that signs service account tokens", 0, 0, false},
        {"service-account-issuer", 0, ARG_STRING, &o.issuer, "URL", "issuer claim of those tokens",
         0, 0, false},
        {"kubelet-client-certificate", 0, ARG_STRING, &o.kubelet_cert, "FILE",
         "certificate shown to nodes (logs, exec)", 0, 0, false},
        {"kubelet-client-key", 0, ARG_STRING, &o.kubelet_key, "FILE", "its key", 0, 0, false},
        {"service-cluster-ip-range", 0, ARG_STRING, &o.cidrs, "CIDR,…",
         "ClusterIPs, one range per family", 0, 0, false},
        {"service-node-port-range", 0, ARG_STRING, &o.node_ports, "A-B",
         "node ports (default 30000-32767)", 0, 0, false},
        {"watches-max", 0, ARG_INT, &o.watches_max, "N", "watches open at a time (default 8192)", 0,
         1000000, false},
        {"watch-bookmark-period", 0, ARG_DURATION, &o.bookmark_ms, "D",
         "between the bookmarks of a watch (default 1m)", 0, 0, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead-labd apiserver",
                              "a Kubernetes-compatible API server for labs and tests",
                              "[flags]",
                              NULL,
                              args,
                              false};
    struct err err = {0};
    AUTO(loop) struct loop *loop = NULL;
    struct api_config config = {0};
    struct api_server *server = NULL;
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    if (build_config(&o, &config, &err) < 0)
        return program_fail(EXIT_USAGE_ERROR, "fairlead-labd apiserver --help", "%s",
                            err_text(&err));
    if (loop_new(&loop, &err) < 0 || api_server_start(loop, &config, &server, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "API server: %s", err_text(&err));
    log_info("serving", kv_s("address", o.bind), kv_i("port", api_server_port(server)));
    loop_signal_add(loop, SIGTERM, on_stop, loop);
    loop_signal_add(loop, SIGINT, on_stop, loop);
    code = loop_run(loop);
    api_server_free(server);
    loop_turn(loop, 0);
    return code;
}
