/* Checks of the networking kinds: Service, Endpoints, EndpointSlice. What needs the allocators (a
 * port that is taken) is checked where they are. Messages are those of a real API server. Pure. */
#include "kube/kind_rules.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/map.h"

static char present;

static void check_port_name(const json_t *port, size_t i, size_t n, struct map *names,
                            struct field_errors *e)
{
    const char *name = json_at_str(port, "name");
    if (str_empty(name)) {
        if (n > 1)
            error_required(e, NULL, "spec.ports[%zu].name", i);
        return;
    }
    if (!str_is_dns1123_label(str_from(name)))
        error_invalid(e, json_object_get(port, "name"), DNS1123_LABEL_MESSAGE,
                      "spec.ports[%zu].name", i);
    if (map_put_cstr(names, name, &present))
        error_duplicate(e, json_object_get(port, "name"), "spec.ports[%zu].name", i);
}

static void check_target_port(const json_t *port, size_t i, struct field_errors *e)
{
    const json_t *target = json_object_get(port, "targetPort");
    if (json_is_integer(target) &&
        (json_integer_value(target) < 1 || json_integer_value(target) > 65535))
        error_invalid(e, target, "must be between 1 and 65535, inclusive",
                      "spec.ports[%zu].targetPort", i);
    struct str s = str_from(json_string_value(target));
    if (json_is_string(target) && (s.n > 15 || !str_is_dns1123_label(s)))
        error_invalid(
            e, target,
            s.n > 15 ? "must be no more than 15 characters"
                     : "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            "spec.ports[%zu].targetPort", i);
}

static void check_service_ports(const json_t *spec, struct field_errors *e)
{
    struct map names = {0}, keys = {0}, node_ports = {0};
    const json_t *ports = json_at(spec, "ports");
    const char *type = json_at_str(spec, "type");
    size_t i;
    json_t *p;
    json_array_foreach((json_t *)(uintptr_t)ports, i, p)
    {
        char key[64];
        const char *protocol = json_at_str(p, "protocol");
        int64_t number = json_at_int(p, "port", 0), node_port = json_at_int(p, "nodePort", 0);
        check_port_name(p, i, json_array_size(ports), &names, e);
        if (!json_object_get(p, "port"))
            error_required(e, NULL, "spec.ports[%zu].port", i);
        check_target_port(p, i, e);
        snprintf(key, sizeof(key), "%.8s/%" PRId64, protocol ? protocol : "", number);
        if (map_put_cstr(&keys, key, &present)) {
            AUTO_JSON json_t *value = json_pack(
                "{s:s, s:I}", "protocol", protocol ? protocol : "TCP", "port", (json_int_t)number);
            error_duplicate(e, value, "spec.ports[%zu]", i);
        }
        if (node_port && (streq(type, "ClusterIP") || streq(type, "ExternalName")))
            error_forbidden(e,
                            streq(type, "ClusterIP")
                                ? "may not be used when `type` is 'ClusterIP'"
                                : "may not be used when `type` is 'ExternalName'",
                            "spec.ports[%zu].nodePort", i);
        snprintf(key, sizeof(key), "%.8s/%" PRId64, protocol ? protocol : "", node_port);
        if (node_port && map_put_cstr(&node_ports, key, &present))
            error_duplicate(e, json_object_get(p, "nodePort"), "spec.ports[%zu].nodePort", i);
    }
    map_done(&names);
    map_done(&keys);
    map_done(&node_ports);
}

/* Addresses that mean another machine on each machine must not become a Service's; NULL: fine. */
static const char *why_special(const struct ip *ip)
{
    static const struct {
        const char *prefix, *why;
    } rows[] = {
        {"0.0.0.0/32", "may not be unspecified (0.0.0.0 or ::)"},
        {"::/128", "may not be unspecified (0.0.0.0 or ::)"},
        {"127.0.0.0/8", "may not be in the loopback range (127.0.0.0/8, ::1/128)"},
        {"::1/128", "may not be in the loopback range (127.0.0.0/8, ::1/128)"},
        {"169.254.0.0/16", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"},
        {"fe80::/10", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"},
        {"224.0.0.0/24", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"},
        {"ff02::/16", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct prefix p;
        if (prefix_parse(str_from(rows[i].prefix), &p) == 0 && p.ip.family == ip->family &&
            prefix_contains(&p, ip))
            return rows[i].why;
    }
    return NULL;
}

static void check_external_ips(const json_t *spec, struct field_errors *e)
{
    size_t i;
    json_t *v;
    struct ip ip;
    json_array_foreach(json_at(spec, "externalIPs"), i, v)
    {
        bool ok = ip_parse(str_from(json_string_value(v)), &ip) == 0;
        const char *why =
            ok ? why_special(&ip) : "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        if (why)
            error_invalid(e, v, why, "spec.externalIPs[%zu]", i);
    }
}

static void check_source_ranges(const json_t *spec, struct field_errors *e)
{
    size_t i;
    json_t *v;
    struct prefix p;
    json_array_foreach(json_at(spec, "loadBalancerSourceRanges"), i,
                       v) if (prefix_parse(str_trim(str_from(json_string_value(v))), &p) < 0)
        error_invalid(e, v, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                      "spec.loadBalancerSourceRanges[%zu]", i);
}

static void check_service_type(const json_t *spec, struct field_errors *e)
{
    const char *type = json_at_str(spec, "type"), *ip = json_at_str(spec, "clusterIP");
    const char *name = json_at_str(spec, "externalName");
    bool headless = streq(ip, "None");
    bool external_name = streq(type, "ExternalName");
    if (external_name) {
        struct str absolute = str_from(name ? name : ""); /* may end in a dot */
        if (str_ends(absolute, STR(".")))
            absolute.n--;
        if (str_empty(name))
            error_required(e, NULL, "spec.externalName");
        else if (!str_is_dns1123_subdomain(absolute))
            error_invalid_text(e, name, DNS1123_SUBDOMAIN_MESSAGE, "spec.externalName");
        if (!str_empty(ip))
            error_forbidden(e, "may not be set when `type` is 'ExternalName'", "spec.clusterIP");
    } else if (!headless && !json_array_size(json_at(spec, "ports"))) {
        error_required(e, NULL, "spec.ports");
    }
    if (headless && (streq(type, "NodePort") || streq(type, "LoadBalancer")))
        error_invalid_text(e, "None",
                           streq(type, "NodePort")
                               ? "may not be set to 'None' for NodePort services"
                               : "may not be set to 'None' for LoadBalancer services",
                           "spec.clusterIPs[0]");
    struct ip parsed;
    if (!str_empty(ip) && !headless && !external_name && ip_parse(str_from(ip), &parsed) < 0)
        error_invalid_text(e, ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                           "spec.clusterIPs[0]");
    static const char *const balancer_only[] = {"allocateLoadBalancerNodePorts",
                                                "loadBalancerClass"};
    for (size_t i = 0; i < ARRAY_LEN(balancer_only) && !streq(type, "LoadBalancer"); i++)
        if (json_object_get(spec, balancer_only[i]))
            error_forbidden(e, "may only be used when `type` is 'LoadBalancer'", "spec.%s",
                            balancer_only[i]);
    if (!streq(type, "NodePort") && !streq(type, "LoadBalancer") &&
        json_at_str(spec, "externalTrafficPolicy") &&
        !json_array_size(json_at(spec, "externalIPs")))
        error_invalid(e, json_at(spec, "externalTrafficPolicy"),
                      "may only be set for externally-accessible services",
                      "spec.externalTrafficPolicy");
}

void validate_service(const json_t *object, const json_t *old, struct field_errors *e)
{
    const json_t *spec = json_at(object, "spec");
    if (!json_is_object(spec)) {
        error_required(e, NULL, "spec.ports");
        return;
    }
    check_service_ports(spec, e);
    check_service_type(spec, e);
    check_external_ips(spec, e);
    check_source_ranges(spec, e);
    const char *was = json_at_str(old, "spec.clusterIP"), *is = json_at_str(spec, "clusterIP");
    bool both_have = !streq(json_at_str(old, "spec.type"), "ExternalName") &&
                     !streq(json_at_str(spec, "type"), "ExternalName");
    if (old && both_have && !str_empty(was) && !streq(was, is)) {
        AUTO_JSON json_t *ips = json_at(spec, "clusterIPs")
                                    ? json_incref(json_at(spec, "clusterIPs"))
                                    : json_pack("[s]", is ? is : "");
        error_invalid(e, ips, "may not change once set", "spec.clusterIPs[0]");
    }
}

static void check_subset_addresses(const json_t *subset, size_t i, const char *member,
                                   struct field_errors *e)
{
    size_t k;
    json_t *a;
    struct ip ip;
    json_array_foreach(json_object_get(subset, member), k, a)
    {
        const char *text = json_key_str(a, "ip");
        const char *why = text && ip_parse(str_from(text), &ip) == 0 ? why_special(&ip) : NULL;
        if (why)
            error_invalid(e, json_object_get(a, "ip"), why, "subsets[%zu].%s[%zu].ip", i, member,
                          k);
    }
}

/* What was stored once, under whatever rules, may stay. */
static bool is_unchanged(const json_t *object, const json_t *old, const char *member)
{
    const json_t *is = json_object_get(object, member), *was = json_object_get(old, member);
    return is && was && json_equal(is, was);
}

void validate_endpoints(const json_t *object, const json_t *old, struct field_errors *e)
{
    size_t i;
    json_t *s;
    if (is_unchanged(object, old, "subsets"))
        return;
    json_array_foreach(json_at(object, "subsets"), i, s)
    {
        if (!json_array_size(json_at(s, "addresses")) &&
            !json_array_size(json_at(s, "notReadyAddresses")))
            error_required(e, "must specify `addresses` or `notReadyAddresses`", "subsets[%zu]", i);
        check_subset_addresses(s, i, "addresses", e);
        check_subset_addresses(s, i, "notReadyAddresses", e);
    }
}

static void check_slice_addresses(const json_t *endpoint, size_t i, const char *type,
                                  struct field_errors *e)
{
    size_t k;
    json_t *v;
    struct ip ip;
    int family = streq(type, "IPv4") ? AF_INET : streq(type, "IPv6") ? AF_INET6 : 0;
    json_array_foreach(json_at(endpoint, "addresses"), k, v)
    {
        bool ok = ip_parse(str_from(json_string_value(v)), &ip) == 0;
        if (family == AF_INET && !(ok && ip.family == AF_INET))
            error_invalid(e, v, "must be a valid IPv4 address", "endpoints[%zu].addresses[%zu]", i,
                          k);
        if (family == AF_INET6 && !(ok && ip.family == AF_INET6))
            error_invalid(e, v, "must be a valid IPv6 address", "endpoints[%zu].addresses[%zu]", i,
                          k);
        const char *why = ok && family ? why_special(&ip) : NULL;
        if (why)
            error_invalid(e, v, why, "endpoints[%zu].addresses[%zu]", i, k);
    }
    if (json_array_size(json_at(endpoint, "addresses")) > 100)
        error_invalid_text(e, "", "must have at most 100 items", "endpoints[%zu].addresses", i);
}

void validate_endpointslice(const json_t *object, const json_t *old, struct field_errors *e)
{
    const char *type = json_at_str(object, "addressType");
    struct map names = {0};
    size_t i;
    json_t *v;
    if (old && !streq(type, json_at_str(old, "addressType")))
        error_invalid(e, json_at(object, "addressType"), "field is immutable", "addressType");
    if (json_array_size(json_at(object, "endpoints")) > 1000)
        error_invalid_text(e, "", "must have at most 1000 items", "endpoints");
    if (json_array_size(json_at(object, "ports")) > 20000)
        error_invalid_text(e, "", "must have at most 20000 items", "ports");
    if (!is_unchanged(object, old, "endpoints"))
        json_array_foreach(json_at(object, "endpoints"), i, v) check_slice_addresses(v, i, type, e);
    json_array_foreach(json_at(object, "ports"), i, v)
    {
        const char *name = json_at_str(v, "name");
        if (map_put_cstr(&names, name ? name : "", &present))
            error_duplicate(e, json_object_get(v, "name"), "ports[%zu].name", i);
    }
    map_done(&names);
}
