/* ServiceEntries: what is wrong with one, and of which field; and what they are in Kubernetes'
 * words. */
#include "json_text.h"

#include "model/service_entries.h"

#define PORTS      "'ports':[{'number':80,'name':'http','protocol':'HTTP'}]"
#define WITH(text) "{'hosts':['a.example']," PORTS "," text "}"
#define PORT(text) "{'hosts':['a.example'],'ports':[" text "]}"

static const struct {
    const char *spec, *told;
} wrongs[] = {
    {"null", "error spec.hosts: is missing"},
    {"{" PORTS "}", "error spec.hosts: is missing"},
    {"{'hosts':[]," PORTS "}", "error spec.hosts: is missing"},
    {"{'hosts':['a']," PORTS "}",
     "error spec.hosts[0]: a.ns.svc.cluster.local is a name of a Service"},
    {"{'hosts':['']," PORTS "}", "error spec.hosts[0]: \"\" is no host"},
    {"{'hosts':[7]," PORTS "}", "error spec.hosts[0]: \"\" is no host"},
    {"{'hosts':['*']," PORTS "}", "error spec.hosts[0]: \"*\" is no host"},
    {"{'hosts':['10.0.0.1']," PORTS "}", "error spec.hosts[0]: \"10.0.0.1\" is no host"},
    {"{'hosts':['a.*.b']," PORTS "}", "error spec.hosts[0]: \"a.*.b\" is no host"},
    {"{'hosts':['a.example.']," PORTS "}", "error spec.hosts[0]: \"a.example.\" is no host"},
    {"{'hosts':['a.b.svc']," PORTS "}", "error spec.hosts[0]: a.b.svc is a name of a Service"},
    {"{'hosts':['a.example','A.example']," PORTS "}",
     "error spec.hosts[1]: a.example is there twice"},
    {"{'hosts':['*.example'],'resolution':'DNS'," PORTS "}",
     "error spec.hosts[0]: *.example is no name that DNS"},
    {"{'hosts':['a.example']}", "error spec.ports: is missing"},
    {PORT("{'number':0,'name':'x'}"), "error spec.ports[0].number: is no whole number"},
    {PORT("{'name':'x','protocol':'TCP'}"), "error spec.ports[0].number: is missing"},
    {PORT("{'number':80,'protocol':'HTTP'}"), "error spec.ports[0].name: is missing"},
    {PORT("{'number':80,'name':'x','protocol':'UDP'}"),
     "error spec.ports[0].protocol: \"UDP\" is none that is known"},
    {PORT("{'number':80,'name':'x'}"),
     "warning spec.ports[0].protocol: is missing: it is taken to be http"},
    {PORT("{'number':80,'name':'x','protocol':'HTTP','targetPort':8080}"),
     "error spec.ports[0].targetPort: goes with endpoints"},
    {PORT("{'number':80,'name':'x','protocol':'HTTP'},{'number':80,'name':'y','protocol':'HTTP'}"),
     "error spec.ports[1].number: 80 is there twice"},
    {PORT("{'number':80,'name':'x','protocol':'HTTP'},{'number':81,'name':'x','protocol':'HTTP'}"),
     "error spec.ports[1].name: x is there twice"},
    {PORT("{'number':9000,'name':'x','protocol':'TCP'}"),
     "warning spec.addresses: port 9000 of TCP without any"},
    {WITH("'addresses':['x']"), "error spec.addresses[0]: \"x\" is no address and no network"},
    {WITH("'addresses':['10.0.0.0/40']"), "error spec.addresses[0]: \"10.0.0.0/40\" is no"},
    {WITH("'addresses':['10.0.0.0/8'],'resolution':'DNS'"),
     "error spec.addresses[0]: networks go with resolution NONE and STATIC"},
    {WITH("'resolution':'DYNAMIC_DNS'"), "error spec.resolution: DYNAMIC_DNS is not done"},
    {WITH("'resolution':'dns'"), "error spec.resolution: dns is not done"},
    {WITH("'location':'MOON'"), "error spec.location: MOON is no place"},
    {WITH("'resolution':'STATIC'"), "warning spec.endpoints: resolution STATIC without any"},
    {WITH("'endpoints':[{'address':'10.0.0.1'}]"),
     "error spec.endpoints: have no effect with resolution NONE"},
    {WITH("'resolution':'STATIC','endpoints':[{}]"), "error spec.endpoints[0].address: is missing"},
    {WITH("'resolution':'STATIC','endpoints':[{'address':'b.example'}]"),
     "error spec.endpoints[0].address: b.example is none, which resolution STATIC asks for"},
    {WITH("'resolution':'STATIC','endpoints':[{'address':'unix:///a'}]"),
     "error spec.endpoints[0].address: sockets of files are not done"},
    {WITH("'resolution':'DNS','endpoints':[{'address':'*.example'}]"),
     "error spec.endpoints[0].address: *.example is no address and no name"},
    {WITH("'resolution':'STATIC','endpoints':[{'address':'10.0.0.1','ports':{'x':1}}]"),
     "error spec.endpoints[0].ports[x]: there is no such port"},
    {WITH("'resolution':'STATIC','endpoints':[{'address':'10.0.0.1','ports':{'http':0}}]"),
     "error spec.endpoints[0].ports[http]: is no number from 1 to 65535"},
    {WITH("'resolution':'STATIC','endpoints':[{'address':'10.0.0.1','weight':-1}]"),
     "error spec.endpoints[0].weight: is no whole number"},
    {WITH("'resolution':'DNS_ROUND_ROBIN','endpoints':[{'address':'b.example'},"
          "{'address':'c.example'}]"),
     "error spec.endpoints: resolution DNS_ROUND_ROBIN asks for one"},
    {WITH("'workloadSelector':{'labels':{'a':'b'}}"),
     "error spec.workloadSelector: selects addresses"},
    {WITH("'resolution':'STATIC','workloadSelector':{}"),
     "error spec.workloadSelector.labels: selects nothing"},
    {WITH("'resolution':'STATIC','endpoints':[{'address':'10.0.0.1'}],'workloadSelector':{}"),
     "error spec.workloadSelector: stands beside endpoints"},
    {WITH("'exportTo':['A!']"), "error spec.exportTo[0]: is no namespace"},
};

