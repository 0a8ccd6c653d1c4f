/* Endpoints mirroring: Endpoints that a person wrote for a Service without selector, as
 * EndpointSlices, because proxies read only those. One slice per family and subset. Rules:
 * EndpointSliceMirroring of Kubernetes (KEP-752). */
#include <stdio.h>

#include "lab/controllers/controller.h"

#define MANAGED_BY "endpointslice.kubernetes.io/managed-by"
#define MANAGER    "endpointslicemirroring-controller.k8s.io"

enum { ADDRESSES_MAX = 1000 }; /* of a subset; the rest is not mirrored */

static bool is_ours(const json_t *slice)
{
    return streq(json_key_str(json_at(slice, "metadata.labels"), MANAGED_BY), MANAGER);
}

static void on_change(struct controller *c, enum watched kind, json_t *object, bool deleted)
{
    (void)deleted;
    if (kind == WATCHED_ENDPOINTS || kind == WATCHED_SERVICE)
        controller_enqueue_object(c, object);
    else if (kind == WATCHED_ENDPOINTSLICE && is_ours(object))
        controller_enqueue(c, key_of(json_at_str(object, "metadata.namespace"),
                                     json_key_str(json_at(object, "metadata.labels"),
                                                  "kubernetes.io/service-name")));
}

static bool wants_mirror(const json_t *endpoints, const json_t *service)
{
    const json_t *labels = json_at(endpoints, "metadata.labels");
    return endpoints && service && !is_deleting(endpoints) && !is_deleting(service) &&
           !json_object_size(json_at(service, "spec.selector")) &&
           !streq(json_key_str(labels, "endpointslice.kubernetes.io/skip-mirror"), "true") &&
           !json_key_str(json_at(endpoints, "metadata.annotations"),
                         "control-plane.alpha.kubernetes.io/leader");
}

/* Addresses of one family; room is what the subset may still give, over both families and members.
 */
static void add_addresses(json_t *list, const json_t *subset, const char *member,
                          const char *family, size_t *room)
{
    bool v6 = streq(family, "IPv6"), ready = streq(member, "addresses");
    json_t *a;
    size_t i;
    json_array_foreach(json_object_get(subset, member), i, a)
    {
        const char *ip = json_key_str(a, "ip");
        if (!ip || (strchr(ip, ':') != NULL) != v6)
            continue;
        if (!*room)
            return;
        --*room;
        json_t *e = json_pack("{s:[s],s:{s:b}}", "addresses", ip, "conditions", "ready", ready);
        static const char *const copied[] = {"hostname", "nodeName", "targetRef"};
        for (size_t k = 0; k < ARRAY_LEN(copied); k++)
            if (json_object_get(a, copied[k]))
                json_object_set(e, copied[k], json_object_get(a, copied[k]));
        json_array_append_new(list, e);
    }
}

static json_t *slice_ports(const json_t *subset)
{
    json_t *ports = json_array(), *p;
    size_t i;
    json_array_foreach(json_object_get(subset, "ports"), i, p)
    {
        json_t *copy = json_deep_copy(p);
        if (!json_key_str(copy, "name"))
            json_put_str(copy, "name", "");
        if (!json_key_str(copy, "protocol"))
            json_put_str(copy, "protocol", "TCP");
        json_array_append_new(ports, copy);
    }
    return ports;
}

/* Labels and annotations go along, but for those that speak of the Endpoints object itself. */
static json_t *copied_labels(const json_t *endpoints)
{
    json_t *labels = json_at(endpoints, "metadata.labels");
    labels = labels ? json_deep_copy(labels) : json_object();
    json_object_set_new(labels, "kubernetes.io/service-name",
                        json_string(json_at_str(endpoints, "metadata.name")));
    json_object_set_new(labels, MANAGED_BY, json_string(MANAGER));
    return labels;
}

static json_t *copied_annotations(const json_t *endpoints)
{
    json_t *annotations = json_at(endpoints, "metadata.annotations");
    annotations = annotations ? json_deep_copy(annotations) : json_object();
    json_object_del(annotations, "endpoints.kubernetes.io/last-change-trigger-time");
    json_object_del(annotations, "kubectl.kubernetes.io/last-applied-configuration");
    return annotations;
}

