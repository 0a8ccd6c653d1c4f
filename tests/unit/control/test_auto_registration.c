/* Machines that come and go, against a server that writes down what it is asked, on one loop over
 * loopback and by a manual clock. */
#include "control/auto_registration.h"

#include <errno.h>
#include <stdio.h>

#include "json_text.h"
#include "kube_client_rig.h"

#define VM "system:serviceaccount:shop:vm"

struct world {
    struct kube_client_rig rig;
    struct workloads *pods;
    struct auto_registration *a;
    int status; /* of answers; 0: as it should be */
    struct buf said;
    json_t *last;
    struct err err;
};

static void on_request(struct http_exchange *x, void *user)
{
    struct world *w = user;
    struct str path = http_exchange_path(x), method = http_exchange_method(x);
    bool post = str_is(method, "POST");
    struct str tail = str_sub(path, sizeof("/apis/networking.istio.io/v1/namespaces/") - 1, path.n);
    buf_addf(&w->said, STR_FMT " " STR_FMT "\n", STR_ARG(method), STR_ARG(tail));
    json_decref(TAKE(w->last));
    IGNORE_RESULT(json_parse(http_exchange_body(x), 0, NULL, &w->last, NULL));
    http_exchange_reply(x, w->status ? w->status : post ? 201 : 200, NULL, 0, STR("{}"));
}

static void put_group(struct world *w, const char *name, const char *account)
{
    AUTO_CHARS char *text = xasprintf("{'metadata':{'namespace':'shop','name':'%s','uid':'u'},"
                                      "'spec':{'template':{'serviceAccount':'%s'}}}",
                                      name, account);
    AUTO_JSON json_t *group = json_of(text);
    auto_registration_put_group(w->a, group);
}

static void world_up(struct world *w)
{
    static const struct http_server_ops ops = {.on_request = on_request};
    *w = (struct world){0};
    rig_up(&w->rig, &ops, w);
    w->pods = workloads_new(NULL, NULL);
    w->a = auto_registration_new(
        w->rig.client, &(struct auto_registration_options){.controller = "control-1",
                                                           .namespace_ = "fairlead-system",
                                                           .pods = w->pods});
    put_group(w, "vms", "vm");
}

static void world_down(struct world *w)
{
    auto_registration_free(w->a);
    workloads_free(w->pods);
    rig_down(&w->rig);
    buf_done(&w->said);
    json_decref(w->last);
}

static void pass(struct world *w, uint64_t ms)
{
    rig_pass(&w->rig, ms);
}

static void expect(struct world *w, const char *said)
{
    assert_string_equal(buf_cstr(&w->said), said);
    buf_clear(&w->said);
}

static int come(struct world *w, const char *ip, const char *account, struct registered **ret)
{
    struct registration r = {.group = "vms", .ns = "shop", .network = "", .locality = ""};
    assert_ok(ip_parse(str_from(ip), &r.ip));
    w->err = (struct err){0};
    return auto_registration_connect(w->a, &r, account, ret, &w->err);
}

/* The API server tells of it, as it would be by now. */
static void tell(struct world *w, const char *annotations)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'shop','name':'vms-10.0.0.7','resourceVersion':'42',"
                  "'annotations':{'istio.io/autoRegistrationGroup':'vms',%s}},'spec':{"
                  "'serviceAccount':'vm'}}",
                  annotations);
    AUTO_JSON json_t *entry = json_of(text);
    auto_registration_put_entry(w->a, entry);
}

#define HERE  "'istio.io/workloadController':'control-1'"
#define SINCE "'istio.io/connectedAt':'1970-01-01T00:16:40Z'"

static void test_it_comes_and_goes(void **state)
{
    struct world w;
    struct registered *e;
    (void)state;
    world_up(&w);
    assert_ok(come(&w, "10.0.0.7", VM, &e));
    pass(&w, 0);
    expect(&w, "POST shop/workloadentries\n");
    assert_string_equal(json_at_str(w.last, "metadata.name"), "vms-10.0.0.7");
    assert_string_equal(json_at_str(w.last, "spec.address"), "10.0.0.7");
    json_t *a = json_at(w.last, "metadata.annotations");
    assert_string_equal(json_key_str(a, REGISTRATION_CONTROLLER), "control-1");
    assert_non_null(json_key_str(a, REGISTRATION_CONNECTED));
    assert_null(json_object_get(a, REGISTRATION_DISCONNECTED));
    tell(&w, HERE "," SINCE);
    pass(&w, 5000);
    expect(&w, "");
    auto_registration_leave(w.a, e);
    pass(&w, 0);
    expect(&w, "PATCH shop/workloadentries/vms-10.0.0.7\n");
    assert_true(json_is_null(
        json_object_get(json_at(w.last, "metadata.annotations"), REGISTRATION_CONNECTED)));
    tell(&w, HERE ",'istio.io/disconnectedAt':'1970-01-01T00:16:45Z'");
    pass(&w, 9000);
    expect(&w, "");
    pass(&w, 2000);
    expect(&w, "DELETE shop/workloadentries/vms-10.0.0.7\n");
    assert_string_equal(json_at_str(w.last, "preconditions.resourceVersion"), "42");
    auto_registration_remove_entry(w.a, STR("shop/vms-10.0.0.7"));
    pass(&w, 200000);
    expect(&w, "");
    const struct auto_registration_stats st = auto_registration_get_stats(w.a);
    assert_int_equal(st.entries, 0);
    assert_int_equal(st.connected, 0);
    assert_int_equal(st.created, 1);
    assert_int_equal(st.deleted, 1);
    world_down(&w);
}

