#include "control/mesh_peers.h"

#include "control/ca.h"
#include "control/mesh_lookup.h"
#include "model/service_entry.h"

#define TLS_MODE_LABEL "security.istio.io/tlsMode" /* of pods that were given a proxy */

static const struct workload *pod_of(const struct mesh_peers *p, struct str ns, const struct ip *ip)
{
    const struct workload *pod = workloads_find_ip(p->pods, ns, ip);
    return pod && !pod->host_network ? pod : NULL;
}

void mesh_peers_policy(const struct mesh_peers *p, struct str ns, const struct ip *ip,
                       struct mtls_policy *ret)
{
    peer_authentications_find(p->authentications, ns, p->pods, pod_of(p, ns, ip), ret);
}

bool mesh_peers_access(const struct mesh_peers *p, const struct service_join *join,
                       const struct service_entries *entries, struct str ns, const struct ip *ip,
                       struct mesh_access *ret)
{
    const struct workload *pod = pod_of(p, ns, ip);
    struct authorization_list list = {{NULL, 0, 0}};
    authorization_policies_find(p->authorizations, ns, p->pods, pod, &list);
    struct request_authentication_list tokens = {{NULL, 0, 0}};
    request_authentications_find(p->tokens, ns, p->pods, pod, &tokens);
    struct mesh_lookup where = {join, entries};
    const struct translate_access by = {.trust_domain = p->trust_domain,
                                        .keys = p->keys,
                                        .config = p->config ? *p->config : NULL,
                                        .find = mesh_find_cluster,
                                        .user = &where};
    translate_mesh_access(&list, &tokens, &by, ret);
    vec_done(&tokens.v);
    vec_done(&list.v);
    return pod;
}

static void add_identity(struct mesh_found *f, const struct workloads *pods,
                         const struct workload *pod)
{
    AUTO_DONE(buf) struct buf uri = {0};
    if (ca_identity(f->peers->trust_domain, workload_namespace(pod), workload_account(pods, pod),
                    &uri) < 0 ||
        f->named)
        return;
    VEC_FOREACH (known, &f->uris)
        if (str_is(buf_str(&uri), *known))
            return;
    vec_push(&f->uris, buf_take_cstr(&uri));
}

/* It has a proxy, and nobody has told that to take no TLS. Of another namespace than the Service's
 * nobody is: whoever writes EndpointSlices by hand is not told what becomes of that pod. What is
 * asked of those who call pods of another cluster is said in ours, too. */
static bool in_mesh(struct mesh_found *f, const struct workloads *pods, const struct workload *pod,
                    uint16_t port)
{
    const struct mesh_peers *p = f->peers;
    struct mtls_policy policy;
    if (pod->host_network || !streq(workload_label(pods, pod, TLS_MODE_LABEL), "istio"))
        return false;
    peer_authentications_find(p->authentications, workload_namespace(pod), pods, pod, &policy);
    if (mtls_policy_of(&policy, port) == MTLS_DISABLE)
        return false;
    add_identity(f, pods, pod);
    return true;
}

static void add_part(struct buf *b, struct str part)
{
    if (b->n)
        buf_add_char(b, ';');
    buf_add_str(b, part);
}

/* What it is a part of, as metrics name it. */
static void describe(const struct workloads *w, const struct workload *pod, const char *cluster,
                     struct buf *ret)
{
    const char *app = workload_label(w, pod, "app"), *version = workload_label(w, pod, "version");
    add_part(ret, workload_owner(w, pod));
    add_part(ret, workload_namespace(pod));
    add_part(ret, workload_canonical_name(w, pod));
    add_part(ret, workload_canonical_revision(w, pod));
    add_part(ret, str_from(cluster));
    add_part(ret, str_from(app ? app : ""));
    add_part(ret, str_from(version ? version : ""));
}

static struct translate_peers peers_of(struct mesh_found *f);

