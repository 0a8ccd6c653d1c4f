/* fairlead-agent: programs the kernel's Services on one node. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>

#include "agent/agent.h"
#include "agent/bgp.h"
#include "agent/config_watch.h"
#include "agent/conntrack_settings.h"
#include "agent/l2.h"
#include "agent/node_wait.h"
#include "agent/settings.h"
#include "agent/status_server.h"
#include "base/assert.h"
#include "base/program.h"
#include "base/sandbox.h"
#include "net/ask_command.h"
#include "net/tls.h"
#include "nl/kube_proxy_rules.h"
#include "nl/nft_features.h"

static void on_stop(int signo, void *user)
{
    (void)signo;
    loop_stop(user, 0);
}

static int cleanup(const struct settings *s)
{
    struct err err = {0};
    if (!str_empty(s->frr_directory) && bgp_cleanup(s->frr_directory, &err) < 0)
        return program_fail(EXIT_FAILED, "restart FRR: what is ours is in no file of it",
                            "cleanup: %s", err_text(&err));
    if (nftables_cleanup(&err) < 0)
        return program_fail(EXIT_FAILED, "this needs root (CAP_NET_ADMIN)", "cleanup: %s",
                            err_text(&err));
    log_info("table fairlead is gone");
    return EXIT_OK;
}

/* For `fairlead uninstall`, in the place of the agent that was: clean, and ready until it is ended,
 * so that a DaemonSet tells when every node is. Needs no API server. */
