/* AuthorizationPolicies as Envoy's RBAC: what each key and each form of a value becomes. */
#include "json_text.h"

#include <stdio.h>

#include "control/translate_mesh.h"
#include "model/mesh_config.h"

/* Filters of requests, as compact JSON. Owned. */
static char *http_filters(const char *spec)
{
    AUTO_DONE(buf) struct buf text = {0};
    AUTO_CHARS char *object =
        xasprintf("{'metadata':{'namespace':'shop','name':'p'},'spec':%s}", spec);
    AUTO_JSON json_t *j = json_of(object);
    const struct request_authentication_list none = {{NULL, 0, 0}};
    struct authorization_list list = {{NULL, 0, 0}};
    struct authorization_policy *p = authorization_policy_decode(j);
    struct mesh_access access;
    assert_false(p->broken);
    vec_push(&list.v, p);
    translate_mesh_access(&list, &none, &(struct translate_access){.trust_domain = "cluster.local"},
                          &access);
    json_write(&text, access.http);
    mesh_access_done(&access);
    vec_done(&list.v);
    authorization_policy_free(p);
    return buf_take_cstr(&text);
}

#define PRINCIPAL(match) "\"authenticated\":{\"principal_name\":{" match "}}"
#define CLAIM(name, match)                                                                         \
    "\"metadata\":{\"filter\":\"envoy.filters.http.jwt_authn\",\"path\":[{\"key\":\"payload\"},"   \
    "{\"key\":\"" name "\"}],\"value\":{" match "}}"
#define ONE_OR_LIST(match)                                                                         \
    "\"or_match\":{\"value_matchers\":[{\"string_match\":{" match "}},{\"list_match\":{"           \
    "\"one_of\":{\"string_match\":{" match "}}}}]}"

static bool find_cluster(const char *host, uint16_t port, char ret[CLUSTER_NAME_MAX], void *user)
{
    (void)user;
    snprintf(ret, CLUSTER_NAME_MAX, "outbound|%u||%s", port, host);
    return !streq(host, "nobody.ns");
}

/* Filters of several policies, in one namespace, with that mesh config. */
static char *filters_with(const char *config, const char *const *specs, size_t n, bool http)
{
    AUTO_DONE(buf) struct buf text = {0};
    AUTO_JSON json_t *object = json_pack("{s:{s:s}}", "data", "mesh", config);
    struct mesh_config *c = mesh_config_new("istio-system/istio", object);
    const struct translate_access by = {
        .trust_domain = "cluster.local", .config = c, .find = find_cluster};
    const struct request_authentication_list none = {{NULL, 0, 0}};
    struct authorization_list list = {{NULL, 0, 0}};
    struct mesh_access access;
    if (c->findings.n)
        fail_msg("%s: %s", c->findings.v[0].field, c->findings.v[0].message);
    for (size_t i = 0; i < n; i++) {
        AUTO_CHARS char *one =
            xasprintf("{'metadata':{'namespace':'shop','name':'p%zu'},'spec':%s}", i, specs[i]);
        AUTO_JSON json_t *j = json_of(one);
        vec_push(&list.v, authorization_policy_decode(j));
    }
    translate_mesh_access(&list, &none, &by, &access);
    json_write(&text, http ? access.http : access.tcp);
    mesh_access_done(&access);
    VEC_FOREACH (p, &list.v)
        authorization_policy_free((struct authorization_policy *)(uintptr_t)*p);
    vec_done(&list.v);
    mesh_config_free(c);
    return buf_take_cstr(&text);
}

#define PROVIDERS                                                                                  \
    "extensionProviders: [{name: one, envoyExtAuthzHttp: {service: a.ns, port: 8000, pathPrefix: " \
    "/check, timeout: 1.5s, statusOnError: '503', failOpen: true, includeRequestHeadersInCheck: "  \
    "[x-a, x-b-*, '*-c'], includeAdditionalHeadersInCheck: {x-d: e}, headersToUpstreamOnAllow: "   \
    "[x-f], headersToDownstreamOnDeny: [x-g], headersToDownstreamOnAllow: [x-h], "                 \
    "includeRequestBodyInCheck: {maxRequestBytes: 100}}}, "                                        \
    "{name: one-more, envoyExtAuthzHttp: {service: b.ns, port: 1}}, "                              \
    "{name: away, envoyExtAuthzHttp: {service: nobody.ns, port: 1}}, "                             \
    "{name: log, envoyFileAccessLog: {}}]"
