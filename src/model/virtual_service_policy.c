/* What becomes of requests of a route on their way: further tries, faults, CORS, fields. */
#include "model/virtual_service_priv.h"

#include "codec/http_head.h"

enum {
    TRIES_DEFAULT = 3, /* with the first */
    OTHER_HOST_CHOICES = 5,
};

#define RETRY_ON_DEFAULT "connect-failure,refused-stream,unavailable,cancelled"

/* ---- further tries ---- */

void virtual_service_default_retry(struct route *r)
{
    free(r->retry.conditions);
    r->retry = (struct route_retry){.conditions = xstrdup(RETRY_ON_DEFAULT),
                                    .tries = TRIES_DEFAULT,
                                    .other_hosts = OTHER_HOST_CHOICES};
}

static bool is_condition(struct str word)
{
    static const char *const words[] = {"5xx",
                                        "gateway-error",
                                        "reset",
                                        "reset-before-request",
                                        "connect-failure",
                                        "retriable-4xx",
                                        "refused-stream",
                                        "retriable-status-codes",
                                        "retriable-headers",
                                        "envoy-ratelimited",
                                        "http3-post-connect-failure",
                                        "cancelled",
                                        "deadline-exceeded",
                                        "internal",
                                        "resource-exhausted",
                                        "unavailable"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_is(word, words[i]))
            return true;
    return false;
}

/* Words, and statuses among them: "503,reset". */
static bool read_conditions(struct object_reader *r, const char *text, struct route_retry *to)
{
    AUTO_DONE(buf) struct buf words = {0};
    struct str rest = str_from(text);
    to->n_statuses = 0;
    while (rest.p) {
        struct str word = str_trim(str_cut(rest, ',', &rest));
        uint64_t status = 0;
        if (word.n && str_to_u64(word, &status) == 0) {
            if (status < 100 || status > 599)
                return reader_error(r, "retryOn", NULL, STR_FMT " is no status", STR_ARG(word));
            if (to->n_statuses == ROUTE_RETRY_STATUSES_MAX)
                return reader_error(r, "retryOn", "use 5xx", "has more than %d statuses",
                                    ROUTE_RETRY_STATUSES_MAX);
            to->statuses[to->n_statuses++] = (uint16_t)status;
        } else if (!is_condition(word)) {
            return reader_error(r, "retryOn", "the words are Envoy's: 5xx, reset, ...",
                                "\"%.*s\" is no condition", (int)MIN(word.n, (size_t)60), word.p);
        } else {
            buf_addf(&words, "%s" STR_FMT, words.n ? "," : "", STR_ARG(word));
        }
    }
    if (to->n_statuses && !str_contains(buf_str(&words), STR("retriable-status-codes")))
        buf_addf(&words, "%sretriable-status-codes", words.n ? "," : "");
    free(to->conditions);
    to->conditions = buf_take_cstr(&words);
    return true;
}

bool virtual_service_read_retries(struct object_reader *r, const json_t *http, struct route *to)
{
    const json_t *of = json_object_get(http, "retries");
    uint64_t per_try = 0, backoff = 0;
    int64_t attempts = 0;
    if (to->action != ROUTE_FORWARD)
        return true;
    virtual_service_default_retry(to);
    if (!of || json_is_null(of))
        return true;
    size_t mark = reader_enter(r, "retries");
    const char *on = json_at_str(of, "retryOn");
    bool ok = reader_number(r, of, "attempts", 0, INT32_MAX, &attempts);
    ok = reader_duration_ms(r, of, "perTryTimeout", 1, &per_try) && ok;
    ok = reader_duration_ms(r, of, "backoff", 1, &backoff) && ok;
    if (!str_empty(on))
        ok = read_conditions(r, on, &to->retry) && ok;
    if (ok && !attempts && (on || per_try || backoff))
        reader_warn(r, "attempts", "give a number", "is 0: nothing is tried again");
    if (json_at_bool(of, "retryRemoteLocalities", false))
        reader_warn(r, "retryRemoteLocalities", NULL, "is not done yet: it has no effect");
    to->retry.on = attempts ? 0 : ROUTE_RETRY_OFF;
    to->retry.tries = (uint32_t)MIN(attempts, (int64_t)99) + 1;
    to->retry.per_try_ms = (uint32_t)per_try;
    to->retry.backoff_ms = (uint32_t)backoff;
    if (!json_at_bool(of, "retryIgnorePreviousHosts", true))
        to->retry.other_hosts = 0;
    reader_leave(r, mark);
    return ok;
}

/* ---- faults ---- */

/* percentage, or the old percent. */
static bool read_share(struct object_reader *r, const json_t *of, uint32_t *ret)
{
    int64_t percent = 0;
    if (!reader_number(r, of, "percent", 0, 100, &percent))
        return false;
    *ret = (uint32_t)percent * (ROUTE_ALL / 100);
    if (!json_object_get(of, "percentage") && !json_object_get(of, "percent"))
        reader_warn(r, "percentage", "say {value: 100}", "is missing: no request is meant");
    return reader_percentage(r, of, "percentage", ret);
}

