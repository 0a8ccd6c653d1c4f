/* What `istioctl convert-ingress` of Istio 1.8 made: VirtualServices alone, by its rules, oddities
 * included; but hosts in their order, where it had none. */
#include "base/vec.h"
#include "model/convert_priv.h"

struct old_host {
    char *name;
    const struct ingress_object *first;
    VEC(json_t *) exact, others; /* routes in their order */
    unsigned rules;
};

/* The legacy reading: an asterisk behind a dot or a slash at the end makes a prefix of it; else it
 * is exact. NULL: no match. */
static json_t *legacy_uri(const char *path)
{
    struct str s = str_from(path);
    bool prefix = str_ends(s, STR(".*")) || str_ends(s, STR("/*"));
    AUTO_CHARS char *text = str_dup(str_sub(s, 0, s.n - (prefix ? 2 : 0)));
    return *path ? json_pack("{s:s}", prefix ? "prefix" : "exact", text) : NULL;
}

static json_t *uri_of(const struct ingress_path *p)
{
    AUTO_CHARS char *below =
        xasprintf("%s%s", p->path, str_ends(str_from(p->path), STR("/")) ? "" : "/");
    switch (p->type) {
    case INGRESS_PATH_EXACT:
        return json_pack("{s:s}", "exact", p->path);
    case INGRESS_PATH_PREFIX:
        return json_pack("{s:s}", "prefix", below);
    case INGRESS_PATH_IMPLEMENTATION:
        break;
    }
    return legacy_uri(p->path);
}

/* The number of a port that is named: of a Service among the objects. 0: it cannot be told. */
static unsigned port_of(const json_t *services, const struct ingress_object *i,
                        const struct ingress_backend *b)
{
    json_t *s, *port;
    size_t n, p;
    json_array_foreach((json_t *)(uintptr_t)services, n, s)
    {
        if (!streq(json_key_str(s, "kind"), "Service") ||
            !streq(json_at_str(s, "metadata.namespace"), i->namespace_) ||
            !streq(json_at_str(s, "metadata.name"), b->service))
            continue;
        json_array_foreach(json_at(s, "spec.ports"), p,
                           port) if (streq(json_key_str(port, "name"),
                                           b->port_name)) return (unsigned)json_at_int(port, "port",
                                                                                       0);
    }
    return 0;
}

static json_t *route_of(const struct conversion *c, const json_t *objects,
                        const struct ingress_object *i, const struct ingress_path *p,
                        const char *field)
{
    const struct ingress_backend *b = &p->backend;
    unsigned port = b->port_name ? port_of(objects, i, b) : b->port;
    if (!b->service || !port) {
        convert_lost(c, i->key, field,
                     b->service ? "the path is left out: its port has a name, "
                                  "and the Service is not known"
                                : "the path is left out: its backend is no Service");
        return NULL;
    }
    AUTO_CHARS char *host = xasprintf("%s.%s.svc.cluster.local", b->service, i->namespace_);
    return json_pack("{s:[{s:o*}],s:[{s:{s:s,s:{s:i}},s:i}]}", "match", "uri", uri_of(p), "route",
                     "destination", "host", host, "port", "number", (int)port, "weight", 100);
}

static struct old_host *host_of(struct map *hosts, const char *name, const struct ingress_object *i)
{
    struct old_host *h = map_find_cstr(hosts, name);
    if (!h) {
        h = NEW(struct old_host);
        h->name = xstrdup(name);
        h->first = i;
        map_put_cstr(hosts, name, h);
    }
    return h;
}

static void add_rule(const struct conversion *c, const json_t *objects, struct map *hosts,
                     const struct ingress_object *i, uint32_t r)
{
    const struct ingress_rule *rule = &i->rules[r];
    AUTO_CHARS char *rule_field = xasprintf("spec.rules[%u]", r);
    if (!rule->n_paths) {
        convert_lost(c, i->key, rule_field, "a rule without paths is left out");
        return;
    }
    struct old_host *h = host_of(hosts, *rule->host ? rule->host : "*", i);
    h->rules++;
    for (uint32_t p = 0; p < rule->n_paths; p++) {
        AUTO_CHARS char *field = xasprintf("spec.rules[%u].http.paths[%u]", r, p);
        json_t *route = route_of(c, objects, i, &rule->paths[p], field);
        if (!route)
            continue;
        json_t *uri = json_object_get(json_array_get(json_object_get(route, "match"), 0), "uri");
        if (json_object_get(uri, "exact"))
            vec_push(&h->exact, route);
        else
            vec_push(&h->others, route);
        json_object_set_new(route, "at", json_integer((json_int_t)(h->exact.n + h->others.n)));
    }
}

