/* What sidecars are told to tell: traces, logs and metrics, of all, a namespace, a workload. */
#include "mesh_world.h"

#define OUT     "0.0.0.0_80"
#define IN      "virtualInbound"
#define CONTROL "\"collector_cluster\":\"xds-grpc\""
#define ZIPKIN  "outbound|9411||zipkin.obs.svc.cluster.local"
#define MESH                                                                                       \
    "extensionProviders: [{name: z, zipkin: {service: zipkin.obs.svc.cluster.local, port: 9411}}," \
    " {name: o, opentelemetry: {service: zipkin.obs.svc.cluster.local, port: 9411, http: {path: "  \
    "/v1/traces, headers: [{name: x-a, value: b}]}}},"                                             \
    " {name: l, envoyFileAccessLog: {path: /dev/stderr, logFormat: {labels: {c: "                  \
    "'%RESPONSE_CODE%'}}}}]\n"

static void put_telemetry(struct world *w, const char *ns, const char *name, const char *spec)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'%s','name':'%s'},'spec':%s}", ns, name, spec);
    AUTO_JSON json_t *j = json_of(text);
    const struct istio_object *o = selected_objects_put(w->telemetries, j);
    assert_non_null(o);
    assert_int_equal(o->findings.n, 0);
    mesh_telemetry_changed(w->mesh);
}

static void remove_telemetry(struct world *w, const char *key)
{
    selected_objects_remove(w->telemetries, str_from(key));
    mesh_telemetry_changed(w->mesh);
}

/* A pod of shop and one of bank; both are served at 8080, and call. */
struct two {
    struct world w;
    struct mesh_workload *shop, *bank;
};

static void begin(struct two *t)
{
    start(&t->w);
    put_service(&t->w, "shop", "web", "10.0.0.1", HTTP "," TCP);
    put_slice(&t->w, "shop", "web", "{'name':'http','port':8080}",
              "{'addresses':['10.1.0.1']},{'addresses':['10.1.0.2']}");
    put_service(&t->w, "bank", "db", "10.0.0.2", UNNAMED);
    put_slice(&t->w, "bank", "db", "{'name':'','port':9000}", "{'addresses':['10.1.0.3']}");
    put_pod(&t->w, "10.1.0.1", "'app':'a'");
    t->shop = join(&t->w, "shop", "10.1.0.1");
    t->bank = join(&t->w, "bank", "10.1.0.3");
    settle(&t->w);
}

static void end(struct two *t)
{
    mesh_leave(t->w.mesh, t->shop);
    mesh_leave(t->w.mesh, t->bank);
    finish(&t->w);
}

static void test_traces(void **state)
{
    struct two t;
    (void)state;
    begin(&t);
    expect_in(t.shop, XDS_LISTENER, OUT, CONTROL); /* by itself */
    expect_in(t.shop, XDS_LISTENER, IN, "\"random_sampling\":{\"value\":1.0}");
    set_config(&t.w, MESH "defaultConfig: {tracing: {sampling: 10, maxPathTagLength: 99}}\n");
    expect_in(t.shop, XDS_LISTENER, OUT, "\"random_sampling\":{\"value\":10.0}");
    expect_in(t.shop, XDS_LISTENER, IN, "\"max_path_tag_length\":99");
    put_telemetry(&t.w, "fairlead-system", "all", "{'tracing':[{'providers':[{'name':'z'}]}]}");
    expect_none(t.shop, XDS_LISTENER, OUT, "tracing"); /* nobody is there */
    put_service(&t.w, "obs", "zipkin", "10.0.0.9", "{'name':'http','port':9411}");
    settle(&t.w);
    expect_in(t.shop, XDS_LISTENER, OUT, "\"collector_cluster\":\"" ZIPKIN "\"");
    expect_in(t.bank, XDS_LISTENER, "10.0.0.2_9000", ZIPKIN);
    expect_in(t.shop, XDS_LISTENER, IN, "\"collector_hostname\":\"zipkin.obs.svc.cluster.local\"");
    assert_true(has(t.shop, XDS_CLUSTER, ZIPKIN));
    put_telemetry(&t.w, "shop", "own",
                  "{'tracing':[{'providers':[{'name':'o'}],'randomSamplingPercentage':100,"
                  "'customTags':{'a':{'literal':{'value':'b'}},'c':{'environment':{'name':'D',"
                  "'defaultValue':'e'}},'f':{'header':{'name':'x-g'}}}}]}");
    expect_in(t.shop, XDS_LISTENER, OUT,
              "\"uri\":\"http://zipkin.obs.svc.cluster.local:9411/v1/traces\"");
    expect_in(t.shop, XDS_LISTENER, OUT, "{\"key\":\"x-a\",\"value\":\"b\"}");
    expect_in(t.shop, XDS_LISTENER, IN, "{\"tag\":\"a\",\"literal\":{\"value\":\"b\"}}");
    expect_in(t.shop, XDS_LISTENER, IN,
              "{\"tag\":\"c\",\"environment\":{\"name\":\"D\",\"default_value\":\"e\"}}");
    expect_in(t.shop, XDS_LISTENER, IN, "{\"tag\":\"f\",\"request_header\":{\"name\":\"x-g\"}}");
    expect_in(t.bank, XDS_LISTENER, OUT, "\"random_sampling\":{\"value\":10.0}");
    expect_none(t.bank, XDS_LISTENER, OUT, "v1/traces");
    remove_telemetry(&t.w, "shop/own");
    expect_none(t.shop, XDS_LISTENER, OUT, "v1/traces");
    expect_none(t.shop, XDS_LISTENER, IN, "v1/traces");
    service_join_remove_service(t.w.join, STR("obs/zipkin"));
    settle(&t.w);
    expect_none(t.shop, XDS_LISTENER, OUT, "tracing");
    end(&t);
}

