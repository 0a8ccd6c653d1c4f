/* Checks that need more than one field, kind by kind: pods and their containers, services,
 * workloads, slices. The tables have been checked before (validate.c), types before that. Messages
 * are those of a real API server. Pure. */
#include "kube/kind_rules.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/map.h"
#include "kube/quantity.h"
#include "kube/selector.h"

static char present;

/* Adds key to a set; false if it was there. */
static bool set_add(struct map *set, const char *key)
{
    return map_put_cstr(set, key, &present) == NULL;
}

static void check_ports(const json_t *container, const char *at, struct field_errors *e)
{
    struct map names = {0};
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(container, "ports"), i, p)
    {
        const char *name = json_at_str(p, "name");
        if (name && !set_add(&names, name))
            error_duplicate(e, json_object_get(p, "name"), "%s.ports[%zu].name", at, i);
    }
    map_done(&names);
}

/* A path that is joined to a directory of ours must not leave it. */
static void check_inside(const json_t *object, const char *member, struct field_errors *e,
                         const char *at)
{
    const char *path = json_key_str(object, member);
    struct str rest = str_from(path);
    if (str_empty(path))
        return;
    if (*path == '/')
        error_invalid(e, json_object_get(object, member), "must be a relative path", "%s.%s", at,
                      member);
    if (str_starts(rest, STR("..")) && !str_starts(rest, STR("../")) && rest.n > 2)
        error_invalid(e, json_object_get(object, member), "must not start with '..'", "%s.%s", at,
                      member);
    while (rest.p)
        if (str_is(str_cut(rest, '/', &rest), "..")) {
            error_invalid(e, json_object_get(object, member), "must not contain '..'", "%s.%s", at,
                          member);
            return;
        }
}

static void check_items(const json_t *source, struct field_errors *e, const char *at)
{
    json_t *item;
    size_t i;
    json_array_foreach(json_object_get(source, "items"), i, item)
    {
        AUTO_CHARS char *path = xasprintf("%s.items[%zu]", at, i);
        check_inside(item, "path", e, path);
    }
}

/* What a volume, or one source of a projected volume, makes into files. */
static void check_source(const json_t *v, struct field_errors *e, const char *at)
{
    static const char *const with_items[] = {"configMap", "secret", "downwardAPI"};
    for (size_t i = 0; i < ARRAY_LEN(with_items); i++) {
        AUTO_CHARS char *path = xasprintf("%s.%s", at, with_items[i]);
        check_items(json_object_get(v, with_items[i]), e, path);
    }
    AUTO_CHARS char *path = xasprintf("%s.serviceAccountToken", at);
    check_inside(json_object_get(v, "serviceAccountToken"), "path", e, path);
}

static void check_mounts(const json_t *container, const struct map *volumes, const char *at,
                         struct field_errors *e)
{
    struct map paths = {0};
    size_t i;
    json_t *m;
    json_array_foreach(json_object_get(container, "volumeMounts"), i, m)
    {
        const char *name = json_at_str(m, "name"), *path = json_at_str(m, "mountPath");
        if (name && !map_find_cstr(volumes, name))
            error_not_found(e, name, "%s.volumeMounts[%zu].name", at, i);
        if (path && !set_add(&paths, path))
            error_invalid(e, json_object_get(m, "mountPath"), "must be unique",
                          "%s.volumeMounts[%zu].mountPath", at, i);
        AUTO_CHARS char *where = xasprintf("%s.volumeMounts[%zu]", at, i);
        check_inside(m, "subPath", e, where);
        check_inside(m, "subPathExpr", e, where);
    }
    map_done(&paths);
}

static void check_env(const json_t *container, const char *at, struct field_errors *e)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(container, "env"), i, v)
    {
        const json_t *from = json_at(v, "valueFrom");
        if (from && !str_empty(json_at_str(v, "value")))
            error_invalid_text(e, "", "may not be specified when `value` is not empty",
                               "%s.env[%zu].valueFrom", at, i);
        if (from && json_object_size(from) == 0)
            error_invalid_text(
                e, "",
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or "
                "`secretKeyRef`",
                "%s.env[%zu].valueFrom", at, i);
        if (from && json_object_size(from) > 1)
            error_invalid_text(e, "", "may not have more than one field specified at a time",
                               "%s.env[%zu].valueFrom", at, i);
    }
}

