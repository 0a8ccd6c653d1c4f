/* Checks of MutatingWebhookConfiguration and ValidatingWebhookConfiguration. Messages are those of
 * a real API server; what this house does not do (CEL) is refused with its own. Pure. */
#include <stdio.h>

#include "base/map.h"
#include "kube/kind_rules.h"

#define URL_FORM "; desired format: https://host[/path]"

#define DNS1035_LABEL_MESSAGE                                                                      \
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "   \
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "           \
    "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"

enum { TIMEOUT_S_MAX = 30 };

/* ---- where it is ---- */

static void check_url(const char *text, const char *base, struct field_errors *e)
{
    struct str rest, scheme = {"", 0}, host, path, user;
    const char *mark = strstr(text, "://");
    if (mark)
        scheme = str_of(text, (size_t)(mark - text));
    AUTO_CHARS char *scheme_text = str_dup(scheme);
    if (!str_is(scheme, "https"))
        error_invalid_text(e, scheme_text, "'https' is the only allowed URL scheme" URL_FORM, "%s",
                           base);
    rest = str_from(mark ? mark + 3 : text);
    (void)str_cut(rest, '#', &path);
    if (path.n)
        error_invalid_text(e, path.p, "fragments are not permitted in the URL", "%s", base);
    host = str_cut(str_cut(rest, '#', &path), '?', &path);
    AUTO_CHARS char *query = path.n ? str_dup(path) : NULL;
    host = str_cut(host, '/', &path);
    (void)str_cut(host, '@', &user);
    if (!mark || !host.n)
        error_invalid_text(e, "", "host must be specified" URL_FORM, "%s", base);
    if (user.p) {
        AUTO_CHARS char *name = str_dup(str_cut(host, '@', &user));
        error_invalid_text(e, name, "user information is not permitted in the URL", "%s", base);
    }
    if (query)
        error_invalid_text(e, query, "query parameters are not permitted in the URL", "%s", base);
}

static void check_path(const char *path, const char *base, struct field_errors *e)
{
    struct str rest = str_from(path);
    if (!rest.n || str_is(rest, "/"))
        return;
    if (str_is(rest, "//")) {
        error_invalid_text(e, path, "segment[0] may not be empty", "%s.path", base);
        return;
    }
    if (rest.p[0] != '/')
        error_invalid_text(e, path, "must start with a '/'", "%s.path", base);
    rest = str_sub(rest, 1, rest.n - (rest.n > 1 && rest.p[rest.n - 1] == '/'));
    for (size_t i = 0; rest.p; i++) {
        struct str step = str_cut(rest, '/', &rest);
        AUTO_CHARS char *text = step.n ? xasprintf("segment[%zu]: %s", i, DNS1123_SUBDOMAIN_MESSAGE)
                                       : xasprintf("segment[%zu] may not be empty", i);
        if (!step.n || !str_is_dns1123_subdomain(step))
            error_invalid_text(e, path, text, "%s.path", base);
    }
}

static void check_client(const json_t *hook, const char *base, struct field_errors *e)
{
    const json_t *config = json_object_get(hook, "clientConfig"),
                 *service = json_object_get(config, "service"),
                 *port = json_object_get(service, "port");
    const char *url = json_key_str(config, "url");
    AUTO_CHARS char *at = xasprintf("%s.clientConfig", base);
    AUTO_CHARS char *at_service = xasprintf("%s.service", at);
    AUTO_CHARS char *at_url = xasprintf("%s.url", at);
    if (!url == !service) {
        error_required(e, "exactly one of url or service is required", "%s", at);
        return;
    }
    if (url) {
        check_url(url, at_url, e);
        return;
    }
    if (str_empty(json_key_str(service, "name")))
        error_required(e, "service name is required", "%s.name", at_service);
    if (str_empty(json_key_str(service, "namespace")))
        error_required(e, "service namespace is required", "%s.namespace", at_service);
    if (json_key_str(service, "path"))
        check_path(json_key_str(service, "path"), at_service, e);
    if (port && (json_integer_value(port) < 1 || json_integer_value(port) > 65535))
        error_invalid(e, port, "port is not valid: must be between 1 and 65535, inclusive",
                      "%s.port", at_service);
}

/* ---- what it is asked about ---- */

static bool has(const json_t *list, const char *value)
{
    json_t *v;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i,
                       v) if (streq(json_string_value(v), value)) return true;
    return false;
}

