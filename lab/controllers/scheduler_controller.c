/* A simple scheduler: puts pods without a node on the feasible node that has the fewest pods of the
 * same owner, then the fewest pods at all. Feasible: Ready, schedulable, labels match nodeSelector
 * and required node affinity, taints are tolerated, host ports are free, the node's pod capacity is
 * not used up. Binds through pods/binding, as any scheduler does. */
#include <stdio.h>

#include "base/time.h"
#include "base/vec.h"
#include "lab/controllers/controller.h"

/* A pod to be put somewhere, now: not one that its gates hold back. */
static bool is_ours(const json_t *pod)
{
    const char *scheduler = json_at_str(pod, "spec.schedulerName");
    return !json_at_str(pod, "spec.nodeName") && pod_is_active(pod) &&
           !json_array_size(json_at(pod, "spec.schedulingGates")) &&
           (!scheduler || streq(scheduler, "default-scheduler"));
}

static void enqueue_waiting(struct controller *c)
{
    json_t *pod;
    for (size_t at = 0;
         controllers_next(controller_set(c), WATCHED_POD, INDEX_WAITING, "", &at, &pod);)
        if (is_ours(pod))
            controller_enqueue_object(c, pod);
}

static void on_change(struct controller *c, enum watched kind, json_t *object, bool deleted)
{
    if (kind == WATCHED_POD && !deleted && is_ours(object))
        controller_enqueue_object(c, object);
    else if (kind == WATCHED_NODE || (kind == WATCHED_POD && (deleted || !pod_is_active(object))))
        enqueue_waiting(c); /* room may have appeared */
}

static bool tolerates(const json_t *pod, const json_t *taint)
{
    json_t *t;
    size_t i;
    json_array_foreach(json_at(pod, "spec.tolerations"), i, t)
    {
        const char *key = json_key_str(t, "key"), *op = json_key_str(t, "operator"),
                   *effect = json_key_str(t, "effect");
        const char *value = json_key_str(t, "value"), *taint_value = json_key_str(taint, "value");
        if (!str_empty(effect) && !streq(effect, json_key_str(taint, "effect")))
            continue;
        if (str_empty(key) && streq(op, "Exists"))
            return true;
        if (!streq(key, json_key_str(taint, "key")))
            continue;
        if (streq(op, "Exists") || streq(value ? value : "", taint_value ? taint_value : ""))
            return true;
    }
    return false;
}

/* One term of a node selector: its expressions and fields are all met. Empty ones match nothing.
 * The only field there is: metadata.name. */
static bool term_matches(const json_t *term, const json_t *node)
{
    static const char *const parts[] = {"matchExpressions", "matchFields"};
    AUTO_JSON json_t *name =
        json_pack("{s:s}", "metadata.name", json_at_str(node, "metadata.name"));
    const json_t *const labels[] = {json_at(node, "metadata.labels"), name};
    bool any = false;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        json_t *list = json_object_get(term, parts[i]);
        if (!json_array_size(list))
            continue;
        AUTO_JSON json_t *selector = json_pack("{s:O}", "matchExpressions", list);
        any = true;
        if (!label_selector_matches(selector, labels[i]))
            return false;
    }
    return any;
}

static bool affinity_matches(const json_t *pod, const json_t *node)
{
    const json_t *terms =
        json_at(pod, "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution");
    json_t *term;
    size_t i;
    terms = json_object_get(terms, "nodeSelectorTerms");
    json_array_foreach(terms, i, term) if (term_matches(term, node)) return true;
    return !json_array_size(terms);
}

enum fit {
    FIT_OK,
    FIT_NOT_READY,
    FIT_UNSCHEDULABLE,
    FIT_SELECTOR,
    FIT_TAINT,
    FIT_PORTS,
    FIT_FULL,
    _FIT_MAX,
};

static const char *const fit_words[_FIT_MAX] = {
    [FIT_NOT_READY] = "node(s) were not ready",
    [FIT_UNSCHEDULABLE] = "node(s) were unschedulable",
    [FIT_SELECTOR] = "node(s) didn't match Pod's node affinity/selector",
    [FIT_TAINT] = "node(s) had untolerated taint(s)",
    [FIT_PORTS] = "node(s) didn't have free ports for the requested pod ports",
    [FIT_FULL] = "Too many pods",
};

