/* Messages by their descriptors, and the wire under limits. */
#include "test.h"

#include <envoy/config/cluster/v3/cluster.pb-c.h>
#include <envoy/config/core/v3/base.pb-c.h>
#include <envoy/config/rbac/v3/rbac.pb-c.h>
#include <envoy/config/route/v3/route_components.pb-c.h>
#include <errno.h>
#include <google/protobuf/struct.pb-c.h>

#include "codec/pb_msg.h"
#include "codec/pb_path.h"

#define ROUTE_ACTION &envoy__config__route__v3__route_action__descriptor
#define METADATA     &envoy__config__core__v3__metadata__descriptor
#define PERMISSION   &envoy__config__rbac__v3__permission__descriptor

static const ProtobufCFieldDescriptor *field(const ProtobufCMessageDescriptor *d, const char *name)
{
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(d, name);
    assert_non_null(f);
    return f;
}

static void test_what_is_set(void **state)
{
    AUTO(arena) struct arena *a = arena_new(1 << 16);
    Envoy__Config__Route__V3__RouteAction *m = (void *)pb_new(ROUTE_ACTION, a);
    const ProtobufCMessageDescriptor *d = ROUTE_ACTION;
    (void)state;
    assert_non_null(m);
    for (unsigned i = 0; i < d->n_fields; i++)
        assert_false(pb_is_set(&m->base, &d->fields[i]));
    m->prefix_rewrite = NULL;
    assert_false(pb_is_set(&m->base, field(d, "prefix_rewrite")));
    m->prefix_rewrite = (char *)(uintptr_t) "/";
    m->priority = ENVOY__CONFIG__CORE__V3__ROUTING_PRIORITY__HIGH;
    m->append_x_forwarded_host = true;
    assert_true(pb_is_set(&m->base, field(d, "prefix_rewrite")));
    assert_true(pb_is_set(&m->base, field(d, "priority")));
    assert_true(pb_is_set(&m->base, field(d, "append_x_forwarded_host")));
    /* A member of a oneof is set by its case, an empty string too; a message only if it is there.
     */
    m->cluster = (char *)(uintptr_t) "";
    assert_false(pb_is_set(&m->base, field(d, "cluster")));
    m->cluster_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER;
    assert_true(pb_is_set(&m->base, field(d, "cluster")));
    assert_false(pb_is_set(&m->base, field(d, "cluster_header")));
    assert_int_equal(pb_oneof_case(&m->base, field(d, "cluster_header")), 1);
    m->cluster_specifier_case =
        ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS;
    m->weighted_clusters = NULL;
    assert_false(pb_is_set(&m->base, field(d, "weighted_clusters")));
    assert_int_equal(pb_count(&m->base, field(d, "prefix_rewrite")), 1);
    assert_int_equal(pb_count(&m->base, field(d, "hash_policy")), 0);
}

static void test_maps(void **state)
{
    (void)state;
    assert_true(pb_is_map(METADATA, field(METADATA, "filter_metadata")));
    assert_true(pb_is_map(&google__protobuf__struct__descriptor,
                          field(&google__protobuf__struct__descriptor, "fields")));
    assert_false(pb_is_map(ROUTE_ACTION, field(ROUTE_ACTION, "hash_policy")));
    assert_false(pb_is_map(ROUTE_ACTION, field(ROUTE_ACTION, "cluster")));
}

static void test_type_names(void **state)
{
    (void)state;
    assert_str(pb_type_name(STR("type.googleapis.com/a.B")), "a.B");
    assert_str(pb_type_name(STR("a.B")), "a.B");
    assert_str(pb_type_name(STR("x/y/")), "");
    assert_int_equal(pb_type_name(STR("")).n, 0);
}

static int unpack(const ProtobufCMessageDescriptor *d, struct str bytes, size_t cap,
                  struct err *reterr)
{
    AUTO(arena) struct arena *a = arena_new(cap);
    ProtobufCMessage *m = NULL;
    return pb_unpack(d, bytes, a, &m, reterr);
}

static void test_wire_and_back(void **state)
{
    /* weighted_clusters (3) {clusters (1) {name "a", weight {7}}}, an unknown field 500 */
    static const char wire[] = "\x1a\x09\x0a\x07\x0a\x01"
                               "a\x12\x02\x08\x07\xa2\x1f\x01"
                               "u";
    AUTO(arena) struct arena *a = arena_new(1 << 16);
    AUTO_DONE(buf) struct buf b = {0};
    ProtobufCMessage *m = NULL;
    struct err err = {0};
    (void)state;
    assert_ok(pb_unpack(ROUTE_ACTION, str_of(wire, sizeof(wire) - 1), a, &m, &err));
    Envoy__Config__Route__V3__RouteAction *r = (void *)m;
    assert_int_equal(r->weighted_clusters->clusters[0]->weight->value, 7);
    assert_int_equal(m->n_unknown_fields, 1);
    assert_ok(pb_pack(m, &b));
    assert_int_equal(b.n, sizeof(wire) - 1);
    assert_memory_equal(b.p, wire, sizeof(wire) - 1); /* the unknown field comes last */
    assert_ok(pb_unpack(ROUTE_ACTION, STR(""), a, &m, &err));
}

