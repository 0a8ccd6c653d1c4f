/* VirtualServices and DestinationRules that are wrong: what is told of each, and of which field. */
#include "json_text.h"

#include "model/destination_rule.h"
#include "model/virtual_service.h"

/* HTTP: with one route of which the text is a part. */
#define HTTP(text) "{'hosts':['a'],'http':[{" text "}]}"
#define TO         "'route':[{'destination':{'host':'a'}}]"
#define MATCH(m)   HTTP("'match':[{" m "}]," TO)
#define POLICY(p)  "{'host':'a','trafficPolicy':{" p "}}"

struct wrong {
    const char *spec;
    const char *told; /* "severity field: message", as far as it goes */
};

static const struct wrong routes[] = {
    {"{}", "error spec: has no routes"},
    {"{'hosts':['a']}", "error spec: has no routes"},
    {"{'hosts':['*'],'http':[{" TO "}]}", "error spec.hosts[0]: sidecars are not given routes"},
    {"{'hosts':['a','-b-'],'http':[{" TO "}]}", "error spec.hosts[1]: \"-b-\" is no host"},
    {"{'hosts':[''],'http':[{" TO "}]}", "error spec.hosts[0]: \"\" is no host"},
    {"{'hosts':['*a.b'],'http':[{" TO "}]}", "error spec.hosts[0]: \"*a.b\" is no host"},
    {"{'hosts':['a.*.b'],'http':[{" TO "}]}", "error spec.hosts[0]: \"a.*.b\" is no host"},
    {"{'hosts':[7],'http':[{" TO "}]}", "error spec.hosts[0]: \"\" is no host"},
    {"{'hosts':['a'],'gateways':[''],'http':[{" TO "}]}", "error spec.gateways[0]: is empty"},
    {"{'gateways':['g'],'http':[{" TO "}]}", "error spec.gateways: a VirtualService without hosts"},
    {"{'tcp':[{" TO "}]}", "error spec.tcp: a delegate has routes of HTTP alone"},
    {"{'http':[{'delegate':{'name':'b'}}]}", "error spec.http[0].delegate: a delegate has no"},
    {"{'hosts':['a'],'exportTo':['A!'],'http':[{" TO "}]}",
     "error spec.exportTo[0]: is no namespace"},
    {"{'hosts':['a'],'tls':[{}]}", "error spec.tls[0].match: is missing"},
    {"{'hosts':['a'],'tls':[{'match':[{}]," TO "}]}",
     "error spec.tls[0].match[0].sniHosts: is missing"},
    {"{'hosts':['a'],'tls':[{'match':[{'sniHosts':['*']}]," TO "}]}",
     "error spec.tls[0].match[0].sniHosts[0]: is no name of a server"},
    {"{'hosts':['a'],'tls':[{'match':[{'sniHosts':['b.c']}]}]}",
     "error spec.tls[0].route: is missing"},
    {"{'hosts':['a'],'tcp':[{'match':[{'destinationSubnets':['10.0.0.0/33']}]," TO "}]}",
     "error spec.tcp[0].match[0].destinationSubnets[0]: is no network"},
    {"{'hosts':['a'],'tcp':[{'match':[{'port':0}]," TO "}]}",
     "error spec.tcp[0].match[0].port: is no whole number"},
    {"{'hosts':['a'],'tcp':[{'match':[{'sourceSubnet':'10.0.0.0/8'}]," TO "}]}",
     "warning spec.tcp[0].match[0].sourceSubnet: has no effect"},
    {"{'hosts':['a'],'tcp':[{'route':[{'destination':{}}]}]}",
     "error spec.tcp[0].route[0].destination.host: is missing"},
    {HTTP(""), "error spec.http[0]: leads nowhere"},
    {HTTP("'route':[]"), "error spec.http[0]: leads nowhere"},
    {HTTP(TO ",'redirect':{'uri':'/x'}"), "error spec.http[0].redirect: stands beside route"},
    {HTTP(TO ",'directResponse':{'status':200}"),
     "error spec.http[0].directResponse: stands beside route"},
    {HTTP("'redirect':{'uri':'/x'},'delegate':{'name':'b'}"),
     "error spec.http[0].delegate: stands beside redirect"},
    {HTTP("'delegate':{}"), "error spec.http[0].delegate.name: is missing"},
    {HTTP("'route':[{}]"), "error spec.http[0].route[0].destination.host: is missing"},
    {HTTP("'route':[{'destination':{'host':'*.b'}}]"),
     "error spec.http[0].route[0].destination.host: *.b is no host"},
    {HTTP("'route':[{'destination':{'host':'a','subset':'V_1'}}]"),
     "error spec.http[0].route[0].destination.subset: V_1 is no name"},
    {HTTP("'route':[{'destination':{'host':'a','port':{'number':70000}}}]"),
     "error spec.http[0].route[0].destination.port.number: is no whole number from 1 to 65535"},
    {HTTP("'route':[{'destination':{'host':'a'},'weight':-1}]"),
     "error spec.http[0].route[0].weight: is no whole number"},
    {HTTP("'route':[{'destination':{'host':'a'},'weight':0},{'destination':{'host':'b'}}]"),
     "error spec.http[0].route: has weights of 0 alone"},
    {MATCH("'uri':{}"), "error spec.http[0].match[0].uri: says nothing to compare with"},
    {MATCH("'uri':{'exact':''}"), "error spec.http[0].match[0].uri.exact: is empty"},
    {MATCH("'uri':{'exact':'/a','prefix':'/b'}"),
     "error spec.http[0].match[0].uri: has exact and prefix"},
    {MATCH("'uri':{'regex':'/(a'}"), "error spec.http[0].match[0].uri.regex: is no expression"},
    {MATCH("'uri':{'regex':'(?=a)'}"), "error spec.http[0].match[0].uri.regex: is no expression"},
    {MATCH("'method':{}"), "error spec.http[0].match[0].method: says nothing"},
    {MATCH("'authority':{'regex':'['}"), "error spec.http[0].match[0].authority.regex: is no"},
    {MATCH("'scheme':{'exact':'a','regex':'b'}"), "error spec.http[0].match[0].scheme: has exact"},
    {MATCH("'headers':{'a b':{}}"), "error spec.http[0].match[0].headers[a b]: is no name"},
    {MATCH("'headers':{'':{}}"), "error spec.http[0].match[0].headers[]: is no name"},
    {MATCH("'headers':{'a':{'regex':'('}}"),
     "error spec.http[0].match[0].headers[a].regex: is no expression"},
    {MATCH("'withoutHeaders':{'a':{'exact':'b','prefix':'c'}}"),
     "error spec.http[0].match[0].withoutHeaders[a]: has exact and prefix"},
    {MATCH("'queryParams':{'a':'b'}"),
     "error spec.http[0].match[0].queryParams[a]: says nothing to compare with"},
    {MATCH("'port':0"), "error spec.http[0].match[0].port: is no whole number from 1"},
    {MATCH("'port':'80'"), "error spec.http[0].match[0].port: is no whole number from 1"},
    {HTTP("'redirect':{}"), "error spec.http[0].redirect: leads to itself"},
    {HTTP("'redirect':{'uri':'/a','redirectCode':304}"),
     "error spec.http[0].redirect.redirectCode: is 304"},
    {HTTP("'redirect':{'uri':'/a','prefixRewrite':'/b'}"),
     "error spec.http[0].redirect.prefixRewrite: stands beside uri"},
    {HTTP("'redirect':{'scheme':'ftp'}"), "error spec.http[0].redirect.scheme: is \"ftp\""},
    {HTTP("'redirect':{'port':1,'derivePort':'FROM_REQUEST_PORT'}"),
     "error spec.http[0].redirect.derivePort: stands beside port"},
    {HTTP("'redirect':{'port':70000}"), "error spec.http[0].redirect.port: is no whole number"},
    {HTTP("'redirect':{'uri':'/a'},'rewrite':{'uri':'/b'}"),
     "error spec.http[0].rewrite: stands beside redirect"},
    {HTTP("'directResponse':{}"), "error spec.http[0].directResponse.status: is missing"},
    {HTTP("'directResponse':{'status':600}"),
     "error spec.http[0].directResponse.status: is no whole number from 200"},
    {HTTP("'directResponse':{'status':200,'body':{'bytes':'%%%'}}"),
     "error spec.http[0].directResponse.body.bytes: is no base64"},
    {HTTP(TO ",'rewrite':{}"), "error spec.http[0].rewrite: changes nothing"},
    {HTTP(TO ",'rewrite':{'uri':'/a','uriRegexRewrite':{'match':'a','rewrite':'b'}}"),
     "error spec.http[0].rewrite.uriRegexRewrite: stands beside uri"},
    {HTTP(TO ",'rewrite':{'uriRegexRewrite':{'match':'a'}}"),
     "error spec.http[0].rewrite.uriRegexRewrite: is not complete"},
    {HTTP(TO ",'rewrite':{'uriRegexRewrite':{'match':'(','rewrite':'b'}}"),
     "error spec.http[0].rewrite.uriRegexRewrite.match: is no expression"},
    {HTTP(TO ",'rewrite':{'uriRegexRewrite':{'match':'a','rewrite':'\\\\7'}}"),
     "error spec.http[0].rewrite.uriRegexRewrite.rewrite: "},
    {HTTP(TO ",'timeout':'5'"), "error spec.http[0].timeout: is no duration"},
    {HTTP(TO ",'timeout':'0s'"), "error spec.http[0].timeout: 0s is not between"},
    {HTTP(TO ",'timeout':'1000h'"), NULL},
    {HTTP(TO ",'timeout':'10000h'"), "error spec.http[0].timeout: 10000h is not between"},
    {HTTP(TO ",'retries':{'attempts':-1}"), "error spec.http[0].retries.attempts: is no whole"},
    {HTTP(TO ",'retries':{'attempts':1,'perTryTimeout':'x'}"),
     "error spec.http[0].retries.perTryTimeout: is no duration"},
    {HTTP(TO ",'retries':{'attempts':1,'retryOn':'sometimes'}"),
     "error spec.http[0].retries.retryOn: \"sometimes\" is no condition"},
    {HTTP(TO ",'retries':{'attempts':1,'retryOn':'5xx,,reset'}"),
     "error spec.http[0].retries.retryOn: \"\" is no condition"},
    {HTTP(TO ",'retries':{'attempts':1,'retryOn':'999'}"),
     "error spec.http[0].retries.retryOn: 999 is no status"},
    {HTTP(TO ",'retries':{'retryOn':'5xx'}"),
     "warning spec.http[0].retries.attempts: is 0: nothing is tried again"},
    {HTTP(TO ",'fault':{}"), "error spec.http[0].fault: says nothing"},
    {HTTP(TO ",'fault':{'delay':{'percentage':{'value':100}}}"),
     "error spec.http[0].fault.delay.fixedDelay: is missing"},
    {HTTP(TO ",'fault':{'delay':{'fixedDelay':'1s'}}"),
     "warning spec.http[0].fault.delay.percentage: is missing"},
    {HTTP(TO ",'fault':{'delay':{'percentage':{'value':101},'fixedDelay':'1s'}}"),
     "error spec.http[0].fault.delay.percentage: is no share from 0 to 100"},
    {HTTP(TO ",'fault':{'delay':{'percent':101,'fixedDelay':'1s'}}"),
     "error spec.http[0].fault.delay.percent: is no whole number"},
    {HTTP(TO ",'fault':{'delay':{'percent':1,'exponentialDelay':'1s'}}"),
     "error spec.http[0].fault.delay.exponentialDelay: is not supported"},
    {HTTP(TO ",'fault':{'abort':{'percentage':{'value':1}}}"),
     "error spec.http[0].fault.abort.httpStatus: is missing"},
    {HTTP(TO ",'fault':{'abort':{'percentage':{'value':1},'httpStatus':99}}"),
     "error spec.http[0].fault.abort.httpStatus: is no whole number"},
    {HTTP(TO ",'fault':{'abort':{'percentage':{'value':1},'grpcStatus':'NOT_FOUND'}}"), NULL},
    {HTTP(TO ",'fault':{'abort':{'percentage':{'value':1},'grpcStatus':'16'}}"), NULL},
    {HTTP(TO ",'fault':{'abort':{'percentage':{'value':1},'grpcStatus':'17'}}"),
     "error spec.http[0].fault.abort.grpcStatus: \"17\" is no status of gRPC"},
    {HTTP(TO ",'fault':{'abort':{'percentage':{'value':1},'grpcStatus':'GONE'}}"),
     "error spec.http[0].fault.abort.grpcStatus: \"GONE\" is no status of gRPC"},
    {HTTP(TO ",'mirror':{'host':'b'},'mirrors':[{'destination':{'host':'c'}}]"),
     "error spec.http[0].mirror: stands beside mirrors"},
    {HTTP(TO ",'mirrorPercentage':{'value':1}"),
     "error spec.http[0].mirrorPercentage: there is no mirror"},
    {HTTP(TO ",'mirror':{'subset':'b'}"), "error spec.http[0].mirror.host: is missing"},
    {HTTP(TO ",'mirrors':[{}]"), "error spec.http[0].mirrors[0].host: is missing"},
    {HTTP(TO ",'mirrors':[{'destination':{'host':'b'},'percentage':{'value':-1}}]"),
     "error spec.http[0].mirrors[0].percentage: is no share"},
    {HTTP(TO ",'corsPolicy':{'allowOrigins':[{}]}"),
     "error spec.http[0].corsPolicy.allowOrigins[0]: says nothing"},
    {HTTP(TO ",'corsPolicy':{'allowMethods':['G ET']}"),
     "error spec.http[0].corsPolicy.allowMethods[0]: is no word"},
    {HTTP(TO ",'corsPolicy':{'maxAge':'1500ms'}"),
     "error spec.http[0].corsPolicy.maxAge: is no number of seconds"},
    {HTTP(TO ",'headers':{'request':{'set':{'a b':'c'}}}"),
     "error spec.http[0].headers.request.set[a b]: is no name of a header"},
    {HTTP(TO ",'headers':{'response':{'add':{'a':'c\\n'}}}"),
     "error spec.http[0].headers.response.add[a]: is no value"},
    {HTTP(TO ",'headers':{'request':{'set':{':path':'/'}}}"),
     "error spec.http[0].headers.request.set[:path]: is no header that can be changed"},
    {HTTP(TO ",'headers':{'request':{'remove':['Host']}}"),
     "error spec.http[0].headers.request.remove[0]: cannot be removed"},
    {HTTP("'route':[{'destination':{'host':'a'},'headers':{'request':{'set':{'':'c'}}}}]"),
     "error spec.http[0].route[0].headers.request.set[]: is no name"},
};

