/* What is remembered of answers: found as it came, for its time, and no more of it than may be. */
#include "proxy/answer_cache.h"

#include <stdio.h>
#include <stdlib.h>

#include "test.h"

static void put(struct answer_cache *c, const char *key, unsigned status, size_t value_n,
                uint64_t until_ms)
{
    char *value = malloc(value_n + 1);
    memset(value, 'v', value_n);
    struct http_field fields[] = {{.name = "X-A", .name_n = 3, .value = value},
                                  {.name = "X-Gone", .name_n = 0, .value = "x", .value_n = 1},
                                  {.name = "X-B", .name_n = 3, .value = "", .value_n = 0}};
    fields[0].value_n = (uint32_t)value_n;
    const struct http_head h = {.fields = fields, .n = 3, .cap = 3, .status = (uint16_t)status};
    answer_cache_put(c, str_from(key), &h, until_ms);
    free(value); /* a copy is kept */
}

static unsigned found(struct answer_cache *c, const char *key, uint64_t now_ms)
{
    const struct http_head *h = answer_cache_find(c, str_from(key), now_ms);
    return h ? h->status : 0;
}

static void test_as_it_came(void **state)
{
    struct answer_cache c = {0};
    (void)state;
    assert_null(answer_cache_find(&c, STR("a"), 0));
    put(&c, "a", 200, 5, 100);
    const struct http_head *h = answer_cache_find(&c, STR("a"), 99);
    assert_int_equal(h->n, 2);
    assert_true(str_is(http_field_value(&h->fields[0]), "vvvvv"));
    assert_true(str_is(str_of(h->fields[1].name, h->fields[1].name_n), "X-B"));
    put(&c, "a", 401, 5, 200);
    assert_int_equal(found(&c, "a", 199), 401);
    assert_int_equal(found(&c, "a", 200), 0);
    assert_int_equal(c.entries.used, 0);
    assert_int_equal(c.bytes, 0);
    answer_cache_done(&c);
}

/* Who was asked for least lately goes first. */
static void test_a_flood(void **state)
{
    struct answer_cache c = {0};
    char key[32];
    (void)state;
    for (unsigned i = 0; i < 2 * ANSWER_CACHE_MAX; i++) {
        snprintf(key, sizeof(key), "%u", i);
        put(&c, key, 200, 1, 100);
        assert_int_equal(found(&c, "0", 1), 200);
    }
    assert_int_equal(c.entries.used, ANSWER_CACHE_MAX);
    assert_int_equal(found(&c, "1", 1), 0);
    assert_int_equal(found(&c, key, 1), 200);
    answer_cache_done(&c);
}

static void test_large_ones(void **state)
{
    struct answer_cache c = {0};
    char key[32];
    (void)state;
    put(&c, "a", 200, 1, 100);
    put(&c, "a", 200, ANSWER_CACHE_ENTRY_MAX, 100); /* what was there is of before */
    assert_int_equal(found(&c, "a", 1), 0);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "%u", i);
        put(&c, key, 200, ANSWER_CACHE_ENTRY_MAX / 2, 100);
        assert_in_range(c.bytes, 1, ANSWER_CACHE_BYTES_MAX);
    }
    assert_int_equal(found(&c, key, 1), 200);
    assert_int_equal(found(&c, "0", 1), 0);
    answer_cache_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_it_came),
        cmocka_unit_test(test_a_flood),
        cmocka_unit_test(test_large_ones),
    };
    return RUN_TESTS(tests);
}
