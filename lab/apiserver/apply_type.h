#pragma once
/* What server-side apply asks of the shape of an object: is a list one value, a set, or known by
 * keys? Is a map one value? Asked of the message tables for built-in kinds and of structural
 * schemas for custom ones; where nobody knows, maps are by member and lists are one value. */

#include "lab/apiserver/custom_kind.h"

struct apply_type {
    const struct schema *object;      /* a message */
    const struct schema_field *field; /* a list, map or message of a table */
    const struct crd_node *node;      /* of a structural schema */
    bool root;                        /* of a custom object */
    bool always;                      /* a part of its parent that is never away (no pointer) */
};

enum apply_shape {
    APPLY_LEAF, /* a scalar, or replaced as a whole */
    APPLY_MAP,
    APPLY_SET,
    APPLY_KEYED,
};

struct apply_type apply_type_of_kind(const struct api_kind *k);
enum apply_shape apply_shape(const struct apply_type *t, const json_t *value);
struct apply_type apply_member(const struct apply_type *t, const char *name);
/* Has the member a place of its own in the shape? (A map's have not.) */
bool apply_is_declared(const struct apply_type *t, const char *name);
struct apply_type apply_items(const struct apply_type *t);
/* "k:{…}" or "v:…" of an element; owned. */
char *apply_element_key(const struct apply_type *t, enum apply_shape shape, const json_t *item);
