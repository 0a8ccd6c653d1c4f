/* The agent's decisions: an API server of the tests' own on one side, the fake backend on the
 * other. Row numbers are those of src/agent/README.md. */
#include "agent_world.h"

/* ---- rows ---- */

static void test_row_2_selectors_live(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w);
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
    put_slice(&w, "a", "a-1", "", EP("10.244.0.1"));
    put_service(&w, "b", "\"service.kubernetes.io/service-proxy-name\":\"x\"",
                CLUSTER_IP("10.96.0.2") "," PORT80);
    put_service(&w, "c", "\"service.kubernetes.io/headless\":\"\"",
                CLUSTER_IP("10.96.0.3") "," PORT80);
    world_start(&w);
    assert_frontends(&w, LINE("10.96.0.1", "10.244.0.1"));
    put_service(&w, "a", "\"service.kubernetes.io/service-proxy-name\":\"x\"",
                CLUSTER_IP("10.96.0.1") "," PORT80);
    assert_frontends(&w, "");
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
    assert_frontends(&w, LINE("10.96.0.1", "10.244.0.1"));
    put_slice(&w, "a", "a-1", "\"service.kubernetes.io/headless\":\"\"", EP("10.244.0.1"));
    assert_frontends(&w, "2 10.96.0.1 6/80 policy 1: none\n");
    put_service(&w, "a", "\"service.kubernetes.io/headless\":\"\"",
                CLUSTER_IP("10.96.0.1") "," PORT80);
    assert_frontends(&w, "");
    world_end(&w);
}

static void test_row_9_not_ready_pods_that_are_published(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w);
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") ",\"publishNotReadyAddresses\":true," PORT80);
    put_slice(&w, "a", "a-1", "",
              "{\"addresses\":[\"10.244.0.1\"],\"conditions\":{\"ready\":true,\"serving\":false,"
              "\"terminating\":true}},{\"addresses\":[\"10.244.0.2\"],\"conditions\":{\"ready\":"
              "false,\"serving\":false}}");
    world_start(&w);
    assert_frontends(&w, LINE("10.96.0.1", "10.244.0.1"));
    world_end(&w);
}

static void test_row_10_endpoints_of_any_origin(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w);
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80); /* no selector */
    put_slice(
        &w, "a", "by-hand", "\"endpointslice.kubernetes.io/managed-by\":\"me\"",
        "{\"addresses\":[\"192.0.2.9\"]},{\"addresses\":[\"172.16.0.1\"],\"nodeName\":\"n1\"}");
    put_slice(&w, "a", "mirrored", "", EP("10.244.0.1"));
    world_start(&w);
    assert_frontends(&w, LINE("10.96.0.1", "10.244.0.1") LINE("10.96.0.1", "172.16.0.1")
                             LINE("10.96.0.1", "192.0.2.9"));
    api_change(&w.api, SLICES, "mirrored", NULL);
    assert_frontends(&w, LINE("10.96.0.1", "172.16.0.1") LINE("10.96.0.1", "192.0.2.9"));
    world_end(&w);
}

/* Whichever list is late, nothing is written before it; what comes first is the whole. */
static void test_row_12_nothing_before_the_first_lists(void **state)
{
    static const char *const paths[] = {SERVICES, SLICES, NODES};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct world w;
        world_begin(&w);
        put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
        put_slice(&w, "a", "a-1", "", EP("10.244.0.1"));
        w.api.withheld = paths[i];
        world_start(&w);
        /* Everything else was asked for and answered. */
        assert_until(&w, w.api.waiting.n == 1 && w.api.watches.n == 2);
        for (int k = 0; k < 20; k++)
            loop_turn(w.loop, 1);
        assert_int_equal(transactions(&w), 0);
        assert_false(stats(&w).synced);
        api_release(&w.api);
        assert_frontends(&w, LINE("10.96.0.1", "10.244.0.1"));
        assert_int_equal(transactions(&w), 1);
        world_end(&w);
    }
}

#define BALANCER "\"type\":\"LoadBalancer\"," CLUSTER_IP("10.96.0.1")

static void test_row_20_without_node_ports(void **state)
{
    static const char cluster[] = "2 10.96.0.1 6/80 policy 1: 10.244.0.1 8080\n",
                      both[] = "2 10.96.0.1 6/80 policy 1: 10.244.0.1 8080\n"
                               "2 node 6/30080 policy 2: 10.244.0.1 8080\n";
    struct world w;
    (void)state;
    world_begin(&w);
    put_slice(&w, "a", "a-1", "", EP("10.244.0.1"));
    put_service(&w, "a", "", BALANCER ",\"allocateLoadBalancerNodePorts\":false," PORT80);
    world_start(&w);
    assert_frontends(&w, cluster);
    put_service(&w, "a", "",
                BALANCER ",\"ports\":[{\"name\":\"p\",\"port\":80,\"nodePort\":30080}]");
    assert_frontends(&w, both);
    put_service(&w, "a", "", BALANCER ",\"allocateLoadBalancerNodePorts\":false," PORT80);
    assert_frontends(&w, cluster);
    world_end(&w);
}

