/* The protobuf JSON mapping: what is read, what is refused and with which path, what is printed. */
#include "test.h"

#include <envoy/config/bootstrap/v3/bootstrap.pb-c.h>
#include <envoy/config/cluster/v3/cluster.pb-c.h>
#include <envoy/config/core/v3/base.pb-c.h>
#include <envoy/config/listener/v3/listener_components.pb-c.h>
#include <envoy/config/rbac/v3/rbac.pb-c.h>
#include <envoy/config/route/v3/route_components.pb-c.h>
#include <envoy/type/v3/percent.pb-c.h>
#include <errno.h>
#include <google/protobuf/duration.pb-c.h>
#include <google/protobuf/struct.pb-c.h>
#include <google/protobuf/timestamp.pb-c.h>
#include <google/protobuf/wrappers.pb-c.h>

#include "codec/pb_json.h"

#define CLUSTER &envoy__config__cluster__v3__cluster__descriptor
#define ROUTE   &envoy__config__route__v3__route__descriptor
#define ACTION  &envoy__config__route__v3__route_action__descriptor
#define NODE    &envoy__config__core__v3__node__descriptor
#define FILTER  &envoy__config__listener__v3__filter__descriptor

static const ProtobufCMessageDescriptor *find(struct str name)
{
    static const ProtobufCMessageDescriptor *const known[] = {
        FILTER, ACTION, &google__protobuf__duration__descriptor,
        &google__protobuf__struct__descriptor, &google__protobuf__uint32_value__descriptor};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_is(name, known[i]->name))
            return known[i];
    return NULL;
}

static bool is_opaque(const ProtobufCMessageDescriptor *d)
{
    return pb_type_is(d, "envoy.config.bootstrap.v3.Watchdog");
}

static const struct pb_json_types strict = {find, is_opaque, false}, lax = {find, is_opaque, true};

/* Reads, packs, unpacks, prints. */
static void assert_same(const ProtobufCMessageDescriptor *d, const char *in, const char *out,
                        const struct pb_json_types *types)
{
    AUTO(arena) struct arena *a = arena_new(1 << 20);
    AUTO_DONE(buf) struct buf wire = {0};
    AUTO_DONE(buf) struct buf text = {0};
    AUTO_JSON json_t *j = NULL;
    AUTO_JSON json_t *back = NULL;
    ProtobufCMessage *m = NULL;
    struct err err = {0};
    j = json_loads(in, JSON_DECODE_ANY, NULL);
    assert_non_null(j);
    if (pb_json_parse(j, d, types, a, &m, NULL, &err) < 0)
        fail_msg("%s: %s", in, err_text(&err));
    assert_ok(pb_pack(m, &wire));
    assert_ok(pb_unpack(d, buf_str(&wire), a, &m, &err));
    if (pb_json_print(m, types, &back, &err) < 0)
        fail_msg("%s: %s", in, err_text(&err));
    json_write(&text, back);
    assert_string_equal(buf_cstr(&text), out);
}

static void assert_refused(const ProtobufCMessageDescriptor *d, const char *in, const char *want)
{
    AUTO(arena) struct arena *a = arena_new(1 << 20);
    AUTO_JSON json_t *j = NULL;
    ProtobufCMessage *m = NULL;
    struct pb_path path = {.n = 0};
    struct err err = {0};
    j = json_loads(in, JSON_DECODE_ANY, NULL);
    assert_non_null(j);
    if (pb_json_parse(j, d, &strict, a, &m, &path, &err) != -EINVAL)
        fail_msg("accepted: %s", in);
    assert_string_equal(err_text(&err), want);
    assert_string_equal(path.text, err.path);
    assert_null(m);
}

