#pragma once
/* A ring of hashes (ketama), of the same sizes and hashes as Envoy's: XXH64 of "ADDRESS_i". */

#include "base/str.h"

struct lb_ring_item {
    struct str key;
    double weight; /* of all that are given here: they add up to 1 */
};

struct lb_ring_place {
    uint64_t hash;
    uint32_t item;
};

struct lb_ring {
    uint32_t n;
    struct lb_ring_place places[];
};

enum { LB_RING_MIN = 1024, LB_RING_MAX = 8 * 1024 * 1024 };

/* NULL: no items, or no memory. */
struct lb_ring *lb_ring_new(const struct lb_ring_item *items, uint32_t n, uint64_t min_size,
                            uint64_t max_size);
/* The item of the first place at or behind the hash. attempt: as many places further on. */
uint32_t lb_ring_find(const struct lb_ring *r, uint64_t hash, uint32_t attempt);
