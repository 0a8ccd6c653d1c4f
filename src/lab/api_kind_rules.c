/* Rules of single kinds that no table can say: defaults that depend on other fields, checks between fields, what may not
 * change after creation. Pure. Messages are those of kube-apiserver. */
#include <stdio.h>

#include "lab/api_kind_priv.h"

/* ---- defaults ---- */

static void default_if_absent(json_t *o, const char *key, json_t *value)
{
    if (json_object_get(o, key))
        json_decref(value);
    else
        json_object_set_new(o, key, value);
}

static void default_pull_policy(json_t *container)
{
    const char *image = json_key_str(container, "image");
    const char *slash = image ? strrchr(image, '/') : NULL;
    const char *tag = image ? strchr(slash ? slash : image, ':') : NULL;
    bool always = image && ((!tag && !strchr(image, '@')) || streq(tag, ":latest"));
    default_if_absent(container, "imagePullPolicy", json_string(always ? "Always" : "IfNotPresent"));
}

static void default_pod_spec(json_t *spec)
{
    static const char *const lists[] = {"containers", "initContainers"};
    json_t *c;
    size_t i;
    for (size_t l = 0; l < ARRAY_LEN(lists); l++)
        json_array_foreach(json_object_get(spec, lists[l]), i, c)
            default_pull_policy(c);
    const char *account = json_key_str(spec, "serviceAccountName");
    if (json_object_get(spec, "serviceAccount") == NULL && account)
        json_object_set_new(spec, "serviceAccount", json_string(account));
}

/* What the ServiceAccount admission of kube-apiserver does: the account's name and its token volume. */
static void default_pod_account(json_t *spec)
{
    json_t *c, *v;
    size_t i, k;
    default_if_absent(spec, "serviceAccountName", json_string("default"));
    default_if_absent(spec, "serviceAccount", json_string(json_key_str(spec, "serviceAccountName")));
    if (json_is_false(json_object_get(spec, "automountServiceAccountToken")))
        return;
    json_array_foreach(json_object_get(spec, "volumes"), i, v)
        if (str_starts(str_from(json_key_str(v, "name")), STR("kube-api-access-")))
            return;
    static const char mount_path[] = "/var/run/secrets/kubernetes.io/serviceaccount";
    json_array_foreach(json_object_get(spec, "containers"), i, c) {
        bool mounted = false;
        json_array_foreach(json_object_get(c, "volumeMounts"), k, v)
            mounted = mounted || streq(json_key_str(v, "mountPath"), mount_path);
        if (mounted)
            continue;
        default_if_absent(c, "volumeMounts", json_array());
        json_array_append_new(json_object_get(c, "volumeMounts"), json_pack("{s:s,s:b,s:s}", "name", "kube-api-access-lab", "readOnly", 1,
                                                                            "mountPath", mount_path));
    }
    default_if_absent(spec, "volumes", json_array());
    json_array_append_new(json_object_get(spec, "volumes"),
                          json_pack("{s:s,s:{s:[{s:{s:i,s:s}},{s:{s:s,s:[{s:s,s:s}]}},{s:{s:[{s:s,s:{s:s,s:s}}]}}],s:i}}", "name",
                                    "kube-api-access-lab", "projected", "sources", "serviceAccountToken", "expirationSeconds", 3607,
                                    "path", "token", "configMap", "name", "kube-root-ca.crt", "items", "key", "ca.crt", "path", "ca.crt",
                                    "downwardAPI", "items", "path", "namespace", "fieldRef", "apiVersion", "v1", "fieldPath",
                                    "metadata.namespace", "defaultMode", 0644));
}

static void default_pod(json_t *object)
{
    json_t *spec = json_object_get(object, "spec");
    if (!json_is_object(spec))
        return;
    default_pod_account(spec);
    default_pod_spec(spec);
    if (!json_at_str(object, "status.phase"))
        json_put_str(object, "status.phase", "Pending");
    if (!json_at_str(object, "status.qosClass"))
        json_put_str(object, "status.qosClass", "BestEffort");
}

