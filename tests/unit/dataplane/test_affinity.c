/* ClientIP affinity (row 33) on real packets, and its books without a kernel: who stays with whom,
 * how long, and when it ends. */
#include <errno.h>
#include <stdio.h>

#include "base/time.h"
#include "dataplane/affinity.h"
#include "packet_world.h"

enum { MANY = 24 }; /* requests; that all meet one of two by chance: 2^-23 */

static const struct prefix pods[2] = {{{AF_INET, {10, 244}}, 16}, {{AF_INET6, {0xfd, 0x44}}, 16}};
static const struct dataplane_config config = {.cluster_cidrs = pods, .n_cluster_cidrs = 2};
static struct dataplane *backend;

static void apply(const struct frontend *f, size_t n, bool full)
{
    struct err e = {0};
    static const struct address_change pod_ips[] = {
        {.ip = {AF_INET, {10, 244, 1, 2}}},
        {.ip = {AF_INET, {10, 244, 2, 2}}},
        {.ip = {AF_INET6, {0xfd, 0x44, 0, 1, [15] = 2}}},
        {.ip = {AF_INET6, {0xfd, 0x44, 0, 2, [15] = 2}}}}; /* DATAPLANE_LOCAL_ENDPOINTS: hairpin */
    struct dataplane_delta d = {.full = full,
                                .frontends = f,
                                .n_frontends = n,
                                .addresses = pod_ips,
                                .n_addresses = ARRAY_LEN(pod_ips)};
    struct dataplane_counters before, after;
    backend->ops->counters(backend, &before);
    if (backend->ops->apply(backend, &d, &e) < 0)
        fail_msg("%s", err_text(&e));
    backend->ops->settle(backend);
    backend->ops->counters(backend, &after);
    assert_int_equal(after.failures, before.failures);
}

static int install(void **state)
{
    struct err e = {0};
    (void)state;
    if (nftables_open(&config, &backend, &e) < 0)
        fail_msg("%s", err_text(&e));
    apply(NULL, 0, true);
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    backend->ops->free(backend);
    return 0;
}

/* The same service port at a ClusterIP, a balancer's address and a node port. */
struct triple {
    struct frontend f[3];
};

static struct triple triple(const struct dataplane_endpoint *e, size_t n, uint32_t seconds)
{
    struct triple t = {{fe("10.96.0.20", AF_INET, IPPROTO_TCP, 80, DATAPLANE_CLUSTER, e, n),
                        fe("203.0.113.20", AF_INET, IPPROTO_TCP, 80, DATAPLANE_EXTERNAL, e, n),
                        fe(NULL, AF_INET, IPPROTO_TCP, 30090, DATAPLANE_EXTERNAL, e, n)}};
    for (int i = 0; i < 3; i++) {
        t.f[i].affinity_s = seconds;
        t.f[i].affinity_group = t.f[0].key;
    }
    return t;
}

static char asked(int from, const char *ip, uint16_t port)
{
    struct request q = {.port = port, .proto = IPPROTO_TCP};
    snprintf(q.ip, sizeof(q.ip), "%s", ip);
    struct answer a = ask_from(from, &q);
    if (!strchr(a.text, ':'))
        fail_msg("%s:%u: %s", ip, port, a.text);
    return a.text[0];
}

static void assert_sticky(int from, char to)
{
    for (int i = 0; i < MANY / 3; i++) {
        assert_int_equal(asked(from, "10.96.0.20", 80), to);
        assert_int_equal(asked(from, "203.0.113.20", 80), to);
        assert_int_equal(asked(from, "198.51.100.1", 30090), to);
    }
}

static bool spreads(int from, const char *ip, uint16_t port)
{
    char first = asked(from, ip, port);
    for (int i = 0; i < MANY; i++)
        if (asked(from, ip, port) != first)
            return true;
    return false;
}

static void test_row_33_a_client_stays_whichever_address_it_uses(void **state)
{
    struct dataplane_endpoint e[2] = {ep("10.244.1.2", 8080), ep("10.244.2.2", 8080)};
    struct triple t = triple(e, 2, 10800);
    (void)state;
    apply(t.f, 3, true);
    assert_sticky(OUTSIDE, asked(OUTSIDE, "203.0.113.20", 80));
    assert_sticky(POD_B, asked(POD_B, "10.96.0.20", 80));
    t = triple(e, 2,
               0); /* switched off, and on again: it is the old endpoint or another, for good */
    apply(t.f, 3, false);
    assert_true(spreads(OUTSIDE, "203.0.113.20", 80));
    assert_true(spreads(OUTSIDE, "198.51.100.1", 30090));
    t = triple(e, 2, 60);
    apply(t.f, 3, false);
    assert_sticky(OUTSIDE, asked(OUTSIDE, "198.51.100.1", 30090));
    t = triple(e, 2, 61); /* another timeout */
    apply(t.f, 3, false);
    assert_sticky(OUTSIDE, asked(OUTSIDE, "10.96.0.20", 80));
}