static struct service_entry *decode(const char *spec)
{
    AUTO_DONE(buf) struct buf text = {0};
    buf_addf(&text, "{'metadata':{'namespace':'ns','name':'e','uid':'u'},'spec':%s}", spec);
    AUTO_JSON json_t *j = json_of(buf_cstr(&text));
    struct service_entry *e = service_entry_decode(j);
    assert_non_null(e);
    return e;
}

static void test_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
        AUTO(service_entry) struct service_entry *e = decode(wrongs[i].spec);
        const struct finding *f = e->o.findings.n ? &e->o.findings.v[0] : NULL;
        if (!f)
            fail_msg("%s: nothing is told", wrongs[i].spec);
        AUTO_CHARS char *told = xasprintf(
            "%s %s: %s", f->severity == FINDING_ERROR ? "error" : "warning", f->field, f->message);
        if (strncmp(told, wrongs[i].told, strlen(wrongs[i].told)) != 0)
            fail_msg("%s: %s", wrongs[i].spec, told);
    }
}

static void test_what_is_right(void **state)
{
    static const char *const rights[] = {
        WITH("'resolution':'NONE'"),
        WITH("'resolution':'DNS','exportTo':['.'],'subjectAltNames':['x']"),
        WITH("'resolution':'DNS','endpoints':[{'address':'b.example'},{'address':'10.0.0.1'}]"),
        WITH("'resolution':'STATIC','workloadSelector':{'labels':{'app':'x'}}"),
        "{'hosts':['*.example'],'ports':[{'number':443,'name':'tls','protocol':'tls'}]}",
        "{'hosts':['*.example'],'resolution':'DNS','endpoints':[{'address':'b.example'}]," PORTS
        "}",
        "{'hosts':['db.example'],'addresses':['240.0.0.1','fd00::1','10.0.0.0/8'],'resolution':"
        "'STATIC','location':'MESH_INTERNAL','ports':[{'number':3306,'name':'db','protocol':"
        "'MYSQL','targetPort':3307}],'endpoints':[{'address':'10.1.0.1','ports':{'db':3308},"
        "'weight':5}]}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rights); i++) {
        AUTO(service_entry) struct service_entry *e = decode(rights[i]);
        if (e->o.findings.n)
            fail_msg("%s: %s: %s", rights[i], e->o.findings.v[0].field, e->o.findings.v[0].message);
    }
}

static void test_what_is_no_object(void **state)
{
    (void)state;
    AUTO_JSON json_t *j = json_of("{'metadata':{'name':'x'}}");
    assert_null(service_entry_decode(j));
}

