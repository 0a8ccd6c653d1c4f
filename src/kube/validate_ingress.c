/* Checks of Ingress, IngressClass and ServiceCIDR. Messages are those of a real API server. Pure.
 */
#include <stdio.h>

#include "base/addr.h"
#include "kube/kind_rules.h"

#define WILDCARD_MESSAGE                                                                           \
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, "      \
    "which must consist of lower case alphanumeric characters, '-' or '.' and end with an "        \
    "alphanumeric character (e.g. '*.example.com', regex used for validation is "                  \
    "'\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"

static void check_host(const char *host, const char *path, struct field_errors *e)
{
    struct str s = str_from(host);
    struct ip ip;
    if (str_empty(host))
        return;
    if (ip_parse(s, &ip) == 0)
        error_invalid_text(e, host, "must be a DNS name, not an IP address", "%s", path);
    else if (str_contains(s, STR("*")) &&
             !(str_starts(s, STR("*.")) && str_is_dns1123_subdomain(str_sub(s, 2, s.n))))
        error_invalid_text(e, host, WILDCARD_MESSAGE, "%s", path);
    else if (!str_contains(s, STR("*")) && !str_is_dns1123_subdomain(s))
        error_invalid_text(e, host, DNS1123_SUBDOMAIN_MESSAGE, "%s", path);
}

static void check_service(const json_t *service, const char *path, struct field_errors *e)
{
    const char *name = json_key_str(service, "name"), *port = json_at_str(service, "port.name");
    int64_t number = json_at_int(service, "port.number", 0);
    if (str_empty(name))
        error_required(e, NULL, "%s.service.name", path);
    else if (!str_is_dns1123_label(str_from(name)))
        error_invalid_text(e, name, dns1123_label_detail(str_from(name)), "%s.service.name", path);
    if (!str_empty(port) && number)
        error_invalid_text(e, port, "cannot set both port name & port number",
                           "%s.service.port.name", path);
    else if (str_empty(port) && !number)
        error_required(e, "port name or number is required", "%s.service.port.number", path);
    else if (str_empty(port) && (number < 1 || number > 65535))
        error_invalid(e, json_at(service, "port.number"), "must be between 1 and 65535, inclusive",
                      "%s.service.port.number", path);
}

static void check_backend(const json_t *backend, const char *path, struct field_errors *e)
{
    const json_t *service = json_object_get(backend, "service"),
                 *resource = json_object_get(backend, "resource");
    if (service && resource)
        error_invalid_text(e, "", "cannot set both resource and service backends", "%s", path);
    else if (service)
        check_service(service, path, e);
    else if (!resource)
        error_required(e, "resource or service backend is required", "%s", path);
}

/* Of a path that means itself. */
static void check_path_text(const char *text, const char *field, struct field_errors *e)
{
    static const char *const bad[] = {"//", "/./", "/../", "%2f", "%2F"};
    static const char *const bad_ends[] = {"/..", "/."};
    char why[48];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (strstr(text, bad[i])) {
            snprintf(why, sizeof(why), "must not contain '%s'", bad[i]);
            error_invalid_text(e, text, why, "%s", field);
        }
    for (size_t i = 0; i < ARRAY_LEN(bad_ends); i++)
        if (str_ends(str_from(text), str_from(bad_ends[i]))) {
            snprintf(why, sizeof(why), "cannot end with '%s'", bad_ends[i]);
            error_invalid_text(e, text, why, "%s", field);
        }
}

static void check_path(const json_t *p, const char *base, struct field_errors *e)
{
    const char *path = json_key_str(p, "path"), *type = json_key_str(p, "pathType");
    AUTO_CHARS char *field = xasprintf("%s.path", base), *backend = xasprintf("%s.backend", base);
    if (!type) {
        error_required(e, "pathType must be specified", "%s.pathType", base);
    } else if (streq(type, "Exact") || streq(type, "Prefix")) {
        if (str_empty(path) || *path != '/')
            error_invalid_text(e, path ? path : "", "must be an absolute path", "%s", field);
        if (!str_empty(path))
            check_path_text(path, field, e);
    } else if (streq(type, "ImplementationSpecific")) {
        if (!str_empty(path) && *path != '/')
            error_invalid_text(e, path, "must be an absolute path", "%s", field);
    } else {
        error_unsupported(e, type, "Exact|ImplementationSpecific|Prefix", "%s.pathType", base);
    }
    check_backend(json_object_get(p, "backend"), backend, e);
}

static void check_rules(const json_t *rules, struct field_errors *e)
{
    size_t r, p;
    const json_t *rule, *path;
    json_array_foreach((json_t *)(uintptr_t)rules, r, rule)
    {
        char field[80];
        const json_t *http = json_object_get(rule, "http"), *paths = json_object_get(http, "paths");
        snprintf(field, sizeof(field), "spec.rules[%zu].host", r);
        check_host(json_key_str(rule, "host"), field, e);
        if (http && !json_array_size(paths))
            error_required(e, NULL, "spec.rules[%zu].http.paths", r);
        json_array_foreach((json_t *)(uintptr_t)paths, p, path)
        {
            snprintf(field, sizeof(field), "spec.rules[%zu].http.paths[%zu]", r, p);
            check_path(path, field, e);
        }
    }
}

static void check_tls(const json_t *tls, struct field_errors *e)
{
    size_t t, h;
    const json_t *one, *host;
    json_array_foreach((json_t *)(uintptr_t)tls, t, one)
    {
        const char *secret = json_key_str(one, "secretName");
        json_array_foreach((json_t *)(uintptr_t)json_object_get(one, "hosts"), h, host)
        {
            char field[80];
            snprintf(field, sizeof(field), "spec.tls[%zu].hosts[%zu]", t, h);
            check_host(json_string_value(host), field, e);
        }
        if (!str_empty(secret) && !str_is_dns1123_subdomain(str_from(secret)))
            error_invalid_text(e, secret, DNS1123_SUBDOMAIN_MESSAGE, "spec.tls[%zu].secretName", t);
    }
}

static void check_class_name(const json_t *object, const json_t *old, struct field_errors *e)
{
    const char *name = json_at_str(object, "spec.ingressClassName"),
               *annotation = json_key_str(json_at(object, "metadata.annotations"),
                                          "kubernetes.io/ingress.class");
    if (name && annotation && !old && !streq(name, annotation))
        error_invalid_text(e, annotation, "must match `ingressClassName` when both are specified",
                           "annotations.kubernetes.io/ingress.class");
    if (name && !str_is_dns1123_subdomain(str_from(name)))
        error_invalid_text(e, name, DNS1123_SUBDOMAIN_MESSAGE, "spec.ingressClassName");
}

void validate_ingress(const json_t *object, const json_t *old, struct field_errors *e)
{
    const json_t *spec = json_object_get(object, "spec"), *rules = json_object_get(spec, "rules"),
                 *backend = json_object_get(spec, "defaultBackend");
    if (!json_array_size(rules) && !backend)
        error_invalid(e, rules, "either `defaultBackend` or `rules` must be specified", "spec");
    if (backend)
        check_backend(backend, "spec.defaultBackend", e);
    check_tls(json_object_get(spec, "tls"), e);
    check_rules(rules, e);
    check_class_name(object, old, e);
}

/* example.com/controller */
void validate_ingress_class(const json_t *object, const json_t *old, struct field_errors *e)
{
    const char *controller = json_at_str(object, "spec.controller"),
               *before = json_at_str(old, "spec.controller");
    struct str path, domain = str_cut(str_from(controller ? controller : ""), '/', &path);
    if (old && !streq(controller, before))
        error_invalid_text(e, controller ? controller : "", "field is immutable",
                           "spec.controller");
    if (str_empty(controller))
        error_required(e, NULL, "spec.controller");
    else if (strlen(controller) > 250)
        error_too_long(e, 250, "spec.controller");
    else if (!str_is_dns1123_subdomain(domain) || !path.p || !path.n)
        error_invalid_text(e, controller,
                           "must be a domain-prefixed path (such as "
                           "\"acme.io/foo\")",
                           "spec.controller");
}

/* One range, or one of each family; for good. */
void validate_service_cidr(const json_t *object, const json_t *old, struct field_errors *e)
{
    json_t *cidrs = json_at(object, "spec.cidrs"), *before = json_at(old, "spec.cidrs"), *one;
    size_t i, v6 = 0;
    if (old && !json_equal(cidrs, before))
        error_invalid(e, cidrs, "field is immutable", "spec.cidrs");
    if (!json_array_size(cidrs)) {
        error_required(e, "at least one CIDR required", "spec.cidrs");
        return;
    }
    json_array_foreach(cidrs, i, one)
    {
        struct prefix p;
        const char *text = json_string_value(one);
        if (!text || prefix_parse(str_from(text), &p) < 0)
            error_invalid_text(e, text ? text : "",
                               "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                               "spec.cidrs[%zu]", i);
        else
            v6 += p.ip.family == AF_INET6;
    }
    if (json_array_size(cidrs) > 2 || (json_array_size(cidrs) == 2 && v6 != 1))
        error_invalid(e, cidrs, "may only hold one value for each IP family", "spec.cidrs");
}
