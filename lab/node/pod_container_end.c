/* Hooks of a container and its end: postStart, preStop, signals, the period after which it is
 * killed. */
#include <signal.h>
#include <stdio.h>

#include "lab/node/container.h"
#include "lab/node/node_priv.h"
#include "lab/node/process_streams.h"

enum { KILL_EXTRA_MS = 2000 };

static void drop_hook(struct pod_container *c)
{
    pod_hook_free(c->hook);
    c->hook = NULL;
    c->is_post_starting = false;
}

/* lifecycle.stopSignal ("SIGUSR1"), else SIGTERM. */
static int stop_signal(const struct pod_container *c)
{
    const char *name = json_at_str(c->spec, "lifecycle.stopSignal");
    for (int i = 1; name && strncmp(name, "SIG", 3) == 0 && i < SIGRTMIN; i++)
        if (streq(sigabbrev_np(i), name + 3))
            return i;
    return SIGTERM;
}

static void on_pre_stop(bool ok, const char *text, void *user)
{
    struct pod_container *c = user;
    if (!ok)
        pod_event(c->pod, "Warning", "FailedPreStopHook", "PreStopHook failed: %s", text);
    drop_hook(c);
    container_kill(c->pid, stop_signal(c));
}

void pod_container_stop(struct pod_container *c)
{
    const json_t *handler = json_at(c->spec, "lifecycle.preStop");
    if (!c->pid || c->is_ending)
        return;
    c->is_ending = true;
    drop_hook(c);
    if (handler)
        c->hook = pod_hook_start(c, handler, on_pre_stop, c);
    else
        container_kill(c->pid, stop_signal(c));
}

void pod_container_kill(struct pod_container *c, int signo)
{
    if (!c->pid)
        return;
    drop_hook(c);
    container_kill(c->pid, signo == SIGTERM ? stop_signal(c) : signo);
}

static void on_kill_timer(void *user)
{
    struct pod_container *c = user;
    bool in_hook = c->hook != NULL;
    pod_container_kill(c, in_hook ? SIGTERM : SIGKILL);
    if (in_hook)
        loop_timer_start(c->kill_timer, KILL_EXTRA_MS);
}

void pod_container_end(struct pod_container *c, int64_t grace_s)
{
    if (!c->kill_timer)
        c->kill_timer = loop_timer_new(c->pod->node->loop, on_kill_timer, c);
    pod_container_stop(c);
    loop_timer_start(c->kill_timer, (uint64_t)MAX(grace_s, (int64_t)0) * 1000);
}

static void on_post_start(bool ok, const char *text, void *user)
{
    struct pod_container *c = user;
    drop_hook(c);
    if (ok) {
        probes_start(c);
    } else {
        pod_event(c->pod, "Warning", "FailedPostStartHook", "PostStartHook failed: %s", text);
        pod_event(c->pod, "Normal", "Killing", "FailedPostStartHook");
        pod_container_end(c, pod_grace_s(c->pod));
    }
    pod_changed(c->pod);
}

void pod_container_post_start(struct pod_container *c)
{
    const json_t *handler = json_at(c->spec, "lifecycle.postStart");
    if (!handler) {
        probes_start(c);
        return;
    }
    c->is_post_starting = true;
    c->hook = pod_hook_start(c, handler, on_post_start, c);
}

void pod_container_ended(struct pod_container *c)
{
    drop_hook(c);
    loop_timer_stop(c->kill_timer);
    probes_stop(c);
    process_input_free(c->input);
    c->input = NULL;
}
