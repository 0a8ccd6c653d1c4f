#pragma once
/* The kinds of MetalLB's that say how addresses are announced by BGP: BGPPeer
 * (metallb.io/v1beta2), BGPAdvertisement, Community, BFDProfile (v1beta1) as values. Fields,
 * defaults and what is refused are MetalLB's. An error among the findings: it is not used. */

#include "base/addr.h"
#include "base/vec.h"
#include "kube/selector.h"
#include "model/address_pool.h"
#include "model/finding.h"

enum {
    BGP_NAMES_MAX = 1000, /* in one list */
    BGP_COMMUNITIES_MAX = 100,
    BGP_PASSWORD_MAX = 80, /* of TCP MD5, as the kernel has it (RFC 2385) */
};

/* ---- communities ---- */

/* "65000:1", "large:65000:1:2". */
struct bgp_community {
    bool large;
    uint32_t v[3]; /* two, if it is not large */
};
/* -EINVAL; -ERANGE: of that form, but a number is too great. */
int bgp_community_parse(struct str text, struct bgp_community *ret) NODISCARD;
int bgp_community_cmp(const struct bgp_community *a, const struct bgp_community *b);

struct community_alias {
    char *name;
    struct bgp_community value;
};

/* A Community: names for some. */
struct community_names {
    char *key, *uid;
    VEC(struct community_alias) aliases;
    struct findings findings;
};
/* Each NULL: an object without a name. */
struct community_names *community_names_decode(const json_t *j);
void community_names_free(struct community_names *c); /* each: NULL is allowed */

/* ---- peers ---- */

struct bgp_peer {
    char *key, *name, *uid, *created;
    uint32_t my_asn, peer_asn, local_asn; /* peer_asn 0: any, but for the next; local_asn 0: none */
    bool external;                        /* without peer_asn: another one; else the same */
    struct ip address, source, router_id; /* family 0: none */
    uint16_t port;
    uint32_t hold_s, keepalive_s, connect_s; /* not has_timers, connect_s 0: not said */
    bool has_timers, graceful_restart, multihop, dual_stack;
    char *password, *secret, *bfd_profile; /* NULL: none; the secret by its name */
    VEC(struct selector) node_selectors;
    struct findings findings;
    bool refused;
};
struct bgp_peer *bgp_peer_decode(const json_t *j);
void bgp_peer_free(struct bgp_peer *p);
/* What a Secret says: NULL and why not, without what it holds. Owned. */
char *bgp_password_decode(const json_t *secret, const char **ret_why);

/* ---- advertisements ---- */

struct bgp_advertisement {
    char *key, *name, *uid;
    uint8_t length4, length6; /* addresses are rolled up into prefixes of that length */
    uint32_t local_pref;      /* 0: none */
    VEC(char *) pools, peers, communities;
    VEC(struct selector) pool_selectors, node_selectors;
    struct findings findings;
    bool refused;
};
struct bgp_advertisement *bgp_advertisement_decode(const json_t *j);
void bgp_advertisement_free(struct bgp_advertisement *a);
bool bgp_advertisement_is_of_pool(const struct bgp_advertisement *a, const char *pool,
                                  const json_t *labels);
bool bgp_advertisement_is_to(const struct bgp_advertisement *a, const char *peer);

/* ---- BFD ---- */

struct bfd_profile {
    char *key, *name, *uid;
    uint32_t receive_ms, transmit_ms, multiplier, echo_ms, minimum_ttl; /* 0: not said */
    bool echo, passive;
    struct findings findings;
    bool refused;
};
struct bfd_profile *bfd_profile_decode(const json_t *j);
void bfd_profile_free(struct bfd_profile *p);

/* Of a list of selectors any; of none all. */
bool bgp_selects_node(const struct selector *v, size_t n, const json_t *labels);
