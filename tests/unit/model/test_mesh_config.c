/* Mesh config: what is read of it, and what is wrong with it, by field. */
#include "test.h"

#include "model/mesh_config.h"

static struct mesh_config *config_of(const char *yaml)
{
    AUTO_JSON json_t *object = json_pack("{s:{s:s}}", "data", "mesh", yaml);
    struct mesh_config *c = mesh_config_new("istio-system/istio", object);
    assert_non_null(c);
    return c;
}

#define AUTHZ(more) "extensionProviders: [{name: a, envoyExtAuthzHttp: {service: a.ns" more "}}]"
#define GRPC(more)  "extensionProviders: [{name: a, envoyExtAuthzGrpc: {service: a.ns" more "}}]"
#define OTEL(more)                                                                                 \
    "extensionProviders: [{name: o, opentelemetry: {service: o.ns.svc.cluster.local, port: 4318, " \
    "http: {path: /v1/traces" more "}}}]"

static const struct {
    const char *yaml, *told;
} wrongs[] = {
    {"a: [", "data.mesh: is no YAML: "},
    {"[]", "data.mesh: is no object"},
    {"extensionProviders: {}", "data.mesh.extensionProviders: is no list"},
    {"serviceSettings: {}", "data.mesh.serviceSettings: is no list"},
    {"serviceSettings: [{}]", "data.mesh.serviceSettings[0].hosts: is missing"},
    {"serviceSettings: [{hosts: ['a*']}]",
     "data.mesh.serviceSettings[0].hosts[0]: \"a*\" is no host"},
    {"serviceSettings: [{hosts: [7]}]", "data.mesh.serviceSettings[0].hosts[0]: \"\" is no host"},
    {"extensionProviders: [{}]", "data.mesh.extensionProviders[0].name: is missing"},
    {"extensionProviders: [{name: a}]", "data.mesh.extensionProviders[0]: is of no kind"},
    {"extensionProviders: [{name: a, prometheus: {}, sds: {}}]",
     "data.mesh.extensionProviders[0].sds: stands beside prometheus"},
    {"extensionProviders: [{name: a, prometheus: {}}, {name: a, prometheus: {}}]",
     "data.mesh.extensionProviders[1].name: a is there already"},
    {"extensionProviders: [{name: a, zipkin: 7}]",
     "data.mesh.extensionProviders[0].zipkin: is no object"},
    {"extensionProviders: [{name: a, zipkin: {port: 1}}]",
     "data.mesh.extensionProviders[0].zipkin.service: is missing"},
    {"extensionProviders: [{name: a, zipkin: {service: '*.ns', port: 1}}]",
     "data.mesh.extensionProviders[0].zipkin.service: is no host"},
    {"extensionProviders: [{name: a, zipkin: {service: z.ns}}]",
     "data.mesh.extensionProviders[0].zipkin.port: is missing"},
    {"extensionProviders: [{name: a, zipkin: {service: z.ns, port: 70000}}]",
     "data.mesh.extensionProviders[0].zipkin.port: is no whole number"},
    {"extensionProviders: [{name: a, zipkin: {service: z.ns, port: 1, path: x}}]",
     "data.mesh.extensionProviders[0].zipkin.path: does not begin"},
    {"extensionProviders: [{name: a, zipkin: {service: z.ns, port: 1, traceContextOption: X}}]",
     "data.mesh.extensionProviders[0].zipkin.traceContextOption: is neither"},
    {"extensionProviders: [{name: a, opentelemetry: {service: o.ns, port: 4317}}]",
     "data.mesh.extensionProviders[0].opentelemetry.http: is missing: OTLP over gRPC"},
    {"extensionProviders: [{name: a, opentelemetry: {service: o.ns, port: 1, http: {}}}]",
     "data.mesh.extensionProviders[0].opentelemetry.http.path: is missing"},
    {OTEL(", timeout: soon"),
     "data.mesh.extensionProviders[0].opentelemetry.http.timeout: is no duration"},
    {OTEL(", headers: [{name: a, envName: B}]"),
     "data.mesh.extensionProviders[0].opentelemetry.http.headers[0].value: is missing"},
    {"extensionProviders: [{name: a, envoyFileAccessLog: {logFormat: {}}}]",
     "data.mesh.extensionProviders[0].envoyFileAccessLog.logFormat: says nothing"},
    {"extensionProviders: [{name: a, envoyFileAccessLog: {logFormat: {text: '%NOTHING%'}}}]",
     "data.mesh.extensionProviders[0].envoyFileAccessLog.logFormat.text: unknown operator"},
    {"extensionProviders: [{name: a, envoyFileAccessLog: {logFormat: {labels: {x: '%REQ%'}}}}]",
     "data.mesh.extensionProviders[0].envoyFileAccessLog.logFormat.labels[x]: %REQ% needs a name"},
    {AUTHZ(""), "data.mesh.extensionProviders[0].envoyExtAuthzHttp.port: is missing"},
    {AUTHZ(", port: 1, pathPrefix: x"),
     "data.mesh.extensionProviders[0].envoyExtAuthzHttp.pathPrefix: does not begin"},
    {AUTHZ(", port: 1, statusOnError: '99'"),
     "data.mesh.extensionProviders[0].envoyExtAuthzHttp.statusOnError: is no status"},
    {AUTHZ(", port: 1, timeout: x"),
     "data.mesh.extensionProviders[0].envoyExtAuthzHttp.timeout: is no duration"},
    {AUTHZ(", port: 1, includeRequestHeadersInCheck: ['a*b']"),
     "data.mesh.extensionProviders[0].envoyExtAuthzHttp.includeRequestHeadersInCheck[0]: is no"},
    {AUTHZ(", port: 1, headersToUpstreamOnAllow: x"),
     "data.mesh.extensionProviders[0].envoyExtAuthzHttp.headersToUpstreamOnAllow: is no list"},
    {AUTHZ(", port: 1, includeAdditionalHeadersInCheck: {'a b': c}"),
     "data.mesh.extensionProviders[0].envoyExtAuthzHttp.includeAdditionalHeadersInCheck[a b]"},
    {AUTHZ(", port: 1, includeRequestBodyInCheck: {}"),
     "data.mesh.extensionProviders[0].envoyExtAuthzHttp.includeRequestBodyInCheck.maxRequestBytes"},
    {AUTHZ(", port: 1, includeRequestBodyInCheck: {maxRequestBytes: 1, allowPartialMessage: true}"),
     "data.mesh.extensionProviders[0].envoyExtAuthzHttp.includeRequestBodyInCheck."
     "allowPartialMessage: is not served"},
    {GRPC(""), "data.mesh.extensionProviders[0].envoyExtAuthzGrpc.port: is missing"},
    {GRPC(", port: 1, statusOnError: x"),
     "data.mesh.extensionProviders[0].envoyExtAuthzGrpc.statusOnError: is no status"},
    {GRPC(", port: 1, timeout: x"),
     "data.mesh.extensionProviders[0].envoyExtAuthzGrpc.timeout: is no duration"},
    {GRPC(", port: 1, includeRequestBodyInCheck: {maxRequestBytes: 1, allowPartialMessage: true}"),
     "data.mesh.extensionProviders[0].envoyExtAuthzGrpc.includeRequestBodyInCheck."
     "allowPartialMessage: is not served"},
    {"accessLogFormat: '%STREAM_ID%'", "data.mesh.accessLogFormat: operator %STREAM_ID%"},
    {"accessLogEncoding: JSON\naccessLogFormat: '%STREAM_ID%'",
     "data.mesh.accessLogFormat: is no JSON object"},
    {"accessLogEncoding: JSON\naccessLogFormat: '{\"a\": 1}'",
     "data.mesh.accessLogFormat.labels[a]: is no text"},
    {"defaultProviders: {tracing: zipkin}", "data.mesh.defaultProviders.tracing: is no list"},
    {"defaultProviders: {tracing: [7]}",
     "data.mesh.defaultProviders.tracing: holds what is no name"},
    {"defaultConfig: {tracing: {sampling: 101}}",
     "data.mesh.defaultConfig.tracing.sampling: is no share"},
    {"defaultConfig: {tracing: {customTags: 7}}",
     "data.mesh.defaultConfig.tracing.customTags: is no object"},
    {"defaultConfig: {tracing: {zipkin: {address: zipkin}}}",
     "data.mesh.defaultConfig.tracing.zipkin.address: is no address"},
    {"accessLogEncoding: XML", "data.mesh.accessLogEncoding: is neither"},
    {"accessLogFile: 7", "data.mesh.accessLogFile: is no text"},
    {"enableTracing: 7", "data.mesh.enableTracing: is neither"},
};

