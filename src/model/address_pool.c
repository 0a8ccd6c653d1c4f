/* Reading IPAddressPools. Whether two of them overlap is address_allocator.c's business. */
#include "model/address_pool.h"

#include <errno.h>
#include <stdio.h>

#define ID "InvalidAddressPool"

static struct ip last_of(const struct prefix *p)
{
    struct ip ip = prefix_network(p);
    for (size_t bit = p->len; bit < ip_bytes(&ip) * 8; bit++)
        ip.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    return ip;
}

int ip_range_parse(struct str text, struct ip_range *ret)
{
    struct str last, first = str_cut(text, '-', &last);
    struct ip_range r = {0};
    struct prefix p;
    if (!last.p) {
        if (prefix_parse(str_trim(first), &p) < 0)
            return -EINVAL;
        r.first = prefix_network(&p);
        r.last = last_of(&p);
    } else if (ip_parse(str_trim(first), &r.first) < 0 || ip_parse(str_trim(last), &r.last) < 0 ||
               r.first.family != r.last.family || ip_cmp(&r.first, &r.last) > 0) {
        return -EINVAL;
    }
    *ret = r;
    return 0;
}

bool ip_increment(struct ip *ip)
{
    for (size_t i = ip_bytes(ip); i-- > 0;)
        if (++ip->bytes[i])
            return true;
    return false;
}

bool ip_is_buggy(const struct ip *ip)
{
    return ip->family == AF_INET && (ip->bytes[3] == 0 || ip->bytes[3] == 255);
}

bool address_pool_has(const struct address_pool *p, const struct ip *ip)
{
    if (p->avoid_buggy && ip_is_buggy(ip))
        return false;
    VEC_FOREACH (r, &p->ranges)
        if (ip_range_has(r, ip))
            return true;
    return false;
}

bool address_pool_is_for(const struct address_pool *p, const char *ns, const json_t *ns_labels,
                         const json_t *labels)
{
    bool of_namespace = !p->namespaces.n && !p->namespace_selectors.n;
    bool of_labels = !p->service_selectors.n;
    VEC_FOREACH (n, &p->namespaces)
        of_namespace = of_namespace || streq(*n, ns);
    VEC_FOREACH (s, &p->namespace_selectors)
        of_namespace = of_namespace || selector_matches_object(s, ns_labels);
    VEC_FOREACH (s, &p->service_selectors)
        of_labels = of_labels || selector_matches_object(s, labels);
    return of_namespace && of_labels;
}

/* last - first + 1, at most 2^62. */
static uint64_t range_size(const struct ip_range *r)
{
    const uint64_t most = (uint64_t)1 << 62;
    uint64_t high = 0, low = 0;
    size_t n = ip_bytes(&r->first), borrow = 0;
    for (size_t i = n; i-- > 0;) {
        unsigned d = 256u + r->last.bytes[i] - r->first.bytes[i] - (unsigned)borrow;
        borrow = d < 256;
        size_t place = n - 1 - i;
        if (place < 8)
            low |= (uint64_t)(d & 255) << place * 8;
        else
            high |= d & 255;
    }
    return high || low >= most ? most : low + 1;
}

uint64_t address_pool_size(const struct address_pool *p, uint8_t family)
{
    uint64_t sum = 0;
    VEC_FOREACH (r, &p->ranges) {
        if (r->first.family != family)
            continue;
        sum += range_size(r);
        if (family != AF_INET || !p->avoid_buggy)
            continue;
        const uint8_t *a = r->first.bytes, *b = r->last.bytes;
        uint64_t nets = ((uint64_t)b[0] << 16 | (uint64_t)b[1] << 8 | b[2]) -
                        ((uint64_t)a[0] << 16 | (uint64_t)a[1] << 8 | a[2]);
        sum -= nets * 2 + (a[3] == 0) + (b[3] == 255);
    }
    return MIN(sum, (uint64_t)1 << 62);
}

/* ---- reading ---- */

static void wrong(struct address_pool *p, const char *field, const char *hint, const char *text)
{
    finding_add(&p->findings, FINDING_ERROR, ID, p->key, field, hint, "%.200s", text);
    p->refused = true;
}

