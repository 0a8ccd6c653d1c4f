/* Endpoints controller: the older, single-object form of the same facts, for clients that still
 * read it (kubectl up to 1.30 describes a Service by it). Pods that are being deleted are left out,
 * and so is one whose named target port does not exist. A subset is a set of pods and all the ports
 * that just these offer. Rules: core/v1 Endpoints. */
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

/* One port (owned; NULL: of a headless Service without ports) and who offers it, in pods' order. */
struct offer {
    json_t *port;
    struct pods pods;
};

struct offers {
    struct offer *v;
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

/* Takes the reference to port. */
static void add_offer(struct offers *offers, json_t *port, json_t *pod)
{
    VEC_FOREACH (o, offers)
        if (o->port == port || (port && json_equal(o->port, port))) {
            json_decref(port);
            vec_push(&o->pods, pod);
            return;
        }
    struct offer new = {.port = port};
    vec_push(&new.pods, pod);
    vec_push(offers, new);
}

static void add_offers(struct offers *offers, const json_t *service, json_t *pod)
{
    AUTO_JSON json_t *ports = endpoint_ports(service, pod);
    json_t *port;
    size_t i;
    if (!json_array_size(json_at(service, "spec.ports")))
        add_offer(offers, NULL, pod);
    json_array_foreach(ports, i, port) add_offer(offers, json_incref(port), pod);
}

static bool same_pods(const struct pods *a, const struct pods *b)
{
    return a->n == b->n && memcmp(a->v, b->v, a->n * sizeof(*a->v)) == 0;
}

/* The ports that the same pods offer make one subset. Empties the offers. */
static json_t *pack(struct offers *offers, const json_t *service)
{
    bool publish = json_is_true(json_at(service, "spec.publishNotReadyAddresses"));
    json_t *subsets = json_array();
    for (size_t i = 0; i < offers->n; i++) {
        struct offer *first = &offers->v[i];
        if (!first->pods.n)
            continue;
        json_t *subset = json_object(), *ports = json_array();
        VEC_FOREACH (pod, &first->pods)
            add_sorted(subset, publish || pod_is_ready(*pod) ? "addresses" : "notReadyAddresses",
                       address_new(*pod, service));
        for (size_t k = offers->n; k-- > i;) { /* itself last, when its pods are still there */
            struct offer *o = &offers->v[k];
            if (!same_pods(&o->pods, &first->pods))
                continue;
            if (o->port)
                json_array_insert_new(ports, 0, TAKE(o->port));
            vec_done(&o->pods);
            o->pods.n = 0;
        }
        if (json_array_size(ports))
            json_object_set_new(subset, "ports", ports);
        else
            json_decref(ports);
        json_array_append_new(subsets, subset);
    }
    vec_done(offers);
    return subsets;
}

static json_t *subsets_of(struct sync *s, const json_t *service, bool *ret_truncated)
{
    AUTO_CHARS char *first_label = index_selector(json_at_str(service, "metadata.namespace"),
                                                  json_at(service, "spec.selector"));
    bool publish = json_is_true(json_at(service, "spec.publishNotReadyAddresses"));
    json_t *pod;
    struct pods pods = {0};
    struct offers offers = {0};
    for (size_t at = 0; endpoint_next_pod(sync_set(s), service, first_label, &at, &pod);)
        if ((!is_deleting(pod) || publish) && pod_ip(pod, service))
            vec_push(&pods, pod);
    if (pods.n)
        qsort(pods.v, pods.n, sizeof(*pods.v), by_use);
    *ret_truncated = pods.n > ADDRESSES_MAX;
    for (size_t i = 0; i < MIN(pods.n, (size_t)ADDRESSES_MAX); i++)
        add_offers(&offers, service, pods.v[i]);
    vec_done(&pods);
    return pack(&offers, service);
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

static json_t *labels_of(const json_t *service)
{
    json_t *labels = json_at(service, "metadata.labels");
    labels = labels ? json_deep_copy(labels) : json_object();
    json_object_set_new(labels, MANAGED_BY, json_string(MANAGER));
    endpoint_label_headless(labels, service);
    return labels;
}

static void write_endpoints(struct sync *s, const json_t *service, const json_t *old,
                            json_t *labels, json_t *subsets, bool truncated)
{
    char path[700], now[28];
    const char *ns = json_at_str(service, "metadata.namespace"),
               *name = json_at_str(service, "metadata.name");
    AUTO_JSON json_t *o = old ? json_deep_copy(old) : json_object();
    json_put_str(o, "apiVersion", "v1");
    json_put_str(o, "kind", "Endpoints");
    json_put_str(o, "metadata.name", name);
    json_put_str(o, "metadata.namespace", ns);
    json_put(o, "metadata.labels", json_incref(labels));
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
    AUTO_JSON json_t *labels = labels_of(service);
    if (old &&
        truncated == (json_key_str(json_at(old, "metadata.annotations"), OVER_CAPACITY) != NULL) &&
        endpoint_lists_equal(json_object_get(old, "subsets"), subsets) &&
        json_equal(json_at(old, "metadata.labels"), labels))
        return;
    write_endpoints(s, service, old, labels, subsets, truncated);
}

const struct controller_kind endpoints_controller = {"endpoints", on_change, sync_service, NULL,
                                                     NULL};
