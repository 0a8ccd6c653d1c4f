/* The HTTP/2 connection in both roles, over a socket pair and a manual clock. Its user's trace is
 * in `trace`; the peer is an end of the codec's own (http2_rig.h), whose log tells what it saw, or
 * frames by hand. */
#include "http2_conn_world.h"

/* ---- a server ---- */

static void test_messages_both_ways(void **state)
{
    struct world w;
    struct rig_head r;
    (void)state;
    world_up(&w, false, NULL);
    w.echo = true;
    ask(&w, "GET", "/a", true);
    int32_t id = ask(&w, "POST", "/b", false);
    ask(&w, "GET", "/c", true);
    turn(&w);
    expect_trace(&w, "0 GET /a end|1 POST /b|2 GET /c end|0 over done|2 over done|");
    expect_peer(&w, "1 200 content-length=2\n5 200 content-length=2\n1 data ok end\n1 closed\n"
                    "5 data ok end\n5 closed\n");
    send_text(&w.peer, id, "some", false);
    turn(&w);
    expect_trace(&w, "1 data 'some'|");
    w.echo = false;
    assert_ok(http2_send_trailers(w.peer.h, id, rig_answer(&r, 0, LIST("x-sum", "1"))));
    turn(&w);
    expect_trace(&w, "1 trailers x-sum=1|");
    struct http_head interim = {.status = 103}, head = {.status = 200, .content_length = -1};
    http_stream_send_head(w.s[1], &interim, false);
    http_stream_send_head(w.s[1], &head, false);
    http_stream_send_text(w.s[1], STR("text"), false);
    http_stream_send_trailers(w.s[1], rig_answer(&r, 0, LIST("grpc-status", "0")));
    assert_true(http_stream_is_sent(w.s[1]));
    expect_peer(&w, "3 103\n3 200\n3 data text\n3 trailers grpc-status=0\n3 closed\n");
    expect_trace(&w, "1 over done|");
    world_down(&w);
}

static void test_answers_without_a_body(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false, NULL);
    w.echo = true;
    ask(&w, "HEAD", "/", true);
    turn(&w);
    expect_peer(&w, "1 200 content-length=2\n1 data  end\n1 closed\n");
    w.echo = false;
    ask(&w, "GET", "/", true);
    turn(&w);
    send_answer(w.s[1], 204, "");
    expect_peer(&w, "3 204 end\n3 closed\n");
    world_down(&w);
}

static void test_a_body_not_as_declared_breaks_its_stream(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false, NULL);
    for (int i = 0; i < 2; i++) {
        int32_t id = ask(&w, "GET", "/", true);
        turn(&w);
        struct http_field fields[1];
        struct http_head h = {.fields = fields, .cap = 1, .status = 200, .content_length = 3};
        http_stream_send_head(w.s[i], &h, false);
        http_stream_send_text(w.s[i], i ? STR("four") : STR("12"), true);
        expect_trace(&w, i ? "1 GET / end|" : "0 GET / end|");
        turn(&w);
        expect_trace(&w, i ? "1 over closed|" : "0 over closed|");
        char want[64];
        snprintf(want, sizeof(want), "%d reset 2", id);
        assert_non_null(strstr(buf_cstr(&w.peer.log), want));
    }
    world_down(&w);
}

static void test_pause_holds_the_peer_back(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false, NULL);
    w.paused = w.quiet = true;
    int32_t id = ask(&w, "POST", "/", false);
    send_much(&w.peer, id, 1000000, true);
    int32_t other = ask(&w, "POST", "/", false);
    turn(&w);
    expect_trace(&w, "0 POST /|1 POST /|");
    assert_int_equal(w.bytes, 0);
    assert_int_equal(http2_queued(w.peer.h, id), 1000000 - 256 * 1024);
    http_stream_resume(w.s[1]); /* the others go on */
    send_text(&w.peer, other, "abc", true);
    turn(&w);
    assert_int_equal(w.bytes, 3);
    expect_trace(&w, "1 end|");
    http_stream_resume(w.s[0]);
    assert_int_equal(w.bytes, 3); /* never from inside the call */
    for (int i = 0; i < 10; i++)
        turn(&w);
    assert_int_equal(w.bytes, 1000003);
    expect_trace(&w, "0 end|");
    world_down(&w);
    /* Piece by piece. */
    world_up(&w, false, NULL);
    w.quiet = w.pause_on_data = true;
    id = ask(&w, "POST", "/", false);
    send_much(&w.peer, id, 1000000, true);
    turn(&w);
    for (int i = 0; w.s[0] && !http_stream_is_received(w.s[0]) && i < 100; i++) {
        size_t before = w.bytes;
        assert_true(before > 0);
        turn(&w);
        assert_int_equal(w.bytes, before);
        http_stream_resume(w.s[0]);
        turn(&w);
        assert_in_range(w.bytes - before, 1, 256 * 1024);
    }
    assert_int_equal(w.bytes, 1000000);
    world_down(&w);
}

