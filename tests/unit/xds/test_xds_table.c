/* What is known of names by their numbers, against a plain array that knows the same. */
#include "test.h"

#include <stdio.h>

#include "xds/xds_table.h"

enum { NAMES = 300, STEPS = 20000 };

struct model {
    struct xds_table t;
    struct xds_entry *entries[NAMES]; /* NULL: none; borrowed */
    bool marks[NAMES][XDS_MARKS];
    unsigned seed;
};

static unsigned draw(struct model *m, unsigned below)
{
    m->seed = m->seed * 1103515245u + 12345u;
    return (m->seed >> 8) % below;
}

static struct xds_name *name_of(unsigned i)
{
    char text[16];
    snprintf(text, sizeof(text), "n%u", i);
    return xds_name_new(XDS_CLUSTER, str_from(text));
}

static void step(struct model *m)
{
    unsigned i = draw(m, NAMES), what = draw(m, 4);
    enum xds_mark mark = (enum xds_mark)(1 + draw(m, XDS_MARKS - 1));
    struct xds_name *n = name_of(i);
    if (what == 0) {
        struct xds_entry *e = xds_entry_new_held(XDS_CLUSTER, n->text, STR("1")),
                         *before = xds_table_put(&m->t, e);
        assert_ptr_equal(before, m->entries[i]);
        xds_entry_unref(before);
        m->entries[i] = e;
    } else if (what == 1) {
        struct xds_entry *e = xds_table_take(&m->t, n);
        assert_ptr_equal(e, m->entries[i]);
        xds_entry_unref(e);
        m->entries[i] = NULL;
    } else if (what == 2) {
        xds_table_mark(&m->t, n, mark);
        m->marks[i][mark] = true;
    } else {
        assert_int_equal(xds_table_unmark(&m->t, n, mark), m->marks[i][mark]);
        m->marks[i][mark] = false;
    }
    m->marks[i][XDS_HELD] = m->entries[i] != NULL;
    xds_name_unref(n);
}

static void check(const struct model *m)
{
    for (unsigned mark = 0; mark < XDS_MARKS; mark++) {
        unsigned want = 0, got = 0;
        struct xds_name *n;
        for (unsigned i = 0; i < NAMES; i++) {
            want += m->marks[i][mark];
            n = name_of(i);
            assert_int_equal(xds_table_has(&m->t, n, (enum xds_mark)mark), m->marks[i][mark]);
            assert_ptr_equal(xds_table_find(&m->t, n), m->entries[i]);
            xds_name_unref(n);
        }
        size_t last = 0;
        for (size_t at = 0; xds_table_next(&m->t, XDS_CLUSTER, (enum xds_mark)mark, &at, &n);) {
            assert_true(m->marks[strtoul(n->data + 1, NULL, 10)][mark]);
            assert_true(!got++ || n->id > last);
            last = n->id;
        }
        assert_int_equal(got, want);
        assert_int_equal(m->t.counts[mark], want);
    }
}

static void test_like_an_array(void **state)
{
    struct model m = {.seed = 1};
    (void)state;
    for (unsigned i = 0; i < STEPS; i++) {
        step(&m);
        if (i % 500 == 0)
            check(&m);
    }
    check(&m);
    xds_table_unmark_all(&m.t, XDS_CLUSTER, XDS_WANTED);
    assert_int_equal(m.t.counts[XDS_WANTED], 0);
    for (unsigned i = 0; i < NAMES; i++)
        m.marks[i][XDS_WANTED] = false;
    check(&m);
    xds_table_done(&m.t, XDS_CLUSTER);
    assert_int_equal(xds_names_used(XDS_CLUSTER), 0); /* no reference is left */
}

/* A loop may take away what it is shown. */
static void test_emptied_while_read(void **state)
{
    struct xds_table t = {0};
    struct xds_name *n;
    unsigned seen = 0;
    (void)state;
    for (unsigned i = 0; i < NAMES; i++) {
        n = name_of(i);
        xds_table_mark(&t, n, XDS_CHANGED);
        xds_name_unref(n);
    }
    for (size_t at = 0; xds_table_next(&t, XDS_CLUSTER, XDS_CHANGED, &at, &n); seen++)
        assert_true(xds_table_unmark(&t, n, XDS_CHANGED));
    assert_int_equal(seen, NAMES);
    assert_int_equal(xds_names_used(XDS_CLUSTER), 0);
    xds_table_done(&t, XDS_CLUSTER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_an_array),
        cmocka_unit_test(test_emptied_while_read),
    };
    return RUN_TESTS(tests);
}
