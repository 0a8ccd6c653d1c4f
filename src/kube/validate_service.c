/* Checks of Services that need no allocator: ports, addresses and families as given, what belongs
 * to which type, what may not change, the status of load balancers. What is taken is checked where
 * the allocators are. Messages are those of a real API server. Pure. */
#include <inttypes.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/map.h"
#include "kube/kind_rules.h"

static char present;

static bool is_type(const json_t *spec, const char *type)
{
    return streq(json_key_str(spec, "type"), type);
}

static bool is_headless(const json_t *spec)
{
    const json_t *ips = json_object_get(spec, "clusterIPs");
    return json_array_size(ips) == 1 && streq(json_string_value(json_array_get(ips, 0)), "None");
}

/* Open to the outside: node ports, a balancer, or addresses of others. */
static bool is_external(const json_t *spec)
{
    return is_type(spec, "LoadBalancer") || is_type(spec, "NodePort") ||
           (is_type(spec, "ClusterIP") && json_array_size(json_object_get(spec, "externalIPs")));
}

static bool is_same(const json_t *a, const json_t *b)
{
    return a == b || (a && b && json_equal(a, b));
}

/* ---- ports ---- */

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
        error_invalid(e, json_object_get(port, "name"), dns1123_label_detail(str_from(name)),
                      "spec.ports[%zu].name", i);
    if (map_put_cstr(names, name, &present))
        error_duplicate(e, json_object_get(port, "name"), "spec.ports[%zu].name", i);
}

static void check_target_port(const json_t *port, size_t i, struct field_errors *e)
{
    const json_t *target = json_object_get(port, "targetPort");
    const char *why = NULL;
    if (json_is_integer(target) &&
        (json_integer_value(target) < 1 || json_integer_value(target) > 65535))
        why = "must be between 1 and 65535, inclusive";
    else if (json_is_string(target))
        why = port_name_detail(str_from(json_string_value(target)));
    if (why)
        error_invalid(e, target, why, "spec.ports[%zu].targetPort", i);
}

static void check_port_keys(const json_t *port, size_t i, bool is_cluster_ip, struct map *keys,
                            struct map *node_ports, struct field_errors *e)
{
    char key[64];
    const char *protocol = json_at_str(port, "protocol");
    int64_t number = json_at_int(port, "port", 0), node_port = json_at_int(port, "nodePort", 0);
    snprintf(key, sizeof(key), "%.8s/%" PRId64, protocol ? protocol : "", number);
    if (map_put_cstr(keys, key, &present)) {
        AUTO_JSON json_t *value = json_pack("{s:s, s:I}", "protocol", protocol ? protocol : "TCP",
                                            "port", (json_int_t)number);
        error_duplicate(e, value, "spec.ports[%zu]", i);
    }
    if (!node_port)
        return;
    if (is_cluster_ip)
        error_forbidden(e, "may not be used when `type` is 'ClusterIP'", "spec.ports[%zu].nodePort",
                        i);
    snprintf(key, sizeof(key), "%.8s/%" PRId64, protocol ? protocol : "", node_port);
    if (map_put_cstr(node_ports, key, &present))
        error_duplicate(e, json_object_get(port, "nodePort"), "spec.ports[%zu].nodePort", i);
}

static void check_ports(const json_t *spec, struct field_errors *e)
{
    struct map names = {0}, keys = {0}, node_ports = {0};
    json_t *ports = json_object_get(spec, "ports"), *p;
    size_t i;
    if (!json_array_size(ports) && !is_headless(spec) && !is_type(spec, "ExternalName"))
        error_required(e, NULL, "spec.ports");
    json_array_foreach(ports, i, p)
    {
        char path[48];
        check_port_name(p, i, json_array_size(ports), &names, e);
        if (!json_object_get(p, "port"))
            error_invalid_text(e, "0", "must be between 1 and 65535, inclusive",
                               "spec.ports[%zu].port", i);
        check_target_port(p, i, e);
        snprintf(path, sizeof(path), "spec.ports[%zu].appProtocol", i);
        validate_qualified_name(json_object_get(p, "appProtocol"), path, e);
        check_port_keys(p, i, is_type(spec, "ClusterIP"), &keys, &node_ports, e);
    }
    map_done(&names);
    map_done(&keys);
    map_done(&node_ports);
}

