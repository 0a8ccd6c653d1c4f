/* HTTP/2 between two ends of ours: messages, flow control, ends of streams and connections. */
#include "http2_rig.h"

static struct end c, s;

static int set_up(void **state)
{
    (void)state;
    end_init(&c, HTTP2_CLIENT, NULL);
    end_init(&s, HTTP2_SERVER, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    end_done(&c);
    end_done(&s);
    return 0;
}

static int32_t ask(const char *method, const char *path, bool end)
{
    struct rig_head r;
    int32_t id = 0;
    assert_ok(http2_open(c.h, c.arena, &c,
                         rig_request(&r, method, path, LIST("host", "a.test", "x-a", "1")), end,
                         &id));
    return id;
}

static void answer(int32_t id, int status, bool end)
{
    struct rig_head r;
    assert_ok(http2_send_head(s.h, id, rig_answer(&r, status, LIST("x-b", "2")), end));
}

static void exchange(size_t step)
{
    struct rig_head r;
    assert_int_equal(ask("GET", "/get?q", true), 1);
    carry_all(&c, &s, step);
    expect_log(&s, "1 GET http /get?q host=a.test x-a=1 end\n");
    answer(1, 200, false);
    carry_all(&c, &s, step);
    expect_log(&c, "1 200 x-b=2\n");
    send_text(&s, 1, "hello ", false);
    send_text(&s, 1, "world", true);
    carry_all(&c, &s, step);
    expect_log(&c, "1 data hello world end\n1 closed\n");
    expect_log(&s, "1 closed\n");

    assert_int_equal(ask("POST", "/post", false), 3);
    send_text(&c, 3, "body", false);
    carry_all(&c, &s, step);
    expect_log(&s, "3 POST http /post host=a.test x-a=1\n3 data body\n");
    answer(3, 100, false);
    answer(3, 103, false);
    assert_ok(http2_send_trailers(c.h, 3, rig_answer(&r, 0, LIST("X-Sum", "9"))));
    assert_int_equal(http2_send_trailers(c.h, 3, &r.head), -ENOENT);
    carry_all(&c, &s, step);
    expect_log(&c, "3 100 x-b=2\n3 103 x-b=2\n");
    expect_log(&s, "3 trailers x-sum=9\n");
    answer(3, 200, false);
    send_text(&s, 3, "more", false);
    assert_ok(http2_send_trailers(s.h, 3, rig_answer(&r, 0, LIST("grpc-status", "0"))));
    carry_all(&c, &s, step);
    expect_log(&c, "3 200 x-b=2\n3 data more\n3 trailers grpc-status=0\n3 closed\n");
    expect_log(&s, "3 closed\n");

    /* Nothing but heads, nothing but trailers, nothing but an end. */
    assert_int_equal(ask("GET", "/", true), 5);
    assert_int_equal(ask("GET", "/", true), 7);
    assert_int_equal(ask("PUT", "/", false), 9);
    send_text(&c, 9, "", true);
    carry_all(&c, &s, step);
    answer(5, 204, true);
    answer(7, 200, false);
    assert_ok(http2_send_trailers(s.h, 7, rig_answer(&r, 0, LIST("t", "1"))));
    answer(9, 200, false);
    assert_ok(http2_send_trailers(s.h, 9, rig_answer(&r, 0, NULL)));
    buf_clear(&s.log);
    carry_all(&c, &s, step);
    expect_log(&c, "5 204 x-b=2 end\n5 closed\n7 200 x-b=2\n9 200 x-b=2\n7 trailers t=1\n7 closed\n"
                   "9 data  end\n9 closed\n");
    expect_log(&s, "5 closed\n7 closed\n9 closed\n");
    assert_int_equal(http2_open_streams(c.h) + http2_open_streams(s.h), 0);
}

static void test_messages_in_pieces_of_any_size(void **state)
{
    static const size_t steps[] = {1, 2, 3, 7, 9, 10, 100, 1 << 20};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (i) {
            tear_down(state);
            set_up(state);
        }
        exchange(steps[i]);
    }
}