static void test_who_comes_again_in_time_stays(void **state)
{
    struct world w;
    struct registered *first, *second;
    (void)state;
    world_up(&w);
    assert_ok(come(&w, "10.0.0.7", VM, &first));
    pass(&w, 0);
    tell(&w, HERE "," SINCE);
    assert_ok(come(&w, "10.0.0.7", VM, &second)); /* before the former stream is over */
    auto_registration_leave(w.a, first);
    pass(&w, 60000);
    expect(&w, "POST shop/workloadentries\nPATCH shop/workloadentries/vms-10.0.0.7\n");
    auto_registration_leave(w.a, second);
    pass(&w, 0);
    tell(&w, HERE ",'istio.io/disconnectedAt':'1970-01-01T00:17:40Z'");
    expect(&w, "PATCH shop/workloadentries/vms-10.0.0.7\n");
    assert_ok(come(&w, "10.0.0.7", VM, &first));
    pass(&w, 0);
    expect(&w, "PATCH shop/workloadentries/vms-10.0.0.7\n");
    tell(&w, HERE "," SINCE);
    pass(&w, 60000);
    expect(&w, "");
    auto_registration_remove_entry(w.a, STR("shop/vms-10.0.0.7")); /* somebody deletes it */
    pass(&w, 0);
    expect(&w, "POST shop/workloadentries\n");
    auto_registration_leave(w.a, first);
    world_down(&w);
}

static void test_one_that_went_to_another_control_plane_is_left_alone(void **state)
{
    struct world w;
    struct registered *e;
    (void)state;
    world_up(&w);
    assert_ok(come(&w, "10.0.0.7", VM, &e));
    pass(&w, 0);
    tell(&w, "'istio.io/workloadController':'control-2'," SINCE);
    expect(&w, "POST shop/workloadentries\n");
    auto_registration_leave(w.a, e);
    pass(&w, 300000);
    expect(&w, "");
    world_down(&w);
}

static void test_what_others_leave_behind_goes_by_the_leader(void **state)
{
    struct world w;
    (void)state;
    world_up(&w);
    AUTO_JSON json_t *pod =
        json_of("{'metadata':{'namespace':'fairlead-system','name':'control-2'},"
                "'status':{'podIP':'10.0.0.1'}}");
    tell(&w, "'istio.io/workloadController':'control-2'," SINCE);
    workloads_put(w.pods, pod);
    pass(&w, 300000);
    expect(&w, "");
    auto_registration_set_leads(w.a, true);
    pass(&w, 300000);
    expect(&w, ""); /* it runs */
    workloads_remove(w.pods, STR("fairlead-system/control-2"));
    pass(&w, 150000);
    expect(&w, "PATCH shop/workloadentries/vms-10.0.0.7\n");
    tell(&w, "'istio.io/workloadController':'control-2','istio.io/disconnectedAt':"
             "'1970-01-01T00:20:00Z'");
    pass(&w, 150000);
    expect(&w, "DELETE shop/workloadentries/vms-10.0.0.7\n");
    world_down(&w);
}

