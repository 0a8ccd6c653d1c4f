/* What sidecars know of that a Sidecar object scopes: hosts, what their rules lead to, and what
 * becomes of the rest. */
#include "mesh_world.h"

#define WEB "outbound|80||web.shop.svc.cluster.local"
#define DB  "outbound|5432||db.bank.svc.cluster.local"
#define CAR "outbound|80||car.bank.svc.cluster.local"

static struct mesh_workload *shop(struct world *w)
{
    start(w);
    put_service(w, "shop", "web", "10.0.1.1", HTTP);
    put_service(w, "bank", "db", "10.0.1.2", TCP);
    put_service(w, "bank", "car", "10.0.1.3", HTTP);
    settle(w);
    return join(w, "shop", "10.1.0.1");
}

/* Which of the three it has. */
static void expect_known(const struct mesh_workload *w, bool web, bool db, bool car)
{
    assert_int_equal(has(w, XDS_CLUSTER, WEB), web);
    assert_int_equal(has(w, XDS_ENDPOINT, WEB), web);
    assert_int_equal(has(w, XDS_HOST, "80/web.shop.svc.cluster.local:80"), web);
    assert_int_equal(has(w, XDS_CLUSTER, DB), db);
    assert_int_equal(has(w, XDS_LISTENER, "10.0.1.2_5432"), db);
    assert_int_equal(has(w, XDS_CLUSTER, CAR), car);
    assert_int_equal(has(w, XDS_LISTENER, "0.0.0.0_80"), web || car);
    assert_int_equal(has(w, XDS_ROUTE, "80"), web || car);
    assert_true(has(w, XDS_LISTENER, "virtualOutbound"));
    assert_true(has(w, XDS_LISTENER, "virtualInbound"));
    assert_true(has(w, XDS_CLUSTER, "PassthroughCluster"));
}

#define EGRESS(hosts) "{'egress':[{'hosts':[" hosts "]}]}"

static void test_hosts(void **state)
{
    static const struct {
        const char *spec;
        bool web, db, car;
    } cases[] = {
        {EGRESS("'*/*'"), true, true, true},
        {"{}", true, true, true},
        {EGRESS("'./*'"), true, false, false},
        {EGRESS("'~/*'"), false, false, false},
        {EGRESS("'bank/*'"), false, true, true},
        {EGRESS("'bank/DB.bank.svc.cluster.local'"), false, true, false},
        {EGRESS("'shop/db.bank.svc.cluster.local'"), false, false, false},
        {EGRESS("'*/*.bank.svc.cluster.local','./web.shop.svc.cluster.local'"), true, true, true},
        {"{'egress':[{'hosts':['./*']},{'hosts':['*/car.bank.svc.cluster.local']}]}", true, false,
         true},
    };
    struct world w;
    (void)state;
    struct mesh_workload *one = shop(&w);
    expect_known(one, true, true, true);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        put_sidecar(&w, "shop", "x", cases[i].spec);
        expect_known(one, cases[i].web, cases[i].db, cases[i].car);
        struct mesh_workload *later = join(&w, "shop", "10.1.0.2");
        expect_known(later, cases[i].web, cases[i].db, cases[i].car);
        mesh_leave(w.mesh, later);
    }
    put_sidecar(&w, "shop", "x", NULL);
    expect_known(one, true, true, true);
    mesh_leave(w.mesh, one);
    finish(&w);
}

