/* DaemonSet controller: one pod on each node that it is for.
 *
 * Reads the caches of DaemonSets, Pods and Nodes; creates a pod for a node by a node affinity that
 * names it (the scheduler puts it there), deletes those of nodes that it is not for any more, those
 * that failed, and, by updateStrategy, those of an older template. Revisions are not kept: a pod
 * tells its template by the label controller-revision-hash. Rules: apps/v1 DaemonSet. */
#include <stdio.h>

#include "base/map.h"
#include "base/time.h"
#include "base/vec.h"
#include "lab/controllers/controller.h"
#include "lab/controllers/scheduler_priv.h"

#define REVISION_LABEL "controller-revision-hash"

enum { BURST = 250, FAILED_POD_S = 10 };

/* One node, as one DaemonSet sees it. Pods are borrowed, the oldest first; those that are being
 * deleted count as there, and as nothing else. */
struct place {
    const json_t *node;
    const char *name;
    bool runs;  /* a pod belongs here */
    bool stays; /* one that is here may stay */
    struct objects pods;
    const json_t *new_pod, *old_pod; /* the oldest that stay; NULL: none */
};

struct pass {
    struct sync *s;
    const json_t *set;
    json_t *pod; /* as its template and what is added make it, without a node; owned */
    char hash[11];
    VEC(struct place) places;
    struct map by_name; /* name -> index + 1 */
    struct objects pods;
    int64_t min_ready_s, wait_s;
    int64_t calls;
};

static bool counts(const json_t *pod)
{
    (void)pod;
    return true;
}

static const struct owner_rule rule = {WATCHED_DAEMONSET, WATCHED_POD, owner_match_labels,
                                       owner_selects, counts};

static void on_change(struct controller *c, enum watched kind, json_t *object, bool deleted)
{
    json_t *set;
    if (kind == WATCHED_DAEMONSET) {
        controller_enqueue_object(c, object);
    } else if (kind == WATCHED_POD) {
        bool is_free = enqueue_pod_owners(c, WATCHED_DAEMONSET, object, deleted);
        for (size_t at = 0;
             is_free && controllers_next(controller_set(c), WATCHED_DAEMONSET, INDEX_NAMESPACE,
                                         json_at_str(object, "metadata.namespace"), &at, &set);)
            if (owner_selects(set, object))
                controller_enqueue_object(c, set);
    } else if (kind == WATCHED_NODE) {
        const json_t *before = controllers_before(controller_set(c)), *is = json_at(object, "spec"),
                     *was = json_at(before, "spec"), *labels = json_at(object, "metadata.labels"),
                     *labelled = json_at(before, "metadata.labels");
        bool same = before && !deleted && is && was && labels && labelled && json_equal(is, was) &&
                    json_equal(labels, labelled);
        struct informer *sets = controllers_informer(controller_set(c), WATCHED_DAEMONSET);
        for (size_t at = 0; !same && informer_next(sets, &at, &set);)
            controller_enqueue_object(c, set);
    }
}

/* ---- the pod ---- */

static void tolerate(json_t *list, const char *key, const char *effect)
{
    json_array_append_new(
        list, json_pack("{s:s,s:s,s:s}", "key", key, "operator", "Exists", "effect", effect));
}

/* What Kubernetes adds: nodes in trouble keep theirs. */
static void add_tolerations(json_t *pod)
{
    json_t *spec = json_object_get(pod, "spec"), *list = json_object_get(spec, "tolerations");
    if (!list) {
        list = json_array();
        json_object_set_new(spec, "tolerations", list);
    }
    tolerate(list, "node.kubernetes.io/not-ready", "NoExecute");
    tolerate(list, "node.kubernetes.io/unreachable", "NoExecute");
    tolerate(list, "node.kubernetes.io/disk-pressure", "NoSchedule");
    tolerate(list, "node.kubernetes.io/memory-pressure", "NoSchedule");
    tolerate(list, "node.kubernetes.io/pid-pressure", "NoSchedule");
    tolerate(list, "node.kubernetes.io/unschedulable", "NoSchedule");
    if (json_at_bool(spec, "hostNetwork", false))
        tolerate(list, "node.kubernetes.io/network-unavailable", "NoSchedule");
}

/* Of the terms that the template has, each with the node; else one. */
static json_t *pod_for(const struct pass *p, const char *node)
{
    static const char path[] = "spec.affinity.nodeAffinity."
                               "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    json_t *pod = json_deep_copy(p->pod), *terms = json_at(pod, path), *term;
    size_t i;
    if (!terms || !json_array_size(terms)) {
        terms = json_pack("[{}]");
        json_put(pod, path, terms);
    }
    json_array_foreach(terms, i, term) json_object_set_new(
        term, "matchFields",
        json_pack("[{s:s,s:s,s:[s]}]", "key", "metadata.name", "operator", "In", "values", node));
    return pod;
}

