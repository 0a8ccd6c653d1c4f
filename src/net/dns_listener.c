/* TCP: messages with a length in front, any number per connection; one that asks nothing for a
 * while is closed, one that does not read its answers is not read from, and the oldest makes room
 * for one too many. */
#include "net/dns_listener.h"

#include <errno.h>

#include "base/list.h"
#include "base/vec.h"
#include "codec/dns.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/udp_server.h"

enum { PORT_TRIES = 64 };
enum { DNS_STREAMS_MAX = 256, DNS_STREAM_IDLE_MS = 10 * 1000, DNS_STREAM_QUEUE_MAX = 256 * 1024 };

struct dns_listener {
    struct loop *loop;
    dns_listener_fn *fn;
    void *user;
    struct udp_server *udp;
    struct listener *listener;
    VEC(struct dns_stream *) streams;
    struct list_node asked; /* struct dns_asked */
    size_t n_asked;
};

struct dns_stream {
    struct dns_listener *server;
    struct conn *conn;
    struct loop_timer *idle;
};

struct dns_asked {
    struct list_node node;
    struct dns_listener *server;
    bool tcp;
    struct dns_stream *stream; /* NULL: of UDP, or it has gone */
    struct udp_peer peer;      /* of UDP */
};

/* ---- what waits ---- */

static void ask(struct dns_listener *s, struct dns_stream *t, struct str message)
{
    if (s->n_asked >= DNS_ASKED_MAX)
        return;
    struct dns_asked *q = NEW(struct dns_asked);
    q->server = s;
    q->tcp = t != NULL;
    q->stream = t;
    if (!t)
        udp_server_peer(s->udp, &q->peer);
    list_add_tail(&s->asked, &q->node);
    s->n_asked++;
    s->fn(q, message, s->user);
}

static void asked_free(struct dns_asked *q)
{
    list_remove(&q->node);
    q->server->n_asked--;
    free(q);
}

bool dns_asked_is_tcp(const struct dns_asked *q)
{
    return q->tcp;
}

void dns_asked_answer(struct dns_asked *q, struct str message)
{
    if (message.n && message.n <= DNS_TCP_BYTES_MAX && q->stream) {
        uint8_t length[2] = {(uint8_t)(message.n >> 8), (uint8_t)message.n};
        conn_write(q->stream->conn, str_of(length, 2));
        conn_write(q->stream->conn, message);
    } else if (message.n && !q->tcp) {
        udp_server_send(q->server->udp, &q->peer, message);
    }
    asked_free(q);
}

static void on_datagram(struct str datagram, struct buf *ret, void *user)
{
    (void)ret; /* by dns_asked_answer() */
    ask(user, NULL, datagram);
}

/* ---- TCP ---- */

static void stream_free(struct dns_stream *t)
{
    struct dns_listener *s = t->server;
    LIST_FOREACH (node, &s->asked) {
        struct dns_asked *q = CONTAINER_OF(node, struct dns_asked, node);
        if (q->stream == t)
            q->stream = NULL;
    }
    for (size_t i = 0; i < s->streams.n; i++)
        if (s->streams.v[i] == t) {
            vec_remove(&s->streams, i);
            break;
        }
    loop_timer_free(t->idle);
    free(t);
}

static void stream_data(struct conn *c, void *user)
{
    struct dns_stream *t = user;
    struct chain *in = conn_in(c);
    while (in->n >= 2 && conn_queued(c) <= DNS_STREAM_QUEUE_MAX) {
        uint8_t length[2];
        chain_copy(in, length, 2);
        size_t n = (size_t)(length[0] << 8 | length[1]);
        if (in->n < n + 2)
            break;
        struct str message = chain_linear(in, n + 2);
        ask(t->server, t, str_sub(message, 2, n + 2));
        chain_consume(in, n + 2);
        loop_timer_start(t->idle, DNS_STREAM_IDLE_MS);
    }
    if (conn_queued(c) > DNS_STREAM_QUEUE_MAX && in->n)
        conn_pause(c);
    else if (conn_eof(c))
        conn_close_after_flush(c);
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

static void on_idle(void *user)
{
    struct dns_stream *t = user;
    conn_free(t->conn);
    stream_free(t);
}

static void on_stream(int fd, void *user)
{
    static const struct conn_ops ops = {
        .on_data = stream_data, .on_drain = stream_drain, .on_close = stream_close};
    const struct conn_options o = {.in_bytes_max = 2 * DNS_TCP_BYTES_MAX};
    struct dns_listener *s = user;
    if (s->streams.n >= DNS_STREAMS_MAX)
        on_idle(s->streams.v[0]);
    struct dns_stream *t = NEW(struct dns_stream);
    t->server = s;
    t->idle = loop_timer_new(s->loop, on_idle, t);
    t->conn = conn_new_accepted(s->loop, fd, &o, &ops, t);
    loop_timer_start(t->idle, DNS_STREAM_IDLE_MS);
    vec_push(&s->streams, t);
}

/* ---- the whole ---- */

int dns_listener_new(struct loop *l, const struct ip *ip, uint16_t port, dns_listener_fn *fn,
                     void *user, struct dns_listener **ret, struct err *reterr)
{
    struct dns_listener *s = NEW(struct dns_listener);
    s->loop = l;
    s->fn = fn;
    s->user = user;
    list_init(&s->asked);
    int r = -EADDRINUSE;
    /* A port that is free of UDP may be somebody's of TCP: of any port another one is tried. */
    for (int tries = port ? 1 : PORT_TRIES; r == -EADDRINUSE && tries > 0; tries--) {
        udp_server_free(TAKE(s->udp));
        r = udp_server_new(l, ip, port, on_datagram, s, &s->udp, reterr);
        if (r == 0)
            r = listener_new(l, ip, udp_server_port(s->udp), NULL, on_stream, s, &s->listener,
                             reterr);
    }
    if (r < 0) {
        dns_listener_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void dns_listener_free(struct dns_listener *s)
{
    if (!s)
        return;
    udp_server_free(s->udp);
    listener_free(s->listener);
    while (s->streams.n)
        on_idle(s->streams.v[0]);
    vec_done(&s->streams);
    LIST_FOREACH_SAFE (node, &s->asked)
        asked_free(CONTAINER_OF(node, struct dns_asked, node));
    free(s);
}

uint16_t dns_listener_port(const struct dns_listener *s)
{
    return udp_server_port(s->udp);
}
