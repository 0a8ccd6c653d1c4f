#pragma once
/* Active health checks of a cluster's endpoints: by the main thread, one check at a time for each
 * endpoint. What they find is ENDPOINT_FAILED_CHECK of the endpoint. */

#include "base/arena.h"
#include "codec/http_head.h"
#include "proxy/cluster.h"

enum { HEALTH_RANGES_MAX = 16, HEALTH_HEADERS_MAX = 32, HEALTH_ANSWER_BYTES = 64 * 1024 };

enum health_kind {
    HEALTH_HTTP,
    HEALTH_TCP,
};

struct health_range {
    int64_t from;
    int64_t to; /* not included */
};

struct health_config {
    uint8_t kind; /* enum health_kind */
    uint64_t timeout_ms;
    /* From the end of a check to the next one: of a healthy endpoint, of a failing one, of one of
     * each that is about to change, and while the cluster has had no request yet. */
    uint64_t interval_ms;
    uint64_t unhealthy_interval_ms;
    uint64_t unhealthy_edge_ms;
    uint64_t healthy_edge_ms;
    uint64_t idle_interval_ms;
    uint64_t idle_healthy_interval_ms;
    uint64_t jitter_ms; /* added, drawn */
    uint32_t jitter_percent;
    uint64_t initial_jitter_ms;
    uint32_t unhealthy_threshold;
    uint32_t healthy_threshold;
    bool reuse_connection;
    bool hold_new; /* a new endpoint is not counted before its first check */
    uint16_t alt_port;
    struct arena *arena; /* of what follows */
    const char *host;    /* NULL: the cluster's name */
    const char *path;
    const char *method;
    struct http_header headers[HEALTH_HEADERS_MAX];
    size_t n_headers;
    struct health_range expected[HEALTH_RANGES_MAX];
    size_t n_expected;
    struct health_range retriable[HEALTH_RANGES_MAX];
    size_t n_retriable;
    struct str send; /* TCP */
    struct str *receive;
    size_t n_receive;
};

int health_compile(const Envoy__Config__Core__V3__HealthCheck *m, struct pb_path *path,
                   struct health_config **ret, struct err *reterr) NODISCARD;
void health_config_free(struct health_config *c); /* NULL is allowed */

/* ---- pure: health_state.c ---- */

enum health_result {
    HEALTH_GOOD,
    HEALTH_BAD,       /* the endpoint says so: at once */
    HEALTH_NO_ANSWER, /* counts towards the threshold */
};

enum health_change {
    HEALTH_SAME,
    HEALTH_PENDING, /* on its way to the other state */
    HEALTH_CHANGED,
};

/* What is known of one endpoint. */
struct health_state {
    uint32_t good; /* in a row, while it fails */
    uint32_t bad;  /* and while it does not */
    bool checked;  /* at least once */
};

/* flags: of the endpoint; *ret_flags as they are to be. */
enum health_change health_judge(const struct health_config *c, struct health_state *s,
                                enum health_result r, unsigned flags, unsigned *ret_flags);
/* Until the next check; random: a draw for the jitter. */
uint64_t health_next_ms(const struct health_config *c, enum health_change change, bool failing,
                        bool has_traffic, uint64_t random);
enum health_result health_of_status(const struct health_config *c, int status);
/* Do they come in that order? */
bool health_matches(const struct health_config *c, struct str received);

/* ---- the main thread ---- */
struct health;
struct health *health_new(struct loop *l, struct cluster *c);
void health_free(struct health *h); /* NULL is allowed */
