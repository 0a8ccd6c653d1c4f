/* Checks that need more than one field, of what makes pods of a template: Deployments, ReplicaSets,
 * ReplicationControllers, DaemonSets (Jobs: validate_job.c). The tables have been checked before
 * (validate.c), types before that. Messages are those of a real API server. Pure. */
#include "kube/kind_rules.h"
#include "kube/selector.h"

/* kind: in lower case. */
static void check_selector(const json_t *object, const char *kind, struct field_errors *e)
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
        !json_array_size(json_at(selector, "matchExpressions"))) {
        AUTO_CHARS char *why = xasprintf("empty selector is invalid for %s", kind);
        error_invalid(e, selector, why, "spec.selector");
    } else if (selector_from_object(selector, &s, &none, NULL) == 0 &&
               !selector_matches_object(&s, labels)) {
        error_invalid(e, labels, "`selector` does not match template `labels`",
                      "spec.template.metadata.labels");
    }
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
    check_selector(object, "deployment", e);
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

/* Of a DaemonSet one of both is zero, and one is not. */
static void check_daemon_update(const json_t *spec, struct field_errors *e)
{
    static const char percent[] = "a valid percent string must be a numeric string followed by an "
                                  "ending '%' (e.g. '1%', or '93%', regex used for validation is "
                                  "'[0-9]+%')";
    static const char *const members[] = {"maxUnavailable", "maxSurge"};
    const char *type = json_at_str(spec, "updateStrategy.type");
    const json_t *values[2];
    int64_t n[2];
    if (type && !value_is_listed("RollingUpdate|OnDelete", type))
        error_unsupported(e, type, "RollingUpdate|OnDelete", "spec.updateStrategy");
    if (!streq(type, "RollingUpdate"))
        return;
    for (size_t i = 0; i < 2; i++) {
        values[i] = json_object_get(json_at(spec, "updateStrategy.rollingUpdate"), members[i]);
        n[i] = surge_value(values[i]);
        if (n[i] < 0)
            error_invalid(e, values[i],
                          json_is_integer(values[i]) ? "must be greater than or equal to 0"
                                                     : percent,
                          "spec.updateStrategy.rollingUpdate.%s", members[i]);
        else if (json_is_string(values[i]) && n[i] > 100)
            error_invalid(e, values[i], "must not be greater than 100%",
                          "spec.updateStrategy.rollingUpdate.%s", members[i]);
    }
    if (n[0] > 0 && n[1] > 0)
        error_invalid(e, values[1], "may not be set when maxUnavailable is non-zero",
                      "spec.updateStrategy.rollingUpdate.maxSurge");
    else if (n[0] == 0 && n[1] == 0)
        error_required(e, "cannot be 0 when maxSurge is 0",
                       "spec.updateStrategy.rollingUpdate.maxUnavailable");
}

void validate_daemonset(const json_t *object, const json_t *old, struct field_errors *e)
{
    check_selector(object, "daemonset", e);
    check_pod_template(object, old, "DaemonSet", e);
    check_same_selector(object, old, e);
    check_daemon_update(json_at(object, "spec"), e);
}
