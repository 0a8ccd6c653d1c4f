/* Quantities: canonical text and values. */
#include <errno.h>

#include "kube/quantity.h"
#include "test.h"

static void test_canonical(void **state)
{
    static const char *const cases[][2] = {
        {"1", "1"},        {"1000m", "1"},       {"0.5", "500m"},     {"1500m", "1500m"},
        {"1024Ki", "1Mi"}, {"1536Mi", "1536Mi"}, {"1Gi", "1Gi"},      {"0", "0"},
        {"1e3", "1e3"},    {"1k", "1k"},         {"1000", "1k"},      {"1M", "1M"},
        {"-1", "-1"},      {"+1", "1"},          {"1.5Gi", "1536Mi"}, {"100n", "100n"},
        {"0.1", "100m"},   {"512", "512"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[QUANTITY_TEXT_BYTES];
        assert_int_equal(quantity_canonical(str_from(cases[i][0]), text), 0);
        assert_string_equal(text, cases[i][1]);
    }
}

static void test_bad(void **state)
{
    static const char *const bad[] = {"", "x", "1x", "1 Gi", "--1", "1.2.3", "Gi", "1e", "."};
    char text[QUANTITY_TEXT_BYTES];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(quantity_canonical(str_from(bad[i]), text), -EINVAL);
}

static void test_values(void **state)
{
    int64_t v;
    (void)state;
    assert_int_equal(quantity_value(STR("1500m"), &v), 0);
    assert_int_equal(v, 2);
    assert_int_equal(quantity_milli(STR("2"), &v), 0);
    assert_int_equal(v, 2000);
    assert_int_equal(quantity_value(STR("64Mi"), &v), 0);
    assert_int_equal(v, 64 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
