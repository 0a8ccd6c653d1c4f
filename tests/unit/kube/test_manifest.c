/* Manifests: documents, Lists, and what is told of those that are none. */
#include "kube/manifest.h"
#include "test.h"

static void assert_refused(const char *text, const char *want)
{
    AUTO_JSON json_t *into = json_array();
    struct err err = {0};
    assert_true(manifest_parse(str_from(text), "f.yaml", into, &err) < 0);
    assert_non_null(strstr(err_text(&err), want));
    assert_non_null(strstr(err_text(&err), "f.yaml"));
}

static void test_documents_and_lists(void **state)
{
    (void)state;
    static const char text[] =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n---\n# nothing\n---\n"
        "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n"
        " {\"apiVersion\": \"v1\", \"kind\": \"PodList\", \"items\": [{\"apiVersion\": \"v1\", "
        "\"kind\": \"Pod\", \"metadata\": {\"name\": \"b\"}}]},\n"
        " {\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"generateName\": "
        "\"c-\"}}]}\n";
    static const char *const names[] = {"a", "b"};
    AUTO_JSON json_t *into = json_array();
    assert_ok(manifest_parse(str_from(text), NULL, into, NULL));
    assert_int_equal(json_array_size(into), 3);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_string_equal(json_at_str(json_array_get(into, i), "metadata.name"), names[i]);
    assert_string_equal(json_at_str(json_array_get(into, 2), "metadata.generateName"), "c-");
}

static void test_nothing_is_nothing(void **state)
{
    (void)state;
    AUTO_JSON json_t *into = json_array();
    assert_ok(manifest_parse(STR(""), NULL, into, NULL));
    assert_ok(manifest_parse(STR("---\n# only a remark\n"), NULL, into, NULL));
    assert_int_equal(json_array_size(into), 0);
}

static void test_what_is_no_manifest(void **state)
{
    (void)state;
    assert_refused("words", "document 1 is not an object");
    assert_refused("- a\n", "document 1 is not an object");
    assert_refused("kind: Pod\n", "document 1 (Pod): apiVersion is missing or not text");
    assert_refused("apiVersion: 1\nkind: Pod\n", "apiVersion is missing or not text");
    assert_refused("apiVersion: v1\n", "document 1: kind is missing or not text");
    assert_refused("apiVersion: v1\nkind: Pod\nmetadata: {name: 5}\n",
                   "document 1 (Pod): metadata.name is missing or not text");
    assert_refused("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\na: [\n", "line");
    assert_refused("apiVersion: v1\nkind: List\nitems: [5]\n", "document 1 is not an object");
}

static void test_files(void **state)
{
    (void)state;
    AUTO_JSON json_t *into = json_array();
    struct err err = {0};
    assert_true(manifest_read("/no/such/file", into, &err) < 0);
    assert_non_null(strstr(err_text(&err), "/no/such/file: No such file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents_and_lists),
        cmocka_unit_test(test_nothing_is_nothing),
        cmocka_unit_test(test_what_is_no_manifest),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