static void test_who_may_not(void **state)
{
    static const struct {
        const char *ip, *account;
        int code;
        const char *why;
    } cases[] = {
        {"10.0.0.7", "system:serviceaccount:bank:vm", -EACCES,
         "node.id: system:serviceaccount:bank:vm is not of namespace shop"},
        {"10.0.0.7", "system:serviceaccount:shop:web", -EACCES,
         "node.metadata: WorkloadGroup shop/vms is for service account vm"},
        {"127.0.0.1", VM, -EACCES, "node.id: a workload has an address that others reach"},
        {"169.254.169.254", VM, -EACCES, "node.id: a workload has an address that others reach"},
        {"fe80::1", VM, -EACCES, "node.id: a workload has an address that others reach"},
        {"224.0.0.1", VM, -EACCES, "node.id: a workload has an address that others reach"},
        {"0.0.0.0", VM, -EACCES, "node.id: a workload has an address that others reach"},
        {"10.0.0.1", VM, -EACCES, "node.id: that address is one of pod bank/db"},
    };
    struct world w;
    struct registered *e;
    (void)state;
    world_up(&w);
    AUTO_JSON json_t *pod =
        json_of("{'metadata':{'namespace':'bank','name':'db'},'status':{'podIP':'10.0.0.1'}}");
    workloads_put(w.pods, pod);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(come(&w, cases[i].ip, cases[i].account, &e), cases[i].code);
        assert_string_equal(err_text(&w.err), cases[i].why);
    }
    auto_registration_remove_group(w.a, STR("shop/vms"));
    assert_int_equal(come(&w, "10.0.0.7", VM, &e), -ENOENT);
    pass(&w, 0);
    expect(&w, "");
    assert_int_equal(auto_registration_get_stats(w.a).refused, ARRAY_LEN(cases) + 1);
    world_down(&w);
}

static void test_entries_of_others_are_theirs(void **state)
{
    struct world w;
    struct registered *e;
    (void)state;
    world_up(&w);
    AUTO_JSON json_t *other =
        json_of("{'metadata':{'namespace':'shop','name':'vms-10.0.0.7','annotations':{"
                "'istio.io/autoRegistrationGroup':'other'}},'spec':{'serviceAccount':'vm'}}");
    auto_registration_put_entry(w.a, other);
    assert_int_equal(come(&w, "10.0.0.7", VM, &e), -EACCES);
    assert_non_null(strstr(w.err.msg, "is there, and not of that group"));
    world_down(&w);
}

static void test_so_many_of_an_account(void **state)
{
    struct world w;
    static struct registered *all[REGISTRATION_ENTRIES_MAX];
    struct registered *e;
    (void)state;
    world_up(&w);
    w.status = 500;
    for (int i = 0; i < REGISTRATION_ENTRIES_MAX; i++) {
        char ip[20];
        snprintf(ip, sizeof(ip), "10.1.%d.%d", i / 250, i % 250 + 1);
        assert_ok(come(&w, ip, VM, &all[i]));
    }
    assert_int_equal(come(&w, "10.0.0.7", VM, &e), -EUSERS);
    assert_ok(come(&w, "10.1.0.1", VM, &e)); /* which is there */
    auto_registration_leave(w.a, e);
    for (int i = 0; i < REGISTRATION_ENTRIES_MAX; i++)
        auto_registration_leave(w.a, all[i]);
    world_down(&w);
}

static void test_a_write_that_fails_is_tried_again(void **state)
{
    struct world w;
    struct registered *e;
    (void)state;
    world_up(&w);
    w.status = 500;
    assert_ok(come(&w, "10.0.0.7", VM, &e));
    pass(&w, 0);
    expect(&w, "POST shop/workloadentries\n");
    pass(&w, 1000);
    expect(&w, "");
    w.status = 0;
    pass(&w, 1500);
    expect(&w, "POST shop/workloadentries\n");
    pass(&w, 5000);
    expect(&w, "");
    assert_int_equal(auto_registration_get_stats(w.a).failed, 1);
    auto_registration_leave(w.a, e);
    world_down(&w);
}

static void test_health_is_written_once_it_is_there(void **state)
{
    struct world w;
    struct registered *e;
    (void)state;
    world_up(&w);
    assert_ok(come(&w, "10.0.0.7", VM, &e));
    auto_registration_health(w.a, e, false, "connection refused");
    pass(&w, 0);
    expect(&w, "POST shop/workloadentries\n");
    tell(&w, HERE "," SINCE);
    pass(&w, 0);
    expect(&w, "PATCH shop/workloadentries/vms-10.0.0.7/status\n");
    const json_t *c = json_array_get(json_at(w.last, "status.conditions"), 0);
    assert_string_equal(json_key_str(c, "status"), "False");
    assert_string_equal(json_key_str(c, "message"), "connection refused");
    pass(&w, 5000);
    expect(&w, "");
    auto_registration_health(w.a, e, true, NULL);
    pass(&w, 0);
    expect(&w, "PATCH shop/workloadentries/vms-10.0.0.7/status\n");
    auto_registration_leave(w.a, e);
    world_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_comes_and_goes),
        cmocka_unit_test(test_who_comes_again_in_time_stays),
        cmocka_unit_test(test_one_that_went_to_another_control_plane_is_left_alone),
        cmocka_unit_test(test_what_others_leave_behind_goes_by_the_leader),
        cmocka_unit_test(test_who_may_not),
        cmocka_unit_test(test_entries_of_others_are_theirs),
        cmocka_unit_test(test_so_many_of_an_account),
        cmocka_unit_test(test_a_write_that_fails_is_tried_again),
        cmocka_unit_test(test_health_is_written_once_it_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
