#include "model/mesh_describe.h"

#include "model/authorization_policy.h"
#include "model/port_protocol.h"
#include "model/request_authentication.h"
#include "model/sidecar_scope.h"

/* ---- Services ---- */

static const json_t *find_object(const json_t *objects, const char *kind, const char *key)
{
    json_t *o;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)objects, i, o)
    {
        AUTO_CHARS char *of = xasprintf("%s/%s", json_at_str(o, "metadata.namespace"),
                                        json_at_str(o, "metadata.name"));
        if (streq(json_key_str(o, "kind"), kind) && streq(of, key))
            return o;
    }
    return NULL;
}

static json_t *ports_of(const struct service_object *o)
{
    json_t *list = json_array();
    for (uint16_t i = 0; i < o->n_ports; i++)
        json_array_append_new(list, json_pack("{s:i,s:s,s:s}", "port", (int)o->ports[i].port,
                                              "name", o->ports[i].name, "protocol",
                                              port_protocol_word(port_protocol(&o->ports[i]))));
    return list;
}

static json_t *rules_of(const struct mesh_snapshot *s, const char *host)
{
    json_t *list = json_array();
    const struct destination_rule *d;
    for (size_t at = 0; (d = mesh_rules_next_destination_rule(s->rules, &at));) {
        json_t *subsets = json_array(), *one;
        size_t i;
        if (istio_host_covers(d->host, host)) {
            json_array_foreach(json_object_get(d->o.spec, "subsets"), i, one)
                json_array_append(subsets, json_object_get(one, "name"));
            json_array_append_new(list,
                                  json_pack("{s:s,s:s,s:O,s:b}", "object", d->o.key, "host",
                                            d->host, "subsets", subsets, "policy",
                                            json_object_get(d->o.spec, "trafficPolicy") != NULL));
        }
        json_decref(subsets);
    }
    return list;
}

static json_t *routes_of(const struct mesh_snapshot *s, const char *host)
{
    json_t *list = json_array();
    const struct virtual_service *v;
    for (size_t at = 0; (v = mesh_rules_next_virtual_service(s->rules, &at));) {
        bool covers = false;
        for (size_t i = 0; i < v->n_hosts; i++)
            covers = covers || istio_host_covers(v->hosts[i], host);
        if (covers && v->for_mesh)
            json_array_append_new(
                list, json_pack("{s:s,s:i,s:i,s:i}", "object", v->o.key, "http",
                                (int)json_array_size(json_object_get(v->o.spec, "http")), "tcp",
                                (int)json_array_size(json_object_get(v->o.spec, "tcp")), "tls",
                                (int)json_array_size(json_object_get(v->o.spec, "tls"))));
    }
    return list;
}

static const char *mode_word(enum mtls_mode mode)
{
    return mode == MTLS_STRICT ? "STRICT" : mode == MTLS_DISABLE ? "DISABLE" : "PERMISSIVE";
}

static bool is_in_mesh(const struct mesh_snapshot *s, const struct workload *w)
{
    return streq(workload_label(s->pods, w, "security.istio.io/tlsMode"), "istio");
}

/* Names of subsets that a pod is of. */
static json_t *subsets_of(const struct mesh_snapshot *s, const struct workload *w, const char *host)
{
    json_t *list = json_array(), *one;
    const struct destination_rule *d;
    size_t i;
    for (size_t at = 0; (d = mesh_rules_next_destination_rule(s->rules, &at));) {
        if (!istio_host_covers(d->host, host))
            continue;
        json_array_foreach(json_object_get(d->o.spec, "subsets"), i,
                           one) if (workload_has_labels(s->pods, w, json_object_get(one, "labels")))
            json_array_append(list, json_object_get(one, "name"));
    }
    return list;
}

static json_t *find_named(const json_t *list, const char *name)
{
    json_t *one;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i,
                       one) if (streq(json_key_str(one, "name"), name)) return one;
    return NULL;
}

/* Its pods by what they are a part of. */
static json_t *workloads_of(const struct mesh_snapshot *s, struct str ns, const json_t *selector,
                            const char *host)
{
    json_t *list = json_array();
    const struct workload *w;
    for (size_t at = 0; json_object_size(selector) && workloads_next(s->pods, &at, &w);) {
        struct str owner = workload_owner(s->pods, w);
        struct mtls_policy mtls;
        if (!str_eq(workload_namespace(w), ns) || !workload_has_labels(s->pods, w, selector))
            continue;
        AUTO_CHARS char *name = str_dup(owner);
        json_t *known = find_named(list, name);
        if (known) {
            json_object_set_new(
                known, "pods",
                json_integer(json_integer_value(json_object_get(known, "pods")) + 1));
            continue;
        }
        peer_authentications_find(s->authentications, ns, s->pods, w, &mtls);
        json_array_append_new(list,
                              json_pack("{s:s,s:i,s:b,s:s,s:o}", "name", name, "pods", 1, "inMesh",
                                        is_in_mesh(s, w), "mode", mode_word(mtls.mode), "subsets",
                                        subsets_of(s, w, host)));
    }
    return list;
}

