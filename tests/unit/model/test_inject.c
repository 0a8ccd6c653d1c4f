/* A proxy put beside a pod: who gets one, and what is put in. */
#include "json_text.h"

#include <errno.h>

#include "model/inject.h"

static const struct inject_options options = {.image = "fairlead/proxy", .revision = "fairlead"};

#define ASKED NULL /* by hand: the namespace is not looked at */

static void test_who_gets_one(void **state)
{
    static const struct {
        const char *metadata, *spec, *ns, *labels;
        bool yes;
    } cases[] = {
        {"", "", "a", ASKED, true},
        {"", "", NULL, ASKED, true},
        {"", "", "kube-system", ASKED, false},
        {"", "'hostNetwork':true", "a", ASKED, false},
        {"'labels':{'sidecar.istio.io/inject':'false'}", "", "a", ASKED, false},
        {"'annotations':{'sidecar.istio.io/inject':'false'}", "", "a", ASKED, false},
        {"'annotations':{'sidecar.istio.io/inject':'false'},"
         "'labels':{'sidecar.istio.io/inject':'true'}",
         "", "a", ASKED, true}, /* the label before the annotation */
        {"'annotations':{'sidecar.istio.io/status':'{}'}", "", "a", ASKED, false},
        {"", "'initContainers':[{'name':'istio-proxy'}]", "a", ASKED, false},
        {"", "", "a", "{}", false},
        {"", "", "a", "{'istio-injection':'enabled'}", true},
        {"", "", "kube-system", "{'istio-injection':'enabled'}", false},
        {"'labels':{'sidecar.istio.io/inject':'true'}", "", "a", "{}", true},
        {"'labels':{'sidecar.istio.io/inject':'true'}", "", "a", "{'istio-injection':'disabled'}",
         false},
        {"'labels':{'sidecar.istio.io/inject':'false'}", "", "a", "{'istio-injection':'enabled'}",
         false},
        {"", "", "a", "{'istio.io/rev':'fairlead'}", true},
        {"", "", "a", "{'istio.io/rev':'1-30'}", false},
        {"'labels':{'sidecar.istio.io/inject':'true'}", "", "a", "{'istio.io/rev':'1-30'}", false},
        {"", "", "a", "{'istio.io/rev':'1-30','istio-injection':'enabled'}", true},
        {"'labels':{'istio.io/rev':'fairlead'}", "", "a", "{}", true},
        {"'labels':{'istio.io/rev':'1-30'}", "", "a", "{}", false},
        {"'labels':{'istio.io/rev':'fairlead','sidecar.istio.io/inject':'false'}", "", "a", "{}",
         false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_CHARS char *text =
            xasprintf("{'metadata':{%s},'spec':{%s}}", cases[i].metadata, cases[i].spec);
        AUTO_JSON json_t *pod = json_of(text);
        AUTO_JSON json_t *labels = cases[i].labels ? json_of(cases[i].labels) : NULL;
        struct inject_verdict v = inject_decide(pod, cases[i].ns, labels, &options);
        if (v.yes != cases[i].yes)
            fail_msg("case %zu: %s", i, v.why);
    }
}

static void test_what_is_put_in(void **state)
{
    AUTO_JSON json_t *pod =
        json_of("{'metadata':{'labels':{'app':'shop','version':'v2'},'annotations':{"
                "'traffic.sidecar.istio.io/excludeInboundPorts':'9100, 9200',"
                "'traffic.sidecar.istio.io/excludeOutboundIPRanges':'10.1.0.0/16',"
                "'sidecar.istio.io/proxyCPU':'50m'}},'spec':{'containers':[{'name':'app'}],"
                "'initContainers':[{'name':'setup'}],'volumes':[{'name':'data'}]}}");
    (void)state;
    assert_ok(inject_pod(pod, "web", &options, NULL));
    const json_t *inits = json_at(pod, "spec.initContainers"), *init = json_array_get(inits, 0),
                 *proxy = json_array_get(inits, 1);
    assert_int_equal(json_array_size(inits), 3);
    assert_string_equal(json_key_str(init, "name"), "istio-init");
    assert_string_equal(json_key_str(proxy, "name"), "istio-proxy");
    assert_string_equal(json_key_str(json_array_get(inits, 2), "name"), "setup");
    AUTO_DONE(buf) struct buf args = {0};
    json_write(&args, json_object_get(init, "args"));
    assert_string_equal(buf_cstr(&args),
                        "[\"interception\",\"--exclude-inbound-ports\",\"9100, 9200\","
                        "\"--exclude-outbound-ip-ranges\",\"10.1.0.0/16\"]");
    assert_string_equal(json_key_str(proxy, "restartPolicy"), "Always");
    assert_string_equal(json_at_str(proxy, "resources.requests.cpu"), "50m");
    assert_string_equal(json_at_str(proxy, "resources.requests.memory"), "16Mi");
    assert_int_equal(json_at_int(proxy, "securityContext.runAsUser", 0), 1337);
    assert_true(json_is_true(json_at(proxy, "securityContext.runAsNonRoot")));
    assert_int_equal(json_array_size(json_at(pod, "spec.volumes")), 3);
    const json_t *labels = json_at(pod, "metadata.labels"),
                 *annotations = json_at(pod, "metadata.annotations");
    assert_string_equal(json_key_str(labels, "service.istio.io/canonical-name"), "shop");
    assert_string_equal(json_key_str(labels, "service.istio.io/canonical-revision"), "v2");
    assert_string_equal(json_key_str(annotations, "kubectl.kubernetes.io/default-container"),
                        "app");
    assert_string_equal(json_key_str(annotations, "istio.io/rev"), "fairlead");
    assert_false(inject_decide(pod, "a", NULL, &options).yes); /* not twice */
}

/* Where the node makes the rules: no right, and the same words, from which it knows which. */
static void test_rules_of_the_node(void **state)
{
    const struct inject_options by_node = {
        .image = "fairlead/proxy", .revision = "fairlead", .cni = true};
    AUTO_JSON json_t *pod = json_of(
        "{'metadata':{'annotations':{'traffic.sidecar.istio.io/excludeInboundPorts':'9100'}},"
        "'spec':{'containers':[{'name':'app'}]}}");
    (void)state;
    assert_ok(inject_pod(pod, "web", &by_node, NULL));
    const json_t *init = json_array_get(json_at(pod, "spec.initContainers"), 0);
    AUTO_DONE(buf) struct buf args = {0}, rights = {0};
    json_write(&args, json_object_get(init, "args"));
    json_write(&rights, json_at(init, "securityContext.capabilities"));
    assert_string_equal(json_key_str(init, "name"), "istio-validation");
    assert_string_equal(buf_cstr(&args),
                        "[\"interception\",\"--check\",\"--exclude-inbound-ports\",\"9100\"]");
    assert_string_equal(buf_cstr(&rights), "{\"drop\":[\"ALL\"]}");
    assert_int_equal(json_at_int(init, "securityContext.runAsUser", 0), 1337);
    assert_true(json_is_true(json_at(init, "securityContext.runAsNonRoot")));
    assert_non_null(strstr(json_string_value(json_object_get(json_at(pod, "metadata.annotations"),
                                                             "sidecar.istio.io/status")),
                           "\"initContainers\":[\"istio-validation\",\"istio-proxy\"]"));
}

/* Whoever scrapes by annotations is led to one page; the proxy is told where the app's own is. */
static void test_metrics(void **state)
{
    static const struct {
        const char *annotations;
        const char *env;  /* NULL: none */
        const char *port; /* of the pod's annotations behind it; NULL: none */
    } all[] = {
        {"", NULL, "15020"},
        {"'prometheus.io/scrape':'true','prometheus.io/port':'9100','prometheus.io/path':'/m'",
         "{\"scrape\":\"true\",\"port\":\"9100\",\"path\":\"/m\"}", "15020"},
        {"'prometheus.io/scrape':'false','prometheus.io/port':'9100'", NULL, "9100"},
        {"'prometheus.istio.io/merge-metrics':'false','prometheus.io/scrape':'true',"
         "'prometheus.io/port':'9100'",
         NULL, "9100"},
        {"'prometheus.istio.io/merge-metrics':'false'", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        AUTO_CHARS char *text = xasprintf("{'metadata':{'annotations':{%s}},'spec':{'containers':[{"
                                          "'name':'app'}]}}",
                                          all[i].annotations);
        AUTO_JSON json_t *pod = json_of(text);
        assert_ok(inject_pod(pod, "web", &options, NULL));
        const json_t *env = json_at(json_array_get(json_at(pod, "spec.initContainers"), 1), "env");
        const char *found = NULL;
        for (size_t k = 0; k < json_array_size(env); k++)
            if (streq(json_key_str(json_array_get(env, k), "name"), "ISTIO_PROMETHEUS_ANNOTATIONS"))
                found = json_key_str(json_array_get(env, k), "value");
        const json_t *annotations = json_at(pod, "metadata.annotations");
        assert_true(streq(found, all[i].env));
        assert_true(streq(json_key_str(annotations, "prometheus.io/port"), all[i].port));
    }
}

static void test_annotations_that_cannot_be_heeded(void **state)
{
    static const char *const bad[][2] = {
        {"traffic.sidecar.istio.io/excludeInboundPorts", "80,http"},
        {"traffic.sidecar.istio.io/includeInboundPorts", "70000"},
        {"traffic.sidecar.istio.io/excludeOutboundIPRanges", "10.0.0.0/40"},
        {"traffic.sidecar.istio.io/includeOutboundIPRanges", "--remove"},
        {"sidecar.istio.io/interceptionMode", "TPROXY"},
        {"sidecar.istio.io/nativeSidecar", "no"},
        {"sidecar.istio.io/rewriteAppHTTPProbers", "yes"},
        {"sidecar.istio.io/logLevel", "loud"},
        {"sidecar.istio.io/bootstrapOverride", "mine"},
        {"readiness.status.sidecar.istio.io/periodSeconds", "0"},
        {"readiness.status.sidecar.istio.io/failureThreshold", "x"},
        {"status.sidecar.istio.io/port", "15099"},
        {"inject.istio.io/templates", "sidecar,spire"},
        {"proxy.istio.io/config", "concurrency: 0"},
        {"proxy.istio.io/config", "concurrency: 65"},
        {"proxy.istio.io/config", "image: {imageType: debug}"},
        {"proxy.istio.io/config", "- concurrency"},
        {"proxy.istio.io/config", "concurrency: [4"},
        {"proxy.istio.io/config", "terminationDrainDuration: 2h"},
        {"proxy.istio.io/config", "holdApplicationUntilProxyStarts: 1"},
        {"proxy.istio.io/config", "proxyMetadata: {ISTIO_META_DNS_CAPTURE: true}"},
        {"proxy.istio.io/config", "proxyMetadata: {EXIT_ON_ZERO_ACTIVE_CONNECTIONS: yes}"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO_CHARS char *text =
            xasprintf("{'metadata':{'annotations':{'%s':'%s'}},'spec':{'containers':[]}}",
                      bad[i][0], bad[i][1]);
        AUTO_JSON json_t *pod = json_of(text);
        AUTO_JSON json_t *before = json_deep_copy(pod);
        struct err err = {0};
        assert_int_equal(inject_pod(pod, NULL, &options, &err), -EINVAL);
        if (!strstr(err.path, bad[i][0]) || !strstr(err.msg, bad[i][1]))
            fail_msg("%s", err_text(&err));
        assert_true(json_equal(pod, before));
    }
    AUTO_JSON json_t *none = json_of("{'metadata':{},'spec':{}}");
    assert_int_equal(inject_pod(none, NULL, &options, NULL), -EINVAL);
}

static void test_a_plain_container(void **state)
{
    AUTO_JSON json_t *pod =
        json_of("{'metadata':{'annotations':{'sidecar.istio.io/nativeSidecar':'false',"
                "'sidecar.istio.io/logLevel':'warning',"
                "'readiness.status.sidecar.istio.io/periodSeconds':'3'}},"
                "'spec':{'containers':[{'name':'app'}]}}");
    (void)state;
    assert_ok(inject_pod(pod, "web", &options, NULL));
    const json_t *proxy = json_array_get(json_at(pod, "spec.containers"), 0);
    assert_int_equal(json_array_size(json_at(pod, "spec.initContainers")), 1);
    assert_int_equal(json_array_size(json_at(pod, "spec.containers")), 2);
    assert_string_equal(json_key_str(proxy, "name"), "istio-proxy");
    assert_null(json_object_get(proxy, "restartPolicy"));
    assert_string_equal(
        json_string_value(json_array_get(json_at(proxy, "lifecycle.postStart.exec.command"), 0)),
        "fairlead-proxy"); /* the app is started behind it */
    assert_int_equal(json_at_int(proxy, "readinessProbe.periodSeconds", 0), 3);
    assert_int_equal(json_at_int(proxy, "readinessProbe.failureThreshold", 0), 4);
    AUTO_DONE(buf) struct buf args = {0};
    json_write(&args, json_object_get(proxy, "args"));
    assert_non_null(strstr(buf_cstr(&args), "--log-level=warn\""));
    assert_string_equal(json_key_str(json_at(pod, "metadata.annotations"),
                                     "kubectl.kubernetes.io/default-container"),
                        "app");
    assert_false(inject_decide(pod, "a", NULL, &options).yes);
}

static void test_where_the_pod_is(void **state)
{
    static const char *const kinds[][2] = {
        {"Deployment", "{'kind':'Deployment','spec':{'template':{'spec':{'containers':[]}}}}"},
        {"CronJob", "{'kind':'CronJob','spec':{'jobTemplate':{'spec':{'template':{'spec':{}}}}}}"},
        {"Pod", "{'kind':'Pod','spec':{}}"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        AUTO_JSON json_t *j = json_of(kinds[i][1]);
        assert_non_null(json_object_get(inject_pod_of(j), "spec"));
    }
    AUTO_JSON json_t *service = json_of("{'kind':'Service','spec':{'template':{}}}");
    assert_null(inject_pod_of(service));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_gets_one),
        cmocka_unit_test(test_what_is_put_in),
        cmocka_unit_test(test_rules_of_the_node),
        cmocka_unit_test(test_a_plain_container),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_annotations_that_cannot_be_heeded),
        cmocka_unit_test(test_where_the_pod_is),
    };
    return RUN_TESTS(tests);
}
