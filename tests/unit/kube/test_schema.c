/* Decoding, defaults and validation against the message tables. */
#include <errno.h>

#include "kube/kind_rules.h"
#include "kube/schema_tables.h"
#include "test.h"

static json_t *parse(const char *text)
{
    json_t *j = NULL;
    assert_int_equal(json_parse(str_from(text), 0, NULL, &j, NULL), 0);
    return j;
}

static void expect_json(const json_t *have, const char *want)
{
    AUTO_DONE(buf) struct buf a = {0};
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_JSON json_t *w = parse(want);
    json_write(&a, have);
    json_write(&b, w);
    assert_string_equal(buf_cstr(&a), buf_cstr(&b));
}

static void decode_fails(const struct schema *s, const char *text, const char *message)
{
    AUTO_JSON json_t *j = parse(text);
    struct err err = {0};
    assert_int_equal(schema_decode(s, j, NULL, &err), -EINVAL);
    assert_string_equal(err.msg, message);
}

static void test_unknown_fields_are_removed_and_told(void **state)
{
    AUTO_JSON json_t *j =
        parse("{\"spec\":{\"containers\":[{\"name\":\"a\",\"imagee\":1}],\"x\":{}},\"y\":1}");
    struct schema_findings f = {0};
    (void)state;
    assert_int_equal(schema_decode(&schema_pod, j, &f, NULL), 0);
    assert_string_equal(buf_cstr(&f.unknown),
                        "unknown field \"spec.containers[0].imagee\"\nunknown field "
                        "\"spec.x\"\nunknown field \"y\"");
    expect_json(j, "{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}");
    schema_findings_done(&f);
}

static void test_wrong_types_are_named_like_go(void **state)
{
    (void)state;
    decode_fails(&schema_pod, "{\"spec\":{\"containers\":[{\"image\":5}]}}",
                 "json: cannot unmarshal number into Go struct field "
                 "Container.spec.containers.image of type string");
    decode_fails(&schema_deployment, "{\"spec\":{\"replicas\":\"3\"}}",
                 "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas "
                 "of type int32");
    decode_fails(&schema_deployment, "{\"spec\":{\"replicas\":99999999999}}",
                 "json: cannot unmarshal number 99999999999 into Go struct field "
                 "DeploymentSpec.spec.replicas of type int32");
    decode_fails(&schema_pod, "{\"metadata\":{\"labels\":[]}}",
                 "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of "
                 "type map[string]string");
    decode_fails(&schema_service, "{\"spec\":{\"ports\":{}}}",
                 "json: cannot unmarshal object into Go struct field ServiceSpec.spec.ports of "
                 "type []v1.ServicePort");
    decode_fails(&schema_pod, "{\"metadata\":{\"creationTimestamp\":\"now\"}}",
                 "parsing time \"now\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"now\"");
    decode_fails(&schema_secret, "{\"data\":{\"a\":\"?\"}}", "illegal base64 data at input byte 0");
}

static void test_what_go_omits_is_dropped(void **state)
{
    AUTO_JSON json_t *j =
        parse("{\"metadata\":{\"name\":\"a\",\"labels\":{},\"creationTimestamp\":null,"
              "\"namespace\":\"\"},"
              "\"spec\":{\"hostNetwork\":false,\"enableServiceLinks\":false,\"nodeSelector\":{},"
              "\"terminationGracePeriodSeconds\":0,\"priority\":0,\"nodeName\":\"\"}}");
    (void)state;
    assert_int_equal(schema_decode(&schema_pod, j, NULL, NULL), 0);
    expect_json(j, "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"enableServiceLinks\":false,"
                   "\"terminationGracePeriodSeconds\":0,\"priority\":0}}");
}

static void test_values_are_canonical(void **state)
{
    AUTO_JSON json_t *j = parse("{\"limits\":{\"cpu\":1,\"memory\":\"1024Mi\",\"x\":\"0.5\"}}");
    AUTO_JSON json_t *m = parse("{\"creationTimestamp\":\"2026-01-02T04:04:05+01:00\"}");
    (void)state;
    assert_int_equal(schema_decode(&schema_resource_requirements, j, NULL, NULL), 0);
    expect_json(j, "{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\",\"x\":\"500m\"}}");
    assert_int_equal(schema_decode(&schema_object_meta, m, NULL, NULL), 0);
    expect_json(m, "{\"creationTimestamp\":\"2026-01-02T03:04:05Z\"}");
}

