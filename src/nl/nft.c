/* nf_tables transactions and dumps. Owns a netlink socket; knows nothing of what the tables are
 * for. Blocking, one per thread. The batch is sent in one write: its size is bounded by
 * NFNL_BATCH_BYTES_MAX, below the socket's buffer. */
#include "nl/nft.h"

#include <errno.h>

#include "base/assert.h"

enum {
    NFT_DUMP_TRIES = 10,
    NFT_SEQ_SPAN = 1 << 20, /* sequence numbers set aside for one batch */
};

struct nft {
    struct nl_socket *sock;
    uint32_t seq;
};

int nft_new(struct nft **ret, struct err *reterr)
{
    struct nl_socket *sock;
    int r = nl_socket_new(NETLINK_NETFILTER, &sock, reterr);
    if (r < 0)
        return r;
    struct nft *n = NEW(struct nft);
    n->sock = sock;
    n->seq = NFT_SEQ_SPAN;
    *ret = n;
    return 0;
}

void nft_free(struct nft *n)
{
    if (!n)
        return;
    nl_socket_free(n->sock);
    free(n);
}

void nft_batch_begin(struct nft *n, struct nfnl_batch *b, uint32_t genid)
{
    n->seq += NFT_SEQ_SPAN;
    if (n->seq < NFT_SEQ_SPAN)
        n->seq = NFT_SEQ_SPAN;
    nfnl_batch_init(b, n->seq, genid);
}

int nft_commit(struct nft *n, struct nfnl_batch *b, struct err *reterr)
{
    uint32_t refused;
    return nft_refused(n, b, &refused, reterr);
}

int nft_refused(struct nft *n, struct nfnl_batch *b, uint32_t *ret_refused, struct err *reterr)
{
    struct nlmsghdr last;
    struct err err = {0};
    uint32_t refused = 0;
    *ret_refused = 0;
    if (!b->buf.failed && nfnl_batch_is_empty(b))
        return 0;
    if (!nfnl_batch_finish(b))
        return err_set(reterr, -E2BIG, NULL, "nf_tables batch over %d bytes", NFNL_BATCH_BYTES_MAX);
    ASSERT(b->seq_next - b->seq_first <= NFT_SEQ_SPAN);
    memcpy(&last, b->buf.p + b->last, sizeof(last));
    int r = nl_transact(n->sock, buf_str(&b->buf), last.nlmsg_seq, &refused, &err);
    *ret_refused = r < 0 ? refused : 0;
    if (r < 0 && refused)
        return err_set(reterr, r, NULL, "nf_tables message %u of %u: %s", refused - b->seq_first,
                       b->seq_next - b->seq_first, err_text(&err));
    return r < 0 ? err_set(reterr, r, NULL, "nf_tables: %s", err_text(&err)) : 0;
}

/* ---- questions ---- */

static int on_ignore(const struct nlmsg *m, void *user)
{
    (void)m;
    (void)user;
    return 0;
}

int nft_table_exists(struct nft *n, uint8_t family, const char *table, bool *ret,
                     struct err *reterr)
{
    struct buf b = {0};
    uint32_t seq = nl_socket_seq(n->sock);
    nfnl_request(&b, NFT_MSG_GETTABLE, 0, seq, family, table, NULL);
    int r = nl_dump(n->sock, buf_str(&b), seq, on_ignore, NULL, reterr);
    buf_done(&b);
    if (r < 0 && r != -ENOENT)
        return r;
    *ret = r == 0;
    return 0;
}

static int dump_retry(struct nft *n, uint16_t op, uint8_t family, const char *table,
                      const char *name, int (*on_msg)(const struct nlmsg *m, void *user),
                      void (*on_restart)(void *user), void *user, void *restart_user,
                      struct err *reterr)
{
    int r = -EINTR;
    for (int i = 0; i < NFT_DUMP_TRIES && r == -EINTR; i++) {
        struct buf b = {0};
        uint32_t seq = nl_socket_seq(n->sock);
        if (i > 0 && on_restart)
            on_restart(restart_user);
        nfnl_request(&b, op, NLM_F_DUMP, seq, family, table, name);
        r = nl_dump(n->sock, buf_str(&b), seq, on_msg, user, reterr);
        buf_done(&b);
    }
    if (r == -EINTR)
        return err_set(reterr, r, NULL,
                       "nf_tables dump: the ruleset changed during each of %d tries",
                       NFT_DUMP_TRIES);
    return r;
}

struct elem_dump {
    int (*on_elem)(const struct nfnl_elem *e, void *user);
    void *user;
};

