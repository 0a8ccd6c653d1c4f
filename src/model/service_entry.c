/* The object is kept as JSON: what is read here points into it. Rules are those of Istio's own
 * validation (reference: networking.istio.io/v1 ServiceEntry). */
#include "model/service_entry.h"

#include "base/hash.h"
#include "model/clusters.h"

#define ALLOC(n, of) xcalloc((n) + 1, sizeof(*(of)))

/* ---- hosts and addresses ---- */

static bool is_host(const char *host)
{
    struct ip ip;
    return strchr(host, '.') && ip_parse(str_from(host), &ip) < 0 && istio_host_is_valid(host);
}

static bool read_host(struct object_reader *r, const struct service_entry *e, const char *host)
{
    AUTO_CHARS char *service = istio_host_service(host);
    if (!is_host(host))
        return reader_error(r, NULL, "write a DNS name with a dot, or *.name",
                            "\"%.100s\" is no host", host);
    if (service || str_ends(str_from(host), STR(".svc")))
        return reader_error(r, NULL, "name it otherwise", "%.100s is a name of a Service", host);
    if (*host == '*' && e->resolution != ENTRY_NONE && e->resolution != ENTRY_STATIC &&
        !json_array_size(json_object_get(e->o.spec, "endpoints")))
        return reader_error(r, NULL, "say endpoints, or resolution NONE",
                            "%.100s is no name that DNS could be asked for", host);
    for (size_t i = 0; i < e->n_hosts; i++)
        if (streq(e->hosts[i], host))
            return reader_error(r, NULL, NULL, "%.100s is there twice", host);
    return true;
}

static void read_hosts(struct object_reader *r, struct service_entry *e)
{
    const json_t *list = json_object_get(e->o.spec, "hosts");
    size_t n = MIN(json_array_size(list), (size_t)ENTRY_HOSTS_MAX);
    if (!json_array_size(list))
        reader_error(r, "hosts", "say at least one", "is missing");
    if (json_array_size(list) > n)
        reader_error(r, "hosts", "make several ServiceEntries of it",
                     "are more than %d: the rest is left out", ENTRY_HOSTS_MAX);
    e->hosts = ALLOC(n, e->hosts);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        size_t mark = reader_enter_item(r, "hosts", i);
        char *host = istio_host(text ? text : "", e->o.ns);
        if (read_host(r, e, host))
            e->hosts[e->n_hosts++] = host;
        else
            free(host);
        reader_leave(r, mark);
    }
}

static void read_address(struct object_reader *r, struct service_entry *e, const char *text)
{
    struct ip ip;
    struct prefix network;
    if (ip_parse(str_from(text), &ip) == 0)
        e->addresses[e->n_addresses++] = ip;
    else if (prefix_parse(str_from(text), &network) < 0)
        reader_error(r, NULL, NULL, "\"%.100s\" is no address and no network", text);
    else if (e->resolution != ENTRY_NONE && e->resolution != ENTRY_STATIC)
        reader_error(r, NULL, "write addresses", "networks go with resolution NONE and STATIC");
    else
        e->networks[e->n_networks++] = network;
}

static void read_addresses(struct object_reader *r, struct service_entry *e)
{
    const json_t *list = json_object_get(e->o.spec, "addresses");
    size_t n = MIN(json_array_size(list), (size_t)ENTRY_ADDRESSES_MAX);
    if (json_array_size(list) > n)
        reader_error(r, "addresses", "write networks", "are more than %d: the rest is left out",
                     ENTRY_ADDRESSES_MAX);
    e->addresses = ALLOC(n, e->addresses);
    e->networks = ALLOC(n, e->networks);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        size_t mark = reader_enter_item(r, "addresses", i);
        read_address(r, e, text ? text : "");
        reader_leave(r, mark);
    }
}

/* ---- ports ---- */

