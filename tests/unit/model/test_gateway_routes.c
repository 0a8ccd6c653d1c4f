/* Gateways, and what they and VirtualServices make together: which hosts, at which of the two
 * ports, and which object is told of what is wrong. */
#include "json_text.h"

#include "model/gateway_routes.h"
#include "model/route_hosts.h"

#define PORT(protocol, number) "'port':{'protocol':'" protocol "','number':" number "},"
#define SERVER(text)           "{'servers':[{" text "}]}"
#define PLAIN(text)            SERVER(PORT("HTTP", "80") text)
#define OVER(tls)              SERVER(PORT("HTTPS", "443") "'hosts':['*'],'tls':{" tls "}")

static const struct {
    const char *spec;
    const char *told; /* "severity field: message", as far as it goes; NULL: nothing */
} wrong[] = {
    {PLAIN("'hosts':['*']"), NULL},
    {PLAIN("'hosts':['ns/a.b','./*.c','*/d.e']"), NULL},
    {SERVER(PORT("http2", "8080") "'hosts':['*']"), NULL},
    {OVER("'mode':'SIMPLE','credentialName':'a-b'"), NULL},
    {OVER("'mode':'SIMPLE','credentialName':'kubernetes://a-b'"), NULL},
    {OVER("'mode':'PASSTHROUGH'"), NULL},
    {SERVER(PORT("TLS", "15443") "'hosts':['*.local'],'tls':{'mode':'AUTO_PASSTHROUGH'}"), NULL},
    {"{}", "error spec.servers: is missing"},
    {"{'servers':7}", "error spec.servers: is missing"},
    {"{'servers':[7]}", "error spec.servers[0].port.number: is missing"},
    {SERVER("'hosts':['*']"), "error spec.servers[0].port.number: is missing"},
    {SERVER(PORT("HTTP", "0") "'hosts':['*']"), "error spec.servers[0].port.number: is no whole"},
    {SERVER(PORT("HTTP", "65536") "'hosts':['*']"),
     "error spec.servers[0].port.number: is no whole"},
    {SERVER(PORT("HTTP", "443") "'hosts':['*']"), "error spec.servers[0].port.number: gateways do"},
    {SERVER(PORT("HTTPS", "80") "'hosts':['*']"), "error spec.servers[0].port.number: gateways do"},
    {SERVER("'port':{'number':80},'hosts':['*']"), "error spec.servers[0].port.protocol: \"\" is"},
    {SERVER(PORT("TCP", "80") "'hosts':['*']"), "error spec.servers[0].port.protocol: \"TCP\" is"},
    {SERVER(PORT("MONGO", "80") "'hosts':['*']"), "error spec.servers[0].port.protocol: \"MONGO\""},
    {PLAIN("'hosts':[]"), "error spec.servers[0].hosts: is missing"},
    {PLAIN("'hosts':['a b']"), "error spec.servers[0].hosts[0]: \"a b\" is no host"},
    {PLAIN("'hosts':['short']"), "error spec.servers[0].hosts[0]: \"short\" is no host"},
    {PLAIN("'hosts':['ns/']"), "error spec.servers[0].hosts[0]: \"ns/\" is no host"},
    {PLAIN("'hosts':[7]"), "error spec.servers[0].hosts[0]: \"\" is no host"},
    {PLAIN("'hosts':['a.*.b']"), "error spec.servers[0].hosts[0]: \"a.*.b\" is no host"},
    {PLAIN("'hosts':['N_/a.b']"), "error spec.servers[0].hosts[0]: \"N_/a.b\" names no namespace"},
    {PLAIN("'hosts':['*'],'bind':'10.0.0.1'"), "warning spec.servers[0].bind: has no effect"},
    {PLAIN("'hosts':['*'],'defaultEndpoint':'127.0.0.1:1'"),
     "warning spec.servers[0].defaultEndpoint: has no effect"},
    {SERVER(PORT("HTTPS", "443") "'hosts':['*']"), "error spec.servers[0].tls: is missing"},
    {OVER("'mode':'ISTIO_MUTUAL'"), "error spec.servers[0].tls.mode: ISTIO_MUTUAL is not served"},
    {OVER("'mode':'AUTO_PASSTHROUGH'"),
     "error spec.servers[0].port.number: AUTO_PASSTHROUGH is served at 15443 alone"},
    {SERVER(PORT("TLS", "15443") "'hosts':['*.a'],'tls':{'mode':'PASSTHROUGH'}"),
     "error spec.servers[0].port.number: what comes in at 15443 goes on by AUTO_PASSTHROUGH"},
    {SERVER(PORT("HTTP", "15443") "'hosts':['*.a']"),
     "error spec.servers[0].port.number: gateways"},
    {OVER("'mode':'OPTIONAL_MUTUAL'"), "error spec.servers[0].tls.mode: OPTIONAL_MUTUAL is"},
    {OVER("'mode':'SIMPLE'"), "error spec.servers[0].tls.credentialName: is missing"},
    {OVER("'mode':'SIMPLE','credentialName':'A_'"),
     "error spec.servers[0].tls.credentialName: \"A_\" is no name"},
    {OVER("'mode':'SIMPLE','credentialName':'../a'"),
     "error spec.servers[0].tls.credentialName: \"../a\" is no name"},
    {OVER("'mode':'SIMPLE','credentialNames':['a','b']"),
     "error spec.servers[0].tls.credentialNames: several certificates"},
    {OVER("'mode':'SIMPLE','serverCertificate':'/etc/x'"),
     "error spec.servers[0].tls.serverCertificate: gateways read certificates from Secrets"},
    {OVER("'mode':'MUTUAL','credentialName':'a','caCertCredentialName':'B!'"),
     "error spec.servers[0].tls.caCertCredentialName: \"B!\" is no name"},
    {OVER("'mode':'MUTUAL','credentialName':'a','subjectAltNames':['x']"),
     "error spec.servers[0].tls.subjectAltNames: is not done"},
    {OVER("'mode':'MUTUAL','credentialName':'a','verifyCertificateHash':['x']"),
     "error spec.servers[0].tls.verifyCertificateHash: is not done"},
    {OVER("'mode':'SIMPLE','credentialName':'a','minProtocolVersion':'TLSV1_3'"),
     "warning spec.servers[0].tls.minProtocolVersion: has no effect"},
    {OVER("'mode':'SIMPLE','credentialName':'a','httpsRedirect':true"),
     "warning spec.servers[0].tls.httpsRedirect: has no effect"},
    {SERVER(PORT("TLS", "443") "'hosts':['*'],'tls':{'mode':'SIMPLE','credentialName':'a'}"),
     "error spec.servers[0].tls.mode: of protocol TLS only"},
};

