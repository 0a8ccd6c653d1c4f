/* The packet table: who reaches what, masqueraded or not. Every row is asked twice, of an evaluator
 * that reads the frontends and of a real kernel: a node with two pods and an outsider, each a
 * network namespace that lives as long as its process (skipped where that is not allowed). Rows
 * named are those of src/agent/README.md. */
#include <errno.h>
#include <stdio.h>

#include "packet_world.h"

/* ---- what is installed ---- */

static struct frontend fe_local(const char *ip, uint8_t family, uint16_t port,
                                enum dataplane_policy policy, const struct dataplane_endpoint *e,
                                const struct dataplane_endpoint *local)
{
    struct frontend f = fe(ip, family, IPPROTO_TCP, port, policy, e, e != NULL);
    f.local = local;
    f.n_local = local != NULL;
    return f;
}

static struct frontend fe_from(const char *ip, uint8_t family, enum dataplane_policy policy,
                               const struct dataplane_endpoint *e, const struct prefix *sources,
                               size_t n)
{
    struct frontend f = fe_local(ip, family, 80, policy, e, e);
    f.restricted = true;
    f.sources = sources;
    f.n_sources = n;
    return f;
}

static struct dataplane *backend;
static struct dataplane_endpoint a4[2], both4[2], a6[1], udp4[1], out4[1], out6[1];
static struct frontend frontends[48];
static size_t n_frontends;

static void apply(struct frontend *f, size_t n, bool full)
{
    struct err e = {0};
    struct address_change lists[6] = {{.list = DATAPLANE_CLUSTER_IPS},
                                      {.list = DATAPLANE_CLUSTER_IPS},
                                      {.list = DATAPLANE_LOCAL_ENDPOINTS},
                                      {.list = DATAPLANE_LOCAL_ENDPOINTS},
                                      {.list = DATAPLANE_LOCAL_ENDPOINTS}};
    static const char *const ips[] = {"10.96.0.1", "fd96::1", "10.244.1.2", "10.244.2.2",
                                      "fd44:1::2"};
    for (size_t i = 0; i < ARRAY_LEN(ips); i++)
        assert_int_equal(ip_parse(str_from(ips[i]), &lists[i].ip), 0);
    struct dataplane_delta d = {.full = full,
                                .frontends = f,
                                .n_frontends = n,
                                .addresses = lists,
                                .n_addresses = ARRAY_LEN(ips)};
    if (backend->ops->apply(backend, &d, &e) < 0)
        fail_msg("%s", err_text(&e));
    backend->ops->settle(backend);
}

static const struct prefix pods[2] = {{{AF_INET, {10, 244}}, 16}, {{AF_INET6, {0xfd, 0x44}}, 16}};

/* The outsider's network and, in IPv4, a pod; somebody else's. */
static const struct prefix theirs4[2] = {{{AF_INET, {10, 244, 2, 2}}, 32},
                                         {{AF_INET, {198, 51, 100}}, 24}},
                           others4[1] = {{{AF_INET, {192, 0, 2}}, 24}},
                           theirs6[1] = {{{AF_INET6, {0xfd, 0x99}}, 33}},
                           others6[1] = {{{AF_INET6, {0xfd, 0x99, [15] = 3}}, 128}};

static int open_backend(void)
{
    static const struct dataplane_config c = {.cluster_cidrs = pods, .n_cluster_cidrs = 2};
    struct err e = {0};
    int r = nftables_open(&c, &backend, &e);
    if (r < 0)
        fail_msg("%s", err_text(&e));
    return r;
}

static int install(void **state)
{
    (void)state;
    a4[0] = ep("10.244.1.2", 8080);
    a4[1] = ep("10.244.1.2", 8081);
    both4[0] = ep("10.244.1.2", 8080);
    both4[1] = ep("10.244.2.2", 8080);
    a6[0] = ep("fd44:1::2", 8080);
    udp4[0] = ep("10.244.1.2", 9000);
    out4[0] = ep("198.51.100.2", 8080); /* as a pod of another node */
    out6[0] = ep("fd99::2", 8080);
    struct frontend f[] = {
        fe("10.96.0.1", AF_INET, IPPROTO_TCP, 80, DATAPLANE_CLUSTER, a4, 1),
        fe("10.96.0.1", AF_INET, IPPROTO_UDP, 53, DATAPLANE_CLUSTER, udp4, 1),
        fe("10.96.0.2", AF_INET, IPPROTO_TCP, 80, DATAPLANE_CLUSTER, NULL, 0),
        fe("10.96.0.3", AF_INET, IPPROTO_TCP, 80, DATAPLANE_CLUSTER, both4, 2),
        fe("10.96.0.4", AF_INET, IPPROTO_TCP, 80, DATAPLANE_CLUSTER, a4, 2),
        fe("203.0.113.1", AF_INET, IPPROTO_TCP, 80, DATAPLANE_EXTERNAL, a4, 1),
        fe("203.0.113.2", AF_INET, IPPROTO_TCP, 80, DATAPLANE_EXTERNAL, NULL, 0),
        fe(NULL, AF_INET, IPPROTO_TCP, 30080, DATAPLANE_EXTERNAL, a4, 1),
        fe(NULL, AF_INET, IPPROTO_TCP, 30081, DATAPLANE_EXTERNAL, NULL, 0),
        fe("fd96::1", AF_INET6, IPPROTO_TCP, 80, DATAPLANE_CLUSTER, a6, 1),
        fe("fd96::2", AF_INET6, IPPROTO_TCP, 80, DATAPLANE_CLUSTER, NULL, 0),
        fe(NULL, AF_INET6, IPPROTO_TCP, 30080, DATAPLANE_EXTERNAL, a6, 1),
        fe_local("203.0.113.3", AF_INET, 80, DATAPLANE_EXTERNAL_LOCAL, out4, a4),
        fe_local("203.0.113.4", AF_INET, 80, DATAPLANE_EXTERNAL_LOCAL, out4, NULL),
        fe_local("203.0.113.5", AF_INET, 80, DATAPLANE_EXTERNAL_LOCAL, NULL, NULL),
        fe_local(NULL, AF_INET, 30082, DATAPLANE_EXTERNAL_LOCAL, out4, a4),
        fe_local(NULL, AF_INET, 30083, DATAPLANE_EXTERNAL_LOCAL, out4, NULL),
        fe_local(NULL, AF_INET, 30084, DATAPLANE_EXTERNAL_LOCAL, NULL, NULL),
        fe_local("10.96.0.5", AF_INET, 80, DATAPLANE_CLUSTER_LOCAL, out4, a4),
        fe_local("10.96.0.6", AF_INET, 80, DATAPLANE_CLUSTER_LOCAL, out4, NULL),
        fe_local("10.96.0.7", AF_INET, 80, DATAPLANE_CLUSTER_LOCAL, NULL, NULL),
        fe_from("203.0.113.6", AF_INET, DATAPLANE_EXTERNAL, a4, theirs4, 2),
        fe_from("203.0.113.7", AF_INET, DATAPLANE_EXTERNAL, a4, others4, 1),
        fe_from("203.0.113.8", AF_INET, DATAPLANE_EXTERNAL, NULL, others4, 1),
        fe_from("203.0.113.10", AF_INET, DATAPLANE_EXTERNAL_LOCAL, a4, theirs4, 2),
        fe_from("203.0.113.11", AF_INET, DATAPLANE_EXTERNAL, a4, NULL, 0),
        fe_from("fd98::6", AF_INET6, DATAPLANE_EXTERNAL, a6, theirs6, 1),
        fe_from("fd98::7", AF_INET6, DATAPLANE_EXTERNAL, a6, others6, 1),
        fe_local("fd98::3", AF_INET6, 80, DATAPLANE_EXTERNAL_LOCAL, out6, a6),
        fe_local("fd98::4", AF_INET6, 80, DATAPLANE_EXTERNAL_LOCAL, out6, NULL),
        fe_local(NULL, AF_INET6, 30082, DATAPLANE_EXTERNAL_LOCAL, out6, a6),
        fe_local("fd96::5", AF_INET6, 80, DATAPLANE_CLUSTER_LOCAL, out6, a6),
        fe_local("fd96::6", AF_INET6, 80, DATAPLANE_CLUSTER_LOCAL, out6, NULL),
    };
    n_frontends = ARRAY_LEN(f);
    memcpy(frontends, f, sizeof(f));
    assert_ok(open_backend());
    apply(frontends, n_frontends, true);
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    backend->ops->free(backend);
    return 0;
}

