/* Image names to commands: tags, registries, own entries, and whose arguments count. */
#include <errno.h>

#include "lab/image.h"
#include "test.h"

static const char *command_of(const char *reference)
{
    static const struct image_table none;
    const struct image *image = image_find(&none, reference);
    return image ? image->command[image->command[1] ? 2 : 0] : NULL;
}

static void test_names(void **state)
{
    (void)state;
    static const char *const same[] = {"nginx",
                                       "nginx:1.27",
                                       "docker.io/library/nginx:latest",
                                       "docker.io/nginx",
                                       "localhost:5000/nginx:x",
                                       "nginx@sha256:0123"};
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        assert_string_equal(command_of(same[i]), "80");
    assert_string_equal(command_of("docker.io/istio/examples-bookinfo-reviews-v2:1.20.2"),
                        "reviews-v2");
    assert_true(image_find(&(struct image_table){0}, "registry.k8s.io/e2e-test-images/agnhost:2.53")
                    ->is_mode);
    assert_null(command_of("nginx-unprivileged"));
    assert_null(command_of("someone/nginx"));
    assert_non_null(command_of("registry.k8s.io/pause:3.10"));
    assert_true(image_reference_is_valid("a.b/c:d"));
    assert_false(image_reference_is_valid("a//b"));
    assert_false(image_reference_is_valid("nginx:"));
    assert_false(image_reference_is_valid("UPPER CASE"));
}

static void test_own(void **state)
{
    (void)state;
    struct image_table t = {0};
    struct err err = {0};
    assert_ok(image_table_add(&t, "nginx=/usr/sbin/nginx -g 'daemon off;'", &err));
    const struct image *image = image_find(&t, "nginx:1.2");
    assert_string_equal(image->command[2], "daemon off;");
    assert_null(image->command[3]);
    assert_int_equal(image_table_add(&t, "x=", &err), -EINVAL);
    assert_int_equal(image_table_add(&t, "x=a 'b", &err), -EINVAL);
    assert_int_equal(image_table_add(&t, "nothing", &err), -EINVAL);
    assert_int_equal(image_table_add(&t, "x=\xff", &err), -EINVAL);
    image_table_done(&t);
}

static void test_told(void **state)
{
    (void)state;
    struct image_table t = {0};
    struct err err = {0};
    assert_ok(image_table_add(&t, "web=first", &err));
    assert_ok(image_table_add(&t, "web=second", &err));
    assert_string_equal(image_find(&t, "web")->command[0], "second");
    image_table_tell(&t, STR("web=third\n\nbroken\nnginx=a b\nweb=fourth"));
    assert_string_equal(image_find(&t, "web")->command[0], "fourth");
    assert_string_equal(image_find(&t, "docker.io/library/nginx:1")->command[1], "b");
    assert_int_equal(t.told.n, 3);
    image_table_tell(&t, (struct str){0});
    assert_string_equal(image_find(&t, "web")->command[0], "second");
    image_table_done(&t);
}

static void assert_argv(char **argv, const char *const *expected)
{
    size_t i = 0;
    for (; expected[i]; i++)
        assert_string_equal(argv[i], expected[i]);
    assert_null(argv[i]);
    argv_free(argv);
}

static void test_arguments(void **state)
{
    (void)state;
    static const struct image_table none;
    char a[] = "--name", b[] = "x", sh[] = "sh";
    char *args[] = {a, b}, *command[] = {sh};
    const struct image *echo = image_find(&none, "fairlead/echo"),
                       *nginx = image_find(&none, "nginx");
    assert_argv(image_argv(echo, NULL, 0, args, 2),
                (const char *const[]){"/run/fairlead/bin/fairlead-echo", "--name", "x", NULL});
    /* Arguments for the real nginx mean nothing to its stand-in. */
    assert_argv(image_argv(nginx, NULL, 0, args, 2),
                (const char *const[]){"/run/fairlead/bin/fairlead-echo", "--http", "80", NULL});
    assert_argv(image_argv(nginx, command, 1, args, 2),
                (const char *const[]){"sh", "--name", "x", NULL});
    assert_argv(image_argv(nginx, command, 1, NULL, 0), (const char *const[]){"sh", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_arguments),
    };
    return RUN_TESTS(tests);
}
