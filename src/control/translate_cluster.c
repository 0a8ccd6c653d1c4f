/* Services to clusters and their endpoints. */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/vec.h"
#include "control/translate_mesh.h"
#include "control/translate_priv.h"
#include "control/xds_fields.h"
#include "model/istio_object.h"
#include "model/locality.h"
#include "model/service_key.h"

#define TLS_TYPE     XDS_TYPE_PREFIX "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
#define OPTIONS_NAME "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

enum {
    CONNECT_TIMEOUT_S = 5, /* to a server that is asked who may */
    TYPE_STRICT_DNS = 1,   /* Cluster.DiscoveryType */
    TYPE_EDS = 3,
    API_V3 = 2,           /* core.v3.ApiVersion */
    LB_LEAST_REQUEST = 1, /* Cluster.LbPolicy */
    LB_RING_HASH = 2,
    NAME_DNS = 2, /* SubjectAltNameMatcher.SanType */
};

static void add_any(struct buf *b, unsigned number, const char *type_url, struct str message)
{
    size_t any = pb_begin(b, number);
    pb_add_text(b, F_ANY_TYPE_URL, type_url);
    pb_add_bytes(b, F_ANY_VALUE, message);
    pb_end(b, any);
}

/* ---- TLS ---- */

static void add_sds(struct buf *b, unsigned number, const char *secret,
                    enum translate_secret_part part)
{
    char name[CLUSTER_NAME_MAX];
    size_t at = pb_begin(b, number);
    pb_add_text(b, F_SDS_NAME, translate_secret_name(secret, part, name));
    translate_ads(b, F_SDS_CONFIG);
    pb_end(b, at);
}

static void add_verification(struct buf *b, const struct route_backend_tls *t, const char *name)
{
    size_t combined = pb_begin(b, F_COMMON_TLS_COMBINED), at = pb_begin(b, F_COMBINED_DEFAULT),
           match, matcher, depth;
    match = pb_begin(b, F_VALIDATION_NAMES);
    pb_add_uint(b, F_NAME_KIND, NAME_DNS);
    matcher = pb_begin(b, F_NAME_MATCHER);
    pb_add_text(b, F_STRING_EXACT, name);
    pb_end(b, matcher);
    pb_end(b, match);
    depth = pb_begin(b, F_VALIDATION_DEPTH);
    pb_add_uint(b, F_UINT32_VALUE, t->depth);
    pb_end(b, depth);
    pb_end(b, at);
    add_sds(b, F_COMBINED_SDS, t->secret, TRANSLATE_TRUSTED);
    pb_end(b, combined);
}

static void add_parameters(struct buf *b, const struct route_backend_tls *t)
{
    size_t at = pb_begin(b, F_COMMON_TLS_PARAMS);
    struct str rest = str_from(t->ciphers ? t->ciphers : "");
    if (t->tls_min) { /* TlsParameters.TlsProtocol */
        pb_add_uint(b, F_TLS_PARAMS_MIN, t->tls_min == 12 ? 3 : 4);
        pb_add_uint(b, F_TLS_PARAMS_MAX, t->tls_max == 12 ? 3 : 4);
    }
    while (t->ciphers && rest.p)
        pb_add_bytes(b, F_TLS_PARAMS_CIPHERS, str_cut(rest, ':', &rest));
    pb_end(b, at);
}

/* What stands in its CommonTlsContext. */
static void add_with(struct buf *b, const struct route_backend_tls *t, const char *name,
                     const struct auth_objects *objects)
{
    const struct auth_secret *s =
        t->secret ? auth_objects_backend(objects, t->secret, t->verify) : NULL;
    if (t->tls_min || t->ciphers)
        add_parameters(b, t);
    /* One that is not there is asked for, too: nothing is sent until it comes. */
    if (t->secret && (!s || *s->cert))
        add_sds(b, F_COMMON_TLS_CERTIFICATE_SDS, t->secret, TRANSLATE_SHOWN);
    if (t->verify)
        add_verification(b, t, name);
}

/* How endpoints are spoken to over TLS. */
struct way {
    bool http2;
    const char *sni;                      /* NULL: none */
    const struct route_backend_tls *with; /* NULL: not verified, nothing is shown */
    const char *name;                     /* whose certificate is expected */
    const struct auth_objects *objects;
};

