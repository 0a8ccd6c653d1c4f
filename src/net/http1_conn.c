/* The HTTP/1 connection: one state machine for both roles. It owns its conn and at most one stream;
 * what a server is asked meanwhile waits unread. Receiving stands here, sending in http1_send.c.
 *
 * A stream is over when the answer is whole; raw ones (101, CONNECT) when both directions are. What
 * ends a stream or the connection inside a call of the user's is told at the end of the turn, by
 * settle(). After every callback stream and connection may be gone: is_gone() asks. */
#include "net/http1_conn.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "codec/http1.h"
#include "codec/http1_head.h"
#include "codec/http_status.h"
#include "net/http1_priv.h"

enum {
    HEAD_TIMEOUT_MS = 10000,
    IDLE_TIMEOUT_MS = 90000,
    LINGER_MS = 2000,
    DRAIN_MS = 1000,        /* for a request that is on its way when we are to go */
    INTERIM_MAX = 10,       /* 1xx before an answer */
    QUEUE_MAX = 256 * 1024, /* who has more to read is not answered again yet */
    TRAILER_FIELDS_MAX = 64,
};

static void settle(void *user);

static bool is_gone(const struct http1_conn *h, const struct http_stream *s)
{
    return h->dead || h->stream != s || s->over;
}

/* ---- ends ---- */

static void free_memory(void *user)
{
    struct http1_conn *h = user;
    loop_timer_free(h->timer);
    buf_done(&h->trailers);
    free(h->text);
    free(h);
}

static void end_stream(struct http1_conn *h, enum http_end end, int code, const char *text)
{
    struct http_stream *s = TAKE(h->stream);
    if (!s->over) {
        s->over = true;
        s->ops->on_over(s, end, code, text, s->user);
    }
    http_stream_free(s);
}

static void tell_closed(struct http1_conn *h)
{
    const char *text = h->text ? h->text : "";
    if (h->stream)
        end_stream(h, h->end, h->code, text);
    if (!h->freed && h->base.ops->on_close)
        h->base.ops->on_close(&h->base, h->code, text, h->base.user);
    free_memory(h);
}

static void start_timer(struct http1_conn *h, uint64_t after_ms, uint64_t default_ms)
{
    loop_timer_start(h->timer, after_ms ? after_ms : default_ms);
}

static void arm_idle(struct http1_conn *h)
{
    const struct http_conn_config *c = h->base.config;
    bool first = !h->base.client && !h->requests && c->first_timeout_ms;
    h->head_begun = false;
    start_timer(h,
                h->draining ? DRAIN_MS
                : first     ? c->first_timeout_ms
                            : c->idle_timeout_ms,
                IDLE_TIMEOUT_MS);
}

/* The last answer is on its way: what the peer still sends is read and dropped, lest a reset
 * overtake it. */
static void linger(struct http1_conn *h)
{
    h->lingering = true;
    conn_finish(h->base.conn);
    conn_resume(h->base.conn);
    start_timer(h, LINGER_MS, LINGER_MS);
}

static void next_on_server(struct http1_conn *h)
{
    struct conn *c = h->base.conn;
    if (h->close || h->draining) {
        if (!conn_eof(c) && (conn_in(c)->n || h->rx != RX_HEAD))
            linger(h);
        else
            conn_close_after_flush(c);
        return;
    }
    if (conn_eof(c) && !conn_in(c)->n) {
        conn_close_after_flush(c);
        return;
    }
    arm_idle(h);
    conn_resume(c);
}

static void next_on_client(struct http1_conn *h)
{
    struct conn *c = h->base.conn;
    if (h->close || h->draining || conn_in(c)->n || conn_eof(c)) {
        http1_die(h, HTTP_END_CLOSED, 0, "");
        return;
    }
    arm_idle(h);
    conn_resume(c);
    if (h->base.ops->on_free)
        h->base.ops->on_free(&h->base, h->base.user);
}

