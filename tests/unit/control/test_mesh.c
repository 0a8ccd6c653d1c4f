/* What sidecars are given: whatever comes and goes, in the end it is what would be made of what
 * there is; and every resource passes the table that says what the proxy does. */
#include "mesh_world.h"

static void test_kinds_of_ports(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put_service(&w, "ns", "web", "10.0.0.1",
                HTTP "," TCP "," UNNAMED ",{'name':'grpc','port':70}"
                     ",{'name':'dns','port':53,'protocol':'UDP'}");
    put_service(&w, "ns", "set", "None", HTTP "," TCP);
    settle(&w);
    struct mesh_workload *here = join(&w, "ns", "10.1.0.1"), *there = join(&w, "other", "10.1.0.2");
    const struct mesh_workload *both[] = {here, there};
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        const struct mesh_workload *one = both[i];
        static const char *const names[] = {"virtualOutbound", "virtualInbound", "0.0.0.0_80",
                                            "0.0.0.0_70",      "10.0.0.1_5432",  "10.0.0.1_9000"};
        for (size_t n = 0; n < ARRAY_LEN(names); n++)
            if (!has(one, XDS_LISTENER, names[n]))
                fail_msg("%s", names[n]);
        assert_false(has(one, XDS_LISTENER, "10.0.0.1_80"));
        assert_false(has(one, XDS_LISTENER, "10.0.0.1_53"));
        expect_in(one, XDS_CLUSTER, "outbound|80||web.ns.svc.cluster.local", "\"LEAST_REQUEST\"");
        expect_in(one, XDS_CLUSTER, "outbound|70||web.ns.svc.cluster.local",
                  "\"explicit_http_config\":{\"http2_protocol_options\"");
        expect_in(one, XDS_CLUSTER, "outbound|9000||web.ns.svc.cluster.local",
                  "use_downstream_protocol_config");
        expect_in(one, XDS_ROUTE, "80", "\"allow_any\"");
        expect_in(one, XDS_ROUTE, "web.ns.svc.cluster.local:9000",
                  "outbound|9000||web.ns.svc.cluster.local");
        expect_in(one, XDS_LISTENER, "10.0.0.1_9000", "\"h2c\"");
        assert_true(has(one, XDS_HOST, "80/set.ns.svc.cluster.local:80"));
        assert_false(has(one, XDS_CLUSTER, "outbound|5432||set.ns.svc.cluster.local"));
        expect_in(one, XDS_CLUSTER, "InboundPassthroughCluster", "127.0.0.6");
        assert_true(has(one, XDS_CLUSTER, "PassthroughCluster"));
        assert_true(has(one, XDS_CLUSTER, "BlackHoleCluster"));
    }
    /* by its name alone in its own namespace */
    expect_in(here, XDS_HOST, "80/web.ns.svc.cluster.local:80", "\"domains\":[\"web\",\"web.ns\"");
    expect_in(there, XDS_HOST, "80/web.ns.svc.cluster.local:80",
              "\"domains\":[\"web.ns\",\"web.ns.svc\",\"web.ns.svc.cluster.local\","
              "\"web.ns.svc.cluster.local.\",\"10.0.0.1\"]");
    mesh_leave(w.mesh, here);
    mesh_leave(w.mesh, there);
    finish(&w);
}

static void test_what_is_served_in_a_pod(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put_service(&w, "ns", "web", "10.0.0.1", HTTP "," TCP);
    put_slice(&w, "ns", "web", "{'name':'http','port':8080},{'name':'tcp-db','port':5433}",
              "{'addresses':['10.1.0.1']},{'addresses':['10.1.0.2']}");
    settle(&w);
    struct mesh_workload *one = join(&w, "ns", "10.1.0.1"), *twin = join(&w, "ns", "10.1.0.1"),
                         *none = join(&w, "ns", "10.1.0.9"), *far = join(&w, "other", "10.1.0.2");
    assert_true(has(one, XDS_CLUSTER, "inbound|8080||") &&
                has(twin, XDS_CLUSTER, "inbound|5433||"));
    expect_in(one, XDS_LISTENER, "virtualInbound", "\"inbound|8080||\"");
    assert_false(has(none, XDS_CLUSTER, "inbound|8080||"));
    assert_false(has(far, XDS_CLUSTER, "inbound|8080||")); /* Services choose in their namespace */
    /* another Service says what is spoken; the pod is in none of the first one's any more */
    put_service(&w, "ns", "api", "10.0.0.3", UNNAMED);
    put_slice(&w, "ns", "api", "{'name':'','port':7000}", "{'addresses':['10.1.0.1']}");
    put_slice(&w, "ns", "web", "{'name':'http','port':8080},{'name':'tcp-db','port':5433}",
              "{'addresses':['10.1.0.9']}");
    settle(&w);
    assert_true(has(one, XDS_CLUSTER, "inbound|7000||") &&
                has(twin, XDS_CLUSTER, "inbound|7000||"));
    assert_false(has(one, XDS_CLUSTER, "inbound|8080||"));
    assert_true(has(none, XDS_CLUSTER, "inbound|8080||"));
    mesh_leave(w.mesh, one);
    service_join_remove_service(w.join, STR("ns/api"));
    settle(&w);
    assert_false(has(twin, XDS_CLUSTER, "inbound|7000||"));
    mesh_leave(w.mesh, twin);
    mesh_leave(w.mesh, none);
    mesh_leave(w.mesh, far);
    assert_int_equal(mesh_workloads(w.mesh), 0);
    finish(&w);
}

/* ---- random histories ---- */

