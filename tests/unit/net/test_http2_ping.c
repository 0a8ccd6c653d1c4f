/* Is the peer of an HTTP/2 connection there? Over a socket pair and a manual clock; the peer is an
 * end of the codec's own, or says what it is told to by hand. */
#include <errno.h>
#include <sys/socket.h>

#include "base/time.h"
#include "http2_rig.h"
#include "net/http2_conn.h"

static const struct http_conn_config pings = {.ping_interval_ms = 5000, .ping_timeout_ms = 1000};

struct world {
    struct loop *loop;
    int fd; /* the peer's end */
    struct end peer;
    struct http_conn *hc; /* NULL: it is over */
    struct chain said;
    bool by_hand; /* nobody answers */
    uint64_t now_us;
};

static void on_request(struct http_conn *hc, struct http_stream *s, void *user)
{
    (void)hc, (void)s, (void)user;
    fail();
}

static void on_close(struct http_conn *hc, int code, const char *text, void *user)
{
    struct world *w = user;
    (void)hc;
    assert_int_equal(code, -ETIMEDOUT);
    assert_string_equal(text, "the peer does not answer: keepalive");
    w->hc = NULL;
}

static const struct http_conn_ops conn_ops = {.on_request = on_request, .on_close = on_close};

static void say(struct world *w, struct str text)
{
    assert_int_equal(send(w->fd, text.p, text.n, MSG_NOSIGNAL), (ssize_t)text.n);
}

static void turn(struct world *w)
{
    static char got[1 << 12];
    for (int i = 0; i < 5; i++) {
        AUTO_DONE(chain) struct chain out = {0};
        ssize_t n;
        if (!w->by_hand)
            assert_ok(http2_send(w->peer.h, &out, 1 << 16));
        if (out.n)
            say(w, chain_linear(&out, out.n));
        loop_turn(w->loop, 0);
        while ((n = recv(w->fd, got, sizeof(got), MSG_DONTWAIT)) > 0) {
            chain_add(&w->said, str_of(got, (size_t)n));
            if (!w->by_hand)
                IGNORE_RESULT(http2_receive(w->peer.h, &w->said, 1));
        }
    }
}

static void advance(struct world *w, uint64_t ms)
{
    w->now_us += ms * 1000;
    time_set_manual(w->now_us);
    turn(w);
}

static void world_up(struct world *w, bool client, const struct http_conn_config *config)
{
    int fds[2];
    *w = (struct world){.now_us = 1000000};
    time_set_manual(w->now_us);
    assert_ok(loop_new(&w->loop, NULL));
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
    w->fd = fds[0];
    end_init(&w->peer, client ? HTTP2_SERVER : HTTP2_CLIENT, NULL);
    struct conn *c = conn_new_accepted(w->loop, fds[1], NULL, &conn_no_ops, NULL);
    w->hc = client ? http2_conn_new_client(c, config, &conn_ops, w)
                   : http2_conn_new_server(c, config, &conn_ops, w);
    turn(w);
}

static void world_down(struct world *w)
{
    if (w->hc)
        http_conn_free(w->hc);
    turn(w);
    close(w->fd);
    end_done(&w->peer);
    loop_turn(w->loop, 0);
    loop_free(w->loop);
    chain_done(&w->said);
    time_set_manual(0);
}

/* A peer that answers is kept; one that says nothing any more is not. */
static void test_who_answers(void **state)
{
    struct world w;
    (void)state;
    for (int client = 0; client < 2; client++) {
        world_up(&w, client, &pings);
        for (int i = 0; i < 5; i++) {
            advance(&w, 4999);
            advance(&w, 2); /* it is asked, and answers */
            advance(&w, 1001);
            assert_non_null(w.hc);
        }
        w.by_hand = true;
        advance(&w, 5001);
        advance(&w, 999);
        assert_non_null(w.hc);
        advance(&w, 2);
        assert_null(w.hc);
        world_down(&w);
    }
}

/* It is there if it says anything: its answer stands behind that. */
static void test_a_word_counts(void **state)
{
    struct world w;
    AUTO_DONE(buf) struct buf word = {0};
    (void)state;
    world_up(&w, true, &pings);
    w.by_hand = true;
    add_frame(&word, PING, 0, 0, STR("12345678"));
    advance(&w, 5001);
    for (int i = 0; i < 3; i++) {
        advance(&w, 900);
        say(&w, buf_str(&word));
        turn(&w);
    }
    advance(&w, 900);
    assert_non_null(w.hc);
    advance(&w, 101);
    assert_null(w.hc);
    world_down(&w);
}

static void test_nobody_asks(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, true, NULL);
    w.by_hand = true;
    chain_done(&w.said);
    advance(&w, 60000);
    assert_non_null(w.hc);
    assert_int_equal(w.said.n, 0);
    world_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_answers),
        cmocka_unit_test(test_a_word_counts),
        cmocka_unit_test(test_nobody_asks),
    };
    return RUN_TESTS(tests);
}
