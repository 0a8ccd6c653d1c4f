/* Pods by name and by address: who is found when several have one, what is told of, what is shared.
 */
#include "json_text.h"
#include "model/workload.h"

struct world {
    struct workloads *pods;
    struct buf told;
};

static void on_change(const struct workload *p, void *user)
{
    struct world *w = user;
    buf_addf(&w->told, "%s%s/%u", w->told.n ? " " : "", p->key, p->n_ips);
}

static void put(struct world *w, const char *text)
{
    AUTO_JSON json_t *j = json_of(text);
    workloads_put(w->pods, j);
}

static void put_pod(struct world *w, const char *name, const char *ip, const char *more)
{
    AUTO_CHARS char *text = xasprintf(
        "{'metadata':{'namespace':'ns','name':'%s'%s},'status':{'podIP':'%s'}}", name, more, ip);
    put(w, text);
}

static void assert_told(struct world *w, const char *want)
{
    assert_string_equal(buf_cstr(&w->told), want);
    buf_clear(&w->told);
}

/* "": nobody. */
static void assert_at(const struct world *w, const char *ip, const char *want)
{
    struct ip address;
    assert_ok(ip_parse(str_from(ip), &address));
    const struct workload *p = workloads_find_ip(w->pods, (struct str){0}, &address);
    assert_string_equal(p ? p->key : "", want);
}

static void start(struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->pods = workloads_new(on_change, w);
}

static void finish(struct world *w)
{
    workloads_free(w->pods);
    buf_done(&w->told);
}

static void test_what_is_read(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put(&w,
        "{'metadata':{'namespace':'shop','name':'web-6d4-x','labels':{'version':'v1','app':'web'},"
        "'ownerReferences':[{'kind':'ReplicaSet','name':'web-6d4'}]},"
        "'spec':{'serviceAccountName':'seller'},"
        "'status':{'podIP':'10.0.0.1','podIPs':[{'ip':'10.0.0.1'},{'ip':'fd00::1'}]}}");
    const struct workload *p = workloads_find(w.pods, STR("shop/web-6d4-x"));
    assert_non_null(p);
    assert_int_equal(p->n_ips, 2);
    assert_true(str_is(workload_namespace(p), "shop"));
    assert_true(str_is(workload_account(w.pods, p), "seller"));
    assert_true(str_is(workload_owner(w.pods, p), "web-6d4"));
    assert_string_equal(workload_label(w.pods, p, "app"), "web");
    assert_string_equal(workload_label(w.pods, p, "version"), "v1");
    assert_null(workload_label(w.pods, p, "v1"));
    assert_true(str_is(workload_canonical_name(w.pods, p), "web"));
    assert_true(str_is(workload_canonical_revision(w.pods, p), "v1"));
    AUTO_JSON json_t *some = json_of("{'version':'v1'}");
    AUTO_JSON json_t *other = json_of("{'app':'web','version':'v2'}");
    AUTO_JSON json_t *absent = json_of("{'tier':'web'}");
    assert_true(workload_has_labels(w.pods, p, some) && workload_has_labels(w.pods, p, NULL));
    assert_false(workload_has_labels(w.pods, p, other));
    assert_false(workload_has_labels(w.pods, p, absent));
    assert_at(&w, "10.0.0.1", "shop/web-6d4-x");
    assert_at(&w, "fd00::1", "shop/web-6d4-x");
    put(&w, "{'metadata':{'namespace':'shop','name':'bare'},'status':{'podIP':'no address'}}");
    p = workloads_find(w.pods, STR("shop/bare"));
    assert_int_equal(p->n_ips, 0);
    assert_true(str_is(workload_owner(w.pods, p), "bare"));
    assert_true(str_is(workload_canonical_name(w.pods, p), "bare"));
    assert_true(str_is(workload_canonical_revision(w.pods, p), "latest"));
    assert_true(str_is(workload_account(w.pods, p), "default"));
    put(&w, "{'metadata':{'namespace':'shop'}}");
    put(&w, "[]");
    assert_int_equal(w.pods->by_key.used, 2);
    finish(&w);
}