static json_t *object(const char *ns, const char *name, const char *created, const char *spec)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'name':'%s','namespace':'%s','creationTimestamp':'%s'},'spec':%s}",
                  name, ns, created, spec);
    return json_of(text);
}

static void test_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        AUTO_JSON json_t *j = object("ns", "x", "2026-01-01T00:00:00Z", wrong[i].spec);
        AUTO(istio_gateway) struct istio_gateway *g = istio_gateway_decode(j);
        bool error = wrong[i].told && *wrong[i].told == 'e';
        assert_non_null(g);
        assert_int_equal(g->n_servers, !error);
        assert_int_equal(g->o.findings.n > 0, wrong[i].told != NULL);
        if (!wrong[i].told)
            continue;
        const struct finding *f = &g->o.findings.v[0];
        AUTO_CHARS char *line = xasprintf(
            "%s %s: %s", f->severity == FINDING_ERROR ? "error" : "warning", f->field, f->message);
        if (!str_starts(str_from(line), str_from(wrong[i].told)))
            fail_msg("%s\nwanted: %s\ntold:   %s", wrong[i].spec, wrong[i].told, line);
        assert_string_equal(f->object, "ns/x");
    }
}

/* Nobody makes the table of all too large, or what others wait for too long. */
static void test_too_many_hosts(void **state)
{
    AUTO_JSON json_t *j = object("ns", "x", "2026-01-01T00:00:00Z", PLAIN("'hosts':[]")),
                     *v = object(
                         "ns", "x", "2026-01-01T00:00:00Z",
                         "{'hosts':[],'gateways':[],'http':[{'directResponse':{'status':200}}]}");
    json_t *second = json_deep_copy(json_array_get(json_at(j, "spec.servers"), 0));
    (void)state;
    json_array_append_new(json_at(j, "spec.servers"), second);
    for (int i = 0; i < 1200; i++) {
        AUTO_CHARS char *name = xasprintf("h%d.example", i);
        json_t *server = json_array_get(json_at(j, "spec.servers"), i >= 600);
        json_array_append_new(json_object_get(server, "hosts"), json_string(name));
        json_array_append_new(json_at(v, "spec.hosts"), json_string(name));
        json_array_append_new(json_at(v, "spec.gateways"), json_string(i == 70 ? "mesh" : "g"));
    }
    AUTO(istio_gateway) struct istio_gateway *g = istio_gateway_decode(j);
    assert_int_equal(g->servers[0].n_hosts + g->servers[1].n_hosts, GATEWAY_HOSTS_MAX);
    assert_string_equal(g->o.findings.v[0].field, "spec.servers[1].hosts");
    AUTO(virtual_service) struct virtual_service *rule = virtual_service_decode(v);
    assert_int_equal(rule->n_hosts, VIRTUAL_SERVICE_HOSTS_MAX);
    assert_false(rule->for_mesh);
    assert_int_equal(rule->o.findings.n, 2);
}

