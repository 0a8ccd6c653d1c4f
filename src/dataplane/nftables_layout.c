/* The fixed skeleton of the nftables backend: names, sets, chains and rules. Everything that grows
 * with the cluster is an element of a data map; only chains made here refer to such a map, because
 * binding one from a new chain makes the kernel walk all of it. Values pass from rule to rule in
 * the packet's priority, never through chained lookups: nft 1.0.6 aborts when it lists those
 * (netlink_delinearize.c, "consumed > 0"). The packet's mark is other people's, bit 14 apart.
 * README.md shows the text form. */
#include "dataplane/affinity.h"
#include "dataplane/nftables_priv.h"

#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter_ipv4.h>
#include <net/if.h>
#include <stdio.h>

#define REG_1 NFT_REG_1

static const enum nfnl_type V4_KEY[] = {NFNL_TYPE_IP, NFNL_TYPE_INET_PROTO, NFNL_TYPE_INET_SERVICE,
                                        NFNL_TYPE_MARK};
static const enum nfnl_type V6_KEY[] = {NFNL_TYPE_IP6, NFNL_TYPE_INET_PROTO, NFNL_TYPE_INET_SERVICE,
                                        NFNL_TYPE_MARK};
static const enum nfnl_type V4_SOURCE[] = {NFNL_TYPE_IP, NFNL_TYPE_INET_PROTO,
                                           NFNL_TYPE_INET_SERVICE, NFNL_TYPE_IP};
static const enum nfnl_type V6_SOURCE[] = {NFNL_TYPE_IP6, NFNL_TYPE_INET_PROTO,
                                           NFNL_TYPE_INET_SERVICE, NFNL_TYPE_IP6};
static const enum nfnl_type V4_ENDPOINT[] = {NFNL_TYPE_IP, NFNL_TYPE_INET_SERVICE};
static const enum nfnl_type V6_ENDPOINT[] = {NFNL_TYPE_IP6, NFNL_TYPE_INET_SERVICE};
static const enum nfnl_type V4_PAIR[] = {NFNL_TYPE_IP, NFNL_TYPE_IP};
static const enum nfnl_type V6_PAIR[] = {NFNL_TYPE_IP6, NFNL_TYPE_IP6};
static const enum nfnl_type V4_CLIENT[] = {NFNL_TYPE_MARK, NFNL_TYPE_IP};
static const enum nfnl_type V6_CLIENT[] = {NFNL_TYPE_MARK, NFNL_TYPE_IP6};
static const enum nfnl_type MARK[] = {NFNL_TYPE_MARK};
static const enum nfnl_type VERDICT[] = {NFNL_TYPE_VERDICT};

const struct nftables_family nftables_families[2] = {
    {NFPROTO_IPV4, AF_INET, 4, 1, 12, 16, 3},
    {NFPROTO_IPV6, AF_INET6, 16, 4, 8, 24, 4},
};

const char *const nftables_map_names[_NFTABLES_MAP_MAX] = {
    [MAP_SERVICES] = "services",
    [MAP_LOCAL_SERVICES] = "local-services",
    [MAP_ENDPOINTS] = "endpoints",
    [MAP_NODE_PORTS] = "node-ports",
    [MAP_LOCAL_NODE_PORTS] = "local-node-ports",
    [MAP_NODE_PORT_ENDPOINTS] = "node-port-endpoints",
    [MAP_COUNTS] = "counts",
    [MAP_POLICIES] = "policies",
    [MAP_AFFINITY] = "affinity",
    [MAP_NODE_PORT_AFFINITY] = "node-port-affinity",
    [MAP_NUMBERS] = "numbers",
    [MAP_NODE_PORT_NUMBERS] = "node-port-numbers",
    [MAP_PINNED] = "pinned",
    [MAP_LOCAL_PINNED] = "local-pinned",
    [MAP_CLIENTS] = "clients",
    [MAP_TIMEOUTS] = "timeouts",
    [MAP_SECONDS] = "seconds",
    [SET_SOURCE_RANGES] = "source-ranges",
    [SET_CLUSTER_IPS] = "cluster-ips",
    [SET_LOCAL_ENDPOINTS] = "local-endpoints",
};

static const char *const fixed_chains[] = {
    "dispatch",
    "service",
    "node-port-dispatch",
    "node-port",
    "policy-cluster",
    "policy-external",
    "policy-cluster-local",
    "policy-external-local",
    "source-ranges",
    NFTABLES_FORGOTTEN,
    "affinity",
    "local-affinity",
    "node-port-affinity",
    "local-node-port-affinity",
    "undelivered",
    "undelivered-node-port",
    "unreachable",
    "refused",
    "masquerade",
    "unallocated",
    "localhost-node-port",
    "localhost-rejected-tcp",
    "localhost-rejected-udp",
    "localhost-rejected-sctp",
};

const char *const nftables_localhost_chains[DATAPLANE_PROTOCOLS] = {
    "localhost-rejected-tcp", "localhost-rejected-udp", "localhost-rejected-sctp"};

static const struct {
    const char *name, *type;
    int hook;
    int32_t priority;
} hooks[] = {
    {"nat-prerouting", "nat", NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST},
    {"nat-output", "nat", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST},
    {"nat-postrouting", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC},
    {"filter-input", "filter", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER},
    {"filter-forward", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER},
    {"filter-output", "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER},
};

/* ---- pieces of rules ---- */

static void daddr_load(struct nfnl_batch *b, const struct nftables_family *f)
{
    nfnl_payload(b, NFT_PAYLOAD_NETWORK_HEADER, f->daddr_offset, f->addr_bytes, REG_1);
}

/* [daddr .] l4proto . dport [. priority] from register word 0 on. */
static void key_load(struct nfnl_batch *b, const struct nftables_family *f, bool address,
                     bool index)
{
    unsigned word = 0;
    if (address) {
        daddr_load(b, f);
        word = f->addr_words;
    }
    nfnl_meta(b, NFT_META_L4PROTO, word ? nfnl_reg(word) : REG_1);
    nfnl_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, nfnl_reg(word + 1));
    if (index)
        nfnl_meta(b, NFT_META_PRIORITY, nfnl_reg(word + 2));
}

