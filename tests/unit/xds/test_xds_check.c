/* What the walk of a message finds: fields that are not implemented, extensions, constraints. */
#include "test.h"

#include <envoy/config/cluster/v3/cluster.pb-c.h>
#include <envoy/config/listener/v3/listener.pb-c.h>
#include <envoy/config/rbac/v3/rbac.pb-c.h>
#include <envoy/config/route/v3/route.pb-c.h>
#include <envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality.pb-c.h>
#include <errno.h>
#include <stdio.h>

#include "codec/pb_json.h"
#include "codec/yaml.h"
#include "xds/xds_check.h"

struct world {
    struct arena *arena;
    struct xds_report report;
    int code;
};

static void world_done(struct world *w)
{
    xds_report_done(&w->report);
    arena_free(w->arena);
}

static ProtobufCMessage *parse(struct arena *a, const ProtobufCMessageDescriptor *d,
                               const char *yaml)
{
    AUTO_JSON json_t *j = NULL;
    ProtobufCMessage *m = NULL;
    struct err err = {0};
    if (yaml_parse(str_from(yaml), &j, &err) < 0 ||
        pb_json_parse(j, d, &xds_json_types, a, &m, NULL, &err) < 0)
        fail_msg("%s", err_text(&err));
    return m;
}

static struct world check(const ProtobufCMessageDescriptor *d, const char *yaml)
{
    struct world w = {.arena = arena_new(1 << 20)};
    w.code = xds_check(parse(w.arena, d, yaml), &w.report);
    return w;
}

/* The report as text: "W path: text\n". */
static void assert_found(struct world *w, const char *want)
{
    AUTO_DONE(buf) struct buf b = {0};
    VEC_FOREACH (f, &w->report.findings)
        buf_addf(&b, "%c %s: %s\n", f->state == XDS_WARN ? 'W' : 'R', f->path, f->text);
    assert_string_equal(buf_cstr(&b), want);
    assert_int_equal(w->code, strstr(want, "R ") ? -EINVAL : 0);
}

#define ROUTES   &envoy__config__route__v3__route_configuration__descriptor
#define CLUSTER  &envoy__config__cluster__v3__cluster__descriptor
#define LISTENER &envoy__config__listener__v3__listener__descriptor
#define URL      "\"@type\": type.googleapis.com/"

static void test_supported_is_silent(void **state)
{
    AUTO_DONE(world)
    struct world w =
        check(ROUTES, "name: r\nvirtual_hosts:\n- name: v\n  domains: ['*']\n  routes:\n"
                      "  - match: {prefix: /}\n    route: {cluster: c, timeout: 1s}\n");
    (void)state;
    assert_found(&w, "");
}

static void test_warned_and_refused_fields(void **state)
{
    AUTO_DONE(world)
    struct world w = check(
        CLUSTER,
        "name: c\nwait_for_warm_on_init: true\nper_connection_buffer_limit_bytes: 1000\n"
        "lb_subset_config: {subset_selectors: [{keys: [a]}]}\ntrack_timeout_budgets: false\n");
    (void)state;
    assert_found(
        &w,
        "W per_connection_buffer_limit_bytes: has no effect: buffers have watermarks of their own\n"
        "R lb_subset_config: is not implemented: subsets are not implemented: requests would "
        "reach other hosts\n"
        "W wait_for_warm_on_init: has no effect\n");
}

