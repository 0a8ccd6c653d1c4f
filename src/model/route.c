/* The route model's values: made, freed, and as text. */
#include "model/route.h"

#include "base/assert.h"

struct route_host *route_host_new(const char *name)
{
    struct route_host *h = NEW(struct route_host);
    h->refs = 1;
    h->name = xstrdup(name);
    return h;
}

struct route *route_host_add(struct route_host *h)
{
    if ((h->n_routes & (h->n_routes - 1)) == 0) /* doubles at 0, 1, 2, 4, … */
        h->routes = xrealloc(h->routes, (h->n_routes ? h->n_routes * 2u : 1u) * sizeof(*h->routes));
    struct route *r = &h->routes[h->n_routes++];
    *r = (struct route){0};
    return r;
}

struct route_backend *route_add_backend(struct route *r, const char *service, uint16_t port,
                                        uint32_t weight)
{
    r->backends = xrealloc(r->backends, (r->n_backends + 1u) * sizeof(*r->backends));
    struct route_backend *b = &r->backends[r->n_backends++];
    *b = (struct route_backend){
        .service = service ? xstrdup(service) : NULL, .port = port, .weight = weight};
    return b;
}

struct route_header *route_headers_add(struct route_header **list, uint32_t *n)
{
    *list = xrealloc(*list, (*n + 1u) * sizeof(**list));
    struct route_header *h = &(*list)[(*n)++];
    *h = (struct route_header){0};
    return h;
}

void route_headers_free(struct route_header *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        free(list[i].name);
        free(list[i].value);
    }
    free(list);
}

struct route_mirror *route_add_mirror(struct route *r)
{
    r->mirrors = xrealloc(r->mirrors, (r->n_mirrors + 1u) * sizeof(*r->mirrors));
    struct route_mirror *m = &r->mirrors[r->n_mirrors++];
    *m = (struct route_mirror){.per_million = ROUTE_ALL};
    return m;
}

void route_add_field(struct route_fields *f, const char *name, const char *value,
                     enum route_field_op op)
{
    f->v = xrealloc(f->v, (f->n + 1u) * sizeof(*f->v));
    f->v[f->n++] = (struct route_field){xstrdup(name), xstrdup(value), op};
}

void route_set_field(struct route_fields *f, const char *name, const char *value)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (streq(f->v[i].name, name)) {
            free(f->v[i].value);
            f->v[i].value = xstrdup(value);
            return;
        }
    route_add_field(f, name, value, ROUTE_FIELD_SET);
}

static void fields_done(struct route_fields *f)
{
    for (uint32_t i = 0; i < f->n; i++) {
        free(f->v[i].name);
        free(f->v[i].value);
    }
    free(f->v);
}

void route_backend_done(struct route_backend *b)
{
    free(b->service);
    free(b->host);
    free(b->subset);
    fields_done(&b->request_fields);
    fields_done(&b->answer_fields);
}

void route_pair_done(struct route_pair *p)
{
    free(p->from);
    free(p->to);
    *p = (struct route_pair){0};
}

void route_answers_done(struct route_answers *a)
{
    route_pair_done(&a->cookie_domain);
    route_pair_done(&a->cookie_path);
    route_pair_done(&a->redirect);
}

static void cors_done(struct route_cors *c)
{
    for (uint32_t i = 0; i < c->n_origins; i++)
        free(c->origins[i]);
    route_headers_free(c->like, c->n_like);
    free(c->origins);
    free(c->methods);
    free(c->headers);
    free(c->expose);
    free(c->max_age);
}

static void rewrite_done(struct route_rewrite *w)
{
    free(w->path);
    free(w->prefix);
    free(w->regex);
    free(w->to);
    free(w->host);
}

static void mirrors_done(struct route *r)
{
    for (uint32_t i = 0; i < r->n_mirrors; i++) {
        free(r->mirrors[i].host);
        free(r->mirrors[i].as_host);
        route_backend_done(&r->mirrors[i].to);
    }
    free(r->mirrors);
}