/* ---- the table ---- */

struct row {
    const char *rows;
    int from;
    const char *to;
    uint16_t port;
    uint8_t proto;
    const char *want; /* "NAME:PORT", REJECT or DROP */
    bool masqueraded;
};

#define T IPPROTO_TCP
#define U IPPROTO_UDP
static const struct row table[] = {
    {"13 27", POD_B, "10.96.0.1", 80, T, "a:8080", false},
    {"13", OUTSIDE, "10.96.0.1", 80, T, "a:8080", true},
    {"13", NODE, "10.96.0.1", 80, T, "a:8080", true},
    {"25", POD_A, "10.96.0.1", 80, T, "a:8080", true},
    {"3 4", POD_B, "10.96.0.1", 53, U, "a:9000", false},
    {"15", OUTSIDE, "198.51.100.1", 30080, T, "a:8080", true},
    {"15", POD_B, "198.51.100.1", 30080, T, "a:8080", true},
    {"15", POD_B, "10.244.2.1", 30080, T, "a:8080", true},
    {"15", NODE, "198.51.100.1", 30080, T, "a:8080", true},
    {"18 19", OUTSIDE, "203.0.113.1", 80, T, "a:8080", true},
    {"18 19", POD_B, "203.0.113.1", 80, T, "a:8080", true},
    {"34", POD_B, "10.96.0.2", 80, T, "REJECT", false},
    {"34", NODE, "10.96.0.2", 80, T, "REJECT", false},
    {"34", OUTSIDE, "10.96.0.2", 80, T, "REJECT", false},
    {"34", OUTSIDE, "203.0.113.2", 80, T, "REJECT", false},
    {"34", OUTSIDE, "198.51.100.1", 30081, T, "REJECT", false},
    {"34", NODE, "198.51.100.1", 30081, T, "REJECT", false},
    {"36", POD_B, "10.96.0.1", 81, T, "REJECT", false},
    {"36", NODE, "10.96.0.1", 81, T, "REJECT", false},
    {"27", POD_B, "10.244.1.2", 8080, T, "a:8080", false},
    {"11 27", POD_B, "fd44:1::2", 8080, T, "a:8080", false},
    {"11 13", POD_B, "fd96::1", 80, T, "a:8080", false},
    {"11 13", OUTSIDE, "fd96::1", 80, T, "a:8080", true},
    {"11 25", POD_A, "fd96::1", 80, T, "a:8080", true},
    {"11 15", OUTSIDE, "fd99::1", 30080, T, "a:8080", true},
    {"11 34", POD_B, "fd96::2", 80, T, "REJECT", false},
    {"11 36", POD_B, "fd96::1", 81, T, "REJECT", false},
    {"22a", POD_B, "203.0.113.3", 80, T, "out:8080", false},
    {"22b", NODE, "203.0.113.3", 80, T, "out:8080", true},
    {"22c", OUTSIDE, "203.0.113.3", 80, T, "a:8080", false},
    {"22a 30", POD_A, "203.0.113.4", 80, T, "out:8080", false},
    {"22b 30", NODE, "203.0.113.4", 80, T, "out:8080", true},
    {"22d 35", OUTSIDE, "203.0.113.4", 80, T, "DROP", false},
    {"22 34", OUTSIDE, "203.0.113.5", 80, T, "REJECT", false},
    {"22 34", POD_B, "203.0.113.5", 80, T, "REJECT", false},
    {"22 34", NODE, "203.0.113.5", 80, T, "REJECT", false},
    {"22a", POD_B, "198.51.100.1", 30082, T, "out:8080", false},
    {"22b", NODE, "198.51.100.1", 30082, T, "out:8080", true},
    {"22c", OUTSIDE, "198.51.100.1", 30082, T, "a:8080", false},
    {"22a", POD_B, "198.51.100.1", 30083, T, "out:8080", false},
    {"22d 35", OUTSIDE, "198.51.100.1", 30083, T, "DROP", false},
    {"22 34", OUTSIDE, "198.51.100.1", 30084, T, "REJECT", false},
    {"24", POD_B, "10.96.0.5", 80, T, "a:8080", false},
    {"24", NODE, "10.96.0.5", 80, T, "a:8080", true},
    {"24", OUTSIDE, "10.96.0.5", 80, T, "a:8080", true},
    {"24 25", POD_A, "10.96.0.5", 80, T, "a:8080", true},
    {"24 35", POD_B, "10.96.0.6", 80, T, "DROP", false},
    {"24 35", NODE, "10.96.0.6", 80, T, "DROP", false},
    {"24 34", POD_B, "10.96.0.7", 80, T, "REJECT", false},
    {"21", OUTSIDE, "203.0.113.6", 80, T, "a:8080", true},
    {"21", POD_B, "203.0.113.6", 80, T, "a:8080", true},
    {"21", POD_A, "203.0.113.6", 80, T, "DROP", false},
    {"21", OUTSIDE, "203.0.113.7", 80, T, "DROP", false},
    {"21", POD_B, "203.0.113.7", 80, T, "DROP", false},
    {"21", NODE, "203.0.113.7", 80, T, "DROP", false},
    {"21", OUTSIDE, "203.0.113.8", 80, T, "DROP", false},
    {"21 22c", OUTSIDE, "203.0.113.10", 80, T, "a:8080", false},
    {"21 22a", POD_A, "203.0.113.10", 80, T, "DROP", false},
    {"21", OUTSIDE, "203.0.113.11", 80, T, "DROP", false},
    {"11 21", OUTSIDE, "fd98::6", 80, T, "a:8080", true},
    {"11 21", POD_B, "fd98::6", 80, T, "DROP", false},
    {"11 21", OUTSIDE, "fd98::7", 80, T, "DROP", false},
    {"11 22a", POD_B, "fd98::3", 80, T, "out:8080", false},
    {"11 22c", OUTSIDE, "fd98::3", 80, T, "a:8080", false},
    {"11 22d", OUTSIDE, "fd98::4", 80, T, "DROP", false},
    {"11 22c", OUTSIDE, "fd99::1", 30082, T, "a:8080", false},
    {"11 24", POD_B, "fd96::5", 80, T, "a:8080", false},
    {"11 35", POD_B, "fd96::6", 80, T, "DROP", false},
};