static void change(struct world *w, unsigned *r)
{
    static const char *const namespaces[] = {"a", "b"};
    static const char *const ports[] = {HTTP, TCP, UNNAMED, HTTP "," TCP, UNNAMED "," HTTP};
    static const char *const slices[] = {"{'name':'http','port':8080}", "{'name':'','port':9000}",
                                         "{'name':'tcp-db','port':8080}"};
    char name[8], key[16], ip[16], ends[160] = "";
    const char *ns = namespaces[draw(r, 2)];
    unsigned n = draw(r, 5);
    snprintf(name, sizeof(name), "s%u", n);
    snprintf(key, sizeof(key), "%s/%s", ns, name);
    snprintf(ip, sizeof(ip), "10.0.%u.%u", ns[0], n);
    switch (draw(r, 5)) {
    case 0:
        service_join_remove_service(w->join, str_from(key));
        break;
    case 1:
        service_join_remove_slice(w->join, str_from(key));
        break;
    case 2:
    case 3:
        put_service(w, ns, name, draw(r, 5) ? ip : "None", ports[draw(r, ARRAY_LEN(ports))]);
        break;
    default:
        for (unsigned i = 0; i < 4; i++)
            if (draw(r, 2))
                snprintf(ends + strlen(ends), sizeof(ends) - strlen(ends),
                         "%s{'addresses':['10.1.0.%u']}", *ends ? "," : "", i);
        put_slice(w, ns, name, slices[draw(r, ARRAY_LEN(slices))], ends);
    }
}

/* Rules of either kind, in any namespace, for one, many or no Service. */
static void change_rule(struct world *w, unsigned *r)
{
    static const char *const hosts[] = {"s0",
                                        "s1.a.svc.cluster.local",
                                        "*.b.svc.cluster.local",
                                        "s2.b.svc.cluster.local",
                                        "none",
                                        "h0.example",
                                        "*.example"};
    static const char *const exports[] = {"*", ".", "b"};
    static const char *const matches[] = {"", "'match':[{'sourceLabels':{'v':'1'}}],",
                                          "'match':[{'sourceNamespace':'b'},{'port':80}],"};
    static const char *const namespaces[] = {"a", "b", "fairlead-system"};
    char name[8], key[48];
    const char *ns = namespaces[draw(r, 3)], *host = hosts[draw(r, ARRAY_LEN(hosts))],
               *export = exports[draw(r, 3)];
    bool routes = draw(r, 2);
    snprintf(name, sizeof(name), "r%u", draw(r, 3));
    snprintf(key, sizeof(key), "%s/%s/%d", ns, name, routes);
    if (draw(r, 3) == 0) {
        AUTO_CHARS char *of = xasprintf("%s/%s", ns, name);
        if (routes)
            mesh_rules_remove_virtual_service(mesh_get_rules(w->mesh), str_from(of));
        else
            mesh_rules_remove_destination_rule(mesh_get_rules(w->mesh), str_from(of));
        json_object_del(w->rules, key);
        return;
    }
    AUTO_CHARS char *spec =
        routes
            ? xasprintf("{'hosts':['%s'],'exportTo':['%s'],'http':[{%s'route':[{'destination':{"
                        "'host':'%s','subset':'v1'},'weight':1},{'destination':{'host':'s1'},"
                        "'weight':2}]}]}",
                        host, export, matches[draw(r, 3)], hosts[draw(r, 3) ? draw(r, 2) : 5])
            : xasprintf("{'host':'%s','exportTo':['%s'],%s'trafficPolicy':{%s'loadBalancer':{"
                        "%s'consistentHash':{'httpHeaderName':'x-%u'}}},'subsets':[{'name':'v%u',"
                        "'labels':{'v':'%u'}}]}",
                        host, export,
                        draw(r, 3) ? "" : "'workloadSelector':{'matchLabels':{'v':'1'}},",
                        draw(r, 3) ? "" : "'outlierDetection':{},",
                        draw(r, 4) ? "" : "'localityLbSetting':{'failoverPriority':['app']},",
                        draw(r, 3), draw(r, 2), draw(r, 2));
    put_rule(w, ns, name, spec);
}

/* Hosts that are no Services: of several entries, seen by some, found in every way. */
static void change_entry(struct world *w, unsigned *r)
{
    static const char *const ways[] = {
        "'resolution':'NONE'", "'resolution':'DNS'", "'resolution':'DNS_ROUND_ROBIN'",
        ("'resolution':'STATIC','endpoints':[{'address':'10.1.0.1','labels':{'v':'1'}},"
         "{'address':'10.1.0.2','ports':{'http':8081}}]"),
        "'resolution':'STATIC','location':'MESH_INTERNAL','workloadSelector':{'labels':{'v':'1'}}"};
    static const char *const ports[] = {
        "{'number':80,'name':'http','protocol':'HTTP'}",
        "{'number':443,'name':'tls','protocol':'TLS'}",
        ("{'number':80,'name':'http','protocol':'HTTP'},{'number':443,'name':'tcp',"
         "'protocol':'TCP'}")};
    static const char *const exports[] = {"*", ".", "b", "~"};
    static const char *const addresses[] = {"", "", "'240.0.0.1'", "'10.0.97.1'"}; /* a Service's */
    const char *ns = draw(r, 2) ? "a" : "b";
    char name[8];
    snprintf(name, sizeof(name), "e%u", draw(r, 3));
    AUTO_CHARS char *key = xasprintf("%s/%s", ns, name);
    AUTO_CHARS char *spec = xasprintf(
        "{'hosts':['h%u.example'%s],'addresses':[%s],'ports':[%s],'exportTo':['%s'],%s}",
        draw(r, 2), draw(r, 3) ? "" : ",'s1.a'", addresses[draw(r, ARRAY_LEN(addresses))],
        ports[draw(r, ARRAY_LEN(ports))], exports[draw(r, 4)], ways[draw(r, ARRAY_LEN(ways))]);
    AUTO_CHARS char *workload =
        xasprintf("{'address':'10.1.0.%u','labels':{'v':'%u'},'ports':{'http':%u},'weight':%u}",
                  draw(r, 8), draw(r, 2), 8080 + draw(r, 2), draw(r, 3));
    switch (draw(r, 4)) {
    case 0:
        service_entries_remove(w->entries, str_from(key));
        break;
    case 1:
        put_workload(w, ns, name, workload);
        break;
    case 2:
        if (draw(r, 2))
            service_entries_remove_workload(w->entries, str_from(key));
        break;
    default:
        put_entry(w, ns, name, spec);
    }
}