static void default_service(json_t *object)
{
    json_t *spec = json_object_get(object, "spec"), *port;
    size_t i;
    if (!json_is_object(spec))
        return;
    default_if_absent(spec, "type", json_string("ClusterIP"));
    const char *type = json_key_str(spec, "type");
    default_if_absent(spec, "sessionAffinity", json_string("None"));
    if (streq(json_key_str(spec, "sessionAffinity"), "ClientIP")) {
        default_if_absent(spec, "sessionAffinityConfig", json_pack("{s:{s:i}}", "clientIP", "timeoutSeconds", 10800));
    }
    json_array_foreach(json_object_get(spec, "ports"), i, port) {
        default_if_absent(port, "protocol", json_string("TCP"));
        const json_t *target = json_object_get(port, "targetPort");
        if ((!target || (json_is_integer(target) && json_integer_value(target) == 0) ||
             (json_is_string(target) && !*json_string_value(target))) && json_object_get(port, "port"))
            json_object_set(port, "targetPort", json_object_get(port, "port"));
    }
    if (!streq(type, "ExternalName"))
        default_if_absent(spec, "internalTrafficPolicy", json_string("Cluster"));
    if (streq(type, "NodePort") || streq(type, "LoadBalancer"))
        default_if_absent(spec, "externalTrafficPolicy", json_string("Cluster"));
    if (streq(type, "LoadBalancer"))
        default_if_absent(spec, "allocateLoadBalancerNodePorts", json_true());
    if (!json_object_get(object, "status"))
        json_put(object, "status", json_pack("{s:{}}", "loadBalancer"));
}

static void default_namespace(json_t *object)
{
    const char *name = json_at_str(object, "metadata.name");
    json_t *labels = json_at(object, "metadata.labels");
    if (!labels) {
        labels = json_object();
        json_put(object, "metadata.labels", labels);
    }
    json_object_set_new(labels, "kubernetes.io/metadata.name", json_string(name ? name : ""));
    if (!json_at(object, "spec.finalizers") && !json_at_str(object, "metadata.deletionTimestamp"))
        json_put(object, "spec.finalizers", json_pack("[s]", "kubernetes"));
    if (!json_at_str(object, "status.phase"))
        json_put_str(object, "status.phase", "Active");
}

static void default_workload(const struct api_kind *k, json_t *object)
{
    json_t *spec = json_object_get(object, "spec");
    if (!json_is_object(spec))
        return;
    default_if_absent(spec, "replicas", json_integer(1));
    json_t *pod_spec = json_at(spec, "template.spec");
    if (pod_spec)
        default_pod_spec(pod_spec);
    if (!streq(k->kind, "Deployment"))
        return;
    default_if_absent(spec, "revisionHistoryLimit", json_integer(10));
    default_if_absent(spec, "progressDeadlineSeconds", json_integer(600));
    default_if_absent(spec, "strategy", json_object());
    json_t *strategy = json_object_get(spec, "strategy");
    default_if_absent(strategy, "type", json_string("RollingUpdate"));
    if (streq(json_key_str(strategy, "type"), "RollingUpdate")) {
        default_if_absent(strategy, "rollingUpdate", json_object());
        default_if_absent(json_object_get(strategy, "rollingUpdate"), "maxSurge", json_string("25%"));
        default_if_absent(json_object_get(strategy, "rollingUpdate"), "maxUnavailable", json_string("25%"));
    }
}

/* stringData is write-only: it ends up in data. */
static void default_secret(json_t *object)
{
    default_if_absent(object, "type", json_string("Opaque"));
}

void api_kind_default_rules(const struct api_kind *k, json_t *object)
{
    if (streq(k->kind, "Pod"))
        default_pod(object);
    else if (streq(k->kind, "Service"))
        default_service(object);
    else if (streq(k->kind, "Namespace"))
        default_namespace(object);
    else if (streq(k->kind, "Deployment") || streq(k->kind, "ReplicaSet"))
        default_workload(k, object);
    else if (streq(k->kind, "Secret"))
        default_secret(object);
}