/* What is there of a node's pods, as a pod sees it that wants to go there. */
struct crowd {
    int64_t same; /* of the same owner */
    int64_t all;
    bool ports_taken;
};

static enum fit node_fits(const json_t *pod, const json_t *node, const struct crowd *there)
{
    const json_t *selector = json_at(pod, "spec.nodeSelector"),
                 *pods = json_at(node, "status.allocatable");
    int64_t capacity = 110;
    json_t *taint;
    size_t i;
    if (!condition_is_true(node, "Ready"))
        return FIT_NOT_READY;
    if (json_is_true(json_at(node, "spec.unschedulable")))
        return FIT_UNSCHEDULABLE;
    if (json_object_size(selector) && !labels_match(selector, json_at(node, "metadata.labels")))
        return FIT_SELECTOR;
    if (!affinity_matches(pod, node))
        return FIT_SELECTOR;
    json_array_foreach(json_at(node, "spec.taints"), i,
                       taint) if (!streq(json_key_str(taint, "effect"), "PreferNoSchedule") &&
                                  !tolerates(pod, taint)) return FIT_TAINT;
    const char *text = json_key_str(pods, "pods");
    if (text && str_to_i64(str_from(text), &capacity) < 0)
        capacity = 110;
    if (there->ports_taken)
        return FIT_PORTS;
    return there->all < capacity ? FIT_OK : FIT_FULL;
}

/* The ports with hostPort of a pod's containers and sidecars; borrowed. */
static json_t *host_ports_of(const json_t *pod)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    json_t *list = json_array(), *container, *port;
    size_t k, m;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        json_array_foreach(json_at(pod, lists[i]), k, container)
        {
            if (i == 1 && !streq(json_key_str(container, "restartPolicy"), "Always"))
                continue;
            json_array_foreach(json_at(container, "ports"), m,
                               port) if (json_at_int(port, "hostPort", 0) > 0)
                json_array_append(list, port);
        }
    return list;
}

static const char *word_or(const json_t *port, const char *key, const char *fallback)
{
    const char *word = json_key_str(port, key);
    return str_empty(word) ? fallback : word;
}

static bool ports_meet(const json_t *a, const json_t *b)
{
    static const char any[] = "0.0.0.0";
    const char *ip_a = word_or(a, "hostIP", any), *ip_b = word_or(b, "hostIP", any);
    return json_at_int(a, "hostPort", 0) == json_at_int(b, "hostPort", 0) &&
           streq(word_or(a, "protocol", "TCP"), word_or(b, "protocol", "TCP")) &&
           (streq(ip_a, ip_b) || streq(ip_a, any) || streq(ip_b, any));
}

static bool takes_port_of(const json_t *pod, const json_t *wanted)
{
    AUTO_JSON json_t *list = json_array_size(wanted) ? host_ports_of(pod) : NULL;
    json_t *a, *b;
    size_t i, k;
    json_array_foreach(list, i, a)
        json_array_foreach((json_t *)(uintptr_t)wanted, k, b) if (ports_meet(a, b)) return true;
    return false;
}

static struct crowd count_pods(struct sync *s, const char *node, const char *owner_uid,
                               const json_t *ports)
{
    json_t *pod;
    struct crowd there = {0};
    for (size_t at = 0; informer_next(controllers_informer(sync_set(s), WATCHED_POD), &at, &pod);) {
        if (!streq(json_at_str(pod, "spec.nodeName"), node))
            continue;
        bool active = pod_is_active(pod); /* what is being deleted still has its ports */
        there.ports_taken =
            there.ports_taken || ((active || is_deleting(pod)) && takes_port_of(pod, ports));
        there.all += active;
        there.same += active && owner_uid && owned_by(pod, owner_uid);
    }
    return there;
}

