/* What an analysis says of Services: whether anybody is behind them. */
#include "model/analysis_priv.h"

/* ---- backends without endpoints ---- */

static bool has_ready(const struct joined_service *s)
{
    for (size_t i = 0; i < s->slices.n; i++)
        for (uint32_t e = 0; e < s->slices.v[i]->n_endpoints; e++)
            if (s->slices.v[i]->endpoints[e].ready ||
                (s->slices.v[i]->endpoints[e].serving && s->slices.v[i]->endpoints[e].terminating))
                return true;
    return false;
}

static void check_backends(const struct analysis *a, const struct route *r)
{
    for (uint32_t b = 0; b < r->n_backends; b++) {
        const struct joined_service *s =
            service_join_find(a->snapshot->join, r->backends[b].service);
        if (s && s->object && !has_ready(s))
            finding_add(a->out, FINDING_WARNING, "NoEndpoints", r->origin.object, r->origin.field,
                        "kubectl get pods shows why none is ready",
                        "Service %s has no endpoint that is ready: 503", r->backends[b].service);
    }
}

/* ---- selectors ---- */

/* Where a kind keeps the pod that it is or makes. */
static const json_t *pod_of(const json_t *j)
{
    static const char *const makers[] = {"Deployment", "StatefulSet", "DaemonSet",
                                         "ReplicaSet", "Job",         "ReplicationController"};
    if (analysis_is(j, "Pod"))
        return j;
    for (size_t i = 0; i < ARRAY_LEN(makers); i++)
        if (analysis_is(j, makers[i]))
            return json_at(j, "spec.template");
    return NULL;
}

static bool selects(const json_t *selector, const json_t *pod)
{
    const json_t *labels = json_at(pod, "metadata.labels");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)selector, key,
                        value) if (!json_equal(json_object_get(labels, key), value)) return false;
    return true;
}

static bool has_port(const json_t *pod, const char *name)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    json_t *container, *port;
    size_t c, p;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        json_array_foreach(json_at(pod, lists[i]), c, container)
            json_array_foreach(json_object_get(container, "ports"), p,
                               port) if (streq(json_key_str(port, "name"), name)) return true;
    return false;
}

/* A WorkloadEntry as a pod: the mesh takes it for one. */
static json_t *pod_of_entry(const json_t *j)
{
    json_t *ports = json_array(), *labels = json_object_get(json_object_get(j, "spec"), "labels");
    const char *name;
    json_t *number;
    json_object_foreach(json_at(j, "spec.ports"), name, number)
        json_array_append_new(ports, json_pack("{s:s}", "name", name));
    return json_pack("{s:{s:O?},s:{s:[{s:o}]}}", "metadata", "labels", labels, "spec", "containers",
                     "ports", ports);
}

/* Pods and templates by their namespace: {NS: [pod]}. */
static json_t *gather_pods(const json_t *objects)
{
    json_t *all = json_object(), *j;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)objects, i, j)
    {
        const char *ns = json_at_str(j, "metadata.namespace");
        AUTO_JSON json_t *pod = !ns ? NULL
                                : analysis_is(j, "WorkloadEntry")
                                    ? pod_of_entry(j)
                                    : json_incref((json_t *)(uintptr_t)pod_of(j));
        if (!pod)
            continue;
        if (!json_object_get(all, ns))
            json_object_set_new(all, ns, json_array());
        json_array_append(json_object_get(all, ns), pod);
    }
    return all;
}

/* name NULL: any of those that the Service selects will do. */
static bool any_has_port(const json_t *pods, const json_t *service, const char *name)
{
    json_t *pod;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)pods, i,
                       pod) if (selects(json_at(service, "spec.selector"), pod) &&
                                (!name || has_port(pod, name))) return true;
    return false;
}

static void check_selector(const struct analysis *a, const json_t *all, const json_t *service)
{
    const json_t *pods = json_object_get(all, json_at_str(service, "metadata.namespace"));

    AUTO_CHARS char *key = xasprintf("%s/%s", json_at_str(service, "metadata.namespace"),
                                     json_at_str(service, "metadata.name"));
    json_t *port;
    size_t i;
    if (!json_object_size(json_at(service, "spec.selector")))
        return;
    if (!any_has_port(pods, service, NULL)) {
        finding_add(a->out, FINDING_WARNING, "SelectorMatchesNothing", key, "spec.selector",
                    "compare it with kubectl get pods --show-labels",
                    "no pod has these labels in namespace %s",
                    json_at_str(service, "metadata.namespace"));
        return;
    }
    json_array_foreach(json_at(service, "spec.ports"), i, port)
    {
        const char *target = json_key_str(port, "targetPort");
        AUTO_CHARS char *field = xasprintf("spec.ports[%zu].targetPort", i);
        if (target && !any_has_port(pods, service, target))
            finding_add(a->out, FINDING_WARNING, "TargetPortNotFound", key, field,
                        "name a containerPort so, or give a number",
                        "no container of its pods has a port named %s", target);
    }
}

void analysis_services(const struct analysis *a)
{
    json_t *j;
    size_t i;
    for (size_t n = 0; a->in->knows_endpoints && n < a->snapshot->n_hosts; n++)
        for (uint32_t r = 0; r < a->snapshot->sorted[n]->n_routes; r++)
            check_backends(a, &a->snapshot->sorted[n]->routes[r]);
    if (!a->in->knows_pods)
        return;
    AUTO_JSON json_t *pods = gather_pods(a->in->objects);
    json_array_foreach((json_t *)(uintptr_t)a->in->objects, i,
                       j) if (analysis_is(j, "Service") && json_at_str(j, "metadata.namespace") &&
                              json_at_str(j, "metadata.name")) check_selector(a, pods, j);
}
