/* Shared immutable bytes. Plain counters: never shared between loops. */
#include "net/bytes.h"

#include "base/assert.h"

struct bytes *bytes_new(struct str s)
{
    struct bytes *b = xmalloc(sizeof(*b) + s.n);
    b->refs = 1;
    b->n = s.n;
    if (s.n)
        memcpy(b->p, s.p, s.n);
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
    if (--b->refs == 0)
        free(b);
}
