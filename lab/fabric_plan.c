/* Which addresses a lab uses, and what its namespaces and links are called.
 *
 * Pure but for one question to the kernel: which addresses and routes the host has. The choice
 * follows from the lab's name, so the same lab gets the same addresses on most machines; where they
 * are taken the next subnet is tried. Address n of the subnet has the same number in both families
 * (.10 is ::a). */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "lab/fabric.h"
#include "nl/rtnl.h"

enum {
    FABRIC_SUBNETS = 512, /* /24s of 198.18.0.0/15 */
    FABRIC_SEED = 0x666c6162,
};

static struct ip ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    return (struct ip){.family = AF_INET, .bytes = {a, b, c, d}};
}

static struct prefix subnet_v4(unsigned n)
{
    return (struct prefix){ip4(198, (uint8_t)(18 + n / 256), (uint8_t)(n % 256), 0), 24};
}

static struct prefix subnet_v6(uint64_t hash)
{
    struct prefix p = {.ip.family = AF_INET6, .len = 64};
    p.ip.bytes[0] = 0xfd;
    memcpy(p.ip.bytes + 1, &hash, 7);
    return p;
}

struct taken {
    struct prefix candidate;
    unsigned own_link;
    bool is_taken;
};

static int check_taken(const struct prefix *p, unsigned index, void *user)
{
    struct taken *t = user;
    if (p->len == 0 || p->ip.family != t->candidate.ip.family ||
        (t->own_link && index == t->own_link))
        return 0;
    if (prefix_contains(p, &t->candidate.ip) || prefix_contains(&t->candidate, &p->ip))
        t->is_taken = true;
    return 0;
}

static int subnet_is_free(struct nl_socket *s, unsigned own_link, const struct prefix *candidate,
                          bool *ret, struct err *reterr)
{
    struct taken t = {.candidate = *candidate, .own_link = own_link};
    int r = rtnl_addr_each(s, check_taken, &t, reterr);
    if (r == 0)
        r = rtnl_route_each(s, check_taken, &t, reterr);
    *ret = r == 0 && !t.is_taken;
    return r;
}

static int find_free(struct nl_socket *s, unsigned own_link, uint64_t hash, int family,
                     struct prefix *ret, struct err *reterr)
{
    for (unsigned i = 0; i < FABRIC_SUBNETS; i++) {
        struct prefix p = family == AF_INET ? subnet_v4((unsigned)((hash + i) % FABRIC_SUBNETS))
                                            : subnet_v6(hash + i);
        bool is_free;
        int r = subnet_is_free(s, own_link, &p, &is_free, reterr);
        if (r < 0)
            return r;
        if (is_free) {
            *ret = p;
            return 0;
        }
    }
    return err_set(reterr, -EADDRINUSE, NULL,
                   "no free subnet in 198.18.0.0/15: all are used by "
                   "addresses or routes of this host");
}

static int plan_keep(struct nl_socket *s, unsigned own_link, const struct fabric_plan *recorded,
                     bool *ret_kept, struct err *reterr)
{
    bool is_free = true;
    int r = subnet_is_free(s, own_link, &recorded->v4, &is_free, reterr);
    if (r == 0 && is_free && recorded->v6.ip.family)
        r = subnet_is_free(s, own_link, &recorded->v6, &is_free, reterr);
    *ret_kept = is_free;
    return r;
}

int fabric_plan(const char *lab, const struct fabric_plan *recorded, struct fabric_plan *ret,
                struct err *reterr)
{
    if (!str_is_dns1123_label(str_from(lab)))
        return err_set(reterr, -EINVAL, NULL,
                       "lab name '%s' must be at most 63 of a-z, 0-9 and '-', with a letter or "
                       "digit at both ends",
                       lab);
    AUTO(nl_socket) struct nl_socket *s = NULL;
    int r = nl_socket_new(NETLINK_ROUTE, &s, reterr);
    if (r < 0)
        return r;
    char link[FABRIC_LINK_BYTES];
    unsigned own_link = 0;
    if (rtnl_link_find(s, fabric_host_link(lab, link), &own_link) < 0)
        own_link = 0;
    bool kept = false;
    if (recorded && streq(recorded->lab, lab)) {
        r = plan_keep(s, own_link, recorded, &kept, reterr);
        if (r < 0)
            return r;
    }
    struct fabric_plan p = {0};
    if (kept) {
        p = *recorded;
    } else {
        uint64_t hash = hash_bytes_seed(lab, strlen(lab), FABRIC_SEED);
        snprintf(p.lab, sizeof(p.lab), "%s", lab);
        r = find_free(s, own_link, hash, AF_INET, &p.v4, reterr);
        if (r == 0 && access("/proc/sys/net/ipv6", F_OK) == 0)
            r = find_free(s, own_link, hash, AF_INET6, &p.v6, reterr);
        if (r < 0)
            return r;
    }
    *ret = p;
    return 0;
}