/* Balancer addresses only, each in its family; and the address itself where the node is allowed. */
static void test_row_21_source_ranges(void **state)
{
    static const char ranges[] = "\"type\":\"LoadBalancer\"," CLUSTER_IP(
        "10.96.0.1") ",\"externalIPs\":[\"198.51.100.9\"],\"loadBalancerSourceRanges\":[%s]"
                     "," PORT80;
    static const char open[] = "2 10.96.0.1 6/80 policy 1: none\n"
                               "2 198.51.100.9 6/80 policy 2: none\n";
    struct world w;
    (void)state;
    world_begin(&w);
    put_node(&w, "z1",
             "},\"status\":{\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"192.0.2.1\"}]}}");
    for (int i = 0; i < 4; i++) {
        static const struct {
            const char *ranges, *from;
        } steps[] = {
            {"\"192.0.2.128/25\"", "2 203.0.113.1 6/80 from 192.0.2.128/25\n"},
            {"\"192.0.2.0/24\"", "2 203.0.113.1 6/80 from 192.0.2.0/24\n"
                                 "2 203.0.113.1 6/80 from 203.0.113.1/32\n"},
            {"\"fd00::/8\"", ""},
            {"\"192.0.2.0/24\",\"203.0.113.0/24\"",
             "2 203.0.113.1 6/80 from 192.0.2.0/24\n2 203.0.113.1 6/80 from 203.0.113.0/24\n"}};
        AUTO_CHARS char *spec = xasprintf(ranges, steps[i].ranges);
        AUTO_CHARS char *text = xasprintf("{\"metadata\":{\"name\":\"a\",\"namespace\":\"ns\"},"
                                          "\"spec\":{%s},\"status\":{\"loadBalancer\":{"
                                          "\"ingress\":[{\"ip\":\"203.0.113.1\"}]}}}",
                                          spec);
        AUTO_CHARS char *want =
            xasprintf("%s%s2 203.0.113.1 6/80 policy 2: none\n", open, steps[i].from);
        api_change(&w.api, SERVICES, "a", text);
        if (i == 0)
            world_start(&w);
        assert_frontends(&w, want);
    }
    put_node(&w, "z1",
             "},\"status\":{\"addresses\":[{\"type\":\"ExternalIP\",\"address\":\"192.0.2.1\"},{"
             "\"type\":\"InternalIP\",\"address\":\"192.0.3.1\"}]}}");
    AUTO_CHARS char *spec = xasprintf(ranges, "\"192.0.3.0/24\"");
    AUTO_CHARS char *text = xasprintf("{\"metadata\":{\"name\":\"a\",\"namespace\":\"ns\"},"
                                      "\"spec\":{%s},\"status\":{\"loadBalancer\":{"
                                      "\"ingress\":[{\"ip\":\"203.0.113.1\"}]}}}",
                                      spec);
    api_change(&w.api, SERVICES, "a", text);
    AUTO_CHARS char *node = xasprintf("%s2 203.0.113.1 6/80 from 192.0.3.0/24\n"
                                      "2 203.0.113.1 6/80 from 203.0.113.1/32\n"
                                      "2 203.0.113.1 6/80 policy 2: none\n",
                                      open);
    assert_frontends(&w, node);
    put_node(&w, "z1", ALIVE); /* the node's address alone changes */
    AUTO_CHARS char *without = xasprintf("%s2 203.0.113.1 6/80 from 192.0.3.0/24\n"
                                         "2 203.0.113.1 6/80 policy 2: none\n",
                                         open);
    assert_frontends(&w, without);
    /* Of several InternalIPs the first of the family is the node's. */
    put_node(&w, "z1",
             "},\"status\":{\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"fd00::1\"},{"
             "\"type\":\"InternalIP\",\"address\":\"192.0.3.2\"},{"
             "\"type\":\"InternalIP\",\"address\":\"192.0.2.1\"}]}}");
    assert_frontends(&w, node);
    world_end(&w);
}

static void test_row_33_affinity_live(void **state)
{
    static const char spec[] =
        BALANCER ",\"sessionAffinity\":\"ClientIP\",\"sessionAffinityConfig\":{"
                 "\"clientIP\":{\"timeoutSeconds\":%d}},\"ports\":[{\"name\":"
                 "\"p\",\"port\":80,\"nodePort\":30080}]";
    static const struct {
        int timeout;
        const char *want;
    } steps[] = {{60, " affinity 60s of 10.96.0.1 6/80"},
                 {1, " affinity 1s of 10.96.0.1 6/80"},
                 {0, " affinity 10800s of 10.96.0.1 6/80"},
                 {90000, " affinity 10800s of 10.96.0.1 6/80"}};
    struct world w;
    (void)state;
    world_begin(&w);
    put_slice(&w, "a", "a-1", "", EP("10.244.0.1"));
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        AUTO_CHARS char *text = xasprintf(spec, steps[i].timeout);
        AUTO_CHARS char *want = xasprintf("2 10.96.0.1 6/80 policy 1%s: 10.244.0.1 8080\n"
                                          "2 node 6/30080 policy 2%s: 10.244.0.1 8080\n",
                                          steps[i].want, steps[i].want);
        put_service(&w, "a", "", text);
        if (i == 0)
            world_start(&w);
        assert_frontends(&w, want);
    }
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
    assert_frontends(&w, LINE("10.96.0.1", "10.244.0.1"));
    world_end(&w);
}

