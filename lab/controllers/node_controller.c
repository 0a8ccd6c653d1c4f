/* Node lifecycle: a node whose Lease is not renewed becomes NotReady (Ready=Unknown) and is tainted
 * unreachable, its pods become not ready, so that Services stop using them; after the toleration
 * time the pods are evicted. A renewed Lease takes the taints away. A Lease that grew old while
 * this machine slept, or while the server was away, says nothing yet; and the toleration time
 * counts from the taint. Rules: node-lifecycle-controller of Kubernetes, KEP-589. */
#include <stdio.h>

#include "base/time.h"
#include "lab/controllers/controller.h"

#define UNREACHABLE "node.kubernetes.io/unreachable"
#define NOT_READY   "node.kubernetes.io/not-ready"

enum {
    GRACE_DEFAULT_MS = 40000,
    EVICT_DEFAULT_S = 300,
};

static void on_change(struct controller *c, enum watched kind, json_t *object, bool deleted)
{
    if (kind == WATCHED_NODE && !deleted)
        controller_enqueue_object(c, object);
}

static void on_tick(struct controller *c)
{
    json_t *node;
    for (size_t at = 0;
         informer_next(controllers_informer(controller_set(c), WATCHED_NODE), &at, &node);)
        controller_enqueue_object(c, node);
}

static uint64_t grace_ms(struct sync *s)
{
    const struct controllers_options *o = controllers_options_of(sync_set(s));
    return o->node_grace_ms ? o->node_grace_ms : GRACE_DEFAULT_MS;
}

/* Since when the node has been silent, in seconds of this moment; negative = it is heard. */
static int64_t silent_for_s(struct sync *s, const json_t *node)
{
    int64_t grace_s = (int64_t)grace_ms(s) / 1000, renewed_us;
    const json_t *lease =
        informer_find(controllers_informer(sync_set(s), WATCHED_LEASE),
                      str_from(key_of("kube-node-lease", json_at_str(node, "metadata.name"))));
    const char *text = json_at_str(lease, "spec.renewTime");
    if (!text)
        text = json_at_str(node, "metadata.creationTimestamp");
    if (!text || time_parse_rfc3339(str_from(text), &renewed_us) < 0)
        return -1;
    return time_real_s() - renewed_us / 1000000 - grace_s;
}

/* Seconds since the node was tainted; 0: it is not yet. */
static int64_t tainted_for_s(const json_t *node)
{
    json_t *t;
    size_t i;
    int64_t since_us;
    json_array_foreach(json_at(node, "spec.taints"), i, t)
    {
        const char *since = json_key_str(t, "timeAdded");
        if (streq(json_key_str(t, "key"), UNREACHABLE) &&
            streq(json_key_str(t, "effect"), "NoExecute") && since &&
            time_parse_rfc3339(str_from(since), &since_us) == 0)
            return time_real_s() - since_us / 1000000;
    }
    return 0;
}

static bool has_taint(const json_t *node, const char *key)
{
    json_t *t;
    size_t i;
    json_array_foreach(json_at(node, "spec.taints"), i,
                       t) if (streq(json_key_str(t, "key"), key)) return true;
    return false;
}

/* The taints the node should have: ours set or removed, others untouched. */
static void sync_taints(struct sync *s, const json_t *node, bool unreachable, bool not_ready)
{
    char path[400], now[21];
    if (has_taint(node, UNREACHABLE) == unreachable && has_taint(node, NOT_READY) == not_ready)
        return;
    AUTO_JSON json_t *patch = json_object();
    json_t *taints = json_array(), *t;
    size_t i;
    time_format_rfc3339(time_real_s(), now);
    json_array_foreach(json_at(node, "spec.taints"), i,
                       t) if (!streq(json_key_str(t, "key"), UNREACHABLE) &&
                              !streq(json_key_str(t, "key"), NOT_READY))
        json_array_append(taints, t);
    const char *key = unreachable ? UNREACHABLE : not_ready ? NOT_READY : NULL;
    if (key) {
        json_array_append_new(taints, json_pack("{s:s,s:s}", "key", key, "effect", "NoSchedule"));
        json_array_append_new(taints, json_pack("{s:s,s:s,s:s}", "key", key, "effect", "NoExecute",
                                                "timeAdded", now));
    }
    json_put(patch, "spec.taints", taints);
    json_put_str(patch, "metadata.resourceVersion", json_at_str(node, "metadata.resourceVersion"));
    snprintf(path, sizeof(path), "/api/v1/nodes/%s", json_at_str(node, "metadata.name"));
    sync_call(s, WATCHED_NODE, "PATCH", path, MERGE_PATCH, patch);
}

