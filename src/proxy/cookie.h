#pragma once
/* Cookies (RFC 6265): found in requests, and what stands behind the value of one that is given. */

#include <google/protobuf/duration.pb-c.h>

#include "base/arena.h"
#include "codec/http_head.h"
#include "codec/pb_path.h"

struct cookie_attribute {
    const char *name, *value; /* value "": the name alone */
};

/* As a configuration has it: borrowed. */
struct cookie_config {
    const char *name, *path;               /* path "": none */
    const Google__Protobuf__Duration *ttl; /* NULL or 0: as long as the browser runs */
    const struct cookie_attribute *attributes;
    size_t n_attributes;
};

/* Its name, and "; Max-Age=10; Path=/; SameSite=Lax; HttpOnly", into the arena. path stands at the
 * cookie. -EINVAL with the path of what is wrong; -ENOMEM. */
int cookie_compile(const struct cookie_config *c, struct arena *a, struct pb_path *path,
                   struct str *ret_name, struct str *ret_tail, struct err *reterr) NODISCARD;
/* The value of the first of that name, without quotes; .p NULL: it is not there. */
struct str cookie_find(const struct http_head *h, struct str name);
/* NAME="VALUE" and the tail, in the arena; .p NULL: no memory. */
struct str cookie_line(struct str name, struct str value, struct str tail, struct arena *a);
