/* Tokens of requests (RFC 7519) against key sets written in place. Which providers a token may be
 * of, the places say where it stands. A request without a token passes: who must have one, RBAC
 * says by what this filter tells it (dynamic metadata). A token of nobody's, or that does not
 * verify, is refused wherever it stands. No token is ever logged. */
#include <errno.h>

#include <envoy/extensions/filters/http/jwt_authn/v3/config.pb-c.h>

#include "base/time.h"
#include "net/tls_jwks.h"
#include "proxy/cookie.h"
#include "proxy/filter_table.h"
#include "proxy/header_ops.h"

typedef Envoy__Extensions__Filters__Http__JwtAuthn__V3__JwtAuthentication pb_filter;
typedef Envoy__Extensions__Filters__Http__JwtAuthn__V3__JwtProvider pb_provider;

typedef Envoy__Extensions__Filters__Http__JwtAuthn__V3__JwtRequirement pb_requirement;
typedef Envoy__Extensions__Filters__Http__JwtAuthn__V3__JwtRequirementOrList pb_or_list;

#define REQUIRES(kind)                                                                             \
    ENVOY__EXTENSIONS__FILTERS__HTTP__JWT_AUTHN__V3__JWT_REQUIREMENT__REQUIRES_TYPE_##kind

enum {
    PROVIDERS_MAX = 64,
    TOKENS_MAX = 8, /* of a request: each is verified */
    CLOCK_SKEW_S = 60,
};

#define FILTER_NAME "envoy.filters.http.jwt_authn"

struct place {
    struct header_name name;
    struct str prefix; /* Bearer and a blank */
};

struct claim_field {
    struct header_name name;
    struct str claim; /* a.b: below one another */
};

struct provider {
    struct str issuer; /* empty: any */
    struct str *audiences;
    size_t n_audiences;
    struct place *fields;
    size_t n_fields;
    struct str *parameters, *cookies, *delimited;
    size_t n_parameters, n_cookies, n_delimited;
    struct tls_jwks *keys;
    struct claim_field *claims;
    size_t n_claims;
    struct header_name payload_field; /* .text.n 0: none */
    const char *metadata;             /* NULL: nothing is told */
    int64_t skew_s;
    bool forward, must_end;
};

struct jwt_authn {
    struct provider *providers;
    size_t n;
    bool bypass_preflight, no_words;
    bool any; /* there is a rule */
};

/* ---- configuration ---- */

static void free_keys(void *p)
{
    tls_jwks_free(p);
}

static struct header_name name_of(struct filter_compile *c, const char *text)
{
    struct str s = arena_str(c->a, str_from(text));
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] >= 'A' && s.p[i] <= 'Z')
            ((char *)(uintptr_t)s.p)[i] = (char)(s.p[i] + 32);
    return (struct header_name){(uint16_t)(s.n ? http_name_find(s) : HTTP_NAME_OTHER), s};
}

static int texts(struct filter_compile *c, char *const *m, size_t n, struct str **ret,
                 size_t *ret_n)
{
    *ret = arena_alloc(c->a, n * sizeof(**ret));
    if (!*ret)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        (*ret)[i] = arena_str(c->a, str_from(m[i]));
        if (!(*ret)[i].p)
            return -ENOMEM;
    }
    *ret_n = n;
    return 0;
}

static int compile_keys(struct filter_compile *c, const Envoy__Config__Core__V3__DataSource *m,
                        struct provider *ret)
{
    size_t mark = pb_path_field(c->path, "local_jwks");
    struct str text = {NULL, 0};
    struct err err = {0};
    if (m && m->specifier_case == ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING)
        text = str_from(m->inline_string);
    else if (m && m->specifier_case == ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES)
        text = str_of(m->inline_bytes.data, m->inline_bytes.len);
    else
        return pb_path_fail(c->path, c->err, -EINVAL, "needs one of inline_string, inline_bytes");
    if (tls_jwks_new(text, &ret->keys, &err) < 0)
        return pb_path_fail(c->path, c->err, -EINVAL, "is no key set: %s", err_text(&err));
    if (arena_defer(c->a, free_keys, ret->keys) < 0) {
        tls_jwks_free(ret->keys);
        return -ENOMEM;
    }
    pb_path_back(c->path, mark);
    return 0;
}