/* The evaluator: what the frontends and the configuration say, without a kernel. */
static const struct frontend *frontend_for(const struct row *r, const struct ip *to, bool node)
{
    for (size_t i = 0; i < n_frontends; i++) {
        const struct frontend_key *k = &frontends[i].key;
        if (k->family == to->family && k->node_port == node && k->proto == r->proto &&
            k->port == r->port && (node || memcmp(k->ip, to->bytes, 16) == 0))
            return &frontends[i];
    }
    return NULL;
}

static bool is_node_address(const char *ip)
{
    for (int i = 0; i < NODE; i++)
        if (streq(ip, hosts[i].gw4) || streq(ip, hosts[i].gw6))
            return true;
    return false;
}

static const char *host_name_of(const struct ip *ip)
{
    for (int i = 0; i < NODE; i++) {
        struct ip h;
        assert_int_equal(ip_parse(str_from(ip->family == AF_INET ? hosts[i].v4 : hosts[i].v6), &h),
                         0);
        if (ip_eq(&h, ip))
            return hosts[i].name;
    }
    return "nobody";
}

struct verdict {
    char text[64]; /* as row.want */
    bool masqueraded;
};

/* What becomes of a packet to this frontend: row 22 in its order, then the endpoint and who sees
 * whom. */
static struct verdict evaluate(const struct frontend *f, const struct ip *from, bool from_node)
{
    bool pod = prefix_contains(&pods[from->family == AF_INET6], from);
    bool local = f->policy == DATAPLANE_CLUSTER_LOCAL ||
                 (f->policy == DATAPLANE_EXTERNAL_LOCAL && !pod && !from_node);
    const struct dataplane_endpoint *e = local ? f->local : f->endpoints;
    struct verdict v = {.text = "REJECT"};
    bool allowed = !f->restricted;
    for (size_t i = 0; i < f->n_sources; i++)
        allowed = allowed || prefix_contains(&f->sources[i], from);
    if (!allowed) {
        snprintf(v.text, sizeof(v.text), "DROP");
        return v;
    }
    if (f->n_endpoints == 0)
        return v;
    if (local && f->n_local == 0) {
        snprintf(v.text, sizeof(v.text), "DROP");
        return v;
    }
    struct ip ip = {.family = from->family};
    memcpy(ip.bytes, e->ip, 16);
    switch (f->policy) {
    case DATAPLANE_EXTERNAL:
        v.masqueraded = true;
        break;
    case DATAPLANE_EXTERNAL_LOCAL:
        v.masqueraded = from_node;
        break;
    case DATAPLANE_CLUSTER:
    case DATAPLANE_CLUSTER_LOCAL:
    case _DATAPLANE_POLICY_MAX:
        v.masqueraded = !pod;
    }
    v.masqueraded = v.masqueraded || ip_eq(from, &ip);
    snprintf(v.text, sizeof(v.text), "%s:%u", host_name_of(&ip), e->port);
    return v;
}

static void assert_evaluates(const struct row *r)
{
    struct ip to, from;
    assert_int_equal(ip_parse(str_from(r->to), &to), 0);
    assert_int_equal(
        ip_parse(str_from(to.family == AF_INET ? hosts[r->from].v4 : hosts[r->from].v6), &from), 0);
    const struct frontend *f = frontend_for(r, &to, false);
    if (!f && is_node_address(r->to))
        f = frontend_for(r, &to, true);
    if (!f) { /* another port of a ClusterIP, or no Service at all */
        bool vip = streq(r->to, "10.96.0.1") || streq(r->to, "fd96::1");
        assert_int_equal(vip, streq(r->want, "REJECT"));
        return;
    }
    struct verdict v = evaluate(f, &from, r->from == NODE);
    if (!streq(v.text, r->want) || v.masqueraded != r->masqueraded)
        fail_msg("rows %s: %s -> %s:%u: the evaluator says %s, masqueraded %d", r->rows,
                 hosts[r->from].name, r->to, r->port, v.text, v.masqueraded);
}

static void assert_kernel_agrees(const struct row *r)
{
    bool dropped = streq(r->want, "DROP");
    struct request q = {.port = r->port, .proto = r->proto, .wait_ms = dropped ? DROP_MS : 0};
    snprintf(q.ip, sizeof(q.ip), "%s", r->to);
    struct answer a = ask_from(r->from, &q);
    const char *peer = strchr(a.text, ' '), *want = dropped ? "TIMEOUT" : r->want;
    bool v6 = strchr(r->to, ':');
    if (strncmp(a.text, want, strlen(want)) != 0)
        fail_msg("rows %s: %s -> %s:%u: want %s, got %s", r->rows, hosts[r->from].name, r->to,
                 r->port, r->want, a.text);
    if (!peer || r->from == NODE)
        return;
    bool seen = !streq(peer + 1, v6 ? hosts[r->from].v6 : hosts[r->from].v4);
    if (seen != r->masqueraded)
        fail_msg("rows %s: %s -> %s:%u: masqueraded %d, want %d: %s", r->rows, hosts[r->from].name,
                 r->to, r->port, seen, r->masqueraded, a.text);
}

