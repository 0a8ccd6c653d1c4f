/* Prefixes of one router that have the same attributes are one group: a prefix list for each
 * family, and an entry of the router's route map that matches it and sets them. Lines are written
 * as bgpd shows them, so that what it has can be compared with what it should have. */
#include "agent/bgp_paths.h"

#include <stdio.h>

#include "agent/bgp_rules.h"

enum { NAME_BYTES = 100, BLOCK_BYTES = 160 };

/* ---- paths ---- */

static int by_prefix(const void *a, const void *b)
{
    const struct bgp_path *x = a, *y = b;
    int d = (int)x->prefix.ip.family - (int)y->prefix.ip.family;
    d = d ? d : ip_cmp(&x->prefix.ip, &y->prefix.ip);
    d = d ? d : (int)x->prefix.len - (int)y->prefix.len;
    return d ? d : (x->order > y->order) - (x->order < y->order);
}

void bgp_paths_sort(struct bgp_path_list *list)
{
    if (list->n)
        qsort(list->v, list->n, sizeof(*list->v), by_prefix);
}

static bool is_same_prefix(const struct bgp_path *a, const struct bgp_path *b)
{
    return a->prefix.len == b->prefix.len && ip_eq(&a->prefix.ip, &b->prefix.ip);
}

/* ---- attributes ---- */

struct attributes {
    uint32_t local_pref;
    VEC(struct bgp_community) communities;
};

struct drawing {
    const struct bgp_router *router;
    const struct bgp_named_list *communities;
    struct frr_config *ret;
    struct findings *findings;
    struct map groups; /* lines that set attributes -> struct group */
    char block[BLOCK_BYTES], name[NAME_BYTES], address[IP_TEXT_BYTES];
    size_t n_prefixes;
};

struct group {
    const char *lines; /* its key */
    VEC(struct prefix) prefixes;
};

static bool find_community(const struct drawing *d, const char *text, struct bgp_community *ret)
{
    for (size_t i = 0; i < d->communities->n; i++) {
        const struct community_names *c = d->communities->v[i].value;
        VEC_FOREACH (a, &c->aliases)
            if (streq(a->name, text)) {
                *ret = a->value;
                return true;
            }
    }
    return bgp_community_parse(str_from(text), ret) == 0;
}

static void add_community(struct attributes *to, const struct bgp_community *c)
{
    size_t at = 0;
    while (at < to->communities.n && bgp_community_cmp(&to->communities.v[at], c) < 0)
        at++;
    if (at < to->communities.n && bgp_community_cmp(&to->communities.v[at], c) == 0)
        return;
    vec_push(&to->communities, *c);
    for (size_t i = to->communities.n - 1; i > at; i--)
        to->communities.v[i] = to->communities.v[i - 1];
    to->communities.v[at] = *c;
}

static void add_attributes(const struct drawing *d, const struct bgp_path *p, bool first,
                           struct attributes *to)
{
    const struct bgp_advertisement *a = p->advertisement;
    char field[60];
    for (size_t i = 0; i < a->communities.n; i++) {
        struct bgp_community c;
        snprintf(field, sizeof(field), "spec.communities[%zu]", i);
        if (find_community(d, a->communities.v[i], &c))
            add_community(to, &c);
        else
            finding_add(d->findings, FINDING_ERROR, "InvalidBGPAdvertisement", a->key, field,
                        "give 65000:1, large:65000:1:2, or a name that a Community has",
                        "\"%.60s\" is no community, and no name of one", a->communities.v[i]);
    }
    if (!first && a->local_pref != to->local_pref)
        finding_add(d->findings, FINDING_ERROR, "InvalidBGPAdvertisement", a->key, "spec.localPref",
                    "say the same in all advertisements of a pool to one peer",
                    "another advertisement of the same addresses to peer %.253s says %u",
                    d->router->peer->name, to->local_pref);
    else
        to->local_pref = a->local_pref;
}

/* As bgpd shows them. */
static const char *well_known(const struct bgp_community *c)
{
    static const struct {
        uint16_t low;
        const char *name;
    } names[] = {{0, "graceful-shutdown"},
                 {1, "accept-own"},
                 {2, "route-filter-translated-v4"},
                 {3, "route-filter-v4"},
                 {4, "route-filter-translated-v6"},
                 {5, "route-filter-v6"},
                 {6, "llgr-stale"},
                 {7, "no-llgr"},
                 {8, "accept-own-nexthop"},
                 {666, "blackhole"},
                 {65281, "no-export"},
                 {65282, "no-advertise"},
                 {65283, "local-AS"},
                 {65284, "no-peer"}};
    for (size_t i = 0; c->v[0] == UINT16_MAX && i < ARRAY_LEN(names); i++)
        if (names[i].low == c->v[1])
            return names[i].name;
    return NULL;
}

