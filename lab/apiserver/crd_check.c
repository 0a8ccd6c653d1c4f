/* Is a CustomResourceDefinition one? Names, versions, conversion, subresources, columns; the schema
 * itself is crd_check_schema.c's. Fields and reasons are a real server's (apiextensions.k8s.io/v1):
 * what all versions say alike it tells at spec.validation, spec.subresources,
 * spec.additionalPrinterColumns. Pure. */
#include <ctype.h>

#include "lab/apiserver/crd_check.h"
#include "lab/apiserver/custom_registry.h"

static const char *text_at(const json_t *j, const char *path)
{
    const char *s = json_at_str(j, path);
    return s ? s : "";
}

/* RFC 1035: a letter first. */
static bool is_label(const char *s)
{
    size_t n = strlen(s);
    if (!n || n > 63 || !islower((unsigned char)s[0]) || s[n - 1] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!islower((unsigned char)s[i]) && !isdigit((unsigned char)s[i]) && s[i] != '-')
            return false;
    return true;
}

#define LABEL_DETAIL                                                                               \
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "   \
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "           \
    "'abc-123', "                                                                                  \
    "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"

static void check_label(const char *value, const char *path, bool any_case, struct field_errors *e)
{
    AUTO_CHARS char *lower = xstrdup(value);
    for (char *p = lower; any_case && *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (*value && !is_label(lower))
        error_invalid_text(e, value,
                           any_case
                               ? "may have mixed case, but should otherwise match: " LABEL_DETAIL
                               : LABEL_DETAIL,
                           "%s", path);
}

static void check_labels(const json_t *list, const char *path, struct field_errors *e)
{
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        const char *s = json_string_value(item);
        if (!s || !is_label(s))
            error_invalid_text(e, s, LABEL_DETAIL, "%s[%zu]", path, i);
    }
}

static void check_names(const json_t *crd, struct field_errors *e)
{
    static const struct {
        const char *name;
        bool any_case;
    } names[] = {{"plural", false}, {"singular", false}, {"kind", true}, {"listKind", true}};
    const json_t *own = json_at(crd, "spec.names");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (!*text_at(own, names[i].name))
            error_required(e, NULL, "spec.names.%s", names[i].name);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_CHARS char *path = xasprintf("spec.names.%s", names[i].name);
        check_label(text_at(own, names[i].name), path, names[i].any_case, e);
    }
    check_labels(json_object_get(own, "shortNames"), "spec.names.shortNames", e);
    const char *kind = text_at(own, "kind");
    if (*kind && streq(kind, text_at(own, "listKind")))
        error_invalid_text(e, kind, "kind and listKind may not be the same", "spec.names.listKind");
    check_labels(json_object_get(own, "categories"), "spec.names.categories", e);
}

static void check_group(const json_t *crd, struct field_errors *e)
{
    const char *group = text_at(crd, "spec.group");
    if (!*group)
        error_required(e, NULL, "spec.group");
    else if (!str_is_dns1123_subdomain(str_from(group)))
        error_invalid_text(e, group, DNS1123_SUBDOMAIN_MESSAGE, "spec.group");
    else if (!strchr(group, '.'))
        error_invalid_text(e, group, "should be a domain with at least one dot", "spec.group");
}

static bool is_protected(const char *group)
{
    struct str g = str_from(group);
    return streq(group, "k8s.io") || str_ends(g, STR(".k8s.io")) || streq(group, "kubernetes.io") ||
           str_ends(g, STR(".kubernetes.io"));
}