/* Of several that of the pod counts, then its namespace's, then the root's. */
static void test_which_counts(void **state)
{
    struct world w;
    (void)state;
    struct mesh_workload *one = shop(&w), *bank = join(&w, "bank", "10.1.0.9");
    put_sidecar(&w, "fairlead-system", "all", EGRESS("'./*'"));
    expect_known(one, true, false, false);
    expect_known(bank, false, true, true); /* "." is the pod's namespace */
    put_sidecar(&w, "fairlead-system", "own",
                "{'workloadSelector':{'labels':{'a':'b'}},"
                "'egress':[{'hosts':['~/*']}]}");
    expect_known(one, true, false, false);
    put_sidecar(&w, "shop", "ns", EGRESS("'bank/db.bank.svc.cluster.local'"));
    expect_known(one, false, true, false);
    put_sidecar(&w, "shop", "pods",
                "{'workloadSelector':{'labels':{'v':'2'}},"
                "'egress':[{'hosts':['bank/car.bank.svc.cluster.local']}]}");
    expect_known(one, false, true, false);
    put_pod(&w, "10.1.0.1", "'v':'2'");
    expect_known(one, false, false, true);
    put_pod(&w, "10.1.0.1", "'v':'1'");
    expect_known(one, false, true, false);
    workloads_remove(w.pods, STR("shop/a")); /* what is not known stays as it was */
    put_sidecar(&w, "shop", "ns", NULL);
    expect_known(one, false, true, false);
    put_pod(&w, "10.1.0.1", "'v':'1'");
    expect_known(one, true, false, false);
    mesh_leave(w.mesh, one);
    mesh_leave(w.mesh, bank);
    finish(&w);
}

/* A rule of what is known leads to what is not named: that is known, too. */
static void test_where_rules_lead(void **state)
{
    struct world w;
    (void)state;
    struct mesh_workload *one = shop(&w);
    put_sidecar(&w, "shop", "x", EGRESS("'./*'"));
    put_rule(&w, "shop", "web",
             "{'hosts':['web'],'http':[{'route':[{'destination':{'host':"
             "'car.bank.svc.cluster.local'}}]}]}");
    settle(&w);
    expect_known(one, true, false, true);
    expect_in(one, XDS_HOST, "80/web.shop.svc.cluster.local:80", CAR);
    mesh_rules_remove_virtual_service(mesh_get_rules(w.mesh), STR("shop/web"));
    settle(&w);
    expect_known(one, true, false, false);
    /* One that is for a host that is not known is nobody's business. */
    put_rule(&w, "bank", "db",
             "{'hosts':['car'],'http':[{'route':[{'destination':{'host':'db','port':{'number':"
             "5432}}}]}]}");
    settle(&w);
    expect_known(one, true, false, false);
    mesh_leave(w.mesh, one);
    finish(&w);
}

/* What comes and goes behind it is told as to anybody. */
static void test_changes(void **state)
{
    struct world w;
    (void)state;
    struct mesh_workload *one = shop(&w);
    put_sidecar(&w, "shop", "x",
                "{'egress':[{'hosts':['./*']}],'outboundTrafficPolicy':{'mode':'REGISTRY_ONLY'}}");
    expect_none(one, XDS_LISTENER, "virtualOutbound", "PassthroughCluster");
    expect_none(one, XDS_ROUTE, "80", "PassthroughCluster");
    put_slice(&w, "shop", "web", "{'name':'http','port':8080}", "{'addresses':['10.9.0.1']}");
    settle(&w);
    expect_in(one, XDS_ENDPOINT, WEB, "10.9.0.1");
    put_service(&w, "shop", "new", "10.0.1.9", "{'name':'http','port':81}");
    put_entry(&w, "shop", "e",
              "{'hosts':['e.example'],'ports':[{'number':80,'name':'http',"
              "'protocol':'HTTP'}],'resolution':'DNS'}");
    put_entry(&w, "bank", "f",
              "{'hosts':['f.example'],'ports':[{'number':80,'name':'http',"
              "'protocol':'HTTP'}],'resolution':'DNS'}");
    settle(&w);
    assert_true(has(one, XDS_LISTENER, "0.0.0.0_81"));
    assert_true(has(one, XDS_CLUSTER, "outbound|80||e.example"));
    assert_false(has(one, XDS_CLUSTER, "outbound|80||f.example"));
    service_join_remove_service(w.join, STR("shop/new"));
    service_entries_remove(w.entries, STR("shop/e"));
    settle(&w);
    assert_false(has(one, XDS_LISTENER, "0.0.0.0_81"));
    assert_false(has(one, XDS_CLUSTER, "outbound|80||e.example"));
    put_sidecar(&w, "shop", "x", NULL);
    expect_in(one, XDS_LISTENER, "virtualOutbound", "PassthroughCluster");
    assert_true(has(one, XDS_CLUSTER, "outbound|80||f.example"));
    mesh_leave(w.mesh, one);
    finish(&w);
}

