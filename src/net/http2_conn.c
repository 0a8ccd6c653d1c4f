/* The HTTP/2 connection: it owns its conn, the codec's session and the records of streams. What the
 * codec tells goes on to streams' users at once; what they ask for waits in the codec for settle(),
 * which runs at the end of the turn, sends all of it in one piece, and tells what came about
 * within their calls. Nothing is freed before it, so callbacks may end streams and connection; who
 * goes on after one asks `over` and `dead`. */
#include "net/http2_conn.h"

#include <errno.h>

#include "base/assert.h"
#include "base/rand.h"
#include "net/http2_conn_priv.h"

enum {
    HEAD_TIMEOUT_MS = 10000,
    IDLE_TIMEOUT_MS = 90000,
    LINGER_MS = 2000,
    DRAIN_MS = 1000,      /* for a client to confirm that it has heard */
    STUCK_MS = 60000,     /* a stream whose whole answer waits and does not move */
    STUCK_MAX = 5,        /* so often, and it is given up */
    OUT_MAX = 256 * 1024, /* of frames that wait for the socket */
    IN_MAX = 256 * 1024,
    INTERIM_MAX = 10, /* 1xx before an answer */
    STREAM_WINDOW = 256 * 1024,
    CONNECTION_WINDOW = 4 * 1024 * 1024,
};

/* ---- what the codec tells ---- */

static enum http_end end_of(enum http2_cause cause)
{
    return cause == HTTP2_UNPROCESSED ? HTTP_END_REFUSED
           : cause == HTTP2_BY_PEER   ? HTTP_END_RESET
                                      : HTTP_END_PROTOCOL;
}

static struct arena *on_begin(void *user, int32_t id, void **ret_stream_user)
{
    struct http2_conn *h = user;
    if (h->dead)
        return NULL;
    struct http2_stream_state *r = http2_state_new(h);
    r->s.id = (uint32_t)id;
    h->arriving = r;
    *ret_stream_user = r;
    return http_stream_arena(&r->s);
}

static void begin_request(struct http2_conn *h, struct http2_stream_state *r)
{
    struct http_stream *s = &r->s;
    const struct http_conn_config *c = h->base.config;
    h->arriving = NULL;
    r->head_only = str_is(s->head.method, "HEAD");
    r->connect = str_is(s->head.method, "CONNECT");
    if (++h->requests == c->requests_max)
        http_conn_shutdown(&h->base);
    h->base.ops->on_request(&h->base, s, h->base.user);
    ASSERT(s->over || s->ops);
}

/* Client: the answer is whole, and so is the stream, whatever of the request is still to go. */
static void answer_is_whole(struct http2_conn *h, struct http2_stream_state *r)
{
    struct http_stream *s = &r->s;
    if (!h->base.client || s->over || (r->connect && !s->sent))
        return;
    if (!r->closed && http2_is_sent(h->h, (int32_t)s->id))
        return; /* the codec tells at once */
    http2_reset(h->h, (int32_t)s->id, HTTP2_CANCEL);
    http2_state_end(h, r, HTTP_END_DONE, 0, "");
}

static void on_head(void *user, int32_t id, void *stream_user, struct http_head *head, bool end)
{
    struct http2_conn *h = user;
    struct http2_stream_state *r = stream_user;
    (void)id;
    if (h->dead || r->s.over)
        return;
    r->s.head = *head;
    if (!h->base.client) {
        r->s.received = end;
        begin_request(h, r);
        return;
    }
    if (head->status < 200 && ++r->interim > INTERIM_MAX) {
        http2_reset(h->h, id, HTTP2_PROTOCOL_ERROR);
        http2_state_end(h, r, HTTP_END_PROTOCOL, -E2BIG, "too many interim answers");
        return;
    }
    r->s.received = end;
    r->s.ops->on_head(&r->s, &r->s.head, end, r->s.user);
    if (end)
        answer_is_whole(h, r);
}