/* Without a place: Authorization, and the parameter access_token. */
static int compile_places(struct filter_compile *c, const pb_provider *m, struct provider *ret)
{
    static char access_token[] = "access_token", *const parameter[] = {access_token};
    bool said = m->n_from_headers || m->n_from_params || m->n_from_cookies;
    size_t n = said ? m->n_from_headers : 1;
    ret->n_fields = n;
    ret->fields = arena_alloc(c->a, n * sizeof(*ret->fields));
    if (!ret->fields)
        return -ENOMEM;
    if (!said)
        ret->fields[0] = (struct place){name_of(c, "authorization"), STR("Bearer ")};
    for (size_t i = 0; said && i < n; i++) {
        ret->fields[i].name = name_of(c, m->from_headers[i]->name);
        ret->fields[i].prefix = arena_str(c->a, str_from(m->from_headers[i]->value_prefix));
        if (!ret->fields[i].name.text.p || !ret->fields[i].prefix.p)
            return -ENOMEM;
    }
    int r = texts(c, m->from_cookies, m->n_from_cookies, &ret->cookies, &ret->n_cookies);
    if (r < 0)
        return r;
    return said ? texts(c, m->from_params, m->n_from_params, &ret->parameters, &ret->n_parameters)
                : texts(c, parameter, 1, &ret->parameters, &ret->n_parameters);
}

static int compile_output(struct filter_compile *c, const pb_provider *m, struct provider *ret)
{
    ret->forward = m->forward;
    ret->payload_field = name_of(c, m->forward_payload_header);
    ret->n_claims = m->n_claim_to_headers;
    ret->claims = arena_alloc(c->a, ret->n_claims * sizeof(*ret->claims));
    if (!ret->claims || !ret->payload_field.text.p)
        return -ENOMEM;
    for (size_t i = 0; i < ret->n_claims; i++) {
        ret->claims[i].name = name_of(c, m->claim_to_headers[i]->header_name);
        ret->claims[i].claim = arena_str(c->a, str_from(m->claim_to_headers[i]->claim_name));
        if (!ret->claims[i].name.text.p || !ret->claims[i].claim.p)
            return -ENOMEM;
    }
    if (*m->payload_in_metadata) {
        ret->metadata = arena_str(c->a, str_from(m->payload_in_metadata)).p;
        if (!ret->metadata)
            return -ENOMEM;
    }
    const Envoy__Extensions__Filters__Http__JwtAuthn__V3__JwtProvider__NormalizePayload *norm =
        m->normalize_payload_in_metadata;
    return norm ? texts(c, norm->space_delimited_claims, norm->n_space_delimited_claims,
                        &ret->delimited, &ret->n_delimited)
                : 0;
}

static int compile_provider(struct filter_compile *c, const pb_provider *m, struct provider *ret)
{
    ret->issuer = arena_str(c->a, str_from(m->issuer));
    ret->skew_s = m->clock_skew_seconds ? m->clock_skew_seconds : CLOCK_SKEW_S;
    ret->must_end = m->require_expiration;
    if (!ret->issuer.p)
        return -ENOMEM;
    int r = texts(c, m->audiences, m->n_audiences, &ret->audiences, &ret->n_audiences);
    if (r == 0)
        r = compile_keys(c, m->local_jwks, ret);
    if (r == 0)
        r = compile_places(c, m, ret);
    return r < 0 ? r : compile_output(c, m, ret);
}