/* What is told, of all, a namespace or a workload, and to whom. */
static void change_telemetry(struct world *w, unsigned *r)
{
    static const char *const namespaces[] = {"a", "b", "fairlead-system"};
    static const char *const specs[] = {
        "'tracing':[{'randomSamplingPercentage':50}]",
        "'tracing':[{'providers':[{'name':'z'}]}]",
        "'tracing':[{'disableSpanReporting':true,'match':{'mode':'CLIENT'}}]",
        "'accessLogging':[{'providers':[{'name':'envoy'}],'match':{'mode':'SERVER'}}]",
        "'metrics':[{'overrides':[{'match':{'metric':'REQUEST_COUNT'},'disabled':true}]}]",
        "'metrics':[{'overrides':[{'disabled':true}]}]"};
    static const char *const selectors[] = {"", "'selector':{'matchLabels':{'v':'1'}},"};
    const char *ns = namespaces[draw(r, 3)];
    AUTO_CHARS char *key = xasprintf("%s/t%u", ns, draw(r, 2));
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'%s','name':'%s'},'spec':{%s%s}}", ns,
                  strchr(key, '/') + 1, selectors[draw(r, 2)], specs[draw(r, ARRAY_LEN(specs))]);
    AUTO_JSON json_t *j = json_of(text);
    if (draw(r, 4))
        selected_objects_put(w->telemetries, j);
    else
        selected_objects_remove(w->telemetries, str_from(key));
    mesh_telemetry_changed(w->mesh);
}

static void change_pod(struct world *w, unsigned *r)
{
    unsigned i = draw(r, 4);
    AUTO_CHARS char *key = xasprintf("%s/p%u", i % 2 ? "a" : "b", i);
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'%s','name':'p%u','labels':{'v':'%u'}},"
                  "'status':{'podIP':'10.1.0.%u'}}",
                  i % 2 ? "a" : "b", i, draw(r, 2), i);
    AUTO_JSON json_t *j = json_of(text);
    if (draw(r, 4))
        workloads_put(w->pods, j);
    else
        workloads_remove(w->pods, str_from(key));
}

/* Where the proxy itself listens nobody's Service puts a listener, or a second chain, of the same
 * address: the proxy would refuse one of the two, whichever came later. */
static void test_ports_of_the_proxy(void **state)
{
    static const uint16_t ports[] = {15001, 15006, 15021, 15090};
    struct world w;
    (void)state;
    start(&w);
    struct mesh_workload *one = join(&w, "ns", "10.1.0.1");
    for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
        AUTO_CHARS char *port = xasprintf("{'name':'http','port':%u}", ports[i]);
        AUTO_CHARS char *name = xasprintf("s%u", ports[i]), *ip = xasprintf("10.0.1.%zu", i + 1);
        AUTO_CHARS char *listener = xasprintf("0.0.0.0_%u", ports[i]);
        AUTO_CHARS char *cluster = xasprintf("inbound|%u||", ports[i]);
        put_service(&w, "ns", name, ip, port);
        put_slice(&w, "ns", name, port, "{'addresses':['10.1.0.1']}");
        settle(&w);
        assert_false(has(one, XDS_LISTENER, listener));
        assert_false(has(one, XDS_CLUSTER, cluster));
    }
    put_service(&w, "ns", "tcp", "10.0.1.9", "{'name':'tcp','port':15001}");
    settle(&w);
    assert_true(has(one, XDS_LISTENER, "10.0.1.9_15001")); /* is another address */
    finish(&w);
}

/* The Services that it is behind are looked at again, and no others. */
static void test_a_pod_that_changes(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put_service(&w, "shop", "web", "10.0.1.1", "{'name':'http','port':80}");
    put_slice(&w, "shop", "web", "{'name':'http','port':8080}", "{'addresses':['10.0.0.1']}");
    put_service(&w, "shop", "db", "10.0.1.2", "{'name':'tcp','port':80}");
    put_service(&w, "bank", "web", "10.0.1.3", "{'name':'http','port':80}");
    put_slice(&w, "bank", "web", "{'name':'http','port':8080}", "{'addresses':['10.0.0.1']}");
    settle(&w);
    put_pod(&w, "10.0.0.1", "");
    assert_int_equal(w.join->n_dirty, 0); /* nobody has asked */
    struct mesh_workload *asks = join(&w, "shop", "10.0.0.9");
    put_pod(&w, "10.0.0.1", "");
    assert_int_equal(w.join->n_dirty, 0);
    put_pod(&w, "10.0.0.1", "'version':'v2'");
    assert_int_equal(w.join->n_dirty, 1);
    assert_string_equal(service_join_take_dirty(w.join)->key, "shop/web");
    put_pod(&w, "10.0.0.2", "'version':'v2'"); /* it was there */
    assert_int_equal(w.join->n_dirty, 1);
    settle(&w);
    workloads_remove(w.pods, STR("shop/a"));
    assert_int_equal(w.join->n_dirty, 0);
    mesh_leave(w.mesh, asks);
    finish(&w);
}

/* spec NULL: it goes. */
static void put_authentication(struct world *w, const char *ns, const char *spec)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'%s','name':'x'},'spec':%s}", ns, spec ? spec : "{}");
    AUTO_CHARS char *key = xasprintf("%s/x", ns);
    AUTO_JSON json_t *j = json_of(text);
    if (spec)
        assert_ok(peer_authentications_put(w->authentications, j, NULL));
    else
        peer_authentications_remove(w->authentications, str_from(key));
    mesh_authentications_changed(w->mesh, str_from(ns));
}

#define WEB "outbound|80||web.shop.svc.cluster.local"

/* TLS to those that take it, by the names of their accounts; nothing else is any different. */
static void test_who_endpoints_are(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put_service(&w, "shop", "web", "10.0.1.1", "{'name':'http','port':80}");
    put_slice(&w, "shop", "web", "{'name':'http','port':8080}",
              "{'addresses':['10.0.0.1']},{'addresses':['10.0.0.2']},{'addresses':['10.0.0.3']}");
    put_pod_of(&w, "shop", "a", "10.0.0.1", "cart", false);
    settle(&w);
    struct mesh_workload *asks = join(&w, "shop", "10.0.0.9");
    expect_none(asks, XDS_CLUSTER, WEB, "transport_socket_matches");
    expect_none(asks, XDS_ENDPOINT, WEB, "tlsMode");
    put_pod_of(&w, "shop", "a", "10.0.0.1", "cart", true);
    put_pod_of(&w, "shop", "b", "10.0.0.2", "web", true);
    settle(&w);
    expect_in(asks, XDS_CLUSTER, WEB, "\"spiffe://cluster.local/ns/shop/sa/cart\"");
    expect_in(asks, XDS_CLUSTER, WEB, "\"spiffe://cluster.local/ns/shop/sa/web\"");
    expect_in(asks, XDS_CLUSTER, WEB, "\"sni\":\"outbound_.80_._.web.shop.svc.cluster.local\"");
    expect_in(asks, XDS_CLUSTER, WEB, "\"name\":\"tlsMode-disabled\"");
    AUTO_CHARS char *endpoints = find(asks, XDS_ENDPOINT, WEB);
    const char *first = strstr(endpoints, "tlsMode"),
               *second = first ? strstr(first + 1, "tlsMode") : NULL;
    assert_true(second && !strstr(second + 1, "tlsMode")); /* two of three */
    put_authentication(&w, "shop", "{'mtls':{'mode':'DISABLE'}}");
    settle(&w);
    expect_none(asks, XDS_ENDPOINT, WEB, "tlsMode");
    expect_none(asks, XDS_CLUSTER, WEB, "transport_socket_matches");
    mesh_leave(w.mesh, asks);
    finish(&w);
}

