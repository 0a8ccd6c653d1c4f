/* Normal forms of paths: what Envoy 1.40 made of them. */
#include "test.h"

#include <errno.h>

#include "codec/url_path.h"

static const struct {
    bool merge;
    const char *path, *normal; /* NULL: 400 */
} rows[] = {
    {false, "/a/b", "/a/b"},
    {false, "/a/../b", "/b"},
    {false, "/a/./b", "/a/b"},
    {false, "/..", "/"},
    {false, "/../x", "/x"},
    {false, "/a/..", "/"},
    {false, "/a/.", "/a/"},
    {false, "/a/b/..", "/a/"},
    {false, "/a/b/../", "/a/"},
    {false, "//a//b", "/a//b"},
    {false, "/a//../b", "/a/b"},
    {false, "/a//b/..", "/a//"},
    {false, "/%61%62", "/ab"},
    {false, "/%41", "/A"},
    {false, "/%2e%2e/x", "/x"},
    {false, "/a/%2E%2e/x", "/x"},
    {false, "/a/.%2e/x", "/x"},
    {false, "/%2f", "/%2f"},
    {false, "/a%2Fb", "/a%2Fb"},
    {false, "/a%2fb/../c", "/c"},
    {false, "/a\\b", "/a/b"},
    {false, "/a\\..\\b", "/b"},
    {false, "/a%5c..%5Cb", "/a%5c..%5Cb"},
    {false, "/a?x=/../y", "/a?x=/../y"},
    {false, "/a/..?x=%2e%2e", "/?x=%2e%2e"},
    {false, "/%zz", "/%zz"},
    {false, "/%", "/%"},
    {false, "/%4", "/%4"},
    {false, "/%7e~", "/~~"},
    {false, "/%2D-%5f", "/--_"},
    {false, "/%00", NULL},
    {false, "/a;p=1/../b", "/b"},
    {false, "/a/...", "/a/..."},
    {false, "/a/..b", "/a/..b"},
    {false, "/a/b..", "/a/b.."},
    {false, "/%C3%A9", "/%C3%A9"},
    {false, "/%c3%a9", "/%c3%a9"},
    {false, "/<>\"{}|^`[]", "/%3C%3E%22%7B%7D%7C%5E%60[]"},
    {false, "/!$&'()*+,;=:@", "/!$&'()*+,;=:@"},
    {false, "/%21%24%26%27", "/%21%24%26%27"},
    {false, "/a/%2e", "/a/"},
    {false, "/a/%2e/", "/a/"},
    {false, "/%3f", "/%3f"},
    {false, "/%23", "/%23"},
    {false, "/%20", "/%20"},
    {false, "/a/b/../../../c", "/c"},
    {false, "/.", "/"},
    {false, "/./", "/"},
    {false, "/..//a", "/a"},
    {false, "/%25%34%31", "/%2541"},
    {false, "/a%2e%2e/b", "/a../b"},
    {false, "/%2E", "/"},
    {false, "/%2e%2E", "/"},
    {false, "/a/%2e%2e?q", "/?q"},
    {false, "/%7F", "/%7F"},
    {false, "/%80", "/%80"},
    {false, "/a/../", "/"},
    {false, "/a/b/./..", "/a/"},
    {false, "/a\\?\\b", "/a/?\\b"},
    {false, "///", "/"},
    {false, "/..a/../b", "/b"},
    {true, "//a//b", "/a/b"},
    {true, "/a//b/..", "/a/"},
};

static struct str apply(bool normalize, bool merge, const char *path, struct arena *a, int expect)
{
    const struct url_path_rules r = {normalize, merge};
    struct str got = {NULL, 0};
    assert_int_equal(url_path_apply(&r, str_from(path), a, &got), expect);
    return got;
}

static void test_as_envoy(void **state)
{
    AUTO(arena) struct arena *a = arena_new(0);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str got = apply(true, rows[i].merge, rows[i].path, a, rows[i].normal ? 0 : -EBADMSG);
        if (rows[i].normal && !str_is(got, rows[i].normal))
            fail_msg("%s: " STR_FMT ", expected %s", rows[i].path, STR_ARG(got), rows[i].normal);
    }
}

static void test_once_is_enough(void **state)
{
    AUTO(arena) struct arena *a = arena_new(0);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!rows[i].normal || strstr(rows[i].path, "%25"))
            continue;
        struct str again = apply(true, rows[i].merge, rows[i].normal, a, 0);
        if (!str_is(again, rows[i].normal))
            fail_msg("%s becomes " STR_FMT, rows[i].normal, STR_ARG(again));
    }
}

static void test_slashes_alone(void **state)
{
    AUTO(arena) struct arena *a = arena_new(0);
    (void)state;
    assert_true(str_is(apply(false, true, "//a///b/../%61//?x=//", a, 0), "/a/b/../%61/?x=//"));
    assert_true(str_is(apply(false, false, "//a", a, 0), "//a"));
}

static void test_what_is_normal_is_not_copied(void **state)
{
    AUTO(arena) struct arena *a = arena_new(0);
    const char *path = "/a/b.c/d..?x=/../%2e";
    (void)state;
    assert_ptr_equal(apply(true, true, path, a, 0).p, path);
    assert_ptr_equal(apply(true, true, "*", a, 0).n, 1);
    assert_int_equal(apply(true, true, "", a, 0).n, 0);
}

static void test_without_memory(void **state)
{
    AUTO(arena) struct arena *a = arena_new(64);
    char path[4096] = "/%41";
    (void)state;
    memset(path + 4, 'a', sizeof(path) - 5);
    apply(true, false, path, a, -ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_envoy),       cmocka_unit_test(test_once_is_enough),
        cmocka_unit_test(test_slashes_alone),  cmocka_unit_test(test_what_is_normal_is_not_copied),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
