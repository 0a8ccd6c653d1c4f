#pragma once
/* How a Service's endpoints are called: what DestinationRules say (trafficPolicy), as a value. The
 * defaults are Istio's. */

#include "model/locality.h"
#include "model/object_reader.h"

enum traffic_balance {
    TRAFFIC_LEAST_REQUEST, /* of two */
    TRAFFIC_ROUND_ROBIN,
    TRAFFIC_RANDOM,
    TRAFFIC_PASSTHROUGH, /* where the client was going to */
    TRAFFIC_RING_HASH,
    TRAFFIC_MAGLEV,
};

enum traffic_tls_mode {
    TRAFFIC_TLS_AUTO, /* nobody has said: as the endpoint can */
    TRAFFIC_TLS_DISABLE,
    TRAFFIC_TLS_SIMPLE,
    TRAFFIC_TLS_MUTUAL,
    TRAFFIC_TLS_ISTIO_MUTUAL,
    TRAFFIC_TLS_CLOSED, /* what is said cannot be done: nobody is spoken to */
};

enum { TRAFFIC_NAMES_MAX = 64 };

struct traffic_tls {
    enum traffic_tls_mode mode;
    char *client_certificate, *private_key, *ca_certificates, *ca_crl; /* files of the proxy's */
    char *credential_name;                                             /* a Secret */
    char *sni;
    char **names; /* that endpoints' certificates may have */
    size_t n_names;
    bool unverified;
};

struct traffic_outliers {
    bool on;
    int64_t consecutive_5xx;     /* 0: off */
    int64_t consecutive_gateway; /* -1: off */
    int64_t consecutive_local;
    bool split_local;
    uint32_t interval_ms, ejection_ms, max_ejection_percent;
    uint32_t min_health_percent;
};

struct traffic_policy {
    enum traffic_balance balance;
    struct route_key key;       /* of a hash; but: */
    struct route_cookie cookie; /* with a name: by that cookie, which is set where there is none */
    int64_t ring_size, table_size;
    uint32_t warmup_ms; /* 0: none */
    double warmup_min_percent, warmup_aggression;
    int64_t max_connections, max_pending, max_requests, max_retries; /* -1: no limit */
    int64_t requests_per_connection;                                 /* 0: any number */
    int64_t max_concurrent_streams;                                  /* 0: the default */
    bool budget; /* of further tries at a time, in place of max_retries: */
    double budget_percent;
    int64_t budget_min;
    uint32_t connect_timeout_ms;
    int64_t connection_ms, tcp_idle_ms, http_idle_ms; /* -1: not said */
    bool upgrade_to_http2, as_client_speaks;
    bool keepalive; /* of TCP, by these; 0: as the system has it */
    int64_t keepalive_idle_s, keepalive_interval_s, keepalive_probes;
    uint64_t ping_interval_ms, ping_timeout_ms; /* of HTTP/2; 0: none */
    unsigned proxy_version;                     /* of the PROXY protocol; 0: none */
    struct traffic_outliers outliers;
    struct traffic_tls tls;
    struct locality_setting locality;
};

/* j: a trafficPolicy without portLevelSettings (NULL: all defaults). What is wrong is told and
 * keeps its default. */
void traffic_policy_read(struct object_reader *r, const json_t *j, struct traffic_policy *ret);
void traffic_policy_done(struct traffic_policy *p);
/* Are endpoints sorted by where a client is? (A policy that notices no failure has no need of
 * failover, as in Istio.) */
bool traffic_policy_is_local(const struct traffic_policy *p);
/* Where a route sends its requests by a hash: by which. */
void traffic_policy_hash(const struct traffic_policy *p, struct route *r);