static void test_the_zipkin_of_the_mesh_config(void **state)
{
    struct two t;
    (void)state;
    begin(&t);
    set_config(&t.w, "defaultConfig: {tracing: {zipkin: {address: "
                     "'zipkin.obs.svc.cluster.local:9411'}}}\n");
    expect_none(t.shop, XDS_LISTENER, OUT, "tracing");
    put_service(&t.w, "obs", "zipkin", "10.0.0.9", "{'name':'http','port':9411}");
    settle(&t.w);
    expect_in(t.shop, XDS_LISTENER, OUT, ZIPKIN);
    set_config(&t.w, "enableTracing: false\n");
    expect_none(t.shop, XDS_LISTENER, OUT, "tracing");
    end(&t);
}

/* One pod alone, by its labels, for its own side alone. */
static void test_a_workload(void **state)
{
    struct two t;
    (void)state;
    begin(&t);
    set_config(&t.w, MESH);
    struct mesh_workload *second = join(&t.w, "shop", "10.1.0.2");
    put_telemetry(&t.w, "shop", "own",
                  "{'selector':{'matchLabels':{'app':'a'}},'accessLogging':[{'providers':[{'name':"
                  "'l'}],'match':{'mode':'CLIENT'}}]}");
    expect_in(t.shop, XDS_LISTENER, OUT, "\"path\":\"/dev/stderr\"");
    expect_in(t.shop, XDS_LISTENER, "10.0.0.1_5432", "\"path\":\"/dev/stderr\"");
    expect_in(t.shop, XDS_LISTENER, "virtualOutbound", "\"path\":\"/dev/stderr\"");
    expect_none(t.shop, XDS_LISTENER, IN, "/dev/stderr");
    expect_none(second, XDS_LISTENER, OUT, "/dev/stderr");
    put_service(&t.w, "shop", "late", "10.0.0.4", "{'name':'http','port':81},{'port':82}");
    settle(&t.w);
    expect_in(t.shop, XDS_LISTENER, "0.0.0.0_81", "/dev/stderr");
    expect_in(t.shop, XDS_LISTENER, "10.0.0.4_82", "/dev/stderr");
    expect_none(second, XDS_LISTENER, "0.0.0.0_81", "/dev/stderr");
    put_pod(&t.w, "10.1.0.1", "'app':'b'");
    settle(&t.w);
    expect_none(t.shop, XDS_LISTENER, OUT, "/dev/stderr");
    expect_none(t.shop, XDS_LISTENER, "0.0.0.0_81", "/dev/stderr");
    expect_none(t.shop, XDS_LISTENER, "virtualOutbound", "/dev/stderr");
    mesh_leave(t.w.mesh, second);
    end(&t);
}