/* The first neighbour discovery of a fresh link takes a second or more. */
static void warm_up(void)
{
    struct request q = {.port = 8080, .proto = T};
    for (int from = 0; from < N_HOSTS; from++)
        for (int to = 0; to < NODE; to++)
            for (int i = 0; i < 8; i++) {
                snprintf(q.ip, sizeof(q.ip), "%s", hosts[to].v6);
                if (from == to || strchr(ask_from(from, &q).text, ':'))
                    break;
            }
}

static void test_rows_13_to_36_table(void **state)
{
    (void)state;
    warm_up();
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        assert_evaluates(&table[i]);
        assert_kernel_agrees(&table[i]);
    }
}

static void test_row_28_uniform_choice(void **state)
{
    (void)state;
    unsigned a = 0, n = 300;
    struct request q = {.ip = "10.96.0.3", .port = 80, .proto = T};
    for (unsigned i = 0; i < n; i++)
        a += ask_from(OUTSIDE, &q).text[0] == 'a';
    assert_in_range(a, 100, 200); /* 5.8 standard deviations */
}

static void test_row_8_ports_differ_per_endpoint(void **state)
{
    (void)state;
    bool seen[2] = {false, false};
    struct request q = {.ip = "10.96.0.4", .port = 80, .proto = T};
    for (int i = 0; i < 64 && !(seen[0] && seen[1]); i++) {
        struct answer r = ask_from(POD_B, &q);
        seen[0] = seen[0] || strncmp(r.text, "a:8080", 6) == 0;
        seen[1] = seen[1] || strncmp(r.text, "a:8081", 6) == 0;
    }
    assert_true(seen[0] && seen[1]);
}

static void test_row_38_udp_flows_follow_the_endpoints(void **state)
{
    (void)state;
    struct dataplane_endpoint to_b = ep("10.244.2.2", 9000);
    struct request q = {.ip = "10.96.0.1", .port = 53, .proto = U, .src_port = 5353};
    struct frontend f = frontends[1];
    struct dataplane_counters before, after;
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'a');
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'a');
    backend->ops->counters(backend, &before);
    f.endpoints = &to_b; /* the same source port: the old flow would go on for 30 s */
    apply(&f, 1, false);
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'b');
    backend->ops->counters(backend, &after);
    assert_true(after.conntrack_removed[0] > before.conntrack_removed[0]);
    /* A healthy flow is left alone: serving while it drains. */
    f.endpoints = udp4;
    f.draining = &to_b;
    f.n_draining = 1;
    apply(&f, 1, false);
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'b');
    /* It has drained. */
    f.n_draining = 0;
    apply(&f, 1, false);
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'a');
    /* No endpoint at all: the flow goes, and the next packet is rejected. */
    f.n_endpoints = f.n_draining = 0;
    apply(&f, 1, false);
    assert_string_equal(ask_from(OUTSIDE, &q).text, "REJECT");
    apply(&frontends[1], 1, false);
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'a');
}

/* Of two that drain each goes when it has; with the frontend both are forgotten. */
static void test_row_38_udp_flows_that_drain(void **state)
{
    struct dataplane_endpoint both[2] = {ep("10.244.2.2", 9000), ep("198.51.100.2", 9000)};
    struct request q = {.ip = "10.96.0.1", .port = 53, .proto = U, .src_port = 5355};
    struct frontend f = frontends[1];
    struct dataplane_counters before, after;
    (void)state;
    for (int round = 0; round < 2; round++) {
        f.removed = false;
        f.endpoints = both;
        f.n_endpoints = 1;
        f.n_draining = 0;
        apply(&f, 1, false);
        assert_int_equal(ask_from(POD_A, &q).text[0], 'b');
        f.endpoints = udp4;
        f.draining = both;
        f.n_endpoints = 1;
        f.n_draining = 2;
        apply(&f, 1, false);
        assert_int_equal(ask_from(POD_A, &q).text[0], 'b');
        f.draining = both + 1;
        f.n_draining = 1;
        f.removed = round == 1;
        backend->ops->counters(backend, &before);
        apply(&f, 1, false);
        backend->ops->counters(backend, &after);
        assert_int_equal(after.conntrack_removed[0], before.conntrack_removed[0] + 1);
        if (round == 1) {
            f = frontends[1];
            apply(&f, 1, false);
        }
        assert_int_equal(ask_from(POD_A, &q).text[0], 'a');
    }
}

/* Somebody else's server has the number of a node port: flows to it, masqueraded or not, are not
 * ours to end, whether the frontend changes or goes. */
static void test_row_38_foreign_udp_flows(void **state)
{
    struct request q = {.ip = "198.51.100.2", .port = 9000, .proto = U, .src_port = 5356};
    struct dataplane_endpoint to_b = ep("10.244.2.2", 9000);
    struct frontend f = fe(NULL, AF_INET, U, 9000, DATAPLANE_EXTERNAL, &to_b, 1);
    struct dataplane_counters before, after;
    (void)state;
    apply(&f, 1, false);
    assert_int_equal(ask_from(POD_A, &q).text[0], 'o');
    snprintf(q.ip, sizeof(q.ip), "%s", hosts[NODE].v4);
    assert_int_equal(ask_from(POD_B, &q).text[0], 'b'); /* the node port itself */
    backend->ops->counters(backend, &before);
    f.endpoints = udp4;
    apply(&f, 1, false);
    backend->ops->counters(backend, &after);
    assert_int_equal(after.conntrack_removed[0], before.conntrack_removed[0] + 1);
    assert_int_equal(ask_from(POD_B, &q).text[0], 'a');
    f.removed = true;
    apply(&f, 1, false);
    backend->ops->counters(backend, &after);
    assert_int_equal(after.conntrack_removed[0], before.conntrack_removed[0] + 2);
}

