/* HTTP/1 heads and chunks: what is accepted, and each known ambiguity refused. */
#include "test.h"

#include <errno.h>

#include "codec/http1.h"

static int request(const char *text, struct http1_head *h)
{
    size_t scanned = 0;
    ssize_t n = http1_head_length(str_from(text), &scanned);
    if (n <= 0)
        return n < 0 ? (int)n : -EAGAIN;
    return http1_parse_request(str_of(text, (size_t)n), h, NULL);
}

static void test_plain_request(void **state)
{
    struct http1_head h;
    (void)state;
    assert_ok(request("GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-A:  v \t\r\n\r\nrest", &h));
    assert_str(h.method, "GET");
    assert_str(h.target, "/a?b=c");
    assert_int_equal(h.minor, 1);
    assert_int_equal(h.content_length, -1);
    assert_false(h.chunked || h.close);
    assert_str(http1_find(h.headers, h.n_headers, "x-a"), "v");
}

static void test_framing(void **state)
{
    struct http1_head h;
    (void)state;
    assert_ok(request("POST / HTTP/1.1\r\nContent-Length: 010\r\n\r\n", &h));
    assert_int_equal(h.content_length, 10);
    assert_ok(request(
        "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nConnection: keep-alive, Close\r\n\r\n",
        &h));
    assert_true(h.chunked && h.close);
    assert_ok(request("GET / HTTP/1.0\r\n\r\n", &h));
    assert_true(h.close);
}

static void test_ambiguity_is_refused(void **state)
{
    static const char *const bad[] = {
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 0x10\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\n A: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        "GET / HTTP/1.1\r\nA: \x01\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET /\tx HTTP/1.1\r\n\r\n",
        "GET /#frag HTTP/1.1\r\n\r\n",
        "G=\":<>\" / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "GET / http/1.1\r\n\r\n",
        "GET /\r\n\r\n",
    };
    struct http1_head h;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (request(bad[i], &h) != -EBADMSG)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(request("PRI * HTTP/2.0\r\n\r\n", &h), -EPROTONOSUPPORT);
}

static void test_limits(void **state)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct http1_head h;
    (void)state;
    buf_add_cstr(&b, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < HTTP1_HEADERS_MAX + 1; i++)
        buf_addf(&b, "h%d: x\r\n", i);
    buf_add_cstr(&b, "\r\n");
    assert_int_equal(request(buf_cstr(&b), &h), -E2BIG);
    buf_clear(&b);
    for (int i = 0; i < 70000; i++)
        buf_add_char(&b, 'a');
    size_t scanned = 0;
    assert_int_equal(http1_head_length(buf_str(&b), &scanned), -E2BIG);
}

static void test_head_found_in_pieces(void **state)
{
    const char *text = "GET / HTTP/1.1\r\nA: b\r\n\r\n";
    size_t scanned = 0;
    (void)state;
    for (size_t n = 1; n < strlen(text); n++)
        assert_int_equal(http1_head_length(str_of(text, n), &scanned), 0);
    assert_int_equal(http1_head_length(str_from(text), &scanned), strlen(text));
}

static int dechunk(const char *text, size_t step, struct buf *out, bool *ret_done)
{
    struct http1_chunked c = {0};
    size_t n = strlen(text);
    int r = 0;
    for (size_t i = 0; i < n && r >= 0; i += step) {
        struct str in = str_of(text + i, MIN(step, n - i)), piece;
        while ((r = http1_chunked_next(&c, &in, &piece)) == 1)
            buf_add_str(out, piece);
    }
    *ret_done = c.done;
    return r;
}

static void test_chunks_in_any_split(void **state)
{
    const char *text = "5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n";
    (void)state;
    for (size_t step = 1; step < strlen(text); step++) {
        AUTO_DONE(buf) struct buf out = {0};
        bool done;
        assert_ok(dechunk(text, step, &out, &done));
        assert_true(done);
        assert_str(buf_str(&out), "hello world");
    }
}

static void test_bad_chunks(void **state)
{
    static const char *const bad[] = {
        "0x5\r\nhello\r\n",      "+5\r\nhello\r\n", " 5\r\nhello\r\n", "\r\n",
        "5\nhello\r\n",          "5\rxhello",       "5\r\nhelloXX",    "5\r\nhello\n",
        "fffffffffffffffff\r\n", "1zz\r\n",         "0\r\nA\n\r\n",    "5;a\nb\r\nhello\r\n",
        "5\r\nhello\rX",         "0\r\nA: b\rX",    "0\r\n\rX",        "5\rX",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO_DONE(buf) struct buf out = {0};
        bool done;
        if (dechunk(bad[i], 64, &out, &done) != -EBADMSG)
            fail_msg("accepted chunk: %s", bad[i]);
    }
}

static void test_trailers_are_kept_for_who_wants_them(void **state)
{
    static const char text[] = "5\r\nhello\r\n0;x\r\ngrpc-status: 0\r\nA: b\r\n\r\nnext";
    (void)state;
    for (size_t step = 1; step < sizeof(text); step++) {
        AUTO_DONE(buf) struct buf body = {0};
        AUTO_DONE(buf) struct buf trailers = {0};
        struct http1_chunked c = {.trailers = &trailers};
        size_t taken = 0;
        while (!c.done) {
            struct str in = str_of(text + taken, MIN(step, sizeof(text) - 1 - taken)), piece;
            size_t offered = in.n;
            while (http1_chunked_next(&c, &in, &piece) == 1)
                buf_add_str(&body, piece);
            taken += offered - in.n;
        }
        assert_str(buf_str(&body), "hello");
        assert_str(buf_str(&trailers), "grpc-status: 0\r\nA: b\r\n\r\n");
        assert_string_equal(text + taken, "next");
    }
}

/* Extensions and trailers of a body together, in one piece or many. */
static void test_trailers_have_a_bound(void **state)
{
    static const struct {
        const char *before, *piece;
    } cases[] = {{"0\r\n", "A: bcd\r\n"},
                 {"0\r\nA: ", "bbbbbbbb"},
                 {"5;", "eeeeeeee"},
                 {"0\r\n", "A\r\nA\r\nA\r\nA\r\n"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int over = 0; over < 2; over++) {
            AUTO_DONE(buf) struct buf text = {0};
            AUTO_DONE(buf) struct buf out = {0};
            bool done;
            buf_add_cstr(&text, cases[i].before);
            for (size_t n = 0; n < HTTP1_CHUNK_EXT_BYTES_MAX / 8 - 1 + (size_t)over * 200; n++)
                buf_add_cstr(&text, cases[i].piece);
            assert_int_equal(dechunk(buf_cstr(&text), 512, &out, &done), over ? -EBADMSG : 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_request),
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_ambiguity_is_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_head_found_in_pieces),
        cmocka_unit_test(test_chunks_in_any_split),
        cmocka_unit_test(test_bad_chunks),
        cmocka_unit_test(test_trailers_are_kept_for_who_wants_them),
        cmocka_unit_test(test_trailers_have_a_bound),
    };
    return RUN_TESTS(tests);
}
