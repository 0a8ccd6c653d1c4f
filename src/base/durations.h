#pragma once
/* How often something took how long: a histogram with fixed buckets, for metrics. A value of its
 * owner. */

#include <stddef.h>
#include <stdint.h>

enum { DURATION_BUCKETS = 16 };

struct durations {
    uint64_t
        buckets[DURATION_BUCKETS]; /* up to 1 ms * 2^i, the last one: longer; each for itself */
    uint64_t n;
    uint64_t sum_us;
};

static inline void durations_add(struct durations *d, uint64_t us)
{
    size_t i = 0;
    for (uint64_t limit = 1000; i < DURATION_BUCKETS - 1 && us > limit; limit *= 2)
        i++;
    d->buckets[i]++;
    d->n++;
    d->sum_us += us;
}
