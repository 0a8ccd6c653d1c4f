/* What becomes of changes: of Services, of pods, of what is said of them. */
#include "control/mesh_priv.h"

#include "base/hash.h"

/* ---- Services ---- */

static struct mesh_namespace *namespace_of(struct mesh *m, struct str name)
{
    struct mesh_namespace *ns = map_find(&m->namespaces, name);
    if (!ns) {
        ns = NEW(struct mesh_namespace);
        map_put(&m->namespaces, name, ns);
    }
    return ns;
}

static void drop_if_empty(struct mesh *m, struct str name, struct mesh_namespace *ns)
{
    if (ns->workloads || ns->services.used)
        return;
    map_remove(&m->namespaces, name);
    map_done(&ns->services);
    map_done(&ns->put);
    mesh_zones_done(&ns->zones);
    free(ns);
}

static uint64_t looks_of(const struct mesh *m, const struct joined_service *s)
{
    const struct service_object *o = s->object;
    AUTO_DONE(buf) struct buf b = {0};
    if (s->entry) {
        AUTO_CHARS char *host = service_key_host(s->key);
        buf_addf(&b, "%llx %u;", (unsigned long long)s->entry->looks,
                 service_entries_generation(mesh_rules_get_entries(m->rules), host));
    }
    buf_addf(&b, "%d %d;", o->headless, o->external_name != NULL);
    for (uint16_t i = 0; i < o->n_cluster_ips; i++)
        buf_add(&b, o->cluster_ips[i].bytes, sizeof(o->cluster_ips[i].bytes));
    for (uint16_t i = 0; i < o->n_ports; i++)
        buf_addf(&b, "%u %u %s %s;", o->ports[i].port, o->ports[i].proto, o->ports[i].name,
                 o->ports[i].app_protocol ? o->ports[i].app_protocol : "");
    return hash_bytes_seed(b.p, b.n, 0);
}

/* What a Service puts now (NULL: it has gone), in place of what it put before (NULL: nothing). */
static void exchange_service(struct mesh *m, const struct joined_service *s, const char *key,
                             struct mesh_service *before, struct mesh_service *now)
{
    struct mesh_change c = {.before = before ? before->varies : 0,
                            .findings = now ? &now->findings : NULL};
    bool touched = mesh_rules_take_touched(m->rules, key);
    if (now) {
        now->looks = looks_of(m, s);
        c.endpoints_only = before && before->looks == now->looks && !touched;
        now->varies = c.endpoints_only ? before->varies : mesh_rules_vary(m->rules, key);
        mesh_listeners_use(&m->listeners, &now->uses, s);
    }
    c.now = now                         ? now->varies
            : service_key_is_entry(key) ? mesh_rules_vary(m->rules, key) /* of the host's others */
                                        : 0;
    m->n_varying += now && now->varies;
    m->n_varying -= before && before->varies;
    mesh_exchange_all(m, s, key, &c);
    mesh_exchange_layers(m, s, key, &c);
    mesh_listeners_exchange(&m->listeners, before ? &before->uses : NULL, now ? &now->uses : NULL,
                            key, c.endpoints_only);
    if (c.endpoints_only) {
        now->findings = before->findings;
        before->findings = (struct findings){0};
        return;
    }
    for (size_t i = 0; now && i < now->findings.n && m->observer; i++)
        if (!findings_have(before ? &before->findings : NULL, &now->findings.v[i]))
            m->observer(&now->findings.v[i], m->observer_user);
    if (!before != !now && !service_key_is_entry(key) && mesh_rules_get_entries(m->rules))
        service_entries_service_changed(mesh_rules_get_entries(m->rules), key);
    if (!m->making && (!before != !now || (now && before->looks != now->looks)))
        mesh_rules_destination_changed(m->rules, key);
}

/* ---- workloads ---- */

static void service_free(struct mesh_service *s)
{
    if (!s)
        return;
    mesh_uses_done(&s->uses);
    vec_done(&s->members);
    findings_done(&s->findings);
    free(s);
}

