/* Who answers for an address, and who is believed to be there: rules, heartbeats, the table of
 * agents, each without a network. */
#include <errno.h>

#include "json_text.h"

#include "agent/l2_rules.h"
#include "agent/liveness.h"

/* ---- rules ---- */

struct world {
    struct l2_rules *r;
    const char *dead; /* who is not there; NULL */
};

static bool is_alive(const char *node, void *user)
{
    const struct world *w = user;
    return !streq(node, w->dead);
}

static void put(struct world *w, const char *name, const char *more, const char *spec,
                void (*fn)(struct l2_rules *r, const json_t *j))
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'s','name':'%s'%s},'spec':{%s}}", name, more, spec);
    AUTO_JSON json_t *j = json_of(text);
    fn(w->r, j);
}

static void put_advertisement(struct l2_rules *r, const json_t *j)
{
    (void)l2_rules_put_advertisement(r, j);
}

static bool put_node(struct world *w, const char *name, const char *labels, const char *status)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'name':'%s','labels':{%s}},'status':{%s}}", name, labels, status);
    AUTO_JSON json_t *j = json_of(text);
    return l2_rules_put_node(w->r, j);
}

static struct world begin(void)
{
    struct world w = {l2_rules_new(), NULL};
    put_node(&w, "a", "'zone':'x'", "'addresses':[{'type':'InternalIP','address':'10.0.0.1'}]");
    put_node(&w, "b", "'zone':'y'",
             "'addresses':[{'type':'ExternalIP','address':'10.0.1.2'},"
             "{'type':'InternalIP','address':'10.0.0.2'}]");
    put_node(&w, "c", "'zone':'y'", "");
    put(&w, "lan", ",'labels':{'net':'lan'}", "'addresses':['192.0.2.0/24']", l2_rules_put_pool);
    put(&w, "wan", "", "'addresses':['198.51.100.0/24','2001:db8::/64']", l2_rules_put_pool);
    return w;
}

/* sha256("a#192.0.2.N") and so on, as MetalLB takes them: computed with sha256sum. */
static const char *choose(struct world *w, const char *ip)
{
    struct ip one;
    assert_ok(ip_parse(str_from(ip), &one));
    const struct l2_question q = {
        .ips = &one, .n_ips = 1, .has_endpoints = true, .is_alive = is_alive, .user = w};
    const char *name = l2_rules_choose(w->r, &q);
    return name ? name : "nobody";
}

static void test_the_hash_is_metallbs(void **state)
{
    struct world w = begin();
    (void)state;
    put(&w, "all", "", "", put_advertisement);
    /* printf 'NODE#192.0.2.N' | sha256sum, the smallest of a, b, c */
    const char *const expected[] = {
        "c", "a", "c", "c", "a", "a", "b", "a", "a", "c", "a", "c", "b", "b", "b", "a",
    };
    for (unsigned i = 0; i < ARRAY_LEN(expected); i++) {
        AUTO_CHARS char *ip = xasprintf("192.0.2.%u", i + 1);
        assert_string_equal(choose(&w, ip), expected[i]);
    }
    assert_string_equal(choose(&w, "2001:db8::1"), "c");
    /* Who is not there is not chosen; the others keep what they have. */
    w.dead = "a";
    for (unsigned i = 0; i < ARRAY_LEN(expected); i++) {
        AUTO_CHARS char *ip = xasprintf("192.0.2.%u", i + 1);
        if (streq(expected[i], "a"))
            assert_string_not_equal(choose(&w, ip), "a");
        else
            assert_string_equal(choose(&w, ip), expected[i]);
    }
    l2_rules_free(w.r);
}

