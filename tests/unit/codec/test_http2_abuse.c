/* HTTP/2 from peers that mean no good, frame by frame: what each is told, and what its victim's
 * user is told of it. */
#include "http2_rig.h"

static struct end s, c;
static struct buf in;

static int set_up(void **state)
{
    (void)state;
    end_init(&s, HTTP2_SERVER, NULL);
    end_init(&c, HTTP2_CLIENT, NULL);
    add_preface(&in, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    end_done(&s);
    end_done(&c);
    buf_done(&in);
    return 0;
}

static int flush(struct end *e)
{
    int r = receive(e, buf_str(&in));
    buf_clear(&in);
    return r;
}

/* Again, with what is now in force. */
static void again(const struct http2_limits *limits)
{
    end_done(&s);
    end_init(&s, HTTP2_SERVER, limits);
    buf_clear(&in);
    add_preface(&in, true);
}

#define GET  ":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/"
#define POST ":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/"

static void drain(struct end *e)
{
    assert_ok(http2_send(e->h, &e->out, SIZE_MAX));
    chain_done(&e->out);
}

static void expect_flood(struct end *e, int r)
{
    assert_int_equal(r, -EBUSY);
    assert_int_equal(http2_reason(e->h), HTTP2_REASON_FLOOD);
    assert_true(http2_error(e->h)[0]);
    drain(e);
    assert_true(http2_is_over(e->h));
}

/* How many rounds of f it takes until the server has had enough. */
static unsigned rounds(void (*f)(unsigned i), unsigned max, bool reads)
{
    for (unsigned i = 0; i < max; i++) {
        f(i);
        int r = flush(&s);
        if (reads)
            drain(&s);
        if (r == 0 && http2_reason(s.h))
            r = -EBUSY;
        if (r < 0) {
            expect_flood(&s, r);
            return i + 1;
        }
    }
    return max;
}

static void open_and_reset(unsigned i)
{
    add_head(&in, 2 * i + 1, true, LIST(GET));
    add_u32_frame(&in, RST_STREAM, 2 * i + 1, HTTP2_CANCEL);
}

static void test_26_rapid_reset(void **state)
{
    (void)state;
    assert_int_equal(rounds(open_and_reset, 1000, true), 101);
    again(NULL);
    for (unsigned i = 0; i < 300; i++) { /* slowly it is nothing */
        s.now_ms += 101;
        open_and_reset(i);
        assert_ok(flush(&s));
        drain(&s);
    }
    assert_int_equal(http2_open_streams(s.h), 0);
}

static void open_and_overflow(unsigned i)
{
    add_head(&in, 2 * i + 1, true, LIST(GET));
    add_u32_frame(&in, WINDOW_UPDATE, 2 * i + 1, 0x7fffffff);
}

static void malformed(unsigned i)
{
    add_head(&in, 2 * i + 1, true, LIST(":method", "GET"));
}

static void over_length(unsigned i)
{
    add_head(&in, 2 * i + 1, false, LIST(POST, "content-length", "1"));
    add_frame(&in, DATA, END_STREAM, 2 * i + 1, STR("22"));
}

static void test_27_made_to_reset(void **state)
{
    (void)state;
    assert_true(rounds(open_and_overflow, 1000, true) <= 102);
    again(NULL); /* an update by nothing is the connection's error at once */
    add_head(&in, 1, true, LIST(GET));
    add_u32_frame(&in, WINDOW_UPDATE, 1, 0);
    assert_true(flush(&s) <= 0);
    expect_sent(&s, "goaway 1 1\n");
    again(NULL);
    assert_true(rounds(malformed, 1000, true) <= 102);
    again(NULL);
    assert_true(rounds(over_length, 1000, true) <= 102);
}

static void test_27_what_the_user_ends_is_not_the_peers_doing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        add_head(&in, 2 * i + 1, true, LIST(GET));
        assert_ok(flush(&s));
        http2_reset(s.h, 2 * i + 1, HTTP2_INTERNAL_ERROR);
        drain(&s);
    }
    assert_int_equal(http2_reason(s.h), HTTP2_REASON_NONE);
}