static void test_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
        struct mesh_config *c = config_of(wrongs[i].yaml);
        if (c->findings.n != 1)
            fail_msg("%s: %zu findings", wrongs[i].yaml, c->findings.n);
        const struct finding *f = &c->findings.v[0];
        AUTO_CHARS char *told = xasprintf("%s: %s", f->field, f->message);
        if (strncmp(told, wrongs[i].told, strlen(wrongs[i].told)) != 0)
            fail_msg("%s: %s", wrongs[i].yaml, told);
        assert_string_equal(f->id, "MeshConfigInvalid");
        mesh_config_free(c);
    }
}

static void test_defaults(void **state)
{
    (void)state;
    struct mesh_config *none = mesh_config_new("a/b", NULL);
    assert_true(none->tracing && !none->log_file && !none->n_providers && !none->default_tracing);
    assert_true(none->sampling > 0.99 && none->sampling < 1.01); /* one in a hundred */
    assert_null(mesh_config_find(none, "zipkin"));
    assert_null(mesh_config_find(none, NULL));
    assert_int_equal(mesh_config_find(none, "Prometheus")->kind, MESH_PROVIDER_PROMETHEUS);
    assert_int_equal(mesh_config_find(none, "envoy")->kind, MESH_PROVIDER_FILE_LOG);
    mesh_config_free(none);
    struct mesh_config *empty = config_of("");
    assert_true(empty->tracing && !empty->findings.n);
    mesh_config_free(empty);
}

