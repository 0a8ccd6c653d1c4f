#pragma once
/* What the two halves of the nftables backend share: the layout (fixed skeleton) and the changes of
 * elements. */

#include "dataplane/dataplane.h"
#include "nl/nft.h"

#define NFTABLES_TABLE     "fairlead"
#define NFTABLES_FORGOTTEN "affinity-full" /* the chain that counts clients not remembered */

enum nftables_map {
    MAP_SERVICES,       /* addr . proto . port -> flags, policy and count */
    MAP_LOCAL_SERVICES, /* the same -> flags and count of traffic policy Local */
    MAP_ENDPOINTS,      /* addr . proto . port . index -> addr . port */
    MAP_NODE_PORTS,     /* proto . port -> flags, policy and count */
    MAP_LOCAL_NODE_PORTS,
    MAP_NODE_PORT_ENDPOINTS, /* proto . port . index -> addr . port */
    MAP_COUNTS,              /* count -> jump endpoints-COUNT */
    MAP_POLICIES,            /* policy -> jump */
    MAP_AFFINITY,            /* addr . proto . port -> group's number, see affinity.h */
    MAP_NODE_PORT_AFFINITY,  /* proto . port -> the same */
    MAP_NUMBERS,             /* addr . proto . port . index -> endpoint's number */
    MAP_NODE_PORT_NUMBERS,
    MAP_PINNED,        /* number -> addr . port */
    MAP_LOCAL_PINNED,  /* the same for traffic policy Local */
    MAP_CLIENTS,       /* group's number . client -> endpoint's number; filled by packets */
    MAP_TIMEOUTS,      /* class -> jump timeout-CLASS; fixed */
    MAP_SECONDS,       /* class -> its timeout, for the next start to read */
    SET_SOURCE_RANGES, /* addr . proto . port . network of allowed sources */
    SET_CLUSTER_IPS,
    SET_LOCAL_ENDPOINTS, /* addr . addr */
    _NFTABLES_MAP_MAX,
};

/* The value of a frontend: its parts are looked up one after the other, so chains grow by their
 * sum. Counts and indices of traffic policy Local carry a bit of their own, so that they share the
 * map of endpoints and have their own classes. */
enum {
    VALUE_COUNT_MASK = 0x0000ffff,
    VALUE_SCOPE_LOCAL = 0x00008000,
    VALUE_POLICY_SHIFT = 16,
    VALUE_POLICY_MASK = 0x00ff0000,
    VALUE_RESTRICTED = 0x01000000, /* look at the source first */
    VALUE_AFFINITY = 0x02000000,
    VALUE_WANT_LOCAL = 0x04000000, /* what a policy chain leaves when local endpoints are wanted */
    MASQUERADE_MARK = 0x4000,
};

struct nftables_family {
    uint8_t nfproto;
    uint8_t family;
    uint8_t addr_bytes, addr_words;
    uint8_t saddr_offset, daddr_offset;
    uint8_t reject_code; /* ICMP or ICMPv6 port unreachable */
};
extern const struct nftables_family nftables_families[2];

extern const char *const nftables_map_names[_NFTABLES_MAP_MAX];

/* Sets, chains and rules; those of an existing table are replaced in the same transaction. Without
 * hooks no packet reaches it yet. */
void nftables_add_skeleton(struct nfnl_batch *b, const struct nftables_family *f,
                           const struct dataplane_config *c, bool replace);
void nftables_add_hooks(struct nfnl_batch *b, const struct nftables_family *f);
/* The rules that networks of the configuration decide, anew; no large map is looked at. */
void nftables_rewrite_networks(struct nfnl_batch *b, const struct nftables_family *f,
                               const struct dataplane_config *c);
/* The chain that rejects and counts node ports on loopback: of TCP, UDP, SCTP. */
extern const char *const nftables_localhost_chains[DATAPLANE_PROTOCOLS];
/* Chains of the skeleton and its hooks; not those of classes (endpoint counts). */
bool nftables_is_fixed_chain(struct str name);
/* The chain that a fixed element of policies or timeouts leads to; NULL: there is no such. */
const char *nftables_fixed_verdict(enum nftables_map map, uint32_t key, char ret[32]);
/* The chain of a class. */
const char *nftables_class_name(uint32_t count, char ret[32]);
/* What clients of a class are remembered for. known: the class had another timeout before. */
void nftables_set_timeout(struct nfnl_batch *b, unsigned class_, uint32_t seconds, bool known);
/* One class: a chain that picks an index below count (which may carry VALUE_SCOPE_LOCAL, and then
 * so does the index). */
void nftables_add_class(struct nfnl_batch *b, uint32_t count);
void nftables_delete_class(struct nfnl_batch *b, uint32_t count);
