/* Runs of resources: one for all who are sent the same, and what it is is told by its entries. */
#include "test.h"

#include <stdio.h>

#include "codec/pb.h"
#include "xds/xds_runs.h"

enum { N = 10, LONG = 1000 };

static struct xds_entry *entry(enum xds_resource type, unsigned i, size_t n)
{
    char name[16];
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_CHARS char *text = xmalloc(n);
    snprintf(name, sizeof(name), "t/%u", i);
    memset(text, 'x', n);
    pb_add_text(&b, 1, name);
    pb_add_bytes(&b, 1000, str_of(text, n));
    return xds_entry_new(type, str_from(name), buf_str(&b), STR(""));
}

/* What the fields of a response are, one by one. */
static void expect(struct chain *c, enum xds_form form, struct xds_entry *const *v, size_t n)
{
    AUTO_DONE(buf) struct buf want = {0};
    for (size_t i = 0; i < n; i++)
        xds_entry_add(&want, form, v[i]);
    assert_int_equal(c->n, want.n);
    assert_memory_equal(chain_linear(c, c->n).p, want.p, want.n);
}

static void test_shared(void **state)
{
    struct xds_runs *r = xds_runs_new();
    struct xds_entry *v[N];
    struct chain a = {0}, b = {0}, c = {0}, d = {0};
    (void)state;
    for (unsigned i = 0; i < N; i++)
        v[i] = entry(XDS_HOST, i, LONG);
    xds_runs_add(r, XDS_AS_RESOURCE, v, N, &a);
    xds_runs_add(r, XDS_AS_RESOURCE, v, N, &b);
    assert_ptr_equal(a.first->p, b.first->p);
    size_t kept = xds_runs_bytes(r);
    assert_int_equal(kept, a.n);
    xds_runs_add(r, XDS_AS_ANY, v, N, &c); /* another one, though of the same */
    expect(&c, XDS_AS_ANY, v, N);
    assert_true(c.n > a.n);
    xds_entry_unref(v[3]);
    v[3] = entry(XDS_HOST, 3, LONG + 1);
    xds_runs_add(r, XDS_AS_RESOURCE, v, N, &d); /* one has changed */
    assert_ptr_not_equal(d.first->p, a.first->p);
    expect(&d, XDS_AS_RESOURCE, v, N);
    xds_runs_clear(r);
    assert_int_equal(xds_runs_bytes(r), 0);
    xds_runs_add(r, XDS_AS_RESOURCE, v, N, &b); /* what is on its way is still there */
    assert_int_equal(b.n, kept + d.n);
    chain_done(&a);
    chain_done(&b);
    chain_done(&c);
    chain_done(&d);
    xds_runs_free(r);
    for (unsigned i = 0; i < N; i++)
        xds_entry_unref(v[i]);
    assert_int_equal(xds_names_used(XDS_HOST), 0);
}

static void test_short_ones_are_not_kept(void **state)
{
    struct xds_runs *r = xds_runs_new();
    struct xds_entry *v[2] = {entry(XDS_CLUSTER, 1, 10), entry(XDS_CLUSTER, 2, LONG * N)};
    struct chain c = {0};
    (void)state;
    xds_runs_add(r, XDS_AS_RESOURCE, v, 1, &c);
    xds_runs_add(r, XDS_AS_RESOURCE, v + 1, 1, &c); /* long, but alone */
    assert_int_equal(xds_runs_bytes(r), 0);
    expect(&c, XDS_AS_RESOURCE, v, 2);
    chain_done(&c);
    for (size_t i = 0; i < 2; i++)
        xds_entry_unref(v[i]);
    xds_runs_free(r);
}

/* Over the limit all are forgotten, and what comes then is kept. */
static void test_limit(void **state)
{
    enum { MUCH = 5 << 20 };
    struct xds_runs *r = xds_runs_new();
    (void)state;
    for (unsigned i = 0; i < N; i++) {
        struct xds_entry *v[2] = {entry(XDS_CLUSTER, i, MUCH), entry(XDS_CLUSTER, N + i, 1)};
        struct chain c = {0};
        xds_runs_add(r, XDS_AS_RESOURCE, v, 2, &c);
        assert_in_range(xds_runs_bytes(r), MUCH, XDS_RUNS_BYTES_MAX);
        chain_done(&c);
        xds_entry_unref(v[0]);
        xds_entry_unref(v[1]);
    }
    xds_runs_free(r);
    assert_int_equal(xds_names_used(XDS_CLUSTER), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_short_ones_are_not_kept),
        cmocka_unit_test(test_limit),
    };
    return RUN_TESTS(tests);
}