static void check_handler(const json_t *handler, const char *at, struct field_errors *e)
{
    static const char *const names[] = {"exec", "httpGet", "tcpSocket", "grpc", "sleep"};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!json_object_get(handler, names[i]))
            continue;
        if (n++)
            error_forbidden(e, "may not specify more than 1 handler type", "%s.%s", at, names[i]);
    }
    if (!n)
        error_required(e, "must specify a handler type", "%s", at);
    const json_t *port =
        json_at(handler, json_object_get(handler, "httpGet") ? "httpGet.port" : "tcpSocket.port");
    if (json_is_integer(port) && (json_integer_value(port) < 1 || json_integer_value(port) > 65535))
        error_invalid(e, port, "must be between 1 and 65535, inclusive", "%s.%s.port", at,
                      json_object_get(handler, "httpGet") ? "httpGet" : "tcpSocket");
}

static void check_probes(const json_t *container, const char *at, struct field_errors *e)
{
    static const char *const names[] = {"livenessProbe", "readinessProbe", "startupProbe"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const json_t *probe = json_object_get(container, names[i]);
        char here[256];
        if (!probe)
            continue;
        snprintf(here, sizeof(here), "%s.%s", at, names[i]);
        check_handler(probe, here, e);
        if (i != 1 && json_at_int(probe, "successThreshold", 1) != 1)
            error_invalid(e, json_object_get(probe, "successThreshold"), "must be 1",
                          "%s.successThreshold", here);
    }
}

static void check_resources(const json_t *container, const char *at, struct field_errors *e)
{
    const json_t *limits = json_at(container, "resources.limits");
    const char *name;
    json_t *v;
    json_object_foreach(json_at(container, "resources.requests"), name, v)
    {
        const char *limit = json_key_str(limits, name);
        int64_t want, most;
        if (!limit || !json_is_string(v) ||
            quantity_milli(str_from(json_string_value(v)), &want) < 0 ||
            quantity_milli(str_from(limit), &most) < 0)
            continue;
        if (want > most) {
            char detail[160];
            snprintf(detail, sizeof(detail), "must be less than or equal to %.60s limit of %.40s",
                     name, limit);
            error_invalid(e, v, detail, "%s.resources.requests", at);
        }
    }
}

static void check_containers(const json_t *spec, const char *list, const char *base,
                             const struct map *volumes, struct map *names, struct field_errors *e)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(spec, list), i, c)
    {
        char at[200];
        const char *name = json_at_str(c, "name"), *image = json_at_str(c, "image");
        snprintf(at, sizeof(at), "%s.%s[%zu]", base, list, i);
        if (name && !set_add(names, name))
            error_duplicate(e, json_object_get(c, "name"), "%s.name", at);
        if (str_empty(image))
            error_required(e, NULL, "%s.image", at);
        else if (image[0] == ' ' || image[strlen(image) - 1] == ' ')
            error_invalid_text(e, image, "must not have leading or trailing whitespace", "%s.image",
                               at);
        check_ports(c, at, e);
        check_mounts(c, volumes, at, e);
        check_env(c, at, e);
        check_probes(c, at, e);
        check_resources(c, at, e);
    }
}

static void check_volumes(const json_t *spec, const char *base, struct map *ret,
                          struct field_errors *e)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(spec, "volumes"), i, v)
    {
        const char *name = json_at_str(v, "name");
        if (name && !set_add(ret, name))
            error_duplicate(e, json_object_get(v, "name"), "%s.volumes[%zu].name", base, i);
        AUTO_CHARS char *at = xasprintf("%s.volumes[%zu]", base, i);
        json_t *source;
        size_t k;
        check_source(v, e, at);
        json_array_foreach(json_at(v, "projected.sources"), k, source)
        {
            AUTO_CHARS char *part = xasprintf("%s.projected.sources[%zu]", at, k);
            check_source(source, e, part);
        }
        if (json_object_size(v) > 2)
            error_forbidden(e, "may not specify more than 1 volume type", "%s.volumes[%zu]", base,
                            i);
    }
}

