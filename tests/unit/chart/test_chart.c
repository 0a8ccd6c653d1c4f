/* The chart in the program: it renders, in order, and gives what Helm gives. deploy/ingress, mesh
 * and agent were made by Helm (tools/manifests.py, which lint holds to the chart); tests/chart
 * compares with Helm itself. */
#include "chart/chart.h"
#include "chart/values.h"
#include "kube/manifest.h"
#include "test.h"

#define PLAIN                                                                                      \
    "image.registry=,image.untagged=true,namespace.create=true,control.replicas=1,"                \
    "control.podDisruptionBudget.enabled=false,gateway.podDisruptionBudget.enabled=false,"         \
    "crds.install=false,gateway.preStopSeconds=3,"

static void render(const char *set, struct chart_output *o)
{
    AUTO_JSON json_t *defaults = chart_values();
    AUTO_JSON json_t *chosen = json_object();
    struct err err = {0};
    if (*set)
        assert_ok(values_set(chosen, str_from(set), false, NULL));
    AUTO_JSON json_t *values = values_coalesce(defaults, chosen);
    if (chart_render(values, o, &err) < 0)
        fail_msg("%s: %s", set, err_text(&err));
}

static void test_defaults(void **state)
{
    (void)state;
    AUTO_DONE(chart_output) struct chart_output o = {0};
    json_t *v;
    size_t i;
    enum chart_step step = CHART_NAMESPACES;
    render("", &o);
    json_array_foreach(o.objects, i, v)
    {
        assert_true(chart_step_of(v) >= step);
        step = chart_step_of(v);
    }
    assert_int_equal(step, CHART_WEBHOOKS);
    assert_int_equal(chart_step_of(json_array_get(o.objects, 0)), CHART_DEFINITIONS);
    assert_true(chart_keeps(json_array_get(o.objects, 0)));
    assert_non_null(
        strstr(buf_cstr(&o.notes), "Ingresses of the classes fairlead, nginx are served"));
}

static void test_the_manifest_is_the_objects(void **state)
{
    (void)state;
    AUTO_DONE(chart_output) struct chart_output o = {0};
    AUTO_JSON json_t *again = NULL;
    render("monitoring.dashboards.enabled=true", &o);
    assert_ok(chart_parse_manifest(buf_str(&o.manifest), &again, NULL));
    assert_true(json_equal(again, o.objects));
}

static void assert_has_all(const char *file, const char *set)
{
    AUTO_DONE(chart_output) struct chart_output o = {0};
    AUTO_JSON json_t *want = json_array();
    json_t *v;
    size_t i;
    render(set, &o);
    assert_ok(manifest_read(file, want, NULL));
    assert_true(json_array_size(want) > 0);
    json_array_foreach(want, i, v) if (!json_array_has(o.objects, v)) fail_msg(
        "%s: %s/%s is another", file, json_key_str(v, "kind"), json_at_str(v, "metadata.name"));
}

static void test_what_helm_gives(void **state)
{
    (void)state;
    assert_has_all("deploy/ingress/ingress.yaml", PLAIN "agent.enabled=false,mesh.enabled=false");
    assert_has_all("deploy/mesh/mesh.yaml", PLAIN "agent.enabled=false");
    assert_has_all("deploy/mesh/everywhere.yaml", PLAIN "agent.enabled=false,mesh.everywhere=true");
    assert_has_all("deploy/agent/agent.yaml",
                   PLAIN "mesh.enabled=false,agent.apiServer.host=API-SERVER.example");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_the_manifest_is_the_objects),
        cmocka_unit_test(test_what_helm_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
