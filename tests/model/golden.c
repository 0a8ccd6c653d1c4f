/* Prints the model of a manifest in its golden form: of every Service (with its EndpointSlices) as
 * node n1 of zone z1 sees it, of every host of its Ingresses (a ConfigMap has the settings of
 * ingress-nginx), of the routes that VirtualServices give it in the mesh (for anybody, and for each
 * Pod to which they are others), of what is wrong with them; fails if
 * another order in which the objects come gives another one, with versions that were replaced and
 * objects that went and came back on the way. */
#include <errno.h>
#include <stdio.h>

#include "base/rand.h"
#include "kube/manifest.h"
#include "model/ingress_routes.h"
#include "model/mesh_rules.h"
#include "model/service.h"

enum { ORDERS = 20 };

struct world {
    struct service_join *join;
    struct ingress_routes *routes;
    struct mesh_rules *rules;
    struct workloads *pods;
    struct map hosts; /* name -> struct route_host, as taken */
};

static const char *kind_of(const json_t *object)
{
    return json_key_str(object, "kind");
}

static char *key_of(const json_t *object)
{
    return xasprintf("%s/%s", json_at_str(object, "metadata.namespace"),
                     json_at_str(object, "metadata.name"));
}

static void add(struct world *w, const json_t *object)
{
    if (streq(kind_of(object), "Service")) {
        struct service_object *service = service_object_decode(object);
        if (service)
            service_join_add_service(w->join, &service);
    } else if (streq(kind_of(object), "Ingress")) {
        ingress_routes_add(w->routes, ingress_object_decode(object));
    } else if (streq(kind_of(object), "IngressClass")) {
        ingress_routes_add_class(w->routes, ingress_class_decode(object));
    } else if (streq(kind_of(object), "VirtualService")) {
        mesh_rules_put_virtual_service(w->rules, virtual_service_decode(object));
    } else if (streq(kind_of(object), "DestinationRule")) {
        mesh_rules_put_destination_rule(w->rules, destination_rule_decode(object));
    } else if (streq(kind_of(object), "Pod")) {
        workloads_put(w->pods, object);
    } else if (!streq(kind_of(object), "ConfigMap")) {
        const struct slice_decoding o = {.topologies = &w->join->topologies, .all = rand_below(2)};
        struct slice_object *slice = slice_object_decode(object, &o);
        if (slice)
            service_join_add_slice(w->join, &slice);
    }
}

static void drop(struct world *w, const json_t *object)
{
    AUTO_CHARS char *key = key_of(object);
    if (streq(kind_of(object), "Service"))
        service_join_remove_service(w->join, str_from(key));
    else if (streq(kind_of(object), "Ingress"))
        ingress_routes_remove(w->routes, str_from(key));
    else if (streq(kind_of(object), "IngressClass"))
        ingress_routes_remove_class(w->routes, str_from(json_at_str(object, "metadata.name")));
    else if (streq(kind_of(object), "VirtualService"))
        mesh_rules_remove_virtual_service(w->rules, str_from(key));
    else if (streq(kind_of(object), "DestinationRule"))
        mesh_rules_remove_destination_rule(w->rules, str_from(key));
    else if (streq(kind_of(object), "Pod"))
        workloads_remove(w->pods, str_from(key));
    else
        service_join_remove_slice(w->join, str_from(key));
}

/* An older version of the object: of another Service, if it is a slice, and empty. */
static void add_older(struct world *w, const json_t *object)
{
    AUTO_JSON json_t *older = json_deep_copy(object);
    json_object_del(older, "endpoints");
    json_del(older, "spec.ports");
    json_del(older, "spec.tls");
    json_del(older, "spec.http");
    json_del(older, "spec.subsets");
    json_del(older, "metadata.annotations");
    if (json_at(older, "spec.controller"))
        json_put_str(older, "spec.controller", "else");
    if (json_at(older, "metadata.labels"))
        json_object_set_new(json_at(older, "metadata.labels"), "kubernetes.io/service-name",
                            json_string("other"));
    add(w, older);
}