/* Nor those that were refused: by the user, or since there were as many as may be. */
static void test_27_what_is_refused_has_begun_nothing(void **state)
{
    static const struct http2_limits two = {.streams_max = 2};
    (void)state;
    s.refuses = true;
    for (unsigned i = 0; i < 300; i++) {
        add_head(&in, 2 * i + 1, true, LIST(GET));
        assert_ok(flush(&s));
        drain(&s);
    }
    assert_int_equal(http2_reason(s.h), HTTP2_REASON_NONE);
    again(&two);
    for (unsigned i = 0; i < 300; i++)
        add_head(&in, 2 * i + 1, true, LIST(GET));
    assert_ok(flush(&s));
    drain(&s);
    assert_int_equal(http2_reason(s.h), HTTP2_REASON_NONE);
    assert_int_equal(http2_open_streams(s.h), 2);
}

static void test_28_continuations_without_an_end(void **state)
{
    AUTO_DONE(buf) struct buf p = {0};
    int r;
    (void)state;
    add_fields(&p, LIST(GET));
    add_frame(&in, HEADERS, END_STREAM, 1, buf_str(&p));
    assert_ok(flush(&s));
    buf_clear(&p);
    add_fields(&p, LIST("a", "b"));
    unsigned n = 0;
    do {
        add_frame(&in, CONTINUATION, 0, 1, buf_str(&p));
        r = flush(&s);
    } while (r == 0 && ++n < 100);
    assert_true(r < 0 && n <= 10);
    drain(&s);
    assert_true(http2_is_over(s.h));
}

static void test_29_heads_are_bounded_decoded(void **state)
{
    AUTO_DONE(buf) struct buf p = {0};
    static char big[4000];
    (void)state;
    memset(big, 'x', sizeof(big));
    /* One entry of the table, then one byte each. */
    add_fields(&p, LIST(GET));
    buf_add_u8(&p, 0x40);
    add_string(&p, STR("a"));
    add_string(&p, str_of(big, sizeof(big)));
    for (int i = 0; i < 14; i++)
        buf_add_u8(&p, 0x80 | 62);
    add_frame(&in, HEADERS, END_HEADERS | END_STREAM, 1, buf_str(&p));
    assert_ok(flush(&s)); /* still allowed */
    buf_clear(&p);
    add_fields(&p, LIST(GET));
    for (int i = 0; i < 16; i++)
        buf_add_u8(&p, 0x80 | 62);
    add_frame(&in, HEADERS, END_HEADERS | END_STREAM, 3, buf_str(&p));
    buf_clear(&s.log);
    assert_ok(flush(&s));
    expect_log(&s, "3 reset 11\n");
    for (int i = 0; i < 3000; i++)
        buf_add_u8(&p, 0x80 | 62);
    add_frame(&in, HEADERS, END_HEADERS | END_STREAM, 5, buf_str(&p));
    expect_flood(&s, flush(&s));
}

static void test_29_crumbs_count(void **state)
{
    AUTO_DONE(buf) struct buf p = {0};
    (void)state;
    for (uint32_t n = 100; n <= 101; n++) {
        buf_clear(&p);
        add_fields(&p, LIST(GET));
        for (uint32_t i = 0; i < n; i++)
            add_field(&p, STR("cookie"), STR("a=b"));
        add_frame(&in, HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, buf_str(&p));
        assert_ok(flush(&s));
    }
    assert_non_null(strstr(buf_cstr(&s.log), "201 GET"));
    assert_non_null(strstr(buf_cstr(&s.log), "203 reset 11\n"));
}

