/* What the control plane writes: numbers of fields, and that every resource passes the table that
 * says what the proxy does (xds_check), whatever the model holds. */
#include "test.h"

#include <envoy/config/cluster/v3/cluster.pb-c.h>
#include <envoy/config/endpoint/v3/endpoint.pb-c.h>
#include <envoy/config/rbac/v3/rbac.pb-c.h>
#include <envoy/config/route/v3/route.pb-c.h>
#include <envoy/extensions/filters/common/fault/v3/fault.pb-c.h>
#include <envoy/extensions/filters/http/buffer/v3/buffer.pb-c.h>
#include <envoy/extensions/filters/http/cors/v3/cors.pb-c.h>
#include <envoy/extensions/filters/http/custom_response/v3/custom_response.pb-c.h>
#include <envoy/extensions/filters/http/fault/v3/fault.pb-c.h>
#include <envoy/extensions/filters/http/rbac/v3/rbac.pb-c.h>
#include <envoy/extensions/filters/http/stateful_session/v3/stateful_session.pb-c.h>
#include <envoy/extensions/http/custom_response/redirect_policy/v3/redirect_policy.pb-c.h>
#include <envoy/extensions/http/stateful_session/cookie/v3/cookie.pb-c.h>
#include <envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.pb-c.h>
#include <envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h>
#include <envoy/extensions/upstreams/http/v3/http_protocol_options.pb-c.h>
#include <envoy/type/matcher/v3/regex.pb-c.h>
#include <envoy/type/matcher/v3/string.pb-c.h>
#include <errno.h>
#include <fairlead/filters/http/v1/access.pb-c.h>
#include <fairlead/filters/http/v1/answer.pb-c.h>
#include <fairlead/filters/http/v1/body_limit.pb-c.h>
#include <fairlead/filters/http/v1/client_certificate.pb-c.h>
#include <fairlead/filters/http/v1/client_limit.pb-c.h>
#include <google/protobuf/any.pb-c.h>
#include <istio/networking/nds/v1/nds.pb-c.h>
#include <istio/workload/workload.pb-c.h>

#include "codec/base64.h"
#include "codec/pb_json.h"
#include "control/gateway.h"
#include "control/translate.h"
#include "control/xds_fields.h"
#include "model/ingress_routes.h"
#include "net/tls.h"
#include "xds/xds_check.h"

static void test_numbers_of_fields(void **state)
{
    static const struct {
        const ProtobufCMessageDescriptor *message;
        const char *field;
        unsigned number;
    } rows[] = {
#define F(constant, message, field, number) {&message##__descriptor, #field, number},
#include "control/xds_fields.def"
#undef F
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field_by_name(rows[i].message, rows[i].field);
        assert_non_null(f);
        assert_int_equal(f->id, rows[i].number);
    }
}

/* The resource as JSON; fails if the table has a word to say of it. */
static char *checked(const struct xds_entry *e)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_JSON json_t *j = NULL;
    struct xds_report report = {0};
    struct err err = {0};
    ProtobufCMessage *m;
    int r = xds_resource_unpack(e->type, e->message, a, &m, &report, &err);
    for (size_t i = 0; i < report.findings.n; i++)
        print_message("%s: %s\n", report.findings.v[i].path, report.findings.v[i].text);
    assert_int_equal(report.findings.n, 0);
    assert_ok(r);
    assert_ok(pb_json_print(m, &xds_json_types, &j, NULL));
    json_write(&b, j);
    xds_report_done(&report);
    return buf_take_cstr(&b);
}

static void expect(struct xds_entry *e, const char *want)
{
    AUTO_CHARS char *got = checked(e);
    assert_string_equal(got, want);
    xds_entry_unref(e);
}

/* ---- a gateway ---- */

struct world {
    struct service_join *join;
    struct ingress_routes *routes;
    struct gateway *gateway;
};

static const char *const controllers[] = {"fairlead.dev/ingress", INGRESS_CONTROLLER_NGINX, NULL};
static const struct ingress_options options = {.controllers = controllers, .class_name = "nginx"};
static const struct gateway_options where = {"0.0.0.0", 8080, 8443};

static void start(struct world *w)
{
    w->join = service_join_new();
    w->routes = ingress_routes_new(&options, w->join);
    assert_ok(gateway_new(&where, w->join, &w->gateway, NULL));
    gateway_flush(w->gateway);
}

static void finish(struct world *w)
{
    gateway_free(w->gateway);
    ingress_routes_free(w->routes);
    service_join_free(w->join);
}

static void settle(struct world *w)
{
    struct joined_service *s;
    const char *name;
    struct route_host *h;
    while ((s = service_join_take_dirty(w->join))) {
        gateway_service_changed(w->gateway, s->key);
        ingress_routes_service_changed(w->routes, str_from(s->key));
        service_join_settle(w->join, s);
    }
    while (ingress_routes_take_dirty(w->routes, &name, &h))
        route_host_unref(gateway_put_host(w->gateway, name, h));
    gateway_flush(w->gateway);
}