/* It ends with the endpoint, at once, and only for its clients. */
static void test_row_33_ends_when_the_endpoint_is_not_usable(void **state)
{
    struct dataplane_endpoint all[3] = {ep("10.244.1.2", 8080), ep("10.244.2.2", 8080),
                                        ep("198.51.100.2", 8080)};
    struct triple t = triple(all, 2, 10800);
    (void)state;
    apply(NULL, 0, true);
    apply(t.f, 3, false);
    char had = asked(POD_B, "10.96.0.20", 80);
    assert_sticky(POD_B, had);
    t = triple(all, 3, 10800); /* one more: nobody moves */
    apply(t.f, 3, false);
    assert_sticky(POD_B, had);
    struct dataplane_endpoint without[2] = {had == 'a' ? all[1] : all[0], all[2]};
    t = triple(without, 2, 10800);
    apply(t.f, 3, false);
    char has = asked(POD_B, "203.0.113.20", 80);
    assert_int_not_equal(has, had);
    assert_sticky(POD_B, has);
    t = triple(all, 3, 10800); /* its first one comes back: it stays with the second */
    apply(t.f, 3, false);
    assert_sticky(POD_B, has);
    /* Others go, and the last index with them: it stays. */
    struct dataplane_endpoint only[1] = {has == 'o' ? all[2] : has == 'a' ? all[0] : all[1]};
    t = triple(only, 1, 10800);
    apply(t.f, 3, false);
    assert_sticky(POD_B, has);
    t = triple(all, 3, 10800);
    apply(t.f, 3, false);
    assert_sticky(POD_B, has);
}

/* Each scope keeps to its own endpoints, also when the policy is switched under a client. */
static void test_rows_22_33_local_scope(void **state)
{
    struct dataplane_endpoint all[3] = {ep("10.244.1.2", 8080), ep("10.244.2.2", 8080),
                                        ep("198.51.100.2", 8080)};
    struct triple t = triple(all + 2, 1, 10800);
    (void)state;
    apply(t.f, 3, true);
    assert_sticky(POD_B, 'o');
    t = triple(all, 3, 10800);
    for (int i = 0; i < 3; i++) {
        t.f[i].policy = i ? DATAPLANE_EXTERNAL_LOCAL : DATAPLANE_CLUSTER_LOCAL;
        t.f[i].local = all;
        t.f[i].n_local = 2;
    }
    apply(t.f, 3, false);
    char near = asked(OUTSIDE, "203.0.113.20", 80);
    assert_true(near == 'a' || near == 'b');
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(asked(OUTSIDE, "203.0.113.20", 80), near);
        assert_int_equal(asked(OUTSIDE, "198.51.100.1", 30090), near);
    }
    near = asked(POD_B, "10.96.0.20", 80);
    assert_true(near == 'a' || near == 'b');
    for (int i = 0; i < MANY; i++)
        assert_int_equal(asked(POD_B, "10.96.0.20", 80), near);
}

static void test_rows_11_33_ipv6_and_udp(void **state)
{
    struct dataplane_endpoint e6[2] = {ep("fd44:1::2", 8080), ep("fd44:2::2", 8080)},
                              u[2] = {ep("10.244.1.2", 9000), ep("10.244.2.2", 9000)};
    struct frontend f[2] = {fe("fd96::20", AF_INET6, IPPROTO_TCP, 80, DATAPLANE_CLUSTER, e6, 2),
                            fe("10.96.0.21", AF_INET, IPPROTO_UDP, 53, DATAPLANE_CLUSTER, u, 2)};
    struct request q = {.ip = "10.96.0.21", .port = 53, .proto = IPPROTO_UDP};
    (void)state;
    for (int i = 0; i < 2; i++) {
        f[i].affinity_s = 10800;
        f[i].affinity_group = f[i].key;
    }
    apply(f, 2, true);
    char first = 0;
    for (int tries = 0; tries < 40 && (first != 'a' && first != 'b'); tries++) {
        struct request six = {.ip = "fd96::20", .port = 80, .proto = IPPROTO_TCP};
        first = ask_from(OUTSIDE, &six).text[0]; /* neighbours of a fresh link take a while */
    }
    for (int i = 0; i < MANY; i++)
        assert_int_equal(asked(OUTSIDE, "fd96::20", 80), first);
    first = ask_from(OUTSIDE, &q).text[0];
    assert_true(first == 'a' || first == 'b');
    for (int i = 0; i < MANY; i++)
        assert_int_equal(ask_from(OUTSIDE, &q).text[0], first);
}