static void read_addresses(struct address_pool *p, const json_t *list)
{
    size_t i;
    json_t *item;
    if (!json_array_size(list))
        wrong(p, "spec.addresses", "give at least one prefix or range", "no addresses");
    json_array_foreach(list, i, item)
    {
        struct ip_range r;
        const char *text = json_string_value(item);
        char field[40];
        snprintf(field, sizeof(field), "spec.addresses[%zu]", i);
        if (i >= POOL_RANGES_MAX) {
            wrong(p, field, "spread them over several pools", "more than 1000 ranges");
            return;
        }
        if (text && ip_range_parse(str_from(text), &r) == 0) {
            r.at = (uint32_t)i;
            vec_push(&p->ranges, r);
            continue;
        }
        AUTO_CHARS char *what =
            xasprintf("\"%s\" is neither a prefix nor a range", text ? text : "");
        wrong(p, field, "give 192.0.2.0/28 or 192.0.2.10-192.0.2.20", what);
    }
}

/* Adds those of a list to selectors; what cannot be read refuses the pool. */
#define READ_SELECTORS(p, list, name, vec)                                                         \
    do {                                                                                           \
        size_t i_;                                                                                 \
        json_t *item_;                                                                             \
        json_array_foreach(list, i_, item_)                                                        \
        {                                                                                          \
            struct selector s_ = {0};                                                              \
            struct err err_ = {0};                                                                 \
            bool none_;                                                                            \
            char field_[80];                                                                       \
            snprintf(field_, sizeof(field_), "spec.serviceAllocation.%s[%zu]", name, i_);          \
            if (i_ >= POOL_SELECTORS_MAX)                                                          \
                wrong(p, field_, "spread them over several pools", "more than 100 selectors");     \
            else if (selector_from_object(item_, &s_, &none_, &err_) < 0)                          \
                wrong(p, field_, NULL, err_text(&err_));                                           \
            else if (none_)                                                                        \
                wrong(p, field_, "give {} for all", "is no selector");                             \
            else                                                                                   \
                vec_push(vec, s_);                                                                 \
            if (p->refused)                                                                        \
                break;                                                                             \
        }                                                                                          \
    } while (0)

static void read_allocation(struct address_pool *p, const json_t *a)
{
    size_t i;
    json_t *item;
    if (!json_is_object(a))
        return;
    p->pinned = true;
    p->priority = json_at_int(a, "priority", 0);
    json_array_foreach(json_object_get(a, "namespaces"), i, item)
    {
        const char *ns = json_string_value(item);
        if (i >= POOL_SELECTORS_MAX * 10) {
            wrong(p, "spec.serviceAllocation.namespaces", "select them by their labels",
                  "more than 1000 namespaces");
            return;
        }
        if (ns)
            vec_push(&p->namespaces, xstrdup(ns));
    }
    READ_SELECTORS(p, json_object_get(a, "namespaceSelectors"), "namespaceSelectors",
                   &p->namespace_selectors);
    READ_SELECTORS(p, json_object_get(a, "serviceSelectors"), "serviceSelectors",
                   &p->service_selectors);
}

static char *text_of(const json_t *j, const char *path)
{
    const char *text = json_at_str(j, path);
    return xstrdup(text ? text : "");
}

struct address_pool *address_pool_decode(const json_t *j)
{
    const char *name = json_at_str(j, "metadata.name"), *ns = json_at_str(j, "metadata.namespace");
    if (str_empty(name))
        return NULL;
    struct address_pool *p = NEW(struct address_pool);
    p->name = xstrdup(name);
    p->key = xasprintf("%s/%s", ns ? ns : "", name);
    p->uid = text_of(j, "metadata.uid");
    p->created = text_of(j, "metadata.creationTimestamp");
    p->auto_assign = json_at_bool(j, "spec.autoAssign", true);
    p->avoid_buggy = json_at_bool(j, "spec.avoidBuggyIPs", false);
    read_addresses(p, json_at(j, "spec.addresses"));
    read_allocation(p, json_at(j, "spec.serviceAllocation"));
    return p;
}

void address_pool_free(struct address_pool *p)
{
    if (!p)
        return;
    VEC_FOREACH (n, &p->namespaces)
        free(*n);
    VEC_FOREACH (s, &p->namespace_selectors)
        selector_done(s);
    VEC_FOREACH (s, &p->service_selectors)
        selector_done(s);
    vec_done(&p->namespaces);
    vec_done(&p->namespace_selectors);
    vec_done(&p->service_selectors);
    vec_done(&p->ranges);
    findings_done(&p->findings);
    free(p->key);
    free(p->name);
    free(p->uid);
    free(p->created);
    free(p);
}
