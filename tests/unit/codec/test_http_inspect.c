/* First bytes that are HTTP, and those that are not. */
#include "test.h"

#include <errno.h>

#include "codec/http_inspect.h"

static void check(struct str bytes, int expected, const char *word)
{
    struct str said = {NULL, 0}, early;
    assert_int_equal(http_inspect(bytes, &said), expected);
    if (word)
        assert_str(said, word);
    for (size_t n = 0; n < bytes.n; n++) { /* a part never says anything else */
        int r = http_inspect(str_sub(bytes, 0, n), &early);
        assert_true(r == 0 || r == expected);
    }
}

static void test_inspect(void **state)
{
    (void)state;
    check(STR("GET / HTTP/1.1\r\n"), 1, "http/1.1");
    check(STR("PRIVATE /a b HTTP/1.0\n"), 1, "http/1.0");
    check(STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 1, "h2c");
    check(STR("GET / HTTP/1.1"), 0, NULL);
    check(STR("PRI * HTT"), 0, NULL);
    check(STR("GET / HTTP/2.0\r\n"), -EPROTO, NULL);
    check(STR("\x16\x03"), -EPROTO, NULL);
    check(STR("*1\r\n$4\r\nPING\r\n"), -EPROTO, NULL);
    check(STR("EHLO\r\n"), -EPROTO, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_inspect)};
    return RUN_TESTS(tests);
}