/* The longest remaining life of a client that is remembered, in ms; -1: none is. */
static long remembered_ms(void)
{
    char line[512];
    long longest = -1;
    FILE *p = popen("nft list map ip fairlead clients 2>&1", "r");
    assert_non_null(p);
    while (fgets(line, sizeof(line), p)) {
        char *at = strstr(line, "expires ");
        if (!at)
            continue;
        long ms = 0;
        for (at += 8; *at >= '0' && *at <= '9';) {
            long n = strtol(at, &at, 10);
            long unit = strncmp(at, "ms", 2) == 0 ? 1 : *at == 's' ? 1000 : *at == 'm' ? 60000 : 0;
            ms += n * unit;
            at += strncmp(at, "ms", 2) == 0 ? 2 : 1;
        }
        longest = MAX(longest, ms);
    }
    pclose(p);
    return longest;
}

/* Remembered for so long after the last connection, not the first. */
static void test_row_33_timeout_slides(void **state)
{
    struct dataplane_endpoint e[2] = {ep("10.244.1.2", 8080), ep("10.244.2.2", 8080)};
    struct triple t = triple(e, 2, 100);
    (void)state;
    if (system("command -v nft >/dev/null") != 0)
        skip();
    backend->ops->free(backend);
    struct err err = {0};
    assert_int_equal(nftables_cleanup(&err), 0); /* nobody is remembered */
    assert_int_equal(nftables_open(&config, &backend, &err), 0);
    apply(t.f, 3, true);
    asked(OUTSIDE, "10.96.0.20", 80);
    long first = remembered_ms(), left = first;
    assert_in_range(first, 90000, 100000);
    for (int i = 0; i < 1000 && left > first - 60; i++)
        left = remembered_ms();
    assert_true(left <= first - 60);
    uint64_t start = time_mono_ms(); /* what is left and what passed since are the whole again */
    asked(OUTSIDE, "203.0.113.20", 80);
    left = remembered_ms();
    assert_true(left + (long)(time_mono_ms() - start) >= 100000 - 30);
    t = triple(e, 2, 200); /* from the next connection on */
    apply(t.f, 3, false);
    asked(OUTSIDE, "10.96.0.20", 80);
    assert_in_range(remembered_ms(), 100001, 200000);
}

static void test_rows_33_47_restart_keeps_it(void **state)
{
    struct dataplane_endpoint all[3] = {ep("10.244.1.2", 8080), ep("10.244.2.2", 8080),
                                        ep("198.51.100.2", 8080)};
    struct triple t = triple(all, 3, 500);
    struct dataplane_counters c;
    struct err e = {0};
    (void)state;
    t.f[1].policy = DATAPLANE_EXTERNAL_LOCAL;
    t.f[1].local = all;
    t.f[1].n_local = 2;
    apply(t.f, 3, true);
    char had = asked(POD_B, "10.96.0.20", 80);
    for (int round = 0; round < 2; round++) {
        backend->ops->free(backend);
        assert_int_equal(asked(POD_B, "10.96.0.20", 80), had);
        assert_int_equal(nftables_open(&config, &backend, &e), 0);
        apply(t.f, 3, true);
        backend->ops->counters(backend, &c);
        assert_int_equal(c.elements_added + c.elements_removed, 0);
        for (int i = 0; i < MANY; i++)
            assert_int_equal(asked(POD_B, "10.96.0.20", 80), had);
    }
    assert_int_equal(system("command -v nft >/dev/null || exit 0; nft list ruleset >/dev/null"), 0);
    /* Torn by somebody: put right. */
    if (system("nft delete element ip fairlead numbers '{ 10.96.0.20 . tcp . 80 . 1 }' "
               "2>/dev/null") == 0) {
        backend->ops->free(backend);
        assert_int_equal(nftables_open(&config, &backend, &e), 0);
        apply(t.f, 3, true);
        assert_sticky(POD_B, asked(POD_B, "10.96.0.20", 80));
    }
}