static void settle(void *user)
{
    struct http1_conn *h = user;
    if (h->cutting && h->stream) {
        end_stream(h, HTTP_END_CLOSED, -ECANCELED, "");
    } else if (!h->dead && http1_is_over(h)) {
        bool whole = h->stream->received && h->stream->sent;
        if (!whole || h->raw)
            h->close = true; /* half a message is on the line */
        else
            h->rx = RX_HEAD;
        end_stream(h, HTTP_END_DONE, 0, "");
        h->tx = TX_HEAD;
        if (!h->dead && h->base.client)
            next_on_client(h);
        else if (!h->dead)
            next_on_server(h);
    }
    if (h->dead && !loop_call_is_queued(&h->settle))
        tell_closed(h);
}

static void on_conn_close(struct conn *c, int code, const char *text, void *user)
{
    struct http1_conn *h = user;
    (void)c;
    h->dead = true;
    h->code = code;
    h->end = HTTP_END_CLOSED;
    h->text = xstrdup(code || !h->stream ? text : "the connection was closed");
    if (!code && h->stream)
        h->code = -ECONNRESET;
    loop_timer_stop(h->timer);
    loop_call_cancel(&h->settle);
    tell_closed(h);
}

/* ---- what cannot be read ---- */

static void refuse(struct http1_conn *h, int status, const char *why)
{
    AUTO_DONE(buf) struct buf body = {0};
    const char *type = "text/plain";
    struct http_bad_request bad = {status, why, h->stream != NULL};
    bool answered = h->tx != TX_HEAD;
    if (h->stream) {
        end_stream(h, HTTP_END_PROTOCOL, -EBADMSG, why);
        if (h->dead)
            return;
    }
    if (answered) {
        http1_die(h, HTTP_END_PROTOCOL, -EBADMSG, why);
        return;
    }
    if (h->base.ops->on_bad_request)
        h->base.ops->on_bad_request(&h->base, &bad, &body, &type, h->base.user);
    if (h->dead)
        return;
    struct http_field fields[2];
    struct http_head head = {.fields = fields, .cap = 2, .status = (uint16_t)status};
    char line[64];
    int n = snprintf(line, sizeof(line), "Content-Length: %zu\r\nConnection: close\r\n", body.n);
    if (body.n)
        IGNORE_RESULT(http_head_add(&head, HTTP_NAME_CONTENT_TYPE, str_from(type))); /* fits */
    head.reason = http_status_text(status);
    if (http1_write_response(conn_out(h->base.conn), &head, str_of(line, (size_t)n)) < 0) {
        http1_die(h, HTTP_END_PROTOCOL, -ENOMEM, why);
        return;
    }
    conn_write(h->base.conn, buf_str(&body));
    h->tx = TX_DONE;
    linger(h);
}

/* The peer broke the protocol. */
static void broken(struct http1_conn *h, int code, const char *why)
{
    if (!h->base.client)
        refuse(h,
               code == -E2BIG             ? 431
               : code == -EPROTONOSUPPORT ? 505
               : code == -ENOTSUP         ? 501
                                          : 400,
               why);
    else
        http1_die(h, HTTP_END_PROTOCOL, code, why);
}

static void on_timer(void *user)
{
    struct http1_conn *h = user;
    if (h->head_begun && !h->lingering && !h->cutting)
        refuse(h, 408, "the request's head took too long");
    else
        http1_die(h, HTTP_END_CLOSED, 0, "idle");
}

/* ---- heads ---- */

/* Where a head ends that lies in more than one run. */
static ssize_t scan_runs(const struct chain *in, size_t *scanned)
{
    size_t at = 0;
    uint32_t last = 0;
    for (const struct chain_slice *s = in->first; s; at += s->n, s = s->next)
        for (size_t i = at + s->n <= *scanned ? s->n
                        : at < *scanned       ? *scanned - at
                                              : 0;
             i < s->n; i++) {
            last = last << 8 | (uint8_t)s->p[i];
            if (last == 0x0d0a0d0a)
                return (ssize_t)(at + i + 1);
        }
    *scanned = in->n >= 3 ? in->n - 3 : 0;
    return 0;
}

static ssize_t head_length(struct http1_conn *h, const struct chain *in)
{
    ssize_t n;
    if (in->first == in->last)
        n = http1_head_length(chain_front(in), &h->scanned);
    else
        n = scan_runs(in, &h->scanned);
    size_t max = http_conn_head_max(&h->base);
    if (n > 0 ? (size_t)n > max : in->n > max)
        return -E2BIG;
    return n;
}

