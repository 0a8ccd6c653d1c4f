#pragma once
/* Objects as sets of fields: which fields there are, what two objects differ in, one merged into
 * another, fields taken out. (The rules of KEP-555, as structured-merge-diff has them.) */

#include "lab/apiserver/apply_type.h"
#include "lab/apiserver/fields_v1.h"

/* All fields of an object, into set. -EINVAL: a list has two elements of the same keys, or one
 * without any. */
int apply_fields(const struct apply_type *t, const json_t *object, struct fields *set,
                 struct err *reterr) NODISCARD;

struct apply_changes {
    struct fields *added, *modified, *removed; /* may be NULL: nobody asks */
};
/* before NULL: nothing was there. */
void apply_compare(const struct apply_type *t, const json_t *before, const json_t *now,
                   const struct apply_changes *changes);

/* live takes over what config says, in place. */
void apply_merge(const struct apply_type *t, json_t *live, const json_t *config);

/* What is in set goes out of object, whole, in place. */
void apply_remove(const struct apply_type *t, json_t *object, const struct fields *set);