static void test_30_hpack(void **state)
{
    static const struct str bad[] = {
        {"\x80", 1},                             /* index 0 */
        {"\xfe", 1},                             /* past the end */
        {"\x3f\xff\xff\xff\x7f", 5},             /* a table larger than allowed */
        {"\x82\x20", 2},                         /* its size changed amidst */
        {"\xff\xff\xff\xff\xff\xff\xff\xff", 8}, /* a number without an end */
        {"\x00\x81\xff\x01"
         "a",
         5}, /* Huffman: padding of a whole byte's ones */
        {"\x00\x84\xff\xff\xff\xff\x01"
         "a",
         8}, /* Huffman: EOS */
        {"\x00\x05"
         "ab",
         4}, /* longer than the block */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        again(NULL);
        add_frame(&in, HEADERS, END_HEADERS | END_STREAM, 1, bad[i]);
        assert_true(flush(&s) <= 0);
        expect_sent(&s, "goaway 1 9\n");
        assert_int_equal(http2_reason(s.h), HTTP2_REASON_PROTOCOL);
        assert_true(http2_is_over(s.h));
    }
}

static void ping(unsigned i)
{
    (void)i;
    add_frame(&in, PING, 0, 0, STR("12345678"));
}

static void settings(unsigned i)
{
    (void)i;
    add_frame(&in, SETTINGS, 0, 0, STR(""));
}

static void priority(unsigned i)
{
    add_frame(&in, PRIORITY, 0, 2 * i + 1, STR("\0\0\0\0\1"));
}

static void window_update(unsigned i)
{
    (void)i;
    add_u32_frame(&in, WINDOW_UPDATE, 0, 1);
}

static void empty_data(unsigned i)
{
    if (i == 0)
        add_head(&in, 1, false, LIST(POST));
    add_frame(&in, DATA, 0, 1, STR(""));
}

static void test_31_floods(void **state)
{
    (void)state;
    unsigned n = rounds(ping, 5000, false);
    assert_in_range(n, 900, 1100);
    again(NULL);
    n = rounds(settings, 5000, false);
    assert_in_range(n, 900, 1100);
    again(NULL);
    assert_int_equal(rounds(priority, 5000, true), 101);
    again(NULL);
    assert_int_equal(rounds(window_update, 5000, true), 101);
    again(NULL);
    assert_int_equal(rounds(empty_data, 5000, true), 2);
}

static void answer(uint32_t id, size_t body)
{
    struct rig_head r;
    AUTO_DONE(chain) struct chain d = {0};
    assert_ok(http2_send_head(s.h, (int32_t)id, rig_answer(&r, 200, NULL), false));
    for (; body; body--)
        chain_add(&d, STR("x"));
    http2_send_data(s.h, (int32_t)id, &d, true);
}

static void test_32_windows(void **state)
{
    (void)state;
    add_u32_frame(&in, WINDOW_UPDATE, 0, 0x7fffffff);
    assert_true(flush(&s) <= 0);
    expect_sent(&s, "goaway 0 3\n");
    again(NULL);
    add_frame(&in, SETTINGS, 0, 0, STR("\0\4\x80\0\0\0")); /* an initial window of 2^31 */
    assert_true(flush(&s) <= 0);
    expect_sent(&s, "goaway 0 3\n");
    again(NULL); /* shrunk below what was sent, the window is negative, and only that */
    add_head(&in, 1, true, LIST(GET));
    assert_ok(flush(&s));
    answer(1, 70000);
    drain(&s);
    add_frame(&in, SETTINGS, 0, 0, STR("\0\4\0\0\0\1"));
    add_u32_frame(&in, WINDOW_UPDATE, 0, 100000);
    add_u32_frame(&in, WINDOW_UPDATE, 1, 65534);
    assert_ok(flush(&s));
    drain(&s);
    assert_int_equal(http2_queued(s.h, 1), 70000 - 65535);
    add_u32_frame(&in, WINDOW_UPDATE, 1, 10);
    assert_ok(flush(&s));
    drain(&s);
    assert_int_equal(http2_queued(s.h, 1), 70000 - 65535 - 10);
    again(NULL); /* more than was allowed */
    add_head(&in, 1, false, LIST(POST));
    assert_ok(flush(&s));
    s.holds = s.quiet = true;
    static char full[16384];
    for (int i = 0; i < 5; i++)
        add_frame(&in, DATA, 0, 1, str_of(full, sizeof(full)));
    add_frame(&in, SETTINGS, ACK, 0, STR(""));
    assert_ok(flush(&s));
    expect_sent(&s, "rst 1 3\n");
    assert_int_equal(s.data_bytes, 65536);
}

