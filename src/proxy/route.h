#pragma once
/* Routes, compiled from a RouteConfiguration: hosts, then the first route of the host that matches,
 * found through an index, and what it does. A table is immutable and shared by reference; reading
 * it needs no lock. Clusters are named; who reads looks the name's slot up (cluster_slot.h). */

#include <stdatomic.h>

#include <envoy/config/route/v3/route.pb-c.h>

#include "base/map.h"
#include "proxy/filter.h"
#include "proxy/header_ops.h"
#include "proxy/string_match.h"
#include "xds/xds_report.h"

enum route_path_kind {
    ROUTE_PATH_PREFIX,
    ROUTE_PATH_EXACT,
    ROUTE_PATH_SEGMENTS, /* a prefix that ends where a segment does */
    ROUTE_PATH_REGEX,    /* of the whole path */
    ROUTE_PATH_CONNECT,  /* CONNECT, whatever it is asked for */
};

struct route_fraction {
    uint32_t numerator;
    uint32_t denominator; /* 0: always */
};

struct route_match {
    uint8_t path_kind;
    bool ignore_case;
    bool grpc; /* content-type application/grpc only */
    struct str path;
    struct regex *regex;
    struct field_match *fields;
    size_t n_fields;
    struct query_match *query;
    size_t n_query;
    struct route_fraction fraction;
};

struct route_cluster {
    struct str name;
    struct header_name header; /* of a cluster named by the request; name is empty then */
    uint32_t weight;
    struct str host_rewrite; /* .p NULL: none */
    struct header_ops request_ops, answer_ops;
    struct filter_overrides filters;
};

struct regex_rewrite {
    struct regex *regex; /* NULL: none */
    struct str substitution;
};

struct mirror_policy;
struct retry_policy;
struct route_hash;

struct mirror_policies {
    struct mirror_policy *v;
    size_t n;
};

/* How long a stream may take in all (max_stream_duration), and what grpc-timeout says of it. */
struct route_limits {
    bool has_stream_max;
    bool has_grpc_stream_max; /* of what grpc-timeout says; else that is not looked at */
    bool has_grpc_timeout;    /* the same in place of the answer's time-out */
    uint64_t stream_max_ms;   /* 0: no limit, whatever the listener says */
    uint64_t grpc_stream_max_ms, grpc_stream_offset_ms;
    uint64_t grpc_timeout_max_ms, grpc_timeout_offset_ms;
};

struct route_forward {
    struct route_cluster *clusters;
    size_t n_clusters;
    uint32_t total_weight;
    struct str prefix_rewrite; /* .p NULL: none */
    struct regex_rewrite path_rewrite;
    struct str host_rewrite;                /* .p NULL: none */
    struct header_name host_rewrite_header; /* .text.p NULL: none */
    struct regex_rewrite host_rewrite_path;
    bool rewrites; /* path or host, in any way but auto_host */
    bool append_forwarded_host;
    bool auto_host;       /* the endpoint's own name */
    bool cluster_by_hash; /* and not by weight at random */
    bool high_priority;
    struct retry_policy *retry; /* NULL: the host's */
    struct route_hash *hashes;  /* what a request's hash is made of */
    size_t n_hashes;
    struct mirror_policies mirrors; /* its own, else the host's; none: the table's */
    uint64_t timeout_ms;            /* of the whole answer, from the request's end; 0: none */
    struct str timeout_text;        /* the same, for who is told; .p NULL: none */
    struct route_limits *limits;    /* NULL: none of them is set */
    uint64_t idle_timeout_ms;
    bool has_idle_timeout;
    uint16_t cluster_not_found_status;
};

struct route_redirect {
    struct str scheme, host, path, prefix; /* .p NULL: as it was */
    struct regex_rewrite rewrite;
    uint32_t port; /* 0: as it was */
    bool strip_query;
    uint16_t status;
};

struct route_direct {
    uint16_t status;
    struct str body;
};

enum route_kind {
    ROUTE_FORWARD,
    ROUTE_REDIRECT,
    ROUTE_DIRECT,
};

struct route {
    struct str name;
    struct route_match match;
    uint8_t kind;
    union {
        struct route_forward forward;
        struct route_redirect redirect;
        struct route_direct direct;
    };
    struct header_ops request_ops, answer_ops;
    struct filter_overrides filters;
    bool keeps_fields; /* no header_ops, of its own, its host or its clusters */
};

struct route_index;

/* Compiled by itself, immutable, and shared by reference: the next table keeps those that are the
 * same. It knows nothing of its table. */
