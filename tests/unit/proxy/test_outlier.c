/* Outlier detection: what is found, who may be thrown out, for how long. The main thread's loop is
 * turned by hand, the clock is the test's. */
#include "proxy/outlier.h"

#include <errno.h>

#include "base/time.h"
#include "cluster_test.h"

struct world {
    struct loop *loop;
    struct cluster *cluster;
    uint64_t now_us;
};

#define E(port)                                                                                    \
    "{'endpoint':{'address':{'socket_address':{'address':'10.0.0.1','port_value':" #port "}}}}"

static void world_init(struct world *w, const char *outlier)
{
    char text[2048];
    struct err err = {0};
    snprintf(text, sizeof(text),
             "{'name':'c','outlier_detection':{%s},'load_assignment':{'cluster_name':'c',"
             "'endpoints':[{'lb_endpoints':[" E(1) "," E(2) "," E(3) "," E(4) "," E(5) "]}]}}",
             outlier);
    assert_ok(cluster_from(text, &w->cluster, &err));
    w->now_us = 1000000;
    time_set_manual(w->now_us);
    assert_ok(loop_new(&w->loop, NULL));
    cluster_start(w->cluster, w->loop);
}

static void world_done(struct world *w)
{
    cluster_stop(w->cluster);
    cluster_unref(w->cluster);
    loop_free(w->loop);
    time_set_manual(0);
}

static void pass(struct world *w, unsigned seconds)
{
    while (seconds--) {
        w->now_us += 1000000;
        time_set_manual(w->now_us);
        loop_turn(w->loop, 0);
        loop_turn(w->loop, 0);
    }
}

static struct endpoint *at(struct world *w, size_t i)
{
    return w->cluster->plan->set->entries.v[i].endpoint;
}

static void answer(struct world *w, size_t i, unsigned status, unsigned n)
{
    while (n--)
        outlier_answered(w->cluster, at(w, i), endpoint_load(at(w, i), 0), status);
    loop_turn(w->loop, 0);
}

static void miss(struct world *w, size_t i, unsigned n)
{
    while (n--)
        outlier_failed(w->cluster, at(w, i), endpoint_load(at(w, i), 0), 503);
    loop_turn(w->loop, 0);
}

/* "x" thrown out, "." not. */
static void expect(struct world *w, const char *want)
{
    char got[8] = "";
    unsigned out = 0;
    for (size_t i = 0; i < 5; i++) {
        got[i] = atomic_load(&at(w, i)->flags) & ENDPOINT_EJECTED ? 'x' : '.';
        out += got[i] == 'x';
    }
    assert_string_equal(got, want);
    assert_int_equal(w->cluster->plan->priorities[0].healthy, 5 - out); /* the plan knows */
}

static void test_errors_in_a_row(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, "'max_ejection_percent':100");
    answer(&w, 0, 500, 4);
    answer(&w, 0, 200, 1);
    answer(&w, 0, 500, 4);
    expect(&w, ".....");
    answer(&w, 0, 404, 1);
    answer(&w, 0, 503, 5);
    expect(&w, "x....");
    answer(&w, 2, 500, 2);
    miss(&w, 2, 3); /* the same to it */
    expect(&w, "x.x..");
    world_done(&w);
}

static void test_gateway_failures(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, "'max_ejection_percent':100,'consecutive_gateway_failure':3,"
                   "'enforcing_consecutive_gateway_failure':100,'enforcing_consecutive_5xx':0");
    answer(&w, 0, 503, 2);
    answer(&w, 0, 500, 1); /* no gateway failure */
    answer(&w, 0, 504, 2);
    expect(&w, ".....");
    answer(&w, 0, 502, 1);
    expect(&w, "x....");
    answer(&w, 1, 500, 50); /* not enforced */
    expect(&w, "x....");
    world_done(&w);
}

