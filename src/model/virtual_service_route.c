/* A route of a VirtualService as one of the route model: what it matches, where it goes. */
#include "model/virtual_service_priv.h"

#include "codec/base64.h"
#include "codec/regex.h"

enum { BODY_BYTES_MAX = 1 << 20 };

/* ---- matches ---- */

static bool read_path(struct object_reader *r, const json_t *match, struct route *to)
{
    static const enum route_path_kind kinds[] = {[ROUTE_IS] = ROUTE_PATH_EXACT,
                                                 [ROUTE_IS_LIKE] = ROUTE_PATH_REGEX,
                                                 [ROUTE_BEGINS_WITH] = ROUTE_PATH_PREFIX,
                                                 [ROUTE_IS_THERE] = ROUTE_PATH_PREFIX};
    const json_t *uri = json_object_get(match, "uri");
    struct route_header h = {0};
    bool ok = true;
    if (!uri) {
        to->path = (struct route_path){.kind = ROUTE_PATH_PREFIX, .text = xstrdup("/")};
        return true;
    }
    size_t mark = reader_enter(r, "uri");
    ok = reader_comparison(r, uri, false, &h);
    if (ok && h.how == ROUTE_IS && !*h.value)
        ok = reader_error(r, "exact", "begin it with a slash", "is empty: no path is");
    reader_leave(r, mark);
    to->path = (struct route_path){.kind = kinds[h.how],
                                   .text = h.how == ROUTE_IS_THERE ? xstrdup("/") : TAKE(h.value),
                                   .ignore_case = h.how != ROUTE_IS_LIKE &&
                                                  json_at_bool(match, "ignoreUriCase", false),
                                   .whole = h.how == ROUTE_IS_LIKE};
    free(h.value);
    return ok;
}

/* A part of the request that has one value: "method" is compared as the header ":method". */
static bool read_pseudo(struct object_reader *r, const json_t *match, const char *name,
                        struct route *to)
{
    const json_t *of = json_object_get(match, name);
    if (!of)
        return true;
    size_t mark = reader_enter(r, name);
    struct route_header *h = route_headers_add(&to->headers, &to->n_headers);
    h->name = xasprintf(":%s", name);
    bool ok = reader_comparison(r, of, false, h);
    reader_leave(r, mark);
    return ok;
}

static bool read_map(struct object_reader *r, const json_t *match, const char *name, bool headers,
                     bool not, struct route *to)
{
    const json_t *of = json_object_get(match, name);
    const char *key;
    json_t *value;
    bool ok = true;
    json_object_foreach((json_t *)(uintptr_t)of, key, value)
    {
        size_t mark = reader_enter_key(r, name, key);
        struct route_header *h = headers ? route_headers_add(&to->headers, &to->n_headers)
                                         : route_headers_add(&to->query, &to->n_query);
        h->not = not ;
        h->name = headers ? virtual_service_field_name(r, key) : xstrdup(key);
        ok = h->name && reader_comparison(r, value, true, h) && ok;
        reader_leave(r, mark);
    }
    return ok;
}

bool virtual_service_read_match(struct object_reader *r, const json_t *match, struct route *to)
{
    int64_t port = 0;
    bool ok = read_path(r, match, to);
    ok = read_pseudo(r, match, "scheme", to) && ok;
    ok = read_pseudo(r, match, "method", to) && ok;
    ok = read_pseudo(r, match, "authority", to) && ok;
    ok = read_map(r, match, "headers", true, false, to) && ok;
    ok = read_map(r, match, "withoutHeaders", true, true, to) && ok;
    ok = read_map(r, match, "queryParams", false, false, to) && ok;
    return reader_number(r, match, "port", 1, 65535, &port) && ok;
}

/* ---- for whom ---- */

void virtual_service_note_source(struct virtual_service *v, const json_t *match)
{
    v->by_namespace = v->by_namespace || !str_empty(json_key_str(match, "sourceNamespace"));
    v->by_labels = v->by_labels || json_object_size(json_object_get(match, "sourceLabels"));
}

static bool names_gateway(const json_t *list, const char *gateway)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (streq(json_string_value(json_array_get(list, i)), gateway))
            return true;
    return json_array_size(list) == 0;
}

