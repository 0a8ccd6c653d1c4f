/* The node's pod networks: waited for, read in either form. Row numbers: src/agent/README.md. */
#include <stdio.h>

#include "agent/pod_cidrs.h"
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

static void test_row_14_node_cidr_is_waited_for(void **state)
{
    struct kube_config kc = {.host = (char *)(uintptr_t) "127.0.0.1"};
    struct world w = {0};
    struct kube_client *c;
    struct pod_cidrs got = {0};
    char text[PREFIX_TEXT_BYTES];
    (void)state;
    assert_ok(loop_new(&w.loop, NULL));
    api_up(&w.api, w.loop);
    kc.port = http_server_port(w.api.server);
    assert_ok(kube_client_new(w.loop, &kc, "test", &c, NULL));
    w.timer = loop_timer_new(w.loop, on_timer, &w);
    loop_timer_start(w.timer, 5);
    pod_cidrs_wait(c, "n1", &got); /* no Node, one without, one with rubbish, then two networks */
    assert_int_equal(w.step, 3);
    assert_int_equal(got.n, 2);
    assert_string_equal(prefix_format(&got.v[0], text), "10.244.1.0/24");
    assert_string_equal(prefix_format(&got.v[1], text), "fd00:1::/64");
    got.n = 0;
    api_change(&w.api, NODES, "n1",
               "{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"podCIDR\":\"10.9.0.0/16\"}}");
    pod_cidrs_wait(c, "n1", &got);
    assert_int_equal(got.n, 1);
    vec_done(&got);
    loop_timer_free(w.timer);
    kube_client_free(c);
    api_down(&w.api);
    loop_turn(w.loop, 0);
    loop_free(w.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_14_node_cidr_is_waited_for),
    };
    return RUN_TESTS(tests);
}
