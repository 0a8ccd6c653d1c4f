/* Names of resources: one for all, numbers that stay small. */
#include "test.h"

#include "xds/xds_name.h"

static void test_one_for_all(void **state)
{
    (void)state;
    struct xds_name *a = xds_name_new(XDS_CLUSTER, STR("a")),
                    *b = xds_name_new(XDS_CLUSTER, STR("b"));
    assert_ptr_equal(xds_name_new(XDS_CLUSTER, STR("a")), a);
    assert_ptr_equal(xds_name_find(XDS_CLUSTER, STR("a")), a);
    assert_null(xds_name_find(XDS_ENDPOINT, STR("a")));
    assert_int_equal(a->id, 0);
    assert_int_equal(b->id, 1);
    assert_ptr_equal(xds_name_get(XDS_CLUSTER, 1), b);
    assert_str(b->text, "b");
    xds_name_unref(a);
    assert_ptr_equal(xds_name_find(XDS_CLUSTER, STR("a")), a); /* there was one more reference */
    xds_name_unref(a);
    assert_null(xds_name_find(XDS_CLUSTER, STR("a")));
    struct xds_name *c = xds_name_new(XDS_CLUSTER, STR("c"));
    assert_int_equal(c->id, 0); /* whose it was has gone */
    xds_name_unref(b);
    xds_name_unref(c);
    assert_int_equal(xds_names_used(XDS_CLUSTER), 0);
}

static void test_tables_of_hosts(void **state)
{
    (void)state;
    struct xds_name *a = xds_name_new(XDS_HOST, STR("8080/a")),
                    *b = xds_name_new(XDS_HOST, STR("8080/b")),
                    *route = xds_name_new(XDS_ROUTE, STR("8080/a"));
    assert_ptr_equal(a->table, b->table);
    assert_str(a->table->text, "8080");
    assert_null(a->table->table);
    assert_null(route->table);
    assert_int_equal(xds_names_used(XDS_HOST), 3);
    xds_name_unref(a);
    xds_name_unref(b);
    xds_name_unref(route);
    assert_int_equal(xds_names_used(XDS_HOST), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_for_all),
        cmocka_unit_test(test_tables_of_hosts),
    };
    return RUN_TESTS(tests);
}