/* Who gets which policy, and that a switch goes to the kernel. */
static void test_rows_22_24_traffic_policies(void **state)
{
    static const char spec[] =
        BALANCER ",\"externalIPs\":[\"198.51.100.9\"],%s\"ports\":[{\"name\":"
                 "\"p\",\"port\":80,\"nodePort\":30080}]";
    struct world w;
    (void)state;
    world_begin(&w);
    put_slice(&w, "a", "a-1", "",
              EP("10.244.2.1") ",{\"addresses\":[\"10.244.1.1\"],\"nodeName\":\"n1\"}");
    AUTO_CHARS char *external = xasprintf(spec, "\"externalTrafficPolicy\":\"Local\","),
                    *internal = xasprintf(spec, "\"internalTrafficPolicy\":\"Local\",");
    put_service(&w, "a", "", external);
    world_start(&w);
    assert_frontends(
        &w,
        LINE("10.96.0.1", "10.244.1.1")
            LINE("10.96.0.1", "10.244.2.1") "2 198.51.100.9 6/80 policy 4 local: 10.244.1.1 8080\n"
                                            "2 198.51.100.9 6/80 policy 4: 10.244.1.1 8080\n"
                                            "2 198.51.100.9 6/80 policy 4: 10.244.2.1 8080\n"
                                            "2 node 6/30080 policy 4 local: 10.244.1.1 8080\n"
                                            "2 node 6/30080 policy 4: 10.244.1.1 8080\n"
                                            "2 node 6/30080 policy 4: 10.244.2.1 8080\n");
    put_service(&w, "a", "", internal);
    assert_frontends(&w, "2 10.96.0.1 6/80 policy 3 local: 10.244.1.1 8080\n"
                         "2 10.96.0.1 6/80 policy 3: 10.244.1.1 8080\n"
                         "2 10.96.0.1 6/80 policy 3: 10.244.2.1 8080\n"
                         "2 198.51.100.9 6/80 policy 2: 10.244.1.1 8080\n"
                         "2 198.51.100.9 6/80 policy 2: 10.244.2.1 8080\n"
                         "2 node 6/30080 policy 2: 10.244.1.1 8080\n"
                         "2 node 6/30080 policy 2: 10.244.2.1 8080\n");
    put_slice(&w, "a", "a-1", "", EP("10.244.2.1"));
    assert_frontends(&w, "2 10.96.0.1 6/80 policy 3 local: none\n"
                         "2 10.96.0.1 6/80 policy 3: 10.244.2.1 8080\n"
                         "2 198.51.100.9 6/80 policy 2: 10.244.2.1 8080\n"
                         "2 node 6/30080 policy 2: 10.244.2.1 8080\n");
    world_end(&w);
}

/* Hints keep both endpoints of this node from the ClusterIP, not from traffic policy Local: a
 * change of theirs is one of the local list alone. */
static void test_rows_24_31_local_endpoints_alone_change(void **state)
{
#define NEAR(ip, cond)                                                                             \
    "{\"addresses\":[\"" ip "\"],\"nodeName\":\"n1\",\"conditions\":{" cond                        \
    "},\"hints\":{\"forZones\":[{\"name\":\"z2\"}]}}"
    static const char local[] = "2 10.96.0.1 6/80 policy 3 local: 10.244.1.%d 8080\n",
                      rest[] = "2 10.96.0.1 6/80 policy 3: 10.244.2.1 8080\n";
    struct world w;
    (void)state;
    world_begin(&w);
    put_service(&w, "a", "",
                CLUSTER_IP("10.96.0.1") ",\"internalTrafficPolicy\":\"Local\"," PORT80);
    for (int last = 2; last > 0; last--) {
        AUTO_DONE(buf) struct buf want = {0};
        AUTO_CHARS char *slice =
            xasprintf(EP_ZONE("10.244.2.1", "z1") "," NEAR("10.244.1.1", "") "," NEAR(
                          "10.244.1.2", "\"ready\":%s,\"serving\":true"),
                      last == 2 ? "true" : "false");
        put_slice(&w, "a", "a-1", "", slice);
        if (last == 2)
            world_start(&w);
        for (int i = 1; i <= last; i++)
            buf_addf(&want, local, i);
        buf_add_cstr(&want, rest);
        assert_frontends(&w, buf_cstr(&want));
    }
    world_end(&w);
}

static void test_row_32_zone_of_the_node_changes(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w);
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
    put_slice(&w, "a", "a-1", "", EP_ZONE("10.244.0.1", "z1") "," EP_ZONE("10.244.0.2", "z2"));
    world_start(&w);
    assert_frontends(&w, LINE("10.96.0.1", "10.244.0.1"));
    unsigned lists = w.api.lists;
    put_node(&w, "z2", ALIVE);
    assert_frontends(&w, LINE("10.96.0.1", "10.244.0.2"));
    put_node(&w, "z3", ALIVE); /* nobody's */
    assert_frontends(&w, LINE("10.96.0.1", "10.244.0.1") LINE("10.96.0.1", "10.244.0.2"));
    put_node(&w, "z1", ALIVE);
    assert_frontends(&w, LINE("10.96.0.1", "10.244.0.1"));
    assert_int_equal(w.api.lists, lists); /* nothing is read again */
    world_end(&w);
}

