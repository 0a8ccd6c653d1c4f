/* The words of rules, as a pod carries them. */
#include "test.h"

#include <errno.h>

#include "intercept/interception_pod.h"
#include "json_text.h"

static json_t *pod_of(const char *args)
{
    AUTO_CHARS char *text = xasprintf(
        "{'spec':{'initContainers':[{'name':'x'},{'name':'istio-validation','args':%s}]}}", args);
    return json_of(text);
}

static void test_who_asks(void **state)
{
    AUTO_JSON json_t *none = json_of("{'spec':{'initContainers':[{'name':'istio-init'}]}}");
    AUTO_JSON json_t *one = pod_of("['interception','--check']");
    AUTO_JSON json_t *no_spec = json_of("{}");
    (void)state;
    assert_false(interception_is_asked_for(none));
    assert_false(interception_is_asked_for(no_spec));
    assert_false(interception_is_asked_for(NULL));
    assert_true(interception_is_asked_for(one));
}

static void test_what_is_asked_for(void **state)
{
    AUTO_JSON json_t *plain = pod_of("['interception','--check']");
    AUTO_JSON json_t *more = pod_of("['interception','--check','--dns','--ipv6','--proxy-uid','42',"
                                    "'--exclude-inbound-ports','9100, 9200','--outbound-ip-ranges',"
                                    "'10.0.0.0/8']");
    struct interception i;
    bool ipv6;
    (void)state;
    assert_ok(interception_of_pod(plain, &i, &ipv6, NULL));
    assert_true(i.inbound.all && i.outbound.all && !i.dns.all && !ipv6);
    assert_int_equal(i.uid, 1337);
    assert_int_equal(i.inbound_port, 15006);
    assert_int_equal(i.outbound_port, 15001);
    interception_done(&i);
    assert_ok(interception_of_pod(more, &i, &ipv6, NULL));
    assert_true(i.inbound.all && !i.outbound.all && i.dns.all && ipv6);
    assert_int_equal(i.dns_port, 15053);
    assert_int_equal(i.uid, 42);
    assert_int_equal(i.inbound_except.v.n, 2);
    assert_int_equal(i.inbound_except.v.v[1], 9200);
    assert_int_equal(i.outbound.v.n, 1);
    interception_done(&i);
}

static void test_what_cannot_be_read(void **state)
{
    static const struct {
        const char *args, *says;
    } cases[] = {
        {"null", "the first is not interception"},
        {"[]", "the first is not interception"},
        {"['sh','-c']", "the first is not interception"},
        {"['interception',3]", "one of them is no string"},
        {"['interception','--inbound-ports']", "inbound-ports"},
        {"['interception','--inbound-ports','70000']", "--inbound-ports: '70000' is no port"},
        {"['interception','--outbound-ip-ranges','10']",
         "--outbound-ip-ranges: '10' is no network"},
        {"['interception','--paint']", "paint"},
        {"['interception','now']", "'now' is not expected"},
    };
    struct interception i;
    bool ipv6;
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        AUTO_JSON json_t *pod = pod_of(cases[k].args);
        struct err err = {0};
        assert_int_equal(interception_of_pod(pod, &i, &ipv6, &err), -EINVAL);
        interception_done(&i);
        if (!strstr(err_text(&err), cases[k].says) ||
            !strstr(err_text(&err), "args of istio-validation"))
            fail_msg("%s: %s", cases[k].args, err_text(&err));
    }
    AUTO_DONE(buf) struct buf many = {0};
    buf_add_cstr(&many, "['interception'");
    for (int k = 0; k < 64; k++)
        buf_add_cstr(&many, ",'--check'");
    buf_add_cstr(&many, "]");
    AUTO_JSON json_t *pod = pod_of(buf_cstr(&many));
    assert_int_equal(interception_of_pod(pod, &i, &ipv6, NULL), -E2BIG);
    interception_done(&i);
}

static void test_lists(void **state)
{
    static const char *const bad_ports[] = {"http", "0", "65536", "80;81", "-1"};
    static const char *const bad_networks[] = {"10.0.0.0/33", "::/129", "host", "10.0.0"};
    struct port_list ports = {0};
    struct prefix_list networks = {0};
    (void)state;
    assert_ok(port_list_read(" 80, 443,,", &ports, NULL));
    assert_true(!ports.all && ports.v.n == 2 && ports.v.v[0] == 80 && ports.v.v[1] == 443);
    assert_ok(port_list_read("*", &ports, NULL));
    assert_true(ports.all);
    assert_ok(prefix_list_read("10.0.0.0/8,fd00::/8", &networks, NULL));
    assert_int_equal(networks.v.n, 2);
    for (size_t i = 0; i < ARRAY_LEN(bad_ports); i++)
        assert_int_equal(port_list_read(bad_ports[i], &ports, NULL), -EINVAL);
    for (size_t i = 0; i < ARRAY_LEN(bad_networks); i++)
        assert_int_equal(prefix_list_read(bad_networks[i], &networks, NULL), -EINVAL);
    vec_done(&ports.v);
    vec_done(&networks.v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_who_asks),
        cmocka_unit_test(test_what_is_asked_for),
        cmocka_unit_test(test_what_cannot_be_read),
    };
    return RUN_TESTS(tests);
}
