#pragma once
/* A mesh without an API server: Services, slices, pods and rules as they come, and what sidecars
 * are given then. Every resource that is looked at passes the table that says what the proxy does.
 */

#include "json_text.h"

#include <stdio.h>

#include "codec/pb_json.h"
#include "control/mesh.h"
#include "control/mesh_telemetry.h"
#include "model/sidecar_scope.h"
#include "xds/xds_check.h"

#define HTTP    "{'name':'http','port':80}"
#define TCP     "{'name':'tcp-db','port':5432}"
#define UNNAMED "{'port':9000}"

struct world {
    struct service_join *join;
    struct workloads *pods;
    struct peer_authentications *authentications;
    struct selected_objects *authorizations, *tokens, *sidecars, *telemetries;
    const struct mesh_config *config;
    struct service_entries *entries;
    struct auth_objects objects; /* Secrets that rules name */
    struct clusters *clusters;
    struct mesh *mesh;
    json_t *rules; /* key -> VirtualService or DestinationRule; NULL: nobody keeps them */
};

static inline void on_pod(const struct workload *pod, void *user)
{
    const struct world *w = user;
    mesh_pod_changed(w->mesh, pod);
    service_entries_workload_changed(w->entries, pod);
}

static inline struct mesh *new_mesh(const struct world *w)
{
    struct mesh *m = mesh_new(
        w->join, &(struct mesh_peers){w->pods, w->authentications, w->authorizations, w->tokens,
                                      "cluster.local", w->sidecars, w->telemetries, &w->config,
                                      NULL, &w->objects, w->clusters});
    mesh_rules_set_entries(mesh_get_rules(m), w->entries);
    return m;
}

static inline void start(struct world *w)
{
    w->join = service_join_new();
    w->pods = workloads_new(on_pod, w);
    w->authentications = peer_authentications_new("fairlead-system");
    w->authorizations = authorization_policies_new("fairlead-system");
    w->tokens = request_authentications_new("fairlead-system");
    w->sidecars = sidecar_scopes_new("fairlead-system");
    w->entries = service_entries_new(w->join, w->pods);
    w->telemetries = telemetry_policies_new("fairlead-system");
    w->config = mesh_config_new("istio-system/istio", NULL);
    w->objects = (struct auth_objects){{0}, {0}};
    w->clusters = clusters_new("Kubernetes", w->pods);
    w->mesh = new_mesh(w);
    w->rules = NULL;
}

static inline void settle(struct world *w)
{
    struct joined_service *s;
    service_entries_settle(w->entries);
    while ((s = service_join_take_dirty(w->join))) {
        mesh_service_changed(w->mesh, s->key);
        service_join_settle(w->join, s);
    }
}

static inline void finish(struct world *w)
{
    mesh_free(w->mesh);
    service_entries_free(w->entries);
    clusters_free(w->clusters);
    workloads_free(w->pods);
    peer_authentications_free(w->authentications);
    selected_objects_free(w->authorizations);
    selected_objects_free(w->tokens);
    selected_objects_free(w->sidecars);
    selected_objects_free(w->telemetries);
    mesh_config_free((struct mesh_config *)(uintptr_t)w->config);
    service_join_free(w->join);
    auth_objects_done(&w->objects);
}

static inline void set_config(struct world *w, const char *mesh)
{
    AUTO_JSON json_t *object = json_pack("{s:{s:s}}", "data", "mesh", mesh);
    mesh_config_free((struct mesh_config *)(uintptr_t)w->config);
    w->config = mesh_config_new("istio-system/istio", object);
    assert_int_equal(w->config->findings.n, 0);
    mesh_telemetry_changed(w->mesh);
}

/* ports: of a Service, as JSON. */
static inline void put_service(struct world *w, const char *ns, const char *name, const char *ip,
                               const char *ports)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'%s','name':'%s','uid':'u'},'spec':{'clusterIP':'%s',"
                  "'clusterIPs':['%s'],'ports':[%s]}}",
                  ns, name, ip, ip, ports);
    AUTO_JSON json_t *j = json_of(text);
    struct service_object *s = service_object_decode(j);
    assert_non_null(s);
    service_join_add_service(w->join, &s);
}

