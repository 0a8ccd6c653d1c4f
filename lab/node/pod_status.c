/* A pod's status as the API shows it, and sending it.
 *
 * The status is computed whole from the pod each time and compared with what was sent last; one
 * PATCH is open at a time and changes meanwhile are sent together after it. Conditions of others
 * (readiness gates) are kept. */
#include "base/time.h"
#include "lab/node/node_priv.h"
#include "lab/object_reading.h"

enum { STATUS_RETRY_MS = 1000 };

static json_t *time_json(int64_t s)
{
    char text[21];
    time_format_rfc3339(s, text);
    return json_string(text);
}

static json_t *state_json(const struct pod_container *c)
{
    json_t *j = json_object();
    if (c->state == CONTAINER_RUNNING && c->is_post_starting) {
        json_put_str(j, "waiting.reason", c->pod->n_init ? "PodInitializing" : "ContainerCreating");
    } else if (c->state == CONTAINER_RUNNING) {
        json_put(j, "running.startedAt", time_json(c->started_s));
    } else if (c->state == CONTAINER_TERMINATED && pod_container_waits(c)) {
        AUTO_CHARS char *text =
            xasprintf("back-off %llus restarting failed container=%s pod=%s_%s(%s)",
                      (unsigned long long)(c->backoff_ms > 10000 ? c->backoff_ms / 2000 : 10),
                      c->name, c->pod->name, c->pod->ns, c->pod->uid);
        json_put_str(j, "waiting.reason", "CrashLoopBackOff");
        json_put_str(j, "waiting.message", text);
    } else if (c->state == CONTAINER_TERMINATED) {
        json_put_int(j, "terminated.exitCode", c->exit_code);
        json_put_str(j, "terminated.reason", c->reason);
        json_put(j, "terminated.startedAt", time_json(c->started_s));
        json_put(j, "terminated.finishedAt", time_json(c->finished_s));
        if (c->signo)
            json_put_int(j, "terminated.signal", c->signo);
        if (c->message)
            json_put_str(j, "terminated.message", c->message);
        if (c->id)
            json_put_str(j, "terminated.containerID", c->id);
    } else {
        const struct pod *p = c->pod;
        bool init_failed = p->failed_reason && !*p->failed_reason;
        bool early = p->step == POD_FETCH || ((p->step == POD_INIT || init_failed) && !c->is_init);
        json_put_str(j, "waiting.reason", early ? p->waiting : c->reason);
        if (c->message)
            json_put_str(j, "waiting.message", c->message);
    }
    return j;
}

/* A run that ended and waits for its next start is also the last state. */
static json_t *last_state_json(const struct pod_container *c)
{
    if (c->state == CONTAINER_TERMINATED && pod_container_waits(c)) {
        json_t *j = json_object();
        json_put_int(j, "terminated.exitCode", c->exit_code);
        json_put_str(j, "terminated.reason", c->reason);
        json_put(j, "terminated.startedAt", time_json(c->started_s));
        json_put(j, "terminated.finishedAt", time_json(c->finished_s));
        json_put_str(j, "terminated.containerID", c->id ? c->id : "");
        if (c->message)
            json_put_str(j, "terminated.message", c->message);
        return j;
    }
    return c->last_state ? json_incref(c->last_state) : json_object();
}

static bool init_is_done(const struct pod_container *c)
{
    return c->is_init && !c->is_sidecar && c->state == CONTAINER_TERMINATED && c->exit_code == 0;
}

static json_t *container_json(const struct pod_container *c)
{
    const char *image = json_key_str(c->spec, "image");
    json_t *j = json_object();
    json_put_str(j, "name", c->name);
    json_put(j, "state", state_json(c));
    json_put(j, "lastState", last_state_json(c));
    json_put(j, "ready",
             json_boolean(init_is_done(c) || (c->state == CONTAINER_RUNNING && c->ready)));
    json_put(j, "started", json_boolean(c->state == CONTAINER_RUNNING && c->started));
    json_put_int(j, "restartCount", c->restarts);
    json_put_str(j, "image", image ? image : "");
    json_put_str(j, "imageID", c->id && image ? image : "");
    if (c->id)
        json_put_str(j, "containerID", c->id);
    return j;
}

static bool is_ready(const struct pod_container *c)
{
    return c->ready;
}