/* One bad part leaves the others alone; what cannot be found at all has no port. */
static void test_what_stays(void **state)
{
    (void)state;
    AUTO(service_entry)
    struct service_entry *e =
        decode("{'hosts':['-','a.example'],'resolution':'STATIC','ports':[{'number':80,'name':"
               "'http','protocol':'HTTP'},{'number':81,'name':'x','protocol':'X'}],'endpoints':["
               "{'address':'?'},{'address':'10.0.0.1'}]}");
    assert_int_equal(e->n_hosts, 1);
    assert_int_equal(e->n_ports, 1);
    assert_int_equal(e->n_endpoints, 1);
    AUTO(service_entry) struct service_entry *lost = decode(WITH("'resolution':'MAGIC'"));
    assert_int_equal(lost->n_ports, 0);
}

/* Endpoints with their ports at the same numbers are in one slice. */
static void test_slices(void **state)
{
    (void)state;
    AUTO(service_entry)
    struct service_entry *e =
        decode("{'hosts':['a.example'],'resolution':'STATIC','ports':[{'number':80,'name':'http',"
               "'protocol':'HTTP','targetPort':8080}],'endpoints':[{'address':'10.0.0.1'},"
               "{'address':'10.0.0.2','ports':{'http':9}},{'address':'10.0.0.3'},"
               "{'address':'fd00::1'}]}");
    AUTO_JSON json_t *list = json_array();
    struct entry_slices s = {list, e, "a.example"};
    for (size_t i = 0; i < e->n_endpoints; i++)
        entry_slices_add(&s, &e->endpoints[i].ip, e->endpoints[i].spec);
    AUTO_DONE(buf) struct buf text = {0};
    json_write(&text, list);
    AUTO_JSON json_t *want = json_of(
        "[{'metadata':{'namespace':'ns','name':'.e/a.example/0','labels':{"
        "'kubernetes.io/service-name':'.e/a.example'}},'addressType':'IPv4','ports':[{'name':"
        "'http','port':8080}],'endpoints':[{'addresses':['10.0.0.1']},{'addresses':['10.0.0.3']}]},"
        "{'metadata':{'namespace':'ns','name':'.e/a.example/1','labels':{"
        "'kubernetes.io/service-name':'.e/a.example'}},'addressType':'IPv4','ports':[{'name':"
        "'http','port':9}],'endpoints':[{'addresses':['10.0.0.2']}]},"
        "{'metadata':{'namespace':'ns','name':'.e/a.example/2','labels':{"
        "'kubernetes.io/service-name':'.e/a.example'}},'addressType':'IPv6','ports':[{'name':"
        "'http','port':8080}],'endpoints':[{'addresses':['fd00::1']}]}]");
    if (!json_equal(list, want))
        fail_msg("%s", buf_cstr(&text));
}

static void test_keys(void **state)
{
    (void)state;
    AUTO_CHARS char *key = service_key_of_entry("ns", "e", "a.example");
    assert_string_equal(key, "ns/.e/a.example");
    assert_true(service_key_is_entry(key));
    assert_false(service_key_is_entry("ns/e"));
    assert_false(service_key_is_entry("e"));
    AUTO_CHARS char *host = service_key_host(key), *of_service = service_key_host("ns/web");
    assert_string_equal(host, "a.example");
    assert_string_equal(of_service, "web.ns.svc.cluster.local");
    assert_true(str_is(service_key_namespace(key), "ns"));
    assert_true(str_is(service_key_name(key), "e"));
    assert_true(str_is(service_key_name("ns/web"), "web"));
}

/* ---- whose a host is ---- */

struct world {
    struct service_join *join;
    struct workloads *pods;
    struct service_entries *entries;
};

static void put(struct world *w, const char *ns, const char *name, int age, const char *rest)
{
    AUTO_CHARS char *text = xasprintf(
        "{'metadata':{'namespace':'%s','name':'%s','creationTimestamp':'2026-01-%02dT00:00:00Z'},"
        "'spec':{'hosts':['a.example']%s}}",
        ns, name, age, rest);
    AUTO_JSON json_t *j = json_of(text);
    service_entries_put(w->entries, service_entry_decode(j));
}

static void expect_key(const struct world *w, uint16_t port, const char *ns, const char *want)
{
    AUTO_CHARS char *key = service_entries_resolve(w->entries, "a.example", port, str_from(ns));
    if (!key != !want || (key && !streq(key, want)))
        fail_msg("%u %s: %s", port, ns, key ? key : "nobody's");
}

static void start(struct world *w)
{
    w->join = service_join_new();
    w->pods = workloads_new(NULL, NULL);
    w->entries = service_entries_new(w->join, w->pods);
}

static void finish(struct world *w)
{
    service_entries_free(w->entries);
    workloads_free(w->pods);
    service_join_free(w->join);
}

