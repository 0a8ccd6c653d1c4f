/* Hosts of the route model to virtual hosts. */
#include <ctype.h>

#include "base/assert.h"
#include "control/translate_guard.h"
#include "control/translate_priv.h"
#include "control/xds_fields.h"

#define CORS_NAME "envoy.filters.http.cors"
#define CORS_TYPE XDS_TYPE_PREFIX "envoy.extensions.filters.http.cors.v3.CorsPolicy"

static void add_regex(struct buf *b, unsigned number, struct str regex)
{
    size_t at = pb_begin(b, number);
    pb_add_bytes(b, F_REGEX_REGEX, regex);
    pb_end(b, at);
}

/* How a header is compared. */
enum { BY_REGEX = 1 << 0, INVERTED = 1 << 1 };

static void add_header(struct buf *b, const char *name, const char *value, unsigned how)
{
    size_t header = pb_begin(b, F_MATCH_HEADERS), match;
    pb_add_text(b, F_HEADER_NAME, name);
    if (how & INVERTED)
        pb_add_uint(b, F_HEADER_INVERT_MATCH, 1);
    match = pb_begin(b, F_HEADER_STRING_MATCH);
    if (how & BY_REGEX)
        add_regex(b, F_STRING_SAFE_REGEX, str_from(value));
    else
        pb_add_text(b, F_STRING_EXACT, value);
    pb_end(b, match);
    pb_end(b, header);
}

/* A comparison of the model. */
static void add_string(struct buf *b, const struct route_header *h)
{
    if (h->how == ROUTE_IS_LIKE)
        add_regex(b, F_STRING_SAFE_REGEX, str_from(h->value));
    else
        pb_add_text(b, h->how == ROUTE_BEGINS_WITH ? F_STRING_PREFIX : F_STRING_EXACT, h->value);
}

static void add_compared_header(struct buf *b, const struct route_header *h)
{
    size_t header = pb_begin(b, F_MATCH_HEADERS), match;
    pb_add_text(b, F_HEADER_NAME, h->name);
    if (h->how == ROUTE_IS_THERE) {
        pb_add_uint(b, F_HEADER_PRESENT_MATCH, 1);
    } else {
        match = pb_begin(b, F_HEADER_STRING_MATCH);
        add_string(b, h);
        pb_end(b, match);
    }
    if (h->not )
        pb_add_uint(b, F_HEADER_INVERT_MATCH, 1);
    pb_end(b, header);
}

static void add_parameter(struct buf *b, const struct route_header *h)
{
    size_t parameter = pb_begin(b, F_MATCH_QUERY), match;
    pb_add_text(b, F_QUERY_NAME, h->name);
    if (h->how == ROUTE_IS_THERE) {
        pb_add_uint(b, F_QUERY_PRESENT_MATCH, 1);
    } else {
        match = pb_begin(b, F_QUERY_STRING_MATCH);
        add_string(b, h);
        pb_end(b, match);
    }
    pb_end(b, parameter);
}

static void add_quoted(struct buf *b, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (!isalnum((unsigned char)text.p[i]) && text.p[i] != '-' && text.p[i] != '_')
            buf_add_char(b, '\\');
        buf_add_char(b, text.p[i]);
    }
}

/* A virtual host's asterisk stands for any number of labels: this one for one, so that as many
 * labels as the name has are meant. What they are the virtual host has compared; an expression
 * that named them would be too long for Envoy, which takes RE2 programs of 100 steps. how: INVERTED
 * for all that are not meant. */
static void add_one_label(struct buf *b, const struct route_host *h, unsigned how)
{
    AUTO_DONE(buf) struct buf regex = {0};
    unsigned dots = 0;
    for (const char *c = h->name; *c; c++)
        dots += *c == '.';
    buf_addf(&regex, "[!--/-~]+(\\.[!--/-~]+){%u}", dots); /* a port is in the last */
    add_header(b, ":authority", buf_cstr(&regex), BY_REGEX | how);
}

/* A route's regex begins where the path does, and its end is open. */
static void path_regex(const struct route_path *p, struct buf *ret)
{
    buf_addf(ret, "%s(?:%s)%s", p->ignore_case ? "(?i)" : "", p->text, p->whole ? "" : ".*");
}

