/* Conditions of objects, and kinds that have no effect. */
#include "json_text.h"

#include "base/time.h"
#include "model/object_condition.h"
#include "model/unserved_object.h"

#define THEN "1970-01-01T00:00:10Z"
#define NOW  "1970-01-01T00:01:40Z"
enum { NOW_S = 100 };

static void expect(const json_t *have, const char *text)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_JSON json_t *wanted = text ? json_of(text) : NULL;
    bool same = have && wanted ? json_equal(have, wanted) : have == wanted;
    json_write(&b, have ? have : json_null());
    if (!same)
        fail_msg("%s instead of %s", buf_cstr(&b), text ? text : "none");
}

#define OWN(status, reason, message, since, generation)                                            \
    "{'type':'fairlead.dev/Accepted','status':'" status "','reason':'" reason                      \
    "','message':'" message "','lastTransitionTime':'" since "','observedGeneration':" generation  \
    "}"
#define OTHER "{'type':'Reconciled','status':'True'}"

static void test_conditions(void **state)
{
    static const struct {
        const char *wrong, *generation, *conditions, *want;
    } cases[] = {
        {NULL, "1", "null", NULL},
        {NULL, "1", "[" OTHER "]", NULL},
        {"bad", "1", "null",
         "[" OWN("False", "RouteInvalid", "spec.x: bad; mend it", NOW, "1") "]"},
        {"bad", "2", "[" OTHER "]",
         "[" OTHER "," OWN("False", "RouteInvalid", "spec.x: bad; mend it", NOW, "2") "]"},
        {"bad", "2", "[" OWN("False", "RouteInvalid", "spec.x: bad; mend it", THEN, "2") "]", NULL},
        /* another generation, another message: it is as long as it was */
        {"bad", "3",
         "[" OWN("False", "RouteInvalid", "spec.x: bad; mend it", THEN, "2") "," OTHER "]",
         "[" OWN("False", "RouteInvalid", "spec.x: bad; mend it", THEN, "3") "," OTHER "]"},
        {"worse", "2", "[" OWN("False", "RouteInvalid", "spec.x: bad; mend it", THEN, "2") "]",
         "[" OWN("False", "RouteInvalid", "spec.x: worse; mend it", THEN, "2") "]"},
        {NULL, "3", "[" OWN("False", "RouteInvalid", "spec.x: bad; mend it", THEN, "2") "]",
         "[" OWN("True", "Accepted", "", NOW, "3") "]"},
        {NULL, "3", "[" OWN("True", "Accepted", "", THEN, "3") "]", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_CHARS char *text =
            xasprintf("{'metadata':{'generation':%s},'status':{'conditions':%s}}",
                      cases[i].generation, cases[i].conditions);
        AUTO_JSON json_t *object = json_of(text);
        struct findings f = {0};
        finding_add(&f, FINDING_WARNING, "RouteInvalid", "a/b", "spec.y", NULL, "is of no use");
        if (cases[i].wrong)
            finding_add(&f, FINDING_ERROR, "RouteInvalid", "a/b", "spec.x", "mend it", "%s",
                        cases[i].wrong);
        AUTO_JSON json_t *want = object_condition_want(object, &f, NOW_S);
        expect(want, cases[i].want);
        findings_done(&f);
    }
}

static void test_several_errors(void **state)
{
    AUTO_JSON json_t *object = json_of("{'metadata':{'generation':1}}");
    struct findings f = {0};
    (void)state;
    for (int i = 0; i < 3; i++) {
        AUTO_CHARS char *field = xasprintf("spec.x[%d]", i);
        finding_add(&f, FINDING_ERROR, "RouteInvalid", "a/b", field, NULL, "is wrong");
    }
    AUTO_JSON json_t *want = object_condition_want(object, &f, NOW_S);
    assert_string_equal(json_key_str(json_array_get(want, 0), "message"),
                        "spec.x[0]: is wrong (and 2 more)");
    findings_done(&f);
}

static void test_unserved(void **state)
{
    static const struct {
        const char *kind, *version, *spec, *found;
    } cases[] = {
        {"EnvoyFilter", "networking.istio.io/v1alpha3", "{}",
         "warning KindNotServed shop/o spec: an EnvoyFilter has no effect here\n"},
        {"WasmPlugin", "extensions.istio.io/v1alpha1", "{}",
         "warning KindNotServed shop/o spec: a WasmPlugin has no effect here\n"},
        {"WorkloadGroup", "networking.istio.io/v1",
         "{'metadata':{'labels':{'a':'b'}},'template':{'serviceAccount':'vm','ports':{'http':80}},"
         "'probe':{'httpGet':{'port':80}}}",
         ""},
        {"WorkloadGroup", "networking.istio.io/v1", "{}",
         "error WorkloadGroupInvalid shop/o spec.template: is missing\n"},
        {"WorkloadGroup", "networking.istio.io/v1", "{'template':{'address':'10.0.0.1'}}",
         "warning WorkloadGroupInvalid shop/o spec.template.address: has no effect: each workload "
         "has its own\n"},
        {"WorkloadGroup", "networking.istio.io/v1",
         "{'template':{},'probe':{'httpGet':{},'tcpSocket':{'port':70000}}}",
         "error WorkloadGroupInvalid shop/o spec.probe.httpGet.port: is missing\n"
         "error WorkloadGroupInvalid shop/o spec.probe.tcpSocket.port: is no whole number from 1 "
         "to "
         "65535\n"
         "error WorkloadGroupInvalid shop/o spec.probe: names several ways to ask by\n"},
        {"WorkloadGroup", "networking.istio.io/v1",
         "{'template':{},'probe':{'periodSeconds':-1,'exec':{}}}",
         "error WorkloadGroupInvalid shop/o spec.probe.periodSeconds: is no whole number from 0 to "
         "2147483647\n"
         "error WorkloadGroupInvalid shop/o spec.probe.exec.command: is missing\n"},
        {"WorkloadGroup", "networking.istio.io/v1", "{'template':{},'probe':{}}",
         "error WorkloadGroupInvalid shop/o spec.probe: names no way to ask by\n"},
        {"WorkloadGroup", "networking.istio.io/v1", "{'template':{'labels':{'a':1}}}",
         "error WorkloadGroupInvalid shop/o spec.template.labels[a]: is no label\n"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_CHARS char *text =
            xasprintf("{'metadata':{'namespace':'shop','name':'o'},'spec':%s}", cases[i].spec);
        AUTO_JSON json_t *object = json_of(text);
        AUTO_DONE(buf) struct buf found = {0};
        struct unserved_object *u = unserved_object_decode(object, cases[i].kind, cases[i].version);
        assert_non_null(u);
        findings_format(&u->o.findings, &found);
        assert_string_equal(buf_cstr(&found), cases[i].found);
        unserved_object_free(u);
    }
    assert_false(unserved_kind("VirtualService", "networking.istio.io/v1"));
    assert_false(unserved_kind("EnvoyFilter", "example.org/v1"));
    assert_null(unserved_object_decode(NULL, "EnvoyFilter", "networking.istio.io/v1alpha3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_several_errors),
        cmocka_unit_test(test_unserved),
    };
    return RUN_TESTS(tests);
}
