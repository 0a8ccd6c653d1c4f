/* Addresses and ports of Services: which type has what, allocation, reuse on update, release by not
 * keeping.
 *
 * Nothing is stored beside the Services: what is in use is read from them (a scan of a list in
 * memory). A type that needs a ClusterIP gets one, a type that needs node ports gets them; changing
 * to a type that does not have them drops them. Rules: core/v1 ServiceSpec, KEP-563 (dual stack).
 */
#include <stdio.h>

#include "base/rand.h"
#include "lab/apiserver/api_priv.h"

static const char *family_name(const struct ip *ip)
{
    return ip->family == AF_INET6 ? "IPv6" : "IPv4";
}

static const struct prefix *cidr_of(const struct api_server *s, const char *family)
{
    for (size_t i = 0; i < s->config.n_service_cidrs; i++)
        if (streq(family_name(&s->config.service_cidrs[i].ip), family))
            return &s->config.service_cidrs[i];
    return NULL;
}

static bool address_in_use(const struct api_server *s, const char *ip, const json_t *self)
{
    struct ip own = api_own_cluster_ip(s), asked;
    if (!api_is_own_service(self) && ip_parse(str_from(ip), &asked) == 0 && ip_eq(&own, &asked))
        return true; /* also while default/kubernetes is away */
    return alloc_address_taken(&s->alloc, ip, json_at_str(self, "metadata.uid"));
}

static bool port_in_use(const struct api_server *s, int64_t port, const char *protocol,
                        const json_t *self)
{
    return alloc_port_taken(&s->alloc, protocol, port, json_at_str(self, "metadata.uid"));
}

/* ---- families and addresses ---- */

static bool needs_address(const char *type)
{
    return !streq(type, "ExternalName");
}

static void set_families(json_t *spec, const char *first, const char *second)
{
    json_t *list = json_array();
    json_array_append_new(list, json_string(first));
    if (second)
        json_array_append_new(list, json_string(second));
    json_object_set_new(spec, "ipFamilies", list);
}

static const char *other_family(const char *family)
{
    return streq(family, "IPv4") ? "IPv6" : "IPv4";
}

static bool is_headless(const json_t *spec)
{
    return streq(json_key_str(spec, "clusterIP"), "None");
}

/* Headless without selector: whose endpoints may have families that the cluster has no range of. */
static bool is_free_of_ranges(const json_t *spec)
{
    return is_headless(spec) && !json_object_size(json_object_get(spec, "selector"));
}

static void copy_if_absent(json_t *spec, const json_t *old_spec, const char *member)
{
    json_t *have = json_object_get(spec, member), *was = json_object_get(old_spec, member);
    bool absent = !have || (json_is_string(have) && !json_string_length(have)) ||
                  (json_is_array(have) && !json_array_size(have));
    if (absent && was)
        json_object_set(spec, member, was);
}

/* What an update leaves out stays as it was. */
static void keep_families(json_t *spec, const json_t *old)
{
    static const char *const members[] = {"ipFamilyPolicy", "ipFamilies", "clusterIP",
                                          "clusterIPs"};
    const json_t *old_spec = json_object_get(old, "spec");
    bool given = !str_empty(json_key_str(spec, "clusterIP")) ||
                 json_array_size(json_object_get(spec, "clusterIPs"));
    if (!old || !needs_address(json_key_str(old_spec, "type")))
        return;
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (!given || i < 2)
            copy_if_absent(spec, old_spec, members[i]);
}

/* One family cannot have two of something, unless it is what was there and the policy is new. */
static void check_single(const json_t *spec, const json_t *old, const char *member,
                         const char *what, struct api_causes *causes)
{
    const json_t *have = json_object_get(spec, member),
                 *was = json_object_get(json_object_get(old, "spec"), member);
    if (json_array_size(have) > 1 && !(was && json_equal(have, was)))
        api_cause_add(causes, "FieldValueInvalid", "spec.ipFamilyPolicy",
                      "Invalid value: \"SingleStack\": must be 'RequireDualStack' or "
                      "'PreferDualStack' when multiple %s are specified",
                      what);
}

