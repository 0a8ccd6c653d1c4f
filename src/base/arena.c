/* Chunked arena. Chunks double from 4 KiB to 64 KiB; a request larger than a chunk gets its own. */
#include "base/arena.h"

#include <errno.h>
#include <stdint.h>

#include "base/assert.h"

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
    size_t used;
    _Alignas(16) char bytes[];
};

struct arena_deferred {
    struct arena_deferred *next;
    void (*fn)(void *p);
    void *p;
};

struct arena {
    struct arena_chunk *chunks;
    struct arena_deferred *deferred;
    size_t cap_bytes;
    size_t total_bytes; /* of chunks */
    size_t used_bytes;
};

struct arena *arena_new(size_t cap_bytes)
{
    struct arena *a = NEW(struct arena);
    a->cap_bytes = cap_bytes;
    return a;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    for (struct arena_deferred *d = a->deferred; d; d = d->next)
        d->fn(d->p);
    for (struct arena_chunk *c = a->chunks; c;) {
        struct arena_chunk *next = c->next;
        free(c);
        c = next;
    }
    free(a);
}

static struct arena_chunk *arena_chunk_add(struct arena *a, size_t need)
{
    size_t size = a->chunks ? MIN(a->chunks->size * 2, (size_t)65536) : 4096;
    size = MAX(size, need);
    if (a->cap_bytes && a->total_bytes + size > a->cap_bytes) {
        size = need;
        if (a->total_bytes + size > a->cap_bytes)
            return NULL;
    }
    struct arena_chunk *c = try_malloc(sizeof(*c) + size);
    if (!c)
        return NULL;
    c->next = a->chunks;
    c->size = size;
    c->used = 0;
    a->chunks = c;
    a->total_bytes += size;
    return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
    ASSERT(a);
    if (size > SIZE_MAX / 2)
        return NULL;
    size_t need = (size + 15) & ~(size_t)15;
    struct arena_chunk *c = a->chunks;
    if (!c || c->size - c->used < need) {
        c = arena_chunk_add(a, need);
        if (!c)
            return NULL;
    }
    void *p = c->bytes + c->used;
    c->used += need;
    a->used_bytes += need;
    memset(p, 0, size);
    return p;
}

struct str arena_str(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (!p)
        return (struct str){NULL, 0};
    if (s.n)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

int arena_defer(struct arena *a, void (*fn)(void *p), void *p)
{
    struct arena_deferred *d = arena_alloc(a, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->fn = fn;
    d->p = p;
    d->next = a->deferred;
    a->deferred = d;
    return 0;
}