static void add_service(struct world *w, const char *name, int port)
{
    AUTO_JSON json_t *j =
        json_pack("{s:{s:s,s:s},s:{s:[{s:s,s:i}]}}", "metadata", "namespace", "ns", "name", name,
                  "spec", "ports", "name", "http", "port", port);
    struct service_object *s = service_object_decode(j);
    service_join_add_service(w->join, &s);
}

static void add_slice(struct world *w, const char *name, const char *service, const char *ip,
                      int ready)
{
    AUTO_JSON json_t *j = json_pack(
        "{s:{s:s,s:s,s:{s:s}},s:s,s:[{s:s,s:i}],s:[{s:[s],s:{s:b,s:b,s:b}}]}", "metadata",
        "namespace", "ns", "name", name, "labels", "kubernetes.io/service-name", service,
        "addressType", "IPv4", "ports", "name", "http", "port", 8080, "endpoints", "addresses", ip,
        "conditions", "ready", ready, "serving", 1, "terminating", !ready);
    struct slice_object *s =
        slice_object_decode(j, &(struct slice_decoding){.topologies = &w->join->topologies});
    service_join_add_slice(w->join, &s);
}

static void add_ingress(struct world *w, const char *name, const char *host, const char *path,
                        const char *service, const char *annotation, const char *value)
{
    AUTO_JSON json_t *j = json_pack(
        "{s:{s:s,s:s,s:{s:s}},s:{s:[{s:s,s:{s:[{s:s,s:s,s:{s:{s:s,s:{s:i}}}}]}}]}}", "metadata",
        "namespace", "ns", "name", name, "annotations", "kubernetes.io/ingress.class", "nginx",
        "spec", "rules", "host", host, "http", "paths", "path", path, "pathType",
        "ImplementationSpecific", "backend", "service", "name", service, "port", "number", 80);
    if (annotation) {
        AUTO_CHARS char *key = xasprintf(INGRESS_NGINX_PREFIX "%s", annotation);
        json_object_set_new(json_at(j, "metadata.annotations"), key, json_string(value));
    }
    ingress_routes_add(w->routes, ingress_object_decode(j));
}

static bool has(struct world *w, enum xds_resource type, const char *name)
{
    return xds_set_find(gateway_set(w->gateway, TRANSLATE_OURS), type, str_from(name)) != NULL;
}

static void expect_in(struct world *w, enum xds_resource type, const char *name, const char *want)
{
    struct xds_entry *e =
        xds_set_find(gateway_set(w->gateway, TRANSLATE_OURS), type, str_from(name));
    assert_non_null(e);
    expect(xds_entry_ref(e), want);
}

#define CLUSTER "outbound|80||a.ns.svc.cluster.local"

static void test_what_lives_as_long_as_it_is_named(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    add_service(&w, "a", 80);
    add_slice(&w, "a-1", "a", "10.0.0.2", 1);
    add_slice(&w, "a-2", "a", "10.0.0.1", 1);
    add_slice(&w, "a-3", "a", "10.0.0.1", 1); /* twice */
    add_ingress(&w, "one", "a.example", "/x", "a", NULL, NULL);
    add_ingress(&w, "two", "b.example", "/", "a", NULL, NULL);
    settle(&w);
    expect_in(&w, XDS_ENDPOINT, CLUSTER,
              "{\"cluster_name\":\"" CLUSTER "\",\"endpoints\":[{\"lb_endpoints\":["
              "{\"endpoint\":{\"address\":{\"socket_address\":{\"address\":\"10.0.0.1\",\"port_"
              "value\":8080}}}},"
              "{\"endpoint\":{\"address\":{\"socket_address\":{\"address\":\"10.0.0.2\",\"port_"
              "value\":8080}}}}]}]}");
    expect_in(&w, XDS_CLUSTER, CLUSTER,
              "{\"name\":\"" CLUSTER "\",\"type\":\"EDS\",\"eds_"
              "cluster_config\":{\"eds_config\":{\"ads\":{},\"resource_api_version\":\"V3\"},"
              "\"service_name\":\"" CLUSTER "\"},\"connect_timeout\":\"5s\"}");
    ingress_routes_remove(w.routes, STR("ns/one"));
    settle(&w);
    assert_true(has(&w, XDS_ENDPOINT, CLUSTER));
    ingress_routes_remove(w.routes, STR("ns/two"));
    settle(&w);
    assert_false(has(&w, XDS_ENDPOINT, CLUSTER));
    assert_false(has(&w, XDS_CLUSTER, CLUSTER));
    assert_int_equal(gateway_hosts(w.gateway), 0);
    finish(&w);
}

static void test_endpoints_that_end(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    add_service(&w, "a", 80);
    add_slice(&w, "a-1", "a", "10.0.0.1", 0);
    add_ingress(&w, "one", "a.example", "/", "a", NULL, NULL);
    settle(&w);
#define ONE(ip)                                                                                    \
    "{\"cluster_name\":\"" CLUSTER "\",\"endpoints\":[{\"lb_endpoints\":[{\"endpoint\":{"          \
    "\"address\":{\"socket_address\":{\"address\":\"" ip "\",\"port_value\":8080}}}}]}]}"
    expect_in(&w, XDS_ENDPOINT, CLUSTER, ONE("10.0.0.1")); /* better than none */
    add_slice(&w, "a-2", "a", "10.0.0.2", 1);
    settle(&w);
    expect_in(&w, XDS_ENDPOINT, CLUSTER, ONE("10.0.0.2"));
    service_join_remove_slice(w.join, STR("ns/a-1"));
    service_join_remove_slice(w.join, STR("ns/a-2"));
    settle(&w);
    expect_in(&w, XDS_ENDPOINT, CLUSTER, "{\"cluster_name\":\"" CLUSTER "\"}");
    finish(&w);
}