static void test_modes(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put_service(&w, "shop", "web", "10.0.1.1",
                "{'name':'http','port':80},{'name':'tcp','port':81},{'name':'','port':82}");
    put_slice(&w, "shop", "web",
              "{'name':'http','port':8080},{'name':'tcp','port':8081},{'name':'','port':8082}",
              "{'addresses':['10.0.0.1']}");
    put_pod_of(&w, "shop", "a", "10.0.0.1", "web", true);
    settle(&w);
    struct mesh_workload *one = join(&w, "shop", "10.0.0.1");
    static const char *const by_mode[][8] = {
        {"0.0.0.0_8080_mtls_http\"", "0.0.0.0_8080_http\"", "0.0.0.0_8081_mtls\"",
         "0.0.0.0_8081_tls\"", "0.0.0.0_8082_mtls_http\"", "0.0.0.0_8082_mtls\"",
         "default_filter_chain", "istio-h2"},
        {"0.0.0.0_8080_mtls_http\"", "0.0.0.0_8080_refused\"", "0.0.0.0_8081_refused\"",
         "0.0.0.0_8082_refused\"", "virtualInbound-mtls", "0.0.0.0_8082_mtls\"",
         "\"require_client_certificate\":true", "spiffe://cluster.local/"},
        {"0.0.0.0_8080_http\"", "0.0.0.0_8081\"", "0.0.0.0_8082\"", "0.0.0.0_8082_http\"",
         "default_filter_chain", "http_inspector", "original_dst", "InboundPassthroughCluster"},
    };
    for (size_t i = 0; i < 8; i++)
        expect_in(one, XDS_LISTENER, "virtualInbound", by_mode[0][i]);
    put_authentication(&w, "fairlead-system", "{'mtls':{'mode':'STRICT'}}"); /* the whole mesh */
    for (size_t i = 0; i < 8; i++)
        expect_in(one, XDS_LISTENER, "virtualInbound", by_mode[1][i]);
    expect_none(one, XDS_LISTENER, "virtualInbound", "default_filter_chain");
    expect_none(one, XDS_LISTENER, "virtualInbound", "http/1.0\",\"http/1.1\",\"h2c");
    put_authentication(&w, "shop", "{'mtls':{'mode':'DISABLE'}}");
    for (size_t i = 0; i < 8; i++)
        expect_in(one, XDS_LISTENER, "virtualInbound", by_mode[2][i]);
    expect_none(one, XDS_LISTENER, "virtualInbound", "transport_socket");
    put_authentication(&w, "shop",
                       "{'selector':{'matchLabels':{'app':'x'}},'mtls':{'mode':'PERMISSIVE'},"
                       "'portLevelMtls':{'8080':{'mode':'STRICT'},'9999':{'mode':'STRICT'}}}");
    expect_in(one, XDS_LISTENER, "virtualInbound", "0.0.0.0_8080_refused\"");
    expect_in(one, XDS_LISTENER, "virtualInbound", "0.0.0.0_8081_tls\"");
    expect_in(one, XDS_LISTENER, "virtualInbound", "0.0.0.0_9999_refused\""); /* of no Service */
    mesh_leave(w.mesh, one);
    finish(&w);
}

