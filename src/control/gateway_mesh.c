#include "control/gateway_mesh.h"

#include <netinet/in.h>

static struct service_port port_of(const struct joined_service *s, uint16_t port)
{
    for (uint16_t i = 0; s && s->object && i < s->object->n_ports; i++)
        if (s->object->ports[i].port == port && s->object->ports[i].proto == IPPROTO_TCP)
            return s->object->ports[i];
    return (struct service_port){
        .name = (char *)(uintptr_t) "http", .proto = IPPROTO_TCP, .port = port};
}

/* By the rules for it, as those see them who are in the gateways' namespace. */
static struct xds_entry *by_rules(const struct gateway_mesh_backend *b, const struct destination *d,
                                  const struct destination_subset *subset,
                                  const struct joined_service *s, const struct mesh_identities *who)
{
    const struct service_port port = port_of(s, b->port);
    struct traffic_policy policy;
    destination_policy(d, subset, b->port, &policy);
    if (policy.balance == TRAFFIC_PASSTHROUGH) /* a gateway is who clients were going to */
        policy.balance = TRAFFIC_ROUND_ROBIN;
    const struct mesh_entry entry = {s ? s->entry : NULL, subset ? subset->labels : NULL};
    struct xds_entry *e = translate_mesh_cluster(b->service, &port, b->subset, &policy, who,
                                                 entry.of ? &entry : NULL);
    traffic_policy_done(&policy);
    return e;
}

bool gateway_mesh_make(const struct gateway_mesh *m, const struct gateway_mesh_backend *b,
                       const struct joined_service *s, bool has_identity,
                       struct xds_entry **ret_cluster, struct xds_entry **ret_endpoints)
{
    const struct mesh_client client = {.ns = str_from(m->ns), .pods = m->peers.pods};
    struct mesh_found found = {.peers = &m->peers};
    struct destination d = {0};
    if (m->rules)
        mesh_rules_destination(m->rules, &client, b->service, &d);
    const struct destination_subset *subset = b->subset ? destination_find(&d, b->subset) : NULL;
    const struct translate_subset of = {b->subset, subset ? subset->labels : NULL};
    if (b->subset && !subset) {
        destination_done(&d);
        return false;
    }
    struct xds_entry *endpoints =
        mesh_found_endpoints(&found, b->service, b->port, b->subset ? &of : NULL, s);
    struct mesh_identities who = mesh_found_identities(&found);
    if (!has_identity)
        who.n = 0;
    bool usual = translate_is_usual(b->upstream);
    *ret_cluster = b->subset || service_key_is_entry(b->service) || (usual && m->rules)
                       ? by_rules(b, &d, subset, s, &who)
                       : translate_cluster(b->service, b->port, b->upstream, NULL, &who);
    *ret_endpoints = b->subset ? endpoints : NULL;
    if (!b->subset)
        xds_entry_unref(endpoints);
    mesh_found_done(&found);
    destination_done(&d);
    return true;
}
