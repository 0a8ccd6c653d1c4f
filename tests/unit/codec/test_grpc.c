/* gRPC's frames, status and time-outs. */
#include "test.h"

#include <errno.h>

#include "codec/grpc.h"

static void test_frames(void **state)
{
    struct chain wire = {0}, got = {0};
    (void)state;
    grpc_add(&wire, STR("hello"));
    grpc_add(&wire, STR(""));
    assert_int_equal(wire.n, 15);
    char bytes[15];
    chain_copy(&wire, bytes, sizeof(bytes));
    assert_memory_equal(bytes, "\0\0\0\0\5hello\0\0\0\0\0", 15);
    assert_int_equal(grpc_next(&wire, 5, &got), 1);
    assert_str(chain_front(&got), "hello");
    chain_done(&got);
    assert_int_equal(grpc_next(&wire, 5, &got), 1);
    assert_int_equal(got.n, 0);
    assert_int_equal(grpc_next(&wire, 5, &got), 0);
    grpc_add(&wire, STR("123456"));
    assert_int_equal(grpc_next(&wire, 5, &got), -EMSGSIZE);
    chain_done(&wire);
    chain_add(&wire, str_of("\1\0\0\0\1x", 6));
    assert_int_equal(grpc_next(&wire, 5, &got), -EPROTO);
    chain_done(&wire);
    static const char frame[7] = {0, 0, 0, 0, 2, 'a', 'b'};
    for (size_t i = 0; i < 7; i++) { /* a byte at a time */
        assert_int_equal(grpc_next(&wire, 9, &got), 0);
        chain_add(&wire, str_of(&frame[i], 1));
    }
    assert_int_equal(grpc_next(&wire, 9, &got), 1);
    assert_str(chain_front(&got), "ab");
    const char *at = chain_front(&got).p;
    grpc_move(&wire, &got);
    assert_int_equal(got.n, 0);
    assert_int_equal(grpc_next(&wire, 2, &got), 1);
    assert_ptr_equal(chain_front(&got).p, at); /* nothing is copied */
    assert_str(chain_front(&got), "ab");
    chain_done(&got);
}

static void assert_status(const char *status, const char *message, int r, int code,
                          const char *text)
{
    AUTO_DONE(buf) struct buf got = {0};
    struct http_field f[2];
    struct http_head h = {.fields = f, .cap = 2};
    int c = -1;
    if (status)
        assert_ok(http_head_add(&h, HTTP_NAME_GRPC_STATUS, str_from(status)));
    assert_ok(http_head_add(&h, HTTP_NAME_GRPC_MESSAGE, str_from(message)));
    assert_int_equal(grpc_status_read(&h, &c, &got), r);
    assert_int_equal(c, code);
    assert_string_equal(got.n ? buf_cstr(&got) : "", text);
}

static void test_status(void **state)
{
    (void)state;
    assert_status("14", "no%20way%21", 0, GRPC_UNAVAILABLE, "no way!");
    assert_status("0", "", 0, GRPC_OK, "");
    assert_status("99", "a%2", 0, GRPC_UNKNOWN, "a%2"); /* what is no escape stands for itself */
    assert_status("x", "%zz%41", 0, GRPC_UNKNOWN, "%zzA");
    assert_status(NULL, "x", -ENOENT, -1, "");
    assert_int_equal(grpc_code_of_http(503), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_code_of_http(404), GRPC_UNIMPLEMENTED);
    assert_int_equal(grpc_code_of_http(302), GRPC_UNKNOWN);
}

static void test_timeouts(void **state)
{
    static const struct {
        const char *text;
        int r;
        uint64_t ms;
    } cases[] = {{"1H", 0, 3600000},
                 {"15S", 0, 15000},
                 {"2M", 0, 120000},
                 {"250m", 0, 250},
                 {"1500u", 0, 2},
                 {"1n", 0, 1},
                 {"99999999H", 0, 99999999ull * 3600000},
                 {"S", -EINVAL, 0},
                 {"1", -EINVAL, 0},
                 {"123456789S", -EINVAL, 0},
                 {"-1S", -EINVAL, 0},
                 {"1x", -EINVAL, 0},
                 {"", -EINVAL, 0}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t ms = 0;
        assert_int_equal(grpc_timeout_parse(str_from(cases[i].text), &ms), cases[i].r);
        assert_int_equal(ms, cases[i].ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_timeouts),
    };
    return RUN_TESTS(tests);
}