static char asked_by(uint32_t client)
{
    struct request q = {.ip = "10.96.0.20", .port = 80, .proto = IPPROTO_TCP};
    snprintf(q.src, sizeof(q.src), "100.%u.%u.%u", 64 + (client >> 16), client >> 8 & 255,
             client & 255);
    struct answer a = ask_from(OUTSIDE, &q);
    if (!strchr(a.text, ':'))
        fail_msg("client %s: %s", q.src, a.text);
    return a.text[0];
}

static uint64_t forgotten(void)
{
    struct dataplane_counters c;
    backend->ops->settle(backend);
    backend->ops->counters(backend, &c);
    assert_true(c.sampled);
    assert_int_equal(c.clients_forgotten[1], 0);
    return c.clients_forgotten[0];
}

/* The kernel's map of clients has a size. Whom it does not take is served like without affinity,
 * and counted; those it has stay; changes of Services have nothing to do with it.
 * AFFINITY_CLIENTS=200000: with the size it has in earnest and so many clients. */
static void test_row_33_more_clients_than_are_remembered(void **state)
{
    const char *many = getenv("AFFINITY_CLIENTS");
    const uint32_t room = many ? DATAPLANE_CLIENTS_MAX : 8,
                   clients = many ? (uint32_t)atoi(many) : 40;
    enum { KNOWN = 8 };
    static const struct prefix clients_are[1] = {{{AF_INET, {100, 64}}, 10}};
    /* Not masqueraded, or the node would run out of ports. */
    struct dataplane_config small = {.cluster_cidrs = clients_are, .n_cluster_cidrs = 1};
    struct dataplane_endpoint e[2] = {ep("10.244.1.2", 8080), ep("10.244.2.2", 8080)};
    struct triple t = triple(e, 2, 10800);
    struct err err = {0};
    char had[KNOWN];
    (void)state;
    backend->ops->free(backend);
    assert_int_equal(nftables_cleanup(&err), 0);
    small.clients_max = room;
    assert_int_equal(nftables_open(&small, &backend, &err), 0);
    apply(t.f, 3, true);
    for (uint32_t i = 0; i < clients; i++) {
        char to = asked_by(i + 1);
        if (i < KNOWN)
            had[i] = to;
    }
    assert_int_equal(forgotten(), clients - room);
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0; i < KNOWN; i++)
            assert_int_equal(asked_by(i + 1), had[i]);
    assert_int_equal(forgotten(), clients - room);
    /* Changes while it is full; a repair reads it all back. */
    t = triple(e, 1, 10800);
    apply(t.f, 3, false);
    for (uint32_t i = 0; i < 40; i++) /* the table of connections has a size, too */
        assert_int_equal(asked_by(i + 1), 'a');
    t = triple(e, 2, 1);
    apply(t.f, 3, false);
    uint64_t before = forgotten();
    assert_true(before > clients - room);
    backend->ops->free(backend);
    assert_int_equal(nftables_open(&small, &backend, &err), 0);
    apply(t.f, 3, true);
    /* Room again when the kernel has collected what expired: nobody is forgotten any more. In a new
     * table, for the one that is there is full for three hours, once those that were taken out have
     * been collected and others have their room. */
    backend->ops->free(backend);
    assert_int_equal(nftables_cleanup(&err), 0);
    assert_int_equal(nftables_open(&small, &backend, &err), 0);
    apply(t.f, 3, true);
    for (uint32_t i = 0; i < clients; i++)
        asked_by(i + 1);
    uint64_t end = time_mono_us() + 20 * 1000 * 1000;
    uint32_t client = clients;
    do {
        before = forgotten();
        asked_by(++client);
    } while (forgotten() != before && time_mono_us() < end);
    assert_int_equal(forgotten(), before);
    backend->ops->free(backend);
    assert_int_equal(nftables_cleanup(&err), 0);
    assert_int_equal(nftables_open(&config, &backend, &err), 0);
}

/* ---- books ---- */

static void count_pin(bool add, enum endpoint_scope scope, uint32_t number,
                      const struct dataplane_endpoint *e, void *user)
{
    int *pins = user;
    (void)number;
    (void)e;
    pins[scope] += add ? 1 : -1;
}