void route_done(struct route *r)
{
    free(r->name);
    route_headers_free(r->headers, r->n_headers);
    route_headers_free(r->query, r->n_query);
    for (uint32_t i = 0; i < r->n_backends; i++)
        route_backend_done(&r->backends[i]);
    route_keys_free(r->keys, r->n_keys);
    if (r->errors) {
        free(r->errors->to.service);
        free(r->errors->of_service);
        free(r->errors->of_port);
        free(r->errors);
    }
    fields_done(&r->request_fields);
    fields_done(&r->answer_fields);
    free(r->answer_map);
    route_answers_done(&r->answers);
    mirrors_done(r);
    cors_done(&r->cors);
    rewrite_done(&r->rewrite);
    free(r->retry.conditions);
    free(r->body);
    free(r->affinity.name);
    free(r->affinity.path);
    free(r->affinity.domain);
    for (uint32_t i = 0; i < 2 * r->affinity.n_attributes; i++)
        free(r->affinity.attributes[i]);
    free(r->affinity.attributes);
    free(r->backends);
    free(r->path.text);
    free(r->redirect.scheme);
    free(r->redirect.host);
    free(r->redirect.path);
    free(r->redirect.prefix);
    free(r->asks.service);
    route_guard_unref(r->guard);
    route_backend_tls_unref(r->upstream.with);
    route_backend_tls_unref(r->asks_by.with);
    free(r->origin.object);
    free(r->origin.field);
}

struct route_stream *route_host_add_stream(struct route_host *h)
{
    h->streams = xrealloc(h->streams, (h->n_streams + 1u) * sizeof(*h->streams));
    struct route_stream *s = &h->streams[h->n_streams++];
    *s = (struct route_stream){0};
    return s;
}

static void stream_done(struct route_stream *s)
{
    for (uint32_t i = 0; i < s->n_server_names; i++)
        free(s->server_names[i]);
    for (uint32_t i = 0; i < s->n_backends; i++)
        route_backend_done(&s->backends[i]);
    free(s->server_names);
    free(s->backends);
    free(s->origin.object);
    free(s->origin.field);
}

struct route_host *route_host_ref(struct route_host *h)
{
    h->refs++;
    return h;
}

void route_host_unref(struct route_host *h)
{
    if (!h || --h->refs)
        return;
    for (uint32_t i = 0; i < h->n_routes; i++)
        route_done(&h->routes[i]);
    for (uint32_t i = 0; i < h->n_streams; i++)
        stream_done(&h->streams[i]);
    free(h->streams);
    free(h->routes);
    fields_done(&h->tls_fields);
    free(h->passthrough.service);
    findings_done(&h->findings);
    route_client_cert_unref(h->client_cert);
    free(h->owner.object);
    free(h->owner.field);
    free(h->name);
    free(h->secret);
    free(h);
}

/* ---- as text ---- */

static void format_fields(const char *what, const struct route_fields *f, struct buf *out)
{
    static const char *const ops[] = {"", "+", "-"};
    for (uint32_t i = 0; i < f->n; i++)
        buf_addf(out, " %s{%s%s: %s}", what, ops[f->v[i].op], f->v[i].name, f->v[i].value);
}

static void format_backend(const struct route_backend *b, struct buf *out)
{
    buf_addf(out, "%s%s%s:%u", b->service ? b->service : b->host, b->subset ? "/" : "",
             b->subset ? b->subset : "", b->port);
}

static void format_comparisons(const char *of, const struct route_header *list, uint32_t n,
                               struct buf *out)
{
    static const char *const words[] = {"=", "~", "^", " is there"};
    for (uint32_t i = 0; i < n; i++)
        buf_addf(out, " [%s%s%s%s%s]", list[i].not ? "not " : "", of, list[i].name,
                 words[list[i].how], list[i].value);
}

static void format_action(const struct route *r, struct buf *out)
{
    const struct route_redirect *to = &r->redirect;
    switch (r->action) {
    case ROUTE_FORWARD:
        for (uint32_t i = 0; i < r->n_backends; i++) {
            buf_add_cstr(out, " -> ");
            format_backend(&r->backends[i], out);
            if (r->n_backends > 1)
                buf_addf(out, " x%u", r->backends[i].weight);
            format_fields("request", &r->backends[i].request_fields, out);
            format_fields("answer", &r->backends[i].answer_fields, out);
        }
        break;
    case ROUTE_REDIRECT:
        buf_addf(out, " => %u %s://%s", to->code, to->scheme ? to->scheme : "",
                 to->host ? to->host : "");
        if (to->port)
            buf_addf(out, ":%u", to->port);
        buf_addf(out, "%s%s", to->path ? to->path : "", to->drop_query ? " without query" : "");
        if (to->prefix)
            buf_addf(out, " prefix %s", to->prefix);
        break;
    case ROUTE_ANSWER:
        buf_addf(out, " = %u", r->status);
        if (r->body)
            buf_addf(out, " \"" STR_FMT "\"", (int)r->body_n, r->body);
        break;
    }
}

