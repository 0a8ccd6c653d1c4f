/* Lines of resolv.conf. */
#include "test.h"

#include "base/buf.h"
#include "net/resolv_conf.h"

static void test_what_it_says(void **state)
{
    struct resolv_conf c;
    char text[IP_TEXT_BYTES];
    (void)state;
    resolv_conf_parse(STR("# by hand\n"
                          "domain first.example\n"
                          "nameserver 10.96.0.10\n"
                          "  nameserver\t2001:db8::53 # the second\n"
                          "nameserver nobody\n"
                          "nameserver 1.1.1.1\n"
                          "nameserver 2.2.2.2\n"
                          "search Default.svc.cluster.local. .svc.cluster.local . cluster.local\n"
                          "options ndots:5\n"
                          "nameserver"),
                      &c);
    assert_int_equal(c.n_servers, RESOLV_SERVERS_MAX);
    assert_string_equal(ip_format(&c.servers[0], text), "10.96.0.10");
    assert_string_equal(ip_format(&c.servers[1], text), "2001:db8::53");
    assert_string_equal(ip_format(&c.servers[2], text), "1.1.1.1");
    assert_int_equal(c.n_search, 3);
    assert_string_equal(c.search[0], "default.svc.cluster.local");
    assert_string_equal(c.search[1], "svc.cluster.local");
    assert_string_equal(c.search[2], "cluster.local");
    resolv_conf_done(&c);
}

static void test_what_is_not_there(void **state)
{
    struct resolv_conf c;
    char text[IP_TEXT_BYTES];
    (void)state;
    resolv_conf_read("/nowhere/resolv.conf", &c);
    assert_int_equal(c.n_servers, 1);
    assert_string_equal(ip_format(&c.servers[0], text), "127.0.0.1");
    resolv_conf_done(&c);
    AUTO_DONE(buf) struct buf b = {0};
    buf_add_cstr(&b, "search");
    for (int i = 0; i < RESOLV_SEARCH_MAX + 9; i++)
        buf_addf(&b, " s%d", i);
    resolv_conf_parse(buf_str(&b), &c);
    assert_int_equal(c.n_search, RESOLV_SEARCH_MAX);
    resolv_conf_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_says),
        cmocka_unit_test(test_what_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
