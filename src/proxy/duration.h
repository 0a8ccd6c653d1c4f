#pragma once
/* Durations of configurations, in milliseconds. */

#include <google/protobuf/duration.pb-c.h>

#include <stdint.h>

/* What is above 0 is at least 1; negative ones are 0. d NULL: otherwise. */
static inline uint64_t duration_ms(const Google__Protobuf__Duration *d, uint64_t otherwise)
{
    if (!d)
        return otherwise;
    if (d->seconds < 0 || d->nanos < 0)
        return 0;
    uint64_t ms = (uint64_t)d->seconds * 1000 + (uint64_t)d->nanos / 1000000;
    return ms || !d->nanos ? ms : 1;
}

/* Of something that is done again and again: at least 1. */
static inline uint64_t interval_ms(const Google__Protobuf__Duration *d, uint64_t otherwise)
{
    uint64_t ms = duration_ms(d, otherwise);
    return ms ? ms : 1;
}
