/* The constraints of single fields, one of each kind, and their texts. */
#include "test.h"

#include <envoy/config/accesslog/v3/accesslog.pb-c.h>
#include <envoy/config/cluster/v3/cluster.pb-c.h>
#include <envoy/config/core/v3/address.pb-c.h>
#include <envoy/config/core/v3/base.pb-c.h>
#include <envoy/config/core/v3/health_check.pb-c.h>
#include <envoy/config/endpoint/v3/endpoint_components.pb-c.h>
#include <envoy/config/rbac/v3/rbac.pb-c.h>
#include <envoy/config/route/v3/route.pb-c.h>
#include <envoy/config/route/v3/route_components.pb-c.h>
#include <envoy/extensions/filters/http/fault/v3/fault.pb-c.h>
#include <envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h>
#include <errno.h>

#include "codec/pb_json.h"
#include "codec/yaml.h"
#include "xds/xds_types.h"
#include "xds/xds_validate.h"

/* The first refusal of a message; "" if there is none. */
static void assert_says(const ProtobufCMessageDescriptor *d, const char *yaml, const char *want)
{
    AUTO(arena) struct arena *a = arena_new(1 << 20);
    AUTO_DONE(xds_report) struct xds_report r = {0};
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_JSON json_t *j = NULL;
    struct pb_path path = {.n = 0};
    ProtobufCMessage *m = NULL;
    struct err err = {0};
    if (yaml_parse(str_from(yaml), &j, &err) < 0 ||
        pb_json_parse(j, d, &xds_json_types, a, &m, NULL, &err) < 0)
        fail_msg("%s", err_text(&err));
    xds_validate(m, &path, &r);
    if (r.findings.n)
        buf_addf(&b, "%s: %s", r.findings.v[0].path, r.findings.v[0].text);
    assert_string_equal(buf_cstr(&b), want);
    assert_int_equal(path.n, 0);
}

#define ADDRESS &envoy__config__core__v3__socket_address__descriptor
#define CLUSTER &envoy__config__cluster__v3__cluster__descriptor
#define ROUTE   &envoy__config__route__v3__route__descriptor
#define HOST    &envoy__config__route__v3__virtual_host__descriptor

static void test_ranges(void **state)
{
    (void)state;
    assert_says(ADDRESS, "{address: a, port_value: 65535}", "");
    assert_says(ADDRESS, "{address: a, port_value: 65536}",
                "port_value: must be at most 65535, not 65536");
    assert_says(ADDRESS, "{address: a, named_port: x}", ""); /* port_value is not set */
    assert_says(&envoy__config__cluster__v3__cluster__ring_hash_lb_config__descriptor,
                "{maximum_ring_size: 9000000}",
                "maximum_ring_size: must be at most 8388608, not 9000000");
    assert_says(&envoy__config__cluster__v3__outlier_detection__descriptor,
                "{max_ejection_percent: 101}",
                "max_ejection_percent: must be at most 100, not 101");
    assert_says(&envoy__extensions__filters__http__fault__v3__fault_abort__descriptor,
                "{http_status: 700}", "http_status: must be between 200 and 599, not 700");
    assert_says(&envoy__extensions__filters__http__fault__v3__fault_abort__descriptor,
                "{http_status: 199}", "http_status: must be between 200 and 599, not 199");
    assert_says(&envoy__config__endpoint__v3__lb_endpoint__descriptor, "{load_balancing_weight: 0}",
                "load_balancing_weight: must be at least 1, not 0");
}

static void test_texts(void **state)
{
    (void)state;
    assert_says(CLUSTER, "{}", "name: must not be empty");
    assert_says(&envoy__config__core__v3__header_value__descriptor, "{key: 'a b'}",
                "key: must be the name of a header");
    assert_says(&envoy__config__core__v3__header_value__descriptor, "{key: ':path', value: x}", "");
    assert_says(&envoy__config__core__v3__header_value__descriptor,
                "{key: a, value: \"x\\r\\nevil: 1\"}",
                "value: must be the value of a header, of one line");
    assert_says(HOST, "{name: v, domains: [a], request_headers_to_remove: [ok, '']}",
                "request_headers_to_remove[1]: must not be empty");
}

static void test_messages_and_lists(void **state)
{
    (void)state;
    assert_says(ROUTE, "{route: {cluster: c}}", "match: is required");
    assert_says(HOST, "{name: v}", "domains: must have at least 1 items, not 0");
    assert_says(ROUTE, "{match: {prefix: /}}",
                ": one of route, redirect, direct_response, filter_action, non_forwarding_action "
                "must be set");
    assert_says(&envoy__config__core__v3__transport_socket__descriptor, "{name: a}",
                ": typed_config must be set");
    assert_says(&envoy__config__accesslog__v3__or_filter__descriptor, "{filters: [{}]}",
                "filters: must have at least 2 items, not 1");
}

static void test_durations(void **state)
{
    (void)state;
    assert_says(CLUSTER, "{name: c, connect_timeout: 0s}",
                "connect_timeout: must be longer than 0s");
    assert_says(CLUSTER, "{name: c, connect_timeout: 0.000000001s}", "");
    assert_says(CLUSTER, "{name: c, dns_refresh_rate: 0.001s}",
                "dns_refresh_rate: must be longer than 0.001s");
    assert_says(CLUSTER, "{name: c, dns_refresh_rate: 300000000000s}", "");
}

static void test_flags_and_values(void **state)
{
    (void)state;
    assert_says(&envoy__config__rbac__v3__permission__descriptor, "{any: true}", "");
    assert_says(&envoy__config__rbac__v3__permission__descriptor, "{any: false}",
                "any: must be true if it is set");
    assert_says(&envoy__config__rbac__v3__permission__descriptor, "{destination_port: 1}", "");
    assert_says(&envoy__config__core__v3__health_check__http_health_check__descriptor,
                "{path: /, method: CONNECT}", "method: must not be CONNECT");
    assert_says(&envoy__extensions__transport_sockets__tls__v3__upstream_tls_context__descriptor,
                "{sni: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                "xxxxxxxxxxxxxxxxxxxx}",
                "sni: must have at most 255 bytes, not 256");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_messages_and_lists),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_flags_and_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