static int ask_at(struct world *w, uint16_t port, const char *path, struct buf *ret)
{
    struct http_client_config c = {.host = "127.0.0.1", .port = port};
    assert_ok(ip_parse(STR("127.0.0.1"), &c.ip));
    struct http_client *kept = w->http[0];
    w->http[0] = http_client_new(w->loop, &c);
    int status = ask(w, false, path, ret);
    http_client_free(w->http[0]);
    w->http[0] = kept;
    return status;
}

static void test_row_42_health_of_node_and_kernel(void **state)
{
    struct world w;
    AUTO_DONE(buf) struct buf b = {0};
    (void)state;
    world_begin(&w);
    w.api.withheld = SERVICES;
    world_start(&w);
    assert_until(&w, w.api.watches.n == 2);
    assert_int_equal(ask(&w, false, "/healthz", &b), 503); /* no sync yet */
    assert_int_equal(ask(&w, false, "/livez", &b), 503);
    api_release(&w.api);
    assert_until(&w, stats(&w).synced);
    assert_int_equal(ask(&w, false, "/healthz", &b), 200);
    assert_true(says(&b, "\"nodeEligible\":true,\"healthy\":true,\"status\":{\"IPv4\":{"));
    assert_int_equal(ask_at(&w, status_server_probe_port(w.status), "/healthz", &b), 200);
    assert_true(says(&b, "\"nodeEligible\":true,\"healthy\":true"));
    assert_int_equal(ask(&w, false, "/livez", &b), 200);
    assert_false(says(&b, "nodeEligible"));
    assert_int_equal(ask(&w, false, "/else", &b), 404);
    static const char *const leaving[] = {
        ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}}",
        "},\"spec\":{\"taints\":[{\"key\":\"ToBeDeletedByClusterAutoscaler\"}]}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(leaving); i++) {
        put_node(&w, "z1", leaving[i]);
        assert_until(&w, !stats(&w).node_eligible);
        assert_int_equal(ask(&w, false, "/healthz", &b), 503);
        assert_true(says(&b, "\"nodeEligible\":false,\"healthy\":false"));
        assert_int_equal(ask(&w, false, "/livez", &b), 200);
        put_node(&w, "z1", ALIVE);
        assert_until(&w, stats(&w).node_eligible);
    }
    api_change(&w.api, NODES, "n1", NULL);
    assert_until(&w, !stats(&w).node_eligible);
    put_node(&w, "z1", ALIVE);
    assert_until(&w, stats(&w).node_eligible);
    world_end(&w);
}

static bool says_healthy(const struct buf *b, const char *family, bool healthy)
{
    AUTO_JSON json_t *j = NULL;
    AUTO_CHARS char *path = xasprintf("status.%s.healthy", family);
    assert_ok(json_parse(buf_str(b), 0, NULL, &j, NULL));
    return json_at_bool(j, path, !healthy) == healthy;
}

/* A change that the kernel has not taken for two sync periods: refused, or still under way. The
 * other family has nothing to do with it. */
static void test_row_42_unhealthy_when_the_kernel_is_behind(void **state)
{
    struct world w;
    AUTO_DONE(buf) struct buf b = {0};
    uint64_t now_us = 1000ull * 1000 * 1000;
    (void)state;
    world_begin(&w);
    time_set_manual(now_us);
    world_start(&w);
    assert_until(&w, stats(&w).synced);
    for (int round = 0; round < 2; round++) {
        if (round == 0)
            fake_dataplane_fail(w.backend, 1);
        else
            fake_dataplane_hold(w.backend, true);
        uint64_t before = transactions(&w), failures = stats(&w).sync_failures;
        if (round == 0)
            put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
        else
            put_service(&w, "b", "", CLUSTER_IP("10.96.0.2") "," PORT80);
        assert_until(&w, transactions(&w) > before);
        assert_until(&w, round || stats(&w).sync_failures > failures);
        assert_int_equal(ask(&w, false, "/healthz", &b), 200);
        time_set_manual(now_us += 61 * 1000 * 1000);
        assert_int_equal(ask(&w, false, "/healthz", &b), 503);
        assert_int_equal(ask(&w, false, "/livez", &b), 503);
        assert_true(says(&b, "\"healthy\":false,\"status\":{\"IPv4\":{"));
        assert_true(says_healthy(&b, "IPv4", false) && says_healthy(&b, "IPv6", true));
        fake_dataplane_hold(w.backend, false);
        assert_until(&w, stats(&w).healthy);
        assert_int_equal(ask(&w, false, "/healthz", &b), 200);
    }
    time_set_manual(0);
    world_end(&w);
}

/* The API server is gone: what is in the kernel is as good as it was. */
static void test_row_42_api_server_lost_stays_healthy(void **state)
{
    struct world w;
    AUTO_DONE(buf) struct buf b = {0};
    (void)state;
    world_begin(&w);
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
    world_start(&w);
    assert_until(&w, stats(&w).synced && w.api.watches.n == 3);
    http_server_free(w.api.server);
    w.api.server = NULL;
    for (int i = 0; i < 20; i++)
        loop_turn(w.loop, 1);
    assert_int_equal(ask(&w, false, "/healthz", &b), 200);
    assert_frontends(&w, "2 10.96.0.1 6/80 policy 1: none\n");
    world_end(&w);
}