void mesh_service_changed(struct mesh *m, const char *key)
{
    if (!m->set)
        return;
    struct str name, ns_name = str_cut(str_from(key), '/', &name);
    struct mesh_namespace *ns = namespace_of(m, ns_name);
    const struct joined_service *s = service_join_find(m->join, key);
    struct mesh_service *before = map_remove_cstr(&m->services, key),
                        *now = s && s->object ? NEW(struct mesh_service) : NULL;
    m->round++;
    exchange_service(m, s, key, before, now);
    if (now) {
        map_put_cstr(&m->services, key, now);
        map_put_cstr(&ns->services, key, m);
        mesh_find_members(m, ns, now, s, NULL);
    } else {
        map_remove_cstr(&ns->services, key);
    }
    mesh_settle_members(m, key, before, now);
    bool other = !before != !now || (now && before->looks != now->looks);
    service_free(before);
    drop_if_empty(m, ns_name, ns);
    if (other && !m->making && mesh_telemetry_needs(&m->peers, key))
        mesh_providers_changed(m); /* one is there now, or no more */
}

/* For somebody new it is looked at as it is, while others know it as it was: if it is in the end as
 * it was, he has to be told that, too. */
static const struct joined_service *look_at(struct mesh *m, const char *key)
{
    const struct joined_service *s = service_join_find(m->join, key);
    if (s && list_is_linked(&s->dirty))
        mesh_rules_set_touched(m->rules, key);
    return s;
}

/* What it is given because of its own labels. */
static void build_labelled(struct mesh *m, struct mesh_workload *w)
{
    struct str key;
    void *s;
    for (size_t at = 0; (m->n_varying || w->told) && map_next(&m->services, &at, &key, &s);) {
        unsigned varies = ((const struct mesh_service *)s)->varies;
        AUTO_CHARS char *text = str_dup(key);
        const struct mesh_change c = {.now = varies};
        if (w->told || varies & MESH_VARIES_BY_LABELS)
            mesh_exchange_workload(m, w, look_at(m, text), text, &c);
    }
}

/* ---- what is told of requests ---- */

/* Puts what is found in the place of what was; below: of the layer below, whose is as well as one
 * that says the same. Takes now. True: it is something else. */
static bool exchange_told(struct mesh_telemetry **own, const struct mesh_telemetry *below,
                          struct mesh_telemetry *now)
{
    if (mesh_telemetry_eq(now, below)) {
        mesh_telemetry_free(now);
        now = NULL;
    }
    if (mesh_telemetry_eq(now, *own)) { /* what is there may be borrowed */
        mesh_telemetry_free(now);
        return false;
    }
    mesh_telemetry_free(*own);
    *own = now;
    return true;
}

static bool find_told_to(struct mesh *m, struct mesh_workload *w)
{
    struct str ns = str_from(w->ns_name);
    const struct workload *pod = workloads_find_ip(m->peers.pods, ns, &w->ip);
    return exchange_told(&w->told, w->ns->told ? w->ns->told : m->told,
                         mesh_telemetry_find(&m->peers, m->rules, m->join, ns, pod));
}

/* All that a layer of its own would show, or shows no more. */
static void retell_workload(struct mesh *m, struct mesh_workload *w)
{
    const struct mesh_listeners *of = mesh_listeners_of(m, w);
    struct str key;
    void *s, *u;
    for (size_t at = 0; map_next(&m->services, &at, &key, &s);) {
        AUTO_CHARS char *text = str_dup(key);
        const struct mesh_change c = {.now = ((const struct mesh_service *)s)->varies};
        mesh_exchange_workload(m, w, service_join_find(m->join, text), text, &c);
    }
    for (size_t at = 0; map_next(&of->places, &at, NULL, &u);)
        mesh_put_place_to(m, w, &((const struct used_place *)u)->place);
    mesh_put_outbound_to(m, w);
    mesh_build_inbound(m, w, true);
}

