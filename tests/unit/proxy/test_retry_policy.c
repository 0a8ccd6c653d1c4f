/* When a policy wants another try, and how long it waits before it. */
#include "test.h"

#include "proxy/retry_policy.h"

static void test_waits_double_up_to_the_limit(void **state)
{
    const struct retry_policy p = {.base_ms = 25, .max_ms = 250};
    static const uint64_t spans[] = {25, 50, 100, 200, 250, 250, 250};
    (void)state;
    for (unsigned n = 1; n <= ARRAY_LEN(spans); n++) {
        uint64_t span = spans[n - 1];
        assert_int_equal(retry_policy_wait_ms(&p, n, 0), 0);
        assert_int_equal(retry_policy_wait_ms(&p, n, span - 1), span - 1);
        assert_int_equal(retry_policy_wait_ms(&p, n, span), 0); /* drawn below it */
        assert_int_equal(retry_policy_wait_ms(&p, n, UINT64_MAX), UINT64_MAX % span);
    }
    assert_true(retry_policy_wait_ms(&p, 1000, 249) == 249);
}

static void test_failures(void **state)
{
    static const struct {
        uint32_t on;
        enum reason why;
        bool sent, wanted;
    } rows[] = {
        {RETRY_5XX | RETRY_RESET | RETRY_GATEWAY_ERROR, REASON_OVERFLOW, false, false},
        {RETRY_5XX, REASON_UPSTREAM_RESET, true, true},
        {RETRY_GATEWAY_ERROR, REASON_PER_TRY_TIMEOUT, true, true},
        {RETRY_RESET, REASON_UPSTREAM_CLOSED, true, true},
        {RETRY_CONNECT_FAILURE, REASON_CONNECT_FAILED, false, true},
        {RETRY_CONNECT_FAILURE, REASON_CONNECT_TIMEOUT, false, true},
        {RETRY_CONNECT_FAILURE, REASON_UPSTREAM_RESET, true, false},
        {RETRY_REFUSED_STREAM, REASON_UPSTREAM_REFUSED, true, true},
        {RETRY_REFUSED_STREAM, REASON_UPSTREAM_RESET, true, false},
        {RETRY_RESET_BEFORE_REQUEST, REASON_UPSTREAM_RESET, false, true},
        {RETRY_RESET_BEFORE_REQUEST, REASON_UPSTREAM_RESET, true, false},
        {RETRY_4XX | RETRY_STATUS_CODES | RETRY_HEADERS, REASON_UPSTREAM_RESET, true, false},
        {0, REASON_CONNECT_FAILED, false, false},
        {RETRY_SAFE_RESET, REASON_UPSTREAM_CLOSED, true, true},
        {RETRY_SAFE_RESET, REASON_PER_TRY_IDLE, true, false},
        {RETRY_SAFE_TIMEOUT, REASON_PER_TRY_IDLE, true, true},
        {RETRY_TIMEOUT, REASON_PER_TRY_TIMEOUT, true, true},
        {RETRY_TIMEOUT, REASON_UPSTREAM_CLOSED, true, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (retry_policy_wants_failure(rows[i].on, rows[i].why, rows[i].sent) != rows[i].wanted)
            fail_msg("row %zu", i);
    }
}

static struct http_head answer(unsigned status)
{
    return (struct http_head){.status = (uint16_t)status};
}

static void test_answers(void **state)
{
    static const uint32_t codes[] = {418};
    static const struct {
        uint32_t on;
        unsigned status;
        bool wanted;
    } rows[] = {
        {RETRY_5XX, 499, false},
        {RETRY_5XX, 500, true},
        {RETRY_5XX, 599, true},
        {RETRY_GATEWAY_ERROR, 501, false},
        {RETRY_GATEWAY_ERROR, 502, true},
        {RETRY_GATEWAY_ERROR, 504, true},
        {RETRY_GATEWAY_ERROR, 505, false},
        {RETRY_4XX, 409, true},
        {RETRY_4XX, 408, false},
        {RETRY_STATUS_CODES, 418, true},
        {RETRY_STATUS_CODES, 500, false},
        {RETRY_SAFE_STATUS_CODES, 418, true},
        {RETRY_RESET | RETRY_CONNECT_FAILURE, 503, false},
        {RETRY_5XX | RETRY_4XX, 200, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct retry_policy p = {
            .on = rows[i].on, .statuses = (uint32_t *)(uintptr_t)codes, .n_statuses = 1};
        const struct http_head h = answer(rows[i].status);
        if (retry_policy_wants_answer(&p, p.on, &h) != rows[i].wanted)
            fail_msg("row %zu: %u", i, rows[i].status);
    }
}

/* What is asked for again only where that does no harm; words of ours from a policy's text. */
static void test_methods(void **state)
{
    AUTO(arena) struct arena *a = arena_new(0);
    Envoy__Config__Route__V3__RetryPolicy m;
    struct pb_path path = {0};
    struct retry_policy *p;
    (void)state;
    envoy__config__route__v3__retry_policy__init(&m);
    m.retry_on = (char *)(uintptr_t) "connect-failure, fairlead-safe-reset,fairlead-within-7,none";
    assert_ok(retry_policy_compile(&m, a, &path, &p, NULL));
    assert_int_equal(p->within_ms, 7000);
    struct http_head head = {.method = STR("GET")};
    assert_int_equal(retry_policy_on(p, &head), RETRY_CONNECT_FAILURE | RETRY_SAFE_RESET);
    head.method = STR("POST");
    assert_int_equal(retry_policy_on(p, &head), RETRY_CONNECT_FAILURE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_double_up_to_the_limit),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_methods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
