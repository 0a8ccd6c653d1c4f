/* ReplicaSet controller: as many pods as spec.replicas says. ReplicationControllers are the same
 * with a plain map for a selector.
 *
 * Reads the caches of both and of Pods; creates pods from the template, deletes the least
 * useful first (Kubernetes' ActivePodsWithRanks), adopts matching orphans, writes status. Rules:
 * apps/v1 ReplicaSet. */
#include <stdio.h>

#include "base/map.h"
#include "base/vec.h"
#include "lab/controllers/controller.h"

enum { BURST = 500 };

static const json_t *replication_labels(const json_t *rc)
{
    return json_at(rc, "spec.selector");
}

static bool replication_selects(const json_t *rc, const json_t *pod)
{
    return labels_match(json_at(rc, "spec.selector"), json_at(pod, "metadata.labels"));
}

static const struct owner_rule set_rule = {WATCHED_REPLICASET, WATCHED_POD, owner_match_labels,
                                           owner_selects, pod_is_active};
static const struct owner_rule replication_rule = {WATCHED_REPLICATIONCONTROLLER, WATCHED_POD,
                                                   replication_labels, replication_selects,
                                                   pod_is_active};

static void on_set_change(const struct owner_rule *k, struct controller *c, enum watched kind,
                          json_t *object, bool deleted)
{
    if (kind == k->owner_kind) {
        controller_enqueue_object(c, object);
    } else if (kind == WATCHED_POD) {
        bool is_free = enqueue_pod_owners(c, k->owner_kind, object, deleted);
        json_t *rs;
        for (size_t at = 0;
             is_free && controllers_next(controller_set(c), k->owner_kind, INDEX_NAMESPACE,
                                         json_at_str(object, "metadata.namespace"), &at, &rs);)
            if (k->selects(rs, object))
                controller_enqueue_object(c, rs);
    }
}

/* ---- which pods go ---- */

/* A pod that could go, with what would else be read for every comparison. */
struct candidate {
    const json_t *pod;
    bool assigned;
    int phase;
    bool ready;
    int64_t cost;
    size_t together; /* pods of the set, and of its sisters, on the same node */
    const char *ready_since;
    int64_t restarts;
    const char *created;
};

static int64_t deletion_cost(const json_t *pod)
{
    const char *text = json_key_str(json_at(pod, "metadata.annotations"),
                                    "controller.kubernetes.io/pod-deletion-cost");
    int64_t cost;
    if (!text || str_to_i64(str_from(text), &cost) < 0 || cost < INT32_MIN || cost > INT32_MAX)
        return 0;
    return cost;
}

static struct candidate candidate_of(const json_t *pod)
{
    const char *phase = json_at_str(pod, "status.phase"),
               *since = json_key_str(condition_find(pod, "Ready"), "lastTransitionTime"),
               *created = json_at_str(pod, "metadata.creationTimestamp");
    struct candidate c = {.pod = pod,
                          .assigned = !str_empty(json_at_str(pod, "spec.nodeName")),
                          .phase = streq(phase, "Running")   ? 2
                                   : streq(phase, "Unknown") ? 1
                                                             : 0,
                          .ready = pod_is_ready(pod),
                          .cost = deletion_cost(pod),
                          .created = created ? created : ""};
    json_t *status;
    size_t i;
    c.ready_since = c.ready && since ? since : "";
    json_array_foreach(json_at(pod, "status.containerStatuses"), i, status) c.restarts =
        MAX(c.restarts, json_at_int(status, "restartCount", 0));
    return c;
}

/* The later time, or none, first. */
static int by_youth(const char *a, const char *b)
{
    if (!*a || !*b)
        return (*a != '\0') - (*b != '\0');
    return strcmp(b, a);
}

#define IN_ORDER(a, b) (((a) > (b)) - ((a) < (b)))

/* The order in which they go. */
static int by_use(const void *x, const void *y)
{
    const struct candidate *a = x, *b = y;
    int d = IN_ORDER(a->assigned, b->assigned);
    d = d ? d : IN_ORDER(a->phase, b->phase);
    d = d ? d : IN_ORDER(a->ready, b->ready);
    d = d ? d : IN_ORDER(a->cost, b->cost);
    d = d ? d : IN_ORDER(b->together, a->together);
    d = d ? d : by_youth(a->ready_since, b->ready_since);
    d = d ? d : IN_ORDER(b->restarts, a->restarts);
    d = d ? d : by_youth(a->created, b->created);
    return d ? d
             : strcmp(json_at_str(a->pod, "metadata.name"), json_at_str(b->pod, "metadata.name"));
}

