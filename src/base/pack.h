#pragma once
/* A value and all it points to in one block of memory, for what there are ten thousands of: built
 * loosely, then laid out twice, first to learn the size (block NULL), then into the block. One
 * free() frees it. */

#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

struct pack {
    char *block; /* NULL: only count */
    size_t n;
};

/* n bytes, aligned (a power of two, at most 16). NULL while counting. */
static inline void *pack_add(struct pack *p, const void *from, size_t n, size_t align)
{
    p->n = (p->n + align - 1) & ~(align - 1);
    void *to = p->block ? p->block + p->n : NULL;
    p->n += n;
    if (to && n)
        memcpy(to, from, n);
    return to;
}

/* With its NUL; NULL stays NULL. */
static inline char *pack_text(struct pack *p, const char *text)
{
    return text ? pack_add(p, text, strlen(text) + 1, 1) : NULL;
}

/* An array; NULL if it is empty. */
#define pack_array(p, from, count)                                                                 \
    ({                                                                                             \
        size_t count_ = (count);                                                                   \
        (__typeof__(from))(count_ ? pack_add(p, from, count_ * sizeof(*(from)),                    \
                                             _Alignof(__typeof__(*(from))))                        \
                                  : NULL);                                                         \
    })

/* layout(from, p) lays out; the result is one block. */
#define pack_new(layout, from)                                                                     \
    ({                                                                                             \
        struct pack pack_ = {NULL, 0};                                                             \
        (void)layout(from, &pack_);                                                                \
        size_t size_ = pack_.n;                                                                    \
        pack_ = (struct pack){xmalloc(size_), 0};                                                  \
        __auto_type packed_ = layout(from, &pack_);                                                \
        ASSERT(pack_.n == size_);                                                                  \
        packed_;                                                                                   \
    })
