/* Defaults that depend on more than one field: what the API server fills in for pods, services and
 * slices beside the tables' own defaults. Works in place on decoded objects; pure but for the tree
 * it is given. */
#include "kube/kind_rules.h"

#include "codec/base64.h"

static const char *pull_policy(const char *image)
{
    const char *slash = strrchr(image, '/');
    const char *name = slash ? slash : image;
    const char *tag = strrchr(name, ':');
    if (strchr(name, '@'))
        return "IfNotPresent";
    return !tag || streq(tag, ":latest") ? "Always" : "IfNotPresent";
}

/* Requests that are not given are the limits. */
static void default_requests(json_t *container)
{
    const char *name;
    json_t *v;
    json_object_foreach(json_at(container, "resources.limits"), name, v)
    {
        json_t *requests = json_at(container, "resources.requests");
        if (!requests) {
            requests = json_object();
            json_put(container, "resources.requests", requests);
        }
        if (!json_object_get(requests, name))
            json_object_set(requests, name, v);
    }
}

static void default_containers(json_t *spec, const char *list, bool host_network)
{
    size_t i, k;
    json_t *c, *port;
    json_array_foreach(json_object_get(spec, list), i, c)
    {
        const char *image = json_at_str(c, "image");
        if (!json_at(c, "imagePullPolicy"))
            json_put_str(c, "imagePullPolicy", pull_policy(image ? image : ""));
        default_requests(c);
        json_array_foreach(json_object_get(c, "ports"), k, port) if (host_network &&
                                                                     !json_at(port, "hostPort") &&
                                                                     json_at(port, "containerPort"))
            json_object_set(port, "hostPort", json_object_get(port, "containerPort"));
    }
}

/* Negative ones were taken once, and mean at once. */
static void default_grace(json_t *spec)
{
    if (json_at_int(spec, "terminationGracePeriodSeconds", 0) < 0)
        json_put_int(spec, "terminationGracePeriodSeconds", 1);
}

static void default_pod_spec(json_t *spec)
{
    size_t i;
    json_t *v;
    if (!json_is_object(spec))
        return;
    bool host_network = json_at_bool(spec, "hostNetwork", false);
    default_grace(spec);
    default_containers(spec, "initContainers", host_network);
    default_containers(spec, "containers", host_network);
    default_containers(spec, "ephemeralContainers", false);
    const char *account = json_at_str(spec, "serviceAccountName");
    const char *old_name = json_at_str(spec, "serviceAccount");
    if (str_empty(account) && !str_empty(old_name))
        json_put_str(spec, "serviceAccountName", old_name);
    else if (!str_empty(account) && str_empty(old_name))
        json_put_str(spec, "serviceAccount", account);
    json_array_foreach(json_object_get(spec, "volumes"), i,
                       v) if (json_object_size(v) == 1) /* a volume without a source */
        json_object_set_new(v, "emptyDir", json_object());
}

void default_pod(json_t *object)
{
    default_pod_spec(json_at(object, "spec"));
    if (!json_at(object, "status.phase"))
        json_put_str(object, "status.phase", "Pending");
}

void default_pod_template(json_t *object)
{
    json_t *spec = json_at(object, "spec");
    default_pod_spec(json_at(object, "spec.template.spec"));
    if (!json_is_object(spec))
        return;
    if (streq(json_at_str(object, "kind"), "Deployment") &&
        streq(json_at_str(spec, "strategy.type"), "RollingUpdate")) {
        if (!json_at(spec, "strategy.rollingUpdate.maxUnavailable"))
            json_put_str(spec, "strategy.rollingUpdate.maxUnavailable", "25%");
        if (!json_at(spec, "strategy.rollingUpdate.maxSurge"))
            json_put_str(spec, "strategy.rollingUpdate.maxSurge", "25%");
    }
    if (streq(json_at_str(object, "kind"), "DaemonSet") &&
        streq(json_at_str(spec, "updateStrategy.type"), "RollingUpdate")) {
        if (!json_at(spec, "updateStrategy.rollingUpdate.maxUnavailable"))
            json_put_int(spec, "updateStrategy.rollingUpdate.maxUnavailable", 1);
        if (!json_at(spec, "updateStrategy.rollingUpdate.maxSurge"))
            json_put_int(spec, "updateStrategy.rollingUpdate.maxSurge", 0);
    }
    if (!json_is_object(json_at(spec, "template.metadata")) && json_at(spec, "template"))
        json_put(spec, "template.metadata", json_object());
}

static void default_int(json_t *spec, const char *member, int64_t value)
{
    if (!json_object_get(spec, member))
        json_put_int(spec, member, value);
}