static void priority_set(struct nfnl_batch *b, uint32_t value, uint32_t reg)
{
    nfnl_immediate(b, reg, &value, sizeof(value));
    nfnl_meta_set(b, NFT_META_PRIORITY, reg);
}

static void mark_change(struct nfnl_batch *b, uint32_t mask, uint32_t xor_)
{
    nfnl_meta(b, NFT_META_MARK, REG_1);
    nfnl_bitwise(b, REG_1, REG_1, &mask, &xor_, 4);
    nfnl_meta_set(b, NFT_META_MARK, REG_1);
}

static uint32_t mark_of(const struct dataplane_config *c)
{
    return c->masquerade_mark ? c->masquerade_mark : MASQUERADE_MARK;
}

static void masked_load(struct nfnl_batch *b, uint32_t key, uint32_t mask)
{
    uint32_t zero = 0;
    nfnl_meta(b, key, REG_1);
    nfnl_bitwise(b, REG_1, REG_1, &mask, &zero, 4);
}

static void rule_jump(struct nfnl_batch *b, const char *from, const char *to)
{
    nfnl_rule_begin(b, from);
    nfnl_verdict(b, NFT_JUMP, to);
    nfnl_rule_end(b);
}

/* [ip saddr|daddr] & mask == network */
static void prefix_match(struct nfnl_batch *b, const struct nftables_family *f, uint32_t offset,
                         const struct prefix *p)
{
    uint8_t mask[16] = {0}, zero[16] = {0};
    struct ip net = prefix_network(p);
    for (unsigned i = 0; i < p->len && i < f->addr_bytes * 8u; i++)
        mask[i / 8] |= (uint8_t)(0x80 >> (i % 8));
    nfnl_payload(b, NFT_PAYLOAD_NETWORK_HEADER, offset, f->addr_bytes, REG_1);
    if (p->len < f->addr_bytes * 8)
        nfnl_bitwise(b, REG_1, REG_1, mask, zero, f->addr_bytes);
    nfnl_cmp(b, NFT_CMP_EQ, REG_1, net.bytes, f->addr_bytes);
}

/* name, or what it begins with. */
static void interface_match(struct nfnl_batch *b, const char *name, bool whole)
{
    char padded[IFNAMSIZ] = {0};
    size_t n = MIN(strlen(name), sizeof(padded) - 1);
    memcpy(padded, name, n);
    nfnl_meta(b, NFT_META_IIFNAME, REG_1);
    nfnl_cmp(b, NFT_CMP_EQ, REG_1, padded, whole ? sizeof(padded) : n);
}

/* Row 14: pods of the cluster leave the chain, as far as they can be told. False: they cannot. */
static bool return_pods(struct nfnl_batch *b, const struct nftables_family *f,
                        const struct dataplane_config *c, const char *chain)
{
    bool told_apart = false;
    for (size_t i = 0; i < c->n_cluster_cidrs; i++) {
        if (c->cluster_cidrs[i].ip.family != f->family)
            continue;
        nfnl_rule_begin(b, chain);
        prefix_match(b, f, f->saddr_offset, &c->cluster_cidrs[i]);
        nfnl_verdict(b, NFT_RETURN, NULL);
        nfnl_rule_end(b);
        told_apart = true;
    }
    for (int i = 0; i < 2; i++) {
        const char *name = i ? c->pod_interface_prefix : c->pod_interface;
        if (str_empty(name))
            continue;
        nfnl_rule_begin(b, chain);
        interface_match(b, name, i == 0);
        nfnl_verdict(b, NFT_RETURN, NULL);
        nfnl_rule_end(b);
        told_apart = true;
    }
    return told_apart;
}

/* flags: NFTA_FIB_F_DADDR or NFTA_FIB_F_SADDR. */
static void local_match(struct nfnl_batch *b, uint32_t flags)
{
    uint32_t local = 2; /* RTN_LOCAL */
    nfnl_fib(b, NFT_FIB_RESULT_ADDRTYPE, flags, REG_1);
    nfnl_cmp(b, NFT_CMP_EQ, REG_1, &local, sizeof(local));
}

/* ---- delivery ---- */

static void add_dispatch(struct nfnl_batch *b, const struct nftables_family *f)
{
    nfnl_rule_begin(b, "dispatch");
    key_load(b, f, true, false);
    nfnl_lookup(b, nftables_map_names[MAP_SERVICES], REG_1, REG_1, false);
    nfnl_meta_set(b, NFT_META_PRIORITY, REG_1);
    nfnl_verdict(b, NFT_GOTO, "service");
    nfnl_rule_end(b);
}

static const struct prefix loopback[2] = {{{AF_INET, {127}}, 8}, {{AF_INET6, {[15] = 1}}, 128}};

/* Node ports count on local addresses: configured ones, or all but loopback (row 17: never by
 * rewriting, whatever is configured). */
