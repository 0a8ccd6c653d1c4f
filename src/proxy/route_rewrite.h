#pragma once
/* New paths, hosts and locations that a route makes of a request's. All lie in the arena; NULL
 * texts: out of memory or over a limit, and nothing has changed. */

#include "proxy/route.h"

/* m NULL: none. path stands at the message whose field it is. -EINVAL with the path of what is
 * wrong; -ENOMEM. */
int regex_rewrite_compile(const Envoy__Type__Matcher__V3__RegexMatchAndSubstitute *m,
                          const char *field, struct arena *a, struct pb_path *path,
                          struct regex_rewrite *ret, struct err *reterr) NODISCARD;
/* The path with its query; q's own if the route rewrites nothing. */
struct str route_rewrite_path(const struct route *r, const struct route_query *q, struct arena *a);
/* The host; .p NULL: stays. */
struct str route_rewrite_host(const struct route *r, const struct route_cluster *cluster,
                              const struct route_query *q, struct arena *a);
/* Where a redirect leads. scheme: of this request, "http" or "https". */
struct str route_redirect_location(const struct route *r, const struct route_query *q,
                                   struct str scheme, struct arena *a);
