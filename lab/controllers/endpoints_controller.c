/* Endpoints controller: the older, single-object form of the same facts, for clients that still
 * read it (kubectl up to 1.30 describes a Service by it). Pods that are being deleted are left out.
 * Rules: core/v1 Endpoints. */
#include <stdio.h>

#include "base/time.h"
#include "base/vec.h"
#include "lab/controllers/endpoint_set.h"

#define MANAGED_BY    "endpoints.kubernetes.io/managed-by"
#define MANAGER       "endpoint-controller"
#define OVER_CAPACITY "endpoints.kubernetes.io/over-capacity"

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

/* Of the Service's first family, the only one that Endpoints know; NULL: the pod has none. */
static const char *pod_ip(const json_t *pod, const json_t *service)
{
    const char *family = json_string_value(json_array_get(json_at(service, "spec.ipFamilies"), 0));
    return endpoint_pod_ip(pod, family ? family : "IPv4");
}

static json_t *address_new(const json_t *pod, const json_t *service)
{
    json_t *a =
        json_pack("{s:s,s:{s:s,s:s,s:s,s:s}}", "ip", pod_ip(pod, service), "targetRef", "kind",
                  "Pod", "namespace", json_at_str(pod, "metadata.namespace"), "name",
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

struct pods {
    json_t **v;
    size_t n;
    size_t cap;
};

/* Ready ones first, so that a cut at the limit takes what serves least; then by name, so that it is
 * always the same cut. */
static int by_use(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int d = (int)pod_is_ready(y) - (int)pod_is_ready(x);
    return d ? d : strcmp(json_at_str(x, "metadata.name"), json_at_str(y, "metadata.name"));
}

static json_t *subsets_of(struct sync *s, const json_t *service, bool *ret_truncated)
{
    AUTO_CHARS char *first_label = index_selector(json_at_str(service, "metadata.namespace"),
                                                  json_at(service, "spec.selector"));
    bool publish = json_is_true(json_at(service, "spec.publishNotReadyAddresses"));
    json_t *subsets = json_array(), *pod;
    struct pods pods = {0};
    for (size_t at = 0; endpoint_next_pod(sync_set(s), service, first_label, &at, &pod);)
        if ((!is_deleting(pod) || publish) && pod_ip(pod, service))
            vec_push(&pods, pod);
    if (pods.n)
        qsort(pods.v, pods.n, sizeof(*pods.v), by_use);
    *ret_truncated = pods.n > ADDRESSES_MAX;
    for (size_t i = 0; i < MIN(pods.n, (size_t)ADDRESSES_MAX); i++) {
        json_t *subset = subset_get(subsets, endpoint_ports(service, pods.v[i]));
        bool ready = publish || pod_is_ready(pods.v[i]);
        add_sorted(subset, ready ? "addresses" : "notReadyAddresses",
                   address_new(pods.v[i], service));
    }
    vec_done(&pods);
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
                            json_t *subsets, bool truncated)
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
    json_object_set_new(json_at(o, "metadata.labels"), MANAGED_BY, json_string(MANAGER));
    time_format_rfc3339_micro(time_real_us(), now);
    json_put(o, "metadata.annotations",
             json_pack("{s:s}", "endpoints.kubernetes.io/last-change-trigger-time", now));
    if (truncated)
        json_object_set_new(json_at(o, "metadata.annotations"), OVER_CAPACITY,
                            json_string("truncated"));
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
        streq(json_key_str(json_at(old, "metadata.labels"), MANAGED_BY), MANAGER)) {
        snprintf(path, sizeof(path), "/api/v1/namespaces/%s/endpoints/%s",
                 json_at_str(old, "metadata.namespace"), json_at_str(old, "metadata.name"));
        sync_call(s, _WATCHED_MAX, "DELETE", path, NULL, NULL);
        return;
    }
    if (!service || !endpoint_service_is_selected(service) || is_deleting(service))
        return;
    bool truncated;
    AUTO_JSON json_t *subsets = subsets_of(s, service, &truncated);
    drop_empty_names(subsets);
    const json_t *have = json_object_get(old, "subsets");
    if (old &&
        truncated == (json_key_str(json_at(old, "metadata.annotations"), OVER_CAPACITY) != NULL) &&
        (json_equal(have, subsets) || (!json_array_size(have) && !json_array_size(subsets))))
        return;
    write_endpoints(s, service, old, subsets, truncated);
}

const struct controller_kind endpoints_controller = {"endpoints", on_change, sync_service, NULL,
                                                     NULL};