/* Whose an address is, for those who are called from there. */
static void put_address(struct mesh *m, const struct ip *ip)
{
    char name[IP_TEXT_BYTES + 1];
    struct xds_entry *e = mesh_peers_address(&m->peers, ip);
    if (e)
        xds_set_put(m->base, e);
    else
        xds_set_remove(m->base, XDS_WORKLOAD, str_from(translate_mesh_workload_name(ip, name)));
}

static void put_addresses_of(struct mesh *m, const struct workloads *pods)
{
    const struct workload *pod;
    for (size_t at = 0; workloads_next(pods, &at, &pod);)
        for (uint8_t i = 0; i < pod->n_ips; i++)
            put_address(m, &pod->ips[i]);
}

/* ---- what a workload knows ---- */

static const struct sidecar_scope *sidecar_of(const struct mesh *m, const struct mesh_workload *w)
{
    struct str ns = str_from(w->ns_name);
    return m->peers.sidecars ? sidecar_scopes_find(m->peers.sidecars, ns, m->peers.pods,
                                                   workloads_find_ip(m->peers.pods, ns, &w->ip))
                             : NULL;
}

static void fill_scope(struct mesh *m, struct mesh_scope *s)
{
    const struct mesh_view all = mesh_view_of_all(m);
    const struct mesh_namespace *ns = map_find_cstr(&m->namespaces, s->ns);
    struct str key;
    void *of;
    mesh_scope_tell(s, mesh_told_in(m, ns, TELEMETRY_CLIENT));
    for (size_t at = 0; map_next(&m->services, &at, &key, &of);) {
        AUTO_CHARS char *text = str_dup(key);
        const struct mesh_change c = {.now = ((const struct mesh_service *)of)->varies};
        const struct mesh_scope_change change =
            mesh_change_of_scope(&all, look_at(m, text), text, &c);
        mesh_scope_exchange(s, &change);
    }
}

static struct mesh_scope *scope_of(struct mesh *m, const struct sidecar_scope *of, struct str ns)
{
    LIST_FOREACH (node, &m->scopes) {
        struct mesh_scope *s = CONTAINER_OF(node, struct mesh_scope, node);
        if (s->of == of && str_is(ns, s->ns))
            return s;
    }
    const struct mesh_view all = mesh_view_of_all(m);
    struct mesh_scope *s = mesh_scope_new(of, ns, m->base, &all, m->listeners.registry_only);
    mesh_rules_mark_destinations(m->rules);
    s->listeners.on_put = mesh_scope_place_was_put;
    s->listeners.user = m;
    fill_scope(m, s);
    list_add_tail(&m->scopes, &s->node);
    return s;
}

static void fill_namespace(struct mesh *m, struct str name, struct mesh_namespace *ns)
{
    struct str key;
    void *s;
    void *u;
    for (size_t at = 0; map_next(&m->services, &at, &key, &s);) {
        AUTO_CHARS char *text = str_dup(key);
        const struct mesh_change c = {.now = ((const struct mesh_service *)s)->varies};
        mesh_exchange_namespace(m, name, ns, look_at(m, text), text, &c);
    }
    for (size_t at = 0; map_next(&m->listeners.places, &at, NULL, &u);)
        mesh_put_place_of(m, name, ns, &((const struct used_place *)u)->place);
    mesh_put_outbound(ns->set, &m->listeners, ns->told);
}

static bool find_told_in(struct mesh *m, struct str name, struct mesh_namespace *ns)
{
    return exchange_told(&ns->told, m->told,
                         mesh_telemetry_find(&m->peers, m->rules, m->join, name, NULL));
}

static void make_namespace_set(struct mesh *m, struct str name, struct mesh_namespace *ns)
{
    ns->set = xds_set_new_over(m->set);
    fill_namespace(m, name, ns);
}

