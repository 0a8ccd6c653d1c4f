/* A pod on its node: from "bound to us" to "gone".
 *
 * pod_advance() is the whole life: it is called whenever something changed (an object, an answer,
 * an exit, a timer), looks at the step the pod is in and does what can be done now. Nothing waits
 * and nothing is called back from inside it: the parts below say pod_changed() and are looked at a
 * moment later. Containers do their own starting and ending (pod_container.c); this file decides
 * which of them should run. */
#include <errno.h>
#include <stdio.h>

#include "base/time.h"
#include "intercept/interception_pod.h"
#include "lab/fabric.h"
#include "lab/node/node_host_ports.h"
#include "lab/node/node_priv.h"
#include "nl/netns.h"

enum { POD_RETRY_MS = 2000 };

static void on_retry(void *user)
{
    struct pod *p = user;
    if (p->step == POD_FETCH && p->inputs && pod_inputs_retry(p->inputs))
        return; /* the answers come back to us */
    pod_advance(p);
}

static void on_inputs(void *user)
{
    pod_advance(user);
}

/* A ConfigMap, Secret, token or label is another one now. What cannot be written leaves the volume
 * as it was. */
static void update_files(struct pod *p)
{
    struct err err = {0};
    if (pod_files_update(p, &err) < 0)
        pod_event(p, "Warning", "FailedMount", "%s", err_text(&err));
}

static void on_inputs_changed(void *user)
{
    struct pod *p = user;
    if (p->step == POD_INIT || p->step == POD_RUN)
        update_files(p);
    pod_advance(p);
}

static void on_grace_over(void *user)
{
    pod_end_grace_over(user);
}

/* What an earlier life of the node reported: a container that had been started is dead, and counts
 * as restarted. */
static void inherit_status(struct pod_container *c, const json_t *pod)
{
    json_t *status, *list = json_at(pod, c->is_init ? "status.initContainerStatuses"
                                                    : "status.containerStatuses");
    size_t i;
    json_array_foreach(list, i, status)
    {
        const char *id = json_key_str(status, "containerID"), *name = json_key_str(status, "name");
        if (!streq(name, c->name))
            continue;
        c->restarts = (unsigned)json_at_int(status, "restartCount", 0);
        if (str_empty(id)) { /* the node ended again before it had started it */
            c->last_state = json_object_size(json_at(status, "lastState"))
                                ? json_incref(json_at(status, "lastState"))
                                : NULL;
            continue;
        }
        c->restarts++;
        c->last_state = json_pack("{s:{s:i,s:s,s:s,s:s}}", "terminated", "exitCode", 137, "reason",
                                  "Error", "message", "the node was restarted", "containerID", id);
    }
}

static void add_containers(struct pod *p, const json_t *list, bool is_init)
{
    json_t *spec;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, spec)
    {
        struct pod_container *c = &p->containers[p->n_containers++];
        c->pod = p;
        c->spec = spec;
        c->name = json_key_str(spec, "name");
        c->name = c->name ? c->name : "";
        c->is_init = is_init;
        c->is_sidecar = is_init && streq(json_key_str(spec, "restartPolicy"), "Always");
        c->reason = xstrdup(p->waiting);
        list_init(&c->attached);
        inherit_status(c, p->object);
    }
}

static void pod_fail(struct pod *p, const char *reason)
{
    if (!p->failed_reason)
        p->failed_reason = xstrdup(reason);
}

static void on_deadline(void *user)
{
    struct pod *p = user;
    if (p->step >= POD_STOPPING)
        return;
    pod_event(p, "Normal", "DeadlineExceeded",
              "Pod was active on the node longer than the specified deadline");
    pod_fail(p, "DeadlineExceeded");
    p->failed_message = "Pod was active on the node longer than the specified deadline";
    p->step = POD_OVER;
    pod_end_begin(p, pod_grace_s(p));
    pod_advance(p);
}

/* Counted from the first start, which may have been under an earlier node process. */
static void start_deadline(struct pod *p)
{
    int64_t s = json_at_int(p->object, "spec.activeDeadlineSeconds", 0);
    if (s <= 0 || p->step >= POD_STOPPING)
        return;
    loop_timer_start(p->deadline, (uint64_t)MAX(p->start_s + s - time_real_s(), (int64_t)0) * 1000);
}