/* ---- addresses and families as they are given ---- */

/* What stood there before may stay, under whatever rules it came. */
static const char *why_not_ip(const json_t *v, const json_t *old_list)
{
    return json_array_has(old_list, v) ? NULL : legacy_ip_detail(str_from(json_string_value(v)));
}

static void check_names_agree(const json_t *spec, struct field_errors *e)
{
    const json_t *ips = json_object_get(spec, "clusterIPs");
    const char *ip = json_key_str(spec, "clusterIP");
    if (str_empty(ip) && json_array_size(ips))
        error_invalid(e, ips, "must be empty when `clusterIP` is not specified", "spec.clusterIPs");
    else if (!str_empty(ip) && !json_array_size(ips))
        error_required(e, NULL, "spec.clusterIPs");
    else if (!str_empty(ip) && !streq(json_string_value(json_array_get(ips, 0)), ip))
        error_invalid(e, ips, "first value must match `clusterIP`", "spec.clusterIPs");
}

static void check_family_names(const json_t *spec, struct field_errors *e)
{
    const json_t *families = json_object_get(spec, "ipFamilies");
    const char *policy = json_key_str(spec, "ipFamilyPolicy");
    struct map seen = {0};
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)(uintptr_t)families, i, v)
    {
        const char *family = json_string_value(v);
        if (!streq(family, "IPv4") && !streq(family, "IPv6"))
            error_unsupported(e, family, "IPv4|IPv6", "spec.ipFamilies[%zu]", i);
        if (map_put_cstr(&seen, family, &present))
            error_duplicate(e, v, "spec.ipFamilies[%zu]", i);
    }
    map_done(&seen);
    if (policy && !value_is_listed("PreferDualStack|RequireDualStack|SingleStack", policy))
        error_unsupported(e, policy, "PreferDualStack|RequireDualStack|SingleStack",
                          "spec.ipFamilyPolicy");
}

/* False: some are no addresses, and their families are not worth a word. */
static bool check_cluster_ips(const json_t *ips, const json_t *old_ips, struct field_errors *e)
{
    bool good = true;
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)(uintptr_t)ips, i, v)
    {
        bool none = i == 0 && streq(json_string_value(v), "None");
        const char *why = none ? NULL : why_not_ip(v, old_ips);
        if (none && json_array_size(ips) > 1) {
            error_invalid(e, ips, "'None' must be the first and only value", "spec.clusterIPs");
            good = false;
        }
        if (why) {
            error_invalid(e, v, why, "spec.clusterIPs[%zu]", i);
            good = false;
        }
    }
    if (json_array_size(ips) > 2)
        error_invalid(e, ips, "may only hold up to 2 values", "spec.clusterIPs");
    return good;
}

static bool is_v6(const json_t *v)
{
    struct ip ip;
    return ip_parse(str_from(json_string_value(v)), &ip) == 0 && ip.family == AF_INET6;
}

static void check_families_fit(const json_t *spec, struct field_errors *e)
{
    const json_t *ips = json_object_get(spec, "clusterIPs"),
                 *families = json_object_get(spec, "ipFamilies");
    size_t n = json_array_size(ips), n6 = 0, i;
    json_t *v;
    json_array_foreach((json_t *)(uintptr_t)ips, i, v) n6 += is_v6(v);
    if (n > 1 && (n6 > 1 || n - n6 > 1))
        error_invalid(e, ips, "may specify no more than one IP for each IP family",
                      "spec.clusterIPs");
    if (is_headless(spec))
        return;
    json_array_foreach((json_t *)(uintptr_t)ips, i, v)
    {
        const char *family = json_string_value(json_array_get(families, i));
        if (streq(family, "IPv4") && is_v6(v))
            error_invalid(e, v, "expected an IPv4 value as indicated by `ipFamilies`",
                          "spec.clusterIPs[%zu]", i);
        else if (streq(family, "IPv6") && !is_v6(v))
            error_invalid(e, v, "expected an IPv6 value as indicated by `ipFamilies`",
                          "spec.clusterIPs[%zu]", i);
    }
}