static void add_node_port_match(struct nfnl_batch *b, const struct nftables_family *f,
                                const struct dataplane_config *c, const char *from, const char *to)
{
    const struct prefix *own = &loopback[f->family == AF_INET6];
    bool all = c->n_node_port_addresses == 0;
    nfnl_rule_begin(b, from);
    prefix_match(b, f, f->daddr_offset, own);
    nfnl_verdict(b, NFT_RETURN, NULL);
    nfnl_rule_end(b);
    for (size_t i = 0; i < c->n_node_port_addresses && !all; i++)
        all =
            c->node_port_addresses[i].ip.family == f->family && c->node_port_addresses[i].len == 0;
    for (size_t i = 0; i < c->n_node_port_addresses && !all; i++) {
        const struct prefix *p = &c->node_port_addresses[i];
        if (p->ip.family != f->family || ip_is_loopback(&p->ip))
            continue;
        nfnl_rule_begin(b, from);
        prefix_match(b, f, f->daddr_offset, p);
        local_match(b, NFTA_FIB_F_DADDR);
        nfnl_verdict(b, NFT_GOTO, to);
        nfnl_rule_end(b);
    }
    if (!all)
        return;
    nfnl_rule_begin(b, from);
    local_match(b, NFTA_FIB_F_DADDR);
    nfnl_verdict(b, NFT_GOTO, to);
    nfnl_rule_end(b);
}

static void add_node_port_dispatch(struct nfnl_batch *b, const struct nftables_family *f,
                                   const struct dataplane_config *c)
{
    add_node_port_match(b, f, c, "dispatch", "node-port-dispatch");
    nfnl_rule_begin(b, "node-port-dispatch");
    key_load(b, f, false, false);
    nfnl_lookup(b, nftables_map_names[MAP_NODE_PORTS], REG_1, REG_1, false);
    nfnl_meta_set(b, NFT_META_PRIORITY, REG_1);
    nfnl_verdict(b, NFT_GOTO, "node-port");
    nfnl_rule_end(b);
}

/* Row 21, before anything is rewritten: only new connections come here. */
static void add_source_ranges(struct nfnl_batch *b, const struct nftables_family *f)
{
    uint32_t restricted = VALUE_RESTRICTED;
    nfnl_rule_begin(b, "service");
    masked_load(b, NFT_META_PRIORITY, VALUE_RESTRICTED);
    nfnl_cmp(b, NFT_CMP_EQ, REG_1, &restricted, sizeof(restricted));
    nfnl_verdict(b, NFT_JUMP, "source-ranges");
    nfnl_rule_end(b);
    nfnl_rule_begin(b, "source-ranges");
    key_load(b, f, true, false);
    nfnl_payload(b, NFT_PAYLOAD_NETWORK_HEADER, f->saddr_offset, f->addr_bytes,
                 nfnl_reg(f->addr_words + 2u));
    nfnl_lookup(b, nftables_map_names[SET_SOURCE_RANGES], REG_1, NFNL_NO_REG, false);
    nfnl_verdict(b, NFT_RETURN, NULL);
    nfnl_rule_end(b);
    nfnl_rule_begin(b, "source-ranges");
    nfnl_counter(b);
    nfnl_verdict(b, NF_DROP, NULL);
    nfnl_rule_end(b);
}

/* ---- affinity ---- */

static const char *timeout_name(unsigned class_, char ret[32])
{
    snprintf(ret, 32, "timeout-%u", class_);
    return ret;
}

/* Where the priority is an endpoint's number: its class remembers the client. */
static void rule_remember(struct nfnl_batch *b, const char *chain)
{
    uint32_t zero = 0;
    nfnl_rule_begin(b, chain);
    masked_load(b, NFT_META_PRIORITY, AFFINITY_SLOT_MASK);
    nfnl_cmp(b, NFT_CMP_NEQ, REG_1, &zero, 4);
    masked_load(b, NFT_META_PRIORITY, ~0u << AFFINITY_CLASS_SHIFT);
    nfnl_lookup(b, nftables_map_names[MAP_TIMEOUTS], REG_1, NFT_REG_VERDICT, false);
    nfnl_rule_end(b);
}

/* What the map says of this frontend (and index) becomes the priority. */
static void rule_carry(struct nfnl_batch *b, const struct nftables_family *f, const char *chain,
                       bool address, bool index, enum nftables_map map)
{
    nfnl_rule_begin(b, chain);
    key_load(b, f, address, index);
    nfnl_lookup(b, nftables_map_names[map], REG_1, REG_1, false);
    nfnl_meta_set(b, NFT_META_PRIORITY, REG_1);
    nfnl_rule_end(b);
}

static void rule_deliver_pinned(struct nfnl_batch *b, const struct nftables_family *f,
                                const char *chain, enum nftables_map pinned)
{
    nfnl_rule_begin(b, chain);
    nfnl_meta(b, NFT_META_PRIORITY, REG_1);
    nfnl_lookup(b, nftables_map_names[pinned], REG_1, REG_1, false);
    priority_set(b, 0, nfnl_reg(8));
    nfnl_dnat(b, f->nfproto, REG_1, nfnl_reg(f->addr_words));
    nfnl_rule_end(b);
}

/* group . client, and the number as data, in registers for a change of `clients`. */
static void client_load(struct nfnl_batch *b, const struct nftables_family *f)
{
    uint32_t group = ~(uint32_t)AFFINITY_SLOT_MASK, zero = 0;
    nfnl_meta(b, NFT_META_PRIORITY, REG_1);
    nfnl_bitwise(b, REG_1, REG_1, &group, &zero, 4);
    nfnl_payload(b, NFT_PAYLOAD_NETWORK_HEADER, f->saddr_offset, f->addr_bytes, nfnl_reg(1));
    nfnl_meta(b, NFT_META_PRIORITY, nfnl_reg(8));
}

/* Row 33. The priority becomes the group, then the number of the endpoint that the client had. If
 * that leads nowhere any more it is forgotten, one is chosen as for everybody, and remembered.
 * Comes back, with the value as it was, only if something of this is missing. */
