/* ReplicaSet controller: as many pods as spec.replicas says. ReplicationControllers are the same
 * with a plain map for a selector.
 *
 * Reads the caches of both and of Pods; creates pods from the template, deletes the least
 * useful first (not scheduled, not ready, youngest), adopts matching orphans, writes status. Rules:
 * apps/v1 ReplicaSet. */
#include <stdio.h>

#include "base/time.h"
#include "base/vec.h"
#include "lab/controllers/controller.h"

enum { BURST = 500 };

struct set_kind {
    enum watched watched;
    const char *kind, *api_version;
    const char *path, *plural; /* around namespaces/NS */
};

static const struct set_kind replica_sets = {WATCHED_REPLICASET, "ReplicaSet", "apps/v1",
                                             "/apis/apps/v1", "replicasets"};
static const struct set_kind replication_controllers = {WATCHED_REPLICATIONCONTROLLER,
                                                        "ReplicationController", "v1", "/api/v1",
                                                        "replicationcontrollers"};

struct pods {
    json_t **v;
    size_t n;
    size_t cap;
};

/* The plain part of a set's selector. */
static json_t *selector_map(const struct set_kind *k, const json_t *rs)
{
    return json_at(rs, k == &replica_sets ? "spec.selector.matchLabels" : "spec.selector");
}

static bool set_selects(const struct set_kind *k, const json_t *rs, const json_t *pod)
{
    const json_t *labels = json_at(pod, "metadata.labels");
    return k == &replica_sets ? label_selector_matches(json_at(rs, "spec.selector"), labels)
                              : labels_match(selector_map(k, rs), labels);
}

static void on_set_change(const struct set_kind *k, struct controller *c, enum watched kind,
                          json_t *object, bool deleted)
{
    if (kind == k->watched) {
        controller_enqueue_object(c, object);
    } else if (kind == WATCHED_POD) {
        const json_t *owner = owner_controller(object);
        const char *ns = json_at_str(object, "metadata.namespace");
        if (owner && streq(json_key_str(owner, "kind"), k->kind))
            controller_enqueue(c, key_of(ns, json_key_str(owner, "name")));
        else if (!owner && !deleted && !is_deleting(object)) {
            json_t *rs;
            for (size_t at = 0;
                 controllers_next(controller_set(c), k->watched, INDEX_NAMESPACE, ns, &at, &rs);)
                if (set_selects(k, rs, object))
                    controller_enqueue_object(c, rs);
        }
    }
}

static void adopt(struct sync *s, const struct set_kind *k, const json_t *rs, const json_t *pod)
{
    char path[700];
    AUTO_JSON json_t *patch = json_object();
    json_t *refs = json_array();
    json_array_append_new(refs, owner_reference_new(rs, k->api_version, k->kind));
    json_put(patch, "metadata.ownerReferences", refs);
    json_put_str(patch, "metadata.uid", json_at_str(pod, "metadata.uid"));
    snprintf(path, sizeof(path), "/api/v1/namespaces/%s/pods/%s",
             json_at_str(pod, "metadata.namespace"), json_at_str(pod, "metadata.name"));
    sync_call(s, WATCHED_POD, "PATCH", path, MERGE_PATCH, patch);
}

/* The active pods that belong to rs; orphans that match are adopted and counted. */
static void collect(struct sync *s, const struct set_kind *k, const json_t *rs, struct pods *ret)
{
    struct controllers *cs = sync_set(s);
    const char *ns = json_at_str(rs, "metadata.namespace"), *uid = json_at_str(rs, "metadata.uid");
    AUTO_CHARS char *first_label = index_selector(ns, selector_map(k, rs));
    json_t *pod;
    for (size_t at = 0; controllers_next(cs, WATCHED_POD, INDEX_OWNER, uid, &at, &pod);)
        if (pod_is_active(pod) && owned_by(pod, uid))
            vec_push(ret, pod);
    for (size_t at = 0;
         !is_deleting(rs) &&
         controllers_next(cs, WATCHED_POD, first_label ? INDEX_LABEL : INDEX_NAMESPACE,
                          first_label ? first_label : ns, &at, &pod);) {
        if (!pod_is_active(pod) || owner_controller(pod) || !set_selects(k, rs, pod))
            continue;
        adopt(s, k, rs, pod);
        vec_push(ret, pod);
    }
}

