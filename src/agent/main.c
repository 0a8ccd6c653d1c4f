/* fairlead-agent: programs the kernel's Services on one node. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>

#include "agent/agent.h"
#include "agent/l2.h"
#include "agent/node_wait.h"
#include "agent/status_server.h"
#include "base/assert.h"
#include "base/program.h"

struct settings {
    const char *kubeconfig, *context, *node_name, *cluster_cidr, *node_port_addresses;
    const char *healthz, *metrics;
    const char *detect_local, *pod_bridge, *pod_prefix;
    bool external_ips, masquerade_all, cleanup;
    struct node_prefixes cluster, node_ports; /* networks of pods; where node ports answer */
    bool primary;                             /* node_ports and the node's primary addresses */
    struct l2_options l2;                     /* namespace_ NULL: no addresses are announced */
    int64_t l2_port;
    json_t *flags; /* as given, for who asks */
};

/* Row 14, with kube-proxy's words. Says what is wrong and returns false. */
static bool detector_is_valid(const struct settings *s)
{
    static const struct {
        const char *mode, *flag;
    } modes[] = {{"ClusterCIDR", "--cluster-cidr"},
                 {"NodeCIDR", NULL},
                 {"BridgeInterface", "--pod-bridge-interface"},
                 {"InterfaceNamePrefix", "--pod-interface-name-prefix"}};
    const char *const given[] = {s->cluster_cidr, NULL, s->pod_bridge, s->pod_prefix};
    if (str_empty(s->detect_local))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (streq(s->detect_local, modes[i].mode)) {
            if (!modes[i].flag || !str_empty(given[i]))
                return true;
            program_fail(EXIT_USAGE_ERROR, NULL, "--detect-local-mode=%s needs %s", modes[i].mode,
                         modes[i].flag);
            return false;
        }
    program_fail(EXIT_USAGE_ERROR, "ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix",
                 "--detect-local-mode: \"%s\" is not known", s->detect_local);
    return false;
}

static bool detects(const struct settings *s, const char *mode)
{
    return s->detect_local && streq(s->detect_local, mode);
}

static void on_stop(int signo, void *user)
{
    (void)signo;
    loop_stop(user, 0);
}

static int cleanup(void)
{
    struct err err = {0};
    if (nftables_cleanup(&err) < 0)
        return program_fail(EXIT_FAILED, "this needs root (CAP_NET_ADMIN)", "cleanup: %s",
                            err_text(&err));
    log_info("table fairlead is gone");
    return EXIT_OK;
}

/* "primary" instead of a list: the node's own addresses, known later. */
static bool take_primary(struct settings *s)
{
    if (!s->node_port_addresses || !streq(s->node_port_addresses, "primary"))
        return false;
    s->node_port_addresses = NULL;
    return true;
}

/* "A,B,…" of prefixes; false: told the user. */
#define PREFIXES_PARSE(text, flag, vec)                                                            \
    ({                                                                                             \
        bool ok_ = true;                                                                           \
        struct str rest_ = str_from(text);                                                         \
        while (ok_ && rest_.p && rest_.n) {                                                        \
            struct prefix p_;                                                                      \
            struct str one_ = str_trim(str_cut(rest_, ',', &rest_));                               \
            ok_ = prefix_parse(one_, &p_) == 0;                                                    \
            if (ok_)                                                                               \
                vec_push(vec, p_);                                                                 \
            else                                                                                   \
                program_fail(EXIT_USAGE_ERROR, "give prefixes such as 10.244.0.0/16,fd00::/56",    \
                             "--%s: \"" STR_FMT "\" is not a prefix", flag, STR_ARG(one_));        \
        }                                                                                          \
        ok_;                                                                                       \
    })

/* NULL with 0: it is not wanted. */
static int start_l2(struct settings *s, struct kube_client *c, struct l2 **ret, struct err *reterr)
{
    *ret = NULL;
    if (str_empty(s->l2.namespace_))
        return 0;
    s->l2.node_name = s->node_name;
    s->l2.port = (uint16_t)s->l2_port;
    return l2_new(c, &s->l2, ret, reterr);
}

