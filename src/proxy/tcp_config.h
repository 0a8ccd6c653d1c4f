#pragma once
/* What a TCP proxy does (TcpProxy). */

#include <envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb-c.h>

#include "base/vec.h"
#include "proxy/access_log.h"
#include "proxy/compile.h"
#include "proxy/mesh_stats.h"
#include "proxy/stats.h"

struct tcp_cluster {
    char *name;
    uint32_t weight;
};

struct tcp_config {
    char *stat_prefix;
    struct stats_set *stats;
    VEC(struct tcp_cluster) clusters;
    uint64_t weights; /* their sum */
    struct access_logs logs;
    struct mesh_watch mesh;
    uint64_t idle_timeout_ms; /* 0: none */
    uint64_t duration_max_ms; /* 0: none */
    uint32_t attempts_max;
};

int tcp_config_compile(struct compile *c,
                       const Envoy__Extensions__Filters__Network__TcpProxy__V3__TcpProxy *m,
                       struct tcp_config **ret) NODISCARD;
void tcp_config_free(struct tcp_config *t); /* NULL is allowed */
/* random: any number, evenly distributed. */
struct str tcp_config_cluster(const struct tcp_config *t, uint64_t random);