/* Kubernetes' own groups: who defines a kind there says where that was agreed. */
static void check_approval(const json_t *crd, const json_t *old, struct field_errors *e)
{
    static const char name[] = "api-approved.kubernetes.io";
    const char *said = json_key_str(json_at(crd, "metadata.annotations"), name),
               *before = json_key_str(json_at(old, "metadata.annotations"), name);
    if (!is_protected(text_at(crd, "spec.group")) || (old && !said && !before))
        return;
    if (str_empty(said))
        error_required(e,
                       "protected groups must have approval annotation "
                       "\"api-approved.kubernetes.io\", see "
                       "https://github.com/kubernetes/enhancements/pull/1111",
                       "metadata.annotations[%s]", name);
    else if (!str_starts(str_from(said), STR("unapproved")) && !strstr(said, "://"))
        error_invalid_text(e, said,
                           "protected groups must have approval annotation "
                           "\"api-approved.kubernetes.io\" with either a URL or a reason starting "
                           "with \"unapproved\", see "
                           "https://github.com/kubernetes/enhancements/pull/1111",
                           "metadata.annotations[%s]", name);
}

/* ---- versions ---- */

/* Do all versions say the same at path? */
static bool is_alike(const json_t *versions, const char *path)
{
    const json_t *first = json_at(json_array_get(versions, 0), path);
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)(uintptr_t)versions, i, v)
    {
        const json_t *own = json_at(v, path);
        if (own != first && !(own && first && json_equal(own, first)))
            return false;
    }
    return true;
}

static char *path_in(const json_t *versions, size_t i, const char *member, const char *alike)
{
    return is_alike(versions, member) ? xasprintf("spec.%s", alike)
                                      : xasprintf("spec.versions[%zu].%s", i, member);
}

static void check_column(const json_t *c, const char *path, size_t i, struct field_errors *e)
{
    static const char types[] = "integer|number|string|boolean|date";
    static const char formats[] = "int32|int64|float|double|byte|date|date-time|password";
    const char *type = text_at(c, "type"), *format = text_at(c, "format");
    if (!*text_at(c, "name"))
        error_required(e, NULL, "%s[%zu].name", path, i);
    if (!*type)
        error_required(e, "must be one of boolean,date,integer,number,string", "%s[%zu].type", path,
                       i);
    else if (!value_is_listed(types, type))
        error_invalid_text(e, type, "must be one of boolean,date,integer,number,string",
                           "%s[%zu].type", path, i);
    if (*format && !value_is_listed(formats, format))
        error_invalid_text(e, format,
                           "must be one of byte,date,date-time,double,float,int32,int64,password",
                           "%s[%zu].format", path, i);
    if (!*text_at(c, "jsonPath"))
        error_required(e, NULL, "%s[%zu].JSONPath", path, i);
}

static void check_columns(const json_t *versions, size_t at, struct field_errors *e)
{
    const json_t *list = json_object_get(json_array_get(versions, at), "additionalPrinterColumns");
    AUTO_CHARS char *path =
        path_in(versions, at, "additionalPrinterColumns", "additionalPrinterColumns");
    size_t i;
    json_t *c;
    json_array_foreach((json_t *)(uintptr_t)list, i, c) check_column(c, path, i, e);
}

/* A path of plain members under one of the roots ("spec|status"). */
static void check_scale_path(const json_t *scale, const char *member, const char *roots,
                             const char *detail, const char *path, struct field_errors *e)
{
    const char *value = text_at(scale, member);
    struct str rest;
    if (*value != '.') {
        error_invalid_text(e, value, "must be a simple json path starting with .", "%s.scale.%s",
                           path, member);
        return;
    }
    AUTO_CHARS char *first = str_dup(str_cut(str_from(value + 1), '.', &rest));
    if (strstr(value, "..") || value[strlen(value) - 1] == '.')
        error_invalid_text(e, value, "must be a json path in the dot notation", "%s.scale.%s", path,
                           member);
    else if (!value_is_listed(roots, first))
        error_invalid_text(e, value, detail, "%s.scale.%s", path, member);
}

