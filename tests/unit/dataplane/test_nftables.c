/* The nftables backend against the kernel, in a network namespace of its own (skipped where that is
 * not allowed): elements, classes, take-over after a restart, repair after deletion, and what
 * nft(8) says to it. Rows named are those of src/agent/README.md. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>

#include "dataplane/dataplane.h"
#include "test.h"

static struct dataplane *backend_open(void)
{
    static const struct prefix pods[2] = {{{AF_INET, {10, 244}}, 16},
                                          {{AF_INET6, {0xfd, 0x44}}, 56}};
    struct dataplane_config c = {.cluster_cidrs = pods, .n_cluster_cidrs = 2};
    struct dataplane *d;
    struct err e = {0};
    if (nftables_open(&c, &d, &e) < 0)
        fail_msg("%s", err_text(&e));
    return d;
}

static struct frontend_key key_v4(uint8_t last, uint16_t port)
{
    return (struct frontend_key){
        .family = AF_INET, .proto = IPPROTO_TCP, .port = port, .ip = {10, 96, 0, last}};
}

static void endpoints_fill(struct dataplane_endpoint *e, uint8_t first, size_t n)
{
    for (size_t i = 0; i < n; i++)
        e[i] = (struct dataplane_endpoint){.ip = {10, 244, 1, (uint8_t)(first + i)}, .port = 8080};
}

static void apply(struct dataplane *d, bool full, const struct frontend *f, size_t n)
{
    struct err e = {0};
    struct dataplane_delta delta = {.full = full, .frontends = f, .n_frontends = n};
    if (d->ops->apply(d, &delta, &e) < 0)
        fail_msg("%s", err_text(&e));
    d->ops->settle(d);
}

/* nft exits 0, says nothing on stderr, and its text holds the words. */
static void assert_listed(const char *words)
{
    char line[512];
    bool found = false, other = false;
    FILE *p = popen(
        "command -v nft >/dev/null || { echo SKIP; exit; }; nft list ruleset 2>&1; echo status $?",
        "r");
    assert_non_null(p);
    while (fgets(line, sizeof(line), p)) {
        found = found || strstr(line, words) || strstr(line, "SKIP");
        other = other || strstr(line, "rror") || strstr(line, "bort") || strstr(line, "warning") ||
                (strstr(line, "status") && !strstr(line, "status 0") && !strstr(line, "ct status"));
        if (other)
            print_error("%s", line);
    }
    pclose(p);
    assert_false(other);
    if (!found)
        fail_msg("nft does not list: %s", words);
}

static void assert_dump_is(struct dataplane *d, const char *want)
{
    struct buf b = {0};
    d->ops->dump(d, &b);
    assert_string_equal(buf_cstr(&b), want);
    buf_done(&b);
}

static uint64_t transactions(struct dataplane *d)
{
    struct dataplane_counters c;
    d->ops->counters(d, &c);
    return c.transactions;
}

static void test_frontends_come_and_go(void **state)
{
    (void)state;
    struct dataplane *d = backend_open();
    struct dataplane_endpoint e[5];
    endpoints_fill(e, 1, 5);
    struct frontend f = {
        .key = key_v4(1, 80), .policy = DATAPLANE_CLUSTER, .endpoints = e, .n_endpoints = 5};
    apply(d, true, &f, 1);
    assert_listed("10.96.0.1 . tcp . 80");
    assert_listed("numgen random mod 5");
    assert_listed("10.244.1.5 . 8080");
    f.n_endpoints = 2;
    f.endpoints = e + 2;
    apply(d, false, &f, 1);
    assert_dump_is(
        d,
        "2 10.96.0.1 6/80 policy 1: 10.244.1.3 8080\n2 10.96.0.1 6/80 policy 1: 10.244.1.4 8080\n");
    f.removed = true;
    apply(d, false, &f, 1);
    assert_dump_is(d, "");
    d->ops->free(d);
}

