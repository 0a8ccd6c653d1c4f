/* VirtualServices as a whole: who they are for, and their routes one after the other. */
#include "model/virtual_service_priv.h"

#define KIND "VirtualService"

enum {
    ROUTES_MAX = 10000,           /* of one host, matches counted */
    ROUTES_BYTES_MAX = 32u << 20, /* of what they say: each match has all that its route says */
};

/* ---- decoding ---- */

static void read_hosts(struct virtual_service *v, struct object_reader *r)
{
    const json_t *list = json_object_get(v->o.spec, "hosts");
    size_t n = MIN(json_array_size(list), (size_t)VIRTUAL_SERVICE_HOSTS_MAX);
    if (json_array_size(list) > n)
        reader_error(r, "hosts", "make several of it", "are more than %d: the rest is left out",
                     VIRTUAL_SERVICE_HOSTS_MAX);
    v->hosts = xcalloc(n + 1, sizeof(*v->hosts));
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        size_t mark = reader_enter_item(r, "hosts", i);
        AUTO_CHARS char *host = istio_host(text ? text : "", v->o.ns);
        if (!istio_host_is_valid(host))
            reader_error(r, NULL, "write a DNS name, *.name or an address", "\"%.100s\" is no host",
                         text ? text : "");
        else if (streq(host, "*") && v->for_mesh)
            reader_error(r, NULL, "name hosts, or gateways without mesh",
                         "sidecars are not given routes of all hosts");
        else
            v->hosts[v->n_hosts++] = TAKE(host);
        reader_leave(r, mark);
    }
}

static void read_gateways(struct virtual_service *v, struct object_reader *r)
{
    const json_t *list = json_object_get(v->o.spec, "gateways");
    size_t n = json_array_size(list);
    if (n > VIRTUAL_SERVICE_GATEWAYS_MAX)
        reader_error(r, "gateways", NULL, "are more than %d: the rest is left out",
                     VIRTUAL_SERVICE_GATEWAYS_MAX);
    n = MIN(n, (size_t)VIRTUAL_SERVICE_GATEWAYS_MAX);
    v->for_mesh = !n;
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        size_t mark = reader_enter_item(r, "gateways", i);
        if (str_empty(name))
            reader_error(r, NULL, "name a Gateway, or mesh", "is empty");
        v->for_mesh = v->for_mesh || streq(name, ISTIO_MESH_GATEWAY);
        reader_leave(r, mark);
    }
}

static void check_match(struct virtual_service *v, struct object_reader *r, const json_t *match,
                        size_t i)
{
    struct route scratch = {0};
    size_t mark = reader_enter_item(r, "match", i);
    virtual_service_read_match(r, match, &scratch);
    route_done(&scratch);
    virtual_service_note_source(v, match);
    reader_leave(r, mark);
}

static void check_http(struct virtual_service *v, struct object_reader *r)
{
    const json_t *list = json_object_get(v->o.spec, "http");
    size_t routes = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *http = json_array_get(list, i), *matches = json_object_get(http, "match");
        struct route scratch = {0};
        size_t mark = reader_enter_item(r, "http", i);
        for (size_t k = 0; k < json_array_size(matches); k++)
            check_match(v, r, json_array_get(matches, k), k);
        virtual_service_read_action(r, http, v->o.ns, NULL, &scratch);
        route_done(&scratch);
        routes += MAX(json_array_size(matches), (size_t)1);
        if (!v->n_hosts && json_object_get(http, "delegate"))
            reader_error(r, "delegate", "let the root name it", "a delegate has no delegates");
        reader_leave(r, mark);
    }
    if (routes > ROUTES_MAX)
        reader_error(r, "http", "make several hosts of it",
                     "has more than %d matches: what is too much answers 503", ROUTES_MAX);
}

static void check_whole(struct virtual_service *v, struct object_reader *r)
{
    static const char *const others[] = {"tls", "tcp"};
    size_t n = json_array_size(json_object_get(v->o.spec, "http"));
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        if (!json_array_size(json_object_get(v->o.spec, others[i])))
            continue;
        n++;
        if (!v->n_hosts)
            reader_error(r, others[i], "let the root say it",
                         "a delegate has routes of HTTP alone");
    }
    if (!n)
        reader_error(r, NULL, "give http, tls or tcp", "has no routes");
    if (!v->n_hosts && json_array_size(json_object_get(v->o.spec, "gateways")))
        reader_error(r, "gateways", "let the root name them",
                     "a VirtualService without hosts is a delegate: it is of no gateway");
}

