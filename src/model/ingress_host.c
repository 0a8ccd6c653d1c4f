/* A host's routes. Paths of all Ingresses that name it are gathered, each kind of path in the order
 * it is tried, then what the host has as a whole: the root's redirect before all, the default
 * backend behind all.
 *
 * Order: exact paths, then prefixes by length; of regular expressions the longest text first. A
 * path that two Ingresses claim is the first one's. */
#include "model/ingress_host.h"

#include <stdlib.h>

#include "base/vec.h"
#include "codec/regex.h"
#include "model/explain.h"
#include "model/ingress_auth.h"
#include "model/ingress_readers.h"
#include "model/ingress_routes.h"

/* A rule's path on its way to a route. */
struct claim {
    const struct ingress_entry *entry;
    const struct ingress_path *path;
    uint32_t rule, index;
    size_t order; /* of claims alike in all else */
};

struct build {
    struct route_host *host;
    struct ingress_entry *const *entries;
    size_t n;
    const struct service_join *join;
    struct ingress_services *services;
    bool regex; /* all paths of the host are */
    const char *fallback;
    VEC(struct claim) claims, canaries;
};

int ingress_entry_compare(const struct ingress_entry *a, const struct ingress_entry *b)
{
    int by_key = strcmp(a->object->key, b->object->key);
    if (a->object->created_s != b->object->created_s)
        return a->object->created_s < b->object->created_s ? -1 : 1;
    if (a->nginx != b->nginx)
        return a->nginx ? -1 : 1;
    return a->nginx ? -by_key : by_key;
}

static const char *host_of(const struct ingress_rule *r)
{
    return *r->host ? r->host : "*";
}

bool ingress_names_host(const struct ingress_object *i, const char *host)
{
    for (uint32_t r = 0; r < i->n_rules; r++)
        if (str_eq_nocase(str_from(host_of(&i->rules[r])), str_from(host)))
            return true;
    return !i->n_rules && ingress_backend_is_set(&i->default_backend) && streq(host, "*");
}

/* ---- backends ---- */

static void note(struct build *b, const char *kind, const char *name)
{
    AUTO_CHARS char *key = xasprintf("%s%s", kind, name);
    VEC_FOREACH (known, b->services)
        if (streq(*known, key))
            return;
    vec_push(b->services, TAKE(key));
}

/* The number of the Service's port; 0: told why not. */
static uint16_t backend_port(struct build *b, const struct ingress_entry *e,
                             const struct ingress_backend *from, const char *key, const char *field)
{
    struct findings *f = &b->host->findings;
    const struct joined_service *s = service_join_find(b->join, key);
    const struct service_object *object = s ? s->object : NULL;
    if (!object) {
        finding_add(f, FINDING_WARNING, "ServiceNotFound", e->object->key, field,
                    "create it, or correct the name", "there is no Service %s", key);
        return 0;
    }
    for (uint16_t i = 0; i < object->n_ports; i++)
        if (from->port_name ? streq(object->ports[i].name, from->port_name)
                            : object->ports[i].port == from->port)
            return object->ports[i].port;
    if (from->port_name)
        finding_add(f, FINDING_WARNING, "PortNotFound", e->object->key, field,
                    "use one of its ports", "Service %s has no port named %s", key,
                    from->port_name);
    else
        finding_add(f, FINDING_WARNING, "PortNotFound", e->object->key, field,
                    "use one of its ports", "Service %s has no port %u", key, from->port);
    return 0;
}

/* The backend that the path names; none: it was told why. */
static void own_backend(struct build *b, struct route *r, const struct ingress_entry *e,
                        const struct ingress_backend *from, const char *field)
{
    if (!from->service) {
        finding_add(&b->host->findings, FINDING_WARNING, "BackendNotSupported", e->object->key,
                    field, "name a Service", "the backend is no Service: answered with 503");
        return;
    }
    AUTO_CHARS char *key = xasprintf("%s/%s", e->object->namespace_, from->service);
    note(b, "", key);
    uint16_t port = backend_port(b, e, from, key, field);
    if (port)
        route_add_backend(r, key, port, 100);
}

/* What is wrong with an annotation is told once, however many paths there are. */
static void tell_annotation(struct build *b, const struct ingress_entry *e, const char *name,
                            const char *hint, const char *text)
{
    AUTO_CHARS char *field = xasprintf("metadata.annotations[" INGRESS_NGINX_PREFIX "%s]", name);
    VEC_FOREACH (f, &b->host->findings)
        if (streq(f->object, e->object->key) && streq(f->field, field))
            return;
    finding_add(&b->host->findings, FINDING_WARNING, "DefaultBackendNotFound", e->object->key,
                field, hint, "%s", text);
}