static void tell_data(struct http2_conn *h, struct http2_stream_state *r, struct chain *data,
                      bool end)
{
    struct http_stream *s = &r->s;
    size_t n = data->n;
    s->received = s->received || end;
    s->ops->on_data(s, data, end, s->user);
    if (s->over)
        return;
    http2_consume(h->h, (int32_t)s->id, n);
    if (end)
        answer_is_whole(h, r);
}

static bool is_held(const struct http2_stream_state *r)
{
    return r->s.paused || r->held.n || r->held_end;
}

static void on_data(void *user, int32_t id, void *stream_user, struct chain *data, bool end)
{
    struct http2_conn *h = user;
    struct http2_stream_state *r = stream_user;
    (void)id;
    if (h->dead || r->s.over)
        return;
    if (is_held(r)) {
        chain_move_all(&r->held, data);
        r->held_end = end;
    } else {
        tell_data(h, r, data, end);
    }
}

static void tell_trailers(struct http2_conn *h, struct http2_stream_state *r,
                          struct http_head *trailers)
{
    struct http_stream *s = &r->s;
    struct chain none = {0};
    s->received = true;
    if (s->ops->on_trailers)
        s->ops->on_trailers(s, trailers, s->user);
    else
        s->ops->on_data(s, &none, true, s->user);
    answer_is_whole(h, r);
}

static void on_trailers(void *user, int32_t id, void *stream_user, struct http_head *trailers)
{
    struct http2_conn *h = user;
    struct http2_stream_state *r = stream_user;
    (void)id;
    if (h->dead || r->s.over)
        return;
    if (is_held(r)) {
        r->held_trailers = trailers;
        r->held_end = true;
    } else {
        tell_trailers(h, r, trailers);
    }
}

static void on_reset(void *user, int32_t id, void *stream_user, uint32_t code,
                     enum http2_cause cause)
{
    struct http2_conn *h = user;
    struct http2_stream_state *r = stream_user;
    (void)id;
    (void)code;
    if (h->base.client && r->held_end)
        r->closed = true; /* the answer is whole, only not told yet */
    else if (!h->dead)
        http2_state_end(h, r, end_of(cause), -ECONNRESET,
                        cause == HTTP2_BY_ERROR ? "the message is malformed"
                                                : "the stream was reset");
}

static void on_closed(void *user, int32_t id, void *stream_user)
{
    struct http2_conn *h = user;
    struct http2_stream_state *r = stream_user;
    (void)id;
    r->closed = true;
    if (!h->dead && !(h->base.client && r->held_end))
        http2_state_end(h, r, HTTP_END_DONE, 0, "");
}

static void on_writable(void *user, int32_t id, void *stream_user)
{
    struct http2_conn *h = user;
    struct http_stream *s = &((struct http2_stream_state *)stream_user)->s;
    (void)id;
    if (!h->dead && !s->over && s->ops->on_drain)
        s->ops->on_drain(s, s->user);
}

static void on_goaway(void *user, int32_t last_id, uint32_t code)
{
    struct http2_conn *h = user;
    (void)last_id;
    (void)code;
    h->going = true;
}

static void ping_later(struct http2_conn *h)
{
    const struct http_conn_config *c = h->base.config;
    uint64_t spread = c->ping_interval_ms * c->ping_jitter_percent / 100;
    h->pinged = false;
    loop_timer_start(h->ping, c->ping_interval_ms + (spread ? rand_u64() % (spread + 1) : 0));
}

static void on_pong(void *user)
{
    struct http2_conn *h = user;
    if (h->pinged && !h->dead)
        ping_later(h);
}

static const struct http2_ops codec_ops = {
    .on_begin = on_begin,
    .on_head = on_head,
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_reset = on_reset,
    .on_closed = on_closed,
    .on_writable = on_writable,
    .on_goaway = on_goaway,
    .on_pong = on_pong,
};

