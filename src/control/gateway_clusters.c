/* Clusters and endpoints of a gateway, which live as long as some host names them, and the Secrets
 * by which endpoints are spoken to. */
#include "control/gateway_priv.h"
#include "control/mesh_telemetry.h"
#include "control/translate_mesh.h"
#include "model/service_key.h"

/* ---- the sets ---- */

/* What is the same for all. */
void gateway_put(struct gateway *g, struct xds_entry *e)
{
    for (unsigned peer = 1; peer < TRANSLATE_PEERS; peer++)
        if (g->sets[peer])
            xds_set_put(g->sets[peer], xds_entry_ref(e));
    xds_set_put(g->sets[TRANSLATE_OURS], e);
}

void gateway_drop(struct gateway *g, enum xds_resource type, struct str name)
{
    for (unsigned peer = 0; peer < TRANSLATE_PEERS; peer++)
        if (g->sets[peer])
            xds_set_remove(g->sets[peer], type, name);
}

/* ---- clusters and endpoints ---- */

/* Those of the mesh are marked; who does not know of it does not look at that. Who has no identity
 * of its own calls nobody in other clusters. */
static void put_endpoints(struct gateway *g, const char *service, struct served_port p)
{
    const struct joined_service *s = service_join_find(g->join, service);
    struct mesh_found found = {.peers = &g->mesh.peers, .own_cluster = true};
    if (!g->mesh.peers.pods || p.to_service) {
        gateway_put(g, translate_endpoints(service, p.port, p.to_service, s));
        return;
    }
    struct xds_entry *e = mesh_found_endpoints(&found, service, p.port, NULL, s, NULL);
    mesh_found_done(&found);
    for (unsigned peer = 0; peer < TRANSLATE_PEERS; peer++)
        if (g->sets[peer] && peer != TRANSLATE_MESHED)
            xds_set_put(g->sets[peer], xds_entry_ref(e));
    if (g->sets[TRANSLATE_MESHED]) {
        struct mesh_found all = {.peers = &g->mesh.peers};
        xds_set_put(g->sets[TRANSLATE_MESHED],
                    mesh_found_endpoints(&all, service, p.port, NULL, s, NULL));
        mesh_found_done(&all);
    }
    xds_entry_unref(e);
}

static struct served *served_of(struct gateway *g, const char *service)
{
    struct served *s = map_find_cstr(&g->served, service);
    if (!s) {
        s = NEW(struct served);
        map_put_cstr(&g->served, service, s);
    }
    return s;
}

static void drop_if_unserved(struct gateway *g, const char *service, struct served *s)
{
    if (s->ports.n || s->clusters.n)
        return;
    map_remove_cstr(&g->served, service);
    vec_done(&s->ports);
    vec_done(&s->clusters);
    free(s);
}

static void serve_port(struct gateway *g, const char *service, struct served_port p)
{
    vec_push(&served_of(g, service)->ports, p);
    put_endpoints(g, service, p);
}

static void stop_serving(struct gateway *g, const char *service, struct served_port p)
{
    struct served *s = map_find_cstr(&g->served, service);
    for (size_t i = 0; i < s->ports.n; i++)
        if (s->ports.v[i].port == p.port && s->ports.v[i].to_service == p.to_service) {
            vec_remove(&s->ports, i);
            break;
        }
    drop_if_unserved(g, service, s);
}

/* True: it is the first to name it. */
bool gateway_use(struct map *m, const char *name)
{
    unsigned *refs = map_find_cstr(m, name);
    if (!refs) {
        refs = NEW(unsigned);
        map_put_cstr(m, name, refs);
    }
    return (*refs)++ == 0;
}

/* True: it was the last. */
bool gateway_stop_using(struct map *m, const char *name)
{
    unsigned *refs = map_find_cstr(m, name);
    if (--*refs)
        return false;
    map_remove_cstr(m, name);
    free(refs);
    return true;
}

/* A proxy is given what clusters name by SDS, unless it may have no secrets: then it has not the
 * clusters, either. */
bool gateway_is_for(const struct route_upstream *up, enum translate_peer peer)
{
    return translate_has_secrets(peer) || !up->with || !up->with->secret;
}

