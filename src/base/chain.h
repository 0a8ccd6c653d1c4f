#pragma once
/* A chain of byte runs in reference-counted blocks: what a connection has received or will send, a
 * message's body. Whole runs move from one chain to another without a copy. Zero-initialised is
 * empty and valid. No cap of its own: whoever fills it looks at `n`. One thread only. */

#include <sys/uio.h>

#include "base/bytes.h"

struct chain_slice {
    struct chain_slice *next;
    struct bytes *block;
    char *p; /* within block */
    size_t n;
};

struct chain {
    struct chain_slice *first, *last;
    size_t n; /* bytes in all slices */
};

void chain_done(struct chain *c); /* drops everything; empty afterwards */

/* Copies, into the room behind the last run where the chain is alone with it. */
void chain_add(struct chain *c, struct str s);
/* The same where there is room behind the last run; else into a block of just that size: for a few
 * bytes between runs that are shared, each of which would take a block of the pool. */
void chain_add_exact(struct chain *c, struct str s);
/* Shares the whole run. */
void chain_add_bytes(struct chain *c, struct bytes *b);
/* Moves the first n bytes of `from` to the end of `to`. Nothing is copied but a run that is cut,
 * and that only if it is small. */
void chain_move(struct chain *to, struct chain *from, size_t n);
static inline void chain_move_all(struct chain *to, struct chain *from)
{
    chain_move(to, from, from->n);
}
/* Shares the first n bytes of `from` with the end of `to`, which both may read from then on. */
void chain_share(struct chain *to, const struct chain *from, size_t n);

/* The first run; empty if there is none. Borrowed until the next change. */
static inline struct str chain_front(const struct chain *c)
{
    return c->first ? (struct str){c->first->p, c->first->n} : (struct str){NULL, 0};
}
/* The first n bytes (n <= c->n) as one run: copied into one if they are not. .p NULL out of memory,
 * and then nothing has changed. */
struct str chain_linear(struct chain *c, size_t n) NODISCARD;
/* Drops n bytes from the front. */
void chain_consume(struct chain *c, size_t n);
/* Copies n bytes (n <= c->n) out of the front and leaves them there. */
void chain_copy(const struct chain *c, void *to, size_t n);

/* At most `max` runs from the front as iovecs; how many. */
size_t chain_iovecs(const struct chain *c, struct iovec *ret, size_t max);

/* Room of at least `min` bytes (at most BYTES_BLOCK) at the end; how much there is in *ret_n. What
 * was written is taken in by the commit that must follow; 0 = nothing was. */
char *chain_reserve(struct chain *c, size_t min, size_t *ret_n);
void chain_commit(struct chain *c, size_t n);
/* Gives what this thread keeps of slices and blocks back. */
void chain_pool_trim(void);
