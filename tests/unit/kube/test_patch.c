/* JSON patch, merge patch, strategic merge. */
#include <errno.h>

#include "kube/patch.h"
#include "kube/schema_tables.h"
#include "test.h"

static json_t *parse(const char *text)
{
    json_t *j = NULL;
    assert_int_equal(json_parse(str_from(text), 0, NULL, &j, NULL), 0);
    return j;
}

static void expect(const json_t *have, const char *want)
{
    AUTO_JSON json_t *w = parse(want);
    AUTO_DONE(buf) struct buf b = {0};
    json_write(&b, have);
    if (!json_equal(have, w))
        fail_msg("have %s, want %s", buf_cstr(&b), want);
}

static void json_case(const char *doc, const char *patch, int code, const char *want)
{
    json_t *j = parse(doc);
    AUTO_JSON json_t *p = parse(patch);
    assert_int_equal(patch_apply_json(&j, p, NULL), code);
    if (want)
        expect(j, want);
    json_decref(j);
}

static void test_json_patch(void **state)
{
    (void)state;
    json_case("{\"a\":[1,2]}", "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":9}]", 0,
              "{\"a\":[1,9,2]}");
    json_case("{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":2}]", 0,
              "{\"a\":[1,2]}");
    json_case("{\"a/b\":1,\"m~n\":2}",
              "[{\"op\":\"remove\",\"path\":\"/a~1b\"},{\"op\":\"remove\",\"path\":\"/m~0n\"}]", 0,
              "{}");
    json_case("{\"a\":1}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/b\"}]", 0, "{\"b\":1}");
    json_case("{\"a\":{\"x\":1}}",
              "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"},{\"op\":\"replace\",\"path\":\"/"
              "b/x\",\"value\":2}]",
              0, "{\"a\":{\"x\":1},\"b\":{\"x\":2}}");
    json_case("{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":2}]", -ENOENT, NULL);
    json_case("{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/b\",\"value\":2}]", -ENOENT, NULL);
    json_case("{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/x/y\",\"value\":2}]", -ENOENT, NULL);
    json_case("{\"a\":{}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}]", -EINVAL, NULL);
    json_case("{\"a\":[]}", "[{\"op\":\"remove\",\"path\":\"/a/01\"}]", -ENOENT, NULL);
    json_case("{}", "[{\"op\":\"nope\",\"path\":\"/a\"}]", -EINVAL, NULL);
    json_case("{}", "{}", -EINVAL, NULL);
    json_case("{\"a\":1}", "[{\"op\":\"add\",\"path\":\"\",\"value\":{\"b\":2}}]", 0, "{\"b\":2}");
}

static void test_merge_patch(void **state)
{
    AUTO_JSON json_t *j = parse("{\"a\":{\"b\":1,\"c\":2},\"l\":[1,2]}");
    AUTO_JSON json_t *p = parse("{\"a\":{\"b\":null,\"d\":{\"e\":null,\"f\":1}},\"l\":[3]}");
    (void)state;
    patch_apply_merge(j, p);
    expect(j, "{\"a\":{\"c\":2,\"d\":{\"f\":1}},\"l\":[3]}");
}

static void strategic(const struct schema *s, const char *doc, const char *patch, const char *want)
{
    AUTO_JSON json_t *j = parse(doc);
    AUTO_JSON json_t *p = parse(patch);
    assert_int_equal(patch_apply_strategic(s, j, p, NULL), 0);
    expect(j, want);
}

/* A patch without an order is the order of what it names; what is new comes first (as in the
 * documentation of kubectl patch: the added container stands before the old one). */
static void test_strategic_lists(void **state)
{
    (void)state;
    strategic(&schema_container, "{\"env\":[{\"name\":\"a\",\"value\":\"1\"},{\"name\":\"b\"}]}",
              "{\"env\":[{\"name\":\"a\",\"value\":\"2\"},{\"name\":\"c\"}]}",
              "{\"env\":[{\"name\":\"a\",\"value\":\"2\"},{\"name\":\"c\"},{\"name\":\"b\"}]}");
    strategic(&schema_container, "{\"env\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
              "{\"env\":[{\"$patch\":\"delete\",\"name\":\"a\"}]}", "{\"env\":[{\"name\":\"b\"}]}");
    strategic(&schema_container, "{\"env\":[{\"name\":\"a\"}]}",
              "{\"env\":[{\"$patch\":\"replace\"},{\"name\":\"z\"}]}",
              "{\"env\":[{\"name\":\"z\"}]}");
    strategic(&schema_container, "{\"command\":[\"a\",\"b\"]}", "{\"command\":[\"c\"]}",
              "{\"command\":[\"c\"]}");
    strategic(&schema_container, "{\"ports\":[{\"containerPort\":1}]}",
              "{\"ports\":[{\"containerPort\":2}]}",
              "{\"ports\":[{\"containerPort\":2},{\"containerPort\":1}]}");
    strategic(&schema_service, "{\"spec\":{\"ports\":[{\"port\":80,\"name\":\"a\"}]}}",
              "{\"spec\":{\"ports\":[{\"port\":80,\"name\":\"b\"}]}}",
              "{\"spec\":{\"ports\":[{\"port\":80,\"name\":\"b\"}]}}");
}

