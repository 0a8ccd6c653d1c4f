#pragma once
/* Sets of fields of an object, as managedFields has them (FieldsV1): a tree whose members are
 * "f:NAME" (a member), "k:{…}" (an element by its keys), "v:VALUE" (an element of a set) and
 * "i:NUMBER". A node may be in the set itself ("."), and have others below. Sorted, so that equal
 * sets are equal texts. */

#include "codec/json.h"

enum { FIELDS_DEPTH_MAX = 256 };

struct fields {
    char *key; /* NULL: the root */
    bool in;   /* is it in the set itself? */
    struct fields **v;
    size_t n, cap;
};

struct fields *fields_new(void);
void fields_free(struct fields *f); /* NULL is allowed */
static inline void fields_freep_(struct fields **f)
{
    fields_free(*f);
}
#define AUTO_FIELDS __attribute__((cleanup(fields_freep_)))

/* -EINVAL: no FieldsV1. */
int fields_parse(const json_t *j, struct fields **ret, struct err *reterr) NODISCARD;
void fields_write(struct buf *b, const struct fields *f);

/* The child; made if it is not there. */
struct fields *fields_child(struct fields *f, const char *key);
const struct fields *fields_find(const struct fields *f, const char *key); /* f may be NULL */
bool fields_is_empty(const struct fields *f);
bool fields_equal(const struct fields *a, const struct fields *b);
struct fields *fields_copy(const struct fields *f);
/* In place on a. b may be NULL: the empty set. */
void fields_add(struct fields *a, const struct fields *b);
void fields_subtract(struct fields *a, const struct fields *b);
void fields_intersect(struct fields *a, const struct fields *b);
/* Every named member above one of the set becomes one itself. */
void fields_add_parents(struct fields *f);
/* All of f below key, and it, goes. */
void fields_drop(struct fields *f, const char *key);
/* One step of a path for people: ".spec", "[name=\"c\"]". */
void fields_step(struct buf *path, const char *key);
/* fn is called with the path (".spec.ports[port=80,protocol=\"TCP\"].name") of each of the set. */
void fields_each(const struct fields *f, void (*fn)(void *user, const char *path), void *user);