/* The set that it lies over. of: NULL: that of its namespace. */
static struct xds_set *take_view(struct mesh *m, struct mesh_workload *w,
                                 const struct sidecar_scope *of)
{
    struct str ns = str_from(w->ns_name);
    w->scope = of ? scope_of(m, of, ns) : NULL;
    if (w->scope) {
        w->scope->users++;
        return w->scope->set;
    }
    if (w->ns->readers++ == 0)
        make_namespace_set(m, ns, w->ns);
    return w->ns->set;
}

/* It lies over it no more. scope: NULL: its namespace. */
static void leave_view(struct mesh_workload *w, struct mesh_scope *scope)
{
    if (scope && --scope->users == 0) {
        mesh_scope_free(scope);
    } else if (!scope && --w->ns->readers == 0) {
        put_resources_drop_map(w->ns->set, &w->ns->put);
        xds_set_free(TAKE(w->ns->set));
    }
}

static struct mesh_zones *zones_of(struct mesh_workload *w)
{
    return w->scope ? &w->scope->zones : &w->ns->zones;
}

/* A place that nobody of them has been at. */
static void fill_zone(struct mesh *m, struct mesh_workload *w, const struct mesh_zone *z)
{
    struct str key;
    void *s;
    for (size_t at = 0; m->n_varying && map_next(&m->services, &at, &key, &s);) {
        AUTO_CHARS char *text = str_dup(key);
        const struct mesh_change c = {.now = ((const struct mesh_service *)s)->varies};
        struct mesh_view v = mesh_view_of_namespace(m, str_from(w->ns_name), w->ns, text, &c);
        v.scope = w->scope ? w->scope->of : NULL;
        bool known = !w->scope || service_key_is_entry(text) || mesh_scope_knows(w->scope, text);
        if (c.now & MESH_VARIES_BY_LOCALITY && known)
            mesh_zones_exchange(zones_of(w), z, &v, text,
                                mesh_service_is_there(look_at(m, text), text));
    }
}

/* The set that it lies over, by what it knows (of: NULL: what its namespace does) and where it
 * is. */
static struct xds_set *enter(struct mesh *m, struct mesh_workload *w,
                             const struct sidecar_scope *of, struct str locality)
{
    struct xds_set *view = take_view(m, w, of);
    bool is_new;
    w->locality = str_dup(locality);
    w->zone = mesh_zones_enter(zones_of(w), locality, view, &is_new);
    if (is_new)
        fill_zone(m, w, w->zone);
    return w->zone->set;
}

static struct str locality_of(const struct mesh *m, const struct workload *pod)
{
    return pod ? workload_locality(m->peers.pods, pod) : STR("");
}

/* Another Sidecar may hold for it; its node, or it, may say that it is somewhere else. Of who is
 * not known any more nobody does. */
static void find_view(struct mesh *m, struct mesh_workload *w)
{
    const struct sidecar_scope *of = sidecar_of(m, w);
    const struct workload *pod = workloads_find_ip(m->peers.pods, str_from(w->ns_name), &w->ip);
    struct mesh_scope *before = w->scope;
    struct mesh_zone *zone = w->zone;
    struct mesh_zones *zones = zones_of(w);
    struct str locality = pod ? locality_of(m, pod) : str_from(w->locality);
    bool same = of == (before ? before->of : NULL);
    if ((w->known && !pod) || (same && str_is(locality, w->locality)))
        return;
    AUTO_CHARS char *left = w->locality;
    put_resources_drop_map(w->set, &w->put);
    xds_set_move(w->set, enter(m, w, of, locality));
    mesh_zones_leave(zones, zone, left);
    leave_view(w, before);
    retell_workload(m, w);
}