/* Every setting of a DestinationRule is a field of a cluster, with Istio's defaults. */
static void test_policies(void **state)
{
    static const struct {
        const char *policy, *cluster, *has;
    } all[] = {
        {"'loadBalancer':{'simple':'ROUND_ROBIN'}", "outbound|70||", NULL},
        {"'loadBalancer':{'simple':'RANDOM'}", "outbound|80||", "\"lb_policy\":\"RANDOM\""},
        {"'loadBalancer':{'simple':'LEAST_CONN'}", "outbound|80||", "\"LEAST_REQUEST\""},
        {"'loadBalancer':{'simple':'PASSTHROUGH'}", "outbound|80||", "\"type\":\"ORIGINAL_DST\""},
        {"'loadBalancer':{'consistentHash':{'useSourceIp':true}}", "outbound|80||",
         "\"ring_hash_lb_config\":{\"minimum_ring_size\":\"1024\"}"},
        {"'loadBalancer':{'consistentHash':{'useSourceIp':true,'maglev':{}}}", "outbound|80||",
         "\"maglev_lb_config\":{\"table_size\":\"65537\"}"},
        {"'loadBalancer':{'warmup':{'duration':'90s'}}", "outbound|80||",
         "\"slow_start_window\":\"90s\",\"min_weight_percent\":{\"value\":10"},
        {"'loadBalancer':{'simple':'ROUND_ROBIN','warmupDurationSecs':'5s'}", "outbound|80||",
         "\"round_robin_lb_config\":{\"slow_start_config\":{\"slow_start_window\":\"5s\""},
        {"'connectionPool':{'tcp':{'maxConnections':7,'connectTimeout':'1500ms'}}", "outbound|80||",
         "\"connect_timeout\":\"1.500s\""},
        {"'connectionPool':{'tcp':{'maxConnections':7}}", "outbound|80||", "\"max_connections\":7"},
        {"'connectionPool':{'http':{'http1MaxPendingRequests':8}}", "outbound|80||",
         "\"max_pending_requests\":8"},
        {"'connectionPool':{'http':{'http2MaxRequests':9}}", "outbound|80||", "\"max_requests\":9"},
        {"'connectionPool':{'http':{'maxRetries':0}}", "outbound|80||", "\"max_retries\":0"},
        {"'connectionPool':{'http':{'maxRequestsPerConnection':3,'idleTimeout':'4s'}}",
         "outbound|80||", "\"idle_timeout\":\"4s\",\"max_requests_per_connection\":3"},
        {"'connectionPool':{'tcp':{'maxConnectionDuration':'1h'}}", "outbound|80||",
         "\"max_connection_duration\":\"3600s\""},
        {"'connectionPool':{'http':{'h2UpgradePolicy':'UPGRADE','maxConcurrentStreams':5}}",
         "outbound|80||", "\"http2_protocol_options\":{\"max_concurrent_streams\":5}"},
        {"'connectionPool':{'http':{'useClientProtocol':true}}", "outbound|80||",
         "\"use_downstream_protocol_config\""},
        {"'outlierDetection':{}", "outbound|80||",
         "\"consecutive_5xx\":5,\"interval\":\"10s\",\"base_ejection_time\":\"30s\","
         "\"max_ejection_percent\":10,\"enforcing_consecutive_5xx\":100,"
         "\"enforcing_success_rate\":0}"},
        {"'outlierDetection':{'consecutiveGatewayErrors':2,'consecutive5xxErrors':0}",
         "outbound|80||",
         "\"consecutive_gateway_failure\":2,\"enforcing_consecutive_gateway_failure\":100"},
        {"'outlierDetection':{'splitExternalLocalOriginErrors':true}", "outbound|80||",
         "\"split_external_local_origin_errors\":true,\"consecutive_local_origin_failure\":5"},
        {"'outlierDetection':{'minHealthPercent':30}", "outbound|80||",
         "\"healthy_panic_threshold\":{\"value\":30"},
        {"'retryBudget':{'percent':30}", "outbound|80||",
         "\"retry_budget\":{\"budget_percent\":{\"value\":30"},
        /* what is said of a port stands alone */
        {"'loadBalancer':{'simple':'RANDOM'},'connectionPool':{'tcp':{'maxConnections':7}},"
         "'portLevelSettings':[{'port':{'number':80},'loadBalancer':{'simple':'ROUND_ROBIN'}}]",
         "outbound|80||", "\"max_connections\":4294967295"},
        {"'loadBalancer':{'simple':'RANDOM'},"
         "'portLevelSettings':[{'port':{'number':81},'loadBalancer':{'simple':'ROUND_ROBIN'}}]",
         "outbound|80||", "\"RANDOM\""},
        /* a subset has what the whole has, part by part */
        {"'loadBalancer':{'simple':'RANDOM'},'connectionPool':{'tcp':{'maxConnections':7}}",
         "outbound|80|v1|", "\"max_connections\":7"},
        {"'loadBalancer':{'simple':'RANDOM'}", "outbound|80|v2|", "\"lb_policy\":\"MAGLEV\""},
    };
    struct world w;
    (void)state;
    start(&w);
    put_service(&w, "ns", "web", "10.0.0.1", HTTP);
    struct mesh_workload *one = join(&w, "ns", "10.1.0.1");
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        AUTO_CHARS char *cluster = xasprintf("%sweb.ns.svc.cluster.local", all[i].cluster);
        AUTO_CHARS char *spec = xasprintf(
            "{'host':'web','trafficPolicy':{%s},'subsets':[{'name':'v1'},{'name':'v2',"
            "'trafficPolicy':{'loadBalancer':{'consistentHash':{'httpHeaderName':'a','maglev':{}"
            "}}}}]}",
            all[i].policy);
        put_rule(&w, "ns", "web", spec);
        settle(&w);
        if (all[i].has)
            expect_in(one, XDS_CLUSTER, cluster, all[i].has);
        else
            assert_false(has(one, XDS_CLUSTER, cluster));
    }
    mesh_rules_remove_destination_rule(mesh_get_rules(w.mesh), STR("ns/web"));
    settle(&w);
    assert_false(has(one, XDS_CLUSTER, "outbound|80|v1|web.ns.svc.cluster.local"));
    assert_false(has(one, XDS_ENDPOINT, "outbound|80|v1|web.ns.svc.cluster.local"));
    mesh_leave(w.mesh, one);
    finish(&w);
}

static void change_peers(struct world *w, unsigned *r)
{
    static const char *const specs[] = {NULL, "{}", "{'mtls':{'mode':'STRICT'}}",
                                        "{'mtls':{'mode':'DISABLE'}}",
                                        "{'selector':{'matchLabels':{'app':'x'}},"
                                        "'portLevelMtls':{'80':{'mode':'DISABLE'}}}"};
    static const char *const spaces[] = {"a", "b", "fairlead-system"};
    char ip[16], name[8];
    unsigned i = draw(r, 4);
    snprintf(ip, sizeof(ip), "10.1.0.%u", i);
    snprintf(name, sizeof(name), "p%u", i);
    put_pod_of(w, spaces[1 - i % 2], name, ip, draw(r, 2) ? "x" : "y", draw(r, 2));
    snprintf(name, sizeof(name), "n%u", draw(r, 2));
    put_node(w, name, draw(r, 2) ? "z1" : "z2");
    if (draw(r, 3) == 0)
        put_authentication(w, spaces[draw(r, 3)], specs[draw(r, ARRAY_LEN(specs))]);
}

/* A rule of the one Service decides how the routes of the other are made. */
static void test_rules_of_a_destination(void **state)
{
    static const char routes[] = "80/front.ns.svc.cluster.local:80";
    struct world w;
    (void)state;
    start(&w);
    put_service(&w, "ns", "front", "10.0.0.1", HTTP);
    put_service(&w, "ns", "back", "10.0.0.2", "{'name':'http','port':8000}");
    struct mesh_workload *one = join(&w, "other", "10.1.0.1");
    put_rule(&w, "ns", "front",
             "{'hosts':['front'],'http':[{'route':[{'destination':{'host':'back'}}]}]}");
    settle(&w);
    expect_in(one, XDS_HOST, routes, "outbound|8000||back.ns.svc.cluster.local");
    put_rule(&w, "ns", "back",
             "{'host':'back','trafficPolicy':{'loadBalancer':{'consistentHash':{"
             "'httpHeaderName':'x-first'}}}}");
    settle(&w);
    expect_in(one, XDS_HOST, routes, "x-first");
    put_rule(&w, "ns", "back",
             "{'host':'*.ns.svc.cluster.local','trafficPolicy':{'loadBalancer':{'consistentHash':{"
             "'httpHeaderName':'x-second'}}}}");
    settle(&w);
    expect_in(one, XDS_HOST, routes, "x-second");
    put_service(&w, "ns", "back", "10.0.0.2", "{'name':'http','port':8001}");
    settle(&w);
    expect_in(one, XDS_HOST, routes, "outbound|8001||back.ns.svc.cluster.local");
    mesh_leave(w.mesh, one);
    finish(&w);
}

