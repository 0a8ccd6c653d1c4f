/* TCP and UDP echo. TCP sends back what it gets, after a first line with the name when the client
 * asks for it by sending "name\n" first. UDP answers "NAME: " and the datagram. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "echo/echo.h"

enum {
    ECHO_QUEUE_MAX = 1024 * 1024,
    ECHO_STREAMS_MAX = 16384,
};

const char *echo_addr_format(const struct ip *ip, uint16_t port, char ret[ECHO_ADDR_BYTES])
{
    char text[IP_TEXT_BYTES];
    struct ip plain = ip_unmapped(ip);
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
    struct chain *in = conn_in(s->conn);
    char begin[sizeof(ask)];
    size_t n = MIN(in->n, sizeof(ask) - 1);
    chain_copy(in, begin, n);
    bool same = memcmp(begin, ask, n) == 0;
    if (same && n < sizeof(ask) - 1 && !conn_eof(s->conn))
        return false;
    s->begun = true;
    if (!same || n < sizeof(ask) - 1)
        return true;
    conn_write(s->conn, str_from(s->echo->options->name));
    conn_write(s->conn, STR("\n"));
    chain_consume(in, n);
    return true;
}

static void stream_data(struct conn *c, void *user)
{
    struct echo_stream *s = user;
    if (!s->begun && !stream_begin(s))
        return;
    conn_write_chain(c, conn_in(c));
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
    struct ip any = listener_any();
    for (size_t i = 0; i < e->options->tcp.n; i++) {
        struct listener *l;
        int r = listener_new(e->loop, &any, e->options->tcp.v[i], NULL, on_stream, e, &l, reterr);
        if (r < 0)
            return r;
        vec_push(&e->listeners, l);
    }
    return 0;
}

/* ---- UDP ---- */

static void on_datagram(struct str datagram, struct buf *ret, void *user)
{
    const struct echo *e = user;
    if (e->options->mode && e->options->mode->datagram) {
        e->options->mode->datagram(e, datagram, ret);
        return;
    }
    buf_add_str(ret, str_from(e->options->name));
    buf_add_str(ret, STR(": "));
    buf_add_str(ret, datagram);
}

int echo_udp_start(struct echo *e, struct err *reterr)
{
    struct ip any = listener_any();
    for (size_t i = 0; i < e->options->udp.n; i++) {
        struct udp_server *s;
        int r = udp_server_new(e->loop, &any, e->options->udp.v[i], on_datagram, e, &s, reterr);
        if (r < 0)
            return r;
        vec_push(&e->sockets, s);
    }
    return 0;
}