/* A server on the node itself, whose number was a node port for a moment. */
static void test_row_38_udp_flows_of_the_nodes_own_server(void **state)
{
    struct request q = {.port = 9000, .proto = U, .src_port = 5357};
    struct dataplane_endpoint to_b = ep("10.244.2.2", 9000);
    struct frontend f = fe(NULL, AF_INET, U, 9000, DATAPLANE_EXTERNAL, &to_b, 1);
    struct dataplane_delta change = {.frontends = &f, .n_frontends = 1};
    struct dataplane_counters before, after;
    struct err e = {0};
    pid_t server = fork();
    (void)state;
    if (server == 0)
        serve("node");
    snprintf(q.ip, sizeof(q.ip), "%s", hosts[NODE].v4);
    for (int tries = 0; tries < 20 && ask_from(OUTSIDE, &q).text[0] != 'n'; tries++)
        ; /* until it listens */
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'n');
    backend->ops->counters(backend, &before);
    assert_ok(backend->ops->apply(backend, &change, &e));
    f.removed = true;
    assert_ok(backend->ops->apply(backend, &change, &e));
    backend->ops->settle(backend);
    backend->ops->counters(backend, &after);
    assert_int_equal(after.conntrack_removed[0], before.conntrack_removed[0]);
    /* While it is a node port, the flow is a Service's. */
    f.removed = false;
    apply(&f, 1, false);
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'b');
    f.removed = true;
    apply(&f, 1, false);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

/* One that was killed between its last change and the look at the flows leaves them to the next; so
 * does one whose table was deleted. What drains goes on. */
static void test_row_38_udp_flows_after_a_restart(void **state)
{
    struct dataplane_endpoint to_b = ep("10.244.2.2", 9000);
    struct request q = {.ip = "10.96.0.1", .port = 53, .proto = U, .src_port = 5354};
    struct frontend f = frontends[1];
    struct dataplane_delta change = {.frontends = &f, .n_frontends = 1};
    struct err e = {0};
    (void)state;
    apply(&f, 1, false);
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'a');
    f.endpoints = &to_b;
    assert_ok(backend->ops->apply(backend, &change, &e)); /* and no settle() */
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'a');
    struct frontend again[ARRAY_LEN(frontends)];
    memcpy(again, frontends, sizeof(again));
    again[1] = f;
    backend->ops->free(backend);
    assert_ok(open_backend());
    apply(again, n_frontends, true);
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'b');
    f.endpoints = udp4;
    f.draining = &to_b;
    f.n_draining = 1;
    apply(&f, 1, false);
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'b');
    assert_ok(nftables_cleanup(&e));
    assert_int_equal(backend->ops->repair(backend, &e), 1);
    backend->ops->settle(backend);
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'b');
    apply(&frontends[1], 1, false);
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'a');
}

/* Connections that are there go on whatever becomes of their endpoint; only new ones are rejected.
 */
static void test_rows_37_39_connections_are_never_cut(void **state)
{
    static const int from[] = {POD_B, OUTSIDE, NODE};
    struct dataplane_endpoint kept = ep("10.244.1.2", 8090), other = ep("10.244.2.2", 8090);
    struct frontend f = fe("10.96.0.9", AF_INET, T, 90, DATAPLANE_CLUSTER, &kept, 1);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        struct request q = {.ip = "10.96.0.9", .port = 90, .proto = T, .op = OPEN};
        f.removed = false;
        f.endpoints = &kept;
        f.n_endpoints = 1;
        apply(&f, 1, false);
        assert_string_equal(ask_from(from[i], &q).text, "a");
        q.op = AGAIN;
        f.endpoints = &other; /* another endpoint instead */
        apply(&f, 1, false);
        assert_string_equal(ask_from(from[i], &q).text, "a");
        f.n_endpoints = 0; /* none: the next connection is rejected, this one is not */
        apply(&f, 1, false);
        assert_string_equal(ask_from(from[i], &q).text, "a");
        q.op = ONCE;
        assert_string_equal(ask_from(from[i], &q).text, "REJECT");
        q.op = AGAIN;
        f.removed = true; /* the Service is gone */
        apply(&f, 1, false);
        assert_string_equal(ask_from(from[i], &q).text, "a");
    }
}

/* The same for a connection that was there before its destination became a Service's address. */
static void test_row_37_connections_from_before_go_on(void **state)
{
    struct request q = {.ip = "10.244.1.2", .port = 8090, .proto = T, .op = OPEN};
    struct frontend f = fe("10.244.1.2", AF_INET, T, 8090, DATAPLANE_EXTERNAL, NULL, 0);
    (void)state;
    assert_string_equal(ask_from(POD_B, &q).text, "a");
    apply(&f, 1, false);
    q.op = AGAIN;
    assert_string_equal(ask_from(POD_B, &q).text, "a");
    q.op = ONCE;
    assert_string_equal(ask_from(POD_B, &q).text, "REJECT");
    f.removed = true;
    apply(&f, 1, false);
}

/* Restarts the backend with these addresses for node ports; frontends stay as they are. */
static void reopen(const struct dataplane_config *c)
{
    struct err e = {0};
    backend->ops->free(backend);
    if (nftables_open(c, &backend, &e) < 0)
        fail_msg("%s", err_text(&e));
    apply(frontends, n_frontends, true);
}

static void assert_node_port(int from, const char *ip, const char *want)
{
    struct request q = {.port = 30080, .proto = T};
    snprintf(q.ip, sizeof(q.ip), "%s", ip);
    struct answer a = ask_from(from, &q);
    if (strncmp(a.text, want, strlen(want)) != 0)
        fail_msg("node port at %s: want %s, got %s", ip, want, a.text);
}

/* Networks are switched live, also to ones inside and around the old; the node is a source like
 * others; connections that are there go on. */
static void test_row_21_source_ranges_live(void **state)
{
    static const struct prefix wide[1] = {{{AF_INET, {198}}, 7}},
                               narrow[1] = {{{AF_INET, {198, 51, 100, 2}}, 32}},
                               node[1] = {{{AF_INET, {198, 51, 100, 1}}, 32}};
    static const struct {
        const struct prefix *p;
        size_t n;
        bool outside, node;
    } steps[] = {{wide, 1, true, true},    {narrow, 1, true, false}, {node, 1, false, true},
                 {theirs4, 2, true, true}, {narrow, 1, true, false}, {wide, 1, true, true},
                 {NULL, 0, false, false},  {wide, 1, true, true}};
    struct dataplane_endpoint kept = ep("10.244.1.2", 8090);
    struct request q = {.ip = "203.0.113.12", .port = 80, .proto = T, .wait_ms = DROP_MS},
                   again = q;
    struct frontend f = fe_from("203.0.113.12", AF_INET, DATAPLANE_EXTERNAL, &kept, wide, 1);
    (void)state;
    apply(&f, 1, false);
    again.op = OPEN;
    assert_string_equal(ask_from(OUTSIDE, &again).text, "a");
    again.op = AGAIN;
    f.endpoints = a4;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        f.sources = steps[i].p;
        f.n_sources = steps[i].n;
        apply(&f, 1, false);
        q.src[0] = 0;
        assert_int_equal(ask_from(OUTSIDE, &q).text[0], steps[i].outside ? 'a' : 'T');
        snprintf(q.src, sizeof(q.src), "198.51.100.1");
        assert_int_equal(ask_from(NODE, &q).text[0], steps[i].node ? 'a' : 'T');
        assert_string_equal(ask_from(OUTSIDE, &again).text, "a");
    }
    q.src[0] = 0;
    f.sources = node;
    apply(&f, 1, false);
    assert_string_equal(ask_from(OUTSIDE, &q).text, "TIMEOUT");
    f.restricted = false;
    apply(&f, 1, false);
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'a');
    f.removed = true;
    apply(&f, 1, false);
}