static void check_families(const struct api_server *s, const json_t *spec, const json_t *old,
                           const char *policy, const char *first, struct api_causes *causes)
{
    const char *was = json_string_value(json_array_get(json_at(old, "spec.ipFamilies"), 0));
    const json_t *families = json_object_get(spec, "ipFamilies");
    const char *second = json_string_value(json_array_get(families, 1));
    if (second && streq(second, json_string_value(json_array_get(families, 0))))
        api_cause_add(causes, "FieldValueDuplicate", "spec.ipFamilies[1]",
                      "Duplicate value: \"%s\"", second);
    if (streq(policy, "SingleStack")) {
        check_single(spec, old, "clusterIPs", "cluster IPs", causes);
        check_single(spec, old, "ipFamilies", "IP families", causes);
    }
    if (was && !streq(was, first) && needs_address(json_at_str(old, "spec.type")))
        api_cause_add(causes, "FieldValueInvalid", "spec.ipFamilies[0]",
                      "Invalid value: [\"%s\"]: may not change once set", first);
    if (is_free_of_ranges(spec))
        return;
    if (streq(policy, "RequireDualStack") && s->config.n_service_cidrs < 2)
        api_cause_add(causes, "FieldValueInvalid", "spec.ipFamilyPolicy",
                      "Invalid value: \"RequireDualStack\": this cluster is not configured for "
                      "dual-stack services");
    if (!cidr_of(s, first))
        api_cause_add(causes, "FieldValueInvalid", "spec.ipFamilies[0]",
                      "Invalid value: \"%s\": not configured on this cluster", first);
}

/* Settles ipFamilyPolicy and ipFamilies from what is given. */
static void settle_families(const struct api_server *s, json_t *spec, const json_t *old,
                            struct api_causes *causes)
{
    json_t *families = json_object_get(spec, "ipFamilies"),
           *given = json_object_get(spec, "clusterIPs");
    const char *policy = json_key_str(spec, "ipFamilyPolicy"),
               *cluster_ip = json_key_str(spec, "clusterIP"),
               *first = json_string_value(json_array_get(families, 0));
    bool two = json_array_size(families) > 1 || json_array_size(given) > 1;
    struct ip ip;
    if (!first && cluster_ip && ip_parse(str_from(cluster_ip), &ip) == 0)
        first = family_name(&ip);
    if (!first)
        first = family_name(&s->config.service_cidrs[0].ip);
    if (!policy)
        policy = two || is_free_of_ranges(spec) ? "RequireDualStack" : "SingleStack";
    check_families(s, spec, old, policy, first, causes);
    bool both =
        !streq(policy, "SingleStack") && (s->config.n_service_cidrs > 1 || is_free_of_ranges(spec));
    AUTO_CHARS char *keep = xstrdup(policy);
    AUTO_CHARS char *first_copy = xstrdup(first);
    set_families(spec, first_copy, both ? other_family(first_copy) : NULL);
    json_object_set_new(spec, "ipFamilyPolicy", json_string(keep));
}

static bool allocate_address(const struct api_server *s, const char *family, const json_t *self,
                             char ret[IP_TEXT_BYTES])
{
    const struct prefix *cidr = cidr_of(s, family);
    uint64_t size = MIN(prefix_size(cidr), (uint64_t)65536);
    struct ip ip;
    /* From a random place on: neighbours in time are not neighbours in number. The first 256 are
     * left for fixed ones. */
    uint64_t skip = size > 1024 ? 256 : 2, span = size - skip - 1, start = rand_below(span);
    for (uint64_t i = 0; i < span; i++) {
        if (prefix_nth(cidr, skip + (start + i) % span, &ip) < 0)
            continue;
        if (!address_in_use(s, ip_format(&ip, ret), self))
            return true;
    }
    return false;
}

/* The network's own address and, of IPv4, the last one are nobody's. */
static bool is_edge(const struct prefix *cidr, const struct ip *ip)
{
    struct ip edge = prefix_network(cidr);
    if (ip_eq(&edge, ip))
        return true;
    return ip->family == AF_INET && prefix_nth(cidr, prefix_size(cidr) - 1, &edge) == 0 &&
           ip_eq(&edge, ip);
}

