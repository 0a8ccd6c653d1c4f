/* Checks that need more than one field, kind by kind: nodes, Events, ConfigMaps and Secrets (pods:
 * validate_pod.c; what makes pods: validate_workloads.c; services and slices: validate_net.c). The
 * tables have been checked before (validate.c), types before that. Messages are those of a real API
 * server. Pure. */
#include "kube/kind_rules.h"

#include "base/map.h"
#include "codec/base64.h"

static char present;

/* The paths begin with metadata, as those of real servers do. */
static void check_taints(const json_t *object, struct field_errors *e)
{
    static const char effects[] = "NoSchedule|PreferNoSchedule|NoExecute";
    struct map seen = {0};
    size_t i;
    json_t *t;
    json_array_foreach(json_at(object, "spec.taints"), i, t)
    {
        const char *key = json_key_str(t, "key"), *effect = json_key_str(t, "effect");
        AUTO_CHARS char *pair = xasprintf("%s %s", key ? key : "", effect ? effect : "");
        if (!qualified_name_is_valid(str_from(key ? key : "")))
            error_invalid_text(e, key, QUALIFIED_NAME_MESSAGE, "metadata.taints[%zu].key", i);
        if (!label_value_is_valid(str_from(json_key_str(t, "value"))))
            error_invalid_text(e, json_key_str(t, "value"), LABEL_VALUE_MESSAGE,
                               "metadata.taints[%zu].value", i);
        if (str_empty(effect))
            error_required(e, NULL, "metadata.taints[%zu].effect", i);
        else if (!value_is_listed(effects, effect))
            error_unsupported(e, effect, effects, "metadata.taints[%zu].effect", i);
        if (map_put_cstr(&seen, pair, &present))
            error_duplicate(e, t, "metadata.taints[%zu]", i);
    }
    map_done(&seen);
}

static void check_pod_ranges(const json_t *object, struct field_errors *e)
{
    json_t *list = json_at(object, "spec.podCIDRs"), *v;
    size_t i, n6 = 0, n4 = 0;
    json_array_foreach(list, i, v)
    {
        const char *why = legacy_prefix_detail(str_from(json_string_value(v)));
        if (why)
            error_invalid(e, v, why, "spec.podCIDRs[%zu]", i);
        n6 += strchr(json_string_value(v), ':') != NULL;
        n4 += strchr(json_string_value(v), ':') == NULL;
    }
    if (n4 > 1 || n6 > 1)
        error_invalid(e, list, "may specify no more than one CIDR for each IP family",
                      "spec.podCIDRs");
}

void validate_node(const json_t *object, const json_t *old, struct field_errors *e)
{
    check_taints(object, e);
    check_pod_ranges(object, e);
    const char *was = json_at_str(old, "spec.podCIDR"), *is = json_at_str(object, "spec.podCIDR");
    if (!str_empty(was) && !streq(was, is))
        error_forbidden(e, "node updates may not change podCIDR except from \"\" to valid",
                        "spec.podCIDRs");
}

static void check_event_text(const json_t *object, const char *member, size_t max,
                             struct field_errors *e)
{
    const char *v = json_key_str(object, member);
    bool needed = !streq(member, "message");
    if (needed && str_empty(v))
        error_required(e, NULL, "%s", member);
    else if (v && strlen(v) > max)
        error_invalid_text(e, "", "has too many characters", "%s", member);
}

/* Those with an eventTime say who reports them. */
static void check_new_event(const json_t *object, struct field_errors *e)
{
    const char *who = json_key_str(object, "reportingComponent");
    if (str_empty(who))
        error_required(e, NULL, "reportingComponent");
    if (!qualified_name_is_valid(str_from(who ? who : "")))
        error_invalid_text(e, who, QUALIFIED_NAME_MESSAGE, "reportingComponent");
    check_event_text(object, "reportingInstance", 128, e);
    check_event_text(object, "action", 128, e);
    check_event_text(object, "reason", 128, e);
    check_event_text(object, "message", 1024, e);
}

/* An event stands where its object is; of objects without namespace, in "default". */
void validate_event(const json_t *object, const json_t *old, struct field_errors *e)
{
    const char *ns = json_at_str(object, "metadata.namespace"),
               *about = json_at_str(object, "involvedObject.namespace");
    (void)old;
    if (json_at(object, "eventTime")) {
        check_new_event(object, e);
        if (str_empty(about) && !streq(ns, "default") && !streq(ns, "kube-system"))
            error_invalid_text(e, about, "does not match event.namespace",
                               "involvedObject.namespace");
        return;
    }
    if (!streq(ns, str_empty(about) ? "default" : about))
        error_invalid_text(e, about, "does not match event.namespace", "involvedObject.namespace");
}

