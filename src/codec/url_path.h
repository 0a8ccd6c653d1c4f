#pragma once
/* The normal form of a request's path, as Envoy's normalize_path and merge_slashes make it (Envoy
 * 1.40, measured): escaped letters, digits and -._~ are written out, a backslash is a slash, dot
 * segments are gone, one slash begins; what may not stand in a path is escaped. Other escapes, and
 * the query, stay as they are. */

#include "base/arena.h"
#include "base/str.h"

struct url_path_rules {
    bool normalize;
    bool merge_slashes; /* the last step */
};

/* path: absolute, with its query; *ret is that itself, or lies in the arena. -EBADMSG: it has an
 * escaped NUL. -ENOMEM. */
int url_path_apply(const struct url_path_rules *r, struct str path, struct arena *a,
                   struct str *ret) NODISCARD;
