/* Which route a request takes, as Envoy was seen to choose; and that the index chooses what a plain
 * list would. */
#include <errno.h>
#include <stdio.h>

#include "proxy_test.h"

static const char *route_of(const struct route_table *t, struct http_head *head)
{
    static char name[64];
    struct route_query q;
    route_query_init(&q, head, 12345);
    const struct route_host *h = route_table_host(t, q.host);
    if (!h)
        return "no host";
    const struct route *r = route_host_find(h, &q);
    if (!r)
        return "none";
    snprintf(name, sizeof(name), STR_FMT, STR_ARG(r->name));
    return name;
}

static void expect(const struct route_table *t, const char *host, const char *path,
                   const char *fields, const char *want)
{
    struct asked a;
    assert_string_equal(route_of(t, ask(&a, "GET", host, path, fields)), want);
}

#define HOST(name, domains)                                                                        \
    "{'name':'" name "','domains':[" domains "],'routes':[{'name':'" name                          \
    "','match':{'prefix':'/'},'route':{'cluster':'c'}}]}"

static void test_hosts(void **state)
{
    struct route_table *t =
        table("{'virtual_hosts':[" HOST("exact", "'www.foo.com','UPPER.com'") "," HOST(
            "star-foo",
            "'*.foo.com'") "," HOST("bar-foo",
                                    "'*-bar.foo.com'") "," HOST("www",
                                                                "'www."
                                                                "*'") "," HOST("any", "'*"
                                                                                      "'") "]}");
    (void)state;
    expect(t, "www.foo.com", "/", "", "exact");
    expect(t, "WWW.Foo.COM", "/", "", "exact");
    expect(t, "upper.com", "/", "", "exact");
    expect(t, "a.b.foo.com", "/", "", "star-foo");
    expect(t, "x-bar.foo.com", "/", "", "bar-foo");
    expect(t, "foo.com", "/", "", "any");
    expect(t, "www.example.com", "/", "", "www");
    expect(t, "www.foo.com:8080", "/", "", "www"); /* the port is part of the name */
    expect(t, "www.foo.com.", "/", "", "www");
    expect(t, "", "/", "", "any");
    route_table_unref(t);
    t = table("{'ignore_port_in_host_matching':true,'virtual_hosts':[" HOST("a", "'a.com'") "]}");
    expect(t, "a.com:81", "/", "", "a");
    expect(t, "b.com", "/", "", "no host");
    route_table_unref(t);
}

static void test_paths(void **state)
{
    struct route_table *t = table(
        "{'virtual_hosts':[{'name':'v','domains':['*'],'routes':["
        "{'name':'exact','match':{'path':'/exact'},'route':{'cluster':'c'}},"
        "{'name':'nocase','match':{'path':'/Case','case_sensitive':false},'route':{'cluster':'c'}},"
        "{'name':'seg','match':{'path_separated_prefix':'/seg'},'route':{'cluster':'c'}},"
        "{'name':'regex','match':{'safe_regex':{'regex':'/r/[0-9]+'}},'route':{'cluster':'c'}},"
        "{'name':'api2','match':{'prefix':'/api/v2'},'route':{'cluster':'c'}},"
        "{'name':'api','match':{'prefix':'/api'},'route':{'cluster':'c'}},"
        "{'name':'late','match':{'prefix':'/api/v2/late'},'route':{'cluster':'c'}}]}]}");
    (void)state;
    expect(t, "x", "/exact", "", "exact");
    expect(t, "x", "/exact?q=1", "", "exact");
    expect(t, "x", "/exact/", "", "none");
    expect(t, "x", "/cASE", "", "nocase");
    expect(t, "x", "/seg", "", "seg");
    expect(t, "x", "/seg/a", "", "seg");
    expect(t, "x", "/segment", "", "none");
    expect(t, "x", "/r/12", "", "regex");
    expect(t, "x", "/r/12/", "", "none"); /* the whole path */
    expect(t, "x", "/r/", "", "none");
    expect(t, "x", "/api/v2/late", "", "api2"); /* the first that matches, not the longest */
    expect(t, "x", "/apix", "", "api");
    expect(t, "x", "/a/../api", "", "none"); /* nothing is normalised unasked */
    route_table_unref(t);
}

#define WITH(name, matcher)                                                                        \
    "{'name':'" name "','match':{'prefix':'/'," matcher "},'route':{'cluster':'c'}}"

