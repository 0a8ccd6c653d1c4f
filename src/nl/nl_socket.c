/* Netlink sockets: send, collect the answers, report the kernel's words. Owns the fd and the
 * receive buffer; knows nothing of what the messages mean. One per thread and purpose. */
#include "nl/nl_socket.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/fault.h"

enum {
    NL_RECV_BYTES = 256 * 1024,
    NL_SOCKET_BYTES = 8 * 1024 * 1024,
    NL_ANSWER_TIMEOUT_S = 60,
};

struct nl_socket {
    int fd;
    uint32_t seq;
    uint32_t port;
    char *recv_buf;
};

int nl_socket_new(int protocol, struct nl_socket **ret, struct err *reterr)
{
    AUTO_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return err_set(reterr, -errno, NULL, "netlink socket: %s", strerror(errno));
    struct sockaddr_nl sa = {.nl_family = AF_NETLINK};
    socklen_t len = sizeof(sa);
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return err_set(reterr, -errno, NULL, "netlink bind: %s", strerror(errno));
    int on = 1, bytes = NL_SOCKET_BYTES;
    struct timeval patience = {.tv_sec = NL_ANSWER_TIMEOUT_S};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    /* FORCE needs CAP_NET_ADMIN; without it the plain option takes what net.core allows. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    struct nl_socket *s = NEW(struct nl_socket);
    s->fd = TAKE_FD(fd);
    s->port = sa.nl_pid;
    s->recv_buf = xmalloc(NL_RECV_BYTES);
    *ret = s;
    return 0;
}

void nl_socket_free(struct nl_socket *s)
{
    if (!s)
        return;
    close(s->fd);
    free(s->recv_buf);
    free(s);
}

int nl_socket_fd(const struct nl_socket *s)
{
    return s->fd;
}

uint32_t nl_socket_seq(struct nl_socket *s)
{
    if (++s->seq == 0)
        s->seq = 1;
    return s->seq;
}

static int nl_send(struct nl_socket *s, struct str bytes, struct err *reterr)
{
    struct sockaddr_nl to = {.nl_family = AF_NETLINK};
    if (fault_hit(FAULT_SYSCALL))
        return err_set(reterr, -ENOBUFS, NULL, "netlink send: injected fault");
    for (;;) {
        ssize_t n = sendto(s->fd, bytes.p, bytes.n, 0, (struct sockaddr *)&to, sizeof(to));
        if (n == (ssize_t)bytes.n)
            return 0;
        if (n < 0 && errno == EINTR)
            continue;
        int code = n < 0 ? -errno : -EMSGSIZE;
        return err_set(reterr, code, NULL, "netlink send of %zu bytes: %s", bytes.n,
                       strerror(-code));
    }
}

static int nl_recv(struct nl_socket *s, struct str *ret, struct err *reterr)
{
    for (;;) {
        ssize_t n = recv(s->fd, s->recv_buf, NL_RECV_BYTES, MSG_TRUNC);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return err_set(reterr, -ETIMEDOUT, NULL, "netlink: no answer from the kernel in %d s",
                           NL_ANSWER_TIMEOUT_S);
        if (n < 0)
            return err_set(reterr, -errno, NULL, "netlink receive: %s", strerror(errno));
        if (n > NL_RECV_BYTES)
            return err_set(reterr, -EMSGSIZE, NULL, "netlink answer of %zd bytes does not fit", n);
        *ret = str_of(s->recv_buf, (size_t)n);
        return 0;
    }
}

/* The outcome in an NLMSG_ERROR, or in the NLMSG_DONE of a dump. */
static int nl_outcome(const struct nlmsg *m, struct err *reterr)
{
    struct str text;
    int r = m->type == NLMSG_DONE ? nlmsg_done(m, &text) : nlmsg_error(m, &text);
    if (r == 0)
        return 0;
    if (text.n)
        return err_set(reterr, r, NULL, "kernel: %s: " STR_FMT, strerror(-r), STR_ARG(text));
    return err_set(reterr, r, NULL, "kernel: %s", strerror(-r));
}

/* What is left over from an earlier, failed exchange must not be taken for an answer. */
static void nl_drain(struct nl_socket *s)
{
    while (recv(s->fd, s->recv_buf, NL_RECV_BYTES, MSG_DONTWAIT) > 0)
        ;
}

int nl_transact(struct nl_socket *s, struct str messages, uint32_t seq_last, uint32_t *ret_refused,
                struct err *reterr)
{
    ASSERT(messages.n > 0);
    nl_drain(s);
    int r = nl_send(s, messages, reterr);
    while (r == 0) {
        struct str bytes;
        struct nlmsg m;
        r = nl_recv(s, &bytes, reterr);
        if (r < 0)
            return r;
        while ((r = nlmsg_next(&bytes, &m)) == 1) {
            if (m.type != NLMSG_ERROR)
                continue;
            r = nl_outcome(&m, reterr);
            if (r < 0 && ret_refused)
                *ret_refused = m.seq;
            if (r < 0 || m.seq == seq_last)
                return r;
        }
        if (r < 0)
            return err_set(reterr, r, NULL, "netlink: malformed answer");
    }
    return r;
}

int nl_dump(struct nl_socket *s, struct str request, uint32_t seq,
            int (*on_msg)(const struct nlmsg *m, void *user), void *user, struct err *reterr)
{
    struct nlmsg head;
    struct str copy = request;
    bool interrupted = false;
    if (nlmsg_next(&copy, &head) != 1)
        return err_set(reterr, -EINVAL, NULL, "netlink: malformed request");
    bool many = (head.flags & NLM_F_DUMP) == NLM_F_DUMP || head.flags & NLM_F_ACK;
    nl_drain(s);
    int r = nl_send(s, request, reterr);
    while (r == 0) {
        struct str bytes;
        struct nlmsg m;
        r = nl_recv(s, &bytes, reterr);
        if (r < 0)
            return r;
        while ((r = nlmsg_next(&bytes, &m)) == 1) {
            if (m.seq != seq)
                continue;
            interrupted = interrupted || (m.flags & NLM_F_DUMP_INTR);
            if (m.type == NLMSG_ERROR)
                return nl_outcome(&m, reterr);
            if (m.type == NLMSG_DONE) {
                r = nl_outcome(&m, reterr);
                return r == 0 && interrupted ? -EINTR : r;
            }
            r = on_msg(&m, user);
            if (r < 0)
                return r;
            if (!many)
                return 0;
        }
        if (r < 0)
            return err_set(reterr, r, NULL, "netlink: malformed answer");
    }
    return r;
}