static void test_whose_a_host_is(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put(&w, "x", "young", 9, "," PORTS);
    put(&w, "x", "old", 2, "," PORTS ",'exportTo':['x','y']");
    put(&w, "y", "own", 5, ",'ports':[{'number':443,'name':'tls','protocol':'TLS'}]");
    expect_key(&w, 80, "", "x/.young/a.example");
    expect_key(&w, 80, "z", "x/.young/a.example");
    expect_key(&w, 80, "x", "x/.old/a.example");
    expect_key(&w, 80, "y", "x/.old/a.example");
    expect_key(&w, 443, "x", "y/.own/a.example");
    expect_key(&w, 0, "y", "y/.own/a.example"); /* at any port: its own */
    expect_key(&w, 8080, "y", NULL);
    assert_true(service_entries_varies(w.entries, "a.example"));
    unsigned before = service_entries_generation(w.entries, "a.example");
    service_entries_remove(w.entries, STR("x/old"));
    assert_int_not_equal(service_entries_generation(w.entries, "a.example"), before);
    expect_key(&w, 80, "y", "x/.young/a.example");
    service_entries_remove(w.entries, STR("x/young"));
    service_entries_remove(w.entries, STR("x/young"));
    assert_false(service_entries_varies(w.entries, "a.example"));
    assert_true(str_is(service_entries_namespace(w.entries, "a.example"), "y"));
    service_entries_remove(w.entries, STR("y/own"));
    expect_key(&w, 443, "", NULL);
    /* A Service of that short name: it is that one. */
    put(&w, "x", "young", 9, "," PORTS);
    AUTO_JSON json_t *j = json_of("{'metadata':{'namespace':'example','name':'a'},'spec':{}}");
    struct service_object *s = service_object_decode(j);
    service_join_add_service(w.join, &s);
    expect_key(&w, 80, "", NULL);
    service_join_remove_service(w.join, STR("example/a"));
    expect_key(&w, 80, "", "x/.young/a.example");
    finish(&w);
}

static size_t endpoints_of(const struct world *w, const char *key)
{
    const struct joined_service *s = service_join_find(w->join, key);
    size_t n = 0;
    VEC_FOREACH (slice, &s->slices)
        n += (*slice)->n_endpoints;
    return n;
}

/* Pods and WorkloadEntries of its namespace with its labels, as they come and go. */
static void test_what_is_selected(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put(&w, "x", "e", 1,
        "," PORTS ",'resolution':'STATIC','workloadSelector':{'labels':{'a':'b'}}");
    assert_int_equal(endpoints_of(&w, "x/.e/a.example"), 0);
    AUTO_JSON json_t *pod = json_of("{'metadata':{'namespace':'x','name':'p','labels':{'a':'b'}},"
                                    "'status':{'podIP':'10.0.0.1'}}"),
                     *other = json_of("{'metadata':{'namespace':'y','name':'p','labels':{'a':"
                                      "'b'}},'status':{'podIP':'10.0.0.2'}}"),
                     *entry = json_of("{'metadata':{'namespace':'x','name':'v'},'spec':{'address':"
                                      "'10.0.0.3','labels':{'a':'b'},'ports':{'http':8081}}}");
    workloads_put(w.pods, pod);
    workloads_put(w.pods, other);
    assert_false(service_entries_workload_changed(w.entries, workloads_find(w.pods, STR("y/p"))));
    assert_true(service_entries_workload_changed(w.entries, workloads_find(w.pods, STR("x/p"))));
    assert_true(service_entries_settle(w.entries));
    assert_false(service_entries_settle(w.entries));
    assert_int_equal(endpoints_of(&w, "x/.e/a.example"), 1);
    const struct istio_object *o = service_entries_put_workload(w.entries, entry);
    assert_int_equal(o->findings.n, 0);
    service_entries_workloads_changed(w.entries);
    service_entries_settle(w.entries);
    assert_int_equal(endpoints_of(&w, "x/.e/a.example"), 2);
    service_entries_remove_workload(w.entries, STR("x/v"));
    service_entries_workloads_changed(w.entries);
    service_entries_settle(w.entries);
    assert_int_equal(endpoints_of(&w, "x/.e/a.example"), 1);
    json_object_set_new(json_object_get(entry, "spec"), "address", json_string("b.example"));
    o = service_entries_put_workload(w.entries, entry);
    assert_int_equal(o->findings.n, 1);
    assert_string_equal(o->findings.v[0].field, "spec.address");
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_what_is_right),
        cmocka_unit_test(test_what_is_no_object),
        cmocka_unit_test(test_what_stays),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_whose_a_host_is),
        cmocka_unit_test(test_what_is_selected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