static void test_strategic_directives(void **state)
{
    (void)state;
    strategic(&schema_deployment_spec,
              "{\"strategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":1}}}",
              "{\"strategy\":{\"$retainKeys\":[\"type\"],\"type\":\"Recreate\"}}",
              "{\"strategy\":{\"type\":\"Recreate\"}}");
    strategic(&schema_object_meta, "{\"finalizers\":[\"a\",\"b\"]}",
              "{\"$deleteFromPrimitiveList/finalizers\":[\"a\"],\"finalizers\":[\"c\"]}",
              "{\"finalizers\":[\"c\",\"b\"]}");
    strategic(&schema_pod_spec,
              "{\"containers\":[{\"name\":\"a\"},{\"name\":\"s\"},{\"name\":\"b\"}]}",
              "{\"$setElementOrder/containers\":[{\"name\":\"b\"},{\"name\":\"a\"}]}",
              "{\"containers\":[{\"name\":\"s\"},{\"name\":\"b\"},{\"name\":\"a\"}]}");
    strategic(&schema_pod_spec, "{\"securityContext\":{\"runAsUser\":1}}",
              "{\"securityContext\":{\"$patch\":\"replace\",\"fsGroup\":2}}",
              "{\"securityContext\":{\"fsGroup\":2}}");
    strategic(&schema_object_meta, "{\"labels\":{\"a\":\"1\"}}",
              "{\"labels\":{\"a\":null,\"b\":\"2\"}}", "{\"labels\":{\"b\":\"2\"}}");
}

/* Ports of two protocols have one merge key; an order must not lose one of them. */
static void test_an_order_keeps_elements_of_one_key(void **state)
{
    (void)state;
    strategic(&schema_service_spec,
              "{\"ports\":[{\"port\":53,\"protocol\":\"TCP\"},{\"port\":53,\"protocol\":\"UDP\"},"
              "{\"port\":80}]}",
              "{\"$setElementOrder/ports\":[{\"port\":80},{\"port\":53},{\"port\":53}]}",
              "{\"ports\":[{\"port\":80},{\"port\":53,\"protocol\":\"TCP\"},{\"port\":53,"
              "\"protocol\":\"UDP\"}]}");
}

/* want: the patch; it is applied to live, and after says what must be there. */
static void three_way(const struct schema *s, const char *last, const char *now, const char *live,
                      const char *want, const char *after)
{
    AUTO_JSON json_t *l = last ? parse(last) : NULL, *n = parse(now), *have = parse(live);
    AUTO_JSON json_t *patch = patch_three_way(s, l, n, have);
    expect(patch, want);
    if (s)
        assert_ok(patch_apply_strategic(s, have, patch, NULL));
    else
        patch_apply_merge(have, patch);
    expect(have, after);
    AUTO_JSON json_t *again = patch_three_way(s, n, n, have);
    expect(again, "{}");
}

