#include "model/ingress_snapshot.h"

static void add_object(struct ingress_snapshot *s, const json_t *j)
{
    const struct slice_decoding decoding = {.topologies = &s->join->topologies};
    const char *kind = json_key_str(j, "kind");
    if (streq(kind, "Ingress")) {
        struct ingress_object *i = ingress_object_decode(j);
        if (i)
            ingress_routes_add(s->routes, i);
    } else if (streq(kind, "IngressClass")) {
        struct ingress_class *c = ingress_class_decode(j);
        if (c)
            ingress_routes_add_class(s->routes, c);
    } else if (streq(kind, "Service")) {
        struct service_object *o = service_object_decode(j);
        if (o)
            service_join_add_service(s->join, &o);
    } else if (streq(kind, "EndpointSlice")) {
        struct slice_object *o = slice_object_decode(j, &decoding);
        if (o)
            service_join_add_slice(s->join, &o);
    }
}

const char *const ingress_settings_names[] = {"ingress-nginx-controller", "nginx-configuration",
                                              NULL};

static bool is_usual_name(const char *name)
{
    for (const char *const *usual = ingress_settings_names; *usual; usual++)
        if (streq(*usual, name))
            return true;
    return false;
}

/* Does the ConfigMap of that key come before the other? */
static bool comes_before(const char *key, const char *other)
{
    return !other || streq(key, INGRESS_SETTINGS_OWN) ||
           (!streq(other, INGRESS_SETTINGS_OWN) && strcmp(key, other) < 0);
}

/* What is wrong with it, nginx_maps.h tells. */
static struct ingress_settings *read_settings(const char *wanted, const json_t *objects)
{
    AUTO_DONE(findings) struct findings told = {0};
    AUTO_CHARS char *found = NULL;
    const json_t *map = NULL;
    json_t *j;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)objects, i, j)
    {
        const char *name = json_at_str(j, "metadata.name"),
                   *ns = json_at_str(j, "metadata.namespace");
        if (!streq(json_key_str(j, "kind"), "ConfigMap") || !name)
            continue;
        AUTO_CHARS char *key = xasprintf("%s/%s", ns ? ns : "", name);
        if (wanted ? !streq(key, wanted) : !is_usual_name(name) || !comes_before(key, found))
            continue;
        free(found);
        found = TAKE(key);
        map = j;
    }
    return map ? ingress_settings_new(found, json_object_get(map, "data"), &told) : NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct route_host *const *)a)->name, (*(struct route_host *const *)b)->name);
}

struct ingress_snapshot *ingress_snapshot_new(const struct ingress_options *o, const char *settings,
                                              const json_t *objects)
{
    struct ingress_snapshot *s = NEW(struct ingress_snapshot);
    const char *name;
    struct route_host *h;
    json_t *j;
    void *value;
    size_t i;
    s->join = service_join_new();
    s->routes = ingress_routes_new(o, s->join);
    s->settings = read_settings(settings, objects);
    ingress_routes_set_settings(s->routes, s->settings);
    json_array_foreach((json_t *)(uintptr_t)objects, i, j) add_object(s, j);
    while (ingress_routes_take_dirty(s->routes, &name, &h))
        if (h)
            map_put_cstr(&s->hosts, name, h);
    s->sorted = xcalloc(s->hosts.used + 1, sizeof(struct route_host *));
    for (size_t at = 0; map_next(&s->hosts, &at, NULL, &value);)
        s->sorted[s->n_hosts++] = value;
    qsort(s->sorted, s->n_hosts, sizeof(struct route_host *), by_name);
    return s;
}

void ingress_snapshot_free(struct ingress_snapshot *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_hosts; i++)
        route_host_unref(s->sorted[i]);
    free(s->sorted);
    map_done(&s->hosts);
    ingress_routes_free(s->routes);
    service_join_free(s->join);
    ingress_settings_free(s->settings);
    free(s);
}

struct route_host *ingress_snapshot_host(const struct ingress_snapshot *s, const char *name)
{
    return map_find_cstr(&s->hosts, name);
}
