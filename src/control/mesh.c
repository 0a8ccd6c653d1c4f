/* Four layers of sets (xds_set_new_over): all, namespace, locality, workload. What a Service has
 * put into a layer is remembered by name, so that a change puts what there is now and takes out
 * what is no more; what is the same is not told to anybody (xds_set_put), and what a lower layer
 * shows already is not put again. */
#include "control/mesh.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/vec.h"
#include "control/mesh_inbound.h"
#include "control/mesh_listeners.h"
#include "control/mesh_scope.h"
#include "control/mesh_telemetry.h"
#include "control/mesh_view.h"
#include "control/translate_mesh.h"

struct mesh_service {
    struct mesh_uses uses;
    VEC(struct mesh_workload *) members; /* that it is served by */
    uint64_t looks;                      /* a hash of what it says of itself */
    unsigned varies;                     /* MESH_VARIES_BY_... */
    struct findings findings;            /* of rules, because of others */
};

struct mesh_namespace {
    struct xds_set *set;         /* NULL: nobody of it has asked */
    struct mesh_telemetry *told; /* NULL: as the mesh's */
    struct mesh_zones zones;
    unsigned workloads;
    unsigned readers;    /* of them, those that know all that it does */
    struct map services; /* keys of Services of it */
    struct map put;      /* key of any Service -> struct put_resources, in the set */
};

struct mesh_workload {
    struct list_node node;
    struct mesh_namespace *ns;
    struct mesh_scope *scope; /* NULL: it knows what its namespace does */
    char *ns_name;
    struct mesh_zone *zone;
    char *locality; /* its zone's */
    struct ip ip;
    struct mesh_workload *twin;     /* another stream of the same address; NULL: none */
    struct map services;            /* key -> struct mesh_membership */
    struct mesh_inbound_list ports; /* that its resources are made of, sorted */
    enum mtls_mode mode;            /* of other ports */
    struct mesh_access access;      /* who may call it */
    struct mesh_telemetry *told;    /* NULL: as its namespace's */
    bool known;                     /* its pod has been, so that its labels count */
    struct xds_set *set;
    struct put_resources own;
    struct map put; /* as its namespace's */
};

struct mesh {
    struct service_join *join;
    struct mesh_peers peers;
    struct mesh_rules *rules;
    mesh_observer *observer;
    void *observer_user;
    struct xds_set *base; /* what has nothing to do with Services; NULL: nobody has asked yet */
    struct xds_set *set;  /* the same */
    struct mesh_telemetry *told; /* NULL: as listeners are made */
    struct map put;              /* key of a Service -> struct put_resources, in the set */
    size_t n_varying;            /* Services that some rule says different things of */
    bool making;                 /* all at once: nobody has to be told of another's ports */
    struct map services;         /* key -> struct mesh_service */
    struct map namespaces;       /* name -> struct mesh_namespace */
    struct mesh_listeners listeners;
    struct list_node scopes; /* struct mesh_scope */
    struct list_node workloads;
    struct map by_ip; /* struct ip -> struct mesh_workload, further ones by twin */
    size_t n_workloads;
    unsigned round;
};

/* ---- ports that addresses share ---- */

/* NULL: what listeners of a namespace or of a workload tell is as the layer below has it. */
static const struct mesh_told *told_of(const struct mesh_telemetry *t, enum telemetry_side side)
{
    return t ? &t->side[side] : NULL;
}

static const struct mesh_told *told_in(const struct mesh *m, const struct mesh_namespace *ns,
                                       enum telemetry_side side)
{
    return told_of(ns->told ? ns->told : m->told, side);
}

/* What is for no Service. own NULL: as the layer below has it. */
static void put_outbound(struct xds_set *set, const struct mesh_listeners *of,
                         const struct mesh_telemetry *own)
{
    if (own || !set->over)
        xds_set_put(set,
                    translate_mesh_outbound(of->registry_only, told_of(own, TELEMETRY_CLIENT)));
    else
        xds_set_remove(set, XDS_LISTENER, STR("virtualOutbound"));
}