/* ---- ends ---- */

static void end_all(struct http2_conn *h, enum http_end end, int code, const char *text)
{
    while (!list_is_empty(&h->open))
        http2_state_end(h, CONTAINER_OF(h->open.next, struct http2_stream_state, node), end, code,
                        text);
}

static void free_gone(struct http2_conn *h)
{
    while (!list_is_empty(&h->gone)) {
        struct http2_stream_state *r = CONTAINER_OF(h->gone.next, struct http2_stream_state, node);
        list_remove(&r->node);
        http2_state_keep(h, r);
    }
}

static void tell_closed(struct http2_conn *h)
{
    const char *text = h->text ? h->text : "";
    end_all(h, h->end, h->code, text);
    if (!h->freed && h->base.ops->on_close)
        h->base.ops->on_close(&h->base, h->code, text, h->base.user);
    loop_call_cancel(&h->settle);
    free_gone(h);
    for (struct http2_stream_state *r = h->kept; r;) {
        struct http2_stream_state *next = r->next;
        free(r);
        r = next;
    }
    http2_free(h->h);
    loop_timer_free(h->timer);
    loop_timer_free(h->ping);
    free(h->text);
    free(h);
}

/* The last frames are on their way: what the peer still sends is read and dropped, lest a reset
 * overtake them. */
static void linger(struct http2_conn *h)
{
    h->lingering = true;
    if (h->base.client)
        conn_close_after_flush(h->base.conn);
    else
        conn_finish(h->base.conn);
    conn_resume(h->base.conn);
}

/* Has the session come to its end, and how? */
static void look_for_end(struct http2_conn *h)
{
    enum http2_reason why = http2_reason(h->h);
    if (h->dead || h->lingering)
        return;
    if (why) {
        h->end = why == HTTP2_REASON_MEMORY ? HTTP_END_CLOSED : HTTP_END_PROTOCOL;
        h->code = why == HTTP2_REASON_MEMORY ? -ENOMEM : -EPROTO;
        h->text = xstrdup(http2_error(h->h));
        linger(h);
        end_all(h, h->end, h->code, h->text);
    } else if (http2_is_over(h->h) && list_is_empty(&h->open)) {
        linger(h);
    }
}

/* ---- clocks ---- */

static uint64_t idle_ms(const struct http2_conn *h)
{
    const struct http_conn_config *c = h->base.config;
    if (!h->base.client && !h->requests && c->first_timeout_ms)
        return c->first_timeout_ms;
    return c->idle_timeout_ms ? c->idle_timeout_ms : IDLE_TIMEOUT_MS;
}

static enum http2_clock clock_due(const struct http2_conn *h)
{
    if (h->lingering)
        return CLOCK_LINGER;
    if (!h->opened) /* who connects has a clock of his own */
        return h->base.client ? CLOCK_NONE : CLOCK_OPENING;
    if (h->arriving)
        return CLOCK_HEAD;
    if (!list_is_empty(&h->open))
        return CLOCK_BUSY;
    return h->draining ? CLOCK_DRAINING : CLOCK_IDLE;
}

static void set_clock(struct http2_conn *h)
{
    const struct http_conn_config *c = h->base.config;
    uint64_t head_ms = c->head_timeout_ms ? c->head_timeout_ms : HEAD_TIMEOUT_MS;
    enum http2_clock due = clock_due(h);
    if (due == h->clock && !(due == CLOCK_IDLE && h->touched))
        return;
    h->clock = (uint8_t)due;
    h->touched = false;
    if (due == CLOCK_NONE)
        loop_timer_stop(h->timer);
    else
        loop_timer_start(h->timer, due == CLOCK_LINGER     ? LINGER_MS
                                   : due == CLOCK_IDLE     ? idle_ms(h)
                                   : due == CLOCK_BUSY     ? STUCK_MS
                                   : due == CLOCK_DRAINING ? DRAIN_MS
                                                           : head_ms);
}

