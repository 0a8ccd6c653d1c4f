#pragma once
/* An HTTP/2 connection of ours over a socket pair, a peer by hand at its other end, a clock that is
 * set: what its user is told goes into a trace. */

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/time.h"
#include "http2_rig.h"
#include "net/http2_conn.h"
#include "net/http_auto.h"

enum { STREAMS = 8 };

struct world {
    struct loop *loop;
    int fd; /* the peer's end */
    struct end peer;
    struct http_conn *hc;
    struct http_stream *s[STREAMS]; /* by number of arrival or of opening */
    unsigned n;
    struct buf trace;
    struct buf raw; /* frames by hand, to go before the peer's */
    bool by_hand;   /* what the conn says is not read by `peer` */
    struct chain said;
    bool client;
    bool peer_eof;
    bool echo;   /* requests are answered by themselves */
    bool paused; /* streams are paused as they come */
    bool quiet;  /* data are counted */
    bool pause_on_data;
    const char *abort_on; /* "request", "head", "data", "trailers", "drain" */
    const char *free_on;
    unsigned drains;
    size_t bytes;
    uint64_t now_us;
};

static inline void send_raw(struct world *w, struct chain *out)
{
    while (out->n) {
        struct str run = chain_front(out);
        ssize_t n = send(w->fd, run.p, run.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            chain_consume(out, (size_t)n);
        else if (errno == EAGAIN)
            loop_turn(w->loop, 0);
        else
            chain_done(out);
    }
}

static inline void listen_to(struct world *w)
{
    static char got[1 << 16];
    ssize_t n;
    while ((n = recv(w->fd, got, sizeof(got), MSG_DONTWAIT)) > 0) {
        chain_add(&w->said, str_of(got, (size_t)n));
        if (!w->by_hand)
            IGNORE_RESULT(http2_receive(w->peer.h, &w->said, 1));
    }
    w->peer_eof = w->peer_eof || n == 0 || (n < 0 && errno == ECONNRESET);
}

static inline void turn(struct world *w)
{
    for (int i = 0; i < 10; i++) {
        AUTO_DONE(chain) struct chain out = {0};
        chain_add(&out, buf_str(&w->raw));
        buf_clear(&w->raw);
        if (!w->by_hand)
            assert_ok(http2_send(w->peer.h, &out, 1 << 20));
        send_raw(w, &out);
        loop_turn(w->loop, 0);
        listen_to(w);
    }
}

static inline void expect_trace(struct world *w, const char *want)
{
    assert_string_equal(buf_cstr(&w->trace), want);
    buf_clear(&w->trace);
}

static inline void expect_peer(struct world *w, const char *want)
{
    turn(w);
    expect_log(&w->peer, want);
}

static inline void advance(struct world *w, uint64_t ms)
{
    w->now_us += ms * 1000;
    time_set_manual(w->now_us);
    turn(w);
}

/* ---- the user ---- */

static inline unsigned number(struct world *w, const struct http_stream *s)
{
    for (unsigned i = 0; i < STREAMS; i++)
        if (w->s[i] == s)
            return i;
    fail();
    return 0;
}

static inline void send_answer(struct http_stream *s, unsigned status, const char *text)
{
    struct http_field fields[4];
    struct http_head h = {.fields = fields, .cap = 4, .status = (uint16_t)status};
    h.content_length = (int64_t)strlen(text);
    http_stream_send_head(s, &h, !*text);
    if (*text)
        http_stream_send_text(s, str_from(text), true);
}

/* True: it did something drastic. */
static inline bool drastic(struct world *w, struct http_stream *s, const char *where)
{
    if (w->abort_on && !strcmp(w->abort_on, where)) {
        w->s[number(w, s)] = NULL;
        http_stream_abort(s);
        return true;
    }
    if (w->free_on && !strcmp(w->free_on, where)) {
        struct http_conn *hc = TAKE(w->hc);
        w->free_on = NULL;
        http_conn_free(hc);
        return true;
    }
    return false;
}

static inline void on_head(struct http_stream *s, struct http_head *h, bool end, void *user)
{
    struct world *w = user;
    buf_addf(&w->trace, "%u head %u%s|", number(w, s), h->status, end ? " end" : "");
    drastic(w, s, "head");
}

static inline void on_data(struct http_stream *s, struct chain *data, bool end, void *user)
{
    struct world *w = user;
    w->bytes += data->n;
    if (w->pause_on_data)
        http_stream_pause(s);
    if (!w->quiet)
        buf_addf(&w->trace, "%u data '" STR_FMT "'%s|", number(w, s),
                 STR_ARG(chain_linear(data, data->n)), end ? " end" : "");
    else if (end)
        buf_addf(&w->trace, "%u end|", number(w, s));
    if (!drastic(w, s, "data") && end && w->echo)
        send_answer(s, 200, "ok");
}

static inline void on_trailers(struct http_stream *s, struct http_head *t, void *user)
{
    struct world *w = user;
    buf_addf(&w->trace, "%u trailers", number(w, s));
    for (uint16_t i = 0; i < t->n; i++)
        buf_addf(&w->trace, " %.*s=" STR_FMT, t->fields[i].name_n, t->fields[i].name,
                 STR_ARG(http_field_value(&t->fields[i])));
    buf_add_cstr(&w->trace, "|");
    drastic(w, s, "trailers");
}

static inline void on_drain(struct http_stream *s, void *user)
{
    struct world *w = user;
    w->drains++;
    assert_int_equal(http_stream_queued(s), 0);
    drastic(w, s, "drain");
}

static inline void on_over(struct http_stream *s, enum http_end end, int code, const char *text,
                           void *user)
{
    static const char *const names[] = {"done", "closed", "reset", "refused", "protocol"};
    struct world *w = user;
    (void)code;
    (void)text;
    unsigned i = number(w, s);
    w->s[i] = NULL;
    buf_addf(&w->trace, "%u over %s|", i, names[end]);
}

static const struct http_stream_ops stream_ops = {
    .on_head = on_head,
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_drain = on_drain,
    .on_over = on_over,
};

static inline void on_request(struct http_conn *hc, struct http_stream *s, void *user)
{
    struct world *w = user;
    const struct http_head *h = http_stream_head(s);
    bool end = http_stream_is_received(s);
    assert_true(http_stream_conn(s) == hc);
    unsigned i = w->n++ % STREAMS;
    w->s[i] = s;
    http_stream_set_ops(s, &stream_ops, w);
    buf_addf(&w->trace, "%u " STR_FMT " " STR_FMT "%s|", i, STR_ARG(h->method), STR_ARG(h->target),
             end ? " end" : "");
    if (w->paused)
        http_stream_pause(s);
    if (!drastic(w, s, "request") && end && w->echo)
        send_answer(s, 200, "ok");
}

static inline void on_open(struct http_conn *hc, void *user)
{
    struct world *w = user;
    (void)hc;
    buf_addf(&w->trace, "open|");
}

static inline void on_free(struct http_conn *hc, void *user)
{
    struct world *w = user;
    buf_addf(&w->trace, "free %u|", http_conn_streams_free(hc));
}

static inline void on_close(struct http_conn *hc, int code, const char *text, void *user)
{
    struct world *w = user;
    (void)hc;
    (void)text;
    w->hc = NULL;
    buf_addf(&w->trace, "close%s|", code ? " badly" : "");
}

static const struct http_conn_ops conn_ops = {
    .on_request = on_request, .on_open = on_open, .on_free = on_free, .on_close = on_close};

static inline void world_up(struct world *w, bool client, const struct http2_limits *peer_limits)
{
    int fds[2];
    memset(w, 0, sizeof(*w));
    w->now_us = 1000000;
    w->client = client;
    time_set_manual(w->now_us);
    assert_ok(loop_new(&w->loop, NULL));
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
    w->fd = fds[0];
    end_init(&w->peer, client ? HTTP2_SERVER : HTTP2_CLIENT, peer_limits);
    struct conn *c = conn_new_accepted(w->loop, fds[1], NULL, &conn_no_ops, NULL);
    w->hc = client ? http2_conn_new_client(c, NULL, &conn_ops, w)
                   : http2_conn_new_server(c, NULL, &conn_ops, w);
    turn(w);
}

static inline void world_down(struct world *w)
{
    http_conn_free(w->hc);
    turn(w);
    close(w->fd);
    end_done(&w->peer);
    loop_turn(w->loop, 0);
    loop_free(w->loop);
    buf_done(&w->trace);
    buf_done(&w->raw);
    chain_done(&w->said);
    time_set_manual(0);
}

/* ---- the peer ---- */

static inline int32_t ask(struct world *w, const char *method, const char *path, bool end)
{
    struct rig_head r;
    int32_t id = 0;
    assert_ok(http2_open(w->peer.h, w->peer.arena, &w->peer,
                         rig_request(&r, method, path, LIST("host", "a")), end, &id));
    return id;
}

static inline void peer_answers(struct world *w, int32_t id, int status, bool end)
{
    struct rig_head r;
    assert_ok(http2_send_head(w->peer.h, id, rig_answer(&r, status, NULL), end));
}

static inline void send_much(struct end *e, int32_t id, size_t n, bool end)
{
    AUTO_DONE(chain) struct chain c = {0};
    static const char piece[1000];
    for (; n; n -= MIN(n, sizeof(piece)))
        chain_add(&c, str_of(piece, MIN(n, sizeof(piece))));
    http2_send_data(e->h, id, &c, end);
}

static inline struct http_stream *open_one(struct world *w, const char *method, bool end)
{
    struct rig_head r;
    struct http_stream *s;
    assert_ok(http_conn_open(w->hc, &stream_ops, w, &s));
    w->s[w->n++ % STREAMS] = s;
    http_stream_send_head(s, rig_request(&r, method, "/", LIST("host", "a")), end);
    return s;
}
