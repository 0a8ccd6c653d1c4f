#include "control/pod_watch.h"

#include "base/log.h"
#include "kube/informer.h"

struct pod_watch {
    struct kube_client *client;
    const struct pod_watch_ops *ops;
    void *user;
    struct workloads *table;
    struct informer *informer; /* NULL: nobody wants them yet */
    struct informer *nodes;    /* where pods are */
};

static void on_upsert(json_t *object, void *user)
{
    const struct pod_watch *p = user;
    workloads_put(p->table, object);
}

static void on_delete(struct str key, json_t *object, void *user)
{
    const struct pod_watch *p = user;
    (void)object;
    workloads_remove(p->table, key);
}

static void on_node(json_t *object, void *user)
{
    const struct pod_watch *p = user;
    workloads_put_node(p->table, object);
}

static void on_node_gone(struct str key, json_t *object, void *user)
{
    const struct pod_watch *p = user;
    (void)object;
    workloads_remove_node(p->table, key);
}

static void on_synced(void *user)
{
    const struct pod_watch *p = user;
    p->ops->on_synced(p->user);
}

static void on_error(const char *text, void *user)
{
    (void)user;
    log_warn("pods cannot be watched; sidecars are not told what follows from them",
             kv_s("cause", text));
}

static void on_node_error(const char *text, void *user)
{
    (void)user;
    log_warn("nodes cannot be watched; where pods are is not known", kv_s("cause", text));
}

static void on_change(const struct workload *w, void *user)
{
    const struct pod_watch *p = user;
    /* Until then nobody has been told anything; entries may come before pods are wanted. */
    if (p->informer && informer_synced(p->informer))
        p->ops->on_change(w, p->user);
}

struct pod_watch *pod_watch_new(struct kube_client *c, const struct pod_watch_ops *ops, void *user)
{
    struct pod_watch *p = NEW(struct pod_watch);
    p->client = c;
    p->ops = ops;
    p->user = user;
    p->table = workloads_new(on_change, p);
    return p;
}

void pod_watch_free(struct pod_watch *p)
{
    if (!p)
        return;
    informer_free(p->informer);
    informer_free(p->nodes);
    workloads_free(p->table);
    free(p);
}

bool pod_watch_want(struct pod_watch *p)
{
    static const struct informer_ops ops = {.on_upsert = on_upsert,
                                            .on_delete = on_delete,
                                            .on_synced = on_synced,
                                            .on_error = on_error};
    static const struct informer_options options = {
        .path = "/api/v1/pods",
        .field_selector = "status.phase!=Succeeded,status.phase!=Failed",
        .lean = true};
    static const struct informer_ops node_ops = {.on_upsert = on_node,
                                                 .on_delete = on_node_gone,
                                                 .on_synced = on_synced,
                                                 .on_error = on_node_error};
    static const struct informer_options node_options = {
        .path = "/api/v1/nodes", .lean = true, .optional = true};
    if (!p->informer) {
        p->informer = informer_start(p->client, &options, &ops, p);
        p->nodes = informer_start(p->client, &node_options, &node_ops, p);
    }
    return informer_synced(p->informer) && informer_synced(p->nodes);
}

struct workloads *pod_watch_table(const struct pod_watch *p)
{
    return p->table;
}