/* Services that it is behind. */
static void mark_services_of(struct mesh *m, uint16_t cluster, const struct workload *pod)
{
    const struct mesh_namespace *ns = map_find(&m->namespaces, workload_namespace(pod));
    struct str key;
    for (size_t at = 0; ns && pod->n_ips && map_next(&ns->services, &at, &key, NULL);) {
        AUTO_CHARS char *text = str_dup(key);
        struct joined_service *s = service_join_find(m->join, text);
        for (uint8_t i = 0; s && i < pod->n_ips; i++)
            if (joined_service_has_ip(s, cluster, &pod->ips[i]))
                service_join_mark(m->join, s);
    }
}

void mesh_remote_pod_changed(struct mesh *m, uint16_t cluster, const struct workload *pod)
{
    for (uint8_t i = 0; m->set && i < pod->n_ips; i++)
        put_address(m, &pod->ips[i]);
    mark_services_of(m, cluster, pod);
}

void mesh_clusters_changed(struct mesh *m)
{
    for (size_t n = 0; m->set && n < m->peers.clusters->v.n; n++)
        if (m->peers.clusters->v.v[n])
            put_addresses_of(m, m->peers.clusters->v.v[n]->pods);
    service_join_mark_all(m->join);
}

void mesh_pod_changed(struct mesh *m, const struct workload *pod)
{
    for (uint8_t i = 0; m->set && i < pod->n_ips; i++)
        put_address(m, &pod->ips[i]);
    for (uint8_t i = 0; i < pod->n_ips; i++)
        for (struct mesh_workload *w = map_find(&m->by_ip, mesh_ip_key(&pod->ips[i])); w;
             w = w->twin) {
            find_view(m, w);
            build_labelled(m, w);
            bool other = mesh_find_families(m, w);
            if (find_told_to(m, w) || other)
                retell_workload(m, w);
        }
    mark_services_of(m, 0, pod);
    for (uint8_t i = 0; i < pod->n_ips; i++) { /* what holds for it may be something else */
        struct mesh_workload *w = map_find(&m->by_ip, mesh_ip_key(&pod->ips[i]));
        for (; w; w = w->twin)
            mesh_build_inbound(m, w, mesh_find_access(m, w));
    }
}

void mesh_authorizations_changed(struct mesh *m, struct str ns)
{
    bool all = selected_objects_is_root(m->peers.authorizations, ns);
    LIST_FOREACH (node, &m->workloads) {
        struct mesh_workload *w = CONTAINER_OF(node, struct mesh_workload, node);
        if ((all || str_is(ns, w->ns_name)) && mesh_find_access(m, w))
            mesh_build_inbound(m, w, true);
    }
}

void mesh_authentications_changed(struct mesh *m, struct str ns)
{
    bool all = peer_authentications_is_root(m->peers.authentications, ns);
    struct str name, key;
    void *p;
    LIST_FOREACH (node, &m->workloads) {
        struct mesh_workload *w = CONTAINER_OF(node, struct mesh_workload, node);
        if (all || str_is(ns, w->ns_name))
            mesh_build_inbound(m, w, false);
    }
    for (size_t at = 0; map_next(&m->namespaces, &at, &name, &p);) {
        const struct mesh_namespace *of = p;
        for (size_t i = 0; (all || str_eq(ns, name)) && map_next(&of->services, &i, &key, NULL);) {
            AUTO_CHARS char *text = str_dup(key);
            struct joined_service *s = service_join_find(m->join, text);
            if (s) /* its endpoints may take TLS, or take none, from now on */
                service_join_mark(m->join, s);
        }
    }
}

static void make_all(struct mesh *m)
{
    struct joined_service *s;
    m->base = xds_set_new();
    m->set = xds_set_new_over(m->base);
    m->told = mesh_telemetry_find(&m->peers, m->rules, m->join, STR(""), NULL);
    m->listeners.set = m->set;
    m->listeners.told = mesh_told_of(m->told, TELEMETRY_CLIENT);
    mesh_put_outbound(m->base, &m->listeners, m->told);
    xds_set_put(m->base, translate_mesh_passthrough());
    xds_set_put(m->base, translate_mesh_black_hole());
    xds_set_put(m->base, translate_mesh_inbound_passthrough());
    m->making = true;
    for (size_t at = 0; service_join_next(m->join, &at, &s);)
        mesh_service_changed(m, s->key);
    m->making = false;
    put_addresses_of(m, m->peers.pods);
    for (size_t n = 1; m->peers.clusters && n < m->peers.clusters->v.n; n++)
        if (m->peers.clusters->v.v[n])
            put_addresses_of(m, m->peers.clusters->v.v[n]->pods);
}

