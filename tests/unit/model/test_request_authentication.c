/* RequestAuthentications: what is wrong with one, and of which field. */
#include "json_text.h"

#include "model/request_authentication.h"

#define RULE(text) "{'jwtRules':[{'issuer':'i','jwks':'{\\u0022keys\\u0022:[]}'" text "}]}"

static const struct {
    const char *spec, *told;
} wrongs[] = {
    {"[]", "error spec: is no object"},
    {"{'selector':7}", "error spec.selector: is no object"},
    {"{'selector':{},'targetRefs':[{}]}", "error spec.targetRefs: stand beside selector"},
    {"{'targetRefs':[{}]}", "warning spec.targetRefs: are of gateways"},
    {"{'jwtRules':{}}", "error spec.jwtRules: is no list"},
    {"{'jwtRules':[{}]}", "error spec.jwtRules[0].issuer: is missing"},
    {"{'jwtRules':[7]}", "error spec.jwtRules[0].issuer: is missing"},
    {"{'jwtRules':[{'issuer':'i'}]}", "error spec.jwtRules[0].jwksUri: is missing, and the issuer"},
    {RULE(",'timeout':'x'"), "error spec.jwtRules[0].timeout: is no duration"},
    {"{'jwtRules':[{'issuer':'i','jwksUri':'file:///etc/passwd'}]}",
     "error spec.jwtRules[0].jwksUri: \"file:///etc/passwd\" is no such URL"},
    {"{'jwtRules':[{'issuer':'i','jwksUri':'https://u:p@a/'}]}",
     "error spec.jwtRules[0].jwksUri: \"https://u:p@a/\" is no such URL"},
    {"{'jwtRules':[{'issuer':'i','jwks':'x'}]}", "error spec.jwtRules[0].jwks: is no key set"},
    {"{'jwtRules':[{'issuer':'i','jwks':'{}'}]}", "error spec.jwtRules[0].jwks: is no key set"},
    {RULE(",'jwksUri':'https://a'"), "error spec.jwtRules[0].jwksUri: stands beside jwks"},
    {RULE(",'audiences':'a'"), "error spec.jwtRules[0].audiences: is no list"},
    {RULE(",'audiences':['']"), "error spec.jwtRules[0].audiences[0]: is empty"},
    {RULE(",'fromHeaders':[{}]"), "error spec.jwtRules[0].fromHeaders[0].name: is no name"},
    {RULE(",'fromHeaders':[{'name':'a b'}]"),
     "error spec.jwtRules[0].fromHeaders[0].name: is no name"},
    {RULE(",'fromParams':[7]"), "error spec.jwtRules[0].fromParams[0]: is empty"},
    {RULE(",'fromCookies':['']"), "error spec.jwtRules[0].fromCookies[0]: is empty"},
    {RULE(",'outputPayloadToHeader':'a b'"),
     "error spec.jwtRules[0].outputPayloadToHeader: is no name"},
    {RULE(",'outputClaimToHeaders':[{'claim':'a'}]"),
     "error spec.jwtRules[0].outputClaimToHeaders[0].header: is no name"},
    {RULE(",'outputClaimToHeaders':[{'header':'a'}]"),
     "error spec.jwtRules[0].outputClaimToHeaders[0].claim: is missing"},
    {RULE(",'spaceDelimitedClaims':['']"),
     "error spec.jwtRules[0].spaceDelimitedClaims[0]: is empty"},
};

static struct request_authentication *decode(const char *spec)
{
    AUTO_DONE(buf) struct buf text = {0};
    buf_addf(&text, "{'metadata':{'namespace':'ns','name':'p'},'spec':%s}", spec);
    AUTO_JSON json_t *j = json_of(buf_cstr(&text));
    struct request_authentication *a = request_authentication_decode(j);
    assert_non_null(a);
    return a;
}

static void test_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
        struct request_authentication *a = decode(wrongs[i].spec);
        const struct finding *f = a->o.findings.n ? &a->o.findings.v[0] : NULL;
        if (!f)
            fail_msg("%s: nothing is told", wrongs[i].spec);
        AUTO_CHARS char *told = xasprintf(
            "%s %s: %s", f->severity == FINDING_ERROR ? "error" : "warning", f->field, f->message);
        if (strncmp(told, wrongs[i].told, strlen(wrongs[i].told)) != 0)
            fail_msg("%s: %s", wrongs[i].spec, told);
        assert_int_equal(a->broken, f->severity == FINDING_ERROR);
        request_authentication_free(a);
    }
}

static void test_what_is_right(void **state)
{
    static const char *const rights[] = {
        "null",
        "{}",
        "{'jwtRules':[]}",
        RULE(""),
        "{'jwtRules':[{'issuer':'i','jwksUri':'https://a'}]}",
        "{'jwtRules':[{'issuer':'https://a/realm'}]}",
        RULE(",'audiences':['a'],'fromHeaders':[{'name':'x-jwt','prefix':'Bearer '}],"
             "'fromParams':['t'],'fromCookies':['c'],'outputPayloadToHeader':'x-p',"
             "'outputClaimToHeaders':[{'header':'x-g','claim':'a.b'}],"
             "'forwardOriginalToken':true,'spaceDelimitedClaims':['s'],'timeout':'5s'"),
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rights); i++) {
        struct request_authentication *a = decode(rights[i]);
        if (a->o.findings.n)
            fail_msg("%s: %s: %s", rights[i], a->o.findings.v[0].field, a->o.findings.v[0].message);
        request_authentication_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_what_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
