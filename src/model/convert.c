/* The frame of a conversion: which objects, and what gets lost whatever the target. */
#include "base/vec.h"
#include "model/convert_priv.h"

/* ---- which objects ---- */

static bool is_kind(const json_t *j, const char *kind)
{
    return streq(json_key_str(j, "kind"), kind);
}

static int by_age(const void *a, const void *b)
{
    const struct ingress_object *x = *(struct ingress_object *const *)a,
                                *y = *(struct ingress_object *const *)b;
    return x->created_s != y->created_s ? (x->created_s < y->created_s ? -1 : 1)
                                        : strcmp(x->key, y->key);
}

/* Is its class one of ingress-nginx's? */
static bool is_nginx(const struct map *classes, const struct ingress_object *i)
{
    const char *name = i->class_ ? i->class_ : i->class_annotation;
    const json_t *j = name ? map_find_cstr(classes, name) : NULL;
    if (j)
        return streq(json_at_str(j, "spec.controller"), INGRESS_CONTROLLER_NGINX);
    return streq(name, "nginx") || (!name && i->n_annotations);
}

static json_t *copy_ingress(const struct map *classes, const json_t *j,
                            const struct ingress_object *i)
{
    json_t *copy = json_deep_copy(j);
    json_t *annotations = json_at(copy, "metadata.annotations");
    json_object_del(annotations, "kubernetes.io/ingress.class");
    json_put_str(copy, "spec.ingressClassName", is_nginx(classes, i) ? "nginx" : "fairlead");
    return copy;
}

/* A Service that is named by a number of its port and is not there: as if it were. */
static void imply_service(struct map *known, json_t *to, const struct ingress_object *i,
                          const struct ingress_backend *b)
{
    AUTO_CHARS char *key = b->service ? xasprintf("%s/%s", i->namespace_, b->service) : NULL;
    if (!key || !b->port)
        return;
    json_t *service = map_find_cstr(known, key);
    if (service == json_null()) /* a true one */
        return;
    if (!service) {
        service = json_pack("{s:s,s:{s:s,s:s},s:{s:[]}}", "kind", "Service", "metadata", "name",
                            b->service, "namespace", i->namespace_, "spec", "ports");
        map_put_cstr(known, key, service);
        json_array_append_new(to, service);
    }
    AUTO_CHARS char *name = xasprintf("p%u", b->port);
    AUTO_JSON json_t *port = json_pack("{s:s,s:i}", "name", name, "port", (int)b->port);
    if (!json_array_has(json_at(service, "spec.ports"), port))
        json_array_append(json_at(service, "spec.ports"), port);
}

static void imply_services(const struct conversion *c, const json_t *objects, json_t *to)
{
    struct map known = {0};
    json_t *j;
    size_t n;
    json_array_foreach((json_t *)(uintptr_t)objects, n, j)
    {
        AUTO_CHARS char *key = xasprintf("%s/%s", json_at_str(j, "metadata.namespace"),
                                         json_at_str(j, "metadata.name"));
        if (is_kind(j, "Service"))
            map_put_cstr(&known, key, json_null());
    }
    for (n = 0; n < c->n; n++) {
        const struct ingress_object *i = c->ingresses[n];
        imply_service(&known, to, i, &i->default_backend);
        for (uint32_t r = 0; r < i->n_rules; r++)
            for (uint32_t p = 0; p < i->rules[r].n_paths; p++)
                imply_service(&known, to, i, &i->rules[r].paths[p].backend);
    }
    map_done(&known);
}

/* ---- what gets lost ---- */

