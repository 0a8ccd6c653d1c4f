/* Telemetries: what is wrong with one, and what several of them say together. */
#include "json_text.h"

#include "model/telemetry_policy.h"

static const struct {
    const char *spec, *told;
} wrongs[] = {
    {"[]", "error spec: is no object"},
    {"{'selector':7}", "error spec.selector: is no object"},
    {"{'selector':{},'targetRefs':[{}]}", "error spec.targetRefs: stand beside selector"},
    {"{'targetRefs':[{}]}", "warning spec.targetRefs: are of gateways"},
    {"{'tracing':{}}", "error spec.tracing: is no list"},
    {"{'tracing':[{'match':{'mode':'BOTH'}}]}", "error spec.tracing[0].match.mode: is neither"},
    {"{'tracing':[{'providers':[{}]}]}", "error spec.tracing[0].providers[0].name: is missing"},
    {"{'tracing':[{'randomSamplingPercentage':101}]}",
     "error spec.tracing[0].randomSamplingPercentage: is no share"},
    {"{'tracing':[{'disableSpanReporting':'no'}]}",
     "error spec.tracing[0].disableSpanReporting: is neither"},
    {"{'tracing':[{'customTags':[]}]}", "error spec.tracing[0].customTags: is no object"},
    {"{'tracing':[{'customTags':{'a':{}}}]}", "error spec.tracing[0].customTags[a]: says none"},
    {"{'tracing':[{'customTags':{'a':{'literal':{}}}}]}",
     "error spec.tracing[0].customTags[a].literal.value: is missing"},
    {"{'tracing':[{'customTags':{'a':{'environment':{}}}}]}",
     "error spec.tracing[0].customTags[a].environment.name: is missing"},
    {"{'tracing':[{'customTags':{'a':{'header':{'name':'a b'}}}}]}",
     "error spec.tracing[0].customTags[a].header.name: is no name"},
    {"{'tracing':[{'customTags':{'a':{'formatter':{}}}}]}",
     "error spec.tracing[0].customTags[a].formatter: is not served"},
    {"{'tracing':[{'enableIstioTags':true}]}", "warning spec.tracing[0].enableIstioTags: has no"},
    {"{'metrics':[{'overrides':{}}]}", "error spec.metrics[0].overrides: is no list"},
    {"{'metrics':[{'overrides':[{'match':{'metric':'X'}}]}]}",
     "error spec.metrics[0].overrides[0].match.metric: is no metric"},
    {"{'metrics':[{'overrides':[{'match':{'customMetric':'X'}}]}]}",
     "warning spec.metrics[0].overrides[0].match.customMetric: has no effect"},
    {"{'metrics':[{'overrides':[{'disabled':7}]}]}",
     "error spec.metrics[0].overrides[0].disabled: is neither"},
    {"{'metrics':[{'overrides':[{'tagOverrides':{'a-b':{'operation':'REMOVE'}}}]}]}",
     "error spec.metrics[0].overrides[0].tagOverrides[a-b]: is no name"},
    {"{'metrics':[{'overrides':[{'tagOverrides':{'a':{'operation':'ADD'}}}]}]}",
     "error spec.metrics[0].overrides[0].tagOverrides[a].operation: is neither"},
    {"{'metrics':[{'overrides':[{'tagOverrides':{'a':{'value':'request.path'}}}]}]}",
     "error spec.metrics[0].overrides[0].tagOverrides[a].value: cannot be told"},
    {"{'metrics':[{'overrides':[{'tagOverrides':{'a':{'operation':'REMOVE','value':'x'}}}]}]}",
     "error spec.metrics[0].overrides[0].tagOverrides[a].value: stands beside REMOVE"},
    {"{'metrics':[{'reportingInterval':'5s'}]}",
     "warning spec.metrics[0].reportingInterval: has no effect"},
    {"{'accessLogging':[{'disabled':1}]}", "error spec.accessLogging[0].disabled: is neither"},
    {"{'accessLogging':[{'filter':{'expression':'connection.mtls'}}]}",
     "error spec.accessLogging[0].filter.expression: cannot be done: at"},
};

static json_t *telemetry(const char *ns, const char *name, int age, const char *spec)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'%s','name':'%s','creationTimestamp':"
                  "'2026-01-%02dT00:00:00Z'},'spec':%s}",
                  ns, name, age, spec);
    return json_of(text);
}

static void test_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
        AUTO_JSON json_t *j = telemetry("ns", "t", 1, wrongs[i].spec);
        struct telemetry_policy *t = telemetry_policy_decode(j);
        if (t->o.findings.n != 1)
            fail_msg("%s: %zu are told", wrongs[i].spec, t->o.findings.n);
        const struct finding *f = &t->o.findings.v[0];
        AUTO_CHARS char *told = xasprintf(
            "%s %s: %s", f->severity == FINDING_ERROR ? "error" : "warning", f->field, f->message);
        if (strncmp(told, wrongs[i].told, strlen(wrongs[i].told)) != 0)
            fail_msg("%s: %s", wrongs[i].spec, told);
        assert_int_equal(t->broken, f->severity == FINDING_ERROR);
        telemetry_policy_free(t);
    }
}

