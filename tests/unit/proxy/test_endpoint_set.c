/* Sets of endpoints from assignments: what is refused, and what lives on through a new set. */
#include <errno.h>

#include "cluster_test.h"

#define ADDRESS(ip, port)        "'address':{'socket_address':{'address':'" ip "','port_value':" #port "}}"
#define ENDPOINT(ip, port, more) "{'endpoint':{" ADDRESS(ip, port) "}" more "}"
#define ASSIGNMENT(list)         "{'cluster_name':'c','endpoints':[" list "]}"

static struct endpoint_set *set(const char *text, const struct endpoint_set *before)
{
    struct endpoint_set *s = NULL;
    struct err err = {0};
    if (set_from(text, before, &s, &err) < 0)
        fail_msg("%s", err_text(&err));
    return s;
}

static void refuse(const char *text, const char *why)
{
    struct endpoint_set *s = NULL;
    struct err err = {0};
    assert_int_equal(set_from(text, NULL, &s, &err), -EINVAL);
    assert_null(s);
    assert_string_equal(err_text(&err), why);
}

static void test_what_it_says(void **state)
{
    struct endpoint_set *s =
        set(ASSIGNMENT("{'priority':5,'lb_endpoints':[" ENDPOINT(
                "::1", 81, "") "]},"
                               "{'locality':{'region':'r','zone':'z'},'load_balancing_weight':3,"
                               "'lb_endpoints':[" ENDPOINT(
                                   "10.0.0.1", 80,
                                   ",'health_status':'DRAINING',"
                                   "'load_balancing_weight':7") "," ENDPOINT("10.0.0."
                                                                             "2",
                                                                             80, "") "]"
                                                                                     "}"),
            NULL);
    (void)state;
    assert_int_equal(s->n_priorities, 2);
    assert_int_equal(s->localities.n, 2);
    assert_string_equal(s->localities.v[0].region, "r");
    assert_string_equal(s->localities.v[0].zone, "z");
    assert_int_equal(s->localities.v[0].weight, 3);
    assert_int_equal(s->localities.v[1].priority, 1); /* 5: the gap is closed */
    const struct endpoint_entry *e = &s->entries.v[s->localities.v[0].first];
    assert_string_equal(e[0].endpoint->text, "10.0.0.1:80");
    assert_int_equal(e[0].weight, 7);
    assert_int_equal(e[0].status, ENDPOINT_DRAINING);
    assert_int_equal(e[0].locality, 0);
    assert_int_equal(e[1].weight, 1);
    assert_int_equal(e[1].status, ENDPOINT_HEALTHY);
    e = &s->entries.v[s->localities.v[1].first];
    assert_string_equal(e->endpoint->text, "[::1]:81");
    assert_int_equal(e->locality, 1);
    endpoint_set_unref(s);
}

static void test_the_same_address_twice_is_one(void **state)
{
    struct endpoint_set *s = set(
        ASSIGNMENT(
            "{'lb_endpoints':[" ENDPOINT("10.0.0.1", 80, ",'load_balancing_weight':2") "," ENDPOINT(
                "10.0.0.1", 80, "") "," ENDPOINT("10.0.0.1", 81,
                                                 "") "]},"
                                                     "{'priority':1,'lb_endpoints':[" ENDPOINT(
                                                         "10.0.0.1", 80, "") "]}"),
        NULL);
    (void)state;
    assert_int_equal(s->entries.n, 2);
    assert_int_equal(s->entries.v[0].weight, 2); /* the first counts */
    assert_int_equal(s->localities.v[1].n, 0);
    endpoint_set_unref(s);
}

static void test_endpoints_live_on(void **state)
{
    struct endpoint_set *a = set(ASSIGNMENT("{'lb_endpoints':[" ENDPOINT(
                                     "10.0.0.1", 80, "") "," ENDPOINT("10.0.0.2", 80, "") "]}"),
                                 NULL);
    atomic_store(&a->entries.v[1].endpoint->flags, ENDPOINT_EJECTED);
    struct endpoint_set *b =
        set(ASSIGNMENT("{'lb_endpoints':[" ENDPOINT("10.0.0.3", 80, "") "," ENDPOINT(
                "10.0.0.2", 80, ",'load_balancing_weight':9") "]}"),
            a);
    (void)state;
    assert_ptr_equal(b->entries.v[1].endpoint, a->entries.v[1].endpoint);
    assert_int_equal(b->entries.v[1].weight, 9);
    assert_int_equal(a->entries.v[1].weight, 1);
    endpoint_set_unref(a);
    assert_int_equal(atomic_load(&b->entries.v[1].endpoint->flags), ENDPOINT_EJECTED);
    assert_int_equal(atomic_load(&b->entries.v[0].endpoint->flags), 0);
    endpoint_set_unref(b);
}

