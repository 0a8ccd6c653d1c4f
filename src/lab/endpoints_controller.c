/* Endpoints controller: the older, single-object form of the same facts, for clients that still
 * read it (kubectl up to 1.30 describes a Service by it). Pods that are being deleted are left out.
 * Rules: core/v1 Endpoints. */
#include <stdio.h>

#include "base/time.h"
#include "lab/endpoint_set.h"

enum { ADDRESSES_MAX = 1000 };

static void on_change(struct controller *c, enum watched kind, json_t *object, bool deleted)
{
    (void)deleted;
    if (kind == WATCHED_SERVICE) {
        controller_enqueue_object(c, object);
    } else if (kind == WATCHED_POD) {
        endpoint_services_of_pod(c, object);
    } else if (kind == WATCHED_ENDPOINTS) {
        controller_enqueue_object(c, object);
    }
}

static json_t *address_new(const json_t *pod, const json_t *service)
{
    json_t *a =
        json_pack("{s:s,s:{s:s,s:s,s:s,s:s}}", "ip", json_at_str(pod, "status.podIP"), "targetRef",
                  "kind", "Pod", "namespace", json_at_str(pod, "metadata.namespace"), "name",
                  json_at_str(pod, "metadata.name"), "uid", json_at_str(pod, "metadata.uid"));
    const char *node = json_at_str(pod, "spec.nodeName"),
               *hostname = json_at_str(pod, "spec.hostname");
    if (node)
        json_put_str(a, "nodeName", node);
    if (hostname &&
        streq(json_at_str(pod, "spec.subdomain"), json_at_str(service, "metadata.name")))
        json_put_str(a, "hostname", hostname);
    return a;
}

/* The subset with these ports; takes the reference to ports. */
static json_t *subset_get(json_t *subsets, json_t *ports)
{
    json_t *subset;
    size_t i;
    json_array_foreach(subsets, i, subset) if (json_equal(json_object_get(subset, "ports"), ports))
    {
        json_decref(ports);
        return subset;
    }
    subset = json_object();
    json_object_set_new(subset, "ports", ports);
    json_array_append_new(subsets, subset);
    return subset;
}

/* By address, so that the same pods always give the same object. */
static void add_sorted(json_t *subset, const char *member, json_t *address)
{
    json_t *list = json_object_get(subset, member);
    size_t at = 0;
    if (!list) {
        list = json_array();
        json_object_set_new(subset, member, list);
    }
    while (at < json_array_size(list) &&
           strcmp(json_key_str(json_array_get(list, at), "ip"), json_key_str(address, "ip")) < 0)
        at++;
    json_array_insert_new(list, at, address);
}

static json_t *subsets_of(struct sync *s, const json_t *service)
{
    struct informer *pods = controllers_informer(sync_set(s), WATCHED_POD);
    bool publish = json_is_true(json_at(service, "spec.publishNotReadyAddresses"));
    json_t *subsets = json_array(), *pod;
    size_t n = 0;
    for (size_t at = 0; informer_next(pods, &at, &pod) && n < ADDRESSES_MAX;) {
        if (!streq(json_at_str(pod, "metadata.namespace"),
                   json_at_str(service, "metadata.namespace")) ||
            !endpoint_pod_is_candidate(pod) || (is_deleting(pod) && !publish) ||
            !labels_match(json_at(service, "spec.selector"), json_at(pod, "metadata.labels")))
            continue;
        json_t *subset = subset_get(subsets, endpoint_ports(service, pod));
        add_sorted(subset, publish || pod_is_ready(pod) ? "addresses" : "notReadyAddresses",
                   address_new(pod, service));
        n++;
    }
    return subsets;
}

/* Services that have a selector own their Endpoints; an unnamed port has no name member here. */
static void drop_empty_names(json_t *subsets)
{
    json_t *subset, *port;
    size_t i, k;
    json_array_foreach(subsets, i, subset) json_array_foreach(
        json_object_get(subset, "ports"), k, port) if (str_empty(json_key_str(port, "name")))
        json_object_del(port, "name");
}

static void write_endpoints(struct sync *s, const json_t *service, const json_t *old,
                            json_t *subsets)
{
    char path[700], now[28];
    const char *ns = json_at_str(service, "metadata.namespace"),
               *name = json_at_str(service, "metadata.name");
    AUTO_JSON json_t *o = old ? json_deep_copy(old) : json_object();
    json_put_str(o, "apiVersion", "v1");
    json_put_str(o, "kind", "Endpoints");
    json_put_str(o, "metadata.name", name);
    json_put_str(o, "metadata.namespace", ns);
    json_t *labels = json_at(service, "metadata.labels");
    json_put(o, "metadata.labels", labels ? json_deep_copy(labels) : json_object());
    json_object_set_new(json_at(o, "metadata.labels"), "endpoints.kubernetes.io/managed-by",
                        json_string("endpoint-controller"));
    time_format_rfc3339_micro(time_real_us(), now);
    json_put(o, "metadata.annotations",
             json_pack("{s:s}", "endpoints.kubernetes.io/last-change-trigger-time", now));
    json_object_set(o, "subsets", subsets);
    if (old)
        snprintf(path, sizeof(path), "/api/v1/namespaces/%s/endpoints/%s", ns, name);
    else
        snprintf(path, sizeof(path), "/api/v1/namespaces/%s/endpoints", ns);
    sync_call(s, WATCHED_ENDPOINTS, old ? "PUT" : "POST", path, NULL, o);
}

static void sync_service(struct sync *s, const char *key)
{
    char path[700];
    const json_t *service =
        informer_find(controllers_informer(sync_set(s), WATCHED_SERVICE), str_from(key));
    const json_t *old =
        informer_find(controllers_informer(sync_set(s), WATCHED_ENDPOINTS), str_from(key));
    if (!service && old &&
        json_key_str(json_at(old, "metadata.annotations"),
                     "endpoints.kubernetes.io/last-change-trigger-time")) {
        snprintf(path, sizeof(path), "/api/v1/namespaces/%s/endpoints/%s",
                 json_at_str(old, "metadata.namespace"), json_at_str(old, "metadata.name"));
        sync_call(s, _WATCHED_MAX, "DELETE", path, NULL, NULL);
        return;
    }
    if (!service || !endpoint_service_is_selected(service) || is_deleting(service))
        return;
    AUTO_JSON json_t *subsets = subsets_of(s, service);
    drop_empty_names(subsets);
    const json_t *have = json_object_get(old, "subsets");
    if (old && (json_equal(have, subsets) || (!json_array_size(have) && !json_array_size(subsets))))
        return;
    write_endpoints(s, service, old, subsets);
}

const struct controller_kind endpoints_controller = {"endpoints", on_change, sync_service, NULL,
                                                     NULL};