/* Of a Service; 0: there is none. */
static uint16_t first_port(struct build *b, const char *key)
{
    const struct joined_service *s = service_join_find(b->join, key);
    note(b, "", key);
    return s && s->object && s->object->n_ports ? s->object->ports[0].port : 0;
}

/* The Service of the annotation, by its first port; 0: there is none. */
static uint16_t default_port(struct build *b, const struct ingress_entry *e, const char *key)
{
    uint16_t port = first_port(b, key);
    if (!port)
        tell_annotation(b, e, "default-backend", "create it, with a port",
                        "there is no such Service: it takes nothing");
    return port;
}

static bool has_endpoints(const struct build *b, const struct route_backend *to)
{
    const struct joined_service *s = service_join_find(b->join, to->service);
    for (uint16_t i = 0; s && s->object && i < s->object->n_ports; i++)
        if (s->object->ports[i].port == to->port)
            return joined_service_has_endpoints(s, s->object->ports[i].name);
    return false;
}

/* The default backend stands in for one that is not there; else for its errors. */
static void set_default(struct build *b, struct route *r, const struct ingress_entry *e,
                        const struct ingress_backend *from)
{
    const struct ingress_errors *errors = &e->policy->errors;
    if (!errors->backend && errors->n_codes && !errors->off && !b->fallback)
        tell_annotation(b, e, "custom-http-errors", "name a Service in default-backend",
                        "there is no default backend to answer instead: errors pass");
    if ((!errors->backend && !b->fallback) || e->policy->canary.on)
        return;
    AUTO_CHARS char *key = errors->backend
                               ? xasprintf("%s/%s", e->object->namespace_, errors->backend)
                               : xstrdup(b->fallback);
    uint16_t port = errors->backend ? default_port(b, e, key) : first_port(b, key);
    if (!port)
        return;
    if (!errors->backend || (r->n_backends && has_endpoints(b, r->backends))) {
        ingress_errors_apply(errors, key, port, from, r);
        return;
    }
    for (uint32_t i = 0; i < r->n_backends; i++)
        free(r->backends[i].service);
    r->n_backends = 0;
    route_add_backend(r, key, port, 100);
}

/* What the route does when nothing of the Ingress redirects it. */
static void set_backend(struct build *b, struct route *r, const struct ingress_entry *e,
                        const struct ingress_backend *from, const char *field)
{
    r->action = ROUTE_ANSWER;
    r->status = 503;
    if (e->policy->closed)
        return;
    own_backend(b, r, e, from, field);
    set_default(b, r, e, from);
    if (r->n_backends)
        r->action = ROUTE_FORWARD;
}

/* ---- what annotations do to a route ---- */

