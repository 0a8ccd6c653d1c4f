/* What DestinationRules say of TLS and of places, as sidecars are given it. */
#include "mesh_world.h"

#include "codec/base64.h"
#include "net/tls.h"

/* What endpoints are shown and verified by: files of the proxy's, whom they are asked for as. */
static void test_tls_of_rules(void **state)
{
    static const struct {
        const char *tls, *has, *has_not;
    } all[] = {
        {"'mode':'SIMPLE'", "\"name\":\"file-root:system\"", "file-cert"},
        {"'mode':'SIMPLE'", "\"auto_sni\":true,\"auto_san_validation\":true", "\"sni\""},
        {"'mode':'SIMPLE','caCertificates':'/ca'", "\"name\":\"file-root:/ca\"", "system"},
        {"'mode':'SIMPLE','caCertificates':'/ca','caCrl':'/crl'", "\"file-root:/ca~/crl\"",
         "cert:"},
        {"'mode':'SIMPLE','sni':'a.b'", "\"sni\":\"a.b\"", "auto_s"},
        {"'mode':'SIMPLE','subjectAltNames':['a.b']", "\"auto_sni\":true}", "auto_san"},
        {"'mode':'SIMPLE','subjectAltNames':['a.b']",
         "{\"san_type\":\"DNS\",\"matcher\":{\"exact\":\"a.b\"}}", "URI"},
        {"'mode':'SIMPLE','subjectAltNames':['spiffe://a/b']",
         "{\"san_type\":\"URI\",\"matcher\":{\"exact\":\"spiffe://a/b\"}}", "DNS"},
        {"'mode':'SIMPLE','subjectAltNames':['10.0.0.1']", "\"san_type\":\"IP_ADDRESS\"", "DNS"},
        {"'mode':'SIMPLE','insecureSkipVerify':true", "UpstreamTlsContext", "validation"},
        {"'mode':'MUTUAL','clientCertificate':'/c','privateKey':'/k'",
         "\"name\":\"file-cert:/c~/k\"", "ROOTCA"},
        /* what cannot be done speaks to nobody, and never in plain text */
        {"'mode':'MUTUAL'", "\"load_assignment\"", "eds_config"},
        {"'mode':'SIMPEL'", "\"load_assignment\"", "eds_config"},
        {"'mode':'SIMPLE','credentialName':'c','caCertificates':'/ca'", "\"load_assignment\"",
         "eds_config"},
        {"'mode':'SIMPLE','credentialName':'c'", "\"load_assignment\"", "eds_config"},
        {"'mode':'DISABLE'", "eds_config", "transport_socket"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct world w;
        AUTO_CHARS char *rule =
            xasprintf("{'host':'web','trafficPolicy':{'tls':{%s}}}", all[i].tls);
        start(&w);
        put_service(&w, "shop", "web", "10.0.1.1", HTTP);
        put_pod_of(&w, "shop", "web", "10.0.0.9", "web", true);
        put_slice(&w, "shop", "web", "{'name':'http','port':8080}", "{'addresses':['10.0.0.9']}");
        put_rule(&w, "shop", "web", rule);
        settle(&w);
        struct mesh_workload *one = join(&w, "shop", "10.0.0.1");
        expect_in(one, XDS_CLUSTER, "outbound|80||web.shop.svc.cluster.local", all[i].has);
        expect_none(one, XDS_CLUSTER, "outbound|80||web.shop.svc.cluster.local", all[i].has_not);
        mesh_leave(w.mesh, one);
        finish(&w);
    }
}

#define WEB        "outbound|80||web.shop.svc.cluster.local"
#define PROXY_TYPE "ProxyProtocolUpstreamTransport\",\"config\":"
#define KEEPS      "'connectionPool':{'tcp':{'tcpKeepalive':{"

/* What connections are: how they are kept, and who is said to be behind them. */
static void test_connections_of_rules(void **state)
{
    static const struct {
        const char *policy, *has, *also, *has_not;
    } all[] = {
        {"'connectionPool':{}", "eds_config", "tlsMode-disabled", "upstream_connection_options"},
        {KEEPS "}}}", "\"upstream_connection_options\":{\"tcp_keepalive\":{}}", "eds_config",
         "PROXY"},
        {KEEPS "'probes':3,'time':'10s','interval':'1500ms'}}}",
         "{\"tcp_keepalive\":{\"keepalive_probes\":3,\"keepalive_time\":10,\"keepalive_interval\":"
         "2}}",
         "eds_config", "PROXY"},
        {"'connectionPool':{'http':{'h2UpgradePolicy':'UPGRADE','http2KeepAlive':{'interval':'10s',"
         "'timeout':'2s'}}}",
         "\"http2_protocol_options\":{\"connection_keepalive\":{\"interval\":\"10s\",\"timeout\":"
         "\"2s\"}}",
         "eds_config", "PROXY"},
        {"'proxyProtocol':{}",
         PROXY_TYPE "{},\"transport_socket\":{\"name\":\"envoy.transport_sockets.tls\"",
         PROXY_TYPE "{},\"transport_socket\":{\"name\":\"envoy.transport_sockets.raw_buffer\"",
         "\"version\""},
        {"'proxyProtocol':{'version':'V2'},'tls':{'mode':'DISABLE'}",
         PROXY_TYPE "{\"version\":\"V2\"},\"transport_socket\":{\"name\":\"envoy.transport_sockets."
                    "raw_buffer\"",
         "\"envoy.transport_sockets.upstream_proxy_protocol\"", "transport_socket_matches"},
        {"'proxyProtocol':{'version':'V2'},'tls':{'mode':'SIMPLE'}",
         PROXY_TYPE
         "{\"version\":\"V2\"},\"transport_socket\":{\"name\":\"envoy.transport_sockets.tls\"",
         "file-root:system", "raw_buffer"},
        {"'proxyProtocol':{'version':'V2'},'tls':{'mode':'ISTIO_MUTUAL'}",
         PROXY_TYPE
         "{\"version\":\"V2\"},\"transport_socket\":{\"name\":\"envoy.transport_sockets.tls\"",
         "ROOTCA", "raw_buffer"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct world w;
        AUTO_CHARS char *rule = xasprintf("{'host':'web','trafficPolicy':{%s}}", all[i].policy);
        start(&w);
        put_service(&w, "shop", "web", "10.0.1.1", HTTP);
        put_pod_of(&w, "shop", "web", "10.0.0.9", "web", true);
        put_slice(&w, "shop", "web", "{'name':'http','port':8080}", "{'addresses':['10.0.0.9']}");
        put_rule(&w, "shop", "web", rule);
        settle(&w);
        struct mesh_workload *one = join(&w, "shop", "10.0.0.1");
        expect_in(one, XDS_CLUSTER, WEB, all[i].has);
        expect_in(one, XDS_CLUSTER, WEB, all[i].also);
        expect_none(one, XDS_CLUSTER, WEB, all[i].has_not);
        mesh_leave(w.mesh, one);
        finish(&w);
    }
}

#define COOKIE(more)                                                                               \
    "{'host':'web','trafficPolicy':{'loadBalancer':{'consistentHash':{'httpCookie':{'name':'"      \
    "c'" more "}}}}}"

/* Without a lifetime nobody is given a cookie, as in Istio. */
static void test_cookies_of_rules(void **state)
{
    static const struct {
        const char *rule, *has;
    } all[] = {
        {COOKIE(",'path':'/p'"), "\"cookie\":{\"name\":\"c\",\"path\":\"/p\"}"},
        {COOKIE(",'ttl':'0s'"), "\"cookie\":{\"name\":\"c\",\"ttl\":\"0s\"}"},
        {COOKIE(
             ",'ttl':'90s','attributes':[{'name':'SameSite','value':'Strict'},{'name':'Secure'}]"),
         "\"cookie\":{\"name\":\"c\",\"ttl\":\"90s\",\"attributes\":[{\"name\":\"SameSite\","
         "\"value\":"
         "\"Strict\"},{\"name\":\"Secure\"}]}"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct world w;
        start(&w);
        put_service(&w, "shop", "web", "10.0.1.1", HTTP);
        put_rule(&w, "shop", "web", all[i].rule);
        settle(&w);
        struct mesh_workload *one = join(&w, "shop", "10.0.0.1");
        expect_in(one, XDS_HOST, "80/web.shop.svc.cluster.local:80", all[i].has);
        mesh_leave(w.mesh, one);
        finish(&w);
    }
}

static char *base64_of(const struct buf *b)
{
    AUTO_DONE(buf) struct buf text = {0};
    base64_encode(buf_str(b), &text);
    return buf_take_cstr(&text);
}

static void put_secret(struct world *w, const char *name, const char *data)
{
    AUTO_CHARS char *text = xasprintf("{'data':{%s}}", data), *key = xasprintf("shop/%s", name);
    AUTO_JSON json_t *j = json_of(text);
    AUTO_DONE(buf) struct buf wrong = {0};
    auth_objects_put_secret(&w->objects, key, *data ? j : NULL, &wrong);
    assert_int_equal(wrong.n, 0);
    mesh_rules_secret_changed(mesh_get_rules(w->mesh), STR("shop"), str_from(name));
    settle(w);
}

static void put_pod_on(struct world *w, const char *name, const char *ip, const char *node,
                       const char *labels)
{
    AUTO_CHARS char *text = xasprintf("{'metadata':{'namespace':'shop','name':'%s','labels':{%s}},"
                                      "'spec':{'nodeName':'%s'},'status':{'podIP':'%s'}}",
                                      name, labels, node, ip);
    AUTO_JSON json_t *j = json_of(text);
    workloads_put(w->pods, j);
}

/* Clients of one place are given the same, those of others something else; and only of what a rule
 * says so of. */
static void test_localities(void **state)
{
    static const char cluster[] = "outbound|80||web.shop.svc.cluster.local",
                      other[] = "outbound|80||other.shop.svc.cluster.local";
    struct world w;
    (void)state;
    start(&w);
    put_node(&w, "n1", "z1");
    put_node(&w, "n2", "z2");
    put_service(&w, "shop", "web", "10.0.1.1", HTTP);
    put_service(&w, "shop", "other", "10.0.1.2", HTTP);
    put_pod_on(&w, "web-1", "10.0.0.11", "n1", "'v':'1'");
    put_pod_on(&w, "web-2", "10.0.0.12", "n2", "'v':'2'");
    put_pod_on(&w, "a", "10.0.0.1", "n1", "'v':'2'");
    put_pod_on(&w, "b", "10.0.0.2", "n1", "'v':'1'");
    put_pod_on(&w, "c", "10.0.0.3", "n2", "'istio-locality':'r1.z9.s9'");
    put_slice(&w, "shop", "web", "{'name':'http','port':8080}",
              "{'addresses':['10.0.0.11']},{'addresses':['10.0.0.12']}");
    put_rule(&w, "shop", "web", "{'host':'web','trafficPolicy':{'outlierDetection':{}}}");
    settle(&w);
    struct mesh_workload *a = join(&w, "shop", "10.0.0.1"), *b = join(&w, "shop", "10.0.0.2"),
                         *c = join(&w, "shop", "10.0.0.3");
    expect_in(a, XDS_CLUSTER, cluster, "locality_weighted_lb_config");
    expect_none(a, XDS_CLUSTER, other, "locality_weighted_lb_config");
    expect_in(a, XDS_ENDPOINT, cluster, "\"zone\":\"z1\"},\"lb_endpoints\"");
    expect_in(a, XDS_ENDPOINT, cluster, "\"priority\":1");
    expect_none(c, XDS_ENDPOINT, cluster, "priority"); /* both are in its region alone */
    /* made once for all of a place */
    assert_ptr_equal(xds_set_find(mesh_workload_set(a), XDS_ENDPOINT, str_from(cluster)),
                     xds_set_find(mesh_workload_set(b), XDS_ENDPOINT, str_from(cluster)));
    assert_ptr_equal(xds_set_find(mesh_workload_set(a), XDS_ENDPOINT, str_from(other)),
                     xds_set_find(mesh_workload_set(c), XDS_ENDPOINT, str_from(other)));
    put_node(&w, "n1", "z2"); /* its endpoint is somewhere else, and so is who calls */
    settle(&w);
    expect_none(a, XDS_ENDPOINT, cluster, "\"zone\":\"z1\"");
    expect_none(a, XDS_ENDPOINT, cluster, "priority");
    put_node(&w, "n1", "z1");
    settle(&w);
    expect_in(a, XDS_ENDPOINT, cluster, "\"priority\":1");
    /* by labels of the client: each for itself */
    put_rule(&w, "shop", "web",
             "{'host':'web','trafficPolicy':{'outlierDetection':{},'loadBalancer':"
             "{'localityLbSetting':{'failoverPriority':['v']}}}}");
    settle(&w);
    assert_ptr_not_equal(xds_set_find(mesh_workload_set(a), XDS_ENDPOINT, str_from(cluster)),
                         xds_set_find(mesh_workload_set(b), XDS_ENDPOINT, str_from(cluster)));
    expect_in(a, XDS_ENDPOINT, cluster, "\"priority\":1");
    put_rule(&w, "shop", "web",
             "{'host':'web','trafficPolicy':{'outlierDetection':{},'loadBalancer':"
             "{'localityLbSetting':{'enabled':false}}}}");
    settle(&w);
    expect_none(a, XDS_ENDPOINT, cluster, "zone");
    expect_none(a, XDS_CLUSTER, cluster, "locality_weighted_lb_config");
    put_rule(&w, "shop", "web",
             "{'host':'web','trafficPolicy':{'loadBalancer':{'localityLbSetting':{'distribute':["
             "{'from':'*','to':{'r1/z2':100}}]}}}}");
    settle(&w);
    expect_in(a, XDS_ENDPOINT, cluster, "\"load_balancing_weight\":100");
    put_rule(&w, "shop", "web", "{'host':'web','trafficPolicy':{'outlierDetection':{}}}");
    settle(&w);
    expect_in(a, XDS_ENDPOINT, cluster, "\"priority\":1");
    set_config(&w, "localityLbSetting: {enabled: false}"); /* where no rule says it */
    mesh_providers_changed(w.mesh);
    settle(&w);
    expect_none(a, XDS_ENDPOINT, cluster, "zone");
    set_config(&w, "localityLbSetting: {distribute: [{from: r1/z1, to: {r1/z2: 100}}]}");
    mesh_providers_changed(w.mesh);
    settle(&w);
    expect_in(a, XDS_ENDPOINT, cluster, "\"load_balancing_weight\":100");
    mesh_rules_remove_destination_rule(mesh_get_rules(w.mesh), STR("shop/web"));
    settle(&w);
    expect_none(a, XDS_ENDPOINT, cluster, "zone");
    mesh_leave(w.mesh, a);
    mesh_leave(w.mesh, b);
    mesh_leave(w.mesh, c);
    finish(&w);
}

/* A Secret is given to those clients alone that the rule selects, as long as it does. */
static void test_credentials_of_rules(void **state)
{
    static const char cluster[] = "outbound|80||web.shop.svc.cluster.local",
                      shown[] = "outbound|80||web.shop.svc.cluster.local/shown",
                      trusted[] = "outbound|80||web.shop.svc.cluster.local/trusted";
    AUTO_DONE(buf) struct buf cert = {0};
    AUTO_DONE(buf) struct buf key = {0};
    struct world w;
    (void)state;
    const struct tls_cert_request r = {.common_name = "ca", .is_ca = true, .days = 2};
    assert_ok(tls_cert_issue(&r, STR(""), STR(""), &cert, &key, NULL));
    AUTO_CHARS char *cert_text = base64_of(&cert), *key_text = base64_of(&key),
                    *ca = xasprintf("'ca.crt':'%s'", cert_text),
                    *both = xasprintf("'tls.crt':'%s','tls.key':'%s'", cert_text, key_text);
    start(&w);
    put_service(&w, "shop", "web", "10.0.1.1", HTTP);
    put_pod_of(&w, "shop", "caller", "10.0.0.1", "x", true);
    put_rule(&w, "shop", "web",
             "{'host':'web','workloadSelector':{'matchLabels':{'app':'x'}},'trafficPolicy':"
             "{'tls':{'mode':'MUTUAL','credentialName':'c'}}}");
    settle(&w);
    struct mesh_workload *one = join(&w, "shop", "10.0.0.1"), *other = join(&w, "shop", "10.0.0.2");
    expect_in(one, XDS_CLUSTER, cluster, "load_assignment");
    put_secret(&w, "c", both);
    expect_in(one, XDS_CLUSTER, cluster, "load_assignment"); /* whom to trust is not known */
    assert_false(has(one, XDS_SECRET, shown));
    put_secret(&w, "c-cacert", ca);
    expect_in(one, XDS_CLUSTER, cluster, shown);
    expect_in(one, XDS_CLUSTER, cluster, trusted);
    assert_true(has(one, XDS_SECRET, shown));
    assert_true(has(one, XDS_SECRET, trusted));
    expect_none(other, XDS_CLUSTER, cluster, "load_assignment");
    assert_false(has(other, XDS_SECRET, shown));
    assert_null(xds_set_find(mesh_workload_set(one)->over, XDS_SECRET, str_from(shown)));
    put_secret(&w, "c", "");
    expect_in(one, XDS_CLUSTER, cluster, "load_assignment");
    assert_false(has(one, XDS_SECRET, shown));
    assert_false(has(one, XDS_SECRET, trusted));
    put_secret(&w, "c", both);
    mesh_rules_remove_destination_rule(mesh_get_rules(w.mesh), STR("shop/web"));
    settle(&w);
    assert_false(has(one, XDS_SECRET, shown));
    mesh_leave(w.mesh, one);
    mesh_leave(w.mesh, other);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_of_rules), cmocka_unit_test(test_cookies_of_rules),
        cmocka_unit_test(test_tls_of_rules),         cmocka_unit_test(test_localities),
        cmocka_unit_test(test_credentials_of_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
