/* Probe arithmetic: thresholds, periods, and eagerness at the start. No clock, no sockets: see
 * probe_run.c for those. */
#include "lab/node/probe.h"

#include "base/mem.h"

enum { PROBE_EAGER_MS = 25 };

static uint64_t seconds(const json_t *spec, const char *key, int64_t fallback, int64_t least)
{
    int64_t v = json_at_int(spec, key, fallback);
    return (uint64_t)MIN(MAX(v, least), (int64_t)86400 * 365) * 1000;
}

void probe_init(struct probe *p, enum probe_kind kind, const json_t *spec)
{
    *p = (struct probe){.kind = kind, .eager_ms = PROBE_EAGER_MS};
    p->timing.initial_delay_ms = seconds(spec, "initialDelaySeconds", 0, 0);
    p->timing.period_ms = seconds(spec, "periodSeconds", 10, 1);
    p->timing.timeout_ms = seconds(spec, "timeoutSeconds", 1, 1);
    p->timing.success_threshold = (unsigned)MAX(json_at_int(spec, "successThreshold", 1), 1);
    p->timing.failure_threshold = (unsigned)MAX(json_at_int(spec, "failureThreshold", 3), 1);
}

static uint64_t next_try(struct probe *p)
{
    if (p->succeeded_once || p->kind == PROBE_LIVENESS)
        return p->timing.period_ms;
    uint64_t pause = MIN(p->eager_ms, p->timing.period_ms);
    p->eager_ms = MIN(p->eager_ms * 2, p->timing.period_ms);
    return pause;
}

uint64_t probe_result(struct probe *p, bool success, uint64_t now_ms)
{
    if (success) {
        p->successes++;
        p->failures = 0;
        p->succeeded_once = true;
        if (p->successes >= p->timing.success_threshold)
            p->verdict = PROBE_PASSED;
        return p->timing.period_ms;
    }
    p->successes = 0;
    if (p->counted_ms == 0 || now_ms - p->counted_ms >= p->timing.period_ms || p->succeeded_once) {
        p->counted_ms = now_ms ? now_ms : 1;
        p->failures++;
    }
    if (p->failures >= p->timing.failure_threshold)
        p->verdict = PROBE_FAILED;
    return next_try(p);
}