static void test_row_43_metrics_and_proxy_mode(void **state)
{
    struct world w;
    AUTO_DONE(buf) struct buf b = {0};
    (void)state;
    world_begin(&w);
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
    world_start(&w);
    assert_until(&w, stats(&w).synced);
    assert_int_equal(ask(&w, true, "/proxyMode", &b), 200);
    assert_string_equal(buf_cstr(&b), "nftables");
    assert_int_equal(ask(&w, true, "/healthz", &b), 200);
    assert_string_equal(buf_cstr(&b), "ok");
    assert_int_equal(ask(&w, true, "/statusz", &b), 200);
    assert_true(says(&b, "\nfairlead-agent statusz\nWarning: ") && says(&b, "\nUp  0 hr 00 min "));
    assert_int_equal(ask(&w, true, "/flagz", &b), 200);
    assert_true(says(&b, "\nnode-name=n1\nexternal-ips=true\n"));
    assert_int_equal(ask(&w, true, "/configz", &b), 200);
    assert_string_equal(buf_cstr(&b),
                        "{\"kubeproxy.config.k8s.io\":{\"mode\":\"nftables\"},"
                        "\"fairlead-agent\":{\"node-name\":\"n1\",\"external-ips\":true}}");
    assert_int_equal(ask(&w, true, "/else", &b), 404);
    assert_int_equal(ask(&w, true, "/livez", &b), 404);
    world_end(&w);
}

/* Names, labels and values as kube-proxy 1.37 has them. */
static void test_row_44_metrics(void **state)
{
    static const char *const lines[] = {
        "# TYPE kubeproxy_sync_proxy_rules_duration_seconds histogram",
        "kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family=\"IPv4\",le=\"0.001\"} ",
        "kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family=\"IPv6\",le=\"16.384\"} ",
        "kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"} 1",
        "kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family=\"IPv6\"} 1",
        "kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"} 0",
        "kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv4\"} ",
        "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family=\"IPv6\"} ",
        "kubeproxy_sync_proxy_rules_service_changes_total 3",
        "kubeproxy_sync_proxy_rules_service_changes_pending 0",
        "kubeproxy_sync_proxy_rules_endpoint_changes_total 2",
        "kubeproxy_sync_proxy_rules_endpoint_changes_pending 0",
        "kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family=\"IPv4\"} 0",
        "# TYPE kubeproxy_sync_proxy_rules_no_local_endpoints_total gauge",
        "kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family=\"IPv4\","
        "traffic_policy=\"external\"} 1",
        "kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family=\"IPv4\","
        "traffic_policy=\"internal\"} 1",
        "kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family=\"IPv6\","
        "traffic_policy=\"external\"} 0",
        "kubeproxy_conntrack_reconciler_sync_duration_seconds_count{ip_family=\"IPv4\"} 0",
        "kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family=\"IPv6\"} 0",
        "kubeproxy_proxy_healthz_total{code=\"200\"} 1",
        "kubeproxy_proxy_livez_total{code=\"503\"} 0",
        "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total{ip_family=\"IPv6\"} 0",
        "kubeproxy_network_programming_duration_seconds_count{ip_family=\"IPv4\"} 0",
        "fairlead_agent_services 3",
        "fairlead_agent_affinity_clients_forgotten_total{ip_family=\"IPv4\"} 0",
        "# TYPE fairlead_agent_odd_total counter"};
    struct world w;
    AUTO_DONE(buf) struct buf b = {0};
    (void)state;
    world_begin(&w);
    put_service(&w, "ext", "", BALANCER ",\"externalTrafficPolicy\":\"Local\"," PORT80);
    put_service(&w, "int", "",
                CLUSTER_IP("10.96.0.2") ",\"internalTrafficPolicy\":\"Local\"," PORT80);
    put_service(&w, "none", "",
                CLUSTER_IP("10.96.0.3") ",\"internalTrafficPolicy\":\"Local\"," PORT80);
    put_slice(&w, "ext", "ext-1", "", EP("10.244.2.1"));
    put_slice(&w, "int", "int-1", "", EP("10.244.2.2"));
    world_start(&w);
    assert_until(&w, stats(&w).synced);
    assert_int_equal(ask(&w, false, "/healthz", &b), 200);
    assert_int_equal(ask(&w, true, "/metrics", &b), 200);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        bool whole = lines[i][strlen(lines[i]) - 1] != ' ';
        AUTO_CHARS char *line = xasprintf("%s%s", lines[i], whole ? "\n" : "");
        if (!says(&b, line))
            fail_msg("no line %s in\n%s", lines[i], buf_cstr(&b));
    }
    COUNT_IF(true, "made by a test");
    assert_int_equal(ask(&w, true, "/metrics", &b), 200);
    assert_true(says(&b, "\nfairlead_agent_odd_total{what=\"made by a test\",at=\"test_agent.c:"));
    put_slice(&w, "int", "int-1", "", "{\"addresses\":[\"10.244.1.2\"],\"nodeName\":\"n1\"}");
    assert_until(&w, stats(&w).families[0].no_local[0] == 0);
    api_change(&w.api, SERVICES, "ext", NULL);
    assert_until(&w, stats(&w).families[0].no_local[1] == 0);
    world_end(&w);
}

static uint16_t free_port(struct world *w, struct http_server **ret)
{
    static const struct http_server_config c = {0};
    static const struct http_server_ops ops = {0};
    struct ip any = {.family = AF_INET6};
    assert_ok(http_server_new(w->loop, &any, 0, &c, &ops, NULL, ret, NULL));
    return http_server_port(*ret);
}

