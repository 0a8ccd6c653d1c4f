/* EndpointSlice controller: the pods of each Service with a selector, in slices of at most 100
 * endpoints, one set of slices per address family and per distinct list of ports.
 *
 * Reconciles against the slices that are there: an endpoint stays in its slice, changed ones are
 * replaced in place, new ones fill slices with room, so one pod's change rewrites one slice. Rules:
 * discovery.k8s.io/v1, KEP-752, KEP-1672. */
#include <stdio.h>

#include "base/time.h"
#include "base/vec.h"
#include "lab/controllers/endpoint_set.h"

#define MANAGED_BY   "endpointslice.kubernetes.io/managed-by"
#define MANAGER      "endpointslice-controller.k8s.io"
#define SERVICE_NAME "kubernetes.io/service-name"
#define TRIGGER_TIME "endpoints.kubernetes.io/last-change-trigger-time"

enum { ENDPOINTS_PER_SLICE = 100 };

/* Endpoints that share address family and ports. */
struct group {
    const char *family;
    json_t *ports;           /* owned */
    VEC(json_t *) endpoints; /* owned; NULL once placed */
};

struct groups {
    struct group *v;
    size_t n;
    size_t cap;
};

static bool is_ours(const json_t *slice)
{
    return streq(json_key_str(json_at(slice, "metadata.labels"), MANAGED_BY), MANAGER);
}

static void on_change(struct controller *c, enum watched kind, json_t *object, bool deleted)
{
    (void)deleted;
    if (kind == WATCHED_SERVICE) {
        controller_enqueue_object(c, object);
    } else if (kind == WATCHED_POD) {
        endpoint_services_of_pod(c, object);
    } else if (kind == WATCHED_ENDPOINTSLICE && is_ours(object)) {
        controller_enqueue(c,
                           key_of(json_at_str(object, "metadata.namespace"),
                                  json_key_str(json_at(object, "metadata.labels"), SERVICE_NAME)));
    }
}

/* ---- what should be ---- */

/* spec.trafficDistribution: who is near prefers it. Only what is ready has hints. */
static void add_hints(json_t *e, const json_t *service)
{
    const char *distribution = json_at_str(service, "spec.trafficDistribution"),
               *zone = json_key_str(e, "zone"), *node = json_key_str(e, "nodeName");
    if (str_empty(distribution) || !json_at_bool(e, "conditions.ready", false))
        return;
    if (zone)
        json_put(e, "hints.forZones", json_pack("[{s:s}]", "name", zone));
    if (node && streq(distribution, "PreferSameNode"))
        json_put(e, "hints.forNodes", json_pack("[{s:s}]", "name", node));
}

static json_t *endpoint_new(struct sync *s, const json_t *service, const json_t *pod,
                            const char *ip)
{
    bool terminating = is_deleting(pod), serving = pod_is_ready(pod);
    bool publish = json_is_true(json_at(service, "spec.publishNotReadyAddresses"));
    json_t *e = json_pack("{s:[s],s:{s:b,s:b,s:b}}", "addresses", ip, "conditions", "ready",
                          publish || (serving && !terminating), "serving", serving, "terminating",
                          terminating);
    const char *hostname = json_at_str(pod, "spec.hostname"),
               *node = json_at_str(pod, "spec.nodeName");
    if (hostname &&
        streq(json_at_str(pod, "spec.subdomain"), json_at_str(service, "metadata.name")))
        json_put_str(e, "hostname", hostname);
    json_put(e, "targetRef",
             json_pack("{s:s,s:s,s:s,s:s}", "kind", "Pod", "namespace",
                       json_at_str(pod, "metadata.namespace"), "name",
                       json_at_str(pod, "metadata.name"), "uid", json_at_str(pod, "metadata.uid")));
    if (node) {
        json_put_str(e, "nodeName", node);
        const json_t *n =
            informer_find(controllers_informer(sync_set(s), WATCHED_NODE), str_from(node));
        const char *zone =
            json_key_str(json_at(n, "metadata.labels"), "topology.kubernetes.io/zone");
        if (zone)
            json_put_str(e, "zone", zone);
    }
    add_hints(e, service);
    return e;
}

static struct group *group_get(struct groups *groups, const char *family, json_t *ports)
{
    for (size_t i = 0; i < groups->n; i++)
        if (streq(groups->v[i].family, family) && json_equal(groups->v[i].ports, ports)) {
            json_decref(ports);
            return &groups->v[i];
        }
    vec_push(groups, (struct group){.family = family, .ports = ports});
    return &groups->v[groups->n - 1];
}