static void test_rows_3_4_8_11_keys_and_ports(void **state)
{
    (void)state;
    struct dataplane *d = backend_open();
    struct dataplane_endpoint e[2] = {{.ip = {10, 244, 1, 1}, .port = 80},
                                      {.ip = {10, 244, 1, 1}, .port = 81}};
    struct dataplane_endpoint e6 = {.ip = {0xfd, 0x44, [15] = 9}, .port = 9090};
    struct frontend f[4] = {
        {.key = key_v4(2, 53), .policy = DATAPLANE_CLUSTER, .endpoints = e, .n_endpoints = 2},
        {.key = key_v4(2, 53), .policy = DATAPLANE_CLUSTER, .endpoints = e, .n_endpoints = 1},
        {.key =
             {.family = AF_INET6, .proto = IPPROTO_SCTP, .port = 9, .ip = {0xfd, 0x96, [15] = 1}},
         .policy = DATAPLANE_EXTERNAL,
         .endpoints = &e6,
         .n_endpoints = 1},
        {.key = {.family = AF_INET6, .node_port = 1, .proto = IPPROTO_TCP, .port = 30080},
         .policy = DATAPLANE_EXTERNAL,
         .endpoints = &e6,
         .n_endpoints = 1},
    };
    f[1].key.proto = IPPROTO_UDP;
    apply(d, true, f, 4);
    assert_listed("10.96.0.2 . tcp . 53 . 0x00000001 : 10.244.1.1 . 81");
    assert_listed("10.96.0.2 . udp . 53 . 0x00000000 : 10.244.1.1 . 80");
    assert_listed("fd96::1 . sctp . 9 . 0x00000000 : fd44::9 . 9090");
    assert_listed("tcp . 30080 . 0x00000000 : fd44::9 . 9090");
    apply(d, true, NULL, 0);
    assert_dump_is(d, "");
    d->ops->free(d);
}

static void test_row_47_restart_sends_the_difference(void **state)
{
    (void)state;
    struct dataplane *d = backend_open();
    struct dataplane_endpoint e[8];
    struct frontend f[3];
    endpoints_fill(e, 1, 8);
    for (uint8_t i = 0; i < 3; i++)
        f[i] = (struct frontend){.key = key_v4((uint8_t)(10 + i), 80),
                                 .policy = DATAPLANE_CLUSTER,
                                 .endpoints = e,
                                 .n_endpoints = 3u + i};
    apply(d, true, f, 3);
    d->ops->free(d);

    struct dataplane_counters c;
    d = backend_open();
    apply(d, true, f, 3);
    d->ops->counters(d, &c);
    assert_int_equal(c.elements_added + c.elements_removed, 0);
    assert_int_equal(c.frontends, 3);
    d->ops->free(d);

    d = backend_open();
    f[1].n_endpoints = 3;
    apply(d, true, f, 2);
    d->ops->counters(d, &c);
    assert_int_equal(c.frontends, 2);
    assert_true(c.elements_removed > 0 && c.elements_removed < 10);
    apply(d, true, NULL, 0);
    d->ops->free(d);
}

static void test_row_47_elements_deleted_by_others_return(void **state)
{
    (void)state;
    struct dataplane *d = backend_open();
    struct dataplane_endpoint e[3];
    endpoints_fill(e, 1, 3);
    struct frontend f = {
        .key = key_v4(20, 80), .policy = DATAPLANE_CLUSTER, .endpoints = e, .n_endpoints = 3};
    apply(d, true, &f, 1);
    d->ops->free(d);
    if (system("nft delete element ip fairlead endpoints '{ 10.96.0.20 . tcp . 80 . 1 }' "
               "2>/dev/null") != 0)
        skip();
    d = backend_open();
    apply(d, true, &f, 1);
    assert_listed("10.96.0.20 . tcp . 80 . 0x00000001 : 10.244.1.2");
    apply(d, true, NULL, 0);
    d->ops->free(d);
}

/* A restart reads the endpoints it knows of by key. One that somebody else has put into our way is
 * found once its place is wanted. */
static void test_row_47_elements_added_by_others_go_when_they_are_in_the_way(void **state)
{
    (void)state;
    struct dataplane *d = backend_open();
    struct dataplane_counters c;
    struct dataplane_endpoint e[3];
    endpoints_fill(e, 1, 3);
    struct frontend f = {
        .key = key_v4(20, 80), .policy = DATAPLANE_CLUSTER, .endpoints = e, .n_endpoints = 2};
    apply(d, true, &f, 1);
    d->ops->free(d);
    if (system(
            "nft add element ip fairlead endpoints '{ 10.96.0.20 . tcp . 80 . 2 : 1.2.3.4 . 5 }' "
            "2>/dev/null") != 0)
        skip();
    d = backend_open();
    apply(d, true, &f, 1);
    assert_listed("1.2.3.4 . 5");
    f.n_endpoints = 3;
    apply(d, true, &f, 1);
    d->ops->counters(d, &c);
    assert_int_equal(c.repairs, 1);
    assert_listed("10.96.0.20 . tcp . 80 . 0x00000002 : 10.244.1.3");
    apply(d, true, NULL, 0);
    d->ops->free(d);
}

