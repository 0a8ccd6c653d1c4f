/* Everything is found anew for each picture: objects are few, and there is nothing to be kept up to
 * date. Objects are taken by name, so that the order in which they came does not matter. */
#include "agent/bgp_rules.h"

#include <stdio.h>

#include "agent/bgp_paths.h"
#include "model/address_pool.h"

struct pool {
    struct address_pool *p;
    json_t *labels; /* NULL: none */
};

struct password {
    char *text;      /* NULL: there is none that can be used */
    const char *why; /* constant */
};

struct bgp_rules {
    char *node;
    struct map of[BGP_KINDS]; /* by key; secrets by name */
    json_t *node_labels;
    struct ip node_ip; /* IPv4 */
    bool has_node, is_excluded;
};

/* ---- reading ---- */

static void value_free(enum bgp_kind kind, void *value)
{
    struct pool *pool = value;
    struct password *password = value;
    if (!value)
        return;
    switch (kind) {
    case BGP_POOL:
        address_pool_free(pool->p);
        json_decref(pool->labels);
        free(pool);
        break;
    case BGP_PEER:
        bgp_peer_free(value);
        break;
    case BGP_ADVERTISEMENT:
        bgp_advertisement_free(value);
        break;
    case BGP_COMMUNITY:
        community_names_free(value);
        break;
    case BGP_BFD_PROFILE:
        bfd_profile_free(value);
        break;
    case BGP_SECRET:
        free(password->text);
        free(password);
        break;
    case BGP_NODE:
    case BGP_KINDS:
        break;
    }
}

static void *value_decode(enum bgp_kind kind, const json_t *j)
{
    switch (kind) {
    case BGP_POOL: {
        struct address_pool *decoded = address_pool_decode(j);
        struct pool *pool = decoded ? NEW(struct pool) : NULL;
        if (pool) {
            pool->p = decoded;
            pool->labels = json_incref(json_at(j, "metadata.labels"));
        }
        return pool;
    }
    case BGP_PEER:
        return bgp_peer_decode(j);
    case BGP_ADVERTISEMENT:
        return bgp_advertisement_decode(j);
    case BGP_COMMUNITY:
        return community_names_decode(j);
    case BGP_BFD_PROFILE:
        return bfd_profile_decode(j);
    case BGP_SECRET: {
        struct password *password = NEW(struct password);
        password->text = bgp_password_decode(j, &password->why);
        return password;
    }
    case BGP_NODE:
    case BGP_KINDS:
        break;
    }
    return NULL;
}

static bool has_no_network(const json_t *j)
{
    const json_t *item;
    size_t i;
    json_array_foreach(json_at(j, "status.conditions"), i, item)
    {
        if (streq(json_key_str(item, "type"), "NetworkUnavailable") &&
            streq(json_key_str(item, "status"), "True"))
            return true;
    }
    return false;
}

static void put_node(struct bgp_rules *r, const json_t *j)
{
    const json_t *item;
    size_t i;
    json_decref(r->node_labels);
    r->node_labels = json_incref(json_at(j, "metadata.labels"));
    r->has_node = j != NULL;
    r->is_excluded = json_object_get(r->node_labels,
                                     "node.kubernetes.io/exclude-from-external-load-balancers") ||
                     has_no_network(j);
    r->node_ip = (struct ip){0};
    json_array_foreach(json_at(j, "status.addresses"), i, item)
    {
        struct ip ip;
        const char *text = json_key_str(item, "address");
        if (!r->node_ip.family && streq(json_key_str(item, "type"), "InternalIP") && text &&
            ip_parse(str_from(text), &ip) == 0 && ip.family == AF_INET)
            r->node_ip = ip;
    }
}

void bgp_rules_put(struct bgp_rules *r, enum bgp_kind kind, struct str key, const json_t *object)
{
    struct map *m = &r->of[kind];
    if (kind == BGP_NODE) {
        if (str_is(key, r->node))
            put_node(r, object);
        return;
    }
    if (kind == BGP_SECRET && memchr(key.p, '/', key.n))
        (void)str_cut(key, '/', &key);
    void *value = object ? value_decode(kind, object) : NULL;
    value_free(kind, value ? map_put(m, key, value) : map_remove(m, key));
}

struct bgp_rules *bgp_rules_new(const char *node)
{
    struct bgp_rules *r = NEW(struct bgp_rules);
    r->node = xstrdup(node);
    return r;
}

