/* Circuit breakers: N admits N, whichever worker asks. */
#include "proxy/breaker.h"

#include <pthread.h>

#include "proxy/endpoint.h"
#include "test.h"

static void test_a_limit(void **state)
{
    struct breaker b = {.max = 2};
    (void)state;
    assert_true(breaker_take(&b) && breaker_take(&b));
    assert_false(breaker_take(&b));
    breaker_take_over(&b);
    breaker_give(&b);
    assert_false(breaker_take(&b));
    breaker_give(&b);
    assert_true(breaker_take(&b));
    b = (struct breaker){.max = 0};
    assert_false(breaker_take(&b));
}

static void test_budget_of_retries(void **state)
{
    struct breakers b;
    (void)state;
    endpoint_set_workers(1);
    breakers_init(&b);
    struct breaker_line *line = breakers_line(&b, 0);
    struct breaker_of *of = &b.of[0];
    of->has_budget = true;
    of->budget_percent = 20;
    of->retries_min = 2;
    /* The least there may be, and no more while few requests run. */
    assert_true(breakers_take_retry(&b, 0) && breakers_take_retry(&b, 0));
    assert_false(breakers_take_retry(&b, 0));
    for (int i = 0; i < 14; i++)
        assert_true(breakers_take_request(&b, 0, line));
    assert_false(breakers_take_retry(&b, 0)); /* 2.8 */
    assert_true(breaker_take(&of->pending));
    assert_true(breakers_take_retry(&b, 0)); /* 3 of 15 */
    assert_false(breakers_take_retry(&b, 0));
    breaker_give(&of->retries);
    assert_true(breakers_take_retry(&b, 0));
    for (int i = 0; i < 14; i++)
        breakers_give_request(&b, 0, line);
    assert_false(breakers_take_retry(&b, 0));
    /* max_retries is no limit beside a budget, and is one without. */
    of->retries.max = 0;
    of->retries_min = 9;
    assert_true(breakers_take_retry(&b, 0));
    of->has_budget = false;
    assert_false(breakers_take_retry(&b, 0));
    breakers_done(&b);
}

static void test_requests_of_two_workers(void **state)
{
    static const uint32_t limits[] = {0, 1, 2, 7, 100, 1024, 5000};
    (void)state;
    endpoint_set_workers(2);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct breakers b;
        unsigned got[2] = {0};
        breakers_init(&b);
        b.of[0].requests.max = limits[i];
        for (unsigned k = 0; k < 2 * limits[i] + 10; k++) /* mostly the first worker */
            got[k % 7 == 0] += breakers_take_request(&b, 0, breakers_line(&b, k % 7 == 0));
        assert_int_equal(got[0] + got[1], limits[i]);
        assert_int_equal(breakers_requests(&b, 0), limits[i]);
        /* What one gives back the other can have. */
        while (got[0]) {
            breakers_give_request(&b, 0, breakers_line(&b, 0));
            got[0]--;
            assert_true(breakers_take_request(&b, 0, breakers_line(&b, 1)));
            assert_false(breakers_take_request(&b, 0, breakers_line(&b, 1)));
            got[1]++;
        }
        while (got[1]--)
            breakers_give_request(&b, 0, breakers_line(&b, 1));
        assert_int_equal(breakers_requests(&b, 0), 0);
        assert_false(limits[i] && !breakers_take_request(&b, 0, breakers_line(&b, 0)));
        breakers_done(&b);
    }
}

static void test_priorities_are_apart(void **state)
{
    struct breakers b;
    (void)state;
    endpoint_set_workers(1);
    breakers_init(&b);
    b.of[0].requests.max = b.of[1].requests.max = 1;
    assert_true(breakers_take_request(&b, 0, breakers_line(&b, 0)));
    assert_false(breakers_take_request(&b, 0, breakers_line(&b, 0)));
    assert_true(breakers_take_request(&b, 1, breakers_line(&b, 0)));
    breakers_done(&b);
}

enum { THREADS = 4, LIMIT = 10, ROUNDS = 20000 };

struct racer {
    struct breakers *b;
    unsigned worker;
    atomic_uint *running;
    unsigned most;
};

static void *race(void *user)
{
    struct racer *r = user;
    for (int i = 0; i < ROUNDS; i++) {
        if (!breakers_take_request(r->b, 0, breakers_line(r->b, r->worker)))
            continue;
        unsigned now = atomic_fetch_add(r->running, 1) + 1;
        if (now > r->most)
            r->most = now;
        atomic_fetch_sub(r->running, 1);
        breakers_give_request(r->b, 0, breakers_line(r->b, r->worker));
    }
    return NULL;
}

static void test_threads_never_pass_it(void **state)
{
    struct breakers b;
    struct racer racers[THREADS];
    pthread_t threads[THREADS];
    atomic_uint running = 0;
    (void)state;
    endpoint_set_workers(THREADS);
    breakers_init(&b);
    b.of[0].requests.max = 2;
    for (unsigned i = 0; i < THREADS; i++) {
        racers[i] = (struct racer){&b, i, &running, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < THREADS; i++)
        assert_true(racers[i].most <= 2);
    assert_int_equal(breakers_requests(&b, 0), 0);
    breakers_done(&b);
    endpoint_set_workers(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_limit),
        cmocka_unit_test(test_budget_of_retries),
        cmocka_unit_test(test_requests_of_two_workers),
        cmocka_unit_test(test_priorities_are_apart),
        cmocka_unit_test(test_threads_never_pass_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