static void test_path_goes_through_lists_maps_and_anys(void **state)
{
    AUTO_DONE(world)
    struct world w = check(
        LISTENER,
        "name: l\naddress: {socket_address: {address: 127.0.0.1, port_value: "
        "1}}\nfilter_chains:\n- filters:\n  - name: tcp\n    "
        "typed_config: {" URL
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: c, "
        "tunneling_config: {hostname: h}}\n"
        "- filters:\n  - name: hcm\n    typed_config:\n      " URL
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n"
        "      stat_prefix: h\n      route_config:\n        virtual_hosts:\n        - name: v\n"
        "          domains: [a]\n          typed_per_filter_config:\n            a.b: {" URL
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute, "
        "mutations: {query_parameter_mutations: [{}]}}\n");
    (void)state;
    assert_found(&w, "R filter_chains[0].filters[0].typed_config.tunneling_config: is not "
                     "implemented: no tunnels over HTTP\n"
                     "R filter_chains[1].filters[0].typed_config.route_config.virtual_hosts[0]."
                     "typed_per_filter_config[\"a.b\"].mutations.query_parameter_mutations: is "
                     "not implemented\n");
}

static void test_unknown_extension(void **state)
{
    AUTO_DONE(world)
    struct world w = check(
        LISTENER,
        "name: l\naddress: {socket_address: {address: 127.0.0.1, port_value: 1}}\nfilter_chains: "
        "[{filters: [{name: x, typed_config: {" URL
        "istio.Alpn, a: 1}}, {name: b, typed_config: {}}]}]\n");
    (void)state;
    assert_found(&w, "R filter_chains[0].filters[0].typed_config: extension "
                     "type.googleapis.com/istio.Alpn is not implemented\n"
                     "R filter_chains[0].filters[1].typed_config: must have a type URL: a network "
                     "filter\n");
}

#define HCM(filters)                                                                               \
    "name: l\naddress: {socket_address: {address: 127.0.0.1, port_value: 1}}\nfilter_chains: "     \
    "[{filters: [{name: h, typed_config: "                                                         \
    "{" URL "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, "  \
    "stat_prefix: h, route_config: {name: r}, http_filters: [" filters "]}}]}]\n"

static void test_optional_extension_is_a_warning(void **state)
{
    AUTO_DONE(world)
    struct world w =
        check(LISTENER, HCM("{name: x, is_optional: true, typed_config: {" URL "a.B}}, {name: b, "
                            "is_optional: false, typed_config: {" URL "a.C}}"));
    (void)state;
    assert_found(&w, "W filter_chains[0].filters[0].typed_config.http_filters[0].typed_config: "
                     "extension type.googleapis.com/a.B is not implemented: it is left out\n"
                     "R filter_chains[0].filters[0].typed_config.http_filters[1].typed_config: "
                     "extension type.googleapis.com/a.C is not implemented\n");
}

static void test_extension_out_of_its_place(void **state)
{
    AUTO_DONE(world)
    struct world w = check(
        LISTENER, HCM("{name: x, typed_config: {" URL
                      "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, cluster: c}}"));
    (void)state;
    assert_found(&w, "R filter_chains[0].filters[0].typed_config.http_filters[0].typed_config: "
                     "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy is a network filter: "
                     "expected an HTTP filter\n");
}

static void test_contents_that_cannot_be_read(void **state)
{
    AUTO_DONE(world) struct world w = {.arena = arena_new(1 << 20)};
    Envoy__Config__Listener__V3__Listener *l =
        (void *)parse(w.arena, LISTENER,
                      "name: l\naddress: {socket_address: {address: 127.0.0.1, port_value: "
                      "1}}\nfilter_chains: [{filters: [{name: x, typed_config: "
                      "{" URL "envoy.extensions.filters.network.http_connection_manager.v3."
                      "HttpConnectionManager, stat_prefix: c}}]}]");
    (void)state;
    l->filter_chains[0]->filters[0]->typed_config->value.data[0] = 0x0f;
    w.code = xds_check(&l->base, &w.report);
    assert_int_equal(w.code, -EINVAL);
    assert_non_null(strstr(w.report.findings.v[0].text, "does not hold a "
                                                        "envoy.extensions.filters.network"));
}