static inline void put_slice(struct world *w, const char *ns, const char *name, const char *ports,
                             const char *endpoints)
{
    AUTO_CHARS char *text = xasprintf(
        "{'metadata':{'namespace':'%s','name':'%s','labels':{'kubernetes.io/service-name':'%s'}},"
        "'addressType':'IPv4','ports':[%s],'endpoints':[%s]}",
        ns, name, name, ports, endpoints);
    AUTO_JSON json_t *j = json_of(text);
    const struct slice_decoding o = {.topologies = &w->join->topologies};
    struct slice_object *s = slice_object_decode(j, &o);
    assert_non_null(s);
    service_join_add_slice(w->join, &s);
}

static inline void put_rule_object(struct mesh *m, const json_t *j)
{
    if (json_at(j, "spec.hosts"))
        mesh_rules_put_virtual_service(mesh_get_rules(m), virtual_service_decode(j));
    else
        mesh_rules_put_destination_rule(mesh_get_rules(m), destination_rule_decode(j));
}

/* A VirtualService if it has hosts; else a DestinationRule. */
static inline void put_rule(struct world *w, const char *ns, const char *name, const char *spec)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'%s','name':'%s'},'spec':%s}", ns, name, spec);
    AUTO_JSON json_t *j = json_of(text);
    AUTO_CHARS char *key = xasprintf("%s/%s/%d", ns, name, json_at(j, "spec.hosts") != NULL);
    put_rule_object(w->mesh, j);
    if (w->rules)
        json_object_set(w->rules, key, j);
}

static inline const struct istio_object *put_entry(struct world *w, const char *ns,
                                                   const char *name, const char *spec)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'%s','name':'%s'},'spec':%s}", ns, name, spec);
    AUTO_JSON json_t *j = json_of(text);
    struct service_entry *e = service_entry_decode(j);
    service_entries_put(w->entries, e);
    return &e->o;
}

static inline void put_workload(struct world *w, const char *ns, const char *name, const char *spec)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'%s','name':'%s'},'spec':%s}", ns, name, spec);
    AUTO_JSON json_t *j = json_of(text);
    assert_non_null(service_entries_put_workload(w->entries, j));
}

/* spec NULL: it goes. */
static inline const struct istio_object *put_sidecar(struct world *w, const char *ns,
                                                     const char *name, const char *spec)
{
    AUTO_CHARS char *text = xasprintf("{'metadata':{'namespace':'%s','name':'%s'},'spec':%s}", ns,
                                      name, spec ? spec : "{}");
    AUTO_CHARS char *key = xasprintf("%s/%s", ns, name);
    AUTO_JSON json_t *j = json_of(text);
    const struct istio_object *o = spec ? selected_objects_put(w->sidecars, j) : NULL;
    if (!spec)
        selected_objects_remove(w->sidecars, str_from(key));
    mesh_sidecars_changed(w->mesh, str_from(ns));
    return o;
}

static inline struct mesh_workload *join(struct world *w, const char *ns, const char *ip)
{
    struct ip address;
    assert_ok(ip_parse(str_from(ip), &address));
    return mesh_join(w->mesh, str_from(ns), &address);
}

/* The resource as JSON; fails if the table has a word to say of it. NULL: it is not there. */
static inline char *find(const struct mesh_workload *w, enum xds_resource type, const char *name)
{
    const struct xds_entry *e = xds_set_find(mesh_workload_set(w), type, str_from(name));
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_DONE(xds_report) struct xds_report report = {0};
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_JSON json_t *j = NULL;
    struct err err = {0};
    ProtobufCMessage *m;
    if (!e)
        return NULL;
    if (xds_resource_unpack(e->type, e->message, a, &m, &report, &err) < 0 || report.findings.n)
        fail_msg("%s: %s %s", name, err_text(&err),
                 report.findings.n ? report.findings.v[0].path : "");
    assert_ok(pb_json_print(m, &xds_json_types, &j, NULL));
    json_write(&b, j);
    return buf_take_cstr(&b);
}

