#include "model/clusters.h"

#include <sys/socket.h>

#include "base/assert.h"
#include "base/hash.h"
#include "codec/json.h"

struct clusters *clusters_new(const char *id, struct workloads *pods)
{
    struct clusters *t = NEW(struct clusters);
    struct cluster *own = NEW(struct cluster);
    *own = (struct cluster){0, xstrdup(id), xstrdup(""), pods};
    vec_push(&t->v, own);
    return t;
}

static void cluster_free(struct cluster *c)
{
    if (!c)
        return;
    if (c->number)
        workloads_free(c->pods);
    free(c->id);
    free(c->network);
    free(c);
}

static void gateway_done(struct network_gateway *g)
{
    free(g->network);
    free(g->service);
}

void clusters_free(struct clusters *t)
{
    if (!t)
        return;
    VEC_FOREACH (c, &t->v)
        cluster_free(*c);
    VEC_FOREACH (g, &t->gateways)
        gateway_done(g);
    vec_done(&t->v);
    vec_done(&t->gateways);
    free(t);
}

struct cluster *clusters_add(struct clusters *t, const char *id, struct workloads *pods)
{
    size_t n = 1;
    while (n < t->v.n && t->v.v[n])
        n++;
    if (n >= CLUSTERS_MAX)
        return NULL;
    struct cluster *c = NEW(struct cluster);
    *c = (struct cluster){(uint16_t)n, xstrdup(id), xstrdup(""), pods};
    if (n == t->v.n)
        vec_push(&t->v, c);
    else
        t->v.v[n] = c;
    return c;
}

const struct cluster *clusters_at(const struct clusters *t, uint16_t number)
{
    return number < t->v.n ? t->v.v[number] : NULL;
}

const struct cluster *clusters_find(const struct clusters *t, const char *id)
{
    VEC_FOREACH (c, &t->v)
        if (*c && streq((*c)->id, id))
            return *c;
    return NULL;
}

bool clusters_set_network(struct clusters *t, uint16_t number, const char *network)
{
    struct cluster *c = t->v.v[number];
    if (streq(c->network, network))
        return false;
    free(c->network);
    c->network = xstrdup(network);
    return true;
}

/* ---- gateways ---- */

static int compare(const void *a, const void *b)
{
    const struct network_gateway *x = a, *y = b;
    int d = strcmp(x->network, y->network);
    d = d ? d : ip_cmp(&x->ip, &y->ip);
    d = d ? d : (x->port > y->port) - (x->port < y->port);
    return d ? d : strcmp(x->service, y->service);
}

/* Takes out what the Service has; how many that was. */
static size_t take_out(struct clusters *t, const char *service)
{
    size_t kept = 0, n = t->gateways.n;
    VEC_FOREACH (g, &t->gateways)
        if (streq(g->service, service))
            gateway_done(g);
        else
            t->gateways.v[kept++] = *g;
    t->gateways.n = kept;
    return n - kept;
}

static void add_gateway(struct clusters *t, const char *service, const char *network,
                        const char *address, uint16_t port)
{
    struct ip ip;
    if (address && ip_parse(str_from(address), &ip) == 0)
        vec_push(&t->gateways,
                 (struct network_gateway){xstrdup(network), xstrdup(service), ip, port});
}

static uint16_t port_of(const json_t *labels)
{
    const char *text = json_key_str(labels, "networking.istio.io/gatewayPort");
    uint64_t port;
    return text && str_to_u64(str_from(text), &port) == 0 && port && port <= UINT16_MAX
               ? (uint16_t)port
               : CLUSTER_GATEWAY_PORT;
}

/* Its addresses for who is elsewhere: those of its balancer, and externalIPs. */
static void read_gateways(struct clusters *t, const char *key, const json_t *service)
{
    const json_t *labels = json_at(service, "metadata.labels"),
                 *balanced = json_at(service, "status.loadBalancer.ingress"),
                 *external = json_at(service, "spec.externalIPs");
    const char *network = json_key_str(labels, NETWORK_LABEL);
    uint16_t port = port_of(labels);
    if (str_empty(network))
        return;
    for (size_t i = 0; i < json_array_size(balanced); i++)
        add_gateway(t, key, network, json_key_str(json_array_get(balanced, i), "ip"), port);
    for (size_t i = 0; i < json_array_size(external); i++)
        add_gateway(t, key, network, json_string_value(json_array_get(external, i)), port);
}

