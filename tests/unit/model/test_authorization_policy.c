/* AuthorizationPolicies: what is wrong with one and where, what holds then, and whose it is. */
#include "json_text.h"

#include "model/authorization_policy.h"

#define RULE(text)    "{'rules':[{" text "}]}"
#define SOURCE(text)  RULE("'from':[{'source':{" text "}}]")
#define OPERATE(text) RULE("'to':[{'operation':{" text "}}]")
#define WHEN(text)    RULE("'when':[{" text "}]")

struct wrong {
    const char *spec;
    const char *told; /* "severity field: message", as far as it goes */
};

static const struct wrong wrongs[] = {
    {"[]", "error spec: is no object"},
    {"{'action':'REFUSE'}", "error spec.action: one of ALLOW"},
    {"{'action':7}", "error spec.action: one of ALLOW"},
    {"{'action':'CUSTOM','rules':[{}]}", "error spec.provider.name: is missing"},
    {"{'action':'CUSTOM','provider':{'name':'x'}}", "error spec.rules: is empty"},
    {"{'provider':{'name':'x'}}", "error spec.provider: is for CUSTOM alone"},
    {"{'selector':'x'}", "error spec.selector: is no object"},
    {"{'selector':{'matchLabels':[]}}", "error spec.selector: is no object"},
    {"{'selector':{'matchLabels':{'app':7}}}", "error spec.selector.matchLabels: app is compared"},
    {"{'selector':{'matchLabels':{'app':'a*'}}}",
     "error spec.selector.matchLabels: app is compared"},
    {"{'selector':{},'targetRefs':[{}]}", "error spec.targetRefs: stand beside selector"},
    {"{'rules':{}}", "error spec.rules: is no list"},
    {"{'rules':[7]}", "error spec.rules[0]: is no object"},
    {"{'rules':[{},{'form':[]}]}", "error spec.rules[1].form: is no field that is known"},
    {RULE("'from':[]"), "error spec.rules[0].from: has none"},
    {RULE("'from':{}"), "error spec.rules[0].from: has none"},
    {RULE("'from':[{}]"), "error spec.rules[0].from[0].source: is missing"},
    {RULE("'from':[{'source':{}}]"), "error spec.rules[0].from[0].source: says nothing"},
    {SOURCE("'principals':[]"), "error spec.rules[0].from[0].source: says nothing"},
    {SOURCE("'principal':['x']"),
     "error spec.rules[0].from[0].source.principal: is no field that is known"},
    {SOURCE("'principals':'x'"), "error spec.rules[0].from[0].source.principals: is no list"},
    {SOURCE("'principals':['a','']"), "error spec.rules[0].from[0].source.principals[1]: is empty"},
    {SOURCE("'principals':[7]"), "error spec.rules[0].from[0].source.principals[0]: is empty"},
    {SOURCE("'principals':['a*b']"),
     "error spec.rules[0].from[0].source.principals[0]: a*b has an asterisk inside"},
    {SOURCE("'notPrincipals':['*b*']"),
     "error spec.rules[0].from[0].source.notPrincipals[0]: *b* has more than one asterisk"},
    {SOURCE("'requestPrincipals':['**']"),
     "error spec.rules[0].from[0].source.requestPrincipals[0]: ** has more than one"},
    {SOURCE("'namespaces':['a*b']"),
     "error spec.rules[0].from[0].source.namespaces[0]: a*b has an asterisk inside"},
    {SOURCE("'serviceAccounts':['a/b/c']"),
     "error spec.rules[0].from[0].source.serviceAccounts[0]: a/b/c is no service account"},
    {SOURCE("'serviceAccounts':['a*']"),
     "error spec.rules[0].from[0].source.serviceAccounts[0]: a* is no service account"},
    {SOURCE("'serviceAccounts':['a'],'namespaces':['b']"),
     "error spec.rules[0].from[0].source.namespaces: stands beside serviceAccounts"},
    {SOURCE("'ipBlocks':['10.0.0.0/33']"),
     "error spec.rules[0].from[0].source.ipBlocks[0]: 10.0.0.0/33 is no address"},
    {SOURCE("'notIpBlocks':['ten']"),
     "error spec.rules[0].from[0].source.notIpBlocks[0]: ten is no address"},
    {SOURCE("'remoteIpBlocks':['::/129']"),
     "error spec.rules[0].from[0].source.remoteIpBlocks[0]: ::/129 is no address"},
    {RULE("'to':[]"), "error spec.rules[0].to: has none"},
    {RULE("'to':[{'operation':{}}]"), "error spec.rules[0].to[0].operation: says nothing"},
    {OPERATE("'ports':['0']"), "error spec.rules[0].to[0].operation.ports[0]: 0 is no port"},
    {OPERATE("'ports':['70000']"),
     "error spec.rules[0].to[0].operation.ports[0]: 70000 is no port"},
    {OPERATE("'ports':[80]"), "error spec.rules[0].to[0].operation.ports[0]: is empty, or no"},
    {OPERATE("'ports':['http']"), "error spec.rules[0].to[0].operation.ports[0]: http is no port"},
    {OPERATE("'paths':['/a/*/b']"),
     "error spec.rules[0].to[0].operation.paths[0]: /a/*/b has an asterisk inside"},
    {OPERATE("'paths':['/a/{x}']"),
     "error spec.rules[0].to[0].operation.paths[0]: /a/{x} is no template"},
    {OPERATE("'paths':['/{**}/{*}']"),
     "error spec.rules[0].to[0].operation.paths[0]: /{**}/{*} is no template"},
    {OPERATE("'paths':['/{*}/b*']"),
     "error spec.rules[0].to[0].operation.paths[0]: /{*}/b* is no template"},
    {OPERATE("'paths':['/{*}{*}']"),
     "error spec.rules[0].to[0].operation.paths[0]: /{*}{*} is no template"},
    {OPERATE("'paths':['/a b/{*}']"),
     "error spec.rules[0].to[0].operation.paths[0]: /a b/{*} has a character that no path has"},
    {OPERATE("'paths':['/ä/{*}']"),
     "error spec.rules[0].to[0].operation.paths[0]: /ä/{*} has a character"},
    {OPERATE("'paths':['{*}']"),
     "error spec.rules[0].to[0].operation.paths[0]: {*} does not begin with /"},
    {OPERATE("'notMethods':['G*T']"),
     "error spec.rules[0].to[0].operation.notMethods[0]: G*T has an asterisk inside"},
    {OPERATE("'hosts':['a','a.*.b']"),
     "error spec.rules[0].to[0].operation.hosts[1]: a.*.b has an asterisk inside"},
    {RULE("'when':{}"), "error spec.rules[0].when: is no list"},
    {WHEN("'values':['x']"), "error spec.rules[0].when[0].key: is missing"},
    {WHEN("'key':'source.ip'"), "error spec.rules[0].when[0]: says nothing"},
    {WHEN("'key':'source.name','values':['x']"),
     "error spec.rules[0].when[0].key: source.name is no key"},
    {WHEN("'key':'source.ip[x]','values':['10.0.0.1']"),
     "error spec.rules[0].when[0].key: source.ip[x] is no key"},
    {WHEN("'key':'source.ip','values':['x']"),
     "error spec.rules[0].when[0].values[0]: x is no address"},
    {WHEN("'key':'destination.ip','notValues':['x']"),
     "error spec.rules[0].when[0].notValues[0]: x is no address"},
    {WHEN("'key':'destination.port','values':['x']"),
     "error spec.rules[0].when[0].values[0]: x is no port"},
    {WHEN("'key':'request.headers','values':['x']"),
     "error spec.rules[0].when[0].key: request.headers is no key"},
    {WHEN("'key':'request.headers[]','values':['x']"),
     "error spec.rules[0].when[0].key: request.headers[] is no key"},
    {WHEN("'key':'request.headers[a b]','values':['x']"),
     "error spec.rules[0].when[0].key: request.headers[a b] is no key"},
    {WHEN("'key':'request.headers[a][b]','values':['x']"),
     "error spec.rules[0].when[0].key: request.headers[a][b] is no key"},
    {WHEN("'key':'request.auth.claims[a]b','values':['x']"),
     "error spec.rules[0].when[0].key: request.auth.claims[a]b is no key"},
    {WHEN("'key':'request.auth.claims[a[b]]','values':['x']"),
     "error spec.rules[0].when[0].key: request.auth.claims[a[b]] is no key"},
    {WHEN("'key':'experimental.envoy.filters.a','values':['x']"),
     "error spec.rules[0].when[0].key: experimental.envoy.filters.a is no key"},
    {WHEN("'key':'experimental.a[b]','values':['x']"),
     "error spec.rules[0].when[0].key: experimental.a[b] is no key"},
    {"{'action':'DENY'}", "warning spec.rules: is empty: it never matches"},
    {"{'targetRefs':[{'kind':'Gateway','name':'g'}]}", "warning spec.targetRefs: are of gateways"},
    {WHEN("'key':'experimental.envoy.filters.a[b]','values':['x']"),
     "warning spec.rules[0].when[0].key: no filter"},
};