/* service-upstream: the Service's own address, beside its endpoints for who wants those. */
static void test_a_service_as_an_endpoint(void **state)
{
    struct world w;
    (void)state;
    AUTO_JSON json_t *j =
        json_pack("{s:{s:s,s:s},s:{s:s,s:[s],s:[{s:s,s:i}]}}", "metadata", "namespace", "ns",
                  "name", "a", "spec", "clusterIP", "10.96.0.7", "clusterIPs", "10.96.0.7", "ports",
                  "name", "http", "port", 80);
    struct service_object *s = service_object_decode(j);
    start(&w);
    service_join_add_service(w.join, &s);
    add_slice(&w, "a-1", "a", "10.0.0.1", 1);
    add_ingress(&w, "one", "a.example", "/", "a", "service-upstream", "true");
    add_ingress(&w, "two", "b.example", "/", "a", NULL, NULL);
    settle(&w);
#define AS_SERVICE "outbound|80|http-service-5s|a.ns.svc.cluster.local"
    expect_in(&w, XDS_ENDPOINT, AS_SERVICE,
              "{\"cluster_name\":\"" AS_SERVICE
              "\",\"endpoints\":[{\"lb_endpoints\":[{\"endpoint\":{\"address\":{\"socket_"
              "address\":{\"address\":\"10.96.0.7\",\"port_value\":80}}}}]}]}");
    expect_in(&w, XDS_ENDPOINT, CLUSTER, ONE("10.0.0.1"));
    ingress_routes_remove(w.routes, STR("ns/one"));
    settle(&w);
    assert_false(has(&w, XDS_ENDPOINT, AS_SERVICE));
    assert_true(has(&w, XDS_ENDPOINT, CLUSTER));
    finish(&w);
}

static void test_everything_passes_the_table(void **state)
{
    static const struct {
        const char *name, *value;
    } annotations[] = {
        {"rewrite-target", "/$1"},
        {"use-regex", "true"},
        {"permanent-redirect", "https://x.example:8443/y?z"},
        {"temporal-redirect", "/local"},
        {"app-root", "/app"},
        {"enable-cors", "true"},
        {"backend-protocol", "GRPCS"},
        {"backend-protocol", "HTTPS"},
        {"upstream-vhost", "v.example:80"},
        {"force-ssl-redirect", "true"},
        {"proxy-connect-timeout", "7"},
        {"affinity", "cookie"},
        {"upstream-hash-by", "$request_uri$host-${arg_a}$cookie_b$http_X_c$remote_addr$uri"},
        {"load-balance", "ewma"},
        {"auth-url", "http://x"},
        {"configuration-snippet", "x"}};
    struct world w;
    struct err err = {0};
    (void)state;
    start(&w);
    add_service(&w, "a", 80);
    for (size_t i = 0; i < ARRAY_LEN(annotations); i++) {
        AUTO_CHARS char *name = xasprintf("i%zu", i), *host = xasprintf("h%zu.example", i);
        add_ingress(&w, name, i % 3 ? host : "*.w.example", i % 2 ? "/(x|y)" : "/p/", "a",
                    annotations[i].name, annotations[i].value);
    }
    settle(&w);
    assert_true(has(&w, XDS_CLUSTER, CLUSTER));
    assert_true(has(&w, XDS_CLUSTER, "outbound|80|http-7s|a.ns.svc.cluster.local"));
    assert_true(has(&w, XDS_CLUSTER, "outbound|80|http-tls-5s|a.ns.svc.cluster.local"));
    assert_true(has(&w, XDS_CLUSTER, "outbound|80|http2-tls-5s|a.ns.svc.cluster.local"));
    assert_int_equal(gateway_put_secret(w.gateway, "ns/s", STR("x"), STR("y"), &err), -EINVAL);
    const struct xds_set *set = gateway_set(w.gateway, TRANSLATE_OURS);
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++) {
        struct xds_entry *e;
        assert_true(type == XDS_WORKLOAD || type == XDS_NAMES ||
                    xds_set_count(set, type) > 0); /* sidecars ask for it */
        for (struct xds_iter i = {0}; xds_set_next(set, type, &i, &e);)
            free(checked(e));
    }
    finish(&w);
}

