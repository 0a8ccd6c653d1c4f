/* Lines of field paths in YAML and JSON. */
#include "test.h"

#include "codec/yaml_where.h"

static const char yaml[] = "# a comment\n"        /* 1 */
                           "a:\n"                 /* 2 */
                           "  perTryTimeout: 1\n" /* 3 */
                           "list:\n"              /* 4 */
                           "- x: {y: 1,\n"        /* 5 */
                           "   z: [1,\n"          /* 6 */
                           "    2]}\n"            /* 7 */
                           "- &anchor\n"          /* 8 */
                           "  \"b.c\":\n"         /* 9 */
                           "    d: 1\n"           /* 10 */
                           "e: *anchor\n"         /* 11 */
                           "f: |\n"               /* 12 */
                           "  text: 1\n";         /* 13 */

static size_t where(const char *path)
{
    return yaml_where(str_from(yaml), str_from(path));
}

static void test_yaml(void **state)
{
    (void)state;
    assert_int_equal(where(""), 2);
    assert_int_equal(where("a"), 2);
    assert_int_equal(where("a.per_try_timeout"), 3);
    assert_int_equal(where("a.perTryTimeout"), 3);
    assert_int_equal(where("list[0].x.y"), 5);
    assert_int_equal(where("list[0].x.z"), 6);
    assert_int_equal(where("list[0].x.z[1]"), 7);
    assert_int_equal(where("list[1][\"b.c\"].d"), 10);
}

static void test_nearest_line(void **state)
{
    (void)state;
    assert_int_equal(where("a.nosuch"), 2);
    assert_int_equal(where("list[7]"), 4);
    assert_int_equal(where("list[1].x"), 8);
    assert_int_equal(where("e[\"b.c\"].d"), 11); /* an alias is not followed */
    assert_int_equal(where("f.text"), 12);
    assert_int_equal(where("nosuch"), 2);
    assert_int_equal(where("list[x]"), 4);
    assert_int_equal(where("list["), 4);
    assert_int_equal(where("[\"b"), 2);
}

static void test_json(void **state)
{
    static const char json[] =
        "{\n \"a\": [\n  {\"b\": 1},\n  {\"b\": \"\\u00e4\",\n   \"c_d\": 2}]\n}";
    (void)state;
    assert_int_equal(yaml_where(str_from(json), STR("a[0].b")), 3);
    assert_int_equal(yaml_where(str_from(json), STR("a[1].c_d")), 5);
}

static void test_what_cannot_be_read(void **state)
{
    (void)state;
    assert_int_equal(yaml_where(STR(""), STR("a")), 0);
    assert_int_equal(yaml_where(STR("a: [1, 2"), STR("a[5]")), 1);
    assert_int_equal(yaml_where(STR("\xff\xff"), STR("a")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml),
        cmocka_unit_test(test_nearest_line),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_what_cannot_be_read),
    };
    return RUN_TESTS(tests);
}
