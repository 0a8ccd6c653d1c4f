/* Which route decides, and why the earlier ones do not. That the proxy asks the same is seen in
 * tests/e2e/control. */
#include "test.h"

#include "base/vec.h"
#include "model/explain.h"

static struct route *add(struct route_host *h, enum route_path_kind kind, const char *text)
{
    struct route *r = route_host_add(h);
    r->path = (struct route_path){.kind = kind, .text = xstrdup(text)};
    r->origin = (struct route_origin){"Ingress", xstrdup("ns/i"), xstrdup(text)};
    r->action = ROUTE_ANSWER;
    r->status = 200;
    return r;
}

static void want_header(struct route *r, const char *name, const char *value, bool regex)
{
    r->headers = xrealloc(r->headers, (r->n_headers + 1u) * sizeof(*r->headers));
    r->headers[r->n_headers++] = (struct route_header){xstrdup(name), xstrdup(value),
                                                       regex ? ROUTE_IS_LIKE : ROUTE_IS, false};
}

/* "why|why|MATCH": each step; MATCH is the text of the route that decided. */
static void expect(const struct route_host *h, const char *host, const char *path,
                   const char *header, const char *value, const char *want)
{
    AUTO_DONE(buf) struct buf b = {0};
    const struct explain_header one = {str_from(header), str_from(value)};
    const struct explain_request q = {.method = STR("GET"),
                                      .host = str_from(host),
                                      .path = str_from(path),
                                      .headers = &one,
                                      .n_headers = header ? 1 : 0};
    struct explanation e;
    explain_route(h, &q, &e);
    VEC_FOREACH (s, &e)
        buf_addf(&b, "%s%s", b.n ? "|" : "", s->matches ? s->route->path.text : s->why);
    assert_true(!e.decided || e.decided == e.v[e.n - 1].route);
    explanation_done(&e);
    assert_string_equal(buf_cstr(&b), want);
}

static void test_paths(void **state)
{
    struct route_host *h = route_host_new("a.example");
    (void)state;
    add(h, ROUTE_PATH_EXACT, "/x");
    add(h, ROUTE_PATH_SEGMENTS, "/s");
    add(h, ROUTE_PATH_PREFIX, "/p/");
    add(h, ROUTE_PATH_REGEX, "/r/[0-9]");
    add(h, ROUTE_PATH_REGEX, "/I")->path.ignore_case = true;
    expect(h, "a.example", "/x", NULL, NULL, "/x");
    expect(h, "a.example", "/s/1", NULL, NULL, "the path is /s/1|/s");
    expect(h, "a.example", "/s", NULL, NULL, "the path is /s|/s");
#define NO(path) "the path is " path "|"
    expect(h, "a.example", "/p/1", NULL, NULL, NO("/p/1") NO("/p/1") "/p/");
    expect(h, "a.example", "/r/12", NULL, NULL, NO("/r/12") NO("/r/12") NO("/r/12") "/r/[0-9]");
    expect(h, "a.example", "/i/x", NULL, NULL, NO("/i/x") NO("/i/x") NO("/i/x") NO("/i/x") "/I");
    expect(h, "a.example", "/sx", NULL, NULL,
           NO("/sx") NO("/sx") NO("/sx") NO("/sx") "the path is /sx");
    route_host_unref(h);
}

/* What only rules of the mesh ask for. */
static void test_further_comparisons(void **state)
{
    struct route_host *h = route_host_new("a.example");
    struct route *r;
    (void)state;
    r = add(h, ROUTE_PATH_EXACT, "/Case");
    r->path.ignore_case = true;
    want_header(r, "x-p", "ab", false);
    r->headers[0].how = ROUTE_BEGINS_WITH;
    r = add(h, ROUTE_PATH_REGEX, "/w");
    r->path.whole = true;
    want_header(r, "x-p", "", false);
    r->headers[0].how = ROUTE_IS_THERE;
    r->headers[0].not = true;
    want_header(add(h, ROUTE_PATH_PREFIX, "/m"), ":method", "PUT", false);
    add(h, ROUTE_PATH_PREFIX, "/");
    expect(h, "a.example", "/cASE", "X-P", "abc", "/Case");
    expect(h, "a.example", "/case", "X-P", "b",
           "x-p is \"b\", not beginning with \"ab\"|the path is /case|the path is /case|/");
    expect(h, "a.example", "/w", NULL, NULL, "the path is /w|/w");
    expect(h, "a.example", "/w", "X-P", "b",
           "the path is /w|x-p is \"b\", and may not be there|the path is /w|/");
    expect(h, "a.example", "/m", NULL, NULL,
           "the path is /m|the path is /m|:method is \"GET\", not \"PUT\"|/");
    route_host_unref(h);
}

static void test_headers(void **state)
{
    struct route_host *h = route_host_new("a.example");
    (void)state;
    want_header(add(h, ROUTE_PATH_PREFIX, "/"), "x-canary", "always", false);
    want_header(add(h, ROUTE_PATH_PREFIX, "/"), "cookie", "(.*;)? *c=1 *(;.*)?", true);
    add(h, ROUTE_PATH_PREFIX, "/");
    expect(h, "a.example", "/", "X-Canary", "always", "/");
    expect(h, "a.example", "/", "X-Canary", "never",
           "x-canary is \"never\", not \"always\"|the request has no cookie|/");
    expect(h, "a.example", "/", "Cookie", "a=b; c=1", "the request has no x-canary|/");
    expect(h, "a.example", "/", "Cookie", "c=2",
           "the request has no x-canary|cookie is \"c=2\", not of the form "
           "\"(.*;)? *c=1 *(;.*)?\"|/");
    route_host_unref(h);
}

static void test_https_and_wildcards(void **state)
{
    struct route_host *h = route_host_new("*.a.example");
    struct explain_request q = {.host = STR("x.a.example"), .path = STR("/")};
    struct explanation e;
    (void)state;
    h->one_label = true;
    add(h, ROUTE_PATH_PREFIX, "/")->https_only = true;
    explain_route(h, &q, &e);
    assert_true(e.to_https);
    explanation_done(&e);
    q.tls = true;
    explain_route(h, &q, &e);
    assert_true(e.decided && !e.to_https);
    explanation_done(&e);
    expect(h, "y.x.a.example", "/", NULL, NULL, "*.a.example stands for one label");
    route_host_unref(h);
}

static void test_names_of_hosts(void **state)
{
    static const char *const want[] = {"x.y.example", "*.y.example", "*", NULL};
    (void)state;
    for (size_t n = 0; n < 4; n++) {
        AUTO_CHARS char *name = explain_host_name(STR("X.y.Example"), n);
        assert_true(streq(name, want[n]));
    }
    AUTO_CHARS char *single = explain_host_name(STR("localhost"), 1);
    assert_string_equal(single, "*");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_further_comparisons),
        cmocka_unit_test(test_https_and_wildcards),
        cmocka_unit_test(test_names_of_hosts),
    };
    return RUN_TESTS(tests);
}