/* ---- validation ---- */

void api_kind_validate_metadata(const struct api_kind *k, const json_t *object, struct field_errors *e)
{
    const char *name = json_at_str(object, "metadata.name"), *key;
    json_t *value;
    if (streq(k->kind, "Service")) {
        if (!dns1035_label_is_valid(str_from(name)))
            error_invalid_text(e, name, DNS1035_LABEL_MESSAGE, "metadata.name");
    } else if (streq(k->kind, "Namespace")) {
        if (!str_is_dns1123_label(str_from(name)))
            error_invalid_text(e, name, DNS1123_LABEL_MESSAGE, "metadata.name");
    } else if (!str_is_dns1123_subdomain(str_from(name))) {
        error_invalid_text(e, name, DNS1123_SUBDOMAIN_MESSAGE, "metadata.name");
    }
    json_object_foreach(json_at(object, "metadata.labels"), key, value) {
        if (!qualified_name_is_valid(str_from(key)))
            error_invalid_text(e, key, QUALIFIED_NAME_MESSAGE, "metadata.labels");
        if (!label_value_is_valid(str_from(json_string_value(value))))
            error_invalid_text(e, json_string_value(value), LABEL_VALUE_MESSAGE, "metadata.labels");
    }
}

static void validate_containers(const json_t *pod_spec, const char *path, struct field_errors *e)
{
    json_t *c, *other, *port;
    size_t i, k;
    const json_t *list = json_object_get(pod_spec, "containers");
    if (!json_array_size(list)) {
        error_required(e, "", "%s.containers", path);
        return;
    }
    json_array_foreach((json_t *)(uintptr_t)list, i, c) {
        json_array_foreach((json_t *)(uintptr_t)list, k, other)
            if (k < i && streq(json_key_str(c, "name"), json_key_str(other, "name")))
                error_duplicate(e, json_object_get(c, "name"), "%s.containers[%zu].name", path, i);
        if (str_empty(json_key_str(c, "image")))
            error_required(e, "", "%s.containers[%zu].image", path, i);
        json_array_foreach(json_object_get(c, "ports"), k, port) {
            int64_t n = json_at_int(port, "containerPort", 0);
            if (n < 1 || n > 65535)
                error_invalid(e, json_object_get(port, "containerPort"), "must be between 1 and 65535, inclusive",
                              "%s.containers[%zu].ports[%zu].containerPort", path, i, k);
        }
    }
}

/* A pod's spec is fixed after creation but for images, tolerations added, deadlines and grace. */
static void validate_pod_update(const json_t *object, const json_t *old, struct field_errors *e)
{
    AUTO_JSON json_t *was = json_deep_copy(json_object_get(old, "spec"));
    const json_t *is = json_object_get(object, "spec");
    static const char *const free_fields[] = {"activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations", "nodeName"};
    static const char *const lists[] = {"containers", "initContainers"};
    json_t *c;
    size_t i;
    for (size_t f = 0; f < ARRAY_LEN(free_fields); f++) {
        json_t *v = json_object_get(is, free_fields[f]);
        if (v)
            json_object_set(was, free_fields[f], v);
        else
            json_object_del(was, free_fields[f]);
    }
    for (size_t l = 0; l < ARRAY_LEN(lists); l++)
        json_array_foreach(json_object_get(was, lists[l]), i, c) {
            json_t *image = json_object_get(json_array_get(json_object_get(is, lists[l]), i), "image");
            if (image)
                json_object_set(c, "image", image);
        }
    if (!json_equal(was, is))
        error_forbidden(e, "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
                           "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
                           "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)", "spec");
}

