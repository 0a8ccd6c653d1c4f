/* Label and field selectors. */
#include <errno.h>

#include "kube/selector.h"
#include "test.h"

static const struct label labels[] = {{"app", "web"}, {"tier", "front"}, {"n", "5"}};

static bool label_match(const char *text)
{
    struct selector s;
    assert_int_equal(selector_parse_labels(str_from(text), &s, NULL), 0);
    bool yes = selector_matches(&s, labels, ARRAY_LEN(labels));
    selector_done(&s);
    return yes;
}

static void test_labels(void **state)
{
    static const char *const yes[] = {"",
                                      "app=web",
                                      "app==web",
                                      "app",
                                      "!gone",
                                      "app!=x",
                                      "gone!=x",
                                      "app in (a, web)",
                                      "app notin (a,b)",
                                      "gone notin (a)",
                                      "n>4",
                                      "n<6",
                                      " app = web , tier in (front) "};
    static const char *const no[] = {
        "app=x",           "gone", "!app", "app!=web",          "app in (a)",
        "app notin (web)", "n>5",  "n<5",  "app=web,tier=back", "app>1"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (!label_match(yes[i]))
            fail_msg("\"%s\" does not match", yes[i]);
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (label_match(no[i]))
            fail_msg("\"%s\" matches", no[i]);
}

static void test_bad_labels(void **state)
{
    static const char *const bad[] = {"=a",    "a b", "a in",       "a in (", "a in (b",
                                      "a=b=c", "a,",  "a in (b) c", "a/b/c",  "-a",
                                      "a=-",   "a>x", "!",          "a=b,,c"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct selector s;
        struct err err = {0};
        if (selector_parse_labels(str_from(bad[i]), &s, &err) == 0)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_non_null(strstr(err.msg, "unable to parse requirement"));
    }
}

static void test_fields(void **state)
{
    static const struct label fields[] = {{"metadata.name", "a,b=c"}, {"status.phase", "Running"}};
    struct selector s;
    (void)state;
    assert_int_equal(
        selector_parse_fields(STR("metadata.name=a\\,b\\=c,status.phase!=Failed"), &s, NULL), 0);
    assert_true(selector_matches(&s, fields, 2));
    selector_done(&s);
    assert_int_equal(selector_parse_fields(STR("nonsense"), &s, NULL), -EINVAL);
}

static void test_objects(void **state)
{
    AUTO_JSON json_t *o =
        json_pack("{s:{s:s},s:[{s:s,s:s,s:[s,s]},{s:s,s:s}]}", "matchLabels", "app", "web",
                  "matchExpressions", "key", "tier", "operator", "In", "values", "front", "back",
                  "key", "x", "operator", "DoesNotExist");
    AUTO_JSON json_t *have = json_pack("{s:s,s:s}", "app", "web", "tier", "back");
    struct selector s;
    bool none;
    (void)state;
    assert_int_equal(selector_from_object(o, &s, &none, NULL), 0);
    assert_false(none);
    assert_true(selector_matches_object(&s, have));
    json_object_set_new(have, "x", json_string("1"));
    assert_false(selector_matches_object(&s, have));
    selector_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_bad_labels),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