static const struct wrong policies[] = {
    {"{}", "error spec.host: is missing"},
    {"{'host':'a b'}", "error spec.host: a b is no host"},
    {"{'host':'a','exportTo':['B_']}", "error spec.exportTo[0]: is no namespace"},
    {"{'host':'a','trafficPolicy':7}", "error spec.trafficPolicy: is no object"},
    {"{'host':'a','subsets':[{}]}", "error spec.subsets[0].name: \"\" is no name"},
    {"{'host':'a','subsets':[{'name':'v|1'}]}", "error spec.subsets[0].name: \"v|1\" is no name"},
    {"{'host':'a','subsets':[{'name':'v1'},{'name':'v1'}]}",
     "error spec.subsets[1].name: v1 is there twice"},
    {"{'host':'a','subsets':[{'name':'v1','trafficPolicy':{'loadBalancer':{'simple':'X'}}}]}",
     "error spec.subsets[0].trafficPolicy.loadBalancer.simple: \"X\" is no way"},
    {POLICY("'loadBalancer':{'simple':'RANDOM','consistentHash':{'useSourceIp':true}}"),
     "error spec.trafficPolicy.loadBalancer.consistentHash: stands beside simple"},
    {POLICY("'loadBalancer':{'consistentHash':{}}"),
     "error spec.trafficPolicy.loadBalancer.consistentHash: names nothing"},
    {POLICY("'loadBalancer':{'consistentHash':{'useSourceIp':true,'httpHeaderName':'a'}}"),
     "error spec.trafficPolicy.loadBalancer.consistentHash: names several things"},
    {POLICY("'loadBalancer':{'consistentHash':{'httpCookie':{'name':'a b','ttl':'1s'}}}"),
     "error spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.name: is no name"},
    {POLICY("'loadBalancer':{'consistentHash':{'httpCookie':{'name':'a','ttl':'x'}}}"),
     "error spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.ttl: is no duration"},
    {POLICY("'loadBalancer':{'consistentHash':{'useSourceIp':true,'maglev':{'tableSize':4}}}"),
     "error spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize: 4 is no prime"},
    {POLICY("'loadBalancer':{'consistentHash':{'useSourceIp':true,"
            "'ringHash':{'minimumRingSize':9999999}}}"),
     "error spec.trafficPolicy.loadBalancer.consistentHash.ringHash.minimumRingSize: is no whole"},
    {POLICY("'loadBalancer':{'warmup':{'minimumPercent':10}}"),
     "error spec.trafficPolicy.loadBalancer.warmup.duration: is missing"},
    {POLICY("'loadBalancer':{'warmup':{'duration':'1s','minimumPercent':101}}"),
     "error spec.trafficPolicy.loadBalancer.warmup.minimumPercent: is no share"},
    {POLICY("'loadBalancer':{'warmup':{'duration':'1s','aggression':0.5}}"),
     "error spec.trafficPolicy.loadBalancer.warmup.aggression: is less than 1"},
    {POLICY("'connectionPool':{'tcp':{'maxConnections':-1}}"),
     "error spec.trafficPolicy.connectionPool.tcp.maxConnections: is no whole number"},
    {POLICY("'connectionPool':{'tcp':{'connectTimeout':'0s'}}"),
     "error spec.trafficPolicy.connectionPool.tcp.connectTimeout: 0s is not between"},
    {POLICY("'connectionPool':{'tcp':{'tcpKeepalive':{'probes':-1}}}"),
     "error spec.trafficPolicy.connectionPool.tcp.tcpKeepalive.probes: "},
    {POLICY("'connectionPool':{'tcp':{'tcpKeepalive':{'time':'soon'}}}"),
     "error spec.trafficPolicy.connectionPool.tcp.tcpKeepalive.time: "},
    {POLICY("'connectionPool':{'http':{'http2KeepAlive':{'timeout':'1s'}}}"),
     "error spec.trafficPolicy.connectionPool.http.http2KeepAlive.interval: is missing"},
    {POLICY("'connectionPool':{'http':{'http2KeepAlive':{'interval':'1s'}}}"),
     "error spec.trafficPolicy.connectionPool.http.http2KeepAlive.timeout: is missing"},
    {POLICY("'proxyProtocol':{'version':'V3'}"),
     "error spec.trafficPolicy.proxyProtocol.version: \"V3\" is none"},
    {POLICY("'loadBalancer':{'consistentHash':{'httpCookie':{'name':'c','ttl':'0','attributes':[{"
            "'name':'SameSite','value':'a;b'}]}}}"),
     "error spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.attributes[0]: is no "
     "attribute of a cookie"},
    {POLICY("'connectionPool':{'http':{'http2MaxRequests':'1'}}"),
     "error spec.trafficPolicy.connectionPool.http.http2MaxRequests: is no whole number"},
    {POLICY("'connectionPool':{'http':{'idleTimeout':'never'}}"),
     "error spec.trafficPolicy.connectionPool.http.idleTimeout: is no duration"},
    {POLICY("'connectionPool':{'http':{'h2UpgradePolicy':'UPGRADE','useClientProtocol':true}}"),
     "error spec.trafficPolicy.connectionPool.http.useClientProtocol: stands beside"},
    {POLICY("'outlierDetection':{'consecutive5xxErrors':-1}"),
     "error spec.trafficPolicy.outlierDetection.consecutive5xxErrors: is no whole number"},
    {POLICY("'outlierDetection':{'maxEjectionPercent':101}"),
     "error spec.trafficPolicy.outlierDetection.maxEjectionPercent: is no whole number"},
    {POLICY("'outlierDetection':{'interval':'1'}"),
     "error spec.trafficPolicy.outlierDetection.interval: is no duration"},
    {POLICY("'tls':{'mode':'PLAIN'}"), "error spec.trafficPolicy.tls.mode: \"PLAIN\" is no mode"},
    {POLICY("'tls':{'mode':'MUTUAL'}"), "error spec.trafficPolicy.tls: is MUTUAL with nothing"},
    {POLICY("'tls':{'mode':'ISTIO_MUTUAL','clientCertificate':'/x'}"),
     "error spec.trafficPolicy.tls: is ISTIO_MUTUAL, which has certificates"},
    {POLICY("'tls':{'mode':'SIMPLE','credentialName':'a','caCertificates':'/x'}"),
     "error spec.trafficPolicy.tls.credentialName: stands beside files"},
    {POLICY("'tls':{'mode':'SIMPLE','credentialName':'../a'}"),
     "error spec.trafficPolicy.tls.credentialName: \"../a\" is no name of a Secret"},
    {POLICY("'tls':{'mode':'MUTUAL','clientCertificate':'/a~b','privateKey':'/k'}"),
     "error spec.trafficPolicy.tls.clientCertificate: holds a ~"},
    {POLICY("'loadBalancer':{'localityLbSetting':{'distribute':[{'from':'r','to':{'r':50}}]}}"),
     "error spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to: are no shares of"},
    {POLICY("'loadBalancer':{'localityLbSetting':{'distribute':[{'to':{'r':100}}]}}"),
     "error spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].from: is missing"},
    {POLICY("'loadBalancer':{'localityLbSetting':{'failover':[{'from':'r'}]}}"),
     "error spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0]: names no two regions"},
    {POLICY("'loadBalancer':{'localityLbSetting':{'failover':[{'from':'r','to':'r'}]}}"),
     "error spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0].to: is the region that"},
    {POLICY("'loadBalancer':{'localityLbSetting':{'failover':[{'from':'r','to':'q/z'}]}}"),
     "error spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0]: is of regions alone"},
    {POLICY("'loadBalancer':{'localityLbSetting':{'failoverPriority':['a'],"
            "'distribute':[{'from':'r','to':{'r':100}}]}}"),
     "error spec.trafficPolicy.loadBalancer.localityLbSetting: has distribute beside failover"},
    {POLICY("'portLevelSettings':[{}]"),
     "error spec.trafficPolicy.portLevelSettings[0].port.number: is missing"},
    {POLICY("'portLevelSettings':[{'port':{'number':80}},{'port':{'number':80}}]"),
     "error spec.trafficPolicy.portLevelSettings[1].port.number: 80 is there twice"},
    {POLICY("'portLevelSettings':[{'port':{'number':80},'loadBalancer':{'simple':'Y'}}]"),
     "error spec.trafficPolicy.portLevelSettings[0].loadBalancer.simple: \"Y\" is no way"},
    {POLICY("'retryBudget':{'percent':101}"),
     "error spec.trafficPolicy.retryBudget.percent: is no share"},
    {POLICY("'tunnel':{}"), "warning spec.trafficPolicy.tunnel: is not done yet"},
};