/* r: of h, or of all hosts: then it is for whom h is not meant. */
static void add_match(struct buf *b, const struct route_host *h, const struct route *r, bool of_all,
                      struct translate_place where)
{
    AUTO_DONE(buf) struct buf regex = {0};
    size_t match = pb_begin(b, F_ROUTE_MATCH);
    switch (r->path.kind) {
    case ROUTE_PATH_EXACT:
        pb_add_text(b, F_MATCH_PATH, r->path.text);
        break;
    case ROUTE_PATH_PREFIX:
        pb_add_text(b, F_MATCH_PREFIX, r->path.text);
        break;
    case ROUTE_PATH_SEGMENTS:
        pb_add_text(b, F_MATCH_PATH_SEPARATED_PREFIX, r->path.text);
        break;
    case ROUTE_PATH_REGEX:
        path_regex(&r->path, &regex);
        add_regex(b, F_MATCH_SAFE_REGEX, buf_str(&regex));
        break;
    }
    if (r->path.ignore_case && r->path.kind != ROUTE_PATH_REGEX)
        pb_add_bytes(b, F_MATCH_CASE_SENSITIVE, STR("")); /* a BoolValue: false */
    if (h->one_label)
        add_one_label(b, h, of_all ? INVERTED : 0);
    for (uint32_t i = 0; i < r->n_headers; i++)
        add_compared_header(b, &r->headers[i]);
    for (uint32_t i = 0; i < r->n_query; i++)
        add_parameter(b, &r->query[i]);
    if (where.was_https)
        add_header(b, "x-forwarded-proto", "https", 0);
    if (where.old_browser)
        add_header(b, "user-agent", translate_affinity_browsers(r), BY_REGEX);
    pb_end(b, match);
}

/* ---- actions ---- */

/* RedirectAction.RedirectResponseCode */
static unsigned redirect_code(uint16_t code)
{
    return code == 302 ? 1 : code == 303 ? 2 : code == 307 ? 3 : code == 308 ? 4 : 0;
}

static void add_redirect(struct buf *b, const struct route_redirect *to)
{
    size_t at = pb_begin(b, F_ROUTE_REDIRECT);
    if (to->scheme)
        pb_add_text(b, F_REDIRECT_SCHEME_REDIRECT, to->scheme);
    if (to->host)
        pb_add_text(b, F_REDIRECT_HOST_REDIRECT, to->host);
    if (to->port)
        pb_add_uint(b, F_REDIRECT_PORT_REDIRECT, to->port);
    if (to->path)
        pb_add_text(b, F_REDIRECT_PATH_REDIRECT, to->path);
    if (to->prefix)
        pb_add_text(b, F_REDIRECT_PREFIX_REWRITE, to->prefix);
    if (to->drop_query)
        pb_add_uint(b, F_REDIRECT_STRIP_QUERY, 1);
    pb_add_uint(b, F_REDIRECT_RESPONSE_CODE, redirect_code(to->code));
    pb_end(b, at);
}

static void add_https_redirect(struct buf *b, uint16_t code)
{
    size_t at = pb_begin(b, F_ROUTE_REDIRECT);
    pb_add_uint(b, F_REDIRECT_HTTPS_REDIRECT, 1);
    pb_add_uint(b, F_REDIRECT_RESPONSE_CODE, redirect_code(code ? code : 308));
    pb_end(b, at);
}

static void add_answer(struct buf *b, uint16_t status, struct str body)
{
    size_t at = pb_begin(b, F_ROUTE_DIRECT_RESPONSE);
    pb_add_uint(b, F_ANSWER_STATUS, status);
    if (body.n) {
        size_t data = pb_begin(b, F_ANSWER_BODY);
        pb_add_bytes(b, F_DATA_BYTES, body);
        pb_end(b, data);
    }
    pb_end(b, at);
}