/* The node's own traffic leaves under the address of the way it takes. */
/* A server on the node's own address and on the Service's own port: nothing is rewritten, and yet
 * it is reached; where policy Local has no endpoint here, the drop stays. */
static void test_rows_15_18_an_endpoint_that_is_its_own_frontend(void **state)
{
    struct dataplane_endpoint self4 = ep("198.51.100.1", 8080), other4 = ep("198.51.100.1", 8081),
                              self6 = ep("fd99::1", 8080), out = ep("198.51.100.2", 8090);
    struct frontend f[] = {
        fe("198.51.100.1", AF_INET, IPPROTO_TCP, 8080, DATAPLANE_EXTERNAL, &self4, 1),
        fe(NULL, AF_INET, IPPROTO_TCP, 8081, DATAPLANE_EXTERNAL, &other4, 1),
        fe_local("fd99::1", AF_INET6, 8080, DATAPLANE_EXTERNAL_LOCAL, &self6, &self6),
        fe_local("198.51.100.1", AF_INET, 8090, DATAPLANE_EXTERNAL_LOCAL, &out, NULL),
    };
    static const struct {
        const char *to;
        uint16_t port;
        const char *want;
    } asked[] = {{"198.51.100.1", 8080, "node:8080"},
                 {"198.51.100.1", 8081, "node:8081"},
                 {"fd99::1", 8080, "node:8080"}};
    (void)state;
    pid_t server = fork();
    if (server == 0)
        serve("node");
    const struct request ready = {
        .ip = "127.0.0.1", .port = 8090, .proto = IPPROTO_TCP, .op = OPEN};
    for (int i = 0; i < 200 && !streq(ask_from(NODE, &ready).text, "node"); i++)
        usleep(10000);
    apply(f, ARRAY_LEN(f), true);
    for (size_t i = 0; i < ARRAY_LEN(asked); i++)
        for (int from = 0; from < N_HOSTS; from++) {
            struct request q = {.port = asked[i].port, .proto = IPPROTO_TCP};
            snprintf(q.ip, sizeof(q.ip), "%s", asked[i].to);
            struct answer a = ask_from(from, &q);
            if (strncmp(a.text, asked[i].want, strlen(asked[i].want)) != 0)
                fail_msg("%s -> %s:%u: %s", hosts[from].name, q.ip, q.port, a.text);
        }
    struct request dropped = {
        .ip = "198.51.100.1", .port = 8090, .proto = IPPROTO_TCP, .wait_ms = DROP_MS};
    assert_string_equal(ask_from(OUTSIDE, &dropped).text, "TIMEOUT");
    kill(server, SIGKILL);
    assert_int_equal(waitpid(server, NULL, 0), server);
    apply(frontends, n_frontends, true);
}

static void test_row_22_the_node_is_masqueraded(void **state)
{
    struct request q = {.ip = "203.0.113.3", .src = "192.0.2.77", .port = 80, .proto = T};
    (void)state;
    sh("ip addr add 192.0.2.77/32 dev lo");
    assert_string_equal(ask_from(NODE, &q).text, "out:8080 198.51.100.1");
    snprintf(q.ip, sizeof(q.ip), "198.51.100.2");
    q.port = 8080;
    assert_string_equal(ask_from(NODE, &q).text, "out:8080 192.0.2.77"); /* not by us else */
    sh("ip addr del 192.0.2.77/32 dev lo");
}

/* Without anything that tells pods from others, pods are others: no short cut to endpoints of other
 * nodes, and their addresses are kept. */
static void test_row_23_policy_local_without_a_detector(void **state)
{
    struct dataplane_config c = {.masquerade_all = false};
    struct request q = {.ip = "203.0.113.3", .port = 80, .proto = T};
    (void)state;
    reopen(&c);
    assert_string_equal(ask_from(POD_B, &q).text, "a:8080 10.244.2.2");
    assert_string_equal(ask_from(OUTSIDE, &q).text, "a:8080 198.51.100.2");
    assert_memory_equal(ask_from(NODE, &q).text, "out:8080", 8);
    snprintf(q.ip, sizeof(q.ip), "203.0.113.4");
    q.wait_ms = DROP_MS;
    assert_string_equal(ask_from(POD_B, &q).text, "TIMEOUT");
    assert_memory_equal(ask_from(NODE, &q).text, "out:8080", 8);
    c = (struct dataplane_config){.cluster_cidrs = pods, .n_cluster_cidrs = 2};
    reopen(&c);
    assert_string_equal(ask_from(POD_B, &q).text, "out:8080 10.244.2.2");
}