/* "[a b]": those that are not yet what they ought to be. */
static char *names_without(const struct pod *p, bool init,
                           bool (*fulfils)(const struct pod_container *c))
{
    struct buf b = {0};
    for (size_t i = 0; i < p->n_containers - p->n_ephemeral; i++) {
        const struct pod_container *c = &p->containers[i];
        if ((c->is_init && !c->is_sidecar) == init && !fulfils(c))
            buf_addf(&b, "%s%s", b.n ? " " : "", c->name);
    }
    return buf_take_cstr(&b);
}

/* They end behind the others, and the pod with them (kubelet's getPhase). */
static bool a_sidecar_runs(const struct pod *p)
{
    for (size_t i = 0; i < p->n_init; i++)
        if (p->containers[i].is_sidecar && p->containers[i].state == CONTAINER_RUNNING)
            return true;
    return false;
}

static const char *phase_of(const struct pod *p)
{
    size_t running = 0, failed = 0, ended = 0, end = p->n_containers - p->n_ephemeral,
           total = end - p->n_init;
    for (size_t i = p->n_init; i < end; i++) {
        const struct pod_container *c = &p->containers[i];
        running += c->state == CONTAINER_RUNNING && !c->is_post_starting;
        ended += c->state == CONTAINER_TERMINATED;
        failed += c->state == CONTAINER_TERMINATED && c->exit_code != 0;
    }
    bool over = !pod_anything_runs(p); /* a pod that still ends is still there */
    if (p->failed_reason && over)
        return "Failed";
    if ((p->step == POD_OVER && over) ||
        (p->step == POD_STOPPING && ended == total && ended > 0 && !a_sidecar_runs(p)))
        return failed ? "Failed" : "Succeeded";
    return running || ended ? "Running" : "Pending";
}

static void add_condition(json_t *list, const json_t *before, const char *type, bool is_true,
                          const char *reason, const char *message)
{
    json_t *c = condition_new(before, type, is_true ? "True" : "False",
                              is_true || !reason ? "" : reason, is_true || !message ? "" : message);
    static const char *const optional[] = {"reason", "message"};
    for (size_t i = 0; i < ARRAY_LEN(optional); i++)
        if (str_empty(json_key_str(c, optional[i])))
            json_del(c, optional[i]);
    json_array_append_new(list, c);
}

/* What kubelet says of the readiness gates that are not open, ", " between; "" = all are. */
static char *closed_gates(const struct pod *p)
{
    AUTO_DONE(buf) struct buf b = {0};
    json_t *gate;
    size_t i;
    json_array_foreach(json_at(p->object, "spec.readinessGates"), i, gate)
    {
        const char *type = json_key_str(gate, "conditionType");
        const json_t *c = condition_find(p->object, type ? type : "");
        const char *status = json_key_str(c, "status");
        if (streq(status, "True"))
            continue;
        buf_add_str(&b, b.n ? STR(", ") : STR(""));
        if (c)
            buf_addf(&b, "the status of pod readiness gate \"%s\" is not \"True\", but %s", type,
                     status ? status : "Unknown");
        else
            buf_addf(&b, "corresponding condition of pod readiness gate \"%s\" does not exist.",
                     type ? type : "");
    }
    return buf_take_cstr(&b);
}

static json_t *conditions_json(const struct pod *p, const char *phase)
{
    static const char *const ours[] = {"PodReadyToStartContainers", "Initialized", "Ready",
                                       "ContainersReady", "PodScheduled"};
    AUTO_JSON json_t *before =
        p->status_sent ? json_pack("{s:O}", "status", p->status_sent) : json_incref(p->object);
    AUTO_CHARS char *names = names_without(p, false, is_ready);
    AUTO_CHARS char *text = xasprintf("containers with unready status: [%s]", names);
    AUTO_CHARS char *inits = names_without(p, true, init_is_done);
    AUTO_CHARS char *incomplete = xasprintf("containers with incomplete status: [%s]", inits);
    AUTO_CHARS char *gates = closed_gates(p);
    json_t *list = json_array(), *other;
    bool over = streq(phase, "Succeeded") || streq(phase, "Failed");
    bool ready = !names[0] && !over && p->n_containers > p->n_init;
    size_t i;
    const char *why =
        over ? (streq(phase, "Succeeded") ? "PodCompleted" : "PodFailed") : "ContainersNotReady";
    bool initialized =
        p->step == POD_RUN || (p->step >= POD_STOPPING && !p->failed_reason) || p->n_init == 0;
    add_condition(list, before, ours[0], p->net.v4.family != 0, NULL, NULL);
    add_condition(list, before, ours[1], initialized, "ContainersNotInitialized", incomplete);
    add_condition(list, before, ours[2], ready && !*gates, ready ? "ReadinessGatesNotReady" : why,
                  over    ? NULL
                  : ready ? gates
                          : text);
    add_condition(list, before, ours[3], ready, why, over ? NULL : text);
    add_condition(list, before, ours[4], true, NULL, NULL);
    json_array_foreach(json_at(p->object, "status.conditions"), i, other)
    {
        bool mine = false;
        for (size_t k = 0; k < ARRAY_LEN(ours); k++)
            mine = mine || streq(json_key_str(other, "type"), ours[k]);
        if (!mine)
            json_array_append(list, other);
    }
    return list;
}

