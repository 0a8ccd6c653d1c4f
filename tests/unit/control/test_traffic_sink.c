/* Who calls whom: what is told by both ends becomes one edge, goes with time, and has limits. */
#include "test.h"

#include <stdio.h>

#include "control/traffic_sink.h"

typedef Fairlead__Telemetry__V1__Traffic pb_traffic;
typedef Fairlead__Telemetry__V1__Pair pb_pair;

static ProtobufCBinaryData bytes(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

static void tell(struct traffic_sink *s, uint64_t now_ms, const struct traffic_reporter *who,
                 bool source, const char *peer, unsigned status, uint64_t n)
{
    uint64_t buckets[20] = {[3] = n};
    pb_pair p;
    pb_traffic m;
    fairlead__telemetry__v1__pair__init(&p);
    fairlead__telemetry__v1__traffic__init(&m);
    p.source = source;
    p.peer = bytes(peer);
    p.service = bytes("db.bank.svc.cluster.local;db;bank");
    p.protocol = bytes("http");
    p.security = source ? FAIRLEAD__TELEMETRY__V1__PAIR__SECURITY__UNKNOWN
                        : FAIRLEAD__TELEMETRY__V1__PAIR__SECURITY__MUTUAL_TLS;
    m.pair = &p;
    m.status = status;
    m.requests = n;
    m.milliseconds = n * 7;
    m.buckets = buckets;
    m.n_buckets = ARRAY_LEN(buckets);
    traffic_sink_add(s, now_ms, who, &m);
}

static const struct traffic_reporter cart = {"cart", "shop"}, db = {"db", "bank"};

static void test_both_ends_are_one_edge(void **state)
{
    struct traffic_sink *s = traffic_sink_new();
    (void)state;
    tell(s, 100000, &cart, true, "db;bank;db;v1;c;db;v1", 200, 9);
    tell(s, 100100, &cart, true, "db;bank;db;v1;c;db;v1", 503, 1);
    tell(s, 101000, &db, false, "cart;shop;cart;v1;c;cart;v1", 200, 9);
    AUTO_JSON json_t *list = traffic_sink_edges(s, NULL, 104000);
    assert_int_equal(json_array_size(list), 1);
    const json_t *e = json_array_get(list, 0);
    assert_string_equal(json_at_str(e, "source.workload"), "cart");
    assert_string_equal(json_at_str(e, "destination.namespace"), "bank");
    assert_string_equal(json_at_str(e, "service"), "db.bank.svc.cluster.local");
    assert_string_equal(json_at_str(e, "security"), "mutual_tls");
    assert_int_equal(json_at_int(e, "client.requests", 0), 10);
    assert_int_equal(json_at_int(e, "client.errors", 0), 1);
    assert_int_equal(json_at_int(e, "client.seconds", 0), 5);
    assert_int_equal(json_at_int(e, "server.requests", 0), 9);
    traffic_sink_free(s);
}

static size_t edges_of(struct traffic_sink *s, const char *ns)
{
    AUTO_JSON json_t *list = traffic_sink_edges(s, ns, 100000);
    return json_array_size(list);
}

static void test_a_namespace_sees_what_has_an_end_there(void **state)
{
    struct traffic_sink *s = traffic_sink_new();
    (void)state;
    tell(s, 100000, &cart, true, "db;bank;db;v1;c;db;v1", 200, 1);
    tell(s, 100000, &db, true, "x;vault;x;v1;c;x;v1", 200, 1);
    assert_int_equal(edges_of(s, "shop"), 1);
    assert_int_equal(edges_of(s, "bank"), 2);
    assert_int_equal(edges_of(s, "vault"), 1);
    assert_int_equal(edges_of(s, "sho"), 0);
    assert_int_equal(edges_of(s, ""), 2);
    traffic_sink_free(s);
}

static int64_t requests_at(struct traffic_sink *s, uint64_t now_ms)
{
    AUTO_JSON json_t *list = traffic_sink_edges(s, NULL, now_ms);
    return json_array_size(list) ? json_at_int(json_array_get(list, 0), "client.requests", -1) : -1;
}

static void test_a_minute_is_told_and_what_is_idle_goes(void **state)
{
    struct traffic_sink *s = traffic_sink_new();
    (void)state;
    for (uint64_t t = 0; t < 300; t++)
        tell(s, 1000000 + t * 1000, &cart, true, "db;bank", 200, 1);
    int64_t last = requests_at(s, 1000000 + 299 * 1000);
    assert_in_range(last, 60, 65);
    assert_int_equal(requests_at(s, 1299000 + 70 * 1000), 0);
    assert_int_equal(requests_at(s, 1299000 + EDGE_IDLE_MS + 20000), -1);
    assert_int_equal(traffic_sink_get_stats(s).edges, 0);
    traffic_sink_free(s);
}

static void test_a_flood_of_names_is_capped(void **state)
{
    struct traffic_sink *s = traffic_sink_new();
    char peer[32], ns[32];
    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf(peer, sizeof(peer), "w%d;bank", i);
        tell(s, 1000, &cart, true, peer, 200, 1);
    }
    struct traffic_sink_stats st = traffic_sink_get_stats(s);
    assert_int_equal(st.edges, EDGES_NAMESPACE_MAX);
    assert_int_equal(st.overflow, 5000 - EDGES_NAMESPACE_MAX);
    tell(s, 1000, &db, false, "cart;shop", 200, 1); /* others have room */
    assert_int_equal(traffic_sink_get_stats(s).edges, EDGES_NAMESPACE_MAX + 1);
    for (int n = 0; n < 8; n++)
        for (int i = 0; i < EDGES_NAMESPACE_MAX; i++) {
            snprintf(peer, sizeof(peer), "w%d;bank", i);
            snprintf(ns, sizeof(ns), "ns%d", n);
            tell(s, 1000, &(struct traffic_reporter){"x", ns}, true, peer, 200, 1);
        }
    assert_int_equal(traffic_sink_get_stats(s).edges, EDGES_MAX);
    traffic_sink_free(s);
}

static void test_names_of_strangers(void **state)
{
    struct traffic_sink *s = traffic_sink_new();
    char peer[2000];
    (void)state;
    memset(peer, 'x', sizeof(peer) - 1);
    peer[sizeof(peer) - 1] = '\0';
    tell(s, 1000, &cart, true, peer, 200, 1);
    tell(s, 1000, &cart, true, "\xff\x01;\xfe", 200, UINT64_MAX);
    AUTO_JSON json_t *list = traffic_sink_edges(s, NULL, 2000);
    AUTO_DONE(buf) struct buf text = {0};
    json_write(&text, list);
    assert_int_equal(json_array_size(list), 2);
    assert_true(text.n > 0 && text.n < 4000 && json_is_utf8(buf_str(&text)));
    traffic_sink_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ends_are_one_edge),
        cmocka_unit_test(test_a_namespace_sees_what_has_an_end_there),
        cmocka_unit_test(test_a_minute_is_told_and_what_is_idle_goes),
        cmocka_unit_test(test_a_flood_of_names_is_capped),
        cmocka_unit_test(test_names_of_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
