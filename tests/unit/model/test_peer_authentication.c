/* Whether plain text is taken: the narrowest wins, the older of two. */
#include "json_text.h"

#include <errno.h>

#include "model/peer_authentication.h"

struct world {
    struct workloads *pods;
    struct peer_authentications *t;
};

static void on_pod(const struct workload *w, void *user)
{
    (void)w;
    (void)user;
}

static void start(struct world *w)
{
    w->pods = workloads_new(on_pod, NULL);
    w->t = peer_authentications_new("root");
    AUTO_JSON json_t *pod =
        json_of("{'metadata':{'namespace':'ns','name':'p','labels':{'app':'a'}},"
                "'status':{'podIP':'10.0.0.1','podIPs':[{'ip':'10.0.0.1'}]}}");
    workloads_put(w->pods, pod);
}

static void finish(struct world *w)
{
    peer_authentications_free(w->t);
    workloads_free(w->pods);
}

static void put(struct world *w, const char *ns, const char *name, const char *created,
                const char *spec)
{
    AUTO_CHARS char *text = xasprintf(
        "{'metadata':{'namespace':'%s','name':'%s','creationTimestamp':'2026-01-01T00:00:%sZ'},"
        "'spec':%s}",
        ns, name, created, spec);
    AUTO_JSON json_t *j = json_of(text);
    struct err err = {0};
    if (peer_authentications_put(w->t, j, &err) < 0)
        fail_msg("%s", err_text(&err));
}

static enum mtls_mode mode(const struct world *w, uint16_t port)
{
    struct mtls_policy p;
    peer_authentications_find(w->t, STR("ns"), w->pods, workloads_find(w->pods, STR("ns/p")), &p);
    return mtls_policy_of(&p, port);
}

static void test_the_narrowest_wins(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    assert_int_equal(mode(&w, 80), MTLS_PERMISSIVE);
    put(&w, "root", "default", "01", "{'mtls':{'mode':'STRICT'}}");
    assert_int_equal(mode(&w, 80), MTLS_STRICT);
    put(&w, "ns", "default", "02", "{'mtls':{'mode':'DISABLE'}}");
    assert_int_equal(mode(&w, 80), MTLS_DISABLE);
    put(&w, "ns", "of-a", "03",
        "{'selector':{'matchLabels':{'app':'a'}},'mtls':{'mode':'PERMISSIVE'},"
        "'portLevelMtls':{'80':{'mode':'STRICT'},'81':{'mode':'UNSET'}}}");
    assert_int_equal(mode(&w, 80), MTLS_STRICT);
    assert_int_equal(mode(&w, 81), MTLS_PERMISSIVE);
    assert_int_equal(mode(&w, 82), MTLS_PERMISSIVE);
    put(&w, "ns", "of-b", "00",
        "{'selector':{'matchLabels':{'app':'b'}},'mtls':{'mode':'DISABLE'}}");
    assert_int_equal(mode(&w, 82), MTLS_PERMISSIVE);
    peer_authentications_remove(w.t, STR("ns/of-a"));
    peer_authentications_remove(w.t, STR("ns/default"));
    assert_int_equal(mode(&w, 80), MTLS_STRICT);
    finish(&w);
}

static void test_what_is_unset_is_inherited(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put(&w, "root", "default", "01", "{'mtls':{'mode':'STRICT'}}");
    put(&w, "ns", "default", "02", "{}");
    put(&w, "ns", "of-a", "03", "{'selector':{'matchLabels':{'app':'a'}},'mtls':{'mode':'UNSET'}}");
    assert_int_equal(mode(&w, 80), MTLS_STRICT);
    put(&w, "ns", "default", "02",
        "{'mtls':{'mode':'STRICT'},'portLevelMtls':{'80':{'mode':'DISABLE'}}}");
    assert_int_equal(mode(&w, 80), MTLS_STRICT); /* ports of no workload */
    finish(&w);
}

static void test_the_older_of_two(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put(&w, "ns", "b", "01", "{'mtls':{'mode':'STRICT'}}");
    put(&w, "ns", "a", "02", "{'mtls':{'mode':'DISABLE'}}");
    assert_int_equal(mode(&w, 80), MTLS_STRICT);
    put(&w, "ns", "a", "01", "{'mtls':{'mode':'DISABLE'}}"); /* the same age: by name */
    assert_int_equal(mode(&w, 80), MTLS_DISABLE);
    finish(&w);
}

/* Its form before that stays: nobody is let in by a slip. */
static void test_refused(void **state)
{
    static const struct {
        const char *spec, *why;
    } cases[] = {
        {"{'mtls':{'mode':'strict'}}",
         "spec.mtls.mode: one of UNSET, DISABLE, PERMISSIVE and STRICT"},
        {"{'selector':{'matchLabels':{'a':'b'}},'portLevelMtls':{'x':{}}}",
         "spec.portLevelMtls: 'x' is no port"},
    };
    struct world w;
    (void)state;
    start(&w);
    put(&w, "ns", "default", "01", "{'mtls':{'mode':'STRICT'}}");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_CHARS char *text =
            xasprintf("{'metadata':{'namespace':'ns','name':'default'},'spec':%s}", cases[i].spec);
        AUTO_JSON json_t *j = json_of(text);
        struct err err = {0};
        assert_int_equal(peer_authentications_put(w.t, j, &err), -EINVAL);
        assert_string_equal(err_text(&err), cases[i].why);
        assert_int_equal(mode(&w, 80), MTLS_STRICT);
    }
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_narrowest_wins),
        cmocka_unit_test(test_what_is_unset_is_inherited),
        cmocka_unit_test(test_the_older_of_two),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