struct virtual_service *virtual_service_decode(const json_t *j)
{
    struct virtual_service *v = NEW(struct virtual_service);
    if (!istio_object_decode(j, &v->o)) {
        istio_object_done(&v->o);
        free(v);
        return NULL;
    }
    AUTO_DONE(object_reader)
    struct object_reader r = {.findings = &v->o.findings, .object = v->o.key, .id = "RouteInvalid"};
    size_t mark = reader_enter(&r, "spec");
    istio_object_read_export(&v->o, &r);
    read_gateways(v, &r);
    read_hosts(v, &r);
    check_http(v, &r);
    virtual_service_check_streams(v, &r);
    check_whole(v, &r);
    reader_leave(&r, mark);
    return v;
}

void virtual_service_free(struct virtual_service *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->n_hosts; i++)
        free(v->hosts[i]);
    free(v->hosts);
    istio_object_done(&v->o);
    free(v);
}

/* ---- compiling ---- */

struct compiling {
    const struct virtual_service *of; /* whose routes, and in whose names */
    const struct virtual_service_place *place;
    struct object_reader *reader;
    struct route_host *to;
    size_t *bytes; /* of all routes so far */
};

static size_t weight_of(const json_t *j)
{
    size_t sum = 64, i;
    const char *key;
    json_t *one;
    if (json_is_string(j))
        return sum + json_string_length(j);
    if (json_is_array(j))
        json_array_foreach((json_t *)(uintptr_t)j, i, one) sum += weight_of(one);
    if (json_is_object(j))
        json_object_foreach((json_t *)(uintptr_t)j, key, one) sum += strlen(key) + weight_of(one);
    return sum;
}

static bool is_too_much(struct compiling *c, const json_t *http)
{
    const json_t *matches = json_object_get(http, "match");
    size_t n = MAX(json_array_size(matches), (size_t)1),
           each = weight_of(http) - (matches ? weight_of(matches) : 0);
    if (c->to->n_routes + n > ROUTES_MAX || each * n > ROUTES_BYTES_MAX - *c->bytes)
        return true;
    *c->bytes += each * n;
    return false;
}

/* Istio's names in access logs. */
static char *name_of(const json_t *http, const json_t *match)
{
    const char *route = json_key_str(http, "name"), *of_match = json_key_str(match, "name");
    if (str_empty(route))
        return NULL;
    return str_empty(of_match) ? xstrdup(route) : xasprintf("%s.%s", route, of_match);
}

static void add_route(struct compiling *c, const json_t *http, const json_t *match)
{
    struct route made = {0};
    if ((match && !virtual_service_is_for(match, c->place)))
        return;
    struct findings *findings = c->reader->findings;
    c->reader->findings = NULL; /* all this was told when it came */
    if (!virtual_service_read_match(c->reader, match, &made)) {
        route_done(&made);
        c->reader->findings = findings;
        return;
    }
    struct route goal = {0};
    if (!virtual_service_read_action(c->reader, http, c->of->o.ns, c->place, &goal)) {
        route_done(&goal);
        goal = (struct route){.action = ROUTE_ANSWER, .status = 503};
    }
    c->reader->findings = findings;
    goal.path = made.path;
    goal.headers = made.headers;
    goal.n_headers = made.n_headers;
    goal.query = made.query;
    goal.n_query = made.n_query;
    goal.name = name_of(http, match);
    if (goal.action == ROUTE_FORWARD && !goal.n_backends)
        goal.action = ROUTE_ANSWER, goal.status = 503;
    goal.origin =
        (struct route_origin){KIND, xstrdup(c->of->o.key), xstrdup(buf_cstr(&c->reader->path))};
    *route_host_add(c->to) = goal;
}

/* What would be too much is a route that answers 503, and so is all that comes behind it. */
static void close_rest(struct compiling *c)
{
    struct route *r = route_host_add(c->to);
    r->path = (struct route_path){.kind = ROUTE_PATH_PREFIX, .text = xstrdup("/")};
    r->action = ROUTE_ANSWER;
    r->status = 503;
    r->origin =
        (struct route_origin){KIND, xstrdup(c->of->o.key), xstrdup(buf_cstr(&c->reader->path))};
    *c->bytes = ROUTES_BYTES_MAX;
}