static void add_tls(struct buf *b, const struct way *w)
{
    AUTO_DONE(buf) struct buf context = {0};
    size_t common = pb_begin(&context, F_UPSTREAM_TLS_COMMON);
    if (w->http2)
        pb_add_text(&context, F_COMMON_TLS_ALPN, "h2");
    if (w->with)
        add_with(&context, w->with, w->name, w->objects);
    pb_end(&context, common);
    if (w->sni)
        pb_add_text(&context, F_UPSTREAM_TLS_SNI, w->sni);
    size_t socket = pb_begin(b, F_CLUSTER_TRANSPORT_SOCKET);
    pb_add_text(b, F_TRANSPORT_SOCKET_NAME, "envoy.transport_sockets.tls");
    add_any(b, F_TRANSPORT_SOCKET_TYPED_CONFIG, TLS_TYPE, buf_str(&context));
    pb_end(b, socket);
}

static void add_service_tls(struct buf *b, const char *service, const struct route_upstream *up,
                            const struct auth_objects *objects)
{
    struct str name, ns = str_cut(str_from(service), '/', &name);
    AUTO_CHARS char *of_service = xasprintf(STR_FMT "." STR_FMT ".svc", STR_ARG(name), STR_ARG(ns));
    const struct route_backend_tls *t = up->with;
    struct way w = {.http2 = up->protocol == ROUTE_HTTP2, .with = t, .objects = objects};
    w.name = t && t->name ? t->name : of_service;
    w.sni = t && t->server_name ? w.name : NULL;
    add_tls(b, &w);
}

static void add_http2(struct buf *b)
{
    AUTO_DONE(buf) struct buf options = {0};
    size_t explicit = pb_begin(&options, F_OPTIONS_EXPLICIT);
    pb_add_bytes(&options, F_EXPLICIT_HTTP2, STR(""));
    pb_end(&options, explicit);
    size_t entry = pb_begin(b, F_CLUSTER_TYPED_EXTENSION_PROTOCOL_OPTIONS);
    pb_add_text(b, F_MAP_KEY, OPTIONS_NAME);
    add_any(b, F_MAP_VALUE, XDS_TYPE_PREFIX OPTIONS_NAME, buf_str(&options));
    pb_end(b, entry);
}

bool translate_is_for_mesh(const struct route_upstream *up)
{
    return !up || (!up->tls && !up->to_service);
}

struct xds_entry *translate_cluster(const char *service, uint16_t port,
                                    const struct route_upstream *up,
                                    const struct auth_objects *objects,
                                    const struct mesh_identities *who)
{
    bool http2 = up && up->protocol == ROUTE_HTTP2;
    const struct service_port as = {
        .name = (char *)(uintptr_t)(http2 ? "http2" : "http"), .proto = IPPROTO_TCP, .port = port};
    AUTO_DONE(buf) struct buf b = {0};
    char name[CLUSTER_NAME_MAX], endpoints[CLUSTER_NAME_MAX];
    size_t at;
    translate_cluster_name(service, port, up, name);
    translate_endpoints_name(service, port, up && up->to_service, endpoints);
    pb_add_text(&b, F_CLUSTER_NAME, name);
    pb_add_uint(&b, F_CLUSTER_TYPE, TYPE_EDS);
    at = pb_begin(&b, F_CLUSTER_EDS_CLUSTER_CONFIG);
    translate_ads(&b, F_EDS_EDS_CONFIG);
    pb_add_text(&b, F_EDS_SERVICE_NAME, endpoints);
    pb_end(&b, at);
    at = pb_begin(&b, F_CLUSTER_CONNECT_TIMEOUT);
    pb_add_uint(&b, F_DURATION_SECONDS, translate_connect_timeout_s(up));
    pb_end(&b, at);
    if (up && up->balance != ROUTE_BALANCE_TURN)
        pb_add_uint(&b, F_CLUSTER_LB_POLICY,
                    up->balance == ROUTE_BALANCE_LOAD ? LB_LEAST_REQUEST : LB_RING_HASH);
    if (up && up->tls)
        add_service_tls(&b, service, up, objects);
    if (who && translate_is_for_mesh(up))
        translate_mesh_sockets(&b, service, NULL, &as, who);
    if (http2)
        add_http2(&b);
    ASSERT(!b.failed);
    return xds_entry_new(XDS_CLUSTER, str_from(name), buf_str(&b), str_from(endpoints));
}

/* ---- endpoints ---- */

struct address {
    struct ip ip;
    uint16_t port;
};
struct addresses {
    VEC(struct address) v;
};

