/* Running probes: HTTP, TCP, a command in the container. gRPC services are probed as TCP: a port
 * that accepts counts.
 *
 * A probe_run is one probe of one container: a timer, at most one attempt under way, and its
 * deadline. Results go into the state machine (probe.c); what they add up to is read by
 * probes_settle(). Attempts are made from the node's namespace, as kubelet makes them. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/time.h"
#include "lab/node/container.h"
#include "lab/node/node_priv.h"

enum { PROBE_REDIRECTS_MAX = 10 };

struct probe_run {
    struct pod_container *container;
    const json_t *spec;
    struct probe probe;
    struct loop_timer *timer; /* next attempt */
    struct loop_timer *deadline;
    struct http_client *client;
    struct http_call *call;
    json_t *hop; /* the action that a redirect leads to; NULL = the probe's own is under way */
    struct http_client *hop_client; /* of the last one */
    unsigned redirects;
    uint64_t began_ms;
    struct conn *conn;
    pid_t pid;
    char text[200]; /* of the last failure */
};

static const char *const probe_names[] = {"Startup", "Readiness", "Liveness"};
static const char *const probe_keys[] = {"startupProbe", "readinessProbe", "livenessProbe"};

static struct loop *loop_of(const struct probe_run *r)
{
    return r->container->pod->node->loop;
}

static void attempt_drop(struct probe_run *r)
{
    loop_timer_stop(r->deadline);
    if (r->call)
        http_call_cancel(r->call);
    r->call = NULL;
    json_decref(r->hop);
    r->hop = NULL;
    r->redirects = 0;
    if (r->conn)
        conn_free(r->conn);
    r->conn = NULL;
    if (r->pid) {
        loop_child_forget(loop_of(r), r->pid);
        container_kill(r->pid, SIGKILL);
    }
    r->pid = 0;
}

static void container_unhealthy(struct pod_container *c, const struct probe_run *r)
{
    if (c->was_killed || !c->pid)
        return;
    c->was_killed = true;
    c->kill_grace_s = json_at_int(r->spec, "terminationGracePeriodSeconds", pod_grace_s(c->pod));
    pod_event(c->pod, "Normal", "Killing", "Container %s failed %s probe, will be restarted",
              c->name, r->probe.kind == PROBE_STARTUP ? "startup" : "liveness");
    pod_changed(c->pod);
}

static void attempt_over(struct probe_run *r, bool success)
{
    struct pod_container *c = r->container;
    bool had_succeeded = r->probe.succeeded_once;
    uint64_t counted = r->probe.counted_ms;
    attempt_drop(r);
    uint64_t wait = probe_result(&r->probe, success, time_mono_ms());
    if (!success && (had_succeeded || r->probe.counted_ms != counted))
        pod_event(c->pod, "Warning", "Unhealthy", "%s probe failed: %s", probe_names[r->probe.kind],
                  r->text);
    if (r->probe.kind != PROBE_STARTUP || r->probe.verdict != PROBE_PASSED)
        loop_timer_start(r->timer, wait); /* a startup probe that has passed has done its work */
    if (r->probe.verdict == PROBE_FAILED && r->probe.kind != PROBE_READINESS && !success)
        container_unhealthy(c, r);
    probes_settle(c);
}

static void on_deadline(void *user)
{
    struct probe_run *r = user;
    snprintf(r->text, sizeof(r->text), "no answer within %llu s",
             (unsigned long long)r->probe.timing.timeout_ms / 1000);
    attempt_over(r, false);
}

/* ---- HTTP ---- */

/* As kubelet (and Go's client): the tenth redirect is too many; one to another host ends the
 * attempt with success and a warning, as does a 3xx that leads nowhere. True: goes on. */
static bool follow(struct probe_run *r, const struct http_call *call, int status)
{
    const json_t *action = r->hop ? r->hop : json_at(r->spec, "httpGet");
    struct str location = http_call_header(call, "Location");
    bool leads = status != 300 && status != 304 && status != 305 && status != 306 && status < 309;
    char host[IP_TEXT_BYTES];
    struct ip ip;
    if (!leads || !location.n || pod_action_address(r->container, action, &ip) < 0)
        return false;
    json_t *to = pod_http_redirect(action, location, ip_format(&ip, host),
                                   pod_action_port(r->container, action));
    if (!to)
        return false;
    json_decref(r->hop);
    r->hop = to;
    r->redirects++;
    return true;
}

