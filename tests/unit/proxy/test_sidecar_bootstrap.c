/* What a sidecar begins with: the table has nothing to say of it; what is missing is named. */
#include "test.h"

#include <errno.h>

#include "proxy/sidecar_bootstrap.h"
#include "xds/xds_file.h"

static const struct sidecar_bootstrap good = {.control = "control.example:15012",
                                              .root_file = "/root.pem",
                                              .pod = "web-0",
                                              .namespace_ = "shop",
                                              .ip = "10.0.0.7",
                                              .workload = "web"};

/* NULL: it is not said there. */
static const char *metadata(const Envoy__Config__Core__V3__Node *node, const char *name)
{
    for (size_t i = 0; i < node->metadata->n_fields; i++)
        if (streq(node->metadata->fields[i]->key, name))
            return node->metadata->fields[i]->value->string_value;
    return NULL;
}

static void test_the_table_takes_it(void **state)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_DONE(xds_report) struct xds_report report = {0};
    Envoy__Config__Bootstrap__V3__Bootstrap *m;
    struct err err = {0};
    (void)state;
    char *const environment[] = {
        (char *)(uintptr_t) "ISTIO_META_MESH_ID=m", (char *)(uintptr_t) "ISTIO_META_CLUSTER_ID=far",
        (char *)(uintptr_t) "ISTIO_META_=x", (char *)(uintptr_t) "OTHER=y", NULL};
    struct sidecar_bootstrap own = good;
    own.environment = environment;
    assert_ok(sidecar_bootstrap_json(&own, &b, NULL));
    if (xds_file_parse(buf_str(&b), "sidecar", a, &m, &report, &err) < 0 || report.findings.n)
        fail_msg("%s %s", err_text(&err), report.findings.n ? report.findings.v[0].path : "");
    assert_string_equal(m->node->id, "sidecar~10.0.0.7~web-0.shop~shop.svc.cluster.local");
    assert_string_equal(m->node->cluster, "web.shop");
    assert_int_equal(m->static_resources->n_listeners, 2);
    assert_string_equal(metadata(m->node, "INSTANCE_IPS"),
                        "10.0.0.7"); /* a text, as istiod has it */
    assert_string_equal(metadata(m->node, "MESH_ID"), "m");
    assert_string_equal(metadata(m->node, "CLUSTER_ID"), "far");
    assert_null(metadata(m->node, "OTHER"));
    assert_int_equal(m->node->metadata->n_fields, 6);
    assert_non_null(strstr(buf_cstr(&b), "\"tls_minimum_protocol_version\":\"TLSv1_3\""));
    assert_non_null(strstr(buf_cstr(&b), "\"exact\":\"control.example\""));
}

static void test_what_is_missing(void **state)
{
    struct sidecar_bootstrap cases[] = {good, good, good, good, good, good};
    static const char *const words[] = {
        "POD_NAME",       "POD_NAMESPACE",       "POD_IP",
        "POD_IP: '10.0'", "--control: ':15012'", "--control: 'a:0'"};
    (void)state;
    cases[0].pod = NULL;
    cases[1].namespace_ = "";
    cases[2].ip = NULL;
    cases[3].ip = "10.0";
    cases[4].control = ":15012";
    cases[5].control = "a:0";
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_DONE(buf) struct buf b = {0};
        struct err err = {0};
        assert_int_equal(sidecar_bootstrap_json(&cases[i], &b, &err), -EINVAL);
        if (!strstr(err_text(&err), words[i]))
            fail_msg("%s", err_text(&err));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table_takes_it),
        cmocka_unit_test(test_what_is_missing),
    };
    return RUN_TESTS(tests);
}
