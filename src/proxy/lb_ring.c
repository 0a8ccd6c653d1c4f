/* Rings of hashes. */
#include "proxy/lb_ring.h"

#include <math.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

enum { KEY_BYTES = 256 };

static int by_hash(const void *a, const void *b)
{
    const struct lb_ring_place *x = a, *y = b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static uint64_t hash_of(struct str key, uint64_t i)
{
    char text[KEY_BYTES];
    int n = snprintf(text, sizeof(text), STR_FMT "_%llu", STR_ARG(key), (unsigned long long)i);
    return hash_xxh64(text, MIN((size_t)n, sizeof(text) - 1), 0);
}

struct lb_ring *lb_ring_new(const struct lb_ring_item *items, uint32_t n, uint64_t min_size,
                            uint64_t max_size)
{
    double least = 1, target = 0;
    for (uint32_t i = 0; i < n; i++)
        if (items[i].weight < least)
            least = items[i].weight;
    if (!n || least <= 0)
        return NULL;
    /* The lightest item gets a whole number of places, so that the ratios come out exactly. */
    double scale = fmin(ceil(least * (double)min_size) / least, (double)max_size);
    uint64_t size = (uint64_t)ceil(scale), at = 0;
    struct lb_ring *r = try_malloc(sizeof(*r) + size * sizeof(r->places[0]));
    if (!r)
        return NULL;
    for (uint32_t i = 0; i < n; i++) {
        target += scale * items[i].weight;
        for (uint64_t k = 0; (double)at < target && at < size; k++)
            r->places[at++] = (struct lb_ring_place){hash_of(items[i].key, k), i};
    }
    r->n = (uint32_t)at;
    qsort(r->places, r->n, sizeof(r->places[0]), by_hash);
    return r;
}

uint32_t lb_ring_find(const struct lb_ring *r, uint64_t hash, uint32_t attempt)
{
    uint32_t low = 0, high = r->n;
    ASSERT(r->n);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (r->places[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return r->places[((uint64_t)low + attempt) % r->n].item;
}
