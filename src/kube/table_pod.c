/* The columns of pods: READY, STATUS and RESTARTS follow the rules of kubectl's own printer, since
 * people read them as facts (a pod is "Completed", "Init:0/1", "CrashLoopBackOff"). Pure functions
 * of the object. */
#include "kube/table.h"

#include <inttypes.h>

static bool condition_is_true(const json_t *pod, const char *type)
{
    size_t i;
    json_t *c;
    json_array_foreach(
        json_at(pod, "status.conditions"), i,
        c) if (streq(json_at_str(c, "type"), type)) return streq(json_at_str(c, "status"), "True");
    return false;
}

/* Restartable init containers ("sidecars") count as containers once they have started. */
static bool is_sidecar(const json_t *pod, const char *name)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_at(pod, "spec.initContainers"), i,
                       c) if (streq(json_at_str(c, "name"),
                                    name)) return streq(json_at_str(c, "restartPolicy"), "Always");
    return false;
}

static void ended(struct buf *ret, const char *prefix, const json_t *terminated)
{
    const char *reason = json_at_str(terminated, "reason");
    int64_t signal = json_at_int(terminated, "signal", 0);
    buf_clear(ret);
    buf_add_cstr(ret, prefix);
    if (!str_empty(reason))
        buf_add_cstr(ret, reason);
    else if (signal)
        buf_addf(ret, "Signal:%" PRId64, signal);
    else
        buf_addf(ret, "ExitCode:%" PRId64, json_at_int(terminated, "exitCode", 0));
}

/* True if a pod is still in its init containers; ret then says where. */
static bool init_status(const json_t *pod, struct buf *ret)
{
    size_t i, n = json_array_size(json_at(pod, "spec.initContainers"));
    json_t *s;
    json_array_foreach(json_at(pod, "status.initContainerStatuses"), i, s)
    {
        const json_t *terminated = json_at(s, "state.terminated");
        const char *waiting = json_at_str(s, "state.waiting.reason");
        if (terminated && json_at_int(terminated, "exitCode", 0) == 0)
            continue;
        if (is_sidecar(pod, json_at_str(s, "name")) && json_at_bool(s, "started", false))
            continue;
        if (terminated) {
            ended(ret, "Init:", terminated);
        } else {
            buf_clear(ret);
            if (!str_empty(waiting) && !streq(waiting, "PodInitializing"))
                buf_addf(ret, "Init:%s", waiting);
            else
                buf_addf(ret, "Init:%zu/%zu", i, n);
        }
        return true;
    }
    return false;
}

static void container_status(const json_t *pod, struct buf *ret)
{
    const json_t *list = json_at(pod, "status.containerStatuses");
    bool running = false;
    for (size_t i = json_array_size(list); i-- > 0;) {
        const json_t *s = json_array_get(list, i);
        const char *waiting = json_at_str(s, "state.waiting.reason");
        const json_t *terminated = json_at(s, "state.terminated");
        if (!str_empty(waiting)) {
            buf_clear(ret);
            buf_add_cstr(ret, waiting);
        } else if (terminated) {
            ended(ret, "", terminated);
        } else if (json_at_bool(s, "ready", false) && json_at(s, "state.running")) {
            running = true;
        }
    }
    if (running && str_is(buf_str(ret), "Completed")) {
        buf_clear(ret);
        buf_add_cstr(ret, condition_is_true(pod, "Ready") ? "Running" : "NotReady");
    }
}

static bool is_gated(const json_t *pod)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_at(pod, "status.conditions"), i,
                       c) if (streq(json_at_str(c, "type"), "PodScheduled") &&
                              streq(json_at_str(c, "reason"), "SchedulingGated")) return true;
    return false;
}