/* ---- together ---- */

struct world {
    struct selected_objects *table;
    struct mesh_config *config;
    struct workloads *pods;
    struct telemetry_view view;
};

static void on_pod(const struct workload *w, void *user)
{
    (void)w;
    (void)user;
}

static struct world world(const char *mesh)
{
    struct world w = {.table = telemetry_policies_new("root"), .pods = workloads_new(on_pod, NULL)};
    AUTO_JSON json_t *object = json_pack("{s:{s:s}}", "data", "mesh", mesh);
    w.config = mesh_config_new("a/b", object);
    assert_int_equal(w.config->findings.n, 0);
    AUTO_JSON json_t *pod =
        json_of("{'metadata':{'namespace':'ns','name':'p','labels':{'app':'a'}}}");
    workloads_put(w.pods, pod);
    return w;
}

static void put(struct world *w, const char *ns, const char *name, int age, const char *spec)
{
    AUTO_JSON json_t *j = telemetry(ns, name, age, spec);
    assert_non_null(selected_objects_put(w->table, j));
}

static struct telemetry_view *look(struct world *w, enum telemetry_side side)
{
    telemetry_view_done(&w->view);
    telemetry_find(w->table, w->config, STR("ns"), w->pods, workloads_find(w->pods, STR("ns/p")),
                   side, &w->view);
    return &w->view;
}

static void done(struct world *w)
{
    telemetry_view_done(&w->view);
    selected_objects_free(w->table);
    mesh_config_free(w->config);
    workloads_free(w->pods);
}

#define CONFIG                                                                                     \
    "extensionProviders: [{name: z, zipkin: {service: z.ns, port: 1}}, {name: q, zipkin: "         \
    "{service: q.ns, port: 1}}, {name: l, envoyFileAccessLog: {path: /l}}, {name: d, datadog: "    \
    "{}}]\n"

static void assert_sampling(const struct telemetry_view *v, double share)
{
    assert_true(v->tracing.sampling > share - 0.01 && v->tracing.sampling < share + 0.01);
}

static void test_tracing(void **state)
{
    (void)state;
    struct world w = world(CONFIG "defaultConfig: {tracing: {sampling: 5}}\n");
    struct telemetry_view *v = look(&w, TELEMETRY_CLIENT);
    assert_true(!v->tracing.off && v->tracing.is_default);
    assert_sampling(v, 5);
    put(&w, "root", "a", 2,
        "{'tracing':[{'providers':[{'name':'Z'}],'customTags':{'a':{'literal':"
        "{'value':'b'}}}}]}");
    put(&w, "root", "b", 3, "{'tracing':[{'randomSamplingPercentage':99}]}"); /* the later one */
    v = look(&w, TELEMETRY_CLIENT);
    assert_string_equal(v->tracing.provider->name, "z");
    assert_sampling(v, 5);
    assert_int_equal(json_object_size(v->tracing.tags), 1);
    put(&w, "ns", "a", 1,
        "{'tracing':[{'randomSamplingPercentage':20,'match':{'mode':'SERVER'}}]}");
    assert_sampling(look(&w, TELEMETRY_CLIENT), 5);
    assert_sampling(look(&w, TELEMETRY_SERVER), 20);
    put(&w, "ns", "w", 1,
        "{'selector':{'matchLabels':{'app':'a'}},'tracing':[{'providers':"
        "[{'name':'q'}]}]}");
    put(&w, "ns", "x", 1,
        "{'selector':{'matchLabels':{'app':'x'}},'tracing':[{"
        "'disableSpanReporting':true}]}");
    v = look(&w, TELEMETRY_SERVER);
    assert_string_equal(v->tracing.provider->name, "q");
    assert_sampling(v, 20);
    assert_false(v->tracing.off);
    put(&w, "ns", "a", 1, "{'tracing':[{'disableSpanReporting':true}]}");
    assert_true(look(&w, TELEMETRY_SERVER)->tracing.off);
    put(&w, "ns", "w", 1,
        "{'selector':{'matchLabels':{'app':'a'}},'tracing':[{"
        "'disableSpanReporting':false}]}");
    assert_false(look(&w, TELEMETRY_SERVER)->tracing.off);
    put(&w, "ns", "w", 1, "{'selector':{'matchLabels':{'app':'a'}},'tracing':7}");
    assert_false(look(&w, TELEMETRY_SERVER)->tracing.off); /* its last good form */
    selected_objects_remove(w.table, STR("ns/w"));
    put(&w, "root", "w", 1,
        "{'selector':{'matchLabels':{'app':'a'}},'tracing':[{"
        "'disableSpanReporting':false}]}");
    assert_true(look(&w, TELEMETRY_SERVER)->tracing.off); /* labels are of its own namespace */
    done(&w);
}

