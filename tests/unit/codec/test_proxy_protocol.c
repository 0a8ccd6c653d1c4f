/* Heads of the PROXY protocol: both versions, cut anywhere, and what is refused. */
#include "test.h"

#include <errno.h>

#include "base/buf.h"
#include "codec/proxy_protocol.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static void check(struct str bytes, size_t head, const char *source, unsigned port)
{
    struct proxy_protocol p = {0};
    char text[IP_TEXT_BYTES];
    for (size_t n = 0; n < head; n++)
        assert_int_equal(proxy_protocol_read(str_sub(bytes, 0, n), &p), 0);
    assert_int_equal(proxy_protocol_read(bytes, &p), 1);
    assert_int_equal(p.bytes, head);
    assert_int_equal(p.local, !source);
    if (source)
        assert_string_equal(ip_format(&p.source, text), source);
    assert_int_equal(p.source_port, port);
}

static void test_good(void **state)
{
    (void)state;
    check(STR("PROXY TCP4 1.2.3.4 5.6.7.8 65535 80\r\nrest"), 37, "1.2.3.4", 65535);
    check(STR("PROXY TCP6 2001:db8::1 ::1 1 2\r\n"), 32, "2001:db8::1", 1);
    check(STR("PROXY UNKNOWN what ever\r\n"), 25, NULL, 0);
    check(STR("PROXY UNKNOWN\r\n"), 15, NULL, 0);
    check(STR(SIGNATURE "\x21\x11\0\x0c\1\2\3\4\5\6\7\10\x12\x34\0\x50GET"), 28, "1.2.3.4", 0x1234);
    /* with a TLV, which is passed over */
    check(STR(SIGNATURE "\x21\x11\0\x11\1\2\3\4\5\6\7\10\x12\x34\0\x50\4\0\2abGET"), 33, "1.2.3.4",
          0x1234);
    check(STR(SIGNATURE "\x20\0\0\2xxGET"), 18, NULL, 0);
    check(STR(SIGNATURE "\x21\0\0\0"), 16, NULL, 0); /* PROXY of nobody */
}

static void expect_written(struct proxy_protocol p, struct str want)
{
    char text[PROXY_PROTOCOL_WRITTEN_MAX];
    size_t n = proxy_protocol_write(&p, text);
    assert_int_equal(n, want.n);
    assert_memory_equal(text, want.p, want.n);
}

static struct ip ip_of(const char *text)
{
    struct ip ip;
    assert_ok(ip_parse(str_from(text), &ip));
    return ip;
}

static void test_written(void **state)
{
    struct proxy_protocol four = {.version = 1,
                                  .source = ip_of("1.2.3.4"),
                                  .destination = ip_of("5.6.7.8"),
                                  .source_port = 0x1234,
                                  .destination_port = 80},
                          six = {.version = 1,
                                 .source = ip_of("2001:db8::1"),
                                 .destination = ip_of("::1"),
                                 .source_port = 1,
                                 .destination_port = 65535},
                          nobody = {.version = 1, .local = true}, mixed = four;
    (void)state;
    mixed.destination = six.destination;
    expect_written(four, STR("PROXY TCP4 1.2.3.4 5.6.7.8 4660 80\r\n"));
    expect_written(six, STR("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"));
    expect_written(nobody, STR("PROXY UNKNOWN\r\n"));
    expect_written(mixed, STR("PROXY UNKNOWN\r\n"));
    four.version = six.version = nobody.version = mixed.version = 2;
    expect_written(four, STR(SIGNATURE "\x21\x11\0\x0c\1\2\3\4\5\6\7\10\x12\x34\0\x50"));
    expect_written(six, STR(SIGNATURE "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
                                      "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\1\xff\xff"));
    expect_written(nobody, STR(SIGNATURE "\x20\0\0\0"));
    expect_written(mixed, STR(SIGNATURE "\x20\0\0\0"));
}

static void test_bad(void **state)
{
    static const struct {
        struct str bytes;
        int r;
    } cases[] = {
        {STR("GET / HTTP/1.1\r\n"), -ENOENT},
        {STR("PROXX"), -ENOENT},
        {STR("PROXY TCP4 1.2.3.4 5.6.7.8 65536 80\r\n"), -EBADMSG},
        {STR("PROXY TCP4 1.2.3.4 5.6.7.8 1 080\r\n"), -EBADMSG},
        {STR("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n"), -EBADMSG},
        {STR("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n"), -EBADMSG},
        {STR("PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n"), -EBADMSG},
        {STR("PROXY TCP4 ::1 ::1 1 2\r\n"), -EBADMSG},
        {STR("PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n"), -EBADMSG},
        {STR("PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n"), -EBADMSG},
        {STR("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n"), -EBADMSG},
        {STR("PROXY \n"), -EBADMSG},
        {STR(SIGNATURE "\x11\x11\0\x0c"), -EBADMSG},
        {STR(SIGNATURE "\x22\x11\0\x0c"), -EBADMSG},
        {STR(SIGNATURE "\x21\x11\0\x0b"), -EBADMSG},
        {STR(SIGNATURE "\x21\x21\0\x23"), -EBADMSG},
        {STR(SIGNATURE "\x21\x12\0\x0c"), -EAFNOSUPPORT},
        {STR(SIGNATURE "\x21\x31\0\xd8"), -EAFNOSUPPORT},
        {STR(SIGNATURE "\x21\x11\xff\xff"), -E2BIG},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct proxy_protocol p;
        int r = proxy_protocol_read(cases[i].bytes, &p);
        if (r != cases[i].r)
            fail_msg("case %zu: %d", i, r);
    }
}

static void test_a_line_without_end(void **state)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct proxy_protocol p;
    (void)state;
    buf_add_cstr(&b, "PROXY UNKNOWN ");
    while (b.n < 106)
        buf_add_char(&b, 'x');
    assert_int_equal(proxy_protocol_read(buf_str(&b), &p), 0);
    buf_add_char(&b, 'x');
    assert_int_equal(proxy_protocol_read(buf_str(&b), &p), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_written),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_a_line_without_end),
    };
    return RUN_TESTS(tests);
}
