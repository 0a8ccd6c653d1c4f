/* AuthorizationPolicies as Envoy's RBAC: what each key and each form of a value becomes. */
#include "json_text.h"

#include "control/translate_mesh.h"

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
    translate_mesh_access(&list, &none, NULL, "cluster.local", &access);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_conditions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