/* What the API takes and no container will see. */
static void tell_ignored(struct pod *p)
{
    static const char *const fields[] = {"hostIPC", "hostPID", "shareProcessNamespace"};
    AUTO_DONE(buf) struct buf b = {0};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (json_at_bool(p->spec, fields[i], false))
            buf_addf(&b, "%sspec.%s", b.n ? ", " : "", fields[i]);
    if (b.n)
        pod_event(p, "Warning", "FieldIgnored",
                  "this node does not implement %s: containers have processes and IPC of their own",
                  buf_cstr(&b));
}

static void on_changed(void *user)
{
    pod_advance(user);
}

struct pod *pod_new(struct node *n, json_t *object)
{
    static const struct pod_inputs_ops inputs_ops = {on_inputs, on_inputs_changed};
    struct pod *p = NEW(struct pod);
    char key[512];
    p->node = n;
    loop_call_init(&p->advance, on_changed, p);
    p->object = json_incref(object);
    p->spec = json_incref(json_at(object, "spec"));
    p->key = xstrdup(object_key(object, key));
    p->ns = xstrdup(json_at_str(object, "metadata.namespace"));
    p->name = xstrdup(json_at_str(object, "metadata.name"));
    p->uid =
        xstrdup(json_at_str(object, "metadata.uid") ? json_at_str(object, "metadata.uid") : "none");
    p->dir = xasprintf("%s/pods/%s", n->options->state_dir, p->uid);
    p->host_network = json_at_bool(object, "spec.hostNetwork", false);
    p->net = (struct pod_net){.netns = -1, .slot = -1};
    p->ipcns = p->utsns = -1;
    const char *began = json_at_str(object, "status.startTime");
    int64_t began_us;
    p->start_s = began && time_parse_rfc3339(str_from(began), &began_us) == 0 ? began_us / 1000000
                                                                              : time_real_s();
    if (!began) /* nobody has told it yet */
        tell_ignored(p);
    p->retry = loop_timer_new(n->loop, on_retry, p);
    p->grace = loop_timer_new(n->loop, on_grace_over, p);
    p->deadline = loop_timer_new(n->loop, on_deadline, p);
    start_deadline(p);
    json_t *init = json_at(p->spec, "initContainers"), *main = json_at(p->spec, "containers");
    p->n_init = json_array_size(init);
    p->waiting = p->n_init ? "PodInitializing" : "ContainerCreating";
    p->containers =
        xcalloc(p->n_init + json_array_size(main) + POD_EPHEMERAL_MAX, sizeof(*p->containers));
    add_containers(p, init, true);
    add_containers(p, main, false);
    p->inputs = pod_inputs_fetch(n->client, n->configs, object, &inputs_ops, p);
    return p;
}

void pod_free(struct pod *p)
{
    if (p->has_host_ports)
        node_host_ports_changed(p->node->host_ports);
    for (size_t i = 0; i < p->n_containers; i++)
        pod_container_done(&p->containers[i]);
    free(p->containers);
    pod_inputs_free(p->inputs);
    pod_net_down(&p->node->pool, &p->net);
    if (p->ipcns >= 0)
        close(p->ipcns);
    if (p->utsns >= 0)
        close(p->utsns);
    if (p->status_call)
        kube_call_cancel(p->status_call);
    if (p->delete_call)
        kube_call_cancel(p->delete_call);
    loop_timer_free(p->retry);
    loop_timer_free(p->grace);
    loop_timer_free(p->deadline);
    pod_changed_cancel(p);
    trash_put(p->node->trash, p->dir);
    json_decref(p->status_sent);
    json_decref(p->spec);
    json_decref(p->object);
    free(p->key);
    free(p->ns);
    free(p->name);
    free(p->uid);
    free(p->dir);
    free(p->failed_reason);
    free(p);
}

/* ---- starting ---- */

/* Those the object names and we do not have yet. One that had been started under an earlier node
 * process is not started again. */
static void add_ephemeral(struct pod *p)
{
    json_t *spec, *status;
    size_t i, k;
    json_array_foreach(json_at(p->object, "spec.ephemeralContainers"), i, spec)
    {
        const char *name = json_key_str(spec, "name");
        if (!name || pod_container_find(p, name) || p->n_ephemeral == POD_EPHEMERAL_MAX)
            continue;
        struct pod_container *c = &p->containers[p->n_containers++];
        p->n_ephemeral++;
        c->pod = p;
        c->spec = c->own_spec = json_incref(spec);
        c->name = json_key_str(c->spec, "name");
        c->is_ephemeral = true;
        c->reason = xstrdup(p->waiting);
        list_init(&c->attached);
        json_array_foreach(json_at(p->object, "status.ephemeralContainerStatuses"), k, status)
        {
            if (!streq(json_key_str(status, "name"), name) || !json_key_str(status, "containerID"))
                continue;
            c->state = CONTAINER_TERMINATED;
            c->exit_code = 137;
            free(c->reason);
            c->reason = xstrdup("Error");
        }
    }
}