static void test_three_way(void **state)
{
    (void)state;
    const struct schema *c = &schema_container, *pod = &schema_pod_spec,
                        *ports = &schema_service_spec, *d = &schema_deployment_spec;
    /* Others' fields and elements stay; ours that are gone from the manifest go. */
    three_way(c, "{\"image\":\"a\",\"tty\":true}", "{\"image\":\"b\"}",
              "{\"image\":\"a\",\"tty\":true,\"stdin\":true}", "{\"image\":\"b\",\"tty\":null}",
              "{\"image\":\"b\",\"stdin\":true}");
    three_way(
        pod, "{\"containers\":[{\"name\":\"a\",\"tty\":true},{\"name\":\"b\"}]}",
        "{\"containers\":[{\"name\":\"a\"}]}",
        "{\"containers\":[{\"name\":\"a\",\"tty\":true},{\"name\":\"b\"},{\"name\":\"side\"}]}",
        "{\"containers\":[{\"name\":\"a\",\"tty\":null},{\"name\":\"b\",\"$patch\":"
        "\"delete\"}]}",
        "{\"containers\":[{\"name\":\"a\"},{\"name\":\"side\"}]}");
    /* Where it belongs, not at the end. */
    three_way(c, NULL, "{\"env\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
              "{\"env\":[{\"name\":\"b\"}]}",
              "{\"env\":[{\"name\":\"a\"}],\"$setElementOrder/env\":[{\"name\":\"a\"},{\"name\":"
              "\"b\"}]}",
              "{\"env\":[{\"name\":\"a\"},{\"name\":\"b\"}]}");
    /* The port that needs no change is the one meant. */
    three_way(ports, NULL,
              "{\"ports\":[{\"port\":53,\"protocol\":\"TCP\"},{\"port\":53,\"protocol\":\"UDP\"}]}",
              "{\"ports\":[{\"port\":53,\"protocol\":\"TCP\",\"nodePort\":30001},{\"port\":53,"
              "\"protocol\":\"UDP\",\"nodePort\":30002}]}",
              "{}",
              "{\"ports\":[{\"port\":53,\"protocol\":\"TCP\",\"nodePort\":30001},{\"port\":53,"
              "\"protocol\":\"UDP\",\"nodePort\":30002}]}");
    /* One of several kinds: what the server had filled in for the other goes, too. */
    three_way(d, "{\"replicas\":1}", "{\"replicas\":1,\"strategy\":{\"type\":\"Recreate\"}}",
              "{\"replicas\":1,\"strategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{}}}",
              "{\"strategy\":{\"type\":\"Recreate\",\"$retainKeys\":[\"type\"]}}",
              "{\"replicas\":1,\"strategy\":{\"type\":\"Recreate\"}}");
    three_way(pod, NULL, "{\"volumes\":[{\"name\":\"v\",\"secret\":{\"secretName\":\"s\"}}]}",
              "{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}",
              "{\"volumes\":[{\"name\":\"v\",\"secret\":{\"secretName\":\"s\"},\"$retainKeys\":["
              "\"name\",\"secret\"]}]}",
              "{\"volumes\":[{\"name\":\"v\",\"secret\":{\"secretName\":\"s\"}}]}");
    /* A set of words; a list that is replaced; a kind without a table. */
    three_way(&schema_object_meta, "{\"finalizers\":[\"x\",\"y\"]}", "{\"finalizers\":[\"y\"]}",
              "{\"finalizers\":[\"x\",\"y\",\"z\"]}",
              "{\"$deleteFromPrimitiveList/finalizers\":[\"x\"]}",
              "{\"finalizers\":[\"y\",\"z\"]}");
    three_way(c, NULL, "{\"command\":[\"a\"]}", "{\"command\":[\"a\",\"b\"]}",
              "{\"command\":[\"a\"]}", "{\"command\":[\"a\"]}");
    three_way(NULL, "{\"spec\":{\"a\":1,\"b\":2}}", "{\"spec\":{\"a\":[1]}}",
              "{\"spec\":{\"a\":1,\"b\":2,\"c\":3}}", "{\"spec\":{\"a\":[1],\"b\":null}}",
              "{\"spec\":{\"a\":[1],\"c\":3}}");
}

static void test_a_missing_merge_key_is_an_error(void **state)
{
    AUTO_JSON json_t *j = parse("{}");
    AUTO_JSON json_t *p = parse("{\"env\":[{\"value\":\"x\"}]}");
    struct err err = {0};
    (void)state;
    assert_int_equal(patch_apply_strategic(&schema_container, j, p, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "does not contain declared merge key: name"));
}

/* Each copy takes in the ones before: forty of them would not fit into any memory. */
static void test_copies_have_a_limit(void **state)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct err err = {0};
    json_t *j = parse("{\"a\":{\"x\":\"0123456789\"}}");
    (void)state;
    for (int i = 0; i < 40; i++)
        buf_addf(&b, "%s{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/k%d\"}", i ? "," : "[", i);
    buf_add_char(&b, ']');
    AUTO_JSON json_t *p = parse(buf_cstr(&b));
    assert_int_equal(patch_apply_json(&j, p, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "copies more than"));
    json_decref(j);
}

static void test_paths_have_a_depth(void **state)
{
    AUTO_DONE(buf) struct buf path = {0};
    json_t *j = parse("{}");
    json_t *at = j;
    (void)state;
    for (int i = 0; i < 600; i++) {
        json_t *next = json_object();
        json_object_set_new(at, "a", next);
        at = next;
        buf_add_cstr(&path, "/a");
    }
    AUTO_JSON json_t *p =
        json_pack("[{s:s,s:s,s:i}]", "op", "add", "path", buf_cstr(&path), "value", 1);
    assert_int_equal(patch_apply_json(&j, p, NULL), -EINVAL);
    json_decref(j);
}

static void test_long_lists_are_not_merged(void **state)
{
    AUTO_JSON json_t *j = parse("{}");
    AUTO_JSON json_t *p = json_object();
    json_t *list = json_array();
    struct err err = {0};
    (void)state;
    for (int i = 0; i < 8000; i++)
        json_array_append_new(list, json_pack("{s:o}", "name", json_sprintf("E%d", i)));
    json_object_set_new(p, "env", list);
    assert_int_equal(patch_apply_strategic(&schema_container, j, p, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "too long to merge"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_patch),
        cmocka_unit_test(test_merge_patch),
        cmocka_unit_test(test_strategic_lists),
        cmocka_unit_test(test_strategic_directives),
        cmocka_unit_test(test_an_order_keeps_elements_of_one_key),
        cmocka_unit_test(test_three_way),
        cmocka_unit_test(test_a_missing_merge_key_is_an_error),
        cmocka_unit_test(test_copies_have_a_limit),
        cmocka_unit_test(test_paths_have_a_depth),
        cmocka_unit_test(test_long_lists_are_not_merged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
