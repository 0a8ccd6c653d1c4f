/* Layers of sets (xds_set_new_over), each for fewer than the one below it. What a Service has put
 * into a layer is remembered by name, so that a change puts what there is now and takes out what is
 * no more; what is the same is not told to anybody (xds_set_put), and what a lower layer shows
 * already is not put again. */
#include "control/mesh_priv.h"

/* ---- ports that addresses share ---- */

/* NULL: what listeners of a namespace or of a workload tell is as the layer below has it. */
const struct mesh_told *mesh_told_of(const struct mesh_telemetry *t, enum telemetry_side side)
{
    return t ? &t->side[side] : NULL;
}

const struct mesh_told *mesh_told_in(const struct mesh *m, const struct mesh_namespace *ns,
                                     enum telemetry_side side)
{
    return mesh_told_of(ns->told ? ns->told : m->told, side);
}

/* What is for no Service. own NULL: as the layer below has it. */
void mesh_put_outbound(struct xds_set *set, const struct mesh_listeners *of,
                       const struct mesh_telemetry *own)
{
    if (own || !set->over)
        xds_set_put(set, translate_mesh_outbound(of->registry_only, MESH_V4,
                                                 mesh_told_of(own, TELEMETRY_CLIENT)));
    else
        xds_set_remove(set, XDS_LISTENER, STR("virtualOutbound"));
}

void mesh_put_outbound_to(const struct mesh *m, struct mesh_workload *w)
{
    const struct mesh_told *told = w->told ? mesh_told_of(w->told, TELEMETRY_CLIENT)
                                           : mesh_told_in(m, w->ns, TELEMETRY_CLIENT);
    if (w->told || (w->families & MESH_V6))
        xds_set_put(w->set, translate_mesh_outbound(mesh_listeners_of(m, w)->registry_only,
                                                    w->families, told));
    else
        xds_set_remove(w->set, XDS_LISTENER, STR("virtualOutbound"));
}

void mesh_put_place_of(struct mesh *m, struct str name, struct mesh_namespace *ns,
                       const struct mesh_place *p)
{
    const struct mesh_layer layer = {.set = ns->set,
                                     .put = &ns->put,
                                     .client = {.ns = name, .pods = m->peers.pods},
                                     .told = mesh_told_in(m, ns, TELEMETRY_CLIENT),
                                     .tells = ns->told,
                                     .of_namespace = true};
    mesh_listeners_put_over(&m->listeners, &layer, p);
}

/* What it is told of lies over what these have put. */
const struct mesh_listeners *mesh_listeners_of(const struct mesh *m, const struct mesh_workload *w)
{
    return w->scope ? &w->scope->listeners : &m->listeners;
}

void mesh_put_place_to(struct mesh *m, struct mesh_workload *w, const struct mesh_place *p)
{
    const struct mesh_layer layer = {
        .set = w->set,
        .put = &w->put,
        .client = {.ns = str_from(w->ns_name), .pods = m->peers.pods},
        .told = mesh_told_of(w->told, TELEMETRY_CLIENT),
        .tells = w->told,
    };
    mesh_listeners_put_over(mesh_listeners_of(m, w), &layer, p);
}

void mesh_place_was_put(const struct mesh_place *p, void *user)
{
    struct mesh *m = user;
    struct str name;
    void *ns;
    for (size_t at = 0; map_next(&m->namespaces, &at, &name, &ns);)
        if (((struct mesh_namespace *)ns)->set)
            mesh_put_place_of(m, name, ns, p);
    LIST_FOREACH (node, &m->workloads) {
        struct mesh_workload *w = CONTAINER_OF(node, struct mesh_workload, node);
        if (!w->scope)
            mesh_put_place_to(m, w, p);
    }
}

void mesh_scope_place_was_put(const struct mesh_place *p, void *user)
{
    struct mesh *m = user;
    LIST_FOREACH (node, &m->workloads) {
        struct mesh_workload *w = CONTAINER_OF(node, struct mesh_workload, node);
        if (w->scope)
            mesh_put_place_to(m, w, p);
    }
}

/* Of an entry the host's others may be. */
bool mesh_service_is_there(const struct joined_service *s, const char *key)
{
    return (s && s->object) || service_key_is_entry(key);
}

void mesh_exchange_all(struct mesh *m, const struct joined_service *s, const char *key,
                       const struct mesh_change *c)
{
    struct mesh_view v = {.peers = &m->peers,
                          .rules = m->rules,
                          .join = m->join,
                          .set = m->set,
                          .endpoints_only = c->endpoints_only,
                          .told = mesh_told_of(m->told, TELEMETRY_CLIENT),
                          .findings = c->findings};
    mesh_view_exchange(&v, &m->put, key, mesh_service_is_there(s, key));
}

