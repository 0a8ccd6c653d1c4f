/* Rules of RBAC: each kind alone, together, and which policy is told. */
#include "proxy/rbac_rules.h"

#include "message_test.h"

static struct rbac_rules *rules(const char *json, struct arena *a, struct err *reterr)
{
    struct pb_path path = {.n = 0};
    struct rbac_rules *r = NULL;
    const ProtobufCMessage *m = message_from(json, &envoy__config__rbac__v3__rbac__descriptor, a);
    if (rbac_rules_compile((const Envoy__Config__Rbac__V3__RBAC *)m, a, &path, &r, reterr) < 0)
        return NULL;
    return r;
}

/* GET /a/b?c=d of 10.1.2.3 to 192.0.2.1:8080, x-a: 1. */
static bool allows(const char *json, struct str *ret_policy)
{
    AUTO(arena) struct arena *a = arena_new(0);
    struct err err = {0};
    struct asked asked;
    static char policy[32];
    struct rbac_rules *r = rules(json, a, &err);
    if (!r)
        fail_msg("%s", err_text(&err));
    AUTO_JSON json_t *metadata = json_pack("{s:{s:s,s:[s,s],s:b,s:n,s:{s:s}}}", "f", "a", "1", "l",
                                           "x", "y", "b", 1, "n", "o", "p", "q");
    struct rbac_request q = {.metadata = metadata,
                             .head = ask(&asked, "GET", "h", "/a/b?c=d", "x-a: 1\r\n"),
                             .local_port = 8080};
    assert_ok(ip_parse(STR("10.1.2.3"), &q.peer));
    assert_ok(ip_parse(STR("172.16.0.9"), &q.client));
    assert_ok(ip_parse(STR("192.0.2.1"), &q.local));
    bool may = rbac_rules_allow(r, &q, ret_policy);
    snprintf(policy, sizeof(policy), STR_FMT, STR_ARG(*ret_policy));
    *ret_policy = ret_policy->p ? str_from(policy) : *ret_policy;
    return may;
}

#define TEMPLATE(t)                                                                                \
    "'uri_template':{'name':'t','typed_config':{'@type':'type.googleapis.com/"                     \
    "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig','path_template':'" t      \
    "'}}"
#define SAYS(path, value) "'metadata':{'filter':'f','path':[" path "],'value':{" value "}}"
#define TEXT(t)           "'string_match':{'exact':'" t "'}"

