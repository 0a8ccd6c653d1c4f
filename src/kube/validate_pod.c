/* Checks of pods and of the pods that templates describe: containers, ports, probes, mounts,
 * resources, and what may change in a pod that is there (where it may run:
 * validate_scheduling.c). The tables have been checked
 * before (validate.c), types before that. Messages are those of a real API server. Pure. */
#include "kube/kind_rules.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/map.h"
#include "kube/quantity.h"

static char present;

/* Adds key to a set; false if it was there. */
static bool set_add(struct map *set, const char *key)
{
    return map_put_cstr(set, key, &present) == NULL;
}

/* host: what is taken of the node so far, "protocol/address/port". */
static void check_host_port(const json_t *port, struct map *host, const char *at, size_t i,
                            struct field_errors *e)
{
    const char *protocol = json_key_str(port, "protocol"), *ip = json_key_str(port, "hostIP");
    int64_t number = json_at_int(port, "hostPort", 0);
    if (!number)
        return;
    AUTO_CHARS char *key =
        xasprintf("%s/%s/%" PRId64, protocol ? protocol : "", ip ? ip : "", number);
    if (set_add(host, key))
        return;
    AUTO_JSON json_t *value = json_text(str_from(key));
    error_duplicate(e, value, "%s.ports[%zu].hostPort", at, i);
}