bool virtual_service_is_for(const json_t *match, const struct virtual_service_place *p)
{
    const char *ns = json_at_str(match, "sourceNamespace");
    return (json_at_int(match, "port", 0) == 0 || json_at_int(match, "port", 0) == p->port) &&
           names_gateway(json_object_get(match, "gateways"), p->gateway) &&
           (str_empty(ns) || str_is(p->client->ns, ns)) &&
           mesh_client_has_labels(p->client, json_object_get(match, "sourceLabels"));
}

/* ---- destinations ---- */

static bool read_destination(struct object_reader *r, const json_t *of, const char *ns,
                             const struct virtual_service_place *p, struct route_backend *to)
{
    const char *host = json_at_str(of, "host"), *subset = json_at_str(of, "subset");
    int64_t port = 0;
    if (str_empty(host))
        return reader_error(r, "host", "name a Service", "is missing");
    AUTO_CHARS char *full = istio_host(host, ns);
    if (*full == '*' || !istio_host_is_valid(full))
        return reader_error(r, "host", "name a Service", "%.100s is no host", host);
    if (!str_empty(subset) && !str_is_dns1123_label(str_from(subset)))
        return reader_error(r, "subset", NULL, "%.100s is no name of a subset", subset);
    size_t mark = reader_enter(r, "port");
    bool ok = reader_number(r, json_object_get(of, "port"), "number", 1, 65535, &port);
    reader_leave(r, mark);
    to->service = istio_host_service(full);
    if (!to->service && p && p->entry_of)
        to->service = p->entry_of(full, (uint16_t)port, p->client->ns, p->user);
    to->host = to->service ? NULL : TAKE(full);
    to->subset = str_empty(subset) ? NULL : xstrdup(subset);
    to->port = (uint16_t)port;
    if (!port && p)
        to->port = to->service ? p->port_of(to->service, p->port, p->user) : p->port;
    return ok;
}

bool virtual_service_read_backends(struct object_reader *r, const json_t *list, const char *ns,
                                   const struct virtual_service_place *p,
                                   struct route_backend **ret, uint32_t *ret_n)
{
    size_t n = json_array_size(list);
    uint64_t sum = 0;
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(list, i);
        size_t mark = reader_enter_item(r, "route", i), destination;
        struct route_backend b = {0};
        int64_t weight = n == 1;
        ok = reader_number(r, one, "weight", 0, INT32_MAX, &weight) && ok;
        destination = reader_enter(r, "destination");
        ok = read_destination(r, json_object_get(one, "destination"), ns, p, &b) && ok;
        reader_leave(r, destination);
        ok = virtual_service_read_headers(r, one, &b.request_fields, &b.answer_fields) && ok;
        reader_leave(r, mark);
        b.weight = (uint32_t)weight;
        sum += b.weight;
        if (n > 1 && !weight) { /* gets nothing */
            route_backend_done(&b);
            continue;
        }
        *ret = xrealloc(*ret, (*ret_n + 1u) * sizeof(**ret));
        (*ret)[(*ret_n)++] = b;
    }
    if (ok && n > 1 && !sum)
        return reader_error(r, "route", "give at least one a weight", "has weights of 0 alone");
    if (sum > UINT32_MAX)
        return reader_error(r, "route", NULL, "has weights above %u together", UINT32_MAX);
    return ok;
}

static bool read_mirror(struct object_reader *r, const json_t *of, const json_t *shares,
                        const char *percentage, const char *ns,
                        const struct virtual_service_place *p, struct route *to)
{
    struct route_mirror m = {.per_million = ROUTE_ALL};
    bool ok = read_destination(r, of, ns, p, &m.to);
    ok = reader_percentage(r, shares, percentage, &m.per_million) && ok;
    if (ok && m.per_million)
        *route_add_mirror(to) = m;
    else
        route_backend_done(&m.to);
    return ok;
}

