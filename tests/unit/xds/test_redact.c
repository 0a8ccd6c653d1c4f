/* What a configuration that is shown does not tell. */
#include "xds/redact.h"

#include "test.h"

static void check(const char *from, const char *expected)
{
    json_t *j;
    AUTO_DONE(buf) struct buf b = {0};
    assert_ok(json_parse(str_from(from), 0, NULL, &j, NULL));
    json_redact(j);
    json_write(&b, j);
    json_decref(j);
    assert_string_equal(buf_cstr(&b), expected);
}

static void test_keys(void **state)
{
    (void)state;
    check("{\"private_key\":{\"inline_string\":\"k\"},\"certificate_chain\":{\"inline_string\":"
          "\"c\"}}",
          "{\"private_key\":{\"inline_string\":\"[redacted]\"},\"certificate_chain\":{\"inline_"
          "string\":\"c\"}}");
    check("{\"private_key\":{\"inline_bytes\":\"aw==\"}}",
          "{\"private_key\":{\"inline_bytes\":\"W3JlZGFjdGVkXQ==\"}}");
    check(
        "{\"private_key\":{\"filename\":\"/k.pem\"},\"password\":{\"environment_variable\":\"P\"}}",
        "{\"private_key\":{\"filename\":\"/"
        "k.pem\"},\"password\":{\"environment_variable\":\"P\"}}");
    check("{\"a\":[{\"session_ticket_keys\":{\"keys\":[{\"inline_string\":\"k\"}]}}]}",
          "{\"a\":[{\"session_ticket_keys\":{\"keys\":[{\"inline_string\":\"[redacted]\"}]}}]}");
    check("{\"generic_secret\":{\"secret\":{\"inline_string\":\"s\"}},\"password\":\"p\"}",
          "{\"generic_secret\":{\"secret\":{\"inline_string\":\"[redacted]\"}},\"password\":"
          "\"[redacted]\"}");
    check("{\"keys\":[\"a\",[\"b\"]]}", "{\"keys\":[\"[redacted]\",[\"[redacted]\"]]}");
}

static void test_fields_of_http(void **state)
{
    (void)state;
    check("{\"header\":{\"key\":\"AUTHORIZATION\",\"value\":\"v\"}}",
          "{\"header\":{\"key\":\"AUTHORIZATION\",\"value\":\"[redacted]\"}}");
    check("{\"header\":{\"key\":\"x-team\",\"value\":\"v\"}}",
          "{\"header\":{\"key\":\"x-team\",\"value\":\"v\"}}");
    check("{\"key\":\"cookie\",\"raw_value\":\"dg==\"}",
          "{\"key\":\"cookie\",\"raw_value\":\"W3JlZGFjdGVkXQ==\"}");
}

static void test_what_is_no_secret(void **state)
{
    (void)state;
    check("{\"name\":\"c\",\"n\":1,\"list\":[1,\"x\",null],\"sds\":{\"name\":\"s\"}}",
          "{\"name\":\"c\",\"n\":1,\"list\":[1,\"x\",null],\"sds\":{\"name\":\"s\"}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_fields_of_http),
        cmocka_unit_test(test_what_is_no_secret),
    };
    return RUN_TESTS(tests);
}
