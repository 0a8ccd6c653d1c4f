#include "model/request_authentication.h"

#include "codec/http_head.h"
#include "codec/url.h"

/* A list of texts that are not empty, or nothing. */
static void check_texts(struct object_reader *r, const json_t *of, const char *name)
{
    const json_t *list = json_object_get(of, name);
    if (list && !json_is_array(list) && !json_is_null(list))
        reader_error(r, name, NULL, "is no list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t mark = reader_enter_item(r, name, i);
        if (str_empty(json_string_value(json_array_get(list, i))))
            reader_error(r, NULL, NULL, "is empty, or no text");
        reader_leave(r, mark);
    }
}

static void check_field(struct object_reader *r, const json_t *of, const char *name, bool needed)
{
    const json_t *v = json_object_get(of, name);
    const char *text = json_string_value(v);
    if ((needed || (v && !json_is_null(v) && !streq(text, ""))) &&
        (str_empty(text) || !http_is_token(str_from(text))))
        reader_error(r, name, NULL, "is no name of a header");
}

static void check_places(struct object_reader *r, const json_t *rule)
{
    const json_t *list = json_object_get(rule, "fromHeaders");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *prefix = json_key_str(one, "prefix");
        size_t mark = reader_enter_item(r, "fromHeaders", i);
        check_field(r, one, "name", true);
        if (prefix && !http_is_value(str_from(prefix)))
            reader_error(r, "prefix", NULL, "may not stand in a header");
        reader_leave(r, mark);
    }
    check_texts(r, rule, "fromParams");
    check_texts(r, rule, "fromCookies");
}

static void check_outputs(struct object_reader *r, const json_t *rule)
{
    const json_t *list = json_object_get(rule, "outputClaimToHeaders");
    check_field(r, rule, "outputPayloadToHeader", false);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        size_t mark = reader_enter_item(r, "outputClaimToHeaders", i);
        check_field(r, one, "header", true);
        if (str_empty(json_key_str(one, "claim")))
            reader_error(r, "claim", NULL, "is missing");
        reader_leave(r, mark);
    }
    check_texts(r, rule, "spaceDelimitedClaims");
}

/* Where the set is fetched. */
static void check_source(struct object_reader *r, const json_t *rule)
{
    const char *uri = json_key_str(rule, "jwksUri"), *issuer = json_key_str(rule, "issuer");
    struct url_parts parts;
    if (!str_empty(uri) && url_split(str_from(uri), &parts) < 0)
        reader_error(r, "jwksUri", "write https://host/path", "\"%.100s\" is no such URL", uri);
    else if (str_empty(uri) && !str_empty(issuer) && url_split(str_from(issuer), &parts) < 0)
        reader_error(r, "jwksUri", "write it, or jwks",
                     "is missing, and the issuer is no URL that could be asked");
}

static void check_keys(struct object_reader *r, const json_t *rule)
{
    const char *jwks = json_key_str(rule, "jwks");
    AUTO_JSON json_t *set = NULL;
    uint64_t timeout_ms;
    reader_duration_ms(r, rule, "timeout", 1, &timeout_ms);
    if (str_empty(jwks)) {
        check_source(r, rule);
        return;
    }
    if (!str_empty(json_key_str(rule, "jwksUri")))
        reader_error(r, "jwksUri", "say it one way", "stands beside jwks");
    if (json_parse(str_from(jwks), REQUEST_AUTHENTICATION_KEYS_BYTES_MAX, NULL, &set, NULL) < 0 ||
        !json_is_array(json_object_get(set, "keys")))
        reader_error(r, "jwks", "it looks like {\"keys\": [...]}", "is no key set");
}

static void check_rules(struct object_reader *r, struct request_authentication *a)
{
    const json_t *list = json_object_get(a->o.spec, "jwtRules");
    if ((list && !json_is_array(list) && !json_is_null(list)) ||
        json_array_size(list) > REQUEST_AUTHENTICATION_RULES_MAX)
        reader_error(r, "jwtRules", NULL, "is no list, or one of more than %d",
                     REQUEST_AUTHENTICATION_RULES_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        size_t mark = reader_enter_item(r, "jwtRules", i);
        if (str_empty(json_key_str(one, "issuer")))
            reader_error(r, "issuer", NULL, "is missing");
        check_texts(r, one, "audiences");
        check_keys(r, one);
        check_places(r, one);
        check_outputs(r, one);
        reader_leave(r, mark);
    }
    a->rules = list;
}

static void read_target(struct object_reader *r, struct request_authentication *a)
{
    const json_t *selector = json_object_get(a->o.spec, "selector"),
                 *labels = json_object_get(selector, "matchLabels");
    bool refs = json_array_size(json_object_get(a->o.spec, "targetRefs")) ||
                json_is_object(json_object_get(a->o.spec, "targetRef"));
    if (refs && selector)
        reader_error(r, "targetRefs", "say it one way", "stand beside selector");
    else if (refs)
        reader_warn(r, "targetRefs", "use selector",
                    "are of gateways and waypoints: no sidecar heeds it");
    a->nobodys = refs && !selector;
    if ((selector && !json_is_object(selector) && !json_is_null(selector)) ||
        (labels && !json_is_object(labels) && !json_is_null(labels)))
        reader_error(r, "selector", "write matchLabels: {app: x}", "is no object");
    if (json_object_size(labels))
        a->labels = labels;
}

struct request_authentication *request_authentication_decode(const json_t *j)
{
    struct request_authentication *a = NEW(struct request_authentication);
    if (!istio_object_decode(j, &a->o)) {
        request_authentication_free(a);
        return NULL;
    }
    AUTO_DONE(object_reader)
    struct object_reader r = {
        .findings = &a->o.findings, .object = a->o.key, .id = "AuthenticationInvalid"};
    size_t mark = reader_enter(&r, "spec");
    if (a->o.spec && !json_is_object(a->o.spec))
        reader_error(&r, NULL, NULL, "is no object");
    read_target(&r, a);
    check_rules(&r, a);
    reader_leave(&r, mark);
    a->broken = r.errors > 0;
    return a;
}

void request_authentication_free(struct request_authentication *a)
{
    if (!a)
        return;
    istio_object_done(&a->o);
    free(a);
}

/* ---- the table ---- */

static struct selected decode_selected(const json_t *j)
{
    struct request_authentication *a = request_authentication_decode(j);
    return a ? (struct selected){a, &a->o, a->labels, a->nobodys, a->broken}
             : (struct selected){.object = NULL};
}

static void free_selected(void *object)
{
    request_authentication_free(object);
}

struct selected_objects *request_authentications_new(const char *root_namespace)
{
    static const struct selected_kind kind = {decode_selected, free_selected};
    return selected_objects_new(&kind, root_namespace);
}

static void add(const void *object, void *user)
{
    struct request_authentication_list *list = user;
    vec_push(&list->v, object);
}

void request_authentications_each(const struct selected_objects *t,
                                  struct request_authentication_list *ret)
{
    selected_objects_each(t, add, ret);
}

uint64_t request_authentication_timeout_ms(const json_t *rule, uint64_t otherwise)
{
    AUTO_DONE(object_reader) struct object_reader silent = {0};
    uint64_t ms = otherwise;
    reader_duration_ms(&silent, rule, "timeout", 1, &ms);
    return ms;
}

void request_authentications_find(const struct selected_objects *t, struct str ns,
                                  const struct workloads *pods, const struct workload *pod,
                                  struct request_authentication_list *ret)
{
    selected_objects_find(t, ns, pods, pod, add, ret);
}
