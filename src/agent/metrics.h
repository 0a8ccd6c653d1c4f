#pragma once
/* The agent's figures as Prometheus reads them. */

#include "agent/agent.h"

/* How often health was asked for, by answer: 200, 503. */
struct health_counts {
    uint64_t healthz[2], livez[2];
};

void metrics_format(const struct agent_stats *st, const struct health_counts *h, struct buf *out);
