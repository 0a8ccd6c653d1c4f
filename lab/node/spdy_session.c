/* SPDY/3.1 as a server: streams by number, upgrade of the request, pings. Knows nothing of what the
 * streams carry. */
#include "lab/node/spdy_session.h"

#include <errno.h>
#include <stdio.h>

#include "base/map.h"
#include "codec/websocket.h"
#include "lab/node/client_websocket.h"

enum { QUEUE_BYTES_MAX = 256 * 1024, IN_BYTES_MAX = SPDY_FRAME_BYTES_MAX + 64 * 1024 };
#define PREFIX "SPDY/3.1"

struct spdy_stream {
    struct spdy_session *session;
    uint32_t id;
    void *user;
    bool in_ended, out_ended;
};

struct spdy_session {
    struct conn *conn;
    bool in_websocket, finished, busy, dead;
    struct spdy_codec *codec;
    struct buf message; /* of a WebSocket's fragments */
    struct buf in;      /* SPDY that has come and is no frame yet */
    struct map streams; /* number, as text */
    const struct spdy_session_ops *ops;
    void *user;
};

/* ---- upgrade ---- */

const char *spdy_protocol_wanted(struct http_exchange *x, const char *const *known, size_t n)
{
    if (client_websocket_is_wanted(x))
        return protocol_offered(x, "sec-websocket-protocol", PREFIX "+", known, n);
    return str_eq_nocase(http_exchange_header(x, "upgrade"), STR(PREFIX))
               ? protocol_offered(x, "x-stream-protocol-version", "", known, n)
               : NULL;
}

static struct conn *upgrade(struct http_exchange *x, const char *protocol)
{
    const struct http_header headers[] = {
        {STR("Connection"), STR("Upgrade")},
        {STR("Upgrade"), STR(PREFIX)},
        {STR("X-Stream-Protocol-Version"), str_from(protocol)},
    };
    if (client_websocket_is_wanted(x)) {
        AUTO_CHARS char *name = xasprintf(PREFIX "+%s", protocol);
        return client_websocket_accept(x, name);
    }
    struct conn *c = http_exchange_upgrade(x, headers, ARRAY_LEN(headers));
    conn_set_in_bytes_max(c, IN_BYTES_MAX);
    return c;
}

/* ---- streams ---- */

static struct spdy_stream *find(struct spdy_session *s, uint32_t id)
{
    char key[16];
    snprintf(key, sizeof(key), "%u", id);
    return map_find_cstr(&s->streams, key);
}

static void forget(struct spdy_stream *st)
{
    char key[16];
    snprintf(key, sizeof(key), "%u", st->id);
    map_remove_cstr(&st->session->streams, key);
    free(st);
}

static void send_bytes(struct spdy_session *s, struct str bytes)
{
    AUTO_DONE(buf) struct buf b = {0};
    if (s->finished)
        return;
    if (s->in_websocket) {
        websocket_frame_write(&b, WEBSOCKET_BINARY, false, bytes);
        bytes = buf_str(&b);
    }
    conn_write(s->conn, bytes);
}

void spdy_stream_set_user(struct spdy_stream *st, void *user)
{
    st->user = user;
}

void *spdy_stream_user(const struct spdy_stream *st)
{
    return st->user;
}

void spdy_stream_send(struct spdy_stream *st, struct str bytes)
{
    AUTO_DONE(buf) struct buf b = {0};
    spdy_write_data(&b, st->id, false, bytes);
    if (!st->out_ended)
        send_bytes(st->session, buf_str(&b));
}

void spdy_stream_end(struct spdy_stream *st)
{
    AUTO_DONE(buf) struct buf b = {0};
    spdy_write_data(&b, st->id, true, (struct str){0});
    if (!st->out_ended)
        send_bytes(st->session, buf_str(&b));
    st->out_ended = true;
    if (st->in_ended)
        forget(st);
}

void spdy_stream_reset(struct spdy_stream *st)
{
    AUTO_DONE(buf) struct buf b = {0};
    spdy_write_reset(&b, st->id, SPDY_REFUSED_STREAM);
    send_bytes(st->session, buf_str(&b));
    forget(st);
}

/* ---- frames ---- */

static void on_syn(struct spdy_session *s, const struct spdy_frame *f)
{
    AUTO_DONE(buf) struct buf b = {0};
    char key[16];
    struct spdy_stream *st = NULL;
    snprintf(key, sizeof(key), "%u", f->stream);
    if (f->stream % 2 == 1 && !map_find_cstr(&s->streams, key) &&
        s->streams.used < SPDY_STREAMS_MAX) {
        st = NEW(struct spdy_stream);
        *st = (struct spdy_stream){.session = s, .id = f->stream, .in_ended = f->fin};
        map_put_cstr(&s->streams, key, st);
    }
    if (!st) {
        spdy_write_reset(&b, f->stream, SPDY_REFUSED_STREAM);
        send_bytes(s, buf_str(&b));
        return;
    }
    spdy_write_reply(s->codec, &b, f->stream);
    send_bytes(s, buf_str(&b));
    if (!s->ops->on_stream(s, st, s->user))
        spdy_stream_reset(st);
}

