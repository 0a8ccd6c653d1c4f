/* Rings: Envoy's sizes, and what a change of the hosts moves. */
#include "proxy/lb_ring.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "test.h"

static struct lb_ring *ring(uint32_t n, const double *weights, uint32_t *counts)
{
    struct lb_ring_item items[16];
    static char names[16][16];
    for (uint32_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof(names[i]), "10.0.0.%u:80", i + 1);
        items[i] = (struct lb_ring_item){str_from(names[i]), weights[i]};
        counts[i] = 0;
    }
    struct lb_ring *r = lb_ring_new(items, n, LB_RING_MIN, LB_RING_MAX);
    for (uint32_t i = 0; i < r->n; i++)
        counts[r->places[i].item]++;
    return r;
}

static void test_sizes(void **state)
{
    uint32_t counts[16];
    struct lb_ring *r = ring(3, (double[]){1 / 3., 1 / 3., 1 / 3.}, counts);
    (void)state;
    assert_int_equal(r->n, 1026);
    assert_true(counts[0] == 342 && counts[1] == 342 && counts[2] == 342);
    free(r);
    r = ring(2, (double[]){.75, .25}, counts);
    assert_int_equal(r->n, 1024);
    assert_true(counts[0] == 768 && counts[1] == 256);
    free(r);
    assert_null(lb_ring_new(NULL, 0, 1024, 2048));
    struct lb_ring_item light[] = {{STR("a"), 0.999999}, {STR("b"), 0.000001}};
    r = lb_ring_new(light, 2, 1024, 4096); /* would be a million */
    assert_int_equal(r->n, 4096);
    free(r);
}

static void test_hashes_are_xxh64_of_the_numbered_key(void **state)
{
    struct lb_ring_item one = {STR("10.0.0.1:80"), 1};
    struct lb_ring *r = lb_ring_new(&one, 1, 2, 2);
    uint64_t a = hash_xxh64("10.0.0.1:80_0", 13, 0), b = hash_xxh64("10.0.0.1:80_1", 13, 0);
    (void)state;
    assert_int_equal(hash_xxh64("", 0, 0), 0xef46db3751d8e999); /* of the algorithm's description */
    assert_int_equal(r->places[0].hash, MIN(a, b));
    assert_int_equal(r->places[1].hash, MAX(a, b));
    free(r);
}

static void test_find(void **state)
{
    uint32_t counts[16];
    struct lb_ring *r = ring(3, (double[]){1 / 3., 1 / 3., 1 / 3.}, counts);
    (void)state;
    for (uint32_t i = 0; i < r->n; i++) {
        assert_int_equal(lb_ring_find(r, r->places[i].hash, 0), r->places[i].item);
        assert_int_equal(lb_ring_find(r, r->places[i].hash, 1), r->places[(i + 1) % r->n].item);
    }
    assert_int_equal(lb_ring_find(r, UINT64_MAX, 0), r->places[0].item);
    assert_int_equal(lb_ring_find(r, r->places[0].hash + 1, 0), r->places[1].item);
    free(r);
}

static void test_a_host_less_moves_only_its_own(void **state)
{
    uint32_t counts[16], moved = 0;
    double four[] = {.25, .25, .25, .25}, three[] = {1 / 3., 1 / 3., 1 / 3.};
    struct lb_ring *before = ring(4, four, counts), *after = ring(3, three, counts);
    (void)state;
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t hash = hash_xxh64(&i, sizeof(i), 0);
        uint32_t was = lb_ring_find(before, hash, 0), is = lb_ring_find(after, hash, 0);
        moved += was != 3 && was != is;
    }
    assert_in_range(moved, 0, 2500); /* the ring's size differs: not none, but few */
    free(before);
    free(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_hashes_are_xxh64_of_the_numbered_key),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_a_host_less_moves_only_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