/* Elements of traffic policy Local: listed, taken over without a change, put back when torn. */
static void test_rows_22_47_local_endpoints_are_taken_over(void **state)
{
    (void)state;
    struct dataplane *d = backend_open();
    struct dataplane_endpoint e[4];
    struct dataplane_counters c;
    endpoints_fill(e, 1, 4);
    struct frontend f[2] = {
        {.key = key_v4(60, 80),
         .policy = DATAPLANE_EXTERNAL_LOCAL,
         .endpoints = e,
         .n_endpoints = 4,
         .local = e + 2,
         .n_local = 2},
        {.key = {.family = AF_INET, .node_port = 1, .proto = IPPROTO_TCP, .port = 30060},
         .policy = DATAPLANE_EXTERNAL_LOCAL,
         .endpoints = e,
         .n_endpoints = 4,
         .local = e,
         .n_local = 1}};
    apply(d, true, f, 2);
    assert_listed("10.96.0.60 . tcp . 80 . 0x00008001 : 10.244.1.4 . 8080");
    assert_listed("tcp . 30060 . 0x00008000 : 10.244.1.1 . 8080");
    assert_listed("numgen random mod 2 offset 32768");
    assert_listed("chain local-endpoints-1 {");
    d->ops->free(d);
    for (int round = 0; round < 2; round++) {
        if (round && system("nft delete element ip fairlead local-services '{ 10.96.0.60 . tcp . "
                            "80 }' 2>/dev/null") != 0)
            skip();
        d = backend_open();
        apply(d, true, f, 2);
        d->ops->counters(d, &c);
        assert_int_equal(c.elements_added > 0, round);
        assert_listed("10.96.0.60 . tcp . 80 : 0x00008002");
        assert_int_equal(c.failures, 0);
        d->ops->free(d);
    }
    d = backend_open();
    f[0].policy = DATAPLANE_EXTERNAL; /* switched: nothing of it stays */
    f[1].removed = true;
    apply(d, false, f, 2);
    assert_dump_is(d, "2 10.96.0.60 6/80 policy 2: 10.244.1.1 8080\n"
                      "2 10.96.0.60 6/80 policy 2: 10.244.1.2 8080\n"
                      "2 10.96.0.60 6/80 policy 2: 10.244.1.3 8080\n"
                      "2 10.96.0.60 6/80 policy 2: 10.244.1.4 8080\n");
    d->ops->free(d);
    d = backend_open();
    apply(d, true, NULL, 0);
    d->ops->free(d);
}

static void test_rows_21_47_source_ranges_are_taken_over(void **state)
{
    static const struct prefix v4[3] = {{{AF_INET, {10}}, 8},
                                        {{AF_INET, {192, 0, 2, 64}}, 27},
                                        {{AF_INET, {198, 51, 100, 7}}, 32}},
                               v6[2] = {{{AF_INET6, {0xfd}}, 9}, {{AF_INET6, {0}}, 1}};
    (void)state;
    struct dataplane *d = backend_open();
    struct dataplane_endpoint e[1], e6 = {.ip = {0xfd, 0x44, [15] = 9}, .port = 9090};
    struct dataplane_counters c;
    endpoints_fill(e, 1, 1);
    struct frontend f[2] = {
        {.key = key_v4(70, 80),
         .policy = DATAPLANE_EXTERNAL,
         .endpoints = e,
         .n_endpoints = 1,
         .restricted = true,
         .sources = v4,
         .n_sources = 3},
        {.key = {.family = AF_INET6, .proto = IPPROTO_TCP, .port = 80, .ip = {0xfd, [15] = 1}},
         .policy = DATAPLANE_EXTERNAL,
         .endpoints = &e6,
         .n_endpoints = 1,
         .restricted = true,
         .sources = v6,
         .n_sources = 2}};
    apply(d, true, f, 2);
    assert_listed("10.96.0.70 . tcp . 80 . 10.0.0.0/8");
    assert_listed("10.96.0.70 . tcp . 80 . 192.0.2.64/27");
    assert_listed("10.96.0.70 . tcp . 80 . 198.51.100.7");
    assert_listed("fd00::1 . tcp . 80 . fd00::/9");
    assert_listed("fd00::1 . tcp . 80 . ::/1");
    assert_listed("10.96.0.70 . tcp . 80 : 0x01020001");
    d->ops->free(d);
    d = backend_open();
    apply(d, true, f, 2);
    d->ops->counters(d, &c);
    assert_int_equal(c.elements_added + c.elements_removed, 0);
    assert_int_equal(c.failures, 0);
    f[0].restricted = f[1].restricted = false;
    apply(d, true, f, 2);
    d->ops->counters(d, &c);
    assert_int_equal(c.elements_removed, 5 + 2); /* ranges and values */
    assert_listed("10.96.0.70 . tcp . 80 : 0x00020001");
    apply(d, true, NULL, 0);
    d->ops->free(d);
}