static void put_backend_secret(struct gateway *g, const char *key)
{
    const struct auth_secret *s = auth_objects_backend(&g->objects, key, false);
    char name[CLUSTER_NAME_MAX];
    for (unsigned part = 0; part < TRANSLATE_SECRET_PARTS; part++) {
        struct xds_entry *e = s ? translate_secret_of(key, part, s) : NULL;
        for (unsigned peer = 0; e && peer < TRANSLATE_PEERS; peer++)
            if (g->sets[peer] && translate_has_secrets(peer))
                xds_set_put(g->sets[peer], xds_entry_ref(e));
        xds_entry_unref(e);
        if (!e)
            gateway_drop(g, XDS_SECRET, str_from(translate_secret_name(key, part, name)));
    }
}

/* Secrets that a DestinationRule has for it. */
static void drop_credentials(struct gateway *g, const char *cluster)
{
    char name[MESH_CREDENTIAL_NAME_MAX];
    for (unsigned part = 0; part < TRANSLATE_SECRET_PARTS; part++)
        gateway_drop(g, XDS_SECRET, str_from(translate_mesh_credential_name(cluster, part, name)));
}

/* Names of a cluster and of its endpoints are the same then. */
static void drop_subset(struct gateway *g, const char *service, const char *subset, uint16_t port)
{
    const struct route_backend to = {
        .service = (char *)(uintptr_t)service, .subset = (char *)(uintptr_t)subset, .port = port};
    char name[CLUSTER_NAME_MAX];
    translate_backend_name(&to, NULL, name);
    gateway_drop(g, XDS_CLUSTER, str_from(name));
    gateway_drop(g, XDS_ENDPOINT, str_from(name));
    drop_credentials(g, name);
}

/* What has been made, in place of what was there of the cluster of that name. */
static void put_made(struct xds_set *set, const char *cluster, struct gateway_mesh_made *made)
{
    char name[MESH_CREDENTIAL_NAME_MAX];
    for (unsigned part = 0; part < TRANSLATE_SECRET_PARTS; part++)
        if (made->secrets[part])
            xds_set_put(set, made->secrets[part]);
        else
            xds_set_remove(set, XDS_SECRET,
                           str_from(translate_mesh_credential_name(cluster, part, name)));
    if (made->cluster)
        xds_set_put(set, made->cluster);
    else
        xds_set_remove(set, XDS_CLUSTER, str_from(cluster));
    if (made->endpoints)
        xds_set_put(set, made->endpoints);
}

/* Subsets, and what is to be TLS, are for all; whatever else is the mesh's, for those who have an
 * identity: whom they expect follows from who the endpoints are now. */
static void put_meshed(struct gateway *g, const char *service, struct served_cluster *c)
{
    const struct gateway_mesh_backend b = {service, c->subset, c->port, &c->upstream};
    const struct joined_service *s = service_join_find(g->join, service);
    const struct route_backend to = {.service = (char *)(uintptr_t)service,
                                     .subset = (char *)(uintptr_t)c->subset,
                                     .port = c->port};
    char name[CLUSTER_NAME_MAX];
    translate_backend_name(&to, &c->upstream, name);
    bool before = c->tls;
    c->tls = gateway_mesh_has_tls(&g->mesh, &b);
    for (unsigned peer = 0; g->mesh.peers.pods && peer < TRANSLATE_PEERS; peer++) {
        struct gateway_mesh_made made;
        if (!g->sets[peer] || (!c->subset && !service_key_is_entry(service) &&
                               peer != TRANSLATE_MESHED && !c->tls && !before))
            continue;
        if (!gateway_mesh_make(&g->mesh, &b, s, peer, &made)) {
            drop_subset(g, service, c->subset, c->port);
            return;
        }
        put_made(g->sets[peer], name, &made);
    }
}

static void put_cluster(struct gateway *g, const struct route_backend *to,
                        const struct route_upstream *up)
{
    if (service_key_is_entry(to->service)) /* what its object says, for everybody */
        return;
    struct xds_entry *e = translate_cluster(to->service, to->port, up, &g->objects, NULL);
    bool for_mesh = translate_is_for_mesh(up) && g->mesh.peers.pods;
    for (unsigned peer = 0; peer < TRANSLATE_PEERS; peer++)
        if (g->sets[peer] && gateway_is_for(up, peer) && !(peer == TRANSLATE_MESHED && for_mesh))
            xds_set_put(g->sets[peer], xds_entry_ref(e));
    xds_entry_unref(e);
}

static void serve_cluster(struct gateway *g, const struct route_backend *to,
                          const struct route_upstream *up)
{
    if (!to->subset && !translate_is_for_mesh(up))
        return;
    const struct served_cluster c = {to->subset ? xstrdup(to->subset) : NULL, to->port, *up, false};
    struct served *s = served_of(g, to->service);
    vec_push(&s->clusters, c);
    put_meshed(g, to->service, &s->clusters.v[s->clusters.n - 1]);
}