static const struct {
    const char *word, *app_protocol;
} protocols[] = {{"HTTP", "http"},         {"HTTPS", "https"},          {"GRPC", "grpc"},
                 {"GRPC-WEB", "grpc-web"}, {"HTTP2", "http2"},          {"MONGO", "mongo"},
                 {"REDIS", "redis"},       {"MYSQL", "mysql"},          {"TCP", "tcp"},
                 {"TLS", "tls"},           {"HTTP_PROXY", "http_proxy"}};

bool service_entry_protocol(const char *word, const char **ret)
{
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
        if (str_eq_nocase(str_from(word), str_from(protocols[i].word))) {
            *ret = protocols[i].app_protocol;
            return true;
        }
    return false;
}

static bool read_protocol(struct object_reader *r, const char *word, const char **ret)
{
    return service_entry_protocol(word, ret) ||
           reader_error(r, "protocol", "write HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS",
                        "\"%.40s\" is none that is known", word);
}

static bool read_port(struct object_reader *r, const struct service_entry *e, const json_t *j,
                      struct entry_port *ret)
{
    const char *protocol = json_key_str(j, "protocol");
    int64_t number = 0, target = 0;
    *ret = (struct entry_port){.name = json_key_str(j, "name")};
    bool ok = reader_number(r, j, "number", 1, 65535, &number) &&
              reader_number(r, j, "targetPort", 1, 65535, &target);
    if (ok && !number)
        ok = reader_error(r, "number", NULL, "is missing");
    if (str_empty(ret->name))
        ok = reader_error(r, "name", NULL, "is missing");
    if (!str_empty(protocol))
        ok = read_protocol(r, protocol, &ret->app_protocol) && ok;
    if (target && e->resolution == ENTRY_NONE)
        ok = reader_error(r, "targetPort", "leave it out",
                          "goes with endpoints: with resolution NONE there are none");
    for (size_t i = 0; ok && i < e->n_ports; i++)
        if (e->ports[i].number == number)
            ok = reader_error(r, "number", NULL, "%lld is there twice", (long long)number);
        else if (streq(e->ports[i].name, ret->name))
            ok = reader_error(r, "name", NULL, "%.100s is there twice", ret->name);
    if (ok && !ret->app_protocol) { /* without an address there is but the host's name to go by */
        ret->app_protocol = e->n_addresses || e->n_networks ? "tcp" : "http";
        reader_warn(r, "protocol", "write HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS",
                    "is missing: it is taken to be %s", ret->app_protocol);
    }
    ret->number = (uint16_t)number;
    ret->target = (uint16_t)(target ? target : number);
    return ok;
}

static void read_ports(struct object_reader *r, struct service_entry *e)
{
    const json_t *list = json_object_get(e->o.spec, "ports");
    size_t n = MIN(json_array_size(list), (size_t)ENTRY_PORTS_MAX);
    if (!n)
        reader_error(r, "ports", "say at least one", "is missing");
    if (json_array_size(list) > n)
        reader_error(r, "ports", NULL, "are more than %d: the rest is left out", ENTRY_PORTS_MAX);
    e->ports = ALLOC(n, e->ports);
    for (size_t i = 0; i < n; i++) {
        size_t mark = reader_enter_item(r, "ports", i);
        if (read_port(r, e, json_array_get(list, i), &e->ports[e->n_ports]))
            e->n_ports++;
        reader_leave(r, mark);
    }
}

/* ---- endpoints ---- */

static bool read_endpoint_ports(struct object_reader *r, const struct service_entry *e,
                                const json_t *spec)
{
    const json_t *ports = json_object_get(spec, "ports");
    const char *name;
    json_t *number;
    bool ok = true;
    json_object_foreach((json_t *)(uintptr_t)ports, name, number)
    {
        bool known = false;
        int64_t n = json_is_integer(number) ? json_integer_value(number) : 0;
        for (size_t i = 0; i < e->n_ports; i++)
            known = known || streq(e->ports[i].name, name);
        size_t mark = reader_enter_key(r, "ports", name);
        if (n < 1 || n > 65535)
            ok = reader_error(r, NULL, NULL, "is no number from 1 to 65535");
        else if (!known)
            ok = reader_error(r, NULL, "name a port of spec.ports", "there is no such port");
        reader_leave(r, mark);
    }
    return ok;
}

