#pragma once
/* Fault injection: make the n-th try_ allocation or wrapped system call fail, then n+1, until a
 * test passes. */

#include <stdbool.h>

enum fault_point {
    FAULT_ALLOC,
    FAULT_SYSCALL,
    _FAULT_POINT_MAX,
};

/* Arms a point: its nth hit from now on (1 = the next) fails, once. 0 disarms. */
void fault_arm(enum fault_point point, unsigned long nth);

/* Hits since the point was last armed. */
unsigned long fault_hits(enum fault_point point);

/* Called at the point itself; true when this hit shall fail. */
bool fault_hit(enum fault_point point);
