#pragma once
/* The controllers' indexes over their caches: which objects have a label, an owner, a selector. */

#include "lab/controllers/controller.h"

struct controller_index;

struct controller_index *controller_index_new(void);
void controller_index_free(struct controller_index *ix);
/* The object as it is now. *ret_before: as it was, borrowed until controller_index_settle (NULL: it
 * is new). */
void controller_index_put(struct controller_index *ix, enum watched kind, json_t *object,
                          const json_t **ret_before);
void controller_index_remove(struct controller_index *ix, enum watched kind, const char *key);
void controller_index_settle(struct controller_index *ix);
/* Keys of the objects with this value; not while the index changes. */
bool controller_index_next(const struct controller_index *ix, enum watched kind, enum index_by by,
                           const char *value, size_t *at, struct str *ret_key);