static bool read_endpoint(struct object_reader *r, const struct service_entry *e,
                          const json_t *spec, struct entry_endpoint *ret)
{
    const char *address = json_key_str(spec, "address");
    int64_t weight = 0;
    *ret = (struct entry_endpoint){.address = address, .spec = spec};
    bool ok = reader_number(r, spec, "weight", 0, UINT32_MAX, &weight);
    ret->weight = (uint32_t)weight;
    if (str_empty(address))
        return reader_error(r, "address", NULL, "is missing");
    if (str_starts(str_from(address), STR("unix:")))
        return reader_error(r, "address", "name an address", "sockets of files are not done");
    if (ip_parse(str_from(address), &ret->ip) < 0) {
        if (e->resolution == ENTRY_STATIC)
            return reader_error(r, "address", "write an IP address, or resolution DNS",
                                "%.100s is none, which resolution STATIC asks for", address);
        if (*address == '*' || !istio_host_is_valid(address))
            return reader_error(r, "address", NULL, "%.100s is no address and no name", address);
    }
    return read_endpoint_ports(r, e, spec) && ok;
}

static void read_endpoints(struct object_reader *r, struct service_entry *e)
{
    const json_t *list = json_object_get(e->o.spec, "endpoints");
    size_t n = MIN(json_array_size(list), (size_t)ENTRY_ENDPOINTS_MAX);
    if (json_array_size(list) > n)
        reader_error(r, "endpoints", NULL, "are more than %d: the rest is left out",
                     ENTRY_ENDPOINTS_MAX);
    if (n && e->resolution == ENTRY_NONE) {
        reader_error(r, "endpoints", "write resolution STATIC or DNS",
                     "have no effect with resolution NONE");
        n = 0;
    }
    if (n > 1 && e->resolution == ENTRY_DNS_ROUND_ROBIN) {
        reader_error(r, "endpoints", "write resolution DNS",
                     "resolution DNS_ROUND_ROBIN asks for one: the rest is left out");
        n = 1;
    }
    e->endpoints = ALLOC(n, e->endpoints);
    for (size_t i = 0; i < n; i++) {
        size_t mark = reader_enter_item(r, "endpoints", i);
        if (read_endpoint(r, e, json_array_get(list, i), &e->endpoints[e->n_endpoints]))
            e->n_endpoints++;
        reader_leave(r, mark);
    }
}

static void read_selector(struct object_reader *r, struct service_entry *e)
{
    const json_t *labels = json_at(e->o.spec, "workloadSelector.labels");
    if (!json_object_get(e->o.spec, "workloadSelector"))
        return;
    if (e->n_endpoints)
        reader_error(r, "workloadSelector", "leave out one of them",
                     "stands beside endpoints: these count");
    else if (e->resolution != ENTRY_STATIC)
        reader_error(r, "workloadSelector", "write resolution STATIC",
                     "selects addresses: with another resolution it has no effect");
    else if (!json_object_size(labels))
        reader_error(r, "workloadSelector.labels", "say labels", "selects nothing without any");
    else
        e->selector = labels;
}

/* ---- addresses that are found for it ---- */

static bool may_allocate(const struct service_entry *e, const json_t *j)
{
    const json_t *labels = json_at(j, "metadata.labels");
    bool wild = false;
    for (size_t i = 0; i < e->n_hosts; i++)
        wild = wild || *e->hosts[i] == '*';
    return !wild && e->n_hosts && !json_array_size(json_object_get(e->o.spec, "addresses")) &&
           e->resolution != ENTRY_NONE &&
           !streq(json_key_str(labels, ENTRY_ALLOCATION_LABEL), "false");
}