/* Private keys that no host needs are in nobody's set. */
static void test_certificates_that_nobody_names(void **state)
{
    struct world w;
    AUTO_DONE(buf) struct buf chain = {0};
    AUTO_DONE(buf) struct buf key = {0};
    const struct tls_cert_request request = {.common_name = "a", .server = true, .days = 1};
    (void)state;
    start(&w);
    assert_ok(tls_cert_issue(&request, STR(""), STR(""), &chain, &key, NULL));
    assert_ok(gateway_put_secret(w.gateway, "ns/s", buf_str(&chain), buf_str(&key), NULL));
    assert_true(gateway_has_secret(w.gateway, "ns/s"));
    assert_false(has(&w, XDS_SECRET, "kubernetes://ns/s"));
    for (int i = 0; i < 2; i++) {
        struct route_host *h = route_host_new("a.example");
        h->secret = xstrdup("ns/s");
        route_host_unref(gateway_put_host(w.gateway, "a.example", h));
        assert_true(has(&w, XDS_SECRET, "kubernetes://ns/s"));
    }
    assert_ok(gateway_put_secret(w.gateway, "ns/s", STR(""), STR(""), NULL));
    assert_false(has(&w, XDS_SECRET, "kubernetes://ns/s"));
    assert_ok(gateway_put_secret(w.gateway, "ns/s", buf_str(&chain), buf_str(&key), NULL));
    assert_true(has(&w, XDS_SECRET, "kubernetes://ns/s"));
    route_host_unref(gateway_put_host(w.gateway, "a.example", NULL));
    assert_false(has(&w, XDS_SECRET, "kubernetes://ns/s"));
    finish(&w);
}

/* What a browser sent to one side is sent to the other. */
static void test_sides(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    add_service(&w, "a", 80);
    add_ingress(&w, "one", "a.example", "/x", "a", "force-ssl-redirect", "true");
    settle(&w);
    struct xds_entry *plain = xds_set_find(gateway_set(w.gateway, TRANSLATE_OURS), XDS_HOST,
                                           STR("http/a.example")),
                     *tls = xds_set_find(gateway_set(w.gateway, TRANSLATE_OURS), XDS_HOST,
                                         STR("https/a.example"));
    AUTO_CHARS char *a = checked(plain), *b = checked(tls);
    assert_non_null(strstr(a, "\"redirect\":{\"response_code\":\"PERMANENT_REDIRECT\","
                              "\"https_redirect\":true}"));
    assert_null(strstr(b, "redirect"));
    assert_non_null(strstr(b, "\"path_separated_prefix\":\"/x\""));
    finish(&w);
}

/* ---- what protects ---- */

/* The plain side's routes as JSON: all of them, with what is around them. */
static char *routes_for(struct world *w, enum translate_peer peer)
{
    const struct xds_set *set = gateway_set(w->gateway, peer);
    AUTO_CHARS char *table = checked(xds_set_find(set, XDS_ROUTE, STR("http")));
    struct buf all = {0};
    struct xds_entry *e;
    assert_int_equal(strstr(table, "\"vhds\":{\"config_source\":{\"ads\":{}") != NULL,
                     peer != TRANSLATE_FOREIGN);
    buf_add_cstr(&all, table);
    if (peer != TRANSLATE_FOREIGN)
        for (struct xds_iter i = {0}; xds_set_next(set, XDS_HOST, &i, &e);)
            if (str_eq(xds_host_table(e->name), STR("http"))) {
                AUTO_CHARS char *host = checked(e);
                buf_add_cstr(&all, host);
            }
    return buf_take_cstr(&all);
}

/* The same of one host with one annotation. */
static char *routes_of(struct world *w, enum translate_peer peer, const char *annotation,
                       const char *value)
{
    start(w);
    add_service(w, "a", 80);
    add_ingress(w, "one", "a.example", "/x", "a", annotation, value);
    settle(w);
    char *routes = routes_for(w, peer);
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++)
        assert_int_equal(xds_set_count(gateway_set(w->gateway, peer), type),
                         xds_set_count(gateway_set(w->gateway, TRANSLATE_OURS), type));
    free(checked(xds_set_find(gateway_set(w->gateway, peer), XDS_LISTENER, STR("0.0.0.0_8080"))));
    finish(w);
    return routes;
}

static void test_addresses(void **state)
{
    struct world w;
    (void)state;
    AUTO_CHARS char *allow =
                        routes_of(&w, TRANSLATE_FOREIGN, "whitelist-source-range", "10.1.2.3/8"),
                    *deny = routes_of(&w, TRANSLATE_OURS, "denylist-source-range", "::1");
    assert_non_null(
        strstr(allow, "\"principals\":[{\"and_ids\":{\"ids\":[{\"or_ids\":{\"ids\":[{"
                      "\"remote_ip\":{\"address_prefix\":\"10.0.0.0\",\"prefix_len\":8}}]}}]}}]"));
    assert_non_null(
        strstr(deny, "\"and_ids\":{\"ids\":[{\"not_id\":{\"or_ids\":{\"ids\":[{\"remote_ip\":{"
                     "\"address_prefix\":\"::1\",\"prefix_len\":128}}]}}}]}"));
}

