/* What annotations of copies, tries and names take. What comes of them: tests/model/ingress_steer.
 */
#include "test.h"

#include "model/ingress_readers.h"

static void test_mirrors(void **state)
{
    static const char *const bad[] = {"",
                                      "/mirror",
                                      "ftp://a.example",
                                      "http://",
                                      "http://a.example/x",
                                      "http://a.example:0",
                                      "http://a.example:65536",
                                      "http://a b",
                                      "http://a.example$host",
                                      "http://u@a.example",
                                      "http://[::1]",
                                      "http://a.example\r\nX: y"};
    struct ingress_policy p = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_non_null(read_mirror_target(&p, bad[i]));
    assert_null(p.steer.mirror.host);
    assert_null(read_mirror_target(&p, "https://A.example:8443${request_uri}"));
    assert_string_equal(p.steer.mirror.host, "a.example");
    assert_int_equal(p.steer.mirror.port, 8443);
    assert_true(p.steer.mirror.tls);
    assert_null(read_mirror_target(&p, "http://10.0.0.1"));
    assert_int_equal(p.steer.mirror.port, 80);
    assert_null(read_mirror_request_body(&p, "on"));
    assert_non_null(read_mirror_request_body(&p, "off"));
    ingress_steer_done(&p.steer);
}

static void test_tries(void **state)
{
    struct ingress_policy p = {0};
    (void)state;
    ingress_steer_init(&p.steer, true);
    assert_int_equal(p.steer.retry.on, ROUTE_RETRY_ERROR | ROUTE_RETRY_TIMEOUT);
    assert_non_null(read_proxy_next_upstream(&p, "error,timeout"));
    assert_non_null(read_proxy_next_upstream(&p, " "));
    assert_int_equal(p.steer.retry.on, ROUTE_RETRY_ERROR | ROUTE_RETRY_TIMEOUT);
    assert_null(read_proxy_next_upstream_tries(&p, "0"));
    assert_int_equal(p.steer.retry.tries, 100);
    assert_null(read_proxy_next_upstream(&p, "http_403 http_404 http_429 http_500 http_502 "
                                             "http_503 http_504 http_504 off"));
    assert_int_equal(p.steer.retry.n_statuses, 7);
    assert_int_equal(p.steer.retry.on, ROUTE_RETRY_OFF);
    assert_int_equal(p.steer.retry.tries, 100);
    ingress_steer_done(&p.steer);
}

static void test_names(void **state)
{
    struct ingress_policy p = {0};
    (void)state;
    assert_null(read_server_alias(&p, "A.example,*.b.example ,"));
    assert_int_equal(p.steer.n_aliases, 2);
    assert_string_equal(p.steer.aliases[0], "a.example");
    assert_non_null(read_server_alias(&p, "a.example,*"));
    assert_non_null(read_server_alias(&p, ""));
    assert_non_null(read_server_alias(&p, "a.example,,b.example"));
    assert_non_null(read_server_alias(&p, "~^a"));
    assert_int_equal(p.steer.n_aliases, 2);
    ingress_steer_done(&p.steer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mirrors),
        cmocka_unit_test(test_tries),
        cmocka_unit_test(test_names),
    };
    return RUN_TESTS(tests);
}
