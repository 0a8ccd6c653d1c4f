/* Values: --set as Helm reads it, how they come together, what the schema refuses. */
#include <errno.h>

#include "chart/chart.h"
#include "chart/go_json.h"
#include "chart/values.h"
#include "test.h"

static void assert_set(const char *text, const char *want)
{
    AUTO_JSON json_t *v = json_object();
    AUTO_DONE(buf) struct buf b = {0};
    struct err err = {0};
    if (values_set(v, str_from(text), false, &err) < 0)
        fail_msg("%s", err_text(&err));
    go_json_write(&b, v);
    assert_string_equal(buf_cstr(&b), want);
}

static void test_set(void **state)
{
    (void)state;
    assert_set("a=b", "{\"a\":\"b\"}");
    assert_set("a.b=1,a.c=true,d=null", "{\"a\":{\"b\":1,\"c\":true},\"d\":null}");
    assert_set("a=", "{\"a\":\"\"}");
    assert_set("a={x,2},b=c", "{\"a\":[\"x\",2],\"b\":\"c\"}");
    assert_set("a={}", "{\"a\":[\"\"]}");
    assert_set("a[0].b=1,a[1].b=2", "{\"a\":[{\"b\":1},{\"b\":2}]}");
    assert_set("a[1]=x", "{\"a\":[null,\"x\"]}");
    assert_set("a=x\\,y,b\\.c=d", "{\"a\":\"x,y\",\"b.c\":\"d\"}");
    assert_set("a=0123,b=0,c=-5,d=1.5", "{\"a\":\"0123\",\"b\":0,\"c\":-5,\"d\":\"1.5\"}");
    assert_set("a=x=y", "{\"a\":\"x=y\"}");
}

static void test_set_as_text(void **state)
{
    (void)state;
    AUTO_JSON json_t *v = json_object();
    assert_ok(values_set(v, STR("a=1,b=true"), true, NULL));
    assert_string_equal(json_key_str(v, "a"), "1");
    assert_string_equal(json_key_str(v, "b"), "true");
}

static void test_what_set_refuses(void **state)
{
    (void)state;
    static const char *const texts[] = {"",          "a",     "=b",       "a={x",   "a[x]=1",
                                        "a[1000]=1", "a[0=1", "a={x}b=c", "a..b=1", "a[0]b=1"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO_JSON json_t *v = json_object();
        struct err err = {0};
        if (values_set(v, str_from(texts[i]), false, &err) == 0)
            fail_msg("%s is taken", texts[i]);
        assert_true(err.msg[0]);
    }
}

static void test_together(void **state)
{
    (void)state;
    AUTO_JSON json_t *defaults = NULL, *chosen = NULL;
    AUTO_DONE(buf) struct buf b = {0};
    assert_ok(json_parse(STR("{\"a\":{\"b\":1,\"c\":2},\"l\":[1,2],\"x\":{\"y\":1}}"), 0, NULL,
                         &defaults, NULL));
    assert_ok(
        json_parse(STR("{\"a\":{\"b\":3,\"c\":null},\"l\":[9],\"x\":null,\"n\":{\"o\":null}}"), 0,
                   NULL, &chosen, NULL));
    AUTO_JSON json_t *all = values_coalesce(defaults, chosen);
    go_json_write(&b, all);
    assert_string_equal(buf_cstr(&b), "{\"a\":{\"b\":3},\"l\":[9],\"n\":{\"o\":null}}");
}

static void assert_told(const char *set, const char *want)
{
    AUTO_JSON json_t *schema = chart_schema();
    AUTO_JSON json_t *defaults = chart_values();
    AUTO_JSON json_t *chosen = json_object();
    AUTO_DONE(buf) struct buf told = {0};
    assert_ok(values_set(chosen, str_from(set), false, NULL));
    AUTO_JSON json_t *all = values_coalesce(defaults, chosen);
    int found = values_check(schema, all, &told, NULL);
    if (!want)
        assert_int_equal(found, 0);
    else if (found < 1 || !strstr(buf_cstr(&told), want))
        fail_msg("%s: \"%s\" does not say \"%s\"", set, buf_cstr(&told), want);
}

static void test_schema(void **state)
{
    (void)state;
    assert_told("control.replicas=3", NULL);
    assert_told("agent.resources=null", NULL);
    assert_told("agent.detectLocalMode=ClusterCIDR,agent.clusterCIDR=10.0.0.0/8", NULL);
    assert_told("image.foo=1", "image.foo: there is no such value");
    assert_told("control.replica=1",
                "control.replica: there is no such value; did you mean control.replicas");
    assert_told("control.replicas=0", "control.replicas: 0 is less than 1");
    assert_told("control.replicas=x", "control.replicas: \"x\" is not a whole number");
    assert_told("agent.externalIPs=1", "agent.externalIPs: 1 is not true or false");
    assert_told("image.tag=1", "image.tag: 1 is not a text (--set-string");
    assert_told("agent.detectLocalMode=NodeCIDRs", "did you mean NodeCIDR");
    assert_told("agent.detectLocalMode=ClusterCIDR",
                "agent.clusterCIDR: is not set, and has to be, since agent.detectLocalMode is "
                "\"ClusterCIDR\"");
    assert_told("agent.clusterCIDR=ten", "agent.clusterCIDR: \"ten\" has not the form");
    assert_told("mesh.everywhere=true,mesh.revisionOnly=true", "not at once");
    assert_told("control.enabled=false",
                "gateway.enabled: true has to be false, since control.enabled is false");
    assert_told("gateway.podDisruptionBudget.maxUnavailable=1/2", "none of the forms");
    assert_told("gateway.service.extraPorts[0].port=1",
                "gateway.service.extraPorts[0]: name is missing");
    assert_told("control.nodeSelector.a=1", "control.nodeSelector.a: 1 is not a text");
    assert_told("image.foo=null", "image.foo: there is no such value");
}

static void test_a_schema_of_more(void **state)
{
    (void)state;
    AUTO_JSON json_t *schema = NULL;
    AUTO_JSON json_t *v = json_object();
    AUTO_DONE(buf) struct buf told = {0};
    struct err err = {0};
    AUTO_JSON json_t *few = json_pack("{s:[]}", "l");
    AUTO_JSON json_t *list = json_pack("{s:{s:{s:i}}}", "properties", "l", "minItems", 1);
    assert_int_equal(values_check(list, few, &told, &err), 1);
    assert_string_equal(buf_cstr(&told), "l: has fewer than 1 elements\n");
    assert_ok(json_parse(STR("{\"oneOf\": []}"), 0, NULL, &schema, NULL));
    assert_int_equal(values_check(schema, v, &told, &err), -ENOTSUP);
    assert_non_null(strstr(err_text(&err), "oneOf"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),      cmocka_unit_test(test_set_as_text),
        cmocka_unit_test(test_together), cmocka_unit_test(test_what_set_refuses),
        cmocka_unit_test(test_schema),   cmocka_unit_test(test_a_schema_of_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