static void test_row_33_books(void **state)
{
    struct affinity_book *b = NEW(struct affinity_book);
    struct frontend_key k = {.family = AF_INET, .proto = IPPROTO_TCP, .port = 80}, other = k;
    struct dataplane_endpoint e[3] = {{.port = 1}, {.port = 2}, {.port = 3}};
    int pins[_SCOPE_MAX] = {0};
    (void)state;
    other.port = 81;
    struct affinity_group *g = affinity_group_get(b, &k, 1);
    assert_ptr_equal(affinity_group_get(b, &k, 1), g); /* two frontends of one service port */
    assert_ptr_not_equal(affinity_group_get(b, &other, 1), g);
    assert_ptr_not_equal(affinity_group_get(b, &k, 2), g);
    uint32_t n[3];
    for (int i = 0; i < 3; i++) {
        n[i] = affinity_endpoint_ref(g, SCOPE_CLUSTER, &e[i]);
        assert_int_equal(affinity_class(n[i]), 1);
        assert_int_equal(affinity_endpoint_ref(g, SCOPE_CLUSTER, &e[i]), n[i]);
    }
    affinity_endpoint_ref(g, SCOPE_LOCAL, &e[1]);
    affinity_group_sweep(g, count_pin, pins);
    assert_int_equal(pins[SCOPE_CLUSTER], 3);
    assert_int_equal(pins[SCOPE_LOCAL], 1);
    affinity_endpoint_unref(g, SCOPE_CLUSTER, &e[0]); /* one frontend still chooses it */
    affinity_group_sweep(g, count_pin, pins);
    assert_int_equal(pins[SCOPE_CLUSTER], 3);
    affinity_endpoint_unref(g, SCOPE_CLUSTER, &e[0]);
    assert_int_equal(affinity_endpoint_ref(g, SCOPE_CLUSTER, &e[0]), n[0]); /* moved: keeps it */
    affinity_endpoint_unref(g, SCOPE_CLUSTER, &e[0]);
    affinity_group_sweep(g, count_pin, pins);
    assert_int_equal(pins[SCOPE_CLUSTER], 2);
    assert_int_equal(affinity_endpoint_number(g, &e[0]), 0);
    struct dataplane_endpoint fresh = {.port = 9};
    assert_int_equal(affinity_endpoint_ref(g, SCOPE_CLUSTER, &fresh), n[0]); /* a free slot */
    /* What the kernel says must agree with itself. */
    assert_false(affinity_endpoint_adopt(g, SCOPE_CLUSTER, n[1], &e[2]));
    assert_false(
        affinity_endpoint_adopt(g, SCOPE_CLUSTER, n[1] ^ 1u << AFFINITY_GROUP_SHIFT, &e[1]));
    struct dataplane_endpoint stranger = {.port = 7}; /* not known, but the slot is taken */
    assert_false(affinity_endpoint_adopt(g, SCOPE_CLUSTER, n[1], &stranger));
    assert_int_equal(affinity_endpoint_number(g, &stranger), 0);
    assert_int_equal(affinity_endpoint_number(g, &e[1]), n[1]);
    assert_false(affinity_pin_adopt(b, SCOPE_CLUSTER, n[1], &e[2]));
    assert_null(affinity_group_adopt(b, 0));
    assert_null(affinity_group_adopt(b, g->number | 1));
    /* Slots that were empty when a group was found are used before new ones. */
    struct affinity_group *found =
        affinity_group_adopt(b, 3u << AFFINITY_CLASS_SHIFT | 77u << AFFINITY_GROUP_SHIFT);
    assert_non_null(found);
    assert_true(affinity_endpoint_adopt(found, SCOPE_CLUSTER, found->number | 3, &e[0]));
    uint32_t seen = 0;
    for (int i = 1; i < 3; i++)
        seen |= 1u << (affinity_endpoint_ref(found, SCOPE_CLUSTER, &e[i]) & AFFINITY_SLOT_MASK);
    assert_int_equal(seen, 1 << 1 | 1 << 2);
    affinity_book_done(b);
    for (uint32_t i = 0; i < AFFINITY_GROUPS_MAX; i++) {
        struct frontend_key x = k;
        memcpy(x.ip, &i, sizeof(i));
        assert_non_null(affinity_group_get(b, &x, 1));
    }
    assert_null(affinity_group_get(b, &other, 1)); /* too many: without affinity */
    affinity_book_done(b);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_33_books),
        cmocka_unit_test(test_row_33_a_client_stays_whichever_address_it_uses),
        cmocka_unit_test(test_row_33_ends_when_the_endpoint_is_not_usable),
        cmocka_unit_test(test_rows_22_33_local_scope),
        cmocka_unit_test(test_rows_11_33_ipv6_and_udp),
        cmocka_unit_test(test_rows_33_47_restart_keeps_it),
        cmocka_unit_test(test_row_33_timeout_slides),
        cmocka_unit_test(test_row_33_more_clients_than_are_remembered),
    };
    if (geteuid() != 0 || system("command -v ip >/dev/null") != 0 || !network_up()) {
        fprintf(stderr, "skipped: needs root, ip(8) and network namespaces\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, install, remove_all);
}
