/* Checks of what says where a pod may run and when: tolerations, required and preferred nodes, the
 * gates that hold it back. Messages are those of a real API server. Pure. */
#include "kube/kind_rules.h"

#include "base/map.h"

static void check_toleration(const json_t *t, const char *at, struct field_errors *e)
{
    const char *key = json_key_str(t, "key"), *op = json_key_str(t, "operator"),
               *value = json_key_str(t, "value"), *effect = json_key_str(t, "effect");
    bool exists = streq(op, "Exists");
    if (!str_empty(key) && !qualified_name_is_valid(str_from(key)))
        error_invalid_text(e, key, QUALIFIED_NAME_MESSAGE, "%s.key", at);
    if (str_empty(key) && !exists)
        error_invalid_text(e, op,
                           "operator must be Exists when `key` is empty, which means \"match all "
                           "values and all keys\"",
                           "%s.operator", at);
    if (json_object_get(t, "tolerationSeconds") && !streq(effect, "NoExecute"))
        error_invalid_text(e, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set",
                           "%s.effect", at);
    if (exists && !str_empty(value))
        error_invalid_text(e, value, "value must be empty when `operator` is 'Exists'",
                           "%s.operator", at);
    if ((str_empty(op) || streq(op, "Equal")) && value && !label_value_is_valid(str_from(value)))
        error_invalid_text(e, value, LABEL_VALUE_MESSAGE, "%s.operator", at);
}

static void check_tolerations(const json_t *spec, const char *base, struct field_errors *e)
{
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(spec, "tolerations"), i, t)
    {
        AUTO_CHARS char *at = xasprintf("%s.tolerations[%zu]", base, i);
        check_toleration(t, at, e);
    }
}

static void check_expression(const json_t *e, const char *at, struct field_errors *errors)
{
    const char *key = json_key_str(e, "key"), *op = json_key_str(e, "operator");
    size_t n = json_array_size(json_object_get(e, "values"));
    if (!str_empty(key) && !qualified_name_is_valid(str_from(key)))
        error_invalid_text(errors, key, QUALIFIED_NAME_MESSAGE, "%s.key", at);
    if (!n && (streq(op, "In") || streq(op, "NotIn")))
        error_required(errors, "must be specified when `operator` is 'In' or 'NotIn'", "%s.values",
                       at);
    if (n && (streq(op, "Exists") || streq(op, "DoesNotExist")))
        error_forbidden(errors,
                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                        "%s.values", at);
    if (n != 1 && (streq(op, "Gt") || streq(op, "Lt")))
        error_required(errors, "must be specified single value when `operator` is 'Lt' or 'Gt'",
                       "%s.values", at);
}

static void check_term(const json_t *term, const char *at, struct field_errors *e)
{
    size_t i;
    json_t *expression;
    json_array_foreach(json_object_get(term, "matchExpressions"), i, expression)
    {
        AUTO_CHARS char *here = xasprintf("%s.matchExpressions[%zu]", at, i);
        check_expression(expression, here, e);
    }
}

static void check_node_affinity(const json_t *spec, const char *base, struct field_errors *e)
{
    static const char required[] = "requiredDuringSchedulingIgnoredDuringExecution";
    static const char preferred[] = "preferredDuringSchedulingIgnoredDuringExecution";
    const json_t *affinity = json_at(spec, "affinity.nodeAffinity");
    size_t i;
    json_t *term;
    json_array_foreach(json_object_get(json_object_get(affinity, required), "nodeSelectorTerms"), i,
                       term)
    {
        AUTO_CHARS char *at =
            xasprintf("%s.affinity.nodeAffinity.%s.nodeSelectorTerms[%zu]", base, required, i);
        check_term(term, at, e);
    }
    json_array_foreach(json_object_get(affinity, preferred), i, term)
    {
        AUTO_CHARS char *at =
            xasprintf("%s.affinity.nodeAffinity.%s[%zu].preference", base, preferred, i);
        check_term(json_object_get(term, "preference"), at, e);
    }
}

static void check_gates(const json_t *spec, const char *base, struct field_errors *e)
{
    static char present;
    struct map names = {0};
    size_t i;
    json_t *gate;
    json_array_foreach(json_object_get(spec, "schedulingGates"), i, gate)
    {
        const char *name = json_key_str(gate, "name");
        if (str_empty(name))
            continue; /* the tables say so */
        if (!qualified_name_is_valid(str_from(name)))
            error_invalid_text(e, name, QUALIFIED_NAME_MESSAGE, "%s.schedulingGates[%zu]", base, i);
        if (map_put_cstr(&names, name, &present))
            error_duplicate(e, json_object_get(gate, "name"), "%s.schedulingGates[%zu]", base, i);
    }
    if (names.used && !str_empty(json_key_str(spec, "nodeName")))
        error_forbidden(e, "cannot be set until all schedulingGates have been cleared",
                        "%s.nodeName", base);
    map_done(&names);
}

void validate_scheduling(const json_t *spec, const char *base, struct field_errors *e)
{
    check_node_affinity(spec, base, e);
    check_tolerations(spec, base, e);
    check_gates(spec, base, e);
}

static bool has_toleration(const json_t *list, const json_t *wanted)
{
    AUTO_JSON json_t *want = json_copy((json_t *)(uintptr_t)wanted);
    size_t i;
    json_t *t;
    json_object_del(want, "tolerationSeconds");
    json_array_foreach((json_t *)(uintptr_t)list, i, t)
    {
        AUTO_JSON json_t *have = json_copy(t);
        json_object_del(have, "tolerationSeconds");
        if (json_equal(have, want))
            return true;
    }
    return false;
}

static void check_old_tolerations(const json_t *object, const json_t *old, struct field_errors *e)
{
    size_t i;
    json_t *t;
    json_array_foreach(json_at(old, "spec.tolerations"), i, t)
    {
        if (has_toleration(json_at(object, "spec.tolerations"), t))
            continue;
        error_forbidden(e, "existing toleration can not be modified except its tolerationSeconds",
                        "spec.tolerations");
        return;
    }
}

static void check_new_gates(const json_t *object, const json_t *old, struct field_errors *e)
{
    size_t i, k;
    json_t *gate, *before;
    json_array_foreach(json_at(object, "spec.schedulingGates"), i, gate)
    {
        const char *name = json_key_str(gate, "name");
        bool known = false;
        json_array_foreach(json_at(old, "spec.schedulingGates"), k, before) known =
            known || streq(json_key_str(before, "name"), name);
        if (known || str_empty(name))
            continue;
        AUTO_CHARS char *why =
            xasprintf("only deletion is allowed, but found new scheduling gate '%s'", name);
        error_forbidden(e, why, "spec.schedulingGates[%zu].name", i);
    }
}

void validate_scheduling_update(const json_t *object, const json_t *old, struct field_errors *e)
{
    check_old_tolerations(object, old, e);
    check_new_gates(object, old, e);
}
