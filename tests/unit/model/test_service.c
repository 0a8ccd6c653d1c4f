/* Services as traffic sees them: from objects as the API gives them. Row numbers are those of
 * src/agent/README.md. */
#include <netinet/in.h>
#include <stdio.h>

#include "base/rand.h"
#include "base/vec.h"
#include "model/service.h"
#include "test.h"

static struct service_object *service_of(const char *text)
{
    json_t *j;
    struct err e;
    assert_int_equal(json_parse(str_from(text), 0, NULL, &j, &e), 0);
    struct service_object *s = service_object_decode(j);
    json_decref(j);
    assert_non_null(s);
    return s;
}

static struct slice_object *slice_of(const char *name, const char *type, const char *endpoints,
                                     const char *ports)
{
    json_t *j;
    struct err e;
    const struct slice_place here = {"n1", "z1"};
    AUTO_CHARS char *text = xasprintf(
        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"ns\",\"labels\":{\"kubernetes.io/"
        "service-name\":\"a\"}},\"addressType\":\"%s\",\"endpoints\":[%s],\"ports\":[%s]}",
        name, type, endpoints, ports);
    assert_int_equal(json_parse(str_from(text), 0, NULL, &j, &e), 0);
    struct slice_object *s = slice_object_decode(j, &here);
    json_decref(j);
    assert_non_null(s);
    return s;
}

#define WEB                                                                                        \
    "{\"metadata\":{\"name\":\"a\",\"namespace\":\"ns\"},\"spec\":{\"clusterIP\":\"10.96.0.1\","   \
    "\"clusterIPs\":[\"10.96.0.1\",\"fd00::1\"],\"ports\":[{\"name\":\"p\",\"port\":80}]}}"
#define HTTP "{\"name\":\"p\",\"port\":8080,\"protocol\":\"TCP\"}"

static void assert_model(const char *service, struct slice_object **slices, size_t n,
                         const char *want)
{
    AUTO(service_object) struct service_object *s = service_of(service);
    struct buf b = {0};
    for (int round = 0; round < 20; round++) {
        for (size_t i = n; i > 1; i--) { /* any order gives the same */
            size_t k = rand_below(i);
            struct slice_object *x = slices[k];
            slices[k] = slices[i - 1];
            slices[i - 1] = x;
        }
        struct model_service *m =
            model_service_new(s, (const struct slice_object *const *)slices, n);
        buf_clear(&b);
        if (m)
            model_service_format(m, &b);
        assert_string_equal(buf_cstr(&b), want);
        model_service_unref(m);
    }
    buf_done(&b);
    for (size_t i = 0; i < n; i++)
        slice_object_free(slices[i]);
}

static void test_row_1_dns_only_services_carry_nothing(void **state)
{
    (void)state;
    assert_model("{\"metadata\":{\"name\":\"a\"},\"spec\":{\"clusterIP\":\"None\"}}", NULL, 0, "");
    assert_model("{\"metadata\":{\"name\":\"a\"},\"spec\":{\"type\":\"ExternalName\"}}", NULL, 0,
                 "");
}

static void test_rows_5_6_8_11_slices_are_merged(void **state)
{
    (void)state;
    struct slice_object *s[] = {
        slice_of("s1", "IPv4",
                 "{\"addresses\":[\"10.0.0.2\"]},{\"addresses\":[\"10.0.0.1\",\"10.9.9.9\"]}",
                 HTTP),
        slice_of("s2", "IPv4", "{\"addresses\":[\"10.0.0.2\"],\"nodeName\":\"n1\"}",
                 "{\"name\":\"p\",\"port\":9090}," HTTP ",{\"port\":1},{\"name\":\"p\"}"),
        slice_of("s3", "IPv6", "{\"addresses\":[\"fd00::9\"]},{\"addresses\":[\"10.0.0.3\"]}",
                 HTTP),
        slice_of("s4", "FQDN", "{\"addresses\":[\"example.org\"]}", HTTP),
    };
    s[0]->endpoints[0].flags &= (uint16_t)~SLICE_UNKNOWN; /* the other copy is the local one */
    assert_model(WEB, s, 4,
                 "service ns/a\n  cluster-ip 10.96.0.1\n  cluster-ip fd00::1\n  port p 6/80\n"
                 "    endpoint 10.0.0.1 8080 local\n    endpoint 10.0.0.2 8080 local\n"
                 "    endpoint 10.0.0.2 9090 local\n    endpoint fd00::9 8080 local\n");
}

