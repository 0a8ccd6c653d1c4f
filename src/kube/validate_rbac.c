/* Defaults and checks of roles and bindings (rbac.authorization.k8s.io/v1). Messages are those of a
 * real API server. Pure. */
#include <stdio.h>

#include "kube/kind_rules.h"

#define RBAC_GROUP "rbac.authorization.k8s.io"

/* ---- defaults ---- */

void default_role_binding(json_t *object)
{
    json_t *role = json_object_get(object, "roleRef"), *subject;
    size_t i;
    if (role && str_empty(json_key_str(role, "apiGroup")))
        json_put_str(role, "apiGroup", RBAC_GROUP);
    json_array_foreach(json_object_get(object, "subjects"), i, subject)
    {
        const char *kind = json_key_str(subject, "kind");
        if (str_empty(json_key_str(subject, "apiGroup")) &&
            (streq(kind, "User") || streq(kind, "Group")))
            json_put_str(subject, "apiGroup", RBAC_GROUP);
    }
}

/* ---- roles ---- */

static void check_rule(const json_t *rule, size_t i, bool namespaced, struct field_errors *e)
{
    const json_t *urls = json_object_get(rule, "nonResourceURLs"),
                 *groups = json_object_get(rule, "apiGroups"),
                 *resources = json_object_get(rule, "resources"),
                 *names = json_object_get(rule, "resourceNames");
    if (!json_array_size(json_object_get(rule, "verbs")))
        error_required(e, "verbs must contain at least one value", "rules[%zu].verbs", i);
    if (json_array_size(urls)) {
        if (namespaced)
            error_invalid(e, urls, "namespaced rules cannot apply to non-resource URLs",
                          "rules[%zu].nonResourceURLs", i);
        if (json_array_size(groups) || json_array_size(resources) || json_array_size(names))
            error_invalid(e, urls,
                          "rules cannot apply to both regular resources and non-resource URLs",
                          "rules[%zu].nonResourceURLs", i);
        return;
    }
    if (!json_array_size(groups))
        error_required(e, "resource rules must supply at least one api group",
                       "rules[%zu].apiGroups", i);
    if (!json_array_size(resources))
        error_required(e, "resource rules must supply at least one resource",
                       "rules[%zu].resources", i);
}

static void check_rules(const json_t *object, bool namespaced, struct field_errors *e)
{
    size_t i;
    json_t *rule;
    json_array_foreach(json_object_get(object, "rules"), i, rule)
        check_rule(rule, i, namespaced, e);
}

void validate_role(const json_t *object, const json_t *old, struct field_errors *e)
{
    (void)old;
    check_rules(object, true, e);
}

void validate_cluster_role(const json_t *object, const json_t *old, struct field_errors *e)
{
    const json_t *aggregation = json_object_get(object, "aggregationRule"), *selectors;
    (void)old;
    check_rules(object, false, e);
    selectors = json_object_get(aggregation, "clusterRoleSelectors");
    if (aggregation && !json_array_size(selectors))
        error_required(e, "at least one clusterRoleSelector required if aggregationRule is non-nil",
                       "aggregationRule.clusterRoleSelectors");
}

/* ---- bindings ---- */

static void check_role_ref(const json_t *ref, bool namespaced, struct field_errors *e)
{
    const char *group = json_key_str(ref, "apiGroup"), *kind = json_key_str(ref, "kind"),
               *name = json_key_str(ref, "name");
    if (!streq(group, RBAC_GROUP))
        error_unsupported(e, group ? group : "", RBAC_GROUP, "roleRef.apiGroup");
    if (!streq(kind, "ClusterRole") && !(namespaced && streq(kind, "Role")))
        error_unsupported(e, kind ? kind : "", namespaced ? "ClusterRole|Role" : "ClusterRole",
                          "roleRef.kind");
    if (str_empty(name))
        error_required(e, NULL, "roleRef.name");
    else if (path_segment_detail(name))
        error_invalid_text(e, name, path_segment_detail(name), "roleRef.name");
}

static void check_account(const json_t *subject, size_t i, struct field_errors *e)
{
    const char *group = json_key_str(subject, "apiGroup"), *name = json_key_str(subject, "name");
    if (!str_empty(name) && !str_is_dns1123_subdomain(str_from(name)))
        error_invalid_text(e, name, DNS1123_SUBDOMAIN_MESSAGE, "subjects[%zu].name", i);
    if (!str_empty(group))
        error_unsupported(e, group, "", "subjects[%zu].apiGroup", i);
    if (str_empty(json_key_str(subject, "namespace")))
        error_required(e, NULL, "subjects[%zu].namespace", i);
}

static void check_subject(const json_t *subject, size_t i, struct field_errors *e)
{
    const char *kind = json_key_str(subject, "kind"), *group = json_key_str(subject, "apiGroup");
    if (str_empty(json_key_str(subject, "name")))
        error_required(e, NULL, "subjects[%zu].name", i);
    if (streq(kind, "ServiceAccount"))
        check_account(subject, i, e);
    else if (!streq(kind, "User") && !streq(kind, "Group"))
        error_unsupported(e, kind ? kind : "", "Group|ServiceAccount|User", "subjects[%zu].kind",
                          i);
    else if (!streq(group, RBAC_GROUP))
        error_unsupported(e, group ? group : "", RBAC_GROUP, "subjects[%zu].apiGroup", i);
}

static void check_binding(const json_t *object, const json_t *old, bool namespaced,
                          struct field_errors *e)
{
    const json_t *ref = json_object_get(object, "roleRef");
    size_t i;
    json_t *subject;
    check_role_ref(ref, namespaced, e);
    json_array_foreach(json_object_get(object, "subjects"), i, subject)
        check_subject(subject, i, e);
    if (old && !json_equal(ref, json_object_get(old, "roleRef")))
        error_invalid(e, ref, "cannot change roleRef", "roleRef");
}

void validate_role_binding(const json_t *object, const json_t *old, struct field_errors *e)
{
    check_binding(object, old, true, e);
}

void validate_cluster_role_binding(const json_t *object, const json_t *old, struct field_errors *e)
{
    check_binding(object, old, false, e);
}