void default_job(json_t *object)
{
    json_t *spec = json_at(object, "spec"),
           *labels = json_at(object, "spec.template.metadata.labels");
    default_pod_template(object);
    if (!json_is_object(spec))
        return;
    if (!json_object_get(spec, "parallelism"))
        default_int(spec, "completions", 1); /* neither: one pod, once; else a queue of work */
    default_int(spec, "parallelism", 1);
    default_int(spec, "backoffLimit",
                json_object_get(spec, "backoffLimitPerIndex") ? INT32_MAX : 6);
    if (json_object_size(labels) && !json_object_size(json_at(object, "metadata.labels")))
        json_put(object, "metadata.labels", json_deep_copy(labels));
    if (!json_object_get(spec, "podReplacementPolicy"))
        json_put_str(spec, "podReplacementPolicy",
                     json_object_get(spec, "podFailurePolicy") ? "Failed" : "TerminatingOrFailed");
    if (!json_object_get(spec, "manualSelector"))
        json_object_set_new(spec, "manualSelector", json_false());
}

static bool uses_node_ports(const char *type)
{
    return streq(type, "NodePort") || streq(type, "LoadBalancer");
}

static void default_ingress(json_t *list)
{
    size_t i;
    json_t *ingress;
    json_array_foreach(list, i, ingress) if (!str_empty(json_key_str(ingress, "ip")) &&
                                             !json_object_get(ingress, "ipMode"))
        json_put_str(ingress, "ipMode", "VIP");
}

void default_service(json_t *object)
{
    json_t *spec = json_at(object, "spec");
    default_ingress(json_at(object, "status.loadBalancer.ingress"));
    size_t i;
    json_t *port;
    if (!json_is_object(spec))
        return;
    const char *type = json_at_str(spec, "type");
    bool external_name = streq(type, "ExternalName");
    json_array_foreach(json_object_get(spec, "ports"), i, port)
    {
        json_t *target = json_object_get(port, "targetPort");
        bool empty = !target || (json_is_string(target) && !json_string_length(target)) ||
                     (json_is_integer(target) && !json_integer_value(target));
        if (empty)
            json_put_int(port, "targetPort", json_at_int(port, "port", 0));
    }
    if (streq(json_at_str(spec, "sessionAffinity"), "ClientIP") &&
        !json_at(spec, "sessionAffinityConfig.clientIP.timeoutSeconds"))
        json_put_int(spec, "sessionAffinityConfig.clientIP.timeoutSeconds", 10800);
    if (streq(json_at_str(spec, "sessionAffinity"), "None"))
        json_object_del(spec, "sessionAffinityConfig");
    if (!external_name && !json_at(spec, "internalTrafficPolicy"))
        json_put_str(spec, "internalTrafficPolicy", "Cluster");
    bool from_outside =
        uses_node_ports(type) || (!external_name && json_array_size(json_at(spec, "externalIPs")));
    if (from_outside && str_empty(json_at_str(spec, "externalTrafficPolicy")))
        json_put_str(spec, "externalTrafficPolicy", "Cluster");
    if (streq(type, "LoadBalancer") && !json_at(spec, "allocateLoadBalancerNodePorts"))
        json_put(spec, "allocateLoadBalancerNodePorts", json_true());
}

/* stringData is write-only: it goes into data. */
void default_secret(json_t *object)
{
    const char *key;
    json_t *v;
    json_object_foreach(json_at(object, "stringData"), key, v)
    {
        AUTO_DONE(buf) struct buf text = {0};
        json_t *data = json_object_get(object, "data");
        if (!json_is_object(data)) {
            data = json_object();
            json_object_set_new(object, "data", data);
        }
        base64_encode(str_of(json_string_value(v), json_string_length(v)), &text);
        json_object_set_new(data, key, json_stringn(text.p ? text.p : "", text.n));
    }
    json_object_del(object, "stringData");
}

void default_endpointslice(json_t *object)
{
    size_t i;
    json_t *port;
    json_array_foreach(json_at(object, "ports"), i, port) if (!json_object_get(port, "name"))
        json_put_str(port, "name", "");
}

void default_namespace(json_t *object)
{
    const char *name = json_at_str(object, "metadata.name");
    json_t *labels = json_at(object, "metadata.labels");
    if (!labels) {
        labels = json_object();
        json_put(object, "metadata.labels", labels);
    }
    json_object_set_new(labels, "kubernetes.io/metadata.name", json_string(name ? name : ""));
    if (!json_at_str(object, "status.phase"))
        json_put_str(object, "status.phase", "Active");
}

/* Labels and selector may be left out: they are the template's labels then. */
void default_replication_controller(json_t *object)
{
    json_t *labels = json_at(object, "spec.template.metadata.labels");
    static const char *const paths[] = {"spec.selector", "metadata.labels"};
    default_pod_template(object);
    for (size_t i = 0; i < ARRAY_LEN(paths) && json_object_size(labels); i++)
        if (!json_object_size(json_at(object, paths[i])))
            json_put(object, paths[i], json_deep_copy(labels));
}
