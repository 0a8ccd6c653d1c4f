/* What clients of gRPC are given: nothing before one asks, then what Services are. */
#include "test.h"

#include <envoy/config/endpoint/v3/endpoint.pb-c.h>

#include "codec/pb_json.h"
#include "control/proxyless.h"
#include "control/translate.h"

#define CLUSTER  "outbound|80||a.ns.svc.cluster.local"
#define LISTENER "a.ns.svc.cluster.local:80"

static void add_service(struct service_join *j, int port, const char *protocol)
{
    AUTO_JSON json_t *o =
        json_pack("{s:{s:s,s:s},s:{s:[{s:s,s:i,s:s}]}}", "metadata", "namespace", "ns", "name", "a",
                  "spec", "ports", "name", "http", "port", port, "protocol", protocol);
    struct service_object *s = service_object_decode(o);
    service_join_add_service(j, &s);
}

static void add_slice(struct service_join *j, const char *ip)
{
    AUTO_JSON json_t *o =
        json_pack("{s:{s:s,s:s,s:{s:s}},s:s,s:[{s:s,s:i}],s:[{s:[s],s:{s:b}}]}", "metadata",
                  "namespace", "ns", "name", "a-1", "labels", "kubernetes.io/service-name", "a",
                  "addressType", "IPv4", "ports", "name", "http", "port", 8080, "endpoints",
                  "addresses", ip, "conditions", "ready", 1);
    struct slice_object *s =
        slice_object_decode(o, &(struct slice_decoding){.topologies = &j->topologies});
    service_join_add_slice(j, &s);
}

static void expect(struct xds_set *set, enum xds_resource type, const char *name, const char *want)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_JSON json_t *j = NULL;
    const struct xds_entry *e = xds_set_find(set, type, str_from(name));
    ProtobufCMessage *m;
    assert_non_null(e);
    assert_ok(pb_unpack(xds_resource_type(type)->message, e->message, a, &m, NULL));
    assert_ok(pb_json_print(m, &xds_json_types, &j, NULL));
    json_write(&b, j);
    assert_string_equal(buf_cstr(&b), want);
}

static void test_services_come_change_and_go(void **state)
{
    struct service_join *join = service_join_new();
    struct proxyless *p = proxyless_new(join);
    (void)state;
    add_service(join, 80, "TCP");
    add_slice(join, "10.0.0.1");
    proxyless_service_changed(p, "ns/a"); /* nobody has asked: nothing is made */
    struct xds_set *set = proxyless_set(p);
    assert_ptr_equal(set, proxyless_set(p));
    /* A locality without a name or a weight is passed over. */
    expect(set, XDS_ENDPOINT, CLUSTER,
           "{\"cluster_name\":\"" CLUSTER "\",\"endpoints\":[{\"locality\":{},\"lb_endpoints\":[{"
           "\"endpoint\":{\"address\":{\"socket_address\":{\"address\":\"10.0.0.1\","
           "\"port_value\":8080}}}}],\"load_balancing_weight\":1}]}");
    assert_non_null(xds_set_find(set, XDS_CLUSTER, STR(CLUSTER)));
    assert_non_null(xds_set_find(set, XDS_LISTENER, STR(LISTENER)));
    add_slice(join, "10.0.0.2");
    uint64_t changes = set->changes;
    proxyless_service_changed(p, "ns/a");
    assert_int_equal(set->changes, changes + 1); /* the endpoints alone */
    add_service(join, 81, "TCP");
    proxyless_service_changed(p, "ns/a");
    assert_null(xds_set_find(set, XDS_LISTENER, STR(LISTENER)));
    assert_null(xds_set_find(set, XDS_CLUSTER, STR(CLUSTER)));
    assert_null(xds_set_find(set, XDS_ENDPOINT, STR(CLUSTER)));
    assert_non_null(xds_set_find(set, XDS_LISTENER, STR("a.ns.svc.cluster.local:81")));
    add_service(join, 81, "UDP");
    proxyless_service_changed(p, "ns/a");
    assert_null(xds_set_find(set, XDS_LISTENER, STR("a.ns.svc.cluster.local:81")));
    add_service(join, 80, "TCP");
    proxyless_service_changed(p, "ns/a");
    service_join_remove_service(join, STR("ns/a"));
    proxyless_service_changed(p, "ns/a");
    assert_null(xds_set_find(set, XDS_LISTENER, STR(LISTENER)));
    proxyless_free(p);
    service_join_free(join);
}

static void test_a_listener(void **state)
{
    struct xds_set *set = xds_set_new();
    (void)state;
    xds_set_put(set, translate_grpc_listener("ns/a", 80));
    expect(set, XDS_LISTENER, LISTENER,
           "{\"name\":\"" LISTENER
           "\",\"api_listener\":{\"api_listener\":{\"@type\":\"type.googleapis.com/"
           "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\","
           "\"stat_prefix\":\"" LISTENER "\",\"route_config\":{\"name\":\"" LISTENER
           "\",\"virtual_hosts\":[{\"name\":\"" LISTENER
           "\",\"domains\":[\"*\"],\"routes\":[{\"match\":{\"prefix\":\"\"},\"route\":{"
           "\"cluster\":\"" CLUSTER "\"}}]}]},\"http_filters\":[{\"name\":"
           "\"envoy.filters.http.router\",\"typed_config\":{\"@type\":\"type.googleapis.com/"
           "envoy.extensions.filters.http.router.v3.Router\"}}]}}}");
    xds_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_services_come_change_and_go),
        cmocka_unit_test(test_a_listener),
    };
    return RUN_TESTS(tests);
}