static void check_pod_spec(const json_t *spec, const char *base, struct field_errors *e)
{
    struct map volumes = {0}, names = {0};
    check_volumes(spec, base, &volumes, e);
    check_containers(spec, "containers", base, &volumes, &names, e);
    check_containers(spec, "initContainers", base, &volumes, &names, e);
    if (streq(json_at_str(spec, "dnsPolicy"), "None") &&
        !json_array_size(json_at(spec, "dnsConfig.nameservers")))
        error_required(e, "must provide at least one DNS nameserver when `dnsPolicy` is None",
                       "%s.dnsConfig.nameservers", base);
    const json_t *grace = json_object_get(spec, "terminationGracePeriodSeconds");
    if (json_is_integer(grace) && json_integer_value(grace) < 0)
        error_invalid(e, grace, "must be greater than or equal to 0",
                      "%s.terminationGracePeriodSeconds", base);
    map_done(&volumes);
    map_done(&names);
}

/* Images, deadlines, tolerations and gates may change; a grace period may change when it was
 * negative; the node is set once. */
static json_t *comparable_spec(const json_t *object, const json_t *like)
{
    static const char *const lists[] = {"containers", "initContainers"};
    json_t *spec = json_deep_copy(json_object_get(object, "spec"));
    size_t i;
    json_t *c;
    for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
        json_array_foreach(json_object_get(spec, lists[k]), i, c) json_object_del(c, "image");
    }
    json_object_del(spec, "activeDeadlineSeconds");
    json_object_del(spec, "tolerations");
    json_object_del(spec, "schedulingGates");
    json_object_del(spec, "ephemeralContainers");
    if (str_empty(json_at_str(like, "spec.nodeName")))
        json_object_del(spec, "nodeName");
    return spec;
}

static const json_t *container_named(const json_t *list, const char *name)
{
    json_t *c;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, c)
    {
        if (streq(json_key_str(c, "name"), name))
            return c;
    }
    return NULL;
}

/* Once there they stay as they are; new ones have names of their own. */
static void check_ephemeral_containers(const json_t *object, const json_t *old,
                                       struct field_errors *e)
{
    static const char *const others[] = {"spec.containers", "spec.initContainers"};
    const json_t *now = json_at(object, "spec.ephemeralContainers");
    json_t *c;
    size_t i;
    json_array_foreach(json_at(old, "spec.ephemeralContainers"), i, c)
    {
        const json_t *same = container_named(now, json_key_str(c, "name"));
        if (!same || !json_equal(c, same)) {
            error_forbidden(e,
                            same ? "existing ephemeral containers may not be changed"
                                 : "existing ephemeral containers may not be removed",
                            "spec.ephemeralContainers");
            return;
        }
    }
    json_array_foreach((json_t *)(uintptr_t)now, i, c)
    {
        const char *name = json_key_str(c, "name"),
                   *target = json_key_str(c, "targetContainerName");
        for (size_t k = 0; k < ARRAY_LEN(others); k++)
            if (name && container_named(json_at(object, others[k]), name))
                error_duplicate(e, json_object_get(c, "name"), "spec.ephemeralContainers[%zu].name",
                                i);
        if (!str_empty(target) && !container_named(json_at(object, "spec.containers"), target))
            error_not_found(e, target, "spec.ephemeralContainers[%zu].targetContainerName", i);
    }
}

static void check_pod_update(const json_t *object, const json_t *old, struct field_errors *e)
{
    check_ephemeral_containers(object, old, e);
    AUTO_JSON json_t *before = comparable_spec(old, old);
    AUTO_JSON json_t *after = comparable_spec(object, old);
    if (!json_equal(before, after))
        error_forbidden(e,
                        "pod updates may not change fields other than `spec.containers[*].image`,"
                        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec."
                        "tolerations` (only additions "
                        "to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it "
                        "to be set to 1 if it was "
                        "previously negative)",
                        "spec");
}

