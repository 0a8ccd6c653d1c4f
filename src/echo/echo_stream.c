/* TCP and UDP echo. TCP sends back what it gets, after a first line with the name when the client
 * asks for it by sending "name\n" first. UDP answers "NAME: " and the datagram, from the address
 * the datagram was sent to (a Service's client would not recognise an answer from another one),
 * which is why it asks for packet info. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "echo/echo.h"

enum {
    ECHO_QUEUE_MAX = 1024 * 1024,
    ECHO_DATAGRAM_MAX = 65536,
    ECHO_STREAMS_MAX = 16384,
};

struct ip echo_any(void)
{
    struct ip ip = {.family = AF_INET6};
    if (access("/proc/sys/net/ipv6", F_OK) < 0)
        ip.family = AF_INET;
    return ip;
}

struct ip echo_unmap(const struct ip *ip)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct ip v4 = {.family = AF_INET};
    if (ip->family != AF_INET6 || memcmp(ip->bytes, mapped, sizeof(mapped)) != 0)
        return *ip;
    memcpy(v4.bytes, ip->bytes + 12, 4);
    return v4;
}

const char *echo_addr_format(const struct ip *ip, uint16_t port, char ret[ECHO_ADDR_BYTES])
{
    char text[IP_TEXT_BYTES];
    struct ip plain = echo_unmap(ip);
    snprintf(ret, ECHO_ADDR_BYTES, plain.family == AF_INET6 ? "[%s]:%u" : "%s:%u",
             ip_format(&plain, text), port);
    return ret;
}

/* ---- TCP ---- */

struct echo_stream {
    struct list_node node;
    struct echo *echo;
    struct conn *conn;
    bool begun; /* its first line has been looked at */
};

static void stream_free(struct echo_stream *s)
{
    list_remove(&s->node);
    s->echo->n_streams--;
    free(s);
}

/* The first line may be "name", and may come in pieces. False: wait for more of it. */
static bool stream_begin(struct echo_stream *s)
{
    static const char ask[] = "name\n";
    struct buf *in = conn_in(s->conn);
    size_t n = MIN(in->n, sizeof(ask) - 1);
    bool same = memcmp(in->p ? in->p : "", ask, n) == 0;
    if (same && n < sizeof(ask) - 1 && !conn_eof(s->conn))
        return false;
    s->begun = true;
    if (!same || n < sizeof(ask) - 1)
        return true;
    conn_write(s->conn, str_from(s->echo->options->name));
    conn_write(s->conn, STR("\n"));
    buf_consume(in, n);
    return true;
}

static void stream_data(struct conn *c, void *user)
{
    struct echo_stream *s = user;
    struct buf *in = conn_in(c);
    if (!s->begun && !stream_begin(s))
        return;
    if (in->n) {
        conn_write(c, buf_str(in));
        buf_consume(in, in->n);
    }
    if (conn_eof(c))
        conn_close_after_flush(c);
    else if (conn_queued(c) > ECHO_QUEUE_MAX)
        conn_pause(c);
}

static void stream_drain(struct conn *c, void *user)
{
    (void)user;
    conn_resume(c);
}

static void stream_close(struct conn *c, int code, const char *text, void *user)
{
    (void)c;
    (void)code;
    (void)text;
    stream_free(user);
}

static const struct conn_ops stream_ops = {
    .on_data = stream_data, .on_drain = stream_drain, .on_close = stream_close};

static void on_stream(int fd, void *user)
{
    struct echo *e = user;
    if (e->n_streams >= ECHO_STREAMS_MAX) {
        close(fd);
        return;
    }
    struct echo_stream *s = NEW(struct echo_stream);
    s->echo = e;
    list_add_tail(&e->streams, &s->node);
    e->n_streams++;
    s->conn = conn_new_accepted(e->loop, fd, &(struct conn_options){0}, &stream_ops, s);
}

void echo_tcp_stop(struct echo *e)
{
    VEC_FOREACH (listener, &e->listeners)
        listener_free(*listener);
    vec_done(&e->listeners);
    LIST_FOREACH_SAFE (node, &e->streams) {
        struct echo_stream *s = CONTAINER_OF(node, struct echo_stream, node);
        conn_free(s->conn);
        stream_free(s);
    }
}

int echo_tcp_start(struct echo *e, struct err *reterr)
{
    struct ip any = echo_any();
    for (size_t i = 0; i < e->options->tcp.n; i++) {
        struct listener *l;
        int r = listener_new(e->loop, &any, e->options->tcp.v[i], on_stream, e, &l, reterr);
        if (r < 0)
            return r;
        vec_push(&e->listeners, l);
    }
    return 0;
}

/* ---- UDP ---- */

struct echo_udp {
    struct echo *echo;
    int fd;
    struct loop_io *io;
};

/* One datagram; false when there is none. The control message that tells the local address goes
 * back as it came, and so chooses the source. */
static bool udp_answer(struct echo_udp *u)
{
    static char data[ECHO_DATAGRAM_MAX];
    struct sockaddr_storage peer;
    union {
        char bytes[256];
        struct cmsghdr align;
    } control;
    struct iovec in = {data, sizeof(data)};
    struct msghdr m = {.msg_name = &peer,
                       .msg_namelen = sizeof(peer),
                       .msg_iov = &in,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(u->fd, &m, 0);
    if (n < 0)
        return errno == EINTR || errno == ECONNREFUSED;
    const char *name = u->echo->options->name;
    char separator[] = ": ";
    struct iovec out[] = {
        {(void *)(uintptr_t)name, strlen(name)}, {separator, 2}, {data, (size_t)n}};
    /* The interface must not be named, or the answer would leave by it whatever the routes say;
     * link-local peers do need it, but they are not behind a Service. */
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
            ((struct in6_pktinfo *)(void *)CMSG_DATA(c))->ipi6_ifindex = 0;
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
            ((struct in_pktinfo *)(void *)CMSG_DATA(c))->ipi_ifindex = 0;
    }
    m.msg_iov = out;
    m.msg_iovlen = 3;
    m.msg_flags = 0;
    (void)sendmsg(u->fd, &m, MSG_DONTWAIT);
    return true;
}

static void on_datagram(struct loop_io *io, uint32_t events, void *user)
{
    (void)io;
    (void)events;
    while (udp_answer(user))
        ;
}

int echo_udp_start(struct echo *e, struct err *reterr)
{
    struct ip any = echo_any();
    int on = 1;
    for (size_t i = 0; i < e->options->udp.n; i++) {
        struct sockaddr_storage sa;
        socklen_t len = ip_to_sockaddr(&any, e->options->udp.v[i], &sa);
        AUTO_FD int fd = socket(any.family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0)
            return err_set(reterr, -errno, NULL, "UDP port %u: %s", e->options->udp.v[i],
                           strerror(errno));
        if (any.family == AF_INET6)
            (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
        else
            (void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
        struct echo_udp *u = NEW(struct echo_udp);
        u->echo = e;
        u->fd = TAKE_FD(fd);
        u->io = loop_io_add(e->loop, u->fd, on_datagram, u);
        vec_push(&e->sockets, u);
    }
    return 0;
}

void echo_udp_free(struct echo_udp *u)
{
    loop_io_remove(u->io);
    close(u->fd);
    free(u);
}