static const char *port_name(const struct joined_service *s, uint16_t port)
{
    const struct service_object *o = s ? s->object : NULL;
    for (uint16_t i = 0; o && i < o->n_ports; i++)
        if (o->ports[i].port == port && o->ports[i].proto == IPPROTO_TCP)
            return o->ports[i].name;
    return NULL;
}

/* Of all endpoints those that are meant. */
struct choice {
    const char *port; /* its name */
    uint8_t family;   /* 0: any */
    const struct workloads *pods;
    struct str ns;        /* of pods with: */
    const json_t *labels; /* NULL: whoever it is */
};

static bool is_chosen(const struct choice *c, const struct ip *ip)
{
    const struct workload *pod = c->labels ? workloads_find_ip(c->pods, c->ns, ip) : NULL;
    return !c->labels || (pod && workload_has_labels(c->pods, pod, c->labels));
}

static void gather(const struct slice_object *slice, const struct choice *c, bool ready,
                   struct addresses *to)
{
    uint16_t number = 0;
    if (c->family && slice->family != c->family)
        return;
    for (uint32_t i = 0; i < slice->n_ports; i++)
        if (streq(slice->ports[i].name, c->port) && slice->ports[i].proto == IPPROTO_TCP)
            number = slice->ports[i].port;
    for (uint32_t i = 0; number && slice->family && i < slice->n_endpoints; i++) {
        const struct slice_endpoint *e = &slice->endpoints[i];
        const struct ip ip = slice_object_ip(slice, i);
        if (!e->further && (ready ? e->ready : e->serving && e->terminating) && is_chosen(c, &ip))
            vec_push(&to->v, (struct address){ip, number});
    }
}

static int compare(const void *a, const void *b)
{
    const struct address *x = a, *y = b;
    int d = ip_cmp(&x->ip, &y->ip);
    return d ? d : (x->port > y->port) - (x->port < y->port);
}

/* address: an IP or a name. */
static void add_endpoint(struct buf *b, const char *host, uint16_t port,
                         const struct translate_peer_facts *facts)
{
    size_t lb = pb_begin(b, F_LOCALITY_LB_ENDPOINTS),
           endpoint = pb_begin(b, F_LB_ENDPOINT_ENDPOINT),
           address = pb_begin(b, F_ENDPOINT_ADDRESS),
           socket = pb_begin(b, F_ADDRESS_SOCKET_ADDRESS);
    pb_add_text(b, F_SOCKET_ADDRESS_ADDRESS, host);
    pb_add_uint(b, F_SOCKET_ADDRESS_PORT_VALUE, port);
    pb_end(b, socket);
    pb_end(b, address);
    pb_end(b, endpoint);
    if (facts)
        translate_mesh_endpoint(b, facts);
    if (facts && facts->weight) {
        size_t weight = pb_begin(b, F_LB_ENDPOINT_WEIGHT);
        pb_add_uint(b, F_UINT32_VALUE, facts->weight);
        pb_end(b, weight);
    }
    pb_end(b, lb);
}

/* Those of its slices; nothing else if it has none. */
static void gather_all(const struct joined_service *s, struct choice c, struct addresses *to)
{
    /* A pod of two families is one endpoint: that of the Service's first family. */
    c.family = s->object->n_cluster_ips ? s->object->cluster_ips[0].family : 0;
    for (int ready = 1; ready >= 0 && !to->v.n; ready--)
        for (size_t i = 0; i < s->slices.n; i++)
            gather(s->slices.v[i], &c, ready, to);
    if (to->v.n) /* in one order: it is the same set in whatever order slices come */
        qsort(to->v.v, to->v.n, sizeof(*to->v.v), compare);
}

static void add_found(struct buf *b, const struct address *a, const struct translate_peers *peers)
{
    struct translate_peer_facts facts = {0};
    char text[IP_TEXT_BYTES];
    if (peers)
        peers->look(&a->ip, a->port, &facts, peers->user);
    add_endpoint(b, ip_format(&a->ip, text), a->port, peers ? &facts : NULL);
    buf_done(&facts.workload);
}

/* ---- by where they are ---- */

/* What is known of an endpoint. */
struct met {
    const struct address *address;
    struct translate_peer_facts facts;
};

static void add_part(struct buf *b, unsigned field, struct str text)
{
    if (text.n)
        pb_add_bytes(b, field, text);
}