static void write_communities(const struct attributes *a, bool large, struct buf *out)
{
    bool any = false;
    VEC_FOREACH (c, &a->communities) {
        const char *name = large ? NULL : well_known(c);
        if (c->large != large)
            continue;
        buf_add_cstr(out, any ? " " : large ? "set large-community " : "set community ");
        any = true;
        if (name)
            buf_add_cstr(out, name);
        else if (large)
            buf_addf(out, "%u:%u:%u", c->v[0], c->v[1], c->v[2]);
        else
            buf_addf(out, "%u:%u", c->v[0], c->v[1]);
    }
    if (any)
        buf_add_cstr(out, " additive\n");
}

static void add_to_group(struct drawing *d, const struct prefix *prefix, const struct attributes *a)
{
    AUTO_DONE(buf) struct buf lines = {0};
    write_communities(a, false, &lines);
    if (a->local_pref)
        buf_addf(&lines, "set local-preference %u\n", a->local_pref);
    write_communities(a, true, &lines);
    const char *key = buf_cstr(&lines);
    struct group *g = map_find_cstr(&d->groups, key);
    if (!g) {
        g = NEW(struct group);
        map_put_cstr(&d->groups, key, g);
    }
    vec_push(&g->prefixes, *prefix);
}

static void group_paths(struct drawing *d, const struct bgp_path_list *paths)
{
    for (size_t i = 0; i < paths->n;) {
        struct attributes a = {0};
        size_t k = i;
        bool found = false;
        for (; k < paths->n && is_same_prefix(&paths->v[k], &paths->v[i]); k++) {
            bool twice = k > i && paths->v[k].advertisement == paths->v[k - 1].advertisement;
            if (twice || !bgp_advertisement_is_to(paths->v[k].advertisement, d->router->peer->name))
                continue;
            add_attributes(d, &paths->v[k], !found, &a);
            found = true;
        }
        if (found)
            add_to_group(d, &paths->v[i].prefix, &a);
        vec_done(&a.communities);
        i = k;
    }
}

/* ---- filters ---- */

static bool is_carried(const struct bgp_peer *p, uint8_t family)
{
    return p->address.family == family || p->dual_stack;
}

static const char *family_name(uint8_t family)
{
    return family == AF_INET ? "ip" : "ipv6";
}

static void draw_entry(struct drawing *d, const struct group *g, uint8_t family, size_t number)
{
    char text[PREFIX_TEXT_BYTES], list[NAME_BYTES + 20], entry[BLOCK_BYTES], unicast[40];
    const char *name = family_name(family);
    bool any = false;
    snprintf(list, sizeof(list), "%s-%zu", d->name, number);
    snprintf(unicast, sizeof(unicast), "address-family %s unicast",
             family == AF_INET ? "ipv4" : "ipv6");
    VEC_FOREACH (p, &g->prefixes) {
        if (p->ip.family != family || !is_carried(d->router->peer, family))
            continue;
        any = true;
        d->n_prefixes++;
        frr_config_add(d->ret, "", "", "%s prefix-list %s permit %s", name, list,
                       prefix_format(p, text));
        frr_config_add(d->ret, d->block, unicast, "network %s", prefix_format(p, text));
    }
    if (!any)
        return;
    snprintf(entry, sizeof(entry), "route-map %s permit %zu", d->name, number);
    frr_config_add(d->ret, entry, "", "%s", "");
    frr_config_add(d->ret, entry, "", "match %s address prefix-list %s", name, list);
    for (struct str rest = str_from(g->lines); rest.n;) {
        struct str line = str_cut(rest, '\n', &rest);
        frr_config_add(d->ret, entry, "", STR_FMT, STR_ARG(line));
    }
}

static int by_lines(const void *a, const void *b)
{
    return strcmp((*(struct group *const *)a)->lines, (*(struct group *const *)b)->lines);
}