static void stop_serving_cluster(struct gateway *g, const struct route_backend *to,
                                 const struct route_upstream *up)
{
    struct served *s = map_find_cstr(&g->served, to->service);
    char name[CLUSTER_NAME_MAX], other[CLUSTER_NAME_MAX];
    if (to->subset)
        drop_subset(g, to->service, to->subset, to->port);
    for (size_t i = 0; s && i < s->clusters.n; i++) {
        struct served_cluster *c = &s->clusters.v[i];
        if (!streq(c->subset, to->subset) ||
            !streq(translate_cluster_name(to->service, to->port, up, name),
                   translate_cluster_name(to->service, c->port, &c->upstream, other)))
            continue;
        free(c->subset);
        vec_remove(&s->clusters, i);
        drop_if_unserved(g, to->service, s);
        return;
    }
}

static void use_backend_secret(struct gateway *g, const struct route_upstream *up)
{
    if (up->with && up->with->secret && gateway_use(&g->backend_secrets, up->with->secret))
        put_backend_secret(g, up->with->secret);
}

static void stop_using_backend_secret(struct gateway *g, const struct route_upstream *up)
{
    char name[CLUSTER_NAME_MAX];
    const char *key = up->with ? up->with->secret : NULL;
    if (!key || !gateway_stop_using(&g->backend_secrets, key))
        return;
    for (unsigned part = 0; part < TRANSLATE_SECRET_PARTS; part++)
        gateway_drop(g, XDS_SECRET, str_from(translate_secret_name(key, part, name)));
}

void gateway_named_changed(struct gateway *g, const char *key)
{
    if (map_find_cstr(&g->backend_secrets, key))
        put_backend_secret(g, key);
}

void gateway_use_backend(struct gateway *g, const struct route_backend *to,
                         const struct route_upstream *up)
{
    const struct served_port p = {to->port, up->to_service};
    char name[CLUSTER_NAME_MAX];
    if (!to->service)
        return; /* nobody knows where it is: 503 */
    if (!to->subset && gateway_use(&g->endpoints, translate_endpoints_name(to->service, to->port,
                                                                           p.to_service, name)))
        serve_port(g, to->service, p);
    use_backend_secret(g, up);
    bool first = gateway_use(&g->clusters, translate_backend_name(to, up, name));
    /* What its Secret has may be other parts now. */
    if (!to->subset && (first || up->with))
        put_cluster(g, to, up);
    if (first)
        serve_cluster(g, to, up);
}

void gateway_stop_using_backend(struct gateway *g, const struct route_backend *to,
                                const struct route_upstream *up)
{
    const struct served_port p = {to->port, up->to_service};
    char name[CLUSTER_NAME_MAX];
    if (!to->service)
        return;
    if (gateway_stop_using(&g->clusters, translate_backend_name(to, up, name))) {
        gateway_drop(g, XDS_CLUSTER, str_from(name));
        drop_credentials(g, name);
        stop_serving_cluster(g, to, up);
    }
    if (!to->subset &&
        gateway_stop_using(&g->endpoints,
                           translate_endpoints_name(to->service, to->port, p.to_service, name))) {
        stop_serving(g, to->service, p);
        gateway_drop(g, XDS_ENDPOINT, str_from(name));
    }
    stop_using_backend_secret(g, up);
}

void gateway_put_meshed_all(struct gateway *g)
{
    struct str key;
    void *p;
    for (size_t at = 0; map_next(&g->served, &at, &key, &p);) {
        struct served *s = p;
        AUTO_CHARS char *service = str_dup(key);
        for (size_t i = 0; i < s->ports.n; i++)
            put_endpoints(g, service, s->ports.v[i]);
        for (size_t i = 0; i < s->clusters.n; i++)
            put_meshed(g, service, &s->clusters.v[i]);
    }
}

void gateway_service_changed(struct gateway *g, const char *key)
{
    if (mesh_telemetry_needs(&g->mesh.peers, key))
        g->listeners_changed = true;
    struct served *s = map_find_cstr(&g->served, key);
    for (size_t i = 0; s && i < s->ports.n; i++)
        put_endpoints(g, key, s->ports.v[i]);
    for (size_t i = 0; s && i < s->clusters.n; i++)
        put_meshed(g, key, &s->clusters.v[i]);
    gateway_passage_service_changed(g->passage, key);
}

void gateway_set_passages(struct gateway *g, const struct gateway_routes *from)
{
    gateway_passage_set_hosts(g->passage, from);
}
