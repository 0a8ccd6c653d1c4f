/* What labels are told to be. */
#include "test.h"

#include <errno.h>

#include "codec/tag_value.h"

static const struct {
    const char *text;
    int attribute; /* -1: it cannot be */
    const char *value;
} cases[] = {
    {"request.method", TAG_METHOD, NULL},
    {" request.host ", TAG_HOST, NULL},
    {"request.scheme", TAG_SCHEME, NULL},
    {"request.headers['X-Tenant']", TAG_FIELD, "x-tenant"},
    {"request.headers[\"a\"]", TAG_FIELD, "a"},
    {"'a b'", TAG_TEXT, "a b"},
    {"\"\"", TAG_TEXT, ""},
    {"\"it's\"", TAG_TEXT, "it's"},
    {"", -1, NULL},
    {"'", -1, NULL},
    {"'a\"", -1, NULL},
    {"'a'b'", -1, NULL},
    {"'a\\n'", -1, NULL},
    {"'a\nb'", -1, NULL},
    {"request.path", -1, NULL}, /* as many as there are clients who want */
    {"request.headers['a b']", -1, NULL},
    {"request.headers['a'", -1, NULL},
    {"request.headers[a]", -1, NULL},
    {"string(destination.port)", -1, NULL},
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tag_value v;
        struct err err = {0};
        int r = tag_value_parse(cases[i].text, &v, &err);
        if (r != (cases[i].attribute < 0 ? -EINVAL : 0))
            fail_msg("%s: %d", cases[i].text, r);
        if (r < 0)
            continue;
        assert_int_equal(v.attribute, cases[i].attribute);
        if (cases[i].value)
            assert_string_equal(v.text, cases[i].value);
        else
            assert_null(v.text);
        tag_value_done(&v);
    }
}

static void test_limits_and_names(void **state)
{
    char text[TAG_VALUE_BYTES_MAX + 2], name[TAG_NAME_BYTES_MAX + 2];
    struct tag_value v;
    struct err err = {0};
    (void)state;
    memset(text, 'a', sizeof(text));
    text[0] = text[sizeof(text) - 2] = '\'';
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(tag_value_parse(text, &v, NULL), -EINVAL);
    text[sizeof(text) - 3] = '\'';
    text[sizeof(text) - 2] = '\0';
    assert_int_equal(tag_value_parse(text, &v, &err), 0);
    tag_value_done(&v);
    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    assert_false(tag_name_is_valid(name));
    assert_true(tag_name_is_valid(name + 1));
    assert_true(tag_name_is_valid("request_host"));
    assert_false(tag_name_is_valid(""));
    assert_false(tag_name_is_valid("1a"));
    assert_false(tag_name_is_valid("a-b"));
    assert_false(tag_name_is_valid("__name__"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_limits_and_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
