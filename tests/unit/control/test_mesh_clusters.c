/* What sidecars are given of a mesh of several clusters. */
#include "mesh_world.h"

#include "control/gateway_passage.h"
#include "test.h"

#define CLUSTER "outbound|80||web.shop.svc.cluster.local"

struct two {
    struct world w;
    const struct cluster *other;
    struct mesh_workload *client;
};

static void on_remote_pod(const struct workload *pod, void *user)
{
    const struct two *t = user;
    mesh_remote_pod_changed(t->w.mesh, 1, pod);
}

static void begin(struct two *t)
{
    start(&t->w);
    t->other = clusters_add(t->w.clusters, "west", workloads_new(on_remote_pod, t));
    t->client = join(&t->w, "shop", "10.0.0.99");
}

static void end(struct two *t)
{
    mesh_leave(t->w.mesh, t->client);
    finish(&t->w);
}

static void put_remote_pod(struct two *t, const char *name, const char *ip, const char *more)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'shop','name':'%s','labels':{'app':'web'%s}},'spec':{"
                  "'serviceAccountName':'far','nodeName':'w1'},'status':{'podIP':'%s'}}",
                  name, more, ip);
    AUTO_JSON json_t *j = json_of(text);
    workloads_put(t->other->pods, j);
}

static void put_remote_slice(struct two *t, const char *endpoints)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'shop','name':'web','labels':{'kubernetes.io/"
                  "service-name':'web'}},'addressType':'IPv4','ports':[{'name':'http','port':8080}"
                  "],'endpoints':[%s]}",
                  endpoints);
    AUTO_JSON json_t *j = json_of(text);
    const struct slice_decoding o = {.topologies = &t->w.join->topologies, .cluster = 1};
    struct slice_object *s = slice_object_decode(j, &o);
    service_join_add_slice(t->w.join, &s);
}

static void put_remote_service(struct two *t)
{
    AUTO_JSON json_t *j =
        json_of("{'metadata':{'namespace':'shop','name':'web'},'spec':{'clusterIP':'10.96.0.1',"
                "'clusterIPs':['10.96.0.1'],'ports':[{'name':'http','port':80}]}}");
    struct service_object *s = service_object_decode(j);
    cluster_adopt_service(1, s);
    service_join_add_service(t->w.join, &s);
}

#define ISTIO ",'security.istio.io/tlsMode':'istio'"

static void put_both(struct two *t)
{
    put_service(&t->w, "shop", "web", "10.96.0.1", HTTP);
    put_slice(&t->w, "shop", "web", "{'name':'http','port':8080}", "{'addresses':['10.0.0.1']}");
    put_pod_of(&t->w, "shop", "web-1", "10.0.0.1", "near", true);
    put_remote_service(t);
    /* The same address, and the same name: it is another pod. */
    put_remote_slice(t, "{'addresses':['10.0.0.1']},{'addresses':['10.1.0.2']}");
    put_remote_pod(t, "web-1", "10.0.0.1", ISTIO);
    put_remote_pod(t, "web-2", "10.1.0.2", ISTIO);
    settle(&t->w);
}

static void test_one_network(void **state)
{
    struct two t;
    (void)state;
    begin(&t);
    put_both(&t);
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, "10.1.0.2");
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, ";west;web");
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, ";Kubernetes;x");
    /* Whom the client expects: accounts of both. */
    expect_in(t.client, XDS_CLUSTER, CLUSTER, "/sa/near");
    expect_in(t.client, XDS_CLUSTER, CLUSTER, "/sa/far");
    /* Its address is ours. */
    expect_in(t.client, XDS_HOST, "80/web.shop.svc.cluster.local:80", "10.96.0.1");
    expect_none(t.client, XDS_HOST, "80/web.shop.svc.cluster.local:80", "240.241.");
    expect_in(t.client, XDS_WORKLOAD, "/10.1.0.2", "west");
    /* Without a proxy of its own it is spoken to in plain text. */
    put_remote_pod(&t, "web-2", "10.1.0.2", "");
    put_remote_pod(&t, "web-1", "10.0.0.1", "");
    settle(&t.w);
    expect_none(t.client, XDS_CLUSTER, CLUSTER, "/sa/far");
    service_join_remove_slice(t.w.join, STR("1@shop/web"));
    settle(&t.w);
    expect_none(t.client, XDS_ENDPOINT, CLUSTER, "10.1.0.2");
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, "10.0.0.1");
    end(&t);
}

