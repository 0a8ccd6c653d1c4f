/* Each item has an order of its own of all places; in turn each takes the first of its order that
 * is free, an item of half the weight every other turn. */
#include "proxy/lb_maglev.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

struct taker {
    struct lb_ring_item item;
    uint32_t index;
    uint32_t at;   /* the next place of its order */
    uint32_t skip; /* to the one behind it */
    double due;
};

static const uint32_t NOBODY = UINT32_MAX;

bool lb_maglev_size_is_valid(uint64_t n)
{
    if (n < 2 || n > LB_MAGLEV_MAX)
        return false;
    for (uint64_t i = 2; i * i <= n; i++)
        if (n % i == 0)
            return false;
    return true;
}

static int by_key(const void *a, const void *b)
{
    const struct taker *x = a, *y = b;
    struct str p = x->item.key, q = y->item.key;
    int r = memcmp(p.p, q.p, MIN(p.n, q.n));
    return r ? r : (p.n > q.n) - (p.n < q.n);
}

static void take_place(struct lb_maglev *m, struct taker *t)
{
    while (m->items[t->at] != NOBODY)
        t->at = (uint32_t)(((uint64_t)t->at + t->skip) % m->n);
    m->items[t->at] = t->index;
}

static void fill(struct lb_maglev *m, struct taker *takers, uint32_t n, double heaviest)
{
    uint32_t taken = 0;
    for (uint64_t turn = 1; taken < m->n; turn++)
        for (uint32_t i = 0; i < n && taken < m->n; i++) {
            if ((double)turn * takers[i].item.weight < takers[i].due)
                continue;
            takers[i].due += heaviest;
            take_place(m, &takers[i]);
            taken++;
        }
}

struct lb_maglev *lb_maglev_new(const struct lb_ring_item *items, uint32_t n, uint32_t size)
{
    double heaviest = 0;
    ASSERT(lb_maglev_size_is_valid(size));
    struct taker *takers = n ? try_malloc(n * sizeof(*takers)) : NULL;
    struct lb_maglev *m = try_malloc(sizeof(*m) + size * sizeof(m->items[0]));
    if (!takers || !m) {
        free(takers);
        free(m);
        return NULL;
    }
    m->n = size;
    memset(m->items, 0xff, size * sizeof(m->items[0]));
    for (uint32_t i = 0; i < n; i++) {
        struct str key = items[i].key;
        takers[i] = (struct taker){
            .item = items[i],
            .index = i,
            .at = (uint32_t)(hash_xxh64(key.p, key.n, 0) % size),
            .skip = (uint32_t)(hash_xxh64(key.p, key.n, 1) % (size - 1) + 1),
        };
        heaviest = MAX(heaviest, items[i].weight);
    }
    qsort(takers, n, sizeof(*takers), by_key);
    fill(m, takers, n, heaviest);
    free(takers);
    return m;
}

uint32_t lb_maglev_find(const struct lb_maglev *m, uint64_t hash, uint32_t attempt)
{
    if (attempt)
        hash ^= ~0ull - attempt + 1;
    return m->items[hash % m->n];
}