/* What is the same for all is there once. */
static void test_memory_is_shared(void **state)
{
    struct world w;
    (void)state;
    struct mesh_workload *all = shop(&w), *bank = join(&w, "bank", "10.1.0.9");
    put_sidecar(&w, "bank", "x", EGRESS("'shop/*'"));
    assert_ptr_equal(xds_set_find(mesh_workload_set(all), XDS_CLUSTER, STR(WEB)),
                     xds_set_find(mesh_workload_set(bank), XDS_CLUSTER, STR(WEB)));
    mesh_leave(w.mesh, all);
    mesh_leave(w.mesh, bank);
    finish(&w);
}

static void test_what_is_wrong(void **state)
{
    static const struct {
        const char *spec, *told;
    } wrongs[] = {
        {EGRESS("'web'"), "error spec.egress[0].hosts[0]: \"web\" is not NAMESPACE/NAME"},
        {EGRESS("'/x.y'"), "error spec.egress[0].hosts[0]: \"/x.y\" is not NAMESPACE/NAME"},
        {EGRESS("'shop/'"), "error spec.egress[0].hosts[0]: \"shop/\" is not NAMESPACE/NAME"},
        {EGRESS("'shop/web'"), "error spec.egress[0].hosts[0]: \"shop/web\": a name without a dot"},
        {EGRESS("'shop/a.*.b'"), "error spec.egress[0].hosts[0]: \"shop/a.*.b\" is not"},
        {EGRESS("7"), "error spec.egress[0].hosts[0]: \"\" is not NAMESPACE/NAME"},
        {"{'egress':[{}]}", "error spec.egress[0].hosts: is missing"},
        {"{'egress':[{'hosts':['./*'],'port':{'number':80}}]}",
         "warning spec.egress[0].port: has no effect yet"},
        {"{'egress':[{'hosts':['./*'],'bind':'127.0.0.1'}]}",
         "warning spec.egress[0].bind: has no effect yet"},
        {"{'egress':[{'hosts':['./*'],'captureMode':'NONE'}]}",
         "warning spec.egress[0].captureMode: has no effect yet"},
        {"{'outboundTrafficPolicy':{'mode':'SOME'}}",
         "error spec.outboundTrafficPolicy.mode: SOME is no policy"},
        {"{'outboundTrafficPolicy':{'mode':'ALLOW_ANY','egressProxy':{'host':'x'}}}",
         "warning spec.outboundTrafficPolicy.egressProxy: has no effect yet"},
        {"{'inboundConnectionPool':{}}", "warning spec.inboundConnectionPool: has no effect yet"},
        {"{'ingress':[{}]}", "error spec.ingress[0].port.number: is missing"},
        {"{'ingress':[{'port':{'number':70000}}]}", "error spec.ingress[0].port.number: is no"},
        {"{'ingress':[{'port':{'number':80,'protocol':'SCTP'}}]}",
         "error spec.ingress[0].port.protocol: \"SCTP\" is none that is known"},
        {"{'ingress':[{'port':{'number':80},'defaultEndpoint':'10.0.0.1:80'}]}",
         "error spec.ingress[0].defaultEndpoint: \"10.0.0.1:80\" is not where an app can be"},
        {"{'ingress':[{'port':{'number':80},'defaultEndpoint':'127.0.0.1:x'}]}",
         "error spec.ingress[0].defaultEndpoint: \"127.0.0.1:x\" is not where"},
        {"{'ingress':[{'port':{'number':80},'defaultEndpoint':'unix:///x'}]}",
         "error spec.ingress[0].defaultEndpoint: sockets of files are not done"},
        {"{'ingress':[{'port':{'number':80},'tls':{'mode':'SIMPLE'}}]}",
         "error spec.ingress[0].tls: is not done"},
        {"{'ingress':[{'port':{'number':80}},{'port':{'number':80}}]}",
         "error spec.ingress[1].port.number: 80 is there twice"},
    };
    struct world w;
    (void)state;
    start(&w);
    for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
        AUTO_CHARS char *name = xasprintf("s%zu", i);
        AUTO_DONE(buf) struct buf told = {0};
        const struct istio_object *o = put_sidecar(&w, "shop", name, wrongs[i].spec);
        findings_format(&o->findings, &told);
        AUTO_CHARS char *severity =
            str_dup(str_sub(str_from(wrongs[i].told), 0, strcspn(wrongs[i].told, " ")));
        AUTO_CHARS char *expected = xasprintf("%s SidecarInvalid shop/%s %s", severity, name,
                                              wrongs[i].told + strlen(severity) + 1);
        if (!strstr(buf_cstr(&told), expected))
            fail_msg("%s: %s", expected, buf_cstr(&told));
    }
    finish(&w);
}