json_t *mesh_describe_service(const struct mesh_snapshot *s, const json_t *objects, const char *key)
{
    const struct joined_service *joined = service_join_find(s->join, key);
    AUTO_CHARS char *host = service_key_host(key);
    if (!joined || !joined->object)
        return NULL;
    const json_t *selector = json_at(find_object(objects, "Service", key), "spec.selector");
    return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o}", "service", key, "host", host, "ports",
                     ports_of(joined->object), "workloads",
                     workloads_of(s, service_key_namespace(key), selector, host),
                     "destinationRules", rules_of(s, host), "virtualServices", routes_of(s, host));
}

/* ---- pods ---- */

static json_t *policies_of(const struct mesh_snapshot *s, const struct workload *w)
{
    static const char *const actions[] = {"ALLOW", "DENY", "AUDIT", "CUSTOM"};
    struct authorization_list list = {0};
    json_t *j = json_array();
    authorization_policies_find(s->authorizations, workload_namespace(w), s->pods, w, &list);
    VEC_FOREACH (p, &list.v)
        json_array_append_new(j, json_pack("{s:s,s:s,s:b,s:b}", "object", (*p)->o.key, "action",
                                           actions[(*p)->action], "dryRun", (*p)->dry_run, "broken",
                                           (*p)->broken));
    vec_done(&list.v);
    return j;
}

static json_t *tokens_of(const struct mesh_snapshot *s, const struct workload *w)
{
    struct request_authentication_list list = {0};
    json_t *j = json_array();
    request_authentications_find(s->tokens, workload_namespace(w), s->pods, w, &list);
    VEC_FOREACH (r, &list.v)
        json_array_append_new(j, json_string((*r)->o.key));
    vec_done(&list.v);
    return j;
}

static json_t *services_of(const struct mesh_snapshot *s, const json_t *objects,
                           const struct workload *w)
{
    json_t *j = json_array();
    struct joined_service *one;
    VEC(char *) keys = {0};
    for (size_t at = 0; service_join_next(s->join, &at, &one);) {
        const json_t *selector =
            json_at(find_object(objects, "Service", one->key), "spec.selector");
        if (one->object && json_object_size(selector) &&
            str_eq(service_key_namespace(one->key), workload_namespace(w)) &&
            workload_has_labels(s->pods, w, selector))
            vec_push(&keys, one->key);
    }
    VEC_FOREACH (key, &keys)
        json_array_append_new(j, mesh_describe_service(s, objects, *key));
    vec_done(&keys);
    return j;
}

json_t *mesh_describe_pod(const struct mesh_snapshot *s, const json_t *objects,
                          const struct workload *pod, const char *trust_domain)
{
    struct str ns = workload_namespace(pod);
    AUTO_CHARS char *account = str_dup(workload_account(s->pods, pod)),
                    *owner = str_dup(workload_owner(s->pods, pod)), *space = str_dup(ns),
                    *principal = xasprintf("%s/ns/%s/sa/%s", trust_domain, space, account);
    const struct sidecar_scope *scope = sidecar_scopes_find(s->sidecars, ns, s->pods, pod);
    struct mtls_policy mtls;
    json_t *ports = json_array();
    peer_authentications_find(s->authentications, ns, s->pods, pod, &mtls);
    for (size_t i = 0; i < mtls.n_ports; i++)
        json_array_append_new(ports, json_pack("{s:i,s:s}", "port", (int)mtls.ports[i].port, "mode",
                                               mode_word(mtls.ports[i].mode)));
    return json_pack("{s:s,s:s,s:s,s:b,s:s*,s:s,s:o,s:o,s:o,s:o}", "pod", pod->key, "workload",
                     owner, "principal", principal, "inMesh", is_in_mesh(s, pod), "sidecar",
                     scope ? scope->o.key : NULL, "mode", mode_word(mtls.mode), "modePorts", ports,
                     "policies", policies_of(s, pod), "tokens", tokens_of(s, pod), "services",
                     services_of(s, objects, pod));
}
