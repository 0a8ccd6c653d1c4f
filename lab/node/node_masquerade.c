/* One rule per family: from a pod of this node, to something that is no pod, masquerade. It is a
 * table of its own, so that the agent's can come and go; both see a packet at the same hook, and a
 * connection is translated by the first that says so. Traffic to a Service has its pod as
 * destination by then and is left alone. */
#include "lab/node/node_masquerade.h"

#include "nl/nft.h"

enum { SRCNAT_PRIORITY = 100 };

#define TABLE "fairlead-lab"
#define CHAIN "postrouting"

struct address_field {
    uint32_t saddr;
    uint32_t daddr;
};

static void match_prefix(struct nfnl_batch *b, uint32_t offset, const struct prefix *p, uint32_t op)
{
    uint8_t mask[16] = {0}, none[16] = {0};
    size_t n = ip_bytes(&p->ip);
    struct ip net = prefix_network(p);
    for (size_t bit = 0; bit < p->len; bit++)
        mask[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    nfnl_payload(b, NFT_PAYLOAD_NETWORK_HEADER, offset, (uint32_t)n, nfnl_reg(0));
    nfnl_bitwise(b, nfnl_reg(0), nfnl_reg(0), mask, none, n);
    nfnl_cmp(b, op, nfnl_reg(0), net.bytes, n);
}

static void add_table(struct nfnl_batch *b, const struct prefix *pods, const struct prefix *cluster)
{
    bool v6 = pods->ip.family == AF_INET6;
    struct address_field at = v6 ? (struct address_field){8, 24} : (struct address_field){12, 16};
    nfnl_batch_table(b, v6 ? NFPROTO_IPV6 : NFPROTO_IPV4, TABLE);
    nfnl_table_new(b);
    nfnl_chain_new(b, CHAIN, "nat", NF_INET_POST_ROUTING, SRCNAT_PRIORITY);
    nfnl_chain_flush(b, CHAIN);
    nfnl_rule_begin(b, CHAIN);
    match_prefix(b, at.saddr, pods, NFT_CMP_EQ);
    match_prefix(b, at.daddr, cluster, NFT_CMP_NEQ);
    nfnl_masquerade(b, 0);
    nfnl_rule_end(b);
}

int node_masquerade_up(const struct prefix pods[2], const struct prefix cluster[2],
                       struct err *reterr)
{
    AUTO(nft) struct nft *nft = NULL;
    struct nfnl_batch b;
    int r = nft_new(&nft, reterr);
    if (r < 0)
        return r;
    nft_batch_begin(nft, &b, 0);
    for (int i = 0; i < 2; i++)
        if (pods[i].ip.family)
            add_table(&b, &pods[i], &cluster[i]);
    r = nft_commit(nft, &b, reterr);
    nfnl_batch_done(&b);
    return r;
}