static void test_malformed(void **state)
{
    struct err err = {0};
    (void)state;
    assert_int_equal(unpack(ROUTE_ACTION, STR("\x0a\x05x"), 0, &err), -EBADMSG);
    assert_int_equal(unpack(ROUTE_ACTION, STR("\x1a\x02\x0a\x09"), 0, &err), -EBADMSG);
    assert_string_equal(err.path, "weighted_clusters");
    assert_int_equal(unpack(ROUTE_ACTION,
                            str_of("\x0a\x02"
                                   "a\0",
                                   4),
                            0, &err),
                     -EBADMSG);
    assert_string_equal(err_text(&err), "cluster: a string with a zero byte");
    assert_int_equal(unpack(ROUTE_ACTION, STR("\x0a\x01\xff"), 0, &err), -EBADMSG);
    assert_string_equal(err_text(&err), "cluster: a string that is not UTF-8");
    assert_int_equal(unpack(ROUTE_ACTION, STR("\x08\x01"), 0, &err), -EBADMSG);
    assert_string_equal(err_text(&err), "cluster: is not encoded as its type is");
}

/* not_rule (8) in not_rule: n levels, and any (3) in the middle. */
static size_t nest(unsigned n, char *ret, size_t size)
{
    size_t at = size;
    ret[--at] = 1;
    ret[--at] = 3 << 3;
    for (unsigned i = 0; i < n; i++) {
        size_t length = size - at;
        if (length >= 128)
            ret[--at] = (char)(length >> 7);
        ret[--at] = (char)(length >= 128 ? (length & 0x7f) | 0x80 : length);
        ret[--at] = 8 << 3 | 2;
    }
    return at;
}

static void test_depth(void **state)
{
    char wire[4096];
    struct err err = {0};
    size_t at = nest(PB_DEPTH_MAX - 1, wire, sizeof(wire));
    (void)state;
    assert_ok(unpack(PERMISSION, str_of(wire + at, sizeof(wire) - at), 0, &err));
    at = nest(PB_DEPTH_MAX, wire, sizeof(wire));
    assert_int_equal(unpack(PERMISSION, str_of(wire + at, sizeof(wire) - at), 0, &err), -E2BIG);
    assert_non_null(strstr(err.msg, "deeper than 64"));
    at = nest(1000, wire, sizeof(wire));
    assert_int_equal(unpack(PERMISSION, str_of(wire + at, sizeof(wire) - at), 0, &err), -E2BIG);
}

/* Two bytes of wire are a message of hundreds: the arena's cap holds. */
static void test_memory_has_a_cap(void **state)
{
    char wire[2000];
    struct err err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(wire); i += 2) {
        wire[i] = 15 << 3 | 2; /* hash_policy, empty */
        wire[i + 1] = 0;
    }
    assert_ok(unpack(ROUTE_ACTION, str_of(wire, sizeof(wire)), 1 << 20, &err));
    assert_int_equal(unpack(ROUTE_ACTION, str_of(wire, sizeof(wire)), 20000, &err), -ENOMEM);
    assert_non_null(strstr(err.msg, "over the limit of memory"));
}

static void test_path(void **state)
{
    struct pb_path p = {.n = 0};
    struct err err = {0};
    (void)state;
    pb_path_field(&p, "a");
    pb_path_index(&p, 3);
    size_t mark = pb_path_key(&p, STR("x.y"));
    pb_path_field(&p, "b");
    assert_string_equal(p.text, "a[3][\"x.y\"].b");
    pb_path_back(&p, mark);
    assert_string_equal(p.text, "a[3]");
    for (int i = 0; i < 200; i++)
        pb_path_field(&p, "long_name");
    assert_true(p.n < sizeof(p.text));
    assert_int_equal(pb_path_fail(&p, &err, -EINVAL, "%s", "x"), -EINVAL);
    assert_int_equal(strlen(err.path), sizeof(err.path) - 1);
    assert_true(str_starts(str_from(err.path), STR("...")));
    assert_true(str_ends(str_from(err.path), STR(".long_name")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_set),      cmocka_unit_test(test_maps),
        cmocka_unit_test(test_type_names),       cmocka_unit_test(test_wire_and_back),
        cmocka_unit_test(test_malformed),        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_memory_has_a_cap), cmocka_unit_test(test_path),
    };
    return RUN_TESTS(tests);
}
