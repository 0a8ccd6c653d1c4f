/* One reader a kind of value; ingress_annotations.def says which annotation has which. What values
 * are taken is what ingress-nginx 1.15 was seen to take (blanks at an end, "yes", units: no). */
#include "model/ingress_annotations.h"

#include <ctype.h>

#include "base/vec.h"
#include "model/ingress_auth.h"
#include "model/ingress_backend_tls.h"
#include "model/ingress_client_cert.h"
#include "model/ingress_guard.h"
#include "model/ingress_readers.h"
#include "model/ingress_value.h"

enum {
    VALUE_MAX = 4096,           /* bytes of a value that is read at all */
    GUARD_VALUE_MAX = 64 << 10, /* of one that protects: lists of addresses are long */
    READ_TIMEOUT_S = 60,
};

/* ---- kinds of values ---- */

/* "A, B,C": tokens; *ret as it goes out, without blanks if `tight`. */
static const char *read_tokens(const char *value, bool tight, char **ret)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct str rest = str_from(value);
    while (rest.p) {
        struct str one = str_trim(str_cut(rest, ',', &rest));
        if (!ingress_value_is_token(one))
            return "it must be a list of names with commas between them";
        if (b.n)
            buf_add_cstr(&b, tight ? "," : ", ");
        buf_add_str(&b, one);
    }
    free(*ret);
    *ret = buf_take_cstr(&b);
    return NULL;
}

static const char *read_code(const char *value, uint16_t *ret)
{
    uint64_t code;
    if (str_to_u64(str_from(value), &code) < 0 || code < 300 || code > 308 || code == 304)
        return "it must be a redirect's status: 300 to 308";
    *ret = (uint16_t)code;
    return NULL;
}

/* Variables of a configuration language are refused: they would be sent as they stand. */
static const char *read_target(const char *value, char **to)
{
    if (!ingress_value_is_visible(value) || strpbrk(value, "$%#\"'\\{};"))
        return "it must be a URL or a path without variables, quotes, % and #";
    return ingress_value_keep(value, to);
}

/* ---- readers ---- */

static const char *read_ssl_redirect(struct ingress_policy *p, const char *v)
{
    return ingress_value_bool(v, &p->ssl_redirect);
}

static const char *read_force_ssl_redirect(struct ingress_policy *p, const char *v)
{
    return ingress_value_bool(v, &p->force_ssl_redirect);
}

static const char *read_use_regex(struct ingress_policy *p, const char *v)
{
    return ingress_value_bool(v, &p->use_regex);
}

static const char *read_rewrite_target(struct ingress_policy *p, const char *v)
{
    if (!ingress_value_is_visible(v) || strpbrk(v, "?#\"'\\{};"))
        return "it must be a path with $1 to $9, without ? and #";
    return ingress_value_keep(v, &p->rewrite_target);
}

static const char *read_app_root(struct ingress_policy *p, const char *v)
{
    return ingress_value_path(v, &p->app_root);
}

static const char *read_upstream_vhost(struct ingress_policy *p, const char *v)
{
    return ingress_value_host(v, &p->upstream_vhost);
}

static const char *read_backend_protocol(struct ingress_policy *p, const char *v)
{
    static const struct {
        const char *name;
        enum route_protocol protocol;
        bool tls;
    } protocols[] = {{"HTTP", ROUTE_HTTP1, false},
                     {"HTTPS", ROUTE_HTTP1, true},
                     {"GRPC", ROUTE_HTTP2, false},
                     {"GRPCS", ROUTE_HTTP2, true}};
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
        if (str_eq_nocase(str_from(v), str_from(protocols[i].name))) {
            p->upstream.protocol = protocols[i].protocol;
            p->upstream.tls = protocols[i].tls;
            return NULL;
        }
    return "it must be HTTP, HTTPS, GRPC or GRPCS";
}

static const char *read_proxy_connect_timeout(struct ingress_policy *p, const char *v)
{
    return ingress_value_seconds(v, &p->upstream.connect_timeout_s);
}

static const char *read_proxy_read_timeout(struct ingress_policy *p, const char *v)
{
    return ingress_value_seconds(v, &p->read_timeout_s);
}

static const char *read_proxy_http_version(struct ingress_policy *p, const char *v)
{
    (void)p;
    return streq(v, "1.1") ? NULL : "endpoints are asked by HTTP/1.1, or HTTP/2 (backend-protocol)";
}

static const char *read_enable_global_auth(struct ingress_policy *p, const char *v)
{
    return ingress_value_bool(v, &p->global_auth);
}

