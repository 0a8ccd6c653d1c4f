/* nf_tables transactions and dumps. Owns a netlink socket; knows nothing of what the tables are
 * for. Blocking, one per thread. The batch is sent in one write: its size is bounded by
 * NFNL_BATCH_BYTES_MAX, below the socket's buffer. */
#include "nl/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include "base/assert.h"

enum {
    NFT_DUMP_TRIES = 10,
    NFT_RECV_BYTES = 64 * 1024,
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

struct name_dump {
    const char *table;
    void (*fn)(struct str name, void *user);
    void *user;
};

static int on_named(const struct nlmsg *m, void *user)
{
    struct name_dump *d = user;
    struct str table, name;
    if (nfnl_parse_name(m, &table, &name) && str_is(table, d->table))
        d->fn(name, d->user);
    return 0;
}

int nft_each_name(struct nft *n, uint16_t op, uint8_t family, const char *table,
                  void (*fn)(struct str name, void *user), void *user, struct err *reterr)
{
    struct name_dump d = {table, fn, user};
    return dump_retry(n, op, family, table, NULL, on_named, NULL, &d, NULL, reterr);
}

/* ---- watch ---- */

struct nft_watch {
    struct nl_socket *sock;
    char *recv_buf;
};

/* Each notification names the port of who made the change: our own need wake nobody. */
static void ignore_own(int watch, int own)
{
    struct sockaddr_nl sa = {0};
    socklen_t len = sizeof(sa);
    if (getsockname(own, (struct sockaddr *)&sa, &len) < 0)
        return; /* told of them, then: harmless */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(sa.nl_pid), 0, 1), /* loads are big-endian */
        BPF_STMT(BPF_RET | BPF_K, 0), BPF_STMT(BPF_RET | BPF_K, UINT32_MAX)};
    const struct sock_fprog program = {ARRAY_LEN(code), code};
    IGNORE_RESULT(setsockopt(watch, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
}

int nft_watch_new(const struct nft *own, struct nft_watch **ret, struct err *reterr)
{
    struct nl_socket *sock;
    int group = NFNLGRP_NFTABLES;
    int r = nl_socket_new(NETLINK_NETFILTER, &sock, reterr);
    if (r < 0)
        return r;
    ignore_own(nl_socket_fd(sock), nl_socket_fd(own->sock));
    if (setsockopt(nl_socket_fd(sock), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) <
        0) {
        r = err_set(reterr, -errno, NULL, "nf_tables notifications: %s", strerror(errno));
        nl_socket_free(sock);
        return r;
    }
    struct nft_watch *w = NEW(struct nft_watch);
    w->sock = sock;
    w->recv_buf = xmalloc(NFT_RECV_BYTES);
    *ret = w;
    return 0;
}

void nft_watch_free(struct nft_watch *w)
{
    if (!w)
        return;
    nl_socket_free(w->sock);
    free(w->recv_buf);
    free(w);
}

int nft_watch_fd(const struct nft_watch *w)
{
    return nl_socket_fd(w->sock);
}

static bool watch_saw_deletion(struct str bytes, const char *table)
{
    struct nlmsg m;
    struct str name, owner;
    while (nlmsg_next(&bytes, &m) == 1)
        if ((nfnl_is(&m, NFT_MSG_DELTABLE) || nfnl_is(&m, NFT_MSG_DELCHAIN) ||
             nfnl_is(&m, NFT_MSG_DELSET)) &&
            nfnl_parse_name(&m, &owner, &name) && str_is(owner, table))
            return true;
    return false;
}

bool nft_watch_deleted(struct nft_watch *w, const char *table)
{
    bool deleted = false;
    for (;;) {
        ssize_t n = recv(nl_socket_fd(w->sock), w->recv_buf, NFT_RECV_BYTES, MSG_DONTWAIT);
        if (n < 0 && errno == ENOBUFS) {
            deleted = true; /* overrun: messages were lost */
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return deleted;
        deleted = watch_saw_deletion(str_of(w->recv_buf, (size_t)n), table) || deleted;
    }
}
