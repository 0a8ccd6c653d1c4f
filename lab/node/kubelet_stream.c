/* The remote command protocol (v5.channel.k8s.io, v4 too) over one WebSocket.
 *
 * First byte of a message = channel: 0 stdin, 1 stdout, 2 stderr, 3 the final status, 4 terminal
 * size, 255 (v5) the end of a channel. Knows nothing of processes: exec and attach are its users.
 */
#include "lab/node/kubelet_stream.h"

#include <errno.h>
#include <stdio.h>

#include "codec/url.h"
#include "codec/websocket.h"

enum {
    STREAM_QUEUE_MAX = 256 * 1024,
    STREAM_MESSAGE_MAX = 1024 * 1024,
    STREAM_IN_BYTES_MAX = WEBSOCKET_FRAME_BYTES_MAX + 64, /* a frame with its head is read whole */
};

struct kubelet_stream {
    struct conn *conn;
    struct buf message; /* of fragments */
    const struct kubelet_stream_ops *ops;
    void *user;
};

/* The subprotocol we both speak; NULL = none. */
static const char *choose_protocol(struct str offered)
{
    static const char *const known[] = {"v5.channel.k8s.io", "v4.channel.k8s.io"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        for (struct str rest = offered, one; rest.p && rest.n;) {
            one = str_trim(str_cut(rest, ',', &rest));
            if (str_is(one, known[i]))
                return known[i];
        }
    return NULL;
}

bool kubelet_stream_is_wanted(struct http_exchange *x, const char *verb)
{
    if (str_eq_nocase(http_exchange_header(x, "upgrade"), STR("websocket")) &&
        choose_protocol(http_exchange_header(x, "sec-websocket-protocol")))
        return true;
    kubelet_fail(
        x, 400, "BadRequest",
        "%s needs a WebSocket with v5.channel.k8s.io or v4.channel.k8s.io (kubectl 1.31 or "
        "newer)",
        verb);
    return false;
}

static struct conn *upgrade(struct http_exchange *x)
{
    const char *protocol = choose_protocol(http_exchange_header(x, "sec-websocket-protocol"));
    char accept[29];
    websocket_accept_key(http_exchange_header(x, "sec-websocket-key"), accept);
    const struct http_header headers[] = {
        {STR("Upgrade"), STR("websocket")},
        {STR("Connection"), STR("Upgrade")},
        {STR("Sec-WebSocket-Accept"), str_from(accept)},
        {STR("Sec-WebSocket-Protocol"), str_from(protocol)},
    };
    return http_exchange_upgrade(x, headers, ARRAY_LEN(headers));
}

static void stream_gone(struct kubelet_stream *s)
{
    s->ops->on_gone(s->user);
    buf_done(&s->message);
    free(s);
}

static void resize(struct kubelet_stream *s, struct str text)
{
    AUTO_JSON json_t *j = NULL;
    if (json_parse(text, 4096, NULL, &j, NULL) < 0)
        return;
    int64_t columns = json_at_int(j, "Width", 0), rows = json_at_int(j, "Height", 0);
    if (columns > 0 && columns <= UINT16_MAX && rows > 0 && rows <= UINT16_MAX)
        s->ops->on_resize((unsigned)columns, (unsigned)rows, s->user);
}

static void on_message(struct kubelet_stream *s, struct str m)
{
    if (!m.n)
        return;
    uint8_t channel = (uint8_t)m.p[0];
    struct str payload = str_sub(m, 1, m.n);
    if (channel == CHANNEL_IN && payload.n && !s->ops->on_input(payload, s->user))
        conn_pause(s->conn);
    else if (channel == CHANNEL_SIZE)
        resize(s, payload);
    else if (channel == CHANNEL_CLOSE && payload.n && payload.p[0] == CHANNEL_IN)
        s->ops->on_input_end(s->user);
}

static void on_data(struct conn *c, void *user)
{
    struct kubelet_stream *s = user;
    struct websocket_frame f;
    size_t used;
    int r;
    while ((r = websocket_frame_read(conn_in(c), true, &f, &used)) == 1) {
        bool closing = f.opcode == WEBSOCKET_CLOSE;
        if (f.opcode == WEBSOCKET_PING && kubelet_stream_is_full(s)) {
            /* RFC 6455 section 5.5.3: not every ping needs its pong */
        } else if (f.opcode == WEBSOCKET_PING) {
            AUTO_DONE(buf) struct buf b = {0};
            websocket_frame_write(&b, WEBSOCKET_PONG, false, f.payload);
            conn_write(c, buf_str(&b));
        } else if (f.opcode <= WEBSOCKET_BINARY) {
            buf_add_str(&s->message, f.payload);
            if (f.final && !s->message.failed)
                on_message(s, buf_str(&s->message));
            closing = s->message.failed; /* longer than is kept: nothing is left out in silence */
            if (f.final)
                buf_clear(&s->message);
        }
        chain_consume(conn_in(c), used);
        if (closing) {
            r = -ECONNRESET;
            break;
        }
    }
    if (r < 0 || conn_eof(c)) {
        conn_free(c);
        stream_gone(s);
    }
}

static void on_drained(struct conn *c, void *user)
{
    struct kubelet_stream *s = user;
    (void)c;
    s->ops->on_drain(s->user);
}

static void on_close(struct conn *c, int code, const char *text, void *user)
{
    (void)c;
    (void)code;
    (void)text;
    stream_gone(user);
}

struct kubelet_stream *kubelet_stream_new(struct http_exchange *x,
                                          const struct kubelet_stream_ops *ops, void *user)
{
    static const struct conn_ops conn_ops = {
        .on_data = on_data, .on_drain = on_drained, .on_close = on_close};
    struct kubelet_stream *s = NEW(struct kubelet_stream);
    *s = (struct kubelet_stream){.ops = ops, .user = user, .message.cap = STREAM_MESSAGE_MAX};
    s->conn = upgrade(x);
    conn_set_in_bytes_max(s->conn, STREAM_IN_BYTES_MAX);
    conn_set_ops(s->conn, &conn_ops, s);
    return s;
}

void kubelet_stream_start(struct kubelet_stream *s)
{
    if (conn_in(s->conn)->n) /* came with the request */
        conn_resume(s->conn);
}

void kubelet_stream_send(struct kubelet_stream *s, enum kubelet_channel channel, struct str bytes)
{
    AUTO_DONE(buf) struct buf b = {0};
    websocket_channel_write(&b, (uint8_t)channel, false, bytes);
    conn_write(s->conn, buf_str(&b));
}

bool kubelet_stream_is_full(const struct kubelet_stream *s)
{
    return conn_queued(s->conn) >= STREAM_QUEUE_MAX;
}

void kubelet_stream_resume(struct kubelet_stream *s)
{
    conn_resume(s->conn);
}

void kubelet_stream_finish(struct kubelet_stream *s, json_t *status)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_DONE(buf) struct buf end = {0};
    json_write(&b, status);
    json_decref(status);
    kubelet_stream_send(s, CHANNEL_STATUS, buf_str(&b));
    websocket_close_write(&end, false, 1000);
    conn_write(s->conn, buf_str(&end));
    conn_close_after_flush(s->conn);
}

json_t *kubelet_stream_success(void)
{
    return json_pack("{s:{},s:s}", "metadata", "status", "Success");
}

json_t *kubelet_stream_error(const char *message)
{
    return json_pack("{s:{},s:s,s:o,s:s,s:i}", "metadata", "status", "Failure", "message",
                     json_text(str_from(message)), "reason", "InternalError", "code", 500);
}
