#pragma once
/* What this node's routers are told: of pools, BGPAdvertisements, BGPPeers and what they name, the
 * node, and the addresses that Services want announced here, the configuration of bgpd and bfdd.
 * Pure; the same for any order of what is put. */

#include "agent/frr_config.h"
#include "model/bgp_object.h"

enum {
    BGP_PEERS_MAX = 100,       /* of one node */
    BGP_CONNECT_S_DEFAULT = 10 /* bgpd dials, and nobody dials it: two minutes are too long */
};

struct bgp_rules;

struct bgp_rules *bgp_rules_new(const char *node);
void bgp_rules_free(struct bgp_rules *r); /* NULL is allowed */

/* Each adds, replaces or (object NULL) removes. Secrets are of the pools' namespace, too. */
enum bgp_kind {
    BGP_POOL,
    BGP_PEER,
    BGP_ADVERTISEMENT,
    BGP_COMMUNITY,
    BGP_BFD_PROFILE,
    BGP_SECRET,
    BGP_NODE, /* this one; others are left out */
    BGP_KINDS,
};
void bgp_rules_put(struct bgp_rules *r, enum bgp_kind kind, struct str key, const json_t *object);

/* Does some peer ask for it? */
bool bgp_rules_name_secret(const struct bgp_rules *r, struct str name);
/* Is some advertisement for it, from this node? */
bool bgp_rules_announce(const struct bgp_rules *r, const struct ip *ip);

struct bgp_session {
    char *name, *view; /* of the BGPPeer, of bgpd's instance */
    struct ip address;
    size_t n_prefixes;
};

struct bgp_picture {
    struct frr_config bgpd, bfdd;
    VEC(struct bgp_session) sessions;
    struct findings findings; /* what is wrong with which object; an id says the kind */
};

/* ips: what is wanted, each once. there: what bgpd has now; NULL: not known. */
void bgp_rules_draw(const struct bgp_rules *r, const struct ip *ips, size_t n,
                    const struct frr_config *there, struct bgp_picture *ret);
void bgp_picture_done(struct bgp_picture *p);
