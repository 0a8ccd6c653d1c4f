#pragma once
/* Circuit breakers of a cluster: how many connections, waiting requests, requests and retries there
 * may be at a time, of all workers together. A limit of N admits N, never more and never fewer.
 *
 * What is rare takes its place from the shared number itself. Requests do not: a worker borrows
 * places in batches and keeps those that come back in a line of its own; where none is left, it
 * takes what another worker has kept. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BREAKER_PRIORITIES = 2 }; /* DEFAULT, HIGH */

struct breaker {
    atomic_uint used;
    uint32_t max;
};

/* What a worker keeps of places that are borrowed and free. */
struct breaker_line {
    _Alignas(64) atomic_uint kept[BREAKER_PRIORITIES];
};

struct breakers {
    struct breaker_of {
        struct breaker connections;
        struct breaker pending;
        struct breaker requests;
        struct breaker retries;
        bool has_budget;       /* of retries: then their number is no limit */
        double budget_percent; /* of the requests that run or wait */
        uint32_t retries_min;  /* as many always */
    } of[BREAKER_PRIORITIES];
    _Atomic(struct breaker_line *) lines; /* one for each worker; made when first asked for */
};

/* Envoy's limits. */
void breakers_init(struct breakers *b);
void breakers_done(struct breakers *b);

bool breaker_take(struct breaker *b);
void breaker_take_over(struct breaker *b); /* even where it is full */
void breaker_give(struct breaker *b);

/* More are in use than may be: some took places over. */
static inline bool breaker_is_over(const struct breaker *b)
{
    return atomic_load_explicit(&b->used, memory_order_relaxed) > b->max;
}

/* One of the retries, by their budget if there is one. */
bool breakers_take_retry(struct breakers *b, unsigned priority);

/* The worker's own line; it stays as long as the breakers. */
struct breaker_line *breakers_line(struct breakers *b, unsigned worker);
/* Where it has kept none. */
bool breakers_borrow_request(struct breakers *b, unsigned priority, struct breaker_line *mine);
/* It has kept many: others may want some. */
void breakers_return_requests(struct breakers *b, unsigned priority, struct breaker_line *mine);
enum { BREAKER_BATCH = 16 };

static inline bool breaker_take_kept(struct breaker_line *l, unsigned priority)
{
    unsigned n = atomic_load_explicit(&l->kept[priority], memory_order_relaxed);
    while (n)
        if (atomic_compare_exchange_weak(&l->kept[priority], &n, n - 1))
            return true;
    return false;
}

static inline bool breakers_take_request(struct breakers *b, unsigned priority,
                                         struct breaker_line *mine)
{
    return breaker_take_kept(mine, priority) || breakers_borrow_request(b, priority, mine);
}

static inline void breakers_give_request(struct breakers *b, unsigned priority,
                                         struct breaker_line *mine)
{
    if (atomic_fetch_add(&mine->kept[priority], 1) >= 2 * BREAKER_BATCH)
        breakers_return_requests(b, priority, mine);
}

/* That run now, of all workers. */
unsigned breakers_requests(const struct breakers *b, unsigned priority);
