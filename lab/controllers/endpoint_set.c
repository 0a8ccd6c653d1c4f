/* Pods behind a Service. Pure readings of cached objects; rules of the EndpointSlice controller of
 * Kubernetes. */
#include "lab/controllers/endpoint_set.h"

/* Services that select these labels: each has the label that comes first in its selector. */
static void enqueue_selecting(struct controller *c, const char *ns, const json_t *labels)
{
    const char *name;
    json_t *value, *service;
    json_object_foreach((json_t *)(uintptr_t)labels, name, value)
    {
        AUTO_CHARS char *pair = index_pair(ns, name, json_string_value(value));
        for (size_t at = 0; controllers_next(controller_set(c), WATCHED_SERVICE, INDEX_SELECTOR,
                                             pair, &at, &service);)
            if (endpoint_service_is_selected(service) &&
                labels_match(json_at(service, "spec.selector"), labels))
                controller_enqueue_object(c, service);
    }
}

void endpoint_services_of_pod(struct controller *c, const json_t *pod)
{
    const char *ns = json_at_str(pod, "metadata.namespace");
    const json_t *labels = json_at(pod, "metadata.labels"),
                 *before = json_at(controllers_before(controller_set(c)), "metadata.labels");
    enqueue_selecting(c, ns, labels);
    if (before && !(labels && json_equal(before, labels)))
        enqueue_selecting(c, ns, before); /* it is to leave their endpoints */
}

bool endpoint_next_pod(struct controllers *cs, const json_t *service, const char *first_label,
                       size_t *at, json_t **ret)
{
    while (controllers_next(cs, WATCHED_POD, INDEX_LABEL, first_label, at, ret))
        if (labels_match(json_at(service, "spec.selector"), json_at(*ret, "metadata.labels")) &&
            endpoint_pod_is_candidate(*ret))
            return true;
    return false;
}

void endpoint_label_headless(json_t *labels, const json_t *service)
{
    if (streq(json_at_str(service, "spec.clusterIP"), "None"))
        json_object_set_new(labels, HEADLESS_LABEL, json_string(""));
    else
        json_object_del(labels, HEADLESS_LABEL);
}

json_t *endpoint_list(json_t *list)
{
    if (json_array_size(list))
        return list;
    json_decref(list);
    return json_null();
}

bool endpoint_lists_equal(const json_t *a, const json_t *b)
{
    return json_array_size(a) == json_array_size(b) && (!json_array_size(a) || json_equal(a, b));
}

bool endpoint_service_is_selected(const json_t *service)
{
    return json_object_size(json_at(service, "spec.selector")) > 0 &&
           !streq(json_at_str(service, "spec.type"), "ExternalName");
}

bool endpoint_pod_is_candidate(const json_t *pod)
{
    const char *phase = json_at_str(pod, "status.phase");
    return json_at_str(pod, "status.podIP") && !streq(phase, "Succeeded") &&
           !streq(phase, "Failed");
}

const char *endpoint_pod_ip(const json_t *pod, const char *family)
{
    bool v6 = streq(family, "IPv6");
    json_t *item;
    size_t i;
    json_array_foreach(json_at(pod, "status.podIPs"), i, item)
    {
        const char *ip = json_key_str(item, "ip");
        if (ip && (strchr(ip, ':') != NULL) == v6)
            return ip;
    }
    const char *ip = json_at_str(pod, "status.podIP");
    return ip && (strchr(ip, ':') != NULL) == v6 ? ip : NULL;
}

/* The container port of that name and protocol, or -1. */
static int64_t named_port(const json_t *pod, const char *name, const char *protocol)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        json_t *container, *port;
        size_t i, k;
        json_array_foreach(json_at(pod, lists[l]), i, container)
        {
            if (l == 1 && !streq(json_key_str(container, "restartPolicy"), "Always"))
                continue; /* init containers count when they are sidecars */
            json_array_foreach(json_object_get(container, "ports"), k, port)
            {
                const char *p = json_key_str(port, "protocol");
                if (streq(json_key_str(port, "name"), name) && streq(p ? p : "TCP", protocol))
                    return json_at_int(port, "containerPort", -1);
            }
        }
    }
    return -1;
}

json_t *endpoint_ports(const json_t *service, const json_t *pod)
{
    json_t *ports = json_array(), *port;
    size_t i;
    json_array_foreach(json_at(service, "spec.ports"), i, port)
    {
        const char *protocol = json_key_str(port, "protocol"), *name = json_key_str(port, "name");
        const json_t *target = json_object_get(port, "targetPort");
        int64_t number = json_at_int(port, "port", 0);
        protocol = protocol ? protocol : "TCP";
        if (json_is_integer(target) && json_integer_value(target) > 0)
            number = json_integer_value(target);
        else if (json_is_string(target) && *json_string_value(target))
            number = named_port(pod, json_string_value(target), protocol);
        if (number <= 0)
            continue;
        json_t *out = json_pack("{s:s,s:s,s:I}", "name", name ? name : "", "protocol", protocol,
                                "port", (json_int_t)number);
        if (json_key_str(port, "appProtocol"))
            json_object_set(out, "appProtocol", json_object_get(port, "appProtocol"));
        json_array_append_new(ports, out);
    }
    return ports;
}