static void want(struct sync *s, const json_t *service, struct groups *ret)
{
    AUTO_CHARS char *first_label = index_selector(json_at_str(service, "metadata.namespace"),
                                                  json_at(service, "spec.selector"));
    json_t *family, *pod;
    size_t i;
    json_array_foreach(json_at(service, "spec.ipFamilies"), i, family)
    {
        for (size_t at = 0; endpoint_next_pod(sync_set(s), service, first_label, &at, &pod);) {
            const char *ip = endpoint_pod_ip(pod, json_string_value(family));
            if (!ip)
                continue;
            struct group *g =
                group_get(ret, json_string_value(family), endpoint_ports(service, pod));
            vec_push(&g->endpoints, endpoint_new(s, service, pod, ip));
        }
        /* A Service without pods still has one empty slice, so that its readers know it was looked
         * at. */
        bool any = false;
        for (size_t g = 0; g < ret->n; g++)
            any = any || streq(ret->v[g].family, json_string_value(family));
        if (!any)
            (void)group_get(ret, json_string_value(family), json_array());
    }
}

static void groups_done(struct groups *groups)
{
    for (size_t i = 0; i < groups->n; i++) {
        VEC_FOREACH (e, &groups->v[i].endpoints)
            json_decref(*e);
        vec_done(&groups->v[i].endpoints);
        json_decref(groups->v[i].ports);
    }
    vec_done(groups);
}

/* ---- writing ---- */

static void stamp(json_t *slice)
{
    char now[28];
    time_format_rfc3339_micro(time_real_us(), now);
    json_t *annotations = json_at(slice, "metadata.annotations");
    if (!annotations) {
        annotations = json_object();
        json_put(slice, "metadata.annotations", annotations);
    }
    json_object_set_new(annotations, TRIGGER_TIME, json_string(now));
}

static json_t *slice_labels(const json_t *service)
{
    json_t *labels = json_object(), *value;
    const char *key;
    json_object_foreach(json_at(service, "metadata.labels"), key, value)
        json_object_set(labels, key, value);
    json_object_set_new(labels, SERVICE_NAME, json_string(json_at_str(service, "metadata.name")));
    json_object_set_new(labels, MANAGED_BY, json_string(MANAGER));
    endpoint_label_headless(labels, service);
    return labels;
}

static void slice_path(const json_t *slice, const char *ns, char *ret, size_t n)
{
    const char *name = slice ? json_at_str(slice, "metadata.name") : NULL;
    snprintf(ret, n, "/apis/discovery.k8s.io/v1/namespaces/%s/endpointslices%s%s", ns,
             name ? "/" : "", name ? name : "");
}

static void create_slice(struct sync *s, const json_t *service, const struct group *g,
                         json_t *endpoints)
{
    char path[800];
    AUTO_JSON json_t *slice = json_object();
    json_t *refs = json_array();
    AUTO_CHARS char *prefix = xasprintf("%s-", json_at_str(service, "metadata.name"));
    json_array_append_new(refs, owner_reference_to(WATCHED_SERVICE, service));
    json_put_str(slice, "apiVersion", "discovery.k8s.io/v1");
    json_put_str(slice, "kind", "EndpointSlice");
    json_put_str(slice, "metadata.generateName", prefix);
    json_put(slice, "metadata.labels", slice_labels(service));
    json_put(slice, "metadata.ownerReferences", refs);
    json_put_str(slice, "addressType", g->family);
    json_put(slice, "endpoints", endpoint_list(endpoints));
    json_put(slice, "ports", endpoint_list(json_incref(g->ports)));
    stamp(slice);
    slice_path(NULL, json_at_str(service, "metadata.namespace"), path, sizeof(path));
    sync_call(s, WATCHED_ENDPOINTSLICE, "POST", path, NULL, slice);
}

static void update_slice(struct sync *s, const json_t *service, const json_t *old,
                         json_t *endpoints)
{
    char path[800];
    AUTO_JSON json_t *slice = json_deep_copy(old);
    AUTO_JSON json_t *labels = slice_labels(service);
    if (endpoint_lists_equal(json_object_get(old, "endpoints"), endpoints) &&
        json_equal(json_at(old, "metadata.labels"), labels)) {
        json_decref(endpoints);
        return;
    }
    json_put(slice, "endpoints", endpoint_list(endpoints));
    json_put(slice, "metadata.labels", json_incref(labels));
    stamp(slice);
    slice_path(old, json_at_str(service, "metadata.namespace"), path, sizeof(path));
    sync_call(s, WATCHED_ENDPOINTSLICE, "PUT", path, NULL, slice);
}

static void delete_slice(struct sync *s, const json_t *slice)
{
    char path[800];
    slice_path(slice, json_at_str(slice, "metadata.namespace"), path, sizeof(path));
    sync_call(s, WATCHED_ENDPOINTSLICE, "DELETE", path, NULL, NULL);
}

/* ---- reconciling ---- */

static json_t *take_wanted(struct group *g, const json_t *have)
{
    const char *uid = json_at_str(have, "targetRef.uid");
    VEC_FOREACH (e, &g->endpoints) {
        if (*e && streq(json_at_str(*e, "targetRef.uid"), uid))
            return TAKE(*e);
    }
    return NULL;
}