void validate_service_addresses(const json_t *spec, const json_t *old, struct field_errors *e)
{
    check_names_agree(spec, e);
    check_family_names(spec, e);
    if (check_cluster_ips(json_object_get(spec, "clusterIPs"), json_object_get(old, "clusterIPs"),
                          e))
        check_families_fit(spec, e);
}

/* ---- what may not change ---- */

/* The second of something may come and, with the policy SingleStack, go; the first is for ever. */
static void check_list_change(const json_t *spec, const json_t *old, const char *member,
                              const char *release, struct field_errors *e)
{
    const json_t *is = json_object_get(spec, member), *was = json_object_get(old, member);
    size_t n = json_array_size(is), had = json_array_size(was);
    size_t both = MIN(n, had), checked = n == had ? n : MIN(both, (size_t)1);
    for (size_t i = 0; i < checked; i++)
        if (!json_equal(json_array_get(is, i), json_array_get(was, i)))
            error_invalid(e, is, "may not change once set", "spec.%s[%zu]", member, i);
    if (n < had && n == 0)
        error_invalid(e, is, "the primary one can not be unset", "spec.%s[0]", member);
    if (n < had && n == 1 && !streq(json_key_str(spec, "ipFamilyPolicy"), "SingleStack"))
        error_invalid(e, json_object_get(spec, "ipFamilyPolicy"), release, "spec.ipFamilyPolicy");
}

static void check_change(const json_t *spec, const json_t *old, struct field_errors *e)
{
    bool named = is_type(spec, "ExternalName") || is_type(old, "ExternalName");
    bool headless = is_headless(spec), was_headless = is_headless(old);
    if (!named && !(headless && was_headless))
        check_list_change(spec, old, "clusterIPs",
                          "must be set to 'SingleStack' when releasing the secondary clusterIP", e);
    if (!named && !headless && !was_headless)
        check_list_change(spec, old, "ipFamilies",
                          "must be set to 'SingleStack' when releasing the secondary ipFamily", e);
    const json_t *class_ = json_object_get(spec, "loadBalancerClass");
    if (is_type(spec, "LoadBalancer") && is_type(old, "LoadBalancer") &&
        !is_same(class_, json_object_get(old, "loadBalancerClass")))
        error_invalid(e, class_, "may not change once set", "spec.loadBalancerClass");
    int64_t port = json_at_int(spec, "healthCheckNodePort", 0),
            had = json_at_int(old, "healthCheckNodePort", 0);
    if (port && had && port != had)
        error_forbidden(e, "field is immutable", "spec.healthCheckNodePort");
}

/* ---- what belongs to which type ---- */

static void check_external_ips(const json_t *spec, const json_t *old, struct field_errors *e)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(spec, "externalIPs"), i, v)
    {
        struct str text = str_from(json_string_value(v));
        const char *why = why_not_ip(v, json_object_get(old, "externalIPs"));
        if (!why)
            why = endpoint_ip_detail(text);
        if (why)
            error_invalid(e, v, why, "spec.externalIPs[%zu]", i);
    }
}

