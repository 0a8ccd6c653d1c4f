#include "model/explain.h"

#include <ctype.h>

#include "base/vec.h"
#include "codec/regex.h"
#include "model/service_key.h"

char *explain_host_name(struct str host, size_t n)
{
    struct str rest;
    char *name = NULL;
    if (n == 0)
        name = str_dup(host);
    else if (n == 1) {
        (void)str_cut(host, '.', &rest);
        name = rest.p ? xasprintf("*." STR_FMT, STR_ARG(rest)) : xstrdup("*");
    } else if (n == 2) {
        name = xstrdup("*");
    }
    for (char *c = name; c && *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return name;
}

static bool regex_matches(const char *text, bool ignore_case, struct str subject)
{
    AUTO_DONE(buf) struct buf pattern = {0};
    AUTO(regex) struct regex *regex = NULL;
    buf_addf(&pattern, "%s%s", ignore_case ? "(?i)" : "", text);
    return regex_new(buf_str(&pattern), &regex, NULL) == 0 && regex_matches_all(regex, subject);
}

bool explain_path_matches(const struct route_path *p, struct str path)
{
    struct str text = str_from(p->text);
    AUTO_CHARS char *open = NULL;
    switch (p->kind) {
    case ROUTE_PATH_EXACT:
        return p->ignore_case ? str_eq_nocase(path, text) : str_eq(path, text);
    case ROUTE_PATH_PREFIX:
        return p->ignore_case ? path.n >= text.n && str_eq_nocase(str_sub(path, 0, text.n), text)
                              : str_starts(path, text);
    case ROUTE_PATH_SEGMENTS:
        return str_starts(path, text) && (path.n == text.n || path.p[text.n] == '/');
    case ROUTE_PATH_REGEX:
        open = xasprintf("(?:%s)%s", p->text, p->whole ? "" : ".*");
        return regex_matches(open, p->ignore_case, path);
    }
    return false;
}

/* Values of one name, as one; .p NULL: there is none. */
char *explain_header_of(const struct explain_request *q, const char *name)
{
    AUTO_DONE(buf) struct buf b = {0};
    bool any = false;
    if (streq(name, ":method") || streq(name, ":authority"))
        return str_dup(name[1] == 'm' ? q->method : q->host);
    for (size_t i = 0; i < q->n_headers; i++) {
        if (!str_eq_nocase(q->headers[i].name, str_from(name)))
            continue;
        if (any)
            buf_add_cstr(&b, ",");
        buf_add_str(&b, q->headers[i].value);
        any = true;
    }
    return any ? xstrdup(buf_cstr(&b)) : NULL;
}

static bool is_as_wanted(const struct route_header *want, const char *have)
{
    switch (want->how) {
    case ROUTE_IS:
        return streq(have, want->value);
    case ROUTE_IS_LIKE:
        return regex_matches(want->value, false, str_from(have));
    case ROUTE_BEGINS_WITH:
        return str_starts(str_from(have), str_from(want->value));
    case ROUTE_IS_THERE:
        return true;
    }
    return false;
}

/* NULL: it matches. */
static char *why_not_header(const struct route_header *want, const struct explain_request *q)
{
    static const char *const words[] = {"", "of the form ", "beginning with ", ""};
    AUTO_CHARS char *have = explain_header_of(q, want->name);
    bool matches = have && is_as_wanted(want, have);
    if (matches != want->not )
        return NULL;
    if (!have)
        return xasprintf("the request has no %s", want->name);
    if (want->how == ROUTE_IS_THERE)
        return xasprintf("%s is \"%s\", and may not be there", want->name, have);
    return xasprintf("%s is \"%s\"%s%s\"%s\"", want->name, have,
                     want->not ? ", which it may not be: " : ", not ", words[want->how],
                     want->value);
}

/* NULL: it matches. */
static char *why_not(const struct route_host *h, const struct route *r,
                     const struct explain_request *q)
{
    if (!explain_path_matches(&r->path, q->path))
        return xasprintf("the path is " STR_FMT, STR_ARG(q->path));
    for (uint32_t i = 0; i < r->n_headers; i++) {
        char *why = why_not_header(&r->headers[i], q);
        if (why)
            return why;
    }
    struct str rest = str_sub(q->host, 0, q->host.n);
    (void)str_cut(q->host, '.', &rest);
    if (h->one_label && (!rest.p || !str_eq_nocase(rest, str_from(h->name + 2))))
        return xasprintf("%s stands for one label", h->name);
    return NULL;
}

void explain_route(const struct route_host *h, const struct explain_request *q,
                   struct explanation *ret)
{
    *ret = (struct explanation){0};
    for (uint32_t i = 0; i < h->n_routes && !ret->decided; i++) {
        const struct route *r = &h->routes[i];
        char *why = why_not(h, r, q);
        vec_push(ret, (struct explain_step){r, !why, why ? why : xstrdup("")});
        if (!why)
            ret->decided = r;
    }
    ret->to_https = ret->decided && ret->decided->https_only && !q->tls;
}

void explanation_done(struct explanation *e)
{
    for (size_t i = 0; i < e->n; i++)
        free(e->v[i].why);
    free(e->v);
    *e = (struct explanation){0};
}

void explain_match_text(const struct route *r, struct buf *out)
{
    static const char *const kinds[] = {"exact", "prefix", "prefix", "expression"};
    buf_addf(out, "%s %s", kinds[r->path.kind], r->path.text);
    for (uint32_t i = 0; i < r->n_headers; i++)
        buf_addf(out, " and %s %s %s", r->headers[i].name,
                 r->headers[i].how == ROUTE_IS_LIKE ? "of the form" : "=", r->headers[i].value);
}

static void add_redirect(const struct route_redirect *to, struct buf *out)
{
    buf_addf(out, "%u to ", to->code);
    if (to->host)
        buf_addf(out, "%s://%s", to->scheme ? to->scheme : "the request's scheme", to->host);
    if (to->host && to->port)
        buf_addf(out, ":%u", to->port);
    buf_addf(out, "%s", to->path ? to->path : "the same path");
}

static void add_answers(const struct route_answers *a, struct buf *out)
{
    if (a->cookie_domain.from || a->cookie_path.from)
        buf_add_cstr(out, ", its cookies rewritten");
    if (a->redirect.from)
        buf_addf(out, ", its redirects to %s sent to %s", a->redirect.from, a->redirect.to);
    if (a->bytes_per_s)
        buf_addf(out, ", at %llu bytes a second", (unsigned long long)a->bytes_per_s);
    if (a->unlogged)
        buf_add_cstr(out, ", not logged");
}

static void add_backend(const struct route_backend *b, bool further, bool weighed, struct buf *out)
{
    AUTO_CHARS char *host =
        b->service && service_key_is_entry(b->service) ? service_key_host(b->service) : NULL;
    buf_addf(out, "%s%s%s", further ? ", " : "", host || !b->service ? "" : "Service ",
             host         ? host
             : b->service ? b->service
             : b->host    ? b->host
                          : "nobody");
    if (b->subset)
        buf_addf(out, " subset %s", b->subset);
    if (b->port)
        buf_addf(out, " port %u", b->port);
    if (weighed)
        buf_addf(out, " (%u)", b->weight);
}

/* What goes wrong on purpose, and how long it may take. */
static void add_times(const struct route *r, struct buf *out)
{
    const struct route_fault *f = &r->fault;
    if (f->delay_per_million)
        buf_addf(out, ", delayed by %u ms (%g %%)", f->delay_ms, f->delay_per_million / 10000.0);
    if (f->abort_per_million && f->abort_status)
        buf_addf(out, ", aborted with %u (%g %%)", f->abort_status, f->abort_per_million / 10000.0);
    else if (f->abort_per_million)
        buf_addf(out, ", aborted with gRPC's %u (%g %%)", f->abort_grpc - 1u,
                 f->abort_per_million / 10000.0);
    if (r->timeout_ms)
        buf_addf(out, ", within %u ms", r->timeout_ms);
}

void explain_action_text(const struct route *r, struct buf *out)
{
    switch (r->action) {
    case ROUTE_FORWARD:
        for (uint32_t i = 0; i < r->n_backends; i++)
            add_backend(&r->backends[i], i > 0, r->n_backends > 1, out);
        if (r->rewrite.path)
            buf_addf(out, ", as %s", r->rewrite.path);
        if (r->affinity.name)
            buf_addf(out, ", kept by cookie %s (%s)", r->affinity.name,
                     r->affinity.endpoint ? "of an endpoint" : "of a place in the ring");
        if (r->n_keys) {
            buf_add_cstr(out, ", by hash of ");
            route_keys_format(r->keys, r->n_keys, out);
        }
        if (r->upstream.balance == ROUTE_BALANCE_LOAD)
            buf_add_cstr(out, ", by load");
        if (r->upstream.to_service)
            buf_add_cstr(out, ", to the Service's own address");
        if (r->upstream.tls)
            buf_add_cstr(out, ", over TLS");
        if (r->upstream.with) {
            buf_add_cstr(out, " (");
            route_backend_tls_format(r->upstream.with, out);
            buf_add_cstr(out, ")");
        }
        for (uint32_t i = 0; i < r->n_mirrors; i++)
            if (r->mirrors[i].host)
                buf_addf(out, ", copied to %s:%u", r->mirrors[i].host, r->mirrors[i].port);
            else if (r->mirrors[i].to.service)
                buf_addf(out, ", copied to Service %s", r->mirrors[i].to.service);
        if (r->errors)
            buf_addf(out, ", its errors answered by Service %s port %u", r->errors->to.service,
                     r->errors->to.port);
        break;
    case ROUTE_REDIRECT:
        add_redirect(&r->redirect, out);
        break;
    case ROUTE_ANSWER:
        buf_addf(out, "%u, by the gateway itself", r->status);
        break;
    }
    add_times(r, out);
    add_answers(&r->answers, out);
    if (r->answer_map)
        buf_addf(out, ", with fields of ConfigMap %s", r->answer_map);
    AUTO_DONE(buf) struct buf guard = {0};
    if (r->client_cert) {
        buf_addf(&guard, "with a ");
        route_client_cert_format(r->client_cert, &guard);
        buf_addf(&guard, " (else 400)");
    }
    route_guard_explain(r->guard, &guard);
    if (r->unasked)
        buf_add_cstr(&guard, ", but nobody is asked of this path");
    if (guard.n)
        buf_addf(out, "; only %s", buf_cstr(&guard));
}
