/* Lifecycle hooks: postStart and preStop, of kind exec, httpGet or sleep.
 *
 * A hook is one attempt without a deadline of its own: whoever started it bounds it (preStop: the
 * grace period) and may drop it at any time. done() comes once, never from inside the start. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "lab/node/container.h"
#include "lab/node/node_priv.h"

enum { HOOK_HTTP_MS = 30 * 1000 };

struct pod_hook {
    struct loop *loop;
    struct loop_timer *timer; /* of a sleep, or of a failure that is told a moment later */
    pid_t pid;
    struct http_client *client;
    struct http_call *call;
    bool ok; /* what the timer tells */
    char text[200];
    pod_hook_fn *done;
    void *user;
};

void pod_hook_free(struct pod_hook *h)
{
    if (!h)
        return;
    if (h->pid) {
        loop_child_forget(h->loop, h->pid);
        container_kill(h->pid, SIGKILL);
    }
    if (h->call)
        http_call_cancel(h->call);
    http_client_free(h->client);
    loop_timer_free(h->timer);
    free(h);
}

static void hook_over(struct pod_hook *h, bool ok)
{
    char text[sizeof(h->text)];
    memcpy(text, h->text, sizeof(text));
    h->done(ok, text, h->user); /* frees us */
}

static void on_timer(void *user)
{
    struct pod_hook *h = user;
    hook_over(h, h->ok);
}

static void on_exit_of(pid_t pid, int status, void *user)
{
    struct pod_hook *h = user;
    (void)pid;
    h->pid = 0;
    snprintf(h->text, sizeof(h->text), "command exited with %d",
             WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    hook_over(h, WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void on_http_done(struct http_call *call, int code, const char *text, void *user)
{
    struct pod_hook *h = user;
    int status = http_call_status(call);
    h->call = NULL;
    if (code < 0)
        snprintf(h->text, sizeof(h->text), "Get: %s", text ? text : strerror(-code));
    else
        snprintf(h->text, sizeof(h->text), "HTTP request returned status %d", status);
    hook_over(h, code == 0 && status >= 200 && status < 400);
}

struct pod_hook *pod_hook_start(struct pod_container *c, const json_t *handler, pod_hook_fn *done,
                                void *user)
{
    static const struct http_call_ops ops = {.on_done = on_http_done, .on_data = pod_http_skip};
    struct pod_hook *h = NEW(struct pod_hook);
    struct err err = {0};
    const json_t *action;
    uint64_t after_ms = 0;
    h->loop = c->pod->node->loop;
    h->done = done;
    h->user = user;
    h->timer = loop_timer_new(h->loop, on_timer, h);
    if ((action = json_at(handler, "exec.command"))) {
        if (pod_container_run(c, action, NULL, &h->pid, &err) == 0 &&
            loop_child_add(h->loop, h->pid, on_exit_of, h) == 0)
            return h;
        snprintf(h->text, sizeof(h->text), "%s", err_text(&err));
    } else if ((action = json_at(handler, "httpGet"))) {
        if ((h->client = pod_http_client(c, action, HOOK_HTTP_MS)) &&
            (h->call = pod_http_get(h->client, action, HOOK_HTTP_MS, &ops, h)))
            return h;
        snprintf(h->text, sizeof(h->text), "the hook names no usable address");
    } else if ((action = json_at(handler, "sleep"))) {
        h->ok = true;
        after_ms = (uint64_t)MAX(json_at_int(action, "seconds", 0), (int64_t)0) * 1000;
    } else {
        snprintf(h->text, sizeof(h->text), "the hook has no action");
    }
    loop_timer_start(h->timer, after_ms);
    return h;
}
