/* Retry policies. Rules: Envoy's router filter (retry_on, retry_grpc_on). */
#include "proxy/retry_policy.h"
#include "proxy/duration.h"

#include <errno.h>

typedef Envoy__Config__Route__V3__RetryPolicy pb_policy;

enum {
    BASE_MS = 25,
    MAX_FACTOR = 10,
    RETRIES_MAX = 100, /* of one request, whatever a policy says */
    WAIT_DOUBLINGS_MAX = 20,
};

/* Words of our own begin so. They only ever ask for more tries, so that a proxy which does not know
 * them is the more careful one. "fairlead-within-30": no try begins later than 30 s after the
 * request. */
#define OWN_WITHIN "fairlead-within-"

static uint32_t read_word(struct str word)
{
    static const struct {
        const char *word;
        uint32_t bit;
    } words[] = {
        {"5xx", RETRY_5XX},
        {"gateway-error", RETRY_GATEWAY_ERROR},
        {"reset", RETRY_RESET},
        {"reset-before-request", RETRY_RESET_BEFORE_REQUEST},
        {"connect-failure", RETRY_CONNECT_FAILURE},
        {"refused-stream", RETRY_REFUSED_STREAM},
        {"retriable-4xx", RETRY_4XX},
        {"retriable-status-codes", RETRY_STATUS_CODES},
        {"retriable-headers", RETRY_HEADERS},
        {"envoy-ratelimited", RETRY_RATELIMITED},
        {"cancelled", RETRY_GRPC_CANCELLED},
        {"deadline-exceeded", RETRY_GRPC_DEADLINE},
        {"internal", RETRY_GRPC_INTERNAL},
        {"resource-exhausted", RETRY_GRPC_EXHAUSTED},
        {"unavailable", RETRY_GRPC_UNAVAILABLE},
        {"fairlead-timeout", RETRY_TIMEOUT},
        {"fairlead-safe-reset", RETRY_SAFE_RESET},
        {"fairlead-safe-timeout", RETRY_SAFE_TIMEOUT},
        {"fairlead-safe-status-codes", RETRY_SAFE_STATUS_CODES},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_is(word, words[i].word))
            return words[i].bit;
    return 0; /* Envoy ignores what it does not know, and so do istiod's defaults rely on it */
}

static void read_words(const char *list, struct retry_policy *p)
{
    static const struct str within = STR(OWN_WITHIN);
    uint64_t s;
    struct str left = str_from(list);
    while (left.n) {
        const char *comma = memchr(left.p, ',', left.n);
        size_t n = comma ? (size_t)(comma - left.p) : left.n;
        struct str word = str_trim(str_sub(left, 0, n));
        p->on |= read_word(word);
        if (str_starts(word, within) && str_to_u64(str_sub(word, within.n, word.n), &s) == 0)
            p->within_ms = MIN(s, (uint64_t)UINT32_MAX) * 1000;
        left = str_sub(left, comma ? n + 1 : n, left.n);
    }
}

static int compile_fields(Envoy__Config__Route__V3__HeaderMatcher **m, size_t n, const char *field,
                          struct arena *a, struct pb_path *path, struct field_match **ret,
                          size_t *ret_n, struct err *reterr)
{
    *ret = n ? arena_alloc(a, n * sizeof(**ret)) : NULL;
    if (n && !*ret)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        size_t mark = pb_path_field(path, field);
        pb_path_index(path, i);
        int r = field_match_compile(m[i], a, path, &(*ret)[i], reterr);
        if (r < 0)
            return r;
        pb_path_back(path, mark);
    }
    *ret_n = n;
    return 0;
}

static int compile_hosts(const pb_policy *m, struct pb_path *path, struct retry_policy *p,
                         struct err *reterr)
{
    size_t mark = pb_path_field(path, "retry_host_predicate");
    for (size_t i = 0; i < m->n_retry_host_predicate; i++) {
        if (strcmp(m->retry_host_predicate[i]->name, "envoy.retry_host_predicates.previous_hosts"))
            return pb_path_fail(path, reterr, -EINVAL,
                                "only envoy.retry_host_predicates.previous_hosts is implemented");
        p->other_hosts = true;
    }
    pb_path_back(path, mark);
    int64_t tries = m->host_selection_retry_max_attempts;
    p->tries_max = tries > 0 && tries < 1000 ? (uint32_t)tries : tries > 0 ? 1000 : 1;
    return 0;
}

static int compile_wait(const pb_policy *m, struct pb_path *path, struct retry_policy *p,
                        struct err *reterr)
{
    p->base_ms = duration_ms(m->retry_back_off ? m->retry_back_off->base_interval : NULL, BASE_MS);
    p->max_ms = duration_ms(m->retry_back_off ? m->retry_back_off->max_interval : NULL,
                            p->base_ms * MAX_FACTOR);
    if (!p->base_ms)
        return pb_path_fail(path, reterr, -EINVAL, "retry_back_off: base_interval must be above 0");
    return p->max_ms < p->base_ms ? pb_path_fail(path, reterr, -EINVAL,
                                                 "retry_back_off: max_interval must not be below "
                                                 "base_interval")
                                  : 0;
}