static void test_heads_on_their_way_out(void **state)
{
    struct rig_head r;
    int32_t id;
    (void)state;
    assert_ok(http2_open(
        c.h, c.arena, &c,
        rig_request(&r, "GET", "/",
                    LIST("Host", "a:80", "Connection", "close, X-Hop", "X-Hop", "1", "Keep-Alive",
                         "5", "TE", "gzip", "Upgrade", "h2c", "Transfer-Encoding", "chunked",
                         "Cookie", "a=b", "Authorization", "secret", "X-Own", "Two Words", "te",
                         "trailers")),
        true, &id));
    carry_all(&c, &s, 100);
    expect_log(&s, "1 GET http / host=a:80 cookie=a=b authorization=secret x-own=Two Words "
                   "te=trailers end\n");
    assert_str(s.head->authority, "a:80");
    /* What is secret is not in the table: sent again, it is as long. */
    assert_ok(http2_open(c.h, c.arena, &c,
                         rig_request(&r, "GET", "/", LIST("authorization", "secretsecretsecret")),
                         true, &id));
    assert_ok(http2_send(c.h, &c.out, 1 << 20));
    size_t first = c.out.n;
    assert_ok(http2_open(c.h, c.arena, &c, &r.head, true, &id));
    assert_ok(http2_send(c.h, &c.out, 1 << 20));
    assert_true(c.out.n - first >= first - 2 && first > 18);
    /* CONNECT has neither scheme nor path. */
    assert_ok(http2_open(c.h, c.arena, &c, rig_request(&r, "CONNECT", "b:1", LIST("host", "b:1")),
                         false, &id));
    buf_clear(&s.log);
    carry_all(&c, &s, 100);
    assert_str(s.head->method, "CONNECT");
    assert_str(s.head->target, "b:1");
    assert_int_equal(s.head->path.n, 0);
}

static void fill(struct end *e, int32_t id, size_t n, bool end)
{
    AUTO_DONE(chain) struct chain d = {0};
    static char zeros[1000];
    for (size_t done = 0; done < n; done += MIN(n - done, sizeof(zeros)))
        chain_add(&d, str_of(zeros, MIN(n - done, sizeof(zeros))));
    http2_send_data(e->h, id, &d, end);
}

static unsigned n_writable;
static void count_writable(struct end *e, int32_t id, const char *what)
{
    (void)e, (void)id;
    n_writable += !strcmp(what, "writable");
}

static void test_what_is_not_consumed_is_not_sent(void **state)
{
    (void)state;
    s.holds = s.quiet = true;
    c.then = count_writable;
    n_writable = 0;
    ask("POST", "/", false);
    carry_all(&c, &s, 1 << 20); /* the server's window is known */
    fill(&c, 1, 300000, false);
    carry_all(&c, &s, 1 << 20);
    assert_int_equal(s.data_bytes, 65536);
    assert_int_equal(http2_queued(c.h, 1), 300000 - 65536);
    http2_consume(s.h, 1, 65536);
    carry_all(&c, &s, 1 << 20);
    assert_int_equal(s.data_bytes, 2 * 65536);
    http2_consume(s.h, 1, SIZE_MAX); /* no more than came */
    carry_all(&c, &s, 1 << 20);
    assert_int_equal(s.data_bytes, 3 * 65536);
    assert_int_equal(n_writable, 0);
    for (int i = 0; i < 2; i++) {
        http2_consume(s.h, 1, 65536);
        carry_all(&c, &s, 1 << 20);
    }
    assert_int_equal(s.data_bytes, 300000);
    assert_int_equal(n_writable, 1);
}

/* The connection's window holds for all, and comes back from streams that ended unread. */
static void test_the_connections_window(void **state)
{
    (void)state;
    s.holds = s.quiet = true;
    for (int i = 0; i < 20; i++)
        ask("POST", "/", false);
    carry_all(&c, &s, 1 << 20);
    for (int i = 0; i < 20; i++)
        fill(&c, 2 * i + 1, 100000, false);
    carry_all(&c, &s, 1 << 20);
    assert_int_equal(s.data_bytes, 1 << 20);
    for (int i = 0; i < 10; i++)
        http2_reset(s.h, 2 * i + 1, HTTP2_CANCEL);
    carry_all(&c, &s, 1 << 20);
    assert_true(s.data_bytes > 20 * 60000);
}