static void create_pod(struct sync *s, const struct set_kind *k, const json_t *rs)
{
    char path[300];
    const char *ns = json_at_str(rs, "metadata.namespace");
    json_t *template = json_at(rs, "spec.template");
    AUTO_JSON json_t *pod = json_object();
    json_t *refs = json_array();
    AUTO_CHARS char *prefix = xasprintf("%s-", json_at_str(rs, "metadata.name"));
    json_put_str(pod, "apiVersion", "v1");
    json_put_str(pod, "kind", "Pod");
    json_put(pod, "metadata", json_object());
    static const char *const copied[] = {"labels", "annotations", "finalizers"};
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        json_t *v = json_object_get(json_at(template, "metadata"), copied[i]);
        if (v)
            json_object_set_new(json_object_get(pod, "metadata"), copied[i], json_deep_copy(v));
    }
    json_put_str(pod, "metadata.generateName", prefix);
    json_array_append_new(refs, owner_reference_new(rs, k->api_version, k->kind));
    json_put(pod, "metadata.ownerReferences", refs);
    json_put(pod, "spec", json_deep_copy(json_at(template, "spec")));
    snprintf(path, sizeof(path), "/api/v1/namespaces/%s/pods", ns);
    sync_call(s, WATCHED_POD, "POST", path, NULL, pod);
}

/* Smaller goes first when pods must go. */
static int usefulness(const json_t *pod)
{
    int score = 0;
    score += json_at_str(pod, "spec.nodeName") ? 4 : 0;
    score += streq(json_at_str(pod, "status.phase"), "Running") ? 2 : 0;
    score += pod_is_ready(pod) ? 1 : 0;
    return score;
}

static int by_usefulness(const void *a, const void *b)
{
    const json_t *pa = *(json_t *const *)a, *pb = *(json_t *const *)b;
    int d = usefulness(pa) - usefulness(pb);
    if (d)
        return d;
    const char *ta = json_at_str(pa, "metadata.creationTimestamp"),
               *tb = json_at_str(pb, "metadata.creationTimestamp");
    d = strcmp(tb ? tb : "", ta ? ta : ""); /* the youngest first */
    return d ? d : strcmp(json_at_str(pa, "metadata.name"), json_at_str(pb, "metadata.name"));
}

static void delete_pod(struct sync *s, const json_t *pod)
{
    char path[700];
    snprintf(path, sizeof(path), "/api/v1/namespaces/%s/pods/%s",
             json_at_str(pod, "metadata.namespace"), json_at_str(pod, "metadata.name"));
    AUTO_JSON json_t *options =
        json_pack("{s:s,s:s,s:{s:s}}", "kind", "DeleteOptions", "apiVersion", "v1", "preconditions",
                  "uid", json_at_str(pod, "metadata.uid"));
    sync_call(s, WATCHED_POD, "DELETE", path, NULL, options);
}

/* Is the pod ready for minReadySeconds? If it only needs time, *ret_wait_s says how much. */
static bool is_available(const json_t *pod, int64_t min_ready_s, int64_t *ret_wait_s)
{
    int64_t since_us;
    if (!pod_is_ready(pod))
        return false;
    if (min_ready_s == 0)
        return true;
    const char *since = json_key_str(condition_find(pod, "Ready"), "lastTransitionTime");
    if (!since || time_parse_rfc3339(str_from(since), &since_us) < 0)
        return false;
    int64_t left = since_us / 1000000 + min_ready_s - time_real_s();
    if (left > 0)
        *ret_wait_s = *ret_wait_s ? MIN(*ret_wait_s, left) : left;
    return left <= 0;
}