static void test_names_and_scalars(void **state)
{
    (void)state;
    assert_same(
        ACTION, "{\"cluster\":\"c\",\"prefixRewrite\":\"/x\",\"append_x_forwarded_host\":true}",
        "{\"cluster\":\"c\",\"prefix_rewrite\":\"/x\",\"append_x_forwarded_host\":true}", &strict);
    assert_same(ACTION, "{\"priority\":\"HIGH\"}", "{\"priority\":\"HIGH\"}", &strict);
    assert_same(ACTION, "{\"priority\":1}", "{\"priority\":\"HIGH\"}", &strict);
    assert_same(ACTION, "{\"priority\":0}", "{}", &strict);
    assert_same(ACTION, "{\"priority\":77}", "{\"priority\":77}", &strict);
    assert_same(ACTION, "{\"prefix_rewrite\":null,\"hash_policy\":[],\"timeout\":null}", "{}",
                &strict);
    assert_same(&envoy__type__v3__percent__descriptor, "{\"value\":\"12.5\"}", "{\"value\":12.5}",
                &strict);
    assert_same(&envoy__type__v3__percent__descriptor, "{\"value\":\"-Infinity\"}",
                "{\"value\":\"-Infinity\"}", &strict);
    assert_same(&envoy__type__v3__fractional_percent__descriptor, "{\"numerator\":5.0}",
                "{\"numerator\":5}", &strict);
    assert_same(&envoy__config__core__v3__data_source__descriptor, "{\"inlineBytes\":\"-_8\"}",
                "{\"inline_bytes\":\"+/8=\"}", &strict);
    assert_same(&envoy__config__core__v3__data_source__descriptor, "{\"inline_bytes\":\"+/8\"}",
                "{\"inline_bytes\":\"+/8=\"}", &strict);
    assert_same(&envoy__config__core__v3__data_source__descriptor, "{\"inline_string\":\"\"}",
                "{\"inline_string\":\"\"}", &strict); /* a member of a oneof */
}

static void test_wide_numbers(void **state)
{
    (void)state;
    assert_same(&google__protobuf__uint64_value__descriptor, "\"18446744073709551615\"",
                "\"18446744073709551615\"", &strict);
    assert_same(&google__protobuf__uint64_value__descriptor, "7", "\"7\"", &strict);
    assert_same(&google__protobuf__int64_value__descriptor, "\"-9223372036854775808\"",
                "\"-9223372036854775808\"", &strict);
    assert_refused(&google__protobuf__int64_value__descriptor, "\"9223372036854775808\"",
                   "a number out of range");
    assert_refused(&google__protobuf__uint64_value__descriptor, "-1", "a number out of range");
    assert_refused(&google__protobuf__uint32_value__descriptor, "4294967296",
                   "a number out of range");
    assert_refused(&google__protobuf__int32_value__descriptor, "-2147483649",
                   "a number out of range");
    assert_refused(&google__protobuf__uint32_value__descriptor, "1.5",
                   "expected an integer, not 1.5");
    assert_refused(&google__protobuf__uint32_value__descriptor, "1e300", "1e+300 is out of range");
    assert_refused(&google__protobuf__uint32_value__descriptor, "\"0x10\"",
                   "expected an integer, not the string \"0x10\"");
    assert_refused(&google__protobuf__float_value__descriptor, "1e39", "1e+39 is out of range");
    assert_refused(&google__protobuf__double_value__descriptor, "\"inf\"",
                   "expected a number, not the string \"inf\"");
    assert_refused(&google__protobuf__double_value__descriptor, "\"1x\"",
                   "expected a number, not the string \"1x\"");
}

static void test_known_types(void **state)
{
    (void)state;
    assert_same(CLUSTER, "{\"connectTimeout\":\"0.25s\",\"dnsRefreshRate\":\"60s\"}",
                "{\"connect_timeout\":\"0.250s\",\"dns_refresh_rate\":\"60s\"}", &strict);
    assert_same(&google__protobuf__timestamp__descriptor, "\"2026-01-31T12:00:00Z\"",
                "\"2026-01-31T12:00:00Z\"", &strict);
    assert_same(CLUSTER, "{\"max_requests_per_connection\":0}",
                "{\"max_requests_per_connection\":0}",
                &strict); /* a wrapper tells 0 from nothing */
    assert_same(
        NODE, "{\"metadata\":{\"a\":1,\"b\":[true,null,\"x\",{\"c\":{}}],\"d\":-0.5,\"e\":null}}",
        "{\"metadata\":{\"a\":1.0,\"b\":[true,null,\"x\",{\"c\":{}}],\"d\":-0.5,\"e\":null}}",
        &strict);
    assert_same(&google__protobuf__bool_value__descriptor, "false", "false", &strict);
    assert_same(&google__protobuf__bytes_value__descriptor, "\"AQI=\"", "\"AQI=\"", &strict);
    assert_same(&google__protobuf__value__descriptor, "null", "null", &strict);
    assert_same(&google__protobuf__list_value__descriptor, "[[],{}]", "[[],{}]", &strict);
}