/* What is asked for, one after another: "a token of this provider's, if there is one". */
struct asked {
    bool of[PROVIDERS_MAX];
    bool otherwise; /* something else is asked for */
};

static void ask_provider(const pb_filter *m, const char *name, struct asked *ret)
{
    size_t i = 0;
    while (i < m->n_providers && !streq(m->providers[i]->key, name))
        i++;
    if (i == m->n_providers)
        ret->otherwise = true;
    else
        ret->of[i] = true;
}

/* {requires_any: [{provider_name}, {allow_missing}]}, of one provider. */
static void ask_any(const pb_filter *m, const pb_or_list *list, struct asked *ret)
{
    const char *name = NULL;
    bool missing = false;
    for (size_t i = 0; i < list->n_requirements; i++) {
        const pb_requirement *one = list->requirements[i];
        if (one->requires_type_case == REQUIRES(PROVIDER_NAME) && !name)
            name = one->provider_name;
        else if (one->requires_type_case == REQUIRES(ALLOW_MISSING))
            missing = true;
        else
            ret->otherwise = true;
    }
    if (name && missing)
        ask_provider(m, name, ret);
    else
        ret->otherwise = true;
}

/* Istio asks so of every provider: whatever tokens there are must be good. */
static bool asks_of_each(const pb_filter *m, const pb_requirement *r)
{
    struct asked asked = {{false}, false};
    if (r->requires_type_case == REQUIRES(REQUIRES_ANY)) {
        ask_any(m, r->requires_any, &asked);
    } else if (r->requires_type_case == REQUIRES(REQUIRES_ALL)) {
        for (size_t i = 0; i < r->requires_all->n_requirements; i++) {
            const pb_requirement *one = r->requires_all->requirements[i];
            if (one->requires_type_case == REQUIRES(REQUIRES_ANY))
                ask_any(m, one->requires_any, &asked);
            else
                asked.otherwise = true;
        }
    } else {
        return r->requires_type_case == REQUIRES(ALLOW_MISSING);
    }
    for (size_t i = 0; i < m->n_providers; i++)
        asked.otherwise = asked.otherwise || !asked.of[i];
    return !asked.otherwise;
}

static int compile_rules(struct filter_compile *c, const pb_filter *m, struct jwt_authn *ret)
{
    if (m->n_rules > 1)
        return pb_path_fail(c->path, c->err, -EINVAL, "rules: one is implemented");
    for (size_t i = 0; i < m->n_rules; i++) {
        const Envoy__Config__Route__V3__RouteMatch *match = m->rules[i]->match;
        if (!match ||
            match->path_specifier_case !=
                ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX ||
            !streq(match->prefix, "/") || match->n_headers || match->n_query_parameters)
            return pb_path_fail(c->path, c->err, -EINVAL,
                                "rules[0].match: the prefix / alone is implemented");
        const pb_requirement *r = m->rules[i]->requires;
        ret->any = r && asks_of_each(m, r);
        if (r && r->requires_type_case && !ret->any)
            return pb_path_fail(c->path, c->err, -EINVAL,
                                "rules[0].requires: allow_missing, or of each provider "
                                "provider_name or allow_missing, is implemented");
    }
    return 0;
}

static int compile(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_filter *m = (const pb_filter *)message;
    struct jwt_authn *j = *ret = arena_alloc(c->a, sizeof(*j));
    if (!j)
        return -ENOMEM;
    if (m->n_providers > PROVIDERS_MAX)
        return pb_path_fail(c->path, c->err, -EINVAL, "providers: at most %d", PROVIDERS_MAX);
    j->n = m->n_providers;
    j->providers = arena_alloc(c->a, j->n * sizeof(*j->providers));
    j->bypass_preflight = m->bypass_cors_preflight;
    j->no_words = m->strip_failure_response;
    if (!j->providers)
        return -ENOMEM;
    for (size_t i = 0; i < j->n; i++) {
        size_t mark = pb_path_field(c->path, "providers");
        pb_path_key(c->path, str_from(m->providers[i]->key));
        int r = compile_provider(c, m->providers[i]->value, &j->providers[i]);
        if (r < 0)
            return r;
        pb_path_back(c->path, mark);
    }
    return compile_rules(c, m, j);
}