static void test_providers_that_are_not_there(void **state)
{
    (void)state;
    struct world w = world(CONFIG "enableTracing: false\n");
    assert_true(look(&w, TELEMETRY_CLIENT)->tracing.off);
    put(&w, "ns", "a", 1, "{'tracing':[{'providers':[{'name':'nobody'}]}]}");
    assert_true(look(&w, TELEMETRY_CLIENT)->tracing.off);
    put(&w, "ns", "a", 1, "{'tracing':[{'providers':[{'name':'d'}]}]}"); /* of another kind */
    assert_true(look(&w, TELEMETRY_CLIENT)->tracing.off);
    AUTO_JSON json_t *j = telemetry("ns", "a", 1,
                                    "{'tracing':[{'providers':[{'name':'n'}]}],"
                                    "'metrics':[{'providers':[{'name':'d'}]}]}");
    struct telemetry_policy *t = telemetry_policy_decode(j);
    telemetry_policy_check(t, w.config);
    assert_int_equal(t->o.findings.n, 2);
    assert_string_equal(t->o.findings.v[0].field, "spec.tracing[0].providers[0].name");
    assert_string_equal(t->o.findings.v[1].field, "spec.metrics[0].providers[0].name");
    telemetry_policy_free(t);
    done(&w);
}

static void test_metrics(void **state)
{
    (void)state;
    struct world w = world(CONFIG);
    struct telemetry_view *v = look(&w, TELEMETRY_CLIENT);
    assert_false(v->metrics.off);
    put(&w, "root", "a", 1,
        "{'metrics':[{'overrides':[{'match':{'metric':'REQUEST_SIZE','mode':'CLIENT'},'disabled':"
        "true},{'tagOverrides':{'a':{'value':'request.method'},'b':{'operation':'REMOVE'}}}]}]}");
    v = look(&w, TELEMETRY_CLIENT);
    assert_true(v->metrics.dropped[TELEMETRY_REQUEST_SIZE]);
    assert_false(v->metrics.dropped[TELEMETRY_RESPONSE_SIZE]);
    assert_string_equal(json_key_str(v->metrics.tags[TELEMETRY_TCP_SENT], "a"), "request.method");
    assert_true(json_is_null(json_object_get(v->metrics.tags[TELEMETRY_TCP_SENT], "b")));
    v = look(&w, TELEMETRY_SERVER);
    assert_false(v->metrics.dropped[TELEMETRY_REQUEST_SIZE]);
    put(&w, "ns", "a", 1,
        "{'metrics':[{'overrides':[{'match':{'metric':'REQUEST_SIZE'},'disabled':false,"
        "'tagOverrides':{'b':{'value':'\\u0027x\\u0027'}}}]}]}");
    v = look(&w, TELEMETRY_CLIENT);
    assert_false(v->metrics.dropped[TELEMETRY_REQUEST_SIZE]);
    assert_string_equal(json_key_str(v->metrics.tags[TELEMETRY_REQUEST_SIZE], "b"), "'x'");
    assert_true(json_is_null(json_object_get(v->metrics.tags[TELEMETRY_TCP_SENT], "b")));
    put(&w, "ns", "a", 1, "{'metrics':[{'overrides':[{'disabled':true}]}]}");
    assert_true(look(&w, TELEMETRY_CLIENT)->metrics.off);
    put(&w, "ns", "a", 1, "{'metrics':[{'providers':[{'name':'d'}]}]}"); /* not to us */
    assert_true(look(&w, TELEMETRY_CLIENT)->metrics.off);
    put(&w, "ns", "a", 1, "{'metrics':[{'providers':[{'name':'prometheus'}]}]}");
    assert_false(look(&w, TELEMETRY_CLIENT)->metrics.off);
    done(&w);
}

static void test_logs(void **state)
{
    (void)state;
    struct world w = world(CONFIG);
    struct telemetry_view *v = look(&w, TELEMETRY_CLIENT);
    assert_true(v->legacy_logs && !v->logs.n);
    put(&w, "root", "a", 1, "{'accessLogging':[{'providers':[{'name':'envoy'}]}]}");
    v = look(&w, TELEMETRY_CLIENT);
    assert_false(v->legacy_logs);
    assert_int_equal(v->logs.n, 1);
    assert_string_equal(v->logs.v[0].provider->name, "envoy");
    put(&w, "ns", "a", 1, "{'accessLogging':[{'disabled':true}]}");
    v = look(&w, TELEMETRY_CLIENT);
    assert_true(!v->legacy_logs && !v->logs.n);
    put(&w, "ns", "w", 1,
        "{'selector':{'matchLabels':{'app':'a'}},'accessLogging':[{'providers':"
        "[{'name':'l'}],'match':{'mode':'SERVER'},'filter':{'expression':"
        "'response.code >= 400'}}]}");
    assert_int_equal(look(&w, TELEMETRY_CLIENT)->logs.n, 0);
    v = look(&w, TELEMETRY_SERVER);
    assert_int_equal(v->logs.n, 1);
    assert_string_equal(v->logs.v[0].provider->name, "l");
    assert_int_equal(v->logs.v[0].filter->op, LOG_CODE);
    done(&w);
    w = world(CONFIG "defaultProviders: {accessLogging: [l, envoy]}\n");
    v = look(&w, TELEMETRY_CLIENT);
    assert_true(!v->legacy_logs && v->logs.n == 2);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_tracing),
        cmocka_unit_test(test_providers_that_are_not_there),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