/* Our own type to those who know it; what gathers bodies to the others. */
static void test_body_limits(void **state)
{
    struct world w;
    (void)state;
    AUTO_CHARS char *ours = routes_of(&w, TRANSLATE_OURS, "proxy-body-size", "2k"),
                    *foreign = routes_of(&w, TRANSLATE_FOREIGN, "proxy-body-size", "8g"),
                    *none = routes_of(&w, TRANSLATE_OURS, "proxy-body-size", "0");
    assert_non_null(strstr(ours, "fairlead.filters.http.v1.BodyLimit\",\"max_bytes\":\"2048\""));
    assert_null(strstr(foreign, "fairlead.dev"));
    assert_non_null(strstr(foreign, "\"max_request_bytes\":4294967295"));
    assert_null(strstr(none, "max_bytes"));
}

/* Numbers of the model's enums stand for those of the messages. */
static void test_variables(void **state)
{
    (void)state;
    assert_int_equal(ROUTE_VERIFY_ON,
                     FAIRLEAD__FILTERS__HTTP__V1__CLIENT_CERTIFICATE__VERIFY__REQUIRED);
    assert_int_equal(ROUTE_VERIFY_OPTIONAL,
                     FAIRLEAD__FILTERS__HTTP__V1__CLIENT_CERTIFICATE__VERIFY__OPTIONAL);
    assert_int_equal(ROUTE_VERIFY_OPTIONAL_NO_CA,
                     FAIRLEAD__FILTERS__HTTP__V1__CLIENT_CERTIFICATE__VERIFY__OPTIONAL_NO_CA);
    assert_int_equal(ROUTE_SCHEME, FAIRLEAD__FILTERS__HTTP__V1__TEXT__VARIABLE__SCHEME);
    assert_int_equal(ROUTE_HOST, FAIRLEAD__FILTERS__HTTP__V1__TEXT__VARIABLE__HOST);
    assert_int_equal(ROUTE_HTTP_HOST, FAIRLEAD__FILTERS__HTTP__V1__TEXT__VARIABLE__HTTP_HOST);
    assert_int_equal(ROUTE_REQUEST_URI, FAIRLEAD__FILTERS__HTTP__V1__TEXT__VARIABLE__REQUEST_URI);
    assert_int_equal(ROUTE_ESCAPED_REQUEST_URI,
                     FAIRLEAD__FILTERS__HTTP__V1__TEXT__VARIABLE__ESCAPED_REQUEST_URI);
}

static void test_keys_of_caches(void **state)
{
    (void)state;
    assert_int_equal(ROUTE_KEY_URI, FAIRLEAD__FILTERS__HTTP__V1__ACCESS__CACHE__KIND__URI);
    assert_int_equal(ROUTE_KEY_PATH, FAIRLEAD__FILTERS__HTTP__V1__ACCESS__CACHE__KIND__PATH);
    assert_int_equal(ROUTE_KEY_HOST, FAIRLEAD__FILTERS__HTTP__V1__ACCESS__CACHE__KIND__HOST);
    assert_int_equal(ROUTE_KEY_ADDRESS, FAIRLEAD__FILTERS__HTTP__V1__ACCESS__CACHE__KIND__ADDRESS);
    assert_int_equal(ROUTE_KEY_QUERY, FAIRLEAD__FILTERS__HTTP__V1__ACCESS__CACHE__KIND__QUERY);
    assert_int_equal(ROUTE_KEY_COOKIE, FAIRLEAD__FILTERS__HTTP__V1__ACCESS__CACHE__KIND__COOKIE);
    assert_int_equal(ROUTE_KEY_HEADER, FAIRLEAD__FILTERS__HTTP__V1__ACCESS__CACHE__KIND__HEADER);
}

/* Our own type to those who know it, nothing to the others. */
static void test_answers(void **state)
{
    struct world w;
    (void)state;
    AUTO_CHARS char *ours = routes_of(&w, TRANSLATE_OURS, "proxy-cookie-path", "/a /b"),
                    *foreign = routes_of(&w, TRANSLATE_FOREIGN, "proxy-cookie-path", "/a /b"),
                    *slow = routes_of(&w, TRANSLATE_OPEN, "limit-rate", "2");
    assert_non_null(strstr(ours,
                           "fairlead.filters.http.v1.Answer\",\"cookie_path\":{\"from\":\"/a\","
                           "\"to\":\"/b\"}"));
    assert_null(strstr(foreign, "fairlead.dev"));
    assert_non_null(strstr(foreign, "\"cluster\""));
    assert_non_null(strstr(slow, "\"bytes_per_second\":\"2048\""));
}