#define CUSTOM(name, path)                                                                         \
    "{'action':'CUSTOM','provider':{'name':'" name                                                 \
    "'},'rules':[{'to':[{'operation':{'paths':['" path "']}}]}]}"

/* What CUSTOM is about is asked of its provider, before tokens and other policies. */
static void test_custom(void **state)
{
    static const char *const specs[] = {CUSTOM("one", "/x"), "{'action':'DENY','rules':[{}]}",
                                        CUSTOM("one-more", "/y"), CUSTOM("one", "/z")};
    static const char *const wants[] = {
        "[{\"name\":\"envoy.filters.http.rbac\"",
        "\"istio-ext-authz-one-ns[shop]-policy[p0]-rule[0]\"",
        "\"istio-ext-authz-one-ns[shop]-policy[p3]-rule[0]\"",
        "\"shadow_rules_stat_prefix\":\"istio_ext_authz_\"",
        "\"path\":[{\"key\":\"istio_ext_authz_shadow_effective_policy_id\"}],"
        "\"value\":{\"string_match\":{\"prefix\":\"istio-ext-authz-one-ns[\"}}",
        "\"cluster\":\"outbound|8000||a.ns\",\"timeout\":\"1.500s\"",
        "\"cluster\":\"outbound|1||b.ns\",\"timeout\":\"600.000s\"",
        "\"path_prefix\":\"/check\"",
        "\"failure_mode_allow\":true",
        "\"status_on_error\":{\"code\":503}",
        "\"status_on_error\":{\"code\":403}",
        "\"allowed_headers\":{\"patterns\":[{\"exact\":\"x-a\",\"ignore_case\":true},"
        "{\"prefix\":\"x-b-\",\"ignore_case\":true},{\"suffix\":\"-c\",\"ignore_case\":true}]}",
        "\"headers_to_add\":[{\"key\":\"x-d\",\"value\":\"e\"}]",
        "\"allowed_upstream_headers\":{\"patterns\":[{\"exact\":\"x-f\"",
        "\"allowed_client_headers\":{\"patterns\":[{\"exact\":\"x-g\"",
        "\"allowed_client_headers_on_success\":{\"patterns\":[{\"exact\":\"x-h\"",
        "\"with_request_body\":{\"max_request_bytes\":100}",
        "\"policies\":{\"ns[shop]-policy[p1]-rule[0]\""};
    (void)state;
    AUTO_CHARS char *all = filters_with(PROVIDERS, specs, ARRAY_LEN(specs), true);
    for (size_t i = 0; i < ARRAY_LEN(wants); i++)
        if (!strstr(all, wants[i]))
            fail_msg("%s is not in %s", wants[i], all);
    /* of connections nobody is asked: they are refused */
    AUTO_CHARS char *tcp = filters_with(PROVIDERS, specs, 1, false);
    assert_non_null(strstr(tcp, "\"action\":\"DENY\",\"policies\":{\"ns[shop]-policy[p0]"));
}

#define BY_GRPC                                                                                    \
    "extensionProviders: [{name: g, envoyExtAuthzGrpc: {service: a.ns, port: 9000, timeout: 2s, "  \
    "failOpen: true, statusOnError: '500', includeRequestBodyInCheck: {maxRequestBytes: 10, "      \
    "packAsBytes: true}}}, {name: one, envoyExtAuthzGrpc: {service: ns/b.ns, port: 1}}]"

