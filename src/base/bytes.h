#pragma once
/* A reference-counted run of bytes. Made whole from a string it is immutable: one encoding of an
 * event shared by every connection that sends it. Made as a block it has room that its only owner
 * fills (base/chain.h). Not thread-safe: one thread only. Blocks come from a pool of the thread, so
 * that taking one and giving it back costs next to nothing; the pool keeps at most
 * BYTES_POOL_BLOCKS of them. */

#include "base/buf.h"

enum {
    BYTES_BLOCK = 16 * 1024 - 32, /* room of a pooled block */
    BYTES_POOL_BLOCKS = 64,
};

struct bytes {
    uint32_t refs;
    bool pooled;
    size_t n; /* the whole run, or a block's room */
    char p[];
};

struct bytes *bytes_new(struct str s); /* one reference, the caller's */
struct bytes *bytes_new_block(void);   /* uninitialised, of BYTES_BLOCK bytes */
/* Uninitialised, of n bytes; NULL out of memory. */
struct bytes *bytes_try_new_room(size_t n) NODISCARD;
struct bytes *bytes_ref(struct bytes *b);
void bytes_unref(struct bytes *b); /* NULL is allowed */
/* Gives what this thread's pool holds back to the system. */
void bytes_pool_trim(void);