static void test_each_rule(void **state)
{
    static const struct {
        const char *permission, *principal;
        bool want;
    } cases[] = {
        {"'any':true", "'any':true", true},
        {"'header':{'name':'x-a','string_match':{'exact':'1'}}", "'any':true", true},
        {"'header':{'name':'x-a','string_match':{'exact':'2'}}", "'any':true", false},
        {"'header':{'name':':method','string_match':{'exact':'GET'}}", "'any':true", true},
        {"'url_path':{'path':{'exact':'/a/b'}}", "'any':true", true},
        {"'url_path':{'path':{'suffix':'d'}}", "'any':true", false},
        {"'destination_ip':{'address_prefix':'192.0.2.0','prefix_len':24}", "'any':true", true},
        {"'destination_ip':{'address_prefix':'192.0.3.0','prefix_len':24}", "'any':true", false},
        {"'destination_port':8080", "'any':true", true},
        {"'destination_port':8081", "'any':true", false},
        {"'destination_port_range':{'start':8000,'end':8080}", "'any':true", false},
        {"'destination_port_range':{'start':8080,'end':8081}", "'any':true", true},
        {"'not_rule':{'any':true}", "'any':true", false},
        {"'not_rule':{'destination_port':1}", "'any':true", true},
        {"'and_rules':{'rules':[{'any':true},{'destination_port':1}]}", "'any':true", false},
        {"'or_rules':{'rules':[{'destination_port':1},{'any':true}]}", "'any':true", true},
        {"'any':true", "'direct_remote_ip':{'address_prefix':'10.0.0.0','prefix_len':8}", true},
        {"'any':true", "'direct_remote_ip':{'address_prefix':'10.1.2.3','prefix_len':32}", true},
        {"'any':true", "'remote_ip':{'address_prefix':'172.16.0.0','prefix_len':12}", true},
        {"'any':true", "'remote_ip':{'address_prefix':'10.0.0.0','prefix_len':8}", false},
        {"'any':true", "'authenticated':{}", false}, /* it came in plain */
        {"'any':true", "'authenticated':{'principal_name':{'prefix':''}}", false},
        {"'any':true", "'not_id':{'authenticated':{}}", true},
        {"'any':true", "'direct_remote_ip':{'address_prefix':'11.0.0.0','prefix_len':8}", false},
        {"'any':true", "'direct_remote_ip':{'address_prefix':'::','prefix_len':0}", false},
        {"'any':true", "'source_ip':{'address_prefix':'0.0.0.0'}", true},
        {"'any':true", "'not_id':{'header':{'name':'x-b','present_match':true}}", true},
        {"'any':true", "'and_ids':{'ids':[{'any':true},{'not_id':{'any':true}}]}", false},
        {"'any':true", "'or_ids':{'ids':[{'not_id':{'any':true}},{'any':true}]}", true},
        {"'any':true", "'url_path':{'path':{'prefix':'/b'}}", false},
        {TEMPLATE("/a/b"), "'any':true", true},
        {TEMPLATE("/a/*"), "'any':true", true},
        {TEMPLATE("/*"), "'any':true", false},
        {TEMPLATE("/**"), "'any':true", true},
        {TEMPLATE("/*/b"), "'any':true", true},
        {TEMPLATE("/*/*/**"), "'any':true", false},
        {TEMPLATE("/{x}/{y=*}"), "'any':true", true},
        {TEMPLATE("/{x=**}"), "'any':true", true},
        {TEMPLATE("/**b"), "'any':true", true},
        {TEMPLATE("/**.b"), "'any':true", false},
        {TEMPLATE("/a/."), "'any':true", false},
        {"'any':true", SAYS("{'key':'a'}", TEXT("1")), true},
        {SAYS("{'key':'a'}", TEXT("1")), "'any':true", true},
        {"'any':true", SAYS("{'key':'a'}", TEXT("2")), false},
        {"'any':true", SAYS("{'key':'o'},{'key':'p'}", TEXT("q")), true},
        {"'any':true", SAYS("{'key':'o'}", TEXT("q")), false},
        {"'any':true", SAYS("{'key':'x'},{'key':'y'}", TEXT("q")), false},
        {"'any':true", SAYS("{'key':'l'}", "'list_match':{'one_of':{" TEXT("y") "}}"), true},
        {"'any':true", SAYS("{'key':'l'}", "'list_match':{'one_of':{" TEXT("z") "}}"), false},
        {"'any':true", SAYS("{'key':'a'}", "'list_match':{'one_of':{" TEXT("1") "}}"), false},
        {"'any':true",
         SAYS("{'key':'a'}", "'or_match':{'value_matchers':[{" TEXT("0") "},{" TEXT("1") "}]}"),
         true},
        {"'any':true", SAYS("{'key':'b'}", "'bool_match':true"), true},
        {"'any':true", SAYS("{'key':'b'}", "'bool_match':false"), false},
        {"'any':true", SAYS("{'key':'a'}", "'bool_match':true"), false},
        {"'any':true", SAYS("{'key':'n'}", "'null_match':{}"), true},
        {"'any':true", SAYS("{'key':'z'}", "'null_match':{}"), false},
        {"'any':true", SAYS("{'key':'a'}", "'present_match':true"), true},
        {"'any':true", SAYS("{'key':'z'}", "'present_match':true"), false},
        {"'any':true",
         "'metadata':{'filter':'f','path':[{'key':'a'}],'value':{" TEXT("1") "},'invert':true}",
         false},
        {"'any':true",
         "'metadata':{'filter':'g','path':[{'key':'a'}],'value':{" TEXT("1") "},'invert':true}",
         true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_DONE(buf) struct buf json = {0};
        struct str policy;
        buf_addf(&json, "{'policies':{'p':{'permissions':[{%s}],'principals':[{%s}]}}}",
                 cases[i].permission, cases[i].principal);
        if (allows(buf_cstr(&json), &policy) != cases[i].want)
            fail_msg("%s", buf_cstr(&json));
        assert_int_equal(policy.p != NULL, cases[i].want);
    }
}

#define ALL     "'permissions':[{'any':true}],'principals':[{'any':true}]"
#define NOTHING "'permissions':[{'not_rule':{'any':true}}],'principals':[{'any':true}]"

static void test_actions_and_names(void **state)
{
    struct str policy;
    (void)state;
    assert_false(allows("{'action':'ALLOW'}", &policy));
    assert_null(policy.p);
    assert_true(allows("{'action':'DENY'}", &policy));
    assert_true(allows("{'action':'LOG'}", &policy));
    assert_false(allows(
        "{'action':'DENY','policies':{'z':{" ALL "},'b':{" ALL "},'a':{" NOTHING "}}}", &policy));
    assert_str(policy, "b"); /* in the order of names */
    assert_true(allows("{'action':'ALLOW','policies':{'z':{" ALL "},'b':{" NOTHING "}}}", &policy));
    assert_str(policy, "z");
    assert_true(allows("{'action':'LOG','policies':{'z':{" NOTHING "}}}", &policy));
}

static void test_what_is_refused(void **state)
{
    static const struct {
        const char *permission, *principal, *why;
    } cases[] = {
        {"'destination_ip':{'address_prefix':'1.2.3','prefix_len':8}", "'any':true",
         "policies[\"p\"].permissions[0].destination_ip: malformed IP address: 1.2.3"},
        {"'any':true", "'source_ip':{'address_prefix':'1.2.3.4','prefix_len':33}",
         "policies[\"p\"].principals[0].source_ip: prefix_len 33: at most 32"},
        {"'not_rule':{'destination_port_range':{'start':5,'end':5}}", "'any':true",
         "policies[\"p\"].permissions[0].not_rule[0]: destination_port_range: expected 0 <= start "
         "< end <= 65536"},
        {"'any':true",
         "'sourced_metadata':{'metadata_matcher':{'filter':'a','path':[{'key':'b'}],"
         "'value':{'present_match':true}}}",
         "policies[\"p\"].principals[0]: needs an identifier that is implemented"},
        {"'metadata':{'filter':'a','path':[{'key':'b'}],'value':{'double_match':{'exact':1}}}",
         "'any':true",
         "policies[\"p\"].permissions[0].metadata.value: needs a value that is implemented"},
        {TEMPLATE("/a/{b"), "'any':true",
         "policies[\"p\"].permissions[0].uri_template: a template has *, {name} and one ** as its "
         "last operator"},
        {TEMPLATE("/**/*"), "'any':true",
         "policies[\"p\"].permissions[0].uri_template: a template has *, {name} and one ** as its "
         "last operator"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(arena) struct arena *a = arena_new(0);
        AUTO_DONE(buf) struct buf json = {0};
        struct err err = {0};
        buf_addf(&json, "{'policies':{'p':{'permissions':[{%s}],'principals':[{%s}]}}}",
                 cases[i].permission, cases[i].principal);
        assert_null(rules(buf_cstr(&json), a, &err));
        assert_string_equal(err_text(&err), cases[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_rule),
        cmocka_unit_test(test_actions_and_names),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