json_t *fabric_plan_to_json(const struct fabric_plan *p)
{
    char text[PREFIX_TEXT_BYTES];
    json_t *j = json_object();
    json_put_str(j, "lab", p->lab);
    json_put_str(j, "v4", prefix_format(&p->v4, text));
    if (p->v6.ip.family)
        json_put_str(j, "v6", prefix_format(&p->v6, text));
    json_put_int(j, "nodes", p->nodes);
    return j;
}

int fabric_plan_from_json(const json_t *j, struct fabric_plan *ret, struct err *reterr)
{
    struct fabric_plan p = {0};
    const char *lab = json_at_str(j, "lab"), *v4 = json_at_str(j, "v4"), *v6 = json_at_str(j, "v6");
    int64_t nodes = json_at_int(j, "nodes", 0);
    if (!lab || strlen(lab) >= sizeof(p.lab) || !v4 || prefix_parse(str_from(v4), &p.v4) < 0 ||
        p.v4.len != 24 || (v6 && (prefix_parse(str_from(v6), &p.v6) < 0 || p.v6.len != 64)) ||
        nodes < 0 || nodes > FABRIC_NODES_MAX)
        return err_set(reterr, -EINVAL, NULL, "the record of the lab's network is damaged");
    snprintf(p.lab, sizeof(p.lab), "%s", lab);
    p.nodes = (unsigned)nodes;
    *ret = p;
    return 0;
}

struct ip fabric_ip(const struct fabric_plan *p, enum fabric_role role, unsigned index, int family)
{
    static const unsigned base[] = {
        [FABRIC_HOST] = 1,
        [FABRIC_API] = 2,
        [FABRIC_INTERNAL] = 10,
        [FABRIC_EXTERNAL] = 100,
        [FABRIC_POOL_START] = FABRIC_POOL_FIRST,
        [FABRIC_POOL_END] = FABRIC_POOL_LAST,
    };
    ASSERT((unsigned)role < ARRAY_LEN(base) && index < FABRIC_NODES_MAX);
    const struct prefix *net = family == AF_INET6 ? &p->v6 : &p->v4;
    struct ip ip = {0};
    if (!net->ip.family || prefix_nth(net, base[role] + index, &ip) < 0)
        return (struct ip){0};
    return ip;
}

struct prefix fabric_pod_cidr(unsigned index, int family)
{
    ASSERT(index < FABRIC_NODES_MAX);
    struct prefix p = fabric_cluster_cidr(family);
    p.ip.bytes[family == AF_INET ? 2 : 7] = (uint8_t)index;
    p.len = family == AF_INET ? 24 : 64;
    return p;
}

struct prefix fabric_cluster_cidr(int family)
{
    if (family == AF_INET)
        return (struct prefix){ip4(10, 244, 0, 0), 16};
    return (struct prefix){{.family = AF_INET6, .bytes = {0xfd, 0, 0, 0x10, 0x02, 0x44}}, 48};
}

const char *fabric_host_link(const char *lab, char ret[FABRIC_LINK_BYTES])
{
    size_t n = strlen(lab);
    if (n + 3 < FABRIC_LINK_BYTES)
        snprintf(ret, FABRIC_LINK_BYTES, "fl-%s", lab);
    else
        snprintf(ret, FABRIC_LINK_BYTES, "fl-%012llx",
                 (unsigned long long)(hash_bytes_seed(lab, n, FABRIC_SEED) & 0xffffffffffffULL));
    return ret;
}

const char *fabric_netns(const char *lab, char ret[FABRIC_NAME_BYTES])
{
    snprintf(ret, FABRIC_NAME_BYTES, "fl.%s", lab);
    return ret;
}

/* File names end at 255 bytes: what is longer keeps its beginning and ends in a hash of the whole.
 */
static const char *fit_name(char *full, char ret[FABRIC_NAME_BYTES])
{
    size_t n = strlen(full);
    if (n < FABRIC_NAME_BYTES)
        snprintf(ret, FABRIC_NAME_BYTES, "%s", full);
    else
        snprintf(ret, FABRIC_NAME_BYTES, "%.238s-%016llx", full,
                 (unsigned long long)hash_bytes_seed(full, n, FABRIC_SEED));
    free(full);
    return ret;
}

const char *fabric_node_netns(const char *lab, const char *node, char ret[FABRIC_NAME_BYTES])
{
    return fit_name(xasprintf("fl.%s.%s", lab, node), ret);
}

const char *fabric_pod_netns(const char *lab, const char *node, const char *ns, const char *pod,
                             char ret[FABRIC_NAME_BYTES])
{
    return fit_name(xasprintf("fl.%s.%s.%s.%s", lab, node, ns, pod), ret);
}
