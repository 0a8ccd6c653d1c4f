#pragma once
/* The state machine of one probe: when to try next and what the results add up to. Time comes in,
 * nothing goes out. */

#include <stdbool.h>
#include <stdint.h>

#include "codec/json.h"

enum probe_kind { PROBE_STARTUP, PROBE_READINESS, PROBE_LIVENESS, _PROBE_KINDS };

struct probe_timing {
    uint64_t initial_delay_ms;
    uint64_t period_ms;
    uint64_t timeout_ms;
    unsigned success_threshold;
    unsigned failure_threshold;
};

enum probe_verdict {
    PROBE_UNKNOWN, /* not enough results */
    PROBE_PASSED,
    PROBE_FAILED,
};

struct probe {
    enum probe_kind kind;
    struct probe_timing timing;
    enum probe_verdict verdict;
    unsigned successes; /* in a row */
    unsigned failures;  /* in a row, at most one per period */
    bool succeeded_once;
    uint64_t counted_ms; /* when a failure was counted last; 0 = never */
    uint64_t eager_ms;   /* pause before the next try while it has never succeeded */
};

void probe_init(struct probe *p, enum probe_kind kind, const json_t *spec);
/* A result came. Returns how long to wait before the next try. While a start-up or readiness probe
 * has never succeeded it is tried eagerly (25 ms, doubling up to the period): a pod is ready when
 * its program is, not at the next full period. Eager failures count at most once per period, so
 * thresholds mean what the manifest says. */
uint64_t probe_result(struct probe *p, bool success, uint64_t now_ms);
