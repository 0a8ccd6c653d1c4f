/* Checks that need more than one field, kind by kind: nodes, workloads, ConfigMaps and Secrets
 * (pods: validate_pod.c; services and slices: validate_net.c). The tables have been checked before
 * (validate.c), types before that. Messages are those of a real API server. Pure. */
#include "kube/kind_rules.h"

#include "base/map.h"
#include "codec/base64.h"
#include "kube/selector.h"

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

static void check_selector(const json_t *object, struct field_errors *e)
{
    const json_t *selector = json_at(object, "spec.selector"),
                 *labels = json_at(object, "spec.template.metadata.labels");
    struct selector s = {0};
    bool none = true;
    if (!selector) {
        error_required(e, NULL, "spec.selector");
        error_invalid(e, labels, "`selector` does not match template `labels`",
                      "spec.template.metadata.labels");
        return;
    }
    if (!json_object_size(json_at(selector, "matchLabels")) &&
        !json_array_size(json_at(selector, "matchExpressions")))
        error_invalid(e, selector, "empty selector is invalid for deployment", "spec.selector");
    else if (selector_from_object(selector, &s, &none, NULL) == 0 &&
             !selector_matches_object(&s, labels))
        error_invalid(e, labels, "`selector` does not match template `labels`",
                      "spec.template.metadata.labels");
    selector_done(&s);
}

/* kind: what makes the pods. */
static void check_pod_template(const json_t *object, const json_t *old, const char *kind,
                               struct field_errors *e)
{
    const json_t *spec = json_at(object, "spec.template.spec"),
                 *before = json_at(old, "spec.template.spec");
    const char *restart = json_at_str(spec, "restartPolicy");
    if (before && spec && json_equal(spec, before))
        return; /* one of older rules can still be reported on */
    if (!spec)
        error_required(e, NULL, "spec.template.spec.containers");
    validate_pod_spec(spec, "spec.template.spec", e);
    if (restart && !streq(restart, "Always"))
        error_unsupported(e, restart, "Always", "spec.template.spec.restartPolicy");
    if (json_object_get(spec, "activeDeadlineSeconds")) {
        AUTO_CHARS char *why = xasprintf("activeDeadlineSeconds in %s is not Supported", kind);
        error_forbidden(e, why, "spec.template.spec.activeDeadlineSeconds");
    }
}

static void check_template(const json_t *object, const json_t *old, struct field_errors *e)
{
    check_selector(object, e);
    check_pod_template(object, old, "ReplicaSet", e);
}

static void check_same_selector(const json_t *object, const json_t *old, struct field_errors *e)
{
    const json_t *is = json_at(object, "spec.selector"), *was = json_at(old, "spec.selector");
    if (old && is && !json_equal(is, was))
        error_invalid(e, is, "field is immutable", "spec.selector");
}

/* A count or a percentage; -1: neither. */
static int64_t surge_value(const json_t *v)
{
    uint64_t percent;
    if (json_is_integer(v))
        return json_integer_value(v) < 0 ? -1 : json_integer_value(v);
    struct str s = str_from(json_string_value(v));
    if (!s.n || s.p[s.n - 1] != '%' || str_to_u64(str_sub(s, 0, s.n - 1), &percent) < 0)
        return -1;
    return (int64_t)MIN(percent, (uint64_t)INT32_MAX);
}

static void check_rolling_update(const json_t *spec, struct field_errors *e)
{
    const json_t *surge = json_at(spec, "strategy.rollingUpdate.maxSurge");
    const json_t *unavailable = json_at(spec, "strategy.rollingUpdate.maxUnavailable");
    const char *type = json_at_str(spec, "strategy.type");
    if (type && !value_is_listed("Recreate|RollingUpdate", type))
        error_unsupported(e, type, "Recreate|RollingUpdate", "spec.strategy");
    if (!json_at(spec, "strategy.rollingUpdate"))
        return;
    if (streq(json_at_str(spec, "strategy.type"), "Recreate")) {
        error_forbidden(e, "may not be specified when strategy `type` is 'Recreate'",
                        "spec.strategy.rollingUpdate");
        return;
    }
    const char *detail = "a valid percent string must be a numeric string followed by an ending "
                         "'%' (e.g. '1%', or '93%', "
                         "regex used for validation is '[0-9]+%')";
    if (surge && surge_value(surge) < 0)
        error_invalid(e, surge,
                      json_is_integer(surge) ? "must be greater than or equal to 0" : detail,
                      "spec.strategy.rollingUpdate.maxSurge");
    if (unavailable && surge_value(unavailable) < 0)
        error_invalid(e, unavailable,
                      json_is_integer(unavailable) ? "must be greater than or equal to 0" : detail,
                      "spec.strategy.rollingUpdate.maxUnavailable");
    if (surge && unavailable && surge_value(surge) == 0 && surge_value(unavailable) == 0)
        error_invalid(e, unavailable, "may not be 0 when `maxSurge` is 0",
                      "spec.strategy.rollingUpdate.maxUnavailable");
    if (json_is_string(unavailable) && surge_value(unavailable) > 100)
        error_invalid(e, unavailable, "must not be greater than 100%",
                      "spec.strategy.rollingUpdate.maxUnavailable");
}

void validate_deployment(const json_t *object, const json_t *old, struct field_errors *e)
{
    check_template(object, old, e);
    check_same_selector(object, old, e);
    check_rolling_update(json_at(object, "spec"), e);
    int64_t deadline = json_at_int(object, "spec.progressDeadlineSeconds", INT32_MAX);
    if (deadline <= json_at_int(object, "spec.minReadySeconds", 0))
        error_invalid(e, json_at(object, "spec.progressDeadlineSeconds"),
                      "must be greater than minReadySeconds", "spec.progressDeadlineSeconds");
}

void validate_replicaset(const json_t *object, const json_t *old, struct field_errors *e)
{
    check_template(object, old, e);
    check_same_selector(object, old, e);
}

void validate_replication_controller(const json_t *object, const json_t *old,
                                     struct field_errors *e)
{
    const json_t *selector = json_at(object, "spec.selector"),
                 *labels = json_at(object, "spec.template.metadata.labels"), *value;
    const char *key;
    bool matches = true;
    if (!json_object_size(selector))
        error_required(e, NULL, "spec.selector");
    json_object_foreach((json_t *)(uintptr_t)selector, key, value) matches =
        matches && json_equal(json_object_get(labels, key), value);
    if (!matches)
        error_invalid(e, labels, "`selector` does not match template `labels`",
                      "spec.template.metadata.labels");
    if (!json_at(object, "spec.template"))
        error_required(e, NULL, "spec.template");
    else
        check_pod_template(object, old, "ReplicationController", e);
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
