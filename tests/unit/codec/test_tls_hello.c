/* ClientHellos from the corpus and by hand: what is asked for, cut anywhere, and what is refused.
 */
#include "test.h"

#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "codec/tls_hello.h"

static char room[TLS_HELLO_BYTES_MAX];

static struct str corpus(const char *name)
{
    static char bytes[65536];
    AUTO_CHARS char *path = xasprintf("tests/fuzz/corpus/tls_hello/%s", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    return str_of(bytes, n);
}

static void check_asked(struct str bytes)
{
    struct tls_hello h;
    for (size_t n = 0; n < bytes.n; n++)
        assert_int_equal(tls_hello_read(str_sub(bytes, 0, n), room, &h), 0);
    assert_int_equal(tls_hello_read(bytes, room, &h), 1);
    assert_str(h.server_name, "site.example");
    assert_str(tls_hello_next_protocol(&h.protocols), "h2");
    assert_str(tls_hello_next_protocol(&h.protocols), "http/1.1");
    assert_null(tls_hello_next_protocol(&h.protocols).p);
}

static void test_what_is_asked_for(void **state)
{
    (void)state;
    check_asked(corpus("sni_alpn"));
    check_asked(corpus("records")); /* the same over many records */
}

static void test_without_names(void **state)
{
    struct tls_hello h;
    (void)state;
    assert_int_equal(tls_hello_read(corpus("plain"), room, &h), 1);
    assert_int_equal(h.server_name.n, 0);
    assert_int_equal(h.protocols.n, 0);
    assert_int_equal(tls_hello_read(corpus("tls12"), room, &h), 1);
    assert_str(h.server_name, "a.b");
}

/* A hello with the extensions given. */
static struct str hello(struct buf *b, struct str extensions)
{
    static const char start[] = "\x03\x03"
                                "0123456789abcdef0123456789abcdef\0\0\2\x13\1\1\0";
    size_t body = sizeof(start) - 1 + 2 + extensions.n;
    buf_clear(b);
    buf_add(b, "\x16\x03\x01", 3);
    buf_add_be16(b, (uint16_t)(body + 4));
    buf_add(b, "\1\0", 2);
    buf_add_be16(b, (uint16_t)body);
    buf_add(b, start, sizeof(start) - 1);
    buf_add_be16(b, (uint16_t)extensions.n);
    buf_add_str(b, extensions);
    return buf_str(b);
}

static void test_malformed(void **state)
{
    static const struct {
        struct str extensions;
        int r;
    } cases[] = {
        {STR("\0\0\0\x08\0\6\0\0\3a.b"), 1},
        {STR("\0\0\0\x08\0\6\0\0\4a.b"), -EBADMSG}, /* a name longer than its list */
        {STR("\0\0\0\x08\0\7\0\0\3a.b"), -EBADMSG}, /* a list longer than its extension */
        {STR("\0\0\0\x05\0\3\0\0\0"), -EBADMSG},    /* an empty name */
        {STR("\0\0\0\x08\0\6\0\0\3a\0b"), -EBADMSG},
        {STR("\0\0\0\x0e\0\x0c\0\0\3a.b\0\0\3c.d"), -EBADMSG}, /* two names */
        {STR("\0\0\0\x08\0\6\0\0\3a.b\0\0\0\x08\0\6\0\0\3a.b"), -EBADMSG},
        {STR("\0\x10\0\5\0\3\2h2"), 1},
        {STR("\0\x10\0\5\0\3\3h2"), -EBADMSG},
        {STR("\0\x10\0\3\0\1\0"), -EBADMSG},
        {STR("\0\x10\0\x09"), -EBADMSG},
    };
    AUTO_DONE(buf) struct buf b = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tls_hello h;
        assert_int_equal(tls_hello_read(hello(&b, cases[i].extensions), room, &h), cases[i].r);
    }
}

static void test_not_tls(void **state)
{
    struct tls_hello h;
    (void)state;
    assert_int_equal(tls_hello_read(STR("G"), room, &h), -EPROTO);
    assert_int_equal(tls_hello_read(STR("\x16\x02"), room, &h), -EPROTO);
    assert_int_equal(tls_hello_read(STR(""), room, &h), 0);
    assert_int_equal(tls_hello_read(STR("\x16\x03\x01\0\0"), room, &h), -EBADMSG);
    assert_int_equal(tls_hello_read(STR("\x16\x03\x01\0\5\2"), room, &h), -EBADMSG);
    assert_int_equal(tls_hello_read(corpus("long"), room, &h), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_asked_for),
        cmocka_unit_test(test_without_names),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_not_tls),
    };
    return RUN_TESTS(tests);
}