static void test_fields_and_query(void **state)
{
    struct route_table *t = table("{'virtual_hosts':[{'name':'v','domains':['*'],'routes':[" WITH(
        "one",
        "'headers':["
        "{'name':'x-"
        "a','string_"
        "match':{'"
        "exact':'1'}"
        "}]") "," WITH("not",
                       "'headers':[{'name':'X-Not','string_match':{'exact':'1'},'invert_match':"
                       "true}]") "," WITH("range",
                                          "'headers':[{'name':'x-n','range_match':{'start':1,'end':"
                                          "10}}]") "," WITH("absent",
                                                            "'headers':[{'name':'x-must','present_"
                                                            "match':false},{'name':'x-gone'}"
                                                            "]") "," WITH("empty",
                                                                          "'headers':[{'"
                                                                          "name':'x-e','"
                                                                          "string_match':{"
                                                                          "'"
                                                                          "exact':''},"
                                                                          "'treat_missing_"
                                                                          "header_as_"
                                                                          "empty':true},{'"
                                                                          "name'"
                                                                          ":'x-want-empty'"
                                                                          "}]") "," WITH("method",
                                                                                         "'headers'"
                                                                                         ":[{'"
                                                                                         "name':':"
                                                                                         "method'"
                                                                                         ",'string_"
                                                                                         "match'"
                                                                                         ":{'exact'"
                                                                                         ":'PUT'"
                                                                                         "}}]") "," WITH("query",
                                                                                                         "'query_parameters':[{'name':'a','string_match':{'exact':'1'}}]") "," WITH("grpc",
                                                                                                                                                                                    "'grpc':{}") ","
                                                                                                                                                                                                 "{'name':'rest','match':{'prefix':'/'},'route':{'cluster':'c'}}]}]}");
    struct asked a;
    (void)state;
    expect(t, "x", "/", "x-a: 1\r\nX-A: 2\r\n", "one"); /* each value alone */
    expect(t, "x", "/", "x-a: 2\r\nx-a: 1\r\n", "one");
    expect(t, "x", "/", "x-a: 1,2\r\n", "rest"); /* one line is one value */
    expect(t, "x", "/", "x-not: 2\r\n", "not");
    expect(t, "x", "/", "x-not: 2\r\nx-not: 1\r\n", "rest");
    expect(t, "x", "/", "", "rest"); /* missing: inverted ones fail, too */
    expect(t, "x", "/", "x-n: 9\r\n", "range");
    expect(t, "x", "/", "x-n: 10\r\n", "rest");
    expect(t, "x", "/", "x-n: 9x\r\n", "rest");
    expect(t, "x", "/", "x-gone: y\r\n", "absent");
    expect(t, "x", "/", "x-gone: y\r\nx-must: z\r\n", "rest");
    expect(t, "x", "/", "x-want-empty: y\r\n", "empty");
    assert_string_equal(route_of(t, ask(&a, "PUT", "x", "/", "")), "method");
    expect(t, "x", "/?b=2&a=1", "", "query");
    expect(t, "x", "/?a=2&a=1", "", "rest"); /* the first counts */
    expect(t, "x", "/?A=1", "", "rest");
    expect(t, "x", "/", "content-type: application/grpc+proto\r\n", "grpc");
    expect(t, "x", "/", "content-type: application/grpcx\r\n", "rest");
    route_table_unref(t);
}

