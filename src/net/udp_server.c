/* A socket, one buffer for all datagrams. What the control messages tell about the address a
 * datagram was sent to goes back with the answer as it came, and so chooses the source. A flood
 * does not starve the rest of the loop: after a batch the others have a turn. */
#include "net/udp_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { UDP_SERVER_BATCH = 64, UDP_DATAGRAM_MAX = 65536 };

struct udp_server {
    int fd;
    uint16_t port;
    struct loop_io *io;
    struct loop_timer *rest;
    udp_server_fn *fn;
    void *user;
    struct udp_peer peer; /* of the datagram that is being answered */
    char data[UDP_DATAGRAM_MAX];
};

/* The interface must not be named, or the answer would leave by it whatever the routes say;
 * link-local peers do need it, but they are not behind a Service. */
static void forget_interface(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
            ((struct in6_pktinfo *)(void *)CMSG_DATA(c))->ipi6_ifindex = 0;
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
            ((struct in_pktinfo *)(void *)CMSG_DATA(c))->ipi_ifindex = 0;
    }
}

/* False when there is no more datagram. */
static bool answer_one(struct udp_server *s)
{
    struct udp_peer *peer = &s->peer;
    struct iovec iov = {s->data, sizeof(s->data)};
    struct msghdr m = {.msg_name = &peer->address,
                       .msg_namelen = sizeof(peer->address),
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = peer->control.bytes,
                       .msg_controllen = sizeof(peer->control.bytes)};
    ssize_t n = recvmsg(s->fd, &m, MSG_DONTWAIT);
    if (n < 0)
        return errno == EINTR || errno == ECONNREFUSED;
    forget_interface(&m);
    peer->address_len = m.msg_namelen;
    peer->control_len = m.msg_controllen;
    AUTO_DONE(buf) struct buf b = {0};
    s->fn(str_of(s->data, (size_t)n), &b, s->user);
    if (!b.failed && b.n)
        udp_server_send(s, peer, buf_str(&b));
    return true;
}

void udp_server_peer(const struct udp_server *s, struct udp_peer *ret)
{
    *ret = s->peer;
}

void udp_server_send(struct udp_server *s, const struct udp_peer *to, struct str datagram)
{
    struct iovec iov = {(char *)(uintptr_t)datagram.p, datagram.n};
    const struct msghdr m = {.msg_name = (void *)(uintptr_t)&to->address,
                             .msg_namelen = to->address_len,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = (void *)(uintptr_t)to->control.bytes,
                             .msg_controllen = to->control_len};
    (void)sendmsg(s->fd, &m, MSG_DONTWAIT);
}

static void answer_batch(void *user)
{
    struct udp_server *s = user;
    for (int i = 0; i < UDP_SERVER_BATCH; i++)
        if (!answer_one(s))
            return;
    loop_timer_start(s->rest, 0);
}

static void on_readable(struct loop_io *io, uint32_t events, void *user)
{
    (void)io;
    (void)events;
    answer_batch(user);
}

int udp_server_new(struct loop *l, const struct ip *ip, uint16_t port, udp_server_fn *fn,
                   void *user, struct udp_server **ret, struct err *reterr)
{
    struct sockaddr_storage sa;
    struct ip bound;
    socklen_t len = ip_to_sockaddr(ip, port, &sa);
    int on = 1, r;
    char text[IP_TEXT_BYTES];
    AUTO_FD int fd = socket(ip->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0)
        return err_set(reterr, -errno, NULL, "UDP on %s port %u: %s", ip_format(ip, text), port,
                       strerror(errno));
    r = ip->family == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on))
                               : setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
    if (r < 0 || getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return err_set(reterr, -errno, NULL, "UDP on %s port %u: %s", ip_format(ip, text), port,
                       strerror(errno));
    struct udp_server *s = NEW(struct udp_server);
    s->fn = fn;
    s->user = user;
    if (ip_from_sockaddr((struct sockaddr *)&sa, &bound, &s->port) < 0)
        s->port = port;
    s->fd = TAKE_FD(fd);
    s->rest = loop_timer_new(l, answer_batch, s);
    r = loop_io_add(l, s->fd, on_readable, s, &s->io);
    if (r < 0) {
        udp_server_free(s);
        return err_set(reterr, r, NULL, "UDP on %s port %u: %s", ip_format(ip, text), port,
                       strerror(-r));
    }
    *ret = s;
    return 0;
}

void udp_server_free(struct udp_server *s)
{
    if (!s)
        return;
    loop_io_remove(s->io);
    loop_timer_free(s->rest);
    close(s->fd);
    free(s);
}

uint16_t udp_server_port(const struct udp_server *s)
{
    return s->port;
}
