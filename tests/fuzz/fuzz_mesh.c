/* fuzz-layer: control
 * Objects as JSON, one behind another, to what sidecars and gateways are given: whatever Gateways,
 * VirtualServices, DestinationRules and ServiceEntries say, every resource made of them passes the
 * table of what the proxy does, and nothing of a rule is left when it has gone. */
#include <errno.h>
#include <stdlib.h>

#include "control/gateway.h"
#include "control/mesh.h"
#include "control/mesh_telemetry.h"
#include "model/gateway_routes.h"
#include "model/sidecar_scope.h"
#include "xds/xds_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void fuzz_without_faults(void);

/* The control plane ends for want of memory: proxies keep what they have. */
void fuzz_without_faults(void)
{
}

struct world {
    struct service_join *join;
    struct workloads *pods;
    struct service_entries *entries;
    struct selected_objects *sidecars;
    struct auth_objects objects;
    struct mesh *mesh;
    struct gateway *gateway;
    struct gateway_routes *routes;
    struct selected_objects *telemetries;
    const struct mesh_config *config;
};

static const struct gateway_options where = {"0.0.0.0", 8080, 8443};

static void settle(struct world *w)
{
    struct joined_service *s;
    service_entries_settle(w->entries);
    while ((s = service_join_take_dirty(w->join))) {
        mesh_service_changed(w->mesh, s->key);
        gateway_service_changed(w->gateway, s->key);
        service_join_settle(w->join, s);
    }
    const char *name;
    struct route_host *h;
    while (gateway_routes_take_dirty(w->routes, &name, &h))
        route_host_unref(gateway_put_host(w->gateway, name, h));
    gateway_flush(w->gateway);
}

static void on_pod(const struct workload *pod, void *user)
{
    const struct world *w = user;
    if (w->mesh)
        mesh_pod_changed(w->mesh, pod);
    if (w->entries)
        service_entries_workload_changed(w->entries, pod);
}

static void check(const struct xds_set *set)
{
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++) {
        struct xds_entry *e;
        for (struct xds_iter i = {0}; xds_set_next(set, type, &i, &e);) {
            AUTO(arena) struct arena *a = arena_new(0);
            struct xds_report report = {0};
            ProtobufCMessage *m;
            int r = xds_resource_unpack(type, e->message, a, &m, &report, NULL);
            bool bad = report.refused || (r < 0 && r != -ENOMEM);
            xds_report_done(&report);
            if (bad)
                abort();
        }
    }
}

static void add(struct world *w, const json_t *object)
{
    const char *kind = json_key_str(object, "kind");
    struct mesh_rules *rules = mesh_get_rules(w->mesh);
    if (streq(kind, "Service")) {
        struct service_object *s = service_object_decode(object);
        if (s)
            service_join_add_service(w->join, &s);
    } else if (streq(kind, "EndpointSlice")) {
        const struct slice_decoding decoding = {.topologies = &w->join->topologies};
        struct slice_object *s = slice_object_decode(object, &decoding);
        if (s)
            service_join_add_slice(w->join, &s);
    } else if (streq(kind, "Pod")) {
        workloads_put(w->pods, object);
    } else if (streq(kind, "WorkloadEntry")) {
        service_entries_put_workload(w->entries, object);
    } else if (streq(kind, "ServiceEntry")) {
        struct service_entry *e = service_entry_decode(object);
        if (e)
            service_entries_put(w->entries, e);
    } else if (streq(kind, "Sidecar")) {
        const struct istio_object *o = selected_objects_put(w->sidecars, object);
        if (o)
            mesh_sidecars_changed(w->mesh, str_from(o->ns));
    } else if (streq(kind, "Gateway")) {
        struct istio_gateway *g = istio_gateway_decode(object);
        if (g)
            gateway_routes_put(w->routes, g);
    } else if (streq(kind, "Telemetry")) {
        selected_objects_put(w->telemetries, object);
        mesh_telemetry_changed(w->mesh);
    } else if (streq(kind, "ConfigMap")) {
        mesh_config_free((struct mesh_config *)(uintptr_t)w->config);
        w->config = mesh_config_new("istio-system/istio", object);
        mesh_telemetry_changed(w->mesh);
    } else if (streq(kind, "DestinationRule")) {
        struct destination_rule *d = destination_rule_decode(object);
        if (d)
            mesh_rules_put_destination_rule(rules, d);
    } else {
        struct virtual_service *v = virtual_service_decode(object);
        if (v)
            mesh_rules_put_virtual_service(rules, v);
    }
}