/* Answers that nobody reads would stay for ever: their users have done all they can. */
static void end_stuck(struct http2_conn *h)
{
    LIST_FOREACH_SAFE (node, &h->open) {
        struct http2_stream_state *r = CONTAINER_OF(node, struct http2_stream_state, node);
        size_t queued = http2_conn_queued(&r->s);
        if (!r->s.sent || !queued || queued != r->queued_then) {
            r->queued_then = queued;
            r->stuck = 0;
        } else if (++r->stuck == STUCK_MAX) {
            http2_reset(h->h, (int32_t)r->s.id, HTTP2_CANCEL);
            http2_state_end_later(h, r, HTTP_END_CLOSED, -ETIMEDOUT, "the peer does not read");
        }
    }
}

static void on_timer(void *user)
{
    struct http2_conn *h = user;
    enum http2_clock was = (enum http2_clock)h->clock;
    h->clock = CLOCK_NONE;
    if (was == CLOCK_BUSY) {
        end_stuck(h);
    } else if (was == CLOCK_IDLE || was == CLOCK_DRAINING) {
        h->draining = true;
        http2_shutdown(h->h);
        if (was == CLOCK_IDLE)
            http2_shutdown(h->h); /* nobody has asked for so long: at once */
    } else if (was == CLOCK_LINGER) {
        http2_conn_die(h, h->end, h->code, h->text ? h->text : "");
    } else {
        http2_conn_die(h, HTTP_END_CLOSED, -ETIMEDOUT,
                       was == CLOCK_HEAD ? "a request's head took too long" : "idle");
    }
    http2_conn_wake(h);
}

/* ---- is the peer there? ---- */

static void on_ping(void *user)
{
    struct http2_conn *h = user;
    if (h->dead || h->lingering)
        return;
    if (h->pinged || http2_ping(h->h) < 0) {
        http2_conn_die(h, HTTP_END_CLOSED, -ETIMEDOUT, "the peer does not answer: keepalive");
    } else {
        h->pinged = true;
        loop_timer_start(h->ping, h->base.config->ping_timeout_ms);
    }
    http2_conn_wake(h);
}

static void begin_pings(struct http2_conn *h)
{
    if (!h->base.config->ping_interval_ms)
        return;
    h->ping = loop_timer_new(h->loop, on_ping, h);
    ping_later(h);
}

/* ---- the end of a turn ---- */

static void tell_held(struct http2_conn *h, struct http2_stream_state *r)
{
    struct chain data = r->held;
    bool end = r->held_end;
    struct http_head *trailers = r->held_trailers;
    r->held = (struct chain){0};
    r->held_end = false;
    if (data.n || (end && !trailers))
        tell_data(h, r, &data, end && !trailers);
    chain_done(&data);
    if (r->s.over || !trailers)
        return;
    if (r->s.paused)
        r->held_end = true; /* after all */
    else
        tell_trailers(h, r, trailers);
}

static void tell_due(struct http2_conn *h)
{
    while (!h->dead && !list_is_empty(&h->due)) {
        struct http2_stream_state *r = CONTAINER_OF(h->due.next, struct http2_stream_state, due);
        list_remove(&r->due);
        if (r->broken)
            http2_state_end(h, r, r->end, r->code, r->text);
        else if (!r->s.paused && (r->held.n || r->held_end))
            tell_held(h, r);
    }
}

static void flush(struct http2_conn *h)
{
    struct conn *c = h->base.conn;
    size_t before = conn_queued(c);
    if (!http2_wants_send(h->h) || h->lingering || before >= OUT_MAX)
        return;
    if (http2_send(h->h, conn_out(c), OUT_MAX) < 0)
        http2_conn_die(h, HTTP_END_CLOSED, -ENOMEM, "no memory for frames");
    else if (!h->dead && conn_queued(c) > before)
        conn_wake(c);
}

