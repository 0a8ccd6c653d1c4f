#pragma once
/* Message tables (schema.h) from OpenAPI v3 definitions: the form our own schema files are written
 * in (src/kube/schemas), and the one CustomResourceDefinitions bring along. */

#include "base/arena.h"
#include "base/map.h"
#include "kube/schema.h"

struct schema_book {
    struct arena *arena; /* owns every table and text */
    struct map tables;   /* definition's name -> struct schema */
};

/* cap_bytes bounds what the tables may take; 0 = no bound. */
void schema_book_init(struct schema_book *b, size_t cap_bytes);
void schema_book_done(struct schema_book *b);
/* Adds the definitions (name -> schema object). They may refer to one another and to those added
 * before, by {$ref: NAME}. -EINVAL with the place and what is wrong with it: a word that means
 * nothing here is an error, not ignored. -ENOMEM over the cap. After an error the book is to be
 * dropped. */
int schema_book_add(struct schema_book *b, json_t *definitions, struct err *reterr) NODISCARD;
const struct schema *schema_book_find(const struct schema_book *b, const char *name);
