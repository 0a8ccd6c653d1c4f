#include "control/translate_guard.h"

#include "control/translate_priv.h"
#include "control/xds_fields.h"

#define RBAC_TYPE   XDS_TYPE_PREFIX "envoy.extensions.filters.http.rbac.v3.RBACPerRoute"
#define BUFFER_TYPE XDS_TYPE_PREFIX "envoy.extensions.filters.http.buffer.v3.BufferPerRoute"

/* ---- bodies ---- */

static void add_body_limit(uint64_t max_bytes, struct buf *out)
{
    AUTO_DONE(buf) struct buf m = {0};
    pb_add_uint(&m, F_BODY_LIMIT_MAX_BYTES, max_bytes);
    translate_filter_config(BODY_LIMIT_NAME, BODY_LIMIT_TYPE, buf_str(&m), out);
}

/* What Envoy has gathers the body first. */
static void add_buffer(uint64_t max_bytes, struct buf *out)
{
    AUTO_DONE(buf) struct buf m = {0};
    size_t buffer = pb_begin(&m, F_BUFFER_PER_ROUTE_BUFFER),
           max = pb_begin(&m, F_BUFFER_MAX_REQUEST_BYTES);
    pb_add_uint(&m, F_UINT32_VALUE, MIN(max_bytes, (uint64_t)UINT32_MAX));
    pb_end(&m, max);
    pb_end(&m, buffer);
    translate_filter_config(BUFFER_NAME, BUFFER_TYPE, buf_str(&m), out);
}

/* ---- addresses ---- */

static void add_range(unsigned number, const struct prefix *p, struct buf *b)
{
    char text[IP_TEXT_BYTES];
    size_t range = pb_begin(b, number), len;
    pb_add_text(b, F_CIDR_ADDRESS_PREFIX, ip_format(&p->ip, text));
    len = pb_begin(b, F_CIDR_PREFIX_LEN);
    pb_add_uint(b, F_UINT32_VALUE, p->len);
    pb_end(b, len);
    pb_end(b, range);
}

static void add_prefix(const struct prefix *p, struct buf *b)
{
    size_t principal = pb_begin(b, F_PRINCIPAL_SET_IDS);
    add_range(F_PRINCIPAL_REMOTE_IP, p, b);
    pb_end(b, principal);
}

/* One of them. */
static void add_or(const struct route_prefixes *list, struct buf *b)
{
    size_t set = pb_begin(b, F_PRINCIPAL_OR_IDS);
    for (uint32_t i = 0; i < list->n; i++)
        add_prefix(&list->v[i], b);
    pb_end(b, set);
}

/* None of those that are denied, and one of those that are allowed, if any are named. */
static void add_principal(const struct route_addresses *a, struct buf *b)
{
    size_t principal = pb_begin(b, F_POLICY_PRINCIPALS), and = pb_begin(b, F_PRINCIPAL_AND_IDS), id,
           not ;
    if (a->deny.n) {
        id = pb_begin(b, F_PRINCIPAL_SET_IDS);
        not = pb_begin(b, F_PRINCIPAL_NOT_ID);
        add_or(&a->deny, b);
        pb_end(b, not );
        pb_end(b, id);
    }
    if (a->allow.n) {
        id = pb_begin(b, F_PRINCIPAL_SET_IDS);
        add_or(&a->allow, b);
        pb_end(b, id);
    }
    pb_end(b, and);
    pb_end(b, principal);
}

static void add_addresses(const struct route_addresses *a, struct buf *out)
{
    AUTO_DONE(buf) struct buf m = {0};
    size_t rbac = pb_begin(&m, F_RBAC_PER_ROUTE_RBAC), rules = pb_begin(&m, F_RBAC_RULES),
           entry = pb_begin(&m, F_RULES_POLICIES), policy, permission;
    pb_add_text(&m, F_MAP_KEY, "source-range");
    policy = pb_begin(&m, F_MAP_VALUE);
    permission = pb_begin(&m, F_POLICY_PERMISSIONS);
    pb_add_uint(&m, F_PERMISSION_ANY, 1);
    pb_end(&m, permission);
    add_principal(a, &m);
    pb_end(&m, policy);
    pb_end(&m, entry);
    pb_end(&m, rules);
    pb_end(&m, rbac);
    translate_filter_config(RBAC_NAME, RBAC_TYPE, buf_str(&m), out);
}

static void add_ranges(unsigned number, const struct route_prefixes *list, struct buf *b)
{
    for (uint32_t i = 0; i < list->n; i++)
        add_range(number, &list->v[i], b);
}

/* ---- limits ---- */