static json_t *object_of(const char *spec)
{
    AUTO_CHARS char *text = xasprintf("{'metadata':{'name':'x','namespace':'ns'},'spec':%s}", spec);
    return json_of(text);
}

static void expect(const struct wrong *w, const struct findings *f)
{
    AUTO_DONE(buf) struct buf all = {0};
    findings_format(f, &all);
    AUTO_CHARS char *plain = xstrdup(buf_cstr(&all));
    if (!w->told) {
        assert_string_equal(plain, "");
        return;
    }
    for (size_t i = 0; i < f->n; i++) {
        const struct finding *one = &f->v[i];
        AUTO_CHARS char *line =
            xasprintf("%s %s: %s", one->severity == FINDING_ERROR ? "error" : "warning", one->field,
                      one->message);
        if (str_starts(str_from(line), str_from(w->told)))
            return;
    }
    fail_msg("%s\nwanted: %s\ntold:   %s", w->spec, w->told, plain);
}

static void test_routes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        AUTO_JSON json_t *j = object_of(routes[i].spec);
        AUTO(virtual_service) struct virtual_service *v = virtual_service_decode(j);
        assert_non_null(v);
        expect(&routes[i], &v->o.findings);
    }
}

static void test_policies(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
        AUTO_JSON json_t *j = object_of(policies[i].spec);
        AUTO(destination_rule) struct destination_rule *d = destination_rule_decode(j);
        assert_non_null(d);
        expect(&policies[i], &d->o.findings);
    }
}

