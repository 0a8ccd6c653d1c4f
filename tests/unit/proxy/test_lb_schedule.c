/* Orders by weight: exact counts, evenly spread. */
#include "proxy/lb_schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "test.h"

static void expect(const char *want, const uint32_t *weights, uint32_t n)
{
    uint32_t places;
    uint32_t *order = lb_schedule_new(weights, n, &places);
    char got[256] = "";
    for (uint32_t i = 0; i < places; i++)
        snprintf(got + i, sizeof(got) - i, "%u", order[i]);
    assert_string_equal(got, want);
    free(order);
}

static void test_orders(void **state)
{
    (void)state;
    expect("0001", (uint32_t[]){3, 1}, 2);
    expect("0001", (uint32_t[]){300, 100}, 2);
    expect("01", (uint32_t[]){7, 7}, 2);
    expect("010012", (uint32_t[]){3, 2, 1}, 3);
    expect("1", (uint32_t[]){0, 5}, 2);
    expect("", (uint32_t[]){0, 0}, 2);
    expect("", NULL, 0);
}

static void test_long_sums_are_scaled(void **state)
{
    uint32_t places, counts[3] = {0};
    uint32_t *order = lb_schedule_new((uint32_t[]){UINT32_MAX, UINT32_MAX / 2, 1}, 3, &places);
    (void)state;
    for (uint32_t i = 0; i < places; i++)
        counts[order[i]]++;
    assert_true(places <= LB_SCHEDULE_MAX + 1);
    assert_in_range(counts[0], LB_SCHEDULE_MAX * 2 / 3 - 1, LB_SCHEDULE_MAX * 2 / 3 + 1);
    assert_in_range(counts[1], LB_SCHEDULE_MAX / 3 - 1, LB_SCHEDULE_MAX / 3 + 1);
    assert_int_equal(counts[2], 1); /* nobody is left out */
    free(order);
}

static void test_many(void **state)
{
    enum { N = 50000 };
    uint32_t *weights = xcalloc(N, sizeof(*weights)), *seen = xcalloc(N, sizeof(*seen)), places;
    (void)state;
    for (uint32_t i = 0; i < N; i++)
        weights[i] = 1 + i % 3;
    uint32_t *order = lb_schedule_new(weights, N, &places);
    for (uint32_t i = 0; i < places; i++)
        seen[order[i]]++;
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(seen[i], weights[i]);
    free(order);
    free(weights);
    free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_long_sums_are_scaled),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
