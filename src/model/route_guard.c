/* Guards as values: made, freed, and as text. */
#include "model/route_guard.h"

#include "base/mem.h"

struct route_guard *route_guard_new(void)
{
    struct route_guard *g = NEW(struct route_guard);
    g->refs = 1;
    return g;
}

struct route_guard *route_guard_ref(struct route_guard *g)
{
    g->refs++;
    return g;
}

void route_text_add(struct route_text *t, struct str literal, enum route_variable variable)
{
    t->v = xrealloc(t->v, (t->n + 1u) * sizeof(*t->v));
    t->v[t->n++] = (struct route_piece){str_dup(literal), variable};
}

void route_text_done(struct route_text *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        free(t->v[i].literal);
    free(t->v);
    *t = (struct route_text){0};
}

static void request_done(struct route_auth_request *r)
{
    for (uint32_t i = 0; i < r->n_response_headers; i++)
        free(r->response_headers[i]);
    free(r->response_headers);
    free(r->host);
    free(r->method);
    free(r->set_headers);
    route_keys_free(r->keys, r->n_keys);
    route_text_done(&r->path);
    route_text_done(&r->sign_in);
    route_text_done(&r->redirect);
}

void route_guard_unref(struct route_guard *g)
{
    if (!g || --g->refs)
        return;
    free(g->addresses.allow.v);
    free(g->addresses.deny.v);
    free(g->limits.key);
    free(g->limits.exempt.v);
    free(g->basic.secret);
    free(g->basic.realm);
    request_done(&g->request);
    free(g);
}

bool route_guard_restricts(const struct route_guard *g)
{
    return g && (g->addresses.allow.n || g->addresses.deny.n || g->limits.key || g->basic.secret ||
                 g->request.on);
}

bool route_guard_is_empty(const struct route_guard *g)
{
    return !g || (!g->body_max_bytes && !route_guard_restricts(g));
}

/* ---- certificates of clients ---- */

struct route_client_cert *route_client_cert_new(void)
{
    struct route_client_cert *c = NEW(struct route_client_cert);
    c->refs = 1;
    return c;
}

struct route_client_cert *route_client_cert_ref(struct route_client_cert *c)
{
    c->refs++;
    return c;
}

void route_client_cert_unref(struct route_client_cert *c)
{
    if (!c || --c->refs)
        return;
    free(c->secret);
    free(c->error_page);
    free(c->match_cn);
    free(c);
}

bool route_client_cert_eq(const struct route_client_cert *a, const struct route_client_cert *b)
{
    return a == b || (a && b && streq(a->secret, b->secret) && a->verify == b->verify &&
                      a->depth == b->depth && streq(a->error_page, b->error_page) &&
                      streq(a->match_cn, b->match_cn) && a->pass == b->pass);
}

void route_client_cert_format(const struct route_client_cert *c, struct buf *out)
{
    static const char *const modes[] = {"required", "optional", "of any CA, optional", "off"};
    buf_addf(out, "client certificate of %s, %s, depth %u", c->secret, modes[c->verify], c->depth);
    if (c->match_cn)
        buf_addf(out, ", subject %s", c->match_cn);
    if (c->error_page)
        buf_addf(out, ", else %s", c->error_page);
    if (c->pass)
        buf_addf(out, ", passed on");
}

/* ---- keys ---- */

void route_keys_free(struct route_key *keys, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        free(keys[i].name);
    free(keys);
}

void route_keys_format(const struct route_key *keys, uint32_t n, struct buf *out)
{
    static const char *const kinds[] = {"uri",   "path",   "host",  "address",
                                        "query", "cookie", "header"};
    for (uint32_t i = 0; i < n; i++)
        buf_addf(out, "%s%s%s%s", i ? " + " : "", kinds[keys[i].kind], keys[i].name ? " " : "",
                 keys[i].name ? keys[i].name : "");
}

/* ---- as text ---- */

static void add_prefixes(const struct route_prefixes *p, const char *between, struct buf *out)
{
    char text[PREFIX_TEXT_BYTES];
    for (uint32_t i = 0; i < p->n; i++)
        buf_addf(out, "%s%s", i ? between : "", prefix_format(&p->v[i], text));
}

static void add_text(const struct route_text *t, struct buf *out)
{
    static const char *const names[] = {"",           "$scheme",      "$host",
                                        "$http_host", "$request_uri", "$escaped_request_uri"};
    for (uint32_t i = 0; i < t->n; i++)
        buf_addf(out, "%s%s", t->v[i].literal, names[t->v[i].variable]);
}

static void add_url(const struct route_auth_request *r, struct buf *out)
{
    buf_addf(out, "%s://%s:%u", r->tls ? "https" : "http", r->own_host ? "$host" : r->host,
             r->port);
    add_text(&r->path, out);
}

