#pragma once
/* The process: workers on one configuration, from start to drain. */

#include "proxy/config.h"

struct proxy_options {
    unsigned workers;
    uint64_t drain_ms;
};

/* Runs until SIGTERM or SIGINT and the drain after it; returns the exit code. Takes a reference. */
int proxy_run(struct proxy_config *c, const struct proxy_options *o, struct err *reterr) NODISCARD;