static int cleanup_and_wait(const struct settings *s)
{
    struct err err = {0};
    AUTO(loop) struct loop *loop = NULL;
    struct status_server *status = NULL;
    const struct status_options so = {
        .cleaned = true, .healthz_address = s->healthz, .probe_address = s->probe};
    int code = cleanup(s);
    if (code != EXIT_OK)
        return code;
    if (loop_new(&loop, &err) < 0 || status_server_new(loop, &so, &status, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    loop_signal_add(loop, SIGTERM, on_stop, loop);
    loop_signal_add(loop, SIGINT, on_stop, loop);
    sandbox_start(s->no_seccomp, 0);
    code = loop_run(loop);
    status_server_free(status);
    return code;
}

static void on_config_changed(void *user)
{
    log_error("content of the configuration file was updated: ending, to be started with it");
    loop_stop(user, EXIT_FAILED);
}

static int load_kube_config(const struct settings *s, struct kube_config **ret, struct err *reterr)
{
    if (!str_empty(s->config_file) && str_empty(s->kubeconfig))
        return kube_config_in_cluster(ret, reterr);
    return kube_config_load(s->kubeconfig, s->context, ret, reterr);
}

/* The table was refused: which parts of it this kernel lacks, and what to do. */
static int fail_of_kernel(const struct err *err)
{
    AUTO_DONE(buf) struct buf lacks = {0};
    if (nft_features_missing_text(false, &lacks, NULL) > 0)
        return program_fail(EXIT_FAILED,
                            "load their modules or boot a kernel that has them: docs/kernels.md",
                            "%s. This kernel lacks: %s", err_text(err), buf_cstr(&lacks));
    return program_fail(EXIT_FAILED,
                        "nf_tables needs root (CAP_NET_ADMIN) and kernel 5.15; "
                        "`fairlead check` says what is missing",
                        "%s", err_text(err));
}

/* What has to be known of the Node before there can be rules. */
static void wait_for_node(struct settings *s, struct kube_client *client)
{
    struct node_prefixes found = {0};
    if (!settings_detect_by(s, "ClusterCIDR"))
        s->cluster.n = 0;
    if (settings_detect_by(s, "NodeCIDR")) {
        node_wait_pod_cidrs(client, s->name, &found);
        VEC_FOREACH (p, &found)
            vec_push(&s->cluster, *p);
        found.n = 0;
    }
    if (s->primary) {
        node_wait_primary_ips(client, s->name, &found);
        VEC_FOREACH (p, &found) {
            bool told = s->bind_ip.family == p->ip.family;
            if (told)
                p->ip = s->bind_ip;
            if (!ip_is_loopback(&p->ip))
                vec_push(&s->node_ports, *p);
        }
    }
    vec_done(&found);
    if (!settings_complete_node_ports(&s->node_ports))
        log_warn("node ports answer on all addresses of a family that --nodeport-addresses "
                 "(nodePortAddresses) does not name");
}

static enum dataplane_localhost localhost_of(const struct settings *s, int family)
{
    return s->relay[family] ? DATAPLANE_LOCALHOST_REJECT_OTHERS
           : s->localhost   ? DATAPLANE_LOCALHOST_REJECT
                            : DATAPLANE_LOCALHOST_LEAVE;
}

static struct dataplane_config dataplane_config(const struct settings *s)
{
    const struct dataplane_config c = {
        .cluster_cidrs = s->cluster.v,
        .n_cluster_cidrs = s->cluster.n,
        .pod_interface = settings_detect_by(s, "BridgeInterface") ? s->pod_bridge : NULL,
        .pod_interface_prefix = settings_detect_by(s, "InterfaceNamePrefix") ? s->pod_prefix : NULL,
        .node_port_addresses = s->node_ports.v,
        .n_node_port_addresses = s->node_ports.n,
        .localhost = {localhost_of(s, 0), localhost_of(s, 1)},
        .masquerade_mark = s->masquerade_mark,
        .masquerade_all = s->masquerade_all};
    if (!c.n_cluster_cidrs && !c.pod_interface && !c.pod_interface_prefix)
        log_warn("pods cannot be told from others: no --detect-local-mode, no --cluster-cidr");
    return c;
}

struct parts {
    struct loop *loop;
    struct kube_client *client;
    struct dataplane *backend;
    struct relay *relay;
    struct l2_options l2_options;
    struct l2 *l2;
    struct bgp_options bgp_options;
    struct bgp *bgp;
    struct agent *agent;
    struct status_server *status;
    struct config_watch *watch;
};

/* 0 without one: it is not wanted. */
static int start_l2(struct parts *p, const struct settings *s, struct err *reterr)
{
    p->l2_options = (struct l2_options){.node_name = s->name,
                                        .namespace_ = s->pool_namespace,
                                        .key_secret = s->agent_key_secret,
                                        .port = (uint16_t)s->heartbeat_port};
    return str_empty(s->pool_namespace) ? 0 : l2_new(p->client, &p->l2_options, &p->l2, reterr);
}

static void start_bgp(struct parts *p, const struct settings *s)
{
    p->bgp_options = (struct bgp_options){
        .node_name = s->name, .namespace_ = s->pool_namespace, .directory = s->frr_directory};
    if (str_empty(s->frr_directory))
        return;
    if (str_empty(s->pool_namespace))
        log_warn("--frr-vty-directory has no effect without --address-pool-namespace");
    else
        p->bgp = bgp_new(p->client, &p->bgp_options);
}

/* Both ways of announcing follow what becomes of Services. */
static void on_service(const struct joined_service *s, void *user)
{
    const struct parts *p = user;
    if (p->l2)
        l2_observer.on_service(s, p->l2);
    if (p->bgp)
        bgp_observer.on_service(s, p->bgp);
}

static void on_applied(bool ok, void *user)
{
    const struct parts *p = user;
    if (p->l2)
        l2_observer.on_applied(ok, p->l2);
    if (p->bgp)
        bgp_observer.on_applied(ok, p->bgp);
}

static const struct agent_observer observer = {on_service, on_applied};

static void add_announcing_metrics(struct buf *b, void *user)
{
    const struct parts *p = user;
    if (!p->l2 && !p->bgp)
        return;
    buf_add_cstr(b, "# TYPE metallb_speaker_announced gauge\n"); /* as MetalLB's */
    if (p->l2)
        l2_metrics_announced(p->l2, b);
    if (p->bgp)
        bgp_metrics_announced(p->bgp, b);
    if (p->l2)
        l2_metrics(p->l2, b);
    if (p->bgp)
        bgp_metrics(p->bgp, b);
}

static int start(struct parts *p, const struct settings *s, const json_t *flags, struct err *reterr)
{
    const struct relay_options ro = {.families = {s->relay[0], s->relay[1]}};
    int r = s->relay[0] || s->relay[1] ? relay_new(&ro, &p->relay, reterr) : 0;
    r = r < 0 ? r : start_l2(p, s, reterr);
    if (r < 0) {
        p->backend->ops->free(p->backend);
        return r;
    }
    start_bgp(p, s);
    const struct agent_options ao = {
        .node_name = s->name,
        .external_ips = s->external_ips,
        .node_port_addresses = s->node_ports.v,
        .n_node_port_addresses = s->node_ports.n,
        .cluster_cidrs = s->cluster.v,
        .n_cluster_cidrs = s->cluster.n,
        .node_cidr = settings_detect_by(s, "NodeCIDR"),
        .service_cidrs = proxy_config_gate(&s->config, "MultiCIDRServiceAllocator", true),
        .relay = p->relay,
        .observer = &observer,
        .observer_user = p,
        .localhost = s->localhost,
        .bind_ip = s->bind_ip,
        .unhealthy_after_ms = s->unhealthy_after_ms};
    r = agent_new(p->client, p->backend, &ao, &p->agent, reterr);
    if (r < 0)
        return r;
    assert_dump_add(agent_dump, p->agent);
    const struct status_options so = {.agent = p->agent,
                                      .healthz_address = s->healthz,
                                      .metrics_address = s->metrics,
                                      .probe_address = s->probe,
                                      .flags = flags,
                                      .config = s->config.tree,
                                      .add_metrics = add_announcing_metrics,
                                      .metrics_user = p,
                                      .hard_fail = s->bind_hard_fail};
    r = status_server_new(p->loop, &so, &p->status, reterr);
    if (r == 0 && !str_empty(s->config_file))
        r = config_watch_new(p->loop, s->config_file, on_config_changed, p->loop, &p->watch,
                             reterr);
    return r;
}

/* Two that carry the same Services get on, as long as both keep up: docs/install.md. */
static void tell_of_kube_proxy(void)
{
    AUTO_DONE(buf) struct buf found = {0};
    if (kube_proxy_rules_find(&found, NULL) > 0)
        log_warn("a kube-proxy's Services are in this kernel, too: once it has ended, its rules "
                 "grow old; `kube-proxy --cleanup` takes them out",
                 kv_s("found", buf_cstr(&found)));
}

static int run(struct settings *s, const json_t *flags)
{
    struct err err = {0};
    AUTO(kube_config) struct kube_config *config = NULL;
    AUTO(loop) struct loop *loop = NULL;
    if (load_kube_config(s, &config, &err) < 0 || loop_new(&loop, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    struct parts p = {.loop = loop};
    if (kube_client_new(loop, config, "fairlead-agent/" FAIRLEAD_VERSION, &p.client, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    wait_for_node(s, p.client);
    const struct dataplane_config dc = dataplane_config(s);
    tell_of_kube_proxy();
    loop_signal_add(loop, SIGTERM, on_stop, loop);
    loop_signal_add(loop, SIGINT, on_stop, loop);
    if (nftables_open(&dc, &p.backend, &err) < 0) {
        kube_client_free(p.client);
        return fail_of_kernel(&err);
    }
    /* By now the rules have made the kernel load what tracks connections. */
    conntrack_settings_apply(&s->config, "", (unsigned)sysconf(_SC_NPROCESSORS_ONLN));
    int code = EXIT_FAILED;
    if (start(&p, s, flags, &err) < 0) {
        program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    } else {
        log_info("watching", kv_s("server", config->server), kv_s("node", s->name));
        tls_load_config();
        sandbox_start(s->no_seccomp, SANDBOX_NETLINK | (p.l2 ? SANDBOX_PACKET : 0));
        code = loop_run(loop);
    }
    config_watch_free(p.watch);
    status_server_free(p.status);
    l2_free(p.l2);
    bgp_free(p.bgp);
    p.l2 = NULL;
    p.bgp = NULL;
    agent_free(p.agent);
    relay_free(p.relay);
    kube_client_free(p.client);
    loop_turn(loop, 0);
    return code == EXIT_OK && s->cleanup_on_exit ? cleanup(s) : code;
}

/* As kube-proxy: only with a file, whose default is -999. */
static void set_oom_score(const struct settings *s)
{
    FILE *f = fopen("/proc/self/oom_score_adj", "we");
    bool done =
        f && fprintf(f, "%lld", (long long)proxy_config_count(&s->config, "oomScoreAdj")) > 0;
    if (f)
        done = fclose(f) == 0 && done;
    if (!done)
        log_info("oomScoreAdj is not set: the container may not (CAP_SYS_RESOURCE)");
}

static json_t *flag_value(const struct arg *a)
{
    const char *text = a->type == ARG_STRING ? *(const char **)a->value : NULL;
    if (a->type == ARG_BOOL)
        return json_boolean(*(bool *)a->value);
    if (!a->set && a->type != ARG_STRING)
        return json_string("");
    if (a->type == ARG_INT) {
        AUTO_CHARS char *n = xasprintf("%lld", (long long)*(int64_t *)a->value);
        return json_string(n);
    }
    if (a->type == ARG_DURATION) {
        AUTO_CHARS char *ms = xasprintf("%llums", (unsigned long long)*(uint64_t *)a->value);
        return json_string(ms);
    }
    return json_text(str_from(text ? text : ""));
}

static json_t *flags_json(const struct arg *args)
{
    json_t *j = json_object();
    for (; args->name; args++)
        json_object_set_new(j, args->name, flag_value(args));
    return j;
}

static bool is_given(int argc, char **argv, const char *flag)
{
    size_t n = strlen(flag);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], flag, n) == 0 && (argv[i][n] == 0 || argv[i][n] == '='))
            return true;
    return false;
}

static int main_with(struct settings *s)
{
    if (s->cleanup)
        return cleanup(s);
    if (s->validate)
        return settings_validate(s);
    json_t *flags = flags_json(s->args);
    int code = settings_resolve(s);
    if (code == 0 && s->cleanup_and_wait) {
        json_decref(flags);
        return cleanup_and_wait(s);
    }
    if (code == 0 && !str_empty(s->config_file))
        set_oom_score(s);
    if (code == 0)
        code = run(s, flags);
    json_decref(flags);
    return code;
}

static const struct ask_command request_command = {
    .program = "fairlead-agent",
    .name = "fairlead-agent request",
    .summary = "asks the agent of this node",
    .examples = "  fairlead-agent request GET /metrics\n  fairlead-agent request GET /statusz\n",
    .example_path = "/metrics",
    .what = "the agent",
    .where = "its --metrics-bind-address says where it answers",
    .port_flag = "metrics-port",
    .port_help = "of 127.0.0.1, where the agent answers (default 10249)",
    .port = 10249};

static struct settings given = {.healthz = "0.0.0.0:10256",
                                .metrics = "127.0.0.1:10249",
                                .agent_key_secret = "fairlead-system/fairlead-agent-key",
                                .heartbeat_port = 7947};
static struct arg flags[] = {
    {"config", 0, ARG_STRING, &given.config_file, "FILE",
     "kube-proxy's configuration file; its flags are not heeded then, but for --node-name", 0, 0,
     false},
    {"cleanup-on-exit", 0, ARG_BOOL, &given.cleanup_on_exit, NULL,
     "the same when told to end: for the last agents, beside what carries Services from then on", 0,
     0, false},
    {"validate", 0, ARG_BOOL, &given.validate, NULL, "check the file, say what has no effect, exit",
     0, 0, false},
    {"kubeconfig", 0, ARG_STRING, &given.kubeconfig, "FILE", "how to reach the API server", 0, 0,
     false},
    {"context", 0, ARG_STRING, &given.context, "NAME", "which context of it", 0, 0, false},
    {"node-name", 0, ARG_STRING, &given.node_name, "NAME", "this node (default: the host's name)",
     0, 0, false},
    {"hostname-override", 0, ARG_STRING, &given.node_name, "NAME", "the same, as kube-proxy has it",
     0, 0, false},
    {"cluster-cidr", 0, ARG_STRING, &given.cluster_cidr, "CIDR,…",
     "addresses of pods: others are masqueraded to ClusterIPs", 0, 0, false},
    {"detect-local-mode", 0, ARG_STRING, &given.detect_local, "MODE",
     "how pods are told: ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix", 0, 0, false},
    {"pod-bridge-interface", 0, ARG_STRING, &given.pod_bridge, "NAME",
     "the interface pods come in by (BridgeInterface)", 0, 0, false},
    {"pod-interface-name-prefix", 0, ARG_STRING, &given.pod_prefix, "PREFIX",
     "how the names of pods' interfaces begin (InterfaceNamePrefix)", 0, 0, false},
    {"external-ips", 0, ARG_BOOL, &given.external_ips, NULL,
     "carry spec.externalIPs (off: CVE-2020-8554)", 0, 0, false},
    {"nodeport-addresses", 0, ARG_STRING, &given.node_port_addresses, "CIDR,…",
     "where node ports answer; also `primary`, `localhost`, `all` (default: every local "
     "address "
     "but loopback)",
     0, 0, false},
    {"feature-gates", 0, ARG_STRING, &given.feature_gates, "NAME=BOOL,…",
     "kube-proxy's: KubeProxyNFTablesLocalhostNodePorts (with `localhost` among "
     "--nodeport-addresses: a relay of TCP there), MultiCIDRServiceAllocator",
     0, 0, false},
    {"masquerade-all", 0, ARG_BOOL, &given.masquerade_all, NULL,
     "masquerade everything to Services", 0, 0, false},
    {"healthz-bind-address", 0, ARG_STRING, &given.healthz, "IP:PORT", "/healthz and /livez", 0, 0,
     false},
    {"metrics-bind-address", 0, ARG_STRING, &given.metrics, "IP:PORT",
     "/metrics, /proxyMode, /statusz, /flagz, /configz", 0, 0, false},
    {"probe-bind-address", 0, ARG_STRING, &given.probe, "IP:PORT",
     "/healthz and /livez once more, for probes: where no kube-proxy answers (default: nowhere)", 0,
     0, false},
    {"bind-address-hard-fail", 0, ARG_BOOL, &given.bind_hard_fail, NULL,
     "end if one of these ports is taken (else it is tried again)", 0, 0, false},
    {"conntrack-max-per-core", 0, ARG_INT, &given.conntrack_max_per_core, "N",
     "connections tracked per core (default 32768; 0: leave the limit)", 0, INT32_MAX, false},
    {"conntrack-min", 0, ARG_INT, &given.conntrack_min, "N",
     "but at least so many (default 131072)", 0, INT32_MAX, false},
    {"conntrack-tcp-timeout-established", 0, ARG_DURATION, &given.conntrack_tcp_established_ms, "D",
     "idle connections (default 24h; 0: leave it)", 0, 0, false},
    {"conntrack-tcp-timeout-close-wait", 0, ARG_DURATION, &given.conntrack_tcp_close_wait_ms, "D",
     "connections half closed (default 1h; 0: leave it)", 0, 0, false},
    {"conntrack-tcp-be-liberal", 0, ARG_BOOL, &given.conntrack_tcp_be_liberal, NULL,
     "packets out of their window are not INVALID", 0, 0, false},
    {"conntrack-udp-timeout", 0, ARG_DURATION, &given.conntrack_udp_ms, "D",
     "UDP that nobody answered (default: leave it)", 0, 0, false},
    {"conntrack-udp-timeout-stream", 0, ARG_DURATION, &given.conntrack_udp_stream_ms, "D",
     "UDP both ways (default: leave it)", 0, 0, false},
    {"address-pool-namespace", 0, ARG_STRING, &given.pool_namespace, "NAME",
     "where IPAddressPools and L2Advertisements are, whose addresses this node may answer for "
     "(default: it answers for none)",
     0, 0, false},
    {"agent-key-secret", 0, ARG_STRING, &given.agent_key_secret, "NAMESPACE/NAME",
     "whose `key` the heartbeats of agents are signed with (default "
     "fairlead-system/fairlead-agent-key)",
     0, 0, false},
    {"agent-heartbeat-port", 0, ARG_INT, &given.heartbeat_port, "PORT",
     "UDP, of heartbeats between agents (default 7947)", 1, 65535, false},
    {"frr-vty-directory", 0, ARG_STRING, &given.frr_directory, "DIR",
     "where the sockets of FRR's bgpd and bfdd are, usually /run/frr: they announce these "
     "addresses to the routers that BGPPeers name (default: no BGP)",
     0, 0, false},
    {"cleanup", 0, ARG_BOOL, &given.cleanup, NULL, "delete everything of ours and exit", 0, 0,
     false},
    {"cleanup-and-wait", 0, ARG_BOOL, &given.cleanup_and_wait, NULL,
     "the same, and then answer /healthz until ended: what fairlead uninstall has agents do", 0, 0,
     false},
    {"no-seccomp", 0, ARG_BOOL, &given.no_seccomp, NULL,
     "do not have the kernel refuse what this program never asks for", 0, 0, false},
    {.name = NULL},
};

int main(int argc, char **argv)
{
    const struct program p = {"fairlead-agent",
                              "programs the kernel's Services on one node",
                              "[flags]",
                              NULL,
                              flags,
                              false};
    if (argc > 1 && streq(argv[1], "request"))
        return ask_command(&request_command, argc - 1, argv + 1);
    mallopt(M_ARENA_MAX, 1); /* two threads that seldom meet: what one frees the other can use */
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    given.args = flags;
    given.log_level_given = is_given(argc, argv, "--log-level");
    given.log_format_given = is_given(argc, argv, "--log-format");
    code = main_with(&given);
    settings_done(&given);
    return code;
}