static void test_custom_by_grpc(void **state)
{
    static const char *const specs[] = {CUSTOM("g", "/x"), CUSTOM("one", "/y")};
    static const char *const wants[] = {
        "\"grpc_service\":{\"envoy_grpc\":{\"cluster_name\":\"outbound|9000||a.ns\",\"authority\":"
        "\"a.ns\"},"
        "\"timeout\":\"2.000s\"}",
        "\"cluster_name\":\"outbound|1||b.ns\",\"authority\":\"b.ns\"},\"timeout\":\"600.000s\"}",
        "\"failure_mode_allow\":true",
        "\"status_on_error\":{\"code\":500}",
        "\"with_request_body\":{\"max_request_bytes\":10,\"pack_as_bytes\":true}",
        "\"transport_api_version\":\"V3\"",
        "\"value\":{\"string_match\":{\"prefix\":\"istio-ext-authz-g-ns[\"}}"};
    (void)state;
    AUTO_CHARS char *all = filters_with(BY_GRPC, specs, ARRAY_LEN(specs), true);
    for (size_t i = 0; i < ARRAY_LEN(wants); i++)
        if (!strstr(all, wants[i]))
            fail_msg("%s is not in %s", wants[i], all);
    assert_null(strstr(all, "http_service"));
}

/* Where nobody can be asked, it is refused. */
static void test_custom_that_cannot_be_asked(void **state)
{
    static const char *const specs[] = {CUSTOM("none", "/x"), CUSTOM("away", "/x"),
                                        CUSTOM("log", "/x")};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        AUTO_CHARS char *all = filters_with(PROVIDERS, &specs[i], 1, true);
        assert_null(strstr(all, "ext_authz"));
        assert_null(strstr(all, "shadow"));
        assert_non_null(strstr(all, "\"rules\":{\"action\":\"DENY\",\"policies\":{\"ns[shop]"));
    }
}