static char *dup_or_null(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

/* "https://host:8443/path?x" or "/path"; the request's query goes. */
static void set_redirect(struct route *r, const char *target, uint16_t code)
{
    struct str rest, scheme = str_cut(str_from(target), ':', &rest), port;
    uint64_t number = 0;
    r->action = ROUTE_REDIRECT;
    r->redirect = (struct route_redirect){.code = code, .drop_query = true};
    if (!rest.p || !str_starts(rest, STR("//"))) {
        r->redirect.path = *target == '/' ? xstrdup(target) : xasprintf("/%s", target);
        return;
    }
    rest = str_sub(rest, 2, rest.n);
    const char *slash = memchr(rest.p, '/', rest.n), *query = memchr(rest.p, '?', rest.n);
    const char *end = slash && (!query || slash < query) ? slash : query;
    struct str authority = str_sub(rest, 0, end ? (size_t)(end - rest.p) : rest.n);
    struct str path = str_sub(rest, authority.n, rest.n);
    r->redirect.scheme = str_dup(scheme);
    r->redirect.path =
        path.n && *path.p == '/' ? str_dup(path) : xasprintf("/" STR_FMT, STR_ARG(path));
    struct str host = str_cut(authority, ':', &port);
    if (!port.p || *authority.p == '[' || str_to_u64(port, &number) < 0 || number > 65535)
        host = authority;
    else
        r->redirect.port = (uint16_t)number;
    r->redirect.host = str_dup(host);
}

static void copy_cors(struct route_cors *to, const struct route_cors *from)
{
    *to = (struct route_cors){.on = true,
                              .methods = dup_or_null(from->methods),
                              .headers = dup_or_null(from->headers),
                              .expose = dup_or_null(from->expose),
                              .max_age = dup_or_null(from->max_age),
                              .credentials = from->credentials,
                              .origins = xcalloc(from->n_origins + 1, sizeof(*to->origins))};
    for (; to->n_origins < from->n_origins; to->n_origins++)
        to->origins[to->n_origins] = xstrdup(from->origins[to->n_origins]);
    if (!to->n_origins)
        to->origins[to->n_origins++] = xstrdup("*");
}

static bool is_challenge(const char *path)
{
    return str_starts(str_from(path), STR("/.well-known/acme-challenge"));
}

/* ---- what stands before ---- */

/* Names whom to ask, if that is a Service; a change of what its guard names makes the host another.
 */
static void add_guard(struct build *b, struct route *r, const struct ingress_entry *e)
{
    const char *field = e->policy->global_auth
                            ? "metadata.annotations[" INGRESS_NGINX_PREFIX "enable-global-auth]"
                            : "metadata.annotations[" INGRESS_NGINX_PREFIX "auth-url]";
    const struct route_guard *g = e->policy->guard;
    const struct route_auth_request *q = &g->request;
    if (e->policy->closed || route_guard_is_empty(g))
        return;
    r->guard = route_guard_ref(e->policy->guard);
    if (g->basic.secret)
        note(b, INGRESS_SECRET, g->basic.secret);
    if (q->set_headers)
        note(b, INGRESS_CONFIG_MAP, q->set_headers);
    r->unasked = q->on && e->policy->global_auth && r->challenge;
    if (!q->on || r->unasked || q->own_host ||
        ingress_service_of_host(q->host, &r->asks.service) < 0)
        return;
    r->asks.port = q->port;
    r->asks_by = (struct route_upstream){.tls = q->tls};
    note(b, "", r->asks.service);
    const struct ingress_backend to = {.service = r->asks.service, .port = q->port};
    IGNORE_RESULT(backend_port(b, e, &to, r->asks.service, field)); /* told; asking it fails */
}

/* What the host's own routes lead to; NULL: they lead nowhere. */
static const struct route *find_own(const struct build *b, const struct route_auth_request *q)
{
    struct str rest, path = str_cut(str_from(q->path.v[0].literal), '?', &rest);
    for (uint32_t i = 0; i < b->host->n_routes; i++) {
        const struct route *r = &b->host->routes[i];
        if (!r->n_headers && explain_path_matches(&r->path, path))
            return r->action == ROUTE_FORWARD && !r->rewrite.path ? r : NULL;
    }
    return NULL;
}

/* auth-url: https://$host/…: by way of the routes, without leaving the gateway. */
static void ask_own_hosts(struct build *b)
{
    for (uint32_t i = 0; i < b->host->n_routes; i++) {
        struct route *r = &b->host->routes[i];
        if (!r->guard || !r->guard->request.on || r->unasked || !r->guard->request.own_host)
            continue;
        const struct route *to = find_own(b, &r->guard->request);
        if (to) {
            r->asks = (struct route_backend){.service = xstrdup(to->backends[0].service),
                                             .port = to->backends[0].port};
            r->asks_by = to->upstream;
            IGNORE_RESULT(route_backend_tls_ref(r->asks_by.with));
            continue;
        }
        r->action = ROUTE_ANSWER;
        r->status = 503;
        for (; r->n_backends; r->n_backends--)
            free(r->backends[r->n_backends - 1].service);
        route_guard_unref(TAKE(r->guard));
        finding_add(
            &b->host->findings, FINDING_ERROR, "AuthPathNotServed", r->origin.object,
            "metadata.annotations[" INGRESS_NGINX_PREFIX "auth-url]",
            "add a rule for it, without a rewrite, or name the Service",
            "$host is asked at a path that no rule of host %s leads to a Service; because it "
            "protects, the path answers 503",
            b->host->name);
    }
}

/* How endpoints are spoken to; a change of the Secret makes the host another. */
static void set_upstream(struct build *b, struct route *r, const struct ingress_policy *p)
{
    r->upstream = p->upstream;
    r->upstream.with = p->closed ? NULL : route_backend_tls_ref(p->upstream.with);
    if (r->upstream.with && r->upstream.with->secret)
        note(b, INGRESS_SECRET, r->upstream.with->secret);
}

static void apply_policy(struct build *b, struct route *r, const struct ingress_entry *e)
{
    const struct ingress_policy *p = e->policy;
    set_upstream(b, r, p);
    r->challenge = is_challenge(r->path.text);
    r->answer_map = dup_or_null(p->steer.answer_map);
    if (r->answer_map)
        note(b, INGRESS_CONFIG_MAP, r->answer_map);
    r->idle_timeout_s = p->read_timeout_s;
    r->https_only = (p->force_ssl_redirect || (p->ssl_redirect && b->host->secret)) &&
                    !is_challenge(r->path.text);
    if (e->nginx && e->settings) {
        r->https_code = e->settings->https_code;
        r->believes_https = e->settings->forwarded;
    }
    if (p->cors.on)
        copy_cors(&r->cors, &p->cors);
    if (p->redirect.temporal)
        set_redirect(r, p->redirect.temporal, p->redirect.temporal_code);
    else if (p->redirect.permanent)
        set_redirect(r, p->redirect.permanent, p->redirect.permanent_code);
    ingress_answers_apply(&p->answers, r);
    if (r->action == ROUTE_REDIRECT) {
        r->https_only = false; /* it answers before that */
        return;
    }
    ingress_affinity_apply(&p->affinity, r);
    ingress_steer_apply(p, r);
    add_guard(b, r, e);
    r->rewrite.path = dup_or_null(p->rewrite_target);
    r->rewrite.host = dup_or_null(p->upstream_vhost);
}

static struct route *add_route(struct build *b, const struct ingress_entry *e,
                               enum route_path_kind kind, const char *text, char *field)
{
    struct route *r = route_host_add(b->host);
    r->path = (struct route_path){.kind = kind, .text = xstrdup(text)};
    r->origin = (struct route_origin){"Ingress", xstrdup(e->object->key), field};
    return r;
}

/* ---- paths ---- */

static bool is_regex(const struct build *b, const struct claim *c)
{
    return b->regex || c->entry->policy->use_regex;
}

static size_t length_of(const struct claim *c)
{
    return strlen(c->path->path);
}

/* Exact paths first: of a request's path there is one at most. Then the longest. */
static int compare_claims(const void *a, const void *b)
{
    const struct claim *x = a, *y = b;
    bool x_exact = x->path->type == INGRESS_PATH_EXACT,
         y_exact = y->path->type == INGRESS_PATH_EXACT;
    if (x_exact != y_exact)
        return x_exact ? -1 : 1;
    if (length_of(x) != length_of(y))
        return length_of(x) > length_of(y) ? -1 : 1;
    int d = strcmp(x->path->path, y->path->path);
    return d ? d : x->order < y->order ? -1 : x->order > y->order;
}

static int compare_regexes(const void *a, const void *b)
{
    const struct claim *x = a, *y = b;
    if (length_of(x) != length_of(y))
        return length_of(x) > length_of(y) ? -1 : 1;
    int d = strcmp(x->path->path, y->path->path);
    return d ? d : x->order < y->order ? -1 : x->order > y->order;
}

static bool same_path(const struct claim *a, const struct claim *b)
{
    return streq(a->path->path, b->path->path) &&
           (a->path->type == INGRESS_PATH_EXACT) == (b->path->type == INGRESS_PATH_EXACT);
}

static void gather(struct build *b)
{
    for (size_t n = 0; n < b->n; n++) {
        const struct ingress_entry *e = b->entries[n];
        for (uint32_t r = 0; r < e->object->n_rules; r++) {
            const struct ingress_rule *rule = &e->object->rules[r];
            if (!str_eq_nocase(str_from(host_of(rule)), str_from(b->host->name)))
                continue;
            for (uint32_t p = 0; p < rule->n_paths; p++) {
                const struct claim c = {e, &rule->paths[p], r, p, b->claims.n + b->canaries.n};
                if (e->policy->canary.on)
                    vec_push(&b->canaries, c);
                else
                    vec_push(&b->claims, c);
            }
        }
        if (e->nginx && !e->policy->canary.on &&
            (e->policy->use_regex || e->policy->rewrite_target))
            b->regex = true;
    }
}

static char *claim_field(const struct claim *c)
{
    return xasprintf("spec.rules[%u].http.paths[%u]", c->rule, c->index);
}

/* Told why not, and left out: its neighbours are served. */
static bool regex_is_valid(struct build *b, const struct claim *c)
{
    const char *target = c->entry->policy->rewrite_target;
    AUTO_DONE(buf) struct buf text = {0};
    struct err err = {0};
    AUTO(regex) struct regex *regex = NULL;
    unsigned groups = 0;
    buf_addf(&text, "^(?:%s).*$", c->path->path);
    bool ok = *c->path->path == '/' && regex_new(buf_str(&text), &regex, &err) == 0;
    for (const char *p = target; ok && p && *p; p++)
        if (*p == '$' && p[1] >= '1' && p[1] <= '9')
            groups = MAX(groups, (unsigned)(p[1] - '0'));
    AUTO_CHARS char *last = xasprintf("\\%u", groups);
    ok = ok && regex_check_substitution(regex, str_from(last), &err) == 0;
    if (!ok) {
        AUTO_CHARS char *field = claim_field(c);
        finding_add(&b->host->findings, FINDING_ERROR, "PathInvalid", c->entry->object->key, field,
                    "a path begins with /; expressions are RE2's",
                    "the path \"%.80s\" is not served: %s", c->path->path,
                    err.code ? err_text(&err) : "it does not begin with /");
    }
    return ok;
}

/* What an expression surely begins with: itself an expression. */
static char *literal_head(const char *regex)
{
    size_t n = strcspn(regex, "\\^$.|?*+()[]{}");
    bool maybe_none = regex[n] && strchr("?*{", regex[n]); /* of the last character */
    return xstrndup(regex, strchr(regex, '|') ? 1 : MAX(n - maybe_none, (size_t)1));
}

/* What protects a path that cannot be read must not be passed by on the way to a wider one:
 * whatever the expression may have meant answers 503. */
static void close_regex(struct build *b, const struct claim *c)
{
    const struct ingress_policy *p = c->entry->policy;
    if (*c->path->path != '/' || !(p->closed || p->client_cert || route_guard_restricts(p->guard)))
        return;
    AUTO_CHARS char *head = literal_head(c->path->path);
    struct route *r = add_route(b, c->entry, ROUTE_PATH_REGEX, head, claim_field(c));
    r->path.ignore_case = c->entry->nginx;
    r->action = ROUTE_ANSWER;
    r->status = 503;
}

static void add_regex(struct build *b, const struct claim *c)
{
    if (!regex_is_valid(b, c)) {
        close_regex(b, c);
        return;
    }
    struct route *r = add_route(b, c->entry, ROUTE_PATH_REGEX, c->path->path, claim_field(c));
    r->path.ignore_case = c->entry->nginx;
    set_backend(b, r, c->entry, &c->path->backend, r->origin.field);
    apply_policy(b, r, c->entry);
}

/* "/a/" without its slash; NULL: there is none, or it is the root. */
static char *without_slash(const char *path)
{
    size_t n = strlen(path);
    return n > 1 && path[n - 1] == '/' ? xstrndup(path, n - 1) : NULL;
}

/* ingress-nginx asks for the slash. */
static void add_slash_redirect(struct build *b, const struct claim *c, const char *bare)
{
    VEC_FOREACH (other, &b->claims)
        if (streq(other->path->path, bare))
            return;
    struct route *r = add_route(b, c->entry, ROUTE_PATH_EXACT, bare, claim_field(c));
    r->action = ROUTE_REDIRECT;
    r->redirect = (struct route_redirect){.code = 301, .path = xstrdup(c->path->path)};
    ingress_answers_apply(&c->entry->policy->answers, r);
}

static void add_path(struct build *b, const struct claim *c)
{
    const char *text = *c->path->path ? c->path->path : "/";
    if (*text != '/') {
        AUTO_CHARS char *field = claim_field(c);
        finding_add(&b->host->findings, FINDING_ERROR, "PathInvalid", c->entry->object->key, field,
                    "a path begins with /", "the path \"%.80s\" is not served", text);
        return;
    }
    AUTO_CHARS char *bare = without_slash(text);
    bool exact = c->path->type == INGRESS_PATH_EXACT;
    enum route_path_kind kind = exact                            ? ROUTE_PATH_EXACT
                                : bare && c->entry->nginx        ? ROUTE_PATH_PREFIX
                                : bare || strcmp(text, "/") != 0 ? ROUTE_PATH_SEGMENTS
                                                                 : ROUTE_PATH_PREFIX;
    if (bare && c->entry->nginx)
        add_slash_redirect(b, c, bare);
    struct route *r = add_route(b, c->entry, kind,
                                kind == ROUTE_PATH_SEGMENTS && bare ? bare : text, claim_field(c));
    set_backend(b, r, c->entry, &c->path->backend, r->origin.field);
    apply_policy(b, r, c->entry);
}

/* ---- canaries ---- */

static void add_header(struct route *r, const char *name, const char *value, bool regex)
{
    struct route_header *h = route_headers_add(&r->headers, &r->n_headers);
    AUTO_CHARS char *lower = xstrdup(name);
    for (char *c = lower; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + 32);
    *h =
        (struct route_header){TAKE(lower), xstrdup(value), regex ? ROUTE_IS_LIKE : ROUTE_IS, false};
}

/* A copy of the main route in front of it, with a condition, to the canary's backend or its own. */
static void add_copy(struct build *b, const struct claim *main, const struct claim *canary,
                     bool to_canary, const char *header, const char *value, bool regex)
{
    size_t at = b->host->n_routes;
    if (is_regex(b, main))
        add_regex(b, main);
    else
        add_path(b, main);
    for (; at < b->host->n_routes; at++) {
        struct route *r = &b->host->routes[at];
        add_header(r, header, value, regex);
        if (!to_canary || r->action != ROUTE_FORWARD)
            continue;
        for (uint32_t i = 0; i < r->n_backends; i++)
            free(r->backends[i].service);
        free(TAKE(r->backends));
        r->n_backends = 0;
        AUTO_CHARS char *field = claim_field(canary);
        set_backend(b, r, canary->entry, &canary->path->backend, field);
    }
}

/* "; NAME=VALUE;" in a Cookie header. */
static char *cookie_regex(const char *name, const char *value)
{
    AUTO_DONE(buf) struct buf b = {0};
    buf_add_cstr(&b, "(.*;)? *");
    for (const char *c = name; *c; c++)
        buf_addf(&b, "%s%c", strchr("\\^$.|?*+()[]{}", *c) ? "\\" : "", *c);
    buf_addf(&b, "=%s *(;.*)?", value);
    return buf_take_cstr(&b);
}

static void add_weight(struct build *b, struct route *r, const struct claim *canary)
{
    const struct ingress_canary *c = &canary->entry->policy->canary;
    struct route other = {0};
    uint32_t weight = MIN(c->weight, c->weight_total);
    if (!weight || r->action != ROUTE_FORWARD)
        return;
    AUTO_CHARS char *field = claim_field(canary);
    set_backend(b, &other, canary->entry, &canary->path->backend, field);
    if (other.action == ROUTE_FORWARD) {
        r->backends[0].weight = c->weight_total - weight;
        route_add_backend(r, other.backends[0].service, other.backends[0].port, weight);
    }
    route_done(&other);
}

static bool pattern_is_valid(struct build *b, const struct claim *canary)
{
    const char *pattern = canary->entry->policy->canary.header_pattern;
    struct err err = {0};
    AUTO(regex) struct regex *regex = NULL;
    if (regex_new(str_from(pattern), &regex, &err) == 0)
        return true;
    finding_add(&b->host->findings, FINDING_WARNING, "AnnotationInvalid",
                canary->entry->object->key,
                "metadata.annotations[" INGRESS_NGINX_PREFIX "canary-by-header-pattern]",
                "expressions are RE2's", "\"%.80s\" is not taken: %s", pattern, err_text(&err));
    return false;
}

/* Precedence: header, cookie, weight. */
static void add_canary(struct build *b, const struct claim *main, const struct claim *canary)
{
    const struct ingress_canary *c = &canary->entry->policy->canary;
    if (c->header && c->header_value) {
        add_copy(b, main, canary, true, c->header, c->header_value, false);
    } else if (c->header && c->header_pattern) {
        if (pattern_is_valid(b, canary))
            add_copy(b, main, canary, true, c->header, c->header_pattern, true);
    } else if (c->header) {
        add_copy(b, main, canary, true, c->header, "always", false);
        add_copy(b, main, canary, false, c->header, "never", false);
    }
    if (c->cookie) {
        AUTO_CHARS char *always = cookie_regex(c->cookie, "always"),
                        *never = cookie_regex(c->cookie, "never");
        add_copy(b, main, canary, true, "cookie", always, true);
        add_copy(b, main, canary, false, "cookie", never, true);
    }
}

static const struct claim *canary_of(const struct build *b, const struct claim *main)
{
    VEC_FOREACH (c, &b->canaries)
        if (streq(c->path->path, main->path->path) && c->path->type == main->path->type)
            return c;
    return NULL;
}

static void tell_unused_canaries(struct build *b)
{
    VEC_FOREACH (c, &b->canaries) {
        bool used = false;
        VEC_FOREACH (main, &b->claims)
            used = used || canary_of(b, main) == c;
        AUTO_CHARS char *field = used ? NULL : claim_field(c);
        if (!used)
            finding_add(&b->host->findings, FINDING_WARNING, "CanaryUnused", c->entry->object->key,
                        field, "repeat host, path and pathType of the main Ingress",
                        "no other Ingress has this path, or another canary has it already");
    }
}

/* ---- the whole ---- */

static void add_claim(struct build *b, const struct claim *c)
{
    const struct claim *canary = canary_of(b, c);
    uint32_t before;
    if (canary)
        add_canary(b, c, canary);
    before = b->host->n_routes;
    if (is_regex(b, c))
        add_regex(b, c);
    else
        add_path(b, c);
    if (canary && b->host->n_routes > before)
        add_weight(b, &b->host->routes[b->host->n_routes - 1], canary);
}

static void add_claims(struct build *b)
{
    const struct claim *first = NULL; /* of one path */
    if (b->claims.n)
        qsort(b->claims.v, b->claims.n, sizeof(*b->claims.v),
              b->regex ? compare_regexes : compare_claims);
    for (size_t i = 0; i < b->claims.n; i++) {
        const struct claim *c = &b->claims.v[i];
        if (!first || !same_path(first, c)) {
            add_claim(b, c);
            first = c;
            continue;
        }
        AUTO_CHARS char *field = claim_field(c);
        finding_add(&b->host->findings, FINDING_WARNING, "PathConflict", c->entry->object->key,
                    field, "remove it from one of them",
                    "host %s, path %s is served by Ingress %s, which is older", b->host->name,
                    c->path->path, first->entry->object->key);
    }
}

static void add_app_root(struct build *b)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct ingress_policy *p = b->entries[i]->policy;
        if (!p->app_root || p->canary.on)
            continue;
        struct route *r =
            add_route(b, b->entries[i], ROUTE_PATH_EXACT, "/",
                      xstrdup("metadata.annotations[" INGRESS_NGINX_PREFIX "app-root]"));
        r->action = ROUTE_REDIRECT;
        r->redirect = (struct route_redirect){.code = 302, .path = xstrdup(p->app_root)};
        return;
    }
}

