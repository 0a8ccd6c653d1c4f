/* New paths, hosts and locations, and changes of fields, as Envoy was seen to make them. */
#include <errno.h>
#include <stdio.h>

#include "proxy/route_rewrite.h"
#include "proxy_test.h"

static struct str rewritten(const char *match, const char *action, const char *path, char kind,
                            struct arena *a)
{
    AUTO_DONE(buf) struct buf json = {0};
    struct asked asked;
    struct route_query q;
    buf_addf(&json, "{'virtual_hosts':[{'name':'v','domains':['*'],'routes':[{'match':{%s},%s}]}]}",
             match, action);
    struct route_table *t = table(buf_cstr(&json));
    const struct route *r = &t->hosts[0]->routes[0];
    route_query_init(&q, ask(&asked, "GET", "a:8080", path, "x-host: h.test\r\n"), 0);
    assert_true(route_matches(&r->match, &q));
    struct str s = kind == 'p'   ? route_rewrite_path(r, &q, a)
                   : kind == 'h' ? route_rewrite_host(r, &r->forward.clusters[0], &q, a)
                                 : route_redirect_location(r, &q, STR("http"), a);
    s = s.p ? arena_str(a, s) : s;
    route_table_unref(t);
    return s;
}

static void test_paths(void **state)
{
    static const struct {
        const char *match, *action, *path, *want;
    } cases[] = {
        {"'prefix':'/api'", "'prefix_rewrite':'/'", "/api/foo", "//foo"},
        {"'prefix':'/api'", "'prefix_rewrite':'/'", "/api", "/"},
        {"'prefix':'/api'", "'prefix_rewrite':'/'", "/apix", "/x"},
        {"'prefix':'/api'", "'prefix_rewrite':'/'", "/api?x=1", "/?x=1"},
        {"'path_separated_prefix':'/sep'", "'prefix_rewrite':'/'", "/sep/", "//"},
        {"'path':'/one'", "'prefix_rewrite':'/two'", "/one?a", "/two?a"},
        {"'prefix':'/'",
         "'regex_rewrite':{'pattern':{'regex':'^/([a-z]+)/'},'substitution':"
         "'/\\\\1-'}",
         "/ab/c?d/e/", "/ab-c?d/e/"},
        {"'prefix':'/'", "'regex_rewrite':{'pattern':{'regex':'o'},'substitution':'0'}", "/foo",
         "/f00"},
        {"'prefix':'/'", "'timeout':'1s'", "/as/it?is", "/as/it?is"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(arena) struct arena *a = arena_new(0);
        char action[256];
        snprintf(action, sizeof(action), "'route':{'cluster':'c',%s}", cases[i].action);
        assert_str(rewritten(cases[i].match, action, cases[i].path, 'p', a), cases[i].want);
    }
}

static void test_hosts(void **state)
{
    static const struct {
        const char *action, *path, *want;
    } cases[] = {
        {"'host_rewrite_literal':'new.test'", "/", "new.test"},
        {"'host_rewrite_header':'X-Host'", "/", "h.test"},
        {"'host_rewrite_header':'x-none'", "/", NULL},
        {"'host_rewrite_path_regex':{'pattern':{'regex':'^/([a-z]+)/"
         ".*'},'substitution':'\\\\1.test'}",
         "/ten/x", "ten.test"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(arena) struct arena *a = arena_new(0);
        char action[256];
        snprintf(action, sizeof(action), "'route':{'cluster':'c',%s}", cases[i].action);
        struct str got = rewritten("'prefix':'/'", action, cases[i].path, 'h', a);
        if (cases[i].want)
            assert_str(got, cases[i].want);
        else
            assert_null(got.p);
    }
}

static void test_locations(void **state)
{
    static const struct {
        const char *redirect, *path, *want;
    } cases[] = {
        {"'https_redirect':true", "/p?q", "https://a:8080/p?q"},
        {"'host_redirect':'b.test'", "/p", "http://b.test/p"},
        {"'port_redirect':81", "/p", "http://a:81/p"},
        {"'path_redirect':'/new'", "/p?q", "http://a:8080/new?q"},
        {"'path_redirect':'/new?own'", "/p?q", "http://a:8080/new?own"},
        {"'path_redirect':'/new','strip_query':true", "/p?q", "http://a:8080/new"},
        {"'prefix_rewrite':'/n'", "/p/x", "http://a:8080/n/x"},
        {"'scheme_redirect':'ftp','host_redirect':'h','port_redirect':21", "/p", "ftp://h:21/p"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(arena) struct arena *a = arena_new(0);
        char action[256];
        snprintf(action, sizeof(action), "'redirect':{%s}", cases[i].redirect);
        assert_str(rewritten("'prefix':'/p'", action, cases[i].path, 'l', a), cases[i].want);
    }
}

static bool value(const struct format_piece *p, struct buf *to, void *user)
{
    struct http_field *f = head_find(user, (struct header_name){p->id, p->text});
    if (f)
        buf_add_str(to, http_field_value(f));
    return p->op == FORMAT_REQ && f;
}

static void test_changes_of_fields(void **state)
{
    struct route_table *t = table(
        "{'request_headers_to_remove':['X-Gone'],'request_headers_to_add':["
        "{'header':{'key':'x-new','value':'v'}},"
        "{'header':{'key':'x-a','value':'second'}},"
        "{'header':{'key':'x-over','value':'new'},'append_action':'OVERWRITE_IF_EXISTS_OR_ADD'},"
        "{'header':{'key':'x-if','value':'no'},'append_action':'ADD_IF_ABSENT'},"
        "{'header':{'key':'x-only','value':'no'},'append_action':'OVERWRITE_IF_EXISTS'},"
        "{'header':{'key':'x-req','value':'pre-%REQ(x-a)%'}},"
        "{'header':{'key':'x-cut','value':'%REQ(x-if):2%'}},"
        "{'header':{'key':'x-missing','value':'%REQ(x-nope)%'}},"
        "{'header':{'key':'x-mixed','value':'pre-%REQ(x-nope)%'}},"
        "{'header':{'key':'x-percent','value':'100%%'}}]}");
    struct asked a;
    struct http_head *h =
        ask(&a, "GET", "x", "/",
            "X-A: first\r\nx-gone: 1\r\nx-over: 1\r\nX-Over: 2\r\nx-if: there\r\n");
    AUTO(arena) struct arena *arena = arena_new(0);
    AUTO_DONE(chain) struct chain c = {0};
    (void)state;
    h->cap = h->n; /* no room: more is taken from the arena */
    header_ops_apply(&t->request_ops, h, arena, value, h);
    assert_ok(http1_write_fields(&c, h));
    assert_str(chain_front(&c),
               "host: x\r\nX-A: first\r\nx-if: there\r\nx-new: v\r\nx-a: second\r\n"
               "x-over: new\r\nx-req: pre-first\r\nx-cut: th\r\nx-mixed: pre-\r\n"
               "x-percent: 100%\r\n\r\n");
    route_table_unref(t);
}

/* A value that a request made must not make two fields of one. */
static bool evil(const struct format_piece *p, struct buf *to, void *user)
{
    (void)p;
    (void)user;
    buf_add_cstr(to, "a\r\nx-evil: 1");
    return true;
}

static void test_values_cannot_break_out(void **state)
{
    struct route_table *t =
        table("{'request_headers_to_add':[{'header':{'key':'x-a','value':'%REQ(x)%'}}]}");
    struct asked a;
    struct http_head *h = ask(&a, "GET", "x", "/", "");
    AUTO(arena) struct arena *arena = arena_new(0);
    (void)state;
    header_ops_apply(&t->request_ops, h, arena, evil, NULL);
    assert_int_equal(h->n, 1);
    route_table_unref(t);
}

static void test_regexes(void **state)
{
    static const char *const refused[] = {"(?!a)", "(?<=a)", "(?>a)", "(a)\\1",  "a*+",
                                          "a{2}+", "\\Ka",   "(?R)",  "(*FAIL)", "(?(1)a)",
                                          "(?|a)", "(?P=x)", "("};
    static const char *const taken[] = {"(?:a)", "(?i)a", "(?P<n>a)", "[a\\]]+",     "a+?",
                                        "a{2}?", "\\d+",  "a|b",      "[[:alpha:]]", "^/a$"};
    struct regex *r;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (regex_new(str_from(refused[i]), &r, NULL) != -EINVAL)
            fail_msg("accepted: %s", refused[i]);
    for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
        assert_ok(regex_new(str_from(taken[i]), &r, NULL));
        regex_free(r);
    }
    /* Row 49: no pattern's time explodes. */
    AUTO_DONE(buf) struct buf text = {0};
    for (int i = 0; i < 60000; i++)
        buf_add_char(&text, 'a');
    buf_add_char(&text, '!');
    assert_ok(regex_new(STR("(a+)+[bc]"), &r, NULL));
    assert_false(regex_matches_all(r, buf_str(&text)));
    AUTO_DONE(buf) struct buf out = {0};
    assert_int_equal(regex_replace(r, buf_str(&text), STR("x"), &out), -E2BIG); /* and says so */
    regex_free(r);
}

/* What matches is the whole text, never the beginning of it. */
static void test_regexes_match_all_or_nothing(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } rows[] = {
        {".*\\.example", "a.example", true},
        {".*\\.example", "a.example.evil", false},
        {".*a(b(c)?)?", "xabc", true},
        {".*a(b(c)?)?", "xaxx", false},
        {".*(a|ab)", "xab", true},
        {".*(a|ab)", "xabx", false},
        {".*?a", "xaya", true},
        {".*?a", "xax", false},
        {"(a|b).*c?", "bx", true},
        {"a|ab", "ab", true},
        {"a|ab", "abc", false},
        {"/a(/.*)?", "/ab", false},
        {".*", "", true},
        {".*a(b)*$", "xabb", true},
        {"(?i).*A(:[0-9]+)?", "x.a:80", true},
        {"(?i).*A(:[0-9]+)?", "x.a:80x", false},
    };
    struct regex *r;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_ok(regex_new(str_from(rows[i].pattern), &r, NULL));
        if (regex_matches_all(r, str_from(rows[i].text)) != rows[i].matches)
            fail_msg("%s and %s", rows[i].pattern, rows[i].text);
        regex_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_locations),
        cmocka_unit_test(test_changes_of_fields),
        cmocka_unit_test(test_values_cannot_break_out),
        cmocka_unit_test(test_regexes),
        cmocka_unit_test(test_regexes_match_all_or_nothing),
    };
    return RUN_TESTS(tests);
}
