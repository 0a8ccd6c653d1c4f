/* What a machine's WorkloadEntry is called and says, and when it is over. */
#include "model/workload_registration.h"

#include <errno.h>
#include <string.h>

#include "json_text.h"
#include "test.h"

#define GROUP                                                                                      \
    "{'metadata':{'name':'vms','namespace':'shop','uid':'u-1'},'spec':{'metadata':{'labels':"      \
    "{'app':'group','b':'group'},'annotations':{'note':'x','istio.io/autoRegistrationGroup':"      \
    "'other'}},'template':{'serviceAccount':'vm','ports':{'http':8080},'labels':{'app':'template'" \
    ","                                                                                            \
    "'a':'template'},'network':'n0','address':'9.9.9.9','weight':3}}}"

static struct registration machine(const char *ip)
{
    struct registration r = {.group = "vms", .ns = "shop", .network = "", .locality = ""};
    assert_ok(ip_parse(str_from(ip), &r.ip));
    return r;
}

static void expect_name(struct registration r, const char *name)
{
    AUTO_CHARS char *is = registration_name(&r);
    assert_string_equal(is, name);
}

static void test_names(void **state)
{
    struct registration r = machine("10.0.0.7");
    char group[300];
    (void)state;
    expect_name(r, "vms-10.0.0.7");
    r.network = "net-1";
    expect_name(r, "vms-10.0.0.7-net-1");
    expect_name(machine("fd00::7"), "vms-fd00--7");
    memset(group, 'g', sizeof(group) - 1);
    group[sizeof(group) - 1] = '\0';
    r.group = group;
    AUTO_CHARS char *is = registration_name(&r);
    assert_int_equal(strlen(is), 253);
    assert_true(str_ends(str_from(is), STR("g-10.0.0.7-net-1")));
}

static void test_entries(void **state)
{
    struct registration r = machine("10.0.0.7");
    struct err err = {0};
    json_t *none = NULL;
    (void)state;
    AUTO_JSON json_t *group = json_of(GROUP);
    AUTO_JSON json_t *labels = json_of("{'b':'node','c':'node'}");
    AUTO_JSON json_t *entry = NULL;
    r.labels = labels;
    r.network = "n1";
    r.locality = "r/z";
    r.probed = true;
    assert_ok(registration_entry(&r, group, STR("vm"), &entry, &err));
    AUTO_JSON json_t *wanted = json_of(
        "{'apiVersion':'networking.istio.io/v1','kind':'WorkloadEntry','metadata':{'name':"
        "'vms-10.0.0.7-n1','namespace':'shop','labels':{'app':'group','a':'template','b':'node',"
        "'c':'node'},'annotations':{'note':'x','istio.io/autoRegistrationGroup':'vms',"
        "'proxy.istio.io/health-checks-enabled':'true'},'ownerReferences':[{'apiVersion':"
        "'networking.istio.io/v1','kind':'WorkloadGroup','name':'vms','uid':'u-1','controller':"
        "true}]},'spec':{'serviceAccount':'vm','ports':{'http':8080},'labels':{'app':'group',"
        "'a':'template','b':'node','c':'node'},'network':'n1','address':'10.0.0.7','weight':3,"
        "'locality':'r/z'}}");
    assert_true(json_equal(entry, wanted));
    assert_int_equal(registration_entry(&r, group, STR("mallory"), &none, &err), -EACCES);
    assert_string_equal(err.msg, "WorkloadGroup shop/vms is for service account vm");
    assert_null(none);
}

static void test_a_group_that_says_nothing(void **state)
{
    const struct registration r = machine("10.0.0.7");
    struct err err = {0};
    (void)state;
    AUTO_JSON json_t *group = json_of("{'metadata':{'name':'vms'},'spec':{'template':{}}}");
    AUTO_JSON json_t *entry = NULL;
    assert_ok(registration_entry(&r, group, STR("vm"), &entry, &err));
    AUTO_JSON json_t *spec = json_of("{'address':'10.0.0.7','labels':{},'serviceAccount':'vm'}");
    assert_true(json_equal(json_object_get(entry, "spec"), spec));
}