int retry_policy_compile(const pb_policy *m, struct arena *a, struct pb_path *path,
                         struct retry_policy **ret, struct err *reterr)
{
    struct retry_policy *p = arena_alloc(a, sizeof(*p));
    if (!p)
        return -ENOMEM;
    read_words(m->retry_on, p);
    p->retries_max = MIN(m->num_retries ? m->num_retries->value : 1, (uint32_t)RETRIES_MAX);
    p->per_try_timeout_ms = duration_ms(m->per_try_timeout, 0);
    p->per_try_idle_ms = duration_ms(m->per_try_idle_timeout, 0);
    p->n_statuses = m->n_retriable_status_codes;
    p->statuses = p->n_statuses ? arena_alloc(a, p->n_statuses * sizeof(*p->statuses)) : NULL;
    if (p->n_statuses && !p->statuses)
        return -ENOMEM;
    for (size_t i = 0; i < p->n_statuses; i++)
        p->statuses[i] = m->retriable_status_codes[i];
    int r = compile_fields(m->retriable_headers, m->n_retriable_headers, "retriable_headers", a,
                           path, &p->fields, &p->n_fields, reterr);
    if (r == 0)
        r = compile_fields(m->retriable_request_headers, m->n_retriable_request_headers,
                           "retriable_request_headers", a, path, &p->request_fields,
                           &p->n_request_fields, reterr);
    if (r == 0)
        r = compile_hosts(m, path, p, reterr);
    if (r == 0)
        r = compile_wait(m, path, p, reterr);
    if (r == 0)
        *ret = p;
    return r;
}

static bool any_field(const struct field_match *f, size_t n, const struct http_head *h)
{
    for (size_t i = 0; i < n; i++)
        if (field_matches(&f[i], h))
            return true;
    return false;
}

bool retry_policy_takes_request(const struct retry_policy *p, const struct http_head *request)
{
    return !p->n_request_fields || any_field(p->request_fields, p->n_request_fields, request);
}

/* RFC 9110 section 9.2.2. */
static bool is_idempotent(struct str method)
{
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_is(method, methods[i]))
            return true;
    return false;
}

uint32_t retry_policy_on(const struct retry_policy *p, const struct http_head *request)
{
    return p->on & RETRY_SAFE && !is_idempotent(request->method) ? p->on & ~(uint32_t)RETRY_SAFE
                                                                 : p->on;
}

static bool wants_grpc(uint32_t on, const struct http_head *answer)
{
    static const uint32_t bits[] = {[1] = RETRY_GRPC_CANCELLED,
                                    [4] = RETRY_GRPC_DEADLINE,
                                    [8] = RETRY_GRPC_EXHAUSTED,
                                    [13] = RETRY_GRPC_INTERNAL,
                                    [14] = RETRY_GRPC_UNAVAILABLE};
    uint64_t code;
    struct str s = http_field_value(http_head_find(answer, HTTP_NAME_GRPC_STATUS));
    return s.p && str_to_u64(s, &code) == 0 && code < ARRAY_LEN(bits) && (on & bits[code]);
}

#define STATUS_CODES (RETRY_STATUS_CODES | RETRY_SAFE_STATUS_CODES)

bool retry_policy_wants_answer(const struct retry_policy *p, uint32_t on,
                               const struct http_head *answer)
{
    unsigned status = answer->status;
    if (status < 400 &&
        !(on & (RETRY_HEADERS | STATUS_CODES | RETRY_GRPC_CANCELLED | RETRY_GRPC_DEADLINE |
                RETRY_GRPC_INTERNAL | RETRY_GRPC_EXHAUSTED | RETRY_GRPC_UNAVAILABLE)))
        return false;
    if (status >= 400 && http_head_find_text(answer, STR("x-envoy-overloaded")))
        return false;
    if (status >= 400 && http_head_find_text(answer, STR("x-envoy-ratelimited")))
        return on & RETRY_RATELIMITED;
    if ((on & RETRY_5XX && status >= 500 && status < 600) ||
        (on & RETRY_GATEWAY_ERROR && status >= 502 && status <= 504) ||
        (on & RETRY_4XX && status == 409))
        return true;
    for (size_t i = 0; on & STATUS_CODES && i < p->n_statuses; i++)
        if (p->statuses[i] == status)
            return true;
    if (on & RETRY_HEADERS && any_field(p->fields, p->n_fields, answer))
        return true;
    return wants_grpc(on, answer);
}

bool retry_policy_wants_failure(uint32_t on, enum reason why, bool sent)
{
    if (why == REASON_OVERFLOW)
        return false;
    if (why == REASON_PER_TRY_TIMEOUT || why == REASON_PER_TRY_IDLE) {
        if (on & (RETRY_TIMEOUT | RETRY_SAFE_TIMEOUT))
            return true;
    } else if (on & RETRY_SAFE_RESET) {
        return true;
    }
    if (on & (RETRY_RESET | RETRY_5XX | RETRY_GATEWAY_ERROR))
        return true;
    if (on & RETRY_CONNECT_FAILURE &&
        (why == REASON_CONNECT_FAILED || why == REASON_CONNECT_TIMEOUT))
        return true;
    if (on & RETRY_REFUSED_STREAM && why == REASON_UPSTREAM_REFUSED)
        return true;
    return on & RETRY_RESET_BEFORE_REQUEST && !sent;
}

uint64_t retry_policy_wait_ms(const struct retry_policy *p, unsigned n, uint64_t random)
{
    unsigned doublings = MIN(n - 1, (unsigned)WAIT_DOUBLINGS_MAX);
    uint64_t span = MIN(p->base_ms << doublings, p->max_ms);
    return random % span;
}
