#pragma once
/* What the agent was told: flags, or kube-proxy's configuration file with the few flags that come
 * before it. Everything is put into one KubeProxyConfiguration (proxy_config.h), and read from
 * there. */

#include "agent/proxy_config.h"
#include "base/addr.h"
#include "base/args.h"

struct prefix_list {
    struct prefix *v;
    size_t n;
    size_t cap;
};

struct settings {
    /* flags as given; the strings are borrowed from the command line */
    const char *config_file, *kubeconfig, *context, *node_name;
    const char *cluster_cidr, *node_port_addresses, *healthz, *metrics, *probe;
    const char *detect_local, *pod_bridge, *pod_prefix, *feature_gates;
    const char *pool_namespace, *agent_key_secret; /* of l2.h; without a namespace: none */
    const char *frr_directory;                     /* of bgp.h; without: no BGP */
    int64_t heartbeat_port;
    bool external_ips, masquerade_all, cleanup, cleanup_and_wait, cleanup_on_exit, validate,
        bind_hard_fail, no_seccomp;
    int64_t conntrack_max_per_core, conntrack_min;
    uint64_t conntrack_tcp_established_ms, conntrack_tcp_close_wait_ms, conntrack_udp_ms,
        conntrack_udp_stream_ms;
    bool conntrack_tcp_be_liberal;
    bool log_level_given, log_format_given;
    const struct arg *args; /* the table they were read by */

    /* what comes of it all */
    struct proxy_config config;
    char *name;                    /* of this node */
    struct prefix_list cluster;    /* networks of pods */
    struct prefix_list node_ports; /* where node ports answer; see settings_complete_node_ports */
    bool primary;                  /* and at the node's own addresses */
    struct ip bind_ip;             /* the node's address as told; family 0: not told */
    bool localhost;                /* the gate KubeProxyNFTablesLocalhostNodePorts */
    bool relay[2];                 /* node ports on 127.0.0.1, ::1 are relayed */
    uint32_t masquerade_mark;
    uint64_t unhealthy_after_ms;
};

/* 0: go on; else the exit code, and all was said. */
int settings_resolve(struct settings *s);
void settings_done(struct settings *s);
bool settings_detect_by(const struct settings *s, const char *mode);
/* The file alone: prints what is to be said of it. Returns the exit code. */
int settings_validate(struct settings *s);
/* As kube-proxy understands the list: a family without an address in it has all of them, and with
 * 0.0.0.0/0 or ::/0 the others do not matter. Empty: everywhere. Returns false if that gave a
 * family all of its addresses that nobody had asked for. */
bool settings_complete_node_ports(struct prefix_list *list);