void bgp_rules_free(struct bgp_rules *r)
{
    void *value;
    if (!r)
        return;
    for (unsigned kind = 0; kind < BGP_KINDS; kind++) {
        for (size_t at = 0; map_next(&r->of[kind], &at, NULL, &value);)
            value_free((enum bgp_kind)kind, value);
        map_done(&r->of[kind]);
    }
    json_decref(r->node_labels);
    free(r->node);
    free(r);
}

/* ---- asking ---- */

static int by_key(const void *a, const void *b)
{
    const struct bgp_named *x = a, *y = b;
    return strcmp(x->key, y->key);
}

/* Those of a kind, by their keys. */
static void sorted(const struct bgp_rules *r, enum bgp_kind kind, struct bgp_named_list *ret)
{
    struct str key;
    void *value;
    for (size_t at = 0; map_next(&r->of[kind], &at, &key, &value);)
        vec_push(ret, ((struct bgp_named){key.p, value}));
    if (ret->n)
        qsort(ret->v, ret->n, sizeof(*ret->v), by_key);
}

/* The pool of an address; of several the oldest one, as addresses are given. */
static const struct pool *pool_of(const struct bgp_rules *r, const struct ip *ip)
{
    const struct pool *best = NULL;
    void *value;
    for (size_t at = 0; map_next(&r->of[BGP_POOL], &at, NULL, &value);) {
        const struct pool *p = value;
        if (!address_pool_has(p->p, ip))
            continue;
        int order = best ? strcmp(p->p->created, best->p->created) : -1;
        if (order < 0 || (order == 0 && strcmp(p->p->key, best->p->key) < 0))
            best = p;
    }
    return best;
}

static bool is_here(const struct bgp_rules *r, const struct bgp_advertisement *a)
{
    return !a->refused && r->has_node && !r->is_excluded &&
           bgp_selects_node(a->node_selectors.v, a->node_selectors.n, r->node_labels);
}

bool bgp_rules_name_secret(const struct bgp_rules *r, struct str name)
{
    void *value;
    for (size_t at = 0; map_next(&r->of[BGP_PEER], &at, NULL, &value);) {
        const struct bgp_peer *p = value;
        if (p->secret && str_is(name, p->secret))
            return true;
    }
    return false;
}

bool bgp_rules_announce(const struct bgp_rules *r, const struct ip *ip)
{
    const struct pool *p = pool_of(r, ip);
    void *value;
    for (size_t at = 0; p && map_next(&r->of[BGP_ADVERTISEMENT], &at, NULL, &value);)
        if (is_here(r, value) && bgp_advertisement_is_of_pool(value, p->p->name, p->labels))
            return true;
    return false;
}

/* ---- peers of this node ---- */

static const char *password_of(const struct bgp_rules *r, const struct bgp_peer *p,
                               struct findings *f, bool *ret_refused)
{
    if (!p->secret)
        return p->password;
    const struct password *password = map_find_cstr(&r->of[BGP_SECRET], p->secret);
    if (password && password->text)
        return password->text;
    *ret_refused = true;
    finding_add(f, FINDING_ERROR, "InvalidBGPPeer", p->key, "spec.passwordSecret.name",
                "create it, of type kubernetes.io/basic-auth with `password`",
                "the Secret %.253s %s", p->secret, password ? password->why : "is not there");
    return NULL;
}

static const struct bfd_profile *profile_of(const struct bgp_rules *r, const struct bgp_peer *p,
                                            struct findings *f, bool *ret_refused)
{
    void *value;
    for (size_t at = 0; p->bfd_profile && map_next(&r->of[BGP_BFD_PROFILE], &at, NULL, &value);) {
        const struct bfd_profile *b = value;
        if (streq(b->name, p->bfd_profile) && !b->refused)
            return b;
    }
    if (!p->bfd_profile)
        return NULL;
    *ret_refused = true;
    finding_add(f, FINDING_ERROR, "InvalidBGPPeer", p->key, "spec.bfdProfile",
                "create the BFDProfile, or leave the field out",
                "there is no BFDProfile %.253s that can be used", p->bfd_profile);
    return NULL;
}

struct drawing {
    const struct bgp_rules *rules;
    struct bgp_picture *ret;
    VEC(struct bgp_router) routers;
    struct bgp_path_list paths; /* what is announced here, by prefix, then advertisement */
};