/* ---- where tokens stand ---- */

struct token {
    struct str text;
    uint64_t of;              /* providers that have such a place, a bit each */
    struct http_field *field; /* NULL: it stands in none */
};

struct tokens {
    struct token v[TOKENS_MAX];
    size_t n;
    bool full;
};

static void add_token(struct tokens *t, struct str text, size_t provider, struct http_field *field)
{
    size_t i = 0;
    if (!text.n)
        return;
    while (i < t->n && !(t->v[i].text.p == text.p || str_eq(t->v[i].text, text)))
        i++;
    if (i == TOKENS_MAX) {
        t->full = true;
        return;
    }
    if (i == t->n)
        t->v[t->n++] = (struct token){.text = text, .field = field};
    t->v[i].of |= 1ull << provider;
}

static bool is_named(const struct http_field *f, const struct header_name *name)
{
    return f->name_n && f->id == name->id &&
           (name->id != HTTP_NAME_OTHER || str_eq_nocase(str_of(f->name, f->name_n), name->text));
}

static void find_in_fields(struct http_head *h, const struct provider *p, size_t index,
                           struct tokens *ret)
{
    for (size_t i = 0; i < p->n_fields; i++)
        for (uint16_t k = 0; k < h->n; k++) {
            struct http_field *f = &h->fields[k];
            struct str value = http_field_value(f), prefix = p->fields[i].prefix;
            if (is_named(f, &p->fields[i].name) && str_starts(value, prefix))
                add_token(ret, str_trim(str_sub(value, prefix.n, value.n)), index, f);
        }
}

static void find_in_query(const struct http_head *h, const struct provider *p, size_t index,
                          struct tokens *ret)
{
    struct str query;
    str_cut(h->path, '?', &query);
    while (query.p) {
        struct str value, name = str_cut(str_cut(query, '&', &query), '=', &value);
        for (size_t i = 0; i < p->n_parameters; i++)
            if (str_eq(name, p->parameters[i]))
                add_token(ret, value, index, NULL);
    }
}

static void find_tokens(const struct jwt_authn *j, struct http_head *h, struct tokens *ret)
{
    for (size_t i = 0; i < j->n; i++) {
        const struct provider *p = &j->providers[i];
        find_in_fields(h, p, i, ret);
        find_in_query(h, p, i, ret);
        for (size_t k = 0; k < p->n_cookies; k++)
            add_token(ret, cookie_find(h, p->cookies[k]), i, NULL);
    }
}

/* ---- whether one is valid ---- */

/* False: it is there, and no time. *ret stays where it is not there. */
static bool read_time(const json_t *payload, const char *name, int64_t *ret)
{
    const json_t *v = json_object_get(payload, name);
    if (!v)
        return true;
    double n = json_is_number(v) ? json_number_value(v) : -1;
    if (!(n >= 0 && n < 1e15))
        return false;
    *ret = (int64_t)n;
    return true;
}

static const char *check_times(const struct provider *p, const json_t *payload)
{
    int64_t now = time_real_s(), begin = 0, end = INT64_MAX;
    if (!read_time(payload, "nbf", &begin))
        return "Jwt payload [nbf] field is not a positive integer";
    if (!read_time(payload, "exp", &end))
        return "Jwt payload [exp] field is not a positive integer";
    if (p->must_end && end == INT64_MAX)
        return "Jwt is missing required expiration claim";
    if (begin > now + p->skew_s)
        return "Jwt not yet valid";
    return end < now - p->skew_s ? "Jwt is expired" : NULL;
}

