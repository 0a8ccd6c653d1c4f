/* What actions of rate limits make of a request. */
#include "proxy/rate_descriptor.h"

#include "message_test.h"

/* "key=value key=value" of GET /p?a=1&b&a=2, x-a: 1, cluster c, 10.1.2.3. */
static void assert_entries(const char *actions, const char *want)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_DONE(buf) struct buf json = {0}, got = {0};
    struct pb_path path = {.n = 0};
    struct rate_actions *compiled;
    struct rate_entry entries[RATE_ENTRIES_MAX];
    struct asked asked;
    struct err err = {0};
    buf_addf(&json, "{'actions':[%s]}", actions);
    const ProtobufCMessage *m =
        message_from(buf_cstr(&json), &envoy__config__route__v3__rate_limit__descriptor, a);
    if (rate_actions_compile((const Envoy__Config__Route__V3__RateLimit *)m, a, &path, &compiled,
                             &err) < 0)
        fail_msg("%s", err_text(&err));
    struct rate_request q = {.head = ask(&asked, "GET", "h", "/p?a=1&b&a=2", "x-a: 1\r\n"),
                             .cluster = "c",
                             .address = STR("10.1.2.3")};
    size_t n = rate_actions_entries(compiled, &q, entries);
    for (size_t i = 0; i < n; i++)
        buf_addf(&got, "%s" STR_FMT "=" STR_FMT, i ? " " : "", STR_ARG(entries[i].key),
                 STR_ARG(entries[i].value));
    assert_string_equal(buf_cstr(&got), want);
}

static void test_values(void **state)
{
    (void)state;
    assert_entries("{'generic_key':{'descriptor_value':'v'}}", "generic_key=v");
    assert_entries("{'generic_key':{'descriptor_value':'v','descriptor_key':'k'}}", "k=v");
    assert_entries("{'destination_cluster':{}},{'remote_address':{}}",
                   "destination_cluster=c remote_address=10.1.2.3");
    assert_entries("{'request_headers':{'header_name':'X-A','descriptor_key':'k'}}", "k=1");
    assert_entries("{'request_headers':{'header_name':':path','descriptor_key':'k'}}",
                   "k=/p?a=1&b&a=2");
    assert_entries("{'query_parameters':{'query_parameter_name':'a','descriptor_key':'k'}}", "k=1");
    assert_entries("{'query_parameters':{'query_parameter_name':'b','descriptor_key':'k'}}", "k=");
}

static void test_matches(void **state)
{
    (void)state;
    assert_entries("{'header_value_match':{'descriptor_value':'v','headers':[{'name':'x-a',"
                   "'present_match':true}]}}",
                   "header_match=v");
    assert_entries("{'header_value_match':{'descriptor_value':'v','expect_match':false,'headers':[{"
                   "'name':'x-a','present_match':true}]}}",
                   "");
    assert_entries("{'query_parameter_value_match':{'descriptor_value':'v','descriptor_key':'k',"
                   "'query_parameters':[{'name':'a','string_match':{'exact':'1'}}]}}",
                   "k=v");
    assert_entries("{'query_parameter_value_match':{'descriptor_value':'v','query_parameters':[{"
                   "'name':'z','present_match':true}]}}",
                   "");
}

static void test_what_is_not_there(void **state)
{
    (void)state;
    assert_entries("{'generic_key':{'descriptor_value':'v'}},{'request_headers':{'header_name':"
                   "'x-b','descriptor_key':'k'}}",
                   "");
    assert_entries("{'generic_key':{'descriptor_value':'v'}},{'request_headers':{'header_name':"
                   "'x-b','descriptor_key':'k','skip_if_absent':true}}",
                   "generic_key=v");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_what_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
