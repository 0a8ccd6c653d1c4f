/* The loop under a manual clock: the order of timers, moved and stopped ones, deferred calls and
 * their cancelling, an fd that epoll refuses. */
#include "net/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/time.h"
#include "test.h"

static struct loop *loop;
static char fired[64];

struct mark {
    struct loop_timer *timer;
    struct loop_call call;
    char letter;
};

static void note(char letter)
{
    size_t n = strlen(fired);
    if (n + 1 < sizeof(fired))
        fired[n] = letter;
}

static void on_mark(void *user)
{
    note(((struct mark *)user)->letter);
}

static void turn_at(uint64_t ms)
{
    time_set_manual(ms * 1000);
    loop_turn(loop, 0);
}

static int up(void **state)
{
    (void)state;
    memset(fired, 0, sizeof(fired));
    time_set_manual(1000 * 1000);
    return loop_new(&loop, NULL);
}

static int down(void **state)
{
    (void)state;
    loop_free(loop);
    time_set_manual(0);
    return 0;
}

static void test_timer_order_and_moves(void **state)
{
    (void)state;
    struct mark m[5];
    for (int i = 0; i < 5; i++) {
        m[i] = (struct mark){.letter = (char)('a' + i)};
        m[i].timer = loop_timer_new(loop, on_mark, &m[i]);
        loop_timer_start(m[i].timer, 10);
    }
    loop_timer_start(m[0].timer, 20); /* later */
    loop_timer_start(m[3].timer, 5);  /* earlier */
    loop_timer_stop(m[1].timer);
    loop_timer_stop(m[2].timer);
    loop_timer_start(m[2].timer, 10); /* the same time, but behind e */
    turn_at(1005);
    assert_string_equal(fired, "d");
    turn_at(1010);
    assert_string_equal(fired, "dec");
    assert_false(loop_timer_is_started(m[1].timer));
    assert_true(loop_timer_is_started(m[0].timer));
    turn_at(1019);
    turn_at(1020);
    assert_string_equal(fired, "deca");
    for (int i = 0; i < 5; i++)
        loop_timer_free(m[i].timer);
}

static void test_stopped_timer_does_not_fire(void **state)
{
    (void)state;
    struct mark m = {.letter = 'x'};
    m.timer = loop_timer_new(loop, on_mark, &m);
    loop_timer_start(m.timer, 10);
    loop_timer_stop(m.timer);
    turn_at(2000);
    assert_string_equal(fired, "");
    for (int i = 0; i < 100000; i++)
        loop_timer_start(m.timer, 10);
    turn_at(2010);
    turn_at(2020);
    assert_string_equal(fired, "x");
    loop_timer_free(m.timer);
}

static void free_own_timer(void *user)
{
    struct mark *m = user;
    note(m->letter);
    loop_timer_free(m->timer);
    m->timer = NULL;
}

static void test_timer_freed_in_its_callback(void **state)
{
    (void)state;
    struct mark m = {.letter = 'f'};
    m.timer = loop_timer_new(loop, free_own_timer, &m);
    loop_timer_start(m.timer, 1);
    turn_at(1001);
    turn_at(1002);
    assert_string_equal(fired, "f");
}

static void test_deferred_once_and_cancelled(void **state)
{
    (void)state;
    struct mark a = {.letter = 'a'}, c = {.letter = 'c'};
    static struct mark b = {.letter = 'b'};
    loop_call_init(&a.call, on_mark, &a);
    loop_call_init(&b.call, on_mark, &b);
    loop_call_init(&c.call, on_mark, &c);
    loop_defer_next(loop, &c.call);
    loop_defer(loop, &a.call);
    loop_defer(loop, &a.call);
    loop_defer(loop, &b.call);
    assert_true(loop_call_is_queued(&b.call));
    loop_call_cancel(&b.call);
    loop_call_cancel(&b.call);
    assert_false(loop_call_is_queued(&b.call));
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_string_equal(fired, "ac");
    loop_defer(loop, &b.call); /* left for loop_free */
}

static unsigned again_runs;

static void again(void *user)
{
    again_runs++;
    loop_defer(loop, user);
}

static void again_next(void *user)
{
    again_runs++;
    loop_defer_next(loop, user);
}

static void test_deferring_cannot_starve(void **state)
{
    (void)state;
    struct loop_call call;
    again_runs = 0;
    loop_call_init(&call, again, &call);
    loop_defer(loop, &call);
    loop_turn(loop, -1);
    assert_in_range(again_runs, 2, 10000);
    loop_call_cancel(&call);
    again_runs = 0;
    loop_call_init(&call, again_next, &call);
    loop_defer_next(loop, &call);
    loop_turn(loop, -1);
    assert_int_equal(again_runs, 1);
    loop_call_cancel(&call);
}

static void never(struct loop_io *io, uint32_t events, void *user)
{
    (void)io;
    (void)events;
    (void)user;
    fail();
}

static void test_refused_fd_is_an_error(void **state)
{
    (void)state;
    struct loop_io *io = NULL;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(loop_io_add(loop, fd, never, NULL, &io), -EPERM);
    assert_null(io);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_timer_order_and_moves, up, down),
        cmocka_unit_test_setup_teardown(test_stopped_timer_does_not_fire, up, down),
        cmocka_unit_test_setup_teardown(test_timer_freed_in_its_callback, up, down),
        cmocka_unit_test_setup_teardown(test_deferred_once_and_cancelled, up, down),
        cmocka_unit_test_setup_teardown(test_deferring_cannot_starve, up, down),
        cmocka_unit_test_setup_teardown(test_refused_fd_is_an_error, up, down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
