/* nf_tables messages: the reader of what the kernel answers to dumps. Trusts no length: every
 * attribute is cut by the netlink reader, missing ones are malformed input (-EBADMSG), unknown ones
 * are skipped. Borrows from the message. */
#include <assert.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>

#include "codec/nfnl.h"

bool nfnl_is(const struct nlmsg *m, uint16_t op)
{
    return m->type == (NFNL_SUBSYS_NFTABLES << 8 | op);
}

struct str nfnl_attrs(const struct nlmsg *m)
{
    return nlmsg_attrs(m, sizeof(struct nfgenmsg));
}

int nfnl_parse_genid(const struct nlmsg *m, uint32_t *ret)
{
    if (!nfnl_is(m, NFT_MSG_NEWGEN))
        return -EBADMSG;
    struct str id = nla_find(nfnl_attrs(m), NFTA_GEN_ID);
    if (id.n != 4)
        return -EBADMSG;
    *ret = nla_be32(id, 0);
    return 0;
}

bool nfnl_parse_name(const struct nlmsg *m, struct str *ret_table, struct str *ret_name)
{
    struct str attrs = nfnl_attrs(m);
    *ret_table = nla_text(nla_find(attrs, NFTA_TABLE_NAME));
    *ret_name = *ret_table;
    if (nfnl_is(m, NFT_MSG_NEWCHAIN) || nfnl_is(m, NFT_MSG_DELCHAIN))
        *ret_name = nla_text(nla_find(attrs, NFTA_CHAIN_NAME));
    else if (nfnl_is(m, NFT_MSG_NEWSET) || nfnl_is(m, NFT_MSG_DELSET))
        *ret_name = nla_text(nla_find(attrs, NFTA_SET_NAME));
    else if (!nfnl_is(m, NFT_MSG_NEWTABLE) && !nfnl_is(m, NFT_MSG_DELTABLE))
        return false;
    return ret_name->n > 0;
}

bool nfnl_parse_owner(const struct nlmsg *m, uint8_t *ret_family, struct str *ret_table,
                      struct str *ret_set)
{
    /* Number 1 is the table in every kind of message. */
    static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 &&
                      NFTA_SET_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1 && NFTA_OBJ_TABLE == 1 &&
                      NFTA_FLOWTABLE_TABLE == 1,
                  "the table stands elsewhere");
    if (m->type >> 8 != NFNL_SUBSYS_NFTABLES || m->payload.n < sizeof(struct nfgenmsg))
        return false;
    *ret_family = (uint8_t)m->payload.p[0];
    *ret_table = nla_text(nla_find(nfnl_attrs(m), 1));
    *ret_set = nla_text(nla_find(nfnl_attrs(m), NFTA_SET_ELEM_LIST_SET));
    return ret_table->n > 0;
}

bool nfnl_parse_rule_packets(const struct nlmsg *m, uint64_t *ret)
{
    if (!nfnl_is(m, NFT_MSG_NEWRULE))
        return false;
    struct str list = nla_find(nfnl_attrs(m), NFTA_RULE_EXPRESSIONS);
    struct nla a;
    while (nla_next(&list, &a) == 1) {
        struct str packets = nla_find(nla_find(a.data, NFTA_EXPR_DATA), NFTA_COUNTER_PACKETS);
        if (!str_is(nla_text(nla_find(a.data, NFTA_EXPR_NAME)), "counter") || packets.n != 8)
            continue;
        *ret = nla_be64(packets, 0);
        return true;
    }
    return false;
}

static int parse_elem(struct str attrs, struct nfnl_elem *e)
{
    *e = (struct nfnl_elem){0};
    e->key = nla_find(nla_find(attrs, NFTA_SET_ELEM_KEY), NFTA_DATA_VALUE);
    if (!e->key.n)
        return -EBADMSG;
    e->key_end = nla_find(nla_find(attrs, NFTA_SET_ELEM_KEY_END), NFTA_DATA_VALUE);
    struct str data = nla_find(attrs, NFTA_SET_ELEM_DATA);
    e->data = nla_find(data, NFTA_DATA_VALUE);
    struct str verdict = nla_find(data, NFTA_DATA_VERDICT);
    if (verdict.p) {
        e->has_verdict = true;
        e->verdict = (int32_t)nla_be32(nla_find(verdict, NFTA_VERDICT_CODE), 0);
        e->chain = nla_text(nla_find(verdict, NFTA_VERDICT_CHAIN));
    }
    e->interval_end = nla_be32(nla_find(attrs, NFTA_SET_ELEM_FLAGS), 0) & NFT_SET_ELEM_INTERVAL_END;
    return 0;
}

int nfnl_parse_elems(const struct nlmsg *m, int (*on_elem)(const struct nfnl_elem *e, void *user),
                     void *user)
{
    if (!nfnl_is(m, NFT_MSG_NEWSETELEM) && !nfnl_is(m, NFT_MSG_DELSETELEM))
        return -EBADMSG;
    struct str list = nla_find(nfnl_attrs(m), NFTA_SET_ELEM_LIST_ELEMENTS);
    struct nla a;
    int r;
    while ((r = nla_next(&list, &a)) == 1) {
        struct nfnl_elem e;
        if (a.type != NFTA_LIST_ELEM)
            continue;
        r = parse_elem(a.data, &e);
        if (r == 0)
            r = on_elem(&e, user);
        if (r < 0)
            return r;
    }
    return r;
}