/* There is something in it, and nothing beside "*". */
static void check_words(const json_t *rule, const char *name, const char *others, bool may_be_empty,
                        const char *base, struct field_errors *e)
{
    const json_t *list = json_object_get(rule, name);
    json_t *v;
    size_t i;
    AUTO_CHARS char *alone = xasprintf("if '*' is present, must not specify other %s", others);
    if (!json_array_size(list))
        error_required(e, NULL, "%s.%s", base, name);
    else if (json_array_size(list) > 1 && has(list, "*"))
        error_invalid(e, list, alone, "%s.%s", base, name);
    json_array_foreach((json_t *)(uintptr_t)list, i, v)
    {
        if (!may_be_empty && str_empty(json_string_value(v)))
            error_required(e, NULL, "%s.%s[%zu]", base, name, i);
    }
}

/* One of those before it says the same. */
static void check_covered(const json_t *list, size_t i, const char *at, struct field_errors *e)
{
    const char *text = json_string_value(json_array_get(list, i));
    struct str sub, res = str_cut(str_from(text), '/', &sub);
    AUTO_CHARS char *any_sub = xasprintf(STR_FMT "/*", STR_ARG(res));
    AUTO_CHARS char *any_res = xasprintf("*/" STR_FMT, STR_ARG(sub));
    for (size_t k = 0; sub.p && k < i; k++) {
        const char *before = json_string_value(json_array_get(list, k));
        const char *by = streq(before, any_sub) ? any_sub : streq(before, any_res) ? any_res : NULL;
        if (!by)
            continue;
        AUTO_CHARS char *why = xasprintf("if '%s' is present, must not specify %s", by, text);
        error_invalid_text(e, text, why, "%s.resources[%zu]", at, i);
    }
}

static void check_resources(const json_t *rule, const char *at, struct field_errors *e)
{
    const json_t *list = json_object_get(rule, "resources");
    bool plain = false;
    json_t *v;
    size_t i;
    if (!json_array_size(list))
        error_required(e, NULL, "%s.resources", at);
    json_array_foreach((json_t *)(uintptr_t)list, i, v)
    {
        const char *text = json_string_value(v);
        if (str_empty(text)) {
            error_required(e, NULL, "%s.resources[%zu]", at, i);
            continue;
        }
        plain = plain || (!strchr(text, '/') && !streq(text, "*"));
        check_covered(list, i, at, e);
    }
    if (json_array_size(list) > 1 && has(list, "*/*"))
        error_invalid(e, list, "if '*/*' is present, must not specify other resources",
                      "%s.resources", at);
    if (has(list, "*") && plain)
        error_invalid(e, list,
                      "if '*' is present, must not specify other resources without subresources",
                      "%s.resources", at);
}

static void check_rule(const json_t *rule, const char *at, struct field_errors *e)
{
    const json_t *operations = json_object_get(rule, "operations");
    const char *scope = json_key_str(rule, "scope");
    json_t *v;
    size_t i;
    check_words(rule, "operations", "operations", true, at, e);
    json_array_foreach((json_t *)(uintptr_t)operations, i, v)
    {
        if (!value_is_listed("*|CONNECT|CREATE|DELETE|UPDATE", json_string_value(v)))
            error_unsupported(e, json_string_value(v), "*|CONNECT|CREATE|DELETE|UPDATE",
                              "%s.operations[%zu]", at, i);
    }
    check_words(rule, "apiGroups", "API groups", true, at, e);
    check_words(rule, "apiVersions", "API versions", false, at, e);
    check_resources(rule, at, e);
    if (scope && !value_is_listed("*|Cluster|Namespaced", scope))
        error_unsupported(e, scope, "*|Cluster|Namespaced", "%s.scope", at);
}

/* ---- the webhook ---- */

static void check_name(const json_t *hook, const char *at, struct field_errors *e)
{
    const char *name = json_key_str(hook, "name");
    size_t dots = 0;
    for (const char *p = name; p && *p; p++)
        dots += *p == '.';
    if (str_empty(name))
        error_required(e, NULL, "%s.name", at);
    else if (!str_is_dns1123_subdomain(str_from(name)))
        error_invalid_text(e, name, DNS1123_SUBDOMAIN_MESSAGE, "%s.name", at);
    else if (dots < 2)
        error_invalid_text(e, name,
                           "should be a domain with at least three segments separated by dots",
                           "%s.name", at);
}

