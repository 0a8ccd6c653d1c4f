#include "control/token_keys.h"

void token_keys_use(struct key_sets *k, const struct selected_objects *tokens)
{
    struct request_authentication_list all = {{NULL, 0, 0}};
    request_authentications_each(tokens, &all);
    key_sets_begin(k);
    VEC_FOREACH (a, &all.v)
        for (size_t i = 0; !(*a)->broken && i < json_array_size((*a)->rules); i++)
            key_sets_use(k, json_array_get((*a)->rules, i));
    key_sets_end(k);
    vec_done(&all.v);
}

void token_keys_tell(const struct selected_objects *tokens, const char *source, const char *why,
                     void (*fn)(const struct finding *f, const char *uid, void *user), void *user)
{
    struct request_authentication_list all = {{NULL, 0, 0}};
    request_authentications_each(tokens, &all);
    VEC_FOREACH (a, &all.v)
        for (size_t i = 0; i < json_array_size((*a)->rules); i++) {
            AUTO_CHARS char *of = key_sets_source(json_array_get((*a)->rules, i)),
                            *field = xasprintf("spec.jwtRules[%zu].jwksUri", i);
            AUTO_DONE(findings) struct findings f = {0};
            if (!streq(of, source))
                continue;
            finding_add(&f, FINDING_WARNING, "KeysNotFetched", (*a)->o.key, field,
                        "it is tried again by itself; without keys tokens of it are refused",
                        "the key set cannot be fetched: %.200s", why);
            fn(&f.v[0], (*a)->o.uid, user);
        }
    vec_done(&all.v);
}
