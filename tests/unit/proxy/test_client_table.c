/* Limits of clients: bursts, what counts against what, how many are remembered, two workers at
 * once. */
#include "proxy/client_table.h"

#include <pthread.h>
#include <stdlib.h>

#include "test.h"

#define S INT64_C(1000000000)

static struct ip address(uint32_t n)
{
    struct ip ip = {.family = AF_INET};
    memcpy(ip.bytes, &n, sizeof(n));
    return ip;
}

/* How many of `asked` may, at once, and are done at once. */
static unsigned admitted(struct client_table *t, uint32_t who, unsigned asked, int64_t now_ns)
{
    struct ip ip = address(who);
    unsigned n = 0;
    for (unsigned i = 0; i < asked; i++)
        if (client_table_enter(t, &ip, now_ns, NULL)) {
            client_table_leave(t, &ip);
            n++;
        }
    return n;
}

/* As ingress-nginx was seen to do: limit-rps 2: 11; multiplier 2, rps 3: 7; limit-rpm 6: 31. */
static void test_bursts(void **state)
{
    const struct client_limits rps = {.rates = {{11, S / 2}}, .n_rates = 1},
                               rpm = {.rates = {{31, 10 * S}}, .n_rates = 1};
    (void)state;
    struct client_table *a = client_table_get(STR("a"), &rps),
                        *b = client_table_get(STR("b"), &rpm);
    assert_int_equal(admitted(a, 1, 40, S), 11);
    assert_int_equal(admitted(a, 1, 40, S), 0);
    assert_int_equal(admitted(a, 2, 40, S), 11); /* another has his own */
    assert_int_equal(admitted(a, 1, 40, 2 * S), 2);
    assert_int_equal(admitted(a, 1, 40, 100 * S), 11);
    assert_int_equal(admitted(b, 1, 40, S), 31);
    assert_int_equal(admitted(b, 1, 40, 11 * S), 1);
    client_table_unref(a);
    client_table_unref(b);
}

/* What one limit refuses counts against none. */
static void test_all_or_none(void **state)
{
    const struct client_limits both = {.concurrent = 2, .rates = {{100, S}, {3, S}}, .n_rates = 2};
    struct ip ip = address(1);
    (void)state;
    struct client_table *t = client_table_get(STR("t"), &both);
    assert_true(client_table_enter(t, &ip, S, NULL) && client_table_enter(t, &ip, S, NULL));
    for (unsigned i = 0; i < 200; i++)
        assert_false(client_table_enter(t, &ip, S, NULL));
    client_table_leave(t, &ip);
    assert_true(client_table_enter(t, &ip, S, NULL));
    client_table_leave(t, &ip);
    assert_false(client_table_enter(t, &ip, S, NULL)); /* three in a second */
    assert_int_equal(admitted(t, 1, 10, 100 * S), 3);
    client_table_leave(t, &ip);
    client_table_unref(t);
}

/* A table lives on while a new configuration takes the place of the old one. */
static void test_names(void **state)
{
    const struct client_limits l = {.rates = {{3, S}}, .n_rates = 1},
                               other = {.rates = {{4, S}}, .n_rates = 1};
    (void)state;
    struct client_table *a = client_table_get(STR("n"), &l);
    assert_int_equal(admitted(a, 1, 10, S), 3);
    struct client_table *b = client_table_get(STR("n"), &l),
                        *c = client_table_get(STR("n"), &other);
    client_table_unref(a);
    assert_int_equal(admitted(b, 1, 10, S), 0);
    assert_int_equal(admitted(c, 1, 10, S), 4);
    client_table_unref(b);
    client_table_unref(c);
    a = client_table_get(STR("n"), &l);
    assert_int_equal(admitted(a, 1, 10, S), 3);
    client_table_unref(a);
}

static void test_a_flood_of_addresses(void **state)
{
    const struct client_limits l = {.concurrent = 1, .rates = {{1, 3600 * S}}, .n_rates = 1};
    struct ip busy = address(0);
    (void)state;
    struct client_table *t = client_table_get(STR("f"), &l);
    assert_true(client_table_enter(t, &busy, S, NULL));
    for (uint32_t i = 1; i < 3 * CLIENT_TABLE_MAX; i++)
        assert_int_equal(admitted(t, i, 1, S), 1);
    assert_int_equal(client_table_n(t), CLIENT_TABLE_MAX);
    assert_false(client_table_enter(t, &busy, S, NULL)); /* who is active is not forgotten */
    client_table_leave(t, &busy);
    /* Later, what is quiet goes by itself. */
    for (uint32_t i = 0; i < CLIENT_TABLE_MAX; i++)
        (void)admitted(t, 0x80000000 + i, 1, 10000 * S);
    assert_true(client_table_n(t) <= CLIENT_TABLE_MAX);
    client_table_unref(t);
}

static void test_when_all_are_busy(void **state)
{
    const struct client_limits l = {.concurrent = 1};
    (void)state;
    struct client_table *t = client_table_get(STR("b"), &l);
    for (uint32_t i = 0; i <= CLIENT_TABLE_MAX; i++) {
        struct ip ip = address(i);
        assert_int_equal(client_table_enter(t, &ip, S, NULL), i < CLIENT_TABLE_MAX);
    }
    client_table_unref(t);
}

static struct client_table *shared;

static void *asker(void *ret)
{
    for (unsigned i = 0; i < 20000; i++)
        *(unsigned *)ret += admitted(shared, i % 3, 1, S);
    return NULL;
}

static void test_two_workers(void **state)
{
    const struct client_limits l = {.rates = {{1000, 3600 * S}}, .n_rates = 1};
    unsigned got[2] = {0};
    pthread_t t[2];
    (void)state;
    shared = client_table_get(STR("w"), &l);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, asker, &got[i]), 0);
    for (size_t i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(got[0] + got[1], 3000);
    client_table_unref(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bursts),
        cmocka_unit_test(test_all_or_none),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_a_flood_of_addresses),
        cmocka_unit_test(test_when_all_are_busy),
        cmocka_unit_test(test_two_workers),
    };
    return RUN_TESTS(tests);
}
