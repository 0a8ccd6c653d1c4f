/* Connection table of the kernel, UDP only: TCP flows are never cut by us. A dump collects what is
 * to go, then one deletion per flow follows, named by its original tuple and its id, so that a flow
 * that was born meanwhile on the same tuple is left alone. Blocking, one per thread. */
#include "nl/conntrack.h"

#include <errno.h>

enum { CONNTRACK_DUMP_TRIES = 5 };

struct conntrack {
    struct nl_socket *sock;
    bool no_filter; /* the kernel refused CTA_FILTER once */
};

struct collect {
    const struct conntrack_filter *filter;
    bool (*stale)(const struct conntrack_flow *flow, void *user);
    void *user;
    struct buf victims; /* delete messages without their sequence numbers */
    size_t n;
};

int conntrack_new(struct conntrack **ret, struct err *reterr)
{
    struct nl_socket *sock;
    int r = nl_socket_new(NETLINK_NETFILTER, &sock, reterr);
    if (r < 0)
        return r;
    *ret = NEW(struct conntrack);
    (*ret)->sock = sock;
    return 0;
}

void conntrack_free(struct conntrack *c)
{
    if (!c)
        return;
    nl_socket_free(c->sock);
    free(c);
}

static int on_flow(const struct nlmsg *m, void *user)
{
    struct collect *c = user;
    struct conntrack_flow f = {0};
    const struct conntrack_filter *want = c->filter;
    if (!ctnl_parse_flow(m, want->family, &f))
        return 0;
    if ((want->dst.family && !ip_eq(&want->dst, &f.dst)) ||
        (want->dst_port && want->dst_port != f.dst_port))
        return 0;
    if (!c->stale(&f, c->user))
        return 0;
    ctnl_add_delete(&c->victims, m, want->family, 0);
    c->n++;
    return 0;
}

static int collect_once(struct conntrack *c, struct collect *what, struct err *reterr)
{
    struct buf b = {0};
    uint32_t seq = nl_socket_seq(c->sock);
    ctnl_add_dump(&b, what->filter, !c->no_filter, seq);
    buf_clear(&what->victims);
    what->n = 0;
    int r = nl_dump(c->sock, buf_str(&b), seq, on_flow, what, reterr);
    buf_done(&b);
    return r;
}

static int delete_all(struct conntrack *c, struct str victims, size_t *ret_deleted,
                      struct err *reterr)
{
    while (victims.n) {
        struct nlmsghdr h;
        struct buf b = {0};
        memcpy(&h, victims.p, sizeof(h));
        h.nlmsg_seq = nl_socket_seq(c->sock);
        buf_add(&b, victims.p, h.nlmsg_len);
        memcpy(b.p, &h, sizeof(h));
        victims = str_sub(victims, h.nlmsg_len, victims.n);
        int r = nl_transact(c->sock, buf_str(&b), h.nlmsg_seq, NULL, reterr);
        buf_done(&b);
        if (r < 0 && r != -ENOENT)
            return r;
        if (r == 0)
            ++*ret_deleted;
    }
    return 0;
}

int conntrack_delete_udp(struct conntrack *c, const struct conntrack_filter *f,
                         bool (*stale)(const struct conntrack_flow *flow, void *user), void *user,
                         size_t *ret_deleted, struct err *reterr)
{
    struct collect what = {.filter = f, .stale = stale, .user = user};
    size_t deleted = 0;
    int r = -EINTR;
    for (int i = 0; i < CONNTRACK_DUMP_TRIES && r == -EINTR; i++) {
        r = collect_once(c, &what, reterr);
        if ((r == -EINVAL || r == -EOPNOTSUPP) && !c->no_filter) {
            c->no_filter = true;
            r = -EINTR;
        }
    }
    /* Interrupted to the last: what was seen is still right, the rest is found by the next change.
     */
    if (r == 0 || r == -EINTR)
        r = delete_all(c, buf_str(&what.victims), &deleted, reterr);
    buf_done(&what.victims);
    if (ret_deleted)
        *ret_deleted = deleted;
    return r;
}
