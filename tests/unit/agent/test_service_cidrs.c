/* Networks that change while the agent runs: those of pods (row 14), those of Services (row 36). */
#include "agent_world.h"

static void assert_networks(struct world *w, const char *want)
{
    AUTO_DONE(buf) struct buf b = {0};
    for (int turns = 0; turns < TURNS_MAX && (!turns || !streq(buf_cstr(&b), want)); turns++) {
        loop_turn(w->loop, 20);
        buf_clear(&b);
        fake_dataplane_dump_networks(w->backend, &b);
    }
    assert_string_equal(buf_cstr(&b), want);
}

static void put_cidr(struct world *w, const char *name, const char *cidrs)
{
    AUTO_CHARS char *text =
        xasprintf("{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"cidrs\":[%s]}}", name, cidrs);
    api_change(&w->api, CIDRS, name, text);
}

static void test_row_14_pod_cidrs_that_change(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w);
    w.node_cidr = true;
    put_node(&w, "z1", "},\"spec\":{\"podCIDRs\":[\"10.1.0.0/24\"]}}");
    world_start(&w);
    assert_until(&w, stats(&w).synced);
    assert_networks(&w, ""); /* as it was told at the start: no change */
    put_node(&w, "z1", "},\"spec\":{\"podCIDRs\":[\"fd00:2::/64\",\"10.2.0.0/24\"]}}");
    assert_networks(&w, "pods 10.2.0.0/24\npods fd00:2::/64\n");
    uint64_t before = transactions(&w);
    put_node(&w, "z2", "},\"spec\":{\"podCIDRs\":[\"10.2.0.0/24\",\"fd00:2::/64\"]}}");
    put_node(&w, "z3", ALIVE); /* none: it keeps what it had */
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
    assert_frontends(&w, "2 10.96.0.1 6/80 policy 1: none\n");
    assert_networks(&w, "pods 10.2.0.0/24\npods fd00:2::/64\n");
    assert_int_equal(transactions(&w), before + 1);
    world_end(&w);
}

static void test_row_36_service_cidrs(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w);
    w.service_cidrs = true;
    put_cidr(&w, "kubernetes", "\"10.96.0.0/16\",\"fd96::/108\"");
    world_start(&w);
    assert_networks(&w, "services 10.96.0.0/16\nservices fd96::/108\n");
    put_cidr(&w, "more", "\"10.97.0.0/16\",\"10.96.0.0/16\",\"nonsense\"");
    assert_networks(&w, "services 10.96.0.0/16\nservices 10.97.0.0/16\nservices fd96::/108\n");
    api_change(&w.api, CIDRS, "kubernetes", NULL);
    assert_networks(&w, "services 10.96.0.0/16\nservices 10.97.0.0/16\n");
    world_end(&w);
    world_begin(&w); /* switched off */
    put_cidr(&w, "kubernetes", "\"10.96.0.0/16\"");
    world_start(&w);
    assert_until(&w, stats(&w).synced);
    assert_networks(&w, "");
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_14_pod_cidrs_that_change),
        cmocka_unit_test(test_row_36_service_cidrs),
    };
    return RUN_TESTS(tests);
}