static void add_l2_metrics(struct buf *b, void *user)
{
    if (user)
        l2_metrics(user, b);
}

static int run(struct settings *s)
{
    struct err err = {0};
    AUTO(kube_config) struct kube_config *config = NULL;
    AUTO(loop) struct loop *loop = NULL;
    struct kube_client *client = NULL;
    struct dataplane *backend = NULL;
    struct agent *agent = NULL;
    struct status_server *status = NULL;
    struct l2 *l2 = NULL;
    if (kube_config_load(s->kubeconfig, s->context, &config, &err) < 0 || loop_new(&loop, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    if (kube_client_new(loop, config, "fairlead-agent/" FAIRLEAD_VERSION, &client, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    if (!str_empty(s->detect_local) && !detects(s, "ClusterCIDR"))
        s->cluster.n = 0;
    if (detects(s, "NodeCIDR"))
        node_wait_pod_cidrs(client, s->node_name, &s->cluster);
    if (s->primary)
        node_wait_primary_ips(client, s->node_name, &s->node_ports);
    const struct dataplane_config dc = {
        .cluster_cidrs = s->cluster.v,
        .n_cluster_cidrs = s->cluster.n,
        .pod_interface = detects(s, "BridgeInterface") ? s->pod_bridge : NULL,
        .pod_interface_prefix = detects(s, "InterfaceNamePrefix") ? s->pod_prefix : NULL,
        .node_port_addresses = s->node_ports.v,
        .n_node_port_addresses = s->node_ports.n,
        .masquerade_all = s->masquerade_all};
    struct agent_options ao = {.node_name = s->node_name,
                               .external_ips = s->external_ips,
                               .node_port_addresses = s->node_ports.v,
                               .n_node_port_addresses = s->node_ports.n};
    if (!dc.n_cluster_cidrs && !dc.pod_interface && !dc.pod_interface_prefix)
        log_warn("pods cannot be told from others: no --detect-local-mode, no --cluster-cidr");
    loop_signal_add(loop, SIGTERM, on_stop, loop);
    loop_signal_add(loop, SIGINT, on_stop, loop);
    if (nftables_open(&dc, &backend, &err) < 0) {
        kube_client_free(client);
        return program_fail(EXIT_FAILED,
                            "nf_tables needs root (CAP_NET_ADMIN) and kernel 5.15; "
                            "`fairlead check` says what is missing",
                            "%s", err_text(&err));
    }
    struct status_options so = {
        .healthz_address = s->healthz, .metrics_address = s->metrics, .options = s->flags};
    int code = EXIT_FAILED;
    int r = start_l2(s, client, &l2, &err);
    ao.observer = l2 ? &l2_observer : NULL;
    ao.observer_user = so.metrics_user = l2;
    so.add_metrics = add_l2_metrics;
    r = r < 0 ? r : agent_new(client, backend, &ao, &agent, &err);
    so.agent = agent;
    if (r == 0)
        assert_dump_add(agent_dump, agent);
    if (r < 0 || status_server_new(loop, &so, &status, &err) < 0) {
        program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    } else {
        log_info("watching", kv_s("server", config->server), kv_s("node", s->node_name));
        code = loop_run(loop);
    }
    status_server_free(status);
    l2_free(l2);
    agent_free(agent);
    kube_client_free(client);
    loop_turn(loop, 0);
    return code;
}

static json_t *flags_json(const struct arg *args)
{
    json_t *j = json_object();
    for (; args->name; args++) {
        char number[24];
        const char *text = args->type == ARG_STRING ? *(const char **)args->value : NULL;
        if (args->type == ARG_INT) {
            snprintf(number, sizeof(number), "%lld", (long long)*(int64_t *)args->value);
            text = number;
        }
        json_object_set_new(j, args->name,
                            args->type == ARG_BOOL ? json_boolean(*(bool *)args->value)
                                                   : json_text(str_from(text ? text : "")));
    }
    return j;
}

int main(int argc, char **argv)
{
    struct settings s = {.healthz = "0.0.0.0:10256",
                         .metrics = "127.0.0.1:10249",
                         .l2 = {.key_secret = "fairlead-system/fairlead-agent-key"},
                         .l2_port = 7947};
    char host[256];
    struct arg args[] = {
        {"kubeconfig", 0, ARG_STRING, &s.kubeconfig, "FILE", "how to reach the API server", 0, 0,
         false},
        {"context", 0, ARG_STRING, &s.context, "NAME", "which context of it", 0, 0, false},
        {"node-name", 0, ARG_STRING, &s.node_name, "NAME", "this node (default: the host's name)",
         0, 0, false},
        {"cluster-cidr", 0, ARG_STRING, &s.cluster_cidr, "CIDR,…",
         "addresses of pods: others are masqueraded to ClusterIPs", 0, 0, false},
        {"detect-local-mode", 0, ARG_STRING, &s.detect_local, "MODE",
         "how pods are told: ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix", 0, 0,
         false},
        {"pod-bridge-interface", 0, ARG_STRING, &s.pod_bridge, "NAME",
         "the interface pods come in by (BridgeInterface)", 0, 0, false},
        {"pod-interface-name-prefix", 0, ARG_STRING, &s.pod_prefix, "PREFIX",
         "how the names of pods' interfaces begin (InterfaceNamePrefix)", 0, 0, false},
        {"external-ips", 0, ARG_BOOL, &s.external_ips, NULL,
         "carry spec.externalIPs (off: CVE-2020-8554)", 0, 0, false},
        {"nodeport-addresses", 0, ARG_STRING, &s.node_port_addresses, "CIDR,…",
         "where node ports answer, or `primary` (default: every local address but loopback)", 0, 0,
         false},
        {"masquerade-all", 0, ARG_BOOL, &s.masquerade_all, NULL,
         "masquerade everything to Services", 0, 0, false},
        {"healthz-bind-address", 0, ARG_STRING, &s.healthz, "IP:PORT", "/healthz and /livez", 0, 0,
         false},
        {"metrics-bind-address", 0, ARG_STRING, &s.metrics, "IP:PORT",
         "/metrics, /proxyMode, /statusz, /flagz, /configz", 0, 0, false},
        {"address-pool-namespace", 0, ARG_STRING, &s.l2.namespace_, "NAME",
         "where IPAddressPools and L2Advertisements are, whose addresses this node may answer for "
         "(default: it answers for none)",
         0, 0, false},
        {"agent-key-secret", 0, ARG_STRING, &s.l2.key_secret, "NAMESPACE/NAME",
         "whose `key` the heartbeats of agents are signed with (default "
         "fairlead-system/fairlead-agent-key)",
         0, 0, false},
        {"agent-heartbeat-port", 0, ARG_INT, &s.l2_port, "PORT",
         "UDP, of heartbeats between agents (default 7947)", 1, 65535, false},
        {"cleanup", 0, ARG_BOOL, &s.cleanup, NULL, "delete everything of ours and exit", 0, 0,
         false},
        {.name = NULL},
    };
    const struct program p = {"fairlead-agent",
                              "programs the kernel's Services on one node",
                              "[flags]",
                              NULL,
                              args,
                              false};
    mallopt(M_ARENA_MAX, 1); /* two threads that seldom meet: what one frees the other can use */
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    if (s.cleanup)
        return cleanup();
    if (!s.node_name && gethostname(host, sizeof(host)) == 0)
        s.node_name = host;
    s.flags = flags_json(args);
    s.primary = take_primary(&s);
    if (!detector_is_valid(&s) || !PREFIXES_PARSE(s.cluster_cidr, "cluster-cidr", &s.cluster) ||
        !PREFIXES_PARSE(s.node_port_addresses, "nodeport-addresses", &s.node_ports))
        return EXIT_USAGE_ERROR;
    code = run(&s);
    vec_done(&s.cluster);
    vec_done(&s.node_ports);
    json_decref(s.flags);
    return code;
}
