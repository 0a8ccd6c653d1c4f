/* Four layers of sets (xds_set_new_over): all, namespace, locality, workload. What a Service has
 * put into a layer is remembered by name, so that a change puts what there is now and takes out
 * what is no more; what is the same is not told to anybody (xds_set_put), and what a lower layer
 * shows already is not put again. */
#include "control/mesh.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/vec.h"
#include "control/mesh_inbound_list.h"
#include "control/mesh_places.h"
#include "control/mesh_view.h"
#include "control/translate_mesh.h"

/* A pod of a headless Service, of bytes. */
struct place {
    struct ip ip;
    uint16_t port;
};

/* Of a listener, for what. */
struct place_use {
    struct mesh_place place;
    enum mesh_use use;
};

struct mesh_service {
    VEC(struct place) places; /* where what is for no Service goes nowhere */
    VEC(struct place_use) uses;
    VEC(struct mesh_workload *) members; /* that it is served by */
    uint64_t looks;                      /* a hash of what it says of itself */
    unsigned varies;                     /* MESH_VARIES_BY_... */
    struct findings findings;            /* of rules, because of others */
};

/* Those of a namespace who are in one place call the same endpoints first. */
struct mesh_zone {
    struct xds_set *set;
    unsigned workloads;
    struct map put; /* as its namespace's */
};

struct mesh_namespace {
    struct map zones;    /* "region/zone/subzone" -> struct mesh_zone */
    struct xds_set *set; /* NULL: nobody of it has asked */
    unsigned workloads;
    struct map services; /* keys of Services of it */
    struct map put;      /* key of any Service -> struct put_resources, in the set */
};

/* What a Service says of a workload's ports. */
struct membership {
    struct inbound_list ports;
    unsigned round; /* of mesh_service_changed() that saw it last */
};

struct mesh_workload {
    struct list_node node;
    struct mesh_namespace *ns;
    char *ns_name;
    struct mesh_zone *zone;
    char *locality; /* its zone's */
    struct ip ip;
    struct mesh_workload *twin; /* another stream of the same address; NULL: none */
    struct map services;        /* key -> struct membership */
    struct inbound_list ports;  /* that its resources are made of, sorted */
    enum mtls_mode mode;        /* of other ports */
    struct mesh_access access;  /* who may call it */
    bool known;                 /* its pod has been, so that its labels count */
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
    struct xds_set *set; /* NULL: nobody has asked yet */
    struct map put;      /* key of a Service -> struct put_resources, in the set */
    size_t n_varying;    /* Services that some rule says different things of */
    bool registry_only;
    bool making;           /* all at once: nobody has to be told of another's ports */
    struct map services;   /* key -> struct mesh_service */
    struct map namespaces; /* name -> struct mesh_namespace */
    struct map places;     /* name of a listener -> struct used_place */
    struct map headless;   /* the same -> how many Services have it, as a pointer */
    struct list_node workloads;
    struct map by_ip; /* struct ip -> struct mesh_workload, further ones by twin */
    size_t n_workloads;
    unsigned round;
};

/* ---- ports that addresses share ---- */

/* What a namespace sees of it that is not the same for all. */
static void put_place_of(struct mesh *m, struct str name, struct mesh_namespace *ns,
                         const struct mesh_place *p)
{
    const struct used_place *u = mesh_places_find(&m->places, p);
    const struct mesh_client client = {.ns = name, .pods = m->peers.pods};
    struct put_resources now = {0}, *before;
    char key[CLUSTER_NAME_MAX];
    before = map_remove_cstr(&ns->put, mesh_place_name(p, key));
    if (mesh_place_is_shared(u) && mesh_place_varies(u, m->rules))
        put_resources_over(ns->set, &now,
                           mesh_place_listener(u, m->join, m->rules, &client, m->registry_only));
    if (before)
        put_resources_drop_rest(ns->set, before, &now);
    if (!now.v.n) {
        free(before);
        return;
    }
    before = before ? before : NEW(struct put_resources);
    *before = now;
    map_put_cstr(&ns->put, key, before);
}