static void test_the_peers_windows_hold_us_back(void **state)
{
    static const struct http2_limits small = {.stream_window = 1000, .connection_window = 100000};
    struct world w;
    (void)state;
    world_up(&w, false, &small);
    w.peer.holds = w.peer.quiet = true;
    ask(&w, "GET", "/", true);
    ask(&w, "GET", "/", true);
    turn(&w);
    for (int i = 0; i < 2; i++) {
        struct http_head h = {.status = 200, .content_length = -1};
        http_stream_send_head(w.s[i], &h, false);
        for (int k = 0; k < 50; k++)
            http_stream_send_text(w.s[i], STR("0123456789012345678901234567890123456789"), false);
    }
    turn(&w);
    assert_int_equal(w.peer.data_bytes, 2000);
    assert_int_equal(http_stream_queued(w.s[0]), 1000);
    assert_int_equal(w.drains, 0);
    http2_consume(w.peer.h, 1, 1000);
    turn(&w);
    assert_int_equal(w.drains, 1);
    assert_int_equal(http_stream_queued(w.s[0]), 0);
    assert_int_equal(http_stream_queued(w.s[1]), 1000);
    /* Who never reads a whole answer is given up. */
    http_stream_send_text(w.s[1], STR("x"), true);
    buf_clear(&w.trace);
    for (int i = 0; i < 4; i++)
        advance(&w, 61000);
    expect_trace(&w, "");
    for (int i = 0; i < 3; i++)
        advance(&w, 61000);
    expect_trace(&w, "1 over closed|");
    world_down(&w);
}

static void test_an_answer_before_the_request_is_whole(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false, NULL);
    ask(&w, "POST", "/", false);
    turn(&w);
    send_answer(w.s[0], 413, "no");
    expect_peer(&w, "1 413 content-length=2\n1 data no end\n1 reset 0\n");
    expect_trace(&w, "0 POST /|0 over done|");
    world_down(&w);
}

static void test_resets(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false, NULL);
    int32_t id = ask(&w, "POST", "/", false);
    turn(&w);
    http2_reset(w.peer.h, id, HTTP2_CANCEL);
    turn(&w);
    expect_trace(&w, "0 POST /|0 over reset|");
    ask(&w, "GET", "/", true);
    turn(&w);
    http_stream_abort(TAKE(w.s[1]));
    expect_peer(&w, "3 reset 2\n");
    expect_trace(&w, "1 GET / end|");
    /* A malformed message is its stream's end. */
    add_head(&w.raw, 5, false,
             LIST(":method", "POST", ":scheme", "http", ":path", "/", "host", "a", "content-length",
                  "1"));
    add_frame(&w.raw, DATA, END_STREAM, 5, STR("22"));
    w.by_hand = true;
    turn(&w);
    expect_trace(&w, "2 POST /|2 over protocol|");
    world_down(&w);
}

