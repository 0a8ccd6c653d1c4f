/* nf_tables messages: the encoder. Builds exactly the bytecode that nft(8) would build for the
 * equivalent text, since nft of Debian 12 must be able to show what is installed: register use,
 * dependencies and user data follow it. Knows no policy: names and layouts come from the caller. No
 * sockets, no threads, no state but the batch. */
#include "codec/nfnl.h"

#include <assert.h>
#include <linux/netfilter/nfnetlink.h>

#include "base/assert.h"

enum {
    ELEM_CHUNK_BYTES = 60000, /* of the 65531 an attribute can hold */
};

/* nft stores key and data byte order beside the set (user data of libnftnl), to print host-order
 * integers well. */
enum { UDATA_KEYBYTEORDER = 0, UDATA_DATABYTEORDER = 1, BYTEORDER_HOST = 1, BYTEORDER_NETWORK = 2 };

uint32_t nfnl_type_concat(const enum nfnl_type *types, size_t n)
{
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 6 | (uint32_t)types[i];
    return v;
}

size_t nfnl_type_bytes(enum nfnl_type t)
{
    return t == NFNL_TYPE_IP6 || t == NFNL_TYPE_VERDICT ? 16 : 4;
}

static size_t type_exact_bytes(enum nfnl_type t)
{
    if (t == NFNL_TYPE_INET_PROTO)
        return 1;
    return t == NFNL_TYPE_INET_SERVICE ? 2 : nfnl_type_bytes(t);
}

/* A lone component has its exact length; components of a concatenation fill whole words. */
static uint32_t types_bytes(const enum nfnl_type *types, size_t n)
{
    size_t bytes = 0;
    if (n == 1)
        return (uint32_t)type_exact_bytes(types[0]);
    for (size_t i = 0; i < n; i++)
        bytes += nfnl_type_bytes(types[i]);
    return (uint32_t)bytes;
}

/* ---- batches ---- */

static void batch_mark(struct nfnl_batch *b, uint16_t type)
{
    size_t at = nlmsg_begin(&b->buf, type, NLM_F_REQUEST, b->seq_next++);
    struct nfgenmsg g = {
        .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES)};
    nlmsg_fixed(&b->buf, &g, sizeof(g));
    if (type == NFNL_MSG_BATCH_BEGIN && b->genid)
        nla_add_be32(&b->buf, NFNL_BATCH_GENID, b->genid);
    nlmsg_end(&b->buf, at);
}

void nfnl_batch_init(struct nfnl_batch *b, uint32_t seq_first, uint32_t genid)
{
    *b = (struct nfnl_batch){.seq_first = seq_first, .seq_next = seq_first, .genid = genid};
    b->buf.cap = NFNL_BATCH_BYTES_MAX;
    batch_mark(b, NFNL_MSG_BATCH_BEGIN);
}

void nfnl_batch_done(struct nfnl_batch *b)
{
    buf_done(&b->buf);
}

void nfnl_batch_table(struct nfnl_batch *b, uint8_t family, const char *table)
{
    b->family = family;
    b->table = table;
}

bool nfnl_batch_finish(struct nfnl_batch *b)
{
    if (b->last == 0 || b->buf.failed)
        return false;
    struct nlmsghdr h;
    memcpy(&h, b->buf.p + b->last, sizeof(h));
    h.nlmsg_flags |= NLM_F_ACK;
    memcpy(b->buf.p + b->last, &h, sizeof(h));
    batch_mark(b, NFNL_MSG_BATCH_END);
    return !b->buf.failed;
}

static uint16_t msg_type(uint16_t op)
{
    return (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | op);
}

static void msg_begin(struct nfnl_batch *b, uint16_t op, uint16_t flags)
{
    ASSERT(b->table);
    b->last = b->buf.n;
    b->msg = nlmsg_begin(&b->buf, msg_type(op), NLM_F_REQUEST | flags, b->seq_next++);
    struct nfgenmsg g = {.nfgen_family = b->family, .version = NFNETLINK_V0};
    nlmsg_fixed(&b->buf, &g, sizeof(g));
}

static void msg_end(struct nfnl_batch *b)
{
    nlmsg_end(&b->buf, b->msg);
}