void pod_status_addresses(const struct pod *p, json_t *status)
{
    const struct node_options *o = p->node->options;
    const struct ip *pod_ips[] = {&p->net.v4, &p->net.v6};
    char text[IP_TEXT_BYTES];
    json_t *ips = json_array(), *host_ips = json_array();
    for (size_t i = 0; i < 2; i++) {
        if (pod_ips[i]->family)
            json_array_append_new(ips, json_pack("{s:s}", "ip", ip_format(pod_ips[i], text)));
        if (o->internal[i].family)
            json_array_append_new(host_ips,
                                  json_pack("{s:s}", "ip", ip_format(&o->internal[i], text)));
    }
    if (json_array_size(ips)) {
        json_put_str(status, "podIP", json_key_str(json_array_get(ips, 0), "ip"));
        json_put(status, "podIPs", json_incref(ips));
    }
    if (json_array_size(host_ips)) {
        json_put_str(status, "hostIP", json_key_str(json_array_get(host_ips, 0), "ip"));
        json_put(status, "hostIPs", json_incref(host_ips));
    }
    json_decref(ips);
    json_decref(host_ips);
}

json_t *pod_status_build(struct pod *p)
{
    json_t *status = json_object(), *init = json_array(), *main = json_array(),
           *ephemeral = json_array();
    const char *phase = phase_of(p);
    json_put_str(status, "phase", phase);
    json_put(status, "startTime", time_json(p->start_s));
    json_put(status, "conditions", conditions_json(p, phase));
    pod_status_addresses(p, status);
    if (!str_empty(p->failed_reason))
        json_put_str(status, "reason", p->failed_reason);
    if (p->failed_message)
        json_put_str(status, "message", p->failed_message);
    for (size_t i = 0; i < p->n_containers; i++)
        json_array_append_new(p->containers[i].is_init        ? init
                              : p->containers[i].is_ephemeral ? ephemeral
                                                              : main,
                              container_json(&p->containers[i]));
    if (p->n_init)
        json_put(status, "initContainerStatuses", init);
    else
        json_decref(init);
    json_put(status, "containerStatuses", main);
    if (p->n_ephemeral)
        json_put(status, "ephemeralContainerStatuses", ephemeral);
    else
        json_decref(ephemeral);
    return status;
}

static void push_again(void *user)
{
    pod_status_push(user);
}

static void on_answer(const struct kube_result *r, void *user)
{
    struct pod *p = user;
    p->status_call = NULL;
    if (!kube_ok(r) && r->status != 404) {
        log_warn("status not taken", kv_s("pod", p->key), kv_i("status", r->status),
                 kv_s("error", r->message));
        json_decref(p->status_sent);
        p->status_sent = NULL;
        if (!loop_timer_is_started(p->retry))
            loop_timer_start(p->retry, STATUS_RETRY_MS);
        return;
    }
    if (p->status_dirty)
        push_again(p);
}

void pod_status_push(struct pod *p)
{
    if (p->step == POD_REMOVED)
        return;
    p->status_dirty = true;
    if (p->status_call)
        return;
    p->status_dirty = false;
    json_t *status = pod_status_build(p);
    if (p->status_sent && json_equal(status, p->status_sent)) {
        json_decref(status);
        return;
    }
    json_decref(p->status_sent);
    p->status_sent = status;
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/%s/pods/%s/status", p->ns, p->name);
    AUTO_JSON json_t *patch =
        json_pack("{s:{s:s},s:O}", "metadata", "uid", p->uid, "status", status);
    p->status_call = kube_call(p->node->client, "PATCH", path, MERGE_PATCH, patch, on_answer, p);
}
