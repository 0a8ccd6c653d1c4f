/* The remote command protocol (v5.channel.k8s.io, v4 too) over one WebSocket, or, as kubectl had it
 * before 1.31, v4 over SPDY.
 *
 * First byte of a message = channel: 0 stdin, 1 stdout, 2 stderr, 3 the final status, 4 terminal
 * size, 255 (v5) the end of a channel. In SPDY each is a stream, which the client opens: what is
 * said before that waits. Knows nothing of processes: exec and attach are its users.
 */
#include "lab/node/kubelet_stream.h"

#include <errno.h>
#include <stdio.h>

#include "codec/url.h"
#include "codec/websocket.h"
#include "lab/node/client_websocket.h"
#include "lab/node/spdy_session.h"

enum {
    STREAM_QUEUE_MAX = 256 * 1024,
    STREAM_MESSAGE_MAX = 1024 * 1024,
};

/* A channel as a stream of SPDY. */
struct channel_stream {
    struct spdy_stream *stream; /* NULL: not yet, or no more */
    bool awaited;               /* the client said that there will be one */
    struct buf waits;           /* for it */
};

struct kubelet_stream {
    struct conn *conn;         /* of a WebSocket */
    struct spdy_session *spdy; /* or this */
    struct channel_stream channels[CHANNEL_SIZE + 1];
    bool finishing;
    struct buf message; /* of fragments */
    const struct kubelet_stream_ops *ops;
    void *user;
};

static const char *choose_websocket(struct http_exchange *x)
{
    static const char *const known[] = {"v5.channel.k8s.io", "v4.channel.k8s.io"};
    return client_websocket_is_wanted(x)
               ? protocol_offered(x, "sec-websocket-protocol", "", known, ARRAY_LEN(known))
               : NULL;
}

static const char *choose_spdy(struct http_exchange *x)
{
    static const char *const known[] = {"v4.channel.k8s.io"};
    return spdy_protocol_wanted(x, known, ARRAY_LEN(known));
}

bool kubelet_stream_is_wanted(struct http_exchange *x, const char *verb)
{
    if (choose_spdy(x) || choose_websocket(x))
        return true;
    kubelet_fail(
        x, 400, "BadRequest",
        "%s needs a WebSocket with v5.channel.k8s.io or v4.channel.k8s.io, or SPDY/3.1 with "
        "v4.channel.k8s.io",
        verb);
    return false;
}