static void test_local_errors_apart(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, "'max_ejection_percent':100,'split_external_local_origin_errors':true,"
                   "'consecutive_local_origin_failure':2");
    answer(&w, 0, 500, 4);
    miss(&w, 0, 1);
    expect(&w, ".....");
    answer(&w, 0, 500, 1);
    expect(&w, "x....");
    miss(&w, 1, 1);
    answer(&w, 1, 500, 1);
    miss(&w, 1, 1);
    expect(&w, "x....");
    miss(&w, 1, 1);
    expect(&w, "xx...");
    world_done(&w);
}

static void test_how_many_may_go(void **state)
{
    struct world w;
    struct outlier_config c = {.max_ejection_percent = 10};
    (void)state;
    assert_false(outlier_may_eject(&c, 0, 3)); /* as Envoy was seen to reckon */
    assert_false(outlier_may_eject(&c, 0, 1));
    assert_true(outlier_may_eject(&c, 0, 10));
    assert_false(outlier_may_eject(&c, 1, 10));
    c.max_ejection_percent = 33;
    assert_false(outlier_may_eject(&c, 0, 3));
    c.max_ejection_percent = 34;
    assert_true(outlier_may_eject(&c, 0, 3));
    assert_false(outlier_may_eject(&c, 1, 3));
    c.max_ejection_percent = 50;
    assert_true(outlier_may_eject(&c, 0, 2));
    c = (struct outlier_config){.always_eject_one = true};
    assert_true(outlier_may_eject(&c, 0, 3));
    assert_false(outlier_may_eject(&c, 1, 3));
    world_init(&w, "'max_ejection_percent':40");
    for (size_t i = 0; i < 4; i++)
        answer(&w, i, 500, 5);
    expect(&w, "xx...");
    world_done(&w);
}

static void test_how_long(void **state)
{
    struct outlier_config c = {.base_ejection_ms = 30000, .max_ejection_ms = 100000};
    (void)state;
    assert_int_equal(outlier_ejection_ms(&c, 1), 30000);
    assert_int_equal(outlier_ejection_ms(&c, 3), 90000);
    assert_int_equal(outlier_ejection_ms(&c, 4), 100000);
}

static void test_it_comes_back(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, "'max_ejection_percent':100");
    answer(&w, 0, 500, 5);
    pass(&w, 29);
    expect(&w, "x....");
    answer(&w, 0, 500, 7); /* panic may ask it all the same */
    pass(&w, 1);
    expect(&w, ".....");
    answer(&w, 0, 500, 4); /* it begins anew */
    expect(&w, ".....");
    answer(&w, 0, 500, 1);
    pass(&w, 59); /* for longer, the second time */
    expect(&w, "x....");
    pass(&w, 1);
    expect(&w, ".....");
    pass(&w, 30); /* it behaves */
    answer(&w, 0, 500, 5);
    pass(&w, 30);
    expect(&w, ".....");
    world_done(&w);
}

static void test_a_health_check_takes_it_back(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, "'max_ejection_percent':100");
    answer(&w, 3, 500, 5);
    expect(&w, "...x.");
    outlier_checked(w.cluster, at(&w, 3));
    loop_turn(w.loop, 0);
    expect(&w, ".....");
    world_done(&w);
    world_init(&w,
               "'max_ejection_percent':100,'successful_active_health_check_uneject_host':false");
    answer(&w, 3, 500, 5);
    outlier_checked(w.cluster, at(&w, 3));
    loop_turn(w.loop, 0);
    expect(&w, "...x.");
    world_done(&w);
}

static void test_threshold_of_rates(void **state)
{
    (void)state;
    double rates[] = {100, 100, 100, 100, 50};
    double got = outlier_rate_threshold(rates, 5, 1900);
    assert_true(got > 51.99 && got < 52.01); /* 90 - 1.9 * 20 */
    got = outlier_rate_threshold(rates, 1, 1900);
    assert_true(got > 99.99);
}

