/* Endpoints mirroring: Endpoints that a person wrote for a Service without selector, as
 * EndpointSlices, because proxies read only those. One slice per family and list of ports: subsets
 * with the same ports share theirs. A slice is known again by these two, never by its name. Rules:
 * EndpointSliceMirroring of Kubernetes (KEP-752). */
#include <stdio.h>

#include "base/vec.h"
#include "lab/controllers/endpoint_set.h"

#define MANAGED_BY   "endpointslice.kubernetes.io/managed-by"
#define MANAGER      "endpointslicemirroring-controller.k8s.io"
#define SERVICE_NAME "kubernetes.io/service-name"

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
        controller_enqueue(c,
                           key_of(json_at_str(object, "metadata.namespace"),
                                  json_key_str(json_at(object, "metadata.labels"), SERVICE_NAME)));
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
    json_object_set_new(labels, SERVICE_NAME, json_string(json_at_str(endpoints, "metadata.name")));
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

static json_t *slice_new(const json_t *endpoints, const char *family, json_t *ports)
{
    AUTO_CHARS char *prefix = xasprintf("%.240s-", json_at_str(endpoints, "metadata.name"));
    json_t *refs = json_array(), *annotations = copied_annotations(endpoints);
    json_array_append_new(refs, owner_reference_to(WATCHED_ENDPOINTS, endpoints));
    json_t *slice = json_pack(
        "{s:s,s:s,s:{s:s,s:s,s:o,s:o},s:s,s:[],s:o}", "apiVersion", "discovery.k8s.io/v1", "kind",
        "EndpointSlice", "metadata", "generateName", prefix, "namespace",
        json_at_str(endpoints, "metadata.namespace"), "labels", copied_labels(endpoints),
        "ownerReferences", refs, "addressType", family, "endpoints", "ports", endpoint_list(ports));
    if (json_object_size(annotations))
        json_put(slice, "metadata.annotations", annotations);
    else
        json_decref(annotations);
    return slice;
}

static bool same_place(const json_t *a, const json_t *b)
{
    return streq(json_key_str(a, "addressType"), json_key_str(b, "addressType")) &&
           endpoint_lists_equal(json_object_get(a, "ports"), json_object_get(b, "ports"));
}

/* The wanted slice of these, made if it is not there yet. Takes the reference to ports. */
static json_t *slice_get(json_t *slices, const json_t *endpoints, const char *family, json_t *ports)
{
    json_t *new = slice_new(endpoints, family, ports), *slice;
    size_t i;
    json_array_foreach(slices, i, slice) if (same_place(slice, new))
    {
        json_decref(new);
        return slice;
    }
    json_array_append_new(slices, new);
    return new;
}

/* All slices that should be. */
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
            if (json_array_size(lists[f])) {
                json_t *slice = slice_get(slices, endpoints, families[f], slice_ports(subset));
                json_array_extend(json_object_get(slice, "endpoints"), lists[f]);
            }
            json_decref(lists[f]);
        }
    }
    return slices;
}

static bool same_slice(const json_t *have, const json_t *want)
{
    static const char *const compared[] = {"endpoints", "metadata.labels", "metadata.annotations",
                                           "metadata.ownerReferences"};
    for (size_t i = 0; i < ARRAY_LEN(compared); i++) {
        json_t *a = json_at(have, compared[i]), *b = json_at(want, compared[i]);
        if (a != b && !(a && b && json_equal(a, b)))
            return false;
    }
    return true;
}

/* Writes the slice that is wanted; old is what stands there, or NULL. */
static void write_slice(struct sync *s, const json_t *old, json_t *slice)
{
    char path[WATCHED_PATH_BYTES];
    if (old && same_slice(old, slice))
        return;
    if (old) {
        json_del(slice, "metadata.generateName");
        json_put_str(slice, "metadata.name", json_at_str(old, "metadata.name"));
        watched_path(WATCHED_ENDPOINTSLICE, slice, path);
    } else {
        snprintf(path, sizeof(path), "/apis/discovery.k8s.io/v1/namespaces/%s/endpointslices",
                 json_at_str(slice, "metadata.namespace"));
    }
    sync_call(s, WATCHED_ENDPOINTSLICE, old ? "PUT" : "POST", path, NULL, slice);
}

static void sync_endpoints(struct sync *s, const char *key)
{
    const json_t *endpoints =
        informer_find(controllers_informer(sync_set(s), WATCHED_ENDPOINTS), str_from(key));
    const json_t *service =
        informer_find(controllers_informer(sync_set(s), WATCHED_SERVICE), str_from(key));
    AUTO_JSON json_t *slices = wants_mirror(endpoints, service) ? want(endpoints) : json_array();
    struct str name, ns = str_cut(str_from(key), '/', &name);
    AUTO_CHARS char *ns_text = str_dup(ns);
    AUTO_CHARS char *name_text = str_dup(name);
    AUTO_CHARS char *label = index_pair(ns_text, SERVICE_NAME, name_text);
    struct objects mine = {0};
    json_t *slice, *have;
    size_t i;
    for (size_t at = 0;
         controllers_next(sync_set(s), WATCHED_ENDPOINTSLICE, INDEX_LABEL, label, &at, &have);)
        if (is_ours(have) && !is_deleting(have))
            vec_push(&mine, json_incref(have));
    json_array_foreach(slices, i, slice)
    {
        json_t **old = NULL;
        VEC_FOREACH (m, &mine)
            old = old || !*m || !same_place(*m, slice) ? old : m;
        write_slice(s, old ? *old : NULL, slice);
        if (old)
            json_decref(TAKE(*old));
    }
    VEC_FOREACH (m, &mine) {
        char path[WATCHED_PATH_BYTES];
        if (!*m)
            continue;
        watched_path(WATCHED_ENDPOINTSLICE, *m, path);
        sync_call(s, _WATCHED_MAX, "DELETE", path, NULL, NULL);
        json_decref(*m);
    }
    vec_done(&mine);
}

const struct controller_kind mirroring_controller = {"endpointslicemirroring", on_change,
                                                     sync_endpoints, NULL, NULL};
