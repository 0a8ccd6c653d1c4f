/* DNS over UDP and TCP, and the two HTTP ports a probe asks. One loop; answers are computed at
 * once, so there is no state per query. UDP answers leave from the address that was asked. TCP:
 * messages with a length in front, any number per connection; at most DNS_STREAMS_MAX at a time,
 * and the oldest makes room for one more. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/vec.h"
#include "lab/dns/dns.h"

enum { DNS_STREAMS_MAX = 256 };

struct dns_server {
    struct loop *loop;
    const struct dns_zone *zone;
    int fd;
    struct loop_io *io;
    struct listener *listener;
    struct http_server *ready;
    struct http_server *health;
    VEC(struct conn *) streams;
};

static void answer(const struct dns_server *s, struct str bytes, bool tcp, struct buf *ret)
{
    struct dns_query q;
    if (dns_query_parse(bytes, &q) == 0) {
        dns_zone_answer(s->zone, &q, tcp ? DNS_TCP_BYTES_MAX : q.udp_bytes, ret);
    } else if (bytes.n >= 12 && !(bytes.p[2] & 0x80)) {
        struct dns_reply r;
        dns_reply_begin(&r, ret, &q, DNS_UDP_BYTES);
        dns_reply_end(&r, DNS_FORMERR);
    }
}

static bool udp_one(struct dns_server *s)
{
    static char data[4096];
    struct sockaddr_storage peer;
    union {
        char bytes[256];
        struct cmsghdr align;
    } control;
    struct iovec iov = {data, sizeof(data)};
    struct msghdr m = {.msg_name = &peer,
                       .msg_namelen = sizeof(peer),
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(s->fd, &m, MSG_DONTWAIT);
    if (n < 0)
        return errno == EINTR || errno == ECONNREFUSED;
    AUTO_DONE(buf) struct buf b = {0};
    answer(s, str_of(data, (size_t)n), false, &b);
    if (b.failed || !b.n)
        return true;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
            ((struct in6_pktinfo *)(void *)CMSG_DATA(c))->ipi6_ifindex = 0;
    iov = (struct iovec){b.p, b.n};
    m.msg_flags = 0;
    (void)sendmsg(s->fd, &m, MSG_DONTWAIT);
    return true;
}

static void on_udp(struct loop_io *io, uint32_t events, void *user)
{
    (void)io;
    (void)events;
    while (udp_one(user))
        ;
}

/* ---- TCP ---- */

static void stream_data(struct conn *c, void *user)
{
    struct dns_server *s = user;
    struct buf *in = conn_in(c);
    while (in->n >= 2) {
        size_t n = (size_t)((uint8_t)in->p[0] << 8 | (uint8_t)in->p[1]);
        if (in->n < n + 2)
            break;
        AUTO_DONE(buf) struct buf b = {0};
        answer(s, str_of(in->p + 2, n), true, &b);
        if (b.n && !b.failed) {
            char length[2] = {(char)(b.n >> 8), (char)b.n};
            conn_write(c, str_of(length, 2));
            conn_write(c, buf_str(&b));
        }
        buf_consume(in, n + 2);
    }
    if (conn_eof(c))
        conn_close_after_flush(c);
}

static void stream_close(struct conn *c, int code, const char *text, void *user)
{
    (void)code;
    (void)text;
    struct dns_server *s = user;
    for (size_t i = 0; i < s->streams.n; i++)
        if (s->streams.v[i] == c) {
            vec_remove(&s->streams, i);
            return;
        }
}

static void on_stream(int fd, void *user)
{
    static const struct conn_ops ops = {.on_data = stream_data, .on_close = stream_close};
    struct dns_server *s = user;
    if (s->streams.n >= DNS_STREAMS_MAX) {
        conn_free(s->streams.v[0]);
        vec_remove(&s->streams, 0);
    }
    vec_push(&s->streams,
             conn_new_accepted(s->loop, fd,
                               &(struct conn_options){.in_bytes_max = 2 * DNS_TCP_BYTES_MAX}, &ops,
                               s));
}

/* ---- readiness ---- */

static void on_request(struct http_exchange *x, void *user)
{
    const struct dns_server *s = user;
    bool ready = informer_synced(s->zone->services) && informer_synced(s->zone->slices);
    bool asked_health = str_eq(http_exchange_path(x), STR("/health"));
    if (asked_health || ready)
        http_exchange_reply(x, 200, NULL, 0, STR("OK\n"));
    else
        http_exchange_reply(x, 503, NULL, 0, STR("waiting for the first list of services\n"));
}

static int udp_open(struct dns_server *s, const struct ip *any, uint16_t port, struct err *reterr)
{
    struct sockaddr_storage sa;
    socklen_t len = ip_to_sockaddr(any, port, &sa);
    int on = 1;
    s->fd = socket(any->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&sa, len) < 0)
        return err_set(reterr, -errno, NULL, "UDP port %u: %s", port, strerror(errno));
    if (any->family == AF_INET6)
        (void)setsockopt(s->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
    s->io = loop_io_add(s->loop, s->fd, on_udp, s);
    return 0;
}

int dns_server_new(struct loop *l, const struct dns_server_options *o, struct dns_server **ret,
                   struct err *reterr)
{
    static const struct http_server_ops ops = {.on_request = on_request};
    const struct http_server_config http = {.body_bytes_max = 1024};
    struct ip any = {.family = access("/proc/sys/net/ipv6", F_OK) == 0 ? AF_INET6 : AF_INET};
    struct dns_server *s = NEW(struct dns_server);
    s->loop = l;
    s->zone = o->zone;
    s->fd = -1;
    int r = udp_open(s, &any, o->port, reterr);
    if (r == 0)
        r = listener_new(l, &any, o->port, on_stream, s, &s->listener, reterr);
    if (r == 0)
        r = http_server_new(l, &any, o->ready_port, &http, &ops, s, &s->ready, reterr);
    if (r == 0)
        r = http_server_new(l, &any, o->health_port, &http, &ops, s, &s->health, reterr);
    if (r < 0) {
        dns_server_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void dns_server_free(struct dns_server *s)
{
    if (!s)
        return;
    loop_io_remove(s->io);
    if (s->fd >= 0)
        close(s->fd);
    listener_free(s->listener);
    if (s->ready)
        http_server_free(s->ready);
    if (s->health)
        http_server_free(s->health);
    VEC_FOREACH (stream, &s->streams)
        conn_free(*stream);
    vec_done(&s->streams);
    free(s);
}
