/* AdmissionReviews of pods: what comes back is allowed, with a patch that makes of the pod what
 * inject_pod() does. */
#include "json_text.h"

#include <errno.h>

#include "codec/base64.h"
#include "model/inject_review.h"

static const struct inject_options options = {.image = "fairlead/proxy", .revision = "fairlead"};

/* The answer to a request of that object and namespace. */
static json_t *ask(const char *object, const char *ns, bool *ret_yes)
{
    AUTO_CHARS char *text =
        xasprintf("{'apiVersion':'admission.k8s.io/v1','kind':'AdmissionReview','request':{'uid':"
                  "'u-1','kind':{'group':'','version':'v1','kind':'Pod'},'namespace':'%s',"
                  "'operation':'CREATE','object':%s}}",
                  ns, object);
    AUTO_JSON json_t *review = json_of(text);
    json_t *j;
    assert_ok(inject_review(review, &options, &j, ret_yes, NULL));
    assert_string_equal(json_at_str(j, "response.uid"), "u-1");
    return j;
}

#define POD                                                                                        \
    "{'metadata':{'generateName':'web-5f-','labels':{'pod-template-hash':'5f'},"                   \
    "'ownerReferences':[{'kind':'ReplicaSet','name':'web-5f'}]},'spec':{'containers':[{'name':"    \
    "'app'}]}}"

static void test_a_pod(void **state)
{
    bool yes;
    AUTO_JSON json_t *answer = ask(POD, "shop", &yes);
    AUTO_DONE(buf) struct buf text = {0};
    json_t *patch;
    (void)state;
    assert_true(yes && json_is_true(json_at(answer, "response.allowed")));
    assert_string_equal(json_at_str(answer, "response.patchType"), "JSONPatch");
    assert_ok(base64_decode(str_from(json_at_str(answer, "response.patch")), &text));
    assert_ok(json_parse(buf_str(&text), 0, NULL, &patch, NULL));
    AUTO_JSON json_t *want = json_of(POD);
    assert_ok(inject_pod(want, "web", &options, NULL));
    AUTO_JSON json_t *got = json_of(POD);
    json_t *operation;
    size_t i;
    json_array_foreach(patch, i, operation)
    {
        assert_string_equal(json_key_str(operation, "op"), "replace");
        json_object_set(got, json_key_str(operation, "path") + 1,
                        json_object_get(operation, "value"));
    }
    assert_true(json_equal(got, want));
    json_decref(patch);
}

static void test_who_gets_none(void **state)
{
    static const char *const objects[] = {
        "{'metadata':{'labels':{'sidecar.istio.io/inject':'false'}},'spec':{'containers':[]}}",
        "{'metadata':{},'spec':{'hostNetwork':true,'containers':[]}}", "null"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
        bool yes;
        AUTO_JSON json_t *answer = ask(objects[i], "shop", &yes);
        assert_false(yes);
        assert_true(json_is_true(json_at(answer, "response.allowed")));
        assert_null(json_at(answer, "response.patch"));
    }
}

/* An annotation that cannot be heeded: the pod is not made as nobody meant it. */
static void test_what_is_refused(void **state)
{
    bool yes;
    AUTO_JSON json_t *answer = ask("{'metadata':{'annotations':{'traffic.sidecar.istio.io/"
                                   "excludeInboundPorts':'http'}},'spec':{'containers':[]}}",
                                   "shop", &yes);
    (void)state;
    assert_false(yes || json_is_true(json_at(answer, "response.allowed")));
    assert_non_null(strstr(json_at_str(answer, "response.status.message"), "excludeInboundPorts"));
}

static void test_what_is_no_review(void **state)
{
    static const char *const texts[] = {
        "{}", "{'kind':'AdmissionReview','apiVersion':'admission.k8s.io/v1beta1'}",
        "{'kind':'AdmissionReview','apiVersion':'admission.k8s.io/v1','request':{}}"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO_JSON json_t *j = json_of(texts[i]);
        json_t *none;
        bool yes;
        assert_int_equal(inject_review(j, &options, &none, &yes, NULL), -EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pod),
        cmocka_unit_test(test_who_gets_none),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_what_is_no_review),
    };
    return RUN_TESTS(tests);
}