static void test_logs(void **state)
{
    struct two t;
    (void)state;
    begin(&t);
    expect_none(t.shop, XDS_LISTENER, OUT, "access_log");
    set_config(&t.w, "accessLogFile: /dev/stdout\n");
    expect_in(t.shop, XDS_LISTENER, OUT, "\"path\":\"/dev/stdout\"");
    expect_in(t.shop, XDS_LISTENER, IN, "%UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS%");
    set_config(&t.w, "accessLogFile: /dev/stdout\naccessLogEncoding: JSON\n");
    expect_in(t.shop, XDS_LISTENER, OUT, "\"upstream_transport_failure_reason\":\"%UPSTREAM_TRANS");
    set_config(&t.w, MESH "accessLogFormat: 'x %PROTOCOL%'\n");
    put_telemetry(&t.w, "fairlead-system", "all",
                  "{'accessLogging':[{'providers':[{'name':'envoy'}],'filter':{'expression':"
                  "'response.code >= 400 && (request.method != \\u0022GET\\u0022 || "
                  "!(\\u0022x-a\\u0022 in request.headers)) && request.duration > "
                  "duration(\\u00221s\\u0022) || response.grpc_status == 14 || response.flags != "
                  "0'}}]}");
    expect_in(t.shop, XDS_LISTENER, OUT, "\"inline_string\":\"x %PROTOCOL%\"");
    expect_in(t.shop, XDS_LISTENER, OUT,
              "\"filter\":{\"or_filter\":{\"filters\":[{\"and_filter\":{\"filters\":[{"
              "\"status_code_filter\":{\"comparison\":{\"op\":\"GE\",\"value\":{\"default_value\":"
              "400}");
    expect_in(t.shop, XDS_LISTENER, OUT,
              "{\"name\":\":method\",\"invert_match\":true,\"string_match\":{\"exact\":\"GET\"}}");
    expect_in(t.shop, XDS_LISTENER, OUT,
              "{\"name\":\"x-a\",\"present_match\":true,\"invert_match\":true}");
    expect_in(t.shop, XDS_LISTENER, OUT, "\"default_value\":1001");
    expect_in(t.shop, XDS_LISTENER, OUT,
              "{\"grpc_status_filter\":{\"statuses\":[\"UNAVAILABLE\"]}}");
    expect_in(t.shop, XDS_LISTENER, OUT, "{\"response_flag_filter\":{}}");
    put_telemetry(&t.w, "bank", "none", "{'accessLogging':[{'disabled':true}]}");
    expect_none(t.bank, XDS_LISTENER, OUT, "access_log");
    expect_none(t.bank, XDS_LISTENER, "10.0.0.2_9000", "access_log");
    expect_in(t.shop, XDS_LISTENER, OUT, "access_log");
    end(&t);
}

static void test_metrics(void **state)
{
    struct two t;
    (void)state;
    begin(&t);
    expect_in(t.shop, XDS_LISTENER, OUT, "istio.stats");
    put_telemetry(
        &t.w, "shop", "own",
        "{'metrics':[{'overrides':[{'match':{'metric':'REQUEST_SIZE'},'disabled':true},"
        "{'match':{'metric':'REQUEST_COUNT','mode':'CLIENT'},'tagOverrides':{"
        "'method':{'value':'request.method'},'response_code':{'operation':'REMOVE'}}}]}]}");
    expect_in(t.shop, XDS_LISTENER, OUT,
              "\"metrics\":[{\"dimensions\":{\"method\":\"request.method\"},\"name\":\"requests_"
              "total\",\"tags_to_remove\":[\"response_code\"]},{\"name\":\"request_bytes\","
              "\"drop\":true}]");
    expect_in(t.shop, XDS_LISTENER, IN, "\"metrics\":[{\"name\":\"request_bytes\",\"drop\":true}]");
    expect_none(t.bank, XDS_LISTENER, OUT, "metrics");
    put_telemetry(&t.w, "shop", "own", "{'metrics':[{'overrides':[{'disabled':true}]}]}");
    expect_none(t.shop, XDS_LISTENER, OUT, "istio.stats");
    expect_none(t.shop, XDS_LISTENER, OUT, "istio_stats");
    expect_none(t.shop, XDS_LISTENER, IN, "istio.stats");
    expect_in(t.bank, XDS_LISTENER, OUT, "istio_stats");
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traces),     cmocka_unit_test(test_the_zipkin_of_the_mesh_config),
        cmocka_unit_test(test_a_workload), cmocka_unit_test(test_logs),
        cmocka_unit_test(test_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