static bool read_mirrors(struct object_reader *r, const json_t *http, const char *ns,
                         const struct virtual_service_place *p, struct route *to)
{
    const json_t *one = json_object_get(http, "mirror"), *list = json_object_get(http, "mirrors");
    int64_t percent = -1;
    bool ok = true;
    if (one && json_array_size(list))
        return reader_error(r, "mirror", "say all of them in mirrors", "stands beside mirrors");
    if (!one && json_object_get(http, "mirrorPercentage"))
        return reader_error(r, "mirrorPercentage", "name whom requests are copied to in mirror",
                            "there is no mirror");
    if (one) {
        size_t mark = reader_enter(r, "mirror");
        uint32_t before = to->n_mirrors;
        ok = read_mirror(r, one, NULL, "", ns, p, to);
        reader_leave(r, mark);
        const char *old =
            json_object_get(http, "mirrorPercent") ? "mirrorPercent" : "mirror_percent";
        ok = reader_number(r, http, old, 0, 100, &percent) && ok;
        uint32_t share = percent < 0 ? ROUTE_ALL : (uint32_t)percent * (ROUTE_ALL / 100);
        ok = reader_percentage(r, http, "mirrorPercentage", &share) && ok;
        if (to->n_mirrors > before)
            to->mirrors[before].per_million = share;
        if (to->n_mirrors > before && !share)
            route_backend_done(&to->mirrors[--to->n_mirrors].to);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        size_t mark = reader_enter_item(r, "mirrors", i);
        ok = read_mirror(r, json_object_get(m, "destination"), m, "percentage", ns, p, to) && ok;
        reader_leave(r, mark);
    }
    return ok;
}

/* ---- redirects, answers, rewrites ---- */

static char *text_or_null(const json_t *j, const char *name)
{
    const char *text = json_key_str(j, name);
    return str_empty(text) ? NULL : xstrdup(text);
}

static bool read_redirect(struct object_reader *r, const json_t *of,
                          const struct virtual_service_place *p, struct route *to)
{
    static const uint16_t codes[] = {301, 302, 303, 307, 308};
    struct route_redirect *d = &to->redirect;
    int64_t code = 0, port = 0;
    const char *derive = json_at_str(of, "derivePort");
    bool ok = reader_number(r, of, "port", 1, 65535, &port), known = false;
    ok = reader_number(r, of, "redirectCode", 0, 399, &code) && ok;
    to->action = ROUTE_REDIRECT;
    d->code = code ? (uint16_t)code : 301;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        known = known || d->code == codes[i];
    if (ok && !known)
        ok = reader_error(r, "redirectCode", "use 301, 302, 303, 307 or 308", "is %u", d->code);
    d->path = text_or_null(of, "uri");
    d->prefix = text_or_null(of, "prefixRewrite");
    d->host = text_or_null(of, "authority");
    d->scheme = text_or_null(of, "scheme");
    d->port = (uint16_t)(streq(derive, "FROM_REQUEST_PORT") && p ? p->port : port);
    if (d->path && d->prefix)
        ok = reader_error(r, "prefixRewrite", "say one of the two", "stands beside uri");
    if (d->scheme && !streq(d->scheme, "http") && !streq(d->scheme, "https"))
        ok = reader_error(r, "scheme", "use http or https", "is \"%.20s\"", d->scheme);
    if (derive && port)
        ok = reader_error(r, "derivePort", "say one of the two", "stands beside port");
    if (!d->path && !d->prefix && !d->host && !d->scheme && !port && !derive)
        ok = reader_error(r, NULL, "say uri, authority, scheme or port", "leads to itself");
    if (d->port == (streq(d->scheme, "https") ? 443 : 80))
        d->port = 0; /* which needs no word */
    return ok;
}

static bool read_answer(struct object_reader *r, const json_t *of, struct route *to)
{
    AUTO_DONE(buf) struct buf decoded = {0};
    const char *text = json_at_str(of, "body.string"), *bytes = json_at_str(of, "body.bytes");
    int64_t status = 0;
    to->action = ROUTE_ANSWER;
    if (!reader_number(r, of, "status", 200, 599, &status))
        return false;
    if (!status)
        return reader_error(r, "status", "give a status of HTTP", "is missing");
    if (bytes && base64_decode(str_from(bytes), &decoded) < 0)
        return reader_error(r, "body.bytes", NULL, "is no base64");
    to->status = (uint16_t)status;
    if (text && !bytes)
        buf_add_cstr(&decoded, text);
    if (decoded.n > BODY_BYTES_MAX)
        return reader_error(r, "body", "let a Service answer", "is larger than 1 MiB");
    to->body_n = decoded.n;
    to->body = decoded.n ? buf_take_cstr(&decoded) : NULL;
    return true;
}

