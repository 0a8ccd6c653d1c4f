/* The HTTP/1 connection in both roles, over a socket pair and a manual clock: what its user is told
 * stands in a trace, what the peer sees in `peer`. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/time.h"
#include "net/http1_conn.h"
#include "test.h"

struct world {
    struct loop *loop;
    int fd; /* the peer's end */
    struct http_conn *hc;
    struct http_stream *s;
    struct buf trace;
    struct buf peer;
    bool peer_eof;
    bool hold;   /* requests are not answered by themselves */
    bool paused; /* streams are paused as they come */
    bool abort_on_end;
    uint64_t now_us;
};

static void turn(struct world *w)
{
    for (int i = 0; i < 6; i++) {
        char got[65536];
        ssize_t n;
        loop_turn(w->loop, 0);
        while ((n = recv(w->fd, got, sizeof(got), MSG_DONTWAIT)) > 0)
            buf_add(&w->peer, got, (size_t)n);
        w->peer_eof = w->peer_eof || n == 0 || (n < 0 && errno == ECONNRESET);
    }
}

static void give(struct world *w, struct str bytes)
{
    while (bytes.n) {
        ssize_t n = send(w->fd, bytes.p, bytes.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            bytes = str_sub(bytes, (size_t)n, bytes.n);
        else if (errno != EAGAIN)
            return; /* the other end has closed */
        turn(w);
    }
    turn(w);
}

#define GIVE(w, text) give(w, STR(text))

static void expect_trace(struct world *w, const char *want)
{
    assert_string_equal(buf_cstr(&w->trace), want);
    buf_clear(&w->trace);
}

static void expect_peer(struct world *w, const char *want)
{
    turn(w);
    assert_string_equal(buf_cstr(&w->peer), want);
    buf_clear(&w->peer);
}

static void advance(struct world *w, uint64_t ms)
{
    w->now_us += ms * 1000;
    time_set_manual(w->now_us);
    turn(w);
}

/* ---- the user ---- */

static void answer(struct world *w, unsigned status, const char *text)
{
    struct http_field fields[4];
    struct http_head h = {.fields = fields, .cap = 4, .status = (uint16_t)status};
    h.content_length = (int64_t)strlen(text);
    http_stream_send_head(w->s, &h, !*text);
    if (*text)
        http_stream_send_text(w->s, str_from(text), true);
}

static void on_head(struct http_stream *s, struct http_head *h, bool end, void *user)
{
    struct world *w = user;
    (void)s;
    buf_addf(&w->trace, "head %u%s|", h->status, end ? " end" : "");
}

static void on_data(struct http_stream *s, struct chain *data, bool end, void *user)
{
    struct world *w = user;
    (void)s;
    if (data->n > 40)
        buf_addf(&w->trace, "data %zu", data->n);
    else
        buf_addf(&w->trace, "data '" STR_FMT "'", STR_ARG(chain_linear(data, data->n)));
    buf_add_cstr(&w->trace, end ? " end|" : "|");
    if (end && w->s && !w->hold && !http_stream_is_sent(w->s) && http_stream_head(w->s)->method.n)
        answer(w, 200, "ok");
}

static void on_trailers(struct http_stream *s, struct http_head *t, void *user)
{
    struct world *w = user;
    (void)s;
    buf_add_cstr(&w->trace, "trailers");
    for (uint16_t i = 0; i < t->n; i++)
        buf_addf(&w->trace, " %.*s=" STR_FMT, t->fields[i].name_n, t->fields[i].name,
                 STR_ARG(http_field_value(&t->fields[i])));
    buf_add_cstr(&w->trace, "|");
}

static void on_client_end(struct http_stream *s, void *user)
{
    struct world *w = user;
    buf_add_cstr(&w->trace, "client end|");
    if (!w->abort_on_end)
        return;
    w->s = NULL;
    http_stream_abort(s);
}

static void on_drain(struct http_stream *s, void *user)
{
    struct world *w = user;
    (void)s;
    (void)w;
}

static void on_over(struct http_stream *s, enum http_end end, int code, const char *text,
                    void *user)
{
    static const char *const names[] = {"done", "closed", "reset", "refused", "protocol"};
    struct world *w = user;
    (void)code;
    (void)text;
    assert_true(s == w->s);
    w->s = NULL;
    buf_addf(&w->trace, "over %s|", names[end]);
}

static const struct http_stream_ops stream_ops = {
    .on_head = on_head,
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_drain = on_drain,
    .on_client_end = on_client_end,
    .on_over = on_over,
};

static void on_request(struct http_conn *hc, struct http_stream *s, void *user)
{
    struct world *w = user;
    const struct http_head *h = http_stream_head(s);
    (void)hc;
    assert_null(w->s);
    w->s = s;
    http_stream_set_ops(s, &stream_ops, w);
    buf_addf(&w->trace, STR_FMT " " STR_FMT "%s|", STR_ARG(h->method), STR_ARG(h->target),
             http_stream_is_received(s) ? " end" : "");
    if (w->paused)
        http_stream_pause(s);
    if (http_stream_is_received(s) && !w->hold)
        answer(w, 200, "ok");
}

static void on_bad_request(struct http_conn *hc, const struct http_bad_request *bad,
                           struct buf *body, const char **ret_type, void *user)
{
    struct world *w = user;
    (void)hc;
    (void)ret_type;
    buf_addf(&w->trace, "bad %d|", bad->status);
    buf_add_cstr(body, "no");
}

static void on_free(struct http_conn *hc, void *user)
{
    struct world *w = user;
    (void)hc;
    buf_add_cstr(&w->trace, "free|");
}

static void on_close(struct http_conn *hc, int code, const char *text, void *user)
{
    struct world *w = user;
    (void)hc;
    (void)code;
    (void)text;
    w->hc = NULL;
    buf_add_cstr(&w->trace, "close|");
}

static const struct http_conn_ops conn_ops = {.on_request = on_request,
                                              .on_bad_request = on_bad_request,
                                              .on_free = on_free,
                                              .on_close = on_close};

static void ignore_data(struct conn *c, void *user)
{
    (void)c;
    (void)user;
}

static void ignore_close(struct conn *c, int code, const char *text, void *user)
{
    (void)c;
    (void)code;
    (void)text;
    (void)user;
}

static void world_up(struct world *w, bool client)
{
    static const struct conn_ops until_http = {.on_data = ignore_data, .on_close = ignore_close};
    int fds[2];
    memset(w, 0, sizeof(*w));
    w->now_us = 1000000;
    time_set_manual(w->now_us);
    assert_ok(loop_new(&w->loop, NULL));
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
    w->fd = fds[0];
    struct conn *c = conn_new_accepted(w->loop, fds[1], NULL, &until_http, NULL);
    w->hc = client ? http1_conn_new_client(c, NULL, &conn_ops, w)
                   : http1_conn_new_server(c, NULL, &conn_ops, w);
}

static void world_down(struct world *w)
{
    http_conn_free(w->hc);
    turn(w);
    close(w->fd);
    loop_free(w->loop);
    buf_done(&w->trace);
    buf_done(&w->peer);
    time_set_manual(0);
}

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* ---- a server ---- */

static void test_requests_in_any_split(void **state)
{
    static const char text[] =
        "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
        "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    (void)state;
    for (size_t step = 1; step < sizeof(text); step += step < 40 ? 1 : 37) {
        struct world w;
        world_up(&w, false);
        for (size_t at = 0; at < sizeof(text) - 1; at += step)
            give(&w, str_of(text + at, MIN(step, sizeof(text) - 1 - at)));
        expect_peer(&w, OK_ANSWER OK_ANSWER OK_ANSWER);
        assert_non_null(strstr(buf_cstr(&w.trace), "GET /a end|"));
        assert_non_null(strstr(buf_cstr(&w.trace), "POST /b|"));
        assert_non_null(strstr(buf_cstr(&w.trace), "POST /c|"));
        assert_false(w.peer_eof);
        world_down(&w);
    }
}

static void test_pipelined_requests_wait(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false);
    w.hold = true;
    GIVE(&w, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_trace(&w, "GET /1 end|");
    answer(&w, 200, "one");
    turn(&w);
    expect_trace(&w, "over done|GET /2 end|");
    answer(&w, 404, "");
    expect_peer(&w, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"
                    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    world_down(&w);
}

static void test_trailers(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false);
    w.hold = true;
    GIVE(&w, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
             "5\r\nhello\r\n0\r\nA: b\r\n\r\n");
    expect_trace(&w, "POST /|data 'hello'|trailers A=b|");
    struct http_field fields[2];
    struct http_head h = {
        .fields = fields, .cap = 2, .status = 200, .content_length = HTTP_LENGTH_NONE};
    http_stream_send_head(w.s, &h, false);
    http_stream_send_text(w.s, STR("hi"), false);
    struct http_head t = {.fields = fields, .cap = 2};
    assert_ok(http_head_add(&t, HTTP_NAME_GRPC_STATUS, STR("0")));
    http_stream_send_trailers(w.s, &t);
    expect_peer(&w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "2\r\nhi\r\n0\r\ngrpc-status: 0\r\n\r\n");
    expect_trace(&w, "over done|");
    world_down(&w);
}

static void test_an_early_answer_ends_the_connection(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false);
    w.hold = true;
    GIVE(&w, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    expect_trace(&w, "POST /|data 'abc'|");
    answer(&w, 413, "");
    turn(&w);
    expect_peer(&w, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n"
                    "Connection: close\r\n\r\n");
    assert_true(w.peer_eof);
    expect_trace(&w, "over done|");
    /* What still comes is dropped and not taken for a request; no reset overtakes the answer. */
    GIVE(&w, "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_trace(&w, "");
    shutdown(w.fd, SHUT_WR);
    turn(&w);
    expect_trace(&w, "close|");
    world_down(&w);
}

static void test_pause_holds_the_peer_back(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false);
    w.paused = w.hold = true;
    GIVE(&w, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\nabc");
    char zeros[4096] = {0};
    size_t taken = 0;
    for (int i = 0; i < 2000; i++) {
        ssize_t n = send(w.fd, zeros, sizeof(zeros), MSG_DONTWAIT);
        taken += n > 0 ? (size_t)n : 0;
        turn(&w);
    }
    assert_true(taken < 1000000); /* one buffer of ours, and what the kernel holds */
    expect_trace(&w, "POST /|");
    http_stream_resume(w.s);
    turn(&w);
    assert_true(w.trace.n > 0);
    world_down(&w);
}

static void test_bad_requests(void **state)
{
    static const struct {
        const char *bytes;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", 400}, /* no Host */
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505},
        {"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        char trace[32];
        world_up(&w, false);
        give(&w, str_from(cases[i].bytes));
        GIVE(&w, "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
        snprintf(trace, sizeof(trace), "bad %d|", cases[i].status);
        expect_trace(&w, trace);
        assert_non_null(strstr(buf_cstr(&w.peer), "Connection: close\r\n\r\nno"));
        assert_true(w.peer_eof);
        world_down(&w);
    }
}

static void test_a_broken_body_ends_its_stream(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false);
    GIVE(&w, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX");
    expect_trace(&w, "POST /|over protocol|bad 400|");
    assert_true(str_starts(buf_str(&w.peer), STR("HTTP/1.1 400 Bad Request\r\n")));
    world_down(&w);
}

static void test_limits_of_heads(void **state)
{
    AUTO_DONE(buf) struct buf big = {0};
    struct world w;
    (void)state;
    buf_add_cstr(&big, "GET / HTTP/1.1\r\nHost: x\r\nA: ");
    for (int i = 0; i < 50000; i++)
        buf_add_char(&big, 'a');
    buf_add_cstr(&big, "\r\n\r\n");
    world_up(&w, false);
    give(&w, buf_str(&big)); /* in several runs, and well */
    expect_trace(&w, "GET / end|over done|");
    big.n -= 4;
    for (int i = 0; i < 20000; i++)
        buf_add_char(&big, 'a');
    give(&w, buf_str(&big));
    expect_trace(&w, "bad 431|");
    world_down(&w);
    buf_clear(&big);
    buf_add_cstr(&big, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 100; i++)
        buf_addf(&big, "h%d: v\r\n", i);
    buf_add_cstr(&big, "\r\n");
    world_up(&w, false);
    give(&w, buf_str(&big));
    expect_trace(&w, "bad 431|");
    world_down(&w);
}

static void test_http_1_0(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false);
    w.hold = true;
    GIVE(&w, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    answer(&w, 200, "a");
    expect_peer(&w, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\na");
    GIVE(&w, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    struct http_head h = {.status = 200, .content_length = HTTP_LENGTH_NONE};
    http_stream_send_head(w.s, &h, false); /* no chunks for it */
    http_stream_send_text(w.s, STR("until the end"), true);
    expect_peer(&w, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end");
    assert_true(w.peer_eof);
    world_down(&w);
}

static void test_answers_without_body(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false);
    w.hold = true;
    GIVE(&w, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    answer(&w, 200, "not sent");
    expect_peer(&w, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n");
    GIVE(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    answer(&w, 204, "");
    expect_peer(&w, "HTTP/1.1 204 No Content\r\n\r\n");
    GIVE(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    struct http_head go_on = {.status = 103};
    http_stream_send_head(w.s, &go_on, false);
    answer(&w, 200, "x");
    expect_peer(&w,
                "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    world_down(&w);
}

static void test_a_body_not_as_declared_cuts_the_connection(void **state)
{
    static const char *const bodies[] = {"ab", "abcd"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world w;
        world_up(&w, false);
        w.hold = true;
        GIVE(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        struct http_head h = {.status = 200, .content_length = 3};
        http_stream_send_head(w.s, &h, false);
        http_stream_send_text(w.s, str_from(bodies[i]), true);
        turn(&w);
        expect_trace(&w, "GET / end|over closed|close|");
        assert_true(w.peer_eof);
        assert_null(strstr(buf_cstr(&w.peer), bodies[1]));
        w.s = NULL;
        world_down(&w);
    }
}

static void test_clocks(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false);
    advance(&w, 80000);
    GIVE(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_trace(&w, "GET / end|over done|");
    advance(&w, 89000);
    expect_trace(&w, "");
    advance(&w, 2000); /* 90 s idle */
    expect_trace(&w, "close|");
    world_down(&w);
    world_up(&w, false);
    GIVE(&w, "GET / HTT");
    for (int i = 0; i < 9; i++) {
        advance(&w, 1000);
        GIVE(&w, "P");
    }
    expect_trace(&w, "");
    advance(&w, 1100); /* 10 s since its first byte, however busy it was */
    expect_trace(&w, "bad 408|");
    advance(&w, 3000); /* lingering has an end */
    expect_trace(&w, "close|");
    world_down(&w);
}

static void test_draining(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false);
    http_conn_shutdown(w.hc);
    advance(&w, 999);
    assert_false(w.peer_eof); /* a request may be on its way */
    advance(&w, 2);
    expect_trace(&w, "close|");
    assert_true(w.peer_eof);
    world_down(&w);
    for (int before = 0; before < 2;
         before++) { /* it was; of a new client, of one that has stayed */
        world_up(&w, false);
        if (before) {
            GIVE(&w, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
            expect_trace(&w, "GET /a end|over done|");
            expect_peer(&w, OK_ANSWER);
        }
        http_conn_shutdown(w.hc);
        advance(&w, 900);
        GIVE(&w, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n");
        expect_trace(&w, "GET /b end|over done|close|");
        expect_peer(&w, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        assert_true(w.peer_eof);
        world_down(&w);
    }
    world_up(&w, false); /* half of its head: as long as any head may take */
    GIVE(&w, "GET / HTTP/1.1\r\nHo");
    http_conn_shutdown(w.hc);
    advance(&w, 9000);
    GIVE(&w, "st: x\r\n\r\n");
    expect_trace(&w, "GET / end|over done|close|");
    world_down(&w);
    world_up(&w, false);
    w.hold = true;
    GIVE(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    http_conn_shutdown(w.hc);
    turn(&w);
    expect_trace(&w, "GET / end|");
    answer(&w, 200, "last");
    expect_peer(&w, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlast");
    expect_trace(&w, "over done|close|");
    world_down(&w);
}

static void test_who_does_not_read_is_not_answered_again(void **state)
{
    AUTO_DONE(buf) struct buf big = {0};
    struct world w;
    char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    (void)state;
    for (int i = 0; i < 300000; i++)
        buf_add_char(&big, 'x');
    world_up(&w, false);
    w.hold = true;
    unsigned answered = 0;
    for (int i = 0; i < 20; i++) {
        IGNORE_RESULT(send(w.fd, request, sizeof(request) - 1, MSG_DONTWAIT)); /* or is it full? */
        for (int t = 0; t < 6; t++)
            loop_turn(w.loop, 0);
        if (w.s) {
            answer(&w, 200, buf_cstr(&big));
            answered++;
        }
    }
    assert_true(answered >= 1 && answered <= 4);
    for (int i = 0; i < 200; i++) {
        turn(&w);
        if (w.s) {
            answer(&w, 200, "");
            answered++;
        }
    }
    assert_int_equal(answered, 20); /* who reads is served to the end */
    world_down(&w);
}

static void test_the_clients_end(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false);
    w.hold = true;
    GIVE(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    shutdown(w.fd, SHUT_WR);
    turn(&w);
    expect_trace(&w, "GET / end|client end|");
    answer(&w, 200, "all the same");
    expect_peer(&w, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nall the same");
    expect_trace(&w, "over done|close|");
    world_down(&w);
    world_up(&w, false);
    w.hold = w.abort_on_end = true;
    GIVE(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    shutdown(w.fd, SHUT_WR);
    turn(&w);
    expect_trace(&w, "GET / end|client end|close|");
    world_down(&w);
    world_up(&w, false);
    GIVE(&w, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    shutdown(w.fd, SHUT_WR);
    turn(&w);
    expect_trace(&w, "POST /|data 'ab'|over closed|close|");
    world_down(&w);
}

static void test_switching_protocols(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false);
    w.hold = true;
    GIVE(&w, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly");
    expect_trace(&w, "GET / end|"); /* what comes before the answer waits */
    struct http_field fields[2];
    struct http_head h = {
        .fields = fields, .cap = 2, .status = 101, .content_length = HTTP_LENGTH_NONE};
    assert_ok(http_head_add(&h, HTTP_NAME_UPGRADE, STR("echo")));
    http_stream_send_head(w.s, &h, false);
    turn(&w);
    expect_trace(&w, "data 'early'|");
    http_stream_send_text(w.s, STR("raw"), false);
    GIVE(&w, "bytes");
    expect_trace(&w, "data 'bytes'|");
    expect_peer(&w, "HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\n"
                    "Connection: upgrade\r\n\r\nraw");
    shutdown(w.fd, SHUT_WR);
    turn(&w);
    expect_trace(&w, "data '' end|");
    http_stream_send_text(w.s, STR("bye"), true);
    expect_peer(&w, "bye");
    assert_true(w.peer_eof);
    expect_trace(&w, "over done|close|");
    world_down(&w);
}

/* ---- a client ---- */

static void ask(struct world *w, const char *method, const char *body)
{
    struct http_field fields[4];
    struct http_head h = {
        .fields = fields, .cap = 4, .method = str_from(method), .target = STR("/t")};
    h.content_length = *body ? (int64_t)strlen(body) : HTTP_LENGTH_NONE;
    assert_ok(http_head_add(&h, HTTP_NAME_HOST, STR("h")));
    assert_ok(http_conn_open(w->hc, &stream_ops, w, &w->s));
    http_stream_send_head(w->s, &h, !*body);
    if (*body)
        http_stream_send_text(w->s, str_from(body), true);
}

static void test_asking(void **state)
{
    struct world w;
    struct http_stream *second;
    (void)state;
    world_up(&w, true);
    ask(&w, "GET", "");
    assert_int_equal(http_conn_open(w.hc, &stream_ops, &w, &second), -EAGAIN);
    expect_peer(&w, "GET /t HTTP/1.1\r\nhost: h\r\n\r\n");
    GIVE(&w, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nok");
    expect_trace(&w, "head 100|head 200|data 'ok' end|over done|free|");
    ask(&w, "POST", "");
    expect_peer(&w, "POST /t HTTP/1.1\r\nhost: h\r\nContent-Length: 0\r\n\r\n");
    GIVE(&w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n");
    GIVE(&w, "0\r\nx: y\r\n\r\n");
    expect_trace(&w, "head 200|data 'ab'|trailers x=y|over done|free|");
    ask(&w, "HEAD", "");
    GIVE(&w, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n");
    expect_trace(&w, "head 200 end|over done|free|");
    ask(&w, "PUT", "body");
    buf_clear(&w.peer);
    GIVE(&w, "HTTP/1.1 304 Not Modified\r\nContent-Length: 20\r\n\r\n");
    expect_trace(&w, "head 304 end|over done|free|");
    ask(&w, "GET", "");
    GIVE(&w, "HTTP/1.0 200 OK\r\n\r\nuntil");
    GIVE(&w, " the end");
    close(w.fd);
    w.fd = -1;
    for (int i = 0; i < 6; i++)
        loop_turn(w.loop, 0);
    expect_trace(&w, "head 200|data 'until'|data ' the end'|data '' end|over done|close|");
    world_down(&w);
}

/* What a server may do wrong: never is a part told as the whole, nor the connection used again. */
static void test_broken_answers(void **state)
{
    static const struct {
        const char *bytes, *trace;
        bool close;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "head 200|data 'ab'|over closed|close|",
         true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
         "head 200|data 'ab'|over closed|close|", true},
        {"", "over closed|close|", true},
        {"HTTP/1.1 200 OK\r\nConte", "over closed|close|", true},
        {"garbage\r\n\r\n", "over protocol|close|", false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
         "over protocol|close|", false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
         "head 200|data 'ok' end|over done|close|", false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
         "head 200|data 'ok' end|over done|close|", false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
         "head 200|over protocol|close|", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        world_up(&w, true);
        ask(&w, "GET", "");
        turn(&w);
        give(&w, str_from(cases[i].bytes));
        if (cases[i].close)
            shutdown(w.fd, SHUT_WR);
        turn(&w);
        expect_trace(&w, cases[i].trace);
        assert_null(w.hc);
        world_down(&w);
    }
}

static void test_endless_interim_answers(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, true);
    ask(&w, "GET", "");
    for (int i = 0; i < 11; i++)
        GIVE(&w, "HTTP/1.1 103 Early Hints\r\n\r\n");
    assert_true(str_ends(buf_str(&w.trace), STR("head 103|over protocol|close|")));
    world_down(&w);
}

static void test_idle_client_connections(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, true);
    ask(&w, "GET", "");
    GIVE(&w, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect_trace(&w, "head 200 end|over done|free|");
    GIVE(&w, "HTTP/1.1 408 Request Timeout\r\n\r\n"); /* nobody asked */
    expect_trace(&w, "close|");
    world_down(&w);
    world_up(&w, true);
    shutdown(w.fd, SHUT_WR);
    turn(&w);
    expect_trace(&w, "close|");
    world_down(&w);
    world_up(&w, true);
    advance(&w, 91000);
    expect_trace(&w, "close|");
    world_down(&w);
}

static void test_an_answer_before_the_request_is_whole(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, true);
    struct http_field fields[2];
    struct http_head h = {.fields = fields,
                          .cap = 2,
                          .method = STR("POST"),
                          .target = STR("/"),
                          .content_length = HTTP_LENGTH_NONE};
    assert_ok(http_conn_open(w.hc, &stream_ops, &w, &w.s));
    http_stream_send_head(w.s, &h, false);
    http_stream_send_text(w.s, STR("part"), false);
    expect_peer(&w, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
    GIVE(&w, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
    expect_trace(&w, "head 413 end|over done|close|");
    world_down(&w);
}

static void test_giving_up(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, true);
    ask(&w, "GET", "");
    turn(&w);
    http_stream_abort(TAKE(w.s));
    turn(&w);
    expect_trace(&w, "close|"); /* no on_over */
    assert_true(w.peer_eof);
    world_down(&w);
    world_up(&w, false);
    w.hold = true;
    GIVE(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    http_conn_free(TAKE(w.hc)); /* tells the stream, and nobody else */
    turn(&w);
    expect_trace(&w, "GET / end|over closed|");
    world_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_in_any_split),
        cmocka_unit_test(test_pipelined_requests_wait),
        cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_an_early_answer_ends_the_connection),
        cmocka_unit_test(test_pause_holds_the_peer_back),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_a_broken_body_ends_its_stream),
        cmocka_unit_test(test_limits_of_heads),
        cmocka_unit_test(test_http_1_0),
        cmocka_unit_test(test_answers_without_body),
        cmocka_unit_test(test_a_body_not_as_declared_cuts_the_connection),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_draining),
        cmocka_unit_test(test_who_does_not_read_is_not_answered_again),
        cmocka_unit_test(test_the_clients_end),
        cmocka_unit_test(test_switching_protocols),
        cmocka_unit_test(test_asking),
        cmocka_unit_test(test_broken_answers),
        cmocka_unit_test(test_endless_interim_answers),
        cmocka_unit_test(test_idle_client_connections),
        cmocka_unit_test(test_an_answer_before_the_request_is_whole),
        cmocka_unit_test(test_giving_up),
    };
    return RUN_TESTS(tests);
}
