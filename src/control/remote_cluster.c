#include "control/remote_cluster.h"

#include <errno.h>

#include "base/log.h"
#include "control/network_watch.h"
#include "kube/informer.h"

enum { WATCHES = 4 };

struct remote_cluster {
    const struct remote_cluster_options *o;
    struct cluster *of;
    struct kube_client *client;
    struct informer *watches[WATCHES]; /* Services, slices, pods, nodes */
    struct network_watch *network;
    char *trouble;
};

static void forget_trouble(struct remote_cluster *r)
{
    free(TAKE(r->trouble));
}

static void on_error(const char *text, void *user)
{
    struct remote_cluster *r = user;
    if (!r->trouble || !streq(r->trouble, text))
        log_warn("another cluster cannot be watched; what it had stays", kv_s("cluster", r->of->id),
                 kv_s("cause", text));
    free(r->trouble);
    r->trouble = xstrdup(text);
}

static void on_synced(void *user)
{
    struct remote_cluster *r = user;
    if (!remote_cluster_synced(r))
        return;
    if (r->trouble || r->client)
        log_info("another cluster is known", kv_s("cluster", r->of->id),
                 kv_s("network", r->of->network));
    forget_trouble(r);
    r->o->on_change(r->o->user);
}

/* ---- Services ---- */

/* Of which each cluster has its own: Istio's choice, and whatever we run beside. */
static bool is_for_itself(const struct remote_cluster *r, struct str key)
{
    struct str name, ns = str_cut(key, '/', &name);
    return str_is(ns, "kube-system") || str_is(ns, r->o->root_namespace) ||
           str_is(key, "default/kubernetes");
}

static void put_gateway(struct remote_cluster *r, struct str key, const json_t *object)
{
    if (clusters_put_gateway(r->o->clusters, r->of->number, key, object))
        r->o->on_clusters(r->o->user);
}

static void on_service(json_t *object, void *user)
{
    struct remote_cluster *r = user;
    struct service_object *s = service_object_decode(object);
    if (!s)
        return;
    put_gateway(r, str_from(s->key), object);
    if (is_for_itself(r, str_from(s->key))) {
        service_object_free(s);
        return;
    }
    cluster_adopt_service(r->of->number, s);
    service_join_add_service(r->o->join, &s);
    r->o->on_change(r->o->user);
}

static void on_service_gone(struct str key, json_t *object, void *user)
{
    struct remote_cluster *r = user;
    (void)object;
    put_gateway(r, key, NULL);
    service_join_remove_service_of(r->o->join, key, r->of->number);
    r->o->on_change(r->o->user);
}

static void on_slice_gone(struct str key, json_t *object, void *user)
{
    struct remote_cluster *r = user;
    AUTO_CHARS char *of = cluster_object_key(r->of->number, key);
    (void)object;
    service_join_remove_slice(r->o->join, str_from(of));
    r->o->on_change(r->o->user);
}

static void on_slice(json_t *object, void *user)
{
    struct remote_cluster *r = user;
    const struct slice_decoding o = {.topologies = &r->o->join->topologies,
                                     .cluster = r->of->number};
    struct slice_object *s = slice_object_decode(object, &o);
    char key[512];
    if (s && is_for_itself(r, str_from(s->service_key))) {
        slice_object_free(s);
        return;
    }
    if (s)
        service_join_add_slice(r->o->join, &s);
    else
        on_slice_gone(str_from(object_key(object, key)), NULL, r);
    r->o->on_change(r->o->user);
}

/* ---- pods ---- */

static void on_pod(json_t *object, void *user)
{
    const struct remote_cluster *r = user;
    workloads_put(r->of->pods, object);
}

static void on_pod_gone(struct str key, json_t *object, void *user)
{
    const struct remote_cluster *r = user;
    (void)object;
    workloads_remove(r->of->pods, key);
}

static void on_node(json_t *object, void *user)
{
    const struct remote_cluster *r = user;
    workloads_put_node(r->of->pods, object);
}

static void on_node_gone(struct str key, json_t *object, void *user)
{
    const struct remote_cluster *r = user;
    (void)object;
    workloads_remove_node(r->of->pods, key);
}

static void on_pod_change(const struct workload *pod, void *user)
{
    const struct remote_cluster *r = user;
    r->o->on_pod(r->of->number, pod, r->o->user);
}

static void on_network(const char *network, void *user)
{
    struct remote_cluster *r = user;
    if (clusters_set_network(r->o->clusters, r->of->number, network))
        r->o->on_clusters(r->o->user);
    on_synced(r);
}

/* ---- the whole ---- */