static void check_versions(const json_t *hook, const char *at, struct field_errors *e)
{
    const json_t *list = json_object_get(hook, "admissionReviewVersions");
    json_t *v;
    size_t i;
    if (!json_array_size(list)) {
        error_required(e, "must specify one of v1, v1beta1", "%s.admissionReviewVersions", at);
        return;
    }
    json_array_foreach((json_t *)(uintptr_t)list, i, v)
    {
        struct str text = str_from(json_string_value(v));
        bool again = false;
        for (size_t k = 0; k < i; k++)
            again = again || json_equal(v, json_array_get(list, k));
        if (!str_is_dns1123_label(text) || (text.p[0] >= '0' && text.p[0] <= '9'))
            error_invalid(e, v, DNS1035_LABEL_MESSAGE, "%s.admissionReviewVersions[%zu]", at, i);
        else if (again)
            error_invalid(e, v, "duplicate version", "%s.admissionReviewVersions[%zu]", at, i);
    }
    if (has(list, "v1beta1") && !has(list, "v1"))
        error_forbidden(e, "this API server asks in v1 only: add v1", "%s.admissionReviewVersions",
                        at);
    else if (!has(list, "v1"))
        error_invalid(e, list, "must include at least one of v1, v1beta1",
                      "%s.admissionReviewVersions", at);
}

/* values: "A|B". */
static void check_policy(const json_t *hook, const char *name, const char *values, const char *at,
                         struct field_errors *e)
{
    const char *value = json_key_str(hook, name);
    if (value && !value_is_listed(values, value))
        error_unsupported(e, value, values, "%s.%s", at, name);
}

static void check_side_effects(const json_t *hook, const char *at, struct field_errors *e)
{
    const char *effects = json_key_str(hook, "sideEffects");
    if (!effects)
        error_required(e, "must specify one of None, NoneOnDryRun", "%s.sideEffects", at);
    else if (!value_is_listed("None|NoneOnDryRun", effects))
        error_unsupported(e, effects, "None|NoneOnDryRun", "%s.sideEffects", at);
}

/* The rest of a selector is the table's. */
static void check_selector(const json_t *hook, const char *name, const char *at,
                           struct field_errors *e)
{
    json_t *one;
    size_t i;
    json_array_foreach(json_object_get(json_object_get(hook, name), "matchExpressions"), i, one)
    {
        const char *operator= json_key_str(one, "operator");
        bool values = json_array_size(json_object_get(one, "values")) > 0;
        if (!values && operator&& value_is_listed("In|NotIn", operator))
            error_required(e, "must be specified when `operator` is 'In' or 'NotIn'",
                           "%s.%s.matchExpressions[%zu].values", at, name, i);
        if (values && operator&& value_is_listed("Exists|DoesNotExist", operator))
            error_forbidden(e, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                            "%s.%s.matchExpressions[%zu].values", at, name, i);
    }
}

static void check_hook(const json_t *hook, const char *at, struct field_errors *e)
{
    const json_t *timeout = json_object_get(hook, "timeoutSeconds");
    json_t *rule;
    size_t i;
    check_name(hook, at, e);
    json_array_foreach(json_object_get(hook, "rules"), i, rule)
    {
        AUTO_CHARS char *base = xasprintf("%s.rules[%zu]", at, i);
        check_rule(rule, base, e);
    }
    if (timeout && (json_integer_value(timeout) < 1 || json_integer_value(timeout) > TIMEOUT_S_MAX))
        error_invalid(e, timeout, "the timeout value must be between 1 and 30 seconds",
                      "%s.timeoutSeconds", at);
    check_policy(hook, "failurePolicy", "Fail|Ignore", at, e);
    check_policy(hook, "matchPolicy", "Equivalent|Exact", at, e);
    check_policy(hook, "reinvocationPolicy", "IfNeeded|Never", at, e);
    check_side_effects(hook, at, e);
    check_versions(hook, at, e);
    check_selector(hook, "namespaceSelector", at, e);
    check_selector(hook, "objectSelector", at, e);
    check_client(hook, at, e);
    if (json_array_size(json_object_get(hook, "matchConditions")))
        error_forbidden(e,
                        "this API server evaluates no CEL: leave them out, and select by rules, "
                        "namespaceSelector and objectSelector",
                        "%s.matchConditions", at);
}

void validate_webhooks(const json_t *object, const json_t *old, struct field_errors *e)
{
    const json_t *list = json_object_get(object, "webhooks");
    struct map names = {0};
    json_t *hook;
    size_t i;
    (void)old;
    json_array_foreach((json_t *)(uintptr_t)list, i, hook)
    {
        const char *name = json_key_str(hook, "name");
        AUTO_CHARS char *at = xasprintf("webhooks[%zu]", i);
        check_hook(hook, at, e);
        if (!str_empty(name) && map_find_cstr(&names, name))
            error_duplicate(e, json_object_get(hook, "name"), "%s.name", at);
        else if (!str_empty(name))
            map_put_cstr(&names, name, hook);
    }
    map_done(&names);
}