/* Each key, and what its value becomes. */
static void test_conditions(void **state)
{
    static const struct {
        const char *part, *want;
    } cases[] = {
        {"'from':[{'source':{'principals':['cluster.local/ns/a/sa/b']}}]",
         PRINCIPAL("\"exact\":\"spiffe://cluster.local/ns/a/sa/b\"")},
        {"'from':[{'source':{'principals':['td/*']}}]", PRINCIPAL("\"prefix\":\"spiffe://td/\"")},
        {"'from':[{'source':{'principals':['*/sa/b.c']}}]",
         PRINCIPAL("\"safe_regex\":{\"regex\":\"spiffe://.*/sa/b\\\\.c\"}")},
        {"'from':[{'source':{'principals':['*']}}]",
         PRINCIPAL("\"safe_regex\":{\"regex\":\".+\"}")},
        {"'from':[{'source':{'notPrincipals':['a']}}]",
         "\"not_id\":{" PRINCIPAL("\"exact\":\"spiffe://a\"") "}"},
        {"'from':[{'source':{'namespaces':['a']}}]",
         PRINCIPAL("\"safe_regex\":{\"regex\":\"spiffe://[^/]*/ns/a/sa/[^/]*\"}")},
        {"'from':[{'source':{'namespaces':['a*']}}]",
         PRINCIPAL("\"safe_regex\":{\"regex\":\"spiffe://[^/]*/ns/a[^/]*/sa/[^/]*\"}")},
        {"'from':[{'source':{'serviceAccounts':['x','a/b']}}]",
         "\"or_ids\":{\"ids\":[{" PRINCIPAL("\"safe_regex\":{\"regex\":\"spiffe://[^/]*/ns/"
                                            "shop/sa/"
                                            "x\"}") "},{" PRINCIPAL("\"safe_regex\":{\"regex\":"
                                                                    "\"spiffe://[^/]*/ns/a/sa/"
                                                                    "b\"}") "}]}"},
        {"'when':[{'key':'source.trustDomain','values':['t.d']}]",
         PRINCIPAL("\"safe_regex\":{\"regex\":\"spiffe://t\\\\.d/ns/[^/]*/sa/[^/]*\"}")},
        {"'from':[{'source':{'ipBlocks':['10.0.0.0/8']}}]",
         "\"direct_remote_ip\":{\"address_prefix\":\"10.0.0.0\",\"prefix_len\":8}"},
        {"'from':[{'source':{'remoteIpBlocks':['::1']}}]",
         "\"remote_ip\":{\"address_prefix\":\"::1\",\"prefix_len\":128}"},
        {"'to':[{'operation':{'hosts':['A.b']}}]",
         "\"header\":{\"name\":\":authority\",\"string_match\":{\"exact\":\"A.b\",\"ignore_"
         "case\":"
         "true}}"},
        {"'to':[{'operation':{'methods':['GET']}}]",
         "\"header\":{\"name\":\":method\",\"string_match\":{\"exact\":\"GET\"}}"},
        {"'to':[{'operation':{'methods':['*']}}]",
         "\"header\":{\"name\":\":method\",\"present_match\":true}"},
        {"'to':[{'operation':{'notPaths':['/a*']}}]",
         "\"not_rule\":{\"url_path\":{\"path\":{\"prefix\":\"/a\"}}}"},
        {"'to':[{'operation':{'paths':['*.js']}}]", "\"url_path\":{\"path\":{\"suffix\":\".js\"}}"},
        {"'to':[{'operation':{'paths':['/a/{*}/{**}']}}]", "\"path_template\":\"/a/*/**\""},
        {"'to':[{'operation':{'ports':['8080']}}]", "\"destination_port\":8080"},
        {"'when':[{'key':'destination.ip','values':['10.0.0.1']}]",
         "\"destination_ip\":{\"address_prefix\":\"10.0.0.1\",\"prefix_len\":32}"},
        {"'when':[{'key':'connection.sni','values':['*.a']}]",
         "\"requested_server_name\":{\"suffix\":\".a\"}"},
        {"'when':[{'key':'request.headers[X-A]','values':['b']}]",
         "\"header\":{\"name\":\"X-A\",\"string_match\":{\"exact\":\"b\"}}"},
        {"'when':[{'key':'request.auth.claims[g]','values':['v']}]",
         CLAIM("g", ONE_OR_LIST("\"exact\":\"v\""))},
        {"'when':[{'key':'request.auth.claims[a][b]','values':['v']}]",
         "\"path\":[{\"key\":\"payload\"},{\"key\":\"a\"},{\"key\":\"b\"}]"},
        {"'when':[{'key':'request.auth.audiences','values':['v']}]",
         CLAIM("aud", ONE_OR_LIST("\"exact\":\"v\""))},
        {"'when':[{'key':'request.auth.presenter','values':['v']}]",
         CLAIM("azp", "\"string_match\":{\"exact\":\"v\"}")},
        {"'from':[{'source':{'requestPrincipals':['iss/sub']}}]",
         "\"and_ids\":{\"ids\":[{" CLAIM("iss", "\"string_match\":{\"exact\":\"iss\"}") "},{" CLAIM(
             "sub", "\"string_match\":{\"exact\":"
                    "\"sub\"}") "}]}"},
        {"'from':[{'source':{'requestPrincipals':['a/b/c']}}]",
         "{" CLAIM("iss", "\"string_match\":{\"exact\":\"a/b\"}") "},{" CLAIM(
             "sub", "\"string_match\":{\"exact\":\"c\"}") "}"},
        {"'from':[{'source':{'requestPrincipals':['a/*']}}]",
         "{" CLAIM("iss", "\"string_match\":{\"exact\":\"a\"}") "},{" CLAIM(
             "sub", "\"string_match\":{\"safe_regex\":{\"regex\":\".+\"}}") "}"},
        {"'when':[{'key':'experimental.envoy.filters.f[k]','values':['[v]']}]",
         "\"metadata\":{\"filter\":\"envoy.filters.f\",\"path\":[{\"key\":\"k\"}],\"value\":"
         "{\"list_match\":{\"one_of\":{\"string_match\":{\"exact\":\"v\"}}}}}"},
        {"", "\"permissions\":[{\"any\":true}],\"principals\":[{\"any\":true}]"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_CHARS char *spec = xasprintf("{'rules':[{%s}]}", cases[i].part);
        AUTO_CHARS char *text = http_filters(spec);
        if (!strstr(text, cases[i].want) || !strstr(text, "\"ns[shop]-policy[p]-rule[0]\""))
            fail_msg("%s: %s", cases[i].part, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_custom), cmocka_unit_test(test_custom_by_grpc),
        cmocka_unit_test(test_custom_that_cannot_be_asked), cmocka_unit_test(test_conditions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
