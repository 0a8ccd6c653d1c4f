/* A simple scheduler: puts pods without a node on the feasible node that they like best, then on
 * the one that has the fewest pods of the same owner, then the fewest pods at all. What makes a
 * node feasible and liked: scheduler_node.c, scheduler_topology.c. Nobody is preempted. Binds
 * through pods/binding, as any scheduler does. Fields it does not obey are told by a Warning Event.
 */
#include <stdio.h>

#include "base/map.h"
#include "base/time.h"
#include "lab/controllers/scheduler_priv.h"

/* A pod to be put somewhere, now: not one that its gates hold back. */
static bool is_ours(const json_t *pod)
{
    const char *scheduler = json_at_str(pod, "spec.schedulerName");
    return !json_at_str(pod, "spec.nodeName") && pod_is_active(pod) &&
           !json_array_size(json_at(pod, "spec.schedulingGates")) &&
           (!scheduler || streq(scheduler, "default-scheduler"));
}

static void enqueue_waiting(struct controller *c, bool of_topology)
{
    json_t *pod;
    for (size_t at = 0;
         controllers_next(controller_set(c), WATCHED_POD, INDEX_WAITING, "", &at, &pod);)
        if (is_ours(pod) && (!of_topology || topology_matters(pod)))
            controller_enqueue_object(c, pod);
}

/* It got its place, or other labels: what others want to be near may be near now. */
static bool moved(const json_t *before, const json_t *pod)
{
    const json_t *was = json_at(before, "metadata.labels"), *is = json_at(pod, "metadata.labels");
    return json_at_str(pod, "spec.nodeName") &&
           (!json_at_str(before, "spec.nodeName") || (was != is && !json_equal(was, is)));
}

static void on_change(struct controller *c, enum watched kind, json_t *object, bool deleted)
{
    if (kind == WATCHED_POD && !deleted && is_ours(object))
        controller_enqueue_object(c, object);
    else if (kind == WATCHED_NODE || (kind == WATCHED_POD && (deleted || !pod_is_active(object))))
        enqueue_waiting(c, false); /* room may have appeared */
    else if (kind == WATCHED_NAMESPACE ||
             (kind == WATCHED_POD && moved(controllers_before(controller_set(c)), object)))
        enqueue_waiting(c, true);
}

/* ---- one pass over the nodes ---- */

static void add_pod(struct placing *p, const struct map *by_name, json_t *pod, const char *owner,
                    const json_t *ports)
{
    const char *name = json_at_str(pod, "spec.nodeName");
    struct candidate *place = name ? map_find_cstr(by_name, name) : NULL;
    bool active = pod_is_active(pod);
    if (!place || (!active && !is_deleting(pod)))
        return;
    AUTO_JSON json_t *requests = requests_of(pod);
    if (requests)
        requests_add(place->used, requests);
    place->ports_taken = place->ports_taken || takes_port_of(pod, ports);
    place->all++;
    place->active += active;
    place->same += active && owner && owned_by(pod, owner);
    vec_push(&p->neighbours, ((struct neighbour){pod, place}));
}

static void placing_init(struct placing *p, struct sync *s, const json_t *pod)
{
    struct controllers *cs = sync_set(s);
    struct informer *nodes = controllers_informer(cs, WATCHED_NODE),
                    *pods = controllers_informer(cs, WATCHED_POD);
    const char *owner = json_key_str(owner_controller(pod), "uid");
    AUTO_JSON json_t *ports = host_ports_of(pod);
    struct map by_name = {0};
    json_t *o;
    *p = (struct placing){.set = cs, .pod = pod, .reasons = json_object()};
    for (size_t at = 0; informer_next(nodes, &at, &o);)
        p->n++;
    p->places = xcalloc(p->n + 1, sizeof(*p->places));
    p->n = 0;
    for (size_t at = 0; informer_next(nodes, &at, &o);) {
        struct candidate *place = &p->places[p->n++];
        place->node = o;
        place->name = json_at_str(o, "metadata.name");
        place->labels = json_at(o, "metadata.labels");
        place->used = json_object();
        map_put_cstr(&by_name, place->name, place);
    }
    for (size_t at = 0; informer_next(pods, &at, &o);)
        add_pod(p, &by_name, o, owner, ports);
    map_done(&by_name);
}

static void placing_done(struct placing *p)
{
    for (size_t i = 0; i < p->n; i++)
        json_decref(p->places[i].used);
    free(p->places);
    vec_done(&p->neighbours);
    json_decref(p->reasons);
}

static bool is_better(const struct candidate *a, const struct candidate *b)
{
    if (a->liking != b->liking)
        return a->liking > b->liking;
    if (a->same != b->same)
        return a->same < b->same;
    if (a->active != b->active)
        return a->active < b->active;
    return strcmp(a->name, b->name) < 0;
}

