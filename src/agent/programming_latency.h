#pragma once
/* How long it took from what made endpoints change (a pod that got ready; the annotation
 * endpoints.kubernetes.io/last-change-trigger-time tells) until the kernel had it: kube-proxy's
 * network_programming_duration_seconds. Pure. */

#include "base/buf.h"
#include "base/vec.h"

enum { LATENCY_BUCKETS = 80 };

struct latency_pending {
    int64_t since_us; /* since the epoch */
    uint64_t slice;   /* hash of its key */
    uint8_t family;   /* 0 IPv4, 1 IPv6 */
    bool sent;        /* is part of what the kernel is given now */
};

struct programming_latency {
    int64_t started_us; /* what changed before is not our time */
    VEC(struct latency_pending) pending;
    uint64_t buckets[2][LATENCY_BUCKETS + 1]; /* each for itself; the last one: longer */
    uint64_t n[2];
    double sum_s[2];
};

void programming_latency_done(struct programming_latency *p);
/* A slice changed, by its key; trigger: the annotation, or NULL. */
void programming_latency_note(struct programming_latency *p, struct str slice, unsigned family,
                              const char *trigger);
/* It went: what its annotation told is not about that. */
void programming_latency_forget(struct programming_latency *p, struct str slice);
/* All that was noted goes to the kernel now; and is there. */
void programming_latency_sent(struct programming_latency *p);
void programming_latency_arrived(struct programming_latency *p, int64_t now_us);
void programming_latency_format(const struct programming_latency *p, struct buf *out);
