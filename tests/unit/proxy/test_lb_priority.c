/* Loads of priorities, by the numbers that Envoy was seen to come to. */
#include "proxy/lb_priority.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

/* "84/0 16/0 panic" for priorities given as hosts, excluded, healthy, degraded each. */
static void expect(const char *want, uint32_t panic, size_t n, struct lb_priority *p)
{
    char got[256] = "";
    lb_priority_loads(p, n, 140, panic);
    for (size_t i = 0; i < n; i++)
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%u/%u%s", i ? " " : "",
                 p[i].healthy_load, p[i].degraded_load, p[i].panic ? "!" : "");
    assert_string_equal(got, want);
}

#define P(...) ((struct lb_priority[]){__VA_ARGS__})
#define H(a, b, c, d)                                                                              \
    {                                                                                              \
        .hosts = a, .excluded = b, .healthy = c, .degraded = d                                     \
    }

static void test_fail_over(void **state)
{
    (void)state;
    expect("100/0 0/0", 50, 2, P(H(5, 0, 5, 0), H(5, 0, 5, 0)));
    expect("100/0 0/0", 50, 2, P(H(4, 0, 3, 0), H(5, 0, 5, 0))); /* 75 % * 1.4 is enough */
    expect("84/0 16/0", 50, 2, P(H(5, 0, 3, 0), H(5, 0, 5, 0)));
    expect("28/0 72/0", 50, 2, P(H(5, 0, 1, 0), H(5, 0, 5, 0))); /* no panic: P1 takes it all */
    expect("0/0 100/0", 50, 2, P(H(5, 0, 0, 0), H(1, 0, 1, 0)));
    expect("0/0 100/0", 50, 2, P(H(0, 0, 0, 0), H(1, 0, 1, 0)));
    expect("70/0 30/0 0/0", 50, 3, P(H(2, 0, 1, 0), H(2, 0, 1, 0), H(2, 0, 2, 0)));
}

static void test_too_little_of_all(void **state)
{
    (void)state;
    /* 28 % and 28 %: shared in that ratio, and both are in panic, so by their hosts. */
    expect("50/0! 50/0!", 50, 2, P(H(5, 0, 1, 0), H(5, 0, 1, 0)));
    expect("25/0! 75/0!", 50, 2, P(H(1, 0, 0, 0), H(3, 0, 0, 0)));
    expect("34/0! 33/0! 33/0!", 50, 3, P(H(1, 0, 0, 0), H(1, 0, 0, 0), H(1, 0, 0, 0)));
    /* Without panic the rest of the division goes to the first. */
    expect("50/0 50/0", 0, 2, P(H(5, 0, 1, 0), H(5, 0, 1, 0)));
    expect("100/0 0/0", 0, 2, P(H(5, 0, 0, 0), H(5, 0, 0, 0)));
    expect("100/0! 0/0!", 50, 2, P(H(0, 0, 0, 0), H(0, 0, 0, 0)));
}

static void test_draining_is_not_counted(void **state)
{
    (void)state;
    expect("100/0", 50, 1, P(H(4, 3, 1, 0)));  /* 1 healthy and 3 draining */
    expect("100/0", 50, 1, P(H(8, 6, 1, 0)));  /* and 1 unhealthy: 50 % */
    expect("100/0!", 50, 1, P(H(6, 3, 1, 0))); /* and 2: panic */
    expect("100/0!", 50, 1, P(H(3, 3, 0, 0))); /* only draining ones */
}

static void test_degraded(void **state)
{
    (void)state;
    expect("70/30", 50, 1, P(H(2, 0, 1, 1)));
    expect("0/100", 50, 1, P(H(2, 0, 0, 2)));
    expect("100/0", 50, 1, P(H(4, 0, 3, 1)));
    expect("28/0 72/0", 50, 2, P(H(5, 0, 1, 1), H(5, 0, 5, 0))); /* healthy ones of P1 first */
    expect("28/28 28/16", 50, 2, P(H(5, 0, 1, 1), H(5, 0, 1, 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_over),
        cmocka_unit_test(test_too_little_of_all),
        cmocka_unit_test(test_draining_is_not_counted),
        cmocka_unit_test(test_degraded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