static const struct prefix loopback = {{AF_INET, {127}}, 8};

static int ask_port(struct world *w, uint16_t port, struct buf *ret)
{
    return ask_at(w, port, "/any", ret);
}

#define LOCAL_EP(ip, cond)                                                                         \
    "{\"addresses\":[\"" ip "\"],\"nodeName\":\"n1\",\"conditions\":{" cond "}}"
#define ENDING "\"ready\":false,\"serving\":true,\"terminating\":true"

/* Ready ones of this node; those that end do not count, though they still carry traffic. */
static void test_row_41_health_check_node_port(void **state)
{
    static const char spec[] =
        BALANCER ",\"externalTrafficPolicy\":\"Local\",\"healthCheckNodePort\":%u," PORT80;
    struct world w;
    struct http_server *holder;
    AUTO_DONE(buf) struct buf b = {0};
    (void)state;
    world_begin(&w);
    w.node_ports = &loopback;
    uint16_t port = free_port(&w, &holder);
    AUTO_CHARS char *text = xasprintf(spec, port);
    put_service(&w, "a", "", text);
    put_slice(&w, "a", "a-1", "", EP("10.244.2.1") "," LOCAL_EP("10.244.1.1", ""));
    put_slice(&w, "a", "a-2", "", LOCAL_EP("10.244.1.1", "") "," LOCAL_EP("10.244.1.2", ENDING));
    world_start(&w);
    assert_until(&w, stats(&w).synced);
    /* The port is another's: told, served without, and taken as soon as it is free. */
    assert_until(&w, strstr(buf_cstr(&w.api.posted), "FailedToStartServiceHealthcheck"));
    assert_true(says(&w.api.posted, "\"Warning\""));
    assert_until(&w, stats(&w).dataplane.frontends == 1);
    http_server_free(holder);
    assert_until(&w, ask_port(&w, port, &b) == 200);
    assert_string_equal(
        buf_cstr(&b), "{\n\t\"service\": {\n\t\t\"namespace\": \"ns\",\n\t\t\"name\": \"a\"\n\t},\n"
                      "\t\"localEndpoints\": 1,\n\t\"serviceProxyHealthy\": true\n}");
    put_slice(&w, "a", "a-1", "", EP("10.244.2.1"));
    put_slice(&w, "a", "a-2", "", LOCAL_EP("10.244.1.1", ENDING));
    assert_frontends(&w, LINE("10.96.0.1", "10.244.2.1"));
    assert_int_equal(ask_port(&w, port, &b), 503);
    assert_true(says(&b, "\"localEndpoints\": 0"));
    put_service(&w, "a", "", BALANCER "," PORT80); /* Cluster again: the port is closed */
    assert_until(&w, ask_port(&w, port, &b) < 0);
    world_end(&w);
}

static void test_row_41_health_only_where_node_ports_are(void **state)
{
    static const struct prefix elsewhere = {{AF_INET, {192, 0, 2}}, 24};
    static const struct prefix *const where[] = {&loopback, &elsewhere, NULL};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(where); i++) {
        struct world w;
        struct http_server *holder;
        AUTO_DONE(buf) struct buf b = {0};
        world_begin(&w);
        w.node_ports = where[i];
        uint16_t port = free_port(&w, &holder);
        http_server_free(holder);
        AUTO_CHARS char *text = xasprintf(
            BALANCER ",\"externalTrafficPolicy\":\"Local\",\"healthCheckNodePort\":%u," PORT80,
            port);
        put_service(&w, "a", "", text);
        world_start(&w);
        assert_until(&w, stats(&w).synced);
        assert_int_equal(ask_port(&w, port, &b) < 0, i > 0);
        world_end(&w);
    }
}

static void test_row_47_an_event_tells_of_what_others_changed(void **state)
{
    struct world w;
    AUTO_DONE(buf) struct buf b = {0};
    (void)state;
    world_begin(&w);
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
    world_start(&w);
    assert_until(&w, stats(&w).synced);
    assert_null(strstr(buf_cstr(&w.api.posted), "ServiceRulesRestored"));
    fake_dataplane_tamper(w.backend);
    assert_until(&w, strstr(buf_cstr(&w.api.posted), "ServiceRulesRestored"));
    assert_non_null(strstr(buf_cstr(&w.api.posted), "\"kind\":\"Node\""));
    assert_non_null(strstr(buf_cstr(&w.api.posted), "elements of the nftables table fairlead"));
    assert_int_equal(stats(&w).dataplane.repairs, 1);
    /* The next one is put back too, but not in the same second. */
    uint64_t start = time_mono_ms();
    fake_dataplane_tamper(w.backend);
    assert_until(&w, stats(&w).dataplane.repairs == 2);
    assert_true(time_mono_ms() - start >= 500);
    ask(&w, true, "/metrics", &b);
    assert_non_null(
        strstr(buf_cstr(&b), "\nfairlead_agent_foreign_changes_total{kind=\"element\"} 2\n"));
    world_end(&w);
}

