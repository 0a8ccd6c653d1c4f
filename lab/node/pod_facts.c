/* What all parts of a pod ask of it, and how they tell that something is another way now.
 *
 * The lowest of the pod's files: it reads a pod, changes none and knows no other part. A part that
 * has seen something happen says pod_changed(); what follows from it is decided by pod.c, which
 * gave the pod its advance function, and never inside the call. */
#include <stdarg.h>
#include <stdio.h>

#include "lab/node/node_priv.h"

enum { GRACE_DEFAULT_S = 30 };

void pod_changed(struct pod *p)
{
    loop_defer(p->node->loop, &p->advance);
}

void pod_changed_cancel(struct pod *p)
{
    loop_call_cancel(&p->advance);
}

const char *pod_dir_file(const struct pod *p, char *ret, size_t size, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(ret, size, "%s/", p->dir);
    va_start(ap, fmt);
    if (n > 0 && (size_t)n < size)
        vsnprintf(ret + n, size - (size_t)n, fmt, ap);
    va_end(ap);
    return ret;
}

void pod_event(struct pod *p, const char *type, const char *reason, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    event_record(p->node->events, p->object, "Pod", "v1", type, reason, "%s", text);
}

struct pod_container *pod_container_find(struct pod *p, const char *name)
{
    for (size_t i = 0; i < p->n_containers; i++)
        if (streq(p->containers[i].name, name))
            return &p->containers[i];
    return NULL;
}

int64_t pod_grace_s(const struct pod *p)
{
    int64_t s = json_at_int(p->object, "spec.terminationGracePeriodSeconds", GRACE_DEFAULT_S);
    return MIN(MAX(s, (int64_t)0), (int64_t)POD_GRACE_MAX_S);
}

bool pod_anything_runs(const struct pod *p)
{
    for (size_t i = 0; i < p->n_containers; i++)
        if (p->containers[i].pid)
            return true;
    return false;
}

bool pod_container_waits(const struct pod_container *c)
{
    return c->retry && loop_timer_is_started(c->retry);
}

bool pod_container_restarts(const struct pod_container *c)
{
    const char *policy = json_at_str(c->pod->object, "spec.restartPolicy");
    if (c->pod->step == POD_STOPPING || c->pod->step == POD_OVER)
        return false;
    if (c->is_ephemeral)
        return false;
    if (c->is_sidecar)
        return true;
    if (streq(policy, "Never"))
        return false;
    if (c->is_init || streq(policy, "OnFailure"))
        return c->exit_code != 0;
    return true;
}