static void put_place_of(struct mesh *m, struct str name, struct mesh_namespace *ns,
                         const struct mesh_place *p)
{
    const struct mesh_layer layer = {.set = ns->set,
                                     .put = &ns->put,
                                     .client = {.ns = name, .pods = m->peers.pods},
                                     .told = told_in(m, ns, TELEMETRY_CLIENT),
                                     .tells = ns->told,
                                     .of_namespace = true};
    mesh_listeners_put_over(&m->listeners, &layer, p);
}

/* What it is told of lies over what these have put. */
static const struct mesh_listeners *listeners_of(const struct mesh *m,
                                                 const struct mesh_workload *w)
{
    return w->scope ? &w->scope->listeners : &m->listeners;
}

static void put_place_to(struct mesh *m, struct mesh_workload *w, const struct mesh_place *p)
{
    const struct mesh_layer layer = {
        .set = w->set,
        .put = &w->put,
        .client = {.ns = str_from(w->ns_name), .pods = m->peers.pods},
        .told = told_of(w->told, TELEMETRY_CLIENT),
        .tells = w->told,
    };
    mesh_listeners_put_over(listeners_of(m, w), &layer, p);
}

static void on_place_put(const struct mesh_place *p, void *user)
{
    struct mesh *m = user;
    struct str name;
    void *ns;
    for (size_t at = 0; map_next(&m->namespaces, &at, &name, &ns);)
        if (((struct mesh_namespace *)ns)->set)
            put_place_of(m, name, ns, p);
    LIST_FOREACH (node, &m->workloads) {
        struct mesh_workload *w = CONTAINER_OF(node, struct mesh_workload, node);
        if (!w->scope)
            put_place_to(m, w, p);
    }
}

static void on_scope_place_put(const struct mesh_place *p, void *user)
{
    struct mesh *m = user;
    LIST_FOREACH (node, &m->workloads) {
        struct mesh_workload *w = CONTAINER_OF(node, struct mesh_workload, node);
        if (w->scope)
            put_place_to(m, w, p);
    }
}

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

/* What is to be looked at again. */
struct change {
    unsigned before, now; /* MESH_VARIES_BY_... */
    bool endpoints_only;
    struct findings *findings; /* NULL: nobody is told */
};

/* Of an entry the host's others may be. */
static bool is_there(const struct joined_service *s, const char *key)
{
    return (s && s->object) || service_key_is_entry(key);
}

static void exchange_all(struct mesh *m, const struct joined_service *s, const char *key,
                         const struct change *c)
{
    struct mesh_view v = {.peers = &m->peers,
                          .rules = m->rules,
                          .join = m->join,
                          .set = m->set,
                          .endpoints_only = c->endpoints_only,
                          .told = told_of(m->told, TELEMETRY_CLIENT),
                          .findings = c->findings};
    mesh_view_exchange(&v, &m->put, key, is_there(s, key));
}

static struct mesh_view view_of_namespace(const struct mesh *m, struct str name,
                                          const struct mesh_namespace *ns, const char *key,
                                          const struct change *c)
{
    return (struct mesh_view){.peers = &m->peers,
                              .rules = m->rules,
                              .join = m->join,
                              .client = {.ns = name, .pods = m->peers.pods},
                              .short_name = str_eq(name, service_key_namespace(key)),
                              .endpoints_only = c->endpoints_only,
                              .told = told_in(m, ns, TELEMETRY_CLIENT),
                              .findings = c->findings,
                              .set = ns->set};
}

static void exchange_namespace(struct mesh *m, struct str name, struct mesh_namespace *ns,
                               const struct joined_service *s, const char *key,
                               const struct change *c)
{
    struct mesh_view v = view_of_namespace(m, name, ns, key, c);
    if (!ns->set)
        return;
    mesh_view_exchange(&v, &ns->put, key, is_there(s, key) && (v.short_name || c->now || ns->told));
    if ((c->before | c->now) & MESH_VARIES_BY_LOCALITY)
        mesh_zones_exchange(&ns->zones, NULL, &v, key,
                            is_there(s, key) && (c->now & MESH_VARIES_BY_LOCALITY));
}