static void remove_rules(struct world *w, struct str text)
{
    struct mesh_rules *rules = mesh_get_rules(w->mesh);
    while (text.n) {
        AUTO_JSON json_t *object = NULL;
        struct str one = str_cut(text, '\n', &text);
        if (json_parse(one, 1 << 20, NULL, &object, NULL) < 0 || !json_is_object(object))
            continue;
        AUTO_CHARS char *key = xasprintf("%s/%s", json_at_str(object, "metadata.namespace"),
                                         json_at_str(object, "metadata.name"));
        mesh_rules_remove_virtual_service(rules, str_from(key));
        mesh_rules_remove_destination_rule(rules, str_from(key));
        gateway_routes_remove(w->routes, str_from(key));
        service_entries_remove(w->entries, str_from(key));
        service_entries_remove_workload(w->entries, str_from(key));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.join = service_join_new()};
    const struct ip ips[] = {{AF_INET, {10, 1, 0, 1}}, {AF_INET, {10, 1, 0, 2}}};
    static const char *const namespaces[] = {"default", "other"};
    struct mesh_workload *clients[ARRAY_LEN(ips)];
    struct str rest = str_of(data, size);
    w.pods = workloads_new(on_pod, &w);
    struct peer_authentications *modes = peer_authentications_new("fairlead-system");
    struct selected_objects *policies = authorization_policies_new("fairlead-system"),
                            *tokens = request_authentications_new("fairlead-system");
    w.sidecars = sidecar_scopes_new("fairlead-system");
    w.telemetries = telemetry_policies_new("fairlead-system");
    w.config = mesh_config_new("istio-system/istio", NULL);
    w.mesh = mesh_new(w.join, &(struct mesh_peers){w.pods, modes, policies, tokens, "cluster.local",
                                                   w.sidecars, w.telemetries, &w.config, NULL,
                                                   &w.objects, NULL});
    const struct mesh_peers *peers = mesh_get_peers(w.mesh);
    w.entries = service_entries_new(w.join, w.pods);
    mesh_rules_set_entries(mesh_get_rules(w.mesh), w.entries);
    AUTO_JSON json_t *labels = json_pack("{s:s}", "istio", "ingressgateway");
    const struct gateway_routes_options options = {labels, "fairlead-system"};
    if (gateway_new(&where, w.join, &w.gateway, NULL) < 0)
        abort();
    gateway_set_mesh(w.gateway,
                     &(struct gateway_mesh){*peers, mesh_get_rules(w.mesh), "fairlead-system"});
    w.routes = gateway_routes_new(&options, mesh_get_rules(w.mesh));
    for (size_t i = 0; i < ARRAY_LEN(ips); i++)
        clients[i] = mesh_join(w.mesh, str_from(namespaces[i]), &ips[i]);
    while (rest.n) {
        AUTO_JSON json_t *object = NULL;
        struct str one = str_cut(rest, '\n', &rest);
        if (json_parse(one, 1 << 20, NULL, &object, NULL) < 0 || !json_is_object(object))
            continue;
        add(&w, object);
        settle(&w);
        for (size_t i = 0; i < ARRAY_LEN(ips); i++)
            check(mesh_workload_set(clients[i]));
        check(gateway_set(w.gateway, TRANSLATE_MESHED));
        check(gateway_set(w.gateway, TRANSLATE_FOREIGN));
    }
    remove_rules(&w, str_of(data, size));
    settle(&w);
    if (mesh_rules_count(mesh_get_rules(w.mesh)))
        abort();
    if (gateway_hosts(w.gateway) ||
        xds_set_count(gateway_set(w.gateway, TRANSLATE_MESHED), XDS_CLUSTER))
        abort();
    gateway_free(w.gateway);
    gateway_routes_free(w.routes);
    for (size_t i = 0; i < ARRAY_LEN(ips); i++)
        mesh_leave(w.mesh, clients[i]);
    mesh_free(w.mesh);
    service_entries_free(w.entries);
    workloads_free(w.pods);
    peer_authentications_free(modes);
    selected_objects_free(policies);
    selected_objects_free(tokens);
    selected_objects_free(w.sidecars);
    selected_objects_free(w.telemetries);
    mesh_config_free((struct mesh_config *)(uintptr_t)w.config);
    service_join_free(w.join);
    return 0;
}