static void check_address(const struct api_server *s, const char *text, const char *family,
                          size_t index, const json_t *self, struct api_causes *causes)
{
    char field[40], range[PREFIX_TEXT_BYTES];
    struct ip ip;
    const struct prefix *cidr = cidr_of(s, family);
    snprintf(field, sizeof(field), index ? "spec.clusterIPs[%zu]" : "spec.clusterIPs[0]", index);
    if (ip_parse(str_from(text), &ip) < 0)
        api_cause_add(
            causes, "FieldValueInvalid", field,
            "Invalid value: \"%s\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            text);
    else if (!streq(family_name(&ip), family))
        api_cause_add(
            causes, "FieldValueInvalid", field,
            "Invalid value: \"%s\": expected an %s value as indicated by `ipFamilies[%zu]`", text,
            family, index);
    else if (!prefix_contains(cidr, &ip))
        api_cause_add(causes, "FieldValueInvalid", field,
                      "Invalid value: \"%s\": failed to allocate IP %s: the provided network does "
                      "not match the current range",
                      text, text);
    else if (is_edge(cidr, &ip))
        api_cause_add(
            causes, "FieldValueInvalid", field,
            "Invalid value: \"%s\": failed to allocate IP %s: the provided IP (%s) is not "
            "in the valid range. The range of valid IPs is %s",
            text, text, text, prefix_format(cidr, range));
    else if (address_in_use(s, text, self))
        api_cause_add(
            causes, "FieldValueInvalid", field,
            "Invalid value: \"%s\": failed to allocate IP %s: provided IP is already allocated",
            text, text);
}

static void settle_addresses(const struct api_server *s, json_t *object, const json_t *old,
                             struct api_causes *causes)
{
    json_t *spec = json_object_get(object, "spec"), *list = json_array(), *family;
    json_t *given = json_object_get(spec, "clusterIPs");
    const char *first = json_key_str(spec, "clusterIP");
    size_t i;
    json_array_foreach(json_object_get(spec, "ipFamilies"), i, family)
    {
        const char *want = json_string_value(json_array_get(given, i)),
                   *name = json_string_value(family);
        const char *had = json_string_value(json_array_get(json_at(old, "spec.clusterIPs"), i));
        char ip[IP_TEXT_BYTES] = "";
        if (i == 0 && !str_empty(first))
            want = first;
        if (str_empty(want) && !str_empty(had) &&
            streq(json_string_value(json_array_get(json_at(old, "spec.ipFamilies"), i)), name))
            want = had;
        if (!str_empty(want)) {
            if (!streq(want, had))
                check_address(s, want, name, i, object, causes);
            snprintf(ip, sizeof(ip), "%s", want);
        } else if (!allocate_address(s, name, object, ip)) {
            api_cause_add(causes, "InternalError", "spec.clusterIPs",
                          "Internal error: no %s address of the service range is free", name);
        }
        json_array_append_new(list, json_string(ip));
    }
    json_object_set_new(spec, "clusterIP", json_string(json_string_value(json_array_get(list, 0))));
    json_object_set_new(spec, "clusterIPs", list);
}

/* ---- node ports ---- */

static int64_t old_node_port(const json_t *old, const json_t *port)
{
    json_t *p;
    size_t i;
    json_array_foreach(
        json_at(old, "spec.ports"), i,
        p) if (json_at_int(p, "port", 0) == json_at_int(port, "port", -1) &&
               streq(json_key_str(p, "protocol"),
                     json_key_str(port, "protocol"))) return json_at_int(p, "nodePort", 0);
    return 0;
}

/* The same number may serve two protocols of one Service. */
static bool taken_here(const json_t *ports, const json_t *self, int64_t number,
                       const char *protocol)
{
    json_t *p;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)ports, i,
                       p) if (p != self && json_at_int(p, "nodePort", 0) == number &&
                              streq(json_key_str(p, "protocol"), protocol)) return true;
    return false;
}

