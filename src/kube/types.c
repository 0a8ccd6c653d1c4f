/* Decoders of Services and EndpointSlices into compact values. Pure; nothing here fails: a port
 * without a number, an address of the wrong family or a hostname where an address belongs is left
 * out, because one bad entry must not take a Service down. Built loosely, kept as one block. */
#include "kube/types.h"

#include <netinet/in.h>

#include "base/pack.h"
#include "kube/topology.h"

static char *object_key_dup(const json_t *j)
{
    const char *name = json_at_str(j, "metadata.name"), *ns = json_at_str(j, "metadata.namespace");
    return str_empty(name) ? NULL : xasprintf("%s/%s", ns ? ns : "", name);
}

static uint8_t proto_of(const json_t *port)
{
    const char *p = json_at_str(port, "protocol");
    if (!p || streq(p, "TCP"))
        return IPPROTO_TCP;
    return streq(p, "UDP") ? IPPROTO_UDP : streq(p, "SCTP") ? IPPROTO_SCTP : 0;
}

/* ---- Service ---- */

static void ips_add(struct ip **v, uint16_t *n, const char *text)
{
    struct ip ip;
    if (!text || *n == SERVICE_IPS_MAX || ip_parse(str_from(text), &ip) < 0)
        return;
    for (uint16_t i = 0; i < *n; i++)
        if (ip_eq(&(*v)[i], &ip))
            return;
    *v = xrealloc(*v, (*n + 1u) * sizeof(**v));
    (*v)[(*n)++] = ip;
}

static void decode_service_ips(struct service_object *s, const json_t *j)
{
    size_t i;
    json_t *item, *list = json_at(j, "spec.clusterIPs");
    json_array_foreach(list, i, item)
        ips_add(&s->cluster_ips, &s->n_cluster_ips, json_string_value(item));
    if (!json_array_size(list))
        ips_add(&s->cluster_ips, &s->n_cluster_ips, json_at_str(j, "spec.clusterIP"));
    json_array_foreach(json_at(j, "spec.externalIPs"), i, item)
        ips_add(&s->external_ips, &s->n_external_ips, json_string_value(item));
    json_array_foreach(json_at(j, "status.loadBalancer.ingress"), i, item)
    {
        const char *mode = json_at_str(item, "ipMode");
        if (!mode || streq(mode, "VIP"))
            ips_add(&s->balancer_ips, &s->n_balancer_ips, json_at_str(item, "ip"));
    }
}

/* Line ends too, which str_trim leaves. */
static struct str trim_space(struct str s)
{
    while (s.n && strchr(" \t\r\n", s.p[0]))
        s = str_sub(s, 1, s.n);
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    return s;
}

static void decode_source_ranges(struct service_object *s, const json_t *j)
{
    size_t i;
    json_t *item, *list = json_at(j, "spec.loadBalancerSourceRanges");
    size_t n = MIN(json_array_size(list), (size_t)UINT16_MAX);
    s->source_ranges = xcalloc(n + 1, sizeof(*s->source_ranges));
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item);
        if (i < n && text &&
            prefix_parse(trim_space(str_from(text)), &s->source_ranges[s->n_source_ranges]) == 0)
            s->n_source_ranges++;
        else
            s->source_ranges_unreadable = true;
    }
}

static void decode_service_ports(struct service_object *s, const json_t *j)
{
    size_t i;
    json_t *item, *list = json_at(j, "spec.ports");
    size_t n = MIN(json_array_size(list), (size_t)UINT16_MAX);
    s->ports = xcalloc(n + 1, sizeof(*s->ports));
    json_array_foreach(list, i, item)
    {
        int64_t port = json_at_int(item, "port", 0), node_port = json_at_int(item, "nodePort", 0);
        uint8_t proto = proto_of(item);
        const char *name = json_at_str(item, "name"), *app = json_at_str(item, "appProtocol");
        if (i >= n || !proto || port < 1 || port > 65535 || node_port < 0 || node_port > 65535)
            continue;
        s->ports[s->n_ports++] = (struct service_port){.name = xstrdup(name ? name : ""),
                                                       .app_protocol = app ? xstrdup(app) : NULL,
                                                       .proto = proto,
                                                       .port = (uint16_t)port,
                                                       .node_port = (uint16_t)node_port};
    }
}

