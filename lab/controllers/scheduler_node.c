/* The scheduler: what a node itself decides about a pod. Readiness, taints, labels, host ports,
 * room: requests against what is allocatable. Messages are kube-scheduler's, since those are what
 * people search for. Pure: reads the pass, marks its places. Knows nothing of queues and calls. */
#include <stdio.h>

#include "kube/quantity.h"
#include "lab/controllers/scheduler_priv.h"

enum { PODS_DEFAULT = 110 };

void place_refuse(struct placing *p, struct candidate *place, const char *reason)
{
    place->refused = true;
    json_object_set_new(p->reasons, reason, json_integer(json_at_int(p->reasons, reason, 0) + 1));
}

/* ---- taints, labels ---- */

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

static int64_t untolerated(const json_t *pod, const json_t *node, bool preferred)
{
    json_t *taint;
    size_t i;
    int64_t n = 0;
    json_array_foreach(json_at(node, "spec.taints"), i, taint) n +=
        streq(json_key_str(taint, "effect"), "PreferNoSchedule") == preferred &&
        !tolerates(pod, taint);
    return n;
}

bool node_repels(const json_t *pod, const json_t *node)
{
    return untolerated(pod, node, false) > 0;
}

bool node_evicts(const json_t *pod, const json_t *node)
{
    json_t *taint;
    size_t i;
    json_array_foreach(json_at(node, "spec.taints"), i,
                       taint) if (streq(json_key_str(taint, "effect"), "NoExecute") &&
                                  !tolerates(pod, taint)) return true;
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

bool node_is_selected(const json_t *pod, const json_t *node)
{
    const json_t *terms = json_at(pod, "spec.affinity.nodeAffinity."
                                       "requiredDuringSchedulingIgnoredDuringExecution."
                                       "nodeSelectorTerms"),
                 *selector = json_at(pod, "spec.nodeSelector");
    json_t *term;
    size_t i;
    if (json_object_size(selector) && !labels_match(selector, json_at(node, "metadata.labels")))
        return false;
    json_array_foreach((json_t *)(uintptr_t)terms, i,
                       term) if (term_matches(term, node)) return true;
    return !json_array_size(terms);
}

void like_by_nodes(struct placing *p)
{
    json_t *term;
    size_t k;
    for (size_t i = 0; i < p->n; i++) {
        struct candidate *place = &p->places[i];
        place->liking -= 100 * untolerated(p->pod, place->node, true);
        json_array_foreach(json_at(p->pod, "spec.affinity.nodeAffinity."
                                           "preferredDuringSchedulingIgnoredDuringExecution"),
                           k, term)
        {
            const json_t *preference = json_object_get(term, "preference");
            if (!json_object_size(preference) || term_matches(preference, place->node))
                place->liking += json_at_int(term, "weight", 1);
        }
    }
}

/* ---- host ports ---- */

json_t *host_ports_of(const json_t *pod)
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

bool takes_port_of(const json_t *pod, const json_t *wanted)
{
    AUTO_JSON json_t *list = json_array_size(wanted) ? host_ports_of(pod) : NULL;
    json_t *a, *b;
    size_t i, k;
    json_array_foreach(list, i, a)
        json_array_foreach((json_t *)(uintptr_t)wanted, k, b) if (ports_meet(a, b)) return true;
    return false;
}

/* ---- room ---- */

/* A quantity as it is counted: CPU in thousandths, all else in whole units. */
static int64_t amount_of(const char *resource, const json_t *quantity)
{
    char number[32];
    const char *text = json_string_value(quantity);
    int64_t v = 0;
    if (json_is_integer(quantity)) {
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(quantity));
        text = number;
    }
    int r = !text                    ? -1
            : streq(resource, "cpu") ? quantity_milli(str_from(text), &v)
                                     : quantity_value(str_from(text), &v);
    return r < 0 ? 0 : v;
}

static json_t *amounts_of(const json_t *quantities)
{
    json_t *to = json_object(), *quantity;
    const char *resource;
    json_object_foreach((json_t *)(uintptr_t)quantities, resource, quantity)
        json_object_set_new(to, resource, json_integer(amount_of(resource, quantity)));
    return to;
}

void requests_add(json_t *sum, const json_t *requests)
{
    const char *resource;
    json_t *n;
    json_object_foreach((json_t *)(uintptr_t)requests, resource, n) json_object_set_new(
        sum, resource,
        json_integer(json_integer_value(json_object_get(sum, resource)) + json_integer_value(n)));
}