/* One that another protocol of the same port has, else any that is free. */
static int64_t allocate_port(const struct api_server *s, const json_t *object, const json_t *port)
{
    uint64_t first = s->config.node_port_first,
             span = (uint64_t)s->config.node_port_last - first + 1, start = rand_below(span);
    const char *protocol = json_key_str(port, "protocol");
    json_t *p;
    size_t k;
    json_array_foreach(json_at(object, "spec.ports"), k, p)
    {
        int64_t n = json_at_int(p, "nodePort", 0);
        if (n && json_at_int(p, "port", 0) == json_at_int(port, "port", -1) &&
            !port_in_use(s, n, protocol, object) &&
            !taken_here(json_at(object, "spec.ports"), port, n, protocol))
            return n;
    }
    for (uint64_t i = 0; i < span; i++) {
        int64_t n = (int64_t)(first + (start + i) % span);
        if (!port_in_use(s, n, protocol, object) &&
            !taken_here(json_at(object, "spec.ports"), port, n, protocol))
            return n;
    }
    return 0;
}

static void settle_node_ports(const struct api_server *s, json_t *object, const json_t *old,
                              struct api_causes *causes)
{
    const char *type = json_at_str(object, "spec.type");
    bool wants = streq(type, "NodePort") ||
                 (streq(type, "LoadBalancer") &&
                  !json_is_false(json_at(object, "spec.allocateLoadBalancerNodePorts")));
    json_t *port;
    size_t i;
    char field[60];
    json_array_foreach(json_at(object, "spec.ports"), i, port)
    {
        int64_t n = json_at_int(port, "nodePort", 0);
        const char *protocol = json_key_str(port, "protocol");
        snprintf(field, sizeof(field), "spec.ports[%zu].nodePort", i);
        if (streq(type, "ClusterIP") || streq(type, "ExternalName")) {
            if (n && n != old_node_port(old, port))
                api_cause_add(causes, "FieldValueForbidden", field,
                              "Forbidden: may not be used when `type` is '%s'", type);
            json_object_del(port, "nodePort");
            continue;
        }
        if (!n)
            n = old_node_port(old, port);
        if (!n && wants)
            n = allocate_port(s, object, port);
        else if (n && n != old_node_port(old, port)) {
            if (n < s->config.node_port_first || n > s->config.node_port_last)
                api_cause_add(causes, "FieldValueInvalid", field,
                              "Invalid value: %lld: provided port is not in the valid range. The "
                              "range of valid ports is %u-%u",
                              (long long)n, s->config.node_port_first, s->config.node_port_last);
            else if (port_in_use(s, n, protocol, object) ||
                     taken_here(json_at(object, "spec.ports"), port, n, protocol))
                api_cause_add(causes, "FieldValueInvalid", field,
                              "Invalid value: %lld: provided port is already allocated",
                              (long long)n);
        }
        if (n)
            json_object_set_new(port, "nodePort", json_integer(n));
        else if (wants)
            api_cause_add(causes, "InternalError", field,
                          "Internal error: no port of the node port range is free");
    }
}

static void check_health_port(const struct api_server *s, const json_t *object, int64_t n,
                              struct api_causes *causes)
{
    static const char field[] = "spec.healthCheckNodePort";
    if (n < s->config.node_port_first || n > s->config.node_port_last)
        api_cause_add(causes, "FieldValueInvalid", field,
                      "Invalid value: %lld: provided port is not in the valid range. The range of "
                      "valid ports is %u-%u",
                      (long long)n, s->config.node_port_first, s->config.node_port_last);
    else if (port_in_use(s, n, "TCP", object) ||
             taken_here(json_at(object, "spec.ports"), NULL, n, "TCP"))
        api_cause_add(causes, "FieldValueInvalid", field,
                      "Invalid value: %lld: provided port is already allocated", (long long)n);
}

