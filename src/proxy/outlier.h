#pragma once
/* Outlier detection: endpoints whose answers are bad are thrown out for a while. Workers count,
 * each in its own line beside the endpoint but for the errors in a row; the main thread throws out,
 * takes back, and compares endpoints with each other at the end of each interval. */

#include "proxy/cluster.h"

struct outlier_config {
    uint32_t consecutive_5xx;
    uint32_t consecutive_gateway;
    uint32_t consecutive_local;
    bool split_local; /* what never reached the endpoint is counted apart */
    bool always_eject_one;
    bool check_unejects; /* a successful health check takes an endpoint back */
    uint64_t interval_ms;
    uint64_t base_ejection_ms;
    uint64_t max_ejection_ms;
    uint64_t jitter_ms;
    uint32_t max_ejection_percent;
    /* How likely it is that what was found counts, in percent. */
    uint8_t enforcing_5xx;
    uint8_t enforcing_gateway;
    uint8_t enforcing_local;
    uint8_t enforcing_rate;
    uint8_t enforcing_local_rate;
    uint8_t enforcing_failures;
    uint8_t enforcing_local_failures;
    uint32_t rate_min_hosts;
    uint32_t rate_volume;
    uint32_t rate_stdev_factor; /* thousandths */
    uint32_t failures_percent;
    uint32_t failures_min_hosts;
    uint32_t failures_volume;
};

/* Beside an endpoint of such a cluster. */
struct outlier_host {
    atomic_uint row_5xx; /* in a row */
    atomic_uint row_gateway;
    atomic_uint row_local;
    /* The main thread's. */
    uint32_t backoff; /* how often it was thrown out, less the intervals it has behaved since */
    uint64_t ejected_ms;
    uint64_t jitter_ms;
    struct outlier_count {
        uint32_t total;
        uint32_t ok;
    } seen, seen_local; /* of the lines, at the end of the last interval */
};

int outlier_compile(const Envoy__Config__Cluster__V3__OutlierDetection *m, struct pb_path *path,
                    struct outlier_config **ret, struct err *reterr) NODISCARD;

/* ---- workers ---- */
/* The endpoint has answered with this status. */
void outlier_answered(struct cluster *c, struct endpoint *e, struct endpoint_load *mine,
                      unsigned status);
/* It could not be reached, or has broken off; status: what stands for it, 503 or 504. */
void outlier_failed(struct cluster *c, struct endpoint *e, struct endpoint_load *mine,
                    unsigned status);

/* ---- the main thread ---- */
struct outlier;
struct outlier *outlier_new(struct loop *l, struct cluster *c);
void outlier_free(struct outlier *o); /* NULL is allowed */
/* An active health check of the endpoint has succeeded. */
void outlier_checked(struct cluster *c, struct endpoint *e);

/* ---- pure ---- */
/* A success rate below which a host is an outlier: mean - factor x standard deviation. */
double outlier_rate_threshold(const double *rates, size_t n, uint32_t stdev_factor);
/* May one more of n be thrown out? */
bool outlier_may_eject(const struct outlier_config *c, size_t n_ejected, size_t n);
/* How long it stays out. */
uint64_t outlier_ejection_ms(const struct outlier_config *c, uint32_t backoff);