/* Pods told by the interface they come in by: POD_B's is v1. */
static void test_rows_14_23_pods_by_interface(void **state)
{
    struct dataplane_config modes[] = {{.pod_interface = "v1"},
                                       {.pod_interface_prefix = "v1"},
                                       {.pod_interface_prefix = "v"},
                                       {.pod_interface = "v"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        struct request q = {.ip = "10.96.0.3", .port = 80, .proto = T, .wait_ms = DROP_MS};
        reopen(&modes[i]);
        bool pod = i < 3, outsider = i == 2; /* who is taken for a pod */
        bool masqueraded = !strstr(ask_from(OUTSIDE, &q).text, " 198.51.100.2");
        assert_int_equal(masqueraded, !outsider);
        snprintf(q.ip, sizeof(q.ip), "10.96.0.1");
        assert_string_equal(ask_from(POD_B, &q).text,
                            pod ? "a:8080 10.244.2.2" : "a:8080 10.244.1.1");
        snprintf(q.ip, sizeof(q.ip), "203.0.113.4");
        assert_string_equal(ask_from(POD_B, &q).text, pod ? "out:8080 10.244.2.2" : "TIMEOUT");
        assert_memory_equal(ask_from(NODE, &q).text, "out:8080", 8);
        snprintf(q.ip, sizeof(q.ip), "fd96::1");
        assert_int_equal(!strstr(ask_from(POD_B, &q).text, " fd44:2::2"), !pod);
    }
    struct dataplane_config c = {.cluster_cidrs = pods, .n_cluster_cidrs = 2};
    reopen(&c);
    assert_int_equal(system("command -v nft >/dev/null || exit 0; nft list ruleset >/dev/null"), 0);
}

/* Each of several local endpoints is chosen, and no other; the policy is switched live. */
static void test_rows_22_30_local_endpoints_come_and_go(void **state)
{
    struct dataplane_endpoint all[3] = {ep("10.244.1.2", 8080), ep("10.244.2.2", 8080),
                                        ep("198.51.100.2", 8080)};
    struct request q = {.ip = "203.0.113.9", .port = 80, .proto = T};
    struct frontend f = fe_local("203.0.113.9", AF_INET, 80, DATAPLANE_EXTERNAL_LOCAL, all, all);
    bool seen[2] = {false, false};
    (void)state;
    f.n_endpoints = 3;
    f.n_local = 2;
    apply(&f, 1, false);
    for (int i = 0; i < 100; i++) {
        struct answer a = ask_from(OUTSIDE, &q);
        assert_true(a.text[0] == 'a' || a.text[0] == 'b');
        assert_non_null(strstr(a.text, " 198.51.100.2"));
        seen[a.text[0] == 'b'] = true;
    }
    assert_true(seen[0] && seen[1]);
    f.n_local = 1;
    apply(&f, 1, false);
    for (int i = 0; i < 20; i++)
        assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'a');
    f.n_local = 0;
    apply(&f, 1, false);
    q.wait_ms = DROP_MS;
    assert_string_equal(ask_from(OUTSIDE, &q).text, "TIMEOUT");
    f.policy = DATAPLANE_EXTERNAL;
    apply(&f, 1, false);
    assert_non_null(strstr(ask_from(OUTSIDE, &q).text, ":8080 "));
    f.removed = true;
    apply(&f, 1, false);
    assert_string_equal(ask_from(OUTSIDE, &q).text, "TIMEOUT");
}

static void test_row_16_node_port_addresses(void **state)
{
    static const struct prefix some[] = {{{AF_INET, {198, 51, 100}}, 24},
                                         {{AF_INET6, {0xfd, 0x99, [15] = 1}}, 128}},
                               v4[] = {{{AF_INET, {198, 51, 100, 1}}, 32}};
    struct dataplane_config c = {.cluster_cidrs = pods,
                                 .n_cluster_cidrs = 2,
                                 .node_port_addresses = some,
                                 .n_node_port_addresses = 2};
    (void)state;
    assert_node_port(POD_B, "10.244.1.1", "a:8080");  /* by default every address, */
    assert_node_port(NODE, "127.0.0.1", "REJECT");    /* but never loopback */
    assert_node_port(OUTSIDE, "203.0.113.1", "TIME"); /* nor one that is not the node's */
    reopen(&c);
    assert_node_port(POD_B, "10.244.1.1", "REJECT");
    assert_node_port(POD_B, "198.51.100.1", "a:8080");
    assert_node_port(OUTSIDE, "fd99::1", "a:8080");
    assert_node_port(OUTSIDE, "fd44:1::1", "REJECT");
    sh("ip addr add 198.51.100.77/24 dev v2"); /* counts from the moment it is there */
    assert_node_port(OUTSIDE, "198.51.100.77", "a:8080");
    sh("ip addr del 198.51.100.77/24 dev v2");
    c.node_port_addresses = v4; /* a family that is not named has none */
    c.n_node_port_addresses = 1;
    reopen(&c);
    assert_node_port(OUTSIDE, "198.51.100.1", "a:8080");
    assert_node_port(OUTSIDE, "fd99::1", "REJECT");
    static const struct prefix loopback_and_all[] = {
        {{AF_INET, {127}}, 8}, {{AF_INET6, {[15] = 1}}, 128}, {{AF_INET, {0}}, 0}};
    c.node_port_addresses =
        loopback_and_all; /* loopback is never rewritten; 0.0.0.0/0 is all else */
    c.n_node_port_addresses = 3;
    reopen(&c);
    assert_node_port(NODE, "127.0.0.1", "REJECT");
    assert_node_port(OUTSIDE, "198.51.100.1", "a:8080");
    assert_node_port(POD_B, "10.244.1.1", "a:8080");
    assert_node_port(OUTSIDE, "fd99::1", "REJECT");
    c.n_node_port_addresses = 0;
    reopen(&c);
    assert_node_port(OUTSIDE, "fd99::1", "a:8080");
}

static void apply_networks(const struct prefix *of_pods, size_t n_pods,
                           const struct prefix *services, size_t n_services)
{
    struct err e = {0};
    const struct dataplane_networks w = {of_pods, n_pods, services, n_services};
    const struct dataplane_delta d = {.networks = &w};
    if (backend->ops->apply(backend, &d, &e) < 0)
        fail_msg("%s", err_text(&e));
}

static const char *outcome(int from, const char *ip, uint16_t port)
{
    static struct answer a;
    struct request q = {.port = port, .proto = T, .wait_ms = DROP_MS};
    snprintf(q.ip, sizeof(q.ip), "%s", ip);
    a = ask_from(from, &q);
    return a.text;
}

/* Addresses that no Service has: dropped in Services' networks, live, and nowhere else; those that
 * some have are served and refused as ever. */
static void test_row_36_unallocated_addresses(void **state)
{
    /* The outsider's networks stand for Services': somebody there would answer. */
    static const struct prefix services[] = {
        {{AF_INET, {10, 96}}, 16}, {{AF_INET, {198, 51, 100}}, 24}, {{AF_INET6, {0xfd, 0x99}}, 64}};
    (void)state;
    for (int from = POD_B; from <= NODE; from += NODE - POD_B) {
        apply_networks(pods, 2, NULL, 0);
        assert_string_equal(outcome(from, "198.51.100.2", 81), "REJECT");
        assert_string_equal(outcome(from, "fd99::2", 81), "REJECT");
        apply_networks(pods, 2, services, 3);
        assert_string_equal(outcome(from, "198.51.100.2", 81), "TIMEOUT");
        assert_string_equal(outcome(from, "fd99::2", 81), "TIMEOUT");
        assert_string_equal(outcome(from, "10.96.0.1", 81), "REJECT"); /* a port it has not */
        assert_string_equal(outcome(from, "10.96.0.2", 80), "REJECT"); /* no endpoints */
        assert_memory_equal(outcome(from, "10.96.0.1", 80), "a:8080", 6);
        assert_memory_equal(outcome(from, "198.51.100.1", 30080), "a:8080", 6);
        assert_string_equal(outcome(from, "198.51.100.1", 9), "REJECT"); /* the node's own */
        apply_networks(pods, 2, services, 2);
        assert_string_equal(outcome(from, "fd99::2", 81), "REJECT");
        assert_string_equal(outcome(from, "198.51.100.2", 81), "TIMEOUT");
    }
    const struct dataplane_config c = {.cluster_cidrs = pods, .n_cluster_cidrs = 2};
    reopen(&c);
    assert_string_equal(outcome(NODE, "198.51.100.2", 81), "REJECT");
}

