/* Numbers of traffic: added up from several who tell, and what is worked out of them. */
#include "test.h"

#include "model/traffic.h"

static void test_percentiles(void **state)
{
    struct traffic t = {.seconds = 10, .requests = 100, .errors = 25};
    (void)state;
    assert_true(traffic_percentile(&t, 0.5) == 0);
    t.buckets[3] = 50; /* 5 to 10 ms */
    t.buckets[5] = 50; /* 25 to 50 ms */
    assert_true(traffic_percentile(&t, 0.25) == 7.5);
    assert_true(traffic_percentile(&t, 0.5) == 10);
    assert_true(traffic_percentile(&t, 0.75) == 37.5);
    assert_true(traffic_percentile(&t, 1) == 50);
    t.buckets[TRAFFIC_BOUNDS] = 100; /* above the last bound */
    assert_true(traffic_percentile(&t, 0.99) == 3600000);
    assert_true(traffic_rate(&t) == 10 && traffic_success(&t) == 0.75);
    assert_true(traffic_success(&(struct traffic){0}) == 1 &&
                traffic_rate(&(struct traffic){0}) == 0);
}

static void test_json_goes_both_ways_and_adds(void **state)
{
    struct traffic one = {.seconds = 5,
                          .requests = 3,
                          .errors = 1,
                          .milliseconds = 30,
                          .buckets = {[2] = 3},
                          .received_bytes = 7,
                          .sent_bytes = 8,
                          .connections = 2},
                   sum = {0};
    (void)state;
    AUTO_JSON json_t *j = traffic_to_json(&one);
    traffic_add_json(&sum, j);
    assert_memory_equal(&sum, &one, sizeof(one));
    traffic_add_json(&sum, j);
    assert_int_equal(sum.requests, 6);
    assert_int_equal(sum.buckets[2], 6);
    assert_int_equal(sum.seconds, 5);
    AUTO_JSON json_t *bad = json_pack("{s:i,s:s,s:i}", "requests", -5, "errors", "x", "buckets", 3);
    traffic_add_json(&sum, bad);
    assert_int_equal(sum.requests, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percentiles),
        cmocka_unit_test(test_json_goes_both_ways_and_adds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