/* bindAddressHardFail: a port that is taken ends the program; else it goes on without. */
static void test_row_45_a_port_that_is_taken(void **state)
{
    struct world w;
    struct http_server *taken;
    struct status_server *status;
    struct err err = {0};
    (void)state;
    world_begin(&w);
    world_start(&w);
    AUTO_CHARS char *address = xasprintf("[::]:%u", free_port(&w, &taken));
    struct status_options so = {.agent = w.agent, .metrics_address = address, .hard_fail = true};
    assert_int_equal(status_server_new(w.loop, &so, &status, &err), -EADDRINUSE);
    assert_true(strstr(err_text(&err), address) != NULL);
    so.hard_fail = false;
    assert_ok(status_server_new(w.loop, &so, &status, &err));
    assert_int_equal(status_server_metrics_port(status), 0);
    status_server_free(status);
    so.metrics_address = "[::1]";
    assert_int_equal(status_server_new(w.loop, &so, &status, &err), -EINVAL);
    http_server_free(taken);
    world_end(&w);
}

/* No interval: a change goes at once, and what comes while one is under way is the next one. */
static void test_row_46_one_sync_at_a_time(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w);
    world_start(&w);
    assert_until(&w, stats(&w).synced);
    fake_dataplane_hold(w.backend, true);
    put_service(&w, "first", "", CLUSTER_IP("10.96.1.1") "," PORT80);
    assert_until(&w, transactions(&w) == 2);
    for (int i = 0; i < 50; i++) {
        AUTO_CHARS char *name = xasprintf("s%d", i),
                        *spec = xasprintf("\"clusterIP\":\"10.96.0.%d\"," PORT80, i + 1);
        put_service(&w, name, "", spec);
        loop_turn(w.loop, 0);
    }
    put_slice(&w, "s1", "s1-1", "", EP("10.244.0.1"));
    assert_until(&w, stats(&w).service_changes_pending == 50);
    assert_until(&w, stats(&w).endpoint_changes_pending == 1);
    assert_int_equal(transactions(&w), 2);
    fake_dataplane_hold(w.backend, false);
    assert_until(&w, stats(&w).families[0].syncs.n == 3);
    assert_int_equal(stats(&w).families[0].full_syncs.n, 1);
    assert_int_equal(stats(&w).families[0].partial_syncs.n, 2);
    assert_int_equal(stats(&w).families[1].syncs.n, 1); /* the first one is about both */
    assert_int_equal(stats(&w).dataplane.frontends, 51);
    assert_int_equal(stats(&w).service_changes_pending, 0);
    assert_int_equal(stats(&w).endpoint_changes_pending, 0);
    world_end(&w);
}

/* What a failed assert prints, while a change is under way. */
static void test_dump(void **state)
{
    struct world w;
    char text[1024];
    int fds[2];
    (void)state;
    world_begin(&w);
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
    world_start(&w);
    assert_until(&w, stats(&w).synced);
    fake_dataplane_hold(w.backend, true);
    put_slice(&w, "a", "a-1", "", EP("10.244.0.1"));
    assert_until(&w, transactions(&w) == 2);
    assert_ok(pipe(fds));
    agent_dump(fds[1], w.agent);
    ssize_t n = read(fds[0], text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = 0;
    assert_string_equal(text,
                        "agent of node n1: 1 services, 1 slices, 0 waiting, rebuilding nothing\n"
                        "applying a change of 1 frontends, 0 addresses:\n"
                        "  10.96.0.1 6/80 policy 1: 1 endpoints, 0 local\n");
    close(fds[0]);
    close(fds[1]);
    fake_dataplane_hold(w.backend, false);
    world_end(&w);
}

/* A refused change is tried again by itself, as a whole, and flows that began meanwhile are looked
 * at (row 38). */
static void test_row_46_failure_is_tried_again(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w);
    world_start(&w);
    assert_until(&w, stats(&w).synced);
    assert_until(&w, fake_dataplane_settles(w.backend) == 1);
    fake_dataplane_fail(w.backend, 1);
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
    assert_until(&w, stats(&w).sync_failures == 1);
    assert_until(&w, fake_dataplane_settles(w.backend) == 2);
    assert_until(&w, stats(&w).dataplane.repairs == 1);
    assert_until(&w, fake_dataplane_settles(w.backend) == 3);
    world_end(&w);
}

/* Row 15: two Services, one external address and port: the first keeps it until it lets go. */
static void test_row_18_contested_address(void **state)
{
    static const char first[] = "2 10.96.0.1 6/80 policy 1: none\n"
                                "2 10.96.0.2 6/80 policy 1: none\n"
                                "2 198.51.100.9 6/80 policy 2: none\n";
    struct world w;
    (void)state;
    world_begin(&w);
    world_start(&w);
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") ",\"externalIPs\":[\"198.51.100.9\"]," PORT80);
    put_service(&w, "b", "", CLUSTER_IP("10.96.0.2") ",\"externalIPs\":[\"198.51.100.9\"]," PORT80);
    put_slice(&w, "c", "c-1", "", EP("10.244.0.1"));
    assert_frontends(&w, first);
    put_slice(&w, "b", "b-1", "", EP("10.244.0.2"));
    assert_frontends(&w, "2 10.96.0.1 6/80 policy 1: none\n" LINE(
                             "10.96.0.2", "10.244.0.2") "2 198.51.100.9 6/80 policy 2: none\n");
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
    assert_frontends(
        &w, "2 10.96.0.1 6/80 policy 1: none\n" LINE(
                "10.96.0.2", "10.244.0.2") "2 198.51.100.9 6/80 policy 2: 10.244.0.2 8080\n");
    world_end(&w);
}

