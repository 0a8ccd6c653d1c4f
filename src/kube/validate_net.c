/* Checks of Endpoints and EndpointSlices: what stands behind a Service. Messages are those of a
 * real API server. Pure. */
#include <stdio.h>

#include "base/addr.h"
#include "base/map.h"
#include "kube/kind_rules.h"

static char present;

static void check_address_of(const json_t *address, const char *path, struct field_errors *e)
{
    const json_t *ip = json_object_get(address, "ip");
    struct str text = str_from(json_string_value(ip));
    const char *why = legacy_ip_detail(text), *special = endpoint_ip_detail(text);
    const char *node = json_key_str(address, "nodeName"), *host = json_key_str(address, "hostname");
    if (why)
        error_invalid(e, ip, why, "%s.ip", path);
    if (special)
        error_invalid(e, ip, special, "%s.ip", path);
    if (!str_empty(host) && !str_is_dns1123_label(str_from(host)))
        error_invalid_text(e, host, dns1123_label_detail(str_from(host)), "%s.hostname", path);
    if (node && !str_is_dns1123_subdomain(str_from(node)))
        error_invalid_text(e, node, DNS1123_SUBDOMAIN_MESSAGE, "%s.nodeName", path);
}

static void check_subset_addresses(const json_t *subset, size_t i, const char *member,
                                   struct field_errors *e)
{
    char path[64];
    size_t k;
    json_t *a;
    json_array_foreach(json_object_get(subset, member), k, a)
    {
        snprintf(path, sizeof(path), "subsets[%zu].%s[%zu]", i, member, k);
        check_address_of(a, path, e);
    }
}

static void check_subset_ports(const json_t *subset, size_t i, struct field_errors *e)
{
    json_t *ports = json_object_get(subset, "ports"), *p;
    char path[64];
    size_t k;
    json_array_foreach(ports, k, p)
    {
        const char *name = json_key_str(p, "name");
        if (str_empty(name) && json_array_size(ports) > 1)
            error_required(e, NULL, "subsets[%zu].ports[%zu].name", i, k);
        else if (!str_empty(name) && !str_is_dns1123_label(str_from(name)))
            error_invalid_text(e, name, dns1123_label_detail(str_from(name)),
                               "subsets[%zu].ports[%zu].name", i, k);
        if (!json_object_get(p, "port"))
            error_invalid_text(e, "0", "must be between 1 and 65535, inclusive",
                               "subsets[%zu].ports[%zu].port", i, k);
        snprintf(path, sizeof(path), "subsets[%zu].ports[%zu].appProtocol", i, k);
        validate_qualified_name(json_object_get(p, "appProtocol"), path, e);
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
        check_subset_ports(s, i, e);
    }
}

/* A fully qualified name has two labels at least, and may end in a dot. */
static const char *fqdn_detail(struct str s)
{
    if (str_ends(s, STR(".")))
        s.n--;
    return !s.n                           ? "must not be empty"
           : !str_is_dns1123_subdomain(s) ? DNS1123_SUBDOMAIN_MESSAGE
           : !memchr(s.p, '.', s.n)       ? "should be a domain with at least two segments "
                                            "separated by dots"
                                          : NULL;
}

static void check_slice_address(const json_t *v, const char *type, size_t i, size_t k,
                                struct field_errors *e)
{
    struct str text = str_from(json_string_value(v));
    struct ip ip;
    const char *why = streq(type, "IPv4")   ? legacy_ip_detail(text)
                      : streq(type, "IPv6") ? strict_ip_detail(text)
                      : streq(type, "FQDN") ? fqdn_detail(text)
                                            : NULL;
    if (!why && streq(type, "FQDN"))
        return;
    const char *special = why ? NULL : endpoint_ip_detail(text);
    if (why)
        error_invalid(e, v, why, "endpoints[%zu].addresses[%zu]", i, k);
    else if (ip_parse(text, &ip) == 0 && (ip.family == AF_INET6) != streq(type, "IPv6"))
        error_invalid(e, v,
                      streq(type, "IPv6") ? "must be an IPv6 address" : "must be an IPv4 address",
                      "endpoints[%zu].addresses", i);
    if (special)
        error_invalid(e, v, special, "endpoints[%zu].addresses[%zu]", i, k);
}