static size_t map_bytes(const json_t *map)
{
    const char *key;
    json_t *v;
    size_t n = 0;
    json_object_foreach((json_t *)(uintptr_t)map, key, v) n += json_string_length(v);
    return n;
}

static void check_immutable_data(const json_t *object, const json_t *old, struct field_errors *e)
{
    static const char *const fields[] = {"data", "binaryData"};
    if (!json_at_bool(old, "immutable", false))
        return;
    if (!json_at_bool(object, "immutable", false))
        error_forbidden(e, "field is immutable when `immutable` is set", "immutable");
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const json_t *is = json_object_get(object, fields[i]),
                     *was = json_object_get(old, fields[i]);
        if ((is || was) && !(is && was && json_equal(is, was)))
            error_forbidden(e, "field is immutable when `immutable` is set", "%s", fields[i]);
    }
}

void validate_configmap(const json_t *object, const json_t *old, struct field_errors *e)
{
    const char *key;
    json_t *v;
    if (map_bytes(json_at(object, "data")) + map_bytes(json_at(object, "binaryData")) > 1024 * 1024)
        error_too_long(e, 1024 * 1024, "data");
    json_object_foreach(json_at(object, "binaryData"), key,
                        v) if (json_key_str(json_at(object, "data"), key))
        error_invalid_text(e, key, "duplicate of key present in binaryData", "data[%s]", key);
    check_immutable_data(object, old, e);
}

/* What a Secret of a type must hold. */
static const struct secret_type {
    const char *type;
    const char *keys[2];
    bool one_is_enough;
    bool is_json; /* an object */
} secret_types[] = {
    {"kubernetes.io/dockercfg", {".dockercfg"}, .is_json = true},
    {"kubernetes.io/dockerconfigjson", {".dockerconfigjson"}, .is_json = true},
    {"kubernetes.io/basic-auth", {"username", "password"}, .one_is_enough = true},
    {"kubernetes.io/ssh-auth", .keys = {"ssh-privatekey"}},
    {"kubernetes.io/tls", .keys = {"tls.crt", "tls.key"}},
};

static void check_secret_json(const json_t *data, const char *key, struct field_errors *e)
{
    AUTO_DONE(buf) struct buf text = {0};
    AUTO_JSON json_t *j = NULL;
    struct err err = {0};
    const char *coded = json_key_str(data, key);
    if (!coded || base64_decode(str_from(coded), &text) < 0)
        return; /* the decoder has said so */
    if (json_parse(buf_str(&text), 0, NULL, &j, &err) < 0)
        error_invalid_text(e, "<secret contents redacted>", err_text(&err), "data[%s]", key);
    else if (!json_is_object(j))
        error_invalid_text(e, "<secret contents redacted>", "must be an object", "data[%s]", key);
}

static void check_secret_keys(const json_t *object, const struct secret_type *t,
                              struct field_errors *e)
{
    const json_t *data = json_at(object, "data");
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(t->keys) && t->keys[i]; i++)
        n += json_object_get(data, t->keys[i]) != NULL;
    if (n && t->one_is_enough)
        return;
    for (size_t i = 0; i < ARRAY_LEN(t->keys) && t->keys[i]; i++) {
        if (!json_object_get(data, t->keys[i]))
            error_required(e, NULL, "data[%s]", t->keys[i]);
        else if (t->is_json)
            check_secret_json(data, t->keys[i], e);
    }
}

void validate_secret(const json_t *object, const json_t *old, struct field_errors *e)
{
    static const char account[] = "kubernetes.io/service-account.name";
    const char *type = json_at_str(object, "type");
    if (map_bytes(json_at(object, "data")) > 1024 * 1024 * 4 / 3)
        error_too_long(e, 1024 * 1024, "data");
    if (old && !streq(type, json_at_str(old, "type")))
        error_invalid(e, json_object_get(object, "type"), "field is immutable", "type");
    for (size_t i = 0; i < ARRAY_LEN(secret_types); i++)
        if (streq(type, secret_types[i].type))
            check_secret_keys(object, &secret_types[i], e);
    if (streq(type, "kubernetes.io/service-account-token") &&
        str_empty(json_key_str(json_at(object, "metadata.annotations"), account)))
        error_required(e, NULL, "metadata.annotations[%s]", account);
    check_immutable_data(object, old, e);
}
