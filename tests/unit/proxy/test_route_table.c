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

/* A host knows nothing of what is around it. */
static void test_what_is_around_hosts(void **state)
{
    struct route_table *a = read_table(TABLE("", HOST("a", "c1")), NULL);
    struct route_table *b =
        read_table(TABLE(",'request_headers_to_remove':['x-y'],'request_mirror_policies':[{"
                         "'cluster':'m'}]",
                         HOST("a", "c1")),
                   a);
    struct route_table *c =
        read_table(TABLE(",'max_direct_response_body_size_bytes':10", HOST("a", "c1")), b);
    (void)state;
    assert_ptr_equal(a->hosts[0], b->hosts[0]);
    assert_true(a->keeps_fields && a->hosts[0]->routes[0].keeps_fields);
    assert_false(b->keeps_fields);
    assert_int_equal(b->mirrors.n, 1);
    assert_false(route_table_names_cluster(a, STR("m")));
    assert_true(route_table_names_cluster(b, STR("m")));
    assert_ptr_not_equal(b->hosts[0], c->hosts[0]); /* its bodies are to be looked at again */
    route_table_unref(a);
    route_table_unref(b);
    route_table_unref(c);
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

/* ---- hosts that come by themselves ---- */

static void test_vhds(void **state)
{
    struct route_table *t = read_table(
        TABLE(",'vhds':{'config_source':{'ads':{},'initial_fetch_timeout':'2s'}}", ""), NULL);
    (void)state;
    assert_true(t->hosts_come);
    assert_int_equal(t->hosts_warm_ms, 2000);
    route_table_unref(t);
    refused("{'name':'t','vhds':{}}", NULL, "vhds.config_source", "required");
    refused("{'name':'t','vhds':{'config_source':{'path':'/x'}}}", NULL, "vhds.config_source",
            "only ads");
}

static struct route_host *read_one(const struct route_table *outer, const char *name,
                                   const char *domains)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_DONE(buf) struct buf text = {0}, b = {0};
    AUTO_DONE(xds_report) struct xds_report report = {0};
    struct route_host *h;
    buf_addf(&text,
             "{'name':'%s','domains':[%s],'routes':[{'match':{'prefix':'/'},'redirect':{}}]}", name,
             domains);
    assert_ok(pb_pack(
        message_from(buf_cstr(&text), &envoy__config__route__v3__virtual_host__descriptor, a), &b));
    assert_ok(route_host_read(buf_str(&b), outer, &h, &report, NULL));
    return h;
}

enum { NAMES = 300, ROUNDS = 300, TABLES = 4, CHANGES = 24 };

/* A table, and the plain list of what is joined in it: a reference each. */
struct joined {
    struct route_table *table;
    struct route_host *hosts[NAMES];
};

static void joined_done(struct joined *j)
{
    route_table_unref(j->table);
    for (size_t i = 0; i < NAMES; i++)
        route_host_unref(j->hosts[i]);
    memset(j, 0, sizeof(*j));
}

/* Some of `before`, each once. The new ones' references are the caller's. */
static size_t random_changes(const struct route_table *outer, const struct joined *before,
                             unsigned round, uint32_t *r, struct route_change *ret,
                             size_t at[CHANGES])
{
    bool touched[NAMES] = {false};
    size_t n = 0;
    for (size_t many = round % 50 ? 1 + below(r, 5) : CHANGES, i = 0; i < many; i++) {
        size_t h = below(r, NAMES);
        char name[32], domains[96];
        bool goes = before->hosts[h] && below(r, 4) == 0;
        if (touched[h])
            continue;
        touched[h] = true;
        snprintf(name, sizeof(name), "h%zu", h);
        snprintf(domains, sizeof(domains), "'h%zu.example','*.h%zu.example','x%zu.*'", h, h, h);
        at[n] = h;
        ret[n++] =
            (struct route_change){before->hosts[h], goes ? NULL : read_one(outer, name, domains)};
    }
    return n;
}