static void test_refusals(void **state)
{
    (void)state;
    refuse(ASSIGNMENT("{'lb_endpoints':[" ENDPOINT("svc.example", 80, "") "]}"),
           "endpoints[0].lb_endpoints[0]: malformed IP address: svc.example. Consider setting "
           "resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'");
    refuse(ASSIGNMENT(
               "{},{'lb_endpoints':[" ENDPOINT("10.0.0.1", 80, ",'load_balancing_weight':0") "]}"),
           "endpoints[1].lb_endpoints[0]: load_balancing_weight: must be at least 1");
    refuse(ASSIGNMENT("{'load_balancing_weight':0}"),
           "endpoints[0]: load_balancing_weight: must be at least 1");
    refuse(ASSIGNMENT("{'priority':129}"), "endpoints[0]: priority: must be below 129");
    refuse(ASSIGNMENT("{'lb_endpoints':[{'endpoint_name':'x'}]}"),
           "endpoints[0].lb_endpoints[0]: only an endpoint is implemented, not a name of one");
    refuse(ASSIGNMENT("{'lb_endpoints':[{'endpoint':{}}]}"),
           "endpoints[0].lb_endpoints[0]: expected a socket_address with port_value, or a pipe");
    refuse("{'cluster_name':'c','policy':{'overprovisioning_factor':0}}",
           "policy: overprovisioning_factor: must be above 0");
}

static void test_a_cluster_takes_another_set(void **state)
{
    AUTO(arena) struct arena *a = arena_new(0);
    struct cluster *c;
    struct err err = {0};
    struct pb_path path = {.n = 0};
    (void)state;
    assert_ok(cluster_from("{'name':'c','type':'EDS','eds_cluster_config':{'service_name':'s'}}",
                           &c, &err));
    assert_string_equal(c->eds_name, "s");
    struct lb_plan *before = cluster_plan(c);
    assert_true(before->empty);
    assert_ok(cluster_set_endpoints(
        c,
        (const void *)message_from(
            a, &envoy__config__endpoint__v3__cluster_load_assignment__descriptor,
            ASSIGNMENT("{'lb_endpoints':[" ENDPOINT("10.0.0.1", 80, "") "]}")),
        &path, &err));
    struct lb_plan *after = cluster_plan(c);
    assert_int_equal(after->set->entries.n, 1);
    assert_int_equal(cluster_set_endpoints(
                         c,
                         (const void *)message_from(
                             a, &envoy__config__endpoint__v3__cluster_load_assignment__descriptor,
                             ASSIGNMENT("{'lb_endpoints':[" ENDPOINT("x", 80, "") "]}")),
                         &path, &err),
                     -EINVAL);
    assert_ptr_equal(c->plan, after); /* what is refused changes nothing */
    lb_plan_unref(before);
    lb_plan_unref(after);
    cluster_unref(c);
}

static void refuse_cluster(const char *text, const char *why)
{
    struct cluster *c = NULL;
    struct err err = {0};
    assert_int_equal(cluster_from(text, &c, &err), -EINVAL);
    assert_string_equal(err_text(&err), why);
}