/* Zones or nodes that an endpoint is meant for: each once, at most eight. */
static void check_hints(const json_t *endpoint, size_t i, const char *member,
                        struct field_errors *e)
{
    json_t *list = json_object_get(json_object_get(endpoint, "hints"), member), *v;
    bool zones = streq(member, "forZones");
    struct map seen = {0};
    size_t k;
    if (json_array_size(list) > 8) {
        error_too_many(e, 8, "endpoints[%zu].hints.%s", i, member);
        return;
    }
    json_array_foreach(list, k, v)
    {
        const char *name = json_key_str(v, "name");
        struct str text = str_from(name ? name : "");
        if (map_put_cstr(&seen, name ? name : "", &present))
            error_duplicate(e, json_object_get(v, "name"), "endpoints[%zu].hints.%s[%zu].name", i,
                            member, k);
        if (zones ? !label_value_is_valid(text) : !str_is_dns1123_subdomain(text))
            error_invalid_text(e, name, zones ? LABEL_VALUE_MESSAGE : DNS1123_SUBDOMAIN_MESSAGE,
                               "endpoints[%zu].hints.%s[%zu].name", i, member, k);
    }
    map_done(&seen);
}

static void check_endpoint(const json_t *endpoint, size_t i, const char *type,
                           struct field_errors *e)
{
    const json_t *addresses = json_object_get(endpoint, "addresses");
    const char *node = json_key_str(endpoint, "nodeName"),
               *host = json_key_str(endpoint, "hostname");
    size_t k;
    json_t *v;
    if (json_array_size(addresses) > 100)
        error_too_many(e, 100, "endpoints[%zu].addresses", i);
    json_array_foreach((json_t *)(uintptr_t)addresses, k, v) check_slice_address(v, type, i, k, e);
    if (host && !str_is_dns1123_label(str_from(host)))
        error_invalid_text(e, host, dns1123_label_detail(str_from(host)), "endpoints[%zu].hostname",
                           i);
    if (node && !str_is_dns1123_subdomain(str_from(node)))
        error_invalid_text(e, node, DNS1123_SUBDOMAIN_MESSAGE, "endpoints[%zu].nodeName", i);
    check_hints(endpoint, i, "forZones", e);
    check_hints(endpoint, i, "forNodes", e);
}

static void check_slice_ports(const json_t *ports, struct field_errors *e)
{
    struct map names = {0};
    char path[48];
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)(uintptr_t)ports, i, v)
    {
        const char *name = json_at_str(v, "name");
        if (!str_empty(name) && !str_is_dns1123_label(str_from(name)))
            error_invalid_text(e, name, dns1123_label_detail(str_from(name)), "ports[%zu].name", i);
        if (map_put_cstr(&names, name ? name : "", &present))
            error_duplicate(e, json_object_get(v, "name"), "ports[%zu].name", i);
        snprintf(path, sizeof(path), "ports[%zu].appProtocol", i);
        validate_qualified_name(json_object_get(v, "appProtocol"), path, e);
    }
    map_done(&names);
}

void validate_endpointslice(const json_t *object, const json_t *old, struct field_errors *e)
{
    const char *type = json_at_str(object, "addressType");
    const json_t *endpoints = json_at(object, "endpoints"), *ports = json_at(object, "ports");
    size_t i;
    json_t *v;
    if (old && !streq(type, json_at_str(old, "addressType")))
        error_invalid(e, json_at(object, "addressType"), "field is immutable", "addressType");
    if (json_array_size(endpoints) > 1000)
        error_too_many(e, 1000, "endpoints");
    else if (!is_unchanged(object, old, "endpoints"))
        json_array_foreach((json_t *)(uintptr_t)endpoints, i, v) check_endpoint(v, i, type, e);
    if (json_array_size(ports) > 20000)
        error_too_many(e, 20000, "ports");
    else
        check_slice_ports(ports, e);
}