static void mark_unknown(struct sync *s, const json_t *node)
{
    char path[400];
    const json_t *ready = condition_find(node, "Ready");
    if (streq(json_key_str(ready, "status"), "Unknown"))
        return;
    AUTO_JSON json_t *patch = json_object();
    json_t *list = json_array();
    json_array_append_new(list, condition_new(node, "Ready", "Unknown", "NodeStatusUnknown",
                                              "Kubelet stopped posting node status."));
    json_object_del(json_array_get(list, 0), "lastUpdateTime");
    json_put(patch, "status.conditions", list);
    snprintf(path, sizeof(path), "/api/v1/nodes/%s/status", json_at_str(node, "metadata.name"));
    sync_call(s, WATCHED_NODE, "PATCH", path, STRATEGIC_PATCH, patch);
    event_record(controller_events(sync_controller(s)), node, "Node", "v1", "Normal",
                 "NodeNotReady", "Node %s status is now: NodeNotReady",
                 json_at_str(node, "metadata.name"));
}

static int64_t tolerated_s(const json_t *pod)
{
    json_t *t;
    size_t i;
    json_array_foreach(json_at(pod, "spec.tolerations"), i, t)
    {
        const char *key = json_key_str(t, "key"), *effect = json_key_str(t, "effect");
        if ((str_empty(key) || streq(key, UNREACHABLE)) &&
            (str_empty(effect) || streq(effect, "NoExecute")))
            return json_at_int(t, "tolerationSeconds", INT64_MAX);
    }
    return EVICT_DEFAULT_S;
}

static void sync_pods(struct sync *s, const json_t *node)
{
    int64_t tainted_s = tainted_for_s(node);
    char path[800];
    json_t *pod;
    for (size_t at = 0; informer_next(controllers_informer(sync_set(s), WATCHED_POD), &at, &pod);) {
        if (!streq(json_at_str(pod, "spec.nodeName"), json_at_str(node, "metadata.name")))
            continue;
        const char *ns = json_at_str(pod, "metadata.namespace"),
                   *name = json_at_str(pod, "metadata.name");
        if (pod_is_ready(pod)) {
            AUTO_JSON json_t *patch = json_object();
            json_t *list = json_array();
            json_array_append_new(
                list, condition_new(pod, "Ready", "False", "NodeNotReady", "Node is not ready"));
            json_object_del(json_array_get(list, 0), "lastUpdateTime");
            json_put(patch, "status.conditions", list);
            snprintf(path, sizeof(path), "/api/v1/namespaces/%s/pods/%s/status", ns, name);
            sync_call(s, WATCHED_POD, "PATCH", path, STRATEGIC_PATCH, patch);
        } else if (!is_deleting(pod) && tainted_s > tolerated_s(pod)) {
            snprintf(path, sizeof(path), "/api/v1/namespaces/%s/pods/%s", ns, name);
            sync_call(s, WATCHED_POD, "DELETE", path, NULL, NULL);
        }
    }
}

static void sync_node(struct sync *s, const char *key)
{
    json_t *node = informer_find(controllers_informer(sync_set(s), WATCHED_NODE), str_from(key));
    if (!node || is_deleting(node))
        return;
    int64_t silent_s = silent_for_s(s, node);
    bool ready = condition_is_true(node, "Ready"),
         awake = controllers_awake_ms(sync_set(s)) >= grace_ms(s);
    if (silent_s <= 0) {
        sync_taints(s, node, false, !ready && condition_find(node, "Ready"));
        return;
    }
    if (!awake)
        return;
    mark_unknown(s, node);
    sync_taints(s, node, true, false);
    sync_pods(s, node);
}

const struct controller_kind node_controller = {"node", on_change, sync_node, on_tick, NULL};