static void test_maps(void **state)
{
    (void)state;
    assert_same(&envoy__config__core__v3__metadata__descriptor,
                "{\"filter_metadata\":{\"envoy.lb\":{\"v\":\"1\"},\"b\":{}}}",
                "{\"filter_metadata\":{\"envoy.lb\":{\"v\":\"1\"},\"b\":{}}}", &strict);
    assert_refused(&envoy__config__core__v3__metadata__descriptor,
                   "{\"filterMetadata\":{\"envoy.lb\":5}}",
                   "filter_metadata[\"envoy.lb\"]: expected an object, not an integer");
    assert_refused(&envoy__config__core__v3__metadata__descriptor, "{\"filter_metadata\":[]}",
                   "filter_metadata: expected an object, not a list");
}

static void test_any(void **state)
{
    (void)state;
    assert_same(
        FILTER,
        "{\"typed_config\":{\"@type\":\"type.googleapis.com/envoy.config.listener.v3.Filter\","
        "\"name\":\"in\",\"typedConfig\":{\"@type\":\"x/google.protobuf.Duration\",\"value\":"
        "\"1s\"}}}",
        "{\"typed_config\":{\"@type\":\"type.googleapis.com/envoy.config.listener.v3.Filter\","
        "\"name\":\"in\",\"typed_config\":{\"@type\":\"x/google.protobuf.Duration\",\"value\":"
        "\"1s\"}}}",
        &strict);
    assert_same(FILTER, "{\"typed_config\":{}}", "{\"typed_config\":{}}", &strict);
    assert_same(FILTER, "{\"typed_config\":{\"@type\":\"a/B\",\"value\":\"AQI=\"}}",
                "{\"typed_config\":{\"@type\":\"a/B\",\"value\":\"AQI=\"}}", &lax);
    assert_same(FILTER, "{\"typed_config\":{\"@type\":\"a/B\",\"other\":1}}",
                "{\"typed_config\":{\"@type\":\"a/B\"}}", &lax);
    assert_refused(FILTER, "{\"typed_config\":{\"@type\":\"a/B\"}}",
                   "typed_config: the type \"a/B\" is not known");
    assert_refused(FILTER, "{\"typed_config\":{\"name\":1}}",
                   "typed_config: expected \"@type\", such as "
                   "\"type.googleapis.com/google.protobuf.Duration\"");
    assert_refused(FILTER,
                   "{\"typed_config\":{\"@type\":\"a/google.protobuf.Duration\",\"value\":\"1s\","
                   "\"x\":1}}",
                   "typed_config: expected \"value\" beside \"@type\": google.protobuf.Duration");
    assert_refused(
        FILTER,
        "{\"typed_config\":{\"@type\":\"a/envoy.config.listener.v3.Filter\",\"typed_config\":"
        "{\"@type\":\"a/envoy.config.route.v3.RouteAction\",\"hash_policy\":[{},{\"cookie\":"
        "{\"ttl\":5}}]}}}",
        "typed_config.typed_config.hash_policy[1].cookie.ttl: expected a duration such as "
        "\"0.25s\", not an integer");
}

static void test_refused(void **state)
{
    (void)state;
    assert_refused(ROUTE, "{\"route\":{\"nosuch\":1}}",
                   "route.nosuch: unknown field of envoy.config.route.v3.RouteAction");
    assert_refused(ROUTE, "{\"route\":{},\"redirect\":{}}",
                   "redirect: excludes route: only one of them may be set");
    assert_refused(ACTION, "{\"prefix_rewrite\":\"a\",\"prefixRewrite\":\"b\"}",
                   "prefix_rewrite: is there twice");
    assert_refused(ACTION, "{\"priority\":\"LOW\"}",
                   "priority: \"LOW\" is no value of envoy.config.core.v3.RoutingPriority");
    assert_refused(ACTION, "{\"priority\":true}",
                   "priority: expected the name of a value, not a boolean");
    assert_refused(ACTION, "{\"append_x_forwarded_host\":\"true\"}",
                   "append_x_forwarded_host: expected true or false, not a string");
    assert_refused(ACTION, "{\"hash_policy\":{}}", "hash_policy: expected a list, not an object");
    assert_refused(ACTION, "{\"hash_policy\":[null]}",
                   "hash_policy[0]: expected an object, not null");
    assert_refused(ACTION, "{\"timeout\":\"1m\"}",
                   "timeout: expected a duration such as \"0.25s\", not \"1m\"");
    assert_refused(ACTION, "{\"prefix_rewrite\":5}",
                   "prefix_rewrite: expected a string, not an integer");
    assert_refused(&envoy__config__core__v3__data_source__descriptor, "{\"inline_bytes\":\"a\"}",
                   "inline_bytes: expected bytes in base64");
    assert_refused(ACTION, "[]", "expected an object, not a list");
}