static void test_unknown_wire_field_is_a_warning(void **state)
{
    /* name "c", field 1000 varint 1, load_assignment (33) with a name and an unknown field 99 */
    static const char wire[] = "\x0a\x01"
                               "c\xc0\x3e\x01\x8a\x02\x06\x0a\x01"
                               "c\x98\x06\x01";
    AUTO(arena) struct arena *a = arena_new(1 << 20);
    AUTO_DONE(xds_report) struct xds_report r = {0};
    ProtobufCMessage *m = NULL;
    struct err err = {0};
    (void)state;
    assert_ok(xds_resource_unpack(XDS_CLUSTER, str_of(wire, sizeof(wire) - 1), a, &m, &r, &err));
    assert_int_equal(r.findings.n, 2);
    assert_string_equal(r.findings.v[0].text,
                        "unknown field 1000 of envoy.config.cluster.v3.Cluster");
    assert_string_equal(r.findings.v[1].path, "load_assignment");
    assert_string_equal(r.findings.v[1].text,
                        "unknown field 99 of envoy.config.endpoint.v3.ClusterLoadAssignment");
    assert_string_equal(((Envoy__Config__Cluster__V3__Cluster *)m)->name, "c");
}

static void test_resource_errors(void **state)
{
    AUTO(arena) struct arena *a = arena_new(1 << 20);
    AUTO_DONE(xds_report) struct xds_report r = {0};
    ProtobufCMessage *m = NULL;
    struct err err = {0};
    (void)state;
    assert_int_equal(xds_resource_unpack(XDS_CLUSTER, STR("\x0a\x05"), a, &m, &r, &err), -EBADMSG);
    assert_int_equal(r.findings.n, 0);
    assert_int_equal(xds_resource_unpack(XDS_CLUSTER, STR(""), a, &m, &r, &err), -EINVAL);
    assert_string_equal(err_text(&err), "name: must not be empty");
    assert_null(m);
}

static void test_enum_and_duration_values(void **state)
{
    AUTO_DONE(world) struct world w = {.arena = arena_new(1 << 20)};
    Envoy__Config__Cluster__V3__Cluster *c =
        (void *)parse(w.arena, CLUSTER, "name: c\ntype: 77\nconnect_timeout: 5s");
    (void)state;
    c->connect_timeout->nanos = -1;
    w.code = xds_check(&c->base, &w.report);
    assert_found(&w, "R type: 77 is no value of envoy.config.cluster.v3.Cluster.DiscoveryType\n"
                     "R connect_timeout: is out of range for a Duration\n");
}

static void test_enum_values_by_the_table(void **state)
{
    AUTO_DONE(world)
    struct world w = check(CLUSTER, "name: c\nring_hash_lb_config: {hash_function: MURMUR_HASH_2}");
    AUTO_DONE(world)
    struct world log = check(&envoy__config__rbac__v3__rbac__descriptor, "action: LOG");
    (void)state;
    assert_found(
        &w, "R ring_hash_lb_config.hash_function: MURMUR_HASH_2 is not implemented: use XX_HASH\n");
    assert_found(&log, ""); /* a value that is used */
}

/* A policy whose only choice is wrr_locality with the inner one. */
static Envoy__Config__Cluster__V3__LoadBalancingPolicy *
wrap(struct arena *a, Envoy__Config__Cluster__V3__LoadBalancingPolicy *inner)
{
    AUTO_DONE(buf) struct buf b = {0};
    Envoy__Extensions__LoadBalancingPolicies__WrrLocality__V3__WrrLocality wrr;
    Envoy__Config__Cluster__V3__LoadBalancingPolicy *outer =
        (void *)parse(a, &envoy__config__cluster__v3__load_balancing_policy__descriptor,
                      "policies: [{typed_extension_config: {name: w, typed_config: {" URL
                      "envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality}}}]");
    envoy__extensions__load_balancing_policies__wrr_locality__v3__wrr_locality__init(&wrr);
    wrr.endpoint_picking_policy = inner;
    assert_ok(pb_pack(&wrr.base, &b));
    struct str bytes = arena_str(a, buf_str(&b));
    outer->policies[0]->typed_extension_config->typed_config->value =
        (ProtobufCBinaryData){bytes.n, (uint8_t *)(uintptr_t)bytes.p};
    return outer;
}