struct route_host {
    atomic_uint refs;
    struct arena *arena;
    uint64_t hash; /* of the packed message; 0: it did not come packed */
    struct str name;
    struct str *domains; /* in small letters */
    size_t n_domains;
    struct route *routes;
    size_t n_routes;
    struct route_index *index; /* NULL: of so few */
    struct header_ops request_ops, answer_ops;
    struct filter_overrides filters;
    struct mirror_policies mirrors;
    bool require_tls;
    bool counts_attempts;       /* x-envoy-attempt-count, of requests */
    bool answers_attempts;      /* and of answers */
    bool tells_timeout_retry;   /* x-envoy-is-timeout-retry */
    struct retry_policy *retry; /* of routes that have none of their own; NULL: none */
};

struct route_table {
    atomic_uint refs;
    struct arena *arena;
    struct route_table *outer; /* where all but the hosts is from; NULL: it is its own */
    struct str name;
    struct route_host **hosts; /* holds a reference each */
    size_t n_hosts;
    struct route_domains *domains;
    struct map clusters; /* the names of those that routes name; borrows them */
    struct header_ops request_ops, answer_ops;
    struct filter_overrides filters;
    struct mirror_policies mirrors;
    bool keeps_fields;       /* no header_ops of its own */
    bool most_specific_wins; /* the table's changes first, the route's last */
    bool ignore_port;
    bool hosts_come;        /* by themselves: this is what they are joined to (VHDS) */
    uint64_t hosts_warm_ms; /* how long to wait for the first; 0: for ever */
    size_t body_max;        /* of a direct response */
};

/* From a message that xds_check() has accepted. -EINVAL with the path of the field that is wrong,
 * from the RouteConfiguration on. */
int route_table_compile(const Envoy__Config__Route__V3__RouteConfiguration *m,
                        struct route_table **ret, struct err *reterr) NODISCARD;
/* From the wire: hosts whose bytes are those of one in `before` (NULL: none) are taken from there,
 * the others unpacked, checked (findings go to report) and compiled: a change costs what has
 * changed, and a comparison. Errors as of xds_resource_unpack and route_table_compile. */
int route_table_read(struct str bytes, const struct route_table *before, struct route_table **ret,
                     struct xds_report *report, struct err *reterr) NODISCARD;
uint64_t route_host_hash(struct str bytes); /* of one that came packed; never 0 */
/* A host that comes by itself, as the table has them. Errors as of route_table_read. */
int route_host_read(struct str bytes, const struct route_table *outer, struct route_host **ret,
                    struct xds_report *report, struct err *reterr) NODISCARD;
struct route_host *route_host_ref(struct route_host *h);
void route_host_unref(struct route_host *h); /* NULL is allowed */
/* Of hosts beside a table's own: one has come, gone or taken another's place. */
struct route_change {
    struct route_host *before, *after; /* NULL: none */
};
/* outer with other hosts beside its own: those of `before` (joined to the same; NULL: none),
 * changed so. Costs what has changed. Takes no references. -EINVAL: two have one domain. */
int route_table_join(struct route_table *outer, const struct route_table *before,
                     const struct route_change *changes, size_t n, struct route_table **ret,
                     struct err *reterr) NODISCARD;
/* Each cluster that a route of it names, as often as it does; never "". */
void route_host_each_cluster(const struct route_host *h, void (*fn)(struct str name, void *user),
                             void *user);
struct route_table *route_table_ref(struct route_table *t);
void route_table_unref(struct route_table *t); /* NULL is allowed */

/* Of hosts that were joined to it: route_host_each_cluster(). */
bool route_table_names_cluster(const struct route_table *t, struct str name);

/* What a request is asked by: one canonical view of it. */
struct route_query {
    const struct http_head *head;
    struct str host;  /* Host or :authority, as it came */
    struct str path;  /* without the query */
    struct str query; /* without '?'; .p NULL: none */
    uint64_t random;  /* one for the whole request */
};
void route_query_init(struct route_query *q, const struct http_head *head, uint64_t random);

/* NULL: no host. */
const struct route_host *route_table_host(const struct route_table *t, struct str host);
/* NULL: no route of that host. */
const struct route *route_host_find(const struct route_host *h, const struct route_query *q);
bool route_matches(const struct route_match *m, const struct route_query *q);
/* Its content type is gRPC's. */
bool route_is_grpc(const struct http_head *head);
bool route_fraction_hits(struct route_fraction f, uint64_t random);
/* The cluster of a forward by weight; by `random`. */
const struct route_cluster *route_choose_cluster(const struct route_forward *f, uint64_t random);