static struct service_object *service_layout(const struct service_object *from, struct pack *p)
{
    struct service_object *s = pack_add(p, from, sizeof(*from), _Alignof(struct service_object)),
                          o = *from;
    o.cluster_ips = pack_array(p, from->cluster_ips, from->n_cluster_ips);
    o.external_ips = pack_array(p, from->external_ips, from->n_external_ips);
    o.balancer_ips = pack_array(p, from->balancer_ips, from->n_balancer_ips);
    o.source_ranges = pack_array(p, from->source_ranges, from->n_source_ranges);
    o.ports = pack_array(p, from->ports, from->n_ports);
    o.key = pack_text(p, from->key);
    o.uid = pack_text(p, from->uid);
    o.external_name = pack_text(p, from->external_name);
    for (uint16_t i = 0; i < from->n_ports; i++) {
        char *name = pack_text(p, from->ports[i].name),
             *app = pack_text(p, from->ports[i].app_protocol);
        if (!s)
            continue;
        o.ports[i].name = name;
        o.ports[i].app_protocol = app;
    }
    if (s)
        *s = o;
    return s;
}

static void loose_service_free(struct service_object *s)
{
    for (uint16_t i = 0; i < s->n_ports; i++) {
        free(s->ports[i].name);
        free(s->ports[i].app_protocol);
    }
    free(s->key);
    free(s->uid);
    free(s->external_name);
    free(s->cluster_ips);
    free(s->external_ips);
    free(s->balancer_ips);
    free(s->source_ranges);
    free(s->ports);
    free(s);
}

struct service_object *service_object_decode(const json_t *j)
{
    char *key = object_key_dup(j);
    if (!key)
        return NULL;
    struct service_object *s = NEW(struct service_object);
    const char *type = json_at_str(j, "spec.type"), *ip = json_at_str(j, "spec.clusterIP");
    const char *external = json_at_str(j, "spec.externalTrafficPolicy"),
               *internal = json_at_str(j, "spec.internalTrafficPolicy"),
               *affinity = json_at_str(j, "spec.sessionAffinity"),
               *external_name = json_at_str(j, "spec.externalName");
    s->key = key;
    s->headless = streq(ip, "None");
    if (streq(type, "ExternalName"))
        s->external_name = xstrdup(external_name ? external_name : "");
    s->dns_only = str_empty(ip) || s->headless || s->external_name;
    s->external_local = external && streq(external, "Local");
    s->internal_local = internal && streq(internal, "Local");
    if (affinity && streq(affinity, "ClientIP")) {
        int64_t t = json_at_int(j, "spec.sessionAffinityConfig.clientIP.timeoutSeconds", 10800);
        s->affinity_s = t < 1 || t > 86400 ? 10800 : (uint32_t)t;
    }
    int64_t health = json_at_int(j, "spec.healthCheckNodePort", 0);
    if (s->external_local && type && streq(type, "LoadBalancer") && health > 0 && health <= 65535)
        s->health_port = (uint16_t)health;
    s->uid = s->health_port
                 ? xstrdup(json_at_str(j, "metadata.uid") ? json_at_str(j, "metadata.uid") : "")
                 : NULL;
    decode_service_ips(s, j);
    decode_source_ranges(s, j);
    decode_service_ports(s, j);
    struct service_object *packed = pack_new(service_layout, s);
    loose_service_free(s);
    return packed;
}

void service_object_free(struct service_object *s)
{
    free(s);
}

/* ---- EndpointSlice ---- */

static size_t address_bytes(const struct slice_object *s)
{
    return s->family == AF_INET6 ? 16 : 4;
}

struct ip slice_object_ip(const struct slice_object *s, uint32_t i)
{
    struct ip ip = {.family = s->family};
    ASSERT(i < s->n_endpoints && s->family);
    memcpy(ip.bytes, s->addresses + i * address_bytes(s), address_bytes(s));
    return ip;
}

static struct slice_endpoint_names endpoint_names(const json_t *e)
{
    const char *hostname = json_key_str(e, "hostname"), *pod = json_at_str(e, "targetRef.name");
    return (struct slice_endpoint_names){
        .hostname = str_empty(hostname) ? NULL : xstrdup(hostname),
        .pod = pod && streq(json_at_str(e, "targetRef.kind"), "Pod") ? xstrdup(pod) : NULL,
    };
}

/* One address of the endpoint, if it is of the slice's family. */
static void endpoint_add(struct slice_object *s, const json_t *e, const char *address, bool further,
                         struct buf *topology)
{
    struct ip ip;
    if (!address || !s->family || ip_parse(str_from(address), &ip) < 0 || ip.family != s->family)
        return;
    uint32_t i = s->n_endpoints++;
    memcpy(s->addresses + i * address_bytes(s), ip.bytes, address_bytes(s));
    topology_read(e, topology);
    s->hinted = s->hinted || (topology_ask(buf_str(topology), &(struct place){0}) & TOPOLOGY_HINTS);
    s->endpoints[i] = (struct slice_endpoint){
        .topology = intern_ref(s->topologies, buf_str(topology)) & (INTERN_IDS_MAX - 1),
        .ready = json_at_bool(e, "conditions.ready", true),
        .serving = json_at_bool(e, "conditions.serving", true),
        .terminating = json_at_bool(e, "conditions.terminating", false),
        .further = further,
    };
    if (s->names)
        s->names[i] = endpoint_names(e);
}

