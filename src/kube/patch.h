#pragma once
/* The three patches of the API: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge
 * (merge keys from the tables). Each changes the tree in place; on an error the tree is half
 * changed and must be dropped. */

#include "kube/schema.h"

enum {
    PATCH_OPERATIONS_MAX = 10000,
    PATCH_COPIED_BYTES_MAX = 3 * 1024 * 1024, /* by "copy", all operations together */
};

/* *object may be replaced as a whole ("" path). -EINVAL: malformed patch; -ENOENT: it does not
 * apply (path or test). */
int patch_apply_json(json_t **object, const json_t *patch, struct err *reterr) NODISCARD;

void patch_apply_merge(json_t *object, const json_t *patch);

/* s may be NULL: then lists are replaced. -EINVAL. */
int patch_apply_strategic(const struct schema *s, json_t *object, const json_t *patch,
                          struct err *reterr) NODISCARD;

/* The strategic merge patch of kubectl apply: from live to now, and without what last (the manifest
 * of the apply before; NULL = none) had and now has not. s NULL: a merge patch, lists whole. An
 * empty object: nothing to do. */
json_t *patch_three_way(const struct schema *s, const json_t *last, const json_t *now,
                        const json_t *live);
