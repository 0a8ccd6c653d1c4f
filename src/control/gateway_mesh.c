#include "control/gateway_mesh.h"

#include <netinet/in.h>

#include "control/mesh_credentials.h"

static struct service_port port_of(const struct joined_service *s, uint16_t port)
{
    for (uint16_t i = 0; s && s->object && i < s->object->n_ports; i++)
        if (s->object->ports[i].port == port && s->object->ports[i].proto == IPPROTO_TCP)
            return s->object->ports[i];
    return (struct service_port){
        .name = (char *)(uintptr_t) "http", .proto = IPPROTO_TCP, .port = port};
}

/* What somebody has asked to be TLS goes only to who can be told of it. */
static bool is_tls(const struct traffic_tls *t)
{
    return t->mode == TRAFFIC_TLS_SIMPLE || t->mode == TRAFFIC_TLS_MUTUAL ||
           t->mode == TRAFFIC_TLS_CLOSED;
}

bool gateway_mesh_has_tls(const struct gateway_mesh *m, const struct gateway_mesh_backend *b)
{
    const struct mesh_client client = {.ns = str_from(m->ns), .pods = m->peers.pods};
    struct destination d = {0};
    struct traffic_policy policy;
    if (!m->rules || !mesh_rules_count(m->rules) || !translate_is_usual(b->upstream))
        return false;
    mesh_rules_destination(m->rules, &client, b->service, &d);
    destination_policy(&d, b->subset ? destination_find(&d, b->subset) : NULL, b->port, &policy);
    bool tls = is_tls(&policy.tls);
    traffic_policy_done(&policy);
    destination_done(&d);
    return tls;
}

static bool is_for(enum translate_peer peer, const struct traffic_tls *t)
{
    return !is_tls(t) ||
           (peer != TRANSLATE_FOREIGN && (!t->credential_name || translate_has_secrets(peer)));
}

/* By the rules for it, as those see them who are in the gateways' namespace. */
static void by_rules(const struct gateway_mesh *m, enum translate_peer peer, struct mesh_cluster *c,
                     const struct destination *d, const struct destination_subset *subset,
                     struct gateway_mesh_made *ret)
{
    struct traffic_policy policy;
    destination_policy(d, subset, c->port->port, &policy);
    if (policy.balance == TRAFFIC_PASSTHROUGH) /* a gateway is who clients were going to */
        policy.balance = TRAFFIC_ROUND_ROBIN;
    const struct mesh_credentials with =
        mesh_credentials_find(m->peers.objects, &policy.tls, m->ns);
    c->policy = &policy;
    c->credentials = &with;
    if (is_for(peer, &policy.tls)) {
        ret->cluster = translate_mesh_cluster(c);
        for (unsigned part = 0; part < TRANSLATE_SECRET_PARTS; part++)
            ret->secrets[part] = translate_mesh_credential(c, part);
    }
    traffic_policy_done(&policy);
}

bool gateway_mesh_make(const struct gateway_mesh *m, const struct gateway_mesh_backend *b,
                       const struct joined_service *s, enum translate_peer peer,
                       struct gateway_mesh_made *ret)
{
    const struct mesh_client client = {.ns = str_from(m->ns), .pods = m->peers.pods};
    const struct service_port port = port_of(s, b->port);
    struct mesh_found found = {.peers = &m->peers, .own_cluster = peer != TRANSLATE_MESHED};
    struct destination d = {0};
    *ret = (struct gateway_mesh_made){0};
    if (m->rules)
        mesh_rules_destination(m->rules, &client, b->service, &d);
    const struct destination_subset *subset = b->subset ? destination_find(&d, b->subset) : NULL;
    const struct mesh_subset of = {b->subset, subset ? subset->labels : NULL};
    if (b->subset && !subset) {
        destination_done(&d);
        return false;
    }
    struct xds_entry *endpoints =
        mesh_found_endpoints(&found, b->service, b->port, b->subset ? &of : NULL, s, NULL);
    struct mesh_identities who = mesh_found_identities(&found);
    if (peer != TRANSLATE_MESHED)
        who.n = 0;
    const struct mesh_entry entry = {s ? s->entry : NULL, subset ? subset->labels : NULL};
    struct mesh_cluster c = {.service = b->service,
                             .subset = b->subset,
                             .port = &port,
                             .who = &who,
                             .entry = entry.of ? &entry : NULL};
    if (b->subset || service_key_is_entry(b->service) ||
        (translate_is_usual(b->upstream) && m->rules &&
         (peer == TRANSLATE_MESHED || gateway_mesh_has_tls(m, b))))
        by_rules(m, peer, &c, &d, subset, ret);
    else
        ret->cluster = translate_cluster(b->service, b->port, b->upstream, NULL,
                                         peer == TRANSLATE_MESHED ? &who : NULL);
    ret->endpoints = b->subset ? endpoints : NULL;
    if (!b->subset)
        xds_entry_unref(endpoints);
    mesh_found_done(&found);
    destination_done(&d);
    return true;
}