static void requests_raise(json_t *to, const json_t *requests)
{
    const char *resource;
    json_t *n;
    json_object_foreach((json_t *)(uintptr_t)requests, resource, n)
        json_object_set_new(to, resource,
                            json_integer(MAX(json_integer_value(json_object_get(to, resource)),
                                             json_integer_value(n))));
}

static bool requests_anything(const json_t *pod)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    json_t *container;
    size_t k;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        json_array_foreach(
            json_at(pod, lists[i]), k,
            container) if (json_object_size(json_at(container, "resources.requests"))) return true;
    return json_object_size(json_at(pod, "spec.overhead")) ||
           json_object_size(json_at(pod, "spec.resources.requests"));
}

/* Containers and sidecars at once, or an init container with the sidecars before it: whichever is
 * more. What the pod asks for as a whole stands for that; overhead comes on top. */
json_t *requests_of(const json_t *pod)
{
    json_t *container;
    size_t i;
    if (!requests_anything(pod))
        return NULL;
    json_t *sum = json_object();
    AUTO_JSON json_t *most = json_object();
    json_array_foreach(json_at(pod, "spec.initContainers"), i, container)
    {
        AUTO_JSON json_t *own = amounts_of(json_at(container, "resources.requests"));
        if (streq(json_key_str(container, "restartPolicy"), "Always")) {
            requests_add(sum, own);
        } else {
            requests_add(own, sum); /* the sidecars so far */
            requests_raise(most, own);
        }
    }
    json_array_foreach(json_at(pod, "spec.containers"), i, container)
    {
        AUTO_JSON json_t *own = amounts_of(json_at(container, "resources.requests"));
        requests_add(sum, own);
    }
    requests_raise(sum, most);
    AUTO_JSON json_t *whole = amounts_of(json_at(pod, "spec.resources.requests"));
    json_object_update(sum, whole);
    AUTO_JSON json_t *overhead = amounts_of(json_at(pod, "spec.overhead"));
    requests_add(sum, overhead);
    return sum;
}

static void refuse_by_room(struct placing *p, struct candidate *place, const json_t *requests)
{
    const json_t *allocatable = json_at(place->node, "status.allocatable");
    const json_t *pods = json_object_get(allocatable, "pods");
    int64_t capacity = pods ? amount_of("pods", pods) : PODS_DEFAULT;
    const char *resource;
    json_t *n;
    if (place->all >= capacity)
        place_refuse(p, place, "Too many pods");
    json_object_foreach((json_t *)(uintptr_t)requests, resource, n)
    {
        int64_t wanted = json_integer_value(n),
                used = json_integer_value(json_object_get(place->used, resource)),
                there = amount_of(resource, json_object_get(allocatable, resource));
        char text[300];
        if (wanted <= 0 || wanted <= there - used)
            continue;
        snprintf(text, sizeof(text), "Insufficient %.250s", resource);
        place_refuse(p, place, text);
    }
}

/* A cordon is a taint that is not written down. */
static bool is_cordoned(const json_t *pod, const json_t *node)
{
    AUTO_JSON json_t *taint =
        json_pack("{s:s,s:s}", "key", "node.kubernetes.io/unschedulable", "effect", "NoSchedule");
    return json_is_true(json_at(node, "spec.unschedulable")) && !tolerates(pod, taint);
}

/* In kube-scheduler's order: of a node the first reason counts, but for what it lacks. */
void refuse_by_nodes(struct placing *p)
{
    AUTO_JSON json_t *requests = requests_of(p->pod);
    for (size_t i = 0; i < p->n; i++) {
        struct candidate *place = &p->places[i];
        if (!condition_is_true(place->node, "Ready"))
            place_refuse(p, place, "node(s) were not ready");
        else if (is_cordoned(p->pod, place->node))
            place_refuse(p, place, "node(s) were unschedulable");
        else if (node_repels(p->pod, place->node))
            place_refuse(p, place, "node(s) had untolerated taint(s)");
        else if (!node_is_selected(p->pod, place->node))
            place_refuse(p, place, "node(s) didn't match Pod's node affinity/selector");
        else if (place->ports_taken)
            place_refuse(p, place, "node(s) didn't have free ports for the requested pod ports");
        else
            refuse_by_room(p, place, requests);
    }
}
