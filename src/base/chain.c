/* Chains of byte runs. Slices come from a list of the thread's own; a block belongs to the slices
 * that point into it, and may be written behind the last of them only while there is no other. */
#include "base/chain.h"

#include "base/assert.h"

enum {
    SLICES_KEPT = 1024,
    CUT_COPIED = 256, /* a cut piece up to this is copied: cheaper than to hold its block */
};

static _Thread_local struct {
    struct chain_slice *free;
    unsigned n;
} slices;

static struct chain_slice *slice_new(struct bytes *block, char *p, size_t n)
{
    struct chain_slice *s = slices.free;
    if (s) {
        slices.free = s->next;
        slices.n--;
    } else {
        s = xmalloc(sizeof(*s));
    }
    *s = (struct chain_slice){.block = block, .p = p, .n = n};
    return s;
}

static void slice_free(struct chain_slice *s)
{
    bytes_unref(s->block);
    if (MEM_POOLS_ARE_OFF || slices.n >= SLICES_KEPT) {
        free(s);
        return;
    }
    s->next = slices.free;
    slices.free = s;
    slices.n++;
}

void chain_pool_trim(void)
{
    while (slices.free) {
        struct chain_slice *s = slices.free;
        slices.free = s->next;
        free(s);
    }
    slices.n = 0;
    bytes_pool_trim();
}

static void append(struct chain *c, struct chain_slice *s)
{
    s->next = NULL;
    if (c->last)
        c->last->next = s;
    else
        c->first = s;
    c->last = s;
    c->n += s->n;
}

static struct chain_slice *take_first(struct chain *c)
{
    struct chain_slice *s = c->first;
    c->first = s->next;
    if (!c->first)
        c->last = NULL;
    c->n -= s->n;
    return s;
}

void chain_done(struct chain *c)
{
    while (c->first)
        slice_free(take_first(c));
}

/* Bytes that may be written behind the last slice. */
static size_t room(const struct chain *c)
{
    const struct chain_slice *s = c->last;
    if (!s || s->block->refs != 1 || !s->block->pooled)
        return 0;
    return (size_t)(s->block->p + s->block->n - (s->p + s->n));
}

char *chain_reserve(struct chain *c, size_t min, size_t *ret_n)
{
    ASSERT(min <= BYTES_BLOCK);
    size_t n = room(c);
    if (n < min || n == 0) {
        struct bytes *b = bytes_new_block();
        append(c, slice_new(b, b->p, 0));
        n = b->n;
    }
    *ret_n = n;
    return c->last->p + c->last->n;
}

void chain_commit(struct chain *c, size_t n)
{
    ASSERT(n <= room(c));
    c->last->n += n;
    c->n += n;
    if (c->last->n)
        return;
    struct chain_slice *empty = c->last, *s = c->first;
    if (s == empty) {
        c->first = c->last = NULL;
    } else {
        while (s->next != empty)
            s = s->next;
        s->next = NULL;
        c->last = s;
    }
    slice_free(empty);
}

void chain_add(struct chain *c, struct str s)
{
    while (s.n) {
        size_t n;
        char *to = chain_reserve(c, 1, &n);
        n = MIN(n, s.n);
        memcpy(to, s.p, n);
        chain_commit(c, n);
        s = str_sub(s, n, s.n);
    }
}

void chain_add_exact(struct chain *c, struct str s)
{
    if (room(c) >= s.n) {
        chain_add(c, s);
        return;
    }
    struct bytes *b = bytes_new(s);
    append(c, slice_new(b, b->p, b->n));
}

void chain_add_bytes(struct chain *c, struct bytes *b)
{
    if (b->n)
        append(c, slice_new(bytes_ref(b), b->p, b->n));
}

static void share_part(struct chain *to, const struct chain_slice *s, size_t n)
{
    if (n <= CUT_COPIED && n < s->n)
        chain_add(to, str_of(s->p, n));
    else
        append(to, slice_new(bytes_ref(s->block), s->p, n));
}

void chain_move(struct chain *to, struct chain *from, size_t n)
{
    ASSERT(n <= from->n && to != from);
    while (n) {
        if (from->first->n <= n) {
            n -= from->first->n;
            append(to, take_first(from));
            continue;
        }
        share_part(to, from->first, n);
        chain_consume(from, n);
        n = 0;
    }
}

void chain_share(struct chain *to, const struct chain *from, size_t n)
{
    ASSERT(n <= from->n && to != from);
    for (const struct chain_slice *s = from->first; n; s = s->next) {
        size_t take = MIN(n, s->n);
        share_part(to, s, take);
        n -= take;
    }
}

void chain_consume(struct chain *c, size_t n)
{
    ASSERT(n <= c->n);
    while (n) {
        struct chain_slice *s = c->first;
        if (s->n <= n) {
            n -= s->n;
            slice_free(take_first(c));
            continue;
        }
        s->p += n;
        s->n -= n;
        c->n -= n;
        n = 0;
    }
}

void chain_copy(const struct chain *c, void *to, size_t n)
{
    char *out = to;
    ASSERT(n <= c->n);
    for (const struct chain_slice *s = c->first; n; s = s->next) {
        size_t take = MIN(n, s->n);
        memcpy(out, s->p, take);
        out += take;
        n -= take;
    }
}

struct str chain_linear(struct chain *c, size_t n)
{
    ASSERT(n <= c->n);
    if (n == 0)
        return STR("");
    if (c->first->n >= n)
        return str_of(c->first->p, n);
    struct bytes *b = n <= BYTES_BLOCK ? bytes_new_block() : bytes_try_new_room(n);
    if (!b)
        return (struct str){NULL, 0};
    chain_copy(c, b->p, n);
    chain_consume(c, n);
    struct chain_slice *s = slice_new(b, b->p, n);
    s->next = c->first;
    c->first = s;
    if (!c->last)
        c->last = s;
    c->n += n;
    return str_of(b->p, n);
}

size_t chain_iovecs(const struct chain *c, struct iovec *ret, size_t max)
{
    size_t n = 0;
    for (const struct chain_slice *s = c->first; s && n < max; s = s->next)
        ret[n++] = (struct iovec){.iov_base = s->p, .iov_len = s->n};
    return n;
}