static void add_clusters(struct buf *b, const struct route *r)
{
    char name[CLUSTER_NAME_MAX];
    const struct route_backend *first = &r->backends[0];
    if (r->n_backends == 1 && !first->request_fields.n && !first->answer_fields.n) {
        pb_add_text(b, F_ACTION_CLUSTER, translate_backend_name(first, &r->upstream, name));
        return;
    }
    size_t weighted = pb_begin(b, F_ACTION_WEIGHTED_CLUSTERS);
    for (uint32_t i = 0; i < r->n_backends; i++) {
        const struct route_backend *to = &r->backends[i];
        size_t cluster = pb_begin(b, F_WEIGHTED_CLUSTERS), weight;
        pb_add_text(b, F_WEIGHT_NAME, translate_backend_name(to, &r->upstream, name));
        weight = pb_begin(b, F_WEIGHT_WEIGHT);
        pb_add_uint(b, F_UINT32_VALUE, r->n_backends == 1 ? 1 : to->weight);
        pb_end(b, weight);
        translate_field_list(b, &translate_fields_of_weight[0], &to->request_fields);
        translate_field_list(b, &translate_fields_of_weight[1], &to->answer_fields);
        pb_end(b, cluster);
    }
    translate_affinity_weights(b, r);
    pb_end(b, weighted);
}

/* "/$2" to RE2's "/\2". */
static void add_rewrite(struct buf *b, const struct route *r)
{
    AUTO_DONE(buf) struct buf regex = {0};
    AUTO_DONE(buf) struct buf to = {0};
    if (r->path.kind == ROUTE_PATH_REGEX)
        path_regex(&r->path, &regex);
    else
        buf_add_cstr(&regex, ".*");
    buf_add_cstr(&to, "");
    for (const char *c = r->rewrite.path; *c; c++) {
        bool capture = *c == '$' && c[1] >= '1' && c[1] <= '9';
        if (capture || *c == '\\')
            buf_add_char(&to, '\\');
        if (!capture)
            buf_add_char(&to, *c);
    }
    size_t rewrite = pb_begin(b, F_ACTION_REGEX_REWRITE);
    AUTO_DONE(buf) struct buf anchored = {0};
    buf_addf(&anchored, "^%s$", buf_cstr(&regex));
    add_regex(b, F_REWRITE_PATTERN, buf_str(&anchored));
    pb_add_bytes(b, F_REWRITE_SUBSTITUTION, buf_str(&to));
    pb_end(b, rewrite);
}

/* Of a prefix or a whole path; or by a regex of its own. */
static void add_other_rewrites(struct buf *b, const struct route_rewrite *w)
{
    if (w->prefix)
        pb_add_text(b, F_ACTION_PREFIX_REWRITE, w->prefix);
    if (!w->regex)
        return;
    size_t rewrite = pb_begin(b, F_ACTION_REGEX_REWRITE);
    add_regex(b, F_REWRITE_PATTERN, str_from(w->regex));
    pb_add_text(b, F_REWRITE_SUBSTITUTION, w->to);
    pb_end(b, rewrite);
}

static void add_forward(struct buf *b, const struct route *r, struct translate_place where)
{
    size_t action = pb_begin(b, F_ROUTE_ROUTE);
    add_clusters(b, r);
    if (r->rewrite.path)
        add_rewrite(b, r);
    add_other_rewrites(b, &r->rewrite);
    if (r->rewrite.host)
        pb_add_text(b, F_ACTION_HOST_REWRITE_LITERAL, r->rewrite.host);
    translate_duration(b, F_ACTION_TIMEOUT, r->timeout_ms); /* 0: none */
    pb_add_bytes(b, F_ACTION_IDLE_TIMEOUT, STR(""));
    /* An endpoint that says nothing for too long is given up; the stream as a whole has no such
     * limit. */
    translate_retries(b, &r->retry, r->idle_timeout_s);
    for (uint32_t i = 0; i < r->n_mirrors; i++)
        translate_mirror(b, &r->mirrors[i]);
    translate_affinity_action(b, r, where);
    pb_end(b, action);
}

/* ---- CORS ---- */

static void add_origin(struct buf *b, const char *origin)
{
    AUTO_DONE(buf) struct buf regex = {0};
    const char *star = strchr(origin, '*');
    size_t at = pb_begin(b, F_CORS_ALLOW_ORIGIN);
    if (!star) {
        pb_add_text(b, F_STRING_EXACT, origin);
    } else if (streq(origin, "*")) {
        add_regex(b, F_STRING_SAFE_REGEX, STR(".*"));
    } else { /* one label */
        add_quoted(&regex, str_of(origin, (size_t)(star - origin)));
        buf_add_cstr(&regex, "[^./:]+");
        add_quoted(&regex, str_from(star + 1));
        add_regex(b, F_STRING_SAFE_REGEX, buf_str(&regex));
    }
    pb_end(b, at);
}