/* Copies the head into the stream's memory and reads it there. */
static int read_head(struct http1_conn *h, struct http_stream *s, size_t n, struct err *reterr)
{
    struct http_field fields[HTTP_FIELDS_MAX];
    struct chain *in = conn_in(h->base.conn);
    char *p = arena_alloc_raw(http_stream_arena(s), n);
    if (!p)
        return err_set(reterr, -E2BIG, NULL, "the head is over the stream's memory");
    chain_copy(in, p, n);
    chain_consume(in, n);
    h->scanned = 0;
    s->head.fields = fields;
    s->head.cap = (uint16_t)MIN(http_conn_fields_max(&h->base), (size_t)HTTP_FIELDS_MAX);
    int r = h->base.client ? http1_read_response(str_of(p, n), &s->head, reterr)
                           : http1_read_request(str_of(p, n), &s->head, reterr);
    if (r == 0 && (r = http_stream_keep_fields(s, &s->head)) < 0)
        return err_set(reterr, -E2BIG, NULL, "the head is over the stream's memory");
    if (r < 0) {
        s->head.n = 0;
        s->head.fields = NULL;
    }
    return r;
}

static void skip_empty_lines(struct http1_conn *h)
{
    /* RFC 9112 section 2.2: empty lines before a request are skipped. */
    struct chain *in = conn_in(h->base.conn);
    char two[2];
    while (h->scanned == 0 && in->n >= 2 && (chain_copy(in, two, 2), two[0] == '\r') &&
           two[1] == '\n')
        chain_consume(in, 2);
}

static bool begin_body(struct http1_conn *h, struct http_stream *s)
{
    const struct http_head *head = &s->head;
    h->chunked = (struct http1_chunked){.trailers = &h->trailers};
    h->rx_left = head->content_length;
    h->rx = head->chunked ? RX_CHUNKED : head->content_length > 0 ? RX_LENGTH : RX_DONE;
    s->received = h->rx == RX_DONE;
    return s->received;
}

/* True: a request's head was read and told, and the stream is there. */
static bool take_request(struct http1_conn *h)
{
    struct chain *in = conn_in(h->base.conn);
    struct err err = {0};
    skip_empty_lines(h);
    ssize_t n = in->n ? head_length(h, in) : 0;
    if (n < 0) {
        refuse(h, 431, "the request's head is too large");
        return false;
    }
    if (n == 0) {
        if (in->n && !h->head_begun) {
            h->head_begun = true;
            start_timer(h, h->base.config->head_timeout_ms, HEAD_TIMEOUT_MS);
        }
        return false;
    }
    loop_timer_stop(h->timer);
    h->head_begun = false;
    struct http_stream *s = http_stream_new(&h->base);
    int r = read_head(h, s, (size_t)n, &err);
    if (r == 0 && s->head.minor == 1 && !s->head.has_host)
        r = err_set(&err, -EBADMSG, NULL, "the Host header is missing");
    if (r < 0) {
        http_stream_free(s);
        broken(h, r, err_text(&err));
        return false;
    }
    h->stream = s;
    h->tx = TX_HEAD;
    h->raw = false;
    h->head_only = str_is(s->head.method, "HEAD");
    h->connect = str_is(s->head.method, "CONNECT");
    h->minor_0 = s->head.minor == 0;
    h->requests++;
    h->close = s->head.close ||
               (h->base.config->requests_max && h->requests >= h->base.config->requests_max);
    begin_body(h, s);
    h->base.ops->on_request(&h->base, s, h->base.user);
    ASSERT(is_gone(h, s) || s->ops);
    return !is_gone(h, s);
}

/* Frames the body of the answer; true: there is none. */
static bool frame_answer(struct http1_conn *h, struct http_stream *s)
{
    struct http_head *head = &s->head;
    unsigned status = head->status;
    h->close = h->close || head->close;
    if (status == 101 || (h->connect && status < 300)) {
        h->raw = true;
        h->rx = RX_RAW;
        if (h->tx == TX_DONE)
            s->sent = false;
        h->tx = TX_RAW;
        return false;
    }
    if (h->head_only || status == 204 || status == 304) {
        h->rx = RX_DONE;
        s->received = true;
        return true;
    }
    if (head->content_length == HTTP_LENGTH_NONE && !head->chunked) {
        h->close = true;
        h->rx = RX_UNTIL_CLOSE;
        return false;
    }
    return begin_body(h, s);
}

