/* Clusters of the mesh: which networks they are on, and by which gateways these are reached. */
#include "json_text.h"
#include "model/clusters.h"
#include "test.h"

static bool put(struct clusters *t, uint16_t number, const char *key, const char *text)
{
    AUTO_JSON json_t *j = text ? json_of(text) : NULL;
    return clusters_put_gateway(t, number, str_from(key), j);
}

/* "IP:PORT IP:PORT" */
static void expect_gateways(const struct clusters *t, const char *network, const char *want)
{
    AUTO_DONE(buf) struct buf b = {0};
    char text[IP_TEXT_BYTES];
    size_t n;
    const struct network_gateway *g = clusters_gateways(t, str_from(network), &n);
    assert_true((g != NULL) == (n > 0));
    for (size_t i = 0; i < n; i++)
        buf_addf(&b, "%s%s:%u", i ? " " : "", ip_format(&g[i].ip, text), g[i].port);
    assert_string_equal(buf_cstr(&b), want);
}

#define LABELS(network, more)                                                                      \
    "{'metadata':{'labels':{'topology.istio.io/network':'" network "'" more "}},"

static void test_gateways(void **state)
{
    struct workloads *pods = workloads_new(NULL, NULL);
    struct clusters *t = clusters_new("one", pods);
    const struct cluster *two = clusters_add(t, "two", workloads_new(NULL, NULL));
    (void)state;
    assert_int_equal(two->number, 1);
    assert_false(put(t, 1, "a/b", "{'spec':{'externalIPs':['192.0.2.9']}}")); /* no label */
    assert_true(put(t, 1, "a/east",
                    LABELS("n2", "") "'status':{'loadBalancer':{'ingress':[{'ip':'192.0.2.2'},"
                                     "{'hostname':'x'},{'ip':'192.0.2.1'}]}}}"));
    assert_true(put(t, 0, "a/east",
                    LABELS("n1", ",'networking.istio.io/gatewayPort':'443'") "'spec':{"
                                                                             "'externalIPs':["
                                                                             "'192.0.2.3']}}"));
    expect_gateways(t, "n1", "192.0.2.3:443");
    expect_gateways(t, "n2", "192.0.2.1:15443 192.0.2.2:15443");
    expect_gateways(t, "n", "");
    expect_gateways(t, "", "");
    /* The same again is no news; another address is. */
    assert_false(put(t, 1, "a/east",
                     LABELS("n2", "") "'status':{'loadBalancer':{'ingress':[{'ip':'192.0.2.1'},"
                                      "{'ip':'192.0.2.2'}]}}}"));
    assert_true(
        put(t, 1, "a/east",
            LABELS("n2", "") "'status':{'loadBalancer':{'ingress':[{'ip':'192.0.2.1'}]}}}"));
    expect_gateways(t, "n2", "192.0.2.1:15443");
    assert_true(put(t, 0, "a/east", "{}"));
    expect_gateways(t, "n1", "");
    assert_true(put(t, 0, "z/z",
                    LABELS("n2", ",'networking.istio.io/gatewayPort':'x'") "'spec':{"
                                                                           "'externalI"
                                                                           "Ps':['192."
                                                                           "0.2.0']}}"));
    expect_gateways(t, "n2", "192.0.2.0:15443 192.0.2.1:15443");
    clusters_remove(t, 1); /* its gateways go with it */
    expect_gateways(t, "n2", "192.0.2.0:15443");
    assert_true(put(t, 0, "z/z", NULL));
    expect_gateways(t, "n2", "");
    clusters_free(t);
    workloads_free(pods);
}

static void test_numbers(void **state)
{
    struct workloads *pods = workloads_new(NULL, NULL);
    struct clusters *t = clusters_new("own", pods);
    char name[16];
    (void)state;
    for (int i = 1; i < CLUSTERS_MAX; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        assert_int_equal(clusters_add(t, name, workloads_new(NULL, NULL))->number, i);
    }
    struct workloads *none = workloads_new(NULL, NULL);
    assert_null(clusters_add(t, "more", none));
    assert_string_equal(clusters_find(t, "c7")->id, "c7");
    clusters_remove(t, 7);
    assert_null(clusters_find(t, "c7"));
    assert_null(clusters_at(t, 7));
    assert_int_equal(clusters_add(t, "more", none)->number, 7);
    assert_true(clusters_set_network(t, 7, "n"));
    assert_false(clusters_set_network(t, 7, "n"));
    assert_null(clusters_at(t, CLUSTERS_MAX));
    clusters_free(t);
    workloads_free(pods);
}

static void put_pod(struct workloads *pods, const char *name, const char *ip, const char *network)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'a','name':'%s','labels':{%s%s%s}},'status':{"
                  "'podIP':'%s'}}",
                  name, network ? "'topology.istio.io/network':'" : "", network ? network : "",
                  network ? "'" : "", ip);
    AUTO_JSON json_t *j = json_of(text);
    workloads_put(pods, j);
}

/* One address is two pods', each on its network. */
static void test_pods_of_one_address(void **state)
{
    struct workloads *pods = workloads_new(NULL, NULL), *others = workloads_new(NULL, NULL);
    struct clusters *t = clusters_new("own", pods);
    const struct cluster *of = NULL;
    struct ip ip;
    (void)state;
    clusters_add(t, "two", others);
    clusters_set_network(t, 0, "n1");
    clusters_set_network(t, 1, "n2");
    assert_ok(ip_parse(STR("10.0.0.1"), &ip));
    put_pod(others, "far", "10.0.0.1", NULL);
    assert_null(clusters_find_ip(t, STR("n1"), STR("a"), &ip, &of));
    assert_string_equal(clusters_find_ip(t, STR("n2"), STR("a"), &ip, &of)->key, "a/far");
    assert_string_equal(of->id, "two");
    put_pod(others, "far", "10.0.0.1", "n1"); /* it says so of itself */
    assert_string_equal(clusters_find_ip(t, STR("n1"), STR("a"), &ip, &of)->key, "a/far");
    put_pod(pods, "near", "10.0.0.1", NULL);
    assert_string_equal(clusters_find_ip(t, STR("n1"), STR("a"), &ip, &of)->key, "a/near");
    assert_string_equal(of->id, "own");
    assert_null(clusters_find_ip(t, STR("n1"), STR("b"), &ip, &of));
    clusters_free(t);
    workloads_free(pods);
}

static void test_services_of_others(void **state)
{
    AUTO_JSON json_t *j = json_of("{'metadata':{'namespace':'a','name':'b'},'spec':{'clusterIP':"
                                  "'10.96.0.5','clusterIPs':['10.96.0.5'],'externalIPs':["
                                  "'192.0.2.1'],'ports':[{'port':80}]}}");
    AUTO_JSON json_t *headless = json_of("{'metadata':{'namespace':'a','name':'b'},'spec':{"
                                         "'clusterIP':'None','ports':[{'port':80}]}}");
    struct service_object *s = service_object_decode(j), *h = service_object_decode(headless);
    char text[IP_TEXT_BYTES];
    (void)state;
    cluster_adopt_service(3, s);
    cluster_adopt_service(3, h);
    assert_int_equal(s->cluster, 3);
    assert_int_equal(s->n_cluster_ips, 1);
    assert_int_equal(s->n_external_ips, 0);
    assert_true(str_starts(str_from(ip_format(&s->cluster_ips[0], text)), STR("240.241.")));
    assert_int_equal(h->n_cluster_ips, 0);
    service_object_free(s);
    service_object_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gateways),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_pods_of_one_address),
        cmocka_unit_test(test_services_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
