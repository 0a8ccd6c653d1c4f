/* Shared bytes and the pool of blocks. Plain counters and a pool of the thread's own: nothing here
 * may travel to another thread. */
#include "base/bytes.h"

#include "base/assert.h"

static _Thread_local struct {
    struct bytes *free; /* linked through p */
    unsigned n;
} pool;

static struct bytes *next_free(const struct bytes *b)
{
    struct bytes *next;
    memcpy(&next, b->p, sizeof(next));
    return next;
}

struct bytes *bytes_try_new_room(size_t n)
{
    struct bytes *b = n <= SIZE_MAX - sizeof(*b) ? try_realloc(NULL, sizeof(*b) + n) : NULL;
    if (!b)
        return NULL;
    b->refs = 1;
    b->pooled = false;
    b->n = n;
    return b;
}

struct bytes *bytes_new(struct str s)
{
    struct bytes *b = xmalloc(sizeof(*b) + s.n);
    b->refs = 1;
    b->pooled = false;
    b->n = s.n;
    if (s.n)
        memcpy(b->p, s.p, s.n);
    return b;
}

struct bytes *bytes_new_block(void)
{
    struct bytes *b = pool.free;
    if (b) {
        pool.free = next_free(b);
        pool.n--;
    } else {
        b = xmalloc(sizeof(*b) + BYTES_BLOCK);
        b->pooled = true;
        b->n = BYTES_BLOCK;
    }
    b->refs = 1;
    return b;
}

struct bytes *bytes_ref(struct bytes *b)
{
    ASSERT(b->refs > 0);
    b->refs++;
    return b;
}

void bytes_unref(struct bytes *b)
{
    if (!b)
        return;
    ASSERT(b->refs > 0);
    if (--b->refs > 0)
        return;
    if (!b->pooled || MEM_POOLS_ARE_OFF || pool.n >= BYTES_POOL_BLOCKS) {
        free(b);
        return;
    }
    memcpy(b->p, &pool.free, sizeof(pool.free));
    pool.free = b;
    pool.n++;
}

void bytes_pool_trim(void)
{
    while (pool.free) {
        struct bytes *b = pool.free;
        pool.free = next_free(b);
        free(b);
    }
    pool.n = 0;
}