static void put_network_gateway(struct two *t, const char *addresses)
{
    AUTO_CHARS char *text = xasprintf("{'metadata':{'labels':{'topology.istio.io/network':'n2'}},"
                                      "'spec':{'externalIPs':[%s]}}",
                                      addresses);
    AUTO_JSON json_t *j = json_of(text);
    assert_true(clusters_put_gateway(t->w.clusters, 1, STR("gw/east"), j));
    mesh_clusters_changed(t->w.mesh);
    settle(&t->w);
}

static void test_two_networks(void **state)
{
    struct two t;
    (void)state;
    begin(&t);
    put_both(&t);
    clusters_set_network(t.w.clusters, 0, "n1");
    clusters_set_network(t.w.clusters, 1, "n2");
    mesh_clusters_changed(t.w.mesh);
    settle(&t.w);
    /* Nobody knows a gateway: they are called as they are. */
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, "10.1.0.2");
    put_network_gateway(&t, "'192.0.2.1'");
    expect_none(t.client, XDS_ENDPOINT, CLUSTER, "10.1.0.2");
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, "10.0.0.1");
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, "{\"address\":\"192.0.2.1\",\"port_value\":15443}");
    /* One here, two behind it; TLS to both. */
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, "\"load_balancing_weight\":1");
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, "\"load_balancing_weight\":2");
    expect_in(t.client, XDS_CLUSTER, CLUSTER, "/sa/far");
    /* Two gateways share, so all count twice. */
    put_network_gateway(&t, "'192.0.2.1','192.0.2.2'");
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, "192.0.2.2");
    expect_none(t.client, XDS_ENDPOINT, CLUSTER, "\"load_balancing_weight\":1");
    /* What takes no TLS is not reached through a gateway. */
    put_remote_pod(&t, "web-2", "10.1.0.2", "");
    put_remote_pod(&t, "web-1", "10.0.0.1", "");
    settle(&t.w);
    expect_none(t.client, XDS_ENDPOINT, CLUSTER, "192.0.2");
    expect_none(t.client, XDS_ENDPOINT, CLUSTER, "10.1.0.2");
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, "10.0.0.1");
    /* A pod that says it is on ours is reached directly. */
    put_remote_pod(&t, "web-2", "10.1.0.2", ISTIO ",'topology.istio.io/network':'n1'");
    settle(&t.w);
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, "10.1.0.2");
    end(&t);
}

static void test_a_service_of_another_cluster_alone(void **state)
{
    struct two t;
    (void)state;
    begin(&t);
    put_remote_service(&t);
    put_remote_slice(&t, "{'addresses':['10.1.0.2']}");
    put_remote_pod(&t, "web-2", "10.1.0.2", ISTIO);
    settle(&t.w);
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, "10.1.0.2");
    expect_in(t.client, XDS_NAMES, "web.shop.svc.cluster.local", "240.241.");
    expect_in(t.client, XDS_HOST, "80/web.shop.svc.cluster.local:80", "240.241.");
    /* Ours comes: its address counts, and who asks DNS is told by the cluster's own. */
    put_service(&t.w, "shop", "web", "10.96.0.7", HTTP);
    settle(&t.w);
    expect_in(t.client, XDS_HOST, "80/web.shop.svc.cluster.local:80", "10.96.0.7");
    assert_false(has(t.client, XDS_NAMES, "web.shop.svc.cluster.local"));
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, "10.1.0.2");
    service_join_remove_service(t.w.join, STR("shop/web"));
    settle(&t.w);
    expect_in(t.client, XDS_NAMES, "web.shop.svc.cluster.local", "240.241.");
    service_join_remove_service_of(t.w.join, STR("shop/web"), 1);
    settle(&t.w);
    assert_false(has(t.client, XDS_CLUSTER, CLUSTER));
    end(&t);
}

