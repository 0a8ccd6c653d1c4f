#pragma once
/* metadata.managedFields of stored objects, kept beside their bytes: objects that were made alike
 * have entries that differ in nothing but the time, so each such text is kept once, and an object
 * has a pointer and a time for each of its managers. One thread. */

#include "codec/json.h"

struct managed; /* reference-counted, immutable; NULL is an empty list */

/* From the member's value. */
struct managed *managed_new(const json_t *list);
struct managed *managed_ref(struct managed *m); /* NULL is allowed */
void managed_unref(struct managed *m);          /* NULL is allowed */
/* As JSON, with the key ("managedFields":[…]); nothing for an empty list. */
void managed_write(struct buf *b, const struct managed *m);
/* A new array. */
json_t *managed_tree(const struct managed *m);
/* Texts kept now, and their bytes. */
size_t managed_texts(size_t *ret_bytes);