static void add_place(struct buf *b, struct str locality)
{
    struct str parts[LOCALITY_PARTS];
    size_t at = pb_begin(b, F_LOCALITY_LOCALITY);
    locality_split(locality, parts);
    add_part(b, F_PLACE_REGION, parts[LOCALITY_REGION]);
    add_part(b, F_PLACE_ZONE, parts[LOCALITY_ZONE]);
    add_part(b, F_PLACE_SUBZONE, parts[LOCALITY_SUBZONE]);
    pb_end(b, at);
}

static void add_group(struct buf *b, const struct locality_group *g, uint32_t number,
                      const struct locality_item *items, const struct met *met, size_t n)
{
    size_t at = pb_begin(b, F_ASSIGNMENT_ENDPOINTS), weight;
    char text[IP_TEXT_BYTES];
    add_place(b, g->locality);
    for (size_t i = 0; i < n; i++)
        if (items[i].group == number)
            add_endpoint(b, ip_format(&met[i].address->ip, text), met[i].address->port,
                         &met[i].facts);
    weight = pb_begin(b, F_LOCALITY_WEIGHT);
    pb_add_uint(b, F_UINT32_VALUE, g->weight);
    pb_end(b, weight);
    if (g->priority)
        pb_add_uint(b, F_LOCALITY_PRIORITY, g->priority);
    pb_end(b, at);
}

/* Those of topology are where it is. */
static struct str label_of(const void *who, const char *key, void *user)
{
    static const char *const parts[] = {"topology.kubernetes.io/region",
                                        "topology.kubernetes.io/zone", "topology.istio.io/subzone"};
    const struct workloads *pods = user;
    const struct workload *pod = who;
    struct str place[LOCALITY_PARTS];
    if (!pod)
        return STR("");
    locality_split(workload_locality(pods, pod), place);
    for (int i = 0; i < LOCALITY_PARTS; i++)
        if (streq(key, parts[i]))
            return place[i];
    if (streq(key, "kubernetes.io/hostname"))
        return workload_node(pods, pod);
    const char *value = workload_label(pods, pod, key);
    return str_from(value ? value : "");
}

static void add_localities(struct buf *b, const struct addresses *found,
                           const struct translate_peers *peers,
                           const struct translate_localities *by)
{
    struct met *met = xcalloc(MAX(found->v.n, (size_t)1), sizeof(*met));
    struct locality_item *items = xcalloc(MAX(found->v.n, (size_t)1), sizeof(*items));
    struct locality_groups groups = {0};
    const struct locality_caller caller = {.locality = by->client->locality.p ? by->client->locality
                                                                              : STR(""),
                                           .who = by->client->pod,
                                           .label = label_of,
                                           .user = (void *)(uintptr_t)peers->pods};
    size_t n = 0;
    for (size_t i = 0; i < found->v.n; i++) {
        const struct address *a = &found->v.v[i];
        if (i && compare(a - 1, a) == 0)
            continue;
        met[n].address = a;
        peers->look(&a->ip, a->port, &met[n].facts, peers->user);
        const struct workload *pod = met[n].facts.pod;
        items[n] = (struct locality_item){.locality = pod && by->client->locality.p
                                                          ? workload_locality(peers->pods, pod)
                                                          : STR(""),
                                          .weight = met[n].facts.weight,
                                          .who = pod};
        n++;
    }
    /* Whoever it is: all in one. */
    locality_sort(&caller, by->client->locality.p ? by->setting : NULL,
                  by->fails_over && by->client->locality.p, items, n, &groups);
    for (uint32_t g = 0; g < groups.v.n; g++)
        add_group(b, &groups.v.v[g], g, items, met, n);
    for (size_t i = 0; i < n; i++)
        buf_done(&met[i].facts.workload);
    vec_done(&groups.v);
    free(items);
    free(met);
}

static struct xds_entry *local_assignment(const char *name, const struct addresses *found,
                                          const struct translate_peers *peers,
                                          const struct translate_localities *by)
{
    AUTO_DONE(buf) struct buf b = {0};
    pb_add_text(&b, F_ASSIGNMENT_CLUSTER_NAME, name);
    add_localities(&b, found, peers, by);
    ASSERT(!b.failed);
    return xds_entry_new(XDS_ENDPOINT, str_from(name), buf_str(&b), STR(""));
}

/* for_grpc: its clients pass over a locality without a name or without a weight. peers NULL: none
 * is in a mesh. */