static void add_affinity(struct nfnl_batch *b, const struct nftables_family *f, const char *chain,
                         bool node_port, enum endpoint_scope scope)
{
    uint32_t zero = 0;
    bool local = scope == SCOPE_LOCAL;
    enum nftables_map values = local       ? (node_port ? MAP_LOCAL_NODE_PORTS : MAP_LOCAL_SERVICES)
                               : node_port ? MAP_NODE_PORTS
                                           : MAP_SERVICES;
    enum nftables_map pinned = local ? MAP_LOCAL_PINNED : MAP_PINNED;
    rule_carry(b, f, chain, !node_port, false, node_port ? MAP_NODE_PORT_AFFINITY : MAP_AFFINITY);
    nfnl_rule_begin(b, chain);
    nfnl_meta(b, NFT_META_PRIORITY, REG_1);
    nfnl_payload(b, NFT_PAYLOAD_NETWORK_HEADER, f->saddr_offset, f->addr_bytes, nfnl_reg(1));
    nfnl_lookup(b, nftables_map_names[MAP_CLIENTS], REG_1, REG_1, false);
    nfnl_meta_set(b, NFT_META_PRIORITY, REG_1);
    nfnl_rule_end(b);
    rule_remember(b, chain);
    rule_deliver_pinned(b, f, chain, pinned);
    nfnl_rule_begin(b, chain);
    masked_load(b, NFT_META_PRIORITY, AFFINITY_SLOT_MASK);
    nfnl_cmp(b, NFT_CMP_NEQ, REG_1, &zero, 4);
    client_load(b, f);
    nfnl_dynset(b, nftables_map_names[MAP_CLIENTS], NFT_DYNSET_OP_DELETE, REG_1, nfnl_reg(8), 0);
    nfnl_rule_end(b);
    rule_carry(b, f, chain, !node_port, false, values);
    nfnl_rule_begin(b, chain);
    masked_load(b, NFT_META_PRIORITY, VALUE_COUNT_MASK);
    nfnl_lookup(b, nftables_map_names[MAP_COUNTS], REG_1, NFT_REG_VERDICT, false);
    nfnl_rule_end(b);
    rule_carry(b, f, chain, !node_port, true, node_port ? MAP_NODE_PORT_NUMBERS : MAP_NUMBERS);
    rule_remember(b, chain);
    rule_deliver_pinned(b, f, chain, pinned);
    rule_carry(b, f, chain, !node_port, false, values);
}

static void add_affinities(struct nfnl_batch *b, const struct nftables_family *f)
{
    nfnl_rule_begin(b, NFTABLES_FORGOTTEN);
    nfnl_counter(b);
    nfnl_rule_end(b);
    add_affinity(b, f, "affinity", false, SCOPE_CLUSTER);
    add_affinity(b, f, "local-affinity", false, SCOPE_LOCAL);
    add_affinity(b, f, "node-port-affinity", true, SCOPE_CLUSTER);
    add_affinity(b, f, "local-node-port-affinity", true, SCOPE_LOCAL);
    nfnl_elems_begin(b, NFT_MSG_NEWSETELEM, nftables_map_names[MAP_TIMEOUTS]);
    for (uint32_t i = 1; i <= AFFINITY_CLASSES_MAX; i++) {
        char name[32];
        uint32_t key = i << AFFINITY_CLASS_SHIFT;
        nfnl_elem_add_verdict(b, str_of(&key, 4), NFT_JUMP, timeout_name(i, name));
    }
    nfnl_elems_end(b);
}

static void add_affinity_jump(struct nfnl_batch *b, const char *from, const char *to,
                              uint32_t value)
{
    nfnl_rule_begin(b, from);
    masked_load(b, NFT_META_PRIORITY, VALUE_AFFINITY | VALUE_SCOPE_LOCAL);
    nfnl_cmp(b, NFT_CMP_EQ, REG_1, &value, sizeof(value));
    nfnl_verdict(b, NFT_JUMP, to);
    nfnl_rule_end(b);
}

void nftables_set_timeout(struct nfnl_batch *b, unsigned class_, uint32_t seconds, bool known)
{
    char name[32];
    uint32_t key = class_ << AFFINITY_CLASS_SHIFT;
    for (unsigned i = 0; i < 2; i++) {
        const struct nftables_family *f = &nftables_families[i];
        nfnl_batch_table(b, f->nfproto, NFTABLES_TABLE);
        nfnl_chain_flush(b, timeout_name(class_, name));
        nfnl_rule_begin(b, name);
        client_load(b, f);
        nfnl_dynset(b, nftables_map_names[MAP_CLIENTS], NFT_DYNSET_OP_UPDATE, REG_1, nfnl_reg(8),
                    seconds * 1000ull);
        nfnl_verdict(b, NFT_RETURN, NULL);
        nfnl_rule_end(b);
        /* A full map ends that rule: counted, and the packet goes on to its endpoint. */
        nfnl_rule_begin(b, name);
        nfnl_verdict(b, NFT_GOTO, NFTABLES_FORGOTTEN);
        nfnl_rule_end(b);
        nfnl_elems_begin(b, NFT_MSG_DELSETELEM, nftables_map_names[MAP_SECONDS]);
        if (known)
            nfnl_elem_add(b, str_of(&key, 4), (struct str){0});
        nfnl_elems_end(b);
        nfnl_elems_begin(b, NFT_MSG_NEWSETELEM, nftables_map_names[MAP_SECONDS]);
        nfnl_elem_add(b, str_of(&key, 4), str_of(&seconds, 4));
        nfnl_elems_end(b);
    }
}

