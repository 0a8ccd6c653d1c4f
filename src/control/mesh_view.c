#include "control/mesh_view.h"

#include "control/mesh_credentials.h"

#include "control/translate_mesh.h"

/* Takes the entry. */
static void put_over(struct mesh_view *v, struct xds_entry *e)
{
    struct xds_entry *same = v->alike ? xds_set_find(v->alike, e->type, e->name) : NULL;
    if (same && str_eq(same->version, e->version)) {
        xds_entry_unref(e);
        e = xds_entry_ref(same);
    }
    put_resources_over(v->set, v->list, e);
}

/* Takes the entry. Beside what stays of an earlier time, it takes the place of one of its name. */
static void put_view_entry(struct mesh_view *v, struct xds_entry *e)
{
    AUTO_CHARS char *name = v->endpoints_only ? str_dup(e->name) : NULL;
    if (name && put_resources_has(v->list, e->type, name))
        xds_set_put(v->set, e);
    else
        put_over(v, e);
}

static void put_addresses(struct mesh_view *v, const struct service_port *p,
                          const struct traffic_policy *policy)
{
    const struct service_object *o = v->s->object;
    for (uint16_t i = 0; i < o->n_cluster_ips; i++) {
        const struct ip *ip = &o->cluster_ips[i];
        struct route_host *h =
            mesh_rules_streams(v->rules, &v->client, o->key, p->port, ip, v->findings);
        put_over(v, translate_mesh_address(o->key, p, ip, policy, h, v->told));
        route_host_unref(h);
    }
}

/* The cluster, and what it names. */
static void put_cluster(struct mesh_view *v, struct mesh_cluster *c)
{
    AUTO_CHARS char *ns = v->destination.selected ? str_dup(v->client.ns) : NULL;
    const struct mesh_credentials with =
        mesh_credentials_find(v->peers->objects, &c->policy->tls, ns);
    struct xds_entry *e;
    c->credentials = &with;
    for (unsigned part = 0; part < TRANSLATE_SECRET_PARTS; part++)
        if ((e = translate_mesh_credential(c, part)))
            put_view_entry(v, e);
    put_view_entry(v, translate_mesh_cluster(c));
}

static void put_clusters(struct mesh_view *v, const struct service_port *p)
{
    const struct destination *d = &v->destination;
    const char *key = v->s->key;
    for (size_t i = 0; i <= d->n_subsets; i++) { /* the first is that of all endpoints */
        const struct destination_subset *subset = i ? &d->subsets[i - 1] : NULL;
        const struct mesh_subset of = {subset ? subset->name : NULL,
                                       subset ? subset->labels : NULL};
        const struct mesh_entry entry = {v->s->entry, of.labels};
        struct traffic_policy policy;
        struct mesh_found found = {.peers = v->peers};
        destination_policy(d, subset, p->port, &policy);
        if (!policy.locality.said && v->peers->config)
            policy.locality = (*v->peers->config)->locality;
        bool local = traffic_policy_is_local(&policy);
        const struct translate_localities by = {
            .client = &v->client,
            .setting = policy.locality.setting,
            .fails_over = policy.outliers.on,
        };
        struct xds_entry *endpoints = mesh_found_endpoints(
            &found, key, p->port, subset ? &of : NULL, v->s, local ? &by : NULL);
        if (!entry.of || entry.of->resolution == ENTRY_STATIC)
            put_view_entry(v, xds_entry_ref(endpoints));
        xds_entry_unref(endpoints);
        const struct mesh_identities who = mesh_found_identities(&found);
        struct mesh_cluster cluster = {.service = key,
                                       .subset = of.name,
                                       .port = p,
                                       .policy = &policy,
                                       .who = &who,
                                       .entry = entry.of ? &entry : NULL,
                                       .local = local};
        put_cluster(v, &cluster);
        mesh_found_done(&found);
        if (!subset && !v->endpoints_only && !entry.of && !mesh_is_http(port_protocol(p)))
            put_addresses(v, p, &policy);
        traffic_policy_done(&policy);
    }
}

static void put_routes(struct mesh_view *v, const struct service_port *p)
{
    enum port_protocol protocol = port_protocol(p);
    struct route_host *h;
    if (!mesh_is_http(protocol) && protocol != PORT_SNIFFED)
        return;
    h = mesh_rules_routes(v->rules, &v->client, v->s->key, p->port, v->findings);
    put_over(v, mesh_is_http(protocol)
                    ? translate_mesh_host(v->s->object, p->port, v->short_name, h)
                    : translate_mesh_own_routes(v->s->key, p->port, h));
    route_host_unref(h);
}

/* Hosts of entries are what no other DNS need know; Services that are in other clusters alone,
 * neither. */
static void put_names(struct mesh_view *v)
{
    const struct service_object *o = v->s->object;
    AUTO_CHARS char *host = service_key_host(o->key);
    if ((service_key_is_entry(o->key) || o->cluster) && o->n_cluster_ips && !v->endpoints_only &&
        !put_resources_has(v->list, XDS_NAMES, host))
        put_over(v, translate_mesh_names(host, o->cluster_ips, o->n_cluster_ips));
}

static void put_one(struct mesh_view *v)
{
    const struct service_object *o = v->s->object;
    bool any = false;
    mesh_rules_destination(v->rules, &v->client, v->s->key, &v->destination);
    for (uint16_t i = 0; i < o->n_ports; i++) {
        if (!mesh_is_carried(o, i) ||
            !mesh_rules_is_served(v->rules, v->s, o->ports[i].port, v->client.ns))
            continue;
        any = true;
        put_clusters(v, &o->ports[i]);
        if (!v->endpoints_only)
            put_routes(v, &o->ports[i]);
    }
    if (any)
        put_names(v);
    destination_done(&v->destination);
}

static void put_view(struct mesh_view *v, const char *key)
{
    const struct service_entries *entries = mesh_rules_get_entries(v->rules);
    if (!service_key_is_entry(key)) {
        v->s = service_join_find(v->join, key);
        if (v->s && v->s->object)
            put_one(v);
        return;
    }
    AUTO_CHARS char *host = service_key_host(key);
    char *one;
    for (size_t at = 0; (one = service_entries_next(entries, host, &at));) {
        v->s = service_join_find(v->join, one);
        if (v->s && v->s->object &&
            (!v->scope || mesh_rules_is_known(v->rules, v->scope, v->client.ns, one)))
            put_one(v);
        free(one);
    }
}

/* Under which name what it has put is remembered. */
static char *group_of(const char *key)
{
    AUTO_CHARS char *host = service_key_host(key);
    return service_key_is_entry(key) ? xasprintf("~/%s", host) : xstrdup(key);
}

void mesh_view_exchange(struct mesh_view *v, struct map *put_before, const char *key, bool is)
{
    AUTO_CHARS char *group = group_of(key);
    struct put_resources now = {0}, *before = map_remove_cstr(put_before, group);
    if (v->endpoints_only && is) {
        v->list = before ? before : NEW(struct put_resources);
        put_view(v, key);
        map_put_cstr(put_before, group, v->list);
        return;
    }
    v->list = &now;
    if (is)
        put_view(v, key);
    if (before)
        put_resources_drop_rest(v->set, before, &now);
    if (!now.v.n) {
        free(before);
        return;
    }
    before = before ? before : NEW(struct put_resources);
    *before = now;
    map_put_cstr(put_before, group, before);
}