static json_t *take_any(struct group *g)
{
    VEC_FOREACH (e, &g->endpoints)
        if (*e)
            return TAKE(*e);
    return NULL;
}

static struct group *group_of_slice(struct groups *groups, const json_t *slice)
{
    for (size_t i = 0; i < groups->n; i++)
        if (streq(groups->v[i].family, json_key_str(slice, "addressType")) &&
            endpoint_lists_equal(groups->v[i].ports, json_object_get(slice, "ports")))
            return &groups->v[i];
    return NULL;
}

static void reconcile(struct sync *s, const json_t *service, struct groups *groups)
{
    VEC(json_t *) mine = {0};
    VEC(json_t *) kept = {0}; /* new endpoint arrays, in step with mine; NULL: delete */
    json_t *slice, *have, *left;
    size_t i;
    for (size_t at = 0; controllers_next(sync_set(s), WATCHED_ENDPOINTSLICE, INDEX_OWNER,
                                         json_at_str(service, "metadata.uid"), &at, &slice);)
        if (is_ours(slice) && owned_by(slice, json_at_str(service, "metadata.uid")) &&
            !is_deleting(slice))
            vec_push(&mine, json_incref(slice));
    VEC_FOREACH (m, &mine) {
        struct group *g = group_of_slice(groups, *m);
        json_t *list = g ? json_array() : NULL;
        json_array_foreach(json_object_get(*m, "endpoints"), i, have)
        {
            json_t *wanted = g ? take_wanted(g, have) : NULL;
            if (wanted)
                json_array_append_new(list, wanted);
        }
        vec_push(&kept, list);
    }
    for (size_t m = 0; m < mine.n; m++) {
        struct group *g = group_of_slice(groups, mine.v[m]);
        while (kept.v[m] && json_array_size(kept.v[m]) < ENDPOINTS_PER_SLICE &&
               (left = take_any(g)))
            json_array_append_new(kept.v[m], left);
    }
    for (size_t k = 0; k < groups->n; k++) {
        struct group *g = &groups->v[k];
        size_t have_slices = 0, filled = 0;
        for (size_t m = 0; m < mine.n; m++)
            if (kept.v[m] && group_of_slice(groups, mine.v[m]) == g) {
                have_slices++;
                filled += json_array_size(kept.v[m]) > 0;
            }
        /* Empty slices go, but the last one of a Service without endpoints. */
        for (size_t m = 0; m < mine.n && have_slices > 1; m++)
            if (kept.v[m] && group_of_slice(groups, mine.v[m]) == g &&
                !json_array_size(kept.v[m]) && (filled || have_slices > 1)) {
                json_decref(TAKE(kept.v[m]));
                have_slices--;
            }
        do {
            json_t *list = json_array();
            while (json_array_size(list) < ENDPOINTS_PER_SLICE && (left = take_any(g)))
                json_array_append_new(list, left);
            if (!json_array_size(list) && have_slices) {
                json_decref(list);
                break;
            }
            create_slice(s, service, g, list);
            have_slices++;
        } while (have_slices);
    }
    for (size_t m = 0; m < mine.n; m++) {
        if (kept.v[m])
            update_slice(s, service, mine.v[m], kept.v[m]);
        else
            delete_slice(s, mine.v[m]);
        json_decref(mine.v[m]);
    }
    vec_done(&mine);
    vec_done(&kept);
}

/* Hints in proportion to the zones' CPUs are not made here: said once, with what to do instead. */
static void tell_ignored(struct sync *s, const json_t *service)
{
    static const char *const names[] = {"service.kubernetes.io/topology-mode",
                                        "service.kubernetes.io/topology-aware-hints"};
    const json_t *annotations = json_at(service, "metadata.annotations");
    struct controller *c = sync_controller(s);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *mode = json_key_str(annotations, names[i]),
                   *uid = json_at_str(service, "metadata.uid");
        if ((!streq(mode, "Auto") && !streq(mode, "auto")) ||
            json_at(service, "spec.trafficDistribution") || controller_remembers(c, uid))
            continue;
        controller_remember(c, uid);
        event_record(controller_events(c), service, "Service", "v1", "Warning", "FieldIgnored",
                     "the lab gives no hints for %s: %s; spec.trafficDistribution: PreferSameZone "
                     "has them",
                     names[i], mode);
    }
}

static void sync_service(struct sync *s, const char *key)
{
    const json_t *service =
        informer_find(controllers_informer(sync_set(s), WATCHED_SERVICE), str_from(key));
    struct groups groups = {0};
    if (!service || !endpoint_service_is_selected(service) || is_deleting(service))
        return; /* slices of a deleted Service go by their owner reference */
    tell_ignored(s, service);
    want(s, service, &groups);
    reconcile(s, service, &groups);
    groups_done(&groups);
}

const struct controller_kind endpointslice_controller = {"endpointslice", on_change, sync_service,
                                                         NULL, NULL};