static void drastic_ones(bool free_it)
{
    static const char *const where[] = {"request", "data", "trailers", "drain"};
    for (size_t i = 0; i < ARRAY_LEN(where); i++) {
        struct world w;
        struct rig_head r;
        world_up(&w, false, NULL);
        if (free_it)
            w.free_on = where[i];
        else
            w.abort_on = where[i];
        w.quiet = true;
        int32_t id = ask(&w, "POST", "/", false);
        int32_t other = ask(&w, "POST", "/", false);
        send_text(&w.peer, id, "text", false);
        IGNORE_RESULT(http2_send_trailers(w.peer.h, id, rig_answer(&r, 0, LIST("a", "b"))));
        send_text(&w.peer, other, "text", true);
        turn(&w);
        if (w.s[0] && i == 3) {
            struct http_head h = {.status = 200, .content_length = -1};
            http_stream_send_head(w.s[0], &h, false);
            http_stream_send_text(w.s[0], STR("x"), false);
            turn(&w);
        }
        assert_null(w.s[0]);
        assert_true(free_it ? w.hc == NULL : w.hc != NULL);
        world_down(&w);
    }
}

static void test_drastic_callbacks(void **state)
{
    (void)state;
    drastic_ones(false);
    drastic_ones(true);
}

static void test_draining(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false, NULL);
    ask(&w, "GET", "/a", true);
    turn(&w);
    http_conn_shutdown(w.hc);
    ask(&w, "GET", "/b", true); /* on its way when the word comes */
    turn(&w);
    expect_trace(&w, "0 GET /a end|1 GET /b end|");
    expect_peer(&w, "goaway 2147483647 0\ngoaway 3 0\n");
    send_answer(w.s[0], 200, "a");
    turn(&w);
    expect_trace(&w, "0 over done|");
    assert_false(w.peer_eof);
    send_answer(w.s[1], 200, "b");
    turn(&w);
    assert_true(w.peer_eof);
    shutdown(w.fd, SHUT_WR);
    turn(&w);
    expect_trace(&w, "1 over done|close|");
    world_down(&w);
    /* Nothing is open, and yet something may be on its way. */
    world_up(&w, false, NULL);
    w.echo = true;
    http_conn_shutdown(w.hc);
    loop_turn(w.loop, 0);
    ask(&w, "GET", "/a", true);
    turn(&w);
    expect_trace(&w, "0 GET /a end|0 over done|");
    assert_true(w.peer_eof);
    world_down(&w);
    /* Who does not confirm is not waited for. */
    world_up(&w, false, NULL);
    w.by_hand = true;
    http_conn_shutdown(w.hc);
    turn(&w);
    assert_false(w.peer_eof);
    advance(&w, 1001);
    assert_true(w.peer_eof);
    advance(&w, 2001);
    expect_trace(&w, "close|");
    world_down(&w);
}

static void test_clocks(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false, NULL);
    ask(&w, "GET", "/a", true);
    turn(&w);
    advance(&w, 3600 * 1000);
    assert_false(w.peer_eof);
    send_answer(w.s[0], 200, "");
    turn(&w);
    advance(&w, 89000);
    assert_false(w.peer_eof);
    w.echo = true;
    ask(&w, "GET", "/b", true);
    turn(&w);
    advance(&w, 89000);
    assert_false(w.peer_eof);
    advance(&w, 1001);
    assert_true(w.peer_eof);
    shutdown(w.fd, SHUT_WR);
    turn(&w);
    expect_trace(&w, "0 GET /a end|0 over done|1 GET /b end|1 over done|close|");
    world_down(&w);
    /* Half a head. */
    world_up(&w, false, NULL);
    w.by_hand = true;
    add_frame(&w.raw, HEADERS, END_STREAM, 1, STR("\x82"));
    turn(&w);
    advance(&w, 9999);
    expect_trace(&w, "");
    advance(&w, 2);
    expect_trace(&w, "close badly|");
    world_down(&w);
}

static void test_ends_of_the_connection(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, false, NULL);
    ask(&w, "POST", "/a", false);
    turn(&w);
    shutdown(w.fd, SHUT_WR);
    turn(&w);
    expect_trace(&w, "0 POST /a|0 over closed|close badly|");
    world_down(&w);
    world_up(&w, false, NULL);
    ask(&w, "POST", "/a", false);
    turn(&w);
    add_frame(&w.raw, HEADERS, END_STREAM, 0, STR(""));
    turn(&w);
    expect_peer(&w, "goaway 1 1\n");
    assert_true(w.peer_eof);
    buf_add_cstr(&w.raw, "more"); /* is read, lest a reset overtake the word */
    turn(&w);
    assert_non_null(w.hc);
    shutdown(w.fd, SHUT_WR);
    turn(&w);
    expect_trace(&w, "0 POST /a|0 over protocol|close badly|");
    world_down(&w);
}

