/* Addresses of Services: families, ClusterIPs, and what a change of the type takes away.
 *
 * Runs before validation, in the order in which a real API server does it, because a refusal ends
 * it: what an update leaves out is taken from before, then families are settled, addresses
 * allocated, ports allocated (api_service_ports.c), and last goes what the new type does not have.
 * Nothing is stored beside the Services: what is in use is read from their mirror (alloc.c), and
 * released by not being kept. Rules: core/v1 ServiceSpec, KEP-563 (dual stack). */
#include "base/rand.h"
#include "lab/apiserver/api_priv.h"

static const char *family_name(const struct ip *ip)
{
    return ip->family == AF_INET6 ? "IPv6" : "IPv4";
}

static const char *other_family(const char *family)
{
    return streq(family, "IPv4") ? "IPv6" : "IPv4";
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

/* ---- members of a spec ---- */

static size_t count(const json_t *spec, const char *member)
{
    return json_array_size(json_object_get(spec, member));
}

static const char *item(const json_t *spec, const char *member, size_t i)
{
    return json_string_value(json_array_get(json_object_get(spec, member), i));
}

/* Absent on both sides counts. */
static bool same(const json_t *spec, const json_t *old, const char *member)
{
    const json_t *is = json_object_get(spec, member), *was = json_object_get(old, member);
    return is == was || (is && was && json_equal(is, was));
}

static void keep(json_t *spec, const json_t *old, const char *member)
{
    json_t *was = json_object_get(old, member);
    if (was)
        json_object_set_new(spec, member, json_deep_copy(was));
}

static void append(json_t *spec, const char *member, const char *text)
{
    json_t *list = json_object_get(spec, member);
    if (!list) {
        list = json_array();
        json_object_set_new(spec, member, list);
    }
    json_array_append_new(list, json_string(text));
}

static void shorten(json_t *spec, const char *member)
{
    while (count(spec, member) > 1)
        json_array_remove(json_object_get(spec, member), 1);
}

static bool needs_address(const json_t *spec)
{
    return spec && !streq(json_key_str(spec, "type"), "ExternalName");
}

static bool is_headless(const json_t *spec)
{
    return streq(item(spec, "clusterIPs", 0), "None");
}

/* Headless without selector: whose endpoints may have families that the cluster has no range of. */
static bool is_free_of_ranges(const json_t *spec)
{
    return streq(json_key_str(spec, "clusterIP"), "None") &&
           !json_object_size(json_object_get(spec, "selector"));
}

/* ---- what a client leaves out ---- */

/* clusterIP and clusterIPs[0] are one thing with two names: who gives the first alone means both.
 */
static void settle_names(json_t *spec, const json_t *old)
{
    const char *ip = json_key_str(spec, "clusterIP"), *was = json_key_str(old, "clusterIP");
    if (!old) {
        if (!str_empty(ip) && !count(spec, "clusterIPs"))
            append(spec, "clusterIPs", ip);
        return;
    }
    if (needs_address(old) && needs_address(spec)) {
        if (str_empty(ip))
            keep(spec, old, "clusterIP");
        if (!count(spec, "clusterIPs"))
            keep(spec, old, "clusterIPs");
    }
    ip = json_key_str(spec, "clusterIP");
    if (streq(ip ? ip : "", was ? was : "") || !same(spec, old, "clusterIPs"))
        return;
    AUTO_CHARS char *chosen = xstrdup(ip ? ip : "");
    json_object_del(spec, "clusterIPs");
    if (*chosen)
        append(spec, "clusterIPs", chosen);
}

/* ---- families ---- */

static void settle_policy(json_t *spec, const json_t *old)
{
    if (json_key_str(spec, "ipFamilyPolicy"))
        return;
    if (json_key_str(old, "ipFamilyPolicy"))
        keep(spec, old, "ipFamilyPolicy");
    else
        json_put_str(spec, "ipFamilyPolicy",
                     is_free_of_ranges(spec) ? "RequireDualStack" : "SingleStack");
}

/* The policy alone may say that the second of something goes. */
static void settle_reduction(json_t *spec, const json_t *old, bool single, struct field_errors *e)
{
    static const struct {
        const char *member, *detail;
    } rows[] = {{"clusterIPs", "must be 'SingleStack' to release the secondary cluster IP"},
                {"ipFamilies", "must be 'SingleStack' to release the secondary IP family"}};
    for (size_t i = 0; old && i < ARRAY_LEN(rows); i++) {
        size_t n = count(spec, rows[i].member);
        if (single && same(spec, old, rows[i].member))
            shorten(spec, rows[i].member);
        else if (!single && n && n < count(old, rows[i].member))
            error_invalid(e, json_object_get(spec, "ipFamilyPolicy"), rows[i].detail,
                          "spec.ipFamilyPolicy");
    }
}

static void check_single(const json_t *spec, struct field_errors *e)
{
    static const struct {
        const char *member, *detail;
    } rows[] = {{"clusterIPs", "must be 'RequireDualStack' or 'PreferDualStack' when multiple "
                               "cluster IPs are specified"},
                {"ipFamilies", "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP "
                               "families are specified"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (count(spec, rows[i].member) > 1)
            error_invalid(e, json_object_get(spec, "ipFamilyPolicy"), rows[i].detail,
                          "spec.ipFamilyPolicy");
}

/* Families that are not given, from the addresses that are. */
static void infer_families(const struct api_server *s, json_t *spec, struct field_errors *e)
{
    struct ip ip;
    for (size_t i = count(spec, "ipFamilies"); i < count(spec, "clusterIPs"); i++) {
        const char *text = item(spec, "clusterIPs", i);
        if (streq(text, "None") || ip_parse(str_from(text), &ip) < 0)
            return;
        if (cidr_of(s, family_name(&ip)))
            append(spec, "ipFamilies", family_name(&ip));
        else
            error_invalid(e, json_object_get(spec, "clusterIPs"),
                          ip.family == AF_INET6 ? "IPv6 is not configured on this cluster"
                                                : "IPv4 is not configured on this cluster",
                          "spec.clusterIPs[%zu]", i);
    }
}

static void add_families(const struct api_server *s, json_t *spec, bool both)
{
    if (!count(spec, "ipFamilies"))
        append(spec, "ipFamilies", family_name(&s->config.service_cidrs[0].ip));
    if (both && count(spec, "ipFamilies") < 2)
        append(spec, "ipFamilies", other_family(item(spec, "ipFamilies", 0)));
}

static void settle_families(const struct api_server *s, json_t *spec, const json_t *old,
                            struct field_errors *e)
{
    bool untouched = needs_address(old) && same(spec, old, "ipFamilyPolicy") &&
                     same(spec, old, "clusterIPs") && same(spec, old, "ipFamilies");
    if (untouched && streq(json_key_str(spec, "ipFamilyPolicy"), "PreferDualStack"))
        return; /* it stays as it was, also when the cluster has got or lost a family since */
    settle_policy(spec, old);
    validate_service_addresses(spec, old, e);
    if (e->n)
        return;
    const char *policy = json_key_str(spec, "ipFamilyPolicy");
    bool single = streq(policy, "SingleStack");
    settle_reduction(spec, old, single, e);
    if (single)
        check_single(spec, e);
    infer_families(s, spec, e);
    if (e->n)
        return;
    if (is_free_of_ranges(spec)) {
        add_families(s, spec, !single);
        return;
    }
    if (streq(policy, "RequireDualStack") && s->config.n_service_cidrs < 2)
        error_invalid(e, json_object_get(spec, "ipFamilyPolicy"),
                      "this cluster is not configured for dual-stack services",
                      "spec.ipFamilyPolicy");
    for (size_t i = 0; i < count(spec, "ipFamilies"); i++)
        if (!cidr_of(s, item(spec, "ipFamilies", i)))
            error_invalid_text(e, item(spec, "ipFamilies", i), "not configured on this cluster",
                               "spec.ipFamilies[%zu]", i);
    if (!e->n)
        add_families(s, spec, !single && s->config.n_service_cidrs > 1);
}

/* ---- addresses ---- */

static bool allocate_any(const struct api_server *s, const char *family, const json_t *self,
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

/* Why one that was asked for cannot be had; NULL: it can. */
static const char *why_not(const struct api_server *s, const char *text, const char *family,
                           const json_t *self)
{
    const struct prefix *cidr = cidr_of(s, family);
    struct ip ip;
    if (ip_parse(str_from(text), &ip) < 0 || !prefix_contains(cidr, &ip) || is_edge(cidr, &ip))
        return "the provided network does not match the current range";
    return address_in_use(s, text, self) ? "provided IP is already allocated" : NULL;
}

/* The address of family i, asked for or any; it goes to the list's place i. */
static void allocate_one(const struct api_server *s, json_t *object, size_t i,
                         struct field_errors *e)
{
    json_t *spec = json_object_get(object, "spec");
    const char *wanted = item(spec, "clusterIPs", i), *family = item(spec, "ipFamilies", i);
    char ip[IP_TEXT_BYTES];
    if (!str_empty(wanted)) {
        const char *why = why_not(s, wanted, family, object);
        if (!why)
            return;
        AUTO_CHARS char *detail = xasprintf("failed to allocate IP %s: %s", wanted, why);
        error_invalid(e, json_object_get(spec, "clusterIPs"), detail, "spec.clusterIPs");
        return;
    }
    if (allocate_any(s, family, object, ip))
        append(spec, "clusterIPs", ip);
    else
        error_internal(e, "no address of the service range is free", "spec.clusterIPs");
}

/* What is new is allocated; what goes is released by being gone. */
static void settle_addresses(const struct api_server *s, json_t *object, const json_t *old,
                             struct field_errors *e)
{
    json_t *spec = json_object_get(object, "spec");
    size_t had = needs_address(old) ? count(old, "clusterIPs") : 0;
    if (is_headless(spec) || (had && is_headless(old)))
        return;
    for (size_t i = had; e->n == 0 && i < count(spec, "ipFamilies"); i++)
        allocate_one(s, object, i, e);
    if (!had && e->n == 0)
        json_put_str(spec, "clusterIP", item(spec, "clusterIPs", 0));
}

/* ---- what the type takes away ---- */

/* Of another type than it is for, a field goes if it came along from before; a new one stays for
 * validation to refuse. */
static void drop_if_same(json_t *spec, const json_t *old, const char *const *members, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (same(spec, old, members[i]))
            json_object_del(spec, members[i]);
}

static bool is_external(const json_t *spec)
{
    const char *type = json_key_str(spec, "type");
    return streq(type, "LoadBalancer") || streq(type, "NodePort") ||
           (streq(type, "ClusterIP") && count(spec, "externalIPs"));
}

static void drop_of_type(json_t *object, const json_t *old)
{
    static const char *const of_address[] = {"clusterIP", "clusterIPs"};
    static const char *const of_family[] = {"ipFamilies", "ipFamilyPolicy"};
    static const char *const of_balancer[] = {"allocateLoadBalancerNodePorts", "loadBalancerClass"};
    static const char *const of_outside[] = {"externalTrafficPolicy"};
    json_t *spec = json_object_get(object, "spec");
    bool balancer = streq(json_key_str(spec, "type"), "LoadBalancer");
    if (needs_address(old) && !needs_address(spec)) {
        if (same(spec, old, "clusterIP") && same(spec, old, "clusterIPs"))
            drop_if_same(spec, old, of_address, ARRAY_LEN(of_address));
        drop_if_same(spec, old, of_family, ARRAY_LEN(of_family));
    }
    api_service_drop_ports(spec, old);
    if (streq(json_key_str(old, "type"), "LoadBalancer") && !balancer)
        drop_if_same(spec, old, of_balancer, ARRAY_LEN(of_balancer));
    if (is_external(old) && !is_external(spec))
        drop_if_same(spec, old, of_outside, ARRAY_LEN(of_outside));
    if (!balancer)
        json_put(object, "status.loadBalancer", json_object());
}

void api_service_prepare(struct api_server *s, json_t *object, const json_t *before,
                         struct field_errors *e)
{
    json_t *spec = json_object_get(object, "spec");
    const json_t *old = json_object_get(before, "spec");
    if (!json_is_object(spec))
        return; /* validation says so */
    settle_names(spec, old);
    if (old)
        api_service_keep_ports(spec, old);
    if (needs_address(spec)) {
        settle_families(s, spec, old, e);
        if (e->n == 0)
            settle_addresses(s, object, old, e);
        if (e->n == 0)
            api_service_settle_ports(s, object, old, e);
    }
    if (e->n)
        return;
    if (old)
        drop_of_type(object, old);
    if (!needs_address(spec))
        json_object_del(spec, "internalTrafficPolicy");
}
