#pragma once
/* nf_tables messages as bytes: a batch builder (tables, chains, rules, sets, elements) and a reader
 * of the kernel's answers. No sockets. Values in registers: addresses and ports in network order,
 * everything else in host order. */

#include <netinet/in.h> /* before the kernel's own linux/in.h */

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "codec/netlink.h"

/* Registers by 32-bit words: nfnl_reg(0) is NFT_REG32_00. Concatenations fill consecutive words. */
static inline uint32_t nfnl_reg(unsigned word)
{
    return NFT_REG32_00 + word;
}

#define NFNL_NO_REG UINT32_MAX

/* Data types as nft(8) knows them (its user space, not the kernel's): six bits each, concatenated
 * left to right. */
enum nfnl_type {
    NFNL_TYPE_VERDICT = 1,
    NFNL_TYPE_INTEGER = 4,
    NFNL_TYPE_IP = 7,
    NFNL_TYPE_IP6 = 8,
    NFNL_TYPE_INET_PROTO = 12,
    NFNL_TYPE_INET_SERVICE = 13,
    NFNL_TYPE_MARK = 19,
};
uint32_t nfnl_type_concat(const enum nfnl_type *types, size_t n);

/* ---- batches ---- */

enum {
    NFNL_BATCH_BYTES_MAX = 6 * 1024 * 1024, /* below the socket's send buffer */
    NFNL_REQUEST_ELEMS_MAX = 500,           /* their list is one attribute of 64 KiB */
    NFNL_ELEM_BYTES_MAX = 64,               /* key or data of one element */
};

/* One batch is one transaction. Messages carry seq_first, seq_first + 1, …, so that an error names
 * its message. */
struct nfnl_batch {
    struct buf buf;
    uint32_t seq_first;
    uint32_t seq_next;
    size_t last; /* offset of the last message that changes something, 0 = none */
    uint32_t
        genid; /* refuse the batch if the ruleset is not at this generation; 0 = do not check */
    uint8_t family; /* NFPROTO_IPV4, NFPROTO_IPV6, NFPROTO_INET of what follows */
    const char *table;
    size_t msg, nest,
        expr;        /* open message, its list of expressions or elements, the open expression */
    const char *set; /* of the open element list */
    uint16_t elem_op;
    uint32_t elems;
};

void nfnl_batch_init(struct nfnl_batch *b, uint32_t seq_first, uint32_t genid);
void nfnl_batch_done(struct nfnl_batch *b);
/* What follows is about this table. Borrowed. */
void nfnl_batch_table(struct nfnl_batch *b, uint8_t family, const char *table);
/* Writes the end and asks for the answer on the last change. False: nothing in it, or it did not
 * fit. */
bool nfnl_batch_finish(struct nfnl_batch *b) NODISCARD;
static inline bool nfnl_batch_is_empty(const struct nfnl_batch *b)
{
    return b->last == 0;
}

void nfnl_table_new(struct nfnl_batch *b);
void nfnl_table_delete(struct nfnl_batch *b); /* of the whole table; -ENOENT if absent */

/* hook < 0: an ordinary chain; type "nat" or "filter". */
void nfnl_chain_new(struct nfnl_batch *b, const char *name, const char *type, int hook,
                    int32_t priority);
void nfnl_chain_delete(struct nfnl_batch *b, const char *name);
void nfnl_chain_flush(struct nfnl_batch *b, const char *name); /* deletes its rules */

struct nfnl_set {
    const char *name;
    uint32_t id;    /* within the batch */
    uint32_t flags; /* NFT_SET_MAP, NFT_SET_INTERVAL, NFT_SET_TIMEOUT, NFT_SET_EVAL, … */
    const enum nfnl_type *key;
    uint8_t n_key;
    const enum nfnl_type *data; /* maps; a single NFNL_TYPE_VERDICT for verdict maps */
    uint8_t n_data;
    uint32_t size; /* expected elements, 0 = unknown */
};
void nfnl_set_new(struct nfnl_batch *b, const struct nfnl_set *s);
void nfnl_set_delete(struct nfnl_batch *b, const char *name);
/* Bytes of one component in a register: rounded up to whole words. */
size_t nfnl_type_bytes(enum nfnl_type t);

/* Elements, split over as many messages as the 64 KiB of an attribute demand. op:
 * NFT_MSG_NEWSETELEM or NFT_MSG_DELSETELEM; data may be empty. */
void nfnl_elems_begin(struct nfnl_batch *b, uint16_t op, const char *set);
void nfnl_elem_add(struct nfnl_batch *b, struct str key, struct str data);
void nfnl_elem_add_verdict(struct nfnl_batch *b, struct str key, int verdict, const char *chain);
/* Concatenations with intervals: every component from key to end (inclusive). */
void nfnl_elem_add_range(struct nfnl_batch *b, struct str key, struct str end);
void nfnl_elems_end(struct nfnl_batch *b);

