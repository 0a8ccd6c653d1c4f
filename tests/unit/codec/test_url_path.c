/* Paths in one canonical form, as Envoy was seen to make it (reference/observed-l7.md 1). */
#include "codec/url_path.h"

#include "test.h"

static const struct url_path_rules all = {true, true, URL_SLASHES_REDIRECT},
                                   normal = {.normalize = true}, merged = {.merge_slashes = true},
                                   none = {0}, refuse = {true, true, URL_SLASHES_REFUSE},
                                   forward = {true, true, URL_SLASHES_FORWARD};

static void expect(const struct url_path_rules *rules, const char *from,
                   enum url_path_result result, const char *to)
{
    char room[256];
    size_t n = 0;
    assert_int_equal(url_path_canonical(rules, str_from(from), room, &n), result);
    if (result == URL_PATH_CHANGED || result == URL_PATH_REDIRECTED)
        if (!str_is(str_of(room, n), to))
            fail_msg("%s: " STR_FMT ", not %s", from, STR_ARG(str_of(room, n)), to);
}

static void changed(const struct url_path_rules *rules, const char *from, const char *to)
{
    expect(rules, from, URL_PATH_CHANGED, to);
}

static void same(const struct url_path_rules *rules, const char *from)
{
    expect(rules, from, URL_PATH_SAME, NULL);
}

static void test_dots(void **state)
{
    (void)state;
    changed(&all, "/a/../b", "/b");
    changed(&normal, "/a/./b/.", "/a/b/");
    changed(&normal, "/a/b/..", "/a/");
    changed(&normal, "/..", "/");
    changed(&normal, "/../../a", "/a");
    changed(&normal, "/a/%2e%2E/b", "/b");
    changed(&normal, "/a/.%2e/b", "/b");
    changed(&normal, "/a\\..\\b", "/b");
    changed(&normal, "/a//../b", "/a/b"); /* an empty segment is one */
    same(&normal, "/a/...");
    same(&normal, "/.a/b.");
    same(&normal, "/");
    same(&none, "/a/../b");
    same(&none, "//%2F\\");
}

static void test_escapes(void **state)
{
    (void)state;
    changed(&all, "/%61", "/a");
    changed(&normal, "/%7Ea%2D%5f%41", "/~a-_A");
    same(&normal, "/%zz");
    same(&normal, "/%");
    same(&normal, "/%4");
    same(&normal, "/%C3%A4%20%25");
    same(&normal, "/%2561"); /* never decoded twice */
    changed(&normal, "/a\"<>b^`{|}?\"{", "/a%22%3C%3Eb%5E%60%7B%7C%7D?\"{");
    same(&merged, "/a\"b");
    expect(&normal, "/a/%00", URL_PATH_REFUSED, NULL);
    same(&merged, "/a/%00");
    same(&normal, "//private");
    same(&normal, "/%252e%252e/a");
    same(&normal, "/%2%65%2%65/a");
    same(&normal, "/%%32e/a");
    changed(&normal, "/%20%61", "/%20a");
}

static void test_slashes(void **state)
{
    (void)state;
    changed(&all, "/a//b", "/a/b");
    changed(&merged, "//a///b//", "/a/b/");
    expect(&all, "/a%2Fb", URL_PATH_REDIRECTED, "/a/b");
    expect(&all, "/a%5Cb", URL_PATH_REDIRECTED, "/a/b");
    expect(&all, "/a/%2f../b", URL_PATH_REDIRECTED, "/a/b");
    changed(&forward, "/a%2f%2e%2e%2fb", "/b");
    expect(&refuse, "/a%2Fb", URL_PATH_REFUSED, NULL);
    expect(&refuse, "/a%5cb", URL_PATH_REFUSED, NULL);
    same(&normal, "/a%2Fb");
}

static void test_what_is_no_path(void **state)
{
    (void)state;
    same(&all, "*");
    same(&all, "");
    same(&all, "/a?b=//../%2F%61");
    changed(&all, "/a/../b?c=/../%61", "/b?c=/../%61");
    expect(&all, "/%2F?x%2F", URL_PATH_REDIRECTED, "/?x%2F");
}

/* What is plain no rule would change: behind it stands an escape, so that the rules look. */
static void test_plain_paths(void **state)
{
    static const char letters[] = "//..%\\a{2e?";
    uint32_t seed = 7;
    size_t plain = 0;
    (void)state;
    for (unsigned step = 0; step < 20000; step++) {
        char path[16] = "/", out[64];
        size_t n = 1, got = 0, length = 1 + step % 8;
        while (n < length) {
            seed = seed * 1664525 + 1013904223;
            path[n++] = letters[(seed >> 16) % (sizeof(letters) - 1)];
        }
        struct str whole = str_of(path, n);
        if (!url_path_is_plain(whole) || memchr(path, '?', n) || path[n - 1] == '/')
            continue;
        plain++;
        memcpy(path + n, "%7e", 3);
        for (unsigned r = 0; r < 8; r++) {
            struct url_path_rules rules = {true, r & 1, (uint8_t)(r >> 1)};
            assert_int_equal(url_path_canonical(&rules, str_of(path, n + 3), out, &got),
                             URL_PATH_CHANGED);
            assert_int_equal(got, n + 1);
            assert_memory_equal(out, path, n);
        }
    }
    assert_true(plain > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dots),        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_slashes),     cmocka_unit_test(test_what_is_no_path),
        cmocka_unit_test(test_plain_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