static uint16_t same_port(const char *service, uint16_t port, void *user)
{
    (void)service;
    (void)user;
    return port;
}

/* Little text that says much: each match has all that its route says. */
static void test_too_much(void **state)
{
    AUTO_JSON json_t *j = object_of(MATCH("'port':80"));
    json_t *http = json_array_get(json_at(j, "spec.http"), 0), *set = json_object(),
           *match = json_object_get(http, "match");
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        AUTO_CHARS char *name = xasprintf("x-%u", i);
        json_object_set_new(set, name, json_string("0123456789012345678901234567890123456789"));
        json_array_append_new(match, json_pack("{s:{s:s}}", "uri", "prefix", name));
    }
    json_object_set_new(http, "headers", json_pack("{s:{s:o}}", "request", "set", set));
    json_array_append_new(json_at(j, "spec.http"),
                          json_pack("{s:{s:i}}", "directResponse", "status", 200));
    AUTO(virtual_service) struct virtual_service *v = virtual_service_decode(j);
    const struct mesh_client client = {.ns = STR("ns")};
    const struct virtual_service_place place = {
        .gateway = "mesh", .client = &client, .port = 80, .port_of = same_port};
    struct findings told = {0};
    struct route_host *h = route_host_new("a");
    virtual_service_compile(v, &place, h, &told);
    assert_int_equal(h->n_routes, 1);
    assert_int_equal(h->routes[0].status, 503);
    assert_int_equal(told.n, 1);
    assert_string_equal(told.v[0].field, "spec.http[0]");
    findings_done(&told);
    route_host_unref(h);
}

static void test_what_is_no_object(void **state)
{
    static const char *const texts[] = {"{}", "{'metadata':{'name':'x'}}", "[]"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO_JSON json_t *j = json_of(texts[i]);
        assert_null(virtual_service_decode(j));
        assert_null(destination_rule_decode(j));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_what_is_no_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
