/* Fault injection counters. Per thread, so that a test of one thread does not disturb another. */
#include "base/fault.h"

static _Thread_local struct {
    unsigned long nth;
    unsigned long hits;
} points[_FAULT_POINT_MAX];

void fault_arm(enum fault_point point, unsigned long nth)
{
    points[point].nth = nth;
    points[point].hits = 0;
}

unsigned long fault_hits(enum fault_point point)
{
    return points[point].hits;
}

bool fault_hit(enum fault_point point)
{
    return ++points[point].hits == points[point].nth;
}
