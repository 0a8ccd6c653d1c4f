#pragma once
/* Templates of paths (Envoy's uri_template): * is one segment, ** whatever is left, {name},
 * {name=*} and {name=**} the same. Made a regular expression once. */

#include "base/arena.h"
#include "codec/pb_path.h"
#include "codec/regex.h"

/* Ends with the arena. -EINVAL with the path of what is wrong. */
int uri_template_compile(struct str text, struct arena *a, struct pb_path *path, struct regex **ret,
                         struct err *reterr) NODISCARD;
