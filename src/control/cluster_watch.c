#include "control/cluster_watch.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/time.h"
#include "codec/base64.h"
#include "kube/informer.h"

enum { SETTLE_MS = 30000 };

struct watched {
    char *secret;  /* whose key it is */
    uint64_t hash; /* of its kubeconfig */
    struct remote_cluster *remote;
    uint64_t since_ms;
    unsigned round;
};

struct cluster_watch {
    struct kube_client *client;
    struct event_recorder *events;
    const struct remote_cluster_options *o;
    struct informer *informer;
    struct loop_timer *timer; /* for who is waited for */
    struct map clusters;      /* name -> struct watched */
    unsigned round;
};

static void tell(struct cluster_watch *w, const json_t *secret, const char *key, const char *why)
{
    event_record(w->events, secret, "Secret", "v1", "Warning", "RemoteClusterInvalid",
                 "data.%s: %s", key, why);
    log_warn("a remote cluster cannot be used", kv_s("cluster", key), kv_s("cause", why));
}

static void watched_free(struct watched *one)
{
    remote_cluster_free(one->remote);
    free(one->secret);
    free(one);
}

static int connect_to(struct cluster_watch *w, const char *id, struct str kubeconfig,
                      struct watched **one, struct err *reterr)
{
    AUTO(kube_config) struct kube_config *config = NULL;
    struct remote_cluster *remote = NULL;
    int r = kube_config_parse(kubeconfig, &config, reterr);
    if (r < 0)
        return r;
    if (*one)
        return remote_cluster_move((*one)->remote, config, reterr);
    r = remote_cluster_new(w->o, id, config, &remote, reterr);
    if (r < 0)
        return r;
    *one = NEW(struct watched);
    (*one)->remote = remote;
    (*one)->since_ms = time_mono_ms();
    map_put_cstr(&w->clusters, id, *one);
    loop_timer_start(w->timer, SETTLE_MS);
    return 0;
}

static void put(struct cluster_watch *w, const json_t *secret, const char *secret_key,
                const char *id, struct str kubeconfig)
{
    const struct cluster *own = clusters_at(w->o->clusters, 0);
    struct watched *one = map_find_cstr(&w->clusters, id);
    uint64_t hash = hash_bytes(kubeconfig.p, kubeconfig.n);
    struct err err = {0};
    if (streq(id, own->id))
        return tell(w, secret, id, "that is our own cluster; give control another --cluster-id");
    if (one && !streq(one->secret, secret_key))
        return tell(w, secret, id, "another Secret has that cluster already");
    if (one)
        one->round = w->round;
    if (one && one->hash == hash)
        return;
    if (connect_to(w, id, kubeconfig, &one, &err) < 0)
        return tell(w, secret, id, err_text(&err));
    one->round = w->round;
    one->hash = hash;
    free(one->secret);
    one->secret = xstrdup(secret_key);
    log_info("a cluster is watched", kv_s("cluster", id), kv_s("secret", secret_key));
}

/* Those of a Secret that were not met in this round. */
static void drop_rest(struct cluster_watch *w, const char *secret)
{
    VEC(char *) gone = {0};
    struct str id;
    void *p;
    for (size_t at = 0; map_next(&w->clusters, &at, &id, &p);) {
        const struct watched *one = p;
        if (streq(one->secret, secret) && one->round != w->round)
            vec_push(&gone, str_dup(id));
    }
    VEC_FOREACH (name, &gone) {
        log_info("a cluster is no more of the mesh", kv_s("cluster", *name));
        watched_free(map_remove_cstr(&w->clusters, *name));
        free(*name);
    }
    if (gone.n)
        w->o->on_change(w->o->user);
    vec_done(&gone);
}

static void on_secret(json_t *object, void *user)
{
    struct cluster_watch *w = user;
    const char *id;
    json_t *value;
    char key[512];
    object_key(object, key);
    w->round++;
    json_object_foreach(json_at(object, "data"), id, value)
    {
        AUTO_DONE(buf) struct buf text = {0};
        if (!json_is_string(value) || base64_decode(str_from(json_string_value(value)), &text) < 0)
            tell(w, object, id, "is no base64");
        else
            put(w, object, key, id, buf_str(&text));
        if (text.n)
            explicit_bzero(text.p, text.n);
    }
    drop_rest(w, key);
}

static void on_secret_gone(struct str key, json_t *object, void *user)
{
    struct cluster_watch *w = user;
    AUTO_CHARS char *name = str_dup(key);
    (void)object;
    w->round++;
    drop_rest(w, name);
}

static void on_synced(void *user)
{
    const struct cluster_watch *w = user;
    w->o->on_change(w->o->user);
}

static void on_error(const char *text, void *user)
{
    (void)user;
    log_warn("Secrets of other clusters cannot be watched", kv_s("cause", text));
}

static void on_settled(void *user)
{
    const struct cluster_watch *w = user;
    w->o->on_change(w->o->user);
}

struct cluster_watch *cluster_watch_new(struct kube_client *c, struct event_recorder *events,
                                        const struct remote_cluster_options *r)
{
    static const struct informer_ops ops = {on_secret, on_secret_gone, on_synced, on_error};
    struct cluster_watch *w = NEW(struct cluster_watch);
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/%s/secrets", r->root_namespace);
    const struct informer_options options = {
        .path = path, .label_selector = "istio/multiCluster=true", .lean = true};
    w->client = c;
    w->events = events;
    w->o = r;
    w->timer = loop_timer_new(kube_client_loop(c), on_settled, w);
    w->informer = informer_start(c, &options, &ops, w);
    return w;
}

void cluster_watch_free(struct cluster_watch *w)
{
    void *one;
    if (!w)
        return;
    informer_free(w->informer);
    for (size_t at = 0; map_next(&w->clusters, &at, NULL, &one);)
        watched_free(one);
    map_done(&w->clusters);
    loop_timer_free(w->timer);
    free(w);
}

bool cluster_watch_settled(const struct cluster_watch *w)
{
    uint64_t now = time_mono_ms();
    void *p;
    if (!informer_synced(w->informer))
        return false;
    for (size_t at = 0; map_next(&w->clusters, &at, NULL, &p);) {
        const struct watched *one = p;
        if (!remote_cluster_synced(one->remote) && now < one->since_ms + SETTLE_MS)
            return false;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(json_key_str(*(json_t *const *)a, "name"),
                  json_key_str(*(json_t *const *)b, "name"));
}

json_t *cluster_watch_describe(const struct cluster_watch *w)
{
    json_t *list = json_array();
    VEC(json_t *) all = {0};
    struct str id;
    void *p;
    for (size_t at = 0; map_next(&w->clusters, &at, &id, &p);) {
        const struct watched *one = p;
        const char *name = remote_cluster_id(one->remote);
        const struct cluster *c = clusters_find(w->o->clusters, name);
        vec_push(&all,
                 json_pack("{s:s,s:s,s:s,s:b,s:s*}", "name", name, "secret", one->secret, "network",
                           c->network, "synced", remote_cluster_synced(one->remote), "error",
                           remote_cluster_trouble(one->remote)));
    }
    if (all.n)
        qsort(all.v, all.n, sizeof(*all.v), by_name);
    VEC_FOREACH (one, &all)
        json_array_append_new(list, *one);
    vec_done(&all);
    return list;
}