/* Who may not have the users, or cannot ask them, is not given the route. */
static void test_users_go_to_who_may_have_them(void **state)
{
    AUTO_DONE(buf) struct buf wrong = {0};
    AUTO_JSON json_t *secret = json_pack("{s:{s:s}}", "data", "auth", "am9lOntQTEFJTn14Cg==");
    struct world w;
    (void)state;
    start(&w);
    add_service(&w, "a", 80);
    AUTO_JSON json_t *j = json_pack(
        "{s:{s:s,s:s,s:{s:s,s:s,s:s}},s:{s:[{s:s,s:{s:[{s:s,s:s,s:{s:{s:s,s:{s:i}}}}]}}]}}",
        "metadata", "namespace", "ns", "name", "one", "annotations", "kubernetes.io/ingress.class",
        "nginx", INGRESS_NGINX_PREFIX "auth-type", "basic", INGRESS_NGINX_PREFIX "auth-secret",
        "users", "spec", "rules", "host", "a.example", "http", "paths", "path", "/x", "pathType",
        "Prefix", "backend", "service", "name", "a", "port", "number", 80);
    ingress_routes_add(w.routes, ingress_object_decode(j));
    settle(&w);
    AUTO_CHARS char *none = routes_for(&w, TRANSLATE_OURS);
    assert_non_null(strstr(none, "\"direct_response\":{\"status\":503}"));
    auth_objects_put_secret(gateway_auth_objects(w.gateway), "ns/users", secret, &wrong);
    assert_int_equal(wrong.n, 0);
    ingress_routes_service_changed(w.routes, STR(INGRESS_SECRET "ns/users"));
    settle(&w);
    AUTO_CHARS char *ours = routes_for(&w, TRANSLATE_OURS), *open = routes_for(&w, TRANSLATE_OPEN),
                    *foreign = routes_for(&w, TRANSLATE_FOREIGN);
    assert_non_null(strstr(ours, "\"users\":\"joe:{PLAIN}x"));
    assert_null(strstr(open, "PLAIN"));
    assert_non_null(strstr(open, "\"direct_response\":{\"status\":503}"));
    assert_non_null(strstr(foreign, "\"direct_response\":{\"status\":503}"));
    finish(&w);
}

/* ---- endpoints over TLS ---- */

static json_t *base64_of(const struct buf *text)
{
    AUTO_DONE(buf) struct buf b = {0};
    base64_encode(buf_str(text), &b);
    return json_string(buf_cstr(&b));
}

/* NULL: it has gone. */
static void set_secret(struct world *w, const json_t *data, const char *want_wrong)
{
    AUTO_DONE(buf) struct buf wrong = {0};
    AUTO_JSON json_t *secret = data ? json_pack("{s:O}", "data", data) : NULL;
    buf_add_cstr(&wrong, "");
    auth_objects_put_secret(gateway_auth_objects(w->gateway), "ns/b", secret, &wrong);
    if (!strstr(buf_cstr(&wrong), want_wrong) || (!*want_wrong && wrong.n))
        fail_msg("%s", buf_cstr(&wrong));
    gateway_named_changed(w->gateway, "ns/b");
    ingress_routes_service_changed(w->routes, STR(INGRESS_SECRET "ns/b"));
    settle(w);
}

/* The only cluster; NULL: there is none. */
static struct xds_entry *cluster_of(struct world *w, enum translate_peer peer)
{
    struct xds_entry *e;
    struct xds_iter i = {0};
    return xds_set_next(gateway_set(w->gateway, peer), XDS_CLUSTER, &i, &e) ? e : NULL;
}

static bool is_closed(struct world *w, enum translate_peer peer)
{
    AUTO_CHARS char *routes = routes_for(w, peer);
    return strstr(routes, "\"direct_response\":{\"status\":503}") != NULL;
}

static void add_backend_tls(struct world *w, const char *verify)
{
    AUTO_JSON json_t *j = json_pack(
        "{s:{s:s,s:s,s:{s:s,s:s,s:s,s:s}},s:{s:[{s:s,s:{s:[{s:s,s:s,s:{s:{s:s,s:{s:i}}}}]}}]}}",
        "metadata", "namespace", "ns", "name", "one", "annotations", "kubernetes.io/ingress.class",
        "nginx", INGRESS_NGINX_PREFIX "backend-protocol", "HTTPS",
        INGRESS_NGINX_PREFIX "proxy-ssl-secret", "ns/b", INGRESS_NGINX_PREFIX "proxy-ssl-verify",
        verify, "spec", "rules", "host", "a.example", "http", "paths", "path", "/x", "pathType",
        "Prefix", "backend", "service", "name", "a", "port", "number", 80);
    ingress_routes_add(w->routes, ingress_object_decode(j));
    settle(w);
}

#define SHOWN   "kubernetes://ns/b/shown"
#define TRUSTED "kubernetes://ns/b/trusted"