/* The priority holds the frontend's value, then the index, and is zero when the packet leaves. */
static void add_delivery(struct nfnl_batch *b, const struct nftables_family *f, const char *chain,
                         bool address, enum nftables_map local, enum nftables_map endpoints)
{
    uint32_t want_local = VALUE_WANT_LOCAL;
    nfnl_rule_begin(b, chain);
    masked_load(b, NFT_META_PRIORITY, VALUE_POLICY_MASK);
    nfnl_lookup(b, nftables_map_names[MAP_POLICIES], REG_1, NFT_REG_VERDICT, false);
    nfnl_rule_end(b);
    nfnl_rule_begin(b, chain);
    masked_load(b, NFT_META_PRIORITY, VALUE_WANT_LOCAL);
    nfnl_cmp(b, NFT_CMP_EQ, REG_1, &want_local, sizeof(want_local));
    key_load(b, f, address, false);
    nfnl_lookup(b, nftables_map_names[local], REG_1, REG_1, false);
    nfnl_meta_set(b, NFT_META_PRIORITY, REG_1);
    nfnl_rule_end(b);
    add_affinity_jump(b, chain, address ? "affinity" : "node-port-affinity", VALUE_AFFINITY);
    add_affinity_jump(b, chain, address ? "local-affinity" : "local-node-port-affinity",
                      VALUE_AFFINITY | VALUE_SCOPE_LOCAL);
    nfnl_rule_begin(b, chain);
    masked_load(b, NFT_META_PRIORITY, VALUE_COUNT_MASK);
    nfnl_lookup(b, nftables_map_names[MAP_COUNTS], REG_1, NFT_REG_VERDICT, false);
    nfnl_rule_end(b);
    nfnl_rule_begin(b, chain);
    key_load(b, f, address, true);
    nfnl_lookup(b, nftables_map_names[endpoints], REG_1, REG_1, false);
    priority_set(b, 0, nfnl_reg(8));
    nfnl_dnat(b, f->nfproto, REG_1, nfnl_reg(f->addr_words));
    nfnl_rule_end(b);
    nfnl_rule_begin(b, chain);
    priority_set(b, 0, REG_1);
    nfnl_rule_end(b);
}

/* ---- policies: masquerade, and which endpoints ---- */

/* Row 22 in its order: pods of the cluster reach any endpoint as themselves, the node any endpoint
 * under its own address, and what comes from elsewhere only endpoints of this node, as itself. */
static void add_local_policies(struct nfnl_batch *b, const struct nftables_family *f,
                               const struct dataplane_config *c)
{
    rule_jump(b, "policy-cluster-local", "policy-cluster");
    nfnl_rule_begin(b, "policy-cluster-local");
    priority_set(b, VALUE_WANT_LOCAL, REG_1);
    nfnl_rule_end(b);
    (void)return_pods(b, f, c, "policy-external-local");
    nfnl_rule_begin(b, "policy-external-local");
    local_match(b, NFTA_FIB_F_SADDR);
    nfnl_verdict(b, NFT_GOTO, "policy-external");
    nfnl_rule_end(b);
    nfnl_rule_begin(b, "policy-external-local");
    priority_set(b, VALUE_WANT_LOCAL, REG_1);
    nfnl_rule_end(b);
}

static const char *const policy_chains[_DATAPLANE_POLICY_MAX] = {
    [DATAPLANE_CLUSTER] = "policy-cluster",
    [DATAPLANE_EXTERNAL] = "policy-external",
    [DATAPLANE_CLUSTER_LOCAL] = "policy-cluster-local",
    [DATAPLANE_EXTERNAL_LOCAL] = "policy-external-local"};

static void add_policies(struct nfnl_batch *b, const struct nftables_family *f,
                         const struct dataplane_config *c)
{
    if (c->masquerade_all || return_pods(b, f, c, "policy-cluster")) {
        nfnl_rule_begin(b, "policy-cluster");
        mark_change(b, ~mark_of(c), mark_of(c));
        nfnl_rule_end(b);
    }
    nfnl_rule_begin(b, "policy-external");
    mark_change(b, ~mark_of(c), mark_of(c));
    nfnl_rule_end(b);
    add_local_policies(b, f, c);
    nfnl_elems_begin(b, NFT_MSG_NEWSETELEM, nftables_map_names[MAP_POLICIES]);
    for (uint32_t i = 1; i < _DATAPLANE_POLICY_MAX; i++) {
        uint32_t key = i << VALUE_POLICY_SHIFT;
        nfnl_elem_add_verdict(b, str_of(&key, 4), NFT_JUMP, policy_chains[i]);
    }
    nfnl_elems_end(b);
}

/* ---- masquerade ---- */