static int on_elem_msg(const struct nlmsg *m, void *user)
{
    struct elem_dump *d = user;
    return nfnl_is(m, NFT_MSG_NEWSETELEM) ? nfnl_parse_elems(m, d->on_elem, d->user) : 0;
}

int nft_dump_elems(struct nft *n, uint8_t family, const char *table, const char *set,
                   int (*on_elem)(const struct nfnl_elem *e, void *user),
                   void (*on_restart)(void *user), void *user, struct err *reterr)
{
    struct elem_dump d = {on_elem, user};
    return dump_retry(n, NFT_MSG_GETSETELEM, family, table, set, on_elem_msg, on_restart, &d, user,
                      reterr);
}

int nft_get_elems(struct nft *n, uint8_t family, const char *table, const char *set,
                  struct str keys, size_t key_bytes,
                  int (*on_elem)(const struct nfnl_elem *e, void *user), void *user,
                  struct err *reterr)
{
    struct elem_dump d = {on_elem, user};
    AUTO_DONE(buf) struct buf b = {0};
    int r = 0;
    while (r == 0 && keys.n) {
        struct str some = str_of(keys.p, MIN(keys.n, NFNL_REQUEST_ELEMS_MAX * key_bytes));
        uint32_t seq = nl_socket_seq(n->sock);
        buf_clear(&b);
        nfnl_request_elems(&b, seq, family, table, set, some, key_bytes);
        r = nl_dump(n->sock, buf_str(&b), seq, on_elem_msg, &d, reterr);
        keys = str_sub(keys, some.n, keys.n);
    }
    return r;
}

struct elem_count {
    struct elem_dump dump;
    size_t n;
};

static int on_elem_counted(const struct nlmsg *m, void *user)
{
    struct elem_count *c = user;
    c->n++;
    return on_elem_msg(m, &c->dump);
}

/* The kernel answers key by key and stops at the first that is not there: that one is skipped. */
int nft_find_elems(struct nft *n, uint8_t family, const char *table, const char *set,
                   struct str keys, size_t key_bytes,
                   int (*on_elem)(const struct nfnl_elem *e, void *user), void *user,
                   struct err *reterr)
{
    AUTO_DONE(buf) struct buf b = {0};
    size_t at_once = NFNL_REQUEST_ELEMS_MAX;
    ASSERT(key_bytes > 0);
    while (keys.n) {
        struct elem_count c = {{on_elem, user}, 0};
        struct err err = {0};
        struct str some = str_of(keys.p, MIN(keys.n, at_once * key_bytes));
        uint32_t seq = nl_socket_seq(n->sock);
        buf_clear(&b);
        nfnl_request_elems(&b, seq, family, table, set, some, key_bytes);
        int r = nl_dump(n->sock, buf_str(&b), seq, on_elem_counted, &c, &err);
        bool absent = r == -ENOENT && c.n < some.n / key_bytes;
        if (r < 0 && !absent)
            return err_set(reterr, r, NULL, "%s", err_text(&err));
        size_t done = absent ? (c.n + 1) * key_bytes : some.n;
        at_once =
            absent ? MAX(at_once / 2, (size_t)1) : MIN(at_once * 2, (size_t)NFNL_REQUEST_ELEMS_MAX);
        keys = str_sub(keys, done, keys.n);
    }
    return 0;
}

struct name_list {
    const char *table;
    int (*on_name)(struct str name, void *user);
    void *user;
};

static int on_name_msg(const struct nlmsg *m, void *user)
{
    struct name_list *l = user;
    struct str table, name;
    if (!nfnl_parse_name(m, &table, &name) || !str_is(table, l->table))
        return 0;
    return l->on_name(name, l->user);
}

int nft_list(struct nft *n, uint8_t family, const char *table, uint16_t op,
             int (*on_name)(struct str name, void *user), void (*on_restart)(void *user),
             void *user, struct err *reterr)
{
    struct name_list l = {table, on_name, user};
    return dump_retry(n, op, family, table, NULL, on_name_msg, on_restart, &l, user, reterr);
}

static int on_rule(const struct nlmsg *m, void *user)
{
    uint64_t *sum = user, packets;
    if (nfnl_parse_rule_packets(m, &packets))
        *sum += packets;
    return 0;
}

static void restart_rules(void *user)
{
    *(uint64_t *)user = 0;
}

int nft_chain_packets(struct nft *n, uint8_t family, const char *table, const char *chain,
                      uint64_t *ret, struct err *reterr)
{
    uint64_t sum = 0;
    int r = dump_retry(n, NFT_MSG_GETRULE, family, table, chain, on_rule, restart_rules, &sum, &sum,
                       reterr);
    if (r == 0)
        *ret = sum;
    return r;
}

int nft_fd(const struct nft *n)
{
    return nl_socket_fd(n->sock);
}