static void test_advertisements(void **state)
{
    struct world w = begin();
    struct ip lan, wan;
    (void)state;
    assert_ok(ip_parse(STR("192.0.2.1"), &lan));
    assert_ok(ip_parse(STR("198.51.100.1"), &wan));
    assert_string_equal(choose(&w, "192.0.2.1"), "nobody"); /* nobody advertises */
    put(&w, "one", "", "'ipAddressPools':['lan'],'nodeSelectors':[{'matchLabels':{'zone':'x'}}]",
        put_advertisement);
    assert_string_equal(choose(&w, "192.0.2.1"), "a");
    assert_string_equal(choose(&w, "198.51.100.1"), "nobody");
    assert_string_equal(choose(&w, "203.0.113.1"), "nobody"); /* of no pool */
    put(&w, "one", "",
        "'ipAddressPoolSelectors':[{'matchLabels':{'net':'lan'}}],"
        "'interfaces':['eth1'],'nodeSelectors':[{'matchLabels':{'zone':'x'}},"
        "{'matchLabels':{'kubernetes.io/hostname':'none'}}]",
        put_advertisement);
    assert_string_equal(choose(&w, "192.0.2.1"), "a");
    assert_true(l2_rules_allow(w.r, &lan, "a", "eth1"));
    assert_false(l2_rules_allow(w.r, &lan, "a", "eth0"));
    assert_false(l2_rules_allow(w.r, &lan, "b", "eth1"));
    assert_false(l2_rules_allow(w.r, &wan, "a", "eth1"));
    /* A second one adds to it: nodes, interfaces, preference. */
    put(&w, "two", "",
        "'ipAddressPools':['lan','wan'],'preferredNodeSelectors':[{'weight':5,"
        "'preference':{'matchLabels':{'zone':'y'}}}]",
        put_advertisement);
    assert_true(l2_rules_allow(w.r, &lan, "a", "eth0"));
    w.dead = "b";
    assert_string_equal(choose(&w, "192.0.2.1"), "c");
    w.dead = "c";
    assert_string_equal(choose(&w, "192.0.2.1"), "b");
    /* What it cannot do it does not do. */
    AUTO_JSON json_t *selects =
        json_of("{'metadata':{'namespace':'s','name':'two'},'spec':{'serviceSelectors':[{}]}}");
    assert_string_equal(l2_rules_put_advertisement(w.r, selects),
                        "spec.serviceSelectors: not supported");
    assert_string_equal(choose(&w, "198.51.100.1"), "nobody");
    AUTO_JSON json_t *bad = json_of("{'metadata':{'namespace':'s','name':'two'},'spec':{"
                                    "'nodeSelectors':[{'matchExpressions':[{'key':'a',"
                                    "'operator':'Is'}]}]}}");
    assert_string_equal(l2_rules_put_advertisement(w.r, bad),
                        "spec.nodeSelectors: \"Is\" is not a valid label selector operator");
    assert_string_equal(choose(&w, "198.51.100.1"), "nobody");
    l2_rules_remove_advertisement(w.r, STR("s/one"));
    assert_string_equal(choose(&w, "192.0.2.1"), "nobody");
    l2_rules_free(w.r);
}

static void test_who_may_be_chosen(void **state)
{
    struct world w = begin();
    struct ip ips[2];
    const char *name;
    (void)state;
    put(&w, "all", "", "", put_advertisement);
    assert_ok(ip_parse(STR("192.0.2.1"), &ips[0]));
    assert_ok(ip_parse(STR("2001:db8::1"), &ips[1]));
    const char *const nodes[] = {"c"};
    struct l2_question q = {.ips = ips,
                            .n_ips = 2,
                            .has_endpoints = true,
                            .local = true,
                            .nodes = nodes,
                            .n_nodes = 1,
                            .is_alive = is_alive,
                            .user = &w};
    assert_string_equal(l2_rules_choose(w.r, &q), "c");
    q.n_nodes = 0;
    assert_null(l2_rules_choose(w.r, &q));
    q.local = false;
    assert_string_equal(l2_rules_choose(w.r, &q), choose(&w, "192.0.2.1"));
    q.has_endpoints = false;
    assert_null(l2_rules_choose(w.r, &q));
    /* Excluded, and without a network. */
    assert_true(put_node(&w, "a", "'node.kubernetes.io/exclude-from-external-load-balancers':''",
                         "'addresses':[{'type':'InternalIP','address':'10.0.0.1'}]"));
    assert_true(put_node(&w, "b", "'zone':'y'",
                         "'conditions':[{'type':'NetworkUnavailable','status':'True'}],"
                         "'addresses':[{'type':'InternalIP','address':'10.0.0.2'}]"));
    for (unsigned i = 1; i < 9; i++) {
        AUTO_CHARS char *ip = xasprintf("192.0.2.%u", i);
        assert_string_equal(choose(&w, ip), "c");
    }
    size_t at = 0;
    assert_true(l2_rules_next_candidate(w.r, &at, &name, &ips[0]));
    assert_string_equal(name, "c");
    assert_int_equal(ips[0].family, 0); /* it has no address */
    assert_false(l2_rules_next_candidate(w.r, &at, &name, &ips[0]));
    /* What does not matter is no change: Nodes are written often. */
    assert_false(put_node(&w, "b", "'zone':'y'",
                          "'conditions':[{'type':'Ready','status':'True'},"
                          "{'type':'NetworkUnavailable','status':'True'}],"
                          "'addresses':[{'type':'InternalIP','address':'10.0.0.2'}]"));
    l2_rules_remove_node(w.r, STR("c"));
    assert_string_equal(choose(&w, "192.0.2.1"), "nobody");
    l2_rules_free(w.r);
}