static void add_masquerade(struct nfnl_batch *b, const struct nftables_family *f,
                           const struct dataplane_config *c)
{
    uint32_t bit = mark_of(c), zero = 0, dnat = 1 << 5; /* IPS_DST_NAT */
    nfnl_rule_begin(b, "masquerade");
    masked_load(b, NFT_META_MARK, bit);
    nfnl_cmp(b, NFT_CMP_NEQ, REG_1, &zero, 4);
    mark_change(b, ~bit, 0);
    nfnl_masquerade(b, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
    nfnl_rule_end(b);
    /* Hairpin: an endpoint of this node that was given to itself. */
    nfnl_rule_begin(b, "masquerade");
    nfnl_ct(b, NFT_CT_STATUS, REG_1);
    nfnl_bitwise(b, REG_1, REG_1, &dnat, &zero, 4);
    nfnl_cmp(b, NFT_CMP_NEQ, REG_1, &zero, 4);
    nfnl_payload(b, NFT_PAYLOAD_NETWORK_HEADER, f->saddr_offset, f->addr_bytes, REG_1);
    nfnl_payload(b, NFT_PAYLOAD_NETWORK_HEADER, f->daddr_offset, f->addr_bytes,
                 nfnl_reg(f->addr_words));
    nfnl_lookup(b, nftables_map_names[SET_LOCAL_ENDPOINTS], REG_1, NFNL_NO_REG, false);
    nfnl_masquerade(b, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
    nfnl_rule_end(b);
}

/* Row 36: an address that no Service has, in a network that Services' addresses come from. Without
 * this the packet would go back and forth between the node and its router. */
static void add_unallocated(struct nfnl_batch *b, const struct nftables_family *f,
                            const struct dataplane_config *c)
{
    uint32_t local = 2; /* RTN_LOCAL */
    for (size_t i = 0; i < c->n_service_cidrs; i++) {
        if (c->service_cidrs[i].ip.family != f->family)
            continue;
        nfnl_rule_begin(b, "unallocated");
        prefix_match(b, f, f->daddr_offset, &c->service_cidrs[i]);
        nfnl_fib(b, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR, REG_1);
        nfnl_cmp(b, NFT_CMP_NEQ, REG_1, &local, sizeof(local)); /* but for one the node has */
        nfnl_counter(b);
        nfnl_verdict(b, NF_DROP, NULL);
        nfnl_rule_end(b);
    }
}

void nftables_rewrite_networks(struct nfnl_batch *b, const struct nftables_family *f,
                               const struct dataplane_config *c)
{
    static const char *const chains[] = {"policy-cluster", "policy-external",
                                         "policy-cluster-local", "policy-external-local",
                                         "unallocated"};
    nfnl_batch_table(b, f->nfproto, NFTABLES_TABLE);
    for (size_t i = 0; i < ARRAY_LEN(chains); i++)
        nfnl_chain_flush(b, chains[i]);
    add_policies(b, f, c);
    add_unallocated(b, f, c);
}

/* ---- node ports on loopback ---- */

/* Row 17: they are not rewritten; what nobody serves is refused at once and counted. */
static void add_localhost(struct nfnl_batch *b, const struct nftables_family *f,
                          const struct dataplane_config *c)
{
    static const uint8_t protocols[DATAPLANE_PROTOCOLS] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};
    unsigned i = f->family == AF_INET6;
    if (c->localhost[i] == DATAPLANE_LOCALHOST_LEAVE)
        return;
    nfnl_rule_begin(b, "undelivered");
    prefix_match(b, f, f->daddr_offset, &loopback[i]);
    nfnl_verdict(b, NFT_GOTO, "localhost-node-port");
    nfnl_rule_end(b);
    for (unsigned p = 0; p < DATAPLANE_PROTOCOLS; p++) {
        if (protocols[p] == IPPROTO_TCP && c->localhost[i] == DATAPLANE_LOCALHOST_REJECT_OTHERS)
            continue;
        nfnl_rule_begin(b, "localhost-node-port");
        nfnl_meta(b, NFT_META_L4PROTO, REG_1);
        nfnl_cmp(b, NFT_CMP_EQ, REG_1, &protocols[p], 1);
        key_load(b, f, false, false);
        nfnl_lookup(b, nftables_map_names[MAP_NODE_PORTS], REG_1, REG_1, false);
        nfnl_meta_set(b, NFT_META_PRIORITY, REG_1);
        priority_set(b, 0, REG_1);
        nfnl_verdict(b, NFT_GOTO, nftables_localhost_chains[p]);
        nfnl_rule_end(b);
        nfnl_rule_begin(b, nftables_localhost_chains[p]);
        nfnl_counter(b);
        nfnl_reject(b, NFT_REJECT_ICMP_UNREACH, f->reject_code);
        nfnl_rule_end(b);
    }
}

/* ---- what was not delivered ---- */

/* An endpoint may be its own frontend: a server on a node's address and the port the Service has.
 * Rewriting to what is there already leaves no trace in the connection's status, so on addresses of
 * this node "not rewritten" is not "not delivered". */
static void add_delivered_to_itself(struct nfnl_batch *b, const struct nftables_family *f,
                                    const char *chain, bool address, enum nftables_map local)
{
    nfnl_rule_begin(b, chain);
    local_match(b, NFTA_FIB_F_DADDR);
    key_load(b, f, address, false);
    nfnl_lookup(b, nftables_map_names[local], REG_1, REG_1, false);
    nfnl_meta_set(b, NFT_META_PRIORITY, REG_1);
    priority_set(b, 0, REG_1);
    nfnl_verdict(b, NFT_RETURN, NULL);
    nfnl_rule_end(b);
}

static void add_unreachable(struct nfnl_batch *b)
{
    uint32_t zero = 0, external = (uint32_t)DATAPLANE_EXTERNAL << VALUE_POLICY_SHIFT;
    nfnl_rule_begin(b, "unreachable");
    masked_load(b, NFT_META_PRIORITY, VALUE_COUNT_MASK);
    nfnl_cmp(b, NFT_CMP_EQ, REG_1, &zero, 4);
    nfnl_verdict(b, NFT_GOTO, "refused");
    nfnl_rule_end(b);
    nfnl_rule_begin(b, "unreachable"); /* itself, with the policy that leaves none out */
    masked_load(b, NFT_META_PRIORITY, VALUE_POLICY_MASK);
    nfnl_cmp(b, NFT_CMP_EQ, REG_1, &external, 4);
    local_match(b, NFTA_FIB_F_DADDR);
    priority_set(b, 0, REG_1);
    nfnl_verdict(b, NFT_RETURN, NULL);
    nfnl_rule_end(b);
    /* Row 35: there are endpoints, only none that the policy allows: the balancer in front shall
     * try elsewhere. */
    nfnl_rule_begin(b, "unreachable");
    nfnl_counter(b);
    nfnl_verdict(b, NF_DROP, NULL);
    nfnl_rule_end(b);
}

static void add_undelivered(struct nfnl_batch *b, const struct nftables_family *f,
                            const struct dataplane_config *c)
{
    uint32_t fresh = 1 << 3, zero = 0, dnat = 1 << 5; /* NF_CT_STATE_BIT(IP_CT_NEW), IPS_DST_NAT */
    nfnl_rule_begin(b, "undelivered");
    nfnl_ct(b, NFT_CT_STATE, REG_1);
    nfnl_bitwise(b, REG_1, REG_1, &fresh, &zero, 4);
    nfnl_cmp(b, NFT_CMP_EQ, REG_1, &zero, 4);
    nfnl_verdict(b, NFT_RETURN, NULL);
    nfnl_rule_end(b);
    nfnl_rule_begin(b, "undelivered");
    nfnl_ct(b, NFT_CT_STATUS, REG_1);
    nfnl_bitwise(b, REG_1, REG_1, &dnat, &zero, 4);
    nfnl_cmp(b, NFT_CMP_NEQ, REG_1, &zero, 4);
    nfnl_verdict(b, NFT_RETURN, NULL);
    nfnl_rule_end(b);
    add_delivered_to_itself(b, f, "undelivered", true, MAP_LOCAL_SERVICES);
    nfnl_rule_begin(b, "undelivered");
    key_load(b, f, true, false);
    nfnl_lookup(b, nftables_map_names[MAP_SERVICES], REG_1, REG_1, false);
    nfnl_meta_set(b, NFT_META_PRIORITY, REG_1);
    nfnl_verdict(b, NFT_GOTO, "unreachable");
    nfnl_rule_end(b);
    nfnl_rule_begin(b, "undelivered");
    daddr_load(b, f);
    nfnl_lookup(b, nftables_map_names[SET_CLUSTER_IPS], REG_1, NFNL_NO_REG, false);
    nfnl_verdict(b, NFT_GOTO, "refused");
    nfnl_rule_end(b);
    rule_jump(b, "undelivered", "unallocated");
    add_localhost(b, f, c);
    add_node_port_match(b, f, c, "undelivered", "undelivered-node-port");
    add_delivered_to_itself(b, f, "undelivered-node-port", false, MAP_LOCAL_NODE_PORTS);
    nfnl_rule_begin(b, "undelivered-node-port");
    key_load(b, f, false, false);
    nfnl_lookup(b, nftables_map_names[MAP_NODE_PORTS], REG_1, REG_1, false);
    nfnl_meta_set(b, NFT_META_PRIORITY, REG_1);
    nfnl_verdict(b, NFT_GOTO, "unreachable");
    nfnl_rule_end(b);
    add_unreachable(b);
    nfnl_rule_begin(b, "refused");
    nfnl_counter(b);
    nfnl_reject(b, NFT_REJECT_ICMP_UNREACH, f->reject_code);
    nfnl_rule_end(b);
}

/* ---- the whole ---- */

static void add_sets(struct nfnl_batch *b, const struct nftables_family *f, uint32_t clients_max)
{
    bool v4 = f->family == AF_INET;
    const enum nfnl_type *key = v4 ? V4_KEY : V6_KEY, *endpoint = v4 ? V4_ENDPOINT : V6_ENDPOINT;
    const struct nfnl_set sets[_NFTABLES_MAP_MAX] = {
        [MAP_SERVICES] = {.key = key, .n_key = 3, .data = MARK, .n_data = 1},
        [MAP_LOCAL_SERVICES] = {.key = key, .n_key = 3, .data = MARK, .n_data = 1},
        [MAP_ENDPOINTS] = {.key = key, .n_key = 4, .data = endpoint, .n_data = 2},
        [MAP_NODE_PORTS] = {.key = key + 1, .n_key = 2, .data = MARK, .n_data = 1},
        [MAP_LOCAL_NODE_PORTS] = {.key = key + 1, .n_key = 2, .data = MARK, .n_data = 1},
        [MAP_NODE_PORT_ENDPOINTS] = {.key = key + 1, .n_key = 3, .data = endpoint, .n_data = 2},
        [MAP_COUNTS] = {.key = MARK, .n_key = 1, .data = VERDICT, .n_data = 1},
        [MAP_POLICIES] = {.key = MARK, .n_key = 1, .data = VERDICT, .n_data = 1},
        [MAP_AFFINITY] = {.key = key, .n_key = 3, .data = MARK, .n_data = 1},
        [MAP_NODE_PORT_AFFINITY] = {.key = key + 1, .n_key = 2, .data = MARK, .n_data = 1},
        [MAP_NUMBERS] = {.key = key, .n_key = 4, .data = MARK, .n_data = 1},
        [MAP_NODE_PORT_NUMBERS] = {.key = key + 1, .n_key = 3, .data = MARK, .n_data = 1},
        [MAP_PINNED] = {.key = MARK, .n_key = 1, .data = endpoint, .n_data = 2},
        [MAP_LOCAL_PINNED] = {.key = MARK, .n_key = 1, .data = endpoint, .n_data = 2},
        [MAP_CLIENTS] = {.key = v4 ? V4_CLIENT : V6_CLIENT,
                         .n_key = 2,
                         .data = MARK,
                         .n_data = 1,
                         .flags = NFT_SET_TIMEOUT | NFT_SET_EVAL,
                         .size = clients_max ? clients_max : DATAPLANE_CLIENTS_MAX},
        [MAP_TIMEOUTS] = {.key = MARK, .n_key = 1, .data = VERDICT, .n_data = 1},
        [MAP_SECONDS] = {.key = MARK, .n_key = 1, .data = MARK, .n_data = 1},
        [SET_SOURCE_RANGES] = {.key = v4 ? V4_SOURCE : V6_SOURCE,
                               .n_key = 4,
                               .flags = NFT_SET_INTERVAL},
        [SET_CLUSTER_IPS] = {.key = key, .n_key = 1},
        [SET_LOCAL_ENDPOINTS] = {.key = v4 ? V4_PAIR : V6_PAIR, .n_key = 2},
    };
    for (uint32_t i = 0; i < _NFTABLES_MAP_MAX; i++) {
        struct nfnl_set s = sets[i];
        s.name = nftables_map_names[i];
        s.id = i + 1;
        s.flags |= s.n_data ? NFT_SET_MAP : 0;
        nfnl_set_new(b, &s);
    }
}

void nftables_add_skeleton(struct nfnl_batch *b, const struct nftables_family *f,
                           const struct dataplane_config *c, bool replace)
{
    nfnl_batch_table(b, f->nfproto, NFTABLES_TABLE);
    nfnl_table_new(b);
    add_sets(b, f, c->clients_max);
    for (size_t i = 0; i < ARRAY_LEN(fixed_chains); i++) {
        nfnl_chain_new(b, fixed_chains[i], NULL, -1, 0);
        if (replace)
            nfnl_chain_flush(b, fixed_chains[i]);
    }
    for (unsigned i = 1; i <= AFFINITY_CLASSES_MAX; i++) { /* what is in them stays */
        char name[32];
        nfnl_chain_new(b, timeout_name(i, name), NULL, -1, 0);
    }
    add_policies(b, f, c);
    add_affinities(b, f);
    add_dispatch(b, f);
    add_node_port_dispatch(b, f, c);
    add_source_ranges(b, f);
    add_delivery(b, f, "service", true, MAP_LOCAL_SERVICES, MAP_ENDPOINTS);
    add_delivery(b, f, "node-port", false, MAP_LOCAL_NODE_PORTS, MAP_NODE_PORT_ENDPOINTS);
    add_masquerade(b, f, c);
    add_undelivered(b, f, c);
    add_unallocated(b, f, c);
}

bool nftables_is_fixed_chain(struct str name)
{
    char text[32];
    for (size_t i = 0; i < ARRAY_LEN(fixed_chains); i++)
        if (str_is(name, fixed_chains[i]))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(hooks); i++)
        if (str_is(name, hooks[i].name))
            return true;
    for (unsigned i = 1; i <= AFFINITY_CLASSES_MAX; i++)
        if (str_is(name, timeout_name(i, text)))
            return true;
    return false;
}

