#pragma once
/* Row 40: what kube-proxy sets of the kernel's connection tracking, of this network namespace: its
 * size (only ever raised), time-outs, leniency about sequence numbers. */

#include "agent/proxy_config.h"

/* Says in the log what was set, and what could not be: as a warning if somebody has asked for it.
 * root: "" or where a test keeps its /proc and /sys. Returns how many could not be set. */
unsigned conntrack_settings_apply(const struct proxy_config *c, const char *root, unsigned cpus);
