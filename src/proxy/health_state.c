/* What the result of a health check means. Pure. */
#include "base/assert.h"
#include "proxy/health.h"

/* The first result counts at once, whatever the thresholds: a start does not wait for them. */
enum health_change health_judge(const struct health_config *c, struct health_state *s,
                                enum health_result r, unsigned flags, unsigned *ret_flags)
{
    bool first = !s->checked, failing = flags & ENDPOINT_FAILED_CHECK;
    s->checked = true;
    *ret_flags = flags & ~(unsigned)ENDPOINT_PENDING_CHECK;
    if (r == HEALTH_GOOD) {
        s->bad = 0;
        if (!failing)
            return HEALTH_SAME;
        if (!first && ++s->good < c->healthy_threshold)
            return HEALTH_PENDING;
        *ret_flags &= ~(unsigned)ENDPOINT_FAILED_CHECK;
    } else {
        s->good = 0;
        if (failing)
            return HEALTH_SAME;
        if (r == HEALTH_NO_ANSWER && !first && ++s->bad < c->unhealthy_threshold)
            return HEALTH_PENDING;
        *ret_flags |= ENDPOINT_FAILED_CHECK;
    }
    s->good = s->bad = 0;
    return HEALTH_CHANGED;
}

uint64_t health_next_ms(const struct health_config *c, enum health_change change, bool failing,
                        bool has_traffic, uint64_t random)
{
    uint64_t ms = failing ? c->unhealthy_interval_ms : c->interval_ms;
    if (!has_traffic)
        ms = failing ? c->idle_interval_ms : c->idle_healthy_interval_ms;
    else if (change == HEALTH_PENDING)
        ms = failing ? c->healthy_edge_ms : c->unhealthy_edge_ms;
    uint64_t jitter = ms * c->jitter_percent / 100;
    if (jitter)
        ms += (random >> 32) % jitter;
    if (c->jitter_ms)
        ms += (random & UINT32_MAX) % c->jitter_ms;
    return ms;
}

static bool in_ranges(const struct health_range *ranges, size_t n, int status)
{
    for (size_t i = 0; i < n; i++)
        if (status >= ranges[i].from && status < ranges[i].to)
            return true;
    return false;
}

enum health_result health_of_status(const struct health_config *c, int status)
{
    if (c->n_expected ? in_ranges(c->expected, c->n_expected, status) : status == 200)
        return HEALTH_GOOD;
    return in_ranges(c->retriable, c->n_retriable, status) ? HEALTH_NO_ANSWER : HEALTH_BAD;
}

bool health_matches(const struct health_config *c, struct str received)
{
    for (size_t i = 0; i < c->n_receive; i++) {
        struct str want = c->receive[i];
        const char *at = memmem(received.p, received.n, want.p, want.n);
        if (!at)
            return false;
        size_t used = (size_t)(at - received.p) + want.n;
        received = str_of(received.p + used, received.n - used);
    }
    return true;
}