/* The mesh's own, and what is the same for all. */
static bool retell_all(struct mesh *m)
{
    struct str key;
    void *s;
    if (!exchange_told(&m->told, NULL,
                       mesh_telemetry_find(&m->peers, m->rules, m->join, STR(""), NULL)))
        return false;
    for (size_t at = 0; map_next(&m->services, &at, &key, &s);) {
        AUTO_CHARS char *text = str_dup(key);
        const struct mesh_change c = {.now = ((const struct mesh_service *)s)->varies};
        mesh_exchange_all(m, service_join_find(m->join, text), text, &c);
    }
    mesh_listeners_tell(&m->listeners, mesh_told_of(m->told, TELEMETRY_CLIENT));
    mesh_put_outbound(m->base, &m->listeners, m->told);
    return true;
}

void mesh_telemetry_changed(struct mesh *m)
{
    struct str name;
    void *p;
    if (!m->set)
        return;
    bool all = retell_all(m);
    for (size_t at = 0; map_next(&m->namespaces, &at, &name, &p);) {
        struct mesh_namespace *ns = p;
        if (!ns->workloads)
            continue;
        bool own = find_told_in(m, name, ns);
        if (ns->set && (own || all))
            fill_namespace(m, name, ns);
        LIST_FOREACH (node, &m->scopes) {
            struct mesh_scope *s = CONTAINER_OF(node, struct mesh_scope, node);
            if (str_is(name, s->ns) && (own || all))
                fill_scope(m, s);
        }
        LIST_FOREACH (node, &m->workloads) {
            struct mesh_workload *w = CONTAINER_OF(node, struct mesh_workload, node);
            if (w->ns == ns && (find_told_to(m, w) || own || all))
                retell_workload(m, w);
        }
    }
}

void mesh_providers_changed(struct mesh *m)
{
    mesh_telemetry_changed(m);
    mesh_rules_mark_local(m->rules);
    LIST_FOREACH (node, &m->workloads) {
        struct mesh_workload *w = CONTAINER_OF(node, struct mesh_workload, node);
        if (mesh_find_access(m, w))
            mesh_build_inbound(m, w, true);
    }
}

void mesh_start(struct mesh *m)
{
    if (!m->set)
        make_all(m);
}

void mesh_sidecars_changed(struct mesh *m, struct str ns)
{
    bool all = m->peers.sidecars && selected_objects_is_root(m->peers.sidecars, ns);
    LIST_FOREACH (node, &m->workloads) {
        struct mesh_workload *w = CONTAINER_OF(node, struct mesh_workload, node);
        if (all || str_is(ns, w->ns_name))
            find_view(m, w);
    }
}

struct mesh_workload *mesh_join(struct mesh *m, struct str ns_name, const struct ip *ip)
{
    mesh_start(m);
    struct mesh_namespace *ns = namespace_of(m, ns_name);
    struct mesh_workload *w = NEW(struct mesh_workload);
    if (ns->workloads++ == 0)
        find_told_in(m, ns_name, ns);
    w->ns = ns;
    w->ns_name = str_dup(ns_name);
    w->ip = *ip;
    w->set = xds_set_new_over(enter(m, w, sidecar_of(m, w),
                                    locality_of(m, workloads_find_ip(m->peers.pods, ns_name, ip))));
    list_add_tail(&m->workloads, &w->node);
    m->n_workloads++;
    mesh_find_services(m, w);
    w->twin = map_put(&m->by_ip, mesh_ip_key(ip), w);
    mesh_find_access(m, w);
    mesh_find_families(m, w);
    find_told_to(m, w);
    if (w->told) {
        retell_workload(m, w);
    } else {
        mesh_put_outbound_to(m, w);
        mesh_build_inbound(m, w, true);
    }
    build_labelled(m, w);
    return w;
}