/* tcp and tls of VirtualServices: what is known of an address is decided when its listener is made.
 */
static void test_streams(void **state)
{
    static const struct {
        const char *spec, *has, *has_not;
    } all[] = {
        {"'tcp':[{'route':[{'destination':{'host':'web','subset':'v1'}}]}]",
         "\"cluster\":\"outbound|5432|v1|web.ns.svc.cluster.local\"",
         "\"cluster\":\"outbound|5432||web"},
        {"'tcp':[{'match':[{'port':9999}],'route':[{'destination':{'host':'web','subset':'v1'}}]}]",
         "\"cluster\":\"outbound|5432||web.ns.svc.cluster.local\"", "v1"},
        {"'tcp':[{'match':[{'port':5432,'destinationSubnets':['10.0.0.0/24']}],"
         "'route':[{'destination':{'host':'web','subset':'v1'}}]}]",
         "outbound|5432|v1|", "\"cluster\":\"outbound|5432||web"},
        {"'tcp':[{'match':[{'destinationSubnets':['10.9.0.0/24']}],"
         "'route':[{'destination':{'host':'web','subset':'v1'}}]}]",
         "\"cluster\":\"outbound|5432||web.ns.svc.cluster.local\"", "v1"},
        {"'tcp':[{'route':[{'destination':{'host':'web','subset':'v1'},'weight':9},"
         "{'destination':{'host':'web'},'weight':1}]}]",
         "\"weighted_clusters\":{\"clusters\":[{\"name\":\"outbound|5432|v1|web.ns.svc.cluster."
         "local\",\"weight\":9}",
         NULL},
        {"'tls':[{'match':[{'sniHosts':['a.example','*.b.example']}],"
         "'route':[{'destination':{'host':'web','subset':'v1'}}]}]",
         "\"server_names\":[\"a.example\",\"*.b.example\"]", NULL},
        {"'tls':[{'match':[{'sniHosts':['a.example']}],'route':[{'destination':{'host':'web'}}]},"
         "{'match':[{'sniHosts':['a.example','c.example']}],"
         "'route':[{'destination':{'host':'web','subset':'v1'}}]}]",
         "\"server_names\":[\"c.example\"]", NULL},
    };
    struct world w;
    (void)state;
    start(&w);
    put_service(&w, "ns", "web", "10.0.0.1", HTTP "," TCP);
    put_rule(&w, "ns", "web", "{'host':'web','subsets':[{'name':'v1'}]}");
    struct mesh_workload *one = join(&w, "ns", "10.1.0.1");
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        AUTO_CHARS char *spec = xasprintf("{'hosts':['web'],%s}", all[i].spec);
        put_rule(&w, "ns", "web", spec);
        settle(&w);
        AUTO_CHARS char *text = find(one, XDS_LISTENER, "10.0.0.1_5432");
        if (!text || !strstr(text, all[i].has) || (all[i].has_not && strstr(text, all[i].has_not)))
            fail_msg("%s: %s", all[i].spec, text ? text : "none");
    }
    mesh_leave(w.mesh, one);
    finish(&w);
}

static bool is_known(const struct world *w, const char *ns, const char *ip)
{
    struct ip address;
    assert_ok(ip_parse(str_from(ip), &address));
    return workloads_find_ip(w->pods, str_from(ns), &address) != NULL;
}

/* What is known to whom. */
static void change_sidecar(struct world *w, unsigned *r)
{
    static const char *const hosts[] = {"'*/*'",
                                        "'./*'",
                                        "'a/*','b/s0.b.svc.cluster.local'",
                                        "'~/*'",
                                        "'*/h0.example','*/s1.a.svc.cluster.local'",
                                        "'*/*.a.svc.cluster.local'"};
    static const char *const policies[] = {"", ",'outboundTrafficPolicy':{'mode':'REGISTRY_ONLY'}",
                                           ",'outboundTrafficPolicy':{'mode':'ALLOW_ANY'}"};
    static const char *const namespaces[] = {"a", "b", "fairlead-system"};
    if (draw(r, 8))
        return;
    AUTO_CHARS char *labels =
        draw(r, 2) ? xstrdup("")
                   : xasprintf(",'workloadSelector':{'labels':{'v':'%u'}}", draw(r, 2));
    AUTO_CHARS char *egress =
        draw(r, 6) ? xasprintf("'egress':[{'hosts':[%s]}]", hosts[draw(r, ARRAY_LEN(hosts))])
                   : xstrdup("'egress':[]");
    AUTO_CHARS char *spec = xasprintf("{%s%s%s}", egress, labels, policies[draw(r, 3)]);
    put_sidecar(w, namespaces[draw(r, 3)], draw(r, 2) ? "x" : "y", draw(r, 3) ? spec : NULL);
}

