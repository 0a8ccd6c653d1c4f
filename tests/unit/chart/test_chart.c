/* The chart in the program: it renders, in order. */
#include "chart/chart.h"
#include "test.h"

static void test_defaults(void **state)
{
    (void)state;
    AUTO_JSON json_t *values = chart_values();
    AUTO_DONE(chart_output) struct chart_output o;
    struct err err = {0};
    if (chart_render(values, &o, &err) < 0)
        fail_msg("%s", err_text(&err));
    json_t *v;
    size_t i;
    enum chart_step step = CHART_NAMESPACES;
    json_array_foreach(o.objects, i, v)
    {
        assert_true(chart_step_of(v) >= step);
        step = chart_step_of(v);
    }
    assert_int_equal(step, CHART_WEBHOOKS);
    AUTO_JSON json_t *again = NULL;
    assert_ok(chart_parse_manifest(buf_str(&o.manifest), &again, NULL));
    assert_true(json_equal(again, o.objects));
    assert_non_null(
        strstr(buf_cstr(&o.notes), "Ingresses of the classes fairlead, nginx are served"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