static void settle_health_port(const struct api_server *s, json_t *object, const json_t *old,
                               struct api_causes *causes)
{
    static const char path[] = "spec.healthCheckNodePort";
    bool wants = streq(json_at_str(object, "spec.type"), "LoadBalancer") &&
                 streq(json_at_str(object, "spec.externalTrafficPolicy"), "Local");
    int64_t had = json_at_int(old, path, 0), given = json_at_int(object, path, 0);
    if (!wants && given && given != had)
        api_cause_add(causes, "FieldValueInvalid", path,
                      "Invalid value: %lld: may only be set when `type` is 'LoadBalancer' and "
                      "`externalTrafficPolicy` is 'Local'",
                      (long long)given);
    else if (!wants)
        json_del(object, path);
    else if (had && given && given != had)
        api_cause_add(causes, "FieldValueInvalid", path, "Invalid value: %lld: field is immutable",
                      (long long)given);
    else if (had)
        json_put_int(object, path, had);
    else if (given)
        check_health_port(s, object, given, causes);
    else {
        AUTO_JSON json_t *port = json_pack("{s:s}", "protocol", "TCP");
        json_put_int(object, path, allocate_port(s, object, port));
    }
}

/* An address once given is kept: changing it needs a new Service (or the way through ExternalName).
 */
static void check_immutable(const json_t *object, const json_t *old, struct api_causes *causes)
{
    const char *was = json_at_str(old, "spec.clusterIP"),
               *is = json_at_str(object, "spec.clusterIP");
    const char *old_type = json_at_str(old, "spec.type"), *type = json_at_str(object, "spec.type");
    if (!old || str_empty(was) || str_empty(is) || streq(was, is) ||
        streq(old_type, "ExternalName") || streq(type, "ExternalName"))
        return;
    AUTO_CHARS char *value = xstrdup(is);
    api_cause_add(causes, "FieldValueInvalid", "spec.clusterIPs[0]",
                  "Invalid value: [\"%s\"]: may not change once set", value);
}

/* Of another type than it is for, a field goes if it came along from before; a new one stays for
 * validation to refuse. */
static void drop_unless_new(json_t *spec, const json_t *old, const char *member)
{
    const json_t *have = json_object_get(spec, member),
                 *was = json_object_get(json_object_get(old, "spec"), member);
    if (have && was && json_equal(have, was))
        json_object_del(spec, member);
}

void api_service_prepare(struct api_server *s, json_t *object, const json_t *old,
                         struct api_causes *causes)
{
    json_t *spec = json_object_get(object, "spec");
    if (!json_is_object(spec))
        return; /* validation says so */
    const char *type = json_key_str(spec, "type");
    if (!needs_address(type)) {
        static const char *const gone[] = {"clusterIP",
                                           "clusterIPs",
                                           "ipFamilies",
                                           "ipFamilyPolicy",
                                           "internalTrafficPolicy",
                                           "externalTrafficPolicy",
                                           "healthCheckNodePort",
                                           "allocateLoadBalancerNodePorts"};
        for (size_t i = 0; i < ARRAY_LEN(gone); i++)
            json_object_del(spec, gone[i]);
        settle_node_ports(s, object, old, causes);
        return;
    }
    if (!streq(type, "LoadBalancer")) {
        drop_unless_new(spec, old, "allocateLoadBalancerNodePorts");
        drop_unless_new(spec, old, "loadBalancerClass");
    }
    if (!streq(type, "LoadBalancer") && !streq(type, "NodePort") &&
        !json_array_size(json_object_get(spec, "externalIPs")))
        drop_unless_new(spec, old, "externalTrafficPolicy");
    const char *ip = json_key_str(spec, "clusterIP"),
               *first_ip =
                   json_string_value(json_array_get(json_object_get(spec, "clusterIPs"), 0));
    if (!old && !str_empty(ip) && first_ip && !streq(ip, first_ip))
        api_cause_add(causes, "FieldValueInvalid", "spec.clusterIPs",
                      "Invalid value: [\"%s\"]: element [0] must match clusterIP", first_ip);
    keep_families(spec, old);
    check_immutable(object, old, causes);
    settle_families(s, spec, old, causes);
    if (causes->n)
        return;
    if (is_headless(spec)) {
        json_object_set_new(spec, "clusterIPs", json_pack("[s]", "None"));
    } else {
        settle_addresses(s, object, old, causes);
    }
    settle_node_ports(s, object, old, causes);
    settle_health_port(s, object, old, causes);
}
