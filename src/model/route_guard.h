#pragma once
/* What stands before a route and may refuse a request, whatever front door asked for it. Immutable
 * once it is on a route; routes of one Ingress share it. */

#include "base/addr.h"
#include "base/buf.h"

struct route_prefixes {
    struct prefix *v;
    uint32_t n;
};

/* By the client's address: 403. deny counts before allow; no allow: all that are not denied. */
struct route_addresses {
    struct route_prefixes allow, deny;
};

struct route_guard {
    unsigned refs;
    uint64_t body_max_bytes; /* of the request: 413; 0: no limit */
    struct route_addresses addresses;
};

struct route_guard *route_guard_new(void);
struct route_guard *route_guard_ref(struct route_guard *g);
void route_guard_unref(struct route_guard *g); /* NULL is allowed */
/* Does it refuse anything at all? g NULL: no. */
bool route_guard_is_empty(const struct route_guard *g);
/* The golden form: one line's end, with a blank before each part. */
void route_guard_format(const struct route_guard *g, struct buf *out);
/* What a reader of `explain` is told: parts with ", " between them; nothing: empty. */
void route_guard_explain(const struct route_guard *g, struct buf *out);
