/* One long answer, event by event: lines of a chunked HTTP answer, or the text frames of a
 * WebSocket (what some clients watch with: one event a frame, no channel byte).
 *
 * Owns the connection once it is upgraded, and what the client says on it: pings are answered, a
 * close is followed, all else is ignored. Knows nothing of what is told. */
#include "codec/http1.h"
#include "codec/websocket.h"
#include "lab/apiserver/api_priv.h"

enum {
    CLOSE_NORMAL = 1000,
    PONGS_QUEUED_MAX = 64 * 1024, /* RFC 6455 section 5.5.3: not every ping needs its pong */
};

struct api_stream {
    struct http_exchange *exchange; /* NULL: a WebSocket */
    struct conn *conn;
    const struct api_stream_ops *ops;
    void *user;
};

static void stream_over(struct api_stream *s)
{
    s->ops->on_over(s->user);
    free(s);
}

/* ---- chunked ---- */

static void exchange_over(struct http_exchange *x, void *user)
{
    (void)x;
    stream_over(user);
}

static void exchange_drain(struct http_exchange *x, void *user)
{
    struct api_stream *s = user;
    (void)x;
    s->ops->on_drain(s->user);
}

/* ---- WebSocket ---- */

static void write_frame(struct conn *c, enum websocket_opcode opcode, struct str payload)
{
    AUTO_DONE(buf) struct buf b = {0};
    websocket_frame_write(&b, opcode, false, payload);
    conn_write(c, buf_str(&b));
}

static void say_goodbye(struct conn *c)
{
    AUTO_DONE(buf) struct buf b = {0};
    websocket_close_write(&b, false, CLOSE_NORMAL);
    conn_write(c, buf_str(&b));
    conn_close_after_flush(c); /* on_close follows */
}

static void conn_drain(struct conn *c, void *user)
{
    struct api_stream *s = user;
    (void)c;
    s->ops->on_drain(s->user);
}

static void conn_over(struct conn *c, int code, const char *text, void *user)
{
    (void)c;
    (void)code;
    (void)text;
    stream_over(user);
}

static void conn_data(struct conn *c, void *user)
{
    struct api_stream *s = user;
    struct websocket_frame f;
    size_t used;
    int r;
    while ((r = websocket_frame_read(conn_in(c), true, &f, &used)) == 1) {
        if (f.opcode == WEBSOCKET_PING && conn_queued(c) < PONGS_QUEUED_MAX)
            write_frame(c, WEBSOCKET_PONG, f.payload);
        if (f.opcode == WEBSOCKET_CLOSE) {
            say_goodbye(c);
            return;
        }
        chain_consume(conn_in(c), used);
    }
    if (r == 0 && !conn_eof(c) && conn_in(c)->n <= HTTP1_HEAD_BYTES_MAX)
        return;
    conn_free(c); /* it has gone, does not speak the protocol, or says more than is read */
    stream_over(s);
}

/* A client that offers one subprotocol wants to hear it again. */
static struct conn *upgrade(struct api_request *r)
{
    struct http_exchange *x = r->exchange;
    struct str offered = http_exchange_header(x, "sec-websocket-protocol");
    char accept[29];
    websocket_accept_key(http_exchange_header(x, "sec-websocket-key"), accept);
    const struct http_header headers[] = {
        {STR("Upgrade"), STR("websocket")},
        {STR("Connection"), STR("Upgrade")},
        {STR("Sec-WebSocket-Accept"), str_from(accept)},
        {STR("Sec-WebSocket-Protocol"), offered},
    };
    bool one = offered.n && !memchr(offered.p, ',', offered.n);
    return http_exchange_upgrade(x, headers, ARRAY_LEN(headers) - !one);
}

/* ---- both ---- */

struct api_stream *api_stream_open(struct api_request *r, const struct api_stream_ops *ops,
                                   void *user)
{
    static const struct conn_ops socket_ops = {NULL, conn_data, conn_drain, conn_over};
    struct api_stream *s = NEW(struct api_stream);
    struct http_header headers[API_HEADERS_MAX];
    s->ops = ops;
    s->user = user;
    if (str_eq_nocase(http_exchange_header(r->exchange, "upgrade"), STR("websocket")) &&
        http_exchange_header(r->exchange, "sec-websocket-key").n) {
        s->conn = upgrade(r);
        conn_set_ops(s->conn, &socket_ops, s);
        return s;
    }
    s->exchange = r->exchange;
    headers[0] = (struct http_header){STR("Content-Type"), STR("application/json;stream=watch")};
    size_t n = api_headers(r, headers, 1);
    http_exchange_set_done(s->exchange, exchange_over, s);
    http_exchange_start(s->exchange, 200, headers, n);
    http_exchange_set_drain(s->exchange, exchange_drain, s);
    return s;
}

void api_stream_write(struct api_stream *s, struct bytes *event)
{
    if (s->exchange)
        http_exchange_write_bytes(s->exchange, event);
    else
        write_frame(s->conn, WEBSOCKET_TEXT, str_of(event->p, event->n));
}

size_t api_stream_queued(const struct api_stream *s)
{
    return s->exchange ? http_exchange_queued(s->exchange) : conn_queued(s->conn);
}

void api_stream_finish(struct api_stream *s)
{
    if (s->exchange)
        http_exchange_finish(s->exchange);
    else
        say_goodbye(s->conn);
}

void api_stream_abort(struct api_stream *s)
{
    if (s->exchange) {
        http_exchange_abort(s->exchange);
        return;
    }
    conn_free(s->conn);
    stream_over(s);
}
