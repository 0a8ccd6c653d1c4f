/* Cookies: found in requests; what is refused as a configuration. */
#include "test.h"

#include <errno.h>

#include "proxy/cookie.h"

static void test_refusals(void **state)
{
    static const struct cookie_attribute bad[] = {{"a b", ""}, {"a", "b;c"}, {"a", "b\r\nc: d"}};
    AUTO(arena) struct arena *a = arena_new(0);
    struct pb_path path = {0};
    struct str name, tail;
    (void)state;
    struct cookie_config c = {.name = "a=b", .path = ""};
    assert_int_equal(cookie_compile(&c, a, &path, &name, &tail, NULL), -EINVAL);
    c = (struct cookie_config){.name = "a", .path = "/;x"};
    assert_int_equal(cookie_compile(&c, a, &path, &name, &tail, NULL), -EINVAL);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        c = (struct cookie_config){
            .name = "a", .path = "", .attributes = &bad[i], .n_attributes = 1};
        assert_int_equal(cookie_compile(&c, a, &path, &name, &tail, NULL), -EINVAL);
    }
}

static void test_lines(void **state)
{
    static const struct cookie_attribute some[] = {{"Secure", ""}, {"SameSite", "Lax"}};
    AUTO(arena) struct arena *a = arena_new(0);
    Google__Protobuf__Duration ttl;
    struct pb_path path = {0};
    struct str name, tail;
    (void)state;
    google__protobuf__duration__init(&ttl);
    struct cookie_config c = {"a", "/x", &ttl, some, 2};
    assert_ok(cookie_compile(&c, a, &path, &name, &tail, NULL));
    assert_str(cookie_line(name, STR("v"), tail, a),
               "a=\"v\"; Path=/x; Secure; SameSite=Lax; HttpOnly");
    ttl.seconds = 60;
    assert_ok(cookie_compile(&c, a, &path, &name, &tail, NULL));
    assert_str(tail, "; Max-Age=60; Path=/x; Secure; SameSite=Lax; HttpOnly");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_lines),
    };
    return RUN_TESTS(tests);
}