/* ---- together ---- */

struct world {
    struct service_join *join;
    struct mesh_rules *rules;
    struct gateway_routes_options options;
    struct gateway_routes *routes;
    struct map hosts; /* name -> its golden form */
};

static void start(struct world *w)
{
    *w = (struct world){.join = service_join_new()};
    w->rules = mesh_rules_new(w->join);
    w->options =
        (struct gateway_routes_options){json_of("{'istio':'ingressgateway'}"), "fairlead-system"};
    w->routes = gateway_routes_new(&w->options, w->rules);
}

static void settle(struct world *w)
{
    const char *name;
    struct route_host *h;
    while (gateway_routes_take_dirty(w->routes, &name, &h)) {
        AUTO_DONE(buf) struct buf b = {0};
        if (h)
            route_host_format(h, &b);
        free(h ? map_put_cstr(&w->hosts, name, xstrdup(buf_cstr(&b)))
               : map_remove_cstr(&w->hosts, name));
        route_host_unref(h);
    }
}

static void finish(struct world *w)
{
    void *text;
    for (size_t at = 0; map_next(&w->hosts, &at, NULL, &text);)
        free(text);
    map_done(&w->hosts);
    gateway_routes_free(w->routes);
    mesh_rules_free(w->rules);
    service_join_free(w->join);
    json_decref(w->options.labels);
}

static void put_gateway(struct world *w, const char *name, const char *spec)
{
    AUTO_JSON json_t *j = object("front", name, "2026-01-01T00:00:00Z", spec);
    gateway_routes_put(w->routes, istio_gateway_decode(j));
}

static void put_rule(struct world *w, const char *ns, const char *name, const char *created,
                     const char *spec)
{
    AUTO_JSON json_t *j = object(ns, name, created, spec);
    mesh_rules_put_virtual_service(w->rules, virtual_service_decode(j));
}

static void expect(struct world *w, const char *name, const char *part)
{
    settle(w);
    const char *text = map_find_cstr(&w->hosts, name);
    if (!part)
        assert_null(text);
    else if (!text || !strstr(text, part))
        fail_msg("%s: wanted %s in\n%s", name, part, text ? text : "nothing");
}

#define RULE(hosts, more)                                                                          \
    "{'hosts':[" hosts "],'gateways':['front/g'],'http':[{'route':[{'destination':{'host':"        \
    "'web.ns.svc.cluster.local','port':{'number':80}}}]" more "}]}"
#define OLD  "2026-01-01T00:00:00Z"
#define NEW_ "2026-02-01T00:00:00Z"

static void test_hosts_that_both_name(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put_rule(&w, "ns", "a", OLD, RULE("'x.a.b','y.other'", ""));
    put_rule(&w, "elsewhere", "b", OLD, RULE("'z.a.b'", ""));
    put_rule(&w, "ns", "hidden", OLD, RULE("'h.a.b'", ",'name':'x'"));
    expect(&w, "x.a.b", NULL); /* there is no Gateway */
    put_gateway(&w, "g",
                "{'selector':{'istio':'ingressgateway'},'servers':[{" PORT(
                    "HTTP", "80") "'hosts':['ns/*.a.b']}]}");
    expect(&w, "x.a.b", "plain prefix / -> ns/web:80");
    expect(&w, "y.other", NULL);
    expect(&w, "z.a.b", NULL); /* of another namespace */
    expect(&w, "h.a.b", "plain prefix");
    put_gateway(
        &w, "g",
        "{'selector':{'istio':'egressgateway'},'servers':[{" PORT("HTTP", "80") "'hosts':['*']}]}");
    expect(&w, "x.a.b", NULL);
    put_gateway(&w, "g", "{'servers':[{" PORT("HTTP", "80") "'hosts':['x.a.b']}]}");
    put_rule(&w, "ns", "a", OLD, RULE("'*.a.b'", "")); /* the narrower of both */
    expect(&w, "x.a.b", "plain prefix");
    expect(&w, "*.a.b", NULL);
    mesh_rules_remove_virtual_service(w.rules, STR("ns/a"));
    expect(&w, "x.a.b", NULL);
    put_rule(&w, "ns", "a", OLD, RULE("'x.a.b'", ""));
    expect(&w, "x.a.b", "plain prefix");
    gateway_routes_remove(w.routes, STR("front/g"));
    expect(&w, "x.a.b", NULL);
    assert_int_equal(w.hosts.used, 0);
    finish(&w);
}

