/* AdmissionReviews of pods: what comes back is allowed, with a patch that makes of the pod what
 * inject_pod() does. */
#include "json_text.h"

#include <errno.h>

#include "codec/base64.h"
#include "model/inject_review.h"
#include "model/proxy_settings.h"

static const struct inject_options options = {.image = "fairlead/proxy", .revision = "fairlead"};

static const struct proxy_settings_table *settings; /* of the next review */

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
    assert_ok(inject_review(review, &options, settings, &j, ret_yes, NULL));
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

static void put(struct proxy_settings_table *t, const char *key, const char *created,
                const char *spec)
{
    struct str name, ns = str_cut(str_from(key), '/', &name);
    AUTO_CHARS char *text = xasprintf("{'metadata':{'namespace':'" STR_FMT "','name':'" STR_FMT
                                      "','creationTimestamp':'%s'},'spec':%s}",
                                      STR_ARG(ns), STR_ARG(name), created, spec);
    AUTO_JSON json_t *j = json_of(text);
    assert_non_null(proxy_settings_put(t, j));
}

#define ASKS(metadata) "{'metadata':{" metadata "},'spec':{'containers':[{'name':'app'}]}}"
#define CONFIG(text)   "'annotations':{'proxy.istio.io/config':'" text "'}"

/* "workers variables" of the proxy that a pod in that namespace gets. */
static void expect_proxy(const char *object, const char *ns, const char *want)
{
    bool yes;
    AUTO_JSON json_t *answer = ask(object, ns, &yes);
    AUTO_DONE(buf) struct buf text = {0}, got = {0};
    AUTO_JSON json_t *patch = NULL;
    assert_true(yes);
    assert_ok(base64_decode(str_from(json_at_str(answer, "response.patch")), &text));
    assert_ok(json_parse(buf_str(&text), 0, NULL, &patch, NULL));
    const json_t *spec =
                     json_object_get(json_array_get(patch, json_array_size(patch) - 1), "value"),
                 *proxy = json_array_get(json_object_get(spec, "initContainers"), 1), *one;
    size_t i;
    json_array_foreach(json_object_get(proxy, "args"), i,
                       one) if (str_starts(str_from(json_string_value(one)), STR("--concurrency=")))
        buf_add_cstr(&got, json_string_value(one));
    json_array_foreach(json_object_get(proxy, "env"), i, one)
    {
        const char *name = json_key_str(one, "name");
        if (strlen(name) == 1 || streq(name, "ISTIO_META_DNS_CAPTURE"))
            buf_addf(&got, " %s=%s", name, json_key_str(one, "value"));
        if (streq(name, "POD_NAME"))
            assert_null(json_object_get(one, "value"));
    }
    assert_string_equal(buf_cstr(&got), want);
}

/* Of the mesh, of the namespace over it, the annotation, one with a selector over all. */
static void test_proxy_configs(void **state)
{
    struct proxy_settings_table *t = proxy_settings_new("fairlead-system");
    (void)state;
    settings = t;
    expect_proxy(ASKS(""), "shop", "");
    put(t, "fairlead-system/mesh", "2026-01-01T00:00:00Z",
        "{'concurrency':2,'environmentVariables':{'A':'mesh','B':'mesh','C':'mesh',"
        "'POD_NAME':'no','LD_X':'no'}}");
    put(t, "fairlead-system/later", "2026-01-02T00:00:00Z", "{'concurrency':9}");
    expect_proxy(ASKS(""), "shop", "--concurrency=2 A=mesh B=mesh C=mesh");
    expect_proxy(ASKS(""), "fairlead-system", "--concurrency=2 A=mesh B=mesh C=mesh");
    put(t, "shop/all", "2026-01-01T00:00:00Z",
        "{'environmentVariables':{'B':'shop','ISTIO_META_DNS_CAPTURE':'true'}}");
    expect_proxy(ASKS(""), "shop",
                 "--concurrency=2 ISTIO_META_DNS_CAPTURE=true A=mesh B=shop C=mesh");
    expect_proxy(ASKS(""), "bank", "--concurrency=2 A=mesh B=mesh C=mesh");
    expect_proxy(ASKS(CONFIG("{concurrency: 3}")), "bank", "--concurrency=3 A=mesh B=mesh C=mesh");
    put(t, "shop/web", "2026-01-01T00:00:00Z",
        "{'selector':{'matchLabels':{'app':'web'}},'concurrency':4,"
        "'environmentVariables':{'C':'web','ISTIO_META_DNS_CAPTURE':'false'}}");
    put(t, "bank/web", "2026-01-01T00:00:00Z",
        "{'selector':{'matchLabels':{'app':'web'}},'concurrency':5}");
    expect_proxy(ASKS("'labels':{'app':'web','x':'y'}," CONFIG("{concurrency: 3}")), "shop",
                 "--concurrency=4 A=mesh B=shop C=web");
    expect_proxy(ASKS("'labels':{'app':'db'}," CONFIG("{concurrency: 3}")), "shop",
                 "--concurrency=3 ISTIO_META_DNS_CAPTURE=true A=mesh B=shop C=mesh");
    proxy_settings_remove(t, STR("shop/web"));
    proxy_settings_remove(t, STR("fairlead-system/mesh"));
    expect_proxy(ASKS("'labels':{'app':'web'}"), "shop",
                 "--concurrency=9 ISTIO_META_DNS_CAPTURE=true B=shop");
    settings = NULL;
    proxy_settings_free(t);
}

static void test_proxy_configs_that_are_wrong(void **state)
{
    static const struct {
        const char *spec, *found;
    } cases[] = {
        {"{'concurrency':8,'environmentVariables':{'A_1':'x'}}", ""},
        {"{'concurrency':65}", "error ProxyConfigInvalid shop/p spec.concurrency: "},
        {"{'environmentVariables':{'1a':'x'}}",
         "error ProxyConfigInvalid shop/p spec.environmentVariables.1a: is no variable"},
        {"{'environmentVariables':{'LD_PRELOAD':'x'}}",
         "error ProxyConfigInvalid shop/p spec.environmentVariables.LD_PRELOAD: is no variable"},
        {"{'image':{'imageType':'debug'}}",
         "warning ProxyConfigInvalid shop/p spec.image.imageType: has no effect"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct proxy_settings_table *t = proxy_settings_new("fairlead-system");
        AUTO_CHARS char *text =
            xasprintf("{'metadata':{'namespace':'shop','name':'p'},'spec':%s}", cases[i].spec);
        AUTO_JSON json_t *j = json_of(text);
        AUTO_DONE(buf) struct buf found = {0};
        findings_format(&proxy_settings_put(t, j)->findings, &found);
        if (!str_starts(buf_str(&found), str_from(cases[i].found)) || (!*cases[i].found && found.n))
            fail_msg("%s: %s", cases[i].spec, buf_cstr(&found));
        proxy_settings_free(t);
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
        assert_int_equal(inject_review(j, &options, NULL, &none, &yes, NULL), -EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pod),           cmocka_unit_test(test_who_gets_none),
        cmocka_unit_test(test_proxy_configs),   cmocka_unit_test(test_proxy_configs_that_are_wrong),
        cmocka_unit_test(test_what_is_refused), cmocka_unit_test(test_what_is_no_review),
    };
    return RUN_TESTS(tests);
}
