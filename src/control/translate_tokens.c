/* RequestAuthentications as Envoy's JwtAuthentication: a provider for each rule. A request without
 * a token passes, one with a token that none of them accepts does not. */
#include <stdio.h>

#include "control/key_sets.h"
#include "control/translate_mesh.h"
#include "control/translate_priv.h"

#define TYPE "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
#define NONE "{\"keys\":[]}" /* by which no token is valid */

enum { TOKEN_RULES_MAX = 64 };

static void copy_list(const json_t *from, const char *name, json_t *to, const char *field)
{
    json_t *list = json_object_get(from, name);
    if (json_array_size(list))
        json_object_set(to, field, list);
}

static json_t *places(const json_t *list)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *prefix = json_key_str(one, "prefix");
        json_array_append_new(all, json_pack("{s:s,s:s}", "name", json_key_str(one, "name"),
                                             "value_prefix", prefix ? prefix : ""));
    }
    return all;
}

static json_t *claims(const json_t *list)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        json_array_append_new(all,
                              json_pack("{s:s,s:s}", "header_name", json_key_str(one, "header"),
                                        "claim_name", json_key_str(one, "claim")));
    }
    return all;
}

/* What is not there yet accepts no token, and so lets nobody pass for somebody. */
static const char *keys_of(const json_t *rule, const struct key_sets *keys)
{
    const char *own = json_key_str(rule, "jwks"),
               *fetched = str_empty(own) ? key_sets_find(keys, rule) : NULL;
    return !str_empty(own) ? own : fetched ? fetched : NONE;
}

static json_t *provider(const json_t *rule, const struct key_sets *keys)
{
    const char *header = json_key_str(rule, "outputPayloadToHeader");
    json_t *words = json_object_get(rule, "spaceDelimitedClaims");
    json_t *p = json_pack("{s:s,s:{s:s},s:b,s:s}", "issuer", json_key_str(rule, "issuer"),
                          "local_jwks", "inline_string", keys_of(rule, keys), "forward",
                          json_is_true(json_object_get(rule, "forwardOriginalToken")),
                          "payload_in_metadata", "payload");
    copy_list(rule, "audiences", p, "audiences");
    copy_list(rule, "fromParams", p, "from_params");
    copy_list(rule, "fromCookies", p, "from_cookies");
    json_object_set_new(p, "from_headers", places(json_object_get(rule, "fromHeaders")));
    json_object_set_new(p, "claim_to_headers",
                        claims(json_object_get(rule, "outputClaimToHeaders")));
    if (header)
        json_object_set_new(p, "forward_payload_header", json_string(header));
    words = json_array_size(words) ? json_incref(words) : json_pack("[s,s]", "scope", "permission");
    json_object_set_new(p, "normalize_payload_in_metadata",
                        json_pack("{s:o}", "space_delimited_claims", words));
    return p;
}

static void put_provider(json_t *providers, json_t *p)
{
    char name[32];
    snprintf(name, sizeof(name), "origins-%zu", json_object_size(providers));
    json_object_set_new(providers, name, p);
}

/* No token is good. */
static json_t *nothing(void)
{
    return json_pack("{s:{s:s}}", "local_jwks", "inline_string", NONE);
}

json_t *translate_tokens(const struct request_authentication_list *list,
                         const struct key_sets *keys)
{
    json_t *providers = json_object();
    size_t n = 0;
    VEC_FOREACH (each, &list->v)
        n += (*each)->broken ? 1 : json_array_size((*each)->rules);
    if (n > TOKEN_RULES_MAX) /* more than a proxy takes: it would go on with what it has */
        put_provider(providers, nothing());
    for (size_t k = 0; n <= TOKEN_RULES_MAX && k < list->v.n; k++) {
        const struct request_authentication *a = list->v.v[k];
        if (a->broken)
            put_provider(providers, nothing());
        for (size_t i = 0; !a->broken && i < json_array_size(a->rules); i++)
            put_provider(providers, provider(json_array_get(a->rules, i), keys));
    }
    if (!json_object_size(providers)) {
        json_decref(providers);
        return NULL;
    }
    return json_pack(
        "{s:s,s:o}", "name", "envoy.filters.http.jwt_authn", "typed_config",
        translate_typed(TYPE, json_pack("{s:o,s:[{s:{s:s},s:{s:{}}}],s:b}", "providers", providers,
                                        "rules", "match", "prefix", "/", "requires",
                                        "allow_missing", "bypass_cors_preflight", 1)));
}