static void on_http_done(struct http_call *call, int code, const char *text, void *user)
{
    struct probe_run *r = user;
    int status = http_call_status(call);
    r->call = NULL;
    if (code < 0)
        snprintf(r->text, sizeof(r->text), "Get: %s", text ? text : strerror(-code));
    else
        snprintf(r->text, sizeof(r->text), "HTTP probe failed with statuscode: %d", status);
    if (code == 0 && status >= 300 && status < 400) {
        if (follow(r, call, status) && r->redirects < PROBE_REDIRECTS_MAX) {
            loop_timer_start(r->timer, 0); /* not from inside a call */
            return;
        }
        if (r->redirects == PROBE_REDIRECTS_MAX) {
            snprintf(r->text, sizeof(r->text), "Get: stopped after %d redirects",
                     PROBE_REDIRECTS_MAX);
            code = -ELOOP;
        } else {
            pod_event(r->container->pod, "Warning", "ProbeWarning",
                      "%s probe warning: Probe terminated redirects: HTTP %d",
                      probe_names[r->probe.kind], status);
        }
    }
    attempt_over(r, code == 0 && status >= 200 && status < 400);
}

static void probe_http(struct probe_run *r, const json_t *action)
{
    static const struct http_call_ops ops = {.on_done = on_http_done, .on_data = pod_http_skip};
    struct http_client **client = r->hop ? &r->hop_client : &r->client;
    uint64_t timeout_ms = r->probe.timing.timeout_ms, now = time_mono_ms();
    if (r->hop) {
        http_client_free(r->hop_client); /* its host may have been another port */
        r->hop_client = NULL;
        timeout_ms -= MIN(now - r->began_ms, timeout_ms - 1);
    } else {
        r->began_ms = now;
    }
    if (!*client && !(*client = pod_http_client(r->container, action, timeout_ms))) {
        snprintf(r->text, sizeof(r->text), "the probe names no usable address");
        attempt_over(r, false);
        return;
    }
    r->call = pod_http_get(*client, action, timeout_ms, &ops, r);
}

/* ---- TCP ---- */

static void on_tcp_open(struct conn *c, void *user)
{
    (void)c;
    attempt_over(user, true); /* drops the connection */
}

static void on_tcp_data(struct conn *c, void *user)
{
    (void)user;
    chain_done(conn_in(c));
}

static void on_tcp_close(struct conn *c, int code, const char *text, void *user)
{
    (void)c;
    struct probe_run *r = user;
    r->conn = NULL;
    snprintf(r->text, sizeof(r->text), "%s", text && *text ? text : strerror(-code));
    attempt_over(r, false);
}

static void probe_tcp(struct probe_run *r, const json_t *action)
{
    static const struct conn_ops ops = {
        .on_open = on_tcp_open, .on_data = on_tcp_data, .on_close = on_tcp_close};
    struct sockaddr_storage to;
    struct ip ip;
    if (pod_action_address(r->container, action, &ip) < 0) {
        snprintf(r->text, sizeof(r->text), "the probe names no usable address");
        attempt_over(r, false);
        return;
    }
    socklen_t len = ip_to_sockaddr(&ip, pod_action_port(r->container, action), &to);
    r->conn = conn_connect(loop_of(r), &to, len, &(struct conn_options){0}, &ops, r);
    loop_timer_start(r->deadline, r->probe.timing.timeout_ms);
}

/* ---- a command ---- */