static void test_deleted_table_is_repaired(void **state)
{
    (void)state;
    struct dataplane *d = backend_open();
    struct dataplane_endpoint e[3];
    struct err err = {0};
    endpoints_fill(e, 1, 3);
    struct frontend f = {
        .key = key_v4(30, 80), .policy = DATAPLANE_CLUSTER, .endpoints = e, .n_endpoints = 3};
    apply(d, true, &f, 1);
    struct pollfd watch = {.fd = d->ops->watch_fd(d), .events = POLLIN};
    assert_int_equal(poll(&watch, 1, 0), 0); /* what we did ourselves wakes nobody */
    assert_int_equal(d->ops->repair(d, &err), 0);
    assert_int_equal(nftables_cleanup(&err), 0);
    assert_int_equal(poll(&watch, 1, 1000), 1);
    assert_int_equal(d->ops->repair(d, &err), 1);
    assert_listed("10.96.0.30 . tcp . 80 . 0x00000002 : 10.244.1.3");
    assert_listed("hook prerouting");
    /* Deleted and not noticed yet: the next change fails, and all is put right within the call. */
    assert_int_equal(nftables_cleanup(&err), 0);
    f.n_endpoints = 2;
    apply(d, false, &f, 1);
    assert_listed("10.96.0.30 . tcp . 80 . 0x00000001 : 10.244.1.2");
    apply(d, true, NULL, 0);
    d->ops->free(d);
}

/* ---- what others do to the table of a running agent ---- */

/* Everything that may be listed, without handles and counters: an element a line, sorted, since the
 * kernel's own order is by chance. */
static void listing(struct buf *out)
{
    char line[512];
    FILE *p = popen("nft -s list ruleset 2>&1 | sed 's/elements = {//; s/, */\\n/g' |"
                    " sed 's/^[ \\t]*//; s/[ \\t}]*$//' | sort",
                    "r");
    assert_non_null(p);
    buf_clear(out);
    while (fgets(line, sizeof(line), p))
        buf_add_cstr(out, line);
    pclose(p);
}

static struct dataplane *tampered_world(struct frontend f[4], struct dataplane_endpoint *e)
{
    static const struct prefix office = {{AF_INET, {192, 0, 2}}, 24};
    static const struct address_change lists[2] = {
        {.list = DATAPLANE_CLUSTER_IPS, .ip = {AF_INET, {10, 96, 0, 40}}},
        {.list = DATAPLANE_LOCAL_ENDPOINTS, .ip = {AF_INET, {10, 244, 1, 1}}}};
    struct dataplane *d = backend_open();
    struct err err = {0};
    endpoints_fill(e, 1, 3);
    for (int i = 0; i < 3; i++)
        f[i] = (struct frontend){.key = key_v4((uint8_t)(40 + i), 80),
                                 .policy = DATAPLANE_CLUSTER,
                                 .endpoints = e,
                                 .n_endpoints = 3};
    f[1].affinity_s = 77;
    f[1].affinity_group = f[1].key;
    f[2].policy = DATAPLANE_EXTERNAL_LOCAL;
    f[2].local = e;
    f[2].n_local = 2;
    f[2].restricted = true;
    f[2].sources = &office;
    f[2].n_sources = 1;
    f[3] = f[0];
    f[3].key = (struct frontend_key){
        .family = AF_INET, .node_port = 1, .proto = IPPROTO_TCP, .port = 30040};
    struct dataplane_delta delta = {
        .full = true, .frontends = f, .n_frontends = 4, .addresses = lists, .n_addresses = 2};
    if (d->ops->apply(d, &delta, &err) < 0)
        fail_msg("%s", err_text(&err));
    d->ops->settle(d);
    return d;
}