const char *nftables_fixed_verdict(enum nftables_map map, uint32_t key, char ret[32])
{
    uint32_t policy = key >> VALUE_POLICY_SHIFT, class_ = key >> AFFINITY_CLASS_SHIFT;
    ASSERT(map == MAP_POLICIES || map == MAP_TIMEOUTS);
    if (map == MAP_POLICIES)
        return policy < _DATAPLANE_POLICY_MAX && key == policy << VALUE_POLICY_SHIFT
                   ? policy_chains[policy]
                   : NULL;
    return class_ && key == class_ << AFFINITY_CLASS_SHIFT ? timeout_name(class_, ret) : NULL;
}

void nftables_add_hooks(struct nfnl_batch *b, const struct nftables_family *f)
{
    nfnl_batch_table(b, f->nfproto, NFTABLES_TABLE);
    for (size_t i = 0; i < ARRAY_LEN(hooks); i++) {
        nfnl_chain_new(b, hooks[i].name, hooks[i].type, hooks[i].hook, hooks[i].priority);
        nfnl_chain_flush(b, hooks[i].name);
    }
    rule_jump(b, "nat-prerouting", "dispatch");
    rule_jump(b, "nat-output", "dispatch");
    rule_jump(b, "nat-postrouting", "masquerade");
    rule_jump(b, "filter-input", "undelivered");
    rule_jump(b, "filter-forward", "undelivered");
    rule_jump(b, "filter-output", "undelivered");
}

