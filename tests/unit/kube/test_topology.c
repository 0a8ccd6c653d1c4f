/* What endpoints say of their place, and what that means for another. */
#include "kube/topology.h"
#include "test.h"

static void read_endpoint(const char *text, struct buf *ret)
{
    AUTO_JSON json_t *j = NULL;
    assert_ok(json_parse(str_from(text), 0, NULL, &j, NULL));
    topology_read(j, ret);
}

static unsigned ask(const char *text, const char *node, const char *zone)
{
    AUTO_DONE(buf) struct buf b = {0};
    read_endpoint(text, &b);
    return topology_ask(buf_str(&b), &(struct place){node, zone});
}

static void test_node_and_zone(void **state)
{
    AUTO_DONE(buf) struct buf b = {0};
    (void)state;
    read_endpoint("{\"nodeName\":\"n1\",\"zone\":\"z1\"}", &b);
    assert_string_equal(topology_node(buf_str(&b)), "n1");
    assert_string_equal(topology_zone(buf_str(&b)), "z1");
    read_endpoint("{}", &b);
    assert_int_equal(b.n, 0);
    assert_null(topology_node(buf_str(&b)));
    assert_int_equal(ask("{\"nodeName\":\"n1\"}", "n1", NULL), TOPOLOGY_HERE);
    assert_int_equal(ask("{\"nodeName\":\"n1\"}", "n11", "n1"), 0);
    assert_int_equal(ask("{\"nodeName\":\"n1\",\"zone\":\"z1\"}", NULL, "z1"), 0);
    assert_int_equal(ask("{}", "n1", "z1"), TOPOLOGY_NO_NODE);
    assert_int_equal(ask("{\"nodeName\":\"\"}", "", ""), TOPOLOGY_NO_NODE);
}

#define HINTS(kind, ...) "{\"nodeName\":\"n1\",\"hints\":{\"" kind "\":[" __VA_ARGS__ "]}}"
#define NAME(name)       "{\"name\":\"" name "\"}"

static void test_hints(void **state)
{
    (void)state;
    assert_int_equal(ask(HINTS("forZones", NAME("z1") "," NAME("z2")), "n2", "z2"),
                     TOPOLOGY_ZONE_HINTS | TOPOLOGY_ZONE_HINT_HERE);
    assert_int_equal(ask(HINTS("forZones", NAME("z1") "," NAME("z2")), "z1", "n1"),
                     TOPOLOGY_ZONE_HINTS);
    assert_int_equal(ask(HINTS("forZones", NAME("z1")), "n1", NULL),
                     TOPOLOGY_HERE | TOPOLOGY_ZONE_HINTS);
    assert_int_equal(ask(HINTS("forNodes", NAME("n2")), "n2", "z2"),
                     TOPOLOGY_NODE_HINTS | TOPOLOGY_NODE_HINT_HERE);
    assert_int_equal(ask(HINTS("forZones", ""), "n2", "z2"), 0);
    assert_int_equal(ask(HINTS("forZones", "{}"), "n2", "z2"), TOPOLOGY_ZONE_HINTS);
}

static void test_the_order_of_hints_cannot_be_seen(void **state)
{
    AUTO_DONE(buf) struct buf a = {0}, b = {0};
    (void)state;
    read_endpoint(HINTS("forZones", NAME("z1") "," NAME("z2")), &a);
    read_endpoint(HINTS("forZones", NAME("z2") "," NAME("z1") "," NAME("z2")), &b);
    assert_true(str_eq(buf_str(&a), buf_str(&b)));
    read_endpoint(HINTS("forNodes", NAME("z1") "," NAME("z2")), &b);
    assert_false(str_eq(buf_str(&a), buf_str(&b)));
}

static void test_hints_have_a_limit(void **state)
{
    AUTO_JSON json_t *j = json_object();
    AUTO_DONE(buf) struct buf b = {0};
    json_t *list = json_array();
    (void)state;
    for (int i = 0; i < 1000; i++) {
        AUTO_CHARS char *name = xasprintf("zone-%d", i);
        json_array_append_new(list, json_pack("{s:s}", "name", name));
    }
    json_put(j, "hints.forZones", list);
    topology_read(j, &b);
    assert_true(b.n <= TOPOLOGY_HINTS_MAX * sizeof("zone-999") + TOPOLOGY_HINTS_MAX);
    assert_true(topology_ask(buf_str(&b), &(struct place){"n", "zone-0"}) &
                TOPOLOGY_ZONE_HINT_HERE);
    assert_int_equal(topology_ask(buf_str(&b), &(struct place){"n", "zone-999"}),
                     TOPOLOGY_NO_NODE | TOPOLOGY_ZONE_HINTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_and_zone),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_the_order_of_hints_cannot_be_seen),
        cmocka_unit_test(test_hints_have_a_limit),
    };
    return RUN_TESTS(tests);
}