static void add_default(struct build *b)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct ingress_entry *e = b->entries[i];
        if (!ingress_backend_is_set(&e->object->default_backend) || e->policy->canary.on)
            continue;
        struct route *r = add_route(b, e, ROUTE_PATH_PREFIX, "/", xstrdup("spec.defaultBackend"));
        set_backend(b, r, e, &e->object->default_backend, r->origin.field);
        apply_policy(b, r, e);
        return;
    }
}

static bool takes_all(const struct route_host *h)
{
    for (uint32_t i = 0; i < h->n_routes; i++)
        if (h->routes[i].path.kind == ROUTE_PATH_PREFIX && !h->routes[i].n_headers &&
            streq(h->routes[i].path.text, "/"))
            return true;
    return false;
}

/* What nothing else is for: as it came, to the Service's first port. */
static void add_fallback(struct build *b)
{
    if (!b->fallback || takes_all(b->host))
        return;
    uint16_t port = first_port(b, b->fallback);
    struct route *r = route_host_add(b->host);
    r->path = (struct route_path){.kind = ROUTE_PATH_PREFIX, .text = xstrdup("/")};
    r->origin = (struct route_origin){"Service", xstrdup(b->fallback),
                                      xstrdup("--default-backend-service")};
    r->action = ROUTE_ANSWER;
    r->status = 503;
    if (!port)
        return;
    r->action = ROUTE_FORWARD;
    route_add_backend(r, b->fallback, port, 1);
}