/* ---- a client ---- */

static void test_asking(void **state)
{
    struct world w;
    struct rig_head r;
    (void)state;
    world_up(&w, true, NULL);
    assert_int_equal(http_conn_version(w.hc), 2);
    open_one(&w, "GET", true);
    struct http_stream *s = open_one(&w, "POST", false);
    http_stream_send_text(s, STR("abc"), true);
    expect_peer(&w, "1 GET http / host=a end\n3 POST http / host=a\n3 data abc end\n");
    peer_answers(&w, 3, 200, false);
    send_text(&w.peer, 3, "xyz", true);
    turn(&w);
    expect_trace(&w, "1 head 200|1 data 'xyz' end|1 over done|free 99|");
    peer_answers(&w, 1, 103, false);
    peer_answers(&w, 1, 200, false);
    assert_ok(http2_send_trailers(w.peer.h, 1, rig_answer(&r, 0, LIST("grpc-status", "0"))));
    turn(&w);
    expect_trace(&w, "0 head 103|0 head 200|0 trailers grpc-status=0|0 over done|free 100|");
    open_one(&w, "HEAD", true);
    turn(&w);
    peer_answers(&w, 5, 200, true);
    turn(&w);
    expect_trace(&w, "2 head 200 end|2 over done|free 100|");
    world_down(&w);
}

static void test_an_answer_that_does_not_wait(void **state)
{
    struct world w;
    (void)state;
    for (int paused = 0; paused < 2; paused++) {
        world_up(&w, true, NULL);
        struct http_stream *s = open_one(&w, "POST", false);
        if (paused)
            http_stream_pause(s);
        turn(&w);
        peer_answers(&w, 1, 413, false);
        send_text(&w.peer, 1, "no", true);
        turn(&w);
        if (paused) {
            expect_trace(&w, "0 head 413|free 100|"); /* the peer has done with it */
            http_stream_resume(s);
            turn(&w);
            expect_trace(&w, "0 data 'no' end|0 over done|");
        } else {
            expect_trace(&w, "0 head 413|0 data 'no' end|0 over done|free 100|");
        }
        assert_int_equal(http_conn_streams_free(w.hc), 100);
        world_down(&w);
    }
}

static void test_the_rest_of_a_request_is_not_sent(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, true, NULL);
    open_one(&w, "POST", false);
    turn(&w);
    chain_done(&w.said);
    w.by_hand = true;
    add_head(&w.raw, 1, true, LIST(":status", "413"));
    turn(&w);
    expect_trace(&w, "0 head 413 end|0 over done|free 100|");
    assert_int_equal(w.said.n, 13);
    assert_memory_equal(chain_linear(&w.said, 13).p, "\0\0\4\3\0\0\0\0\1\0\0\0\10", 13);
    world_down(&w);
}

static void test_no_more_streams_than_the_peer_allows(void **state)
{
    static const struct http2_limits two = {.streams_max = 2};
    struct world w;
    struct http_stream *s;
    (void)state;
    world_up(&w, true, &two);
    assert_int_equal(http_conn_streams_free(w.hc), 2);
    open_one(&w, "GET", true);
    assert_ok(http_conn_open(w.hc, &stream_ops, &w, &w.s[1])); /* nothing is sent on it yet */
    w.n++;
    assert_int_equal(http_conn_streams_free(w.hc), 0);
    assert_int_equal(http_conn_open(w.hc, &stream_ops, &w, &s), -EAGAIN);
    turn(&w);
    expect_trace(&w, "");
    http_stream_abort(TAKE(w.s[1]));
    turn(&w);
    expect_trace(&w, "free 1|");
    open_one(&w, "GET", true);
    http_stream_abort(TAKE(w.s[0]));
    assert_int_equal(http_conn_streams_free(w.hc), 0); /* until the peer knows */
    turn(&w);
    expect_trace(&w, "free 1|");
    world_down(&w);
}