static void test_all(void **state)
{
    (void)state;
    struct mesh_config *c = config_of(
        "accessLogFile: /dev/stdout\naccessLogEncoding: JSON\naccessLogFormat: '{}'\n"
        "enableTracing: false\nrootNamespace: x\n"
        "defaultConfig: {tracing: {sampling: 12.5, maxPathTagLength: 99, zipkin: {address: "
        "'z.ns:9411'}, customTags: {a: {literal: {value: b}}}}}\n"
        "defaultProviders: {tracing: [z], metrics: [], accessLogging: [l, m]}\n"
        "extensionProviders:\n"
        "- {name: z, zipkin: {service: ns/z.ns.svc.cluster.local, port: 9411}}\n"
        "- {name: bad, zipkin: {}}\n"
        "- {name: l, envoyFileAccessLog: {path: /dev/stdout}}\n"
        "- {name: d, datadog: {service: d, port: 1}}\n");
    assert_int_equal(c->findings.n, 1); /* of bad: it names no service */
    assert_false(c->tracing);
    assert_string_equal(c->log_file, "/dev/stdout");
    assert_string_equal(c->log_format, "{}");
    assert_int_equal(c->log_encoding, MESH_LOG_JSON);
    assert_true(c->sampling > 12.4 && c->sampling < 12.6);
    assert_int_equal(c->max_path_tag, 99);
    assert_string_equal(c->zipkin_host, "z.ns");
    assert_int_equal(c->zipkin_port, 9411);
    assert_int_equal(json_object_size(c->custom_tags), 1);
    assert_int_equal(json_array_size(c->default_tracing), 1);
    assert_null(c->default_metrics);
    assert_int_equal(json_array_size(c->default_logging), 2);
    const struct mesh_provider *z = mesh_config_find(c, "z");
    assert_int_equal(z->kind, MESH_PROVIDER_ZIPKIN);
    assert_string_equal(z->host, "z.ns.svc.cluster.local");
    assert_string_equal(z->ns, "ns");
    assert_int_equal(z->port, 9411);
    assert_null(mesh_config_find(c, "bad"));
    assert_int_equal(mesh_config_find(c, "d")->kind, MESH_PROVIDER_OTHER);
    assert_string_equal(mesh_config_find(c, "d")->kind_name, "datadog");
    assert_int_equal(c->n_providers, 3);
    mesh_config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
