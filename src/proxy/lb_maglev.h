#pragma once
/* Maglev's table (Eisenbud et al., NSDI 2016, section 3.4), weighted, of the same hashes as
 * Envoy's: XXH64 of the key, seeds 0 and 1. A choice is one look; a host more or less moves its own
 * share and little besides. */

#include "proxy/lb_ring.h"

struct lb_maglev {
    uint32_t n;       /* a prime */
    uint32_t items[]; /* of each place */
};

enum { LB_MAGLEV_SIZE = 65537, LB_MAGLEV_MAX = 5000011 };

bool lb_maglev_size_is_valid(uint64_t n); /* a prime, at most LB_MAGLEV_MAX */
/* The order of the items does not matter. NULL: no items, or no memory. */
struct lb_maglev *lb_maglev_new(const struct lb_ring_item *items, uint32_t n, uint32_t size);
/* attempt: of another draw from the same hash. */
uint32_t lb_maglev_find(const struct lb_maglev *m, uint64_t hash, uint32_t attempt);