static json_t *slice_new(const json_t *endpoints, const json_t *subset, size_t index,
                         const char *family, json_t *list)
{
    AUTO_CHARS char *name =
        xasprintf("%.230s-mirror-%zu%s", json_at_str(endpoints, "metadata.name"), index,
                  streq(family, "IPv6") ? "-v6" : "");
    json_t *refs = json_array(), *annotations = copied_annotations(endpoints);
    json_array_append_new(refs, owner_reference_to(WATCHED_ENDPOINTS, endpoints));
    json_t *slice =
        json_pack("{s:s,s:s,s:{s:s,s:s,s:o,s:o},s:s,s:o,s:o}", "apiVersion", "discovery.k8s.io/v1",
                  "kind", "EndpointSlice", "metadata", "name", name, "namespace",
                  json_at_str(endpoints, "metadata.namespace"), "labels", copied_labels(endpoints),
                  "ownerReferences", refs, "addressType", family, "endpoints", list, "ports",
                  slice_ports(subset));
    if (json_object_size(annotations))
        json_put(slice, "metadata.annotations", annotations);
    else
        json_decref(annotations);
    return slice;
}

/* All slices that should be, in a fixed order; names are derived from it. */
static json_t *want(const json_t *endpoints)
{
    static const char *const families[] = {"IPv4", "IPv6"};
    json_t *slices = json_array(), *subset;
    size_t i;
    json_array_foreach(json_object_get(endpoints, "subsets"), i, subset)
    {
        size_t room = ADDRESSES_MAX;
        json_t *lists[2] = {json_array(), json_array()};
        for (size_t f = 0; f < 2; f++)
            add_addresses(lists[f], subset, "addresses", families[f], &room);
        for (size_t f = 0; f < 2; f++)
            add_addresses(lists[f], subset, "notReadyAddresses", families[f], &room);
        for (size_t f = 0; f < 2; f++) {
            if (json_array_size(lists[f]))
                json_array_append_new(slices,
                                      slice_new(endpoints, subset, i, families[f], lists[f]));
            else
                json_decref(lists[f]);
        }
    }
    return slices;
}

static bool same_slice(const json_t *have, const json_t *want)
{
    static const char *const compared[] = {"endpoints", "ports", "metadata.labels",
                                           "metadata.annotations", "metadata.ownerReferences"};
    for (size_t i = 0; i < ARRAY_LEN(compared); i++) {
        json_t *a = json_at(have, compared[i]), *b = json_at(want, compared[i]);
        if (a != b && !(a && b && json_equal(a, b)))
            return false;
    }
    return true;
}

static void sync_endpoints(struct sync *s, const char *key)
{
    const json_t *endpoints =
        informer_find(controllers_informer(sync_set(s), WATCHED_ENDPOINTS), str_from(key));
    const json_t *service =
        informer_find(controllers_informer(sync_set(s), WATCHED_SERVICE), str_from(key));
    struct informer *cache = controllers_informer(sync_set(s), WATCHED_ENDPOINTSLICE);
    AUTO_JSON json_t *slices = wants_mirror(endpoints, service) ? want(endpoints) : json_array();
    struct str name, ns = str_cut(str_from(key), '/', &name);
    char path[800];
    json_t *slice, *have;
    size_t i;
    json_array_foreach(slices, i, slice)
    {
        const json_t *old =
            informer_find(cache, str_from(key_of(json_at_str(slice, "metadata.namespace"),
                                                 json_at_str(slice, "metadata.name"))));
        if (old && same_slice(old, slice))
            continue;
        snprintf(path, sizeof(path),
                 "/apis/discovery.k8s.io/v1/namespaces/" STR_FMT "/endpointslices%s%s", STR_ARG(ns),
                 old ? "/" : "", old ? json_at_str(slice, "metadata.name") : "");
        sync_call(s, WATCHED_ENDPOINTSLICE, old ? "PUT" : "POST", path, NULL, slice);
    }
    AUTO_CHARS char *ns_text = str_dup(ns);
    AUTO_CHARS char *name_text = str_dup(name);
    AUTO_CHARS char *label = index_pair(ns_text, "kubernetes.io/service-name", name_text);
    for (size_t at = 0;
         controllers_next(sync_set(s), WATCHED_ENDPOINTSLICE, INDEX_LABEL, label, &at, &have);) {
        bool wanted = false;
        if (!is_ours(have))
            continue;
        json_array_foreach(slices, i, slice) wanted =
            wanted ||
            streq(json_at_str(slice, "metadata.name"), json_at_str(have, "metadata.name"));
        if (wanted)
            continue;
        snprintf(path, sizeof(path),
                 "/apis/discovery.k8s.io/v1/namespaces/" STR_FMT "/endpointslices/%s", STR_ARG(ns),
                 json_at_str(have, "metadata.name"));
        sync_call(s, _WATCHED_MAX, "DELETE", path, NULL, NULL);
    }
}

const struct controller_kind mirroring_controller = {"endpointslicemirroring", on_change,
                                                     sync_endpoints, NULL, NULL};