/* ---- heartbeats ---- */

static void test_heartbeat(void **state)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct heartbeat h = {STR("node-1"), 1764400000123, true}, back;
    (void)state;
    heartbeat_encode(&h, STR("a key that is long enough"), &b);
    assert_int_equal(b.n, 14 + 6 + 32);
    assert_ok(heartbeat_decode(buf_str(&b), STR("a key that is long enough"), &back));
    assert_true(str_is(back.node, "node-1") && back.time_ms == h.time_ms && back.serves);
    assert_int_equal(heartbeat_decode(buf_str(&b), STR("another key"), &back), -EACCES);
    for (size_t i = 0; i < b.n; i++) { /* no byte of it may be another one */
        b.p[i] ^= 1;
        assert_true(heartbeat_decode(buf_str(&b), STR("a key that is long enough"), &back) < 0);
        b.p[i] ^= 1;
        assert_true(heartbeat_decode(str_of(b.p, i), STR("a key that is long enough"), &back) < 0);
    }
    buf_add_char(&b, 0);
    assert_int_equal(heartbeat_decode(buf_str(&b), STR("a key that is long enough"), &back),
                     -EINVAL);
}

static void test_what_is_new(void **state)
{
    const int64_t now = 1764400000000;
    struct heartbeat h = {STR("n"), now, true};
    (void)state;
    assert_true(heartbeat_is_new(&h, 0, now));
    assert_true(heartbeat_is_new(&h, now - 1, now));
    assert_false(heartbeat_is_new(&h, now, now)); /* said again */
    assert_false(heartbeat_is_new(&h, now + 5, now));
    assert_false(heartbeat_is_new(&h, 0, now + HEARTBEAT_SKEW_MS)); /* recorded */
    assert_false(heartbeat_is_new(&h, 0, now - HEARTBEAT_SKEW_MS));
    assert_true(heartbeat_is_new(&h, 0, now + HEARTBEAT_SKEW_MS - 1));
}

/* ---- who is there ---- */

static bool hear(struct peer_table *t, const char *node, int64_t time_ms, bool serves,
                 uint64_t now_ms)
{
    const struct heartbeat h = {str_from(node), time_ms, serves};
    return peer_table_hear(t, &h, now_ms, time_ms);
}

static void test_silence(void **state)
{
    struct peer_table *t = peer_table_new();
    const struct ip ip = {.family = AF_INET};
    uint64_t next;
    (void)state;
    assert_true(peer_table_put(t, "a", &ip, true, 1000)); /* known from the start: there */
    assert_true(peer_table_put(t, "b", &ip, false, 1000));
    peer_table_sweep(t);
    assert_true(peer_table_look(t, 1000, &next));
    assert_int_equal(next, 1000 + LIVENESS_DEAD_MS);
    assert_true(peer_table_is_alive(t, "a"));
    assert_false(peer_table_is_alive(t, "b"));
    assert_false(peer_table_is_alive(t, "stranger"));
    assert_false(hear(t, "stranger", 5, true, 1100));
    assert_true(hear(t, "b", 5, true, 1500));
    assert_false(hear(t, "b", 5, true, 1600)); /* the same again does not keep it alive */
    assert_true(peer_table_look(t, 999 + LIVENESS_DEAD_MS, &next)); /* b has come */
    assert_true(peer_table_is_alive(t, "a"));
    assert_true(peer_table_look(t, 1000 + LIVENESS_DEAD_MS, &next));
    assert_false(peer_table_is_alive(t, "a"));
    assert_true(peer_table_is_alive(t, "b"));
    assert_int_equal(next, 1500 + LIVENESS_DEAD_MS);
    assert_true(peer_table_look(t, 1500 + LIVENESS_DEAD_MS, &next));
    assert_int_equal(next, UINT64_MAX);
    assert_int_equal(peer_table_count_alive(t), 0);
    assert_true(hear(t, "a", 9, true, 5000));
    assert_true(peer_table_look(t, 5000, &next));
    /* One says good-bye; it is heard of again when it says so. */
    assert_true(hear(t, "a", 10, false, 5100));
    assert_true(peer_table_look(t, 5100, &next));
    assert_false(peer_table_is_alive(t, "a"));
    peer_table_free(t);
}