/* Adds the pods that an owner has on each node; the values are numbers. */
static void count_on_nodes(struct sync *s, const char *uid, struct map *counts)
{
    json_t *pod;
    for (size_t at = 0; controllers_next(sync_set(s), WATCHED_POD, INDEX_OWNER, uid, &at, &pod);) {
        const char *node = json_at_str(pod, "spec.nodeName");
        if (str_empty(node) || !pod_is_active(pod))
            continue;
        uintptr_t n = (uintptr_t)map_find_cstr(counts, node) + 1;
        map_put_cstr(counts, node, (void *)n);
    }
}

/* The sets of one Deployment count together: a roll-out shall not leave a node with all of them. */
static void count_related(struct sync *s, const json_t *rs, struct map *counts)
{
    const char *deployment = json_key_str(owner_controller(rs), "uid");
    json_t *sister;
    if (!deployment) {
        count_on_nodes(s, json_at_str(rs, "metadata.uid"), counts);
        return;
    }
    for (size_t at = 0;
         controllers_next(sync_set(s), WATCHED_REPLICASET, INDEX_OWNER, deployment, &at, &sister);)
        count_on_nodes(s, json_at_str(sister, "metadata.uid"), counts);
}

static void delete_surplus(struct sync *s, const struct owner_rule *k, const json_t *rs,
                           const struct objects *pods, size_t n)
{
    struct candidate *all = xcalloc(pods->n, sizeof(*all));
    struct map counts = {0};
    count_related(s, rs, &counts);
    for (size_t i = 0; i < pods->n; i++) {
        const char *node = json_at_str(pods->v[i], "spec.nodeName");
        all[i] = candidate_of(pods->v[i]);
        all[i].together = node ? (size_t)(uintptr_t)map_find_cstr(&counts, node) : 0;
    }
    qsort(all, pods->n, sizeof(*all), by_use);
    for (size_t i = 0; i < n; i++)
        template_pod_delete(s, k->owner_kind, all[i].pod);
    map_done(&counts);
    free(all);
}

/* ---- status ---- */

static void write_status(struct sync *s, const struct owner_rule *k, const json_t *rs,
                         const struct objects *pods)
{
    int64_t min_ready_s = json_at_int(rs, "spec.minReadySeconds", 0), wait_s = 0;
    int64_t ready = 0, available = 0, labelled = 0;
    char path[WATCHED_PATH_BYTES + 8];
    for (size_t i = 0; i < pods->n; i++) {
        ready += pod_is_ready(pods->v[i]);
        available += pod_is_available(pods->v[i], min_ready_s, &wait_s);
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
    watched_path(k->owner_kind, rs, path);
    strcat(path, "/status");
    sync_call(s, k->owner_kind, "PATCH", path, MERGE_PATCH, patch);
}

static void sync_set_of(const struct owner_rule *k, struct sync *s, const char *key)
{
    json_t *rs = informer_find(controllers_informer(sync_set(s), k->owner_kind), str_from(key));
    struct objects pods = {0};
    if (!rs)
        return;
    owner_collect(s, k, rs, &pods);
    int64_t want = json_at_int(rs, "spec.replicas", 1);
    if (!is_deleting(rs)) {
        for (int64_t i = (int64_t)pods.n; i < want && i < (int64_t)pods.n + BURST; i++)
            template_pod_create(s, k->owner_kind, template_pod(k->owner_kind, rs));
        if ((int64_t)pods.n > want)
            delete_surplus(s, k, rs, &pods, (size_t)MIN((int64_t)pods.n - want, (int64_t)BURST));
        if ((int64_t)pods.n + BURST < want || want + BURST < (int64_t)pods.n)
            sync_again_after(s, 10);
    }
    write_status(s, k, rs, &pods);
    vec_done(&pods);
}

static void on_replicaset_change(struct controller *c, enum watched kind, json_t *object,
                                 bool deleted)
{
    on_set_change(&set_rule, c, kind, object, deleted);
}

static void sync_replicaset(struct sync *s, const char *key)
{
    sync_set_of(&set_rule, s, key);
}

static void on_replication_change(struct controller *c, enum watched kind, json_t *object,
                                  bool deleted)
{
    on_set_change(&replication_rule, c, kind, object, deleted);
}

static void sync_replication(struct sync *s, const char *key)
{
    sync_set_of(&replication_rule, s, key);
}

const struct controller_kind replicaset_controller = {"replicaset", on_replicaset_change,
                                                      sync_replicaset, NULL, NULL};
const struct controller_kind replication_controller = {"replication", on_replication_change,
                                                       sync_replication, NULL, NULL};