/* Ports that it names, and no others. */
static void test_what_is_taken_in(void **state)
{
    struct world w;
    (void)state;
    struct mesh_workload *one = shop(&w);
    put_slice(&w, "shop", "web", "{'name':'http','port':8080}", "{'addresses':['10.1.0.1']}");
    settle(&w);
    assert_true(has(one, XDS_CLUSTER, "inbound|8080||"));
    put_sidecar(&w, "shop", "x",
                "{'ingress':[{'port':{'number':9080,'name':'http','protocol':'HTTP'},"
                "'defaultEndpoint':'127.0.0.1:8081'},{'port':{'number':9090,'name':'tcp'},"
                "'defaultEndpoint':'0.0.0.0:9091'},{'port':{'number':8443,'protocol':'TLS'}}]}");
    assert_false(has(one, XDS_CLUSTER, "inbound|8080||"));
    expect_in(one, XDS_CLUSTER, "inbound|9080||", "\"address\":\"127.0.0.1\",\"port_value\":8081");
    expect_in(one, XDS_CLUSTER, "inbound|9080||", "\"STATIC\"");
    expect_in(one, XDS_CLUSTER, "inbound|9090||", "\"upstream_port_override\":9091");
    expect_in(one, XDS_CLUSTER, "inbound|9090||", "127.0.0.6");
    expect_none(one, XDS_CLUSTER, "inbound|8443||", "upstream_port_override");
    expect_in(one, XDS_LISTENER, "virtualInbound", "\"inbound|9080||\"");
    expect_none(one, XDS_LISTENER, "virtualInbound", "\"inbound|8080||\"");
    put_service(&w, "shop", "web", "10.0.1.1", "{'name':'http','port':80,'targetPort':9080}");
    put_slice(&w, "shop", "web", "{'name':'http','port':9080}", "{'addresses':['10.1.0.1']}");
    settle(&w);
    expect_in(one, XDS_CLUSTER, "inbound|9080||", "web.shop.svc.cluster.local"); /* whose it is */
    put_sidecar(&w, "shop", "x", NULL);
    expect_none(one, XDS_CLUSTER, "inbound|9080||", "STATIC");
    mesh_leave(w.mesh, one);
    finish(&w);
}

/* What cannot be read leaves its last good form. */
static void test_broken_later(void **state)
{
    struct world w;
    (void)state;
    struct mesh_workload *one = shop(&w);
    put_sidecar(&w, "shop", "x", EGRESS("'./*'"));
    put_sidecar(&w, "shop", "x", EGRESS("'*'"));
    expect_known(one, true, false, false);
    mesh_leave(w.mesh, one);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_which_counts),
        cmocka_unit_test(test_where_rules_lead),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_memory_is_shared),
        cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_what_is_taken_in),
        cmocka_unit_test(test_broken_later),
    };
    return RUN_TESTS(tests);
}