static void add_cors(struct buf *b, const struct route_cors *cors)
{
    AUTO_DONE(buf) struct buf policy = {0};
    for (uint32_t i = 0; i < cors->n_origins; i++)
        add_origin(&policy, cors->origins[i]);
    for (uint32_t i = 0; i < cors->n_like; i++) {
        size_t origin = pb_begin(&policy, F_CORS_ALLOW_ORIGIN);
        add_string(&policy, &cors->like[i]);
        pb_end(&policy, origin);
    }
    if (cors->methods)
        pb_add_text(&policy, F_CORS_ALLOW_METHODS, cors->methods);
    if (cors->headers)
        pb_add_text(&policy, F_CORS_ALLOW_HEADERS, cors->headers);
    if (cors->expose)
        pb_add_text(&policy, F_CORS_EXPOSE_HEADERS, cors->expose);
    if (cors->max_age)
        pb_add_text(&policy, F_CORS_MAX_AGE, cors->max_age);
    size_t credentials = pb_begin(&policy, F_CORS_ALLOW_CREDENTIALS);
    pb_add_uint(&policy, F_BOOL_VALUE, cors->credentials);
    pb_end(&policy, credentials);
    if (cors->answers_all)
        pb_add_bytes(&policy, F_CORS_FORWARD_OTHERS, STR("")); /* a BoolValue: false */
    translate_filter_config(CORS_NAME, CORS_TYPE, buf_str(&policy), b);
}

/* ---- hosts ---- */

/* How a request meets a route at one side, by one kind of proxy. */
struct meeting {
    bool to_https;  /* sent there */
    bool asks_cert; /* of the client */
    bool guarded;   /* its guard stands before it: not before redirects */
    bool closed;    /* what protects it cannot be had */
};

/* What stands in a Secret, and cannot be had or told: endpoints are not asked without it. */
static bool backend_can(const struct route_upstream *up, const struct translate_view *view)
{
    const struct route_backend_tls *t = up->with;
    return !t || !t->secret ||
           (translate_has_secrets(view->peer) &&
            auth_objects_backend(view->objects, t->secret, t->verify));
}

static struct meeting meet(const struct route *r, const struct translate_view *view,
                           struct translate_place where)
{
    bool plain = view->side == TRANSLATE_PLAIN;
    struct meeting m = {.to_https = r->https_only && plain && !where.was_https};
    m.asks_cert = r->client_cert && !m.to_https && !(plain && r->challenge);
    m.guarded = !m.to_https && r->action != ROUTE_REDIRECT;
    m.closed = (m.asks_cert && !translate_client_cert_can(r, view)) ||
               (m.guarded && !translate_guard_can(r, view)) ||
               (m.guarded && !(backend_can(&r->upstream, view) && backend_can(&r->asks_by, view)));
    return m;
}

static void add_route(struct buf *b, const struct route_host *h, const struct route *r,
                      const struct translate_view *view, struct translate_place where, bool of_all)
{
    const struct meeting m = meet(r, view, where);
    size_t route = pb_begin(b, F_HOST_ROUTES);
    AUTO_CHARS char *name =
        r->name ? xstrdup(r->name)
                : xasprintf("%s/%s/%s", r->origin.kind, r->origin.object, r->origin.field);
    pb_add_text(b, F_ROUTE_NAME, name);
    add_match(b, h, r, of_all, where);
    if (m.to_https)
        add_https_redirect(b, r->https_code);
    else if (m.closed)
        add_answer(b, 503, STR(""));
    else if (r->action == ROUTE_REDIRECT)
        add_redirect(b, &r->redirect);
    else if (r->action == ROUTE_ANSWER)
        add_answer(b, r->status, str_of(r->body, r->body_n));
    else
        add_forward(b, r, where);
    if (r->cors.on)
        add_cors(b, &r->cors);
    translate_fault(b, &r->fault);
    if (m.asks_cert && !m.closed)
        translate_client_cert(r, b);
    if (m.guarded && !m.closed)
        translate_guard(r, view, b);
    translate_affinity_route(b, r, where);
    if (!m.to_https && r->action != ROUTE_REDIRECT)
        translate_errors_route(b, r);
    translate_answers(r, view, b);
    translate_fields(b, r, view);
    pb_end(b, route);
}