static void test_a_server_that_goes(void **state)
{
    struct world w;
    struct http_stream *s;
    (void)state;
    world_up(&w, true, NULL);
    open_one(&w, "GET", true);
    turn(&w);
    http2_shutdown(w.peer.h);
    http2_shutdown(w.peer.h); /* at once: what it has not seen is refused */
    open_one(&w, "GET", true);
    assert_ok(http_conn_open(w.hc, &stream_ops, &w, &w.s[2]));
    w.n++;
    turn(&w);
    expect_trace(&w, "1 over refused|");
    assert_int_equal(http_conn_open(w.hc, &stream_ops, &w, &s), -ENOTCONN);
    struct rig_head r;
    http_stream_send_head(w.s[2], rig_request(&r, "GET", "/", NULL), true);
    turn(&w);
    expect_trace(&w, "2 over refused|");
    peer_answers(&w, 1, 200, true);
    turn(&w);
    expect_trace(&w, "0 head 200 end|0 over done|close|");
    world_down(&w);
}

static void test_a_server_that_refuses_and_resets(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, true, NULL);
    w.peer.refuses = true;
    open_one(&w, "GET", true);
    turn(&w);
    expect_trace(&w, "0 over refused|free 100|");
    w.peer.refuses = false;
    open_one(&w, "GET", true);
    turn(&w);
    http2_reset(w.peer.h, 3, HTTP2_INTERNAL_ERROR);
    turn(&w);
    expect_trace(&w, "1 over reset|free 100|");
    open_one(&w, "GET", true);
    turn(&w);
    w.by_hand = true;
    add_head(&w.raw, 5, true, LIST(":status", "abc"));
    turn(&w);
    expect_trace(&w, "2 over protocol|free 100|");
    world_down(&w);
}

static void test_endless_interim_answers(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, true, NULL);
    open_one(&w, "GET", true);
    turn(&w);
    for (int i = 0; i < 11; i++)
        peer_answers(&w, 1, 103, false);
    turn(&w);
    assert_non_null(strstr(buf_cstr(&w.trace), "|0 over protocol|"));
    world_down(&w);
}

static void test_shutting_down(void **state)
{
    struct world w;
    (void)state;
    world_up(&w, true, NULL);
    open_one(&w, "GET", true);
    turn(&w);
    http_conn_shutdown(w.hc);
    turn(&w);
    peer_answers(&w, 1, 200, true);
    turn(&w);
    expect_trace(&w, "0 head 200 end|0 over done|close|");
    world_down(&w);
    world_up(&w, true, NULL);
    advance(&w, 90001); /* idle */
    expect_trace(&w, "close|");
    world_down(&w);
    world_up(&w, true, NULL);
    open_one(&w, "GET", true);
    w.free_on = "head";
    turn(&w);
    peer_answers(&w, 1, 200, true);
    turn(&w);
    expect_trace(&w, "0 head 200 end|0 over closed|");
    world_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_both_ways),
        cmocka_unit_test(test_answers_without_a_body),
        cmocka_unit_test(test_a_body_not_as_declared_breaks_its_stream),
        cmocka_unit_test(test_pause_holds_the_peer_back),
        cmocka_unit_test(test_the_peers_windows_hold_us_back),
        cmocka_unit_test(test_an_answer_before_the_request_is_whole),
        cmocka_unit_test(test_resets),
        cmocka_unit_test(test_drastic_callbacks),
        cmocka_unit_test(test_draining),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_ends_of_the_connection),
        cmocka_unit_test(test_asking),
        cmocka_unit_test(test_an_answer_that_does_not_wait),
        cmocka_unit_test(test_the_rest_of_a_request_is_not_sent),
        cmocka_unit_test(test_no_more_streams_than_the_peer_allows),
        cmocka_unit_test(test_a_server_that_goes),
        cmocka_unit_test(test_a_server_that_refuses_and_resets),
        cmocka_unit_test(test_endless_interim_answers),
        cmocka_unit_test(test_shutting_down),
    };
    return RUN_TESTS(tests);
}
