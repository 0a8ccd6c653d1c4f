/* Probe thresholds and eagerness, and the restart back-off, over invented time. */
#include "lab/node/node_priv.h"
#include "test.h"

static struct probe probe_of(enum probe_kind kind, const char *text)
{
    struct probe p;
    json_t *spec;
    assert_ok(json_parse(str_from(text), 0, NULL, &spec, NULL));
    probe_init(&p, kind, spec);
    json_decref(spec);
    return p;
}

static void test_readiness_is_eager(void **state)
{
    (void)state;
    struct probe p = probe_of(PROBE_READINESS, "{}");
    uint64_t now = 1000, wait, total = 0;
    for (int i = 0; i < 5; i++) {
        wait = probe_result(&p, false, now);
        now += wait;
        total += wait;
    }
    assert_true(total < 1000); /* a real kubelet would have waited 50 s */
    assert_int_equal(p.failures, 1);
    assert_int_equal(p.verdict, PROBE_UNKNOWN);
    assert_int_equal(probe_result(&p, true, now), 10000);
    assert_int_equal(p.verdict, PROBE_PASSED);
    /* From now on the period rules, and three failures in a row are needed. */
    assert_int_equal(probe_result(&p, false, now + 1), 10000);
    assert_int_equal(probe_result(&p, false, now + 2), 10000);
    assert_int_equal(p.verdict, PROBE_PASSED);
    (void)probe_result(&p, false, now + 3);
    assert_int_equal(p.verdict, PROBE_FAILED);
    (void)probe_result(&p, true, now + 4);
    assert_int_equal(p.verdict, PROBE_PASSED);
}

static void test_startup_counts_periods(void **state)
{
    (void)state;
    struct probe p = probe_of(PROBE_STARTUP, "{\"periodSeconds\":1,\"failureThreshold\":3}");
    uint64_t now = 500;
    unsigned tries = 0;
    while (p.verdict != PROBE_FAILED && tries < 100) {
        now += probe_result(&p, false, now);
        tries++;
    }
    assert_true(now - 500 >= 2000 && now - 500 < 4000);
    assert_true(tries > 3);
}

static void test_liveness_is_not_eager(void **state)
{
    (void)state;
    struct probe p = probe_of(
        PROBE_LIVENESS, "{\"periodSeconds\":5,\"successThreshold\":1,\"failureThreshold\":2}");
    assert_int_equal(probe_result(&p, false, 1000), 5000);
    assert_int_equal(p.verdict, PROBE_UNKNOWN);
    assert_int_equal(probe_result(&p, false, 6000), 5000);
    assert_int_equal(p.verdict, PROBE_FAILED);
}

static void test_success_threshold(void **state)
{
    (void)state;
    struct probe p = probe_of(PROBE_READINESS, "{\"successThreshold\":2}");
    (void)probe_result(&p, true, 1);
    assert_int_equal(p.verdict, PROBE_UNKNOWN);
    (void)probe_result(&p, true, 2);
    assert_int_equal(p.verdict, PROBE_PASSED);
}

static void test_backoff(void **state)
{
    (void)state;
    uint64_t b = 0;
    static const uint64_t expected[] = {0, 10000, 20000, 40000, 80000, 160000, 300000, 300000};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        assert_int_equal(pod_backoff_next(&b, 100), expected[i]);
    assert_int_equal(pod_backoff_next(&b, 601 * 1000), 0); /* ran well for ten minutes */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readiness_is_eager),
        cmocka_unit_test(test_startup_counts_periods),
        cmocka_unit_test(test_liveness_is_not_eager),
        cmocka_unit_test(test_success_threshold),
        cmocka_unit_test(test_backoff),
    };
    return RUN_TESTS(tests);
}