void table_pod_status(const json_t *pod, struct buf *ret)
{
    const char *phase = json_at_str(pod, "status.phase"),
               *reason = json_at_str(pod, "status.reason");
    buf_clear(ret);
    buf_add_cstr(ret, is_gated(pod)        ? "SchedulingGated"
                      : !str_empty(reason) ? reason
                      : phase              ? phase
                                           : "Unknown");
    if (!init_status(pod, ret) || condition_is_true(pod, "Initialized"))
        container_status(pod, ret);
    if (!json_at_str(pod, "metadata.deletionTimestamp"))
        return;
    if (streq(reason, "NodeLost")) {
        buf_clear(ret);
        buf_add_cstr(ret, "Unknown");
    } else if (!streq(phase, "Succeeded") && !streq(phase, "Failed")) {
        buf_clear(ret);
        buf_add_cstr(ret, "Terminating");
    }
}

static json_t *status_cell(const json_t *pod)
{
    AUTO_DONE(buf) struct buf b = {0};
    table_pod_status(pod, &b);
    return json_string(buf_cstr(&b));
}

static json_t *ready_cell(const json_t *pod)
{
    size_t i, total = json_array_size(json_at(pod, "spec.containers")), ready = 0;
    json_t *s;
    json_array_foreach(json_at(pod, "spec.initContainers"), i, s) total +=
        streq(json_at_str(s, "restartPolicy"), "Always");
    json_array_foreach(json_at(pod, "status.containerStatuses"), i, s) ready +=
        json_at_bool(s, "ready", false) && json_at(s, "state.running");
    json_array_foreach(json_at(pod, "status.initContainerStatuses"), i, s) ready +=
        json_at_bool(s, "ready", false) && is_sidecar(pod, json_at_str(s, "name"));
    return json_sprintf("%zu/%zu", ready, total);
}

static void count_restarts(const json_t *pod, const char *list, bool sidecars_only, int64_t *n,
                           const char **last)
{
    size_t i;
    json_t *s;
    json_array_foreach(json_at(pod, list), i, s)
    {
        const char *at = json_at_str(s, "lastState.terminated.finishedAt");
        if (sidecars_only && !is_sidecar(pod, json_at_str(s, "name")))
            continue;
        *n += json_at_int(s, "restartCount", 0);
        if (at && (!*last || strcmp(at, *last) > 0))
            *last = at;
    }
}

static json_t *restarts_cell(const json_t *pod)
{
    AUTO_DONE(buf) struct buf scratch = {0};
    bool initializing = init_status(pod, &scratch) && !condition_is_true(pod, "Initialized");
    const char *last = NULL;
    int64_t n = 0;
    count_restarts(pod, "status.initContainerStatuses", !initializing, &n, &last);
    if (!initializing)
        count_restarts(pod, "status.containerStatuses", false, &n, &last);
    return json_pack("[I, s?]", (json_int_t)n, n ? last : NULL);
}

static json_t *gates_cell(const json_t *pod)
{
    const json_t *gates = json_at(pod, "spec.readinessGates");
    size_t i, met = 0;
    json_t *g;
    if (!json_array_size(gates))
        return NULL;
    json_array_foreach((json_t *)(uintptr_t)gates, i, g) met +=
        condition_is_true(pod, json_at_str(g, "conditionType"));
    return json_sprintf("%zu/%zu", met, json_array_size(gates));
}

static const struct table_column pod_columns[] = {
    {"Name", "string", 0, "metadata.name", NULL, "Name must be unique within a namespace."},
    {"Ready", "string", 0, NULL, ready_cell,
     "The aggregate readiness state of this pod for accepting traffic."},
    {"Status", "string", 0, NULL, status_cell,
     "The aggregate status of the containers in this pod."},
    {"Restarts", "restarts", 0, NULL, restarts_cell,
     "The number of times the containers in this pod have been restarted and when the last "
     "container in this pod has restarted."},
    {"Age", "date", 0, "metadata.creationTimestamp", NULL, "When the object was created."},
    {"IP", "string", 1, "status.podIP", NULL, "The pod's first address; empty until it has one."},
    {"Node", "string", 1, "spec.nodeName", NULL, "The node the pod runs on."},
    {"Nominated Node", "string", 1, "status.nominatedNodeName", NULL,
     "The node a preemption makes room on."},
    {"Readiness Gates", "string", 1, NULL, gates_cell,
     "Conditions beside the containers' readiness."},
};
const struct table table_pod = {pod_columns, ARRAY_LEN(pod_columns)};
