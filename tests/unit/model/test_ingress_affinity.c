/* What annotations of affinity take. What comes of them: tests/model/ingress_affinity. */
#include "test.h"

#include "base/buf.h"
#include "model/ingress_readers.h"

static void test_what_a_hash_is_made_of(void **state)
{
    static const struct {
        const char *value, *want; /* NULL: refused */
    } rows[] = {
        {"$request_uri", "uri"},
        {"a-$uri-${host}z", "path + host"},
        {"$binary_remote_addr$remote_addr", "address + address"},
        {"$http_X_User_ID", "header x-user-id"},
        {"$http_host", "host"},
        {"$cookie_SID$arg_Id", "cookie SID + query Id"},
        {"", NULL},
        {"text", NULL},
        {"$", NULL},
        {"${host", NULL},
        {"$host $uri", NULL},
        {"$host\nX", NULL},
        {"$host;", NULL},
        {"$arg_", NULL},
        {"$request_body", NULL},
        {"$uri$uri$uri$uri$uri$uri$uri$uri$uri", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ingress_policy p = {0};
        AUTO_DONE(buf) struct buf b = {0};
        const char *why = read_upstream_hash_by(&p, rows[i].value);
        const struct route r = {.keys = p.affinity.keys, .n_keys = p.affinity.n_keys};
        route_keys_format(r.keys, r.n_keys, &b);
        assert_string_equal(buf_cstr(&b), rows[i].want ? rows[i].want : "");
        assert_int_equal(why == NULL, rows[i].want != NULL);
        ingress_affinity_done(&p.affinity);
    }
}

static void test_what_a_cookie_is_made_of(void **state)
{
    static const char *const bad_paths[] = {"",    "x",         "/a;b", "/a b",
                                            "/\"", "/\xc3\xa4", "/a?b", "/a\r\n"};
    static const char *const bad_names[] = {"", "a b", "a=b", "a;b", "a\n"};
    static const char *const bad_domains[] = {"", "a b", "a;b", "a/b", "a\n"};
    struct ingress_policy p = {0};
    (void)state;
    ingress_affinity_init(&p.affinity);
    for (size_t i = 0; i < ARRAY_LEN(bad_paths); i++)
        assert_non_null(read_session_cookie_path(&p, bad_paths[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad_names); i++)
        assert_non_null(read_session_cookie_name(&p, bad_names[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad_domains); i++)
        assert_non_null(read_session_cookie_domain(&p, bad_domains[i]));
    assert_string_equal(p.affinity.cookie.name, "INGRESSCOOKIE");
    assert_null(p.affinity.cookie.path);
    assert_null(p.affinity.cookie.domain);
    assert_null(read_session_cookie_name(&p, "route"));
    assert_null(read_session_cookie_path(&p, "/a/b"));
    assert_string_equal(p.affinity.cookie.name, "route");
    assert_string_equal(p.affinity.cookie.path, "/a/b");
    assert_null(read_session_cookie_secure(&p, "false"));
    assert_int_equal(p.affinity.cookie.secure, ROUTE_SECURE_NEVER);
    assert_non_null(read_session_cookie_max_age(&p, "2147483648"));
    ingress_affinity_done(&p.affinity);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_hash_is_made_of),
        cmocka_unit_test(test_what_a_cookie_is_made_of),
    };
    return RUN_TESTS(tests);
}