static void test_output_is_bounded_and_streams_take_turns(void **state)
{
    (void)state;
    c.quiet = true;
    ask("GET", "/1", true);
    ask("GET", "/3", true);
    carry_all(&c, &s, 1 << 20);
    answer(1, 200, false);
    answer(3, 200, false);
    fill(&s, 1, 60000, true);
    fill(&s, 3, 60000, true);
    assert_ok(http2_send(s.h, &s.out, 20000));
    assert_true(s.out.n >= 20000 && s.out.n < 20000 + 16384 + 9);
    assert_true(http2_wants_send(s.h));
    assert_ok(http2_send(s.h, &s.out, 40000));
    assert_true(http2_queued(s.h, 1) < 60000 && http2_queued(s.h, 3) < 60000);
    carry_all(&c, &s, 5000);
    assert_int_equal(c.data_bytes, 120000);
    assert_int_equal(http2_open_streams(s.h), 0);
}

static void test_resets_from_both_sides(void **state)
{
    (void)state;
    ask("POST", "/1", false);
    ask("POST", "/3", false);
    carry_all(&c, &s, 100);
    buf_clear(&s.log);
    send_text(&c, 1, "lost", true);
    http2_reset(c.h, 1, HTTP2_CANCEL);
    http2_reset(c.h, 1, HTTP2_CANCEL);
    send_text(&c, 1, "lost", true);
    assert_int_equal(http2_queued(c.h, 1), 0);
    http2_reset(s.h, 3, HTTP2_REFUSED_STREAM);
    send_text(&c, 3, "not told", true);
    carry_all(&c, &s, 100);
    expect_log(&s, "1 reset 8\n");
    expect_log(&c, "3 reset 7 unprocessed\n");
    assert_int_equal(http2_open_streams(c.h) + http2_open_streams(s.h), 0);
    /* Before it is sent at all. */
    ask("GET", "/5", true);
    http2_reset(c.h, 5, HTTP2_CANCEL);
    carry_all(&c, &s, 100);
    expect_log(&s, "");
    expect_log(&c, "");
    assert_int_equal(http2_open_streams(c.h), 0);
}

static void reset_at_head(struct end *e, int32_t id, const char *what)
{
    if (!strcmp(what, "head"))
        http2_reset(e->h, id, HTTP2_INTERNAL_ERROR);
}

static void answer_at_head(struct end *e, int32_t id, const char *what)
{
    if (strcmp(what, "head"))
        return;
    answer(id, 200, false);
    send_text(e, id, "at once", true);
}

static void ask_at_close(struct end *e, int32_t id, const char *what)
{
    (void)e;
    if (!strcmp(what, "closed") && id < 9)
        ask("GET", "/again", true);
}

static void test_calls_from_callbacks(void **state)
{
    (void)state;
    s.then = reset_at_head;
    ask("POST", "/", false);
    send_text(&c, 1, "never told", true);
    carry_all(&c, &s, 1 << 20);
    expect_log(&s, "1 POST http / host=a.test x-a=1\n");
    expect_log(&c, "1 reset 2\n");
    s.then = answer_at_head;
    c.then = ask_at_close;
    ask("GET", "/", true);
    carry_all(&c, &s, 1 << 20);
    assert_non_null(strstr(buf_cstr(&c.log), "9 data at once end\n9 closed\n"));
    assert_null(strstr(buf_cstr(&c.log), "11 "));
}

static void test_a_refused_stream(void **state)
{
    (void)state;
    s.refuses = true;
    ask("POST", "/", false);
    send_text(&c, 1, "x", true);
    carry_all(&c, &s, 100);
    expect_log(&c, "1 reset 7 unprocessed\n");
    expect_log(&s, "");
}

static void test_no_more_streams_than_allowed(void **state)
{
    struct http2_limits two = {.streams_max = 2};
    struct rig_head r;
    int32_t id;
    tear_down(state);
    end_init(&c, HTTP2_CLIENT, NULL);
    end_init(&s, HTTP2_SERVER, &two);
    carry_all(&c, &s, 100);
    ask("GET", "/", true);
    ask("GET", "/", true);
    assert_int_equal(http2_open(c.h, c.arena, &c, rig_request(&r, "GET", "/", NULL), true, &id),
                     -EAGAIN);
    carry_all(&c, &s, 100);
    answer(1, 200, true);
    carry_all(&c, &s, 100);
    ask("GET", "/", true);
}