/* True: the answer's own head was read and told. */
static bool take_answer(struct http1_conn *h)
{
    struct http_stream *s = h->stream;
    struct chain *in = conn_in(h->base.conn);
    struct err err = {0};
    do {
        ssize_t n = in->n ? head_length(h, in) : 0;
        if (n == 0)
            return false;
        if (n < 0) {
            broken(h, -E2BIG, "the answer's head is too large");
            return false;
        }
        int r = read_head(h, s, (size_t)n, &err);
        if (r < 0) {
            broken(h, r, err_text(&err));
            return false;
        }
        bool interim = s->head.status < 200 && s->head.status != 101;
        if (interim && ++h->interim > INTERIM_MAX) {
            broken(h, -E2BIG, "too many interim answers");
            return false;
        }
        bool end = !interim && frame_answer(h, s);
        s->ops->on_head(s, &s->head, end, s->user);
        if (is_gone(h, s))
            return false;
    } while (h->rx == RX_HEAD);
    return true;
}

/* ---- bodies ---- */

static void tell_data(struct http1_conn *h, struct chain *data, bool end)
{
    struct http_stream *s = h->stream;
    if (end) {
        s->received = true;
        h->rx = RX_DONE;
    }
    if (data->n || end)
        s->ops->on_data(s, data, end, s->user);
    chain_done(data);
}

static void tell_trailers(struct http1_conn *h, struct chain *data)
{
    struct http_stream *s = h->stream;
    struct http_field fields[TRAILER_FIELDS_MAX];
    struct http_head trailers = {.fields = fields, .cap = TRAILER_FIELDS_MAX};
    struct err err = {0};
    AUTO_DONE(buf) struct buf section = h->trailers;
    h->trailers = (struct buf){0};
    if (data->n)
        tell_data(h, data, false);
    if (is_gone(h, s))
        return;
    int r = section.failed ? -E2BIG : http1_read_trailers(buf_str(&section), &trailers, &err);
    if (r < 0) {
        broken(h, r, section.failed ? "the trailers are too large" : err_text(&err));
        return;
    }
    s->received = true;
    h->rx = RX_DONE;
    if (s->ops->on_trailers)
        s->ops->on_trailers(s, &trailers, s->user);
    else
        s->ops->on_data(s, data, true, s->user);
}

static void read_chunked(struct http1_conn *h)
{
    struct chain *in = conn_in(h->base.conn), data = {0};
    int r = 0;
    while (in->n && !h->chunked.done) {
        struct str front = chain_front(in), rest = front, piece;
        r = http1_chunked_next(&h->chunked, &rest, &piece);
        if (r < 0)
            break;
        size_t before = r ? (size_t)(piece.p - front.p) : front.n - rest.n;
        chain_consume(in, before);
        if (r)
            chain_move(&data, in, piece.n);
    }
    if (r < 0) {
        chain_done(&data);
        broken(h, -EBADMSG, "malformed chunked body");
    } else if (h->chunked.done && h->trailers.n) {
        tell_trailers(h, &data);
    } else {
        tell_data(h, &data, h->chunked.done);
    }
}

static void read_body(struct http1_conn *h)
{
    struct conn *c = h->base.conn;
    struct chain *in = conn_in(c), data = {0};
    if (h->rx == RX_CHUNKED) {
        read_chunked(h);
    } else if (h->rx == RX_LENGTH) {
        size_t n = (size_t)MIN((int64_t)in->n, h->rx_left);
        chain_move(&data, in, n);
        h->rx_left -= (int64_t)n;
        tell_data(h, &data, h->rx_left == 0);
    } else {
        chain_move_all(&data, in);
        tell_data(h, &data, conn_eof(c) && !conn_truncated(c));
    }
}

/* Is what was asked meanwhile to wait, and is the client still there? */
static void while_answering(struct http1_conn *h)
{
    struct conn *c = h->base.conn;
    struct http_stream *s = h->stream;
    if (conn_in(c)->n)
        conn_pause(c);
    else if (conn_eof(c) && s && s->ops->on_client_end)
        s->ops->on_client_end(s, s->user);
}