static struct authorization_policy *decode(const char *spec)
{
    AUTO_CHARS char *text = xasprintf("{'metadata':{'namespace':'ns','name':'p'},'spec':%s}", spec);
    AUTO_JSON json_t *j = json_of(text);
    struct authorization_policy *p = authorization_policy_decode(j);
    assert_non_null(p);
    return p;
}

static void test_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
        struct authorization_policy *p = decode(wrongs[i].spec);
        const struct finding *f = p->o.findings.n ? &p->o.findings.v[0] : NULL;
        if (!f)
            fail_msg("%s: nothing is told", wrongs[i].spec);
        AUTO_CHARS char *told = xasprintf(
            "%s %s: %s", f->severity == FINDING_ERROR ? "error" : "warning", f->field, f->message);
        if (strncmp(told, wrongs[i].told, strlen(wrongs[i].told)) != 0)
            fail_msg("%s: %s", wrongs[i].spec, told);
        assert_int_equal(p->broken, f->severity == FINDING_ERROR);
        authorization_policy_free(p);
    }
}

static void test_what_is_right(void **state)
{
    static const char *const rights[] = {
        "null",
        "{}",
        "{'rules':[{}]}",
        "{'rules':[]}",
        "{'action':'AUDIT','rules':[{}]}",
        "{'action':'CUSTOM','provider':{'name':'x'},'rules':[{}]}",
        SOURCE("'principals':['*'],'notPrincipals':['a/*'],'requestPrincipals':['*/x'],"
               "'notRequestPrincipals':['*'],'namespaces':['a'],'notNamespaces':['b*'],"
               "'ipBlocks':['10.0.0.1','10.0.0.0/8','::1'],'notIpBlocks':['::/0'],"
               "'remoteIpBlocks':['10.0.0.0/8'],'notRemoteIpBlocks':['10.1.0.0/16'],"
               "'trustDomains':['x'],'notTrustDomains':['y']"),
        SOURCE("'serviceAccounts':['a','b/c'],'notServiceAccounts':['d']"),
        OPERATE("'hosts':['*.a','b'],'notHosts':['c:*'],'ports':['80'],'notPorts':['81'],"
                "'methods':['GET'],'notMethods':['PUT'],"
                "'paths':['/','/a*','*b','*','/x/{*}/y/{**}','/{*}.js'],'notPaths':['/c']"),
        WHEN("'key':'request.headers[X-A]','values':['a*']"),
        WHEN("'key':'request.auth.claims[a][b c]','values':['x'],'notValues':['y']"),
        WHEN("'key':'request.auth.principal','values':['*']"),
        WHEN("'key':'request.auth.audiences','values':['*']"),
        WHEN("'key':'request.auth.presenter','values':['*']"),
        WHEN("'key':'source.ip','values':['10.0.0.0/8']"),
        WHEN("'key':'remote.ip','values':['10.0.0.0/8']"),
        WHEN("'key':'source.namespace','values':['a']"),
        WHEN("'key':'source.principal','values':['a']"),
        WHEN("'key':'source.serviceAccount','values':['a/b']"),
        WHEN("'key':'source.trustDomain','values':['a']"),
        WHEN("'key':'destination.ip','values':['10.0.0.1']"),
        WHEN("'key':'destination.port','values':['80']"),
        WHEN("'key':'connection.sni','values':['*.a']"),
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rights); i++) {
        struct authorization_policy *p = decode(rights[i]);
        if (p->o.findings.n)
            fail_msg("%s: %s: %s", rights[i], p->o.findings.v[0].field, p->o.findings.v[0].message);
        authorization_policy_free(p);
    }
}