/* A pod here is not a member of what another cluster has at its address. */
static void test_addresses_of_others_are_not_ours(void **state)
{
    struct two t;
    (void)state;
    begin(&t);
    put_remote_service(&t);
    put_remote_slice(&t, "{'addresses':['10.0.0.99']}");
    settle(&t.w);
    assert_false(has(t.client, XDS_CLUSTER, "inbound|8080||"));
    put_service(&t.w, "shop", "web", "10.96.0.1", HTTP);
    put_slice(&t.w, "shop", "web", "{'name':'http','port':8080}", "{'addresses':['10.0.0.99']}");
    settle(&t.w);
    assert_true(has(t.client, XDS_CLUSTER, "inbound|8080||"));
    end(&t);
}

static void test_services_of_which_each_cluster_has_its_own(void **state)
{
    struct two t;
    (void)state;
    begin(&t);
    put_both(&t);
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, "10.1.0.2");
    set_config(&t.w, "serviceSettings:\n- settings: {clusterLocal: true}\n  hosts: ['*.shop.svc."
                     "cluster.local']\n");
    service_join_mark_all(t.w.join);
    settle(&t.w);
    expect_none(t.client, XDS_ENDPOINT, CLUSTER, "10.1.0.2");
    expect_none(t.client, XDS_CLUSTER, CLUSTER, "/sa/far");
    /* What is said of it alone counts more. */
    set_config(&t.w, "serviceSettings:\n- settings: {clusterLocal: false}\n  hosts: [web.shop.svc."
                     "cluster.local]\n- settings: {clusterLocal: true}\n  hosts: ['*.cluster."
                     "local']\n");
    service_join_mark_all(t.w.join);
    settle(&t.w);
    expect_in(t.client, XDS_ENDPOINT, CLUSTER, "10.1.0.2");
    end(&t);
}

static void test_entries_say_their_network(void **state)
{
    static const char cluster[] = "outbound|80||db.test";
    struct two t;
    (void)state;
    begin(&t);
    clusters_set_network(t.w.clusters, 0, "n1");
    put_entry(&t.w, "shop", "db",
              "{'hosts':['db.test'],'location':'MESH_INTERNAL','resolution':'STATIC','ports':[{"
              "'number':80,'name':'http','protocol':'HTTP'}],'endpoints':[{'address':'10.9.0.1',"
              "'network':'n2','labels':{'security.istio.io/tlsMode':'istio'}},{'address':"
              "'10.9.0.2'}]}");
    settle(&t.w);
    expect_in(t.client, XDS_ENDPOINT, cluster, "10.9.0.1");
    put_network_gateway(&t, "'192.0.2.1'");
    expect_none(t.client, XDS_ENDPOINT, cluster, "10.9.0.1");
    expect_in(t.client, XDS_ENDPOINT, cluster, "192.0.2.1");
    expect_in(t.client, XDS_ENDPOINT, cluster, "10.9.0.2");
    end(&t);
}

static void test_subsets_by_labels_of_each_cluster(void **state)
{
    struct two t;
    (void)state;
    begin(&t);
    put_rule(&t.w, "shop", "web", "{'host':'web','subsets':[{'name':'v2','labels':{'v':'2'}}]}");
    put_both(&t);
    put_remote_pod(&t, "web-1", "10.0.0.1", ISTIO ",'v':'1'");
    put_remote_pod(&t, "web-2", "10.1.0.2", ISTIO ",'v':'2'");
    settle(&t.w);
    expect_in(t.client, XDS_ENDPOINT, "outbound|80|v2|web.shop.svc.cluster.local", "10.1.0.2");
    expect_none(t.client, XDS_ENDPOINT, "outbound|80|v2|web.shop.svc.cluster.local", "10.0.0.1");
    end(&t);
}

/* ---- what goes in from other networks ---- */

static struct xds_entry *passed(struct xds_set *set, enum xds_resource type, const char *name)
{
    return xds_set_find(set, type, str_from(name));
}

static void put_passage(struct gateway_routes *routes, const char *hosts)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'gw','name':'g'},'spec':{'selector':{'istio':'x'},"
                  "'servers':[{'port':{'number':15443,'protocol':'TLS'},'hosts':[%s],'tls':{"
                  "'mode':'AUTO_PASSTHROUGH'}}]}}",
                  hosts);
    AUTO_JSON json_t *j = json_of(text);
    gateway_routes_put(routes, istio_gateway_decode(j));
}

