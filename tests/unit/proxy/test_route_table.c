/* Tables read from the wire: what has not changed is kept, and whoever asks cannot tell. */
#include <errno.h>
#include <stdio.h>

#include "message_test.h"
#include "proxy/route.h"
#include "xds/xds_check.h"

static struct buf packed(const char *text)
{
    AUTO(arena) struct arena *a = arena_new(0);
    struct buf b = {0};
    assert_ok(pb_pack(
        message_from(text, &envoy__config__route__v3__route_configuration__descriptor, a), &b));
    return b;
}

static int read_from(const char *text, const struct route_table *before, struct route_table **ret,
                     struct err *reterr)
{
    AUTO_DONE(buf) struct buf b = packed(text);
    AUTO_DONE(xds_report) struct xds_report report = {0};
    return route_table_read(buf_str(&b), before, ret, &report, reterr);
}

static struct route_table *read_table(const char *text, const struct route_table *before)
{
    struct route_table *t = NULL;
    struct err err = {0};
    if (read_from(text, before, &t, &err) < 0)
        fail_msg("%s", err_text(&err));
    return t;
}

#define HOST(name, cluster)                                                                        \
    "{'name':'" name "','domains':['" name "'],'routes':[{'name':'r','match':{'prefix':'/'},"      \
    "'route':{'cluster':'" cluster "'}}]}"
#define TABLE(outer, hosts) "{'name':'t'" outer ",'virtual_hosts':[" hosts "]}"

static void test_what_is_the_same_is_kept(void **state)
{
    struct route_table *a = read_table(TABLE("", HOST("a", "c1") "," HOST("b", "c2")), NULL);
    struct route_table *b =
        read_table(TABLE("", HOST("new", "c3") "," HOST("b", "c2") "," HOST("a", "c4")), a);
    (void)state;
    assert_int_equal(b->n_hosts, 3);
    assert_ptr_equal(b->hosts[1], a->hosts[1]);
    assert_ptr_not_equal(b->hosts[2], a->hosts[0]);
    assert_true(route_table_names_cluster(b, STR("c2")));
    assert_true(route_table_names_cluster(b, STR("c4")));
    assert_false(route_table_names_cluster(b, STR("c1")));
    route_table_unref(a); /* what they share lives on */
    assert_ptr_equal(route_table_host(b, STR("B")), b->hosts[1]);
    assert_true(str_is(b->hosts[1]->routes[0].forward.clusters[0].name, "c2"));
    route_table_unref(b);
}

/* Under another outer table a host is another. */
static void test_what_is_around_hosts_counts(void **state)
{
    struct route_table *a = read_table(TABLE("", HOST("a", "c1")), NULL);
    struct route_table *b =
        read_table(TABLE(",'request_headers_to_remove':['x-y']", HOST("a", "c1")), a);
    (void)state;
    assert_ptr_not_equal(a->hosts[0], b->hosts[0]);
    assert_true(a->hosts[0]->routes[0].keeps_fields);
    assert_false(b->hosts[0]->routes[0].keeps_fields);
    route_table_unref(a);
    route_table_unref(b);
}

/* They are in the table's memory, which goes with it. */
static void test_mirrors_of_a_table_are_not_lent(void **state)
{
    static const char text[] =
        TABLE(",'request_mirror_policies':[{'cluster':'m'}]", HOST("a", "c"));
    struct route_table *a = read_table(text, NULL), *b = read_table(text, a);
    (void)state;
    assert_ptr_not_equal(a->hosts[0], b->hosts[0]);
    route_table_unref(a);
    assert_true(route_table_names_cluster(b, STR("m")));
    assert_int_equal(b->hosts[0]->routes[0].forward.mirrors.n, 1);
    route_table_unref(b);
}

static void refused(const char *text, const struct route_table *before, const char *path,
                    const char *message)
{
    struct route_table *t;
    struct err err = {0};
    assert_true(read_from(text, before, &t, &err) < 0);
    assert_string_equal(err.path, path);
    if (!strstr(err.msg, message))
        fail_msg("%s", err.msg);
}

static void test_paths_of_what_is_wrong(void **state)
{
    struct route_table *a = read_table(TABLE("", HOST("a", "c1")), NULL);
    (void)state;
    refused(TABLE("", HOST("a", "c1") "," HOST("A", "c1")), a, "virtual_hosts[1].domains[0]",
            "domain a is there twice");
    refused(TABLE("", HOST("a", "c1") ",{'name':'b','domains':['b'],'routes':[{'match':{}}]}"), a,
            "virtual_hosts[1].routes[0].match", "must be set");
    refused(TABLE("", HOST("a", "c1") ",{'name':'b','domains':['b'],'routes':[{'match':{'prefix':"
                                      "'/'},'route':{'cluster':'c'},'tracing':{}}]}"),
            a, "virtual_hosts[1].routes[0].tracing", "not implemented");
    refused(TABLE("", "{'name':'b','domains':['']}"), NULL, "virtual_hosts[0].domains[0]",
            "must not be empty");
    route_table_unref(a);
}

