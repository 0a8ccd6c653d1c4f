/* Sets of fields: what they are as text, and what two of them make. */
#include <errno.h>

#include "lab/apiserver/fields_v1.h"
#include "test.h"

static struct fields *parse(const char *text)
{
    AUTO_JSON json_t *j = json_loads(text, 0, NULL);
    struct fields *f = NULL;
    assert_int_equal(fields_parse(j, &f, NULL), 0);
    return f;
}

static void assert_fields(const struct fields *f, const char *want)
{
    AUTO_DONE(buf) struct buf b = {0};
    fields_write(&b, f);
    assert_string_equal(buf_cstr(&b), want);
}

static void test_text(void **state)
{
    (void)state;
    AUTO_FIELDS struct fields *f =
        parse("{\"f:b\":{\".\":{},\"k:{\\\"name\\\":\\\"x\\\"}\":{}},\"f:a\":{\"f:c\":{}}}");
    assert_fields(f, "{\"f:a\":{\"f:c\":{}},\"f:b\":{\".\":{},\"k:{\\\"name\\\":\\\"x\\\"}\":{}}}");
    struct fields *none = NULL;
    AUTO_JSON json_t *bad = json_loads("{\"spec\":{}}", 0, NULL);
    struct err err = {0};
    assert_int_equal(fields_parse(bad, &none, &err), -EINVAL);
    assert_string_equal(err.msg, "\"spec\" is no member of a set of fields");
}

static void test_two_sets(void **state)
{
    (void)state;
    AUTO_FIELDS struct fields *a = parse("{\"f:a\":{\".\":{},\"f:x\":{},\"f:y\":{}},\"f:b\":{}}");
    AUTO_FIELDS struct fields *b = parse("{\"f:a\":{\"f:x\":{}},\"f:c\":{}}");
    AUTO_FIELDS struct fields *both = fields_copy(a);
    AUTO_FIELDS struct fields *left = fields_copy(a);
    AUTO_FIELDS struct fields *common = fields_copy(a);
    fields_add(both, b);
    fields_subtract(left, b);
    fields_intersect(common, b);
    assert_fields(both, "{\"f:a\":{\".\":{},\"f:x\":{},\"f:y\":{}},\"f:b\":{},\"f:c\":{}}");
    assert_fields(left, "{\"f:a\":{\".\":{},\"f:y\":{}},\"f:b\":{}}");
    assert_fields(common, "{\"f:a\":{\"f:x\":{}}}");
    assert_true(fields_equal(a, a));
    assert_false(fields_equal(a, left));
    fields_subtract(common, common);
    assert_true(fields_is_empty(common));
}

static void test_parents_are_named_members_only(void **state)
{
    (void)state;
    AUTO_FIELDS struct fields *f = parse("{\"f:a\":{\"k:{\\\"n\\\":1}\":{\"f:v\":{\"f:w\":{}}}}}");
    fields_add_parents(f);
    assert_fields(f, "{\"f:a\":{\".\":{},\"k:{\\\"n\\\":1}\":{\"f:v\":{\".\":{},\"f:w\":{}}}}}");
}

static void add_line(void *user, const char *path)
{
    buf_addf(user, "%s\n", path);
}

static void test_paths(void **state)
{
    (void)state;
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_FIELDS struct fields *f =
        parse("{\"f:spec\":{\"f:ports\":{\"k:{\\\"port\\\":80,\\\"protocol\\\":\\\"TCP\\\"}\":{"
              "\"f:name\":{}}},\"f:set\":{\"v:\\\"x\\\"\":{}}}}");
    fields_each(f, add_line, &b);
    assert_string_equal(buf_cstr(&b), ".spec.ports[port=80,protocol=\"TCP\"].name\n"
                                      ".spec.set[=\"x\"]\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_two_sets),
        cmocka_unit_test(test_parents_are_named_members_only),
        cmocka_unit_test(test_paths),
    };
    return RUN_TESTS(tests);
}