static void test_an_answer_before_the_request_is_whole(void **state)
{
    (void)state;
    ask("POST", "/", false);
    carry_all(&c, &s, 100);
    answer(1, 413, false);
    send_text(&s, 1, "no", true);
    carry_all(&c, &s, 100);
    expect_log(&s, "1 POST http / host=a.test x-a=1\n1 closed\n");
    expect_log(&c, "1 413 x-b=2\n1 data no end\n1 reset 0\n");
    assert_int_equal(http2_open_streams(s.h), 0);
    /* But the directions of a tunnel end by themselves. */
    ask("CONNECT", "/", false);
    carry_all(&c, &s, 100);
    answer(3, 200, true);
    send_text(&c, 3, "more", true);
    carry_all(&c, &s, 100);
    expect_log(&s, "3 CONNECT  a.test host=a.test x-a=1\n3 data more end\n3 closed\n");
}

static void test_a_graceful_end(void **state)
{
    struct rig_head r;
    int32_t id;
    (void)state;
    ask("GET", "/1", true);
    carry_all(&c, &s, 100);
    http2_shutdown(s.h);
    ask("GET", "/3", true); /* on its way when the word comes */
    assert_true(carry(&c, &s, 100));
    buf_clear(&s.log);
    carry_all(&c, &s, 100);
    expect_log(&c, "goaway 2147483647 0\ngoaway 3 0\n");
    assert_int_equal(http2_open(c.h, c.arena, &c, rig_request(&r, "GET", "/", NULL), true, &id),
                     -ENOTCONN);
    assert_false(http2_is_over(s.h) || http2_is_over(c.h));
    answer(1, 200, true);
    answer(3, 200, true);
    carry_all(&c, &s, 100);
    expect_log(&c, "1 200 x-b=2 end\n1 closed\n3 200 x-b=2 end\n3 closed\n");
    assert_true(http2_is_over(s.h) && http2_is_over(c.h));
    assert_int_equal(http2_reason(s.h), HTTP2_REASON_NONE);
    assert_string_equal(http2_error(s.h), "");
}

/* The second word at once: what was not seen by then may be sent elsewhere. */
static void test_unprocessed_requests(void **state)
{
    (void)state;
    ask("GET", "/1", true);
    carry_all(&c, &s, 100);
    http2_shutdown(s.h);
    http2_shutdown(s.h);
    ask("GET", "/3", true); /* not sent before the word comes */
    assert_true(carry(&s, &c, 100));
    carry_all(&c, &s, 100);
    expect_log(&c, "goaway 2147483647 0\ngoaway 1 0\n3 reset 7 unprocessed\n");
    answer(1, 200, true);
    carry_all(&c, &s, 100);
    expect_log(&c, "1 200 x-b=2 end\n1 closed\n");
    assert_true(http2_is_over(s.h) && http2_is_over(c.h));
}

static void test_the_client_shuts_down(void **state)
{
    (void)state;
    ask("GET", "/1", true);
    http2_shutdown(c.h);
    carry_all(&c, &s, 100);
    expect_log(&s, "goaway 0 0\n1 GET http /1 host=a.test x-a=1 end\n");
    answer(1, 200, true);
    carry_all(&c, &s, 100);
    assert_true(http2_is_over(c.h) && http2_is_over(s.h));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_messages_in_pieces_of_any_size),
        TEST(test_heads_on_their_way_out),
        TEST(test_what_is_not_consumed_is_not_sent),
        TEST(test_the_connections_window),
        TEST(test_output_is_bounded_and_streams_take_turns),
        TEST(test_resets_from_both_sides),
        TEST(test_calls_from_callbacks),
        TEST(test_a_refused_stream),
        TEST(test_no_more_streams_than_allowed),
        TEST(test_an_answer_before_the_request_is_whole),
        TEST(test_a_graceful_end),
        TEST(test_unprocessed_requests),
        TEST(test_the_client_shuts_down),
    };
    return RUN_TESTS(tests);
}