struct mesh_view mesh_view_of_namespace(const struct mesh *m, struct str name,
                                        const struct mesh_namespace *ns, const char *key,
                                        const struct mesh_change *c)
{
    return (struct mesh_view){.peers = &m->peers,
                              .rules = m->rules,
                              .join = m->join,
                              .client = {.ns = name, .pods = m->peers.pods},
                              .short_name = str_eq(name, service_key_namespace(key)),
                              .endpoints_only = c->endpoints_only,
                              .told = mesh_told_in(m, ns, TELEMETRY_CLIENT),
                              .findings = c->findings,
                              .set = ns->set};
}

void mesh_exchange_namespace(struct mesh *m, struct str name, struct mesh_namespace *ns,
                             const struct joined_service *s, const char *key,
                             const struct mesh_change *c)
{
    struct mesh_view v = mesh_view_of_namespace(m, name, ns, key, c);
    if (!ns->set)
        return;
    mesh_view_exchange(&v, &ns->put, key,
                       mesh_service_is_there(s, key) && (v.short_name || c->now || ns->told));
    if ((c->before | c->now) & MESH_VARIES_BY_LOCALITY)
        mesh_zones_exchange(&ns->zones, NULL, &v, key,
                            mesh_service_is_there(s, key) && (c->now & MESH_VARIES_BY_LOCALITY));
}

void mesh_exchange_workload(struct mesh *m, struct mesh_workload *w, const struct joined_service *s,
                            const char *key, const struct mesh_change *c)
{
    struct str rest, own = str_cut(str_from(key), '/', &rest);
    struct mesh_view v = {
        .peers = &m->peers,
        .rules = m->rules,
        .join = m->join,
        .client = {.ns = str_from(w->ns_name),
                   .pods = m->peers.pods,
                   .locality = str_from(w->locality),
                   .pod = workloads_find_ip(m->peers.pods, str_from(w->ns_name), &w->ip)},
        .short_name = str_is(own, w->ns_name),
        .endpoints_only = c->endpoints_only,
        .told = w->told ? mesh_told_of(w->told, TELEMETRY_CLIENT)
                        : mesh_told_in(m, w->ns, TELEMETRY_CLIENT),
        .set = w->set};
    v.scope = w->scope ? w->scope->of : NULL;
    mesh_view_exchange(
        &v, &w->put, key,
        mesh_service_is_there(s, key) && (w->told || (c->now & MESH_VARIES_BY_LABELS)) &&
            (!w->scope || service_key_is_entry(key) || mesh_scope_knows(w->scope, key)));
}

struct mesh_view mesh_view_of_all(const struct mesh *m)
{
    return (struct mesh_view){
        .peers = &m->peers, .rules = m->rules, .join = m->join, .set = m->set};
}

struct mesh_scope_change mesh_change_of_scope(const struct mesh_view *all,
                                              const struct joined_service *s, const char *key,
                                              const struct mesh_change *c)
{
    return (struct mesh_scope_change){
        .view = all,
        .service = s,
        .key = key,
        .endpoints_only = c->endpoints_only,
        .by_locality = (c->before | c->now) & MESH_VARIES_BY_LOCALITY,
        .is_local = c->now & MESH_VARIES_BY_LOCALITY,
    };
}

static void exchange_scopes(struct mesh *m, const struct joined_service *s, const char *key,
                            const struct mesh_change *c)
{
    const struct mesh_view all = mesh_view_of_all(m);
    const struct mesh_scope_change change = mesh_change_of_scope(&all, s, key, c);
    LIST_FOREACH (node, &m->scopes)
        mesh_scope_exchange(CONTAINER_OF(node, struct mesh_scope, node), &change);
}

/* Layers above that of all: of its namespace, and where it is something else, of the others. */
void mesh_exchange_layers(struct mesh *m, const struct joined_service *s, const char *key,
                          const struct mesh_change *c)
{
    struct str name, rest, own = str_cut(str_from(key), '/', &rest);
    struct list_node *n;
    void *ns;
    for (size_t at = 0; map_next(&m->namespaces, &at, &name, &ns);)
        if (c->before || c->now || str_eq(name, own) || ((struct mesh_namespace *)ns)->told)
            mesh_exchange_namespace(m, name, ns, s, key, c);
    exchange_scopes(m, s, key, c);
    bool labels = (c->before | c->now) & MESH_VARIES_BY_LABELS;
    for (n = m->workloads.next; n != &m->workloads; n = n->next) {
        struct mesh_workload *w = CONTAINER_OF(n, struct mesh_workload, node);
        if (labels || w->told)
            mesh_exchange_workload(m, w, s, key, c);
    }
}
