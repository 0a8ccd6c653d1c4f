#include "model/mesh_snapshot.h"

#include "model/authorization_policy.h"
#include "model/inject.h"
#include "model/request_authentication.h"
#include "model/sidecar_scope.h"
#include "model/telemetry_policy.h"

static bool is(const json_t *object, const char *kind)
{
    return streq(json_key_str(object, "kind"), kind);
}

static void tell(struct findings *to, const struct findings *from)
{
    for (size_t i = 0; to && i < from->n; i++) {
        const struct finding *f = &from->v[i];
        finding_add(to, f->severity, f->id, f->object, f->field, f->hint, "%s", f->message);
    }
}

static bool put_routes(struct mesh_snapshot *s, const json_t *object, struct findings *found)
{
    struct virtual_service *v =
        is(object, "VirtualService") ? virtual_service_decode(object) : NULL;
    struct destination_rule *d =
        is(object, "DestinationRule") ? destination_rule_decode(object) : NULL;
    struct service_entry *e = is(object, "ServiceEntry") ? service_entry_decode(object) : NULL;
    if (v) {
        tell(found, &v->o.findings);
        mesh_rules_put_virtual_service(s->rules, v);
    }
    if (d) {
        tell(found, &d->o.findings);
        mesh_rules_put_destination_rule(s->rules, d);
    }
    if (e) {
        tell(found, &e->o.findings);
        service_entries_put(s->entries, e);
    }
    return v || d || e;
}

static bool put_authentication(struct mesh_snapshot *s, const json_t *object,
                               struct findings *found)
{
    AUTO_CHARS char *key = xasprintf("%s/%s", json_at_str(object, "metadata.namespace"),
                                     json_at_str(object, "metadata.name"));
    struct err err = {0};
    if (!is(object, "PeerAuthentication"))
        return false;
    if (peer_authentications_put(s->authentications, object, &err) < 0 && found)
        finding_add(found, FINDING_ERROR, "PeerAuthenticationInvalid", key, err.path, NULL, "%s",
                    err.msg);
    return true;
}

static bool put_policy(struct mesh_snapshot *s, const json_t *object, struct findings *found)
{
    struct telemetry_policy *m = is(object, "Telemetry") ? telemetry_policy_decode(object) : NULL;
    const struct istio_object *o =
        is(object, "Sidecar")                 ? selected_objects_put(s->sidecars, object)
        : is(object, "AuthorizationPolicy")   ? selected_objects_put(s->authorizations, object)
        : is(object, "RequestAuthentication") ? selected_objects_put(s->tokens, object)
        : is(object, "WorkloadEntry")         ? service_entries_put_workload(s->entries, object)
                                              : NULL;
    if (o)
        tell(found, &o->findings);
    if (m)
        tell(found, &m->o.findings);
    bool known = o || m;
    telemetry_policy_free(m);
    return known;
}

static bool put_core(struct mesh_snapshot *s, const json_t *object)
{
    const struct slice_decoding decoding = {.topologies = &s->join->topologies};
    struct service_object *service =
        s->owns_join && is(object, "Service") ? service_object_decode(object) : NULL;
    struct slice_object *slice =
        s->owns_join && is(object, "EndpointSlice") ? slice_object_decode(object, &decoding) : NULL;
    if (is(object, "Service"))
        service_entries_put_service(s->entries, object);
    if (service)
        service_join_add_service(s->join, &service);
    else if (slice)
        service_join_add_slice(s->join, &slice);
    else if (s->owns_join && is(object, "Pod"))
        workloads_put(s->pods, object);
    else if (s->owns_join && is(object, "Node"))
        workloads_put_node(s->pods, object);
    else
        return false;
    return true;
}

bool mesh_snapshot_put(struct mesh_snapshot *s, const json_t *object, struct findings *found)
{
    return put_routes(s, object, found) || put_policy(s, object, found) ||
           put_authentication(s, object, found) || put_core(s, object);
}

/* A pod as its template says, under its maker's name. */
static void put_template(struct mesh_snapshot *s, json_t *object)
{
    json_t *template = inject_pod_of(object);
    if (!template || is(object, "Pod"))
        return;
    AUTO_JSON json_t *pod = json_deep_copy(template);
    json_t *meta = json_object_get(pod, "metadata");
    if (!json_is_object(meta))
        json_object_set_new(pod, "metadata", meta = json_object());
    json_object_set(meta, "name", json_at(object, "metadata.name"));
    json_object_set(meta, "namespace", json_at(object, "metadata.namespace"));
    workloads_put(s->pods, pod);
}

struct mesh_snapshot *mesh_snapshot_of(const json_t *objects)
{
    struct mesh_snapshot *s = mesh_snapshot_new(NULL);
    bool has_pods = false;
    json_t *object;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)objects, i, object)
    {
        mesh_snapshot_put(s, object, NULL);
        has_pods = has_pods || is(object, "Pod");
    }
    json_array_foreach((json_t *)(uintptr_t)objects, i, object) if (!has_pods)
        put_template(s, object);
    service_entries_workloads_changed(s->entries);
    service_entries_settle(s->entries);
    return s;
}

struct mesh_snapshot *mesh_snapshot_new(struct service_join *join)
{
    struct mesh_snapshot *s = NEW(struct mesh_snapshot);
    s->owns_join = !join;
    s->join = join ? join : service_join_new();
    s->pods = workloads_new(NULL, NULL);
    s->entries = service_entries_new(s->join, s->pods);
    s->rules = mesh_rules_new(s->join);
    s->authentications = peer_authentications_new(MESH_ROOT_NAMESPACE);
    s->authorizations = authorization_policies_new(MESH_ROOT_NAMESPACE);
    s->tokens = request_authentications_new(MESH_ROOT_NAMESPACE);
    s->sidecars = sidecar_scopes_new(MESH_ROOT_NAMESPACE);
    mesh_rules_set_entries(s->rules, s->entries);
    return s;
}

void mesh_snapshot_free(struct mesh_snapshot *s)
{
    if (!s)
        return;
    mesh_rules_free(s->rules);
    service_entries_free(s->entries);
    workloads_free(s->pods);
    peer_authentications_free(s->authentications);
    selected_objects_free(s->authorizations);
    selected_objects_free(s->tokens);
    selected_objects_free(s->sidecars);
    if (s->owns_join)
        service_join_free(s->join);
    free(s);
}
