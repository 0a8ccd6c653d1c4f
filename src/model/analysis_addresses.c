/* What an analysis says of addresses for load balancers: pools, and how they are announced. Objects
 * belong together by their namespace. */
#include "model/address_allocator.h"
#include "model/analysis_priv.h"
#include "model/bgp_object.h"

static const json_t *objects_of(const struct analysis *a)
{
    return a->in->objects;
}

static void copy(const struct analysis *a, const char *id, const char *key,
                 const struct findings *f)
{
    for (size_t i = 0; i < f->n; i++)
        finding_add(a->out, f->v[i].severity, id, key, f->v[i].field, f->v[i].hint, "%s",
                    f->v[i].message);
}

static bool is_same_namespace(const json_t *x, const json_t *y)
{
    return streq(json_at_str(x, "metadata.namespace"), json_at_str(y, "metadata.namespace"));
}

/* The next object of a kind beside another one; NULL: of any namespace. */
static const json_t *next_of(const struct analysis *a, const char *kind, const json_t *beside,
                             size_t *at)
{
    while (*at < json_array_size(objects_of(a))) {
        const json_t *j = json_array_get(objects_of(a), (*at)++);
        if (analysis_is(j, kind) && (!beside || is_same_namespace(j, beside)))
            return j;
    }
    return NULL;
}

static bool is_there(const struct analysis *a, const char *kind, const json_t *beside,
                     const char *name)
{
    const json_t *j;
    for (size_t at = 0; (j = next_of(a, kind, beside, &at));)
        if (streq(json_at_str(j, "metadata.name"), name))
            return true;
    return false;
}

/* ---- pools ---- */

static void nobody(const struct address_verdict *v, void *user)
{
    (void)v;
    (void)user;
}

/* All of one namespace: two that overlap are at odds. */
static void check_pools(const struct analysis *a, const json_t *first)
{
    const json_t *j;
    const struct address_pool *p;
    uint64_t in_use[2];
    size_t before = 0;
    if (next_of(a, "IPAddressPool", first, &before) != first)
        return;
    struct address_allocator *allocator = address_allocator_new(NULL);
    for (size_t at = 0; (j = next_of(a, "IPAddressPool", first, &at));)
        address_allocator_put_pool(allocator, j);
    address_allocator_work(allocator, nobody, NULL);
    for (size_t at = 0; address_allocator_next_pool(allocator, &at, &p, in_use);)
        copy(a, "InvalidAddressPool", p->key, &p->findings);
    address_allocator_free(allocator);
}

/* ---- advertisements ---- */

static void check_pool_names(const struct analysis *a, const json_t *j, const char *id,
                             const struct bgp_advertisement *ad)
{
    const json_t *pool;
    size_t at = 0, n = 0, all = 0;
    for (; (pool = next_of(a, "IPAddressPool", j, &at)); all++)
        n += bgp_advertisement_is_of_pool(ad, json_at_str(pool, "metadata.name"),
                                          json_at(pool, "metadata.labels"));
    for (size_t i = 0; all && i < ad->pools.n; i++)
        if (!is_there(a, "IPAddressPool", j, ad->pools.v[i]))
            finding_add(a->out, FINDING_WARNING, id, ad->key, "spec.ipAddressPools",
                        "create it, or correct the name", "there is no IPAddressPool %.253s",
                        ad->pools.v[i]);
    if (all && !n)
        finding_add(a->out, FINDING_WARNING, id, ad->key, "spec",
                    "kubectl get ipaddresspools --show-labels", "selects no IPAddressPool");
}

static void check_nodes(const struct analysis *a, const char *id, const char *key,
                        const struct selector *v, size_t n)
{
    const json_t *node;
    bool any = false, found = false;
    for (size_t at = 0; (node = next_of(a, "Node", NULL, &at));) {
        any = true;
        found = found || bgp_selects_node(v, n, json_at(node, "metadata.labels"));
    }
    if (any && !found)
        finding_add(a->out, FINDING_WARNING, id, key, "spec.nodeSelectors",
                    "kubectl get nodes --show-labels", "selects no node");
}

static void check_l2(const struct analysis *a, const json_t *j)
{
    struct bgp_advertisement *ad = bgp_advertisement_decode(j); /* they have these fields alike */
    if (!ad)
        return;
    copy(a, "InvalidL2Advertisement", ad->key, &ad->findings);
    check_pool_names(a, j, "L2AdvertisementUnused", ad);
    check_nodes(a, "L2AdvertisementUnused", ad->key, ad->node_selectors.v, ad->node_selectors.n);
    bgp_advertisement_free(ad);
}