static void format_limits(const struct route_limits *l, struct buf *out)
{
    if (!l->key)
        return;
    buf_addf(out, " limit %s", l->key);
    if (l->concurrent)
        buf_addf(out, " %u", l->concurrent);
    if (l->per_minute)
        buf_addf(out, " %u/min", l->per_minute);
    if (l->per_second)
        buf_addf(out, " %u/s", l->per_second);
    buf_addf(out, " burst %u", l->burst);
    if (l->concurrent && l->concurrent_status)
        buf_addf(out, " concurrent-status %u", l->concurrent_status);
    if ((l->per_minute || l->per_second) && l->rate_status)
        buf_addf(out, " rate-status %u", l->rate_status);
    if (l->exempt.n)
        buf_addf(out, " exempt ");
    add_prefixes(&l->exempt, ",", out);
}

/* What most are told. */
static unsigned limit_status(const struct route_limits *l)
{
    unsigned status = l->per_minute || l->per_second ? l->rate_status : l->concurrent_status;
    return status ? status : 503;
}

static void explain_limits(const struct route_limits *l, struct buf *out)
{
    if (!l->key)
        return;
    buf_addf(out, "%sof one address", out->n ? ", " : "");
    if (l->concurrent)
        buf_addf(out, " %u at a time", l->concurrent);
    if (l->per_minute)
        buf_addf(out, " %u a minute", l->per_minute);
    if (l->per_second)
        buf_addf(out, " %u a second", l->per_second);
    buf_addf(out, " (else %u)", limit_status(l));
}

static void format_auth(const struct route_guard *g, struct buf *out)
{
    const struct route_auth_request *r = &g->request;
    if (g->any)
        buf_addf(out, " any-of");
    if (g->basic.secret)
        buf_addf(out, " basic %s%s \"%s\"", g->basic.secret, g->basic.map ? " map" : "",
                 g->basic.realm);
    if (!r->on)
        return;
    buf_addf(out, " asks %s ", r->method);
    add_url(r, out);
    if (r->sign_in.n)
        buf_addf(out, " sign-in ");
    add_text(&r->sign_in, out);
    if (r->redirect.n)
        buf_addf(out, " redirect ");
    add_text(&r->redirect, out);
    for (uint32_t i = 0; i < r->n_response_headers; i++)
        buf_addf(out, "%s%s", i ? "," : " copies ", r->response_headers[i]);
    if (r->set_headers)
        buf_addf(out, " sets %s", r->set_headers);
    if (r->always_set_cookie)
        buf_addf(out, " cookies-always");
    if (!r->n_keys)
        return;
    buf_addf(out, " remembered by (");
    route_keys_format(r->keys, r->n_keys, out);
    buf_addf(out, ")");
    for (uint32_t i = 0; i < r->n_remembered; i++)
        buf_addf(out, " %u:%us", r->remembered[i].status, r->remembered[i].seconds);
}

void route_guard_format(const struct route_guard *g, struct buf *out)
{
    if (!g)
        return;
    if (g->body_max_bytes)
        buf_addf(out, " body<=%llu", (unsigned long long)g->body_max_bytes);
    if (g->addresses.deny.n)
        buf_addf(out, " deny ");
    add_prefixes(&g->addresses.deny, ",", out);
    if (g->addresses.allow.n)
        buf_addf(out, " allow ");
    add_prefixes(&g->addresses.allow, ",", out);
    format_limits(&g->limits, out);
    format_auth(g, out);
}

static void add_addresses(const struct route_addresses *a, struct buf *out)
{
    if (a->deny.n)
        buf_addf(out, "%snot from ", out->n ? ", " : "");
    add_prefixes(&a->deny, " ", out);
    if (a->allow.n)
        buf_addf(out, "%sfrom ", out->n ? ", " : "");
    add_prefixes(&a->allow, " ", out);
    if (a->allow.n)
        buf_addf(out, " alone");
    if (a->allow.n || a->deny.n)
        buf_addf(out, " (else 403)");
}

static void explain_auth(const struct route_guard *g, struct buf *out)
{
    if (g->any)
        buf_addf(out, "%sone of these is enough", out->n ? ", " : "");
    if (g->basic.secret)
        buf_addf(out, "%swith name and password of Secret %s (else 401)", out->n ? ", " : "",
                 g->basic.secret);
    if (!g->request.on)
        return;
    buf_addf(out, "%sif ", out->n ? ", " : "");
    add_url(&g->request, out);
    buf_addf(out, " says so (else %s)", g->request.sign_in.n ? "302 to sign in, 403" : "401, 403");
}

void route_guard_explain(const struct route_guard *g, struct buf *out)
{
    if (!g)
        return;
    explain_limits(&g->limits, out);
    add_addresses(&g->addresses, out);
    explain_auth(g, out);
    if (g->body_max_bytes)
        buf_addf(out, "%sbodies up to %llu bytes (else 413)", out->n ? ", " : "",
                 (unsigned long long)g->body_max_bytes);
}
