#pragma once
/* Weights written out as an order to go through in turn: each item comes as often as its weight
 * says, spread as evenly as can be (the earliest deadline first). Choosing the next then costs the
 * same however many there are; a place drawn at random is a draw by weight. */

#include <stdint.h>

enum {
    LB_SCHEDULE_MAX = 64 * 1024, /* places; more items than a quarter of it: four for each */
};

/* Places of weights[0..n); 0 if all weights are 0. *ret is the caller's. Weights whose sum is too
 * long are scaled down; above 0 stays at least 1. NULL where there is no memory: *ret_n is 0. */
uint32_t *lb_schedule_new(const uint32_t *weights, uint32_t n, uint32_t *ret_n);