static void check_subresources(const json_t *versions, size_t at, struct field_errors *e)
{
    const json_t *scale = json_at(json_array_get(versions, at), "subresources.scale");
    AUTO_CHARS char *path = path_in(versions, at, "subresources", "subresources");
    if (!scale)
        return;
    if (!*text_at(scale, "specReplicasPath"))
        error_required(e, NULL, "%s.scale.specReplicasPath", path);
    else
        check_scale_path(scale, "specReplicasPath", "spec", "should be a json path under .spec",
                         path, e);
    if (!*text_at(scale, "statusReplicasPath"))
        error_required(e, NULL, "%s.scale.statusReplicasPath", path);
    else
        check_scale_path(scale, "statusReplicasPath", "status",
                         "should be a json path under .status", path, e);
    if (*text_at(scale, "labelSelectorPath"))
        check_scale_path(scale, "labelSelectorPath", "spec|status",
                         "should be a json path under either .spec or .status", path, e);
}

static void check_schema(const json_t *crd, size_t at, struct field_errors *e)
{
    const json_t *versions = json_at(crd, "spec.versions");
    const json_t *v = json_array_get(versions, at);
    const json_t *schema = json_at(v, "schema.openAPIV3Schema");
    AUTO_CHARS char *base = path_in(versions, at, "schema", "validation");
    AUTO_CHARS char *path = xasprintf("%s.openAPIV3Schema", base);
    if (!schema)
        error_required(e, NULL, "spec.versions[%zu].schema.openAPIV3Schema", at);
    else if (!(at && is_alike(versions, "schema")))
        crd_check_schema(schema, path, json_at(v, "subresources.status") != NULL, e);
}

static void check_versions(const json_t *crd, struct field_errors *e)
{
    json_t *versions = json_at(crd, "spec.versions"), *v;
    size_t i, storing = 0;
    AUTO_JSON json_t *names = json_array();
    bool unique = true;
    json_array_foreach(versions, i, v)
    {
        AUTO_JSON json_t *name = json_string(text_at(v, "name"));
        unique = unique && !json_array_has(names, name);
        json_array_append(names, name);
        storing += json_is_true(json_object_get(v, "storage"));
        if (!is_label(text_at(v, "name")))
            error_invalid_text(e, text_at(v, "name"), LABEL_DETAIL, "spec.versions[%zu].name", i);
        if (json_object_get(v, "deprecationWarning") &&
            !json_is_true(json_object_get(v, "deprecated")))
            error_invalid_text(e, text_at(v, "deprecationWarning"),
                               "can only be set for deprecated versions",
                               "spec.versions[%zu].deprecationWarning", i);
        check_schema(crd, i, e);
        if (i == 0 || !is_alike(versions, "subresources"))
            check_subresources(versions, i, e);
        if (i == 0 || !is_alike(versions, "additionalPrinterColumns"))
            check_columns(versions, i, e);
    }
    if (!unique)
        error_invalid(e, versions, "must contain unique version names", "spec.versions");
    if (!is_label(text_at(json_array_get(versions, 0), "name")) && json_array_size(versions))
        error_invalid_text(e, text_at(json_array_get(versions, 0), "name"), LABEL_DETAIL,
                           "spec.version");
    if (storing == 1)
        return;
    error_invalid(e, versions, "must have exactly one version marked as storage version",
                  "spec.versions");
    error_invalid(e, json_at(crd, "status.storedVersions"), "must have the storage version",
                  "status.storedVersions");
}

/* ---- conversion ---- */

static void check_conversion(const json_t *crd, struct field_errors *e)
{
    const char *strategy = text_at(crd, "spec.conversion.strategy");
    if (streq(strategy, "Webhook"))
        error_invalid_text(e, strategy,
                           "this lab API server converts by renaming the version only (None): it "
                           "does not call conversion webhooks yet",
                           "spec.conversion.strategy");
    else if (!streq(strategy, "None"))
        error_unsupported(e, strategy, "None|Webhook", "spec.conversion.strategy");
    if (!streq(strategy, "None"))
        return;
    if (json_at(crd, "spec.conversion.webhook.clientConfig"))
        error_forbidden(e, "should not be set when strategy is not set to Webhook",
                        "spec.conversion.webhookClientConfig");
    if (json_array_size(json_at(crd, "spec.conversion.webhook.conversionReviewVersions")))
        error_forbidden(e, "should not be set when strategy is not set to Webhook",
                        "spec.conversion.conversionReviewVersions");
}