static size_t addresses_count(const json_t *list, bool all)
{
    size_t i, n = 0;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)list, i, item) n +=
        all ? json_array_size(json_at(item, "addresses")) : 1;
    return n;
}

static void decode_endpoints(struct slice_object *s, const json_t *j, bool all)
{
    AUTO_DONE(buf) struct buf topology = {0};
    size_t i, k;
    json_t *item, *address, *list = json_at(j, "endpoints");
    size_t n = addresses_count(list, all);
    s->endpoints = xcalloc(n + 1, sizeof(*s->endpoints));
    s->addresses = xcalloc(n + 1, address_bytes(s));
    if (all)
        s->names = xcalloc(n + 1, sizeof(*s->names));
    json_array_foreach(list, i, item)
    {
        json_array_foreach(json_at(item, "addresses"), k, address)
        {
            if (k == 0 || all)
                endpoint_add(s, item, json_string_value(address), k > 0, &topology);
        }
    }
}

static void decode_slice_ports(struct slice_object *s, const json_t *j)
{
    size_t i;
    json_t *item, *list = json_at(j, "ports");
    s->ports = xcalloc(json_array_size(list) + 1, sizeof(*s->ports));
    json_array_foreach(list, i, item)
    {
        int64_t port = json_at_int(item, "port", 0);
        const char *name = json_at_str(item, "name");
        uint8_t proto = proto_of(item);
        if (port < 1 || port > 65535 || !proto || !name)
            continue;
        s->ports[s->n_ports++] =
            (struct slice_port){.name = xstrdup(name), .proto = proto, .port = (uint16_t)port};
    }
}

static struct slice_object *slice_layout(const struct slice_object *from, struct pack *p)
{
    struct slice_object *s = pack_add(p, from, sizeof(*from), _Alignof(struct slice_object)),
                        o = *from;
    o.ports = pack_array(p, from->ports, from->n_ports);
    o.names = pack_array(p, from->names, from->names ? from->n_endpoints : 0);
    o.endpoints = pack_array(p, from->endpoints, from->n_endpoints);
    o.addresses = pack_array(p, from->addresses, from->n_endpoints * address_bytes(from));
    o.key = pack_text(p, from->key);
    o.service_key = pack_text(p, from->service_key);
    for (uint32_t i = 0; i < from->n_ports; i++) {
        char *name = pack_text(p, from->ports[i].name);
        if (s)
            o.ports[i].name = name;
    }
    for (uint32_t i = 0; from->names && i < from->n_endpoints; i++) {
        struct slice_endpoint_names names = {.hostname = pack_text(p, from->names[i].hostname),
                                             .pod = pack_text(p, from->names[i].pod)};
        if (s)
            o.names[i] = names;
    }
    if (s)
        *s = o;
    return s;
}

/* All but the references to topologies, which the packed one has now. */
static void loose_slice_free(struct slice_object *s)
{
    for (uint32_t i = 0; i < s->n_ports; i++)
        free(s->ports[i].name);
    for (uint32_t i = 0; s->names && i < s->n_endpoints; i++) {
        free(s->names[i].hostname);
        free(s->names[i].pod);
    }
    free(s->key);
    free(s->service_key);
    free(s->ports);
    free(s->endpoints);
    free(s->addresses);
    free(s->names);
    free(s);
}

struct slice_object *slice_object_decode(const json_t *j, const struct slice_decoding *o)
{
    const char *service = json_key_str(json_at(j, "metadata.labels"), "kubernetes.io/service-name");
    const char *ns = json_at_str(j, "metadata.namespace"), *type = json_at_str(j, "addressType");
    char *key = object_key_dup(j);
    if (!key || str_empty(service)) {
        free(key);
        return NULL;
    }
    struct slice_object *s = NEW(struct slice_object);
    s->key = o->cluster ? xasprintf("%u@%s", o->cluster, key) : xstrdup(key);
    s->cluster = o->cluster;
    free(key);
    s->service_key = xasprintf("%s/%s", ns ? ns : "", service);
    s->topologies = o->topologies;
    if (type && streq(type, "IPv4"))
        s->family = AF_INET;
    else if (type && streq(type, "IPv6"))
        s->family = AF_INET6;
    decode_slice_ports(s, j);
    decode_endpoints(s, j, o->all);
    struct slice_object *packed = pack_new(slice_layout, s);
    loose_slice_free(s);
    return packed;
}

void slice_object_free(struct slice_object *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->n_endpoints; i++)
        intern_unref(s->topologies, s->endpoints[i].topology);
    free(s);
}
