/* Maglev's table: every place is taken, by weight, in an order that does not depend on the items',
 * and a host less moves little but its own. */
#include "proxy/lb_maglev.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "test.h"

static char names[16][16];

static struct lb_maglev *table(uint32_t n, const double *weights, uint32_t size, uint32_t *counts)
{
    struct lb_ring_item items[16];
    for (uint32_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof(names[i]), "10.0.0.%u:80", i + 1);
        items[i] = (struct lb_ring_item){str_from(names[i]), weights[i]};
        counts[i] = 0;
    }
    struct lb_maglev *m = lb_maglev_new(items, n, size);
    for (uint32_t i = 0; i < m->n; i++) {
        assert_true(m->items[i] < n);
        counts[m->items[i]]++;
    }
    return m;
}

static void test_sizes(void **state)
{
    (void)state;
    assert_true(lb_maglev_size_is_valid(2) && lb_maglev_size_is_valid(7) &&
                lb_maglev_size_is_valid(LB_MAGLEV_SIZE) && lb_maglev_size_is_valid(LB_MAGLEV_MAX));
    assert_false(lb_maglev_size_is_valid(0) || lb_maglev_size_is_valid(1) ||
                 lb_maglev_size_is_valid(65536) || lb_maglev_size_is_valid(65535) ||
                 lb_maglev_size_is_valid(LB_MAGLEV_MAX + 2));
    assert_null(lb_maglev_new(NULL, 0, 7));
}

static void test_weights(void **state)
{
    uint32_t counts[16];
    struct lb_maglev *m = table(3, (double[]){1 / 3., 1 / 3., 1 / 3.}, LB_MAGLEV_SIZE, counts);
    (void)state;
    assert_int_equal(m->n, 65537);
    for (int i = 0; i < 3; i++)
        assert_in_range(counts[i], 21845, 21846);
    free(m);
    free(table(3, (double[]){.6, .3, .1}, LB_MAGLEV_SIZE, counts));
    assert_in_range(counts[0], 39300, 39340);
    assert_in_range(counts[1], 19650, 19670);
    assert_in_range(counts[2], 6545, 6560);
    free(table(16, (double[16]){[0 ... 15] = 1 / 16.}, 7, counts)); /* more items than places */
}

/* A place is its item's own choice: where an item stands alone, its order is offset, skip. */
static void test_the_first_places_are_those_of_the_hashes(void **state)
{
    struct lb_ring_item a = {STR("10.0.0.1:80"), .5}, b = {STR("10.0.0.2:80"), .5};
    struct lb_maglev *m = lb_maglev_new((struct lb_ring_item[]){b, a}, 2, 65537);
    uint64_t at = hash_xxh64(a.key.p, a.key.n, 0) % 65537,
             skip = hash_xxh64(a.key.p, a.key.n, 1) % 65536 + 1;
    (void)state;
    assert_int_equal(m->items[at], 1); /* the first by its key takes first */
    uint64_t other = hash_xxh64(b.key.p, b.key.n, 0) % 65537;
    assert_int_equal(m->items[other], 0);
    assert_int_equal(m->items[(at + skip) % 65537], 1);
    free(m);
}

static void test_the_order_of_items_does_not_matter(void **state)
{
    struct lb_ring_item forth[] = {{STR("a"), .5}, {STR("b"), .3}, {STR("c"), .2}};
    struct lb_ring_item back[] = {{STR("c"), .2}, {STR("b"), .3}, {STR("a"), .5}};
    struct lb_maglev *m = lb_maglev_new(forth, 3, 1009), *n = lb_maglev_new(back, 3, 1009);
    (void)state;
    for (uint32_t i = 0; i < m->n; i++)
        assert_int_equal(m->items[i], 2 - n->items[i]);
    free(m);
    free(n);
}

static void test_a_host_less_moves_little_but_its_own(void **state)
{
    uint32_t counts[16], moved = 0;
    struct lb_maglev *before = table(10, (double[10]){[0 ... 9] = .1}, LB_MAGLEV_SIZE, counts),
                     *after = table(9, (double[9]){[0 ... 8] = 1 / 9.}, LB_MAGLEV_SIZE, counts);
    (void)state;
    for (uint32_t i = 0; i < before->n; i++)
        moved += before->items[i] != 9 && before->items[i] != after->items[i];
    assert_in_range(moved, 1, LB_MAGLEV_SIZE / 20); /* of nine tenths that could stay */
    free(before);
    free(after);
}

static void test_find(void **state)
{
    uint32_t counts[16], other = 0;
    struct lb_maglev *m = table(3, (double[]){1 / 3., 1 / 3., 1 / 3.}, 65537, counts);
    (void)state;
    for (uint64_t hash = 0; hash < 1000; hash++) {
        assert_int_equal(lb_maglev_find(m, hash + 65537 * 5, 0), m->items[hash]);
        other += lb_maglev_find(m, hash, 1) != lb_maglev_find(m, hash, 0);
    }
    assert_in_range(other, 500, 850); /* of three, two are others */
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_the_first_places_are_those_of_the_hashes),
        cmocka_unit_test(test_the_order_of_items_does_not_matter),
        cmocka_unit_test(test_a_host_less_moves_little_but_its_own),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
