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
        cmocka_unit_test(test_one_change_is_one_transaction),
        cmocka_unit_test(test_classes_are_collected),
    };
    if (unshare(CLONE_NEWNET) < 0) {
        fprintf(stderr, "skipped: no network namespace: %s\n", strerror(errno));
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
