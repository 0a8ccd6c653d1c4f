#pragma once
/* What an object's status says of how it was taken: a condition of our own beside those of others.
 * Pure. */

#include "codec/json.h"
#include "model/finding.h"

/* Its type. True, once what was wrong is corrected; an object with which nothing ever was wrong has
 * none. */
#define OBJECT_CONDITION "fairlead.dev/Accepted"

/* What status.conditions is to be; a new reference. f: what was found in the object by itself, of
 * which errors count, and that it has no effect. NULL: it is as it should be. */
json_t *object_condition_want(const json_t *object, const struct findings *f, int64_t now_s);
