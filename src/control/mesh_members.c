/* Which Services a workload is behind, and so at which ports it is served, and for whom. */
#include "control/mesh_priv.h"

struct str mesh_ip_key(const struct ip *ip)
{
    return str_of(ip->bytes, ip->family == AF_INET ? 4 : 16);
}

/* What was known of a pod holds while nothing is: with its labels the policies that select by them
 * would go. */
bool mesh_find_access(const struct mesh *m, struct mesh_workload *w)
{
    struct mesh_access now;
    bool known = mesh_peers_access(&m->peers, m->join, mesh_rules_get_entries(m->rules),
                                   str_from(w->ns_name), &w->ip, &now);
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

static unsigned family_of(const struct ip *ip)
{
    return ip->family == AF_INET6 ? MESH_V6 : MESH_V4;
}

bool mesh_find_families(const struct mesh *m, struct mesh_workload *w)
{
    const struct workload *pod = workloads_find_ip(m->peers.pods, str_from(w->ns_name), &w->ip);
    unsigned before = w->families;
    if (pod || !w->families)
        w->families = family_of(&w->ip);
    for (uint8_t i = 0; pod && i < pod->n_ips; i++)
        w->families |= family_of(&pod->ips[i]);
    return w->families != before;
}

/* Made anew if it is served at other ports than before. */
void mesh_build_inbound(struct mesh *m, struct mesh_workload *w, bool anew)
{
    struct mtls_policy policy;
    bool gone = w->known && !workloads_find_ip(m->peers.pods, str_from(w->ns_name), &w->ip);
    mesh_peers_policy(&m->peers, str_from(w->ns_name), &w->ip, &policy);
    if (gone)
        policy = (struct mtls_policy){.mode = w->mode};
    struct mesh_inbound_list now =
        mesh_inbound_of(&w->services, &policy, w->scope ? w->scope->of : NULL);
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
                      translate_mesh_inbound(w->ports.v.v, w->ports.v.n, w->mode, w->families,
                                             &w->access, m->peers.trust_domain,
                                             w->told ? mesh_told_of(w->told, TELEMETRY_SERVER)
                                                     : mesh_told_in(m, w->ns, TELEMETRY_SERVER)));
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

/* By which address a pod's sidecar says who it is: its first one. */
static struct ip own_address(const struct mesh *m, struct str ns, const struct ip *ip)
{
    const struct workload *pod;
    if (map_find(&m->by_ip, mesh_ip_key(ip)))
        return *ip;
    pod = workloads_find_ip(m->peers.pods, ns, ip);
    return pod && !pod->host_network && pod->n_ips > 1 ? pod->ips[0] : *ip;
}

/* only: NULL: whoever has the address. */
void mesh_find_members(struct mesh *m, struct mesh_namespace *ns, struct mesh_service *of,
                       const struct joined_service *s, struct mesh_workload *only)
{
    VEC_FOREACH (slice, &s->slices)
        for (uint32_t i = 0; !(*slice)->cluster && (*slice)->family && i < (*slice)->n_endpoints;
             i++) {
            struct ip ip = slice_object_ip(*slice, i);
            const struct ip own = own_address(m, service_key_namespace(s->key), &ip);
            if (only && ip_eq(&own, &only->ip))
                join_service(m, of, s, *slice, only);
            struct mesh_workload *w = only ? NULL : map_find(&m->by_ip, mesh_ip_key(&own));
            for (; w; w = w->twin)
                if (w->ns == ns)
                    join_service(m, of, s, *slice, w);
        }
}

/* now: NULL: the Service has gone. */
void mesh_settle_members(struct mesh *m, const char *key, struct mesh_service *before,
                         struct mesh_service *now)
{
    for (size_t i = 0; before && i < before->members.n; i++) {
        struct mesh_workload *w = before->members.v[i];
        struct mesh_membership *one = map_find_cstr(&w->services, key);
        if (one->round == m->round)
            continue;
        membership_free(map_remove_cstr(&w->services, key));
        mesh_build_inbound(m, w, false);
    }
    for (size_t i = 0; now && i < now->members.n; i++)
        mesh_build_inbound(m, now->members.v[i], false);
}

/* What it is a member of already. */
void mesh_find_services(struct mesh *m, struct mesh_workload *w)
{
    struct str key;
    m->round++;
    for (size_t at = 0; map_next(&w->ns->services, &at, &key, NULL);) {
        AUTO_CHARS char *text = str_dup(key);
        const struct joined_service *s = service_join_find(m->join, text);
        if (s && s->object)
            mesh_find_members(m, w->ns, map_find(&m->services, key), s, w);
    }
}

void mesh_leave_services(struct mesh *m, struct mesh_workload *w)
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