static void check_joined(const struct joined *j, size_t from)
{
    for (size_t i = from % 7; j->table && i < NAMES; i += 7) {
        char name[64];
        snprintf(name, sizeof(name), "%s%zu.example", i % 2 ? "a.H" : "h", i);
        assert_ptr_equal(route_table_host(j->table, str_from(name)), j->hosts[i]);
        snprintf(name, sizeof(name), "x%zu.org", i);
        assert_ptr_equal(route_table_host(j->table, str_from(name)), j->hosts[i]);
    }
}

/* Hundreds of hosts come, change and go, a few at a time; each table finds what a plain list of
 * them does, the older ones too. */
static void test_joined_tables(void **state)
{
    struct joined all[TABLES] = {{NULL, {NULL}}};
    struct route_table *outer =
        read_table(TABLE(",'vhds':{'config_source':{'ads':{}}}", HOST("own.example", "c1")), NULL);
    uint32_t r = 7;
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        const struct joined *before = &all[round % TABLES];
        struct joined *after = &all[(round + 1) % TABLES];
        struct route_change changes[CHANGES];
        size_t at[CHANGES], n = random_changes(outer, before, round, &r, changes, at);
        joined_done(after);
        assert_ok(route_table_join(outer, before->table, changes, n, &after->table, NULL));
        for (size_t i = 0; i < NAMES; i++)
            after->hosts[i] = before->hosts[i] ? route_host_ref(before->hosts[i]) : NULL;
        for (size_t i = 0; i < n; i++) {
            route_host_unref(after->hosts[at[i]]);
            after->hosts[at[i]] = changes[i].after;
        }
        for (size_t i = 0; i < TABLES; i++)
            check_joined(&all[i], round);
        assert_ptr_equal(route_table_host(after->table, STR("own.example")), outer->hosts[0]);
        assert_null(route_table_host(after->table, STR(".example")));
    }
    for (size_t i = 0; i < TABLES; i++)
        joined_done(&all[i]);
    route_table_unref(outer);
}

/* A domain that another has: nothing is made, and nothing lost. */
static void test_joined_tables_that_clash(void **state)
{
    struct route_table *outer =
        read_table(TABLE(",'vhds':{'config_source':{'ads':{}}}", HOST("own.example", "c1")), NULL);
    struct route_host *one = read_one(outer, "one", "'a.example','*'"),
                      *clash = read_one(outer, "clash", "'new.example','own.example'"),
                      *other = read_one(outer, "other", "'*'");
    struct route_table *t, *none;
    struct err err = {0};
    (void)state;
    assert_ok(route_table_join(outer, NULL, &(struct route_change){NULL, one}, 1, &t, &err));
    assert_int_equal(
        route_table_join(outer, t, &(struct route_change){NULL, clash}, 1, &none, &err), -EINVAL);
    assert_string_equal(err.msg, "virtual host clash: domain own.example is there twice");
    assert_int_equal(
        route_table_join(outer, t, &(struct route_change){NULL, other}, 1, &none, &err), -EINVAL);
    assert_ptr_equal(route_table_host(t, STR("new.example")), one);
    /* in its place it may have it */
    assert_ok(route_table_join(outer, t, &(struct route_change){one, other}, 1, &none, &err));
    assert_ptr_equal(route_table_host(none, STR("a.example")), other);
    assert_ptr_equal(route_table_host(t, STR("a.example")), one);
    route_table_unref(none);
    route_table_unref(t);
    route_host_unref(one);
    route_host_unref(clash);
    route_host_unref(other);
    route_table_unref(outer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_the_same_is_kept),
        cmocka_unit_test(test_what_is_around_hosts),
        cmocka_unit_test(test_paths_of_what_is_wrong),
        cmocka_unit_test(test_bytes_that_are_none),
        cmocka_unit_test(test_random_histories),
        cmocka_unit_test(test_vhds),
        cmocka_unit_test(test_joined_tables),
        cmocka_unit_test(test_joined_tables_that_clash),
    };
    return RUN_TESTS(tests);
}
