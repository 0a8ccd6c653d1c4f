/* Buckets of tokens: how many they let through, when the next comes, two threads at once. */
#include "proxy/token_bucket.h"

#include <pthread.h>

#include "test.h"

#define SECOND INT64_C(1000000000)

static struct token_bucket bucket(uint32_t max, uint32_t fill, int64_t seconds, int32_t nanos)
{
    Google__Protobuf__UInt32Value per;
    Google__Protobuf__Duration interval;
    Envoy__Type__V3__TokenBucket m;
    struct token_bucket b;
    google__protobuf__uint32_value__init(&per);
    google__protobuf__duration__init(&interval);
    envoy__type__v3__token_bucket__init(&m);
    per.value = fill;
    interval.seconds = seconds;
    interval.nanos = nanos;
    m.max_tokens = max;
    m.tokens_per_fill = fill ? &per : NULL;
    m.fill_interval = &interval;
    token_bucket_init(&b, &m, 0);
    return b;
}

static unsigned take_all(struct token_bucket *b, int64_t now)
{
    unsigned n = 0;
    while (n < 1000 && token_bucket_take(b, now))
        n++;
    return n;
}

static void test_it_begins_full_and_fills_evenly(void **state)
{
    struct token_bucket b = bucket(10, 5, 1, 0);
    (void)state;
    assert_int_equal(token_bucket_left(&b, 0), 10);
    assert_int_equal(take_all(&b, 0), 10);
    assert_int_equal(token_bucket_left(&b, 0), 0);
    assert_false(token_bucket_take(&b, SECOND / 5 - 1));
    assert_true(token_bucket_take(&b, SECOND / 5));
    assert_false(token_bucket_take(&b, SECOND / 5));
    assert_int_equal(take_all(&b, SECOND), 4);
    assert_int_equal(take_all(&b, 100 * SECOND), 10); /* never more than it holds */
}

static void test_when_the_next_comes(void **state)
{
    struct token_bucket b = bucket(1, 0, 90, 0);
    (void)state;
    assert_int_equal(token_bucket_wait_s(&b, 0), 0);
    assert_true(token_bucket_take(&b, 0));
    assert_int_equal(token_bucket_wait_s(&b, 0), 90);
    assert_int_equal(token_bucket_wait_s(&b, 89 * SECOND + 1), 1);
    assert_int_equal(token_bucket_wait_s(&b, 90 * SECOND), 0);
}

static void test_extremes(void **state)
{
    (void)state;
    struct token_bucket none = bucket(0, 1, 1, 0);
    assert_int_equal(take_all(&none, 1000 * SECOND), 0);
    struct token_bucket slow = bucket(UINT32_MAX, 1, INT64_C(315576000000), 0);
    assert_int_equal(take_all(&slow, SECOND), 1);
    struct token_bucket huge = bucket(UINT32_MAX, 1, 3600, 0);
    assert_int_equal(take_all(&huge, 0), 1000);
    struct token_bucket fast = bucket(UINT32_MAX, UINT32_MAX, 0, 1);
    assert_int_equal(take_all(&fast, 0), 1000);
    struct token_bucket back = bucket(1, 1, 1, 0);
    assert_true(token_bucket_take(&back, 5 * SECOND));
    assert_false(token_bucket_take(&back, 0)); /* a worker's clock may be a little behind */
}

static struct token_bucket shared;

static void *taker(void *ret)
{
    for (unsigned i = 0; i < 20000; i++)
        *(unsigned *)ret += token_bucket_take(&shared, 0);
    return NULL;
}

static void test_two_workers(void **state)
{
    unsigned got[2] = {0};
    pthread_t t[2];
    (void)state;
    shared = bucket(15000, 1, 1, 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, taker, &got[i]), 0);
    for (size_t i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(got[0] + got[1], 15000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_begins_full_and_fills_evenly),
        cmocka_unit_test(test_when_the_next_comes),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_two_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
