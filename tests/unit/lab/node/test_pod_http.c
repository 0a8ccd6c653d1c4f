/* Where the redirect of a probe leads. */
#include "lab/node/node_priv.h"
#include "test.h"

static void test_redirect(void **state)
{
    static const struct {
        const char *location, *path, *scheme;
        int port;
        bool host_header;
    } rows[] = {
        {"/b", "/b", "HTTP", 8080, true},
        {"c?x=1#top", "/a/c?x=1", "HTTP", 8080, true},
        {"?y", "/a/b?y", "HTTP", 8080, true},
        {"http://10.0.0.1:8080/b", "/b", "HTTP", 8080, false},
        {"http://10.0.0.1", "/", "HTTP", 80, false},
        {"HTTPS://10.0.0.1?q", "/?q", "HTTPS", 443, false},
        {"//10.0.0.1:81/x", "/x", "HTTP", 81, false},
        {"/at/http://other/", "/at/http://other/", "HTTP", 8080, true},
        {"http://10.0.0.2/b", NULL, NULL, 0, false},
        {"http://10.0.0.1:0/", NULL, NULL, 0, false},
        {"http://10.0.0.1:70000/", NULL, NULL, 0, false},
        {"ftp:x", NULL, NULL, 0, false},
        {"http://[::1]/", NULL, NULL, 0, false},
    };
    AUTO_JSON json_t *action = NULL;
    (void)state;
    assert_ok(json_parse(STR("{\"path\":\"/a/b?x\",\"port\":\"web\",\"httpHeaders\":[{\"name\":"
                             "\"host\",\"value\":\"h\"},{\"name\":\"X\",\"value\":\"y\"}]}"),
                         0, NULL, &action, NULL));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *to =
            pod_http_redirect(action, str_from(rows[i].location), "10.0.0.1", 8080);
        assert_int_equal(to != NULL, rows[i].path != NULL);
        if (!to)
            continue;
        assert_string_equal(json_key_str(to, "path"), rows[i].path);
        assert_string_equal(json_key_str(to, "scheme"), rows[i].scheme);
        assert_int_equal(json_at_int(to, "port", 0), rows[i].port);
        assert_int_equal(json_array_size(json_at(to, "httpHeaders")), rows[i].host_header ? 2 : 1);
    }
}

static void test_redirect_of_ipv6(void **state)
{
    AUTO_JSON json_t *action = json_object();
    (void)state;
    AUTO_JSON json_t *to = pod_http_redirect(action, STR("http://[fd00:0::1]:81/b"), "fd00::1", 80);
    assert_non_null(to);
    assert_int_equal(json_at_int(to, "port", 0), 81);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redirect),
        cmocka_unit_test(test_redirect_of_ipv6),
    };
    return RUN_TESTS(tests);
}