static void exchange_workload(struct mesh *m, struct mesh_workload *w,
                              const struct joined_service *s, const char *key,
                              const struct change *c)
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
        .told = w->told ? told_of(w->told, TELEMETRY_CLIENT) : told_in(m, w->ns, TELEMETRY_CLIENT),
        .set = w->set};
    v.scope = w->scope ? w->scope->of : NULL;
    mesh_view_exchange(
        &v, &w->put, key,
        is_there(s, key) && (w->told || (c->now & MESH_VARIES_BY_LABELS)) &&
            (!w->scope || service_key_is_entry(key) || mesh_scope_knows(w->scope, key)));
}

static struct mesh_view view_of_all(const struct mesh *m)
{
    return (struct mesh_view){
        .peers = &m->peers, .rules = m->rules, .join = m->join, .set = m->set};
}

static struct mesh_scope_change scope_change(const struct mesh_view *all,
                                             const struct joined_service *s, const char *key,
                                             const struct change *c)
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
                            const struct change *c)
{
    const struct mesh_view all = view_of_all(m);
    const struct mesh_scope_change change = scope_change(&all, s, key, c);
    LIST_FOREACH (node, &m->scopes)
        mesh_scope_exchange(CONTAINER_OF(node, struct mesh_scope, node), &change);
}