/* The first Ingress that has TLS for the host; one that names no hosts means its own. */
static char *find_secret(const struct build *b)
{
    struct str name = str_from(b->host->name);
    for (size_t i = 0; i < b->n; i++) {
        const struct ingress_object *o = b->entries[i]->object;
        for (uint32_t t = 0; t < o->n_tls; t++) {
            bool covers = o->tls[t].n_hosts == 0;
            for (uint32_t h = 0; h < o->tls[t].n_hosts; h++)
                covers = covers || str_eq_nocase(str_from(o->tls[t].hosts[h]), name);
            if (covers)
                return *o->tls[t].secret ? xasprintf("%s/%s", o->namespace_, o->tls[t].secret)
                                         : xstrdup("");
        }
    }
    return NULL;
}

/* Of the first Ingress that has some; it counts for the host as a whole. */
static void find_client_cert(struct build *b)
{
    const struct ingress_entry *first = NULL;
    for (size_t i = 0; i < b->n; i++) {
        const struct ingress_entry *e = b->entries[i];
        const struct route_client_cert *c = e->policy->client_cert;
        if (!c || e->policy->closed || e->policy->canary.on)
            continue;
        if (!first)
            b->host->client_cert = route_client_cert_ref(e->policy->client_cert);
        else if (!route_client_cert_eq(c, b->host->client_cert))
            finding_add(
                &b->host->findings, FINDING_WARNING, "ClientCertificateConflict", e->object->key,
                "metadata.annotations[" INGRESS_NGINX_PREFIX "auth-tls-secret]",
                "say the same in both",
                "what Ingress %s, which is older, says of client certificates counts for all "
                "of host %s",
                first->object->key, b->host->name);
        first = first ? first : e;
    }
    if (!first)
        return;
    note(b, INGRESS_SECRET, b->host->client_cert->secret);
    for (uint32_t i = 0; i < b->host->n_routes; i++)
        b->host->routes[i].client_cert = b->host->client_cert;
}