static bool is_same(const struct clusters *t, const struct network_gateway *before, size_t n)
{
    bool same = t->gateways.n == n;
    for (size_t i = 0; same && i < n; i++)
        same = compare(&before[i], &t->gateways.v[i]) == 0;
    return same;
}

bool clusters_put_gateway(struct clusters *t, uint16_t number, struct str key,
                          const json_t *service)
{
    AUTO_CHARS char *of = cluster_object_key(number, key);
    const char *network =
        service ? json_key_str(json_at(service, "metadata.labels"), NETWORK_LABEL) : NULL;
    struct clusters before = {.v = {NULL, 0, 0}};
    bool had = false;
    VEC_FOREACH (g, &t->gateways)
        had = had || streq(g->service, of);
    if (!had && str_empty(network))
        return false; /* as of nearly all */
    VEC_FOREACH (g, &t->gateways)
        vec_push(&before.gateways, (struct network_gateway){xstrdup(g->network),
                                                            xstrdup(g->service), g->ip, g->port});
    take_out(t, of);
    if (service)
        read_gateways(t, of, service);
    if (t->gateways.n)
        qsort(t->gateways.v, t->gateways.n, sizeof(*t->gateways.v), compare);
    bool same = is_same(t, before.gateways.v, before.gateways.n);
    VEC_FOREACH (g, &before.gateways)
        gateway_done(g);
    vec_done(&before.gateways);
    return !same;
}

const struct network_gateway *clusters_gateways(const struct clusters *t, struct str network,
                                                size_t *ret_n)
{
    size_t first = 0;
    while (first < t->gateways.n && !str_is(network, t->gateways.v[first].network))
        first++;
    size_t end = first;
    while (end < t->gateways.n && str_is(network, t->gateways.v[end].network))
        end++;
    *ret_n = end - first;
    return *ret_n ? &t->gateways.v[first] : NULL;
}

void clusters_remove(struct clusters *t, uint16_t number)
{
    AUTO_CHARS char *prefix = cluster_object_key(number, STR(""));
    size_t kept = 0;
    ASSERT(number && number < t->v.n && t->v.v[number]);
    VEC_FOREACH (g, &t->gateways)
        if (str_starts(str_from(g->service), str_from(prefix)))
            gateway_done(g);
        else
            t->gateways.v[kept++] = *g;
    t->gateways.n = kept;
    cluster_free(TAKE(t->v.v[number]));
}

/* ---- pods ---- */

struct str clusters_network_of(const struct cluster *c, const struct workload *pod)
{
    const char *own = pod ? workload_label(c->pods, pod, NETWORK_LABEL) : NULL;
    return str_from(str_empty(own) ? c->network : own);
}

const struct workload *clusters_find_ip(const struct clusters *t, struct str network, struct str ns,
                                        const struct ip *ip, const struct cluster **ret)
{
    VEC_FOREACH (c, &t->v) {
        const struct workload *pod = *c ? workloads_find_ip((*c)->pods, ns, ip) : NULL;
        if (!pod || ((*c)->number && !str_eq(clusters_network_of(*c, pod), network)))
            continue;
        *ret = *c;
        return pod;
    }
    return NULL;
}

/* ---- objects of others ---- */

char *cluster_object_key(uint16_t number, struct str key)
{
    return xasprintf("%u@" STR_FMT, number, STR_ARG(key));
}

void cluster_adopt_service(uint16_t number, struct service_object *s)
{
    enum { SEED = 0x636c7573 };
    uint64_t hash = hash_bytes_seed(s->key, strlen(s->key), SEED) % 0xfffe + 1;
    s->cluster = number;
    s->n_external_ips = s->n_balancer_ips = 0; /* those are for who is outside of the mesh */
    s->n_cluster_ips = s->n_cluster_ips && s->cluster_ips[0].family == AF_INET;
    if (!s->n_cluster_ips)
        return;
    s->cluster_ips[0] =
        (struct ip){.family = AF_INET, .bytes = {240, 241, (uint8_t)(hash >> 8), (uint8_t)hash}};
}