/* The node that a pod is on, or is made for. */
static const char *node_of(const json_t *pod)
{
    json_t *term, *field;
    size_t i, k;
    const char *name = json_at_str(pod, "spec.nodeName");
    if (!str_empty(name))
        return name;
    json_array_foreach(json_at(pod, "spec.affinity.nodeAffinity."
                                    "requiredDuringSchedulingIgnoredDuringExecution."
                                    "nodeSelectorTerms"),
                       i, term)
        json_array_foreach(json_at(term, "matchFields"), k, field) if (
            streq(
                json_key_str(field, "key"),
                "metadata.name")) return json_string_value(json_array_get(json_object_get(field,
                                                                                          "values"),
                                                                          0));
    return NULL;
}

static void make_pod(struct pass *p, const struct place *place)
{
    if (p->calls++ < BURST)
        template_pod_create(p->s, WATCHED_DAEMONSET, pod_for(p, place->name));
}

static void drop_pod(struct pass *p, const json_t *pod)
{
    if (!is_deleting(pod) && p->calls++ < BURST)
        template_pod_delete(p->s, WATCHED_DAEMONSET, pod);
}

/* ---- what is there ---- */

static int by_age(const void *x, const void *y)
{
    const json_t *a = *(json_t *const *)x, *b = *(json_t *const *)y;
    int d = strcmp(json_at_str(a, "metadata.creationTimestamp"),
                   json_at_str(b, "metadata.creationTimestamp"));
    return d ? d : strcmp(json_at_str(a, "metadata.name"), json_at_str(b, "metadata.name"));
}

static void look(struct pass *p)
{
    const char *fixed = json_at_str(p->pod, "spec.nodeName");
    json_t *node;
    owner_collect(p->s, &rule, p->set, &p->pods);
    if (p->pods.n)
        qsort(p->pods.v, p->pods.n, sizeof(*p->pods.v), by_age);
    for (size_t at = 0;
         informer_next(controllers_informer(sync_set(p->s), WATCHED_NODE), &at, &node);) {
        struct place place = {.node = node, .name = json_at_str(node, "metadata.name")};
        bool fits =
            (str_empty(fixed) || streq(fixed, place.name)) && node_is_selected(p->pod, node);
        place.runs = fits && !node_repels(p->pod, node);
        place.stays = fits && !node_evicts(p->pod, node);
        vec_push(&p->places, place);
        map_put_cstr(&p->by_name, place.name, (void *)(uintptr_t)p->places.n);
    }
    VEC_FOREACH (pod, &p->pods) {
        const char *name = node_of(*pod);
        size_t i = name ? (size_t)(uintptr_t)map_find_cstr(&p->by_name, name) : 0;
        if (i)
            vec_push(&p->places.v[i - 1].pods, *pod);
    }
}

static bool is_new(const struct pass *p, const json_t *pod)
{
    return streq(json_key_str(json_at(pod, "metadata.labels"), REVISION_LABEL), p->hash);
}

/* A pod that failed is not made again by its node. */
static void drop_failed(struct pass *p, const struct place *place, const json_t *pod)
{
    const char *made = json_at_str(pod, "metadata.creationTimestamp");
    int64_t made_us, left_s = 0;
    if (made && time_parse_rfc3339(str_from(made), &made_us) == 0)
        left_s = made_us / 1000000 + FAILED_POD_S - time_real_s();
    if (left_s > 0) {
        p->wait_s = p->wait_s ? MIN(p->wait_s, left_s) : left_s;
        return;
    }
    event_record(
        controller_events(sync_controller(p->s)), p->set, "DaemonSet", "apps/v1", "Warning",
        "FailedDaemonPod", "Found failed daemon pod %s/%s on node %s, will try to kill it",
        json_at_str(pod, "metadata.namespace"), json_at_str(pod, "metadata.name"), place->name);
    drop_pod(p, pod);
}

/* One pod on each node, of each template at most. */
static void settle(struct pass *p, struct place *place)
{
    if (!place->stays) {
        VEC_FOREACH (pod, &place->pods)
            drop_pod(p, *pod);
        return;
    }
    VEC_FOREACH (pod, &place->pods) {
        const json_t **kept = is_new(p, *pod) ? &place->new_pod : &place->old_pod;
        const char *phase = json_at_str(*pod, "status.phase");
        if (is_deleting(*pod))
            continue;
        if (streq(phase, "Failed"))
            drop_failed(p, place, *pod);
        else if (streq(phase, "Succeeded") || *kept)
            drop_pod(p, *pod);
        else
            *kept = *pod;
    }
    if (place->runs && !place->pods.n)
        make_pod(p, place);
}

/* ---- updates ---- */

/* A count, or a share of the nodes, rounded up. */
static int64_t amount(const json_t *v, int64_t nodes)
{
    int64_t percent;
    struct str text = str_from(json_string_value(v));
    if (json_is_integer(v))
        return json_integer_value(v);
    if (!text.n || str_to_i64(str_sub(text, 0, text.n - 1), &percent) < 0)
        return 0;
    return (nodes * percent + 99) / 100;
}

static bool available(struct pass *p, const json_t *pod)
{
    return pod && pod_is_available(pod, p->min_ready_s, &p->wait_s);
}