static void test_inlined_messages(void **state)
{
    AUTO_JSON json_t *j = parse("{\"name\":\"v\",\"configMap\":{\"name\":\"c\"}}");
    (void)state;
    assert_int_equal(schema_decode(&schema_volume, j, NULL, NULL), 0);
    schema_default(&schema_volume, j);
    expect_json(j, "{\"name\":\"v\",\"configMap\":{\"name\":\"c\",\"defaultMode\":420}}");
}

static void test_pod_defaults(void **state)
{
    AUTO_JSON json_t *j = parse(
        "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x:1\",\"ports\":[{"
        "\"containerPort\":1}],"
        "\"livenessProbe\":{\"httpGet\":{\"port\":1}}},{\"name\":\"b\",\"image\":\"reg:5000/x\"},"
        "{\"name\":\"c\",\"image\":\"x@sha256:1\"}]}}");
    (void)state;
    schema_default(&schema_pod, j);
    default_pod(j);
    const json_t *c = json_at(j, "spec.containers");
    assert_string_equal(json_at_str(json_array_get(c, 0), "imagePullPolicy"), "IfNotPresent");
    assert_string_equal(json_at_str(json_array_get(c, 1), "imagePullPolicy"), "Always");
    assert_string_equal(json_at_str(json_array_get(c, 2), "imagePullPolicy"), "IfNotPresent");
    assert_string_equal(
        json_at_str(json_array_get(json_at(json_array_get(c, 0), "ports"), 0), "protocol"), "TCP");
    assert_int_equal(json_at_int(json_array_get(c, 0), "livenessProbe.periodSeconds", 0), 10);
    assert_string_equal(json_at_str(json_array_get(c, 0), "livenessProbe.httpGet.path"), "/");
    assert_string_equal(json_at_str(j, "spec.restartPolicy"), "Always");
    assert_int_equal(json_at_int(j, "spec.terminationGracePeriodSeconds", 0), 30);
}

static void expect_errors(const struct schema *s,
                          void (*rules)(const json_t *, const json_t *, struct field_errors *),
                          const char *text, const char *want)
{
    AUTO_JSON json_t *j = parse(text);
    AUTO_DONE(buf) struct buf b = {0};
    struct field_errors e = {0};
    schema_validate(s, j, &e);
    if (rules)
        rules(j, NULL, &e);
    field_errors_format(&e, &b);
    assert_string_equal(buf_cstr(&b), want);
    field_errors_done(&e);
}

static void test_validation_messages(void **state)
{
    (void)state;
    expect_errors(&schema_pod, NULL, "{\"spec\":{}}", "spec.containers: Required value");
    expect_errors(
        &schema_container, NULL, "{\"name\":\"a\",\"ports\":[{\"containerPort\":70000}]}",
        "ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive");
    expect_errors(&schema_container_port, NULL, "{}", "containerPort: Required value");
    expect_errors(&schema_service, NULL, "{\"spec\":{\"type\":\"X\"}}",
                  "spec.type: Unsupported value: \"X\": supported values: \"ClusterIP\", "
                  "\"ExternalName\", \"LoadBalancer\", "
                  "\"NodePort\"");
    expect_errors(&schema_service, validate_service,
                  "{\"spec\":{\"type\":\"ClusterIP\",\"ports\":[{\"port\":1,\"name\":\"a\"},{"
                  "\"port\":1,\"name\":\"a\"}]}}",
                  "[spec.ports[1].name: Duplicate value: \"a\", spec.ports[1]: Duplicate value: "
                  "{\"protocol\":\"TCP\",\"port\":1}]");
    expect_errors(&schema_deployment, validate_deployment,
                  "{\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{"
                  "\"metadata\":{\"labels\":{\"a\":\"c\"}},"
                  "\"spec\":{\"containers\":[{\"name\":\"x\",\"image\":\"y\"}]}}}}",
                  "spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does "
                  "not match template `labels`");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_fields_are_removed_and_told),
        cmocka_unit_test(test_wrong_types_are_named_like_go),
        cmocka_unit_test(test_what_go_omits_is_dropped),
        cmocka_unit_test(test_values_are_canonical),
        cmocka_unit_test(test_inlined_messages),
        cmocka_unit_test(test_pod_defaults),
        cmocka_unit_test(test_validation_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