static void ended_early(struct http1_conn *h)
{
    if (!h->stream && !h->base.client && !h->head_begun)
        conn_close_after_flush(h->base.conn);
    else if (h->base.client && h->stream)
        http1_die(h, HTTP_END_CLOSED, -ECONNRESET,
                  h->rx == RX_HEAD ? "the connection closed before the answer"
                                   : "the connection closed in the middle of the answer");
    else
        http1_die(h, HTTP_END_CLOSED, h->stream ? -ECONNRESET : 0,
                  "the connection closed in the middle of the request");
}

static bool take_head(struct http1_conn *h)
{
    if (h->base.client)
        return take_answer(h);
    if (conn_queued(h->base.conn) > QUEUE_MAX && !conn_eof(h->base.conn)) {
        h->waits = true; /* who does not read what he asked for may not ask for more */
        conn_pause(h->base.conn);
        return false;
    }
    return take_request(h);
}

static void on_conn_data(struct conn *c, void *user)
{
    struct http1_conn *h = user;
    if (h->cutting) {
        chain_done(conn_in(c));
        return;
    }
    if (h->lingering) {
        chain_done(conn_in(c));
        if (conn_eof(c) && !conn_queued(c))
            http1_die(h, HTTP_END_CLOSED, 0, "");
        return;
    }
    if (h->base.client && !h->stream) {
        http1_die(h, HTTP_END_CLOSED, conn_in(c)->n ? -EBADMSG : 0,
                  conn_in(c)->n ? "an answer that nobody asked for" : "closed by the server");
        return;
    }
    if ((!h->stream || (h->base.client && h->rx == RX_HEAD)) && !take_head(h)) {
        if (!h->dead && !h->lingering && !h->waits && conn_eof(c) &&
            (!h->stream || !h->stream->received))
            ended_early(h);
        return;
    }
    struct http_stream *s = h->stream;
    if (h->rx != RX_DONE) {
        if (s->paused)
            return;
        read_body(h);
        if (is_gone(h, s))
            return;
        if (h->rx != RX_DONE && conn_eof(c)) {
            ended_early(h);
            return;
        }
    }
    if (http1_is_over(h))
        settle(h);
    else if (h->rx == RX_DONE && !h->base.client && !h->raw)
        while_answering(h);
}

static void on_conn_drain(struct conn *c, void *user)
{
    struct http1_conn *h = user;
    if (h->lingering && conn_eof(c)) {
        http1_die(h, HTTP_END_CLOSED, 0, "");
    } else if (h->waits) {
        h->waits = false;
        conn_resume(c);
    } else if (h->stream && !h->stream->over && h->stream->ops->on_drain) {
        h->stream->ops->on_drain(h->stream, h->stream->user);
    }
}

static void on_conn_open(struct conn *c, void *user)
{
    struct http1_conn *h = user;
    (void)c;
    h->opened = true;
    arm_idle(h);
    if (h->base.client && h->base.ops->on_open)
        h->base.ops->on_open(&h->base, h->base.user);
}

/* ---- for the user ---- */

static void set_paused(struct http_stream *s, bool paused)
{
    struct http1_conn *h = http1_of(s);
    s->paused = paused;
    if (s->received)
        return;
    if (paused)
        conn_pause(h->base.conn);
    else
        conn_resume(h->base.conn);
}

/* Of an answer that its head has framed the client sees that it is cut, and gets what there is. */
static void cut(struct http1_conn *h)
{
    h->cutting = true;
    conn_pause(h->base.conn);
    conn_close_after_flush(h->base.conn);
    start_timer(h, LINGER_MS, LINGER_MS);
    http1_settle_later(h);
}

static void abort_stream(struct http_stream *s)
{
    struct http1_conn *h = http1_of(s);
    if (s->over)
        return;
    s->over = true;
    if (h->dead)
        return;
    if (!h->base.client && (h->tx == TX_LENGTH || h->tx == TX_CHUNKED)) {
        cut(h);
        return;
    }
    http1_die(h, HTTP_END_CLOSED, -ECANCELED, "given up");
}

static size_t queued(const struct http_stream *s)
{
    return conn_queued(s->hc->conn);
}