static void test_opaque_is_passed_over(void **state)
{
    (void)state;
    assert_same(&envoy__config__bootstrap__v3__bootstrap__descriptor,
                "{\"watchdog\":{\"miss_timeout\":\"1s\"}}", "{\"watchdog\":{}}", &strict);
}

static void nest(struct buf *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        buf_add_cstr(b, "{\"not_rule\":");
    buf_add_cstr(b, "{}");
    for (unsigned i = 0; i < n; i++)
        buf_add_char(b, '}');
}

static void test_depth(void **state)
{
    (void)state;
    for (unsigned n = PB_DEPTH_MAX - 1; n <= PB_DEPTH_MAX; n++) {
        AUTO(arena) struct arena *a = arena_new(1 << 20);
        AUTO_DONE(buf) struct buf b = {0};
        AUTO_JSON json_t *j = NULL;
        ProtobufCMessage *m = NULL;
        struct err err = {0};
        nest(&b, n);
        assert_ok(json_parse(buf_str(&b), 0, NULL, &j, &err));
        assert_int_equal(pb_json_parse(j, &envoy__config__rbac__v3__permission__descriptor, &strict,
                                       a, &m, NULL, &err),
                         n < PB_DEPTH_MAX ? 0 : -E2BIG);
    }
}

static void test_memory_has_a_cap(void **state)
{
    AUTO_JSON json_t *j = json_object();
    ProtobufCMessage *m = NULL;
    struct err err = {0};
    (void)state;
    json_put_str(j, "prefix_rewrite", "a long enough text for the arena");
    for (size_t cap = 16; cap < 2000; cap += 16) {
        AUTO(arena) struct arena *a = arena_new(cap);
        int code = pb_json_parse(j, ACTION, &strict, a, &m, NULL, &err);
        assert_true(code == 0 || code == -ENOMEM);
        if (cap == 16)
            assert_int_equal(code, -ENOMEM);
    }
}

static void test_what_has_no_json(void **state)
{
    AUTO(arena) struct arena *a = arena_new(1 << 16);
    json_t *j = NULL;
    struct err err = {0};
    Envoy__Config__Cluster__V3__Cluster *c = (void *)pb_new(CLUSTER, a);
    Envoy__Config__Listener__V3__Filter *f = (void *)pb_new(FILTER, a);
    Google__Protobuf__Duration d;
    Google__Protobuf__Any any;
    (void)state;
    google__protobuf__duration__init(&d);
    google__protobuf__any__init(&any);
    d.nanos = 2000000000;
    c->connect_timeout = &d;
    assert_int_equal(pb_json_print(&c->base, &strict, &j, &err), -EINVAL);
    assert_string_equal(err_text(&err), "connect_timeout: is out of range for a Duration");
    any.type_url = (char *)(uintptr_t) "x/google.protobuf.Duration";
    any.value = (ProtobufCBinaryData){1, (uint8_t *)(uintptr_t) "\x08"};
    f->config_type_case = ENVOY__CONFIG__LISTENER__V3__FILTER__CONFIG_TYPE_TYPED_CONFIG;
    f->typed_config = &any;
    assert_int_equal(pb_json_print(&f->base, &strict, &j, &err), -EINVAL);
    assert_non_null(
        strstr(err_text(&err), "typed_config: does not hold a google.protobuf.Duration"));
    assert_null(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_scalars),
        cmocka_unit_test(test_wide_numbers),
        cmocka_unit_test(test_known_types),
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_opaque_is_passed_over),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_memory_has_a_cap),
        cmocka_unit_test(test_what_has_no_json),
    };
    return RUN_TESTS(tests);
}