static void validate_service(const json_t *object, struct field_errors *e)
{
    const json_t *ports = json_at(object, "spec.ports");
    const char *type = json_at_str(object, "spec.type");
    json_t *p, *other;
    size_t i, k;
    if (!json_array_size(ports) && !streq(type, "ExternalName") && !streq(json_at_str(object, "spec.clusterIP"), "None"))
        error_required(e, "", "spec.ports");
    if (streq(type, "ExternalName") && str_empty(json_at_str(object, "spec.externalName")))
        error_required(e, "", "spec.externalName");
    json_array_foreach((json_t *)(uintptr_t)ports, i, p) {
        int64_t n = json_at_int(p, "port", 0), target = json_at_int(p, "targetPort", 1);
        if (json_array_size(ports) > 1 && str_empty(json_key_str(p, "name")))
            error_required(e, "", "spec.ports[%zu].name", i);
        if (n < 1 || n > 65535)
            error_invalid(e, json_object_get(p, "port"), "must be between 1 and 65535, inclusive", "spec.ports[%zu].port", i);
        if (target < 1 || target > 65535)
            error_invalid(e, json_object_get(p, "targetPort"), "must be between 1 and 65535, inclusive", "spec.ports[%zu].targetPort", i);
        json_array_foreach((json_t *)(uintptr_t)ports, k, other) {
            if (k >= i)
                break;
            if (!str_empty(json_key_str(p, "name")) && streq(json_key_str(p, "name"), json_key_str(other, "name")))
                error_duplicate(e, json_object_get(p, "name"), "spec.ports[%zu].name", i);
            if (json_at_int(other, "port", 0) == n && streq(json_key_str(other, "protocol"), json_key_str(p, "protocol"))) {
                AUTO_JSON json_t *pair = json_pack("{s:I,s:s}", "port", (json_int_t)n, "protocol", json_key_str(p, "protocol"));
                error_duplicate(e, pair, "spec.ports[%zu]", i);
            }
        }
    }
}

static void validate_workload(const json_t *object, const json_t *old, struct field_errors *e)
{
    const json_t *selector = json_at(object, "spec.selector"), *labels = json_at(object, "spec.template.metadata.labels");
    const char *key;
    json_t *value;
    bool matches = json_object_size(json_object_get(selector, "matchLabels")) || json_array_size(json_object_get(selector, "matchExpressions"));
    if (!selector) {
        error_required(e, "", "spec.selector");
    } else if (!matches) {
        error_invalid(e, selector, "empty selector is invalid for deployment", "spec.selector");
    } else {
        json_object_foreach(json_object_get(selector, "matchLabels"), key, value)
            if (!streq(json_string_value(value), json_key_str(labels, key))) {
                error_invalid(e, labels, "`selector` does not match template `labels`", "spec.template.metadata.labels");
                break;
            }
    }
    if (json_at(object, "spec.template.spec"))
        validate_containers(json_at(object, "spec.template.spec"), "spec.template.spec", e);
    if (json_at_int(object, "spec.replicas", 0) < 0)
        error_invalid(e, json_at(object, "spec.replicas"), "must be greater than or equal to 0", "spec.replicas");
    if (old && selector && !json_equal(selector, json_at(old, "spec.selector")))
        error_invalid(e, selector, "field is immutable", "spec.selector");
}

static void validate_immutable_data(const json_t *object, const json_t *old, struct field_errors *e)
{
    static const char *const fields[] = {"data", "binaryData", "immutable"};
    if (!old || !json_is_true(json_object_get(old, "immutable")))
        return;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const json_t *a = json_object_get(object, fields[i]), *b = json_object_get(old, fields[i]);
        if (a != b && !(a && b && json_equal(a, b)))
            error_forbidden(e, "field is immutable when `immutable` is set", "%s", fields[i]);
    }
}

void api_kind_validate_rules(const struct api_kind *k, const json_t *object, const json_t *old, struct field_errors *e)
{
    if (streq(k->kind, "Pod") && old)
        validate_pod_update(object, old, e);
    else if (streq(k->kind, "Pod"))
        validate_containers(json_object_get(object, "spec"), "spec", e);
    else if (streq(k->kind, "Service"))
        validate_service(object, e);
    else if (streq(k->kind, "Deployment") || streq(k->kind, "ReplicaSet"))
        validate_workload(object, old, e);
    else if (streq(k->kind, "ConfigMap") || streq(k->kind, "Secret"))
        validate_immutable_data(object, old, e);
}