/* Somebody uses it who did not, or otherwise. */
static void put_place(struct mesh *m, const struct mesh_place *p)
{
    const struct used_place *u = mesh_places_find(&m->places, p);
    const struct mesh_client client = {.pods = m->peers.pods};
    char listener[CLUSTER_NAME_MAX], number[8];
    struct str name;
    void *ns;
    if (mesh_place_is_shared(u))
        xds_set_put(m->set, mesh_place_listener(u, m->join, m->rules, &client, m->registry_only));
    else if (!u || !u->services) /* a Service's own is its own to put */
        xds_set_remove(m->set, XDS_LISTENER, str_from(mesh_place_name(p, listener)));
    snprintf(number, sizeof(number), "%u", p->port);
    if (u && u->http)
        xds_set_put(m->set, translate_mesh_port_routes(p->port, m->registry_only));
    else if (!p->ip.family)
        xds_set_remove(m->set, XDS_ROUTE, str_from(number));
    for (size_t at = 0; map_next(&m->namespaces, &at, &name, &ns);)
        if (((struct mesh_namespace *)ns)->set)
            put_place_of(m, name, ns, p);
}

/* Is there something else to be put because of that use? Of HTTP alone, which says nothing of whom
 * it is for, the listener stays what it is while there is one. */
static bool place_changes(const struct mesh *m, const struct place_use *use)
{
    const struct used_place *u = mesh_places_find(&m->places, &use->place);
    char name[CLUSTER_NAME_MAX];
    if (use->use == MESH_USE_OWN)
        return u && u->keys.n;
    return use->use == MESH_USE_SHARED || !u || (u->keys.n && u->http <= 1) ||
           !xds_set_find(m->set, XDS_LISTENER, str_from(mesh_place_name(&use->place, name)));
}

static void put_places(struct mesh *m, const struct mesh_service *before,
                       const struct mesh_service *now)
{
    const struct mesh_service *both[] = {before, now};
    for (size_t i = 0; i < ARRAY_LEN(both); i++)
        for (size_t k = 0; both[i] && k < both[i]->uses.n; k++)
            if (place_changes(m, &both[i]->uses.v[k]))
                put_place(m, &both[i]->uses.v[k].place);
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
    map_done(&ns->zones);
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
                          .findings = c->findings};
    mesh_view_exchange(&v, &m->put, key, is_there(s, key));
}

static void exchange_namespace(struct mesh *m, struct str name, struct mesh_namespace *ns,
                               const struct joined_service *s, const char *key,
                               const struct change *c)
{
    struct str rest, own = str_cut(str_from(key), '/', &rest);
    struct mesh_view v = {.peers = &m->peers,
                          .rules = m->rules,
                          .join = m->join,
                          .client = {.ns = name, .pods = m->peers.pods},
                          .short_name = str_eq(name, own),
                          .endpoints_only = c->endpoints_only,
                          .findings = c->findings,
                          .set = ns->set};
    if (ns->set)
        mesh_view_exchange(&v, &ns->put, key, is_there(s, key) && (v.short_name || c->now));
}

static void exchange_zone(struct mesh *m, struct str name, struct str locality, struct mesh_zone *z,
                          const struct joined_service *s, const char *key, const struct change *c)
{
    struct str rest, own = str_cut(str_from(key), '/', &rest);
    struct mesh_view v = {.peers = &m->peers,
                          .rules = m->rules,
                          .join = m->join,
                          .client = {.ns = name, .pods = m->peers.pods, .locality = locality},
                          .short_name = str_eq(name, own),
                          .endpoints_only = c->endpoints_only,
                          .set = z->set};
    mesh_view_exchange(&v, &z->put, key, is_there(s, key) && (c->now & MESH_VARIES_BY_LOCALITY));
}

static void exchange_zones(struct mesh *m, struct str name, struct mesh_namespace *ns,
                           const struct joined_service *s, const char *key, const struct change *c)
{
    struct str locality;
    void *z;
    for (size_t at = 0; map_next(&ns->zones, &at, &locality, &z);)
        if ((c->before | c->now) & MESH_VARIES_BY_LOCALITY)
            exchange_zone(m, name, locality, z, s, key, c);
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
        .set = w->set};
    mesh_view_exchange(&v, &w->put, key, is_there(s, key) && (c->now & MESH_VARIES_BY_LABELS));
}