static void test_clusters(void **state)
{
    struct cluster *c;
    struct err err = {0};
    (void)state;
    refuse_cluster("{'name':'c','type':'ORIGINAL_DST'}",
                   "lb_policy: a cluster of type ORIGINAL_DST needs CLUSTER_PROVIDED");
    refuse_cluster("{'name':'c','type':'ORIGINAL_DST','lb_policy':'CLUSTER_PROVIDED',"
                   "'load_assignment':{'cluster_name':'c'}}",
                   "a cluster of type ORIGINAL_DST has no load_assignment and no health_checks");
    refuse_cluster("{'name':'c','circuit_breakers':{'thresholds':[{'retry_budget':"
                   "{'budget_interval':'1s'}}]}}",
                   "circuit_breakers.thresholds[0].retry_budget.budget_interval: is not "
                   "implemented: what runs now counts");
    refuse_cluster("{'name':'c','lb_policy':'CLUSTER_PROVIDED'}", "lb_policy: is not implemented");
    refuse_cluster("{'name':'c','lb_policy':'MAGLEV','maglev_lb_config':{'table_size':1024}}",
                   "table_size: a prime of at most 5000011");
    refuse_cluster("{'name':'c','lb_policy':'MAGLEV','common_lb_config':{"
                   "'consistent_hashing_lb_config':{'hash_balance_factor':150}}}",
                   "hash_balance_factor: is not implemented");
    refuse_cluster("{'name':'c','lb_policy':'RING_HASH','ring_hash_lb_config':"
                   "{'minimum_ring_size':9,'maximum_ring_size':8}}",
                   "ring hash: minimum_ring_size (9) > maximum_ring_size (8)");
    refuse_cluster("{'name':'c','lb_policy':'LEAST_REQUEST','least_request_lb_config':"
                   "{'active_request_bias':{'default_value':2}}}",
                   "active_request_bias: only 1.0 is implemented");
    assert_ok(cluster_from(
        "{'name':'c','lb_policy':'LEAST_REQUEST','least_request_lb_config':{'choice_count':5},"
        "'common_lb_config':{'healthy_panic_threshold':{'value':20},"
        "'locality_weighted_lb_config':{}},'circuit_breakers':{'thresholds':["
        "{'max_requests':7},{'priority':'HIGH','max_retries':0}],"
        "'per_host_thresholds':[{'max_connections':3}]}}",
        &c, &err));
    assert_int_equal(c->lb.policy, LB_LEAST_REQUEST);
    assert_int_equal(c->lb.choices, 5);
    assert_int_equal(c->lb.panic_percent, 20);
    assert_true(c->lb.locality_weighted);
    assert_int_equal(c->breakers.of[0].requests.max, 7);
    assert_int_equal(c->breakers.of[0].retries.max, 3);
    assert_int_equal(c->breakers.of[1].requests.max, 1024);
    assert_int_equal(c->breakers.of[1].retries.max, 0);
    assert_int_equal(c->host_connections_max, 3);
    cluster_unref(c);
}

static void test_numbers_are_given_again(void **state)
{
    struct cluster *a = cluster_new(STR("a")), *b = cluster_new(STR("b"));
    uint32_t id = a->id;
    (void)state;
    assert_int_not_equal(a->id, b->id);
    cluster_unref(a);
    a = cluster_new(STR("c"));
    assert_int_equal(a->id, id);
    cluster_unref(a);
    cluster_unref(b);
}

#define TYPED(name, more)                                                                          \
    "{'typed_extension_config':{'name':'p','typed_config':{'@type':'type.googleapis.com/"          \
    "envoy.extensions.load_balancing_policies." name "'" more "}}}"

static struct lb_config policy(const char *policies)
{
    char text[2048];
    struct cluster *c;
    struct err err = {0};
    snprintf(text, sizeof(text), "{'name':'c','load_balancing_policy':{'policies':[%s]}}",
             policies);
    if (cluster_from(text, &c, &err) < 0)
        fail_msg("%s", err_text(&err));
    struct lb_config lb = c->lb;
    cluster_unref(c);
    return lb;
}

static void test_policies_as_extensions(void **state)
{
    (void)state;
    struct lb_config lb = policy(TYPED("round_robin.v3.RoundRobin", ""));
    assert_true(lb.policy == LB_ROUND_ROBIN && !lb.locality_weighted);
    lb = policy(TYPED("least_request.v3.LeastRequest",
                      ",'choice_count':9,'locality_lb_config':{'locality_weighted_lb_config':{}}"));
    assert_true(lb.policy == LB_LEAST_REQUEST && lb.choices == 9 && lb.locality_weighted);
    lb = policy(TYPED("ring_hash.v3.RingHash",
                      ",'minimum_ring_size':77") "," TYPED("random.v3.Random", ""));
    assert_true(lb.policy == LB_RING_HASH && lb.ring_min == 77); /* the first counts */
    lb = policy(
        TYPED("wrr_locality.v3.WrrLocality",
              ",'endpoint_picking_policy':{'policies':[" TYPED("random.v3.Random", "") "]}"));
    assert_true(lb.policy == LB_RANDOM && lb.locality_weighted);
    refuse_cluster("{'name':'c','load_balancing_policy':{'policies':[]}}",
                   "load_balancing_policy: Didn't find a registered load balancer factory");
    refuse_cluster("{'name':'c','load_balancing_policy':{'policies':[" TYPED(
                       "wrr_locality.v3.WrrLocality", "") "]}}",
                   "load_balancing_policy.policies[0]: endpoint_picking_policy: is required");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_says),
        cmocka_unit_test(test_the_same_address_twice_is_one),
        cmocka_unit_test(test_endpoints_live_on),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_a_cluster_takes_another_set),
        cmocka_unit_test(test_clusters),
        cmocka_unit_test(test_policies_as_extensions),
        cmocka_unit_test(test_numbers_are_given_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