/* ---- rules: begin, expressions in order, end ---- */

void nfnl_rule_begin(struct nfnl_batch *b, const char *chain);
void nfnl_rule_end(struct nfnl_batch *b);

void nfnl_payload(struct nfnl_batch *b, uint32_t base, uint32_t offset, uint32_t bytes,
                  uint32_t dreg);
void nfnl_meta(struct nfnl_batch *b, uint32_t key, uint32_t dreg);
void nfnl_meta_set(struct nfnl_batch *b, uint32_t key, uint32_t sreg);
void nfnl_ct(struct nfnl_batch *b, uint32_t key, uint32_t dreg);
void nfnl_ct_set(struct nfnl_batch *b, uint32_t key, uint32_t sreg);
void nfnl_cmp(struct nfnl_batch *b, uint32_t op, uint32_t sreg, const void *p, size_t n);
/* dreg = (sreg & mask) ^ xor, n bytes. */
void nfnl_bitwise(struct nfnl_batch *b, uint32_t sreg, uint32_t dreg, const void *mask,
                  const void *xor_, size_t n);
/* dreg NFNL_NO_REG: a set; else a map whose value goes there (NFT_REG_VERDICT for verdict maps). */
void nfnl_lookup(struct nfnl_batch *b, const char *set, uint32_t sreg, uint32_t dreg, bool invert);
/* dreg = offset + a random number below modulus. */
void nfnl_numgen(struct nfnl_batch *b, uint32_t modulus, uint32_t offset, uint32_t dreg);
void nfnl_immediate(struct nfnl_batch *b, uint32_t dreg, const void *p, size_t n);
void nfnl_verdict(struct nfnl_batch *b, int verdict,
                  const char *chain); /* chain for jump and goto */
void nfnl_dnat(struct nfnl_batch *b, uint8_t family, uint32_t reg_addr, uint32_t reg_port);
void nfnl_masquerade(struct nfnl_batch *b, uint32_t flags);
/* To a port of this machine. */
void nfnl_redirect(struct nfnl_batch *b, uint32_t reg_port);
void nfnl_reject(struct nfnl_batch *b, uint32_t type, uint8_t icmp_code);
void nfnl_fib(struct nfnl_batch *b, uint32_t result, uint32_t flags, uint32_t dreg);
void nfnl_counter(struct nfnl_batch *b);
/* reg_data 0: a set. */
void nfnl_dynset(struct nfnl_batch *b, const char *set, uint32_t op, uint32_t reg_key,
                 uint32_t reg_data, uint64_t timeout_ms);

/* ---- requests, outside batches ---- */

/* Appends one request; flags such as NLM_F_DUMP. name: of a set, or of the chain of rules;
 * NULL where it does not apply. */
void nfnl_request(struct buf *b, uint16_t op, uint16_t flags, uint32_t seq, uint8_t family,
                  const char *table, const char *name);
/* Asks for elements by their keys, which stand one after the other, key_bytes each: at most
 * NFNL_REQUEST_ELEMS_MAX. An answer message for each, then the acknowledgement. */
void nfnl_request_elems(struct buf *b, uint32_t seq, uint8_t family, const char *table,
                        const char *set, struct str keys, size_t key_bytes);

/* ---- answers ---- */

bool nfnl_is(const struct nlmsg *m, uint16_t op);
struct str nfnl_attrs(const struct nlmsg *m);
int nfnl_parse_genid(const struct nlmsg *m, uint32_t *ret) NODISCARD;
/* Name of a table, chain or set message and the table it belongs to; false if it is none. */
bool nfnl_parse_name(const struct nlmsg *m, struct str *ret_table, struct str *ret_name);
/* The family and the table of any message about one; and the set, if it is about elements. */
bool nfnl_parse_owner(const struct nlmsg *m, uint8_t *ret_family, struct str *ret_table,
                      struct str *ret_set);
/* What the counter of a rule has seen. False: not a rule with one. */
bool nfnl_parse_rule_packets(const struct nlmsg *m, uint64_t *ret);

struct nfnl_elem {
    struct str key;
    struct str key_end; /* of a range, or empty */
    struct str data;    /* value, or empty */
    struct str chain;   /* verdict's chain, or empty */
    int32_t verdict;    /* with has_verdict */
    bool has_verdict;
    bool interval_end;
};
/* Calls on_elem for each element of a NFT_MSG_NEWSETELEM answer, or of a NFT_MSG_DELSETELEM told
 * of. -EBADMSG if malformed; a negative
 * result of on_elem ends it. */
int nfnl_parse_elems(const struct nlmsg *m, int (*on_elem)(const struct nfnl_elem *e, void *user),
                     void *user) NODISCARD;