static bool read_delay(struct object_reader *r, const json_t *of, struct route_fault *to)
{
    uint64_t ms = 0;
    bool ok = read_share(r, of, &to->delay_per_million);
    if (json_object_get(of, "exponentialDelay"))
        return reader_error(r, "exponentialDelay", "use fixedDelay", "is not supported");
    ok = reader_duration_ms(r, of, "fixedDelay", 1, &ms) && ok;
    if (ok && !ms)
        ok = reader_error(r, "fixedDelay", "say how long", "is missing");
    to->delay_ms = (uint32_t)ms;
    return ok;
}

/* By its name, or its number. */
static bool read_grpc_status(struct object_reader *r, const json_t *of, int64_t http,
                             struct route_fault *to)
{
    static const char *const names[] = {"OK",
                                        "CANCELLED",
                                        "UNKNOWN",
                                        "INVALID_ARGUMENT",
                                        "DEADLINE_EXCEEDED",
                                        "NOT_FOUND",
                                        "ALREADY_EXISTS",
                                        "PERMISSION_DENIED",
                                        "RESOURCE_EXHAUSTED",
                                        "FAILED_PRECONDITION",
                                        "ABORTED",
                                        "OUT_OF_RANGE",
                                        "UNIMPLEMENTED",
                                        "INTERNAL",
                                        "UNAVAILABLE",
                                        "DATA_LOSS",
                                        "UNAUTHENTICATED"};
    const char *text = json_key_str(of, "grpcStatus");
    uint64_t number = ARRAY_LEN(names);
    if (http)
        return reader_error(r, "grpcStatus", "say one of the two", "stands beside httpStatus");
    for (unsigned i = 0; text && i < ARRAY_LEN(names); i++)
        if (streq(text, names[i]))
            number = i;
    if (text && number == ARRAY_LEN(names) && str_to_u64(str_from(text), &number) < 0)
        number = ARRAY_LEN(names);
    if (number >= ARRAY_LEN(names))
        return reader_error(r, "grpcStatus", "use a name such as UNAVAILABLE",
                            "\"%.40s\" is no status of gRPC", text ? text : "");
    to->abort_grpc = (uint8_t)(number + 1);
    return true;
}

static bool read_abort(struct object_reader *r, const json_t *of, struct route_fault *to)
{
    int64_t status = 0;
    bool ok = read_share(r, of, &to->abort_per_million);
    ok = reader_number(r, of, "httpStatus", 200, 599, &status) && ok;
    if (json_object_get(of, "grpcStatus"))
        return read_grpc_status(r, of, status, to) && ok;
    if (json_object_get(of, "http2Error"))
        return reader_error(r, "http2Error", "use httpStatus", "is not supported");
    if (ok && !status)
        ok = reader_error(r, "httpStatus", "give a status of HTTP", "is missing");
    to->abort_status = (uint16_t)status;
    return ok;
}

bool virtual_service_read_fault(struct object_reader *r, const json_t *http, struct route *to)
{
    const json_t *of = json_object_get(http, "fault"), *delay = json_object_get(of, "delay"),
                 *abort = json_object_get(of, "abort");
    bool ok = true;
    if (!of)
        return true;
    size_t mark = reader_enter(r, "fault"), part;
    if (!delay && !abort)
        ok = reader_error(r, NULL, "say delay, abort or both", "says nothing");
    if (delay) {
        part = reader_enter(r, "delay");
        ok = read_delay(r, delay, &to->fault) && ok;
        reader_leave(r, part);
    }
    if (abort) {
        part = reader_enter(r, "abort");
        ok = read_abort(r, abort, &to->fault) && ok;
        reader_leave(r, part);
    }
    reader_leave(r, mark);
    return ok;
}

/* ---- CORS ---- */

/* A list as one text: "GET,PUT". NULL: empty. */
static char *read_list(struct object_reader *r, const json_t *of, const char *name, bool tokens,
                       bool *ok)
{
    const json_t *list = json_object_get(of, name);
    AUTO_DONE(buf) struct buf text = {0};
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *one = json_string_value(json_array_get(list, i));
        size_t mark = reader_enter_item(r, name, i);
        if (!one || (tokens && !http_is_token(str_from(one))))
            *ok = reader_error(r, NULL, NULL, "is no word of HTTP");
        else
            buf_addf(&text, "%s%s", text.n ? "," : "", one);
        reader_leave(r, mark);
    }
    return text.n ? buf_take_cstr(&text) : NULL;
}

