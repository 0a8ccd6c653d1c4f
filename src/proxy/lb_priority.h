#pragma once
/* How much of the traffic each priority gets, in percent, as Envoy reckons it: failing over to the
 * next before the last endpoint of one has gone, and panic where too few are left. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lb_priority {
    /* in */
    uint32_t hosts;
    uint32_t excluded; /* of them: draining, or not checked yet */
    uint32_t healthy;
    uint32_t degraded;
    /* out */
    uint8_t healthy_load;
    uint8_t degraded_load;
    bool panic; /* whatever comes here goes to all of its hosts */
};

/* The loads add up to 100 if there is a host at all. */
void lb_priority_loads(struct lb_priority *p, size_t n, uint32_t overprovisioning_percent,
                       uint32_t panic_percent);
