/* Istio's kinds: what each says that it cannot, and what routes name that is not there, for
 * anybody, for clients of each namespace that has rules of its own, and for gateways. */
#include "model/analysis_priv.h"
#include "model/gateway_routes.h"
#include "model/mesh_snapshot.h"
#include "model/proxy_settings.h"
#include "model/unserved_object.h"

/* As in deploy/. */
#define GATEWAY_NAMESPACE "fairlead-system"

/* What does not see the rest of the cluster says nothing of absence. */
static void copy(const struct analysis *a, const struct findings *from)
{
    for (size_t i = 0; i < from->n; i++) {
        const struct finding *f = &from->v[i];
        bool absence = streq(f->id, "HostNotFound") || streq(f->id, "SubsetNotFound") ||
                       streq(f->id, "GatewayNotFound");
        if (!absence || a->in->knows_services)
            finding_add(a->out, f->severity, f->id, f->object, f->field, f->hint, "%s", f->message);
    }
}

struct tables {
    struct mesh_snapshot *mesh;
    struct proxy_settings_table *settings;
    struct gateway_routes *gateways;
};

/* What each says of itself. */
static bool put_known(const struct analysis *a, const struct tables *t, const json_t *object)
{
    struct istio_gateway *g = analysis_is(object, "Gateway") ? istio_gateway_decode(object) : NULL;
    struct findings found = {0};
    if (g) {
        copy(a, &g->o.findings);
        gateway_routes_put(t->gateways, g);
        return true;
    }
    if (analysis_is(object, "ProxyConfig")) {
        const struct istio_object *o = proxy_settings_put(t->settings, object);
        if (o)
            copy(a, &o->findings);
        return true;
    }
    bool known = mesh_snapshot_put(t->mesh, object, &found);
    copy(a, &found);
    findings_done(&found);
    return known;
}

/* Kinds of Istio's that have no effect here. */
static void put_stranger(const struct analysis *a, const json_t *object)
{
    struct unserved_object *u = unserved_object_decode(object, json_key_str(object, "kind"),
                                                       json_key_str(object, "apiVersion"));
    if (u)
        copy(a, &u->o.findings);
    unserved_object_free(u);
}

static bool is_told(const struct analysis *a, const struct finding *f)
{
    for (size_t i = 0; i < a->out->n; i++) {
        const struct finding *other = &a->out->v[i];
        if (streq(other->id, f->id) && streq(other->object, f->object) &&
            streq(other->field, f->field))
            return true;
    }
    return false;
}

/* What gateways would answer; what rules say to clients of the mesh has been told. */
static void look_at_gateways(const struct analysis *a, struct gateway_routes *gateways)
{
    const char *name;
    struct route_host *h;
    while (gateway_routes_take_dirty(gateways, &name, &h)) {
        struct findings found = {0};
        for (size_t i = 0; h && i < h->findings.n; i++) {
            const struct finding *f = &h->findings.v[i];
            if (!is_told(a, f))
                finding_add(&found, f->severity, f->id, f->object, f->field, f->hint, "%s",
                            f->message);
        }
        copy(a, &found);
        findings_done(&found);
        route_host_unref(h);
    }
}

static void look(const struct analysis *a, const struct mesh_rules *rules, struct str ns)
{
    const struct mesh_client client = {.ns = ns};
    struct joined_service *s;
    struct findings found = {0};
    for (size_t at = 0; service_join_next(a->snapshot->join, &at, &s);)
        for (uint16_t i = 0; s->object && i < s->object->n_ports; i++) {
            uint16_t port = s->object->ports[i].port;
            route_host_unref(mesh_rules_routes(rules, &client, s->key, port, &found));
            route_host_unref(mesh_rules_streams(rules, &client, s->key, port, NULL, &found));
        }
    copy(a, &found);
    findings_done(&found);
}

static void look_at_all(const struct analysis *a, const struct tables *t)
{
    struct mesh_rules *rules = t->mesh->rules;
    struct map namespaces = {0};
    struct str ns;
    json_t *object;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)a->in->objects, i, object)
    {
        const char *of = json_at_str(object, "metadata.namespace");
        size_t before = mesh_rules_count(rules);
        if (!put_known(a, t, object))
            put_stranger(a, object);
        if (of && mesh_rules_count(rules) > before)
            map_put_cstr(&namespaces, of, rules);
    }
    if (mesh_rules_count(rules))
        look(a, rules, STR(""));
    for (size_t at = 0; map_next(&namespaces, &at, &ns, NULL);)
        look(a, rules, ns);
    look_at_gateways(a, t->gateways);
    map_done(&namespaces);
}

void analysis_mesh(const struct analysis *a)
{
    AUTO_JSON json_t *labels = json_pack("{s:s}", "istio", "ingressgateway");
    const struct gateway_routes_options options = {labels, GATEWAY_NAMESPACE};
    struct tables t = {.mesh = mesh_snapshot_new(a->snapshot->join)};
    t.gateways = gateway_routes_new(&options, t.mesh->rules);
    t.settings = proxy_settings_new(GATEWAY_NAMESPACE);
    look_at_all(a, &t);
    proxy_settings_free(t.settings);
    gateway_routes_free(t.gateways);
    mesh_snapshot_free(t.mesh);
}
