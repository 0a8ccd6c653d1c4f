#pragma once
/* When a request is sent once more (envoy.config.route.v3.RetryPolicy), compiled into an arena. */

#include <envoy/config/route/v3/route_components.pb-c.h>

#include "proxy/reasons.h"
#include "proxy/string_match.h"

enum retry_on {
    RETRY_5XX = 1 << 0,
    RETRY_GATEWAY_ERROR = 1 << 1,
    RETRY_RESET = 1 << 2,
    RETRY_CONNECT_FAILURE = 1 << 3,
    RETRY_REFUSED_STREAM = 1 << 4,
    RETRY_4XX = 1 << 5, /* 409 */
    RETRY_STATUS_CODES = 1 << 6,
    RETRY_HEADERS = 1 << 7,
    RETRY_RATELIMITED = 1 << 8,
    RETRY_RESET_BEFORE_REQUEST = 1 << 9,
    RETRY_GRPC_CANCELLED = 1 << 10,
    RETRY_GRPC_DEADLINE = 1 << 11,
    RETRY_GRPC_INTERNAL = 1 << 12,
    RETRY_GRPC_EXHAUSTED = 1 << 13,
    RETRY_GRPC_UNAVAILABLE = 1 << 14,
    /* Ours; other proxies pass over words that they do not know (retry_policy.c). */
    RETRY_TIMEOUT = 1 << 15,
    RETRY_SAFE_RESET = 1 << 16, /* these three only of requests that may be sent twice */
    RETRY_SAFE_TIMEOUT = 1 << 17,
    RETRY_SAFE_STATUS_CODES = 1 << 18,
    RETRY_SAFE = RETRY_SAFE_RESET | RETRY_SAFE_TIMEOUT | RETRY_SAFE_STATUS_CODES,
};

struct retry_policy {
    uint32_t on; /* set of enum retry_on */
    uint32_t retries_max;
    uint64_t per_try_timeout_ms; /* 0: none */
    uint64_t per_try_idle_ms;    /* nothing heard of the endpoint for so long; 0: none */
    uint32_t *statuses;
    size_t n_statuses;
    struct field_match *fields; /* of an answer */
    size_t n_fields;
    struct field_match *request_fields; /* only requests with one of these; none: all */
    size_t n_request_fields;
    uint64_t base_ms, max_ms;
    bool other_hosts; /* not those that were tried, if another is found in tries_max tries */
    uint32_t tries_max;
    uint64_t within_ms; /* no try begins later than that after the request; 0: no limit */
};

/* path stands at the policy. -EINVAL with the path of what is wrong; -ENOMEM. */
int retry_policy_compile(const Envoy__Config__Route__V3__RetryPolicy *m, struct arena *a,
                         struct pb_path *path, struct retry_policy **ret, struct err *reterr)
    NODISCARD;

bool retry_policy_takes_request(const struct retry_policy *p, const struct http_head *request);
/* What the policy says of this request: its `on`, without what is not for its method. */
uint32_t retry_policy_on(const struct retry_policy *p, const struct http_head *request);
/* Is this answer one to be asked for again? */
bool retry_policy_wants_answer(const struct retry_policy *p, uint32_t on,
                               const struct http_head *answer);
/* No answer has come. sent: a part of the request has gone out. */
bool retry_policy_wants_failure(uint32_t on, enum reason why, bool sent);
/* How long to wait before retry n (from 1), drawn. */
uint64_t retry_policy_wait_ms(const struct retry_policy *p, unsigned n, uint64_t random);