/* What somebody does, in words of nft(8); what he leaves behind must be what was there before. */
static const char *const tamperings[] = {
    "delete element ip fairlead services { 10.96.0.40 . tcp . 80 }",
    "delete element ip fairlead endpoints { 10.96.0.40 . tcp . 80 . 1 }",
    "add element ip fairlead endpoints { 10.96.0.40 . tcp . 80 . 3 : 1.2.3.4 . 5 }",
    "add element ip fairlead services { 10.9.9.9 . tcp . 80 : 0x00010001 }",
    "delete element ip fairlead endpoints { 10.96.0.40 . tcp . 80 . 0 };"
    "add element ip fairlead endpoints { 10.96.0.40 . tcp . 80 . 0 : 1.2.3.4 . 5 }",
    "delete element ip fairlead local-services { 10.96.0.42 . tcp . 80 }",
    "delete element ip fairlead node-ports { tcp . 30040 }",
    "delete element ip fairlead cluster-ips { 10.96.0.40 }",
    "add element ip fairlead local-endpoints { 1.2.3.4 . 1.2.3.4 }",
    "delete element ip fairlead source-ranges { 10.96.0.42 . tcp . 80 . 192.0.2.0/24 }",
    "add element ip fairlead source-ranges { 10.96.0.42 . tcp . 80 . 198.51.100.0/24 }",
    "delete element ip fairlead affinity { 10.96.0.41 . tcp . 80 }",
    "flush map ip fairlead numbers",
    "flush map ip fairlead pinned",
    "flush map ip fairlead seconds",
    "flush map ip fairlead endpoints",
    "flush map ip fairlead counts",
    "flush map ip fairlead policies",
    "delete element ip fairlead policies { 0x00010000 };"
    "add element ip fairlead policies { 0x00010000 : jump policy-external }",
    "flush chain ip fairlead dispatch",
    "flush chain ip fairlead endpoints-3",
    "flush chain ip6 fairlead nat-prerouting",
    "insert rule ip fairlead service drop",
    "add rule ip fairlead timeout-1 drop",
    "flush table ip fairlead",
    "chain ip fairlead filter-forward { policy drop; }",
    "add table ip fairlead { flags dormant; }",
    "add chain ip fairlead theirs { type filter hook forward priority 5; policy drop; }",
    "add set ip fairlead their-set { type ipv4_addr; };"
    "add chain ip fairlead theirs; add chain ip fairlead theirs2;"
    "add rule ip fairlead theirs2 ip saddr @their-set jump theirs;"
    "add rule ip fairlead dispatch jump theirs2",
    "add map ip fairlead their-map { type mark : verdict; }; add chain ip fairlead theirs;"
    "add element ip fairlead their-map { 1 : jump theirs };"
    "add element ip fairlead counts { 0x00000063 : jump theirs }",
    "flush table ip fairlead; flush map ip fairlead counts; delete map ip fairlead endpoints;"
    "delete chain ip fairlead endpoints-3",
};

static void test_row_47_what_others_change_is_put_back(void **state)
{
    (void)state;
    struct frontend f[4];
    struct dataplane_endpoint e[3];
    struct buf before = {0}, after = {0};
    if (system("command -v nft >/dev/null") != 0)
        skip();
    struct dataplane *d = tampered_world(f, e);
    struct pollfd watch = {.fd = d->ops->watch_fd(d), .events = POLLIN};
    listing(&before);
    for (size_t i = 0; i < ARRAY_LEN(tamperings); i++) {
        struct err err = {0};
        struct dataplane_counters was, now;
        AUTO_CHARS char *command = xasprintf("nft '%s'", tamperings[i]);
        d->ops->counters(d, &was);
        if (system(command) != 0)
            fail_msg("nft does not take: %s", tamperings[i]);
        listing(&after);
        if (streq(buf_cstr(&before), buf_cstr(&after)))
            fail_msg("changes nothing: %s", tamperings[i]);
        assert_int_equal(poll(&watch, 1, 1000), 1);
        if (d->ops->repair(d, &err) != 1)
            fail_msg("not repaired (%s): %s", err_text(&err), tamperings[i]);
        listing(&after);
        if (!streq(buf_cstr(&before), buf_cstr(&after))) {
            print_error("%s\n---\n%s", buf_cstr(&before), buf_cstr(&after));
            fail_msg("not as before: %s", tamperings[i]);
        }
        d->ops->counters(d, &now);
        assert_int_equal(now.repairs, was.repairs + 1);
        assert_int_equal(now.failures, was.failures);
        assert_int_equal(poll(&watch, 1, 0), 0);
    }
    buf_done(&before);
    buf_done(&after);
    apply(d, true, NULL, 0);
    d->ops->free(d);
}

