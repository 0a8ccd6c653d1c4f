/* What is allowed and yet worth a word: the Warning headers of a real API server, kind by kind.
 * Works on objects that have been checked. Pure. */
#include "base/addr.h"
#include "kube/kind_rules.h"

struct says {
    void (*say)(void *user, const char *text);
    void *user;
};

static void say(struct says *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct says *s, const char *fmt, ...)
{
    AUTO_DONE(buf) struct buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_addv(&b, fmt, ap);
    va_end(ap);
    s->say(s->user, buf_cstr(&b));
}

/* Another spelling than the canonical one is taken, but may not be found again. */
static void about_address(struct says *s, const char *path, const char *text)
{
    char canonical[IP_TEXT_BYTES];
    struct ip ip;
    if (text && strchr(text, ':') && ip_parse(str_from(text), &ip) == 0 &&
        !streq(text, ip_format(&ip, canonical)))
        say(s, "%s: IPv6 address \"%s\" should be in RFC 5952 canonical format (\"%s\")", path,
            text, canonical);
}

static void about_addresses(struct says *s, const json_t *spec, const char *member)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(spec, member), i, v)
    {
        AUTO_CHARS char *path = xasprintf("spec.%s[%zu]", member, i);
        about_address(s, path, json_string_value(v));
    }
}

static void about_ranges(struct says *s, const json_t *spec)
{
    char canonical[PREFIX_TEXT_BYTES];
    size_t i;
    json_t *v;
    struct prefix p;
    json_array_foreach(json_object_get(spec, "loadBalancerSourceRanges"), i, v)
    {
        const char *text = json_string_value(v);
        if (prefix_parse(str_trim(str_from(text)), &p) == 0 && p.ip.family == AF_INET6 &&
            !streq(text, prefix_format(&p, canonical)))
            say(s,
                "spec.loadBalancerSourceRanges[%zu]: IPv6 CIDR value \"%s\" should be in RFC 5952 "
                "canonical format (\"%s\")",
                i, text, canonical);
    }
}

static void about_ingress(struct says *s, const json_t *object)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_at(object, "status.loadBalancer.ingress"), i, v)
    {
        AUTO_CHARS char *path = xasprintf("status.loadBalancer.ingress[%zu]", i);
        about_address(s, path, json_key_str(v, "ip"));
    }
}

static void about_endpoints(struct says *s, const json_t *object)
{
    static const char *const lists[] = {"addresses", "notReadyAddresses"};
    size_t i, k;
    json_t *subset, *v;
    json_array_foreach(json_object_get(object, "subsets"), i,
                       subset) for (size_t l = 0; l < ARRAY_LEN(lists); l++)
        json_array_foreach(json_object_get(subset, lists[l]), k, v)
    {
        AUTO_CHARS char *path = xasprintf("subsets[%zu].%s[%zu].ip", i, lists[l], k);
        about_address(s, path, json_key_str(v, "ip"));
    }
}

static void about_headless(struct says *s, const json_t *spec)
{
    if (!str_empty(json_key_str(spec, "loadBalancerIP")))
        say(s, "spec.loadBalancerIP is ignored for headless services");
    if (json_array_size(json_object_get(spec, "externalIPs")))
        say(s, "spec.externalIPs is ignored for headless services");
    if (!streq(json_key_str(spec, "sessionAffinity"), "None"))
        say(s, "spec.SessionAffinity is ignored for headless services");
}

static void about_service(struct says *s, const json_t *object)
{
    static const char hints[] = "service.kubernetes.io/topology-aware-hints";
    const json_t *spec = json_object_get(object, "spec");
    const char *type = json_key_str(spec, "type");
    bool named = streq(type, "ExternalName");
    bool headless = streq(type, "ClusterIP") && streq(json_key_str(spec, "clusterIP"), "None");
    bool external = json_array_size(json_object_get(spec, "externalIPs")) > 0;
    if (json_key_str(json_at(object, "metadata.annotations"), hints))
        say(s,
            "annotation %s is deprecated, please use service.kubernetes.io/topology-mode instead",
            hints);
    about_addresses(s, spec, "clusterIPs");
    if (headless)
        about_headless(s, spec);
    about_addresses(s, spec, "externalIPs");
    if (external && !headless && !named)
        say(s, "spec.externalIPs is deprecated and may no longer be implemented in some clusters");
    about_address(s, "spec.loadBalancerIP", json_key_str(spec, "loadBalancerIP"));
    about_ranges(s, spec);
    if (external && named)
        say(s, "spec.externalIPs is ignored when spec.type is \"ExternalName\"");
    if (!named && !str_empty(json_key_str(spec, "externalName")))
        say(s, "spec.externalName is ignored when spec.type is not \"ExternalName\"");
    if (streq(json_key_str(spec, "trafficDistribution"), "PreferClose"))
        say(s, "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"");
}

void warn_of_object(const json_t *object, bool status, void (*fn)(void *user, const char *text),
                    void *user)
{
    struct says s = {fn, user};
    const char *kind = json_key_str(object, "kind");
    if (streq(kind, "Service"))
        (status ? about_ingress : about_service)(&s, object);
    else if (status)
        return;
    else if (streq(kind, "Endpoints"))
        about_endpoints(&s, object);
    else if (streq(kind, "EndpointSlice") && streq(json_key_str(object, "addressType"), "FQDN"))
        say(&s, "spec.addressType: FQDN endpoints are deprecated");
}