static void test_who_may_see_it(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put_gateway(&w, "g", PLAIN("'hosts':['*']"));
    put_rule(&w, "ns", "a", OLD,
             "{'exportTo':['.'],'hosts':['a.b'],'gateways':['front/"
             "g'],'http':[{'directResponse':{'status':200}}]}");
    expect(&w, "a.b", NULL);
    put_rule(&w, "ns", "a", OLD,
             "{'exportTo':['fairlead-system'],'hosts':['a.b'],'gateways':['front/"
             "g'],'http':[{'directResponse':{'status':200}}]}");
    expect(&w, "a.b", "plain prefix");
    finish(&w);
}

static void test_sides(void **state)
{
    struct world w;
    (void)state;
    start(&w);
    put_gateway(
        &w, "g",
        "{'servers':[{" PORT(
            "HTTP",
            "80") "'hosts':['*'],'tls':{'httpsRedirect':true}},"
                  "{" PORT(
                      "HTTPS",
                      "443") "'hosts':['a.b'],'tls':{'mode':'MUTUAL','credentialName':'c'}}]}");
    put_rule(&w, "ns", "a", OLD, RULE("'a.b'", ""));
    expect(&w, "a.b", "plain prefix / => 301 https://");
    expect(&w, "a.b", "tls prefix / -> ns/web:80");
    expect(&w, "a.b", "tls fairlead-system/c");
    put_rule(&w, "ns", "a", OLD,
             "{'hosts':['a.b'],'gateways':['front/"
             "g'],'http':[{'match':[{'port':443}],'directResponse':{'status':201}},"
             "{'match':[{'port':80}],'directResponse':{'status':202}}]}");
    expect(&w, "a.b", "201");
    assert_null(strstr(map_find_cstr(&w.hosts, "a.b"), "202"));
    finish(&w);
}

/* Of two for a host the routes of the older come first, in whatever order they come. */
static void test_two_of_a_host(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        struct world w;
        start(&w);
        put_gateway(&w, "g", PLAIN("'hosts':['*']"));
        for (int i = 0; i < 2; i++) {
            bool old = i == order;
            put_rule(&w, "ns", old ? "z" : "a", old ? OLD : NEW_,
                     old ? RULE("'a.b'", ",'match':[{'uri':{'exact':'/old'}}]")
                         : RULE("'a.b'", ",'match':[{'uri':{'exact':'/new'}}]"));
        }
        settle(&w);
        const char *text = map_find_cstr(&w.hosts, "a.b");
        assert_non_null(strstr(text, "/old"));
        assert_true(strstr(text, "/old") < strstr(text, "/new"));
        finish(&w);
    }
}

/* A younger rule of another namespace adds paths, and does not take the host's TLS: neither by a
 * door of its own that lets connections through, nor by a certificate. */
