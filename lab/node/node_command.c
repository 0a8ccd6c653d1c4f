/* fairlead-labd node: one node of a lab, or of any cluster whose API server it is pointed at. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/program.h"
#include "lab/command.h"
#include "lab/node/node.h"
#include "lab/node/program_guard.h"
#include "lab/state_dir.h"
#include "nl/netns.h"

struct node_args {
    const char *kubeconfig, *name, *lab, *state_dir, *pod_cidr, *internal, *external, *labels, *dns,
        *domain, *netns, *image_dir;
    const char *cert, *key, *ca;
    struct arg_list images, reserved;
    int64_t port;
};

static void on_stop(int signo, void *user)
{
    (void)signo;
    loop_stop(user, 0);
}

/* "A,B" into one address per family. */
static int parse_ips(const char *flag, const char *text, struct ip ret[2], struct err *reterr)
{
    for (struct str rest = str_from(text), part; rest.p && rest.n;) {
        struct ip ip;
        part = str_cut(rest, ',', &rest);
        if (ip_parse(str_trim(part), &ip) < 0)
            return err_set(reterr, -EINVAL, NULL, "--%s: \"" STR_FMT "\" is not an IP address",
                           flag, STR_ARG(part));
        ret[ip.family == AF_INET6] = ip;
    }
    return 0;
}

static int parse_reserved(const struct arg_list *list, struct node_options *o, struct err *reterr)
{
    for (size_t i = 0; i < list->n; i++) {
        struct ip ips[2] = {0};
        int r = parse_ips("reserved-ip", list->v[i], ips, reterr);
        if (r == 0 && o->n_reserved + 2 > ARRAY_LEN(o->reserved))
            r = err_set(reterr, -E2BIG, NULL, "--reserved-ip: %zu addresses at most",
                        ARRAY_LEN(o->reserved));
        if (r < 0)
            return r;
        for (int k = 0; k < 2; k++)
            if (ips[k].family)
                o->reserved[o->n_reserved++] = ips[k];
    }
    return 0;
}

static int parse_cidrs(const char *text, struct node_options *o, struct err *reterr)
{
    for (struct str rest = str_from(text), part; rest.p && rest.n;) {
        struct prefix p;
        part = str_cut(rest, ',', &rest);
        if (prefix_parse(str_trim(part), &p) < 0 || prefix_size(&p) < 256)
            return err_set(reterr, -EINVAL, NULL,
                           "--pod-cidr: \"" STR_FMT "\" is not a network of 256 addresses or more",
                           STR_ARG(part));
        *(p.ip.family == AF_INET6 ? &o->pod_v6 : &o->pod_v4) = p;
    }
    if (!o->pod_v4.ip.family)
        return err_set(reterr, -EINVAL, NULL, "--pod-cidr needs an IPv4 network");
    return 0;
}

static int read_pem(const char *flag, const char *path, struct buf *ret, struct err *reterr)
{
    char block[4096];
    FILE *f = path ? fopen(path, "re") : NULL;
    if (!path)
        return 0;
    if (!f)
        return err_set(reterr, -errno, NULL, "--%s: %s: %s", flag, path, strerror(errno));
    for (size_t n; (n = fread(block, 1, sizeof(block), f)) > 0;)
        buf_add(ret, block, n);
    fclose(f);
    return 0;
}

static void add_labels(struct arg_list *list, char *text)
{
    for (char *p = strtok(text, ","); p; p = strtok(NULL, ",")) {
        list->v = xrealloc(list->v, (list->n + 1) * sizeof(*list->v));
        list->v[list->n++] = p;
    }
}

struct node_run {
    struct node_options options;
    struct image_table images;
    struct arg_list labels;
    struct buf cert, key, ca;
    char *label_text;
    char *program_dir;
    char *hidden_path[8];
    const char *hidden[8];
};