static void on_bytes(struct spdy_session *s, const struct spdy_frame *f)
{
    struct spdy_stream *st = find(s, f->stream);
    if (!st || st->in_ended)
        return; /* thrown away by us, perhaps */
    st->in_ended = f->fin;
    bool over = st->in_ended && st->out_ended;
    if (!s->ops->on_data(st, f->payload, f->fin, s->user) && !s->dead)
        conn_pause(s->conn);
    if (over && find(s, f->stream) == st)
        forget(st);
}

static void on_frame(struct spdy_session *s, const struct spdy_frame *f)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct spdy_stream *st;
    if (f->type == SPDY_SYN_STREAM) {
        on_syn(s, f);
    } else if (f->type == SPDY_DATA) {
        on_bytes(s, f);
    } else if (f->type == SPDY_PING && f->stream % 2 == 1) {
        spdy_write_ping(&b, f->stream);
        send_bytes(s, buf_str(&b));
    } else if (f->type == SPDY_RST_STREAM && (st = find(s, f->stream))) {
        s->ops->on_reset(st, s->user);
        forget(st);
    }
}

/* ---- the connection ---- */

static void session_gone(struct spdy_session *s)
{
    void *value;
    s->dead = true;
    s->ops->on_gone(s, s->user);
    for (size_t at = 0; map_next(&s->streams, &at, NULL, &value);)
        free(value);
    map_done(&s->streams);
    spdy_codec_free(s->codec);
    buf_done(&s->in);
    buf_done(&s->message);
    free(s);
}

static int read_frames(struct spdy_session *s)
{
    size_t at = 0, used;
    struct spdy_frame f;
    int r;
    while ((r = spdy_read(s->codec, str_sub(buf_str(&s->in), at, s->in.n), &f, &used)) == 1) {
        on_frame(s, &f);
        at += used;
    }
    buf_consume(&s->in, at);
    return r;
}

/* Of the SPDY within a WebSocket, whose messages mean nothing. */
static int on_message(struct str m, void *user)
{
    struct spdy_session *s = user;
    buf_add_str(&s->in, m);
    return s->in.failed ? -E2BIG : read_frames(s);
}

static int unwrapped(struct spdy_session *s)
{
    struct chain *in = conn_in(s->conn);
    while (in->n) {
        struct str run = chain_front(in);
        buf_add_str(&s->in, run);
        chain_consume(in, run.n);
    }
    return s->in.failed ? -E2BIG : read_frames(s);
}

static void on_data(struct conn *c, void *user)
{
    struct spdy_session *s = user;
    int r = s->in_websocket ? client_websocket_read(c, &s->message, on_message, s) : unwrapped(s);
    if (r < 0 || conn_eof(c)) {
        conn_free(c);
        session_gone(s);
    }
}

static void on_drained(struct conn *c, void *user)
{
    struct spdy_session *s = user;
    (void)c;
    s->ops->on_drain(s, s->user);
}

static void on_close(struct conn *c, int code, const char *text, void *user)
{
    (void)c;
    (void)code;
    (void)text;
    session_gone(user);
}

struct spdy_session *spdy_session_new(struct http_exchange *x, const char *protocol,
                                      const struct spdy_session_ops *ops, void *user)
{
    static const struct conn_ops conn_ops = {
        .on_data = on_data, .on_drain = on_drained, .on_close = on_close};
    struct spdy_session *s = NEW(struct spdy_session);
    *s = (struct spdy_session){.ops = ops,
                               .user = user,
                               .codec = spdy_codec_new(),
                               .in_websocket = client_websocket_is_wanted(x),
                               .message.cap = SPDY_FRAME_BYTES_MAX + 64 * 1024,
                               .in.cap = 2 * IN_BYTES_MAX};
    s->conn = upgrade(x, protocol);
    conn_set_ops(s->conn, &conn_ops, s);
    return s;
}

void spdy_session_start(struct spdy_session *s)
{
    if (conn_in(s->conn)->n) /* came with the request */
        conn_resume(s->conn);
}

struct str spdy_session_header(const struct spdy_session *s, const char *name)
{
    return spdy_header_of(s->codec, name);
}

bool spdy_session_is_full(const struct spdy_session *s)
{
    return conn_queued(s->conn) >= QUEUE_BYTES_MAX;
}

void spdy_session_resume(struct spdy_session *s)
{
    conn_resume(s->conn);
}

void spdy_session_finish(struct spdy_session *s)
{
    if (s->finished)
        return;
    if (s->in_websocket) {
        AUTO_DONE(buf) struct buf end = {0};
        websocket_close_write(&end, false, 1000);
        conn_write(s->conn, buf_str(&end));
    }
    s->finished = true;
    conn_close_after_flush(s->conn);
}
