/* Sets of statistics: found by name, counted by several threads, summed, reset, gone with their
 * last user. */
#include "proxy/stats.h"

#include <pthread.h>

#include "proxy/endpoint.h"
#include "test.h"

static struct stats_set *cluster_set(const char *name)
{
    return stats_get(STATS_CLUSTER, str_from(name), STR(""));
}

static void test_a_name_is_one_set(void **state)
{
    struct stats_set *a = cluster_set("a"), *again = cluster_set("a"), *b = cluster_set("b");
    struct stats_set *tcp = stats_get(STATS_TCP, STR("a"), STR(""));
    struct stats_set *one = stats_get(STATS_LISTENER_HTTP, STR("a"), STR("bc"));
    struct stats_set *two = stats_get(STATS_LISTENER_HTTP, STR("ab"), STR("c"));
    (void)state;
    assert_ptr_equal(a, again);
    assert_ptr_not_equal(a, b);
    assert_ptr_not_equal(a, tcp);
    assert_ptr_not_equal(one, two);
    stats_inc(stats_of(a, 0), CLUSTER_STAT_RQ_TOTAL);
    stats_unref(a); /* a cluster that changes: the new one has it already */
    assert_int_equal(stats_sum(again, CLUSTER_STAT_RQ_TOTAL), 1);
    stats_unref(again);
    a = cluster_set("a"); /* one that went, and came back */
    assert_int_equal(stats_sum(a, CLUSTER_STAT_RQ_TOTAL), 0);
    stats_unref(a);
    stats_unref(b);
    stats_unref(tcp);
    stats_unref(one);
    stats_unref(two);
}

static void test_a_list_is_in_order_and_holds_what_is_in_it(void **state)
{
    struct stats_set *z = cluster_set("z"), *a = cluster_set("a");
    struct stats_set *http = stats_get(STATS_HTTP, STR("x"), STR(""));
    struct stats_sets all;
    (void)state;
    stats_list(&all);
    stats_unref(z);
    stats_unref(a);
    stats_unref(http);
    assert_int_equal(all.n, 3);
    assert_string_equal(all.v[0]->name, "x");
    assert_string_equal(all.v[1]->name, "a");
    assert_string_equal(all.v[2]->name, "z");
    stats_list_done(&all);
    stats_list(&all);
    assert_int_equal(all.n, 0);
    stats_list_done(&all);
}

enum { WORKERS = 3, TIMES = 20000 };

struct worker_of {
    struct stats_set *set;
    unsigned index;
};

static void *count(void *user)
{
    struct worker_of *w = user;
    struct stats_cell *s = stats_of(w->set, w->index);
    for (int i = 0; i < TIMES; i++) {
        stats_inc(s, CLUSTER_STAT_RQ_ACTIVE);
        stats_count_code(s, CLUSTER_STAT_RQ_COMPLETED, CLUSTER_STAT_RQ_CODES,
                         i % 2 ? 200 : 503 + w->index);
        stats_record_ms(s, CLUSTER_STAT_RQ_TIME, 7);
        if (i % 4)
            stats_dec(s, CLUSTER_STAT_RQ_ACTIVE);
    }
    return NULL;
}

static void test_workers_count_for_themselves(void **state)
{
    struct stats_set *set = cluster_set("many");
    struct worker_of workers[WORKERS];
    pthread_t threads[WORKERS];
    (void)state;
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker_of){set, i};
        assert_ok(pthread_create(&threads[i], NULL, count, &workers[i]));
    }
    assert_true(stats_sum(set, CLUSTER_STAT_RQ_5XX) <= WORKERS * TIMES); /* while they count */
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(stats_sum(set, CLUSTER_STAT_RQ_ACTIVE), WORKERS * TIMES / 4);
    assert_int_equal(stats_sum(set, CLUSTER_STAT_RQ_COMPLETED), WORKERS * TIMES);
    assert_int_equal(stats_sum(set, CLUSTER_STAT_RQ_2XX), WORKERS * TIMES / 2);
    assert_int_equal(stats_sum(set, CLUSTER_STAT_RQ_5XX), WORKERS * TIMES / 2);
    assert_int_equal(stats_sum_code(set, CLUSTER_STAT_RQ_CODES, 200), WORKERS * TIMES / 2);
    assert_int_equal(stats_sum_code(set, CLUSTER_STAT_RQ_CODES, 504), TIMES / 2);
    assert_int_equal(stats_sum_code(set, CLUSTER_STAT_RQ_CODES, 404), 0);
    assert_int_equal(stats_code_classes(set, CLUSTER_STAT_RQ_CODES), 1u << 1 | 1u << 4);
    stats_unref(set);
}

static void test_a_gauge_may_go_up_here_and_down_there(void **state)
{
    struct stats_set *set = cluster_set("gauge");
    (void)state;
    stats_inc(stats_of(set, 0), CLUSTER_STAT_RQ_ACTIVE);
    stats_inc(stats_of(set, 0), CLUSTER_STAT_RQ_ACTIVE);
    stats_dec(stats_of(set, 1), CLUSTER_STAT_RQ_ACTIVE);
    assert_int_equal(stats_sum(set, CLUSTER_STAT_RQ_ACTIVE), 1);
    stats_unref(set);
}

