/* WebSocket framing: the RFC's own examples, every length form, truncation, protocol errors. */
#include "test.h"

#include <errno.h>

#include "codec/websocket.h"

static void test_accept_key(void **state)
{
    char key[29];
    (void)state;
    websocket_accept_key(STR("dGhlIHNhbXBsZSBub25jZQ=="), key); /* RFC 6455 section 1.3 */
    assert_string_equal(key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void check_round_trip(size_t n, bool masked)
{
    AUTO_DONE(buf) struct buf payload = {0};
    AUTO_DONE(buf) struct buf out = {0};
    AUTO_DONE(chain) struct chain in = {0};
    struct websocket_frame f;
    size_t used;
    for (size_t i = 0; i < n; i++)
        buf_add_u8(&payload, (uint8_t)(i * 7));
    websocket_channel_write(&out, 3, masked, buf_str(&payload));
    for (size_t cut = 0; cut < MIN(out.n, (size_t)20); cut++) {
        struct chain part = {0};
        chain_add(&part, str_of(out.p, cut));
        assert_int_equal(websocket_frame_read(&part, masked, &f, &used), 0);
        chain_done(&part);
    }
    chain_add(&in, buf_str(&out)); /* in several runs, if it is long */
    assert_int_equal(websocket_frame_read(&in, masked, &f, &used), 1);
    assert_int_equal(used, out.n);
    assert_int_equal(f.payload.n, n + 1);
    assert_int_equal(f.payload.p[0], 3);
    if (n)
        assert_memory_equal(f.payload.p + 1, payload.p, n);
}

static void test_round_trips(void **state)
{
    static const size_t sizes[] = {0, 1, 124, 125, 126, 65534, 65535, 70000};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        check_round_trip(sizes[i], true);
        check_round_trip(sizes[i], false);
    }
}

static int read_bytes(const char *bytes, size_t n, bool from_client)
{
    AUTO_DONE(chain) struct chain in = {0};
    struct websocket_frame f;
    size_t used;
    chain_add(&in, str_of(bytes, n));
    return websocket_frame_read(&in, from_client, &f, &used);
}

static void test_errors(void **state)
{
    (void)state;
    assert_int_equal(read_bytes("\x82\x00", 2, true), -EBADMSG);          /* a client must mask */
    assert_int_equal(read_bytes("\x82\x80zzzz", 6, false), -EBADMSG);     /* a server must not */
    assert_int_equal(read_bytes("\xc2\x00", 2, false), -EBADMSG);         /* reserved bit */
    assert_int_equal(read_bytes("\x83\x00", 2, false), -EBADMSG);         /* unknown opcode */
    assert_int_equal(read_bytes("\x09\x00", 2, false), -EBADMSG);         /* fragmented ping */
    assert_int_equal(read_bytes("\x89\x7e\x00\x80", 4, false), -EBADMSG); /* long ping */
    assert_int_equal(read_bytes("\x82\x7f\x00\x00\x00\x01\x00\x00\x00\x00", 10, false), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept_key),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_errors),
    };
    return RUN_TESTS(tests);
}
