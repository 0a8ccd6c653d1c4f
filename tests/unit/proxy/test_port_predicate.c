/* To which ports a listener filter is not run. */
#include "json_text.h"

#include "codec/pb_json.h"
#include "proxy/port_predicate.h"
#include "xds/xds_types.h"

#define RANGE(a, b) "{'destination_port_range':{'start':" #a ",'end':" #b "}}"

static int compile(const char *text, struct port_predicate **ret, struct err *err)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_JSON json_t *j = json_of(text);
    struct compile c = {.scratch = a, .err = err};
    ProtobufCMessage *m;
    assert_ok(pb_json_parse(
        j, &envoy__config__listener__v3__listener_filter_chain_match_predicate__descriptor,
        &xds_json_types, a, &m, NULL, err));
    return port_predicate_compile(&c, (const void *)m, ret);
}

static void test_ports(void **state)
{
    static const struct {
        const char *text;
        bool at[4]; /* 79, 80, 89, 90 */
    } cases[] = {
        {RANGE(80, 90), {false, true, true, false}},
        {"{'any_match':true}", {true, true, true, true}},
        {"{'not_match':" RANGE(80, 90) "}", {true, false, false, true}},
        {"{'or_match':{'rules':[" RANGE(79, 80) "," RANGE(90, 91) "]}}",
         {true, false, false, true}},
        {"{'and_match':{'rules':[" RANGE(0, 90) ",{'not_match':" RANGE(80, 81) "}]}}",
         {true, false, true, false}},
    };
    static const uint16_t ports[] = {79, 80, 89, 90};
    (void)state;
    assert_false(port_predicate_holds(NULL, 80));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct port_predicate *p = NULL;
        struct err err = {0};
        assert_ok(compile(cases[i].text, &p, &err));
        for (size_t k = 0; k < ARRAY_LEN(ports); k++)
            if (port_predicate_holds(p, ports[k]) != cases[i].at[k])
                fail_msg("%s at %u", cases[i].text, ports[k]);
        port_predicate_free(p);
    }
}

static void test_what_is_wrong(void **state)
{
    AUTO_DONE(buf) struct buf deep = {0};
    struct port_predicate *p = NULL;
    struct err err = {0};
    (void)state;
    assert_true(compile("{}", &p, &err) < 0);
    assert_true(compile("{'or_match':{'rules':[" RANGE(1, 2) "]}}", &p, &err) < 0);
    assert_true(compile("{'and_match':{'rules':[" RANGE(1, 2) ",{}]}}", &p, &err) < 0);
    for (int i = 0; i < PORT_PREDICATE_DEPTH_MAX + 1; i++)
        buf_add_cstr(&deep, "{'not_match':");
    buf_add_cstr(&deep, "{'any_match':true}");
    for (int i = 0; i < PORT_PREDICATE_DEPTH_MAX + 1; i++)
        buf_add_char(&deep, '}');
    assert_true(compile(buf_cstr(&deep), &p, &err) < 0);
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
