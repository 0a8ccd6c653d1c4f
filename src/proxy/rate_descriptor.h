#pragma once
/* Descriptors of rate limits: what a request is counted under, made of it by actions
 * (envoy.config.route.v3.RateLimit) as an ordered list of keys and values. */

#include <envoy/config/route/v3/route_components.pb-c.h>

#include "base/arena.h"
#include "codec/http_head.h"
#include "codec/pb_path.h"

enum { RATE_ENTRIES_MAX = 16 };

struct rate_entry {
    struct str key, value;
};

struct rate_actions;

/* What actions look at. */
struct rate_request {
    const struct http_head *head;
    const char *cluster; /* NULL: none */
    struct str address;  /* the client's */
};

/* path stands at the RateLimit. -EINVAL with the path of what is wrong, -ENOMEM. */
int rate_actions_compile(const Envoy__Config__Route__V3__RateLimit *m, struct arena *a,
                         struct pb_path *path, struct rate_actions **ret, struct err *reterr)
    NODISCARD;
/* How many entries there are; 0: the request has not what one of the actions needs. Borrows. */
size_t rate_actions_entries(const struct rate_actions *actions, const struct rate_request *q,
                            struct rate_entry ret[RATE_ENTRIES_MAX]);
