/* Which version of HTTP a connection speaks: by its first bytes, by ALPN. */
#include "http2_conn_world.h"

static void auto_up(struct world *w)
{
    int fds[2];
    world_up(w, false, NULL);
    http_conn_free(TAKE(w->hc));
    turn(w);
    close(w->fd);
    end_done(&w->peer);
    chain_done(&w->said);
    end_init(&w->peer, HTTP2_CLIENT, NULL);
    w->peer_eof = false;
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
    w->fd = fds[0];
    struct conn *c = conn_new_accepted(w->loop, fds[1], NULL, &conn_no_ops, NULL);
    w->hc = http_auto_conn_new_server(c, NULL, &conn_ops, w);
}

static void expect_chosen(const char *text, size_t n, size_t step, unsigned version)
{
    struct world w;
    auto_up(&w);
    w.by_hand = w.echo = true;
    for (size_t at = 0; at < n; at += step) {
        assert_int_equal(http_conn_version(w.hc) > 0, at >= (version == 2 ? 24 : 1));
        buf_add(&w.raw, text + at, MIN(step, n - at));
        turn(&w);
    }
    assert_int_equal(http_conn_version(w.hc), version);
    expect_trace(&w, "0 GET / end|0 over done|");
    world_down(&w);
}

static void test_the_first_bytes_choose(void **state)
{
    static const char http1[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    AUTO_DONE(buf) struct buf http2 = {0};
    struct world w;
    (void)state;
    add_preface(&http2, true);
    add_head(&http2, 1, true, LIST(":method", "GET", ":scheme", "http", ":path", "/", "host", "a"));
    for (size_t step = 1; step < 100; step += 11) {
        expect_chosen(http1, sizeof(http1) - 1, step, 1);
        expect_chosen(http2.p, http2.n, step, 2);
    }
    auto_up(&w); /* neither */
    w.by_hand = true;
    buf_add_cstr(&w.raw, "PRI * HT");
    turn(&w);
    shutdown(w.fd, SHUT_WR);
    turn(&w);
    expect_trace(&w, "close|");
    assert_true(w.peer_eof);
    world_down(&w);
    auto_up(&w); /* nothing, for too long */
    w.by_hand = true;
    turn(&w);
    buf_add_cstr(&w.raw, "P");
    advance(&w, 80000);
    buf_add_cstr(&w.raw, "R");
    advance(&w, 9999);
    assert_false(w.peer_eof);
    advance(&w, 2);
    assert_true(w.peer_eof);
    expect_trace(&w, "close|");
    world_down(&w);
    auto_up(&w); /* told to go: a moment for what may be on its way */
    w.by_hand = true;
    http_conn_shutdown(w.hc);
    advance(&w, 999);
    assert_false(w.peer_eof);
    advance(&w, 2);
    expect_trace(&w, "close|");
    world_down(&w);
    auto_up(&w);
    w.by_hand = w.echo = true;
    http_conn_shutdown(w.hc);
    buf_add_cstr(&w.raw, http1);
    turn(&w);
    expect_trace(&w, "0 GET / end|0 over done|close|");
    assert_true(w.peer_eof);
    world_down(&w);
    auto_up(&w);
    world_down(&w); /* freed before it is chosen */
}

static struct tls_context *context(bool client, struct str cert, struct str key, size_t n_alpn,
                                   const struct str *alpn)
{
    struct tls_config c = {
        .cert_pem = cert, .key_pem = key, .insecure = client, .alpn = alpn, .n_alpn = n_alpn};
    struct tls_context *ret = NULL;
    if (client)
        assert_ok(tls_context_new_client(&c, &ret, NULL));
    else
        assert_ok(tls_context_new_server(&c, &ret, NULL));
    return ret;
}

/* Both ends are ours; the client offers alpn. A server that is told to go in the handshake answers
 * what is asked first. */
static void expect_agreed(struct str cert, struct str key, size_t n_alpn, const struct str *alpn,
                          unsigned version, bool goes)
{
    static const struct str both[] = {{"h2", 2}, {"http/1.1", 8}};
    struct world w, c = {0};
    int fds[2];
    auto_up(&w);
    http_conn_free(TAKE(w.hc));
    w.by_hand = w.echo = true;
    struct conn_options so = {.tls = context(false, cert, key, 2, both)};
    struct conn_options co = {.tls = context(true, STR(""), STR(""), n_alpn, alpn)};
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
    w.hc = http_auto_conn_new_server(conn_new_accepted(w.loop, fds[0], &so, &conn_no_ops, NULL),
                                     NULL, &conn_ops, &w);
    c.hc = http_auto_conn_new_client(conn_new_accepted(w.loop, fds[1], &co, &conn_no_ops, NULL),
                                     NULL, &conn_ops, &c);
    c.loop = w.loop;
    c.client = true;
    struct http_stream *s;
    assert_int_equal(http_conn_open(c.hc, &stream_ops, &c, &s), -EAGAIN);
    if (goes)
        http_conn_shutdown(w.hc);
    turn(&w);
    expect_trace(&c, "open|");
    assert_int_equal(http_conn_version(c.hc), version);
    open_one(&c, "GET", true);
    turn(&w);
    if (!goes)
        assert_int_equal(http_conn_version(w.hc), version);
    expect_trace(&w, goes ? "0 GET / end|0 over done|close|" : "0 GET / end|0 over done|");
    assert_non_null(
        strstr(buf_cstr(&c.trace), goes ? "0 head 200|0 data 'ok' end|0 over done|close"
                                        : "0 head 200|0 data 'ok' end|0 over done|free "));
    if (!goes)
        http_conn_free(c.hc);
    buf_done(&c.trace);
    world_down(&w);
    tls_context_unref(so.tls);
    tls_context_unref(co.tls);
}

static void test_alpn_chooses(void **state)
{
    static const struct str h2[] = {{"h2", 2}}, http1[] = {{"http/1.1", 8}};
    AUTO_DONE(buf) struct buf cert = {0};
    AUTO_DONE(buf) struct buf key = {0};
    struct tls_cert_request r = {.common_name = "a", .server = true, .days = 10};
    (void)state;
    assert_ok(tls_cert_issue(&r, STR(""), STR(""), &cert, &key, NULL));
    expect_agreed(buf_str(&cert), buf_str(&key), 1, h2, 2, false);
    expect_agreed(buf_str(&cert), buf_str(&key), 1, http1, 1, false);
    expect_agreed(buf_str(&cert), buf_str(&key), 1, http1, 1, true);
    expect_agreed(buf_str(&cert), buf_str(&key), 0, NULL, 1, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_bytes_choose),
        cmocka_unit_test(test_alpn_chooses),
    };
    return RUN_TESTS(tests);
}