static void node_run_done(struct node_run *r)
{
    image_table_done(&r->images);
    buf_done(&r->cert);
    buf_done(&r->key);
    buf_done(&r->ca);
    free(r->labels.v);
    free(r->label_text);
    free(r->program_dir);
    for (size_t i = 0; i < ARRAY_LEN(r->hidden_path); i++)
        free(r->hidden_path[i]);
}

/* Keys, kubeconfigs, other pods' tokens: containers share the machine's files, but not these. */
static void hide_secrets(const struct node_args *a, struct node_run *r)
{
    const char *const all[] = {state_dir_root(), STATE_DIR_DEFAULT, a->state_dir, a->kubeconfig,
                               a->key};
    _Static_assert(ARRAY_LEN(all) < ARRAY_LEN(r->hidden), "room for all and the end");
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i] && (r->hidden_path[n] = realpath(all[i], NULL))) {
            r->hidden[n] = r->hidden_path[n];
            n++;
        }
}

static int node_run_load(const struct node_args *a, struct node_run *r, struct err *reterr)
{
    struct node_options *o = &r->options;
    int code = json_is_utf8(str_from(a->name)) && (!a->labels || json_is_utf8(str_from(a->labels)))
                   ? parse_cidrs(a->pod_cidr, o, reterr)
                   : err_set(reterr, -EINVAL, NULL, "--node-name or --labels is not UTF-8");
    if (code == 0)
        code = parse_ips("internal-ip", a->internal, o->internal, reterr);
    if (code == 0 && a->external)
        code = parse_ips("external-ip", a->external, o->external, reterr);
    if (code == 0)
        code = parse_reserved(&a->reserved, o, reterr);
    for (size_t i = 0; i < a->images.n && code == 0; i++)
        code = image_table_add(&r->images, a->images.v[i], reterr);
    if (code == 0)
        code = read_pem("kubelet-cert", a->cert, &r->cert, reterr);
    if (code == 0)
        code = read_pem("kubelet-key", a->key, &r->key, reterr);
    if (code == 0)
        code = read_pem("client-ca", a->ca, &r->ca, reterr);
    if (code < 0)
        return code;
    r->label_text = xstrdup(a->labels ? a->labels : "");
    add_labels(&r->labels, r->label_text);
    r->program_dir = program_guard_directory();
    o->name = a->name;
    o->lab = a->lab;
    o->state_dir = a->state_dir;
    hide_secrets(a, r);
    o->hidden = r->hidden;
    o->program_dir = r->program_dir;
    o->labels = r->labels.v;
    o->n_labels = r->labels.n;
    o->images = &r->images;
    o->image_dir = a->image_dir;
    o->cluster_dns = a->dns;
    o->cluster_domain = a->domain;
    o->kubelet_port = (uint16_t)a->port;
    o->kubelet_cert = buf_str(&r->cert);
    o->kubelet_key = buf_str(&r->key);
    o->client_ca = buf_str(&r->ca);
    return 0;
}

static int node_main(const struct node_args *a)
{
    __attribute__((cleanup(node_run_done))) struct node_run run = {0};
    struct err err = {0};
    AUTO(kube_config) struct kube_config *config = NULL;
    AUTO(loop) struct loop *loop = NULL;
    struct kube_client *client = NULL;
    struct node *node = NULL;
    if (node_run_load(a, &run, &err) < 0)
        return program_fail(EXIT_USAGE_ERROR, "fairlead-labd node --help", "%s", err_text(&err));
    if ((a->netns && netns_enter(a->netns, &err) < 0) ||
        kube_config_load(a->kubeconfig, NULL, &config, &err) < 0 || loop_new(&loop, &err) < 0 ||
        kube_client_new(loop, config, "fairlead-lab-node/" FAIRLEAD_VERSION, &client, &err) < 0 ||
        node_new(client, &run.options, &node, &err) < 0) {
        if (client)
            kube_client_free(client);
        return program_fail(EXIT_FAILED, NULL, "node %s: %s", a->name, err_text(&err));
    }
    loop_signal_add(loop, SIGTERM, on_stop, loop);
    loop_signal_add(loop, SIGINT, on_stop, loop);
    int code = loop_run(loop);
    node_free(node);
    kube_client_free(client);
    loop_turn(loop, 0);
    return code;
}

