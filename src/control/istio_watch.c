/* One informer for each kind of the table. */
#include "control/istio_watch.h"

#include "base/assert.h"
#include "base/log.h"
#include "kube/informer.h"

static const struct istio_object *put_virtual_service(const struct istio_tables *to,
                                                      const json_t *object)
{
    struct virtual_service *v = virtual_service_decode(object);
    if (v)
        mesh_rules_put_virtual_service(to->rules, v);
    return v ? &v->o : NULL;
}

static void remove_virtual_service(const struct istio_tables *from, struct str key)
{
    mesh_rules_remove_virtual_service(from->rules, key);
}

static const struct istio_object *put_destination_rule(const struct istio_tables *to,
                                                       const json_t *object)
{
    struct destination_rule *d = destination_rule_decode(object);
    if (d)
        mesh_rules_put_destination_rule(to->rules, d);
    return d ? &d->o : NULL;
}

static void remove_destination_rule(const struct istio_tables *from, struct str key)
{
    mesh_rules_remove_destination_rule(from->rules, key);
}

static const struct istio_object *put_gateway(const struct istio_tables *to, const json_t *object)
{
    struct istio_gateway *g = istio_gateway_decode(object);
    if (g)
        gateway_routes_put(to->gateways, g);
    return g ? &g->o : NULL;
}

static void remove_gateway(const struct istio_tables *from, struct str key)
{
    gateway_routes_remove(from->gateways, key);
}

static const struct istio_object *put_authorization(const struct istio_tables *to,
                                                    const json_t *object)
{
    const struct istio_object *o = selected_objects_put(to->authorizations, object);
    if (o)
        authorization_policy_check(
            CONTAINER_OF((struct istio_object *)(uintptr_t)o, struct authorization_policy, o),
            *to->config);
    return o;
}

static void remove_authorization(const struct istio_tables *from, struct str key)
{
    selected_objects_remove(from->authorizations, key);
}

static const struct istio_object *put_tokens(const struct istio_tables *to, const json_t *object)
{
    return selected_objects_put(to->tokens, object);
}

static void remove_tokens(const struct istio_tables *from, struct str key)
{
    selected_objects_remove(from->tokens, key);
}

static const struct istio_object *put_entry(const struct istio_tables *to, const json_t *object)
{
    struct service_entry *e = service_entry_decode(object);
    if (!e)
        return NULL;
    entry_status_put(to->addresses, e);
    service_entries_put(to->entries, e);
    return &e->o;
}

static void remove_entry(const struct istio_tables *from, struct str key)
{
    service_entries_remove(from->entries, key);
    entry_status_remove(from->addresses, key);
}

static const struct istio_object *put_workload(const struct istio_tables *to, const json_t *object)
{
    auto_registration_put_entry(to->registration, object);
    return service_entries_put_workload(to->entries, object);
}

static void remove_workload(const struct istio_tables *from, struct str key)
{
    service_entries_remove_workload(from->entries, key);
    auto_registration_remove_entry(from->registration, key);
}

static const struct istio_object *put_sidecar(const struct istio_tables *to, const json_t *object)
{
    return selected_objects_put(to->sidecars, object);
}

static void remove_sidecar(const struct istio_tables *from, struct str key)
{
    selected_objects_remove(from->sidecars, key);
}

/* A provider that nobody has defined is told, too. */
static const struct istio_object *put_telemetry(const struct istio_tables *to, const json_t *object)
{
    const struct istio_object *o = selected_objects_put(to->telemetries, object);
    if (o)
        telemetry_policy_check(
            CONTAINER_OF((struct istio_object *)(uintptr_t)o, struct telemetry_policy, o),
            *to->config);
    return o;
}

static void remove_telemetry(const struct istio_tables *from, struct str key)
{
    selected_objects_remove(from->telemetries, key);
}

#define NETWORKING "networking.istio.io/v1"
#define SECURITY   "security.istio.io/v1"
#define TELEMETRY  "telemetry.istio.io/v1"
#define FILTERS    "networking.istio.io/v1alpha3" /* which it has alone */
#define PROXIES    "networking.istio.io/v1beta1"
#define PLUGINS    "extensions.istio.io/v1alpha1"

static const struct istio_object *put_proxy(const struct istio_tables *to, const json_t *object)
{
    return proxy_settings_put(to->settings, object);
}

static void remove_proxy(const struct istio_tables *from, struct str key)
{
    proxy_settings_remove(from->settings, key);
}

/* Kinds that have no effect: what is told of the last one. */
static const struct istio_object *put_unserved(const struct istio_tables *to, const json_t *object,
                                               const char *kind, const char *version)
{
    unserved_object_free(*to->unserved);
    *to->unserved = unserved_object_decode(object, kind, version);
    return *to->unserved ? &(*to->unserved)->o : NULL;
}

#define UNSERVED(function, kind, version)                                                          \
    static const struct istio_object *put_##function(const struct istio_tables *to,                \
                                                     const json_t *object)                         \
    {                                                                                              \
        return put_unserved(to, object, kind, version);                                            \
    }                                                                                              \
    static void remove_##function(const struct istio_tables *from, struct str key)                 \
    {                                                                                              \
        (void)from;                                                                                \
        (void)key;                                                                                 \
    }

UNSERVED(filter, "EnvoyFilter", FILTERS)
UNSERVED(plugin, "WasmPlugin", PLUGINS)

