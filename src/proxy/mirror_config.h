#pragma once
/* Which requests are copied, and where to (route.v3.RouteAction.RequestMirrorPolicy), compiled into
 * the route's arena. */

#include "proxy/fraction.h"
#include "proxy/route.h"

struct mirror_policy {
    struct str cluster; /* empty: the header names it */
    struct header_name header;
    struct fraction fraction; /* not given: all */
    struct str host;          /* .p NULL: the request's */
    bool keeps_host;          /* without -shadow */
};

enum {
    MIRROR_POLICIES_MAX = 16,             /* of a route */
    MIRROR_BODY_MAX = 1024 * 1024,        /* of a request; one with a longer body is not copied */
    MIRRORS_MAX = 1024,                   /* of a worker at a time */
    MIRRORS_BYTES_MAX = 16 * 1024 * 1024, /* of their bodies */
    MIRROR_TIMEOUT_MS = 60 * 1000,        /* where the route has none */
};

/* path stands at the message that has them. -EINVAL with the path of what is wrong; -ENOMEM. */
int mirror_compile(Envoy__Config__Route__V3__RouteAction__RequestMirrorPolicy *const *m, size_t n,
                   struct arena *a, struct pb_path *path, struct mirror_policies *ret,
                   struct err *reterr) NODISCARD;