#define EP(ip, cond) "{\"addresses\":[\"" ip "\"],\"nodeName\":\"n2\",\"conditions\":{" cond "}}"
#define HEAD         "service ns/a\n  cluster-ip 10.96.0.1\n  cluster-ip fd00::1\n  port p 6/80\n"

static void test_rows_7_29_ready_then_terminating(void **state)
{
    (void)state;
    struct slice_object *ready[] = {slice_of(
        "s1", "IPv4",
        EP("10.0.0.1", "\"ready\":true") "," EP(
            "10.0.0.2",
            "\"ready\":false,\"serving\":true,"
            "\"terminating\":true") "," EP("10.0.0.3", "\"ready\":false,\"serving\":false"),
        HTTP)};
    assert_model(WEB, ready, 1, HEAD "    endpoint 10.0.0.1 8080\n    draining 10.0.0.2 8080\n");
    struct slice_object *none[] = {slice_of(
        "s1", "IPv4",
        EP("10.0.0.2", "\"ready\":false,\"serving\":true,\"terminating\":true") "," EP(
            "10.0.0.3",
            "\"ready\":false,\"serving\":false,\"terminating\":true") "," EP("10.0.0.4",
                                                                             "\"ready\":false,"
                                                                             "\"serving\":true"),
        HTTP)};
    assert_model(WEB, none, 1, HEAD "    endpoint 10.0.0.2 8080\n    draining 10.0.0.4 8080\n");
}

#define LOCAL_WEB(which)                                                                           \
    "{\"metadata\":{\"name\":\"a\",\"namespace\":\"ns\"},\"spec\":{\"clusterIP\":\"10.96.0.1\","   \
    "\"" which "TrafficPolicy\":\"Local\",\"ports\":[{\"name\":\"p\",\"port\":80}]}}"
#define HERE(ip, cond) "{\"addresses\":[\"" ip "\"],\"nodeName\":\"n1\",\"conditions\":{" cond "}}"
#define TERMINATING    "\"ready\":false,\"serving\":true,\"terminating\":true"

/* The two scopes choose apart: ready ones elsewhere do not stop those of this node from ending in
 * grace, nor the other way round; an endpoint without a node is not local; hints do not count. */
static void test_rows_22_24_29_30_scope_local(void **state)
{
    static const char head[] =
        "service ns/a external-local\n  cluster-ip 10.96.0.1\n  port p 6/80\n";
    (void)state;
    struct slice_object *mixed[] = {
        slice_of("s1", "IPv4",
                 EP("10.0.0.1", "\"ready\":true") "," HERE("10.0.0.2", TERMINATING) "," HERE(
                     "10.0.0.3", "\"ready\":false") ",{\"addresses\":[\"10.0.0.4\"]}",
                 HTTP)};
    AUTO_CHARS char *want =
        xasprintf("%s    endpoint 10.0.0.1 8080\n    endpoint 10.0.0.4 8080 local\n"
                  "    draining 10.0.0.2 8080 local\n"
                  "    draining 10.0.0.3 8080 local\n"
                  "    for-local endpoint 10.0.0.2 8080 local\n",
                  head);
    assert_model(LOCAL_WEB("external"), mixed, 1, want);
    struct slice_object *ready[] = {
        slice_of("s1", "IPv4",
                 HERE("10.0.0.1", "\"ready\":true") "," HERE(
                     "10.0.0.2", TERMINATING) ","
                                              "{\"addresses\":[\"10.0.0.5\"],\"nodeName\":\"n1\","
                                              "\"hints\":{\"forZones\":[{\"name\":\"z2\"}]}}",
                 HTTP)};
    assert_model(LOCAL_WEB("internal"), ready, 1,
                 "service ns/a internal-local\n  cluster-ip 10.96.0.1\n  port p 6/80\n"
                 "    endpoint 10.0.0.1 8080 local\n    endpoint 10.0.0.5 8080 local\n"
                 "    draining 10.0.0.2 8080 local\n"
                 "    for-local endpoint 10.0.0.1 8080 local\n"
                 "    for-local endpoint 10.0.0.5 8080 local\n");
}