static void live(unsigned r, bool scoped)
{
    enum { ROUNDS = 700, PODS = 4 };
    struct world w;
    struct mesh_workload *pods[PODS] = {NULL};
    start(&w);
    w.rules = json_object();
    set_config(&w, "extensionProviders: [{name: z, zipkin: {service: s0.a.svc.cluster.local, "
                   "port: 80}}]");
    for (unsigned round = 0; round < ROUNDS; round++) {
        change(&w, &r);
        change_peers(&w, &r);
        change_rule(&w, &r);
        change_pod(&w, &r);
        change_entry(&w, &r);
        if (scoped)
            change_sidecar(&w, &r);
        if (draw(&r, 3) == 0)
            change_telemetry(&w, &r);
        if (draw(&r, 2))
            settle(&w);
        unsigned i = draw(&r, PODS);
        char ip[16];
        snprintf(ip, sizeof(ip), "10.1.0.%u", i / 2 * 2); /* two of each address */
        if (draw(&r, 6) == 0) {
            if (pods[i])
                mesh_leave(w.mesh, pods[i]);
            pods[i] = pods[i] ? NULL : join(&w, i % 2 ? "a" : "b", ip);
        }
        if (round % 20)
            continue;
        settle(&w);
        struct mesh *again = new_mesh(&w); /* from nothing */
        const char *key;
        json_t *rule;
        json_object_foreach(w.rules, key, rule) put_rule_object(again, rule);
        for (i = 0; i < PODS; i++) {
            snprintf(ip, sizeof(ip), "10.1.0.%u", i / 2 * 2);
            struct world other = w;
            other.mesh = again;
            other.rules = NULL;
            bool known = is_known(&w, i % 2 ? "a" : "b", ip);
            if (pods[i] && (known || !scoped)) /* what is forgotten knows what it did */
                expect_same(pods[i], join(&other, i % 2 ? "a" : "b", ip), !known);
        }
        mesh_free(again);
        settle(&w);
    }
    json_decref(w.rules);
    for (unsigned i = 0; i < PODS; i++)
        if (pods[i])
            mesh_leave(w.mesh, pods[i]);
    finish(&w);
}

static void test_random_histories(void **state)
{
    (void)state;
    live(3, false);
    static const unsigned seeds[] = {5, 100, 105};
    for (size_t i = 0; i < ARRAY_LEN(seeds); i++)
        live(seeds[i], true);
}

/* What is for no Service goes nowhere; pods of headless ones are places by themselves. */
static void test_registry_only(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    mesh_set_registry_only(w.mesh);
    put_service(&w, "ns", "web", "10.0.0.1", HTTP);
    put_service(&w, "ns", "db", "None", TCP);
    put_service(&w, "ns", "twin", "None", TCP);
    put_slice(&w, "ns", "db", "{'name':'tcp-db','port':8080}", "{'addresses':['10.1.0.7']}");
    put_slice(&w, "ns", "twin", "{'name':'tcp-db','port':8080}", "{'addresses':['10.1.0.7']}");
    struct mesh_workload *one = join(&w, "ns", "10.1.0.1");
    settle(&w);
    AUTO_CHARS char *out = find(one, XDS_LISTENER, "virtualOutbound"),
                    *port = find(one, XDS_LISTENER, "0.0.0.0_80"),
                    *routes = find(one, XDS_ROUTE, "80"),
                    *pod = find(one, XDS_LISTENER, "10.1.0.7_8080");
    assert_null(strstr(out, "PassthroughCluster"));
    assert_null(strstr(port, "PassthroughCluster"));
    assert_non_null(strstr(routes, "block_all"));
    assert_non_null(strstr(routes, "502"));
    assert_null(strstr(routes, "PassthroughCluster"));
    assert_non_null(pod);
    assert_non_null(strstr(pod, "PassthroughCluster"));
    put_slice(&w, "ns", "db", "{'name':'tcp-db','port':8080}", "{'addresses':['10.1.0.8']}");
    settle(&w);
    AUTO_CHARS char *still = find(one, XDS_LISTENER, "10.1.0.7_8080");
    assert_non_null(still); /* of the other one */
    put_slice(&w, "ns", "twin", "{'name':'tcp-db','port':8080}", "{'addresses':['10.1.0.8']}");
    settle(&w);
    AUTO_CHARS char *gone = find(one, XDS_LISTENER, "10.1.0.7_8080"),
                    *come = find(one, XDS_LISTENER, "10.1.0.8_8080");
    assert_null(gone);
    assert_non_null(come);
    mesh_leave(w.mesh, one);
    finish(&w);
}

/* ---- who may call ---- */

static void put_authorization(struct world *w, const char *ns, const char *name, const char *spec)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'%s','name':'%s'},'spec':%s}", ns, name, spec);
    AUTO_JSON json_t *j = json_of(text);
    selected_objects_put(w->authorizations, j);
    mesh_authorizations_changed(w->mesh, str_from(ns));
}

static void remove_authorization(struct world *w, const char *key)
{
    struct str name, ns = str_cut(str_from(key), '/', &name);
    selected_objects_remove(w->authorizations, str_from(key));
    mesh_authorizations_changed(w->mesh, ns);
}

/* Filters of a chain, of HTTP or of bytes: "DENY(ns[..]-policy[..]-rule[..],..) ALLOW()" */
static const char *access_of(const struct mesh_workload *w, const char *chain, bool http)
{
    static char text[1000];
    size_t n = 0;
    AUTO_CHARS char *all = find(w, XDS_LISTENER, "virtualInbound");
    AUTO_JSON json_t *j = NULL;
    assert_ok(json_parse(str_from(all), 0, NULL, &j, NULL));
    const json_t *chains = json_object_get(j, "filter_chains"), *filters = NULL;
    for (size_t i = 0; i < json_array_size(chains); i++)
        if (streq(json_key_str(json_array_get(chains, i), "name"), chain))
            filters = json_object_get(json_array_get(chains, i), "filters");
    assert_non_null(filters);
    if (http)
        filters = json_at(json_array_get(filters, 0), "typed_config.http_filters");
    *text = 0;
    for (size_t i = 0; i < json_array_size(filters); i++) {
        const json_t *config = json_object_get(json_array_get(filters, i), "typed_config"),
                     *rules = json_object_get(config, "rules");
        bool shadow = !rules;
        const char *key, *action;
        json_t *policy;
        if (!strstr(json_key_str(json_array_get(filters, i), "name"), "rbac"))
            continue;
        rules = rules ? rules : json_object_get(config, "shadow_rules");
        action = json_key_str(rules, "action");
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s%s(", n ? " " : "",
                              shadow ? "would " : "", action ? action : "ALLOW");
        json_object_foreach(json_object_get(rules, "policies"), key, policy)
        {
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s,", key);
        }
        n += (size_t)snprintf(text + n, sizeof(text) - n, ")");
    }
    return text;
}