void validate_pod(const json_t *object, const json_t *old, struct field_errors *e)
{
    check_pod_spec(json_at(object, "spec"), "spec", e);
    if (old && json_at(object, "spec"))
        check_pod_update(object, old, e);
}

void validate_node(const json_t *object, const json_t *old, struct field_errors *e)
{
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

static void check_pod_template(const json_t *object, struct field_errors *e)
{
    const char *restart = json_at_str(object, "spec.template.spec.restartPolicy");
    if (!json_array_size(json_at(object, "spec.template.spec.containers")) &&
        !json_at(object, "spec.template.spec"))
        error_required(e, NULL, "spec.template.spec.containers");
    check_pod_spec(json_at(object, "spec.template.spec"), "spec.template.spec", e);
    if (restart && !streq(restart, "Always"))
        error_unsupported(e, restart, "Always", "spec.template.spec.restartPolicy");
}

static void check_template(const json_t *object, struct field_errors *e)
{
    check_selector(object, e);
    check_pod_template(object, e);
}

static void check_same_selector(const json_t *object, const json_t *old, struct field_errors *e)
{
    const json_t *is = json_at(object, "spec.selector"), *was = json_at(old, "spec.selector");
    if (old && is && !json_equal(is, was))
        error_invalid(e, is, "field is immutable", "spec.selector");
}

static int surge_value(const json_t *v)
{
    uint64_t percent;
    if (json_is_integer(v))
        return json_integer_value(v) < 0 ? -1 : json_integer_value(v) > 0;
    struct str s = str_from(json_string_value(v));
    if (!s.n || s.p[s.n - 1] != '%' || str_to_u64(str_sub(s, 0, s.n - 1), &percent) < 0)
        return -1;
    return percent > 0;
}

static void check_rolling_update(const json_t *spec, struct field_errors *e)
{
    const json_t *surge = json_at(spec, "strategy.rollingUpdate.maxSurge");
    const json_t *unavailable = json_at(spec, "strategy.rollingUpdate.maxUnavailable");
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
}

void validate_deployment(const json_t *object, const json_t *old, struct field_errors *e)
{
    check_template(object, e);
    check_same_selector(object, old, e);
    check_rolling_update(json_at(object, "spec"), e);
    int64_t deadline = json_at_int(object, "spec.progressDeadlineSeconds", INT32_MAX);
    if (deadline <= json_at_int(object, "spec.minReadySeconds", 0))
        error_invalid(e, json_at(object, "spec.progressDeadlineSeconds"),
                      "must be greater than minReadySeconds", "spec.progressDeadlineSeconds");
}

void validate_replicaset(const json_t *object, const json_t *old, struct field_errors *e)
{
    check_template(object, e);
    check_same_selector(object, old, e);
}

void validate_replication_controller(const json_t *object, const json_t *old,
                                     struct field_errors *e)
{
    const json_t *selector = json_at(object, "spec.selector"),
                 *labels = json_at(object, "spec.template.metadata.labels"), *value;
    const char *key;
    bool matches = true;
    (void)old;
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
        check_pod_template(object, e);
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
        error_invalid_text(e, "", "Too long: must have at most 1048576 bytes", "data");
    json_object_foreach(json_at(object, "binaryData"), key,
                        v) if (json_key_str(json_at(object, "data"), key))
        error_invalid_text(e, key, "duplicate of key present in data", "binaryData[%s]", key);
    check_immutable_data(object, old, e);
}

void validate_secret(const json_t *object, const json_t *old, struct field_errors *e)
{
    const char *type = json_at_str(object, "type");
    if (map_bytes(json_at(object, "data")) > 1024 * 1024 * 4 / 3)
        error_invalid_text(e, "", "Too long: must have at most 1048576 bytes", "data");
    if (old && !streq(type, json_at_str(old, "type")))
        error_invalid(e, json_object_get(object, "type"), "field is immutable", "type");
    if (streq(type, "kubernetes.io/tls")) {
        if (!json_key_str(json_at(object, "data"), "tls.crt"))
            error_required(e, NULL, "data[tls.crt]");
        if (!json_key_str(json_at(object, "data"), "tls.key"))
            error_required(e, NULL, "data[tls.key]");
    }
    check_immutable_data(object, old, e);
}