static void check_annotations(const json_t *object, struct field_errors *e)
{
    static const char ranges[] = "service.beta.kubernetes.io/load-balancer-source-ranges",
                      mode[] = "service.kubernetes.io/topology-mode",
                      hints[] = "service.kubernetes.io/topology-aware-hints";
    const json_t *all = json_at(object, "metadata.annotations");
    const char *text = json_key_str(all, ranges), *m = json_key_str(all, mode),
               *h = json_key_str(all, hints);
    struct str rest = str_trim(str_from(text));
    if (m && h && !streq(m, h))
        error_invalid_text(e, m,
                           "must match the annotation topology-aware-hints when both are specified",
                           "metadata.annotations[%s]", mode);
    if (!text || json_array_size(json_at(object, "spec.loadBalancerSourceRanges")))
        return;
    if (!is_type(json_object_get(object, "spec"), "LoadBalancer"))
        error_forbidden(e, "may only be used when `type` is 'LoadBalancer'",
                        "metadata.annotations[%s]", ranges);
    while (rest.p && rest.n) {
        struct str one = str_trim(str_cut(rest, ',', &rest));
        AUTO_CHARS char *copy = str_dup(one);
        if (legacy_prefix_detail(one))
            error_invalid_text(e, copy, legacy_prefix_detail(one), "metadata.annotations[%s]",
                               ranges);
    }
}

/* The path is spelt with a capital, as real servers do: tools look for it. */
static void check_source_ranges(const json_t *spec, const json_t *old, struct field_errors *e)
{
    static const char path[] = "spec.LoadBalancerSourceRanges";
    const json_t *ranges = json_object_get(spec, "loadBalancerSourceRanges");
    size_t i;
    json_t *v;
    if (json_array_size(ranges) && !is_type(spec, "LoadBalancer"))
        error_forbidden(e, "may only be used when `type` is 'LoadBalancer'", path);
    json_array_foreach((json_t *)(uintptr_t)ranges, i, v)
    {
        const char *why = json_array_has(json_object_get(old, "loadBalancerSourceRanges"), v)
                              ? NULL
                              : legacy_prefix_detail(str_trim(str_from(json_string_value(v))));
        if (why)
            error_invalid(e, v, why, "%s[%zu]", path, i);
    }
}

static void check_external_name(const json_t *spec, struct field_errors *e)
{
    static const char *const not_its[] = {"clusterIPs", "ipFamilies", "ipFamilyPolicy"};
    const char *name = json_key_str(spec, "externalName");
    struct str absolute = str_from(name ? name : ""); /* may end in a dot */
    if (str_ends(absolute, STR(".")))
        absolute.n--;
    for (size_t i = 0; i < ARRAY_LEN(not_its); i++)
        if (json_object_get(spec, not_its[i]))
            error_forbidden(e, "may not be set for ExternalName services", "spec.%s", not_its[i]);
    if (!absolute.n)
        error_required(e, NULL, "spec.externalName");
    else if (!str_is_dns1123_subdomain(absolute))
        error_invalid_text(e, name, DNS1123_SUBDOMAIN_MESSAGE, "spec.externalName");
}

static void check_balancer(const json_t *spec, struct field_errors *e)
{
    static const char *const only[] = {"allocateLoadBalancerNodePorts", "loadBalancerClass"};
    if (is_type(spec, "LoadBalancer")) {
        validate_qualified_name(json_object_get(spec, "loadBalancerClass"),
                                "spec.loadBalancerClass", e);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(only); i++)
        if (json_object_get(spec, only[i]))
            error_forbidden(e, "may only be used when `type` is 'LoadBalancer'", "spec.%s",
                            only[i]);
}

static void check_affinity(const json_t *spec, struct field_errors *e)
{
    static const char path[] = "sessionAffinityConfig.clientIP.timeoutSeconds";
    const json_t *timeout = json_at(spec, path);
    if (streq(json_key_str(spec, "sessionAffinity"), "ClientIP") && timeout &&
        (json_integer_value(timeout) <= 0 || json_integer_value(timeout) > 86400))
        error_invalid(e, timeout, "must be greater than 0 and less than 86400", "spec.%s", path);
}

