/* What of the Node is waited for, and how it is read. Row numbers: src/agent/README.md. */
#include <stdio.h>

#include "agent/node_wait.h"
#include "api_world.h"
#include "base/vec.h"

#define NODES "/api/v1/nodes"

static const char *const steps[] = {
    "{\"metadata\":{\"name\":\"n1\"}}",
    "{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"podCIDRs\":[7,\"x\"]}}",
    "{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"podCIDRs\":[\"10.244.1.0/24\",\"fd00:1::/64\"]}}",
};

struct world {
    struct loop *loop;
    struct api_world api;
    struct loop_timer *timer;
    size_t step;
};

static void on_timer(void *user)
{
    struct world *w = user;
    api_change(&w->api, NODES, "n1", steps[w->step++]);
    if (w->step < ARRAY_LEN(steps))
        loop_timer_start(w->timer, 5);
}

static struct kube_client *world_up(struct world *w)
{
    struct kube_config kc = {.host = (char *)(uintptr_t) "127.0.0.1"};
    struct kube_client *c;
    assert_ok(loop_new(&w->loop, NULL));
    api_up(&w->api, w->loop);
    kc.port = http_server_port(w->api.server);
    assert_ok(kube_client_new(w->loop, &kc, "test", &c, NULL));
    return c;
}

static void world_down(struct world *w, struct kube_client *c)
{
    loop_timer_free(w->timer);
    kube_client_free(c);
    api_down(&w->api);
    loop_turn(w->loop, 0);
    loop_free(w->loop);
}

static void test_row_14_node_cidr_is_waited_for(void **state)
{
    struct world w = {0};
    struct node_prefixes got = {0};
    char text[PREFIX_TEXT_BYTES];
    (void)state;
    struct kube_client *c = world_up(&w);
    w.timer = loop_timer_new(w.loop, on_timer, &w);
    loop_timer_start(w.timer, 5);
    node_wait_pod_cidrs(c, "n1",
                        &got); /* no Node, one without, one with rubbish, then two networks */
    assert_int_equal(w.step, 3);
    assert_int_equal(got.n, 2);
    assert_string_equal(prefix_format(&got.v[0], text), "10.244.1.0/24");
    assert_string_equal(prefix_format(&got.v[1], text), "fd00:1::/64");
    got.n = 0;
    api_change(&w.api, NODES, "n1",
               "{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"podCIDR\":\"10.9.0.0/16\"}}");
    node_wait_pod_cidrs(c, "n1", &got);
    assert_int_equal(got.n, 1);
    vec_done(&got);
    world_down(&w, c);
}

static void test_row_16_primary_addresses(void **state)
{
    struct world w = {0};
    struct node_prefixes got = {0};
    char text[PREFIX_TEXT_BYTES];
    (void)state;
    struct kube_client *c = world_up(&w);
    vec_push(&got, ((struct prefix){{AF_INET, {192, 0, 2}}, 24})); /* what was there stays */
    api_change(
        &w.api, NODES, "n1",
        "{\"metadata\":{\"name\":\"n1\"},\"status\":{\"addresses\":[{\"type\":\"ExternalIP\","
        "\"address\":\"203.0.113.1\"},{\"type\":\"ExternalIP\",\"address\":\"fd99::1\"},{\"type\":"
        "\"Hostname\",\"address\":\"n1\"},{\"type\":\"InternalIP\",\"address\":\"10.0.0.1\"},{"
        "\"type\":\"InternalIP\",\"address\":\"10.0.0.2\"}]}}");
    node_wait_primary_ips(c, "n1", &got);
    assert_int_equal(got.n, 3);
    assert_string_equal(prefix_format(&got.v[1], text), "10.0.0.1/32");
    assert_string_equal(prefix_format(&got.v[2], text), "fd99::1/128");
    vec_done(&got);
    world_down(&w, c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_14_node_cidr_is_waited_for),
        cmocka_unit_test(test_row_16_primary_addresses),
    };
    return RUN_TESTS(tests);
}
