/* Chains: moving, sharing, cutting and joining, against a plain buffer that does the same. */

#include <stdio.h>

#include "base/chain.h"
#include "test.h"

static void check(const struct chain *c, const char *want, size_t n)
{
    char *got = xmalloc(n + 1);
    size_t sum = 0;
    assert_int_equal(c->n, n);
    chain_copy(c, got, n);
    assert_memory_equal(got, want, n);
    for (const struct chain_slice *s = c->first; s; s = s->next) {
        assert_true(s->n > 0);
        assert_true(s->next || s == c->last);
        sum += s->n;
    }
    assert_int_equal(sum, n);
    free(got);
}

static void test_add_and_consume(void **state)
{
    struct chain c = {0};
    (void)state;
    chain_add(&c, STR("hello "));
    chain_add(&c, STR("world"));
    assert_ptr_equal(c.first, c.last); /* one block takes both */
    check(&c, "hello world", 11);
    chain_consume(&c, 3);
    check(&c, "lo world", 8);
    chain_add(&c, STR("!"));
    check(&c, "lo world!", 9);
    chain_consume(&c, 9);
    check(&c, "", 0);
    assert_null(c.first);
    assert_null(c.last);
}

static void test_shared_runs_are_not_written(void **state)
{
    struct chain a = {0}, b = {0};
    (void)state;
    chain_add(&a, STR("abc"));
    chain_share(&b, &a, 3);
    chain_add(&b, STR("B"));
    chain_add(&a, STR("A"));
    check(&a, "abcA", 4);
    check(&b, "abcB", 4);
    struct bytes *event = bytes_new(STR("event"));
    chain_add_bytes(&a, event);
    chain_add_bytes(&b, event);
    assert_int_equal(event->refs, 3);
    chain_add(&a, STR("x"));
    check(&a, "abcAeventx", 10);
    chain_done(&a);
    assert_int_equal(event->refs, 2);
    check(&b, "abcBevent", 9);
    chain_done(&b);
    assert_int_equal(event->refs, 1);
    bytes_unref(event);
}

static void test_add_exact(void **state)
{
    struct chain c = {0};
    (void)state;
    struct bytes *event = bytes_new(STR("event"));
    chain_add_exact(&c, STR("ab"));
    assert_false(c.last->block->pooled);
    chain_add_bytes(&c, event);
    chain_add(&c, STR("cd"));
    const struct chain_slice *last = c.last;
    chain_add_exact(&c, STR("ef")); /* there is room */
    assert_ptr_equal(c.last, last);
    check(&c, "abeventcdef", 11);
    chain_done(&c);
    bytes_unref(event);
}

static void test_moved_runs_are_not_copied(void **state)
{
    struct chain from = {0}, to = {0};
    size_t n;
    (void)state;
    char *room = chain_reserve(&from, 1, &n);
    memset(room, 'x', 2000);
    chain_commit(&from, 2000);
    chain_consume(&from, 500);
    chain_move(&to, &from, 1000);
    assert_ptr_equal(chain_front(&to).p, room + 500);
    chain_move_all(&to, &from);
    assert_int_equal(to.n, 1500);
    assert_int_equal(from.n, 0);
    struct iovec iov[4];
    assert_int_equal(chain_iovecs(&to, iov, 4), 2);
    assert_int_equal(chain_iovecs(&to, iov, 1), 1);
    chain_done(&to);
}

static void test_reserve_nothing(void **state)
{
    struct chain c = {0};
    size_t n;
    (void)state;
    (void)chain_reserve(&c, BYTES_BLOCK, &n);
    chain_commit(&c, 0);
    assert_null(c.first);
    chain_add(&c, STR("a"));
    (void)chain_reserve(&c, BYTES_BLOCK, &n); /* not in the block that has one byte */
    chain_commit(&c, 0);
    check(&c, "a", 1);
    chain_done(&c);
}

static void test_linear(void **state)
{
    struct chain c = {0};
    struct buf want = {0};
    (void)state;
    for (int i = 0; i < 5000; i++) {
        char digits[8];
        int len = snprintf(digits, sizeof(digits), "%d,", i);
        buf_add(&want, digits, (size_t)len);
    }
    chain_add(&c, buf_str(&want));
    assert_true(c.first != c.last);
    for (size_t n = want.n - 20000; n <= want.n; n += 777) {
        struct str s = chain_linear(&c, n);
        assert_int_equal(s.n, n);
        assert_memory_equal(s.p, want.p, n);
        check(&c, want.p, want.n);
    }
    chain_done(&c);
    buf_done(&want);
}

/* Any order of calls does to chains what it does to buffers. */
static void test_like_buffers(void **state)
{
    struct chain c[2] = {{0}, {0}};
    struct buf b[2] = {{0}, {0}};
    uint32_t seed = 7;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1664525 + 1013904223;
        unsigned what = seed >> 29, at = seed >> 28 & 1;
        size_t n = (seed >> 8) % 700, have = b[at].n;
        char text[700];
        memset(text, 'a' + i % 26, sizeof(text));
        if (what < 3) {
            chain_add(&c[at], str_of(text, n));
            buf_add(&b[at], text, n);
        } else if (what == 3 && have) {
            n = MIN(n * 20, have);
            chain_consume(&c[at], n);
            buf_consume(&b[at], n);
        } else if (what == 4 && have) {
            n = MIN(n * 3, have);
            chain_move(&c[!at], &c[at], n);
            buf_add(&b[!at], b[at].p, n);
            buf_consume(&b[at], n);
        } else if (what == 5 && have) {
            n = MIN(n, have);
            chain_share(&c[!at], &c[at], n);
            buf_add(&b[!at], b[at].p, n);
        } else if (what == 6 && have) {
            n = MIN(n * 5, have);
            assert_non_null(chain_linear(&c[at], n).p);
        }
        if (b[at].n > 60000) {
            chain_consume(&c[at], 50000);
            buf_consume(&b[at], 50000);
        }
        if (i % 50 == 0) {
            check(&c[0], b[0].p, b[0].n);
            check(&c[1], b[1].p, b[1].n);
        }
    }
    for (int i = 0; i < 2; i++) {
        check(&c[i], b[i].p, b[i].n);
        chain_done(&c[i]);
        buf_done(&b[i]);
    }
    chain_pool_trim();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_and_consume), cmocka_unit_test(test_shared_runs_are_not_written),
        cmocka_unit_test(test_add_exact),       cmocka_unit_test(test_moved_runs_are_not_copied),
        cmocka_unit_test(test_reserve_nothing), cmocka_unit_test(test_linear),
        cmocka_unit_test(test_like_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