void nfnl_table_new(struct nfnl_batch *b)
{
    msg_begin(b, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    nla_add_cstr(&b->buf, NFTA_TABLE_NAME, b->table);
    nla_add_be32(&b->buf, NFTA_TABLE_FLAGS, 0);
    msg_end(b);
}

void nfnl_table_delete(struct nfnl_batch *b)
{
    msg_begin(b, NFT_MSG_DELTABLE, 0);
    nla_add_cstr(&b->buf, NFTA_TABLE_NAME, b->table);
    msg_end(b);
}

void nfnl_chain_new(struct nfnl_batch *b, const char *name, const char *type, int hook,
                    int32_t priority)
{
    msg_begin(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    nla_add_cstr(&b->buf, NFTA_CHAIN_TABLE, b->table);
    nla_add_cstr(&b->buf, NFTA_CHAIN_NAME, name);
    if (hook >= 0) {
        size_t nest = nla_nest_begin(&b->buf, NFTA_CHAIN_HOOK);
        nla_add_be32(&b->buf, NFTA_HOOK_HOOKNUM, (uint32_t)hook);
        nla_add_be32(&b->buf, NFTA_HOOK_PRIORITY, (uint32_t)priority);
        nla_nest_end(&b->buf, nest);
        nla_add_be32(&b->buf, NFTA_CHAIN_POLICY, NF_ACCEPT);
        nla_add_cstr(&b->buf, NFTA_CHAIN_TYPE, type);
    }
    msg_end(b);
}

void nfnl_chain_delete(struct nfnl_batch *b, const char *name)
{
    msg_begin(b, NFT_MSG_DELCHAIN, 0);
    nla_add_cstr(&b->buf, NFTA_CHAIN_TABLE, b->table);
    nla_add_cstr(&b->buf, NFTA_CHAIN_NAME, name);
    msg_end(b);
}

void nfnl_chain_flush(struct nfnl_batch *b, const char *name)
{
    msg_begin(b, NFT_MSG_DELRULE, 0);
    nla_add_cstr(&b->buf, NFTA_RULE_TABLE, b->table);
    nla_add_cstr(&b->buf, NFTA_RULE_CHAIN, name);
    msg_end(b);
}

/* ---- sets ---- */

static bool types_are_host_order(const enum nfnl_type *types, size_t n)
{
    return n == 1 && (types[0] == NFNL_TYPE_MARK || types[0] == NFNL_TYPE_INTEGER);
}

static void set_userdata(struct nfnl_batch *b, const struct nfnl_set *s)
{
    struct {
        uint8_t type, len;
        uint32_t value;
    } __attribute__((packed)) u[2];
    size_t n = 0;
    bool verdict = s->n_data && s->data[0] == NFNL_TYPE_VERDICT;
    u[n++] = (__typeof__(u[0])){UDATA_KEYBYTEORDER, 4,
                                types_are_host_order(s->key, s->n_key) ? BYTEORDER_HOST
                                                                       : BYTEORDER_NETWORK};
    if (s->n_data && !verdict)
        u[n++] = (__typeof__(u[0])){UDATA_DATABYTEORDER, 4,
                                    types_are_host_order(s->data, s->n_data) ? BYTEORDER_HOST
                                                                             : BYTEORDER_NETWORK};
    nla_add(&b->buf, NFTA_SET_USERDATA, u, n * sizeof(u[0]));
}

static void set_description(struct nfnl_batch *b, const struct nfnl_set *s)
{
    size_t nest = nla_nest_begin(&b->buf, NFTA_SET_DESC);
    if (s->size)
        nla_add_be32(&b->buf, NFTA_SET_DESC_SIZE, s->size);
    if (s->n_key > 1) {
        size_t concat = nla_nest_begin(&b->buf, NFTA_SET_DESC_CONCAT);
        for (size_t i = 0; i < s->n_key; i++) {
            size_t elem = nla_nest_begin(&b->buf, NFTA_LIST_ELEM);
            nla_add_be32(&b->buf, NFTA_SET_FIELD_LEN, (uint32_t)type_exact_bytes(s->key[i]));
            nla_nest_end(&b->buf, elem);
        }
        nla_nest_end(&b->buf, concat);
    }
    nla_nest_end(&b->buf, nest);
}

void nfnl_set_new(struct nfnl_batch *b, const struct nfnl_set *s)
{
    ASSERT(s->n_key > 0);
    msg_begin(b, NFT_MSG_NEWSET, NLM_F_CREATE);
    nla_add_cstr(&b->buf, NFTA_SET_TABLE, b->table);
    nla_add_cstr(&b->buf, NFTA_SET_NAME, s->name);
    nla_add_be32(&b->buf, NFTA_SET_ID, s->id);
    nla_add_be32(&b->buf, NFTA_SET_FLAGS, s->flags | (s->n_key > 1 ? NFT_SET_CONCAT : 0u));
    nla_add_be32(&b->buf, NFTA_SET_KEY_TYPE, nfnl_type_concat(s->key, s->n_key));
    nla_add_be32(&b->buf, NFTA_SET_KEY_LEN, types_bytes(s->key, s->n_key));
    if (s->n_data && s->data[0] == NFNL_TYPE_VERDICT) {
        nla_add_be32(&b->buf, NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
        nla_add_be32(&b->buf, NFTA_SET_DATA_LEN, 0);
    } else if (s->n_data) {
        nla_add_be32(&b->buf, NFTA_SET_DATA_TYPE, nfnl_type_concat(s->data, s->n_data));
        nla_add_be32(&b->buf, NFTA_SET_DATA_LEN, types_bytes(s->data, s->n_data));
    }
    set_description(b, s);
    set_userdata(b, s);
    msg_end(b);
}

void nfnl_set_delete(struct nfnl_batch *b, const char *name)
{
    msg_begin(b, NFT_MSG_DELSET, 0);
    nla_add_cstr(&b->buf, NFTA_SET_TABLE, b->table);
    nla_add_cstr(&b->buf, NFTA_SET_NAME, name);
    msg_end(b);
}

/* ---- elements ---- */

static void elems_open(struct nfnl_batch *b)
{
    msg_begin(b, b->elem_op, b->elem_op == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0);
    nla_add_cstr(&b->buf, NFTA_SET_ELEM_LIST_TABLE, b->table);
    nla_add_cstr(&b->buf, NFTA_SET_ELEM_LIST_SET, b->set);
    b->nest = nla_nest_begin(&b->buf, NFTA_SET_ELEM_LIST_ELEMENTS);
    b->elems = 0;
}

static void elems_close(struct nfnl_batch *b)
{
    nla_nest_end(&b->buf, b->nest);
    msg_end(b);
}

void nfnl_elems_begin(struct nfnl_batch *b, uint16_t op, const char *set)
{
    ASSERT(!b->set);
    b->set = set;
    b->elem_op = op;
    b->elems = 0;
    b->nest = 0;
}

static void data_value(struct nfnl_batch *b, uint16_t type, const void *p, size_t n)
{
    size_t nest = nla_nest_begin(&b->buf, type);
    nla_add(&b->buf, NFTA_DATA_VALUE, p, n);
    nla_nest_end(&b->buf, nest);
}

static size_t elem_begin(struct buf *b, struct str key)
{
    size_t elem = nla_nest_begin(b, NFTA_LIST_ELEM);
    size_t k = nla_nest_begin(b, NFTA_SET_ELEM_KEY);
    nla_add(b, NFTA_DATA_VALUE, key.p, key.n);
    nla_nest_end(b, k);
    return elem;
}

/* The message is opened by its first element, so that an empty list leaves nothing behind. */
static size_t elem_open(struct nfnl_batch *b, struct str key)
{
    ASSERT(b->set && key.n > 0 && key.n <= NFNL_ELEM_BYTES_MAX);
    if (b->nest && b->buf.n - b->nest > ELEM_CHUNK_BYTES) {
        elems_close(b);
        b->nest = 0;
    }
    if (!b->nest)
        elems_open(b);
    b->elems++;
    return elem_begin(&b->buf, key);
}

void nfnl_elem_add(struct nfnl_batch *b, struct str key, struct str data)
{
    size_t elem = elem_open(b, key);
    if (data.n) {
        size_t d = nla_nest_begin(&b->buf, NFTA_SET_ELEM_DATA);
        nla_add(&b->buf, NFTA_DATA_VALUE, data.p, data.n);
        nla_nest_end(&b->buf, d);
    }
    nla_nest_end(&b->buf, elem);
}

static void verdict_add(struct nfnl_batch *b, int verdict, const char *chain)
{
    ASSERT((verdict == NFT_JUMP || verdict == NFT_GOTO) == (chain != NULL));
    size_t v = nla_nest_begin(&b->buf, NFTA_DATA_VERDICT);
    nla_add_be32(&b->buf, NFTA_VERDICT_CODE, (uint32_t)verdict);
    if (chain)
        nla_add_cstr(&b->buf, NFTA_VERDICT_CHAIN, chain);
    nla_nest_end(&b->buf, v);
}

void nfnl_elem_add_verdict(struct nfnl_batch *b, struct str key, int verdict, const char *chain)
{
    size_t elem = elem_open(b, key);
    size_t d = nla_nest_begin(&b->buf, NFTA_SET_ELEM_DATA);
    verdict_add(b, verdict, chain);
    nla_nest_end(&b->buf, d);
    nla_nest_end(&b->buf, elem);
}

void nfnl_elem_add_range(struct nfnl_batch *b, struct str key, struct str end)
{
    size_t elem = elem_open(b, key);
    ASSERT(end.n == key.n);
    data_value(b, NFTA_SET_ELEM_KEY_END, end.p, end.n);
    nla_nest_end(&b->buf, elem);
}

void nfnl_elems_end(struct nfnl_batch *b)
{
    ASSERT(b->set);
    if (b->nest)
        elems_close(b);
    b->set = NULL;
    b->nest = 0;
}

/* ---- rules ---- */

void nfnl_rule_begin(struct nfnl_batch *b, const char *chain)
{
    ASSERT(!b->set && !b->nest && chain);
    msg_begin(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    nla_add_cstr(&b->buf, NFTA_RULE_TABLE, b->table);
    nla_add_cstr(&b->buf, NFTA_RULE_CHAIN, chain);
    b->nest = nla_nest_begin(&b->buf, NFTA_RULE_EXPRESSIONS);
}

void nfnl_rule_end(struct nfnl_batch *b)
{
    nla_nest_end(&b->buf, b->nest);
    msg_end(b);
    b->nest = 0;
}

/* Opens an expression and its data; returns the offset of the data nest. */
static size_t expr_begin(struct nfnl_batch *b, const char *name)
{
    ASSERT(b->nest && !b->set); /* inside a rule */
    b->expr = nla_nest_begin(&b->buf, NFTA_LIST_ELEM);
    nla_add_cstr(&b->buf, NFTA_EXPR_NAME, name);
    return nla_nest_begin(&b->buf, NFTA_EXPR_DATA);
}

static void expr_end(struct nfnl_batch *b, size_t data)
{
    nla_nest_end(&b->buf, data);
    nla_nest_end(&b->buf, b->expr);
}

void nfnl_payload(struct nfnl_batch *b, uint32_t base, uint32_t offset, uint32_t bytes,
                  uint32_t dreg)
{
    size_t d = expr_begin(b, "payload");
    nla_add_be32(&b->buf, NFTA_PAYLOAD_DREG, dreg);
    nla_add_be32(&b->buf, NFTA_PAYLOAD_BASE, base);
    nla_add_be32(&b->buf, NFTA_PAYLOAD_OFFSET, offset);
    nla_add_be32(&b->buf, NFTA_PAYLOAD_LEN, bytes);
    expr_end(b, d);
}

void nfnl_meta(struct nfnl_batch *b, uint32_t key, uint32_t dreg)
{
    size_t d = expr_begin(b, "meta");
    nla_add_be32(&b->buf, NFTA_META_DREG, dreg);
    nla_add_be32(&b->buf, NFTA_META_KEY, key);
    expr_end(b, d);
}

void nfnl_meta_set(struct nfnl_batch *b, uint32_t key, uint32_t sreg)
{
    size_t d = expr_begin(b, "meta");
    nla_add_be32(&b->buf, NFTA_META_KEY, key);
    nla_add_be32(&b->buf, NFTA_META_SREG, sreg);
    expr_end(b, d);
}

void nfnl_ct(struct nfnl_batch *b, uint32_t key, uint32_t dreg)
{
    size_t d = expr_begin(b, "ct");
    nla_add_be32(&b->buf, NFTA_CT_DREG, dreg);
    nla_add_be32(&b->buf, NFTA_CT_KEY, key);
    expr_end(b, d);
}

void nfnl_ct_set(struct nfnl_batch *b, uint32_t key, uint32_t sreg)
{
    size_t d = expr_begin(b, "ct");
    nla_add_be32(&b->buf, NFTA_CT_KEY, key);
    nla_add_be32(&b->buf, NFTA_CT_SREG, sreg);
    expr_end(b, d);
}

void nfnl_cmp(struct nfnl_batch *b, uint32_t op, uint32_t sreg, const void *p, size_t n)
{
    size_t d = expr_begin(b, "cmp");
    nla_add_be32(&b->buf, NFTA_CMP_SREG, sreg);
    nla_add_be32(&b->buf, NFTA_CMP_OP, op);
    data_value(b, NFTA_CMP_DATA, p, n);
    expr_end(b, d);
}

void nfnl_bitwise(struct nfnl_batch *b, uint32_t sreg, uint32_t dreg, const void *mask,
                  const void *xor_, size_t n)
{
    size_t d = expr_begin(b, "bitwise");
    nla_add_be32(&b->buf, NFTA_BITWISE_SREG, sreg);
    nla_add_be32(&b->buf, NFTA_BITWISE_DREG, dreg);
    nla_add_be32(&b->buf, NFTA_BITWISE_LEN, (uint32_t)n);
    nla_add_be32(&b->buf, NFTA_BITWISE_OP, NFT_BITWISE_BOOL);
    data_value(b, NFTA_BITWISE_MASK, mask, n);
    data_value(b, NFTA_BITWISE_XOR, xor_, n);
    expr_end(b, d);
}

void nfnl_lookup(struct nfnl_batch *b, const char *set, uint32_t sreg, uint32_t dreg, bool invert)
{
    size_t d = expr_begin(b, "lookup");
    nla_add_be32(&b->buf, NFTA_LOOKUP_SREG, sreg);
    nla_add_cstr(&b->buf, NFTA_LOOKUP_SET, set);
    if (dreg != NFNL_NO_REG)
        nla_add_be32(&b->buf, NFTA_LOOKUP_DREG, dreg);
    if (invert)
        nla_add_be32(&b->buf, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
    expr_end(b, d);
}

void nfnl_numgen(struct nfnl_batch *b, uint32_t modulus, uint32_t offset, uint32_t dreg)
{
    ASSERT(modulus > 0);
    size_t d = expr_begin(b, "numgen");
    nla_add_be32(&b->buf, NFTA_NG_DREG, dreg);
    nla_add_be32(&b->buf, NFTA_NG_MODULUS, modulus);
    nla_add_be32(&b->buf, NFTA_NG_TYPE, NFT_NG_RANDOM);
    nla_add_be32(&b->buf, NFTA_NG_OFFSET, offset);
    expr_end(b, d);
}

void nfnl_immediate(struct nfnl_batch *b, uint32_t dreg, const void *p, size_t n)
{
    size_t d = expr_begin(b, "immediate");
    nla_add_be32(&b->buf, NFTA_IMMEDIATE_DREG, dreg);
    data_value(b, NFTA_IMMEDIATE_DATA, p, n);
    expr_end(b, d);
}

void nfnl_verdict(struct nfnl_batch *b, int verdict, const char *chain)
{
    size_t d = expr_begin(b, "immediate");
    nla_add_be32(&b->buf, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    size_t nest = nla_nest_begin(&b->buf, NFTA_IMMEDIATE_DATA);
    verdict_add(b, verdict, chain);
    nla_nest_end(&b->buf, nest);
    expr_end(b, d);
}

void nfnl_dnat(struct nfnl_batch *b, uint8_t family, uint32_t reg_addr, uint32_t reg_port)
{
    ASSERT(family == NFPROTO_IPV4 || family == NFPROTO_IPV6);
    size_t d = expr_begin(b, "nat");
    nla_add_be32(&b->buf, NFTA_NAT_TYPE, NFT_NAT_DNAT);
    nla_add_be32(&b->buf, NFTA_NAT_FAMILY, family);
    nla_add_be32(&b->buf, NFTA_NAT_REG_ADDR_MIN, reg_addr);
    nla_add_be32(&b->buf, NFTA_NAT_REG_PROTO_MIN, reg_port);
    expr_end(b, d);
}

void nfnl_masquerade(struct nfnl_batch *b, uint32_t flags)
{
    size_t d = expr_begin(b, "masq");
    nla_add_be32(&b->buf, NFTA_MASQ_FLAGS, flags);
    expr_end(b, d);
}

void nfnl_redirect(struct nfnl_batch *b, uint32_t reg_port)
{
    size_t d = expr_begin(b, "redir");
    nla_add_be32(&b->buf, NFTA_REDIR_REG_PROTO_MIN, reg_port);
    nla_add_be32(&b->buf, NFTA_REDIR_REG_PROTO_MAX, reg_port);
    expr_end(b, d);
}

void nfnl_reject(struct nfnl_batch *b, uint32_t type, uint8_t icmp_code)
{
    size_t d = expr_begin(b, "reject");
    nla_add_be32(&b->buf, NFTA_REJECT_TYPE, type);
    nla_add_u8(&b->buf, NFTA_REJECT_ICMP_CODE, icmp_code);
    expr_end(b, d);
}

void nfnl_fib(struct nfnl_batch *b, uint32_t result, uint32_t flags, uint32_t dreg)
{
    size_t d = expr_begin(b, "fib");
    nla_add_be32(&b->buf, NFTA_FIB_DREG, dreg);
    nla_add_be32(&b->buf, NFTA_FIB_RESULT, result);
    nla_add_be32(&b->buf, NFTA_FIB_FLAGS, flags);
    expr_end(b, d);
}

void nfnl_counter(struct nfnl_batch *b)
{
    size_t d = expr_begin(b, "counter");
    nla_add_be64(&b->buf, NFTA_COUNTER_BYTES, 0);
    nla_add_be64(&b->buf, NFTA_COUNTER_PACKETS, 0);
    expr_end(b, d);
}

void nfnl_dynset(struct nfnl_batch *b, const char *set, uint32_t op, uint32_t reg_key,
                 uint32_t reg_data, uint64_t timeout_ms)
{
    size_t d = expr_begin(b, "dynset");
    nla_add_be32(&b->buf, NFTA_DYNSET_SREG_KEY, reg_key);
    if (reg_data)
        nla_add_be32(&b->buf, NFTA_DYNSET_SREG_DATA, reg_data);
    nla_add_be32(&b->buf, NFTA_DYNSET_OP, op);
    nla_add_cstr(&b->buf, NFTA_DYNSET_SET_NAME, set);
    if (timeout_ms)
        nla_add_be64(&b->buf, NFTA_DYNSET_TIMEOUT, timeout_ms);
    expr_end(b, d);
}

/* ---- requests ---- */

/* The attributes of table and set names have different numbers per kind of message. */
void nfnl_request(struct buf *b, uint16_t op, uint16_t flags, uint32_t seq, uint8_t family,
                  const char *table, const char *name)
{
    size_t at = nlmsg_begin(b, msg_type(op), NLM_F_REQUEST | flags, seq);
    struct nfgenmsg g = {.nfgen_family = family, .version = NFNETLINK_V0};
    nlmsg_fixed(b, &g, sizeof(g));
    /* NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE and
     * NFTA_SET_ELEM_LIST_TABLE are all 1. */
    static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1,
                  "table attribute");
    static_assert(NFTA_SET_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1, "table attribute");
    static_assert(NFTA_SET_NAME == 2 && NFTA_SET_ELEM_LIST_SET == 2 && NFTA_RULE_CHAIN == 2,
                  "attribute of what is in the table");
    if (table)
        nla_add_cstr(b, NFTA_TABLE_NAME, table);
    if (name)
        nla_add_cstr(b, NFTA_SET_NAME, name);
    nlmsg_end(b, at);
}

void nfnl_request_elems(struct buf *b, uint32_t seq, uint8_t family, const char *table,
                        const char *set, struct str keys, size_t key_bytes)
{
    size_t at = b->n;
    nfnl_request(b, NFT_MSG_GETSETELEM, NLM_F_ACK, seq, family, table, set);
    size_t list = nla_nest_begin(b, NFTA_SET_ELEM_LIST_ELEMENTS);
    for (size_t i = 0; i + key_bytes <= keys.n; i += key_bytes)
        nla_nest_end(b, elem_begin(b, str_of(keys.p + i, key_bytes)));
    nla_nest_end(b, list);
    nlmsg_end(b, at);
}