static void test_the_hosts_tls_is_its_owners(void **state)
{
    static const char thief[] = "{'hosts':['a.b'],'gateways':['front/mine'],'tls':[{'match':[{"
                                "'sniHosts':['a.b']}],'route':[{'destination':{'host':"
                                "'evil.x.svc.cluster.local','port':{'number':443}}}]}]}";
    struct world w;
    (void)state;
    start(&w);
    put_gateway(&w, "g", PLAIN("'hosts':['*']"));
    put_gateway(
        &w, "mine",
        "{'servers':[{" PORT("TLS", "443") "'hosts':['a.b'],'tls':{'mode':'PASSTHROUGH'}}]}");
    put_rule(&w, "ns", "a", OLD, RULE("'a.b'", ""));
    put_rule(&w, "x", "b", NEW_, thief);
    expect(&w, "a.b", "-> ns/web:80");
    assert_null(strstr(map_find_cstr(&w.hosts, "a.b"), "passthrough"));
    assert_non_null(strstr(map_find_cstr(&w.hosts, "a.b"), "its TLS is not touched"));
    put_gateway(&w, "mine",
                "{'servers':[{" PORT("HTTPS", "443") "'hosts':['a.b'],'tls':{'mode':'SIMPLE',"
                                                     "'credentialName':'theirs'}}]}");
    put_rule(&w, "x", "b", NEW_,
             "{'hosts':['a.b'],'gateways':['front/mine'],'http':[{'directResponse':{'status':"
             "201}}]}");
    expect(&w, "a.b", "-> ns/web:80");
    assert_null(strstr(map_find_cstr(&w.hosts, "a.b"), "theirs"));
    put_gateway(
        &w, "mine",
        "{'servers':[{" PORT("TLS", "443") "'hosts':['a.b'],'tls':{'mode':'PASSTHROUGH'}}]}");
    put_rule(&w, "ns", "b", NEW_, thief); /* of the host's own namespace it is meant */
    expect(&w, "a.b", "passthrough x/evil:443");
    finish(&w);
}

/* ---- the one table ---- */

static struct route_host *host_of(const char *kind, const char *key, int64_t since_s)
{
    struct route_host *h = route_host_new("a.b");
    if (kind)
        h->owner = (struct route_origin){kind, xstrdup(key), xstrdup("spec.x")};
    h->since_s = since_s;
    return h;
}

static void test_the_older_is_served(void **state)
{
    struct route_hosts t = {0};
    const struct route_host *loser;
    (void)state;
    struct route_host *h =
        route_hosts_put(&t, ROUTE_DOOR_INGRESS, "a.b", host_of("Ingress", "ns/i", 5), &loser);
    assert_string_equal(h->owner.kind, "Ingress");
    assert_null(loser);
    route_host_unref(h);
    h = route_hosts_put(&t, ROUTE_DOOR_GATEWAY, "a.b", host_of("VirtualService", "ns/v", 6),
                        &loser);
    assert_string_equal(h->owner.kind, "Ingress");
    assert_string_equal(loser->findings.v[0].object, "ns/v");
    assert_non_null(strstr(loser->findings.v[0].message, "Ingress ns/i"));
    route_host_unref(h);
    for (int i = 0; i < 3; i++) /* the winner is made anew: that is told already */
        route_host_unref(
            route_hosts_put(&t, ROUTE_DOOR_INGRESS, "a.b", host_of("Ingress", "ns/i", 5), &loser));
    assert_int_equal(loser->findings.n, 1);
    h = route_hosts_put(&t, ROUTE_DOOR_GATEWAY, "a.b", host_of("VirtualService", "ns/v", 4),
                        &loser);
    assert_string_equal(h->owner.kind, "VirtualService");
    assert_string_equal(loser->findings.v[0].object, "ns/i");
    route_host_unref(h);
    h = route_hosts_put(&t, ROUTE_DOOR_GATEWAY, "a.b", NULL, &loser);
    assert_string_equal(h->owner.kind, "Ingress");
    assert_null(loser);
    route_host_unref(h);
    h = route_hosts_put(&t, ROUTE_DOOR_INGRESS, "a.b", host_of(NULL, NULL, 0), &loser);
    route_host_unref(h);
    h = route_hosts_put(&t, ROUTE_DOOR_GATEWAY, "a.b", host_of("VirtualService", "ns/v", 9),
                        &loser);
    assert_string_equal(h->owner.kind, "VirtualService"); /* a default backend gives way */
    assert_int_equal(loser->findings.n, 0);
    route_host_unref(h);
    route_host_unref(route_hosts_put(&t, ROUTE_DOOR_INGRESS, "a.b", NULL, &loser));
    assert_null(route_hosts_put(&t, ROUTE_DOOR_GATEWAY, "a.b", NULL, &loser));
    assert_int_equal(t.names.used, 0);
    route_hosts_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_too_many_hosts),
        cmocka_unit_test(test_hosts_that_both_name),
        cmocka_unit_test(test_who_may_see_it),
        cmocka_unit_test(test_sides),
        cmocka_unit_test(test_the_hosts_tls_is_its_owners),
        cmocka_unit_test(test_two_of_a_host),
        cmocka_unit_test(test_the_older_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