static void test_row_31_hints_for_this_zone(void **state)
{
    (void)state;
    static const char *const here = "{\"addresses\":[\"10.0.0.1\"],\"nodeName\":\"n2\",\"hints\":{"
                                    "\"forZones\":[{\"name\":\"z1\"}]}}",
                             *there = "{\"addresses\":[\"10.0.0.2\"],\"nodeName\":\"n2\",\"hints\":"
                                      "{\"forZones\":[{\"name\":\"z2\"}]}}",
                             *bare = "{\"addresses\":[\"10.0.0.3\"],\"nodeName\":\"n2\"}";
    struct slice_object *all[] = {slice_of("s1", "IPv4", here, HTTP),
                                  slice_of("s2", "IPv4", there, HTTP)};
    assert_model(WEB, all, 2, HEAD "    endpoint 10.0.0.1 8080\n    draining 10.0.0.2 8080\n");
    struct slice_object *some[] = {slice_of("s1", "IPv4", here, HTTP),
                                   slice_of("s2", "IPv4", bare, HTTP)};
    assert_model(WEB, some, 2, HEAD "    endpoint 10.0.0.1 8080\n    endpoint 10.0.0.3 8080\n");
}

static void test_row_19_balancer_addresses_by_mode(void **state)
{
    (void)state;
    assert_model(
        "{\"metadata\":{\"name\":\"a\",\"namespace\":\"ns\"},\"spec\":{\"clusterIP\":\"10.96.0.1\","
        "\"externalIPs\":[\"1.2.3.4\"],\"ports\":[{\"port\":80,\"nodePort\":30080,\"protocol\":"
        "\"UDP\"},{\"port\":0}]},\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"9.0.0.1\"},{"
        "\"ip\":\"9.0.0.2\",\"ipMode\":\"Proxy\"},{\"ip\":\"9.0.0.3\",\"ipMode\":\"VIP\"},{"
        "\"hostname\":\"x\"}]}}}",
        NULL, 0,
        "service ns/a\n  cluster-ip 10.96.0.1\n  external-ip 1.2.3.4\n  balancer-ip 9.0.0.1\n"
        "  balancer-ip 9.0.0.3\n  port - 17/80 node-port 30080\n");
}

static void test_malformed_objects_lose_only_what_is_wrong(void **state)
{
    (void)state;
    assert_model("{\"metadata\":{\"name\":\"a\",\"namespace\":\"ns\"},\"spec\":{\"clusterIP\":"
                 "\"10.96.0.1\",\"clusterIPs\":7,\"externalIPs\":[1,null,\"010.0.0.1\"],\"ports\":"
                 "[3,{\"port\":\"x\"},{\"port\":70000},{\"port\":1}]},\"status\":[]}",
                 NULL, 0, "service ns/a\n  cluster-ip 10.96.0.1\n  port - 6/1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_1_dns_only_services_carry_nothing),
        cmocka_unit_test(test_rows_5_6_8_11_slices_are_merged),
        cmocka_unit_test(test_rows_7_29_ready_then_terminating),
        cmocka_unit_test(test_rows_22_24_29_30_scope_local),
        cmocka_unit_test(test_row_31_hints_for_this_zone),
        cmocka_unit_test(test_row_19_balancer_addresses_by_mode),
        cmocka_unit_test(test_malformed_objects_lose_only_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
