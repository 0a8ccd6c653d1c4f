#pragma once
/* The pods of the cluster, watched from the day that somebody wants them: who serves Ingresses
 * alone has no right to them, and no use. Those that have ended are not among them. */

#include "kube/client.h"
#include "model/workload.h"

struct pod_watch;

struct pod_watch_ops {
    workload_fn *on_change;
    void (*on_synced)(void *user);
};

struct pod_watch *pod_watch_new(struct kube_client *c, const struct pod_watch_ops *ops, void *user);
void pod_watch_free(struct pod_watch *p); /* NULL is allowed */
/* From now on. True: all that there are are known. */
bool pod_watch_want(struct pod_watch *p);
/* Others may put what is no pod there, too. */
struct workloads *pod_watch_table(const struct pod_watch *p);
