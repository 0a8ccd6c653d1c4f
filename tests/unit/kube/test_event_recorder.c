/* The recorder of Events against a server that counts what it is sent, on one loop over loopback
 * and by a manual clock: what the bucket lets through at once, and what waits. */
#include <stdio.h>

#include "kube/event_recorder.h"
#include "kube_client_rig.h"

enum { BURST = 100, KEPT_FOR_WARNINGS = 40, WAITING = 256 };

struct world {
    struct kube_client_rig rig;
    struct event_recorder *events;
    size_t posts, patches;
};

static void on_request(struct http_exchange *x, void *user)
{
    struct world *w = user;
    if (str_is(http_exchange_method(x), "POST"))
        w->posts++;
    else
        w->patches++;
    http_exchange_reply(x, 200, NULL, 0, STR("{}"));
}

static void world_up(struct world *w)
{
    static const struct http_server_ops ops = {.on_request = on_request};
    *w = (struct world){0};
    rig_up(&w->rig, &ops, w);
    w->events = event_recorder_new(w->rig.client, "test", NULL);
}

static void world_down(struct world *w)
{
    event_recorder_free(w->events);
    rig_down(&w->rig);
}

static void pass(struct world *w, uint64_t ms)
{
    rig_pass(&w->rig, ms);
}

static void record(struct world *w, const char *type, int number)
{
    AUTO_JSON json_t *pod =
        json_pack("{s:{s:s,s:s,s:s}}", "metadata", "name", "a", "namespace", "ns", "uid", "u");
    event_record(w->events, pod, "Pod", "v1", type, "Reason", "message %d", number);
}

static void test_normal_ones_leave_room_for_warnings(void **state)
{
    struct world w;
    (void)state;
    world_up(&w);
    for (int i = 0; i < BURST; i++)
        record(&w, "Normal", i);
    pass(&w, 0);
    assert_int_equal(w.posts, BURST - KEPT_FOR_WARNINGS);
    record(&w, "Warning", BURST);
    pass(&w, 0);
    assert_int_equal(w.posts, BURST - KEPT_FOR_WARNINGS + 1);
    world_down(&w);
}

/* Who warns once says it to nobody else. */
static void test_warnings_wait_for_their_turn(void **state)
{
    struct world w;
    (void)state;
    world_up(&w);
    for (int i = 0; i < BURST + 15; i++)
        record(&w, "Warning", i);
    record(&w, "Warning", BURST); /* it waits already */
    pass(&w, 0);
    assert_int_equal(w.posts, BURST);
    pass(&w, 1000);
    assert_int_equal(w.posts, BURST + 10);
    pass(&w, 1000);
    assert_int_equal(w.posts, BURST + 15);
    pass(&w, 60000);
    assert_int_equal(w.posts, BURST + 15);
    record(&w, "Warning", BURST);
    pass(&w, 0);
    assert_int_equal(w.patches, 1);
    world_down(&w);
}

static void test_what_waits_has_a_limit(void **state)
{
    struct world w;
    (void)state;
    world_up(&w);
    for (int i = 0; i < BURST + WAITING + 50; i++)
        record(&w, "Warning", i);
    for (int i = 0; i < 60; i++)
        pass(&w, 1000);
    assert_int_equal(w.posts, BURST + WAITING);
    for (int i = 0; i < BURST + 5; i++)
        record(&w, "Warning", 1000 + i);
    pass(&w, 0);
    world_down(&w); /* with some that wait */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normal_ones_leave_room_for_warnings),
        cmocka_unit_test(test_warnings_wait_for_their_turn),
        cmocka_unit_test(test_what_waits_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