const char *nftables_class_name(uint32_t count, char ret[32])
{
    snprintf(ret, 32, "%s-%u", count & VALUE_SCOPE_LOCAL ? "local-endpoints" : "endpoints",
             count & ~(uint32_t)VALUE_SCOPE_LOCAL);
    return ret;
}

void nftables_add_class(struct nfnl_batch *b, uint32_t count)
{
    char name[32];
    nftables_class_name(count, name);
    nfnl_chain_new(b, name, NULL, -1, 0);
    nfnl_chain_flush(b, name);
    nfnl_rule_begin(b, name);
    nfnl_numgen(b, count & ~(uint32_t)VALUE_SCOPE_LOCAL, count & VALUE_SCOPE_LOCAL, REG_1);
    nfnl_meta_set(b, NFT_META_PRIORITY, REG_1);
    nfnl_rule_end(b);
    nfnl_elems_begin(b, NFT_MSG_NEWSETELEM, nftables_map_names[MAP_COUNTS]);
    nfnl_elem_add_verdict(b, str_of(&count, 4), NFT_JUMP, name);
    nfnl_elems_end(b);
}

void nftables_delete_class(struct nfnl_batch *b, uint32_t count)
{
    char name[32];
    nftables_class_name(count, name);
    nfnl_elems_begin(b, NFT_MSG_DELSETELEM, nftables_map_names[MAP_COUNTS]);
    nfnl_elem_add_verdict(b, str_of(&count, 4), NFT_JUMP, name);
    nfnl_elems_end(b);
    nfnl_chain_flush(b, name);
    nfnl_chain_delete(b, name);
}