static void on_exec_exit(pid_t pid, int status, void *user)
{
    (void)pid;
    struct probe_run *r = user;
    r->pid = 0;
    snprintf(r->text, sizeof(r->text), "command ended with status %d",
             WIFEXITED(status) ? WEXITSTATUS(status) : 128);
    attempt_over(r, WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* $(NAME) in a probe's command knows what the spec says itself, nothing that comes from elsewhere:
 * such a variable is empty, as with kubelet. */
static void static_env(const struct pod_container *c, struct env *e)
{
    json_t *item;
    size_t i;
    json_array_foreach(json_at(c->spec, "env"), i, item)
    {
        const char *name = json_key_str(item, "name"), *value = json_key_str(item, "value");
        if (name)
            env_set(e, name, value ? value : "");
    }
}

static void probe_exec(struct probe_run *r, const json_t *command)
{
    AUTO_DONE(env) struct env e = {0};
    struct err err = {0};
    static_env(r->container, &e);
    int code = pod_container_run(r->container, command, &e, &r->pid, &err);
    if (code == 0)
        code = loop_child_add(loop_of(r), r->pid, on_exec_exit, r);
    if (code < 0) {
        snprintf(r->text, sizeof(r->text), "%s", err_text(&err));
        attempt_over(r, false);
    } else {
        loop_timer_start(r->deadline, r->probe.timing.timeout_ms);
    }
}

static void on_timer(void *user)
{
    struct probe_run *r = user;
    struct pod_container *c = r->container;
    const json_t *action;
    if (!c->pid || r->call || r->conn || r->pid || c->was_killed)
        return;
    if (r->probe.kind != PROBE_STARTUP && !c->started) /* the startup probe comes first */
        return;
    if ((action = json_at(r->spec, "httpGet")))
        probe_http(r, r->hop ? r->hop : action);
    else if ((action = json_at(r->spec, "tcpSocket")) || (action = json_at(r->spec, "grpc")))
        probe_tcp(r, action);
    else if ((action = json_at(r->spec, "exec.command")))
        probe_exec(r, action);
}

/* ---- all probes of a container ---- */

/* initialDelaySeconds counts from the start of the container, not from the end of its startup. */
static uint64_t delay_left(const struct probe_run *r)
{
    uint64_t ran = time_mono_ms() - r->container->started_ms,
             delay = r->probe.timing.initial_delay_ms;
    return delay > ran ? delay - ran : 0;
}

void probes_settle(struct pod_container *c)
{
    const struct probe_run *startup = c->probes[PROBE_STARTUP],
                           *readiness = c->probes[PROBE_READINESS];
    bool running = c->state == CONTAINER_RUNNING;
    bool started = running && (c->started || !startup || startup->probe.verdict == PROBE_PASSED);
    bool ready = started && (!readiness || readiness->probe.verdict == PROBE_PASSED);
    if (started == c->started && ready == c->ready)
        return;
    bool begins = started && !c->started;
    c->started = started;
    c->was_started = c->was_started || started;
    c->ready = ready;
    for (int kind = PROBE_READINESS; begins && kind < _PROBE_KINDS; kind++)
        if (c->probes[kind])
            loop_timer_start(c->probes[kind]->timer, delay_left(c->probes[kind]));
    pod_changed(c->pod);
}

static void probe_run_free(struct probe_run *r)
{
    if (!r)
        return;
    attempt_drop(r);
    loop_timer_free(r->timer);
    loop_timer_free(r->deadline);
    http_client_free(r->client);
    http_client_free(r->hop_client);
    free(r);
}

static void settle_later(void *user)
{
    probes_settle(user);
}

void probes_start(struct pod_container *c)
{
    probes_stop(c);
    c->started = c->ready = false;
    for (int kind = 0; kind < _PROBE_KINDS; kind++) {
        const json_t *spec = json_at(c->spec, probe_keys[kind]);
        if (!spec || (c->is_init && !c->is_sidecar))
            continue;
        struct probe_run *r = c->probes[kind] = NEW(struct probe_run);
        r->container = c;
        r->spec = spec;
        r->timer = loop_timer_new(loop_of(r), on_timer, r);
        r->deadline = loop_timer_new(loop_of(r), on_deadline, r);
        probe_init(&r->probe, (enum probe_kind)kind, spec);
    }
    if (c->probes[PROBE_STARTUP])
        loop_timer_start(c->probes[PROBE_STARTUP]->timer,
                         c->probes[PROBE_STARTUP]->probe.timing.initial_delay_ms);
    loop_call_init(&c->settle, settle_later, c);
    loop_defer(c->pod->node->loop, &c->settle);
}

void probes_stop(struct pod_container *c)
{
    loop_call_cancel(&c->settle);
    for (int kind = 0; kind < _PROBE_KINDS; kind++) {
        probe_run_free(c->probes[kind]);
        c->probes[kind] = NULL;
    }
}

void probes_stop_liveness(struct pod_container *c)
{
    static const enum probe_kind kinds[] = {PROBE_STARTUP, PROBE_LIVENESS};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        probe_run_free(c->probes[kinds[i]]);
        c->probes[kinds[i]] = NULL;
    }
}