static const char *read_permanent_redirect(struct ingress_policy *p, const char *v)
{
    return read_target(v, &p->redirect.permanent);
}

static const char *read_permanent_redirect_code(struct ingress_policy *p, const char *v)
{
    return read_code(v, &p->redirect.permanent_code);
}

static const char *read_temporal_redirect(struct ingress_policy *p, const char *v)
{
    return read_target(v, &p->redirect.temporal);
}

static const char *read_temporal_redirect_code(struct ingress_policy *p, const char *v)
{
    return read_code(v, &p->redirect.temporal_code);
}

static const char *read_enable_cors(struct ingress_policy *p, const char *v)
{
    return ingress_value_bool(v, &p->cors.on);
}

static const char *read_cors_allow_credentials(struct ingress_policy *p, const char *v)
{
    return ingress_value_bool(v, &p->cors.credentials);
}

static const char *read_cors_allow_methods(struct ingress_policy *p, const char *v)
{
    return strchr(v, '*') ? "it must name methods" : read_tokens(v, false, &p->cors.methods);
}

static const char *read_cors_allow_headers(struct ingress_policy *p, const char *v)
{
    return strchr(v, '*') ? "it must name headers" : read_tokens(v, true, &p->cors.headers);
}

static const char *read_cors_expose_headers(struct ingress_policy *p, const char *v)
{
    return streq(v, "*") ? ingress_value_keep(v, &p->cors.expose)
                         : read_tokens(v, true, &p->cors.expose);
}

static const char *read_cors_max_age(struct ingress_policy *p, const char *v)
{
    uint64_t s;
    return str_to_u64(str_from(v), &s) < 0 ? "it must be a number of seconds"
                                           : ingress_value_keep(v, &p->cors.max_age);
}

/* A scheme with a host, of which the first label may be an asterisk, and a port or none; or an
 * asterisk alone. */
static bool is_origin(struct str s)
{
    struct str rest, scheme = str_cut(s, ':', &rest);
    if (str_is(s, "*"))
        return true;
    if (!ingress_value_is_token(scheme) || !rest.p || !str_starts(rest, STR("//")) || rest.n < 3)
        return false;
    for (size_t i = 2; i < rest.n; i++)
        if (!isalnum((unsigned char)rest.p[i]) && !memchr(".-_:[]", rest.p[i], 6) &&
            !(rest.p[i] == '*' && i == 2 && rest.n > 4 && rest.p[3] == '.'))
            return false;
    return true;
}

static const char *read_cors_allow_origin(struct ingress_policy *p, const char *v)
{
    VEC(char *) list = {0};
    struct str rest = str_from(v);
    bool ok = true;
    while (rest.p && ok) {
        struct str one = str_trim(str_cut(rest, ',', &rest));
        ok = is_origin(one) || (!one.n && !rest.p && list.n); /* a last comma is nothing */
        if (one.n)
            vec_push(&list, str_dup(one));
    }
    if (!ok) {
        VEC_FOREACH (one, &list)
            free(*one);
        vec_done(&list);
        return "it must be * or a list of origins such as https://a.example";
    }
    p->cors.origins = list.v;
    p->cors.n_origins = (uint32_t)list.n;
    return NULL;
}

static const char *read_canary(struct ingress_policy *p, const char *v)
{
    return ingress_value_bool(v, &p->canary.on);
}

static const char *read_canary_by_header(struct ingress_policy *p, const char *v)
{
    return ingress_value_is_token(str_from(v)) ? ingress_value_keep(v, &p->canary.header)
                                               : "it must be a header's name";
}

static const char *read_canary_by_header_value(struct ingress_policy *p, const char *v)
{
    return ingress_value_is_visible(v) ? ingress_value_keep(v, &p->canary.header_value)
                                       : "it must be a value without blanks";
}

static const char *read_canary_by_header_pattern(struct ingress_policy *p, const char *v)
{
    return *v ? ingress_value_keep(v, &p->canary.header_pattern) : "it must not be empty";
}

static const char *read_canary_by_cookie(struct ingress_policy *p, const char *v)
{
    return ingress_value_is_token(str_from(v)) ? ingress_value_keep(v, &p->canary.cookie)
                                               : "it must be a cookie's name";
}

static const char *read_canary_weight(struct ingress_policy *p, const char *v)
{
    uint64_t w;
    if (str_to_u64(str_from(v), &w) < 0)
        return "it must be a number";
    p->canary.weight = (uint32_t)MIN(w, (uint64_t)UINT32_MAX / 2);
    return NULL;
}