static void test_backends_over_tls(void **state)
{
    static const struct tls_cert_request request = {.common_name = "ca", .is_ca = true, .days = 1};
    AUTO_DONE(buf) struct buf cert = {0};
    AUTO_DONE(buf) struct buf key = {0};
    AUTO_DONE(buf) struct buf broken = {0};
    struct world w;
    (void)state;
    assert_ok(tls_cert_issue(&request, STR(""), STR(""), &cert, &key, NULL));
    buf_add_cstr(&broken, "x");
    AUTO_JSON json_t *pair =
        json_pack("{s:o,s:o}", "tls.crt", base64_of(&cert), "tls.key", base64_of(&key));
    AUTO_JSON json_t *ca = json_pack("{s:o}", "ca.crt", base64_of(&cert));
    AUTO_JSON json_t *all = json_copy(pair);
    json_object_update(all, ca);
    AUTO_JSON json_t *bad = json_copy(all);
    json_object_set_new(bad, "ca.crt", base64_of(&broken));
    AUTO_JSON json_t *half = json_copy(ca);
    json_object_set(half, "tls.crt", json_object_get(pair, "tls.crt"));
    start(&w);
    add_service(&w, "a", 80);
    add_backend_tls(&w, "on");
    assert_true(is_closed(&w, TRANSLATE_OURS)); /* there is no Secret */
    set_secret(&w, pair, "");
    assert_true(is_closed(&w, TRANSLATE_OURS)); /* and no CA in it */
    set_secret(&w, ca, "");
    assert_false(is_closed(&w, TRANSLATE_OURS));
    AUTO_CHARS char *trusts = checked(cluster_of(&w, TRANSLATE_OURS));
    assert_null(strstr(trusts, SHOWN));
    assert_non_null(strstr(trusts, TRUSTED));
    assert_non_null(strstr(trusts, "\"exact\":\"a.ns.svc\""));
    set_secret(&w, all, "");
    AUTO_CHARS char *both = checked(cluster_of(&w, TRANSLATE_OURS));
    assert_non_null(strstr(both, SHOWN));
    assert_null(strstr(both, "inline"));
    assert_true(has(&w, XDS_SECRET, SHOWN) && has(&w, XDS_SECRET, TRUSTED));
    /* Who may have no secrets, or is not ours, is closed: made late, and kept up. */
    for (unsigned peer = TRANSLATE_OPEN; peer < TRANSLATE_PEERS; peer++) {
        assert_null(cluster_of(&w, peer));
        assert_null(xds_set_find(gateway_set(w.gateway, peer), XDS_SECRET, STR(SHOWN)));
        assert_true(is_closed(&w, peer));
    }
    set_secret(&w, bad, "ca.crt");
    assert_true(is_closed(&w, TRANSLATE_OURS));
    assert_false(has(&w, XDS_SECRET, SHOWN));
    set_secret(&w, half, "tls.key");
    assert_true(is_closed(&w, TRANSLATE_OURS));
    add_backend_tls(&w, "off");
    assert_true(is_closed(&w, TRANSLATE_OURS)); /* it would be shown nothing */
    set_secret(&w, pair, "");
    assert_false(is_closed(&w, TRANSLATE_OURS));
    assert_null(cluster_of(&w, TRANSLATE_OPEN));
    AUTO_CHARS char *shows = checked(cluster_of(&w, TRANSLATE_OURS));
    assert_null(strstr(shows, TRUSTED));
    set_secret(&w, NULL, "");
    assert_true(is_closed(&w, TRANSLATE_OURS));
    ingress_routes_remove(w.routes, STR("ns/one"));
    settle(&w);
    assert_null(cluster_of(&w, TRANSLATE_OURS));
    assert_false(has(&w, XDS_SECRET, SHOWN) || has(&w, XDS_SECRET, TRUSTED));
    finish(&w);
}

/* Of a ConfigMap, and allowed. */
static void test_fields_that_are_allowed(void **state)
{
    AUTO_DONE(buf) struct buf wrong = {0};
    AUTO_JSON json_t *map =
        json_pack("{s:{s:s,s:s,s:s}}", "data", "X-Team", "a%b", "X-Other", "1", "x-var", "$host");
    AUTO_JSON json_t *data = json_pack("{s:s}", "global-allowed-response-headers", "x-team, X-Var");
    struct findings f = {0};
    struct ingress_settings *settings = ingress_settings_new("ns/config", data, &f);
    static const struct route_fields none;
    struct world w;
    (void)state;
    assert_int_equal(f.n, 0);
    start(&w);
    add_service(&w, "a", 80);
    add_ingress(&w, "one", "a.example", "/x", "a", "custom-headers", "ns/map");
    auth_objects_put_config_map(gateway_auth_objects(w.gateway), "ns/map", map, &wrong);
    assert_non_null(strstr(buf_cstr(&wrong), "x-var"));
    settle(&w);
    AUTO_CHARS char *closed = routes_for(&w, TRANSLATE_OURS);
    assert_null(strstr(closed, "X-Team")); /* nothing is allowed */
    ingress_routes_set_settings(w.routes, settings);
    gateway_set_config(w.gateway, settings, &none, &none);
    settle(&w);
    AUTO_CHARS char *open = routes_for(&w, TRANSLATE_FOREIGN);
    assert_non_null(strstr(open, "\"key\":\"X-Team\",\"value\":\"a%%b\""));
    assert_null(strstr(open, "X-Other"));
    assert_null(strstr(open, "x-var"));
    finish(&w);
    ingress_settings_free(settings);
}

/* What is said otherwise is another cluster. */
static void test_names_of_clusters_over_tls(void **state)
{
    struct route_backend_tls a = {.secret = (char *)(uintptr_t) "ns/b", .depth = 1}, b = a;
    struct route_upstream one = {.tls = true, .with = &a}, other = {.tls = true, .with = &b};
    char x[CLUSTER_NAME_MAX], y[CLUSTER_NAME_MAX];
    (void)state;
    assert_string_equal(translate_cluster_name("ns/a", 80, &one, x),
                        translate_cluster_name("ns/a", 80, &other, y));
    b.verify = true;
    assert_string_not_equal(x, translate_cluster_name("ns/a", 80, &other, y));
    other.with = NULL;
    assert_string_not_equal(x, translate_cluster_name("ns/a", 80, &other, y));
}

