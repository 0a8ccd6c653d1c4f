#pragma once
/* What a listener does: where it listens, what it looks at first, and what serves its connections.
 * Immutable, shared by reference. */

#include <envoy/config/listener/v3/listener.pb-c.h>

#include <stdatomic.h>

#include "proxy/filter_chain.h"
#include "proxy/port_predicate.h"

enum {
    LISTENER_ADDRESSES_MAX = 64,
    LISTENER_FILTERS_MAX = 8,
    LISTENER_FILTERS_TIMEOUT_MS = 15 * 1000,
};

enum listener_filter {
    LISTENER_ORIGINAL_DST,
    LISTENER_PROXY_PROTOCOL,
    LISTENER_TLS_INSPECTOR,
    LISTENER_HTTP_INSPECTOR,
};

struct listening_address {
    struct ip ip;
    uint16_t port;
    bool v6_only;
    char *path; /* a Unix socket; NULL: ip and port */
    uint32_t mode;
    atomic_int shared; /* a Unix socket: the workers' common one; -1: not open */
    atomic_int *bound; /* of each worker, until it takes it (-1); NULL: it opens its own */
    unsigned n_bound;
};

struct listener_config {
    atomic_uint refs;
    char *name;
    struct stats_set *stats;
    struct ip ip; /* of the first address */
    uint16_t port;
    VEC(struct listening_address) addresses;
    bool bind;              /* else it gets its connections from others only */
    bool inbound, outbound; /* traffic_direction */
    bool use_original_dst;  /* hands over to the listener of the original destination */
    bool freebind, transparent;
    int backlog; /* 0: the default */

    uint8_t filters[LISTENER_FILTERS_MAX];                 /* enum listener_filter */
    struct port_predicate *disabled[LISTENER_FILTERS_MAX]; /* to which ports they are not run */
    uint8_t n_filters;
    bool proxy_optional;         /* allow_requests_without_proxy_protocol */
    bool proxy_no_1, proxy_no_2; /* disallowed_versions */
    uint64_t filters_timeout_ms; /* 0: none */
    bool goes_on_after_timeout;
    size_t buffer_bytes; /* of a TCP proxy's connections; 0: the default */

    struct filter_chains chains;
    struct access_logs logs;           /* a line a connection */
    VEC(struct access_log *) all_logs; /* these and those of the chains; borrowed */
    VEC(struct http_config *) https;   /* of the chains; borrowed */
};

/* c->path stands at the message. -EINVAL with the path of what is wrong. */
int listener_config_compile(struct compile *c, const Envoy__Config__Listener__V3__Listener *m,
                            struct listener_config **ret) NODISCARD;
/* The same sockets would serve both. */
bool listener_config_listens_alike(const struct listener_config *a,
                                   const struct listener_config *b);
struct listener_config *listener_config_ref(struct listener_config *l);
void listener_config_unref(struct listener_config *l); /* NULL is allowed */