static int intercept_inside(void *user, struct err *reterr)
{
    return interception_apply_pod(user, reterr);
}

/* What fairlead-cni does on other nodes. A pod whose rules cannot be made has no network, as there.
 */
static int pod_intercept(struct pod *p, struct err *reterr)
{
    int r = netns_run(p->net.netns, intercept_inside, p->object, reterr);
    if (r < 0)
        pod_net_down(&p->node->pool, &p->net);
    return r;
}

static int sandbox_up(struct pod *p, struct err *reterr)
{
    char name[FABRIC_NAME_BYTES];
    int r = 0;
    if (p->host_network) {
        p->net.v4 = p->node->options->internal[0];
        p->net.v6 = p->node->options->internal[1];
    } else if (p->net.slot < 0) {
        fabric_pod_netns(p->node->options->lab, p->node->options->name, p->ns, p->name, name);
        r = pod_net_up(&p->node->pool, name, &p->net, reterr);
        if (r == 0 && interception_is_asked_for(p->object))
            r = pod_intercept(p, reterr);
    }
    AUTO_CHARS char *hostname = pod_kernel_hostname(p);
    if (r == 0 && p->ipcns < 0)
        r = netns_ipc_uts_new(hostname, &p->ipcns, &p->utsns, reterr);
    return r;
}

/* True when containers can be started. */
static bool pod_prepare(struct pod *p)
{
    struct err err = {0};
    if (!pod_inputs_are_ready(p->inputs))
        return false;
    int r = sandbox_up(p, &err);
    if (r < 0) {
        pod_event(p, "Warning", "FailedCreatePodSandBox", "Failed to create pod sandbox: %s",
                  err_text(&err));
    } else {
        r = pod_files_make(p, &err);
        if (r < 0)
            pod_event(p, "Warning", "FailedMount", "%s", err_text(&err));
    }
    if (r < 0) {
        log_warn("pod cannot start yet", kv_s("pod", p->key), kv_s("error", err_text(&err)));
        loop_timer_start(p->retry, POD_RETRY_MS);
        return false;
    }
    /* Variables and files may tell the pod's own address, which the API does not know yet. */
    json_t *own = json_deep_copy(p->object), *status = json_at(own, "status");
    if (!status) {
        status = json_object();
        json_put(own, "status", status);
    }
    pod_status_addresses(p, status);
    json_decref(p->object);
    p->object = own;
    return true;
}

/* Runs the init containers in order; true when all are through. */
static bool advance_init(struct pod *p)
{
    for (size_t i = 0; i < p->n_init; i++) {
        struct pod_container *c = &p->containers[i];
        if (c->state == CONTAINER_TERMINATED && c->exit_code == 0 && !c->is_sidecar)
            continue;
        if (c->is_sidecar && c->state == CONTAINER_RUNNING && c->started)
            continue;
        if (c->state == CONTAINER_TERMINATED && !pod_container_restarts(c)) {
            pod_fail(p, "");
            return false;
        }
        /* A sidecar that has been up before holds nothing back while it starts again. */
        bool holds = !c->is_sidecar || !c->was_started;
        if (c->state != CONTAINER_RUNNING && !pod_container_waits(c))
            pod_container_start(c);
        if (holds)
            return false;
    }
    return true;
}

static void advance_run(struct pod *p)
{
    bool any_left = false;
    add_ephemeral(p);
    for (size_t i = 0; i < p->n_containers; i++) {
        struct pod_container *c = &p->containers[i];
        if (c->is_init && !c->is_sidecar)
            continue;
        bool counts = !c->is_init && !c->is_ephemeral; /* keeps the pod going */
        if (c->state == CONTAINER_WAITING ||
            (c->state == CONTAINER_TERMINATED && pod_container_restarts(c))) {
            any_left = any_left || counts;
            if (!pod_container_waits(c))
                pod_container_start(c);
        } else if (c->state == CONTAINER_RUNNING && counts) {
            any_left = true;
        }
        if (c->is_post_starting) /* those after it wait for its hook */
            return;
    }
    if (any_left)
        return;
    p->step = POD_OVER;
    pod_end_begin(p, pod_grace_s(p)); /* of the sidecars */
}