/* In the order of the rules; exact ones first where a second rule was merged in. */
static json_t *routes_of(struct old_host *h)
{
    json_t *list = json_array();
    size_t e = 0, o = 0;
    while (e < h->exact.n || o < h->others.n) {
        bool exact = e < h->exact.n &&
                     (o == h->others.n || h->rules > 1 ||
                      json_at_int(h->exact.v[e], "at", 0) < json_at_int(h->others.v[o], "at", 0));
        json_t *r = exact ? h->exact.v[e++] : h->others.v[o++];
        json_object_del(r, "at");
        json_array_append_new(list, r);
    }
    return list;
}

static void add_virtual_service(const struct conversion *c, struct old_host *h)
{
    AUTO_DONE(buf) struct buf word = {0};
    for (const char *p = h->name; *p; p++)
        buf_add_char(&word, *p == '.' ? '-' : *p);
    AUTO_CHARS char *name = xasprintf(
        "%s-%s-" CONVERT_SUFFIX, streq(h->name, "*") ? "wild" : buf_cstr(&word), h->first->name);
    AUTO_CHARS char *gateway =
        xasprintf("%s/%s-" CONVERT_SUFFIX, c->options->gateway_namespace, h->first->name);
    if (*h->name == '*' && h->name[1])
        convert_lost(c, h->first->key, "spec.rules",
                     "the name %s is none that the API takes (as in Istio 1.8)", name);
    json_array_append_new(
        c->out, json_pack("{s:s,s:s,s:{s:n,s:s,s:s},s:{s:[s],s:[s],s:o}}", "apiVersion",
                          "networking.istio.io/v1alpha3", "kind", "VirtualService", "metadata",
                          "creationTimestamp", "name", name, "namespace", h->first->namespace_,
                          "spec", "gateways", gateway, "hosts", h->name, "http", routes_of(h)));
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct old_host *const *)a)->name, (*(struct old_host *const *)b)->name);
}

static void tell_ignored(const struct conversion *c, const struct ingress_object *i)
{
    if (i->n_tls)
        convert_lost(c, i->key, "spec.tls", "it is left out (as in Istio 1.8)");
    if (ingress_backend_is_set(&i->default_backend))
        convert_lost(c, i->key, "spec.defaultBackend", "it is left out (as in Istio 1.8)");
    for (uint32_t a = 0; a < i->n_annotations; a++) {
        AUTO_CHARS char *field =
            xasprintf("metadata.annotations[%s%s]", INGRESS_NGINX_PREFIX, i->annotations[a].name);
        convert_lost(c, i->key, field, "it is left out (as in Istio 1.8)");
    }
}

void convert_as_istio_1_8(struct conversion *c, const json_t *objects)
{
    struct map hosts = {0};
    VEC(struct old_host *) sorted = {0};
    void *h;
    for (size_t n = 0; n < c->n; n++) {
        for (uint32_t r = 0; r < c->ingresses[n]->n_rules; r++)
            add_rule(c, objects, &hosts, c->ingresses[n], r);
        tell_ignored(c, c->ingresses[n]);
    }
    for (size_t at = 0; map_next(&hosts, &at, NULL, &h);)
        vec_push(&sorted, (struct old_host *)h);
    if (sorted.n)
        qsort(sorted.v, sorted.n, sizeof(*sorted.v), by_name);
    VEC_FOREACH (one, &sorted) {
        add_virtual_service(c, *one);
        vec_done(&(*one)->exact);
        vec_done(&(*one)->others);
        free((*one)->name);
        free(*one);
    }
    vec_done(&sorted);
    map_done(&hosts);
}