static void settle(struct world *w)
{
    struct joined_service *s;
    const char *name;
    struct route_host *host;
    while ((s = service_join_take_dirty(w->join))) {
        ingress_routes_service_changed(w->routes, str_from(s->key));
        service_join_settle(w->join, s);
    }
    while (ingress_routes_take_dirty(w->routes, &name, &host))
        route_host_unref(host ? map_put_cstr(&w->hosts, name, host)
                              : map_remove_cstr(&w->hosts, name));
}

/* In any order, some of them by detours. */
static void add_all(struct world *w, const json_t *objects)
{
    AUTO_JSON json_t *rest = json_copy((json_t *)(uintptr_t)objects);
    while (json_array_size(rest)) {
        size_t i = rand_below(json_array_size(rest));
        const json_t *object = json_array_get(rest, i);
        unsigned detour = (unsigned)rand_below(4);
        if (detour & 1)
            add_older(w, object);
        if (detour & 2)
            drop(w, object);
        if (rand_below(2))
            settle(w);
        add(w, object);
        json_array_remove(rest, i);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct route_host *const *)a)->name, (*(struct route_host *const *)b)->name);
}

static void format_ingresses(struct world *w, const json_t *objects, struct buf *out)
{
    VEC(struct route_host *) hosts = {0};
    void *host;
    const json_t *object;
    size_t i;
    settle(w);
    for (size_t at = 0; map_next(&w->hosts, &at, NULL, &host);)
        vec_push(&hosts, host);
    if (hosts.n)
        qsort(hosts.v, hosts.n, sizeof(*hosts.v), by_name);
    VEC_FOREACH (h, &hosts) {
        route_host_format(*h, out);
        route_host_unref(*h);
    }
    vec_done(&hosts);
    map_done(&w->hosts);
    json_array_foreach((json_t *)(uintptr_t)objects, i, object)
    {
        AUTO_CHARS char *key = key_of(object);
        const struct findings *f = ingress_routes_findings(w->routes, str_from(key));
        if (streq(kind_of(object), "Ingress") && !f)
            buf_addf(out, "ingress %s is not ours\n", key);
        else if (f && streq(kind_of(object), "Ingress"))
            findings_format(f, out);
    }
}

/* ---- the mesh ---- */

static void routes_format(const struct world *w, const struct service_object *s, uint16_t port,
                          const json_t *objects, struct buf *out)
{
    struct mesh_client client = {.pods = w->pods};
    struct findings findings = {0};
    struct route_host *all = mesh_rules_routes(w->rules, &client, s->key, port, &findings);
    AUTO_DONE(buf) struct buf usual = {0};
    const json_t *object;
    size_t i;
    route_host_format(all, &usual);
    buf_addf(out, "mesh %s:%u ", s->key, port);
    buf_add_str(out, buf_str(&usual));
    json_array_foreach((json_t *)(uintptr_t)objects, i, object)
    {
        AUTO_DONE(buf) struct buf theirs = {0};
        AUTO_CHARS char *key = key_of(object);
        if (!streq(kind_of(object), "Pod"))
            continue;
        client.ns = str_from(json_at_str(object, "metadata.namespace"));
        client.pod = workloads_find(w->pods, str_from(key));
        struct route_host *h = mesh_rules_routes(w->rules, &client, s->key, port, &findings);
        route_host_format(h, &theirs);
        if (!str_eq(buf_str(&theirs), buf_str(&usual))) {
            buf_addf(out, "for %s ", key);
            buf_add_str(out, buf_str(&theirs));
        }
        route_host_unref(h);
    }
    findings_format(&findings, out);
    findings_done(&findings);
    route_host_unref(all);
}