static unsigned streams_free(const struct http_conn *hc)
{
    const struct http2_conn *h = (const struct http2_conn *)hc;
    if (!h->opened || h->dead || h->lingering || h->draining || h->going || conn_eof(hc->conn))
        return 0;
    size_t n = http2_free_streams(h->h);
    return n > h->n_unsent ? (unsigned)n - h->n_unsent : 0;
}

static void tell_free(struct http2_conn *h)
{
    unsigned n = h->base.client && !h->dead ? streams_free(&h->base) : 0;
    bool more = n > h->free_told;
    h->free_told = n;
    if (more && h->base.ops->on_free)
        h->base.ops->on_free(&h->base, h->base.user);
}

static void settle(void *user)
{
    struct http2_conn *h = user;
    tell_due(h);
    if (!h->dead && h->opened)
        flush(h);
    free_gone(h);
    if (!h->dead && h->opened)
        look_for_end(h);
    if (!h->dead)
        tell_free(h);
    if (h->dead)
        tell_closed(h);
    else
        set_clock(h);
}

/* ---- the conn ---- */

static void on_conn_data(struct conn *c, void *user)
{
    struct http2_conn *h = user;
    if (h->lingering) {
        chain_done(conn_in(c));
        if (conn_eof(c) && !conn_queued(c))
            http2_conn_die(h, h->end, h->code, h->text ? h->text : "");
        return;
    }
    if (h->pinged) /* whatever it says: it is there, and its answer stands behind that */
        loop_timer_start(h->ping, h->base.config->ping_timeout_ms);
    /* An error shows in settle(), which sends what there is to say about it. */
    IGNORE_RESULT(http2_receive(h->h, conn_in(c), loop_now_ms(h->loop)));
    if (!h->dead && conn_eof(c) && !http2_reason(h->h)) {
        bool idle = list_is_empty(&h->open);
        http2_conn_die(h, HTTP_END_CLOSED, idle ? 0 : -ECONNRESET, "the connection was closed");
    }
    http2_conn_wake(h);
}

static void on_conn_drain(struct conn *c, void *user)
{
    struct http2_conn *h = user;
    if (h->lingering && conn_eof(c))
        http2_conn_die(h, h->end, h->code, h->text ? h->text : "");
    else if (http2_wants_send(h->h))
        http2_conn_wake(h);
}

static void on_conn_open(struct conn *c, void *user)
{
    struct http2_conn *h = user;
    (void)c;
    if (!h->opened)
        begin_pings(h);
    h->opened = true;
    if (h->draining)
        http2_shutdown(h->h);
    h->free_told = streams_free(&h->base);
    http2_conn_wake(h);
    if (h->base.client && h->base.ops->on_open)
        h->base.ops->on_open(&h->base, h->base.user);
}

static void on_conn_close(struct conn *c, int code, const char *text, void *user)
{
    struct http2_conn *h = user;
    (void)c;
    h->dead = true;
    if (!h->lingering) {
        bool early = !code && !list_is_empty(&h->open);
        h->end = HTTP_END_CLOSED;
        h->code = early ? -ECONNRESET : code;
        h->text = xstrdup(early ? "the connection was closed" : text);
    }
    tell_closed(h);
}

/* ---- for the user ---- */

static int open_stream(struct http_conn *hc, struct http_stream **ret)
{
    struct http2_conn *h = (struct http2_conn *)hc;
    if (h->dead || h->lingering || h->draining || h->going || conn_eof(hc->conn))
        return -ENOTCONN;
    if (!streams_free(hc))
        return -EAGAIN;
    *ret = &http2_state_new(h)->s;
    h->n_unsent++;
    h->free_told = streams_free(hc);
    http2_conn_wake(h); /* for the clock */
    return 0;
}