/* A table that is refused says which field and why. */
static void test_refused(void **state)
{
    static const struct {
        const char *json, *words;
    } cases[] = {
        {"{'virtual_hosts':[" HOST("a", "'a.com','A.com'") "]}",
         "domains[1]: domain a.com is there twice"},
        {"{'virtual_hosts':[" HOST("a", "'*'") "," HOST("b", "'*'") "]}",
         "virtual_hosts[1].domains[0]: domain * is there twice: only a single wildcard"},
        {"{'virtual_hosts':[{'name':'v','domains':[]}]}", "domains must not be empty"},
        {"{'virtual_hosts':[{'name':'v','domains':['*'],'routes':[{'match':{},'route':{'cluster':'"
         "c'}}"
         "]}]}",
         "routes[0].match: needs one of prefix"},
        {"{'virtual_hosts':[{'name':'v','domains':['*'],'routes':[{'match':{'prefix':'/'}}]}]}",
         "needs one of route, redirect"},
        {"{'virtual_hosts':[{'name':'v','domains':['*'],'routes':[{'match':{'safe_regex':{'regex':"
         "'(?=a)'}},'route':{'cluster':'c'}}]}]}",
         "safe_regex.regex: RE2 has no looking ahead"},
        {"{'virtual_hosts':[{'name':'v','domains':['*'],'routes':[{'match':{'prefix':'/'},'route':{"
         "'weighted_clusters':{'clusters':[{'name':'a','weight':0}]}}}]}]}",
         "sum of the weights"},
        {"{'virtual_hosts':[{'name':'v','domains':['*'],'routes':[{'match':{'prefix':'/'},'route':{"
         "'cluster':'c','prefix_rewrite':'/a','regex_rewrite':{'pattern':{'regex':'a'},"
         "'substitution':'b'}}}]}]}",
         "only one of prefix_rewrite"},
        {"{'virtual_hosts':[{'name':'v','domains':['*'],'routes':[{'match':{'prefix':'/'},'route':{"
         "'cluster':'c','regex_rewrite':{'pattern':{'regex':'(a)'},'substitution':'\\\\2'}}}]}]}",
         "names group 2"},
        {"{'request_headers_to_add':[{'header':{'key':':path','value':'x'}}]}",
         "may not be changed"},
        {"{'request_headers_to_add':[{'header':{'key':'x','value':'%NOPE%'}}]}",
         "request_headers_to_add[0].header: unknown operator %NOPE%"},
        {"{'virtual_hosts':[{'name':'v','domains':['*'],'routes':[{'match':{'path_separated_prefix'"
         ":"
         "'/a/'},'route':{'cluster':'c'}}]}]}",
         "not end in it"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route_table *t = NULL;
        struct err err = {0};
        assert_int_equal(table_from(cases[i].json, &t, &err), -EINVAL);
        if (!strstr(err_text(&err), cases[i].words))
            fail_msg("%s\nis not about: %s", err_text(&err), cases[i].words);
    }
}

static void test_weights(void **state)
{
    struct route_table *t = table(
        "{'virtual_hosts':[{'name':'v','domains':['*'],'routes':[{'match':{'prefix':'/'},'route':{"
        "'weighted_clusters':{'clusters':[{'name':'a','weight':90},{'name':'z','weight':0},"
        "{'name':'b','weight':10}]}}}]}]}");
    const struct route_forward *f = &t->hosts[0]->routes[0].forward;
    unsigned counts[3] = {0};
    (void)state;
    for (uint64_t random = 0; random < 1000; random++)
        counts[route_choose_cluster(f, random) - f->clusters]++;
    assert_int_equal(counts[0], 900);
    assert_int_equal(counts[1], 0);
    assert_int_equal(counts[2], 100);
    route_table_unref(t);
}

/* Random routes: what the index finds is the first that matches. */
static void test_the_index_is_the_list(void **state)
{
    static const char *const parts[] = {"a", "b", "ab", "abc", "x/y", ""};
    static const char *const kinds[] = {"prefix", "path", "path_separated_prefix"};
    uint32_t seed = 3;
    (void)state;
    for (int round = 0; round < 60; round++) {
        AUTO_DONE(buf) struct buf json = {0};
        buf_add_cstr(&json, "{'virtual_hosts':[{'name':'v','domains':['*'],'routes':[");
        for (int i = 0; i < 40; i++) {
            seed = seed * 1664525 + 1013904223;
            const char *kind = kinds[(seed >> 24) % 3], *one = parts[(seed >> 16) % 6],
                       *two = parts[(seed >> 10) % 5];
            buf_addf(&json, "%s{'name':'%d','match':{'%s':'/%s%s%s'%s},'route':{'cluster':'c'}}",
                     i ? "," : "", i, kind, one, *one ? "/" : "", two,
                     (seed >> 8) % 7 == 0 ? ",'case_sensitive':false" : "");
        }
        buf_add_cstr(&json, "]}]}");
        struct route_table *t = table(buf_cstr(&json));
        for (int i = 0; i < 200; i++) {
            struct asked a;
            struct route_query q;
            char path[64];
            seed = seed * 1664525 + 1013904223;
            snprintf(path, sizeof(path), "/%s/%s%s", parts[(seed >> 24) % 6],
                     parts[(seed >> 16) % 6], parts[(seed >> 10) % 6]);
            route_query_init(&q, ask(&a, "GET", "x", path, ""), 0);
            const struct route *want = NULL;
            for (size_t r = 0; r < t->hosts[0]->n_routes && !want; r++)
                if (route_matches(&t->hosts[0]->routes[r].match, &q))
                    want = &t->hosts[0]->routes[r];
            assert_ptr_equal(route_host_find(t->hosts[0], &q), want);
        }
        route_table_unref(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_fields_and_query),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_the_index_is_the_list),
    };
    return RUN_TESTS(tests);
}