static inline bool has(const struct mesh_workload *w, enum xds_resource type, const char *name)
{
    AUTO_CHARS char *text = find(w, type, name);
    return text != NULL;
}

static inline void expect_in(const struct mesh_workload *w, enum xds_resource type,
                             const char *name, const char *text)
{
    AUTO_CHARS char *all = find(w, type, name);
    if (!all || !strstr(all, text))
        fail_msg("%s: %s", name, all ? all : "it is not there");
}

static inline unsigned draw(unsigned *state, unsigned below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

/* forgotten: its pod is not known: what comes in is as it was when it was. */
static inline void expect_same(const struct mesh_workload *a, const struct mesh_workload *b,
                               bool forgotten)
{
    const struct xds_set *x = mesh_workload_set(a), *y = mesh_workload_set(b);
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++) {
        struct xds_entry *e;
        size_t n = 0;
        for (struct xds_iter i = {0}; xds_set_next(x, type, &i, &e); n++) {
            const struct xds_entry *other = xds_set_find(y, type, e->name);
            bool inbound =
                str_is(e->name, "virtualInbound") || str_starts(e->name, STR("inbound|"));
            if (forgotten && (inbound || type == XDS_ENDPOINT)) /* as where it was */
                continue;
            if (!other || !str_eq(other->version, e->version)) {
                AUTO_CHARS char *text = str_dup(e->name), *one = find(a, type, text),
                                *two = find(b, type, text);
                fail_msg("%s\n%s\n%s", text, one, two ? two : "not there");
            }
            AUTO_CHARS char *name = str_dup(e->name);
            free(find(a, type, name));
        }
        for (struct xds_iter i = {0}; xds_set_next(y, type, &i, &e); n--)
            if (!forgotten && !xds_set_find(x, type, e->name))
                fail_msg("missing: " STR_FMT, STR_ARG(e->name));
        if (!forgotten)
            assert_int_equal(n, 0);
    }
}

static inline void put_pod(struct world *w, const char *ip, const char *labels)
{
    AUTO_CHARS char *text = xasprintf("{'metadata':{'namespace':'shop','name':'a','labels':{%s}},"
                                      "'status':{'podIP':'%s'}}",
                                      labels, ip);
    AUTO_JSON json_t *j = json_of(text);
    workloads_put(w->pods, j);
}

static inline void put_node(struct world *w, const char *name, const char *zone)
{
    AUTO_CHARS char *text = xasprintf("{'metadata':{'name':'%s','labels':{"
                                      "'topology.kubernetes.io/region':'r1',"
                                      "'topology.kubernetes.io/zone':'%s'}}}",
                                      name, zone);
    AUTO_JSON json_t *j = json_of(text);
    workloads_put_node(w->pods, j);
}

static inline void put_pod_of(struct world *w, const char *ns, const char *name, const char *ip,
                              const char *account, bool in_mesh)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'%s','name':'%s','labels':{%s}},"
                  "'spec':{'serviceAccountName':'%s','nodeName':'n%u'},'status':{'podIP':'%s'}}",
                  ns, name, in_mesh ? "'app':'x','security.istio.io/tlsMode':'istio'" : "'app':'x'",
                  account, (unsigned)name[strlen(name) - 1] % 2, ip);
    AUTO_JSON json_t *j = json_of(text);
    workloads_put(w->pods, j);
}

static inline void expect_none(const struct mesh_workload *w, enum xds_resource type,
                               const char *name, const char *text)
{
    AUTO_CHARS char *all = find(w, type, name);
    if (!all || strstr(all, text))
        fail_msg("%s: %s", name, all ? all : "it is not there");
}
