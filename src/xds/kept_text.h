#pragma once
/* A resource as it came, kept to be shown (/config_dump): of what is in force, and of what waits to
 * be; and to be written to disk. Shared by reference; any thread may drop one. */

#include <stdatomic.h>

#include "base/str.h"

struct kept_text {
    atomic_uint refs;
    int64_t since_us; /* Unix time at which it came */
    size_t version_n, n;
    char p[]; /* the version, a NUL, the packed message */
};

struct kept_texts {
    struct kept_text *active, *next; /* NULL: none */
};

static inline struct str kept_version(const struct kept_text *t)
{
    return str_of(t->p, t->version_n);
}
static inline struct str kept_bytes(const struct kept_text *t)
{
    return str_of(t->p + t->version_n + 1, t->n);
}
struct kept_text *kept_text_new(struct str version, struct str bytes);
struct kept_text *kept_text_ref(struct kept_text *t); /* NULL is allowed */
void kept_text_unref(struct kept_text *t);            /* NULL is allowed */

/* It was taken, and waits. Takes the reference. */
void kept_texts_offer(struct kept_texts *k, struct kept_text *text);
/* What waited is in force. Nothing if none did. */
void kept_texts_commit(struct kept_texts *k);
void kept_texts_done(struct kept_texts *k);