/* Old pods go, so many at once that no more than maxUnavailable nodes are without one. */
static void replace(struct pass *p, int64_t max_unavailable)
{
    int64_t without = 0;
    VEC_FOREACH (place, &p->places)
        without += place->runs && !available(p, place->new_pod) && !available(p, place->old_pod);
    VEC_FOREACH (place, &p->places) {
        if (!place->old_pod || place->new_pod)
            continue;
        bool serves = available(p, place->old_pod);
        if (serves && without >= max_unavailable)
            continue;
        without += serves;
        drop_pod(p, place->old_pod);
    }
}

/* New pods come beside old ones, on maxSurge nodes at once; an old one goes when its successor is
 * available. */
static void surge(struct pass *p, int64_t max_surge)
{
    int64_t both = 0;
    VEC_FOREACH (place, &p->places) {
        if (place->old_pod && available(p, place->new_pod))
            drop_pod(p, place->old_pod);
        else
            both += place->old_pod && place->new_pod && available(p, place->old_pod);
    }
    VEC_FOREACH (place, &p->places) {
        if (!place->runs || !place->old_pod || place->new_pod)
            continue;
        bool serves = available(p, place->old_pod);
        if (serves && both >= max_surge)
            continue;
        both += serves;
        make_pod(p, place);
    }
}

static void update(struct pass *p)
{
    const json_t *strategy = json_at(p->set, "spec.updateStrategy");
    int64_t nodes = 0;
    if (!streq(json_at_str(strategy, "type"), "RollingUpdate"))
        return;
    VEC_FOREACH (place, &p->places)
        nodes += place->runs;
    int64_t n = amount(json_at(strategy, "rollingUpdate.maxSurge"), nodes);
    if (n > 0)
        surge(p, n);
    else
        replace(p, MAX(amount(json_at(strategy, "rollingUpdate.maxUnavailable"), nodes), 1));
}

/* ---- status ---- */

static void write_status(struct pass *p)
{
    int64_t wanted = 0, current = 0, wrong = 0, ready = 0, updated = 0, served = 0;
    char path[WATCHED_PATH_BYTES + 8];
    VEC_FOREACH (place, &p->places) {
        const json_t *first = place->pods.n ? place->pods.v[0] : NULL;
        wanted += place->runs;
        wrong += !place->runs && first;
        current += place->runs && first;
        if (!place->runs || !first)
            continue;
        const json_t *best =
            place->new_pod && pod_is_ready(place->new_pod) ? place->new_pod : first;
        ready += pod_is_ready(best);
        served += available(p, best);
        updated += place->new_pod != NULL;
    }
    AUTO_JSON json_t *status = json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "desiredNumberScheduled", (json_int_t)wanted,
        "currentNumberScheduled", (json_int_t)current, "numberMisscheduled", (json_int_t)wrong,
        "numberReady", (json_int_t)ready, "updatedNumberScheduled", (json_int_t)updated,
        "numberAvailable", (json_int_t)served, "numberUnavailable", (json_int_t)(wanted - served),
        "observedGeneration", (json_int_t)json_at_int(p->set, "metadata.generation", 0));
    const char *member;
    json_t *v;
    bool same = json_at(p->set, "status.observedGeneration") != NULL;
    json_object_foreach(status, member, v) same =
        same && json_at_int(json_at(p->set, "status"), member, 0) == json_integer_value(v);
    if (same)
        return;
    AUTO_JSON json_t *patch = json_pack("{s:O}", "status", status);
    watched_path(WATCHED_DAEMONSET, p->set, path);
    strcat(path, "/status");
    sync_call(p->s, WATCHED_DAEMONSET, "PATCH", path, MERGE_PATCH, patch);
}

static void pass_done(struct pass *p)
{
    VEC_FOREACH (place, &p->places)
        vec_done(&place->pods);
    vec_done(&p->places);
    vec_done(&p->pods);
    map_done(&p->by_name);
    json_decref(p->pod);
}

static void sync_set_key(struct sync *s, const char *key)
{
    json_t *set =
        informer_find(controllers_informer(sync_set(s), WATCHED_DAEMONSET), str_from(key));
    if (!set)
        return;
    struct pass p = {.s = s, .set = set, .pod = template_pod(WATCHED_DAEMONSET, set)};
    p.min_ready_s = json_at_int(set, "spec.minReadySeconds", 0);
    template_hash(json_at(set, "spec.template"), 0, p.hash);
    json_put_str(p.pod, "metadata.labels." REVISION_LABEL, p.hash);
    add_tolerations(p.pod);
    look(&p);
    if (!is_deleting(set)) {
        VEC_FOREACH (place, &p.places)
            settle(&p, place);
        update(&p);
    }
    write_status(&p);
    if (p.calls > BURST)
        sync_again_after(s, 10);
    else if (p.wait_s)
        sync_again_after(s, (uint64_t)p.wait_s * 1000);
    pass_done(&p);
}

const struct controller_kind daemonset_controller = {"daemonset", on_change, sync_set_key, NULL,
                                                     NULL};
