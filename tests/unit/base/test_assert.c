/* What is printed when an assert fails, and what counts the odd. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/assert.h"
#include "test.h"

static void dump(int fd, void *user)
{
    const char *text = user;
    if (write(fd, text, strlen(text)) < 0)
        _exit(1);
    ASSERT(*text == 0); /* must not begin again */
}

static void test_failed_assert(void **state)
{
    char text[512];
    int fds[2], status;
    (void)state;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(fds[1], STDERR_FILENO);
        assert_dump_add(dump, (void *)(uintptr_t) "working on it\n");
        ASSERT(1 + 1 == 3);
        _exit(0);
    }
    close(fds[1]);
    size_t n = 0;
    for (ssize_t got; (got = read(fds[0], text + n, sizeof(text) - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = 0;
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "assertion failed: 1 + 1 == 3 ("));
    assert_non_null(strstr(text, "working on it\nassertion failed: *text == 0"));
    assert_null(strstr(strstr(text, "working on it") + 1, "working on it"));
}

static bool is_odd(int i)
{
    return COUNT_IF(i % 2, "odd number");
}

static void test_odd_counters(void **state)
{
    (void)state;
    assert_null(odd_counter_list());
    assert_false(is_odd(2));
    assert_null(odd_counter_list()); /* only what happened is listed */
    for (int i = 0; i < 5; i++)
        assert_int_equal(is_odd(i), i % 2);
    COUNT_IF(true, "another");
    const struct odd_counter *c = odd_counter_list();
    assert_string_equal(c->text, "another");
    assert_int_equal(c->count, 1);
    assert_string_equal(c->next->text, "odd number");
    assert_int_equal(c->next->count, 2);
    assert_null(c->next->next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failed_assert),
        cmocka_unit_test(test_odd_counters),
    };
    return RUN_TESTS(tests);
}