static void shut_down(struct http_conn *hc)
{
    struct http2_conn *h = (struct http2_conn *)hc;
    if (h->dead || h->lingering || h->draining)
        return;
    h->draining = true;
    if (h->opened)
        http2_shutdown(h->h);
    else if (hc->client)
        conn_close_after_flush(hc->conn);
    http2_conn_wake(h); /* a client in its handshake is told behind it */
}

static void free_conn(struct http_conn *hc)
{
    struct http2_conn *h = (struct http2_conn *)hc;
    if (h->freed)
        return;
    h->freed = true;
    http2_conn_die(h, HTTP_END_CLOSED, -ECANCELED, "the connection was closed");
    http2_conn_wake(h);
    end_all(h, HTTP_END_CLOSED, h->code, h->text ? h->text : "");
}

static struct conn *take_conn(struct http_stream *s)
{
    (void)s;
    ASSERT(false); /* its connection is never raw */
    return NULL;
}

static const struct http_conn_type http2_type = {
    .send_head = http2_conn_send_head,
    .send_data = http2_conn_send_data,
    .send_trailers = http2_conn_send_trailers,
    .queued = http2_conn_queued,
    .set_paused = http2_conn_set_paused,
    .abort = http2_conn_abort,
    .open = open_stream,
    .shutdown = shut_down,
    .free = free_conn,
    .take_conn = take_conn,
    .streams_free = streams_free,
    .version = 2,
};

static void set_limits(struct http2_conn *h)
{
    if (h->base.config->http2)
        h->limits = *h->base.config->http2;
    if (!h->limits.stream_window)
        h->limits.stream_window = STREAM_WINDOW;
    if (!h->limits.connection_window)
        h->limits.connection_window = CONNECTION_WINDOW;
    h->limits.head_bytes_max = (uint32_t)http_conn_head_max(&h->base);
    h->limits.fields_max = (uint32_t)MIN(http_conn_fields_max(&h->base), (size_t)HTTP_FIELDS_MAX);
}

struct http_conn *http2_conn_init(struct http2_conn *h, struct conn *c, bool client,
                                  const struct http_conn_config *config,
                                  const struct http_conn_ops *ops, void *user)
{
    static const struct conn_ops conn_ops = {
        .on_open = on_conn_open,
        .on_data = on_conn_data,
        .on_drain = on_conn_drain,
        .on_close = on_conn_close,
    };
    *h = (struct http2_conn){.base = {.type = &http2_type,
                                      .ops = ops,
                                      .user = user,
                                      .config = config ? config : &http_conn_defaults,
                                      .conn = c,
                                      .client = client}};
    h->loop = conn_loop(c);
    h->opened = conn_is_open(c);
    list_init(&h->open);
    list_init(&h->due);
    list_init(&h->gone);
    loop_call_init(&h->settle, settle, h);
    h->timer = loop_timer_new(h->loop, on_timer, h);
    set_limits(h);
    h->h = http2_new(client ? HTTP2_CLIENT : HTTP2_SERVER, &h->limits, &codec_ops, h);
    ASSERT(h->h); /* of a fixed size */
    if (h->opened) {
        begin_pings(h);
        h->free_told = streams_free(&h->base);
    }
    conn_set_in_bytes_max(c, IN_MAX);
    conn_set_ops(c, &conn_ops, h);
    http2_conn_wake(h);
    return &h->base;
}

struct http_conn *http2_conn_new_server(struct conn *c, const struct http_conn_config *config,
                                        const struct http_conn_ops *ops, void *user)
{
    ASSERT(ops->on_request);
    return http2_conn_init(xmalloc(sizeof(struct http2_conn)), c, false, config, ops, user);
}

struct http_conn *http2_conn_new_client(struct conn *c, const struct http_conn_config *config,
                                        const struct http_conn_ops *ops, void *user)
{
    return http2_conn_init(xmalloc(sizeof(struct http2_conn)), c, true, config, ops, user);
}
