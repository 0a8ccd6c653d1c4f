/* What is no pod may be known before anybody wants to know pods. */
#include "control/pod_watch.h"

#include "json_text.h"
#include "test.h"

static unsigned told;

static void on_change(const struct workload *w, void *user)
{
    (void)w;
    (void)user;
    told++;
}

static void on_synced(void *user)
{
    (void)user;
}

static void test_entries_that_come_before_pods_are_wanted(void **state)
{
    static const struct pod_watch_ops ops = {on_change, on_synced};
    struct kube_config kc = {.host = (char *)(uintptr_t) "127.0.0.1", .port = 1};
    struct loop *loop;
    struct kube_client *client;
    (void)state;
    assert_ok(loop_new(&loop, NULL));
    assert_ok(kube_client_new(loop, &kc, "test", &client, NULL));
    struct pod_watch *p = pod_watch_new(client, &ops, NULL);
    AUTO_JSON json_t *entry = json_of("{'metadata':{'namespace':'shop','name':'.we/vm'},'status':{"
                                      "'podIP':'10.0.0.7'},'entry':true}");
    workloads_put(pod_watch_table(p), entry);
    workloads_remove(pod_watch_table(p), STR("shop/.we/vm"));
    assert_int_equal(told, 0); /* all of it is looked at when pods are known */
    pod_watch_free(p);
    kube_client_free(client);
    loop_turn(loop, 0);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_that_come_before_pods_are_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
