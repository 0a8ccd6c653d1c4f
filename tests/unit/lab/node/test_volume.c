/* Atomic volumes: layout, change in one step, no change; renewal times of tokens. */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/files.h"
#include "lab/file_tree.h"
#include "lab/node/pod_inputs.h"
#include "lab/node/volume_payload.h"
#include "test.h"

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/fairlead-volume-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return tree_remove(dir, NULL);
}

static void put(struct volume_payload *p, const char *path, const char *text, int64_t mode)
{
    assert_ok(volume_payload_put(p, path, str_from(text), mode, NULL));
}

static void assert_file(const char *name, const char *want, unsigned mode)
{
    char path[200], text[64] = "";
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    fclose(f);
    assert_string_equal(text, want);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, mode);
}

static void read_link(const char *name, char ret[200])
{
    char path[200];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ssize_t n = readlink(path, ret, 199);
    ret[n > 0 ? n : 0] = 0;
}

static size_t count_entries(void)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void test_write(void **state)
{
    (void)state;
    char first[200], link[200];
    struct volume_payload p = {0};
    put(&p, "a", "one", 0644);
    put(&p, "deep/b", "two", 0400);
    assert_ok(volume_payload_write(&p, dir, NULL));
    assert_file("a", "one", 0644);
    assert_file("deep/b", "two", 0400);
    read_link("deep", link);
    assert_string_equal(link, "..data/deep");
    read_link("..data", first);
    assert_ok(volume_payload_write(&p, dir, NULL));
    read_link("..data", link);
    assert_string_equal(link, first); /* nothing changed, nothing is touched */

    put(&p, "a", "three", 0644);
    assert_ok(volume_payload_write(&p, dir, NULL));
    assert_file("a", "three", 0644);
    read_link("..data", link);
    assert_string_not_equal(link, first);
    assert_int_equal(count_entries(), 4); /* a, deep, ..data and one state */
    volume_payload_done(&p);

    struct volume_payload fewer = {0};
    put(&fewer, "a", "three", 0644);
    assert_ok(volume_payload_write(&fewer, dir, NULL));
    read_link("deep", link);
    assert_string_equal(link, "");
    volume_payload_done(&fewer);
}

static void test_mode_alone_is_a_change(void **state)
{
    (void)state;
    struct volume_payload p = {0};
    put(&p, "a", "one", 0644);
    assert_ok(volume_payload_write(&p, dir, NULL));
    put(&p, "a", "one", 0600);
    assert_ok(volume_payload_write(&p, dir, NULL));
    assert_file("a", "one", 0600);
    volume_payload_done(&p);
}

static void test_paths_stay_inside(void **state)
{
    (void)state;
    static const char *const bad[] = {"/etc/passwd", "../x", "a/../../x", "..data", "..", ""};
    struct volume_payload p = {0};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(volume_payload_put(&p, bad[i], STR("x"), 0644, NULL) < 0);
    assert_int_equal(p.files.n, 0);
    volume_payload_done(&p);
}

static void test_removal_follows_nothing(void **state)
{
    (void)state;
    char path[200], kept[200];
    snprintf(kept, sizeof(kept), "%s/kept", dir);
    assert_ok(directory_make(kept, 0755, NULL));
    snprintf(path, sizeof(path), "%s/tree/sub", dir);
    assert_ok(directory_make(path, 0755, NULL));
    snprintf(path, sizeof(path), "%s/tree/sub/link", dir);
    assert_int_equal(symlink(kept, path), 0);
    snprintf(path, sizeof(path), "%s/tree", dir);
    assert_ok(tree_remove(path, NULL));
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(kept, F_OK), 0);
    assert_ok(tree_remove(path, NULL)); /* what is not there is fine */
}

static void test_token_times(void **state)
{
    (void)state;
    const uint64_t day = 24ull * 3600 * 1000;
    assert_int_equal(token_renew_after_ms(3600, day), 2880 * 1000);
    assert_int_equal(token_renew_after_ms(7 * 86400, day), day);
    assert_int_equal(token_renew_after_ms(-5, day), 1000); /* expired already: soon, not at once */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mode_alone_is_a_change, set_up, tear_down),
        cmocka_unit_test(test_paths_stay_inside),
        cmocka_unit_test_setup_teardown(test_removal_follows_nothing, set_up, tear_down),
        cmocka_unit_test(test_token_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