/* What stands in which chain, in which order. */
static void test_who_may_call(void **state)
{
    static const char http[] = "0.0.0.0_8080_http", tcp[] = "0.0.0.0_5433_mtls";
    struct world w;
    (void)state;
    start(&w);
    put_service(&w, "shop", "web", "10.0.1.1", HTTP "," TCP);
    put_slice(&w, "shop", "web", "{'name':'http','port':8080},{'name':'tcp-db','port':5433}",
              "{'addresses':['10.0.0.1']},{'addresses':['10.0.0.2']}");
    put_pod_of(&w, "shop", "a", "10.0.0.1", "web", true);
    settle(&w);
    struct mesh_workload *one = join(&w, "shop", "10.0.0.1"),
                         *unknown = join(&w, "shop", "10.0.0.2");
    assert_string_equal(access_of(one, http, true), "");
    assert_string_equal(access_of(one, tcp, false), "");
    put_authorization(&w, "shop", "allow",
                      "{'rules':[{'to':[{'operation':{'methods':['GET']}}]},"
                      "{'from':[{'source':{'namespaces':['a']}}]}]}");
    put_authorization(&w, "fairlead-system", "deny",
                      "{'action':'DENY','rules':[{'from':[{'source':{'namespaces':['b']}}],"
                      "'to':[{'operation':{'paths':['/x']}}]}]}");
    put_authorization(&w, "shop", "watch", "{'action':'AUDIT','rules':[{}]}");
    assert_string_equal(access_of(one, http, true),
                        "LOG(ns[shop]-policy[watch]-rule[0],) "
                        "DENY(ns[fairlead-system]-policy[deny]-rule[0],) "
                        "ALLOW(ns[shop]-policy[allow]-rule[0],ns[shop]-policy[allow]-rule[1],)");
    /* Bytes have no method: that rule is none. They have no path: who is denied stays so. */
    assert_string_equal(access_of(one, tcp, false),
                        "LOG(ns[shop]-policy[watch]-rule[0],) "
                        "DENY(ns[fairlead-system]-policy[deny]-rule[0],) "
                        "ALLOW(ns[shop]-policy[allow]-rule[1],)");
    put_authorization(&w, "shop", "allow", "{}"); /* nobody */
    remove_authorization(&w, "shop/watch");
    remove_authorization(&w, "fairlead-system/deny");
    assert_string_equal(access_of(one, http, true), "ALLOW()");
    assert_string_equal(access_of(one, tcp, false), "ALLOW()");
    put_authorization(&w, "shop", "allow",
                      "{'selector':{'matchLabels':{'app':'x'}},'rules':[{'to':[{'operation':"
                      "{'methods':['GET']}}]}]}");
    assert_string_equal(access_of(one, tcp, false), "ALLOW()"); /* of bytes none is let in */
    /* One that cannot be read denies; one of which nobody is asked denies what it is about. */
    put_authorization(&w, "shop", "bad", "{'rules':7}");
    put_authorization(&w, "shop", "ask",
                      "{'action':'CUSTOM','provider':{'name':'x'},'rules':[{}]}");
    put_authorization(&w, "shop", "empty", "{'action':'DENY'}");
    assert_string_equal(access_of(one, http, true),
                        "DENY(ns[shop]-policy[ask]-rule[0],ns[shop]-policy[bad]-rule[unreadable],) "
                        "ALLOW(ns[shop]-policy[allow]-rule[0],)");
    remove_authorization(&w, "shop/bad");
    remove_authorization(&w, "shop/ask");
    /* What is known of a pod holds when it is not known any more. */
    put_authentication(&w, "shop",
                       "{'selector':{'matchLabels':{'app':'x'}},'mtls':{'mode':'STRICT'},"
                       "'portLevelMtls':{'9999':{'mode':'STRICT'},'5433':{'mode':'PERMISSIVE'}}}");
    expect_in(one, XDS_LISTENER, "virtualInbound", "0.0.0.0_8080_refused\"");
    workloads_remove(w.pods, STR("shop/a"));
    settle(&w);
    put_authentication(&w, "x", "{'mtls':{'mode':'STRICT'}}"); /* somebody else's changes */
    expect_in(one, XDS_LISTENER, "virtualInbound", "0.0.0.0_8080_refused\"");
    expect_in(one, XDS_LISTENER, "virtualInbound", "0.0.0.0_9999_refused\"");
    expect_none(one, XDS_LISTENER, "virtualInbound", "0.0.0.0_5433_refused\"");
    put_pod_of(&w, "shop", "a", "10.0.0.1", "web", true);
    put_authentication(&w, "shop", NULL);
    settle(&w);
    workloads_remove(w.pods, STR("shop/a"));
    settle(&w);
    assert_string_equal(access_of(one, http, true), "ALLOW(ns[shop]-policy[allow]-rule[0],)");
    assert_string_equal(access_of(unknown, http, true), "");
    mesh_leave(w.mesh, one);
    mesh_leave(w.mesh, unknown);
    finish(&w);
}

static void test_dry_run(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put_service(&w, "shop", "web", "10.0.1.1", HTTP "," TCP);
    put_slice(&w, "shop", "web", "{'name':'http','port':8080},{'name':'tcp-db','port':5433}",
              "{'addresses':['10.0.0.1']}");
    put_pod_of(&w, "shop", "a", "10.0.0.1", "web", true);
    settle(&w);
    struct mesh_workload *one = join(&w, "shop", "10.0.0.1");
    AUTO_JSON json_t *j = json_of("{'metadata':{'namespace':'shop','name':'p','annotations':"
                                  "{'istio.io/dry-run':'true'}},'spec':{}}");
    selected_objects_put(w.authorizations, j);
    mesh_authorizations_changed(w.mesh, STR("shop"));
    assert_string_equal(access_of(one, "0.0.0.0_8080_http", true), "would ALLOW()");
    assert_string_equal(access_of(one, "0.0.0.0_5433_mtls", false), "");
    mesh_leave(w.mesh, one);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds_of_ports),
        cmocka_unit_test(test_what_is_served_in_a_pod),
        cmocka_unit_test(test_ports_of_the_proxy),
        cmocka_unit_test(test_a_pod_that_changes),
        cmocka_unit_test(test_who_endpoints_are),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_registry_only),
        cmocka_unit_test(test_rules_of_a_destination),
        cmocka_unit_test(test_random_histories),
        cmocka_unit_test(test_who_may_call),
        cmocka_unit_test(test_dry_run),
    };
    return RUN_TESTS(tests);
}
