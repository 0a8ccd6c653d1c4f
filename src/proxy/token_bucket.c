/* Tokens as time: what is in the bucket is how long ago it was empty. */
#include "proxy/token_bucket.h"

#include "base/mem.h"

enum { NS_PER_S = 1000000000 };
#define TIME_MAX (INT64_C(1) << 62)

static int64_t times(int64_t a, int64_t b)
{
    int64_t r;
    return __builtin_mul_overflow(a, b, &r) ? TIME_MAX : MIN(r, TIME_MAX);
}

void token_bucket_init(struct token_bucket *b, const Envoy__Type__V3__TokenBucket *m,
                       int64_t now_ns)
{
    uint32_t fill = m->tokens_per_fill ? m->tokens_per_fill->value : 1;
    int64_t interval = times(m->fill_interval->seconds, NS_PER_S);
    if (interval < TIME_MAX)
        interval += m->fill_interval->nanos;
    b->max = m->max_tokens;
    b->token_ns = MAX(interval / (fill ? fill : 1), INT64_C(1));
    b->full_ns = times(b->max, b->token_ns);
    atomic_init(&b->empty_ns, now_ns - b->full_ns);
}

static int64_t have(const struct token_bucket *b, int64_t empty_ns, int64_t now_ns)
{
    int64_t ns = now_ns - empty_ns;
    return MAX(MIN(ns, b->full_ns), INT64_C(0));
}

bool token_bucket_take(struct token_bucket *b, int64_t now_ns)
{
    int64_t seen = atomic_load_explicit(&b->empty_ns, memory_order_relaxed);
    for (;;) {
        int64_t ns = have(b, seen, now_ns);
        if (ns < b->token_ns)
            return false;
        if (atomic_compare_exchange_weak_explicit(&b->empty_ns, &seen, now_ns - ns + b->token_ns,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
}

uint32_t token_bucket_left(const struct token_bucket *b, int64_t now_ns)
{
    return (uint32_t)(have(b, atomic_load_explicit(&b->empty_ns, memory_order_relaxed), now_ns) /
                      b->token_ns);
}

uint64_t token_bucket_wait_s(const struct token_bucket *b, int64_t now_ns)
{
    int64_t ns = have(b, atomic_load_explicit(&b->empty_ns, memory_order_relaxed), now_ns);
    return ns >= b->token_ns ? 0 : (uint64_t)((b->token_ns - ns + NS_PER_S - 1) / NS_PER_S);
}