static void assert_list(struct world *w, enum dataplane_list list, const char *want)
{
    AUTO_DONE(buf) struct buf b = {0};
    fake_dataplane_dump_list(w->backend, list, &b);
    assert_string_equal(buf_cstr(&b), want);
}

static void test_rows_25_36_address_lists(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w);
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
    put_service(&w, "b", "", CLUSTER_IP("10.96.0.2") "," PORT80);
    put_slice(&w, "a", "a-1", "",
              EP("10.244.2.1") ",{\"addresses\":[\"10.244.1.1\"],\"nodeName\":\"n1\"}");
    put_slice(&w, "b", "b-1", "", "{\"addresses\":[\"10.244.1.1\"],\"nodeName\":\"n1\"}");
    world_start(&w);
    assert_until(&w, stats(&w).synced);
    assert_list(&w, DATAPLANE_CLUSTER_IPS, "10.96.0.1\n10.96.0.2\n");
    assert_list(&w, DATAPLANE_LOCAL_ENDPOINTS, "10.244.1.1\n");
    api_change(&w.api, SERVICES, "a", NULL); /* the endpoint is b's too */
    assert_frontends(&w, LINE("10.96.0.2", "10.244.1.1"));
    assert_list(&w, DATAPLANE_CLUSTER_IPS, "10.96.0.2\n");
    assert_list(&w, DATAPLANE_LOCAL_ENDPOINTS, "10.244.1.1\n");
    api_change(&w.api, SLICES, "b-1", NULL);
    assert_frontends(&w, "2 10.96.0.2 6/80 policy 1: none\n");
    assert_list(&w, DATAPLANE_LOCAL_ENDPOINTS, "");
    world_end(&w);
}

/* Who announces addresses has to know when the kernel has what they need: first what goes there,
 * then that it is there; never before. */
static void test_what_an_observer_is_told(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w);
    w.is_observed = true;
    world_start(&w);
    assert_until(&w, stats(&w).synced);
    assert_string_equal(buf_cstr(&w.observed), "ok ");
    buf_clear(&w.observed);
    fake_dataplane_hold(w.backend, true);
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
    assert_until(&w, w.observed.n);
    put_service(&w, "b", "", CLUSTER_IP("10.96.0.2") "," PORT80);
    assert_until(&w, stats(&w).service_changes_pending); /* b waits: a is under way */
    assert_string_equal(buf_cstr(&w.observed), "ns/a ");
    fake_dataplane_hold(w.backend, false);
    assert_until(&w, strstr(buf_cstr(&w.observed), "ns/b ok"));
    assert_string_equal(buf_cstr(&w.observed), "ns/a ok ns/b ok ");
    /* The kernel refuses; then it takes what it was given before. */
    buf_clear(&w.observed);
    fake_dataplane_fail(w.backend, 1);
    put_service(&w, "c", "", CLUSTER_IP("10.96.0.3") "," PORT80);
    assert_until(&w, strstr(buf_cstr(&w.observed), "ok"));
    assert_string_equal(buf_cstr(&w.observed), "ns/c failed ok ");
    /* Nothing for the kernel to do is done. */
    buf_clear(&w.observed);
    put_service(&w, "c", "\"more\":\"labels\"", CLUSTER_IP("10.96.0.3") "," PORT80);
    assert_until(&w, strstr(buf_cstr(&w.observed), "ok"));
    assert_string_equal(buf_cstr(&w.observed), "ns/c ok ");
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_an_observer_is_told),
        cmocka_unit_test(test_row_2_selectors_live),
        cmocka_unit_test(test_row_9_not_ready_pods_that_are_published),
        cmocka_unit_test(test_row_10_endpoints_of_any_origin),
        cmocka_unit_test(test_row_12_nothing_before_the_first_lists),
        cmocka_unit_test(test_row_18_contested_address),
        cmocka_unit_test(test_row_20_without_node_ports),
        cmocka_unit_test(test_rows_25_36_address_lists),
        cmocka_unit_test(test_row_21_source_ranges),
        cmocka_unit_test(test_row_33_affinity_live),
        cmocka_unit_test(test_rows_22_24_traffic_policies),
        cmocka_unit_test(test_rows_24_31_local_endpoints_alone_change),
        cmocka_unit_test(test_row_32_zone_of_the_node_changes),
        cmocka_unit_test(test_row_42_health_of_node_and_kernel),
        cmocka_unit_test(test_row_42_unhealthy_when_the_kernel_is_behind),
        cmocka_unit_test(test_row_42_api_server_lost_stays_healthy),
        cmocka_unit_test(test_row_43_metrics_and_proxy_mode),
        cmocka_unit_test(test_row_44_metrics),
        cmocka_unit_test(test_row_41_health_check_node_port),
        cmocka_unit_test(test_row_41_health_only_where_node_ports_are),
        cmocka_unit_test(test_row_47_an_event_tells_of_what_others_changed),
        cmocka_unit_test(test_row_45_a_port_that_is_taken),
        cmocka_unit_test(test_row_46_one_sync_at_a_time),
        cmocka_unit_test(test_dump),
        cmocka_unit_test(test_row_46_failure_is_tried_again),
    };
    return RUN_TESTS(tests);
}
