/* Readings of objects: owners, conditions, selectors, states of pods. Pure. */
#include "lab/object_reading.h"

#include <stdio.h>

#include "base/time.h"

const char *key_of(const char *ns, const char *name)
{
    static _Thread_local char key[512];
    snprintf(key, sizeof(key), "%s/%s", ns ? ns : "", name ? name : "");
    return key;
}

json_t *owner_controller(const json_t *object)
{
    json_t *ref;
    size_t i;
    json_array_foreach(json_at(object, "metadata.ownerReferences"), i,
                       ref) if (json_is_true(json_object_get(ref, "controller"))) return ref;
    return NULL;
}

bool owned_by(const json_t *object, const char *owner_uid)
{
    return owner_uid && streq(json_key_str(owner_controller(object), "uid"), owner_uid);
}

bool is_deleting(const json_t *object)
{
    return json_at_str(object, "metadata.deletionTimestamp") != NULL;
}

json_t *condition_find(const json_t *object, const char *type)
{
    json_t *c;
    size_t i;
    json_array_foreach(json_at(object, "status.conditions"), i,
                       c) if (streq(json_key_str(c, "type"), type)) return c;
    return NULL;
}

bool condition_is_true(const json_t *object, const char *type)
{
    return streq(json_key_str(condition_find(object, type), "status"), "True");
}

json_t *condition_new(const json_t *object, const char *type, const char *status,
                      const char *reason, const char *message)
{
    char now[21];
    time_format_rfc3339(time_real_s(), now);
    const json_t *old = condition_find(object, type);
    const char *since = old && streq(json_key_str(old, "status"), status)
                            ? json_key_str(old, "lastTransitionTime")
                            : NULL;
    bool same = old && streq(json_key_str(old, "reason"), reason) &&
                streq(json_key_str(old, "message"), message) && since;
    const char *updated = same ? json_key_str(old, "lastUpdateTime") : NULL;
    json_t *c = json_pack("{s:s,s:s,s:s,s:s}", "type", type, "status", status, "lastUpdateTime",
                          updated ? updated : now, "lastTransitionTime", since ? since : now);
    if (reason)
        json_object_set_new(c, "reason", json_text(str_from(reason)));
    if (message)
        json_object_set_new(c, "message", json_text(str_from(message)));
    return c;
}

bool pod_is_ready(const json_t *pod)
{
    return condition_is_true(pod, "Ready");
}

static bool pod_is_over(const json_t *pod)
{
    const char *phase = json_at_str(pod, "status.phase");
    return streq(phase, "Succeeded") || streq(phase, "Failed");
}

bool pod_is_active(const json_t *pod)
{
    return !pod_is_over(pod) && !is_deleting(pod);
}

bool labels_match(const json_t *match_labels, const json_t *labels)
{
    const char *key;
    json_t *value;
    if (!json_object_size(match_labels))
        return false;
    json_object_foreach(
        (json_t *)(uintptr_t)match_labels, key,
        value) if (!streq(json_string_value(value), json_key_str(labels, key))) return false;
    return true;
}

/* Gt and Lt, of node selectors: whole numbers, the label's against the only value. */
static bool number_matches(const char *have, const json_t *e, bool greater)
{
    const char *limit = json_string_value(json_array_get(json_object_get(e, "values"), 0));
    int64_t is, than;
    if (!have || !limit || str_to_i64(str_from(have), &is) < 0 ||
        str_to_i64(str_from(limit), &than) < 0)
        return false;
    return greater ? is > than : is < than;
}

static bool expression_matches(const json_t *e, const json_t *labels)
{
    const char *key = json_key_str(e, "key"), *op = json_key_str(e, "operator");
    const char *have = key ? json_key_str(labels, key) : NULL;
    json_t *value;
    size_t i;
    bool in = false;
    json_array_foreach(json_object_get(e, "values"), i, value) in =
        in || (have && streq(json_string_value(value), have));
    if (streq(op, "In"))
        return in;
    if (streq(op, "NotIn"))
        return !in;
    if (streq(op, "Exists"))
        return have != NULL;
    if (streq(op, "Gt") || streq(op, "Lt"))
        return number_matches(have, e, streq(op, "Gt"));
    return streq(op, "DoesNotExist") && !have;
}

bool label_selector_matches(const json_t *selector, const json_t *labels)
{
    const json_t *match = json_at(selector, "matchLabels");
    const json_t *expressions = json_at(selector, "matchExpressions");
    json_t *e;
    size_t i;
    if (json_object_size(match) && !labels_match(match, labels))
        return false;
    json_array_foreach(expressions, i, e) if (!expression_matches(e, labels)) return false;
    return json_object_size(match) || json_array_size(expressions);
}