#define OPS(name)                                                                                  \
    {                                                                                              \
        .on_upsert = on_##name, .on_delete = on_##name##_gone, .on_synced = on_synced,             \
        .on_error = on_error                                                                       \
    }

static void watch_all(struct remote_cluster *r)
{
    static const struct informer_ops ops[WATCHES] = {OPS(service), OPS(slice), OPS(pod), OPS(node)};
    static const struct informer_options options[WATCHES] = {
        {.path = "/api/v1/services", .lean = true},
        {.path = "/apis/discovery.k8s.io/v1/endpointslices", .lean = true},
        {.path = "/api/v1/pods",
         .field_selector = "status.phase!=Succeeded,status.phase!=Failed",
         .lean = true},
        {.path = "/api/v1/nodes", .lean = true},
    };
    for (unsigned i = 0; i < WATCHES; i++)
        r->watches[i] = informer_start(r->client, &options[i], &ops[i], r);
    r->network = network_watch_new(r->client, r->o->root_namespace, on_network, r);
}

static int connect_to(struct remote_cluster *r, const struct kube_config *config,
                      struct kube_client **ret, struct err *reterr)
{
    return kube_client_new(r->o->loop, config, "fairlead-control/" FAIRLEAD_VERSION, ret, reterr);
}

int remote_cluster_new(const struct remote_cluster_options *o, const char *id,
                       const struct kube_config *config, struct remote_cluster **ret,
                       struct err *reterr)
{
    struct remote_cluster *r = NEW(struct remote_cluster);
    struct workloads *pods = workloads_new(on_pod_change, r);
    int code;
    r->o = o;
    r->of = clusters_add(o->clusters, id, pods);
    if (!r->of) {
        workloads_free(pods);
        free(r);
        return err_set(reterr, -ENOSPC, NULL, "there are %d clusters already", CLUSTERS_MAX);
    }
    code = connect_to(r, config, &r->client, reterr);
    if (code < 0) {
        clusters_remove(o->clusters, r->of->number);
        free(r);
        return code;
    }
    watch_all(r);
    *ret = r;
    return 0;
}

int remote_cluster_move(struct remote_cluster *r, const struct kube_config *config,
                        struct err *reterr)
{
    struct kube_client *client;
    int code = connect_to(r, config, &client, reterr);
    if (code < 0)
        return code;
    for (unsigned i = 0; i < WATCHES; i++)
        informer_move(r->watches[i], client);
    network_watch_move(r->network, client);
    kube_client_free(r->client);
    r->client = client;
    return 0;
}

/* Slices and Services of the join that are of it. */
static void take_out(struct remote_cluster *r)
{
    struct service_join *j = r->o->join;
    AUTO_CHARS char *prefix = cluster_object_key(r->of->number, STR(""));
    VEC(char *) slices = {0};
    VEC(char *) services = {0};
    struct joined_service *s;
    struct str key;
    for (size_t at = 0; map_next(&j->slices, &at, &key, NULL);)
        if (str_starts(key, str_from(prefix)))
            vec_push(&slices, str_dup(key));
    for (size_t at = 0; service_join_next(j, &at, &s);)
        vec_push(&services, xstrdup(s->key));
    VEC_FOREACH (one, &slices) {
        service_join_remove_slice(j, str_from(*one));
        free(*one);
    }
    VEC_FOREACH (one, &services) {
        service_join_remove_service_of(j, str_from(*one), r->of->number);
        free(*one);
    }
    vec_done(&slices);
    vec_done(&services);
}

static void take_pods(struct remote_cluster *r)
{
    VEC(char *) keys = {0};
    const struct workload *pod;
    for (size_t at = 0; workloads_next(r->of->pods, &at, &pod);)
        vec_push(&keys, xstrdup(pod->key));
    VEC_FOREACH (key, &keys) {
        workloads_remove(r->of->pods, str_from(*key));
        free(*key);
    }
    vec_done(&keys);
}

void remote_cluster_free(struct remote_cluster *r)
{
    if (!r)
        return;
    for (unsigned i = 0; i < WATCHES; i++)
        informer_free(r->watches[i]);
    network_watch_free(r->network);
    kube_client_free(r->client);
    take_out(r);
    take_pods(r);
    clusters_remove(r->o->clusters, r->of->number);
    forget_trouble(r);
    free(r);
}

bool remote_cluster_synced(const struct remote_cluster *r)
{
    bool synced = r->network && network_watch_synced(r->network);
    for (unsigned i = 0; i < WATCHES; i++)
        synced = synced && r->watches[i] && informer_synced(r->watches[i]);
    return synced;
}

const char *remote_cluster_id(const struct remote_cluster *r)
{
    return r->of->id;
}

const char *remote_cluster_trouble(const struct remote_cluster *r)
{
    return r->trouble;
}