/* As ingress-nginx: one, and the burst beside it. */
static void add_rate(uint32_t requests, uint32_t seconds, uint32_t burst, struct buf *b)
{
    if (!requests)
        return;
    size_t rate = pb_begin(b, F_LIMIT_RATES);
    pb_add_uint(b, F_RATE_REQUESTS, requests);
    pb_add_uint(b, F_RATE_SECONDS, seconds);
    pb_add_uint(b, F_RATE_BURST, MIN((uint64_t)requests * burst + 1, (uint64_t)UINT32_MAX));
    pb_end(b, rate);
}

static void add_limits(const struct route_limits *l, struct buf *out)
{
    AUTO_DONE(buf) struct buf m = {0};
    pb_add_text(&m, F_LIMIT_KEY, l->key);
    add_ranges(F_LIMIT_EXEMPT, &l->exempt, &m);
    if (l->concurrent)
        pb_add_uint(&m, F_LIMIT_CONCURRENT_REQUESTS, l->concurrent);
    add_rate(l->per_minute, 60, l->burst, &m);
    add_rate(l->per_second, 1, l->burst, &m);
    pb_add_uint(&m, F_LIMIT_STATUS, l->rate_status ? l->rate_status : 503);
    if (l->concurrent && l->concurrent_status)
        pb_add_uint(&m, F_LIMIT_CONCURRENT_STATUS, l->concurrent_status);
    else if (l->concurrent && l->rate_status)
        pb_add_uint(&m, F_LIMIT_CONCURRENT_STATUS, 503);
    translate_filter_config(CLIENT_LIMIT_NAME, CLIENT_LIMIT_TYPE, buf_str(&m), out);
}

/* ---- users, another server ---- */

static void add_text(unsigned number, const struct route_text *t, struct buf *b)
{
    size_t text = pb_begin(b, number);
    for (uint32_t i = 0; i < t->n; i++) {
        size_t piece = pb_begin(b, F_TEXT_PIECES);
        if (*t->v[i].literal)
            pb_add_text(b, F_PIECE_LITERAL, t->v[i].literal);
        if (t->v[i].variable) /* the same numbers: a test holds them together */
            pb_add_uint(b, F_PIECE_VARIABLE, t->v[i].variable);
        pb_end(b, piece);
    }
    pb_end(b, text);
}

static void add_literal(unsigned number, const char *text, struct buf *b)
{
    struct route_piece piece = {(char *)(uintptr_t)text, ROUTE_VARIABLE_NONE};
    add_text(number, &(struct route_text){&piece, 1}, b);
}

/* What its answers are remembered by; the kinds have the same numbers: a test holds them together.
 */
static void add_cache(const struct route *r, struct buf *b)
{
    const struct route_auth_request *q = &r->guard->request;
    if (!q->n_keys)
        return;
    AUTO_CHARS char *scope = xasprintf("%s/%s", r->origin.object, r->origin.field);
    size_t cache = pb_begin(b, F_REQUEST_CACHE);
    for (uint32_t i = 0; i < q->n_keys; i++) {
        size_t key = pb_begin(b, F_CACHE_KEYS);
        if (q->keys[i].kind)
            pb_add_uint(b, F_CACHE_KEY_KIND, q->keys[i].kind);
        if (q->keys[i].name)
            pb_add_text(b, F_CACHE_KEY_NAME, q->keys[i].name);
        pb_end(b, key);
    }
    for (uint32_t i = 0; i < q->n_remembered; i++) {
        size_t status = pb_begin(b, F_CACHE_STATUSES);
        pb_add_uint(b, F_CACHE_STATUS_STATUS, q->remembered[i].status);
        pb_add_uint(b, F_CACHE_STATUS_SECONDS, q->remembered[i].seconds);
        pb_end(b, status);
    }
    pb_add_text(b, F_CACHE_SCOPE, scope); /* what one route is told is no other's */
    pb_end(b, cache);
}