static void look(uint16_t cluster, const struct ip *ip, uint16_t port,
                 struct translate_peer_facts *ret, void *user)
{
    struct mesh_found *f = user;
    const struct translate_peers peers = peers_of(f);
    const struct cluster *c = peers.clusters ? clusters_at(peers.clusters, cluster) : NULL;
    ret->pod = translate_peer_find(&peers, cluster, f->ns, ip, &ret->pods);
    ret->network = c ? clusters_network_of(c, ret->pod) : STR("");
    ret->cluster = c ? c->id : CLUSTER_DEFAULT_ID;
    if (!ret->pod)
        return;
    ret->in_mesh = !f->external && in_mesh(f, ret->pods, ret->pod, port);
    ret->weight = ret->pod->weight;
    describe(ret->pods, ret->pod, ret->cluster, &ret->workload);
}

/* Clients are of our own cluster, and of its network. */
static struct translate_peers peers_of(struct mesh_found *f)
{
    const struct mesh_peers *p = f->peers;
    const struct cluster *own = p->clusters ? clusters_at(p->clusters, 0) : NULL;
    return (struct translate_peers){.pods = p->pods,
                                    .clusters = p->clusters,
                                    .network = str_from(own ? own->network : ""),
                                    .cluster = own ? own->id : CLUSTER_DEFAULT_ID,
                                    .own_cluster_only = f->own_cluster,
                                    .look = look,
                                    .user = f};
}

/* Clusters of one network: whoever comes from another comes from a gateway of ours. */
struct xds_entry *mesh_peers_address(const struct mesh_peers *p, const struct ip *ip)
{
    const struct cluster *own = p->clusters ? clusters_at(p->clusters, 0) : NULL, *of = NULL;
    const struct workload *pod =
        own ? clusters_find_ip(p->clusters, str_from(own->network), (struct str){0}, ip, &of)
            : workloads_find_ip(p->pods, (struct str){0}, ip);
    const struct workloads *pods = of ? of->pods : p->pods;
    if (!pod || pod->host_network)
        return NULL;
    const struct translate_workload names = {
        .name = workload_owner(pods, pod),
        .ns = workload_namespace(pod),
        .canonical = workload_canonical_name(pods, pod),
        .revision = workload_canonical_revision(pods, pod),
        .cluster = str_from(of ? of->id : CLUSTER_DEFAULT_ID),
    };
    return translate_mesh_workload(ip, &names);
}

static void set_service(struct mesh_found *f, const char *service, const struct joined_service *s)
{
    const struct service_entry *e = s ? s->entry : NULL;
    AUTO_CHARS char *host = service_key_host(service);
    f->ns = service_key_namespace(service);
    f->own_cluster = f->own_cluster ||
                     (f->peers->config && mesh_config_is_cluster_local(*f->peers->config, host));
    f->external = e && e->external;
    f->named = e && json_array_size(e->names);
    for (size_t i = 0; f->named && i < json_array_size(e->names); i++)
        if (json_is_string(json_array_get(e->names, i)))
            vec_push(&f->uris, xstrdup(json_string_value(json_array_get(e->names, i))));
}

struct xds_entry *mesh_found_endpoints(struct mesh_found *f, const char *service, uint16_t port,
                                       const struct mesh_subset *subset,
                                       const struct joined_service *s,
                                       const struct translate_localities *by)
{
    const struct route_backend to = {.service = (char *)(uintptr_t)service,
                                     .subset = (char *)(uintptr_t)(subset ? subset->name : NULL),
                                     .port = port};
    char name[CLUSTER_NAME_MAX];
    set_service(f, service, s);
    const struct translate_peers peers = peers_of(f);
    return translate_mesh_endpoints(translate_backend_name(&to, NULL, name), service, port,
                                    subset ? subset->labels : NULL, s, &peers, by);
}

struct xds_entry *mesh_found_passage(struct mesh_found *f, const char *name, const char *service,
                                     uint16_t port, const struct mesh_subset *subset,
                                     const struct joined_service *s)
{
    set_service(f, service, s);
    const struct translate_peers peers = peers_of(f);
    return translate_passage_endpoints(name, service, port, subset ? subset->labels : NULL, s,
                                       &peers);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct mesh_identities mesh_found_identities(struct mesh_found *f)
{
    if (f->uris.n)
        qsort(f->uris.v, f->uris.n, sizeof(*f->uris.v), by_text);
    return (struct mesh_identities){(const char *const *)f->uris.v, f->uris.n};
}

void mesh_found_done(struct mesh_found *f)
{
    VEC_FOREACH (uri, &f->uris)
        free(*uri);
    vec_done(&f->uris);
}