static void test_bytes_that_are_none(void **state)
{
    /* a virtual host of one byte that is no field; a length beyond the end; a name with a zero */
    static const struct {
        struct str bytes;
        const char *path;
    } bad[] = {{STR("\x12\x01\x0c"), "virtual_hosts[0]"},
               {STR("\x12\x7f"), ""},
               {STR("\x12\x03\x0a\x01\x00"), "virtual_hosts[0].name"},
               {STR("\x0a\x01\x00"), "name"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO_DONE(xds_report) struct xds_report report = {0};
        struct route_table *t;
        struct err err = {0};
        assert_int_equal(route_table_read(bad[i].bytes, NULL, &t, &report, &err), -EBADMSG);
        assert_string_equal(err.path, bad[i].path);
    }
}

/* ---- random tables: read behind another, and by themselves ---- */

enum { HOSTS = 12, CLUSTERS = 4, STEPS = 400 };

static uint32_t below(uint32_t *state, uint32_t n)
{
    *state = *state * 1664525 + 1013904223;
    return (*state >> 8) % n;
}

static void random_table(uint32_t *r, uint8_t cluster[HOSTS], struct buf *text)
{
    bool first = true;
    buf_clear(text);
    buf_addf(text, "{'name':'t'%s,'virtual_hosts':[",
             below(r, 8) ? "" : ",'ignore_port_in_host_matching':true");
    if (below(r, 4)) /* few change; else nothing does */
        cluster[below(r, HOSTS)] = (uint8_t)below(r, CLUSTERS);
    size_t from = below(r, 3) ? 0 : below(r, HOSTS);
    for (size_t i = 0; i < HOSTS; i++) {
        size_t h = (from + i) % HOSTS;
        if (!cluster[h])
            continue;
        buf_addf(text,
                 "%s{'name':'h%zu','domains':['h%zu.example','*.h%zu.example'],'routes':[{'match':{"
                 "'safe_regex':{'regex':'/a.*'}},'redirect':{}},{'match':{'prefix':'/'},'route':{"
                 "'cluster':'c%d'}}]}",
                 first ? "" : ",", h, h, h, cluster[h]);
        first = false;
    }
    buf_add_cstr(text, "]}");
}

static void same_answer(const struct route_table *a, const struct route_table *b, const char *host,
                        const char *path)
{
    struct asked asked;
    struct route_query q;
    route_query_init(&q, ask(&asked, "GET", host, path, ""), 1);
    const struct route_host *ha = route_table_host(a, q.host), *hb = route_table_host(b, q.host);
    assert_int_equal(!ha, !hb);
    if (!ha)
        return;
    const struct route *ra = route_host_find(ha, &q), *rb = route_host_find(hb, &q);
    assert_int_equal(ra->kind, rb->kind);
    if (ra->kind == ROUTE_FORWARD) {
        struct str name = ra->forward.clusters[0].name;
        assert_true(str_eq(name, rb->forward.clusters[0].name));
        assert_true(route_table_names_cluster(a, name) && route_table_names_cluster(b, name));
    }
}

static void test_random_histories(void **state)
{
    uint32_t r = 20;
    uint8_t cluster[HOSTS] = {0};
    struct route_table *before = NULL;
    AUTO_DONE(buf) struct buf text = {0};
    size_t kept = 0;
    (void)state;
    for (unsigned step = 0; step < STEPS; step++) {
        random_table(&r, cluster, &text);
        struct route_table *after = read_table(buf_cstr(&text), before);
        struct route_table *alone = read_table(buf_cstr(&text), NULL);
        assert_int_equal(after->n_hosts, alone->n_hosts);
        for (size_t h = 0; h < HOSTS; h++)
            for (unsigned k = 0; k < 6; k++) {
                static const char *const paths[] = {"/a", "/b"};
                char name[40];
                snprintf(name, sizeof(name), "%sh%zu.example%s", k & 1 ? "x." : "", h,
                         k > 3 ? ":80" : "");
                same_answer(after, alone, name, paths[k / 2 % 2]);
            }
        for (size_t i = 0; before && i < after->n_hosts; i++)
            for (size_t k = 0; k < before->n_hosts; k++)
                kept += after->hosts[i] == before->hosts[k];
        route_table_unref(alone);
        route_table_unref(before);
        before = after;
    }
    route_table_unref(before);
    assert_true(kept > (size_t)STEPS * HOSTS / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_the_same_is_kept),
        cmocka_unit_test(test_what_is_around_hosts_counts),
        cmocka_unit_test(test_mirrors_of_a_table_are_not_lent),
        cmocka_unit_test(test_paths_of_what_is_wrong),
        cmocka_unit_test(test_bytes_that_are_none),
        cmocka_unit_test(test_random_histories),
    };
    return RUN_TESTS(tests);
}
