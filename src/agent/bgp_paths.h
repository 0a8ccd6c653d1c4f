#pragma once
/* What one router is told of, as bgpd's configuration: its session, and which prefixes with which
 * attributes. A part of bgp_rules.h. Pure. */

#include "agent/frr_config.h"
#include "model/bgp_object.h"

struct bgp_named {
    const char *key;
    void *value;
};
struct bgp_named_list {
    struct bgp_named *v;
    size_t n, cap;
};

struct bgp_path {
    struct prefix prefix;
    const struct bgp_advertisement *advertisement;
    size_t order; /* of the advertisement */
};
struct bgp_path_list {
    struct bgp_path *v;
    size_t n, cap;
};
void bgp_paths_sort(struct bgp_path_list *list);

struct bgp_router {
    const struct bgp_peer *peer;
    const char *password;          /* NULL: none */
    const struct bfd_profile *bfd; /* NULL: none */
};
/* paths are sorted; communities: struct community_names. node_ip: for a router ID, family 0: none
 * is known. */
void bgp_router_draw(const struct bgp_router *r, const struct bgp_path_list *paths,
                     const struct bgp_named_list *communities, const struct ip *node_ip,
                     struct frr_config *ret, struct findings *findings, size_t *ret_n_prefixes);
