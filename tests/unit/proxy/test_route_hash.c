/* Hash policies: what is hashed, how several are joined, which cookies are given. */
#include "proxy/route_hash.h"

#include <errno.h>
#include <stdio.h>

#include "base/hash.h"
#include "proxy_test.h"

static struct route_table *with(const char *policies)
{
    char text[2048];
    snprintf(text, sizeof(text),
             "{'virtual_hosts':[{'name':'h','domains':['*'],'routes':[{'match':{'prefix':'/'},"
             "'route':{'cluster':'c','hash_policy':[%s]}}]}]}",
             policies);
    return table(text);
}

/* The hash of a request; its cookies, joined by '|', go to cookies. */
static struct affinity hash_of(const char *policies, const char *path, const char *fields,
                               char cookies[256])
{
    AUTO(arena) struct arena *a = arena_new(0);
    struct route_table *t = with(policies);
    const struct route_forward *f = &t->hosts[0]->routes[0].forward;
    struct affinity ret = {0};
    struct asked asked;
    struct route_query q;
    route_query_init(&q, ask(&asked, "GET", "example.test", path, fields), 0);
    route_hash_of(f->hashes, f->n_hashes, &q, NULL, NULL, a, &ret);
    *cookies = '\0';
    for (size_t i = 0; i < ret.n_cookies; i++)
        snprintf(cookies + strlen(cookies), 256 - strlen(cookies), "%s" STR_FMT, i ? "|" : "",
                 STR_ARG(ret.cookies[i]));
    route_table_unref(t);
    return ret;
}

static uint64_t xx(const char *text)
{
    return hash_xxh64(text, strlen(text), 0);
}

static void expect(const char *policies, const char *path, const char *fields, uint64_t hash)
{
    char cookies[256];
    struct affinity got = hash_of(policies, path, fields, cookies);
    assert_true(got.has_hash);
    assert_int_equal(got.hash, hash);
    assert_string_equal(cookies, "");
}

static void expect_none(const char *policies, const char *path, const char *fields)
{
    char cookies[256];
    assert_false(hash_of(policies, path, fields, cookies).has_hash);
    assert_string_equal(cookies, "");
}

#define HEADER "{'header':{'header_name':'X-User'}}"
#define QUERY  "{'query_parameter':{'name':'user'}}"

static void test_headers(void **state)
{
    (void)state;
    expect(HEADER, "/", "x-user: ann\r\n", xx("ann"));
    expect(HEADER, "/", "x-user: \r\n", xx(""));
    expect_none(HEADER, "/", "x-other: ann\r\n");
    /* Several values: in order, whatever order they came in. */
    uint64_t both = hash_xxh64("bob", 3, xx("ann"));
    expect(HEADER, "/", "x-user: ann\r\nX-USER: bob\r\n", both);
    expect(HEADER, "/", "x-user: bob\r\nx-user: ann\r\n", both);
    expect("{'header':{'header_name':':path'}}", "/a?b", "", xx("/a?b"));
    expect("{'header':{'header_name':'x-user','regex_rewrite':{'pattern':{'regex':'^(\\\\w+)-.*'},"
           "'substitution':'\\\\1'}}}",
           "/", "x-user: ann-7\r\n", xx("ann"));
}

static void test_query(void **state)
{
    (void)state;
    expect(QUERY, "/?a=1&user=ann&user=bob", "", xx("ann"));
    expect(QUERY, "/?user", "", xx(""));
    expect_none(QUERY, "/?a=1&User=ann", "");
    expect_none(QUERY, "/", "");
}

static void test_cookies(void **state)
{
    const char *kept = "{'cookie':{'name':'aff'}}";
    const char *given = "{'cookie':{'name':'aff','ttl':'10s','path':'/app','attributes':[{'name':"
                        "'SameSite','value':'Lax'},{'name':'Secure'}]}}";
    char cookies[256], want[256];
    (void)state;
    expect(kept, "/", "cookie: a=1; aff=ann; b=2\r\n", xx("ann"));
    expect(kept, "/", "cookie: a=1\r\ncookie: aff=\"ann\"\r\n", xx("ann"));
    expect_none(kept, "/", "cookie: xaff=ann; AFF=bob; aff=\r\n");
    expect(given, "/", "cookie: aff=ann\r\n", xx("ann"));
    struct affinity got = hash_of(given, "/", "", cookies);
    snprintf(want, sizeof(want),
             "aff=\"%016llx\"; Max-Age=10; Path=/app; SameSite=Lax; Secure; HttpOnly",
             (unsigned long long)xx(""));
    assert_string_equal(cookies, want);
    char value[32];
    snprintf(value, sizeof(value), "%016llx", (unsigned long long)xx(""));
    assert_true(got.has_hash && got.hash == xx(value)); /* as when it comes back */
    got = hash_of("{'cookie':{'name':'s','ttl':'0s'}}", "/", "", cookies);
    snprintf(want, sizeof(want), "s=\"%s\"; HttpOnly", value);
    assert_string_equal(cookies, want);
}

static void test_several(void **state)
{
    const char *first = "{'header':{'header_name':'x-user'},'terminal':true}," QUERY;
    uint64_t ann = xx("ann"), joined = (ann << 1 | ann >> 63) ^ xx("bob");
    (void)state;
    expect(HEADER "," QUERY, "/?user=bob", "x-user: ann\r\n", joined);
    expect(first, "/?user=bob", "x-user: ann\r\n", ann);
    expect(first, "/?user=bob", "", xx("bob"));
    expect_none("{'connection_properties':{'source_ip':true}}", "/", ""); /* unknown here */
}

static void refuse(const char *policy, const char *want)
{
    char text[1024];
    struct route_table *t = NULL;
    struct err err = {0};
    snprintf(text, sizeof(text),
             "{'virtual_hosts':[{'name':'h','domains':['*'],'routes':[{'match':{'prefix':'/'},"
             "'route':{'cluster':'c','hash_policy':[%s,%s]}}]}]}",
             HEADER, policy);
    assert_int_equal(table_from(text, &t, &err), -EINVAL);
    char got[512];
    snprintf(got, sizeof(got), "%s", err_text(&err));
    if (!strstr(got, want) || !strstr(got, "virtual_hosts[0].routes[0].route.hash_policy[1]"))
        fail_msg("%s", got);
}

static void test_refused(void **state)
{
    (void)state;
    refuse("{'cookie':{'name':'a=b'}}", "is no name of a cookie");
    refuse("{'cookie':{'name':'a','ttl':'1s','path':'/;x'}}", "cookie.path");
    refuse("{'cookie':{'name':'a','ttl':'1s','path':'/\\r\\nx: y'}}", "cookie.path");
    refuse("{'cookie':{'name':'a','ttl':'1s','attributes':[{'name':'b','value':'c;d'}]}}",
           "cookie.attributes[0]");
    refuse("{'connection_properties':{}}", "source_ip: must be true");
    refuse("{}", "needs one of");
    refuse("{'header':{'header_name':'a','regex_rewrite':{'pattern':{'regex':'('}}}}",
           "header.regex_rewrite");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers), cmocka_unit_test(test_query),
        cmocka_unit_test(test_cookies), cmocka_unit_test(test_several),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