static const char *read_canary_weight_total(struct ingress_policy *p, const char *v)
{
    uint64_t w;
    if (str_to_u64(str_from(v), &w) < 0 || w < 1 || w > UINT32_MAX / 2)
        return "it must be a number of at least 1";
    p->canary.weight_total = (uint32_t)w;
    return NULL;
}

/* ---- the table ---- */

enum state { READ, LATER, REFUSED, IDLE };
enum protects { NO, YES, PART, PASSES };

#define read_none NULL
static const struct row {
    const char *name;
    enum state state;
    enum protects protects;
    ingress_reader *read;
    const char *needless; /* IDLE: why there is nothing to do */
} rows[] = {
#define ANNOTATION(name, state, protects, reader) {name, state, protects, read_##reader, NULL},
#define NEEDLESS(name, why)                       {name, IDLE, NO, NULL, why},
#include "model/ingress_annotations.def"
#undef NEEDLESS
#undef ANNOTATION
};

/* Closes, where it cannot be had. */
static bool closes(const struct row *row)
{
    return row->protects == YES || row->protects == PART;
}

const char *ingress_annotation_row(size_t n, const char **ret_state)
{
    static const char *const states[][2] = {[READ] = {"read", "protects"},
                                            [LATER] = {"later", "guards"},
                                            [REFUSED] = {"refused"},
                                            [IDLE] = {"needless"}};
    if (n >= ARRAY_LEN(rows))
        return NULL;
    *ret_state = states[rows[n].state][closes(&rows[n])];
    return rows[n].name;
}

static const struct row *row_find(const char *name)
{
    size_t low = 0, high = ARRAY_LEN(rows);
    while (low < high) {
        size_t mid = (low + high) / 2;
        int d = strcmp(name, rows[mid].name);
        if (d == 0)
            return &rows[mid];
        *(d < 0 ? &high : &low) = d < 0 ? mid : mid + 1;
    }
    return NULL;
}

const char *ingress_annotation_needless(const char *name)
{
    const struct row *row = row_find(name);
    return row ? row->needless : NULL;
}

bool ingress_annotation_protects(const char *name)
{
    const struct row *row = row_find(name);
    return row && (row->protects == YES || row->protects == PASSES);
}

static void read_value(struct ingress_policy *p, const struct ingress_object *i,
                       const struct row *row, const char *value, const char *field,
                       struct findings *f)
{
    size_t max = closes(row) ? GUARD_VALUE_MAX : VALUE_MAX;
    const char *why = strlen(value) > max ? "it is too long" : row->read(p, value);
    p->closed = p->closed || (why && closes(row));
    if (why)
        finding_add(f, closes(row) ? FINDING_ERROR : FINDING_WARNING, "AnnotationInvalid", i->key,
                    field, NULL, "\"%.80s\" is not taken, %s: %s", value,
                    closes(row) ? "and because it protects, the paths of this Ingress answer 503"
                                : "the default is in force",
                    why);
}

static void take(struct ingress_policy *p, const struct ingress_object *i,
                 const struct ingress_annotation *a, struct findings *f)
{
    static const char later[] = "docs/ingress-nginx.md tells what is done";
    const struct row *row = row_find(a->name);
    AUTO_CHARS char *field =
        xasprintf("metadata.annotations[%s%.128s]", INGRESS_NGINX_PREFIX, a->name);
    if (!row) {
        finding_add(f, FINDING_WARNING, "UnknownAnnotation", i->key, field, NULL,
                    "no such annotation is known: it has no effect");
        return;
    }
    bool off = false; /* what is not done yet is not asked for, either */
    if (row->state == LATER && ingress_value_bool(a->value, &off) == NULL && !off)
        return;
    p->closed = p->closed || (row->state == LATER && closes(row));
    switch (row->state) {
    case READ:
        read_value(p, i, row, a->value, field, f);
        break;
    case LATER:
        finding_add(f, closes(row) ? FINDING_ERROR : FINDING_WARNING, "AnnotationNotSupported",
                    i->key, field, later, "not supported yet%s",
                    closes(row) ? "; because it protects, the paths of this Ingress answer 503"
                                : ": the default is in force");
        break;
    case IDLE:
        break;
    case REFUSED:
        finding_add(f, FINDING_WARNING, "SnippetRefused", i->key, field,
                    "use the typed annotations: redirects, rewrites, CORS, headers",
                    "snippets are text for another server's configuration: it has no effect");
        break;
    }
}