/* What a leader among the control planes has written there. */
static void read_status(struct service_entry *e, const json_t *j)
{
    const json_t *list = json_at(j, "status.addresses"), *one;
    size_t k;
    e->allocated = ALLOC(e->n_hosts, e->allocated);
    e->allocates = may_allocate(e, j);
    if (!e->allocates)
        return;
    json_array_foreach((json_t *)(uintptr_t)list, k, one)
    {
        const char *host = json_key_str(one, "host"), *value = json_key_str(one, "value");
        struct ip ip;
        for (size_t i = 0; i < e->n_hosts; i++)
            if (streq(host, e->hosts[i]) && !e->allocated[i].family &&
                ip_parse(str_from(value ? value : ""), &ip) == 0 && ip.family == AF_INET) {
                e->allocated[i] = ip;
                e->looks = hash_bytes_seed(ip.bytes, ip_bytes(&ip), e->looks + i);
            }
    }
}

/* ---- the whole ---- */

static void read_enums(struct object_reader *r, struct service_entry *e)
{
    static const char *const words[] = {"NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN"};
    const char *resolution = json_key_str(e->o.spec, "resolution"),
               *location = json_key_str(e->o.spec, "location");
    size_t i = 0;
    while (resolution && i < ARRAY_LEN(words) && !streq(resolution, words[i]))
        i++;
    if (i == ARRAY_LEN(words))
        reader_error(r, "resolution", "write NONE, STATIC, DNS or DNS_ROUND_ROBIN",
                     "%.40s is not done: nothing of it is served", resolution);
    else
        e->resolution = (enum entry_resolution)i;
    e->external = !streq(location, "MESH_INTERNAL");
    if (location && e->external && !streq(location, "MESH_EXTERNAL"))
        reader_error(r, "location", "write MESH_EXTERNAL or MESH_INTERNAL",
                     "%.40s is no place: it is taken to be outside", location);
}

static void check_whole(struct object_reader *r, struct service_entry *e)
{
    if (e->resolution == ENTRY_STATIC && !e->n_endpoints && !e->selector)
        reader_warn(r, "endpoints", "say some, or a workloadSelector",
                    "resolution STATIC without any: 503");
    for (size_t i = 0; i < e->n_ports; i++)
        if (streq(e->ports[i].app_protocol, "tcp") && !e->n_addresses && !e->n_networks)
            reader_warn(r, "addresses", "say addresses, so that others may have that port",
                        "port %u of TCP without any: whatever goes to that port goes there",
                        e->ports[i].number);
}

struct service_entry *service_entry_decode(const json_t *j)
{
    struct service_entry *e = NEW(struct service_entry);
    if (!istio_object_decode(j, &e->o)) {
        service_entry_free(e);
        return NULL;
    }
    AUTO_DONE(object_reader)
    struct object_reader r = {
        .findings = &e->o.findings, .object = e->o.key, .id = "ServiceEntryInvalid"};
    size_t mark = reader_enter(&r, "spec");
    AUTO_DONE(buf) struct buf text = {0};
    json_write(&text, e->o.spec ? e->o.spec : json_null());
    e->looks = hash_bytes_seed(text.p, text.n, 0);
    read_enums(&r, e);
    bool known = r.errors == 0;
    read_hosts(&r, e);
    read_addresses(&r, e);
    read_ports(&r, e);
    read_endpoints(&r, e);
    read_selector(&r, e);
    istio_object_read_export(&e->o, &r);
    read_status(e, j);
    e->names = json_object_get(e->o.spec, "subjectAltNames");
    check_whole(&r, e);
    reader_leave(&r, mark);
    if (!known) /* nobody knows where it is */
        e->n_ports = 0;
    return e;
}

void service_entry_free(struct service_entry *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < e->n_hosts; i++)
        free((char *)(uintptr_t)e->hosts[i]);
    free(e->hosts);
    free(e->allocated);
    free(e->addresses);
    free(e->networks);
    free(e->ports);
    free(e->endpoints);
    istio_object_done(&e->o);
    free(e);
}

/* ---- in Kubernetes' words ---- */

uint16_t service_entry_target(const struct entry_port *p, const json_t *spec)
{
    const json_t *n = json_object_get(json_object_get(spec, "ports"), p->name);
    return json_is_integer(n) ? (uint16_t)json_integer_value(n) : p->target;
}