static void test_rates_are_compared(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, "'max_ejection_percent':100,'enforcing_consecutive_5xx':0");
    for (size_t i = 0; i < 5; i++)
        for (int k = 0; k < 50; k++) {
            outlier_answered(w.cluster, at(&w, i), endpoint_load(at(&w, i), 0), 200);
            outlier_answered(w.cluster, at(&w, i), endpoint_load(at(&w, i), 0), i == 1 ? 500 : 200);
        }
    pass(&w, 9);
    expect(&w, ".....");
    pass(&w, 1);
    expect(&w, ".x...");
    world_done(&w);
}

static void test_failures_in_percent(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, "'max_ejection_percent':100,'enforcing_consecutive_5xx':0,"
                   "'enforcing_success_rate':0,'enforcing_failure_percentage':100,"
                   "'failure_percentage_threshold':40");
    for (size_t i = 0; i < 5; i++)
        for (int k = 0; k < 50; k++)
            outlier_answered(w.cluster, at(&w, i), endpoint_load(at(&w, i), 0),
                             (i == 1 && k % 5 < 2) || (i == 2 && k % 3 == 0) ? 500 : 200);
    pass(&w, 10);
    expect(&w, ".x..."); /* 40 %, and 34 % */
    world_done(&w);
}

static void test_endpoints_that_come_and_go(void **state)
{
    AUTO(arena) struct arena *a = arena_new(0);
    struct world w;
    struct pb_path path = {.n = 0};
    struct err err = {0};
    (void)state;
    world_init(&w, "'max_ejection_percent':100");
    struct endpoint *gone = endpoint_ref(at(&w, 0));
    for (int i = 0; i < 5; i++) /* found by a worker just before */
        outlier_answered(w.cluster, gone, endpoint_load(gone, 0), 500);
    assert_ok(cluster_set_endpoints(
        w.cluster,
        (const void *)message_from(
            a, &envoy__config__endpoint__v3__cluster_load_assignment__descriptor,
            "{'cluster_name':'c','endpoints':[{'lb_endpoints':[" E(2) "," E(3) "," E(4) "," E(
                5) "," E(6) "]}]}"),
        &path, &err));
    loop_turn(w.loop, 0);
    assert_int_equal(atomic_load(&gone->flags), 0);
    answer(&w, 4, 500, 5); /* the new one */
    expect(&w, "....x");
    endpoint_unref(gone);
    world_done(&w);
}

static void test_what_is_refused(void **state)
{
    struct cluster *c;
    struct err err = {0};
    (void)state;
    assert_int_equal(cluster_from("{'name':'c','outlier_detection':{'base_ejection_time':'30s',"
                                  "'max_ejection_time':'10s'}}",
                                  &c, &err),
                     -EINVAL);
    assert_string_equal(err_text(&err), "outlier_detection: max_ejection_time cannot be smaller "
                                        "than base_ejection_time");
    assert_ok(
        cluster_from("{'name':'c','outlier_detection':{'base_ejection_time':'400s'}}", &c, &err));
    assert_int_equal(c->outlier->max_ejection_ms, 400000);
    assert_int_equal(c->outlier->interval_ms, 10000);
    assert_int_equal(c->outlier->enforcing_gateway, 0);
    assert_int_equal(c->outlier->enforcing_5xx, 100);
    cluster_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_in_a_row),
        cmocka_unit_test(test_gateway_failures),
        cmocka_unit_test(test_local_errors_apart),
        cmocka_unit_test(test_how_many_may_go),
        cmocka_unit_test(test_how_long),
        cmocka_unit_test(test_it_comes_back),
        cmocka_unit_test(test_a_health_check_takes_it_back),
        cmocka_unit_test(test_threshold_of_rates),
        cmocka_unit_test(test_rates_are_compared),
        cmocka_unit_test(test_failures_in_percent),
        cmocka_unit_test(test_endpoints_that_come_and_go),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