static void write_status(struct sync *s, const struct set_kind *k, const json_t *rs,
                         const struct pods *pods)
{
    int64_t min_ready_s = json_at_int(rs, "spec.minReadySeconds", 0), wait_s = 0;
    int64_t ready = 0, available = 0, labelled = 0;
    char path[700];
    for (size_t i = 0; i < pods->n; i++) {
        ready += pod_is_ready(pods->v[i]);
        available += is_available(pods->v[i], min_ready_s, &wait_s);
        labelled += labels_match(json_at(rs, "spec.template.metadata.labels"),
                                 json_at(pods->v[i], "metadata.labels"));
    }
    if (wait_s)
        sync_again_after(s, (uint64_t)wait_s * 1000);
    const json_t *old = json_at(rs, "status");
    int64_t generation = json_at_int(rs, "metadata.generation", 0);
    if (json_at_int(old, "replicas", -1) == (int64_t)pods->n &&
        json_at_int(old, "readyReplicas", 0) == ready &&
        json_at_int(old, "availableReplicas", 0) == available &&
        json_at_int(old, "fullyLabeledReplicas", 0) == labelled &&
        json_at_int(old, "observedGeneration", 0) == generation)
        return;
    AUTO_JSON json_t *patch = json_pack(
        "{s:{s:I,s:I,s:I,s:I,s:I}}", "status", "replicas", (json_int_t)pods->n, "readyReplicas",
        (json_int_t)ready, "availableReplicas", (json_int_t)available, "fullyLabeledReplicas",
        (json_int_t)labelled, "observedGeneration", (json_int_t)generation);
    snprintf(path, sizeof(path), "%s/namespaces/%s/%s/%s/status", k->path,
             json_at_str(rs, "metadata.namespace"), k->plural, json_at_str(rs, "metadata.name"));
    sync_call(s, k->watched, "PATCH", path, MERGE_PATCH, patch);
}

static void sync_set_of(const struct set_kind *k, struct sync *s, const char *key)
{
    json_t *rs = informer_find(controllers_informer(sync_set(s), k->watched), str_from(key));
    struct pods pods = {0};
    if (!rs)
        return;
    collect(s, k, rs, &pods);
    int64_t want = json_at_int(rs, "spec.replicas", 1);
    if (!is_deleting(rs)) {
        for (int64_t i = (int64_t)pods.n; i < want && i < (int64_t)pods.n + BURST; i++)
            create_pod(s, k, rs);
        if ((int64_t)pods.n > want) {
            qsort(pods.v, pods.n, sizeof(*pods.v), by_usefulness);
            for (int64_t i = 0; i < (int64_t)pods.n - want && i < BURST; i++)
                delete_pod(s, pods.v[i]);
        }
        if ((int64_t)pods.n + BURST < want || want + BURST < (int64_t)pods.n)
            sync_again_after(s, 10);
    }
    write_status(s, k, rs, &pods);
    vec_done(&pods);
}

static void on_replicaset_change(struct controller *c, enum watched kind, json_t *object,
                                 bool deleted)
{
    on_set_change(&replica_sets, c, kind, object, deleted);
}

static void sync_replicaset(struct sync *s, const char *key)
{
    sync_set_of(&replica_sets, s, key);
}

static void on_replication_change(struct controller *c, enum watched kind, json_t *object,
                                  bool deleted)
{
    on_set_change(&replication_controllers, c, kind, object, deleted);
}

static void sync_replication(struct sync *s, const char *key)
{
    sync_set_of(&replication_controllers, s, key);
}

const struct controller_kind replicaset_controller = {"replicaset", on_replicaset_change,
                                                      sync_replicaset, NULL, NULL};
const struct controller_kind replication_controller = {"replication", on_replication_change,
                                                       sync_replication, NULL, NULL};
