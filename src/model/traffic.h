#pragma once
/* Numbers of traffic over a while, as the control plane tells them and the command shows them: what
 * several tell of the same is added up before anything is worked out of it. */

#include "codec/json.h"

enum {
    TRAFFIC_BOUNDS = 19, /* of durations: Envoy's; above them one bucket more */
    TRAFFIC_WINDOW_S = 60,
};

struct traffic {
    uint64_t seconds;  /* of how long it tells; of several the longest */
    uint64_t requests; /* that have ended */
    uint64_t errors;   /* of them: 5xx, no answer, a status of gRPC other than 0 */
    uint64_t milliseconds;
    uint64_t buckets[TRAFFIC_BOUNDS + 1];
    uint64_t received_bytes, sent_bytes; /* as the server sees it */
    uint64_t connections;                /* opened, of bytes that are no requests */
};

void traffic_add(struct traffic *to, const struct traffic *more);
double traffic_rate(const struct traffic *t); /* requests a second */
/* 0 to 1; of none at all: 1. */
double traffic_success(const struct traffic *t);
/* The duration, in ms, below which a share of q of the requests was; within a bucket it is taken to
 * be even. Of none: 0. */
double traffic_percentile(const struct traffic *t, double q);

/* With what is worked out of it, for others. */
json_t *traffic_to_json(const struct traffic *t);
/* Adds; what is not there, or of another form, is 0. */
void traffic_add_json(struct traffic *to, const json_t *j);