/* ---- the table ---- */

struct world {
    struct workloads *pods;
    struct selected_objects *t;
};

static void on_pod(const struct workload *w, void *user)
{
    (void)w;
    (void)user;
}

static void start(struct world *w)
{
    w->pods = workloads_new(on_pod, NULL);
    w->t = authorization_policies_new("root");
    AUTO_JSON json_t *pod = json_of("{'metadata':{'namespace':'ns','name':'p','labels':"
                                    "{'app':'a'}},'status':{'podIP':'10.0.0.1'}}");
    workloads_put(w->pods, pod);
}

static void finish(struct world *w)
{
    selected_objects_free(w->t);
    workloads_free(w->pods);
}

/* True: nothing is wrong with it. */
static bool put(struct world *w, const char *ns, const char *name, const char *spec)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'%s','name':'%s'},'spec':%s}", ns, name, spec);
    AUTO_JSON json_t *j = json_of(text);
    return selected_objects_put(w->t, j)->findings.n == 0;
}

/* Those that hold for the pod, "root/x ns/y!", those that cannot be read with a mark. */
static const char *holding(const struct world *w, const char *pod)
{
    static char text[200];
    struct authorization_list list = {{NULL, 0, 0}};
    size_t n = 0;
    *text = 0;
    authorization_policies_find(w->t, STR("ns"), w->pods, workloads_find(w->pods, str_from(pod)),
                                &list);
    VEC_FOREACH (p, &list.v)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s%s", n ? " " : "", (*p)->o.key,
                              (*p)->broken ? "!" : "");
    vec_done(&list.v);
    return text;
}