/* ---- the whole ---- */

static void check_immutable(const json_t *object, const json_t *old, const char *path,
                            struct field_errors *e)
{
    json_t *now = json_at(object, path), *before = json_at(old, path);
    if (before && now && !json_equal(before, now))
        error_invalid(e, now, "field is immutable", "%s", path);
}

static void check_stored(const json_t *crd, struct field_errors *e)
{
    json_t *stored = json_at(crd, "status.storedVersions"),
           *versions = json_at(crd, "spec.versions"), *name, *v;
    size_t i, k;
    json_array_foreach(stored, i, name)
    {
        bool found = false;
        json_array_foreach(versions, k, v) found =
            found || json_equal(json_object_get(v, "name"), name);
        if (!found)
            error_invalid(e, name,
                          "missing from spec.versions; it was previously a storage version, and "
                          "must remain in spec.versions until a storage migration ensures no data "
                          "remains persisted in it and removes it from status.storedVersions",
                          "status.storedVersions[%zu]", i);
    }
}

static void check_scope(const char *scope, struct field_errors *e)
{
    if (!value_is_listed("Cluster|Namespaced", scope))
        error_unsupported(e, scope, "Cluster|Namespaced", "spec.scope");
}

void validate_crd(const json_t *object, const json_t *old, struct field_errors *e)
{
    AUTO_CHARS char *name =
        xasprintf("%s.%s", text_at(object, "spec.names.plural"), text_at(object, "spec.group"));
    const char *scope = text_at(object, "spec.scope");
    if (!old && !streq(name, text_at(object, "metadata.name")))
        error_invalid_text(e, text_at(object, "metadata.name"),
                           "must be spec.names.plural+\".\"+spec.group", "metadata.name");
    check_group(object, e);
    if (!*scope)
        error_required(e, NULL, "spec.scope");
    else
        check_scope(scope, e);
    check_approval(object, old, e);
    check_versions(object, e);
    check_names(object, e);
    check_conversion(object, e);
    if (json_is_true(json_at(object, "spec.preserveUnknownFields")))
        error_invalid(e, json_at(object, "spec.preserveUnknownFields"),
                      "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
                      "spec.versions[*].schema instead",
                      "spec.preserveUnknownFields");
    if (!old)
        return;
    check_stored(object, e);
    if (crd_is_established(old)) {
        check_immutable(object, old, "spec.scope", e);
        check_immutable(object, old, "spec.names.kind", e);
    }
    check_immutable(object, old, "spec.group", e);
    check_immutable(object, old, "spec.names.plural", e);
}

void warn_of_crd(const json_t *object, void (*fn)(void *user, const char *text), void *user)
{
    json_t *versions = json_at(object, "spec.versions"), *v;
    size_t i;
    warn_of_formats(object, fn, user);
    json_array_foreach(versions, i, v)
    {
        struct crd_schema *s;
        const char *name = text_at(v, "name");
        if (crd_schema_read(json_at(v, "schema.openAPIV3Schema"), &s, NULL) < 0)
            continue;
        if (s->n_rules) {
            AUTO_CHARS char *m = xasprintf(
                "spec.versions[%zu] (%s): %zu x-kubernetes-validations are kept, but not evaluated "
                "by this lab API server",
                i, name, s->n_rules);
            fn(user, m);
        }
        if (s->n_patterns) {
            AUTO_CHARS char *m = xasprintf(
                "spec.versions[%zu] (%s): %zu patterns are not checked by this lab API server: "
                "they use what its regular expressions do not have",
                i, name, s->n_patterns);
            fn(user, m);
        }
        crd_schema_free(s);
    }
}
