/* JSON: text that comes from outside. Parsing is tested through test_text.c and the fuzz targets.
 */
#include "codec/json.h"
#include "test.h"

/* A message that was cut in the middle of a character still is a JSON string. */
static void test_text_is_never_null(void **state)
{
    static const struct {
        struct str in;
        const char *out;
        bool valid;
    } rows[] = {
        {{"", 0}, "", true},
        {{"a\xc3\xa9", 3}, "a\xc3\xa9", true},
        {{"a\xc3\xa9", 2}, "a\xef\xbf\xbd", false},
        {{"\xff\xfe!", 3}, "\xef\xbf\xbd\xef\xbf\xbd!", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = json_text(rows[i].in);
        assert_string_equal(json_string_value(j), rows[i].out);
        assert_int_equal(json_is_utf8(rows[i].in), rows[i].valid);
    }
}

/* Wherever it stands: plain text is passed over in words. */
static void test_utf8_anywhere(void **state)
{
    (void)state;
    for (size_t n = 2; n < 40; n++)
        for (size_t at = 0; at + 2 <= n; at++) {
            char text[40];
            memset(text, 'a', sizeof(text));
            assert_true(json_is_utf8(str_of(text, n)));
            text[at] = '\xc3';
            assert_false(json_is_utf8(str_of(text, n)));
            text[at + 1] = '\xa9';
            assert_true(json_is_utf8(str_of(text, n)));
            assert_false(json_is_utf8(str_of(text, at + 1))); /* cut in the middle */
        }
}

/* What can be read of a value is kept. */
static void test_put_str_keeps_the_readable(void **state)
{
    AUTO_JSON json_t *j = json_object();
    (void)state;
    json_put_str(j, "a.b", "caf\xe9 au lait");
    assert_string_equal(json_at_str(j, "a.b"), "caf\xef\xbf\xbd au lait");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_never_null),
        cmocka_unit_test(test_utf8_anywhere),
        cmocka_unit_test(test_put_str_keeps_the_readable),
    };
    return RUN_TESTS(tests);
}