static void check_traffic(const json_t *spec, struct field_errors *e)
{
    static const char distributions[] = "PreferClose|PreferSameZone|PreferSameNode";
    const json_t *policy = json_object_get(spec, "externalTrafficPolicy"),
                 *distribution = json_object_get(spec, "trafficDistribution");
    bool local = is_type(spec, "LoadBalancer") && streq(json_string_value(policy), "Local");
    if (policy && !is_external(spec))
        error_invalid(e, policy, "may only be set for externally-accessible services",
                      "spec.externalTrafficPolicy");
    if (json_at_int(spec, "healthCheckNodePort", 0) && !local)
        error_invalid(e, json_object_get(spec, "healthCheckNodePort"),
                      "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` "
                      "is 'Local'",
                      "spec.healthCheckNodePort");
    if (distribution && !value_is_listed(distributions, json_string_value(distribution)))
        error_unsupported(e, json_string_value(distribution), distributions,
                          "spec.trafficDistribution");
}

/* ---- the status of load balancers ---- */

static void check_ingress(const json_t *ingress, size_t i, const json_t *old,
                          struct field_errors *e)
{
    static const char modes[] = "Proxy|VIP";
    const json_t *ip = json_object_get(ingress, "ip");
    const char *mode = json_key_str(ingress, "ipMode"), *host = json_key_str(ingress, "hostname");
    size_t k;
    json_t *v;
    struct ip parsed;
    bool had = false;
    json_array_foreach(json_at(old, "status.loadBalancer.ingress"), k, v) had =
        had || is_same(json_object_get(v, "ip"), ip);
    const char *why = ip && !had ? legacy_ip_detail(str_from(json_string_value(ip))) : NULL;
    if (why)
        error_invalid(e, ip, why, "status.loadBalancer.ingress[%zu].ip", i);
    if (mode && !ip)
        error_forbidden(e, "may not be specified when `ip` is not set",
                        "status.loadBalancer.ingress[%zu].ipMode", i);
    else if (mode && !value_is_listed(modes, mode))
        error_unsupported(e, mode, modes, "status.loadBalancer.ingress[%zu].ipMode", i);
    if (str_empty(host))
        return;
    if (ip_parse(str_from(host), &parsed) == 0)
        error_invalid_text(e, host, "must be a DNS name, not an IP address",
                           "status.loadBalancer.ingress[%zu].hostname", i);
    else if (!str_is_dns1123_subdomain(str_from(host)))
        error_invalid_text(e, host, DNS1123_SUBDOMAIN_MESSAGE,
                           "status.loadBalancer.ingress[%zu].hostname", i);
}

static void check_status(const json_t *object, const json_t *old, struct field_errors *e)
{
    json_t *list = json_at(object, "status.loadBalancer.ingress"), *v;
    size_t i;
    if (json_array_size(list) && !is_type(json_object_get(object, "spec"), "LoadBalancer")) {
        error_forbidden(e, "may only be used when `spec.type` is 'LoadBalancer'",
                        "status.loadBalancer.ingress");
        return;
    }
    json_array_foreach(list, i, v) check_ingress(v, i, old, e);
}

void validate_service(const json_t *object, const json_t *before, struct field_errors *e)
{
    const json_t *spec = json_object_get(object, "spec"), *old = json_object_get(before, "spec");
    if (!json_is_object(spec)) {
        error_required(e, NULL, "spec.ports");
        return;
    }
    check_ports(spec, e);
    if (is_headless(spec) && (is_type(spec, "NodePort") || is_type(spec, "LoadBalancer")))
        error_invalid_text(e, "None",
                           is_type(spec, "NodePort")
                               ? "may not be set to 'None' for NodePort services"
                               : "may not be set to 'None' for LoadBalancer services",
                           "spec.clusterIPs[0]");
    if (is_type(spec, "ExternalName"))
        check_external_name(spec, e);
    check_external_ips(spec, old, e);
    check_source_ranges(spec, old, e);
    check_annotations(object, e);
    check_balancer(spec, e);
    check_affinity(spec, e);
    check_traffic(spec, e);
    if (old)
        check_change(spec, old, e);
    check_status(object, before, e);
}
