/* How a pod ends: deleted, over its deadline, or because its work is done.
 *
 * The grace period is one for the whole pod and begins when the end begins, preStop hooks included.
 * Init and ordinary containers are asked at once; sidecars follow in the reverse of their order,
 * each when those after it have gone. When the period is over, a hook that still runs is dropped
 * and its container gets SIGTERM and two seconds more, as do sidecars nobody has asked yet; the
 * others get SIGKILL. */
#include <signal.h>

#include "base/time.h"
#include "lab/node/node_priv.h"

enum { GRACE_EXTRA_MS = 2000 };

static void kill_all(struct pod *p)
{
    for (size_t i = 0; i < p->n_containers; i++)
        pod_container_kill(&p->containers[i], SIGKILL);
}

void pod_end_grace_over(struct pod *p)
{
    bool extra = false;
    for (size_t i = 0; i < p->n_containers && !p->end_is_late; i++) {
        struct pod_container *c = &p->containers[i];
        bool asked = c->is_ending && !c->hook;
        if (c->pid && !asked)
            extra = true;
        c->is_ending = true;
        pod_container_kill(c, asked ? SIGKILL : SIGTERM);
    }
    if (p->end_is_late)
        kill_all(p);
    p->end_is_late = true;
    if (extra)
        loop_timer_start(p->grace, GRACE_EXTRA_MS);
}

void pod_end_advance(struct pod *p)
{
    if (!p->is_ending)
        return;
    for (size_t i = p->n_containers; i-- > 0;) { /* sidecars are first, so they come last here */
        struct pod_container *c = &p->containers[i];
        if (!c->pid)
            continue;
        pod_container_stop(c);
        if (c->is_sidecar)
            return;
        for (size_t k = 0; k < i; k++) /* everything else that is no sidecar, at once */
            if (!p->containers[k].is_sidecar)
                pod_container_stop(&p->containers[k]);
        return;
    }
}

void pod_end_begin(struct pod *p, int64_t grace_s)
{
    uint64_t until_ms =
        time_mono_ms() + (uint64_t)MIN(MAX(grace_s, (int64_t)0), (int64_t)POD_GRACE_MAX_S) * 1000;
    if (!p->is_ending) {
        p->is_ending = true;
        for (size_t i = 0; i < p->n_containers; i++) {
            struct pod_container *c = &p->containers[i];
            loop_timer_stop(c->retry);
            probes_stop_liveness(c);
            if (c->pid)
                pod_event(p, "Normal", "Killing", "Stopping container %s", c->name);
        }
    }
    if (grace_s <= 0) {
        kill_all(p);
        return;
    }
    pod_end_advance(p);
    if (!pod_anything_runs(p) ||
        (loop_timer_is_started(p->grace) && (p->end_is_late || p->end_ms <= until_ms)))
        return; /* a period may become shorter, never longer */
    p->end_ms = until_ms;
    loop_timer_start(p->grace, (uint64_t)grace_s * 1000);
}