static bool read_origins(struct object_reader *r, const json_t *of, struct route_cors *to)
{
    const json_t *list = json_object_get(of, "allowOrigins"),
                 *old = json_object_get(of, "allowOrigin");
    bool ok = true;
    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t mark = reader_enter_item(r, "allowOrigins", i);
        struct route_header *h = route_headers_add(&to->like, &to->n_like);
        h->name = xstrdup("origin");
        ok = reader_comparison(r, json_array_get(list, i), false, h) && ok;
        if (ok && h->how == ROUTE_IS_THERE) { /* every one begins with nothing */
            free(h->value);
            h->how = ROUTE_IS_LIKE;
            h->value = xstrdup(".*");
        } else if (ok && h->how == ROUTE_IS && streq(h->value, "*")) {
            free(h->value);
            h->how = ROUTE_IS_LIKE;
            h->value = xstrdup(".*");
        }
        reader_leave(r, mark);
    }
    for (size_t i = 0; i < json_array_size(old); i++) {
        const char *one = json_string_value(json_array_get(old, i));
        struct route_header *h = route_headers_add(&to->like, &to->n_like);
        h->name = xstrdup("origin");
        h->how = streq(one, "*") ? ROUTE_IS_LIKE : ROUTE_IS;
        h->value = xstrdup(streq(one, "*") ? ".*" : one ? one : "");
    }
    return ok;
}

bool virtual_service_read_cors(struct object_reader *r, const json_t *http, struct route *to)
{
    const json_t *of = json_object_get(http, "corsPolicy");
    struct route_cors *c = &to->cors;
    const char *others = json_at_str(of, "unmatchedPreflights");
    uint64_t age = 0;
    if (!of)
        return true;
    size_t mark = reader_enter(r, "corsPolicy");
    bool ok = read_origins(r, of, c);
    c->on = true;
    c->methods = read_list(r, of, "allowMethods", true, &ok);
    c->headers = read_list(r, of, "allowHeaders", true, &ok);
    c->expose = read_list(r, of, "exposeHeaders", true, &ok);
    c->credentials = json_at_bool(of, "allowCredentials", false);
    c->answers_all = streq(others, "IGNORE");
    ok = reader_duration_ms(r, of, "maxAge", 1, &age) && ok;
    if (age % 1000)
        ok = reader_error(r, "maxAge", "give whole seconds", "is no number of seconds");
    c->max_age = age ? xasprintf("%llu", (unsigned long long)age / 1000) : NULL;
    reader_leave(r, mark);
    return ok;
}

/* ---- fields ---- */

char *virtual_service_field_name(struct object_reader *r, const char *name)
{
    bool pseudo = *name == ':';
    char *lower;
    if (!http_is_token(str_from(name + pseudo))) {
        reader_error(r, NULL, NULL, "is no name of a header");
        return NULL;
    }
    lower = xstrdup(name);
    for (char *c = lower; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + 32);
    return lower;
}

static bool read_set(struct object_reader *r, const json_t *of, const char *name,
                     enum route_field_op op, struct route_fields *to)
{
    const json_t *map = json_object_get(of, name);
    const char *key;
    json_t *value;
    bool ok = true;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        size_t mark = reader_enter_key(r, name, key);
        const char *text = json_string_value(value);
        AUTO_CHARS char *lower = virtual_service_field_name(r, key);
        if (!lower)
            ok = false;
        else if (*lower == ':' && !streq(lower, ":authority"))
            ok = reader_error(r, NULL, "use rewrite", "is no header that can be changed");
        else if (!text || !http_is_value(str_from(text)))
            ok = reader_error(r, NULL, NULL, "is no value of a header");
        else
            route_add_field(to, lower, text, op);
        if (text && strchr(text, '%'))
            reader_warn(r, NULL, NULL,
                        "%% is taken as text: no operators of Envoy's are filled in");
        reader_leave(r, mark);
    }
    return ok;
}

static bool read_changes(struct object_reader *r, const json_t *of, struct route_fields *to)
{
    const json_t *remove = json_object_get(of, "remove");
    bool ok = read_set(r, of, "set", ROUTE_FIELD_SET, to);
    ok = read_set(r, of, "add", ROUTE_FIELD_ADD, to) && ok;
    for (size_t i = 0; i < json_array_size(remove); i++) {
        const char *name = json_string_value(json_array_get(remove, i));
        size_t mark = reader_enter_item(r, "remove", i);
        AUTO_CHARS char *lower = virtual_service_field_name(r, name ? name : "");
        if (lower && (*lower == ':' || streq(lower, "host")))
            ok = reader_error(r, NULL, NULL, "cannot be removed");
        else if (lower)
            route_add_field(to, lower, "", ROUTE_FIELD_REMOVE);
        ok = ok && lower;
        reader_leave(r, mark);
    }
    return ok;
}

bool virtual_service_read_headers(struct object_reader *r, const json_t *of,
                                  struct route_fields *requests, struct route_fields *answers)
{
    const json_t *headers = json_object_get(of, "headers");
    if (!headers)
        return true;
    size_t mark = reader_enter(r, "headers"), part = reader_enter(r, "request");
    bool ok = read_changes(r, json_object_get(headers, "request"), requests);
    reader_leave(r, part);
    part = reader_enter(r, "response");
    ok = read_changes(r, json_object_get(headers, "response"), answers) && ok;
    reader_leave(r, part);
    reader_leave(r, mark);
    return ok;
}