static void add_www(struct build *b)
{
    struct route *r =
        add_route(b, b->entries[0], ROUTE_PATH_PREFIX, "/",
                  xstrdup("metadata.annotations[" INGRESS_NGINX_PREFIX "from-to-www-redirect]"));
    r->action = ROUTE_REDIRECT;
    const struct ingress_settings *settings = b->entries[0]->settings;
    r->redirect = (struct route_redirect){.code = settings ? settings->https_code : 308,
                                          .host = xstrdup(b->host->name)};
}

/* Whose path / is; NULL: nobody's. Claims stand in order. */
static const struct claim *find_root(const struct build *b)
{
    VEC_FOREACH (c, &b->claims)
        if (streq(c->path->path, "/"))
            return c;
    return NULL;
}

/* To the backend of the path /, as in ingress-nginx; who has lost it to an older Ingress does not
 * get the whole host instead. */
static void add_passthrough(struct build *b)
{
    const struct claim *c = find_root(b);
    for (size_t i = 0; i < b->n; i++) {
        const struct ingress_entry *e = b->entries[i];
        if (!e->policy->steer.passthrough || e->policy->canary.on || e->policy->closed)
            continue;
        if (c && c->entry == e) {
            struct route r = {0};
            AUTO_CHARS char *field = claim_field(c);
            set_backend(b, &r, e, &c->path->backend, field);
            if (r.n_backends)
                b->host->passthrough =
                    (struct route_backend){.service = xstrdup(r.backends[0].service),
                                           .port = r.backends[0].port,
                                           .weight = 1};
            route_done(&r);
            return;
        }
        finding_add(&b->host->findings, FINDING_WARNING, "AnnotationInvalid", e->object->key,
                    "metadata.annotations[" INGRESS_NGINX_PREFIX "ssl-passthrough]",
                    c ? "say it in the Ingress that has the path /" : "add a path /",
                    c ? "the path / of host %s is another Ingress's: TLS ends here"
                      : "there is no path / on host %s: TLS ends here",
                    b->host->name);
    }
}

