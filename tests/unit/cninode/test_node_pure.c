/* What a plugin may ask, what it is answered, and which pods have started without rules. */
#include "test.h"

#include <errno.h>

#include "cninode/node_answers.h"
#include "cninode/node_repair.h"
#include "json_text.h"

static void test_questions(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"namespace\":\"a\"}",
        "{\"namespace\":\"a\",\"name\":3}",
        "{\"namespace\":\"a\",\"name\":\"\"}",
        "{\"namespace\":\"a/b\",\"name\":\"c\"}",
        "{\"namespace\":\"..\",\"name\":\"c\"}",
        "{\"namespace\":\"a\",\"name\":\"c?d\"}",
        "{\"namespace\":\"a\",\"name\":\"C\"}",
    };
    json_t *q = NULL;
    (void)state;
    assert_ok(node_question_read(STR("{\"namespace\":\"a\",\"name\":\"b-0.c\"}"), &q, NULL));
    json_decref(q);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (node_question_read(str_from(bad[i]), &q, NULL) == 0)
            fail_msg("%s is taken", bad[i]);
}

static void expect_answer(const char *pod_text, const char *want)
{
    AUTO_JSON json_t *pod = json_of(pod_text);
    AUTO_JSON json_t *answer = node_answer_of_pod(pod);
    AUTO_DONE(buf) struct buf text = {0};
    json_write(&text, answer);
    assert_string_equal(buf_cstr(&text), want);
}

static void test_answers(void **state)
{
    (void)state;
    expect_answer(
        "{'spec':{'containers':[{'env':[{'name':'SECRET'}]}],'initContainers':[{'name':'a',"
        "'args':['x']},{'name':'istio-validation','image':'i','args':['interception']}]}}",
        "{\"spec\":{\"initContainers\":[{\"name\":\"istio-validation\",\"args\":["
        "\"interception\"]}]}}");
    expect_answer("{'spec':{'initContainers':[{'name':'istio-validation'}]}}",
                  "{\"spec\":{\"initContainers\":[{\"name\":\"istio-validation\"}]}}");
    expect_answer("{'spec':{}}", "{\"spec\":{\"initContainers\":[]}}");
}

static void expect_broken(const char *text, bool broken)
{
    AUTO_JSON json_t *pod = json_of(text);
    if (node_repair_is_broken(pod) != broken)
        fail_msg("%s", text);
}

static void test_who_has_none(void **state)
{
    (void)state;
    expect_broken("{'status':{'initContainerStatuses':[{'name':'istio-validation','state':{"
                  "'terminated':{'exitCode':126}}}]}}",
                  true);
    expect_broken("{'status':{'initContainerStatuses':[{'name':'a'},{'name':'istio-validation',"
                  "'state':{'waiting':{}},'lastState':{'terminated':{'exitCode':126}}}]}}",
                  true);
    expect_broken(
        "{'metadata':{'deletionTimestamp':'x'},'status':{'initContainerStatuses':[{'name':"
        "'istio-validation','state':{'terminated':{'exitCode':126}}}]}}",
        false);
    expect_broken("{'status':{'initContainerStatuses':[{'name':'istio-validation','state':{"
                  "'terminated':{'exitCode':1}}}]}}",
                  false);
    expect_broken("{'status':{'initContainerStatuses':[{'name':'mine','state':{"
                  "'terminated':{'exitCode':126}}}]}}",
                  false);
    expect_broken("{}", false);
    AUTO_JSON json_t *owned = json_of("{'metadata':{'ownerReferences':[{'kind':'A'},{'kind':"
                                      "'ReplicaSet','controller':true}]}}");
    AUTO_JSON json_t *loose = json_of("{'metadata':{'ownerReferences':[{'kind':'Node'}]}}");
    assert_true(node_repair_has_controller(owned));
    assert_false(node_repair_has_controller(loose));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_questions),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_who_has_none),
    };
    return RUN_TESTS(tests);
}