/* Row 14: who is a pod changes while connections come. */
static void test_row_14_networks_of_pods_that_change(void **state)
{
    static const struct prefix others[] = {{{AF_INET, {10, 245}}, 16}};
    const struct dataplane_config c = {.cluster_cidrs = pods, .n_cluster_cidrs = 2};
    struct dataplane_counters before, after;
    (void)state;
    assert_non_null(strstr(outcome(POD_B, "10.96.0.1", 80), " 10.244.2.2"));
    apply_networks(others, 1, NULL, 0);
    assert_null(strstr(outcome(POD_B, "10.96.0.1", 80), " 10.244.2.2")); /* as an outsider */
    backend->ops->counters(backend, &before);
    apply_networks(others, 1, NULL, 0); /* the same: nothing is written */
    backend->ops->counters(backend, &after);
    assert_int_equal(after.transactions, before.transactions);
    apply_networks(pods, 2, NULL, 0);
    assert_non_null(strstr(outcome(POD_B, "10.96.0.1", 80), " 10.244.2.2"));
    reopen(&c);
}

static struct dataplane_counters settled_counters(void)
{
    struct dataplane_counters c;
    backend->ops->settle(backend);
    backend->ops->counters(backend, &c);
    return c;
}

/* Node ports on loopback: left alone, or refused and counted, but for TCP where a relay serves it;
 * other ports there are nobody's business, other addresses as ever. */
static void test_row_17_localhost_is_refused_and_counted(void **state)
{
    static const enum dataplane_localhost modes[] = {
        DATAPLANE_LOCALHOST_LEAVE, DATAPLANE_LOCALHOST_REJECT, DATAPLANE_LOCALHOST_REJECT_OTHERS};
    struct frontend udp = fe(NULL, AF_INET, IPPROTO_UDP, 30053, DATAPLANE_EXTERNAL, udp4, 1);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        struct dataplane_config c = {
            .cluster_cidrs = pods, .n_cluster_cidrs = 2, .localhost = {modes[i], modes[i]}};
        struct request other = {.ip = "127.0.0.1", .port = 30099, .proto = T},
                       flow = {.ip = "127.0.0.1", .port = 30053, .proto = IPPROTO_UDP};
        reopen(&c);
        apply(&udp, 1, false);
        (void)settled_counters();
        assert_node_port(NODE, "127.0.0.1", "REJECT");
        assert_node_port(NODE, "::1", "REJECT");
        assert_string_equal(ask_from(NODE, &other).text, "REJECT");
        assert_string_equal(ask_from(NODE, &flow).text, "REJECT");
        assert_node_port(NODE, "198.51.100.1", "a:8080");
        struct dataplane_counters got = settled_counters();
        for (int f = 0; f < 2; f++) /* a SYN of IPv6 goes twice: findings/nft-reject-… */
            assert_int_equal(got.localhost_rejected[f][0] > 0,
                             modes[i] == DATAPLANE_LOCALHOST_REJECT);
        assert_int_equal(got.localhost_rejected[0][1], modes[i] != DATAPLANE_LOCALHOST_LEAVE);
        assert_int_equal(got.localhost_rejected[0][2], 0);
        assert_int_equal(got.sampled, modes[i] != DATAPLANE_LOCALHOST_LEAVE);
    }
    udp.removed = true;
    apply(&udp, 1, false);
    const struct dataplane_config back = {.cluster_cidrs = pods, .n_cluster_cidrs = 2};
    reopen(&back);
}

static void test_row_47_restart_keeps_traffic(void **state)
{
    static const struct dataplane_config c = {.cluster_cidrs = pods, .n_cluster_cidrs = 2};
    struct request q = {.ip = "10.96.0.1", .port = 80, .proto = T};
    struct err e = {0};
    (void)state;
    backend->ops->free(backend);
    assert_int_equal(ask_from(POD_B, &q).text[0], 'a'); /* without an agent */
    assert_int_equal(nftables_open(&c, &backend, &e), 0);
    assert_int_equal(ask_from(POD_B, &q).text[0], 'a'); /* taken over, nothing applied yet */
    apply(frontends, n_frontends, true);
    assert_int_equal(ask_from(POD_B, &q).text[0], 'a');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_13_to_36_table),
        cmocka_unit_test(test_row_28_uniform_choice),
        cmocka_unit_test(test_row_8_ports_differ_per_endpoint),
        cmocka_unit_test(test_row_38_udp_flows_follow_the_endpoints),
        cmocka_unit_test(test_row_38_udp_flows_after_a_restart),
        cmocka_unit_test(test_row_38_udp_flows_that_drain),
        cmocka_unit_test(test_row_38_foreign_udp_flows),
        cmocka_unit_test(test_row_38_udp_flows_of_the_nodes_own_server),
        cmocka_unit_test(test_rows_37_39_connections_are_never_cut),
        cmocka_unit_test(test_row_37_connections_from_before_go_on),
        cmocka_unit_test(test_rows_22_30_local_endpoints_come_and_go),
        cmocka_unit_test(test_row_21_source_ranges_live),
        cmocka_unit_test(test_rows_15_18_an_endpoint_that_is_its_own_frontend),
        cmocka_unit_test(test_row_22_the_node_is_masqueraded),
        cmocka_unit_test(test_rows_14_23_pods_by_interface),
        cmocka_unit_test(test_row_23_policy_local_without_a_detector),
        cmocka_unit_test(test_row_16_node_port_addresses),
        cmocka_unit_test(test_row_14_networks_of_pods_that_change),
        cmocka_unit_test(test_row_36_unallocated_addresses),
        cmocka_unit_test(test_row_17_localhost_is_refused_and_counted),
        cmocka_unit_test(test_row_47_restart_keeps_traffic),
    };
    if (geteuid() != 0 || system("command -v ip >/dev/null") != 0 || !network_up()) {
        fprintf(stderr, "skipped: needs root, ip(8) and network namespaces\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, install, remove_all);
}