/* Is there one before it that it cannot stand beside? */
static bool is_at_odds(const struct drawing *d, const struct bgp_peer *p)
{
    VEC_FOREACH (before, &d->routers) {
        const struct bgp_peer *b = before->peer;
        if (b->my_asn == p->my_asn && ip_eq(&b->address, &p->address)) {
            finding_add(&d->ret->findings, FINDING_ERROR, "InvalidBGPPeer", p->key,
                        "spec.peerAddress", "leave one of them",
                        "BGPPeer %.253s has the same address", b->name);
            return true;
        }
        if (b->my_asn == p->my_asn && !ip_eq(&b->router_id, &p->router_id)) {
            finding_add(&d->ret->findings, FINDING_ERROR, "InvalidBGPPeer", p->key, "spec.routerID",
                        "say the same in all peers of one myASN", "BGPPeer %.253s has another one",
                        b->name);
            return true;
        }
    }
    return false;
}

static void read_peer(struct drawing *d, const struct bgp_peer *p, const struct frr_config *there)
{
    struct findings *f = &d->ret->findings;
    bool refused = p->refused;
    for (size_t i = 0; i < p->findings.n; i++)
        finding_add(f, p->findings.v[i].severity, p->findings.v[i].id, p->key,
                    p->findings.v[i].field, p->findings.v[i].hint, "%s", p->findings.v[i].message);
    if (refused ||
        !bgp_selects_node(p->node_selectors.v, p->node_selectors.n, d->rules->node_labels))
        return;
    struct bgp_router router = {.peer = p};
    router.password = password_of(d->rules, p, f, &refused);
    router.bfd = profile_of(d->rules, p, f, &refused);
    if (there && frr_config_is_foreign(there, &p->address)) {
        refused = true;
        finding_add(f, FINDING_ERROR, "InvalidBGPPeer", p->key, "spec.peerAddress",
                    "remove one of the two",
                    "bgpd of this node has a neighbor of this address in a "
                    "block that is not ours");
    }
    if (d->routers.n >= BGP_PEERS_MAX && !refused) {
        refused = true;
        finding_add(f, FINDING_ERROR, "InvalidBGPPeer", p->key, "spec.nodeSelectors",
                    "select fewer nodes", "this node has 100 peers already");
    }
    if (!refused && !is_at_odds(d, p))
        vec_push(&d->routers, router);
}

/* ---- what is announced ---- */

static bool reaches_beyond(const struct address_pool *p, const struct prefix *prefix)
{
    struct ip first = prefix_network(prefix);
    struct ip last = first;
    for (size_t bit = prefix->len; bit < ip_bytes(&last) * 8; bit++)
        last.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    VEC_FOREACH (range, &p->ranges)
        if (ip_range_has(range, &first) && ip_range_has(range, &last))
            return false;
    return true;
}

static void add_paths(struct drawing *d, const struct ip *ip, const struct bgp_named_list *all)
{
    char text[PREFIX_TEXT_BYTES];
    const struct pool *pool = pool_of(d->rules, ip);
    for (size_t i = 0; pool && i < all->n; i++) {
        const struct bgp_advertisement *a = all->v[i].value;
        if (!is_here(d->rules, a) || !bgp_advertisement_is_of_pool(a, pool->p->name, pool->labels))
            continue;
        struct prefix prefix = {*ip, ip->family == AF_INET ? a->length4 : a->length6};
        prefix.ip = prefix_network(&prefix);
        if (reaches_beyond(pool->p, &prefix))
            finding_add(&d->ret->findings, FINDING_ERROR, "InvalidBGPAdvertisement", a->key,
                        ip->family == AF_INET ? "spec.aggregationLength"
                                              : "spec.aggregationLengthV6",
                        "give a greater one", "%s reaches beyond a range of pool %.253s",
                        prefix_format(&prefix, text), pool->p->name);
        else
            vec_push(&d->paths, ((struct bgp_path){prefix, a, i}));
    }
}

static void find_paths(struct drawing *d, const struct ip *ips, size_t n)
{
    struct bgp_named_list all = {0};
    sorted(d->rules, BGP_ADVERTISEMENT, &all);
    for (size_t i = 0; i < all.n; i++) {
        const struct bgp_advertisement *a = all.v[i].value;
        for (size_t k = 0; k < a->findings.n; k++)
            finding_add(&d->ret->findings, a->findings.v[k].severity, a->findings.v[k].id, a->key,
                        a->findings.v[k].field, a->findings.v[k].hint, "%s",
                        a->findings.v[k].message);
    }
    for (size_t i = 0; i < n; i++)
        add_paths(d, &ips[i], &all);
    vec_done(&all);
    bgp_paths_sort(&d->paths);
}