static void test_what_gateways_pass_on(void **state)
{
    static const char name[] = "outbound_.80_._.web.shop.svc.cluster.local",
                      subset[] = "outbound_.80_.v2_.web.shop.svc.cluster.local";
    AUTO_JSON json_t *labels = json_pack("{s:s}", "istio", "x");
    const struct gateway_routes_options ours = {labels, "gw"};
    struct xds_set *set = xds_set_new();
    struct two t;
    (void)state;
    begin(&t);
    const struct gateway_mesh mesh = {*mesh_get_peers(t.w.mesh), mesh_get_rules(t.w.mesh), "gw"};
    const struct gateway_passage_options o = {"0.0.0.0", t.w.join};
    struct gateway_routes *routes = gateway_routes_new(&ours, mesh_get_rules(t.w.mesh));
    struct gateway_passage *p = gateway_passage_new(&o);
    clusters_set_network(t.w.clusters, 0, "n1");
    clusters_set_network(t.w.clusters, 1, "n2");
    put_rule(&t.w, "shop", "web", "{'host':'web','subsets':[{'name':'v2','labels':{'v':'2'}}]}");
    put_both(&t);
    gateway_passage_begin(p, &mesh, set);
    gateway_passage_flush(p);
    assert_null(passed(set, XDS_CLUSTER, name)); /* nobody has asked for it */
    put_passage(routes, "'*.local'");
    assert_true(gateway_routes_take_passage_change(routes));
    assert_false(gateway_routes_take_passage_change(routes));
    gateway_passage_set_hosts(p, routes);
    gateway_passage_flush(p);
    const struct xds_entry *e = passed(set, XDS_ENDPOINT, name);
    assert_non_null(memmem(e->message.p, e->message.n, "10.0.0.1", 8));
    assert_null(memmem(e->message.p, e->message.n, "10.1.0.2", 8)); /* of another network */
    e = passed(set, XDS_CLUSTER, name);
    assert_null(memmem(e->message.p, e->message.n, "transport_sockets", 17)); /* as it comes */
    assert_non_null(passed(set, XDS_CLUSTER, subset));
    e = passed(set, XDS_LISTENER, "passage");
    assert_non_null(memmem(e->message.p, e->message.n, subset, strlen(subset)));
    /* Who takes no TLS of the mesh is not reached. */
    put_pod_of(&t.w, "shop", "web-1", "10.0.0.1", "near", false);
    gateway_passage_service_changed(p, "shop/web");
    e = passed(set, XDS_ENDPOINT, name);
    assert_null(memmem(e->message.p, e->message.n, "10.0.0.1", 8));
    /* Others' hosts are not ours, and none is none. */
    put_passage(routes, "'other/*.local'");
    gateway_passage_set_hosts(p, routes);
    gateway_passage_flush(p);
    assert_null(passed(set, XDS_CLUSTER, name));
    assert_null(passed(set, XDS_LISTENER, "passage"));
    put_passage(routes, "'shop/*.local'");
    gateway_passage_set_hosts(p, routes);
    gateway_passage_flush(p);
    assert_non_null(passed(set, XDS_LISTENER, "passage"));
    gateway_routes_remove(routes, STR("gw/g"));
    gateway_passage_set_hosts(p, routes);
    gateway_passage_flush(p);
    assert_null(passed(set, XDS_LISTENER, "passage"));
    gateway_passage_free(p);
    gateway_routes_free(routes);
    xds_set_free(set);
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_network),
        cmocka_unit_test(test_two_networks),
        cmocka_unit_test(test_a_service_of_another_cluster_alone),
        cmocka_unit_test(test_addresses_of_others_are_not_ours),
        cmocka_unit_test(test_services_of_which_each_cluster_has_its_own),
        cmocka_unit_test(test_entries_say_their_network),
        cmocka_unit_test(test_what_gateways_pass_on),
        cmocka_unit_test(test_subsets_by_labels_of_each_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