static void format_affinity(const struct route *r, struct buf *out)
{
    static const char *const secure[] = {"", " secure", " not secure"};
    const struct route_cookie *c = &r->affinity;
    if (r->upstream.balance == ROUTE_BALANCE_LOAD)
        buf_add_cstr(out, " by load");
    if (r->n_keys) {
        buf_add_cstr(out, " hash (");
        route_keys_format(r->keys, r->n_keys, out);
        buf_add_cstr(out, ")");
    }
    if (!c->name)
        return;
    buf_addf(out, " cookie %s of %s (path %s", c->name, c->endpoint ? "endpoint" : "ring", c->path);
    if (c->domain)
        buf_addf(out, " domain %s", c->domain);
    if (c->max_age_s)
        buf_addf(out, " %us", c->max_age_s);
    buf_addf(out, "%s", secure[c->secure]);
    if (c->same_site)
        buf_addf(out, " samesite %s%s", c->same_site, c->none_by_browser ? " by browser" : "");
    for (uint32_t i = 0; i < c->n_attributes; i++)
        buf_addf(out, " %s=%s", c->attributes[2 * i], c->attributes[2 * i + 1]);
    buf_addf(out, "%s%s)", c->canary_anew ? " canary anew" : "", c->found_only ? " found" : "");
}

static void format_retry(const struct route_retry *r, struct buf *out)
{
    static const char *const words[] = {"error", "timeout", "any-method", "off"};
    if (!r->on && !r->n_statuses && !r->conditions)
        return;
    buf_addf(out, " tries %u", r->tries);
    for (unsigned i = 0; i < ARRAY_LEN(words); i++)
        if (r->on & 1u << i)
            buf_addf(out, " %s", words[i]);
    for (uint32_t i = 0; i < r->n_statuses; i++)
        buf_addf(out, " %u", r->statuses[i]);
    if (r->within_s)
        buf_addf(out, " within %us", r->within_s);
    if (r->conditions)
        buf_addf(out, " on %s", r->conditions);
    if (r->per_try_ms)
        buf_addf(out, " each %ums", r->per_try_ms);
    if (r->backoff_ms)
        buf_addf(out, " after %ums", r->backoff_ms);
}

static void format_errors(const struct route_errors *e, struct buf *out)
{
    for (uint32_t i = 0; e && i < e->n_codes; i++)
        buf_addf(out, "%s%u", i ? "," : " errors ", e->codes[i]);
    if (e)
        buf_addf(out, " -> %s:%u (of %s:%s)", e->to.service, e->to.port, e->of_service, e->of_port);
}

static void format_pair(const char *what, const struct route_pair *p, struct buf *out)
{
    if (p->from)
        buf_addf(out, " %s %s -> %s", what, p->from, p->to);
}

static void format_answers(const struct route_answers *a, struct buf *out)
{
    format_pair("cookie-domain", &a->cookie_domain, out);
    format_pair("cookie-path", &a->cookie_path, out);
    format_pair("location", &a->redirect, out);
    if (a->relative)
        buf_add_cstr(out, " relative");
    if (a->bytes_per_s)
        buf_addf(out, " %llu B/s after %llu", (unsigned long long)a->bytes_per_s,
                 (unsigned long long)a->bytes_before);
    if (a->unlogged)
        buf_add_cstr(out, " unlogged");
}

static void format_mirror(const struct route_mirror *m, struct buf *out)
{
    if (m->host)
        buf_addf(out, " mirror %s://%s:%u", m->tls ? "https" : "http", m->host, m->port);
    if (m->as_host)
        buf_addf(out, " as %s", m->as_host);
    if (!m->host) {
        buf_add_cstr(out, " mirror ");
        format_backend(&m->to, out);
    }
    if (m->per_million != ROUTE_ALL)
        buf_addf(out, " (%u of a million)", m->per_million);
}

static void format_fault(const struct route_fault *f, struct buf *out)
{
    if (f->delay_per_million)
        buf_addf(out, " delay %ums (%u of a million)", f->delay_ms, f->delay_per_million);
    if (f->abort_per_million && f->abort_grpc)
        buf_addf(out, " abort grpc %u (%u of a million)", f->abort_grpc - 1u, f->abort_per_million);
    else if (f->abort_per_million)
        buf_addf(out, " abort %u (%u of a million)", f->abort_status, f->abort_per_million);
}

static void format_rewrite(const struct route_rewrite *w, struct buf *out)
{
    if (w->path)
        buf_addf(out, " as %s", w->path);
    if (w->prefix)
        buf_addf(out, " prefix %s", w->prefix);
    if (w->regex)
        buf_addf(out, " %s as %s", w->regex, w->to);
    if (w->host)
        buf_addf(out, " host %s", w->host);
}

