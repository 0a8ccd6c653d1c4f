/* Answers on FRR's vty sockets. */
#include <errno.h>

#include "test.h"

#include "codec/vty.h"

static void test_an_answer(void **state)
{
    static const char whole[] = "one\ntwo\n\0\0\0\2more";
    struct vty_reply r;
    (void)state;
    for (size_t n = 0; n < 12; n++)
        assert_int_equal(vty_reply_parse(str_of(whole, n), &r), 0);
    assert_int_equal(vty_reply_parse(str_of(whole, sizeof(whole) - 1), &r), 1);
    assert_true(str_is(r.text, "one\ntwo\n") && r.status == VTY_NO_MATCH && r.bytes == 12);
    assert_int_equal(vty_reply_parse(STR("\0\0\0\0"), &r), 1);
    assert_true(r.text.n == 0 && r.status == VTY_OK && r.bytes == 4);
    assert_int_equal(vty_reply_parse(STR("a\0b"), &r), -EBADMSG);
    assert_int_equal(vty_reply_parse(STR("a\0\0b"), &r), -EBADMSG);
}

static void test_words(void **state)
{
    (void)state;
    assert_true(vty_is_word(STR("s3cr#t!?")));
    assert_false(vty_is_word(STR("")) || vty_is_word(STR("a b")) || vty_is_word(STR("a\n")) ||
                 vty_is_word(STR("a\0")) || vty_is_word(STR("\xc3\xa4")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_an_answer),
                                       cmocka_unit_test(test_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
