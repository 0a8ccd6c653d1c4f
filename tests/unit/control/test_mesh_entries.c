/* Hosts that Kubernetes does not know, as sidecars are given them. */
#include "mesh_world.h"

#define HTTP_PORT "{'number':80,'name':'http','protocol':'HTTP'}"
#define TLS_PORT  "{'number':443,'name':'tls','protocol':'TLS'}"
#define TCP_PORT  "{'number':9000,'name':'tcp','protocol':'TCP'}"

/* One entry of its own for a sidecar of namespace ns. */
static struct mesh_workload *with(struct world *w, const char *spec)
{
    start(w);
    put_entry(w, "shop", "e", spec);
    settle(w);
    return join(w, "shop", "10.0.0.1");
}

static void test_ways_to_find_it(void **state)
{
    static const struct {
        const char *spec, *cluster, *text, *also;
    } ways[] = {
        {"'resolution':'NONE'", "outbound|80||a.example", "\"ORIGINAL_DST\"",
         "\"CLUSTER_PROVIDED\""},
        {"'resolution':'DNS'", "outbound|80||a.example", "\"STRICT_DNS\"",
         "\"address\":\"a.example\",\"port_value\":80"},
        {"'resolution':'DNS_ROUND_ROBIN','endpoints':[{'address':'b.example','ports':{'http':81}}]",
         "outbound|80||a.example", "\"LOGICAL_DNS\"",
         "\"address\":\"b.example\",\"port_value\":81"},
        {"'resolution':'DNS','endpoints':[{'address':'b.example','weight':7}]",
         "outbound|80||a.example", "\"load_balancing_weight\":7", "\"dns_refresh_rate\":\"60s\""},
        {"'resolution':'STATIC','endpoints':[{'address':'10.9.0.1'}]", "outbound|80||a.example",
         "\"EDS\"", "\"host\":\"a.example\""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        struct world w;
        AUTO_CHARS char *spec =
            xasprintf("{'hosts':['a.example'],'ports':[" HTTP_PORT "],%s}", ways[i].spec);
        struct mesh_workload *one = with(&w, spec);
        expect_in(one, XDS_CLUSTER, ways[i].cluster, ways[i].text);
        expect_in(one, XDS_CLUSTER, ways[i].cluster, ways[i].also);
        expect_in(one, XDS_HOST, "80/a.example:80", "\"domains\":[\"a.example\",\"a.example.\"]");
        expect_in(one, XDS_HOST, "80/a.example:80", "\"cluster\":\"outbound|80||a.example\"");
        assert_true(has(one, XDS_LISTENER, "0.0.0.0_80"));
        assert_true(has(one, XDS_ROUTE, "80"));
        assert_int_equal(has(one, XDS_ENDPOINT, ways[i].cluster),
                         strstr(ways[i].text, "EDS") != NULL);
        service_entries_remove(w.entries, STR("shop/e"));
        settle(&w);
        assert_false(has(one, XDS_CLUSTER, ways[i].cluster));
        assert_false(has(one, XDS_HOST, "80/a.example:80"));
        assert_false(has(one, XDS_LISTENER, "0.0.0.0_80"));
        mesh_leave(w.mesh, one);
        finish(&w);
    }
}

/* Who is of the mesh is called over its TLS; who is outside never. */
static void test_inside_and_outside(void **state)
{
    static const char spec[] =
        "{'hosts':['a.example'],'ports':[" HTTP_PORT "],'resolution':'STATIC','location':'%s',"
        "'endpoints':[{'address':'10.9.0.1','serviceAccount':'vm','weight':3,'labels':{"
        "'security.istio.io/tlsMode':'istio','v':'1'}},{'address':'10.9.0.2','ports':{'http':81}}]"
        "%s}";
    struct world w;
    (void)state;
    AUTO_CHARS char *inside = xasprintf(spec, "MESH_INTERNAL", ""),
                    *outside = xasprintf(spec, "MESH_EXTERNAL", ""),
                    *named = xasprintf(spec, "MESH_INTERNAL", ",'subjectAltNames':['spiffe://x']");
    struct mesh_workload *one = with(&w, inside);
    expect_in(one, XDS_CLUSTER, "outbound|80||a.example", "spiffe://cluster.local/ns/shop/sa/vm");
    expect_in(one, XDS_CLUSTER, "outbound|80||a.example", "outbound_.80_._.a.example");
    expect_in(one, XDS_ENDPOINT, "outbound|80||a.example", "\"load_balancing_weight\":3");
    expect_in(one, XDS_ENDPOINT, "outbound|80||a.example", "\"tlsMode\"");
    expect_in(one, XDS_ENDPOINT, "outbound|80||a.example", "\"port_value\":81");
    put_entry(&w, "shop", "e", named);
    settle(&w);
    expect_in(one, XDS_CLUSTER, "outbound|80||a.example", "\"exact\":\"spiffe://x\"");
    expect_none(one, XDS_CLUSTER, "outbound|80||a.example", "sa/vm");
    put_entry(&w, "shop", "e", outside);
    settle(&w);
    expect_none(one, XDS_CLUSTER, "outbound|80||a.example", "tlsMode");
    expect_none(one, XDS_ENDPOINT, "outbound|80||a.example", "tlsMode");
    /* Rules speak of it as of a Service. */
    put_rule(&w, "shop", "d",
             "{'host':'a.example','subsets':[{'name':'v1','labels':{'v':'1'}}],"
             "'trafficPolicy':{'loadBalancer':{'simple':'RANDOM'}}}");
    put_rule(&w, "shop", "r",
             "{'hosts':['a.example'],'http':[{'route':[{'destination':{'host':"
             "'a.example','subset':'v1'}}],'timeout':'3s'}]}");
    settle(&w);
    expect_in(one, XDS_CLUSTER, "outbound|80||a.example", "\"RANDOM\"");
    expect_in(one, XDS_HOST, "80/a.example:80", "\"outbound|80|v1|a.example\"");
    expect_in(one, XDS_ENDPOINT, "outbound|80|v1|a.example", "10.9.0.1");
    expect_none(one, XDS_ENDPOINT, "outbound|80|v1|a.example", "10.9.0.2");
    mesh_leave(w.mesh, one);
    finish(&w);
}

/* Bytes without an address are found by the name that TLS says. */
static void test_bytes(void **state)
{
    struct world w;
    (void)state;
    struct mesh_workload *one = with(&w, "{'hosts':['a.example','*.b.example'],'ports':[" TLS_PORT
                                         "," TCP_PORT "],'resolution':'NONE'}");
    expect_in(one, XDS_LISTENER, "0.0.0.0_443", "\"server_names\":[\"a.example\"]");
    expect_in(one, XDS_LISTENER, "0.0.0.0_443", "\"server_names\":[\"*.b.example\"]");
    expect_in(one, XDS_LISTENER, "0.0.0.0_443", "tls_inspector");
    expect_none(one, XDS_LISTENER, "0.0.0.0_443", "http_inspector");
    expect_in(
        one, XDS_LISTENER, "0.0.0.0_443",
        "\"default_filter_chain\":{\"filters\":[{\"name\":\"envoy.filters.network.tcp_proxy\"");
    expect_none(one, XDS_LISTENER, "0.0.0.0_9000", "PassthroughCluster");
    expect_in(one, XDS_LISTENER, "0.0.0.0_9000", "outbound|9000||*.b.example");
    expect_none(one, XDS_LISTENER, "0.0.0.0_9000", "inspector"); /* its server may speak first */
    put_service(&w, "shop", "web", "10.0.1.1", "{'name':'http','port':443}"); /* odd, and allowed */
    settle(&w);
    expect_in(one, XDS_LISTENER, "0.0.0.0_443", "http_inspector");
    expect_in(one, XDS_LISTENER, "0.0.0.0_443", "\"server_names\":[\"a.example\"]");
    put_entry(&w, "shop", "n",
              "{'hosts':['n.example'],'addresses':['10.20.0.0/16','240.0.0.9'],"
              "'ports':[" TCP_PORT "],'resolution':'NONE'}");
    settle(&w);
    expect_in(one, XDS_LISTENER, "240.0.0.9_9000", "outbound|9000||n.example");
    put_rule(&w, "shop", "r",
             "{'hosts':['a.example'],'tls':[{'match':[{'sniHosts':['a.example']}],'route':[{"
             "'destination':{'host':'web.shop.svc.cluster.local','port':{'number':443}}}]}]}");
    settle(&w);
    expect_in(one, XDS_LISTENER, "0.0.0.0_443", "outbound|443||web.shop.svc.cluster.local");
    expect_none(one, XDS_LISTENER, "0.0.0.0_443", "\"cluster\":\"outbound|443||a.example\"");
    service_entries_remove(w.entries, STR("shop/e"));
    settle(&w);
    expect_none(one, XDS_LISTENER, "0.0.0.0_443", "server_names");
    assert_false(has(one, XDS_LISTENER, "0.0.0.0_9000"));
    mesh_leave(w.mesh, one);
    finish(&w);
}

static void test_networks(void **state)
{
    struct world w;
    (void)state;
    struct mesh_workload *one = with(&w, "{'hosts':['n.example'],'addresses':['10.20.0.0/16'],"
                                         "'ports':[" TCP_PORT "],'resolution':'NONE'}");
    expect_in(one, XDS_LISTENER, "0.0.0.0_9000",
              "\"address_prefix\":\"10.20.0.0\",\"prefix_len\":16");
    expect_in(one, XDS_LISTENER, "0.0.0.0_9000", "PassthroughCluster");
    mesh_leave(w.mesh, one);
    finish(&w);
}

/* Nobody takes what is a Service's, neither its names nor its address. */
static void test_what_is_a_services(void **state)
{
    struct world w;
    (void)state;
    struct mesh_workload *one =
        with(&w, "{'hosts':['db.bank'],'addresses':['10.0.1.1'],'ports':[" HTTP_PORT "," TCP_PORT
                 "],'resolution':'DNS'}");
    assert_true(has(one, XDS_HOST, "80/db.bank:80"));
    expect_in(one, XDS_LISTENER, "10.0.1.1_9000", "outbound|9000||db.bank\"");
    put_service(&w, "bank", "db", "10.0.1.1", "{'name':'tcp','port':9000}");
    settle(&w);
    assert_false(has(one, XDS_HOST, "80/db.bank:80"));
    expect_in(one, XDS_LISTENER, "10.0.1.1_9000", "outbound|9000||db.bank.svc.cluster.local");
    service_join_remove_service(w.join, STR("bank/db"));
    settle(&w);
    assert_true(has(one, XDS_HOST, "80/db.bank:80"));
    expect_in(one, XDS_LISTENER, "10.0.1.1_9000", "outbound|9000||db.bank\"");
    mesh_leave(w.mesh, one);
    finish(&w);
}

/* exportTo, and of two for one host one's own. */
static void test_who_sees_it(void **state)
{
    struct world w;
    (void)state;
    struct mesh_workload *shop =
                             with(&w, "{'hosts':['a.example'],'exportTo':['.'],'ports':[" HTTP_PORT
                                      "," TLS_PORT "],'resolution':'DNS'}"),
                         *bank = join(&w, "bank", "10.0.0.2");
    assert_true(has(shop, XDS_HOST, "80/a.example:80"));
    expect_in(shop, XDS_LISTENER, "0.0.0.0_443", "a.example");
    assert_false(has(bank, XDS_HOST, "80/a.example:80"));
    assert_false(has(bank, XDS_CLUSTER, "outbound|80||a.example"));
    expect_none(bank, XDS_LISTENER, "0.0.0.0_443", "a.example");
    put_entry(&w, "other", "e",
              "{'hosts':['a.example'],'ports':[" HTTP_PORT "],'resolution':'DNS_ROUND_ROBIN'}");
    settle(&w);
    expect_in(shop, XDS_CLUSTER, "outbound|80||a.example", "\"STRICT_DNS\"");
    expect_in(bank, XDS_CLUSTER, "outbound|80||a.example", "\"LOGICAL_DNS\"");
    service_entries_remove(w.entries, STR("shop/e"));
    settle(&w);
    expect_in(shop, XDS_CLUSTER, "outbound|80||a.example", "\"LOGICAL_DNS\"");
    assert_false(has(shop, XDS_LISTENER, "0.0.0.0_443"));
    mesh_leave(w.mesh, shop);
    mesh_leave(w.mesh, bank);
    finish(&w);
}

static void put_selecting(struct world *w, const char *more)
{
    AUTO_CHARS char *text = xasprintf(
        "{'metadata':{'namespace':'shop','name':'web','uid':'u'},'spec':{'clusterIP':'10.0.1.1',"
        "'clusterIPs':['10.0.1.1'],'ports':[{'name':'http','port':80,'targetPort':8080},"
        "{'name':'http-admin','port':81,'targetPort':'admin'},{'name':'tcp','port':9000}]%s}}",
        more);
    AUTO_JSON json_t *j = json_of(text);
    struct service_object *s = service_object_decode(j);
    service_join_add_service(w->join, &s);
    service_entries_put_service(w->entries, j);
    settle(w);
}

#define WEB ".svc.cluster.local"

/* Beside its pods; a port that an entry does not serve is not asked of it. */
static void test_services_select_entries(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put_selecting(&w, ",'selector':{'app':'web','of':'vm'}");
    put_slice(&w, "shop", "web", "{'name':'http','port':8080}", "{'addresses':['10.0.2.1']}");
    settle(&w);
    struct mesh_workload *one = join(&w, "shop", "10.0.0.1");
    put_workload(&w, "shop", "vm",
                 "{'address':'10.9.0.1','labels':{'app':'web','of':'vm','x':'y'},"
                 "'weight':3}");
    put_workload(&w, "shop", "ported",
                 "{'address':'10.9.0.2','serviceAccount':'vm','labels':{'app':'web','of':'vm',"
                 "'security.istio.io/tlsMode':'istio'},"
                 "'ports':{'http':7080,'admin':7081}}");
    put_workload(&w, "shop", "other", "{'address':'10.9.0.3','labels':{'app':'web'}}");
    put_workload(&w, "bank", "far", "{'address':'10.9.0.4','labels':{'app':'web','of':'vm'}}");
    settle(&w);
    static const char http[] = "outbound|80||web.shop" WEB, admin[] = "outbound|81||web.shop" WEB,
                      tcp[] = "outbound|9000||web.shop" WEB;
    expect_in(one, XDS_ENDPOINT, http, "\"address\":\"10.0.2.1\",\"port_value\":8080");
    expect_in(one, XDS_ENDPOINT, http, "\"address\":\"10.9.0.1\",\"port_value\":8080");
    expect_in(one, XDS_ENDPOINT, http, "\"address\":\"10.9.0.2\",\"port_value\":7080");
    expect_in(one, XDS_ENDPOINT, http, "\"load_balancing_weight\":3");
    expect_in(one, XDS_ENDPOINT, http, "tlsMode");
    expect_none(one, XDS_ENDPOINT, http, "10.9.0.3");
    expect_none(one, XDS_ENDPOINT, http, "10.9.0.4");
    expect_none(one, XDS_ENDPOINT, admin, "10.9.0.1"); /* a target by a name that it has not */
    expect_in(one, XDS_ENDPOINT, admin, "\"address\":\"10.9.0.2\",\"port_value\":7081");
    expect_in(one, XDS_ENDPOINT, tcp, "\"address\":\"10.9.0.1\",\"port_value\":9000");
    expect_in(one, XDS_CLUSTER, http, "spiffe://cluster.local/ns/shop/sa/vm");
    /* They change, the selector does, they go. */
    put_workload(&w, "shop", "other", "{'address':'10.9.0.3','labels':{'app':'web','of':'vm'}}");
    put_workload(&w, "shop", "vm", "{'address':'10.9.0.1','labels':{'app':'db','of':'vm'}}");
    settle(&w);
    expect_in(one, XDS_ENDPOINT, http, "10.9.0.3");
    expect_none(one, XDS_ENDPOINT, http, "10.9.0.1");
    put_selecting(&w, ",'selector':{'app':'db'}");
    expect_in(one, XDS_ENDPOINT, http, "10.9.0.1");
    expect_none(one, XDS_ENDPOINT, http, "10.9.0.3");
    service_entries_remove_workload(w.entries, STR("shop/vm"));
    settle(&w);
    expect_none(one, XDS_ENDPOINT, http, "10.9.0.1");
    expect_in(one, XDS_ENDPOINT, http, "10.0.2.1");
    put_selecting(&w, ",'selector':{'app':'web'}");
    expect_in(one, XDS_ENDPOINT, http, "10.9.0.2");
    put_selecting(&w, ""); /* selects nothing now */
    expect_none(one, XDS_ENDPOINT, http, "10.9.0.2");
    put_selecting(&w, ",'selector':{'app':'web'}");
    service_join_remove_service(w.join, STR("shop/web"));
    service_entries_remove_service(w.entries, STR("shop/web"));
    settle(&w);
    assert_int_equal(service_join_find(w.join, "shop/web")->slices.n, 1);
    mesh_leave(w.mesh, one);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways_to_find_it),
        cmocka_unit_test(test_inside_and_outside),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_what_is_a_services),
        cmocka_unit_test(test_who_sees_it),
        cmocka_unit_test(test_services_select_entries),
    };
    return RUN_TESTS(tests);
}