static struct xds_entry *assignment(const char *name, const struct addresses *found, bool for_grpc,
                                    const struct translate_peers *peers)
{
    AUTO_DONE(buf) struct buf b = {0};
    pb_add_text(&b, F_ASSIGNMENT_CLUSTER_NAME, name);
    if (found->v.n) {
        size_t locality = pb_begin(&b, F_ASSIGNMENT_ENDPOINTS);
        if (for_grpc)
            pb_add_bytes(&b, F_LOCALITY_LOCALITY, STR(""));
        for (size_t i = 0; i < found->v.n; i++)
            if (!i || compare(&found->v.v[i - 1], &found->v.v[i]) != 0)
                add_found(&b, &found->v.v[i], peers);
        if (for_grpc) {
            size_t weight = pb_begin(&b, F_LOCALITY_WEIGHT);
            pb_add_uint(&b, F_UINT32_VALUE, 1);
            pb_end(&b, weight);
        }
        pb_end(&b, locality);
    }
    ASSERT(!b.failed);
    return xds_entry_new(XDS_ENDPOINT, str_from(name), buf_str(&b), STR(""));
}

struct xds_entry *translate_endpoints(const char *service, uint16_t port, bool to_service,
                                      const struct joined_service *s)
{
    struct addresses found = {0};
    char name[CLUSTER_NAME_MAX];
    const char *of = port_name(s, port);
    translate_endpoints_name(service, port, to_service, name);
    if (of && to_service && s->object->n_cluster_ips)
        vec_push(&found.v, (struct address){s->object->cluster_ips[0], port});
    else if (of)
        gather_all(s, (struct choice){.port = of}, &found);
    struct xds_entry *e = assignment(name, &found, false, NULL);
    vec_done(&found.v);
    return e;
}

struct xds_entry *translate_grpc_endpoints(const char *service, uint16_t port,
                                           const struct joined_service *s)
{
    struct addresses found = {0};
    char name[CLUSTER_NAME_MAX];
    const char *of = port_name(s, port);
    translate_endpoints_name(service, port, false, name);
    if (of)
        gather_all(s, (struct choice){.port = of}, &found);
    struct xds_entry *e = assignment(name, &found, true, NULL);
    vec_done(&found.v);
    return e;
}

struct xds_entry *translate_mesh_endpoints(const char *service, uint16_t port,
                                           const struct translate_subset *subset,
                                           const struct joined_service *s,
                                           const struct translate_peers *peers,
                                           const struct translate_localities *by)
{
    const struct route_backend to = {.service = (char *)(uintptr_t)service,
                                     .subset = (char *)(uintptr_t)(subset ? subset->name : NULL),
                                     .port = port};
    struct addresses found = {0};
    char name[CLUSTER_NAME_MAX];
    const char *of = port_name(s, port);
    struct choice c = {.port = of, .pods = peers->pods, .labels = subset ? subset->labels : NULL};
    struct str rest;
    c.ns = str_cut(str_from(service), '/', &rest);
    if (of)
        gather_all(s, c, &found);
    translate_backend_name(&to, NULL, name);
    struct xds_entry *e =
        by ? local_assignment(name, &found, peers, by) : assignment(name, &found, false, peers);
    vec_done(&found.v);
    return e;
}

/* ---- hosts outside ---- */

struct xds_entry *translate_host_cluster(const char *host, uint16_t port, bool tls)
{
    AUTO_DONE(buf) struct buf b = {0};
    char name[CLUSTER_NAME_MAX];
    size_t at, locality;
    translate_host_cluster_name(host, port, tls, name);
    pb_add_text(&b, F_CLUSTER_NAME, name);
    pb_add_uint(&b, F_CLUSTER_TYPE, TYPE_STRICT_DNS);
    at = pb_begin(&b, F_CLUSTER_CONNECT_TIMEOUT);
    pb_add_uint(&b, F_DURATION_SECONDS, CONNECT_TIMEOUT_S);
    pb_end(&b, at);
    at = pb_begin(&b, F_CLUSTER_LOAD_ASSIGNMENT);
    pb_add_text(&b, F_ASSIGNMENT_CLUSTER_NAME, name);
    locality = pb_begin(&b, F_ASSIGNMENT_ENDPOINTS);
    add_endpoint(&b, host, port, NULL);
    pb_end(&b, locality);
    pb_end(&b, at);
    if (tls)
        add_tls(&b, &(struct way){.sni = host});
    ASSERT(!b.failed);
    return xds_entry_new(XDS_CLUSTER, str_from(name), buf_str(&b), STR(""));
}