static void test_stopped_and_gone(void **state)
{
    struct peer_table *t = peer_table_new();
    struct ip ip = {.family = AF_INET}, got;
    uint64_t next;
    (void)state;
    assert_true(peer_table_put(t, "a", &ip, true, 0));
    assert_true(peer_table_put(t, "b", &ip, false, 0));
    peer_table_sweep(t);
    /* This process was stopped for long: nobody is taken for gone by that. */
    peer_table_forgive(t, false, 90000);
    (void)peer_table_look(t, 90000, &next);
    assert_true(peer_table_is_alive(t, "a"));
    assert_false(peer_table_is_alive(t, "b"));
    /* The first key: nobody could be heard before. */
    (void)peer_table_look(t, 190000, &next);
    assert_false(peer_table_is_alive(t, "a"));
    peer_table_forgive(t, true, 200000);
    assert_true(peer_table_look(t, 200000, &next));
    assert_int_equal(peer_table_count_alive(t), 2);
    /* Put again: nothing is forgotten. Not put: it goes. */
    ip.bytes[0] = 10;
    assert_true(peer_table_put(t, "a", &ip, false, 200100));
    peer_table_sweep(t);
    assert_true(peer_table_look(t, 200100, &next));
    assert_int_equal(peer_table_count_alive(t), 1);
    size_t at = 0;
    assert_true(peer_table_next(t, &at, &got));
    assert_true(ip_eq(&got, &ip));
    assert_false(peer_table_next(t, &at, &got));
    for (unsigned i = 1; i < LIVENESS_PEERS_MAX; i++) {
        AUTO_CHARS char *name = xasprintf("n%u", i);
        assert_true(peer_table_put(t, name, &ip, false, 0));
    }
    assert_false(peer_table_put(t, "more", &ip, false, 0));
    assert_true(peer_table_put(t, "n5", &ip, false, 0));
    peer_table_free(t);
}

/* ---- and with sockets ---- */

struct pair {
    struct loop *loop;
    struct liveness *one, *two;
    unsigned changes;
};

static void on_change(void *user)
{
    ((struct pair *)user)->changes++;
}

/* Two in one process have one port: they speak by two addresses of loopback, and each hears what is
 * sent to all of them, so that what is heard is told apart by the node it names. */
static void test_two_agents(void **state)
{
    struct pair p = {0};
    struct liveness_stats s;
    const struct ip local = {.family = AF_INET, .bytes = {127, 0, 0, 1}};
    uint16_t port = (uint16_t)(20000 + getpid() % 20000);
    (void)state;
    assert_ok(loop_new(&p.loop, NULL));
    assert_ok(liveness_new(p.loop, "one", AF_INET, port, on_change, &p, &p.one, NULL));
    assert_true(liveness_new(p.loop, "two", AF_INET, port, on_change, &p, &p.two, NULL) < 0);
    assert_ok(liveness_new(p.loop, "two", AF_INET6, port, on_change, &p, &p.two, NULL));
    /* The one of IPv6 hears nobody: what it says of itself counts all the same. */
    liveness_put_peer(p.one, "one", &local); /* itself is no peer */
    liveness_put_peer(p.one, "two", &local);
    liveness_end_peers(p.one);
    assert_false(liveness_is_alive(p.one, "two")); /* no key yet */
    liveness_set_serves(p.one, true);
    assert_false(liveness_is_alive(p.one, "one"));
    liveness_set_key(p.one, STR("a key that is long enough"));
    assert_true(liveness_is_alive(p.one, "one"));
    assert_true(liveness_is_alive(p.one, "two")); /* until it has been silent for too long */
    for (int i = 0; i < 200; i++) {
        liveness_get_stats(p.one, &s);
        if (s.refused)
            break;
        loop_turn(p.loop, 20);
    }
    assert_true(s.sent > 0 && s.refused > 0 && s.received == 0); /* its own are of nobody known */
    liveness_set_serves(p.one, false);
    assert_false(liveness_is_alive(p.one, "one"));
    liveness_free(p.two);
    liveness_free(p.one);
    loop_free(p.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_hash_is_metallbs), cmocka_unit_test(test_advertisements),
        cmocka_unit_test(test_who_may_be_chosen),    cmocka_unit_test(test_heartbeat),
        cmocka_unit_test(test_what_is_new),          cmocka_unit_test(test_silence),
        cmocka_unit_test(test_stopped_and_gone),     cmocka_unit_test(test_two_agents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