/* Without its scheme and the last slash, as Envoy compares. */
static struct str bare(struct str s)
{
    if (str_starts(s, STR("http://")))
        s = str_sub(s, 7, s.n);
    else if (str_starts(s, STR("https://")))
        s = str_sub(s, 8, s.n);
    return s.n && s.p[s.n - 1] == '/' ? str_sub(s, 0, s.n - 1) : s;
}

static bool is_for(const struct provider *p, const json_t *audience)
{
    const char *text = json_string_value(audience);
    for (size_t i = 0; text && i < p->n_audiences; i++)
        if (str_eq(bare(str_from(text)), bare(p->audiences[i])))
            return true;
    return false;
}

static const char *check_audience(const struct provider *p, const json_t *payload)
{
    const json_t *aud = json_object_get(payload, "aud");
    bool found = p->n_audiences == 0 || is_for(p, aud);
    for (size_t i = 0; !found && i < json_array_size(aud); i++)
        found = is_for(p, json_array_get(aud, i));
    return found ? NULL : "Audiences in Jwt are not allowed";
}

/* NULL: it is valid; else what is wrong. */
static const char *check(const struct provider *p, const struct jwt *t)
{
    const char *wrong = check_times(p, t->payload);
    if (!wrong)
        wrong = check_audience(p, t->payload);
    if (wrong)
        return wrong;
    switch (tls_jwks_verify(p->keys, t)) {
    case 0:
        return NULL;
    case -EOPNOTSUPP:
        return "Jwt header [alg] is not supported";
    case -ENOKEY:
        return "Jwks doesn't have key to match kid or alg from Jwt";
    default:
        return "Jwt verification fails";
    }
}

/* ---- what is told of one that is valid ---- */

static void set_field(struct filter_call *c, struct header_name name, struct str value)
{
    struct arena *a = http_stream_arena(c->down);
    struct str kept = arena_str(a, value);
    if (kept.p && http_is_value(kept))
        IGNORE_RESULT(head_add(c->head, a, name, kept)); /* left out */
}

static void put_claim(struct filter_call *c, const struct claim_field *to, const json_t *payload)
{
    AUTO_DONE(buf) struct buf text = {0};
    const json_t *v = payload;
    for (struct str rest = to->claim; rest.p;) {
        struct str part = str_cut(rest, '.', &rest);
        AUTO_CHARS char *name = str_dup(part);
        v = json_object_get(v, name);
    }
    if (json_is_string(v))
        buf_add(&text, json_string_value(v), json_string_length(v));
    else if (json_is_integer(v) || json_is_real(v) || json_is_boolean(v))
        json_write(&text, v);
    if (text.n)
        set_field(c, to->name, buf_str(&text));
}

static json_t *split(const char *text)
{
    json_t *list = json_array();
    for (struct str rest = str_from(text); rest.p;) {
        struct str word = str_cut(rest, ' ', &rest);
        if (word.n)
            json_array_append_new(list, json_stringn(word.p, word.n));
    }
    return list;
}

static void put_metadata(struct filter_call *c, const struct provider *p, const json_t *payload)
{
    json_t *own, *copy = json_copy((json_t *)(uintptr_t)payload);
    for (size_t i = 0; i < p->n_delimited; i++) {
        const char *text = json_key_str(copy, p->delimited[i].p);
        if (text)
            json_object_set_new(copy, p->delimited[i].p, split(text));
    }
    if (!*c->metadata)
        *c->metadata = json_object();
    own = json_object_get(*c->metadata, FILTER_NAME);
    if (!own) {
        own = json_object();
        json_object_set_new(*c->metadata, FILTER_NAME, own);
    }
    json_object_set_new(own, p->metadata, copy);
}