static void test_whose_it_is(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    assert_true(put(&w, "ns", "z", "{}"));
    assert_true(put(&w, "ns", "a", "{'selector':{'matchLabels':{'app':'a'}}}"));
    assert_true(put(&w, "ns", "b", "{'selector':{'matchLabels':{'app':'b'}}}"));
    assert_true(put(&w, "root", "all", "{}"));
    assert_true(put(&w, "root", "some", "{'selector':{'matchLabels':{'app':'a'}}}"));
    assert_true(put(&w, "other", "o", "{}"));
    assert_false(put(&w, "ns", "g", "{'targetRefs':[{'kind':'Gateway','name':'g'}]}"));
    assert_string_equal(holding(&w, "ns/p"), "root/all root/some ns/a ns/z");
    assert_string_equal(holding(&w, "ns/unknown"), "root/all ns/z");
    assert_true(selected_objects_is_root(w.t, STR("root")));
    selected_objects_remove(w.t, STR("root/all"));
    selected_objects_remove(w.t, STR("root/all"));
    selected_objects_remove(w.t, STR("nobody/knows"));
    selected_objects_remove(w.t, STR("ns/a"));
    assert_string_equal(holding(&w, "ns/p"), "root/some ns/z");
    finish(&w);
}

/* The last good form holds; without one, what cannot be read forbids. */
static void test_what_cannot_be_read(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    assert_false(put(&w, "ns", "a", "{'rules':7}"));
    assert_string_equal(holding(&w, "ns/p"), "ns/a!");
    assert_true(put(&w, "ns", "a", "{}"));
    assert_string_equal(holding(&w, "ns/p"), "ns/a");
    assert_false(put(&w, "ns", "a", "{'rules':7}"));
    assert_false(put(&w, "ns", "a", "{'rules':8}"));
    assert_string_equal(holding(&w, "ns/p"), "ns/a");
    /* Not even whose it is: of the whole namespace. */
    assert_false(put(&w, "ns", "b", "{'selector':{'matchLabels':[]}}"));
    assert_string_equal(holding(&w, "ns/p"), "ns/a ns/b!");
    finish(&w);
}

/* What stands in `when` is written out for each alternative: few words can make much. */
static void test_how_much_one_may_be(void **state)
{
    static const struct {
        unsigned operations, values;
        bool good;
    } all[] = {{1, 9000, true}, {1, 11000, false}, {99, 190, true}, {99, 210, false}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        json_t *to = json_array(), *values = json_array();
        for (unsigned k = 0; k < all[i].operations; k++)
            json_array_append_new(to, json_pack("{s:{s:[s]}}", "operation", "methods", "GET"));
        for (unsigned k = 0; k < all[i].values; k++)
            json_array_append_new(values, json_string("x"));
        AUTO_JSON json_t *j = json_pack("{s:{s:s,s:s},s:{s:[{s:o,s:[{s:s,s:o}]}]}}", "metadata",
                                        "namespace", "ns", "name", "p", "spec", "rules", "to", to,
                                        "when", "key", "request.headers[x]", "values", values);
        struct authorization_policy *p = authorization_policy_decode(j);
        assert_int_equal(p->broken, !all[i].good);
        if (!all[i].good)
            assert_non_null(strstr(p->o.findings.v[0].message, "more than 20000 values"));
        authorization_policy_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_how_much_one_may_be), cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_what_is_right),       cmocka_unit_test(test_whose_it_is),
        cmocka_unit_test(test_what_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
