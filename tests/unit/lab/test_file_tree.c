/* Removing what a container has left: as deep as it likes, and never through a link. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/files.h"
#include "lab/file_tree.h"
#include "test.h"

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/fairlead-tree-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static void touch_at(int fd, const char *name)
{
    int file = openat(fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    close(file);
}

/* Deeper than descriptors, paths and a stack go. */
static void test_any_depth(void **state)
{
    struct rlimit before, few = {256, 256};
    struct stat st;
    (void)state;
    int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(mkdirat(at, "d", 0700), 0);
        if (i % 50 == 0) {
            touch_at(at, "f");
            assert_int_equal(mkdirat(at, "beside", 0700), 0);
            assert_int_equal(mkdirat(at, "..deep.0", 0700), 0);
        }
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    close(at);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int r = tree_remove(dir, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_ok(r);
    assert_int_not_equal(lstat(dir, &st), 0);
}

static void test_links_are_not_followed(void **state)
{
    char kept[80], link_path[80];
    struct stat st;
    (void)state;
    snprintf(kept, sizeof(kept), "%s.kept", dir);
    assert_ok(directory_make(kept, 0700, NULL));
    int fd = open(kept, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    touch_at(fd, "f");
    close(fd);
    snprintf(link_path, sizeof(link_path), "%s/out", dir);
    assert_int_equal(symlink(kept, link_path), 0);
    assert_ok(tree_remove(dir, NULL));
    snprintf(link_path, sizeof(link_path), "%s/f", kept);
    assert_int_equal(lstat(link_path, &st), 0);
    assert_ok(tree_remove(kept, NULL));
    assert_ok(tree_remove(kept, NULL)); /* what is not there is fine */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_any_depth, set_up),
        cmocka_unit_test_setup(test_links_are_not_followed, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
