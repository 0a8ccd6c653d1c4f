#pragma once
/* A reference-counted, immutable run of bytes: one encoding of an event shared by every connection
 * that sends it. Not thread-safe: one loop only. */

#include "base/buf.h"

struct bytes {
    uint32_t refs;
    size_t n;
    char p[];
};

struct bytes *bytes_new(struct str s); /* one reference, the caller's */
struct bytes *bytes_ref(struct bytes *b);
void bytes_unref(struct bytes *b); /* NULL is allowed */