static int open_stream(struct http_conn *hc, struct http_stream **ret)
{
    struct http1_conn *h = (struct http1_conn *)hc;
    if (h->dead || h->draining || h->close || conn_eof(hc->conn))
        return -ENOTCONN;
    if (h->stream || !h->opened)
        return -EAGAIN;
    loop_timer_stop(h->timer);
    h->stream = http_stream_new(hc);
    h->rx = RX_HEAD;
    h->tx = TX_HEAD;
    h->raw = false;
    h->interim = 0;
    h->scanned = 0;
    *ret = h->stream;
    return 0;
}

static unsigned streams_free(const struct http_conn *hc)
{
    const struct http1_conn *h = (const struct http1_conn *)hc;
    return !h->dead && !h->draining && !h->close && !h->stream && h->opened && !conn_eof(hc->conn);
}

/* Nothing but an answer tells an HTTP/1 client to go: a server waits a moment for a request that
 * may be on its way, of a client that is in its handshake, too. */
static void shut_down(struct http_conn *hc)
{
    struct http1_conn *h = (struct http1_conn *)hc;
    if (h->draining || h->dead || h->lingering)
        return;
    h->draining = true;
    if (h->stream)
        return;
    if (hc->client)
        conn_close_after_flush(hc->conn);
    else if (h->opened && !h->head_begun)
        arm_idle(h);
}

static void free_conn(struct http_conn *hc)
{
    struct http1_conn *h = (struct http1_conn *)hc;
    if (h->freed)
        return;
    h->freed = true;
    if (!h->dead)
        http1_die(h, HTTP_END_CLOSED, -ECANCELED, "the connection was closed");
    if (h->stream)
        end_stream(h, HTTP_END_CLOSED, h->code, h->text ? h->text : "");
}

static struct conn *take_conn(struct http_stream *s)
{
    struct http1_conn *h = http1_of(s);
    struct conn *c = h->base.conn;
    ASSERT(!h->dead);
    loop_call_cancel(&h->settle);
    loop_timer_stop(h->timer);
    s->over = true;
    h->dead = h->freed = true;
    conn_resume(c);
    loop_defer(h->loop, &h->settle);
    return c;
}

static const struct http_conn_type http1_type = {
    .send_head = http1_send_head,
    .send_data = http1_send_data,
    .send_trailers = http1_send_trailers,
    .queued = queued,
    .set_paused = set_paused,
    .abort = abort_stream,
    .open = open_stream,
    .shutdown = shut_down,
    .free = free_conn,
    .take_conn = take_conn,
    .streams_free = streams_free,
    .version = 1,
};

struct http_conn *http1_conn_init(struct http1_conn *h, struct conn *c, bool client,
                                  const struct http_conn_config *config,
                                  const struct http_conn_ops *ops, void *user)
{
    static const struct conn_ops conn_ops = {
        .on_open = on_conn_open,
        .on_data = on_conn_data,
        .on_drain = on_conn_drain,
        .on_close = on_conn_close,
    };
    *h = (struct http1_conn){.base = {.type = &http1_type,
                                      .ops = ops,
                                      .user = user,
                                      .config = config ? config : &http_conn_defaults,
                                      .conn = c,
                                      .client = client}};
    h->loop = conn_loop(c);
    h->opened = conn_is_open(c);
    h->trailers.cap = TRAILERS_BYTES_MAX;
    loop_call_init(&h->settle, settle, h);
    h->timer = loop_timer_new(h->loop, on_timer, h);
    if (h->opened)
        arm_idle(h);
    else if (!client) /* a handshake has as long as a head */
        start_timer(h, h->base.config->head_timeout_ms, HEAD_TIMEOUT_MS);
    conn_set_in_bytes_max(c, http_conn_head_max(&h->base) + 1024);
    conn_set_ops(c, &conn_ops, h);
    return &h->base;
}

struct http_conn *http1_conn_new_server(struct conn *c, const struct http_conn_config *config,
                                        const struct http_conn_ops *ops, void *user)
{
    ASSERT(ops->on_request);
    return http1_conn_init(xmalloc(sizeof(struct http1_conn)), c, false, config, ops, user);
}

struct http_conn *http1_conn_new_client(struct conn *c, const struct http_conn_config *config,
                                        const struct http_conn_ops *ops, void *user)
{
    return http1_conn_init(xmalloc(sizeof(struct http1_conn)), c, true, config, ops, user);
}
