/* What others change in the ruleset, as the kernel tells it (NFNLGRP_NFTABLES). Owns a socket whose
 * filter leaves out what we do ourselves. Trusts no length of what it reads; knows nothing of what
 * the table is for. One thread. */
#include "nl/nft_watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

enum { WATCH_RECV_BYTES = 64 * 1024 };

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
    ignore_own(nl_socket_fd(sock), nft_fd(own));
    if (setsockopt(nl_socket_fd(sock), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) <
        0) {
        r = err_set(reterr, -errno, NULL, "nf_tables notifications: %s", strerror(errno));
        nl_socket_free(sock);
        return r;
    }
    struct nft_watch *w = NEW(struct nft_watch);
    w->sock = sock;
    w->recv_buf = xmalloc(WATCH_RECV_BYTES);
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

/* ---- reading ---- */

struct reading {
    nft_elem_fn *on_elem;
    void *user;
    uint8_t family;
    struct str set;
};

static int on_elem_of(const struct nfnl_elem *e, void *user)
{
    struct reading *r = user;
    if (r->on_elem)
        r->on_elem(r->family, r->set, e, r->user);
    return 0;
}

static enum nft_thing thing_of(const struct nlmsg *m)
{
    static const struct {
        uint16_t op;
        enum nft_thing thing;
    } things[] = {{NFT_MSG_NEWTABLE, NFT_THING_TABLE},     {NFT_MSG_DELTABLE, NFT_THING_TABLE},
                  {NFT_MSG_NEWCHAIN, NFT_THING_CHAIN},     {NFT_MSG_DELCHAIN, NFT_THING_CHAIN},
                  {NFT_MSG_NEWRULE, NFT_THING_RULE},       {NFT_MSG_DELRULE, NFT_THING_RULE},
                  {NFT_MSG_NEWSET, NFT_THING_SET},         {NFT_MSG_DELSET, NFT_THING_SET},
                  {NFT_MSG_NEWOBJ, NFT_THING_SET},         {NFT_MSG_DELOBJ, NFT_THING_SET},
                  {NFT_MSG_NEWFLOWTABLE, NFT_THING_SET},   {NFT_MSG_DELFLOWTABLE, NFT_THING_SET},
                  {NFT_MSG_NEWSETELEM, NFT_THING_ELEMENT}, {NFT_MSG_DELSETELEM, NFT_THING_ELEMENT}};
    for (size_t i = 0; i < ARRAY_LEN(things); i++)
        if (nfnl_is(m, things[i].op))
            return things[i].thing;
    return _NFT_THING_MAX;
}

static void read_message(struct reading *r, const struct nlmsg *m, const char *table,
                         struct nft_news *ret)
{
    enum nft_thing thing = thing_of(m);
    struct str owner;
    if (thing == _NFT_THING_MAX || !nfnl_parse_owner(m, &r->family, &owner, &r->set) ||
        !str_is(owner, table))
        return;
    ret->changes[thing]++;
    if (thing == NFT_THING_ELEMENT && nfnl_parse_elems(m, on_elem_of, r) < 0)
        ret->lost = true; /* not understood */
}

void nft_watch_read(struct nft_watch *w, const char *table, nft_elem_fn *on_elem, void *user,
                    struct nft_news *ret)
{
    struct reading reading = {.on_elem = on_elem, .user = user};
    for (;;) {
        ssize_t n =
            recv(nl_socket_fd(w->sock), w->recv_buf, WATCH_RECV_BYTES, MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && errno == EINTR)
            continue;
        if ((n < 0 && errno == ENOBUFS) || n > WATCH_RECV_BYTES) {
            ret->lost = true;
            continue;
        }
        if (n <= 0)
            return;
        struct str bytes = str_of(w->recv_buf, (size_t)n);
        struct nlmsg m;
        while (nlmsg_next(&bytes, &m) == 1)
            read_message(&reading, &m, table, ret);
    }
}
