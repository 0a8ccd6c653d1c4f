#pragma once
/* An IPAddressPool (metallb.io/v1beta1) as a value: which addresses, and whom they are for. Ranges
 * that can be read are kept beside what is wrong, so that what was given of them can stay. */

#include "base/addr.h"
#include "base/vec.h"
#include "kube/selector.h"
#include "model/finding.h"

enum {
    POOL_RANGES_MAX = 1000,
    POOL_SELECTORS_MAX = 100, /* of each kind; namespaces: ten times as many */
};

struct ip_range {
    struct ip first, last;
    uint32_t at; /* in spec.addresses */
};

struct address_pool {
    char *key, *name, *uid, *created;
    VEC(struct ip_range) ranges; /* in their order */
    bool auto_assign, avoid_buggy;
    bool pinned;      /* spec.serviceAllocation is there */
    int64_t priority; /* of it; 0: none, the last */
    VEC(char *) namespaces;
    VEC(struct selector) namespace_selectors, service_selectors;
    struct findings findings; /* an error among them: nothing is given of it any more */
    bool refused;
};

/* NULL: an object without a name. */
struct address_pool *address_pool_decode(const json_t *j);
void address_pool_free(struct address_pool *p);

/* "10.0.0.0/24", "10.0.0.1-10.0.0.9", "2001:db8::/64". -EINVAL. */
int ip_range_parse(struct str text, struct ip_range *ret) NODISCARD;
/* The next address; false: there is none. */
bool ip_increment(struct ip *ip);
/* Ends in .0 or .255, which some old devices take for those of a network. */
bool ip_is_buggy(const struct ip *ip);
static inline bool ip_range_has(const struct ip_range *r, const struct ip *ip)
{
    return r->first.family == ip->family && ip_cmp(&r->first, ip) <= 0 && ip_cmp(ip, &r->last) <= 0;
}
/* Is it of this pool: in a range, and not one that it avoids? */
bool address_pool_has(const struct address_pool *p, const struct ip *ip);
/* May a Service have an address of it? labels: of the Service, of its namespace (NULL: none). */
bool address_pool_is_for(const struct address_pool *p, const char *ns, const json_t *ns_labels,
                         const json_t *labels);
/* How many addresses of a family, at most 2^62. */
uint64_t address_pool_size(const struct address_pool *p, uint8_t family);