/* Layers above that of all: of its namespace, and where it is something else, of the others. */
static void exchange_layers(struct mesh *m, const struct joined_service *s, const char *key,
                            const struct change *c)
{
    struct str name, rest, own = str_cut(str_from(key), '/', &rest);
    struct list_node *n;
    void *ns;
    for (size_t at = 0; map_next(&m->namespaces, &at, &name, &ns);)
        if (c->before || c->now || str_eq(name, own)) {
            exchange_namespace(m, name, ns, s, key, c);
            exchange_zones(m, name, ns, s, key, c);
        }
    bool labels = (c->before | c->now) & MESH_VARIES_BY_LABELS;
    for (n = m->workloads.next; labels && n != &m->workloads; n = n->next)
        exchange_workload(m, CONTAINER_OF(n, struct mesh_workload, node), s, key, c);
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

static void use_place(struct mesh *m, struct mesh_service *now, const struct service_object *o,
                      struct place_use use)
{
    vec_push(&now->uses, use);
    mesh_places_use(&m->places, &use.place, use.use, o->key);
}

static void use_places(struct mesh *m, struct mesh_service *now, const struct joined_service *s)
{
    const struct service_object *o = s->object;
    bool any = !o->n_cluster_ips || mesh_is_allocated(s); /* who asks another DNS goes elsewhere */
    for (uint16_t i = 0; i < o->n_ports; i++) {
        bool shared = mesh_is_shared(o, i), http = mesh_is_http(port_protocol(&o->ports[i]));
        struct place_use use = {{.port = o->ports[i].port},
                                http     ? MESH_USE_HTTP
                                : shared ? MESH_USE_SHARED
                                         : MESH_USE_OWN};
        if (!mesh_is_carried(o, i))
            continue;
        if (http || (shared && any))
            use_place(m, now, o, use);
        for (uint16_t k = 0; !http && k < o->n_cluster_ips; k++) {
            use.place.ip = o->cluster_ips[k];
            use_place(m, now, o, use);
        }
    }
}

static void stop_using_places(struct mesh *m, const struct mesh_service *before, const char *key)
{
    for (size_t i = 0; before && i < before->uses.n; i++)
        mesh_places_stop_using(&m->places, &before->uses.v[i].place, before->uses.v[i].use, key);
}

static void use_headless_place(struct mesh *m, struct mesh_service *now, struct place p)
{
    char name[CLUSTER_NAME_MAX];
    translate_mesh_address_name(&p.ip, p.port, name);
    uintptr_t n = (uintptr_t)map_find_cstr(&m->headless, name);
    map_put_cstr(&m->headless, name, (void *)(n + 1));
    vec_push(&now->places, p);
    if (!n)
        xds_set_put(m->set, translate_mesh_headless(&p.ip, p.port));
}

static void stop_using_headless_place(struct mesh *m, struct place p)
{
    char name[CLUSTER_NAME_MAX];
    translate_mesh_address_name(&p.ip, p.port, name);
    uintptr_t n = (uintptr_t)map_find_cstr(&m->headless, name);
    if (n > 1) {
        map_put_cstr(&m->headless, name, (void *)(n - 1));
        return;
    }
    map_remove_cstr(&m->headless, name);
    xds_set_remove(m->set, XDS_LISTENER, str_from(name));
}

static bool has_bytes_by(const struct service_object *o, const char *port)
{
    for (uint16_t i = 0; i < o->n_ports; i++) {
        enum port_protocol p = port_protocol(&o->ports[i]);
        if (streq(o->ports[i].name, port) && p != PORT_OTHER && !mesh_is_http(p))
            return true;
    }
    return false;
}

/* What has no address of its own is found by its pods'. */
static void use_headless(struct mesh *m, struct mesh_service *now, const struct joined_service *s)
{
    if (!m->registry_only || !s->object->headless)
        return;
    VEC_FOREACH (slice, &s->slices)
        for (uint32_t k = 0; (*slice)->family && k < (*slice)->n_ports; k++)
            for (uint32_t i = 0; i < (*slice)->n_endpoints; i++) {
                const struct slice_port *p = &(*slice)->ports[k];
                if (p->port && has_bytes_by(s->object, p->name))
                    use_headless_place(m, now, (struct place){slice_object_ip(*slice, i), p->port});
            }
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
        use_places(m, now, s);
        use_headless(m, now, s);
    }
    c.now = now                         ? now->varies
            : service_key_is_entry(key) ? mesh_rules_vary(m->rules, key) /* of the host's others */
                                        : 0;
    m->n_varying += now && now->varies;
    m->n_varying -= before && before->varies;
    exchange_all(m, s, key, &c);
    exchange_layers(m, s, key, &c);
    stop_using_places(m, before, key);
    if (!c.endpoints_only)
        put_places(m, before, now);
    for (size_t i = 0; before && i < before->places.n; i++)
        stop_using_headless_place(m, before->places.v[i]);
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

static enum port_protocol protocol_of(const struct service_object *o, const struct slice_port *p)
{
    for (uint16_t i = 0; i < o->n_ports; i++)
        if (o->ports[i].proto == p->proto && streq(o->ports[i].name, p->name))
            return port_protocol(&o->ports[i]);
    return PORT_OTHER;
}

/* By name, so that of Services that differ the same one counts each time. */
static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct inbound_list ports_of(const struct mesh_workload *w, const struct mtls_policy *policy)
{
    struct inbound_list in = {0};
    VEC(char *) keys = {0};
    struct str key;
    for (size_t at = 0; map_next(&w->services, &at, &key, NULL);)
        vec_push(&keys, str_dup(key));
    if (keys.n)
        qsort(keys.v, keys.n, sizeof(*keys.v), by_text);
    VEC_FOREACH (k, &keys) {
        const struct membership *one = map_find_cstr(&w->services, *k);
        VEC_FOREACH (p, &one->ports.v)
            inbound_list_add(&in, p->port, p->protocol, *k);
        free(*k);
    }
    vec_done(&keys);
    for (size_t i = 0; i < policy->n_ports; i++) /* of no Service, too */
        if (!mesh_is_proxys(policy->ports[i].port))
            inbound_list_add(&in, policy->ports[i].port, PORT_SNIFFED, NULL);
    VEC_FOREACH (p, &in.v)
        p->mode = mtls_policy_of(policy, p->port);
    inbound_list_sort(&in);
    return in;
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

/* Of a pod that is not known any more but calls and is called: what selected it by its labels
 * holds.
 */
static void keep_modes(const struct mesh_workload *w, struct inbound_list *now)
{
    VEC_FOREACH (before, &w->ports.v) {
        if (!before->service) /* a policy spoke of it */
            inbound_list_add(now, before->port, before->protocol, NULL);
        VEC_FOREACH (in, &now->v)
            if (in->port == before->port)
                in->mode = before->mode;
    }
    inbound_list_sort(now);
}

/* Made anew if it is served at other ports than before. */
static void build(struct mesh *m, struct mesh_workload *w, bool anew)
{
    struct mtls_policy policy;
    bool gone = w->known && !workloads_find_ip(m->peers.pods, str_from(w->ns_name), &w->ip);
    mesh_peers_policy(&m->peers, str_from(w->ns_name), &w->ip, &policy);
    if (gone)
        policy = (struct mtls_policy){.mode = w->mode};
    struct inbound_list now = ports_of(w, &policy);
    if (gone)
        keep_modes(w, &now);
    if (!anew && inbound_list_eq(&now, &w->ports) && w->mode == policy.mode) {
        inbound_list_done(&now);
        return;
    }
    struct put_resources before = w->own;
    memset(&w->own, 0, sizeof(w->own));
    inbound_list_done(&w->ports);
    w->ports = now;
    w->mode = policy.mode;
    VEC_FOREACH (port, &w->ports.v)
        put_resources_add(w->set, &w->own, translate_mesh_inbound_cluster(port));
    put_resources_add(w->set, &w->own,
                      translate_mesh_inbound(w->ports.v.v, w->ports.v.n, w->mode, &w->access,
                                             m->peers.trust_domain));
    put_resources_drop_rest(w->set, &before, &w->own);
}

static void membership_free(struct membership *one)
{
    if (one)
        vec_done(&one->ports.v);
    free(one);
}

/* w is an endpoint in that slice of the Service. */
static void join_service(struct mesh *m, struct mesh_service *of, const struct joined_service *s,
                         const struct slice_object *slice, struct mesh_workload *w)
{
    struct membership *one = map_find_cstr(&w->services, s->key);
    if (!one) {
        one = NEW(struct membership);
        map_put_cstr(&w->services, s->key, one);
    }
    if (one->round != m->round) {
        one->round = m->round;
        vec_clear(&one->ports.v);
        vec_push(&of->members, w);
    }
    for (uint32_t i = 0; i < slice->n_ports; i++) {
        enum port_protocol p = protocol_of(s->object, &slice->ports[i]);
        if (p != PORT_OTHER && slice->ports[i].port && !mesh_is_proxys(slice->ports[i].port))
            inbound_list_add(&one->ports, slice->ports[i].port, p, NULL);
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
        struct membership *one = map_find_cstr(&w->services, key);
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
    vec_done(&s->uses);
    vec_done(&s->places);
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
    service_free(before);
    drop_if_empty(m, ns_name, ns);
}

/* What it is told because of its own labels. */
static void build_labelled(struct mesh *m, struct mesh_workload *w)
{
    struct str key;
    void *s;
    for (size_t at = 0; m->n_varying && map_next(&m->services, &at, &key, &s);) {
        unsigned varies = ((const struct mesh_service *)s)->varies;
        AUTO_CHARS char *text = str_dup(key);
        const struct change c = {.now = varies};
        if (varies & MESH_VARIES_BY_LABELS)
            exchange_workload(m, w, service_join_find(m->join, text), text, &c);
    }
}

/* Whose an address is, for those who are called from there. */
static void put_address(struct mesh *m, const struct ip *ip)
{
    char name[IP_TEXT_BYTES + 1];
    struct xds_entry *e = mesh_peers_address(&m->peers, ip);
    if (e)
        xds_set_put(m->set, e);
    else
        xds_set_remove(m->set, XDS_WORKLOAD, str_from(translate_mesh_workload_name(ip, name)));
}

static void drop_put(struct xds_set *set, struct map *put_before)
{
    void *list;
    for (size_t at = 0; map_next(put_before, &at, NULL, &list);) {
        put_resources_drop_all(set, list);
        free(list);
    }
    map_done(put_before);
}

static struct mesh_zone *enter_zone(struct mesh *m, struct str name, struct mesh_namespace *ns,
                                    struct str locality)
{
    struct mesh_zone *z = map_find(&ns->zones, locality);
    struct str key;
    void *s;
    if (z) {
        z->workloads++;
        return z;
    }
    z = NEW(struct mesh_zone);
    z->workloads = 1;
    z->set = xds_set_new_over(ns->set);
    map_put(&ns->zones, locality, z);
    for (size_t at = 0; m->n_varying && map_next(&m->services, &at, &key, &s);) {
        AUTO_CHARS char *text = str_dup(key);
        const struct change c = {.now = ((const struct mesh_service *)s)->varies};
        if (c.now & MESH_VARIES_BY_LOCALITY)
            exchange_zone(m, name, locality, z, service_join_find(m->join, text), text, &c);
    }
    return z;
}

static void leave_zone(struct mesh_namespace *ns, struct mesh_zone *z, const char *locality)
{
    if (--z->workloads)
        return;
    map_remove_cstr(&ns->zones, locality);
    drop_put(z->set, &z->put);
    xds_set_free(z->set);
    free(z);
}

/* Its node, or it, says that it is somewhere else; of who is not known any more nobody does. */
static void follow(struct mesh *m, struct mesh_workload *w)
{
    struct str ns = str_from(w->ns_name);
    const struct workload *pod = workloads_find_ip(m->peers.pods, ns, &w->ip);
    if (!pod || str_is(workload_locality(m->peers.pods, pod), w->locality))
        return;
    char *before = w->locality;
    struct mesh_zone *left = w->zone;
    w->locality = str_dup(workload_locality(m->peers.pods, pod));
    w->zone = enter_zone(m, ns, w->ns, str_from(w->locality));
    xds_set_move(w->set, w->zone->set);
    leave_zone(w->ns, left, before);
    free(before);
}

void mesh_pod_changed(struct mesh *m, const struct workload *pod)
{
    for (uint8_t i = 0; m->set && i < pod->n_ips; i++)
        put_address(m, &pod->ips[i]);
    const struct mesh_namespace *ns = map_find(&m->namespaces, workload_namespace(pod));
    struct str key;
    for (uint8_t i = 0; i < pod->n_ips; i++)
        for (struct mesh_workload *w = map_find(&m->by_ip, ip_key(&pod->ips[i])); w; w = w->twin) {
            follow(m, w);
            build_labelled(m, w);
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
    m->set = xds_set_new();
    xds_set_put(m->set, translate_mesh_outbound(m->registry_only));
    xds_set_put(m->set, translate_mesh_passthrough());
    xds_set_put(m->set, translate_mesh_black_hole());
    xds_set_put(m->set, translate_mesh_inbound_passthrough());
    m->making = true;
    for (size_t at = 0; service_join_next(m->join, &at, &s);)
        mesh_service_changed(m, s->key);
    m->making = false;
    for (size_t at = 0; workloads_next(m->peers.pods, &at, &pod);)
        for (uint8_t i = 0; i < pod->n_ips; i++)
            put_address(m, &pod->ips[i]);
}

static void make_namespace_set(struct mesh *m, struct str name, struct mesh_namespace *ns)
{
    struct str key, rest;
    void *s;
    void *u;
    ns->set = xds_set_new_over(m->set);
    for (size_t at = 0; map_next(&m->services, &at, &key, &s);) {
        unsigned varies = ((const struct mesh_service *)s)->varies;
        AUTO_CHARS char *text = str_dup(key);
        const struct change c = {.now = varies};
        if (varies || str_eq(str_cut(key, '/', &rest), name))
            exchange_namespace(m, name, ns, service_join_find(m->join, text), text, &c);
    }
    for (size_t at = 0; map_next(&m->places, &at, NULL, &u);)
        put_place_of(m, name, ns, &((const struct used_place *)u)->place);
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

struct mesh_workload *mesh_join(struct mesh *m, struct str ns_name, const struct ip *ip)
{
    mesh_start(m);
    struct mesh_namespace *ns = namespace_of(m, ns_name);
    struct mesh_workload *w = NEW(struct mesh_workload);
    if (ns->workloads++ == 0)
        make_namespace_set(m, ns_name, ns);
    w->ns = ns;
    w->ns_name = str_dup(ns_name);
    w->ip = *ip;
    const struct workload *pod = workloads_find_ip(m->peers.pods, ns_name, ip);
    w->locality = str_dup(pod ? workload_locality(m->peers.pods, pod) : STR(""));
    w->zone = enter_zone(m, ns_name, ns, str_from(w->locality));
    w->set = xds_set_new_over(w->zone->set);
    list_add_tail(&m->workloads, &w->node);
    m->n_workloads++;
    find_services(m, w);
    w->twin = map_put(&m->by_ip, ip_key(ip), w);
    find_access(m, w);
    build(m, w, true);
    build_labelled(m, w);
    return w;
}

struct xds_set *mesh_workload_set(const struct mesh_workload *w)
{
    return w->set;
}

static void end_namespace(struct mesh *m, struct mesh_namespace *ns, const char *name)
{
    drop_put(ns->set, &ns->put);
    xds_set_free(TAKE(ns->set));
    drop_if_empty(m, str_from(name), ns);
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
    drop_put(w->set, &w->put);
    inbound_list_done(&w->ports);
    mesh_access_done(&w->access);
    xds_set_free(w->set);
    list_remove(&w->node);
    m->n_workloads--;
    leave_zone(w->ns, w->zone, w->locality);
    free(w->locality);
    if (--w->ns->workloads == 0)
        end_namespace(m, w->ns, w->ns_name);
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
    list_init(&m->workloads);
    return m;
}

const struct mesh_peers *mesh_get_peers(const struct mesh *m)
{
    return &m->peers;
}

void mesh_set_registry_only(struct mesh *m)
{
    m->registry_only = true;
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
        drop_put(m->set, &m->put);
    for (size_t at = 0; map_next(&m->services, &at, NULL, &p);)
        service_free(p);
    for (size_t at = 0; map_next(&m->namespaces, &at, NULL, &p);) {
        map_done(&((struct mesh_namespace *)p)->services);
        map_done(&((struct mesh_namespace *)p)->zones);
        free(p);
    }
    map_done(&m->services);
    map_done(&m->namespaces);
    mesh_places_done(&m->places);
    map_done(&m->headless);
    map_done(&m->by_ip);
    xds_set_free(m->set);
    mesh_rules_free(m->rules);
    free(m);
}