static void mesh_format(const struct world *w, const json_t *objects, struct buf *out)
{
    const json_t *object;
    size_t i;
    if (!mesh_rules_count(w->rules))
        return;
    json_array_foreach((json_t *)(uintptr_t)objects, i, object)
    {
        AUTO_CHARS char *key = key_of(object);
        const struct joined_service *s = service_join_find(w->join, key);
        if (!streq(kind_of(object), "Service") || !s || !s->object)
            continue;
        for (uint16_t p = 0; p < s->object->n_ports; p++)
            routes_format(w, s->object, s->object->ports[p].port, objects, out);
    }
    json_array_foreach((json_t *)(uintptr_t)objects, i, object)
    {
        AUTO(virtual_service)
        struct virtual_service *v =
            streq(kind_of(object), "VirtualService") ? virtual_service_decode(object) : NULL;
        AUTO(destination_rule)
        struct destination_rule *d =
            streq(kind_of(object), "DestinationRule") ? destination_rule_decode(object) : NULL;
        if (v || d)
            findings_format(v ? &v->o.findings : &d->o.findings, out);
    }
}

static void joined_format(struct service_join *j, const json_t *objects, struct buf *out)
{
    static const struct place here = {"n1", "z1"};
    const json_t *object;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)objects, i, object)
    {
        AUTO_CHARS char *key = key_of(object);
        const struct joined_service *s = service_join_find(j, key);
        if (!streq(kind_of(object), "Service") || !s || !s->object)
            continue;
        struct model_service *m = model_service_new(
            s->object, (const struct slice_object *const *)s->slices.v, s->slices.n, &here);
        if (m)
            model_service_format(m, out);
        else
            buf_addf(out, "service %s: nothing to carry\n", key);
        model_service_unref(m);
    }
}

/* NULL: there is no ConfigMap. */
static struct ingress_settings *settings_of(const json_t *objects, struct findings *f)
{
    const json_t *object;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)objects, i, object)
    {
        AUTO_CHARS char *key = key_of(object);
        if (streq(kind_of(object), "ConfigMap"))
            return ingress_settings_new(key, json_at(object, "data"), f);
    }
    return NULL;
}

/* The key of a Service with the label golden: default-backend; NULL: there is none. */
static char *default_backend_of(const json_t *objects)
{
    const json_t *object;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)objects, i, object)
    {
        if (streq(json_at_str(object, "metadata.labels.golden"), "default-backend"))
            return key_of(object);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static const char *const controllers[] = {"fairlead.dev/ingress", INGRESS_CONTROLLER_NGINX,
                                              NULL};
    struct ingress_options options = {.controllers = controllers};
    AUTO_JSON json_t *objects = json_array();
    AUTO_DONE(buf) struct buf first = {0};
    struct err err = {0};
    if (argc != 2 || manifest_read(argv[1], objects, &err) < 0) {
        fprintf(stderr, "%s\n", argc == 2 ? err_text(&err) : "usage: golden FILE");
        return EXIT_FAILURE;
    }
    AUTO_CHARS char *default_backend = default_backend_of(objects);
    options.default_backend = default_backend;
    for (int i = 0; i < ORDERS; i++) {
        AUTO_DONE(buf) struct buf b = {0};
        struct world w = {.join = service_join_new(), .pods = workloads_new(NULL, NULL)};
        w.rules = mesh_rules_new(w.join);
        w.routes = ingress_routes_new(&options, w.join);
        struct findings told = {0};
        struct ingress_settings *settings = settings_of(objects, &told);
        if (rand_below(2))
            ingress_routes_set_settings(w.routes, settings);
        add_all(&w, objects);
        ingress_routes_set_settings(w.routes, settings);
        joined_format(w.join, objects, i ? &b : &first);
        format_ingresses(&w, objects, i ? &b : &first);
        mesh_format(&w, objects, i ? &b : &first);
        findings_format(&told, i ? &b : &first);
        findings_done(&told);
        ingress_routes_free(w.routes);
        ingress_settings_free(settings);
        mesh_rules_free(w.rules);
        workloads_free(w.pods);
        service_join_free(w.join);
        if (i && !str_eq(buf_str(&b), buf_str(&first))) {
            fprintf(stderr, "the order of objects matters:\n%s---\n%s", buf_cstr(&first),
                    buf_cstr(&b));
            return EXIT_FAILURE;
        }
    }
    fputs(buf_cstr(&first), stdout);
    return EXIT_SUCCESS;
}