static void bind_pod(struct sync *s, json_t *pod, const char *node)
{
    char path[700];
    const char *ns = json_at_str(pod, "metadata.namespace"),
               *name = json_at_str(pod, "metadata.name");
    AUTO_JSON json_t *binding = json_pack(
        "{s:s,s:s,s:{s:s,s:s,s:s},s:{s:s,s:s,s:s}}", "apiVersion", "v1", "kind", "Binding",
        "metadata", "name", name, "namespace", ns, "uid", json_at_str(pod, "metadata.uid"),
        "target", "apiVersion", "v1", "kind", "Node", "name", node);
    snprintf(path, sizeof(path), "/api/v1/namespaces/%s/pods/%s/binding", ns, name);
    sync_call(s, _WATCHED_MAX, "POST", path, NULL, binding);
    event_record(controller_events(sync_controller(s)), pod, "Pod", "v1", "Normal", "Scheduled",
                 "Successfully assigned %s/%s to %s", ns, name, node);
    /* The binding's answer is no pod: until the watch tells, the cache counts the pod where it will
     * be. */
    json_t *assumed = json_deep_copy(pod);
    json_put_str(assumed, "spec.nodeName", node);
    informer_assume(controllers_informer(sync_set(s), WATCHED_POD), assumed);
    json_decref(assumed);
}

static void say_unschedulable(struct sync *s, json_t *pod, size_t nodes,
                              const int64_t reasons[_FIT_MAX])
{
    AUTO_DONE(buf) struct buf b = {0};
    char path[700];
    buf_addf(&b, "0/%zu nodes are available", nodes);
    for (int i = 1, first = 1; i < _FIT_MAX; i++)
        if (reasons[i]) {
            buf_addf(&b, "%s %lld %s", first ? ":" : ",", (long long)reasons[i], fit_words[i]);
            first = 0;
        }
    buf_add_char(&b, '.');
    const json_t *have = condition_find(pod, "PodScheduled");
    if (have && streq(json_key_str(have, "message"), buf_cstr(&b)))
        return;
    AUTO_JSON json_t *patch = json_object();
    json_t *list = json_array();
    json_array_append_new(
        list, condition_new(pod, "PodScheduled", "False", "Unschedulable", buf_cstr(&b)));
    json_object_del(json_array_get(list, 0), "lastUpdateTime");
    json_put(patch, "status.conditions", list);
    snprintf(path, sizeof(path), "/api/v1/namespaces/%s/pods/%s/status",
             json_at_str(pod, "metadata.namespace"), json_at_str(pod, "metadata.name"));
    sync_call(s, WATCHED_POD, "PATCH", path, STRATEGIC_PATCH, patch);
    event_record(controller_events(sync_controller(s)), pod, "Pod", "v1", "Warning",
                 "FailedScheduling", "%s", buf_cstr(&b));
}

static void sync_pod(struct sync *s, const char *key)
{
    json_t *pod = informer_find(controllers_informer(sync_set(s), WATCHED_POD), str_from(key));
    const json_t *best = NULL;
    struct crowd best_there = {0};
    int64_t reasons[_FIT_MAX] = {0};
    size_t nodes = 0;
    json_t *node;
    if (!pod || !is_ours(pod))
        return;
    const char *owner = json_key_str(owner_controller(pod), "uid");
    AUTO_JSON json_t *ports = host_ports_of(pod);
    for (size_t at = 0; informer_next(controllers_informer(sync_set(s), WATCHED_NODE), &at, &node);
         nodes++) {
        const char *name = json_at_str(node, "metadata.name");
        struct crowd there = count_pods(s, name, owner, ports);
        enum fit fit = node_fits(pod, node, &there);
        reasons[fit]++;
        if (fit != FIT_OK)
            continue;
        bool better = !best || there.same < best_there.same ||
                      (there.same == best_there.same && there.all < best_there.all) ||
                      (there.same == best_there.same && there.all == best_there.all &&
                       strcmp(name, json_at_str(best, "metadata.name")) < 0);
        if (better) {
            best = node;
            best_there = there;
        }
    }
    json_incref(pod);
    if (best)
        bind_pod(s, pod, json_at_str(best, "metadata.name"));
    else
        say_unschedulable(s, pod, nodes, reasons);
    json_decref(pod);
}

/* The guess of bind_pod() was wrong: put the truth back, so that the pod counts as waiting again.
 */
static void on_failed(struct controller *c, const char *key)
{
    struct str name, ns = str_cut(str_from(key), '/', &name);
    AUTO_CHARS char *path =
        xasprintf("/api/v1/namespaces/" STR_FMT "/pods/" STR_FMT, STR_ARG(ns), STR_ARG(name));
    controller_refresh(c, WATCHED_POD, path);
}

const struct controller_kind scheduler_controller = {"scheduler", on_change, sync_pod, NULL,
                                                     on_failed};
