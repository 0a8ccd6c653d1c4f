#pragma once
/* A name server on loopback, on the test's own loop: knows api.test and nothing else. */

#include "test.h"

#include <sys/socket.h>

#include "codec/dns.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/resolver.h"

struct dns_world {
    struct loop *loop;
    struct resolver *resolver;
    struct ip v4[2]; /* what api.test has; further ones: family 0 */
    struct ip v6;
    struct loop_io *udp;
    struct listener *tcp;
    struct conn *stream;
    int fd;
    bool silent;
    bool truncate;
    unsigned queries;
    unsigned tcp_queries;
};

static void answer_query(struct dns_world *w, struct str query, struct buf *b, size_t limit,
                         bool truncate)
{
    struct dns_query q;
    struct dns_reply r;
    assert_ok(dns_query_parse(query, &q));
    w->queries++;
    dns_reply_begin(&r, b, &q, limit);
    if (!streq(q.name, "api.test")) {
        dns_reply_end(&r, DNS_NXDOMAIN);
        return;
    }
    if (q.type == DNS_AAAA && w->v6.family)
        dns_reply_ip(&r, DNS_ANSWER, q.name, 5, &w->v6);
    for (int k = 0; q.type == DNS_A && k < 2 && w->v4[k].family; k++)
        dns_reply_ip(&r, DNS_ANSWER, q.name, 5, &w->v4[k]);
    for (uint8_t i = 0; truncate && i < 100; i++)
        dns_reply_ip(&r, DNS_ANSWER, q.name, 5,
                     &(struct ip){.family = AF_INET6, .bytes = {0xfd, [15] = i}});
    dns_reply_end(&r, DNS_NOERROR);
}

static void on_udp(struct loop_io *io, uint32_t events, void *user)
{
    struct dns_world *w = user;
    char query[1500];
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    ssize_t n;
    (void)io;
    (void)events;
    while ((n = recvfrom(w->fd, query, sizeof(query), MSG_DONTWAIT, (struct sockaddr *)&from,
                         &len)) > 0) {
        AUTO_DONE(buf) struct buf b = {0};
        if (w->silent)
            continue;
        answer_query(w, str_of(query, (size_t)n), &b, 512, w->truncate);
        assert_int_equal(sendto(w->fd, b.p, b.n, 0, (struct sockaddr *)&from, len), (ssize_t)b.n);
    }
}

static void on_tcp_data(struct conn *c, void *user)
{
    struct dns_world *w = user;
    struct chain *in = conn_in(c);
    while (in->n >= 2) {
        uint8_t length[2];
        chain_copy(in, length, 2);
        size_t n = (size_t)(length[0] << 8 | length[1]);
        AUTO_DONE(buf) struct buf b = {0}, framed = {0};
        if (in->n < 2 + n)
            return;
        w->tcp_queries++;
        answer_query(w, str_sub(chain_linear(in, n + 2), 2, n + 2), &b, DNS_TCP_BYTES_MAX, false);
        buf_add_be16(&framed, (uint16_t)b.n);
        buf_add_str(&framed, buf_str(&b));
        conn_write(c, buf_str(&framed));
        chain_consume(in, 2 + n);
    }
}

static void on_tcp_close(struct conn *c, int code, const char *text, void *user)
{
    struct dns_world *w = user;
    (void)c;
    (void)code;
    (void)text;
    w->stream = NULL;
}

static const struct conn_ops tcp_ops = {.on_data = on_tcp_data, .on_close = on_tcp_close};

static void on_tcp(int fd, void *user)
{
    struct dns_world *w = user;
    assert_null(w->stream);
    w->stream = conn_new_accepted(w->loop, fd, NULL, &tcp_ops, w);
}

static void dns_world_up(struct dns_world *w, struct loop *l)
{
    struct ip ip;
    struct sockaddr_storage sa;
    memset(w, 0, sizeof(*w));
    w->loop = l;
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    assert_ok(ip_parse(STR("192.0.2.1"), &w->v4[0]));
    assert_ok(ip_parse(STR("2001:db8::1"), &w->v6));
    assert_ok(listener_new(w->loop, &ip, 0, NULL, on_tcp, w, &w->tcp, NULL));
    uint16_t port = listener_port(w->tcp);
    w->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t len = ip_to_sockaddr(&ip, port, &sa);
    assert_ok(bind(w->fd, (struct sockaddr *)&sa, len));
    assert_ok(loop_io_add(w->loop, w->fd, on_udp, w, &w->udp));
    assert_ok(resolver_new(w->loop, &w->resolver, NULL));
    assert_ok(resolver_set_server(w->resolver, &ip, port));
}

static void dns_world_down(struct dns_world *w)
{
    resolver_free(w->resolver);
    conn_free(w->stream);
    listener_free(w->tcp);
    loop_io_remove(w->udp);
    close(w->fd);
}