static void test_33_a_window_of_one_byte(void **state)
{
    (void)state;
    add_frame(&in, SETTINGS, 0, 0, STR("\0\4\0\0\0\1"));
    add_head(&in, 1, true, LIST(GET));
    assert_ok(flush(&s));
    answer(1, 5000);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(http2_queued(s.h, 1), 5000 - i);
        drain(&s);
        assert_false(http2_wants_send(s.h));
        add_u32_frame(&in, WINDOW_UPDATE, 1, 1);
        assert_ok(flush(&s));
    }
}

static void test_34_streams_and_frames(void **state)
{
    static const struct http2_limits two = {.streams_max = 2};
    (void)state;
    again(&two);
    for (uint32_t id = 1; id <= 5; id += 2)
        add_head(&in, id, true, LIST(GET));
    assert_ok(flush(&s));
    expect_sent(&s, "rst 5 7\n");
    add_head(&in, 7, false, LIST(POST)); /* more of those comes before they have heard */
    add_head(&in, 9, false, LIST(POST));
    add_head(&in, 7, true, LIST("a", "b"));
    add_head(&in, 5, true, LIST("a", "b"));
    assert_ok(flush(&s));
    expect_sent(&s, "rst 7 7\nrst 9 7\n");
    again(NULL);
    add_head(&in, 2, true, LIST(GET)); /* even */
    assert_true(flush(&s) <= 0);
    expect_sent(&s, "goaway 0 1\n");
    again(NULL); /* passed over */
    add_head(&in, 5, true, LIST(GET));
    add_head(&in, 3, true, LIST(GET));
    assert_true(flush(&s) < 0);
    expect_sent(&s, "goaway 5 1\n");
    expect_log(&s, "5 GET http / host=a end\n");
    again(NULL); /* of nobody */
    add_frame(&in, PRIORITY, 0, 0, STR("\0\0\0\0\1"));
    assert_true(flush(&s) < 0);
    expect_sent(&s, "goaway 0 1\n");
    for (int i = 0; i < 2; i++) { /* both ends were there, or a reset: that is remembered */
        again(NULL);
        add_head(&in, 1, true, LIST(GET));
        assert_ok(flush(&s));
        if (i)
            add_u32_frame(&in, RST_STREAM, 1, HTTP2_CANCEL);
        else
            answer(1, 1);
        assert_ok(flush(&s));
        drain(&s);
        add_frame(&in, DATA, 0, 1, STR("x")); /* lost on the way, for all we know */
        assert_ok(flush(&s));
        add_head(&in, 1, true, LIST(GET));
        assert_true(flush(&s) < 0);
        expect_sent(&s, "goaway 1 5\n");
    }
    again(NULL); /* its end was sent */
    add_head(&in, 1, true, LIST(GET));
    add_head(&in, 1, true, LIST(GET));
    assert_true(flush(&s) <= 0);
    expect_sent(&s, "goaway 1 5\n");
    again(NULL); /* more than 16 KiB; 16 MiB */
    buf_add(&in, "\0\x40\x01\0\1\0\0\0\1", 9);
    assert_true(flush(&s) <= 0);
    expect_sent(&s, "goaway 0 6\n");
    again(NULL);
    buf_add(&in, "\xff\xff\xff\0\1\0\0\0\1", 9);
    assert_true(flush(&s) <= 0);
    expect_sent(&s, "goaway 0 6\n");
    again(NULL); /* not HTTP/2 at all */
    buf_clear(&in);
    buf_add_cstr(&in, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(flush(&s), -EPROTO);
    expect_sent(&s, "goaway 0 1\n");
    assert_true(http2_is_over(s.h));
}

/* A request's head that must not be seen; the connection goes on. */
static void expect_refused(const char *const *list)
{
    again(NULL);
    add_head(&in, 1, true, list);
    assert_ok(flush(&s));
    expect_sent(&s, "rst 1 1\n");
    expect_log(&s, "1 reset 1\n");
    add_head(&in, 3, true, LIST(GET));
    assert_ok(flush(&s));
    expect_log(&s, "3 GET http / host=a end\n");
}

#define PSEUDO(method, scheme, authority, path)                                                    \
    LIST(":method", method, ":scheme", scheme, ":authority", authority, ":path", path)

static void test_35_names_and_pseudo_fields(void **state)
{
    (void)state;
    expect_refused(LIST(GET, "X-Upper", "1"));
    expect_refused(LIST(GET, "sp ace", "1"));
    expect_refused(LIST(GET, "", "1"));
    expect_refused(LIST(GET, "connection", "close"));
    expect_refused(LIST(GET, "keep-alive", "5"));
    expect_refused(LIST(GET, "proxy-connection", "close"));
    expect_refused(LIST(GET, "transfer-encoding", "chunked"));
    expect_refused(LIST(GET, "upgrade", "h2c"));
    expect_refused(LIST(GET, "te", "gzip"));
    expect_refused(LIST(":method", "GET", ":scheme", "http", "x", "1", ":path", "/"));
    expect_refused(LIST(GET, ":path", "/"));
    expect_refused(LIST(GET, ":what", "/"));
    expect_refused(LIST(GET, ":status", "200"));
    expect_refused(LIST(GET, ":protocol", "websocket"));
    expect_refused(LIST(":method", "GET", ":scheme", "http"));
    expect_refused(LIST(":method", "GET", ":path", "/"));
    expect_refused(LIST(":scheme", "http", ":path", "/"));
    expect_refused(LIST(":method", "CONNECT", ":path", "/", ":authority", "a"));
    expect_refused(LIST(":method", "CONNECT"));
}

static void test_36_37_paths_and_bytes(void **state)
{
    (void)state;
    expect_refused(PSEUDO("GET", "http", "a", "x"));
    expect_refused(PSEUDO("GET", "http", "a", ""));
    expect_refused(PSEUDO("GET", "http", "a", "http://a/"));
    expect_refused(PSEUDO("GET", "http", "a", "*"));
    expect_refused(PSEUDO("GET", "http", "a", "/ b"));
    expect_refused(PSEUDO("GET", "http", "a", "/#b"));
    expect_refused(PSEUDO("GET", "http", "a", "/\r\nx: y"));
    expect_refused(PSEUDO("G ET", "http", "a", "/"));
    expect_refused(PSEUDO("GET\r\n", "http", "a", "/"));
    expect_refused(PSEUDO("", "http", "a", "/"));
    expect_refused(PSEUDO("GET", "http", "a b", "/"));
    expect_refused(PSEUDO("GET", "http", "a/b", "/"));
    expect_refused(PSEUDO("GET", "http", "u@a", "/"));
    expect_refused(PSEUDO("GET", "http", "", "/"));
    expect_refused(PSEUDO("GET", "http", "a\n", "/"));
    expect_refused(PSEUDO("GET", "ftp", "a", "/"));
    expect_refused(LIST(GET, "x", "a\rb"));
    expect_refused(LIST(GET, "x", "a\nb"));
    expect_refused(LIST(GET, "x", " a"));
    expect_refused(LIST(GET, "x", "a\t"));
    expect_refused(LIST(GET, "x", "a\x7f"));
    again(NULL);
    AUTO_DONE(buf) struct buf p = {0};
    add_fields(&p, LIST(GET));
    add_field(&p, STR("x"), str_of("a\0b", 3));
    add_frame(&in, HEADERS, END_HEADERS | END_STREAM, 1, buf_str(&p));
    assert_ok(flush(&s));
    expect_log(&s, "1 reset 1\n");
}

static void test_38_two_truths(void **state)
{
    (void)state;
    expect_refused(LIST(GET, "host", "b"));
    expect_refused(LIST(GET, "host", "a", "host", "a"));
    expect_refused(LIST(GET, "host", "a@b"));
    expect_refused(LIST(GET, "content-length", "1"));
    expect_refused(LIST(GET, "content-length", "-1"));
    expect_refused(LIST(GET, "content-length", "+0"));
    expect_refused(LIST(GET, "content-length", "0", "content-length", "0"));
    again(NULL);
    add_head(&in, 1, true, PSEUDO("GET", "Https", "A", "/"));
    add_head(&in, 3, true, LIST(GET, "host", "A"));
    add_head(&in, 5, true, LIST(":method", "GET", ":scheme", "http", ":path", "/", "host", "b"));
    add_head(&in, 7, true, PSEUDO("OPTIONS", "http", "a", "*"));
    add_head(&in, 9, true, LIST(GET, "cookie", "a=1", "x", "y", "cookie", "b=2", "cookie", "c"));
    add_head(&in, 11, true, LIST(GET, "te", "trailers", "expect", "100-continue"));
    assert_ok(flush(&s));
    expect_log(&s, "1 GET https / host=A end\n3 GET http / host=A end\n5 GET http / host=b end\n"
                   "7 OPTIONS http * host=a end\n"
                   "9 GET http / host=a cookie=a=1; b=2; c x=y end\n"
                   "11 GET http / host=a te=trailers expect=100-continue end\n");
    assert_true(s.head->expect_continue && s.head->has_host);
    /* Too much and too little for the length that was told. */
    again(NULL);
    add_head(&in, 1, false, LIST(POST, "content-length", "3"));
    add_frame(&in, DATA, 0, 1, STR("12"));
    add_frame(&in, DATA, END_STREAM, 1, STR("34"));
    add_head(&in, 3, false, LIST(POST, "content-length", "3"));
    add_frame(&in, DATA, END_STREAM, 3, STR("12"));
    add_head(&in, 5, false, LIST(POST, "content-length", "3"));
    add_frame(&in, DATA, END_STREAM, 5, STR("123"));
    assert_ok(flush(&s));
    expect_sent(&s, "rst 1 1\nrst 3 1\n");
    assert_null(strstr(buf_cstr(&s.log), "\n1 data 1234"));
    assert_non_null(strstr(buf_cstr(&s.log), "5 data 123 end\n"));
    assert_non_null(strstr(buf_cstr(&s.log), "1 reset 1\n3 reset 1\n"));
    assert_null(strstr(buf_cstr(&s.log), "3 data 12 end"));
}

static void test_38_trailers(void **state)
{
    static const char *const bad[][3] = {
        {"content-length", "1"}, {"host", "a"},      {"authorization", "x"},
        {":path", "/"},          {"te", "trailers"}, {"Upper", "1"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        again(NULL);
        add_head(&in, 1, false, LIST(POST));
        add_head(&in, 1, true, bad[i]);
        assert_ok(flush(&s));
        expect_sent(&s, "rst 1 1\n");
        expect_log(&s, "1 POST http / host=a\n1 reset 1\n");
    }
    again(NULL); /* without an end */
    add_head(&in, 1, false, LIST(POST));
    add_head(&in, 1, false, LIST("a", "b"));
    IGNORE_RESULT(flush(&s));
    drain(&s);
    assert_null(strstr(buf_cstr(&s.log), "trailers"));
}

static void test_39_nothing_is_told_of_a_reset_stream(void **state)
{
    (void)state;
    add_head(&in, 1, false, LIST(POST));
    add_frame(&in, DATA, 0, 1, STR("seen"));
    add_u32_frame(&in, RST_STREAM, 1, HTTP2_CANCEL);
    add_frame(&in, DATA, 0, 1, STR("not"));
    IGNORE_RESULT(flush(&s)); /* it may be an error of the connection too */
    drain(&s);
    expect_log(&s, "1 POST http / host=a\n1 data seen\n1 reset 8\n");
    again(NULL); /* reset by us: what is on the way is dropped, its window given back */
    add_head(&in, 1, false, LIST(POST));
    assert_ok(flush(&s));
    http2_reset(s.h, 1, HTTP2_CANCEL);
    add_frame(&in, DATA, 0, 1, STR("not"));
    add_head(&in, 1, true, LIST("a", "b"));
    assert_ok(flush(&s));
    expect_sent(&s, "rst 1 8\n");
    add_frame(&in, DATA, 0, 1, STR("not"));
    IGNORE_RESULT(flush(&s));
    drain(&s);
    expect_log(&s, "1 POST http / host=a\n");
}

static int32_t ask(void)
{
    struct rig_head r;
    int32_t id = 0;
    assert_ok(
        http2_open(c.h, c.arena, &c, rig_request(&r, "GET", "/", LIST("host", "a")), true, &id));
    return id;
}

static void test_40_a_server_that_goes(void **state)
{
    struct rig_head r;
    int32_t id;
    (void)state;
    for (int i = 0; i < 3; i++)
        ask();
    drain(&c);
    buf_clear(&in);
    add_preface(&in, false);
    add_frame(&in, SETTINGS, 0, 0, STR("\0\3\0\0\0\0")); /* no streams any more */
    add_frame(&in, GOAWAY, 0, 0, STR("\0\0\0\3\0\0\0\0"));
    add_head(&in, 3, true, LIST(":status", "200"));
    assert_ok(flush(&c));
    expect_log(&c, "goaway 3 0\n5 reset 7 unprocessed\n3 200 end\n3 closed\n");
    assert_int_equal(http2_open(c.h, c.arena, &c, rig_request(&r, "GET", "/", NULL), true, &id),
                     -ENOTCONN);
    assert_int_equal(http2_open_streams(c.h), 1);
}

static void test_40_many_short_streams_leave_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        if (i % 50 == 0)
            s.now_ms += 20000;
        open_and_reset(i);
        assert_ok(flush(&s));
        buf_clear(&s.log);
        if (i % 10 == 0)
            drain(&s);
    }
    assert_int_equal(http2_open_streams(s.h), 0);
}