/* Annotations whose effect stands in the route model, and is taken from there. */
static bool is_converted(const char *name)
{
    static const char *const names[] = {"app-root",
                                        "canary",
                                        "canary-by-cookie",
                                        "canary-by-header",
                                        "canary-by-header-pattern",
                                        "canary-by-header-value",
                                        "canary-weight",
                                        "canary-weight-total",
                                        "cors-allow-credentials",
                                        "cors-allow-headers",
                                        "cors-allow-methods",
                                        "cors-allow-origin",
                                        "cors-expose-headers",
                                        "cors-max-age",
                                        "enable-cors",
                                        "force-ssl-redirect",
                                        "from-to-www-redirect",
                                        "permanent-redirect",
                                        "permanent-redirect-code",
                                        "rewrite-target",
                                        "server-alias",
                                        "ssl-redirect",
                                        "temporal-redirect",
                                        "temporal-redirect-code",
                                        "upstream-vhost",
                                        "use-regex",
                                        "x-forwarded-prefix"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (streq(name, names[i]))
            return true;
    return false;
}

static bool is_told(const struct findings *f, const char *object, const char *field)
{
    for (size_t i = 0; i < f->n; i++)
        if (streq(f->v[i].object, object) && streq(f->v[i].field, field))
            return true;
    return false;
}

static void copy_findings(const struct conversion *c, const struct findings *from)
{
    for (size_t i = 0; from && i < from->n; i++)
        finding_add(c->lost, from->v[i].severity, from->v[i].id, from->v[i].object,
                    from->v[i].field, from->v[i].hint, "%s", from->v[i].message);
}

static void tell_lost(const struct conversion *c)
{
    for (size_t n = 0; n < c->n; n++) {
        const struct ingress_object *i = c->ingresses[n];
        copy_findings(c, ingress_routes_findings(c->snapshot->routes, str_from(i->key)));
        for (uint32_t a = 0; a < i->n_annotations; a++) {
            AUTO_CHARS char *field = xasprintf("metadata.annotations[%s%s]", INGRESS_NGINX_PREFIX,
                                               i->annotations[a].name);
            if (!is_converted(i->annotations[a].name) && !is_told(c->lost, i->key, field))
                convert_lost(c, i->key, field, "it is not said in what is put out");
        }
    }
    for (size_t h = 0; h < c->snapshot->n_hosts; h++) {
        const struct route_host *host = c->snapshot->sorted[h];
        copy_findings(c, &host->findings);
        if (host->tls_fields.n && host->n_routes)
            convert_lost(c, host->routes[0].origin.object, "spec.tls",
                         "Strict-Transport-Security of host %s is not said", host->name);
    }
}

/* ---- the whole ---- */

static int by_place(const void *x, const void *y)
{
    const struct finding *a = x, *b = y;
    int d = strcmp(a->object, b->object);
    d = d ? d : strcmp(a->field, b->field);
    return d ? d : strcmp(a->message, b->message);
}

/* What the gateway does before a route, none of the targets can say: it must not be open there. */
static void close_what_is_guarded(const struct conversion *c, struct route_host *h)
{
    for (uint32_t i = 0; i < h->n_routes; i++) {
        struct route *r = &h->routes[i];
        if (r->action != ROUTE_FORWARD || !(r->client_cert || route_guard_restricts(r->guard)))
            continue;
        r->action = ROUTE_ANSWER;
        r->status = 503;
        convert_lost(c, r->origin.object, r->origin.field,
                     "what protects it is not said in what is put out: it is closed there");
    }
}

static void convert_model(struct conversion *c, const json_t *objects, json_t *given)
{
    static const char *const controllers[] = {"fairlead.dev/ingress", INGRESS_CONTROLLER_NGINX,
                                              NULL};
    static const struct ingress_options options = {.controllers = controllers};
    for (size_t i = 0; i < 2; i++)
        json_array_append_new(given, json_pack("{s:s,s:{s:s},s:{s:s}}", "kind", "IngressClass",
                                               "metadata", "name", i ? "nginx" : "fairlead", "spec",
                                               "controller", controllers[i]));
    imply_services(c, objects, given);
    AUTO(ingress_snapshot) struct ingress_snapshot *s = ingress_snapshot_new(&options, NULL, given);
    c->snapshot = s;
    for (size_t h = 0; h < s->n_hosts; h++)
        close_what_is_guarded(c, s->sorted[h]);
    if (c->options->api == CONVERT_GATEWAY_API)
        convert_to_gateway_api(c);
    else
        convert_to_istio(c);
    tell_lost(c);
    c->snapshot = NULL;
}

/* Ingresses by their keys: of those of one name the last counts, as it does where one is applied
 * after the other. Classes by their names. */
static void find_last(const json_t *objects, struct map *ingresses, struct map *classes)
{
    json_t *j;
    size_t n;
    json_array_foreach((json_t *)(uintptr_t)objects, n, j)
    {
        AUTO_CHARS char *key = xasprintf("%s/%s", json_at_str(j, "metadata.namespace"),
                                         json_at_str(j, "metadata.name"));
        if (is_kind(j, "Ingress"))
            map_put_cstr(ingresses, key, j);
        else if (is_kind(j, "IngressClass") && json_at_str(j, "metadata.name"))
            map_put_cstr(classes, json_at_str(j, "metadata.name"), j);
    }
}

/* Names of the output are made of them. */
static bool has_valid_names(const struct conversion *c, const struct ingress_object *i)
{
    bool valid = str_is_dns1123_subdomain(str_from(i->name)) &&
                 str_is_dns1123_label(str_from(i->namespace_));
    if (!valid)
        finding_add(c->lost, FINDING_ERROR, "NameInvalid", i->key, "metadata.name",
                    "the API server would not take it", "it is left out: no name of an object");
    return valid;
}

json_t *convert_ingresses(const json_t *objects, const struct convert_options *o,
                          struct findings *lost)
{
    struct conversion c = {.options = o, .out = json_array(), .lost = lost};
    VEC(struct ingress_object *) list = {0};
    AUTO_JSON json_t *given = json_array();
    struct map last = {0}, classes = {0};
    json_t *j;
    size_t n;
    find_last(objects, &last, &classes);
    json_array_foreach((json_t *)(uintptr_t)objects, n, j)
    {
        struct ingress_object *i = is_kind(j, "Ingress") ? ingress_object_decode(j) : NULL;
        if (i && (!has_valid_names(&c, i) || map_find_cstr(&last, i->key) != j)) {
            ingress_object_free(i);
            continue;
        }
        if (i)
            vec_push(&list, i);
        if (i)
            json_array_append_new(given, copy_ingress(&classes, j, i));
        else if (is_kind(j, "Service"))
            json_array_append(given, j);
    }
    if (list.n && o->api != CONVERT_ISTIO_1_8) /* that one heeds the order of its input */
        qsort(list.v, list.n, sizeof(*list.v), by_age);
    c.ingresses = list.v;
    c.n = list.n;
    for (n = 0; n < c.n; n++)
        map_put_cstr(&c.places, c.ingresses[n]->key, (void *)(n + 1));
    if (o->api == CONVERT_ISTIO_1_8)
        convert_as_istio_1_8(&c, objects);
    else
        convert_model(&c, objects, given);
    if (lost->n)
        qsort(lost->v, lost->n, sizeof(*lost->v), by_place);
    VEC_FOREACH (i, &list)
        ingress_object_free(*i);
    vec_done(&list);
    map_done(&last);
    map_done(&classes);
    map_done(&c.places);
    return c.out;
}