/* ---- stopping ---- */

static void on_deleted(const struct kube_result *r, void *user)
{
    struct pod *p = user;
    p->delete_call = NULL;
    if (!kube_ok(r) && r->status != 404 && r->status != 409)
        loop_timer_start(p->retry, POD_RETRY_MS);
}

/* Everything has ended: the object may go. The answer to that is the informer's on_delete. */
static void delete_object(struct pod *p)
{
    if (p->delete_call || p->step == POD_REMOVED)
        return;
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/%s/pods/%s", p->ns, p->name);
    AUTO_JSON json_t *options =
        json_pack("{s:s,s:s,s:i,s:{s:s}}", "kind", "DeleteOptions", "apiVersion", "v1",
                  "gracePeriodSeconds", 0, "preconditions", "uid", p->uid);
    p->delete_call = kube_call(p->node->client, "DELETE", path, NULL, options, on_deleted, p);
}

static void pod_stop(struct pod *p)
{
    pod_end_begin(p, json_at_int(p->object, "metadata.deletionGracePeriodSeconds", pod_grace_s(p)));
}

/* Those that a probe has given up on: they are asked to end, and their policy starts them again. */
static void end_unhealthy(struct pod *p)
{
    for (size_t i = 0; i < p->n_containers; i++) {
        struct pod_container *c = &p->containers[i];
        if (c->was_killed && c->pid && !c->is_ending)
            pod_container_end(c, c->kill_grace_s);
    }
}

/* Ports of the node are the pod's while it has its network and something may run in it. */
static void settle_host_ports(struct pod *p)
{
    bool has = p->net.slot >= 0 && (p->step < POD_STOPPING || pod_anything_runs(p)) &&
               pod_wants_host_ports(p);
    if (has == p->has_host_ports)
        return;
    p->has_host_ports = has;
    node_host_ports_changed(p->node->host_ports);
}

void pod_advance(struct pod *p)
{
    if (p->step == POD_REMOVED)
        return;
    bool deleting = json_at(p->object, "metadata.deletionTimestamp") != NULL;
    if (deleting && p->step != POD_STOPPING) {
        p->step = POD_STOPPING;
        pod_stop(p);
    }
    if (p->step == POD_FETCH && pod_prepare(p))
        p->step = POD_INIT;
    if (p->step == POD_INIT && advance_init(p))
        p->step = POD_RUN;
    if (p->step == POD_INIT && p->failed_reason) {
        p->step = POD_OVER;
        pod_end_begin(p, pod_grace_s(p));
    }
    if (p->step == POD_RUN)
        advance_run(p);
    end_unhealthy(p);
    pod_end_advance(p);
    settle_host_ports(p);
    if (p->step == POD_STOPPING && !pod_anything_runs(p)) {
        node_host_ports_settle(p->node->host_ports); /* who sees the pod gone may count on it */
        delete_object(p);
    }
    pod_status_push(p);
}

void pod_update(struct pod *p, json_t *object)
{
    bool known = json_at_str(object, "status.podIP") || !json_at_str(p->object, "status.podIP");
    json_t *mine = known ? json_incref(object) : json_deep_copy(object);
    if (!known)
        pod_status_addresses(p, json_at(mine, "status"));
    static const char *const told[] = {"metadata.labels", "metadata.annotations"};
    bool files = false;
    for (size_t i = 0; i < ARRAY_LEN(told); i++) {
        const json_t *was = json_at(p->object, told[i]), *is = json_at(mine, told[i]);
        files = files || (was != is && !json_equal(was, is));
    }
    bool deadline = json_at_int(p->object, "spec.activeDeadlineSeconds", 0) !=
                    json_at_int(mine, "spec.activeDeadlineSeconds", 0);
    bool grace = json_at_int(p->object, "metadata.deletionGracePeriodSeconds", -1) !=
                 json_at_int(mine, "metadata.deletionGracePeriodSeconds", -1);
    json_decref(p->object);
    p->object = mine;
    if (files && (p->step == POD_INIT || p->step == POD_RUN))
        update_files(p);
    if (deadline)
        start_deadline(p);
    if (p->step == POD_STOPPING && grace) /* deleted once more, with less time */
        pod_stop(p);
    pod_advance(p);
}
