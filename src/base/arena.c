/* Chunked arena. Chunks double to 64 KiB, or are a quarter of a first one that was said; a request
 * larger than a chunk gets its own. */
#include "base/arena.h"

#include <assert.h>
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
    _Alignas(16) struct arena_chunk *chunks;
    struct arena_deferred *deferred;
    size_t cap_bytes;
    size_t first;       /* bytes of the first chunk */
    size_t total_bytes; /* of chunks */
    size_t used_bytes;
    bool guessed; /* the first chunk is meant to do: little more is needed, if any */
    bool lent;    /* it and its last chunk are somebody else's memory */
};

struct arena *arena_new_in(void *memory, size_t n, size_t cap_bytes)
{
    static_assert(sizeof(struct arena) % 16 == 0, "the first chunk is aligned");
    static_assert(ARENA_IN_MIN >= sizeof(struct arena) + sizeof(struct arena_chunk) + 16, "room");
    ASSERT(n >= ARENA_IN_MIN && (uintptr_t)memory % 16 == 0);
    struct arena *a = memory;
    struct arena_chunk *c = (void *)(a + 1);
    c->next = NULL;
    c->size = n - sizeof(*a) - sizeof(*c);
    c->used = 0;
    *a = (struct arena){.chunks = c, .cap_bytes = cap_bytes, .total_bytes = c->size, .lent = true};
    return a;
}

struct arena *arena_new_first(size_t cap_bytes, size_t first)
{
    struct arena *a = NEW(struct arena);
    a->cap_bytes = cap_bytes;
    a->first = first;
    a->guessed = true;
    return a;
}

struct arena *arena_new(size_t cap_bytes)
{
    struct arena *a = arena_new_first(cap_bytes, 4096);
    a->guessed = false;
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
        if (next || !a->lent)
            free(c);
        c = next;
    }
    if (!a->lent)
        free(a);
}

static struct arena_chunk *arena_chunk_add(struct arena *a, size_t need)
{
    size_t size = !a->chunks   ? a->first
                  : a->guessed ? a->first / 4
                               : MIN(a->chunks->size * 2, (size_t)65536);
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

void *arena_alloc_raw(struct arena *a, size_t size)
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
    return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
    void *p = arena_alloc_raw(a, size);
    if (p)
        memset(p, 0, size);
    return p;
}

struct str arena_str(struct arena *a, struct str s)
{
    char *p = arena_alloc_raw(a, s.n + 1);
    if (!p)
        return (struct str){NULL, 0};
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
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