static void test_bad_answers(void **state)
{
    static const char *const bad[][5] = {
        {":status", "20"},  {":status", "101"}, {":status", "200", ":path", "/"},
        {"a", "b"},         {":status", "abc"}, {":status", "200", "connection", "x"},
        {":status", "099"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        end_done(&c);
        end_init(&c, HTTP2_CLIENT, NULL);
        ask();
        drain(&c);
        buf_clear(&in);
        add_preface(&in, false);
        add_head(&in, 1, true, bad[i]);
        assert_ok(flush(&c));
        expect_sent(&c, "rst 1 1\n");
        expect_log(&c, "1 reset 1\n");
    }
    end_done(&c); /* pushed, though we said not to */
    end_init(&c, HTTP2_CLIENT, NULL);
    ask();
    drain(&c);
    buf_clear(&in);
    add_preface(&in, false);
    add_frame(&in, SETTINGS, ACK, 0, STR(""));
    add_frame(&in, PUSH_PROMISE, END_HEADERS, 1, STR("\0\0\0\2\x82"));
    assert_true(flush(&c) <= 0);
    expect_sent(&c, "goaway 0 1\n");
}

static void test_padding_is_not_data(void **state)
{
    (void)state;
    s.holds = true;
    add_head(&in, 1, false, LIST(POST));
    add_frame(&in, DATA, PADDED, 1, STR("\3abc\0\0\0"));
    add_frame(&in, DATA, PADDED | END_STREAM, 1, STR("\1de\0"));
    assert_ok(flush(&s));
    expect_log(&s, "1 POST http / host=a\n1 data abcde end\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_26_rapid_reset),
        TEST(test_27_made_to_reset),
        TEST(test_27_what_the_user_ends_is_not_the_peers_doing),
        TEST(test_27_what_is_refused_has_begun_nothing),
        TEST(test_28_continuations_without_an_end),
        TEST(test_29_heads_are_bounded_decoded),
        TEST(test_29_crumbs_count),
        TEST(test_30_hpack),
        TEST(test_31_floods),
        TEST(test_32_windows),
        TEST(test_33_a_window_of_one_byte),
        TEST(test_34_streams_and_frames),
        TEST(test_35_names_and_pseudo_fields),
        TEST(test_36_37_paths_and_bytes),
        TEST(test_38_two_truths),
        TEST(test_38_trailers),
        TEST(test_39_nothing_is_told_of_a_reset_stream),
        TEST(test_40_a_server_that_goes),
        TEST(test_40_many_short_streams_leave_nothing),
        TEST(test_bad_answers),
        TEST(test_padding_is_not_data),
    };
    return RUN_TESTS(tests);
}
