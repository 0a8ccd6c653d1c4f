/* Probes and hooks of a pod's containers, led to its proxy. */
#include "json_text.h"

#include <errno.h>

#include "model/inject.h"
#include "model/inject_probes.h"

static char *text_of(const json_t *j)
{
    AUTO_DONE(buf) struct buf b = {0};
    json_write(&b, j);
    return buf_take_cstr(&b);
}

static void test_each_sort(void **state)
{
    static const struct {
        const char *was, *kept; /* of readinessProbe; kept NULL: it stays */
    } cases[] = {
        {"{'httpGet':{'path':'/p','port':8080}}", "{\"httpGet\":{\"path\":\"/p\",\"port\":8080}}"},
        {"{'httpGet':{'path':'/p','port':'web','scheme':'HTTPS','httpHeaders':[{'name':'a',"
         "'value':'b'}]},'timeoutSeconds':7,'periodSeconds':2}",
         "{\"httpGet\":{\"path\":\"/"
         "p\",\"port\":8081,\"scheme\":\"HTTPS\",\"httpHeaders\":[{\"name\":"
         "\"a\",\"value\":\"b\"}]},\"timeoutSeconds\":7}"},
        {"{'tcpSocket':{'port':'9000'}}", "{\"tcpSocket\":{\"port\":9000}}"},
        {"{'grpc':{'port':9000,'service':'s'}}", "{\"grpc\":{\"port\":9000,\"service\":\"s\"}}"},
        {"{'exec':{'command':['true']}}", NULL},
        {"{'httpGet':{'port':80,'host':'elsewhere'}}", NULL},
        {"{}", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_CHARS char *spec = xasprintf("{'containers':[{'name':'c','ports':[{'name':'web',"
                                          "'containerPort':8081}],'readinessProbe':%s}]}",
                                          cases[i].was);
        AUTO_JSON json_t *j = json_of(spec);
        AUTO_JSON json_t *before = json_deep_copy(j);
        AUTO_JSON json_t *table = NULL;
        assert_ok(inject_probes(j, &table, NULL));
        AUTO_CHARS char *kept = text_of(json_object_get(table, "/app-health/c/readyz"));
        const json_t *probe =
            json_object_get(json_array_get(json_at(j, "containers"), 0), "readinessProbe");
        if (!cases[i].kept) {
            assert_true(json_equal(j, before));
            assert_int_equal(json_object_size(table), 0);
            continue;
        }
        assert_string_equal(kept, cases[i].kept);
        assert_string_equal(json_at_str(probe, "httpGet.path"), "/app-health/c/readyz");
        assert_int_equal(json_at_int(probe, "httpGet.port", 0), 15020);
        assert_string_equal(json_at_str(probe, "httpGet.scheme"), "HTTP");
        assert_null(json_at(probe, "httpGet.httpHeaders"));
        assert_null(json_at(probe, "tcpSocket"));
        assert_null(json_at(probe, "grpc"));
    }
}

static void test_all_that_are_asked(void **state)
{
    AUTO_JSON json_t *j = json_of(
        "{'initContainers':[{'name':'side','restartPolicy':'Always','startupProbe':{'tcpSocket':{"
        "'port':1}}}],'containers':[{'name':'istio-proxy','readinessProbe':{'httpGet':{'port':"
        "15021}}},{'name':'a','livenessProbe':{'tcpSocket':{'port':2}},'lifecycle':{'postStart':{"
        "'httpGet':{'path':'/up','port':3}},'preStop':{'exec':{'command':['true']}}}},{'name':'b',"
        "'lifecycle':{'preStop':{'httpGet':{'path':'/down','port':4}},'postStart':{'tcpSocket':{"
        "'port':5}}}}]}");
    AUTO_JSON json_t *table = NULL;
    (void)state;
    assert_ok(inject_probes(j, &table, NULL));
    assert_int_equal(json_object_size(table), 4);
    assert_non_null(json_object_get(table, "/app-health/side/startupz"));
    assert_non_null(json_object_get(table, "/app-health/a/livez"));
    assert_non_null(json_object_get(table, "/app-lifecycle/a/poststartz"));
    assert_non_null(json_object_get(table, "/app-lifecycle/b/prestopz"));
}

static void test_a_port_that_is_not_there(void **state)
{
    static const struct inject_options options = {.image = "i", .revision = "r"};
    AUTO_JSON json_t *pod = json_of("{'metadata':{},'spec':{'containers':[{'name':'c',"
                                    "'livenessProbe':{'httpGet':{'port':'web'}}}]}}");
    AUTO_JSON json_t *before = json_deep_copy(pod);
    struct err err = {0};
    (void)state;
    assert_int_equal(inject_pod(pod, NULL, &options, &err), -EINVAL);
    assert_string_equal(err.path, "spec.containers[c].livenessProbe");
    assert_true(json_equal(pod, before));
}

static void test_the_switch(void **state)
{
    static const struct inject_options options = {.image = "i", .revision = "r"};
    AUTO_JSON json_t *pod = json_of(
        "{'metadata':{'annotations':{'sidecar.istio.io/rewriteAppHTTPProbers':'false'}},'spec':{"
        "'containers':[{'name':'c','livenessProbe':{'httpGet':{'port':80}}}]}}");
    (void)state;
    assert_ok(inject_pod(pod, NULL, &options, NULL));
    AUTO_CHARS char *text = text_of(pod);
    assert_null(strstr(text, "/app-health"));
    assert_null(strstr(text, "ISTIO_KUBE_APP_PROBERS"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_sort),
        cmocka_unit_test(test_all_that_are_asked),
        cmocka_unit_test(test_a_port_that_is_not_there),
        cmocka_unit_test(test_the_switch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