static bool is_alias(const struct analysis *a, const json_t *beside, const char *name)
{
    const json_t *j;
    const json_t *one;
    size_t i;
    for (size_t at = 0; (j = next_of(a, "Community", beside, &at));)
        json_array_foreach(json_at(j, "spec.communities"), i, one)
        {
            if (streq(json_key_str(one, "name"), name))
                return true;
        }
    return false;
}

static void check_bgp(const struct analysis *a, const json_t *j)
{
    struct bgp_advertisement *ad = bgp_advertisement_decode(j);
    struct bgp_community c;
    size_t none = 0;
    if (!ad)
        return;
    copy(a, "InvalidBGPAdvertisement", ad->key, &ad->findings);
    check_pool_names(a, j, "BGPAdvertisementUnused", ad);
    check_nodes(a, "BGPAdvertisementUnused", ad->key, ad->node_selectors.v, ad->node_selectors.n);
    bool peers = next_of(a, "BGPPeer", j, &none) != NULL;
    for (size_t i = 0; peers && i < ad->peers.n; i++)
        if (!is_there(a, "BGPPeer", j, ad->peers.v[i]))
            finding_add(a->out, FINDING_WARNING, "BGPAdvertisementUnused", ad->key, "spec.peers",
                        "create it, or correct the name", "there is no BGPPeer %.253s",
                        ad->peers.v[i]);
    for (size_t i = 0; i < ad->communities.n; i++)
        if (!is_alias(a, j, ad->communities.v[i]) &&
            bgp_community_parse(str_from(ad->communities.v[i]), &c) < 0)
            finding_add(a->out, FINDING_ERROR, "InvalidBGPAdvertisement", ad->key,
                        "spec.communities",
                        "give 65000:1, large:65000:1:2, or a name that a Community has",
                        "\"%.60s\" is no community, and no name of one", ad->communities.v[i]);
    bgp_advertisement_free(ad);
}

/* ---- peers, and what they name ---- */

/* What Secrets hold is not looked at here. */
static void check_secret(const struct analysis *a, const json_t *j, const struct bgp_peer *p)
{
    const json_t *s, *found = NULL;
    for (size_t at = 0; p->secret && !found && (s = next_of(a, "Secret", j, &at));)
        if (streq(json_at_str(s, "metadata.name"), p->secret))
            found = s;
    if (!p->secret || (!found && !a->in->knows_passwords) ||
        streq(json_key_str(found, "type"), "kubernetes.io/basic-auth"))
        return;
    finding_add(a->out, FINDING_ERROR, "InvalidBGPPeer", p->key, "spec.passwordSecret.name",
                "create it, of type kubernetes.io/basic-auth with `password`",
                "the Secret %.253s %s", p->secret,
                found ? "is not of type kubernetes.io/basic-auth" : "is not there");
}

static void check_peer(const struct analysis *a, const json_t *j)
{
    struct bgp_peer *p = bgp_peer_decode(j);
    if (!p)
        return;
    copy(a, "InvalidBGPPeer", p->key, &p->findings);
    check_secret(a, j, p);
    check_nodes(a, "BGPPeerUnused", p->key, p->node_selectors.v, p->node_selectors.n);
    if (p->bfd_profile && !is_there(a, "BFDProfile", j, p->bfd_profile))
        finding_add(a->out, FINDING_ERROR, "InvalidBGPPeer", p->key, "spec.bfdProfile",
                    "create the BFDProfile, or leave the field out",
                    "there is no BFDProfile %.253s that can be used", p->bfd_profile);
    bgp_peer_free(p);
}

void analysis_addresses(const struct analysis *a)
{
    const json_t *j;
    size_t i;
    json_array_foreach(objects_of(a), i, j)
    {
        struct community_names *names =
            analysis_is(j, "Community") ? community_names_decode(j) : NULL;
        struct bfd_profile *bfd = analysis_is(j, "BFDProfile") ? bfd_profile_decode(j) : NULL;
        if (analysis_is(j, "IPAddressPool"))
            check_pools(a, j);
        if (analysis_is(j, "L2Advertisement"))
            check_l2(a, j);
        if (analysis_is(j, "BGPAdvertisement"))
            check_bgp(a, j);
        if (analysis_is(j, "BGPPeer"))
            check_peer(a, j);
        if (names)
            copy(a, "InvalidCommunity", names->key, &names->findings);
        if (bfd)
            copy(a, "InvalidBFDProfile", bfd->key, &bfd->findings);
        community_names_free(names);
        bfd_profile_free(bfd);
    }
}