struct xds_set *mesh_workload_set(const struct mesh_workload *w)
{
    return w->set;
}

static void forget_address(struct mesh *m, struct mesh_workload *w)
{
    struct mesh_workload *first = map_find(&m->by_ip, mesh_ip_key(&w->ip)), *p = first;
    if (first == w && w->twin)
        map_put(&m->by_ip, mesh_ip_key(&w->ip), w->twin);
    else if (first == w)
        map_remove(&m->by_ip, mesh_ip_key(&w->ip));
    while (first != w && p->twin != w)
        p = p->twin;
    if (first != w)
        p->twin = w->twin;
}

void mesh_leave(struct mesh *m, struct mesh_workload *w)
{
    mesh_leave_services(m, w);
    forget_address(m, w);
    put_resources_drop_all(w->set, &w->own);
    put_resources_drop_map(w->set, &w->put);
    mesh_inbound_done(&w->ports);
    mesh_access_done(&w->access);
    mesh_telemetry_free(w->told);
    xds_set_free(w->set);
    mesh_zones_leave(zones_of(w), w->zone, w->locality);
    leave_view(w, w->scope);
    list_remove(&w->node);
    m->n_workloads--;
    if (--w->ns->workloads == 0)
        mesh_telemetry_free(TAKE(w->ns->told));
    drop_if_empty(m, str_from(w->ns_name), w->ns);
    free(w->locality);
    free(w->ns_name);
    free(w);
}

size_t mesh_workloads(const struct mesh *m)
{
    return m->n_workloads;
}

struct mesh *mesh_new(struct service_join *join, const struct mesh_peers *peers)
{
    struct mesh *m = NEW(struct mesh);
    m->join = join;
    m->peers = *peers;
    m->rules = mesh_rules_new(join);
    m->listeners = (struct mesh_listeners){.join = join,
                                           .rules = m->rules,
                                           .client = {.pods = peers->pods},
                                           .on_put = mesh_place_was_put,
                                           .user = m};
    list_init(&m->scopes);
    list_init(&m->workloads);
    return m;
}

const struct mesh_peers *mesh_get_peers(const struct mesh *m)
{
    return &m->peers;
}

void mesh_set_registry_only(struct mesh *m)
{
    m->listeners.registry_only = true;
}

struct mesh_rules *mesh_get_rules(const struct mesh *m)
{
    return m->rules;
}

void mesh_set_observer(struct mesh *m, mesh_observer *fn, void *user)
{
    m->observer = fn;
    m->observer_user = user;
}

void mesh_free(struct mesh *m)
{
    void *p;
    if (!m)
        return;
    while (!list_is_empty(&m->workloads))
        mesh_leave(m, CONTAINER_OF(m->workloads.next, struct mesh_workload, node));
    if (m->set)
        put_resources_drop_map(m->set, &m->put);
    for (size_t at = 0; map_next(&m->services, &at, NULL, &p);)
        service_free(p);
    for (size_t at = 0; map_next(&m->namespaces, &at, NULL, &p);) {
        map_done(&((struct mesh_namespace *)p)->services);
        mesh_zones_done(&((struct mesh_namespace *)p)->zones);
        free(p);
    }
    map_done(&m->services);
    map_done(&m->namespaces);
    mesh_listeners_done(&m->listeners);
    map_done(&m->by_ip);
    xds_set_free(m->set);
    xds_set_free(m->base);
    mesh_telemetry_free(m->told);
    mesh_rules_free(m->rules);
    free(m);
}