static void add_copies(struct buf *b, const struct route_host *h, const struct route *r,
                       const struct translate_view *view, bool of_all)
{
    struct translate_place where = {.side = view->side};
    if (r->only_at != ROUTE_AT_BOTH &&
        (r->only_at == ROUTE_AT_TLS) != (view->side == TRANSLATE_TLS))
        return;
    where.was_https = r->https_only && r->believes_https && view->side == TRANSLATE_PLAIN;
    for (;;) {
        where.old_browser = translate_affinity_browsers(r);
        if (where.old_browser)
            add_route(b, h, r, view, where, of_all);
        where.old_browser = false;
        add_route(b, h, r, view, where, of_all);
        if (!where.was_https)
            return;
        where.was_https = false; /* and the redirect */
    }
}

void translate_closed_route(struct buf *out)
{
    size_t route = pb_begin(out, F_HOST_ROUTES), match = pb_begin(out, F_ROUTE_MATCH);
    pb_add_text(out, F_MATCH_PREFIX, "/");
    pb_end(out, match);
    add_answer(out, 503, STR(""));
    pb_end(out, route);
}

void translate_closed_host(const char *name, struct buf *out)
{
    pb_add_text(out, F_HOST_NAME, name);
    pb_add_text(out, F_HOST_DOMAINS, name);
    translate_closed_route(out);
    ASSERT(!out->failed);
}

void translate_host_routes(const struct route_host *h, const struct translate_view *view,
                           struct buf *out)
{
    for (uint32_t i = 0; i < h->n_routes && out->n <= TRANSLATE_HOST_BYTES_MAX; i++)
        add_copies(out, h, &h->routes[i], view, false);
}

bool translate_host(const struct route_host *h, const struct route_host *all,
                    const struct translate_view *view, struct buf *out)
{
    static const struct translate_field_numbers of_host = {F_HOST_RESPONSE_HEADERS_TO_ADD, 0};
    pb_add_text(out, F_HOST_NAME, h->name);
    pb_add_text(out, F_HOST_DOMAINS, h->name);
    translate_host_routes(h, view, out);
    for (uint32_t i = 0;
         h->one_label && all && i < all->n_routes && out->n <= TRANSLATE_HOST_BYTES_MAX; i++)
        add_copies(out, h, &all->routes[i], view, true);
    if (view->side == TRANSLATE_TLS)
        translate_field_list(out, &of_host, &h->tls_fields);
    ASSERT(!out->failed);
    if (out->n <= TRANSLATE_HOST_BYTES_MAX)
        return true;
    buf_done(out);
    translate_closed_host(h->name, out);
    return false;
}

struct xds_entry *translate_virtual_host(const char *table, const char *name, struct str packed)
{
    AUTO_CHARS char *resource = xasprintf("%s/%s", table, name);
    return xds_entry_new(XDS_HOST, str_from(resource), packed, STR(""));
}

static struct xds_entry *routes_entry(const char *name, struct buf *b)
{
    pb_add_text(b, F_CONFIGURATION_NAME, name);
    pb_add_uint(b, F_CONFIGURATION_IGNORE_PORT_IN_HOST_MATCHING, 1);
    ASSERT(!b->failed);
    return xds_entry_new(XDS_ROUTE, str_from(name), buf_str(b), STR(""));
}

struct xds_entry *translate_routes(const char *name, const struct str *hosts, size_t n)
{
    AUTO_DONE(buf) struct buf b = {0};
    for (size_t i = 0; i < n; i++)
        pb_add_bytes(&b, F_CONFIGURATION_VIRTUAL_HOSTS, hosts[i]);
    return routes_entry(name, &b);
}

struct xds_entry *translate_routes_by_hosts(const char *name)
{
    AUTO_DONE(buf) struct buf b = {0};
    size_t vhds = pb_begin(&b, F_CONFIGURATION_VHDS);
    translate_ads(&b, F_VHDS_CONFIG_SOURCE);
    pb_end(&b, vhds);
    return routes_entry(name, &b);
}