/* ---- the picture ---- */

static void add_profile(struct frr_config *c, const struct bfd_profile *b)
{
    char inner[80];
    snprintf(inner, sizeof(inner), "profile " FRR_OWN "%s", b->name);
    frr_config_add(c, "bfd", inner, "%s", "");
    if (b->multiplier && b->multiplier != 3)
        frr_config_add(c, "bfd", inner, "detect-multiplier %u", b->multiplier);
    if (b->transmit_ms && b->transmit_ms != 300)
        frr_config_add(c, "bfd", inner, "transmit-interval %u", b->transmit_ms);
    if (b->receive_ms && b->receive_ms != 300)
        frr_config_add(c, "bfd", inner, "receive-interval %u", b->receive_ms);
    if (b->echo_ms && b->echo_ms != 50) {
        frr_config_add(c, "bfd", inner, "echo transmit-interval %u", b->echo_ms);
        frr_config_add(c, "bfd", inner, "echo receive-interval %u", b->echo_ms);
    }
    if (b->echo)
        frr_config_add(c, "bfd", inner, "echo-mode");
    if (b->passive)
        frr_config_add(c, "bfd", inner, "passive-mode");
    if (b->minimum_ttl && b->minimum_ttl != 254)
        frr_config_add(c, "bfd", inner, "minimum-ttl %u", b->minimum_ttl);
}

static void tell_communities(const struct bgp_rules *r, struct findings *f,
                             struct bgp_named_list *ret)
{
    sorted(r, BGP_COMMUNITY, ret);
    for (size_t i = 0; i < ret->n; i++) {
        const struct community_names *c = ret->v[i].value;
        for (size_t k = 0; k < c->findings.n; k++)
            finding_add(f, FINDING_ERROR, c->findings.v[k].id, c->key, c->findings.v[k].field,
                        c->findings.v[k].hint, "%s", c->findings.v[k].message);
    }
}

static void tell_profiles(const struct bgp_rules *r, struct findings *f)
{
    struct bgp_named_list all = {0};
    sorted(r, BGP_BFD_PROFILE, &all);
    for (size_t i = 0; i < all.n; i++) {
        const struct bfd_profile *b = all.v[i].value;
        for (size_t k = 0; k < b->findings.n; k++)
            finding_add(f, FINDING_ERROR, b->findings.v[k].id, b->key, b->findings.v[k].field,
                        b->findings.v[k].hint, "%s", b->findings.v[k].message);
    }
    vec_done(&all);
}

void bgp_rules_draw(const struct bgp_rules *r, const struct ip *ips, size_t n,
                    const struct frr_config *there, struct bgp_picture *ret)
{
    struct drawing d = {.rules = r, .ret = ret};
    struct bgp_named_list peers = {0}, communities = {0};
    *ret = (struct bgp_picture){0};
    sorted(r, BGP_PEER, &peers);
    for (size_t i = 0; r->has_node && i < peers.n; i++)
        read_peer(&d, peers.v[i].value, there);
    vec_done(&peers);
    find_paths(&d, ips, n);
    tell_profiles(r, &ret->findings);
    tell_communities(r, &ret->findings, &communities);
    VEC_FOREACH (router, &d.routers) {
        struct bgp_session s = {.name = xstrdup(router->peer->name),
                                .address = router->peer->address};
        bgp_router_draw(router, &d.paths, &communities, &r->node_ip, &ret->bgpd, &ret->findings,
                        &s.n_prefixes);
        s.view = xasprintf(FRR_OWN "%u", router->peer->my_asn);
        vec_push(&ret->sessions, s);
        if (router->bfd)
            add_profile(&ret->bfdd, router->bfd);
    }
    vec_done(&communities);
    vec_done(&d.routers);
    vec_done(&d.paths);
}

void bgp_picture_done(struct bgp_picture *p)
{
    VEC_FOREACH (s, &p->sessions) {
        free(s->name);
        free(s->view);
    }
    vec_done(&p->sessions);
    frr_config_done(&p->bgpd);
    frr_config_done(&p->bfdd);
    findings_done(&p->findings);
}