static void add_matches(struct compiling *c, const json_t *http)
{
    const json_t *matches = json_object_get(http, "match");
    if (*c->bytes == ROUTES_BYTES_MAX)
        return;
    if (is_too_much(c, http)) {
        reader_error(c->reader, NULL, "make several hosts of it",
                     "is too much, with what stands before it: 503");
        close_rest(c);
        return;
    }
    for (size_t k = 0; k < json_array_size(matches); k++) {
        size_t mark = reader_enter_item(c->reader, "match", k);
        add_route(c, http, json_array_get(matches, k));
        reader_leave(c->reader, mark);
    }
    if (!json_array_size(matches))
        add_route(c, http, NULL);
}

/* The routes of a delegate in place of one of the root. */
static void add_delegate(struct compiling *c, const json_t *root)
{
    const char *ns = json_at_str(root, "delegate.namespace"),
               *name = json_at_str(root, "delegate.name");
    const struct virtual_service_place *p = c->place;
    const struct virtual_service *d =
        name ? p->delegate_of(str_empty(ns) ? c->of->o.ns : ns, name, p->user) : NULL;
    if (!d || d->n_hosts || !istio_object_is_seen(&d->o, str_from(c->of->o.ns))) {
        reader_error(c->reader, "delegate", "create it, without hosts, and export it",
                     "there is no VirtualService %.100s that can stand here: requests get 503",
                     name ? name : "");
        AUTO_JSON json_t *closed = json_copy((json_t *)(uintptr_t)root);
        json_object_del(closed, "delegate");
        json_object_set_new(closed, "directResponse", json_pack("{s:i}", "status", 503));
        add_matches(c, closed);
        return;
    }
    const json_t *list = json_object_get(d->o.spec, "http");
    AUTO_DONE(object_reader)
    struct object_reader reader = {
        .findings = c->reader->findings, .object = d->o.key, .id = c->reader->id};
    struct compiling within = {d, p, &reader, c->to, c->bytes};
    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t mark = reader_enter(&reader, "spec"), item = reader_enter_item(&reader, "http", i);
        AUTO_JSON json_t *both =
            *c->bytes == ROUTES_BYTES_MAX
                ? NULL
                : virtual_service_merge(&reader, root, json_array_get(list, i));
        if (both) /* one that delegates itself: 503 */
            add_matches(&within, both);
        reader_leave(&reader, item);
        reader_leave(&reader, mark);
    }
}

void virtual_service_compile(const struct virtual_service *v, const struct virtual_service_place *p,
                             struct route_host *to, struct findings *findings)
{
    const json_t *list = json_object_get(v->o.spec, "http");
    AUTO_DONE(object_reader)
    struct object_reader r = {.object = v->o.key, .id = "DelegateNotUsable"};
    size_t bytes = 0;
    struct compiling c = {v, p, &r, to, &bytes};
    size_t mark = reader_enter(&r, "spec");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *http = json_array_get(list, i);
        size_t item = reader_enter_item(&r, "http", i);
        bool delegates = json_object_get(http, "delegate") && !json_object_get(http, "route") &&
                         !json_object_get(http, "redirect");
        r.findings = findings;
        if (delegates)
            add_delegate(&c, http);
        else
            add_matches(&c, http);
        reader_leave(&r, item);
    }
    reader_leave(&r, mark);
}

/* ---- destinations ---- */

/* The k-th of a route: its backends, then its mirrors. NULL: there are no more. */
static const json_t *destination_of(const json_t *http, size_t k)
{
    const json_t *list = json_object_get(http, "route"),
                 *mirrors = json_object_get(http, "mirrors");
    if (k < json_array_size(list))
        return json_object_get(json_array_get(list, k), "destination");
    k -= json_array_size(list);
    if (k < json_array_size(mirrors))
        return json_object_get(json_array_get(mirrors, k), "destination");
    return k == json_array_size(mirrors) ? json_object_get(http, "mirror") : NULL;
}

char *virtual_service_next_destination(const struct virtual_service *v, size_t *at)
{
    const json_t *list = json_object_get(v->o.spec, "http"), *d;
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *http = json_array_get(list, i);
        size_t all = json_array_size(json_object_get(http, "route")) +
                     json_array_size(json_object_get(http, "mirrors")) + 1;
        for (size_t k = 0; k < all; k++, n++) {
            const char *host = n < *at ? NULL : json_at_str(destination_of(http, k), "host");
            if (!str_empty(host)) {
                *at = n + 1;
                return istio_host(host, v->o.ns);
            }
        }
    }
    for (size_t of_streams = 0; (d = virtual_service_next_stream_destination(v, &of_streams));
         n++) {
        const char *host = n < *at ? NULL : json_at_str(d, "host");
        if (!str_empty(host)) {
            *at = n + 1;
            return istio_host(host, v->o.ns);
        }
    }
    return NULL;
}