static void stream_gone(struct kubelet_stream *s)
{
    s->ops->on_gone(s->user);
    buf_done(&s->message);
    for (size_t i = 0; i < ARRAY_LEN(s->channels); i++)
        buf_done(&s->channels[i].waits);
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

static int on_message(struct str m, void *user)
{
    struct kubelet_stream *s = user;
    if (!m.n)
        return 0;
    uint8_t channel = (uint8_t)m.p[0];
    struct str payload = str_sub(m, 1, m.n);
    if (channel == CHANNEL_IN && payload.n && !s->ops->on_input(payload, s->user))
        conn_pause(s->conn);
    else if (channel == CHANNEL_SIZE)
        resize(s, payload);
    else if (channel == CHANNEL_CLOSE && payload.n && payload.p[0] == CHANNEL_IN)
        s->ops->on_input_end(s->user);
    return 0;
}

static void on_data(struct conn *c, void *user)
{
    struct kubelet_stream *s = user;
    if (client_websocket_read(c, &s->message, on_message, s) < 0 || conn_eof(c)) {
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

/* ---- SPDY ---- */

static void await_streams(struct kubelet_stream *s, struct str query)
{
    bool tty = url_param_bool(query, "tty");
    s->channels[CHANNEL_STATUS].awaited = true;
    s->channels[CHANNEL_IN].awaited = url_param_bool(query, "input");
    s->channels[CHANNEL_OUT].awaited = url_param_bool(query, "output");
    s->channels[CHANNEL_ERR].awaited = url_param_bool(query, "error") && !tty;
    s->channels[CHANNEL_SIZE].awaited = tty;
}

/* When all is said that there was to say, and the client has opened all that it wants to hear: some
 * open one after the other, and take an end before that for a failure. */
static void spdy_end(struct kubelet_stream *s)
{
    if (!s->finishing)
        return;
    for (size_t i = 0; i < ARRAY_LEN(s->channels); i++)
        if (s->channels[i].awaited)
            return;
    for (size_t i = CHANNEL_OUT; i <= CHANNEL_STATUS; i++) {
        struct spdy_stream *st = TAKE(s->channels[i].stream);
        if (st)
            spdy_stream_end(st);
    }
    spdy_session_finish(s->spdy);
}

static bool on_spdy_stream(struct spdy_session *session, struct spdy_stream *st, void *user)
{
    static const char *const names[] = {"stdin", "stdout", "stderr", "error", "resize"};
    struct kubelet_stream *s = user;
    struct str name = spdy_session_header(session, "streamtype");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct channel_stream *c = &s->channels[i];
        if (!str_is(name, names[i]) || c->stream)
            continue;
        c->stream = st;
        c->awaited = false;
        spdy_stream_set_user(st, c);
        if (c->waits.n)
            spdy_stream_send(st, buf_str(&c->waits));
        buf_done(&c->waits);
        spdy_end(s);
        return true;
    }
    return false;
}

static bool on_spdy_data(struct spdy_stream *st, struct str bytes, bool end, void *user)
{
    struct kubelet_stream *s = user;
    bool more = true;
    if (spdy_stream_user(st) == &s->channels[CHANNEL_SIZE])
        resize(s, bytes);
    if (spdy_stream_user(st) != &s->channels[CHANNEL_IN])
        return true;
    if (bytes.n)
        more = s->ops->on_input(bytes, s->user);
    if (end)
        s->ops->on_input_end(s->user);
    return more;
}

static void on_spdy_reset(struct spdy_stream *st, void *user)
{
    struct channel_stream *c = spdy_stream_user(st);
    (void)user;
    c->stream = NULL;
}

static void on_spdy_drain(struct spdy_session *session, void *user)
{
    struct kubelet_stream *s = user;
    (void)session;
    s->ops->on_drain(s->user);
}

static void on_spdy_gone(struct spdy_session *session, void *user)
{
    (void)session;
    stream_gone(user);
}

/* ---- either ---- */

struct kubelet_stream *kubelet_stream_new(struct http_exchange *x,
                                          const struct kubelet_stream_ops *ops, void *user)
{
    static const struct conn_ops conn_ops = {
        .on_data = on_data, .on_drain = on_drained, .on_close = on_close};
    static const struct spdy_session_ops spdy_ops = {on_spdy_stream, on_spdy_data, on_spdy_reset,
                                                     on_spdy_drain, on_spdy_gone};
    const char *spdy = choose_spdy(x);
    struct kubelet_stream *s = NEW(struct kubelet_stream);
    *s = (struct kubelet_stream){.ops = ops, .user = user, .message.cap = STREAM_MESSAGE_MAX};
    if (spdy) {
        await_streams(s, http_exchange_query(x));
        s->spdy = spdy_session_new(x, spdy, &spdy_ops, s);
        return s;
    }
    s->conn = client_websocket_accept(x, choose_websocket(x));
    conn_set_ops(s->conn, &conn_ops, s);
    return s;
}

void kubelet_stream_start(struct kubelet_stream *s)
{
    if (s->spdy)
        spdy_session_start(s->spdy);
    else if (conn_in(s->conn)->n) /* came with the request */
        conn_resume(s->conn);
}

void kubelet_stream_send(struct kubelet_stream *s, enum kubelet_channel channel, struct str bytes)
{
    AUTO_DONE(buf) struct buf b = {0};
    if (s->spdy && s->channels[channel].stream) {
        spdy_stream_send(s->channels[channel].stream, bytes);
    } else if (s->spdy) {
        buf_add_str(&s->channels[channel].waits, bytes);
    } else {
        websocket_channel_write(&b, (uint8_t)channel, false, bytes);
        conn_write(s->conn, buf_str(&b));
    }
}

bool kubelet_stream_is_full(const struct kubelet_stream *s)
{
    if (!s->spdy)
        return conn_queued(s->conn) >= STREAM_QUEUE_MAX;
    return spdy_session_is_full(s->spdy) || s->channels[CHANNEL_OUT].waits.n >= STREAM_QUEUE_MAX ||
           s->channels[CHANNEL_ERR].waits.n >= STREAM_QUEUE_MAX;
}

void kubelet_stream_resume(struct kubelet_stream *s)
{
    if (s->spdy)
        spdy_session_resume(s->spdy);
    else
        conn_resume(s->conn);
}

void kubelet_stream_finish(struct kubelet_stream *s, json_t *status)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_DONE(buf) struct buf end = {0};
    json_write(&b, status);
    json_decref(status);
    kubelet_stream_send(s, CHANNEL_STATUS, buf_str(&b));
    if (s->spdy) {
        s->finishing = true;
        spdy_end(s);
        return;
    }
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