static void test_statuses_that_are_none(void **state)
{
    struct stats_set *set = cluster_set("odd");
    (void)state;
    stats_count_code(stats_of(set, 0), CLUSTER_STAT_RQ_COMPLETED, CLUSTER_STAT_RQ_CODES, 99);
    stats_count_code(stats_of(set, 0), CLUSTER_STAT_RQ_COMPLETED, CLUSTER_STAT_RQ_CODES, 600);
    stats_count_code(stats_of(set, 0), CLUSTER_STAT_RQ_COMPLETED, CLUSTER_STAT_RQ_CODES, 599);
    assert_int_equal(stats_sum(set, CLUSTER_STAT_RQ_COMPLETED), 3);
    assert_int_equal(stats_sum(set, CLUSTER_STAT_RQ_5XX), 1);
    assert_int_equal(stats_sum_code(set, CLUSTER_STAT_RQ_CODES, 599), 1);
    stats_unref(set);
}

static unsigned bucket_of(uint64_t ms)
{
    struct stats_set *set = cluster_set("times");
    unsigned found = 999;
    stats_record_ms(stats_of(set, 0), CLUSTER_STAT_RQ_TIME, ms);
    for (unsigned i = 0; i <= STATS_BOUNDS; i++)
        if (stats_sum(set, CLUSTER_STAT_RQ_TIME + i))
            found = i;
    assert_int_equal(stats_sum(set, CLUSTER_STAT_RQ_TIME + STATS_BOUNDS + 1), ms);
    stats_unref(set);
    return found;
}

static void test_buckets(void **state)
{
    (void)state;
    for (uint64_t ms = 0; ms < 4000000; ms += ms < 2000 ? 1 : 997) {
        unsigned expected = 0;
        while (expected < STATS_BOUNDS && ms * 10 > stats_bounds_tenths[expected])
            expected++;
        assert_int_equal(bucket_of(ms), expected);
    }
    assert_int_equal(bucket_of(3600000), STATS_BOUNDS - 1);
    assert_int_equal(bucket_of(3600001), STATS_BOUNDS);
}

static void test_a_reset_is_of_counters(void **state)
{
    struct stats_set *set = cluster_set("reset");
    struct stats_cell *s = stats_of(set, 1);
    (void)state;
    stats_inc(s, CLUSTER_STAT_RQ_TOTAL);
    stats_inc(s, CLUSTER_STAT_RQ_ACTIVE);
    stats_count_code(s, CLUSTER_STAT_RQ_COMPLETED, CLUSTER_STAT_RQ_CODES, 404);
    stats_record_ms(s, CLUSTER_STAT_RQ_TIME, 1);
    stats_reset(set);
    stats_inc(s, CLUSTER_STAT_RQ_TOTAL);
    stats_reset(set);
    stats_inc(s, CLUSTER_STAT_RQ_TOTAL);
    assert_int_equal(stats_sum(set, CLUSTER_STAT_RQ_TOTAL), 1);
    assert_int_equal(stats_sum(set, CLUSTER_STAT_RQ_4XX), 0);
    assert_int_equal(stats_sum_code(set, CLUSTER_STAT_RQ_CODES, 404), 0);
    assert_int_equal(stats_sum(set, CLUSTER_STAT_RQ_ACTIVE), 1);
    assert_int_equal(stats_sum(set, CLUSTER_STAT_RQ_TIME + 1), 1);
    stats_unref(set);
}

/* Rows that are counted by their distance from another. */
static void test_rows_that_stand_together(void **state)
{
    size_t n;
    const struct stats_row *rows = stats_rows(STATS_CLUSTER, &n);
    (void)state;
    assert_int_equal(CLUSTER_STAT_RQ_5XX - CLUSTER_STAT_RQ_COMPLETED, 5);
    assert_int_equal(HTTP_STAT_RQ_5XX - HTTP_STAT_RQ_COMPLETED, 5);
    assert_int_equal(LISTENER_HTTP_STAT_RQ_5XX - LISTENER_HTTP_STAT_RQ_COMPLETED, 5);
    assert_int_equal(CLUSTER_STAT_OUTLIER_FOUND_LOCAL_FAILURES - CLUSTER_STAT_OUTLIER_FOUND_5XX, 6);
    assert_int_equal(CLUSTER_STAT_OUTLIER_OUT_LOCAL_FAILURES - CLUSTER_STAT_OUTLIER_OUT_5XX, 6);
    for (size_t i = 1; i < n; i++)
        assert_true(rows[i].at > rows[i - 1].at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_is_one_set),
        cmocka_unit_test(test_a_list_is_in_order_and_holds_what_is_in_it),
        cmocka_unit_test(test_workers_count_for_themselves),
        cmocka_unit_test(test_a_gauge_may_go_up_here_and_down_there),
        cmocka_unit_test(test_statuses_that_are_none),
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_a_reset_is_of_counters),
        cmocka_unit_test(test_rows_that_stand_together),
    };
    endpoint_set_workers(WORKERS);
    return RUN_TESTS(tests);
}