int node_command(int argc, char **argv)
{
    struct node_args a = {.domain = "cluster.local", .port = 10250};
    struct arg args[] = {
        {"kubeconfig", 0, ARG_STRING, &a.kubeconfig, "FILE", "how to reach the API server", 0, 0,
         false},
        {"node-name", 0, ARG_STRING, &a.name, "NAME", "name of the Node object", 0, 0, false},
        {"lab", 0, ARG_STRING, &a.lab, "NAME",
         "pod namespaces are called fl.LAB.NODE.NAMESPACE.POD", 0, 0, false},
        {"netns", 0, ARG_STRING, &a.netns, "PATH", "enter this network namespace first", 0, 0,
         false},
        {"state-dir", 0, ARG_STRING, &a.state_dir, "DIR", "volumes and logs of this node's pods", 0,
         0, false},
        {"pod-cidr", 0, ARG_STRING, &a.pod_cidr, "CIDR,…", "pod networks, one per family", 0, 0,
         false},
        {"internal-ip", 0, ARG_STRING, &a.internal, "IP,…", "InternalIP, one per family", 0, 0,
         false},
        {"external-ip", 0, ARG_STRING, &a.external, "IP,…", "ExternalIP, one per family", 0, 0,
         false},
        {"reserved-ip", 0, ARG_STRINGS, &a.reserved, "IP,…",
         "somebody's on the nodes' network, never announced for a Service; may be repeated", 0, 0,
         false},
        {"labels", 0, ARG_STRING, &a.labels, "K=V,…",
         "labels of the Node (zone and region have defaults)", 0, 0, false},
        {"image", 0, ARG_STRINGS, &a.images, "NAME=COMMAND",
         "the command that stands for an image; may be repeated", 0, 0, false},
        {"image-dir", 0, ARG_STRING, &a.image_dir, "DIR",
         "directory of the file \"" IMAGE_FILE "\", read whenever it is replaced", 0, 0, false},
        {"cluster-dns", 0, ARG_STRING, &a.dns, "IP", "name server of pods", 0, 0, false},
        {"cluster-domain", 0, ARG_STRING, &a.domain, "DOMAIN", "default cluster.local", 0, 0,
         false},
        {"kubelet-port", 0, ARG_INT, &a.port, "N", "port for logs and exec (default 10250)", 1,
         65535, false},
        {"kubelet-cert", 0, ARG_STRING, &a.cert, "FILE",
         "its certificate; without it there is no such server", 0, 0, false},
        {"kubelet-key", 0, ARG_STRING, &a.key, "FILE", "its key", 0, 0, false},
        {"client-ca", 0, ARG_STRING, &a.ca, "FILE", "whose client certificates may ask it", 0, 0,
         false},
        {.name = NULL},
    };
    const struct program p = {"fairlead-labd node",
                              "a node: runs the pods bound to it as processes of this machine",
                              "[flags]",
                              NULL,
                              args,
                              false};
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    if (!a.name || !a.lab || !a.state_dir || !a.pod_cidr || !a.internal)
        return program_fail(
            EXIT_USAGE_ERROR, "fairlead-labd node --help",
            "--node-name, --lab, --state-dir, --pod-cidr and --internal-ip are needed");
    signal(SIGPIPE, SIG_IGN);
    struct err err = {0};
    if (program_guard(argv, &err) < 0)
        log_warn("containers could change the mode of the node's program",
                 kv_s("error", err_text(&err)));
    code = node_main(&a);
    arg_list_done(&a.images);
    arg_list_done(&a.reserved);
    return code;
}