static void draw_groups(struct drawing *d)
{
    VEC(struct group *) groups = {0};
    struct str key;
    void *value;
    char entry[BLOCK_BYTES];
    for (size_t at = 0; map_next(&d->groups, &at, &key, &value);) {
        ((struct group *)value)->lines = key.p;
        vec_push(&groups, value);
    }
    if (groups.n)
        qsort(groups.v, groups.n, sizeof(struct group *), by_lines);
    for (size_t i = 0; i < groups.n; i++) {
        draw_entry(d, groups.v[i], AF_INET, (i + 1) * 10);
        draw_entry(d, groups.v[i], AF_INET6, (i + 1) * 10 + 1);
        vec_done(&groups.v[i]->prefixes);
        free(groups.v[i]);
    }
    snprintf(entry, sizeof(entry), "route-map %s deny 65535", d->name);
    frr_config_add(d->ret, entry, "", "%s", "");
    vec_done(&groups);
    map_done(&d->groups);
}

/* ---- the session ---- */

#define SAY(d, fmt, ...)                                                                           \
    frr_config_add((d)->ret, (d)->block, "", "neighbor %s " fmt, (d)->address, ##__VA_ARGS__)

static void draw_session(const struct drawing *d)
{
    const struct bgp_peer *p = d->router->peer;
    char ip[IP_TEXT_BYTES];
    if (p->peer_asn)
        SAY(d, "remote-as %u", p->peer_asn);
    else
        SAY(d, "remote-as %s", p->external ? "external" : "internal");
    if (p->local_asn)
        SAY(d, "local-as %u no-prepend replace-as", p->local_asn);
    SAY(d, "description BGPPeer %s", p->name);
    if (d->router->bfd) {
        SAY(d, "bfd");
        SAY(d, "bfd profile " FRR_OWN "%s", d->router->bfd->name);
    }
    if (d->router->password)
        SAY(d, "password %s", d->router->password);
    if (p->multihop)
        SAY(d, "ebgp-multihop 255");
    if (p->source.family)
        SAY(d, "update-source %s", ip_format(&p->source, ip));
    if (p->port != 179)
        SAY(d, "port %u", p->port);
    if (p->has_timers)
        SAY(d, "timers %u %u", p->keepalive_s, p->hold_s);
    SAY(d, "timers connect %u", p->connect_s ? p->connect_s : BGP_CONNECT_S_DEFAULT);
    if (p->graceful_restart)
        SAY(d, "graceful-restart");
}

static void draw_families(const struct drawing *d)
{
    for (int i = 0; i < 2; i++) {
        uint8_t family = i ? AF_INET6 : AF_INET;
        const char *unicast = i ? "address-family ipv6 unicast" : "address-family ipv4 unicast";
        if (!is_carried(d->router->peer, family))
            continue;
        frr_config_add(d->ret, d->block, unicast, "neighbor %s activate", d->address);
        frr_config_add(d->ret, d->block, unicast, "neighbor %s route-map " FRR_OWN "in in",
                       d->address);
        frr_config_add(d->ret, d->block, unicast, "neighbor %s route-map %s out", d->address,
                       d->name);
    }
}

void bgp_router_draw(const struct bgp_router *r, const struct bgp_path_list *paths,
                     const struct bgp_named_list *communities, const struct ip *node_ip,
                     struct frr_config *ret, struct findings *findings, size_t *ret_n_prefixes)
{
    const struct bgp_peer *p = r->peer;
    const struct ip *id = p->router_id.family ? &p->router_id : node_ip;
    struct drawing d = {.router = r, .communities = communities, .ret = ret, .findings = findings};
    char ip[IP_TEXT_BYTES];
    ip_format(&p->address, d.address);
    snprintf(d.name, sizeof(d.name), FRR_OWN "%u-%s", p->my_asn, d.address);
    snprintf(d.block, sizeof(d.block), "router bgp %u view " FRR_OWN "%u", p->my_asn, p->my_asn);
    frr_config_add(ret, d.block, "", "%s", "");
    if (id->family == AF_INET)
        frr_config_add(ret, d.block, "", "bgp router-id %s", ip_format(id, ip));
    frr_config_add(ret, d.block, "", "no bgp default ipv4-unicast");
    frr_config_add(ret, d.block, "", "bgp graceful-restart preserve-fw-state");
    frr_config_add(ret, d.block, "", "no bgp network import-check");
    draw_session(&d);
    draw_families(&d);
    frr_config_add(ret, "route-map " FRR_OWN "in deny 10", "", "%s", "");
    group_paths(&d, paths);
    draw_groups(&d);
    *ret_n_prefixes = d.n_prefixes;
}