static void test_depth_across_anys(void **state)
{
    AUTO_DONE(world) struct world w = {.arena = arena_new(4 << 20)};
    Envoy__Config__Cluster__V3__LoadBalancingPolicy *p = NULL;
    (void)state;
    for (int i = 0; i < 12; i++)
        p = wrap(w.arena, p);
    w.code = xds_check(&p->base, &w.report); /* the innermost policy is missing, at depth 60 */
    assert_int_equal(w.code, -EINVAL);
    assert_non_null(strstr(w.report.findings.v[0].text, "is required"));
    xds_report_done(&w.report);
    w.code = xds_check(&wrap(w.arena, p)->base, &w.report);
    assert_int_equal(w.code, -EINVAL);
    assert_int_equal(w.report.refused, 1);
    assert_string_equal(w.report.findings.v[0].text, "nested deeper than 64 messages");
}

static void test_any_unpack(void **state)
{
    AUTO(arena) struct arena *a = arena_new(1 << 20);
    Google__Protobuf__Any any;
    ProtobufCMessage *m = NULL;
    struct err err = {0};
    (void)state;
    google__protobuf__any__init(&any);
    any.type_url =
        (char *)(uintptr_t) "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    assert_ok(xds_any_unpack(&any, a, &m, &err));
    assert_string_equal(m->descriptor->name, "envoy.extensions.filters.http.router.v3.Router");
    any.type_url = (char *)(uintptr_t) "x/envoy.extensions.path.rewrite.uri_template.v3."
                                       "UriTemplateRewriteConfig";
    assert_int_equal(xds_any_unpack(&any, a, &m, &err), -ENOENT);
    any.type_url = (char *)(uintptr_t) "x/a.B";
    assert_int_equal(xds_any_unpack(&any, a, &m, &err), -ENOENT);
    assert_string_equal(err_text(&err), "extension x/a.B is not implemented");
}

static void test_report_has_limits(void **state)
{
    AUTO_DONE(buf) struct buf yaml = {0};
    struct err err = {0};
    (void)state;
    buf_add_cstr(&yaml, "name: r\nvirtual_hosts:\n");
    for (int i = 0; i < 100; i++)
        buf_addf(&yaml,
                 "- {name: v%d, domains: [d%d], virtual_clusters: [{name: x}], matcher: {}}\n", i,
                 i);
    AUTO_DONE(world) struct world w = check(ROUTES, buf_cstr(&yaml));
    assert_int_equal(w.report.warned, 100);
    assert_int_equal(w.report.refused, 100);
    assert_int_equal(w.report.findings.n, (size_t)2 * XDS_FINDINGS_MAX);
    assert_int_equal(xds_report_err(&w.report, &err), -EINVAL);
    assert_string_equal(err_text(&err),
                        "virtual_hosts[0].matcher: is not implemented (and 99 more)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_supported_is_silent),
        cmocka_unit_test(test_warned_and_refused_fields),
        cmocka_unit_test(test_path_goes_through_lists_maps_and_anys),
        cmocka_unit_test(test_unknown_extension),
        cmocka_unit_test(test_optional_extension_is_a_warning),
        cmocka_unit_test(test_extension_out_of_its_place),
        cmocka_unit_test(test_contents_that_cannot_be_read),
        cmocka_unit_test(test_unknown_wire_field_is_a_warning),
        cmocka_unit_test(test_resource_errors),
        cmocka_unit_test(test_enum_and_duration_values),
        cmocka_unit_test(test_enum_values_by_the_table),
        cmocka_unit_test(test_depth_across_anys),
        cmocka_unit_test(test_any_unpack),
        cmocka_unit_test(test_report_has_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