/* Strict-Transport-Security, for hosts that have TLS. */
static void add_hsts(struct build *b)
{
    if (!b->host->secret || !b->n || !b->entries[0]->nginx || b->host->passthrough.service)
        return;
    AUTO_CHARS char *value = ingress_settings_hsts(b->entries[0]->settings);
    if (value)
        route_set_field(&b->host->tls_fields, "strict-transport-security", value);
}

/* What is wrong is told of the host itself. */
static void rename_host(struct route_host *h, const char *name)
{
    free(h->name);
    h->name = xstrdup(name);
    h->one_label = str_starts(str_from(name), STR("*."));
    findings_done(&h->findings);
    h->findings = (struct findings){0};
}

struct route_host *ingress_host_build(const char *name, const struct ingress_alias *as,
                                      struct ingress_entry *const *entries, size_t n,
                                      const char *fallback, const struct service_join *join,
                                      struct ingress_services *services)
{
    struct build b = {.host = route_host_new(name),
                      .entries = entries,
                      .n = n,
                      .fallback = fallback,
                      .join = join,
                      .services = services};
    b.host->one_label = str_starts(str_from(name), STR("*."));
    if (n) {
        b.host->owner = (struct route_origin){"Ingress", xstrdup(entries[0]->object->key),
                                              xstrdup("spec.rules")};
        b.host->since_s = entries[0]->object->created_s;
    }
    if (!as)
        b.host->secret = find_secret(&b);
    if (as && as->www) {
        add_www(&b);
    } else {
        gather(&b);
        add_app_root(&b);
        add_claims(&b);
        tell_unused_canaries(&b);
        add_default(&b);
        add_fallback(&b);
        ask_own_hosts(&b);
        find_client_cert(&b);
        if (!as && strcmp(name, "*") != 0)
            add_passthrough(&b);
    }
    if (as)
        rename_host(b.host, as->name);
    else
        add_hsts(&b);
    vec_done(&b.claims);
    vec_done(&b.canaries);
    return b.host;
}