static void check_ports(const json_t *container, struct map *host, const char *at,
                        struct field_errors *e)
{
    struct map names = {0};
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(container, "ports"), i, p)
    {
        const char *name = json_at_str(p, "name");
        if (name && !set_add(&names, name))
            error_duplicate(e, json_object_get(p, "name"), "%s.ports[%zu].name", at, i);
        check_host_port(p, host, at, i, e);
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

static const char env_fields[] =
    "metadata.name|metadata.namespace|metadata.uid|spec.nodeName|spec.serviceAccountName|"
    "status.hostIP|status.hostIPs|status.podIP|status.podIPs";
static const char file_fields[] =
    "metadata.annotations|metadata.labels|metadata.name|metadata.namespace|metadata.uid";
/* What a pod can be asked for at all; where, the two above say. */
static const char pod_fields[] =
    "metadata.annotations|metadata.labels|metadata.name|metadata.namespace|metadata.uid|"
    "spec.nodeName|spec.restartPolicy|spec.serviceAccountName|spec.schedulerName|status.phase|"
    "status.hostIP|status.hostIPs|status.podIP|status.podIPs";

/* path['key'] in its parts; false: there is no key. */
static bool split_subscript(struct str text, struct str *ret_path, struct str *ret_key)
{
    const char *open = text.n > 4 && str_is(str_sub(text, text.n - 2, text.n), "']")
                           ? memmem(text.p, text.n - 2, "['", 2)
                           : NULL;
    if (!open || open == text.p)
        return false;
    size_t at = (size_t)(open - text.p);
    *ret_path = str_sub(text, 0, at);
    *ret_key = str_sub(text, at + 2, text.n - 2);
    return true;
}

/* fields: those that may stand here as a whole. */
static void check_field_ref(const json_t *ref, const char *fields, const char *at,
                            struct field_errors *e)
{
    const char *text = json_key_str(ref, "fieldPath"), *version = json_key_str(ref, "apiVersion");
    struct str path, key;
    if (str_empty(text))
        return; /* none, or the tables have said so */
    bool keyed = split_subscript(str_from(text), &path, &key);
    bool labels = keyed && str_is(path, "metadata.labels");
    AUTO_CHARS char *why = NULL;
    if (version && !streq(version, "v1"))
        why = xasprintf("error converting fieldPath: unsupported pod version: %s", version);
    else if (keyed && !labels && !str_is(path, "metadata.annotations"))
        why = xasprintf("error converting fieldPath: field label does not support subscript: %s",
                        text);
    else if (!keyed && !value_is_listed(pod_fields, text))
        why = xasprintf("error converting fieldPath: field label not supported: %s", text);
    if (why) {
        error_invalid_text(e, text, why, "%s.fieldPath", at);
    } else if (keyed && !qualified_name_is_valid(key)) {
        AUTO_CHARS char *name = str_dup(key);
        error_invalid_text(e, name, QUALIFIED_NAME_MESSAGE, "%s", at);
    } else if (!keyed && !value_is_listed(fields, text)) {
        error_unsupported(e, text, fields, "%s.fieldPath", at);
    }
}

static void check_items(const json_t *source, struct field_errors *e, const char *at)
{
    json_t *item;
    size_t i;
    json_array_foreach(json_object_get(source, "items"), i, item)
    {
        AUTO_CHARS char *path = xasprintf("%s.items[%zu]", at, i);
        AUTO_CHARS char *field = xasprintf("%s.fieldRef", path);
        check_inside(item, "path", e, path);
        check_field_ref(json_object_get(item, "fieldRef"), file_fields, field, e);
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
    const json_t *token = json_object_get(v, "serviceAccountToken"),
                 *seconds = json_object_get(token, "expirationSeconds");
    AUTO_CHARS char *path = xasprintf("%s.serviceAccountToken", at);
    check_inside(token, "path", e, path);
    if (json_is_integer(seconds) && json_integer_value(seconds) < 600)
        error_invalid(e, seconds, "may not specify a duration less than 10 minutes",
                      "%s.expirationSeconds", path);
    else if (json_is_integer(seconds) && json_integer_value(seconds) > (json_int_t)1 << 32)
        error_invalid(e, seconds, "may not specify a duration larger than 2^32 seconds",
                      "%s.expirationSeconds", path);
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
        AUTO_CHARS char *field = xasprintf("%s.env[%zu].valueFrom.fieldRef", at, i);
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
        check_field_ref(json_object_get(from, "fieldRef"), env_fields, field, e);
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

static void check_lifecycle(const json_t *container, const char *at, struct field_errors *e)
{
    static const char *const names[] = {"postStart", "preStop"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const json_t *handler = json_object_get(json_object_get(container, "lifecycle"), names[i]);
        AUTO_CHARS char *here = xasprintf("%s.lifecycle.%s", at, names[i]);
        if (handler)
            check_handler(handler, here, e);
    }
}

/* Hooks, probes and a restart policy of its own: what only some containers may have. An init
 * container that is always restarted is a sidecar. */
static void check_run(const json_t *container, bool init, const char *at, struct field_errors *e)
{
    static const char *const names[] = {"lifecycle", "livenessProbe", "readinessProbe",
                                        "startupProbe"};
    const char *policy = json_key_str(container, "restartPolicy");
    if (policy && !init)
        error_forbidden(e, "may not be set for non-init containers", "%s.restartPolicy", at);
    else if (policy && !streq(policy, "Always"))
        error_unsupported(e, policy, "Always", "%s.restartPolicy", at);
    if (!init || streq(policy, "Always")) {
        check_lifecycle(container, at, e);
        check_probes(container, at, e);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (json_object_get(container, names[i]))
            error_forbidden(e, "may not be set for init containers without restartPolicy=Always",
                            "%s.%s", at, names[i]);
}

static void check_quantities(const json_t *list, const char *at, const char *part,
                             struct field_errors *e)
{
    const char *name;
    json_t *v;
    json_object_foreach(json_object_get(list, part), name, v)
    {
        const char *text = json_string_value(v);
        if (text && text[0] == '-')
            error_invalid(e, v, "must be greater than or equal to 0", "%s.resources.%s[%s]", at,
                          part, name);
    }
}

static void check_resources(const json_t *container, const char *at, struct field_errors *e)
{
    const json_t *limits = json_at(container, "resources.limits");
    const char *name;
    json_t *v;
    check_quantities(json_object_get(container, "resources"), at, "limits", e);
    check_quantities(json_object_get(container, "resources"), at, "requests", e);
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
    bool init = streq(list, "initContainers");
    struct map host = {0};
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
        if (init)
            map_done(&host); /* they run one after the other */
        check_ports(c, &host, at, e);
        check_mounts(c, volumes, at, e);
        check_env(c, at, e);
        check_run(c, init, at, e);
        check_resources(c, at, e);
    }
    map_done(&host);
}

static void check_host_network(const json_t *spec, const char *base, struct field_errors *e)
{
    size_t i, k;
    json_t *c, *port;
    if (!json_at_bool(spec, "hostNetwork", false))
        return;
    json_array_foreach(json_object_get(spec, "containers"), i, c)
    {
        json_array_foreach(json_object_get(c, "ports"), k, port)
        {
            const json_t *number = json_object_get(port, "hostPort");
            if (number && !json_equal(number, json_object_get(port, "containerPort")))
                error_invalid(e, number, "must match `containerPort` when `hostNetwork` is true",
                              "%s.containers[%zu].ports[%zu].hostPort", base, i, k);
        }
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

void validate_pod_spec(const json_t *spec, const char *base, struct field_errors *e)
{
    struct map volumes = {0}, names = {0};
    check_volumes(spec, base, &volumes, e);
    check_containers(spec, "containers", base, &volumes, &names, e);
    check_containers(spec, "initContainers", base, &volumes, &names, e);
    check_host_network(spec, base, e);
    validate_scheduling(spec, base, e);
    if (streq(json_at_str(spec, "dnsPolicy"), "None") && !json_object_get(spec, "dnsConfig"))
        error_required(e, "must provide `dnsConfig` when `dnsPolicy` is None", "%s.dnsConfig",
                       base);
    else if (streq(json_at_str(spec, "dnsPolicy"), "None") &&
             !json_array_size(json_at(spec, "dnsConfig.nameservers")))
        error_required(e, "must provide at least one DNS nameserver when `dnsPolicy` is None",
                       "%s.dnsConfig.nameservers", base);
    map_done(&volumes);
    map_done(&names);
}

/* Images, deadlines, tolerations and gates may change; a grace period may change when it was
 * negative. The node is a scheduler's to set, by a binding. */
static json_t *comparable_spec(const json_t *object)
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
    validate_scheduling_update(object, old, e);
    AUTO_JSON json_t *before = comparable_spec(old);
    AUTO_JSON json_t *after = comparable_spec(object);
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

static void check_deletion_cost(const json_t *object, const json_t *old, struct field_errors *e)
{
    static const char name[] = "controller.kubernetes.io/pod-deletion-cost";
    const char *is = json_key_str(json_at(object, "metadata.annotations"), name),
               *was = json_key_str(json_at(old, "metadata.annotations"), name);
    int64_t cost;
    if (is && !(was && streq(is, was)) &&
        (str_to_i64(str_from(is), &cost) < 0 || cost < INT32_MIN || cost > INT32_MAX))
        error_invalid_text(e, is, "must be a 32bit integer", "metadata.annotations[%s]", name);
}

void validate_pod(const json_t *object, const json_t *old, struct field_errors *e)
{
    const json_t *spec = json_at(object, "spec"), *before = json_at(old, "spec");
    check_deletion_cost(object, old, e);
    if (before && spec && json_equal(spec, before))
        return; /* a pod of older rules can still be reported on */
    validate_pod_spec(spec, "spec", e);
    if (old && spec)
        check_pod_update(object, old, e);
}
