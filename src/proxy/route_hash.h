#pragma once
/* What a request's place in a table of hashes is made of (route.v3.RouteAction.HashPolicy),
 * compiled into the route's arena; and the cookies that a policy gives to clients who bring none.
 * Hashes are Envoy's, so that both send the same client to the same endpoint. */

#include "net/conn.h"
#include "proxy/http_edits.h"
#include "proxy/route.h"

enum route_hash_kind {
    ROUTE_HASH_HEADER,
    ROUTE_HASH_COOKIE,
    ROUTE_HASH_SOURCE_IP,
    ROUTE_HASH_QUERY,
};

struct route_hash {
    uint8_t kind;
    bool terminal; /* what follows does not count, once there is a hash */
    struct header_name header;
    struct regex_rewrite rewrite; /* of the header's values */
    struct str name;              /* of the cookie, of the parameter */
    struct str cookie_tail;       /* of a set-cookie, behind its value; .p NULL: none is set */
};

enum { ROUTE_HASHES_MAX = 16, AFFINITY_COOKIES_MAX = 4 };

struct affinity {
    uint64_t hash;
    bool has_hash;
    uint8_t n_cookies;
    struct str cookies[AFFINITY_COOKIES_MAX]; /* set-cookie, in the stream's arena */
};

/* path stands at the message that has them. -EINVAL with the path of what is wrong; -ENOMEM. */
int route_hash_compile(Envoy__Config__Route__V3__RouteAction__HashPolicy *const *m, size_t n,
                       struct arena *a, struct pb_path *path, struct route_hash **ret,
                       struct err *reterr) NODISCARD;
/* Of a request; client: whom it came from, NULL: unknown; edits: how far it is believed. What does
 * not fit into a's memory is left out. */
void route_hash_of(const struct route_hash *policies, size_t n, const struct route_query *q,
                   const struct http_edits *edits, const struct conn *client, struct arena *a,
                   struct affinity *ret);