static bool check_regex_rewrite(struct object_reader *r, const char *match, const char *by)
{
    AUTO(regex) struct regex *made = NULL;
    struct err err = {0};
    if (!reader_regex(r, "uriRegexRewrite.match", match))
        return false;
    if (regex_new(str_from(match), &made, &err) < 0 ||
        regex_check_substitution(made, str_from(by), &err) < 0)
        return reader_error(r, "uriRegexRewrite.rewrite", "\\1 to \\9 are what was caught",
                            "cannot be filled in: %s", err_text(&err));
    return true;
}

static bool read_rewrite(struct object_reader *r, const json_t *http, struct route *to)
{
    const json_t *of = json_object_get(http, "rewrite"),
                 *regex = json_object_get(of, "uriRegexRewrite");
    struct route_rewrite *w = &to->rewrite;
    bool ok = true;
    if (!of)
        return true;
    size_t mark = reader_enter(r, "rewrite");
    w->prefix = text_or_null(of, "uri");
    w->host = text_or_null(of, "authority");
    if (regex) {
        const char *match = json_key_str(regex, "match"), *by = json_key_str(regex, "rewrite");
        if (w->prefix)
            ok = reader_error(r, "uriRegexRewrite", "say one of the two", "stands beside uri");
        else if (str_empty(match) || !by)
            ok = reader_error(r, "uriRegexRewrite", "give match and rewrite", "is not complete");
        else
            ok = check_regex_rewrite(r, match, by);
        w->regex = ok ? xstrdup(match) : NULL;
        w->to = ok ? xstrdup(by) : NULL;
    }
    if (!w->prefix && !w->host && !regex)
        ok = reader_error(r, NULL, "say uri, authority or uriRegexRewrite", "changes nothing");
    reader_leave(r, mark);
    return ok;
}

/* ---- the whole ---- */

static bool read_goal(struct object_reader *r, const json_t *http, const char *ns,
                      const struct virtual_service_place *p, struct route *to)
{
    static const char *const goals[] = {"route", "redirect", "directResponse", "delegate"};
    const char *goal = NULL;
    bool ok = true;
    for (size_t i = 0; i < ARRAY_LEN(goals); i++) {
        const json_t *of = json_object_get(http, goals[i]);
        if (!of || json_is_null(of) || (i == 0 && !json_array_size(of)))
            continue;
        if (goal)
            return reader_error(r, goals[i], "make two routes of it", "stands beside %s", goal);
        goal = goals[i];
    }
    if (!goal)
        return reader_error(r, NULL, "give a route, a redirect, a directResponse or a delegate",
                            "leads nowhere");
    if (streq(goal, "route"))
        return virtual_service_read_backends(r, json_object_get(http, "route"), ns, p,
                                             &to->backends, &to->n_backends);
    size_t mark = reader_enter(r, goal);
    const json_t *of = json_object_get(http, goal);
    if (streq(goal, "redirect"))
        ok = read_redirect(r, of, p, to);
    else if (streq(goal, "directResponse"))
        ok = read_answer(r, of, to);
    else if (str_empty(json_at_str(of, "name")))
        ok = reader_error(r, "name", "name a VirtualService without hosts", "is missing");
    reader_leave(r, mark);
    return ok;
}

bool virtual_service_read_action(struct object_reader *r, const json_t *http, const char *ns,
                                 const struct virtual_service_place *p, struct route *to)
{
    uint64_t timeout = 0;
    bool ok = read_goal(r, http, ns, p, to);
    if (to->action == ROUTE_REDIRECT && json_object_get(http, "rewrite"))
        ok = reader_error(r, "rewrite", "redirects say where they lead themselves",
                          "stands beside redirect");
    ok = read_rewrite(r, http, to) && ok;
    ok = reader_duration_ms(r, http, "timeout", 1, &timeout) && ok;
    to->timeout_ms = (uint32_t)timeout;
    ok = read_mirrors(r, http, ns, p, to) && ok;
    ok = virtual_service_read_retries(r, http, to) && ok;
    ok = virtual_service_read_fault(r, http, to) && ok;
    ok = virtual_service_read_cors(r, http, to) && ok;
    return virtual_service_read_headers(r, http, &to->request_fields, &to->answer_fields) && ok;
}