/* A set that was made late is kept up like the first. */
static void test_other_peers_are_kept_up(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    add_service(&w, "a", 80);
    struct xds_set *late = gateway_set(w.gateway, TRANSLATE_FOREIGN);
    add_ingress(&w, "one", "a.example", "/x", "a", NULL, NULL);
    settle(&w);
    assert_non_null(xds_set_find(late, XDS_CLUSTER, STR(CLUSTER)));
    AUTO_CHARS char *with = checked(xds_set_find(late, XDS_ROUTE, STR("http")));
    assert_non_null(strstr(with, "a.example"));
    ingress_routes_remove(w.routes, STR("ns/one"));
    settle(&w);
    assert_null(xds_set_find(late, XDS_CLUSTER, STR(CLUSTER)));
    AUTO_CHARS char *without = checked(xds_set_find(late, XDS_ROUTE, STR("http")));
    assert_null(strstr(without, "a.example"));
    finish(&w);
}

static void put_pod(struct workloads *pods, const char *name, const char *ip, const char *account)
{
    AUTO_JSON json_t *pod =
        json_pack("{s:{s:s,s:s,s:{s:s}},s:{s:s},s:{s:s}}", "metadata", "namespace", "ns", "name",
                  name, "labels", "security.istio.io/tlsMode", "istio", "spec",
                  "serviceAccountName", account, "status", "podIP", ip);
    workloads_put(pods, pod);
}

/* A gateway that has an identity calls pods of the mesh as one of it; others are told nothing of
 * that, but for what they do not look at. */
static void test_gateways_of_the_mesh(void **state)
{
    static const char alice[] = "spiffe://cluster.local/ns/ns/sa/alice",
                      bob[] = "spiffe://cluster.local/ns/ns/sa/bob";
    struct workloads *pods = workloads_new(NULL, NULL);
    struct peer_authentications *rules = peer_authentications_new("fairlead-system");
    const struct gateway_mesh mesh = {
        {.pods = pods, .authentications = rules, .trust_domain = "cluster.local"},
        NULL,
        "fairlead-system"};
    struct world w;
    (void)state;
    start(&w);
    gateway_set_mesh(w.gateway, &mesh);
    add_service(&w, "a", 80);
    add_slice(&w, "a-1", "a", "10.0.0.1", true);
    add_slice(&w, "a-2", "a", "10.0.0.2", true);
    put_pod(pods, "one", "10.0.0.1", "alice");
    add_ingress(&w, "one", "a.example", "/x", "a", NULL, NULL);
    add_ingress(&w, "tls", "a.example", "/y", "a", "backend-protocol", "HTTPS");
    settle(&w);
    struct xds_set *late = gateway_set(w.gateway, TRANSLATE_MESHED);
    AUTO_CHARS char *first = checked(xds_set_find(late, XDS_CLUSTER, STR(CLUSTER))),
                    *plain = checked(xds_set_find(gateway_set(w.gateway, TRANSLATE_OURS),
                                                  XDS_CLUSTER, STR(CLUSTER))),
                    *own = checked(xds_set_find(
                        late, XDS_CLUSTER, STR("outbound|80|http-tls-5s|a.ns.svc.cluster.local"))),
                    *ends = checked(xds_set_find(late, XDS_ENDPOINT, STR(CLUSTER)));
    assert_non_null(strstr(first, alice));
    assert_null(strstr(first, bob));
    assert_null(strstr(plain, "spiffe"));
    assert_null(strstr(own, "spiffe"));
    assert_non_null(strstr(ends, "tlsMode"));
    put_pod(pods, "two", "10.0.0.2", "bob");
    service_join_mark(w.join, service_join_find(w.join, "ns/a"));
    settle(&w);
    AUTO_CHARS char *both = checked(xds_set_find(late, XDS_CLUSTER, STR(CLUSTER)));
    assert_non_null(strstr(both, alice));
    assert_non_null(strstr(both, bob));
    ingress_routes_remove(w.routes, STR("ns/one"));
    ingress_routes_remove(w.routes, STR("ns/tls"));
    settle(&w);
    assert_null(xds_set_find(late, XDS_CLUSTER, STR(CLUSTER)));
    finish(&w);
    peer_authentications_free(rules);
    workloads_free(pods);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_gateways_of_the_mesh),
        cmocka_unit_test(test_body_limits),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_keys_of_caches),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_users_go_to_who_may_have_them),
        cmocka_unit_test(test_other_peers_are_kept_up),
        cmocka_unit_test(test_backends_over_tls),
        cmocka_unit_test(test_fields_that_are_allowed),
        cmocka_unit_test(test_names_of_clusters_over_tls),
        cmocka_unit_test(test_numbers_of_fields),
        cmocka_unit_test(test_what_lives_as_long_as_it_is_named),
        cmocka_unit_test(test_endpoints_that_end),
        cmocka_unit_test(test_a_service_as_an_endpoint),
        cmocka_unit_test(test_everything_passes_the_table),
        cmocka_unit_test(test_certificates_that_nobody_names),
        cmocka_unit_test(test_sides),
    };
    return RUN_TESTS(tests);
}
