#pragma once
/* Circuit breakers of a cluster: how many connections, waiting requests, requests and retries there
 * may be at a time, of all workers together. A limit of N admits N, never more and never fewer.
 *
 * What is rare takes its place from the shared number itself. Requests do not: a worker borrows
 * places in batches and keeps those that come back in a line of its own; where none is left, it
 * takes what another worker has kept. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { BREAKER_PRIORITIES = 2 }; /* DEFAULT, HIGH */

struct breaker {
    atomic_uint used;
    uint32_t max;
};

struct breaker_line;

struct breakers {
    struct breaker_of {
        struct breaker connections;
        struct breaker pending;
        struct breaker requests;
        struct breaker retries;
    } of[BREAKER_PRIORITIES];
    _Atomic(struct breaker_line *) lines; /* one for each worker; made when first asked for */
};

/* Envoy's limits. */
void breakers_init(struct breakers *b);
void breakers_done(struct breakers *b);

bool breaker_take(struct breaker *b);
void breaker_take_over(struct breaker *b); /* even where it is full */
void breaker_give(struct breaker *b);

bool breakers_take_request(struct breakers *b, unsigned priority, unsigned worker);
void breakers_give_request(struct breakers *b, unsigned priority, unsigned worker);
/* That run now, of all workers. */
unsigned breakers_requests(const struct breakers *b, unsigned priority);