static void test_what_is_written_of_it(void **state)
{
    (void)state;
    AUTO_JSON json_t *connected = registration_connected("control-1", 1700000000123456);
    AUTO_JSON json_t *gone = registration_disconnected(1700000001000000);
    AUTO_JSON json_t *wanted =
        json_of("{'metadata':{'annotations':{'istio.io/workloadController':'control-1',"
                "'istio.io/connectedAt':'2023-11-14T22:13:20.123456Z','istio.io/disconnectedAt':"
                "null}}}");
    AUTO_JSON json_t *wanted_gone =
        json_of("{'metadata':{'annotations':{'istio.io/connectedAt':null,"
                "'istio.io/disconnectedAt':'2023-11-14T22:13:21.000000Z'}}}");
    assert_true(json_equal(connected, wanted));
    assert_true(json_equal(gone, wanted_gone));
}

static void test_when_it_is_over(void **state)
{
    static const struct {
        const char *annotations;
        bool over;
    } cases[] = {
        {"'istio.io/autoRegistrationGroup':'g','istio.io/disconnectedAt':'2023-11-14T22:13:20Z'",
         true},
        {"'istio.io/autoRegistrationGroup':'g','istio.io/disconnectedAt':'2023-11-14T22:13:21Z'",
         false},
        {"'istio.io/autoRegistrationGroup':'g','istio.io/disconnectedAt':'2023-11-14T22:13:20Z',"
         "'istio.io/connectedAt':'2023-11-14T22:13:10Z'",
         false},
        {"'istio.io/autoRegistrationGroup':'g'", false},
        {"'istio.io/disconnectedAt':'2023-11-14T22:13:20Z'", false}, /* somebody has written it */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_CHARS char *text =
            xasprintf("{'metadata':{'annotations':{%s}}}", cases[i].annotations);
        AUTO_JSON json_t *entry = json_of(text);
        assert_int_equal(registration_is_over(entry, 1700000000000000), cases[i].over);
    }
}

static void test_health(void **state)
{
    (void)state;
    AUTO_JSON json_t *probed = json_of(
        "{'metadata':{'annotations':{'proxy.istio.io/health-checks-enabled':'true'}},'status':{"
        "'conditions':[{'type':'Other','status':'True'},{'type':'Healthy','status':'False'}]}}");
    AUTO_JSON json_t *free_of_it = json_of("{'metadata':{},'status':{}}");
    AUTO_JSON json_t *off =
        json_of("{'metadata':{'annotations':{'proxy.istio.io/health-checks-enabled':'no'}}}");
    assert_true(registration_is_unwell(probed));
    assert_false(registration_is_unwell(free_of_it));
    assert_false(registration_is_unwell(off));
    AUTO_JSON json_t *well = registration_health(probed, true, "", 1700000000123456);
    AUTO_JSON json_t *wanted =
        json_of("[{'type':'Other','status':'True'},{'type':'Healthy','status':'True',"
                "'lastProbeTime':'2023-11-14T22:13:20.123456Z','lastTransitionTime':"
                "'2023-11-14T22:13:20.123456Z'}]");
    assert_true(json_equal(well, wanted));
    json_object_set(json_object_get(probed, "status"), "conditions", well);
    assert_false(registration_is_unwell(probed));
    AUTO_JSON json_t *unwell = registration_health(probed, false, "refused", 1700000000123456);
    assert_string_equal(json_key_str(json_array_get(unwell, 1), "status"), "False");
    assert_string_equal(json_key_str(json_array_get(unwell, 1), "message"), "refused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_a_group_that_says_nothing),
        cmocka_unit_test(test_what_is_written_of_it),
        cmocka_unit_test(test_when_it_is_over),
        cmocka_unit_test(test_health),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