static void tell(struct filter_call *c, const struct provider *p, const struct token *t,
                 const struct jwt *jwt)
{
    if (p->metadata)
        put_metadata(c, p, jwt->payload);
    for (size_t i = 0; i < p->n_claims; i++)
        put_claim(c, &p->claims[i], jwt->payload);
    if (p->payload_field.text.n)
        set_field(c, p->payload_field, jwt->payload_text);
    if (t->field && !p->forward)
        t->field->name_n = 0;
}

/* NULL: some provider has found it valid. */
static const char *verify(struct filter_call *c, const struct token *t)
{
    const struct jwt_authn *j = c->config;
    struct jwt jwt;
    const char *wrong = jwt_parse(t->text, &jwt);
    if (wrong)
        return wrong;
    const char *issuer = json_key_str(jwt.payload, "iss");
    bool valid = false;
    wrong = "Jwt issuer is not configured";
    for (size_t i = 0; i < j->n && !valid; i++) {
        const struct provider *p = &j->providers[i];
        if (!(t->of >> i & 1) || (p->issuer.n && !(issuer && str_is(p->issuer, issuer))))
            continue;
        const char *says = check(p, &jwt);
        if (says) {
            wrong = says;
            continue;
        }
        valid = true;
        tell(c, p, t, &jwt);
    }
    jwt_done(&jwt);
    return valid ? NULL : wrong;
}

/* ---- requests ---- */

static enum filter_result refuse(struct filter_call *c, const char *wrong)
{
    const struct jwt_authn *j = c->config;
    struct arena *a = http_stream_arena(c->down);
    struct filter_answer *answer = &c->answer;
    struct http_header *field = c->state;
    AUTO_CHARS char *details = xasprintf("jwt_authn_access_denied{%s}", wrong);
    for (char *p = details; *p; p++)
        if (*p == ' ')
            *p = '_';
    *field = (struct http_header){STR("www-authenticate"), STR("Bearer error=\"invalid_token\"")};
    answer->reason = REASON_JWT_DENIED;
    answer->details = arena_str(a, str_from(details));
    answer->body = j->no_words ? STR("") : str_from(wrong);
    answer->fields = field;
    answer->n_fields = 1;
    stats_inc(c->stats, HTTP_STAT_JWT_DENIED);
    return FILTER_ANSWERED;
}

/* What only we may say. */
static void remove_outputs(struct filter_call *c)
{
    const struct jwt_authn *j = c->config;
    for (size_t i = 0; i < j->n; i++) {
        const struct provider *p = &j->providers[i];
        struct http_field *f;
        while (p->payload_field.text.n && (f = head_find(c->head, p->payload_field)))
            f->name_n = 0;
        for (size_t k = 0; k < p->n_claims; k++)
            while ((f = head_find(c->head, p->claims[k].name)))
                f->name_n = 0;
    }
}

static bool is_preflight(const struct http_head *h)
{
    return str_is(h->method, "OPTIONS") && http_head_find_text(h, STR("origin")) &&
           http_head_find_text(h, STR("access-control-request-method"));
}

static enum filter_result on_request(struct filter_call *c)
{
    const struct jwt_authn *j = c->config;
    struct tokens found = {.n = 0};
    if (!j->any)
        return FILTER_CONTINUE;
    find_tokens(j, c->head, &found);
    remove_outputs(c);
    if (j->bypass_preflight && is_preflight(c->head))
        return FILTER_CONTINUE;
    if (found.full)
        return refuse(c, "Jwt are too many");
    for (size_t i = 0; i < found.n; i++) {
        const char *wrong = verify(c, &found.v[i]);
        if (wrong)
            return refuse(c, wrong);
    }
    stats_inc(c->stats, HTTP_STAT_JWT_ALLOWED);
    return FILTER_CONTINUE;
}

const struct filter_type filter_jwt_authn = {
    .name = FILTER_NAME,
    .message = &envoy__extensions__filters__http__jwt_authn__v3__jwt_authentication__descriptor,
    .compile = compile,
    .state_bytes = sizeof(struct http_header),
    .on_request = on_request,
};