/* Of no concern: other tables, and what packets or people write into the clients of affinity. */
static void test_changes_of_others_that_are_none_of_ours(void **state)
{
    (void)state;
    struct frontend f[4];
    struct dataplane_endpoint e[3];
    struct dataplane_counters was, now;
    struct err err = {0};
    struct dataplane *d = tampered_world(f, e);
    d->ops->counters(d, &was);
    if (system("nft 'add table ip other; add chain ip other fairlead;"
               "add set ip other services { type ipv4_addr; };"
               "add element ip other services { 1.2.3.4 }; delete table ip other;"
               "add element ip fairlead clients { 0x10004000 . 1.2.3.4 : 0x10004001 }'") != 0)
        skip();
    assert_int_equal(d->ops->repair(d, &err), 0);
    d->ops->counters(d, &now);
    assert_int_equal(now.transactions, was.transactions);
    assert_int_equal(now.foreign[4], was.foreign[4] + 1);
    apply(d, true, NULL, 0);
    d->ops->free(d);
}

static void test_one_change_is_one_transaction(void **state)
{
    (void)state;
    struct dataplane *d = backend_open();
    struct dataplane_endpoint e[200];
    struct dataplane_counters before, after;
    endpoints_fill(e, 1, 200);
    struct frontend f = {
        .key = key_v4(40, 80), .policy = DATAPLANE_CLUSTER, .endpoints = e, .n_endpoints = 200};
    apply(d, true, &f, 1);
    uint64_t t = transactions(d);
    d->ops->counters(d, &before);
    e[17] = e[199]; /* one endpoint gone */
    f.n_endpoints = 199;
    apply(d, false, &f, 1);
    d->ops->counters(d, &after);
    assert_int_equal(transactions(d), t + 1);
    assert_int_equal(after.elements_removed - before.elements_removed,
                     3); /* its slot, the last slot, the count */
    assert_int_equal(after.elements_added - before.elements_added, 2);
    apply(d, true, NULL, 0);
    d->ops->free(d);
}

static void test_classes_are_collected(void **state)
{
    (void)state;
    struct dataplane *d = backend_open();
    struct dataplane_endpoint e[100];
    struct dataplane_counters c;
    endpoints_fill(e, 1, 100);
    struct frontend f = {.key = key_v4(50, 80), .policy = DATAPLANE_CLUSTER, .endpoints = e};
    for (f.n_endpoints = 1; f.n_endpoints <= 100; f.n_endpoints++)
        apply(d, false, &f, 1);
    d->ops->counters(d, &c);
    assert_true(c.classes <= 18);
    assert_int_equal(c.failures, 0);
    apply(d, true, NULL, 0);
    d->ops->free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frontends_come_and_go),
        cmocka_unit_test(test_rows_3_4_8_11_keys_and_ports),
        cmocka_unit_test(test_row_47_restart_sends_the_difference),
        cmocka_unit_test(test_row_47_elements_deleted_by_others_return),
        cmocka_unit_test(test_row_47_elements_added_by_others_go_when_they_are_in_the_way),
        cmocka_unit_test(test_rows_22_47_local_endpoints_are_taken_over),
        cmocka_unit_test(test_rows_21_47_source_ranges_are_taken_over),
        cmocka_unit_test(test_deleted_table_is_repaired),
        cmocka_unit_test(test_row_47_what_others_change_is_put_back),
        cmocka_unit_test(test_changes_of_others_that_are_none_of_ours),
        cmocka_unit_test(test_one_change_is_one_transaction),
        cmocka_unit_test(test_classes_are_collected),
    };
    if (unshare(CLONE_NEWNET) < 0) {
        fprintf(stderr, "skipped: no network namespace: %s\n", strerror(errno));
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
