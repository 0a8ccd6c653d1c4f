#pragma once
/* Clusters whose endpoints are names: STRICT_DNS (every address of every name is an endpoint) and
 * LOGICAL_DNS (one name, one address at a time). Names are asked for by the main thread, again and
 * again; what could not be resolved keeps the addresses it had. */

#include "proxy/cluster.h"

struct dns_config {
    struct endpoint_set *names; /* entries with a name instead of an endpoint, or with both */
    bool logical;               /* one address */
    int family;                 /* asked for; 0: both, and then: */
    uint8_t prefer;             /* AF_INET, AF_INET6: only these, if there are any; 0: all */
    uint64_t refresh_ms;
    bool respect_ttl; /* of the answer, instead */
    uint64_t failure_ms;
    uint64_t failure_max_ms;
    bool has_server; /* else those of the machine */
    struct ip server;
    uint16_t server_port;
};

/* -EINVAL with the path of what is wrong. */
int dns_compile(const Envoy__Config__Cluster__V3__Cluster *m, struct pb_path *path,
                struct dns_config **ret, struct err *reterr) NODISCARD;
void dns_config_free(struct dns_config *c); /* NULL is allowed */

/* ---- pure ---- */
/* Of what came, those that are wanted, sorted, each once; `now`: the one in use (LOGICAL_DNS). */
size_t dns_choose(const struct dns_config *c, struct ip *ips, size_t n, const struct ip *now);
/* Until the next time; failures: in a row. */
uint64_t dns_next_ms(const struct dns_config *c, unsigned failures, uint32_t ttl_s,
                     uint64_t random);

/* ---- the main thread ---- */
struct dns;
/* Negative: no resolver. */
int dns_new(struct loop *l, struct cluster *c, struct dns **ret) NODISCARD;
void dns_free(struct dns *d); /* NULL is allowed */