bool ingress_annotation_take(struct ingress_policy *p, const char *name, const char *value,
                             const char **ret_why)
{
    const struct row *row = row_find(name);
    *ret_why = NULL;
    if (!row || !row->read)
        return false;
    *ret_why = strlen(value) > (closes(row) ? GUARD_VALUE_MAX : VALUE_MAX) ? "it is too long"
                                                                           : row->read(p, value);
    return true;
}

struct ingress_policy *ingress_policy_usual(bool nginx)
{
    struct ingress_policy *p = NEW(struct ingress_policy);
    p->guard = route_guard_new();
    p->guard->body_max_bytes = nginx ? INGRESS_BODY_MAX_BYTES : 0;
    p->ssl_redirect = p->global_auth = true;
    p->redirect.permanent_code = 301;
    p->redirect.temporal_code = 302;
    p->read_timeout_s = READ_TIMEOUT_S;
    p->canary.weight_total = 100;
    p->cors.credentials = true;
    p->cors.methods = xstrdup("GET, PUT, POST, DELETE, PATCH, OPTIONS");
    p->cors.headers = xstrdup("DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,"
                              "Cache-Control,Content-Type,Range,Authorization");
    p->cors.max_age = xstrdup("1728000");
    ingress_affinity_init(&p->affinity);
    ingress_steer_init(&p->steer, nginx);
    return p;
}

static bool says(const struct ingress_object *i, const char *name)
{
    for (uint32_t a = 0; a < i->n_annotations; a++)
        if (streq(i->annotations[a].name, name))
            return true;
    return false;
}

/* Of all Ingresses, where they say nothing themselves. */
static void take_settings(struct ingress_policy *p, const struct ingress_object *i,
                          const struct ingress_settings *s)
{
    const char *why; /* they are taken, as above */
    bool global = p->global_auth && !p->guard->request.on;
    p->guard->limits.rate_status = s->rate_status;
    p->guard->limits.concurrent_status = s->concurrent_status;
    p->closed = p->closed || (global && s->global_auth_closes) ||
                (s->denylist_closes && !says(i, "denylist-source-range")) ||
                (s->allowlist_closes && !says(i, "whitelist-source-range") &&
                 !says(i, "allowlist-source-range"));
    p->global_auth = global && s->n_global_auth;
    for (uint32_t d = 0; p->global_auth && d < s->n_global_auth; d++)
        ingress_annotation_take(p, s->global_auth[d].annotation, s->global_auth[d].value, &why);
}

struct ingress_policy *ingress_policy_new(const struct ingress_object *i, bool nginx,
                                          const struct ingress_settings *settings,
                                          struct findings *f)
{
    struct ingress_policy *p = ingress_policy_usual(nginx);
    const char *why; /* they are taken: that was seen when the settings were read */
    for (uint32_t d = 0; nginx && settings && d < settings->n_defaults; d++)
        ingress_annotation_take(p, settings->defaults[d].annotation, settings->defaults[d].value,
                                &why);
    for (uint32_t a = 0; a < i->n_annotations; a++)
        take(p, i, &i->annotations[a], f);
    if (nginx && settings)
        take_settings(p, i, settings);
    else
        p->global_auth = false;
    ingress_guard_finish(p, i);
    ingress_auth_cache_finish(p);
    ingress_auth_finish(p, i, f);
    ingress_client_cert_finish(p, i, f);
    ingress_backend_tls_finish(p, i, f);
    ingress_steer_finish(p, i, f);
    ingress_answers_finish(p, i, f);
    return p;
}

void ingress_policy_free(struct ingress_policy *p)
{
    if (!p)
        return;
    route_guard_unref(p->guard);
    route_client_cert_unref(p->client_cert);
    route_backend_tls_unref(p->upstream.with);
    free(p->auth.secret);
    free(p->auth.sign_in);
    free(p->auth.sign_in_param);
    free(p->auth.set_headers);
    for (uint32_t i = 0; i < p->cors.n_origins; i++)
        free(p->cors.origins[i]);
    ingress_affinity_done(&p->affinity);
    ingress_steer_done(&p->steer);
    free(p->errors.backend);
    route_answers_done(&p->answers);
    free(p->cors.origins);
    free(p->cors.methods);
    free(p->cors.headers);
    free(p->cors.expose);
    free(p->cors.max_age);
    free(p->rewrite_target);
    free(p->app_root);
    free(p->upstream_vhost);
    free(p->redirect.permanent);
    free(p->redirect.temporal);
    free(p->canary.header);
    free(p->canary.header_value);
    free(p->canary.header_pattern);
    free(p->canary.cookie);
    free(p);
}
