/* Lines of access logs as JSON: types, order, what is missing. */
#include "proxy/log_json.h"

#include <errno.h>

#include "test.h"

/* What the operators stand for in these tests. */
static bool value(const struct format_piece *p, struct buf *to, void *user)
{
    (void)user;
    switch ((int)p->op) {
    case FORMAT_RESPONSE_CODE:
        buf_add_cstr(to, "503");
        return true;
    case FORMAT_DURATION:
        buf_add_cstr(to, "7");
        return true;
    case FORMAT_PROTOCOL:
        buf_add_cstr(to, "HTTP/\"1.1\"\n");
        return true;
    case FORMAT_REQ:
        buf_add_cstr(to, "12345");
        return true;
    default:
        return false;
    }
}

static void check(const char *format, bool omit, bool texts, const char *expected)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_DONE(buf) struct buf line = {0}, scratch = {0};
    AUTO_JSON json_t *j = NULL;
    struct log_json f = {.omit = omit, .texts = texts};
    struct format all;
    assert_ok(json_parse(str_from(format), 0, NULL, &j, NULL));
    assert_ok(log_json_compile(j, a, &f, &all, NULL));
    log_json_write(&f, value, NULL, &scratch, &line);
    assert_string_equal(buf_cstr(&line), expected);
}

static void test_types(void **state)
{
    (void)state;
    check("{\"s\":\"%RESPONSE_CODE%\",\"d\":\"%DURATION% ms\",\"q\":\"%REQ(X)%\"}", false, false,
          "{\"d\":\"7 ms\",\"q\":\"12345\",\"s\":503}\n");
    check("{\"p\":\"%PROTOCOL%\",\"c\":\"%REQ(X):2%\"}", false, false,
          "{\"c\":\"12\",\"p\":\"HTTP/\\\"1.1\\\"\\n\"}\n");
    check("{\"a\":1.5,\"b\":true,\"c\":null,\"d\":\"text\",\"e\":\"100%%\"}", false, false,
          "{\"a\":1.5,\"b\":true,\"c\":null,\"d\":\"text\",\"e\":\"100%\"}\n");
    check("{\"s\":\"%RESPONSE_CODE%\",\"n\":\"%ROUTE_NAME%\"}", false, true,
          "{\"n\":\"-\",\"s\":\"503\"}\n");
}

static void test_what_is_missing(void **state)
{
    (void)state;
    const char *f =
        "{\"a\":\"%ROUTE_NAME%\",\"b\":\"<%ROUTE_NAME%>\",\"c\":{\"d\":\"%ROUTE_NAME%\"},"
        "\"e\":\"%RESPONSE_CODE%\"}";
    check(f, false, false, "{\"a\":null,\"b\":\"<->\",\"c\":{\"d\":null},\"e\":503}\n");
    check(f, true, false, "{\"b\":\"<>\",\"c\":{},\"e\":503}\n");
}

static void test_nested(void **state)
{
    (void)state;
    check("{\"z\":{\"y\":{\"x\":[\"%DURATION%\",[\"%ROUTE_NAME%\",2],{}]}},\"a\":[]}", false, false,
          "{\"a\":[],\"z\":{\"y\":{\"x\":[7,[null,2],{}]}}}\n");
    check("{}", false, false, "{}\n");
}

static void refused(const char *format, const char *why)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_JSON json_t *j = NULL;
    struct log_json f = {0};
    struct format all;
    struct err err = {0};
    assert_ok(json_parse(str_from(format), 0, NULL, &j, NULL));
    assert_true(log_json_compile(j, a, &f, &all, &err) < 0);
    assert_non_null(strstr(err_text(&err), why));
}

static void test_refused(void **state)
{
    (void)state;
    refused("{\"a\":{\"bad\":\"%NOPE%\"}}", "bad: unknown operator %NOPE%");
    refused("{\"a\":\"%REQ%\"}", "needs a name");
    refused("{\"a\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}", "nested deeper");
}

static void test_all_operators_are_listed(void **state)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_JSON json_t *j = NULL;
    struct log_json f = {0};
    struct format all;
    (void)state;
    assert_ok(json_parse(STR("{\"b\":\"%RESP(X)% %DURATION%\",\"a\":{\"c\":\"%RESP(Y)%\"}}"), 0,
                         NULL, &j, NULL));
    assert_ok(log_json_compile(j, a, &f, &all, NULL));
    size_t n = 0;
    for (size_t i = 0; i < all.n; i++)
        n += all.pieces[i].op == FORMAT_RESP;
    assert_int_equal(n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_what_is_missing),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_all_operators_are_listed),
    };
    return RUN_TESTS(tests);
}
