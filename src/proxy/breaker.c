/* Circuit breakers. */
#include "proxy/breaker.h"

#include <assert.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proxy/endpoint.h"

enum {
    CONNECTIONS_MAX = 1024,
    PENDING_MAX = 1024,
    REQUESTS_MAX = 1024,
    RETRIES_MAX = 3,
};

static_assert(sizeof(struct breaker_line) == CACHE_LINE_BYTES, "a line for each worker");

void breakers_init(struct breakers *b)
{
    *b = (struct breakers){.lines = NULL};
    for (size_t i = 0; i < BREAKER_PRIORITIES; i++) {
        b->of[i].connections.max = CONNECTIONS_MAX;
        b->of[i].pending.max = PENDING_MAX;
        b->of[i].requests.max = REQUESTS_MAX;
        b->of[i].retries.max = RETRIES_MAX;
    }
}

void breakers_done(struct breakers *b)
{
    free(atomic_load(&b->lines));
}

static uint32_t take_up_to(struct breaker *b, uint32_t n)
{
    unsigned used = atomic_load_explicit(&b->used, memory_order_relaxed), got;
    do {
        if (used >= b->max)
            return 0;
        got = MIN(n, b->max - used);
    } while (!atomic_compare_exchange_weak(&b->used, &used, used + got));
    return got;
}

bool breaker_take(struct breaker *b)
{
    return take_up_to(b, 1) == 1;
}

void breaker_take_over(struct breaker *b)
{
    atomic_fetch_add(&b->used, 1);
}

void breaker_give(struct breaker *b)
{
    unsigned before = atomic_fetch_sub(&b->used, 1);
    ASSERT(before);
}

static struct breaker_line *lines_of(struct breakers *b)
{
    struct breaker_line *l = atomic_load_explicit(&b->lines, memory_order_acquire), *mine;
    if (l)
        return l;
    mine = aligned_alloc(CACHE_LINE_BYTES, sizeof(*mine) * endpoint_workers());
    ASSERT(mine); /* a line for each worker: small */
    for (unsigned i = 0; i < endpoint_workers(); i++)
        for (size_t k = 0; k < BREAKER_PRIORITIES; k++)
            atomic_init(&mine[i].kept[k], 0);
    if (atomic_compare_exchange_strong(&b->lines, &l, mine))
        return mine;
    free(mine);
    return l;
}

struct breaker_line *breakers_line(struct breakers *b, unsigned worker)
{
    ASSERT(worker < endpoint_workers());
    return lines_of(b) + worker;
}

bool breakers_borrow_request(struct breakers *b, unsigned priority, struct breaker_line *mine)
{
    struct breaker_line *lines = lines_of(b);
    struct breaker *limit = &b->of[priority].requests;
    unsigned used = atomic_load_explicit(&limit->used, memory_order_relaxed);
    uint32_t plenty = used < limit->max ? (limit->max - used) / (4 * endpoint_workers()) : 0;
    uint32_t got = take_up_to(limit, MAX(1u, MIN(plenty, (uint32_t)BREAKER_BATCH)));
    if (got > 1)
        atomic_fetch_add(&mine->kept[priority], got - 1);
    for (unsigned i = 0; !got && i < endpoint_workers(); i++)
        got = breaker_take_kept(&lines[i], priority);
    return got;
}

void breakers_return_requests(struct breakers *b, unsigned priority, struct breaker_line *mine)
{
    for (int i = 0; i < BREAKER_BATCH && breaker_take_kept(mine, priority); i++)
        breaker_give(&b->of[priority].requests);
}

unsigned breakers_requests(const struct breakers *b, unsigned priority)
{
    const struct breaker_line *l = atomic_load_explicit(&b->lines, memory_order_acquire);
    unsigned n = atomic_load_explicit(&b->of[priority].requests.used, memory_order_relaxed);
    for (unsigned i = 0; l && i < endpoint_workers(); i++) {
        unsigned kept = atomic_load_explicit(&l[i].kept[priority], memory_order_relaxed);
        n -= MIN(n, kept);
    }
    return n;
}

bool breakers_take_retry(struct breakers *b, unsigned priority)
{
    struct breaker_of *of = &b->of[priority];
    if (!of->has_budget)
        return breaker_take(&of->retries);
    unsigned used = atomic_load_explicit(&of->retries.used, memory_order_relaxed);
    unsigned waiting = atomic_load_explicit(&of->pending.used, memory_order_relaxed);
    double running = (double)breakers_requests(b, priority) + waiting;
    double most = MAX(running * of->budget_percent / 100, (double)of->retries_min);
    do
        if (used + 1.0 > most)
            return false;
    while (!atomic_compare_exchange_weak(&of->retries.used, &used, used + 1));
    return true;
}