static void assert_owner(const char *pod, const char *want)
{
    AUTO_JSON json_t *j = json_of(pod);
    AUTO_CHARS char *name = workload_owner_of(j);
    assert_string_equal(name ? name : "", want);
}

static void test_what_it_is_a_part_of(void **state)
{
    (void)state;
    assert_owner("{}", "");
    assert_owner("{'metadata':{'labels':{'pod-template-hash':'6d4'},"
                 "'ownerReferences':[{'kind':'ReplicaSet','name':'web-6d4'}]}}",
                 "web");
    assert_owner("{'metadata':{'ownerReferences':[{'kind':'StatefulSet','name':'db-12345678'}]}}",
                 "db-12345678");
    assert_owner("{'metadata':{'ownerReferences':[{'kind':'Job','name':'night-28391230'}]}}",
                 "night");
    assert_owner("{'metadata':{'ownerReferences':[{'kind':'Job','name':'night-2839123'}]}}",
                 "night-2839123");
    assert_owner("{'metadata':{'ownerReferences':[{'kind':'Job','name':'-28391230'}]}}",
                 "-28391230");
}

static void test_who_has_an_address(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put_pod(&w, "b", "10.0.0.1", "");
    put_pod(&w, "a", "10.0.0.1", "");
    put_pod(&w, "c", "10.0.0.1", "");
    assert_at(&w, "10.0.0.1", "ns/a");
    put_pod(&w, "a", "10.0.0.1", ",'deletionTimestamp':'now'");
    assert_at(&w, "10.0.0.1", "ns/b");
    put(&w, "{'metadata':{'namespace':'ns','name':'b'},'spec':{'hostNetwork':true},"
            "'status':{'podIP':'10.0.0.1'}}");
    assert_at(&w, "10.0.0.1", "ns/c");
    struct ip ip;
    assert_ok(ip_parse(STR("10.0.0.1"), &ip));
    put(&w, "{'metadata':{'namespace':'aa','name':'z'},'status':{'podIP':'10.0.0.1'}}");
    assert_at(&w, "10.0.0.1", "aa/z");
    assert_string_equal(workloads_find_ip(w.pods, STR("ns"), &ip)->key, "ns/c");
    assert_null(workloads_find_ip(w.pods, STR("other"), &ip));
    workloads_remove(w.pods, STR("aa/z"));
    workloads_remove(w.pods, STR("ns/c"));
    assert_at(&w, "10.0.0.1", "ns/a");
    workloads_remove(w.pods, STR("ns/a"));
    assert_at(&w, "10.0.0.1", "ns/b");
    workloads_remove(w.pods, STR("ns/b"));
    assert_at(&w, "10.0.0.1", "");
    assert_int_equal(w.pods->by_ip.used + w.pods->by_key.used + intern_count(&w.pods->texts), 0);
    finish(&w);
}

/* Of each change twice: of what it was, and of what it is. */
static void test_what_is_told(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put(&w, "{'metadata':{'namespace':'ns','name':'a'}}");
    assert_told(&w, "ns/a/0");
    put_pod(&w, "a", "10.0.0.1", "");
    assert_told(&w, "ns/a/0 ns/a/1");
    put_pod(&w, "a", "10.0.0.1", ",'resourceVersion':'7'");
    assert_told(&w, "");
    put_pod(&w, "a", "10.0.0.1", ",'labels':{'version':'v2'}");
    assert_told(&w, "ns/a/1 ns/a/1");
    workloads_remove(w.pods, STR("ns/a"));
    workloads_remove(w.pods, STR("ns/a"));
    assert_told(&w, "ns/a/1");
    finish(&w);
}

/* Copies share their labels, whatever the order in which these come. */
static void test_copies_share(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put_pod(&w, "a", "10.0.0.1", ",'labels':{'x':'1','y':'2'}");
    size_t texts = intern_count(&w.pods->texts);
    put_pod(&w, "b", "10.0.0.2", ",'labels':{'y':'2','x':'1'}");
    assert_int_equal(intern_count(&w.pods->texts), texts);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_read),       cmocka_unit_test(test_what_it_is_a_part_of),
        cmocka_unit_test(test_who_has_an_address), cmocka_unit_test(test_what_is_told),
        cmocka_unit_test(test_copies_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