static void add_request(const struct route *r, const struct translate_view *view, struct buf *b)
{
    const struct route_auth_request *q = &r->guard->request;
    const struct auth_fields *fields =
        q->set_headers ? auth_objects_fields(view->objects, q->set_headers) : NULL;
    struct route_piece own = {(char *)(uintptr_t) "", ROUTE_HOST};
    char cluster[CLUSTER_NAME_MAX];
    size_t request = pb_begin(b, F_ACCESS_REQUEST);
    pb_add_text(b, F_REQUEST_CLUSTER,
                r->asks.service
                    ? translate_cluster_name(r->asks.service, r->asks.port, &r->asks_by, cluster)
                    : translate_host_cluster_name(q->host, q->port, q->tls, cluster));
    pb_add_text(b, F_REQUEST_METHOD, q->method);
    if (q->own_host)
        add_text(F_REQUEST_HOST, &(struct route_text){&own, 1}, b);
    else
        add_literal(F_REQUEST_HOST, q->host, b);
    add_text(F_REQUEST_PATH, &q->path, b);
    for (uint32_t i = 0; i < q->n_response_headers; i++)
        pb_add_text(b, F_REQUEST_RESPONSE_HEADERS, q->response_headers[i]);
    if (q->sign_in.n)
        add_text(F_REQUEST_SIGN_IN, &q->sign_in, b);
    if (q->redirect.n)
        add_text(F_REQUEST_REDIRECT, &q->redirect, b);
    if (q->always_set_cookie)
        pb_add_uint(b, F_REQUEST_ALWAYS_SET_COOKIE, 1);
    for (size_t i = 0; fields && i < fields->n; i++) {
        size_t field = pb_begin(b, F_REQUEST_SET_HEADERS);
        pb_add_text(b, F_SET_HEADER_NAME, fields->v[i].name);
        add_literal(F_SET_HEADER_VALUE, fields->v[i].value, b);
        pb_end(b, field);
    }
    add_cache(r, b);
    pb_end(b, request);
}

/* Is another server asked? */
static bool asks(const struct route *r)
{
    return r->guard->request.on && !r->unasked;
}

static void add_access(const struct route *r, const struct translate_view *view, struct buf *out)
{
    const struct route_guard *g = r->guard;
    AUTO_DONE(buf) struct buf m = {0};
    if (g->any) {
        add_ranges(F_ACCESS_ALLOW, &g->addresses.allow, &m);
        add_ranges(F_ACCESS_DENY, &g->addresses.deny, &m);
        pb_add_uint(&m, F_ACCESS_ANY, 1);
    }
    if (g->basic.secret) {
        size_t basic = pb_begin(&m, F_ACCESS_BASIC);
        pb_add_text(&m, F_BASIC_REALM, g->basic.realm);
        pb_add_text(&m, F_BASIC_USERS,
                    auth_objects_users(view->objects, g->basic.secret, g->basic.map));
        pb_end(&m, basic);
    }
    if (asks(r))
        add_request(r, view, &m);
    translate_filter_config(ACCESS_NAME, ACCESS_TYPE, buf_str(&m), out);
}

bool translate_client_cert_can(const struct route *r, const struct translate_view *view)
{
    return view->peer != TRANSLATE_FOREIGN &&
           auth_objects_ca(view->objects, r->client_cert->secret);
}

void translate_client_cert(const struct route *r, struct buf *out)
{
    const struct route_client_cert *c = r->client_cert;
    AUTO_DONE(buf) struct buf m = {0};
    buf_add_cstr(&m, "");
    if (c->verify) /* the same numbers: a test holds them together */
        pb_add_uint(&m, F_CERTIFICATE_VERIFY, c->verify);
    if (c->match_cn)
        pb_add_text(&m, F_CERTIFICATE_SUBJECT_PATTERN, c->match_cn);
    if (c->error_page)
        pb_add_text(&m, F_CERTIFICATE_ERROR_PAGE, c->error_page);
    if (c->pass)
        pb_add_uint(&m, F_CERTIFICATE_FORWARD_CERTIFICATE, 1);
    translate_filter_config(CLIENT_CERTIFICATE_NAME, CLIENT_CERTIFICATE_TYPE, buf_str(&m), out);
}

/* ---- the whole ---- */

bool translate_guard_can(const struct route *r, const struct translate_view *view)
{
    const struct route_guard *g = r->guard;
    if (!g)
        return true;
    if (g->basic.secret && (!translate_has_secrets(view->peer) ||
                            !auth_objects_users(view->objects, g->basic.secret, g->basic.map)))
        return false;
    if (g->request.set_headers && !auth_objects_fields(view->objects, g->request.set_headers))
        return false;
    return !(asks(r) || g->limits.key) || view->peer != TRANSLATE_FOREIGN;
}

void translate_guard(const struct route *r, const struct translate_view *view, struct buf *out)
{
    const struct route_guard *g = r->guard;
    if (!g)
        return;
    bool has_auth = g->basic.secret || asks(r);
    if (g->body_max_bytes && view->peer == TRANSLATE_FOREIGN)
        add_buffer(g->body_max_bytes, out);
    else if (g->body_max_bytes)
        add_body_limit(g->body_max_bytes, out);
    if (g->limits.key)
        add_limits(&g->limits, out);
    if ((g->addresses.allow.n || g->addresses.deny.n) && !(g->any && has_auth))
        add_addresses(&g->addresses, out);
    if (has_auth)
        add_access(r, view, out);
}