/* NULL: nowhere. */
static const struct candidate *choose(struct placing *p)
{
    const struct candidate *best = NULL;
    refuse_by_nodes(p);
    refuse_by_spread(p);
    refuse_by_affinity(p);
    like_by_nodes(p);
    like_by_topology(p);
    for (size_t i = 0; i < p->n; i++)
        if (!p->places[i].refused && (!best || is_better(&p->places[i], best)))
            best = &p->places[i];
    return best;
}

/* ---- what follows ---- */

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

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable." */
static char *refusal(const struct placing *p)
{
    VEC(char *) reasons = {0};
    struct buf b = {0};
    const char *reason;
    json_t *n;
    json_object_foreach(p->reasons, reason, n)
        vec_push(&reasons, xasprintf("%lld %s", (long long)json_integer_value(n), reason));
    if (reasons.n)
        qsort(reasons.v, reasons.n, sizeof(*reasons.v), compare_text);
    if (p->n)
        buf_addf(&b, "0/%zu nodes are available", p->n);
    else
        buf_addf(&b, "no nodes available to schedule pods");
    for (size_t i = 0; i < reasons.n; i++) {
        buf_addf(&b, "%s %s", i ? "," : ":", reasons.v[i]);
        free(reasons.v[i]);
    }
    if (p->n)
        buf_add_char(&b, '.');
    vec_done(&reasons);
    return buf_take_cstr(&b);
}

/* Each text once a pod, whatever its numbers: nodes that come and go are no news, and would use up
 * what other pods have to say. */
static void tell_refusal(struct sync *s, const json_t *pod, const char *text)
{
    struct controller *c = sync_controller(s);
    AUTO_DONE(buf) struct buf mark = {0};
    buf_addf(&mark, "%s ", json_at_str(pod, "metadata.uid"));
    for (const char *p = text; *p; p++)
        if (*p < '0' || *p > '9')
            buf_add_char(&mark, *p);
    if (controller_remembers(c, buf_cstr(&mark)))
        return;
    controller_remember(c, buf_cstr(&mark));
    event_record(controller_events(c), pod, "Pod", "v1", "Warning", "FailedScheduling", "%s", text);
}

static void say_unschedulable(struct sync *s, json_t *pod, const struct placing *p)
{
    char path[700];
    AUTO_CHARS char *text = refusal(p);
    const json_t *have = condition_find(pod, "PodScheduled");
    if (have && streq(json_key_str(have, "message"), text))
        return;
    AUTO_JSON json_t *patch = json_object();
    json_t *list = json_array();
    json_array_append_new(list, condition_new(pod, "PodScheduled", "False", "Unschedulable", text));
    json_object_del(json_array_get(list, 0), "lastUpdateTime");
    json_put(patch, "status.conditions", list);
    snprintf(path, sizeof(path), "/api/v1/namespaces/%s/pods/%s/status",
             json_at_str(pod, "metadata.namespace"), json_at_str(pod, "metadata.name"));
    sync_call(s, WATCHED_POD, "PATCH", path, STRATEGIC_PATCH, patch);
    tell_refusal(s, pod, text);
}

/* What the API takes and nothing here obeys; once a pod. */
static void tell_ignored(struct sync *s, const json_t *pod)
{
    static const struct {
        const char *path, *consequence;
    } fields[] = {
        {"spec.priorityClassName", "no pod gives way to it"},
        {"spec.resourceClaims", "no device is allocated"},
        {"spec.schedulingGroup", "its pods are placed one by one"},
        {"spec.workloadRef", "its pods are placed one by one"},
    };
    struct controller *c = sync_controller(s);
    const char *uid = json_at_str(pod, "metadata.uid");
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const json_t *v = json_at(pod, fields[i].path);
        AUTO_CHARS char *mark = xasprintf("%s %s", uid ? uid : "", fields[i].path);
        if (!v || json_is_null(v) || controller_remembers(c, mark))
            continue;
        controller_remember(c, mark);
        event_record(controller_events(c), pod, "Pod", "v1", "Warning", "FieldIgnored",
                     "the lab's scheduler does not implement %s: %s", fields[i].path,
                     fields[i].consequence);
    }
}

static void sync_pod(struct sync *s, const char *key)
{
    json_t *pod = informer_find(controllers_informer(sync_set(s), WATCHED_POD), str_from(key));
    struct placing p;
    if (!pod || !is_ours(pod))
        return;
    json_incref(pod);
    tell_ignored(s, pod);
    placing_init(&p, s, pod);
    const struct candidate *best = choose(&p);
    if (best)
        bind_pod(s, pod, best->name);
    else
        say_unschedulable(s, pod, &p);
    placing_done(&p);
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