static json_t *metadata_of(const struct service_entry *e, const char *host)
{
    AUTO_CHARS char *name = xasprintf(".%s/%s", e->o.name, host);
    return json_pack("{s:s,s:s,s:s}", "namespace", e->o.ns, "name", name, "uid", e->o.uid);
}

json_t *service_entry_service(const struct service_entry *e, const char *host)
{
    json_t *ports = json_array(), *ips = json_array();
    char text[IP_TEXT_BYTES];
    for (size_t i = 0; i < e->n_ports; i++)
        json_array_append_new(ports, json_pack("{s:s,s:i,s:s*}", "name", e->ports[i].name, "port",
                                               (int)e->ports[i].number, "appProtocol",
                                               e->ports[i].app_protocol));
    for (size_t i = 0; i < e->n_addresses; i++)
        json_array_append_new(ips, json_string(ip_format(&e->addresses[i], text)));
    for (size_t i = 0; i < e->n_hosts; i++)
        if (e->allocated[i].family && streq(e->hosts[i], host))
            json_array_append_new(ips, json_string(ip_format(&e->allocated[i], text)));
    return json_pack("{s:o,s:{s:o,s:o}}", "metadata", metadata_of(e, host), "spec", "ports", ports,
                     "clusterIPs", ips);
}

static json_t *slice_ports(const struct service_entry *e, const json_t *spec)
{
    json_t *ports = json_array();
    for (size_t i = 0; i < e->n_ports; i++)
        json_array_append_new(ports, json_pack("{s:s,s:i}", "name", e->ports[i].name, "port",
                                               (int)service_entry_target(&e->ports[i], spec)));
    return ports;
}

static json_t *slice_for(struct entry_slices *s, const char *family, const json_t *ports)
{
    AUTO_CHARS char *name = xasprintf(".%s/%s/%zu", s->entry->o.name, s->host,
                                      json_array_size(s->list)),
                    *service = xasprintf(".%s/%s", s->entry->o.name, s->host);
    json_t *slice;
    size_t i;
    json_array_foreach(s->list, i,
                       slice) if (streq(json_key_str(slice, "addressType"), family) &&
                                  json_equal(json_object_get(slice, "ports"), ports)) return slice;
    slice = json_pack("{s:{s:s,s:s,s:{s:s}},s:s,s:O,s:[]}", "metadata", "namespace", s->entry->o.ns,
                      "name", name, "labels", "kubernetes.io/service-name", service, "addressType",
                      family, "ports", ports, "endpoints");
    json_array_append_new(s->list, slice);
    return slice;
}

void entry_slices_add(struct entry_slices *s, const struct ip *ip, const json_t *spec)
{
    AUTO_JSON json_t *ports = slice_ports(s->entry, spec);
    json_t *slice = slice_for(s, ip->family == AF_INET6 ? "IPv6" : "IPv4", ports);
    char text[IP_TEXT_BYTES];
    json_array_append_new(json_object_get(slice, "endpoints"),
                          json_pack("{s:[s]}", "addresses", ip_format(ip, text)));
}

json_t *service_entry_workload(const char *ns, const char *name, const char *owner,
                               const json_t *spec)
{
    const json_t *said = json_object_get(spec, "labels");
    json_t *labels = json_is_object(said) ? json_copy((json_t *)(uintptr_t)said) : json_object();
    const char *account = json_key_str(spec, "serviceAccount"),
               *address = json_key_str(spec, "address"), *network = json_key_str(spec, "network");
    if (!str_empty(network))
        json_object_set_new(labels, NETWORK_LABEL, json_string(network));
    return json_pack(
        "{s:{s:s,s:s,s:o,s:[{s:s,s:s}]},s:{s:s*},s:{s:s*},s:b,s:O*,s:O*}", "metadata", "namespace",
        ns, "name", name, "labels", labels, "ownerReferences", "kind", "WorkloadEntry", "name",
        owner, "spec", "serviceAccountName", account, "status", "podIP", address, "entry", 1,
        "weight", json_object_get(spec, "weight"), "locality", json_object_get(spec, "locality"));
}