/* What is wrong with it is told as of those. */
static const struct istio_object *put_group(const struct istio_tables *to, const json_t *object)
{
    auto_registration_put_group(to->registration, object);
    return put_unserved(to, object, "WorkloadGroup", NETWORKING);
}

static void remove_group(const struct istio_tables *from, struct str key)
{
    auto_registration_remove_group(from->registration, key);
}

#define KIND(name, group, plural, function, effect)                                                \
    {                                                                                              \
        name, group, "/apis/" group "/" plural, put_##function, remove_##function, ISTIO_##effect  \
    }

static const struct istio_kind kinds[] = {
    KIND("VirtualService", NETWORKING, "virtualservices", virtual_service, ROUTES),
    KIND("DestinationRule", NETWORKING, "destinationrules", destination_rule, ROUTES),
    KIND("Gateway", NETWORKING, "gateways", gateway, ROUTES),
    KIND("ServiceEntry", NETWORKING, "serviceentries", entry, ROUTES),
    KIND("WorkloadEntry", NETWORKING, "workloadentries", workload, ROUTES),
    KIND("Sidecar", NETWORKING, "sidecars", sidecar, SCOPES),
    KIND("AuthorizationPolicy", SECURITY, "authorizationpolicies", authorization, GUARDS),
    KIND("RequestAuthentication", SECURITY, "requestauthentications", tokens, GUARDS),
    KIND("Telemetry", TELEMETRY, "telemetries", telemetry, TELLS),
    KIND("WorkloadGroup", NETWORKING, "workloadgroups", group, NOTHING),
    KIND("EnvoyFilter", FILTERS, "envoyfilters", filter, NOTHING),
    KIND("ProxyConfig", PROXIES, "proxyconfigs", proxy, NOTHING),
    KIND("WasmPlugin", PLUGINS, "wasmplugins", plugin, NOTHING),
};

struct watched {
    struct istio_watch *all;
    const struct istio_kind *kind;
    struct informer *informer; /* NULL: nobody wants it yet */
};

struct istio_watch {
    struct kube_client *client;
    struct istio_tables tables;
    const struct istio_watch_ops *ops;
    void *user;
    struct unserved_object *unserved; /* the last one that came; NULL: none */
    struct watched kinds[ARRAY_LEN(kinds)];
};

const struct istio_kind *istio_kind_find(const char *name)
{
    size_t i = 0;
    while (i < ARRAY_LEN(kinds) && !streq(kinds[i].name, name))
        i++;
    ASSERT(i < ARRAY_LEN(kinds));
    return &kinds[i];
}

static void changed(const struct watched *k, struct str key)
{
    struct str name, ns = str_cut(key, '/', &name);
    const struct istio_watch_ops *ops = k->all->ops;
    switch (k->kind->effect) {
    case ISTIO_ROUTES:
        ops->on_change(k->all->user);
        break;
    case ISTIO_GUARDS:
        ops->on_guard(ns, k->all->user);
        break;
    case ISTIO_SCOPES:
        ops->on_scope(ns, k->all->user);
        break;
    case ISTIO_TELLS:
        ops->on_telemetry(k->all->user);
        break;
    case ISTIO_NOTHING:
        break;
    }
}

static void on_upsert(json_t *object, void *user)
{
    const struct watched *k = user;
    const struct istio_watch *w = k->all;
    const struct istio_object *o = k->kind->put(&w->tables, object);
    for (size_t i = 0; o && i < o->findings.n; i++)
        w->ops->on_finding(k->kind, &o->findings.v[i], o->uid, w->user);
    if (o)
        object_status_put(w->tables.status, k->kind->path, object, &o->findings);
    if (o)
        changed(k, str_from(o->key));
}

static void on_delete(struct str key, json_t *object, void *user)
{
    const struct watched *k = user;
    (void)object;
    k->kind->remove(&k->all->tables, key);
    object_status_remove(k->all->tables.status, k->kind->path, key);
    changed(k, key);
}

static void on_synced(void *user)
{
    const struct watched *k = user;
    k->all->ops->on_change(k->all->user);
}

static void on_error(const char *text, void *user)
{
    const struct watched *k = user;
    log_warn("objects of a kind cannot be watched; what is known of them stays",
             kv_s("kind", k->kind->name), kv_s("cause", text));
}

struct istio_watch *istio_watch_new(struct kube_client *c, const struct istio_tables *tables,
                                    const struct istio_watch_ops *ops, void *user)
{
    struct istio_watch *w = NEW(struct istio_watch);
    w->client = c;
    w->tables = *tables;
    w->tables.unserved = &w->unserved;
    w->ops = ops;
    w->user = user;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        w->kinds[i] = (struct watched){.all = w, .kind = &kinds[i]};
    return w;
}

void istio_watch_free(struct istio_watch *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        informer_free(w->kinds[i].informer);
    unserved_object_free(w->unserved);
    free(w);
}

bool istio_watch_want(struct istio_watch *w)
{
    static const struct informer_ops ops = {.on_upsert = on_upsert,
                                            .on_delete = on_delete,
                                            .on_synced = on_synced,
                                            .on_error = on_error};
    bool synced = true;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct watched *k = &w->kinds[i];
        const struct informer_options options = {.path = k->kind->path,
                                                 .lean = true,
                                                 .optional = true,
                                                 .no_refusal = k->kind->effect == ISTIO_GUARDS};
        if (!k->informer)
            k->informer = informer_start(w->client, &options, &ops, k);
        synced = synced && informer_synced(k->informer);
    }
    if (synced)
        entry_status_set_synced(w->tables.addresses);
    return synced;
}
