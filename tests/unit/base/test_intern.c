/* The table of interned texts. */
#include <stdio.h>

#include "base/intern.h"
#include "test.h"

static void test_equal_texts_are_one(void **state)
{
    struct intern t = {0};
    (void)state;
    uint32_t a = intern_ref(&t, STR("node-1")), b = intern_ref(&t, STR("node-2"));
    assert_true(a && b && a != b);
    assert_int_equal(intern_ref(&t, STR("node-1")), a);
    assert_int_equal(intern_count(&t), 2);
    assert_str(intern_get(&t, a), "node-1");
    intern_unref(&t, a);
    assert_str(intern_get(&t, a), "node-1");
    intern_unref(&t, a);
    assert_int_equal(intern_count(&t), 1);
    intern_unref(&t, b);
    intern_done(&t);
}

static void test_places_are_used_again(void **state)
{
    struct intern t = {0};
    char text[16];
    (void)state;
    for (int round = 0; round < 100; round++) {
        uint32_t ids[10];
        for (int i = 0; i < 10; i++) {
            snprintf(text, sizeof(text), "%d-%d", round, i);
            ids[i] = intern_ref(&t, str_from(text));
            assert_str(intern_get(&t, ids[i]), text);
        }
        for (int i = 0; i < 10; i++)
            intern_unref(&t, ids[i]);
    }
    assert_int_equal(t.texts.n, 11);
    intern_done(&t);
}

static void test_the_empty_text_costs_nothing(void **state)
{
    struct intern t = {0};
    (void)state;
    assert_int_equal(intern_ref(&t, (struct str){0}), 0);
    assert_int_equal(intern_get(&t, 0).n, 0);
    intern_unref(&t, 0);
    assert_int_equal(intern_count(&t), 0);
    intern_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_texts_are_one),
        cmocka_unit_test(test_places_are_used_again),
        cmocka_unit_test(test_the_empty_text_costs_nothing),
    };
    return RUN_TESTS(tests);
}