static void format_cors(const struct route_cors *c, struct buf *out)
{
    if (!c->on)
        return;
    buf_add_cstr(out, " cors");
    format_comparisons("", c->like, c->n_like, out);
}

static void format_route(const struct route *r, struct buf *out)
{
    static const char *const kinds[] = {"exact", "prefix", "segments", "regex"};
    static const char *const sides[] = {"", "plain ", "tls "};
    buf_addf(out, "  %s%s%s%s %s", sides[r->only_at], kinds[r->path.kind],
             r->path.whole ? " whole" : "", r->path.ignore_case ? "(i)" : "", r->path.text);
    format_comparisons("", r->headers, r->n_headers, out);
    format_comparisons("query ", r->query, r->n_query, out);
    format_action(r, out);
    format_rewrite(&r->rewrite, out);
    if (r->upstream.tls || r->upstream.protocol == ROUTE_HTTP2)
        buf_addf(out, " by %s%s", r->upstream.protocol == ROUTE_HTTP2 ? "http2" : "http1",
                 r->upstream.tls ? " over tls" : "");
    if (r->upstream.with) {
        buf_add_cstr(out, " (");
        route_backend_tls_format(r->upstream.with, out);
        buf_add_cstr(out, ")");
    }
    if (r->upstream.connect_timeout_s)
        buf_addf(out, " connect %us", r->upstream.connect_timeout_s);
    if (r->upstream.to_service)
        buf_add_cstr(out, " to the service");
    format_affinity(r, out);
    format_errors(r->errors, out);
    for (uint32_t i = 0; i < r->n_mirrors; i++)
        format_mirror(&r->mirrors[i], out);
    format_fault(&r->fault, out);
    format_retry(&r->retry, out);
    format_fields("request", &r->request_fields, out);
    format_fields("answer", &r->answer_fields, out);
    if (r->answer_map)
        buf_addf(out, " answer fields of %s", r->answer_map);
    format_answers(&r->answers, out);
    if (r->timeout_ms)
        buf_addf(out, " timeout %ums", r->timeout_ms);
    if (r->idle_timeout_s)
        buf_addf(out, " idle %us", r->idle_timeout_s);
    format_cors(&r->cors, out);
    if (r->https_only)
        buf_addf(out, " https-only");
    if (r->https_only && r->https_code && r->https_code != 308)
        buf_addf(out, " by %u", r->https_code);
    if (r->https_only && r->believes_https)
        buf_add_cstr(out, " unless forwarded");
    route_guard_format(r->guard, out);
    if (r->unasked)
        buf_add_cstr(out, " unasked");
    if (r->asks.service)
        buf_addf(out, " of %s:%u", r->asks.service, r->asks.port);
    if (r->name)
        buf_addf(out, " named %s", r->name);
    buf_addf(out, " # %s %s %s\n", r->origin.kind, r->origin.object, r->origin.field);
}

static void format_stream(const struct route_stream *s, struct buf *out)
{
    buf_add_cstr(out, "  stream");
    for (uint32_t i = 0; i < s->n_server_names; i++)
        buf_addf(out, " %s", s->server_names[i]);
    for (uint32_t i = 0; i < s->n_backends; i++) {
        buf_add_cstr(out, " -> ");
        format_backend(&s->backends[i], out);
        if (s->n_backends > 1)
            buf_addf(out, " x%u", s->backends[i].weight);
    }
    buf_addf(out, " # %s %s %s\n", s->origin.kind, s->origin.object, s->origin.field);
}

void route_host_format(const struct route_host *h, struct buf *out)
{
    buf_addf(out, "%s%s", h->name, h->one_label ? " one-label" : "");
    if (h->secret)
        buf_addf(out, " tls %s", *h->secret ? h->secret : "default");
    format_fields("answer", &h->tls_fields, out);
    if (h->client_cert)
        buf_addf(out, "; ");
    if (h->client_cert)
        route_client_cert_format(h->client_cert, out);
    if (h->passthrough.service)
        buf_addf(out, " passthrough %s:%u", h->passthrough.service, h->passthrough.port);
    buf_addf(out, "\n");
    for (uint32_t i = 0; i < h->n_routes; i++)
        format_route(&h->routes[i], out);
    for (uint32_t i = 0; i < h->n_streams; i++)
        format_stream(&h->streams[i], out);
    findings_format(&h->findings, out);
}
