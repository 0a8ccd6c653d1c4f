/* Istio's kinds: what each says that it cannot, and what routes name that is not there, for
 * anybody, for clients of each namespace that has rules of its own, and for gateways. */
#include "model/analysis_priv.h"
#include "model/authorization_policy.h"
#include "model/gateway_routes.h"
#include "model/peer_authentication.h"
#include "model/request_authentication.h"
#include "model/sidecar_scope.h"
#include "model/telemetry_policy.h"

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
    struct mesh_rules *rules;
    struct gateway_routes *gateways;
    struct workloads *pods;
    struct service_entries *entries;
    struct peer_authentications *authentications;
};

static bool put_routes(const struct analysis *a, const struct tables *t, const json_t *object)
{
    struct istio_gateway *g = analysis_is(object, "Gateway") ? istio_gateway_decode(object) : NULL;
    struct virtual_service *v =
        analysis_is(object, "VirtualService") ? virtual_service_decode(object) : NULL;
    struct destination_rule *d =
        analysis_is(object, "DestinationRule") ? destination_rule_decode(object) : NULL;
    struct service_entry *e =
        analysis_is(object, "ServiceEntry") ? service_entry_decode(object) : NULL;
    if (v) {
        copy(a, &v->o.findings);
        mesh_rules_put_virtual_service(t->rules, v);
    }
    if (d) {
        copy(a, &d->o.findings);
        mesh_rules_put_destination_rule(t->rules, d);
    }
    if (g) {
        copy(a, &g->o.findings);
        gateway_routes_put(t->gateways, g);
    }
    if (e) {
        copy(a, &e->o.findings);
        service_entries_put(t->entries, e);
    }
    return v || d || g || e;
}

static void put_authentication(const struct analysis *a, const struct tables *t,
                               const json_t *object)
{
    AUTO_CHARS char *key = xasprintf("%s/%s", json_at_str(object, "metadata.namespace"),
                                     json_at_str(object, "metadata.name"));
    struct err err = {0};
    if (peer_authentications_put(t->authentications, object, &err) < 0)
        finding_add(a->out, FINDING_ERROR, "PeerAuthenticationInvalid", key, err.path, NULL, "%s",
                    err.msg);
}

/* What each says of itself. */
static void put_policy(const struct analysis *a, const struct tables *t, const json_t *object)
{
    struct sidecar_scope *s = analysis_is(object, "Sidecar") ? sidecar_scope_decode(object) : NULL;
    struct authorization_policy *p =
        analysis_is(object, "AuthorizationPolicy") ? authorization_policy_decode(object) : NULL;
    struct request_authentication *r =
        analysis_is(object, "RequestAuthentication") ? request_authentication_decode(object) : NULL;
    struct telemetry_policy *m =
        analysis_is(object, "Telemetry") ? telemetry_policy_decode(object) : NULL;
    const struct istio_object *w = analysis_is(object, "WorkloadEntry")
                                       ? service_entries_put_workload(t->entries, object)
                                       : NULL;
    const struct istio_object *of[] = {s ? &s->o : NULL, p ? &p->o : NULL, r ? &r->o : NULL,
                                       m ? &m->o : NULL, w};
    for (size_t i = 0; i < ARRAY_LEN(of); i++)
        if (of[i])
            copy(a, &of[i]->findings);
    if (analysis_is(object, "PeerAuthentication"))
        put_authentication(a, t, object);
    sidecar_scope_unref(s);
    authorization_policy_free(p);
    request_authentication_free(r);
    telemetry_policy_free(m);
}

/* Kinds of Istio's that have no effect here. */
static const struct {
    const char *kind, *group, *hint;
} strangers[] = {
    {"EnvoyFilter", "networking.istio.io/",
     "say it by a VirtualService, DestinationRule, Sidecar or Telemetry"},
    {"WasmPlugin", "extensions.istio.io/",
     "let a service do it: AuthorizationPolicy CUSTOM, or a route to it"},
    {"ProxyConfig", "networking.istio.io/", "annotate the pods: proxy.istio.io/config"},
};

static void put_stranger(const struct analysis *a, const json_t *object)
{
    const char *version = json_key_str(object, "apiVersion");
    AUTO_CHARS char *key = xasprintf("%s/%s", json_at_str(object, "metadata.namespace"),
                                     json_at_str(object, "metadata.name"));
    for (size_t i = 0; i < ARRAY_LEN(strangers); i++)
        if (analysis_is(object, strangers[i].kind) && version &&
            str_starts(str_from(version), str_from(strangers[i].group)))
            finding_add(a->out, FINDING_WARNING, "KindNotServed", key, "spec", strangers[i].hint,
                        "a %s has no effect here", strangers[i].kind);
}

static void put(const struct analysis *a, const struct tables *t, const json_t *object)
{
    if (put_routes(a, t, object))
        return;
    put_policy(a, t, object);
    put_stranger(a, object);
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
    struct map namespaces = {0};
    struct str ns;
    json_t *object;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)a->in->objects, i, object)
    {
        const char *of = json_at_str(object, "metadata.namespace");
        size_t before = mesh_rules_count(t->rules);
        put(a, t, object);
        if (of && mesh_rules_count(t->rules) > before)
            map_put_cstr(&namespaces, of, t->rules);
    }
    if (mesh_rules_count(t->rules))
        look(a, t->rules, STR(""));
    for (size_t at = 0; map_next(&namespaces, &at, &ns, NULL);)
        look(a, t->rules, ns);
    look_at_gateways(a, t->gateways);
    map_done(&namespaces);
}

void analysis_mesh(const struct analysis *a)
{
    AUTO_JSON json_t *labels = json_pack("{s:s}", "istio", "ingressgateway");
    const struct gateway_routes_options options = {labels, GATEWAY_NAMESPACE};
    struct tables t = {.rules = mesh_rules_new(a->snapshot->join),
                       .pods = workloads_new(NULL, NULL)};
    t.gateways = gateway_routes_new(&options, t.rules);
    t.entries = service_entries_new(a->snapshot->join, t.pods);
    t.authentications = peer_authentications_new(GATEWAY_NAMESPACE);
    mesh_rules_set_entries(t.rules, t.entries);
    look_at_all(a, &t);
    peer_authentications_free(t.authentications);
    gateway_routes_free(t.gateways);
    mesh_rules_free(t.rules);
    service_entries_free(t.entries);
    workloads_free(t.pods);
}
