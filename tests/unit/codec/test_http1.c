/* Where heads end, and the chunked coding: what is accepted, and each known ambiguity refused. */
#include "test.h"

#include <errno.h>

#include "codec/http1.h"

static void test_limits(void **state)
{
    AUTO_DONE(buf) struct buf b = {0};
    (void)state;
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
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_head_found_in_pieces),
        cmocka_unit_test(test_chunks_in_any_split),
        cmocka_unit_test(test_bad_chunks),
        cmocka_unit_test(test_trailers_are_kept_for_who_wants_them),
        cmocka_unit_test(test_trailers_have_a_bound),
    };
    return RUN_TESTS(tests);
}