/* Layers above that of all: of its namespace, and where it is something else, of the others. */
static void exchange_layers(struct mesh *m, const struct joined_service *s, const char *key,
                            const struct change *c)
{
    struct str name, rest, own = str_cut(str_from(key), '/', &rest);
    struct list_node *n;
    void *ns;
    for (size_t at = 0; map_next(&m->namespaces, &at, &name, &ns);)
        if (c->before || c->now || str_eq(name, own) || ((struct mesh_namespace *)ns)->told)
            exchange_namespace(m, name, ns, s, key, c);
    exchange_scopes(m, s, key, c);
    bool labels = (c->before | c->now) & MESH_VARIES_BY_LABELS;
    for (n = m->workloads.next; n != &m->workloads; n = n->next) {
        struct mesh_workload *w = CONTAINER_OF(n, struct mesh_workload, node);
        if (labels || w->told)
            exchange_workload(m, w, s, key, c);
    }
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

static bool is_known(const struct findings *all, const struct finding *f)
{
    for (size_t i = 0; all && i < all->n; i++)
        if (streq(all->v[i].object, f->object) && streq(all->v[i].field, f->field) &&
            streq(all->v[i].message, f->message))
            return true;
    return false;
}

/* What a Service puts now (NULL: it has gone), in place of what it put before (NULL: nothing). */
static void exchange_service(struct mesh *m, const struct joined_service *s, const char *key,
                             struct mesh_service *before, struct mesh_service *now)
{
    struct change c = {.before = before ? before->varies : 0,
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
    exchange_all(m, s, key, &c);
    exchange_layers(m, s, key, &c);
    mesh_listeners_exchange(&m->listeners, before ? &before->uses : NULL, now ? &now->uses : NULL,
                            key, c.endpoints_only);
    if (c.endpoints_only) {
        now->findings = before->findings;
        before->findings = (struct findings){0};
        return;
    }
    for (size_t i = 0; now && i < now->findings.n && m->observer; i++)
        if (!is_known(before ? &before->findings : NULL, &now->findings.v[i]))
            m->observer(&now->findings.v[i], m->observer_user);
    if (!before != !now && !service_key_is_entry(key) && mesh_rules_get_entries(m->rules))
        service_entries_service_changed(mesh_rules_get_entries(m->rules), key);
    if (!m->making && (!before != !now || (now && before->looks != now->looks)))
        mesh_rules_destination_changed(m->rules, key);
}

/* ---- workloads ---- */

static struct str ip_key(const struct ip *ip)
{
    return str_of(ip->bytes, ip->family == AF_INET ? 4 : 16);
}

/* What was known of a pod holds while nothing is: with its labels the policies that select by them
 * would go. */
static bool find_access(const struct mesh *m, struct mesh_workload *w)
{
    struct mesh_access now;
    bool known = mesh_peers_access(&m->peers, str_from(w->ns_name), &w->ip, &now);
    if ((!known && w->known) || mesh_access_eq(&now, &w->access)) {
        w->known = w->known || known;
        mesh_access_done(&now);
        return false;
    }
    w->known = known;
    mesh_access_done(&w->access);
    w->access = now;
    return true;
}

/* Made anew if it is served at other ports than before. */
static void build(struct mesh *m, struct mesh_workload *w, bool anew)
{
    struct mtls_policy policy;
    bool gone = w->known && !workloads_find_ip(m->peers.pods, str_from(w->ns_name), &w->ip);
    mesh_peers_policy(&m->peers, str_from(w->ns_name), &w->ip, &policy);
    if (gone)
        policy = (struct mtls_policy){.mode = w->mode};
    struct mesh_inbound_list now = mesh_inbound_of(&w->services, &policy);
    if (gone)
        mesh_inbound_keep_modes(&w->ports, &now);
    if (!anew && mesh_inbound_eq(&now, &w->ports) && w->mode == policy.mode) {
        mesh_inbound_done(&now);
        return;
    }
    struct put_resources before = w->own;
    memset(&w->own, 0, sizeof(w->own));
    mesh_inbound_done(&w->ports);
    w->ports = now;
    w->mode = policy.mode;
    VEC_FOREACH (port, &w->ports.v)
        put_resources_add(w->set, &w->own, translate_mesh_inbound_cluster(port));
    put_resources_add(w->set, &w->own,
                      translate_mesh_inbound(w->ports.v.v, w->ports.v.n, w->mode, &w->access,
                                             m->peers.trust_domain,
                                             w->told ? told_of(w->told, TELEMETRY_SERVER)
                                                     : told_in(m, w->ns, TELEMETRY_SERVER)));
    put_resources_drop_rest(w->set, &before, &w->own);
}

static void membership_free(struct mesh_membership *one)
{
    if (one)
        vec_done(&one->ports.v);
    free(one);
}

/* w is an endpoint in that slice of the Service. */
static void join_service(struct mesh *m, struct mesh_service *of, const struct joined_service *s,
                         const struct slice_object *slice, struct mesh_workload *w)
{
    struct mesh_membership *one = map_find_cstr(&w->services, s->key);
    if (!one) {
        one = NEW(struct mesh_membership);
        map_put_cstr(&w->services, s->key, one);
    }
    if (one->round != m->round) {
        one->round = m->round;
        vec_clear(&one->ports.v);
        vec_push(&of->members, w);
    }
    for (uint32_t i = 0; i < slice->n_ports; i++) {
        enum port_protocol p = mesh_inbound_protocol(s->object, &slice->ports[i]);
        if (p != PORT_OTHER && slice->ports[i].port && !mesh_is_proxys(slice->ports[i].port))
            mesh_inbound_add(&one->ports, slice->ports[i].port, p, NULL);
    }
}

/* only: NULL: whoever has the address. */
static void find_members(struct mesh *m, struct mesh_namespace *ns, struct mesh_service *of,
                         const struct joined_service *s, struct mesh_workload *only)
{
    VEC_FOREACH (slice, &s->slices)
        for (uint32_t i = 0; (*slice)->family && i < (*slice)->n_endpoints; i++) {
            struct ip ip = slice_object_ip(*slice, i);
            if (only && ip_eq(&ip, &only->ip))
                join_service(m, of, s, *slice, only);
            struct mesh_workload *w = only ? NULL : map_find(&m->by_ip, ip_key(&ip));
            for (; w; w = w->twin)
                if (w->ns == ns)
                    join_service(m, of, s, *slice, w);
        }
}

/* now: NULL: the Service has gone. */
static void settle_members(struct mesh *m, const char *key, struct mesh_service *before,
                           struct mesh_service *now)
{
    for (size_t i = 0; before && i < before->members.n; i++) {
        struct mesh_workload *w = before->members.v[i];
        struct mesh_membership *one = map_find_cstr(&w->services, key);
        if (one->round == m->round)
            continue;
        membership_free(map_remove_cstr(&w->services, key));
        build(m, w, false);
    }
    for (size_t i = 0; now && i < now->members.n; i++)
        build(m, now->members.v[i], false);
}

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
        find_members(m, ns, now, s, NULL);
    } else {
        map_remove_cstr(&ns->services, key);
    }
    settle_members(m, key, before, now);
    bool other = !before != !now || (now && before->looks != now->looks);
    service_free(before);
    drop_if_empty(m, ns_name, ns);
    if (other && !m->making && mesh_telemetry_needs(&m->peers, key))
        mesh_telemetry_changed(m); /* a collector is there now, or no more */
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
        const struct change c = {.now = varies};
        if (w->told || varies & MESH_VARIES_BY_LABELS)
            exchange_workload(m, w, look_at(m, text), text, &c);
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
    const struct mesh_listeners *of = listeners_of(m, w);
    struct str key;
    void *s, *u;
    for (size_t at = 0; map_next(&m->services, &at, &key, &s);) {
        AUTO_CHARS char *text = str_dup(key);
        const struct change c = {.now = ((const struct mesh_service *)s)->varies};
        exchange_workload(m, w, service_join_find(m->join, text), text, &c);
    }
    for (size_t at = 0; map_next(&of->places, &at, NULL, &u);)
        put_place_to(m, w, &((const struct used_place *)u)->place);
    put_outbound(w->set, of, w->told);
    build(m, w, true);
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
    const struct mesh_view all = view_of_all(m);
    const struct mesh_namespace *ns = map_find_cstr(&m->namespaces, s->ns);
    struct str key;
    void *of;
    mesh_scope_tell(s, told_in(m, ns, TELEMETRY_CLIENT));
    for (size_t at = 0; map_next(&m->services, &at, &key, &of);) {
        AUTO_CHARS char *text = str_dup(key);
        const struct change c = {.now = ((const struct mesh_service *)of)->varies};
        const struct mesh_scope_change change = scope_change(&all, look_at(m, text), text, &c);
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
    const struct mesh_view all = view_of_all(m);
    struct mesh_scope *s = mesh_scope_new(of, ns, m->base, &all, m->listeners.registry_only);
    mesh_rules_mark_destinations(m->rules);
    s->listeners.on_put = on_scope_place_put;
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
        const struct change c = {.now = ((const struct mesh_service *)s)->varies};
        exchange_namespace(m, name, ns, look_at(m, text), text, &c);
    }
    for (size_t at = 0; map_next(&m->listeners.places, &at, NULL, &u);)
        put_place_of(m, name, ns, &((const struct used_place *)u)->place);
    put_outbound(ns->set, &m->listeners, ns->told);
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
        const struct change c = {.now = ((const struct mesh_service *)s)->varies};
        struct mesh_view v = view_of_namespace(m, str_from(w->ns_name), w->ns, text, &c);
        v.scope = w->scope ? w->scope->of : NULL;
        bool known = !w->scope || service_key_is_entry(text) || mesh_scope_knows(w->scope, text);
        if (c.now & MESH_VARIES_BY_LOCALITY && known)
            mesh_zones_exchange(zones_of(w), z, &v, text, is_there(look_at(m, text), text));
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

void mesh_pod_changed(struct mesh *m, const struct workload *pod)
{
    for (uint8_t i = 0; m->set && i < pod->n_ips; i++)
        put_address(m, &pod->ips[i]);
    const struct mesh_namespace *ns = map_find(&m->namespaces, workload_namespace(pod));
    struct str key;
    for (uint8_t i = 0; i < pod->n_ips; i++)
        for (struct mesh_workload *w = map_find(&m->by_ip, ip_key(&pod->ips[i])); w; w = w->twin) {
            find_view(m, w);
            build_labelled(m, w);
            if (find_told_to(m, w))
                retell_workload(m, w);
        }
    for (size_t at = 0; ns && pod->n_ips && map_next(&ns->services, &at, &key, NULL);) {
        AUTO_CHARS char *text = str_dup(key);
        struct joined_service *s = service_join_find(m->join, text);
        for (uint8_t i = 0; s && i < pod->n_ips; i++)
            if (joined_service_has_ip(s, &pod->ips[i]))
                service_join_mark(m->join, s);
    }
    for (uint8_t i = 0; i < pod->n_ips; i++) { /* what holds for it may be something else */
        struct mesh_workload *w = map_find(&m->by_ip, ip_key(&pod->ips[i]));
        for (; w; w = w->twin)
            build(m, w, find_access(m, w));
    }
}

void mesh_authorizations_changed(struct mesh *m, struct str ns)
{
    bool all = selected_objects_is_root(m->peers.authorizations, ns);
    LIST_FOREACH (node, &m->workloads) {
        struct mesh_workload *w = CONTAINER_OF(node, struct mesh_workload, node);
        if ((all || str_is(ns, w->ns_name)) && find_access(m, w))
            build(m, w, true);
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
            build(m, w, false);
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
    const struct workload *pod;
    m->base = xds_set_new();
    m->set = xds_set_new_over(m->base);
    m->told = mesh_telemetry_find(&m->peers, m->rules, m->join, STR(""), NULL);
    m->listeners.set = m->set;
    m->listeners.told = told_of(m->told, TELEMETRY_CLIENT);
    put_outbound(m->base, &m->listeners, m->told);
    xds_set_put(m->base, translate_mesh_passthrough());
    xds_set_put(m->base, translate_mesh_black_hole());
    xds_set_put(m->base, translate_mesh_inbound_passthrough());
    m->making = true;
    for (size_t at = 0; service_join_next(m->join, &at, &s);)
        mesh_service_changed(m, s->key);
    m->making = false;
    for (size_t at = 0; workloads_next(m->peers.pods, &at, &pod);)
        for (uint8_t i = 0; i < pod->n_ips; i++)
            put_address(m, &pod->ips[i]);
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
        const struct change c = {.now = ((const struct mesh_service *)s)->varies};
        exchange_all(m, service_join_find(m->join, text), text, &c);
    }
    mesh_listeners_tell(&m->listeners, told_of(m->told, TELEMETRY_CLIENT));
    put_outbound(m->base, &m->listeners, m->told);
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

/* What it is a member of already. */
static void find_services(struct mesh *m, struct mesh_workload *w)
{
    struct str key;
    m->round++;
    for (size_t at = 0; map_next(&w->ns->services, &at, &key, NULL);) {
        AUTO_CHARS char *text = str_dup(key);
        const struct joined_service *s = service_join_find(m->join, text);
        if (s && s->object)
            find_members(m, w->ns, map_find(&m->services, key), s, w);
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
    find_services(m, w);
    w->twin = map_put(&m->by_ip, ip_key(ip), w);
    find_access(m, w);
    find_told_to(m, w);
    if (w->told)
        retell_workload(m, w);
    else
        build(m, w, true);
    build_labelled(m, w);
    return w;
}

struct xds_set *mesh_workload_set(const struct mesh_workload *w)
{
    return w->set;
}

static void leave_services(struct mesh *m, struct mesh_workload *w)
{
    struct str key;
    void *one;
    for (size_t at = 0; map_next(&w->services, &at, &key, &one);) {
        struct mesh_service *s = map_find(&m->services, key);
        for (size_t i = 0; i < s->members.n; i++)
            if (s->members.v[i] == w) {
                vec_remove(&s->members, i);
                break;
            }
        membership_free(one);
    }
    map_done(&w->services);
}

static void forget_address(struct mesh *m, struct mesh_workload *w)
{
    struct mesh_workload *first = map_find(&m->by_ip, ip_key(&w->ip)), *p = first;
    if (first == w && w->twin)
        map_put(&m->by_ip, ip_key(&w->ip), w->twin);
    else if (first == w)
        map_remove(&m->by_ip, ip_key(&w->ip));
    while (first != w && p->twin != w)
        p = p->twin;
    if (first != w)
        p->twin = w->twin;
}

void mesh_leave(struct mesh *m, struct mesh_workload *w)
{
    leave_services(m, w);
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
                                           .on_put = on_place_put,
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
