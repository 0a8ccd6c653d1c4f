#include "control/mesh_config_watch.h"

#include "base/log.h"
#include "kube/informer.h"

struct mesh_config_watch {
    struct kube_client *client;
    struct event_recorder *events;
    const char *key;
    void (*on_change)(void *user);
    void *user;
    const struct mesh_config *config;
    struct informer *informer; /* NULL: nobody wants it yet */
};

static void exchange(struct mesh_config_watch *w, const json_t *object)
{
    const struct mesh_config *before = w->config;
    struct mesh_config *now = mesh_config_new(w->key, object);
    for (size_t i = 0; i < now->findings.n; i++) {
        const struct finding *f = &now->findings.v[i];
        event_record(w->events, object, "ConfigMap", "v1", "Warning", f->id, "%s: %s%s%s", f->field,
                     f->message, f->hint ? "; " : "", f->hint ? f->hint : "");
    }
    w->config = now;
    mesh_config_free((struct mesh_config *)(uintptr_t)before); /* nobody keeps texts of it */
    w->on_change(w->user);
}

static void on_upsert(json_t *object, void *user)
{
    exchange(user, object);
}

static void on_delete(struct str key, json_t *object, void *user)
{
    (void)key;
    (void)object;
    exchange(user, NULL);
}

static void on_synced(void *user)
{
    const struct mesh_config_watch *w = user;
    w->on_change(w->user);
}

static void on_error(const char *text, void *user)
{
    const struct mesh_config_watch *w = user;
    log_warn("the mesh config cannot be watched; what it said stays", kv_s("config_map", w->key),
             kv_s("cause", text));
}

struct mesh_config_watch *mesh_config_watch_new(struct kube_client *c,
                                                struct event_recorder *events, const char *key,
                                                void (*on_change)(void *user), void *user)
{
    struct mesh_config_watch *w = NEW(struct mesh_config_watch);
    w->client = c;
    w->events = events;
    w->key = key;
    w->on_change = on_change;
    w->user = user;
    w->config = mesh_config_new(key, NULL);
    return w;
}

void mesh_config_watch_free(struct mesh_config_watch *w)
{
    if (!w)
        return;
    informer_free(w->informer);
    mesh_config_free((struct mesh_config *)(uintptr_t)w->config);
    free(w);
}

bool mesh_config_watch_want(struct mesh_config_watch *w)
{
    static const struct informer_ops ops = {.on_upsert = on_upsert,
                                            .on_delete = on_delete,
                                            .on_synced = on_synced,
                                            .on_error = on_error};
    if (!w->informer) {
        struct str name, ns = str_cut(str_from(w->key), '/', &name);
        AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/" STR_FMT "/configmaps", STR_ARG(ns)),
                        *selector = xasprintf("metadata.name=" STR_FMT, STR_ARG(name));
        const struct informer_options o = {
            .path = path, .field_selector = selector, .lean = true, .optional = true};
        w->informer = informer_start(w->client, &o, &ops, w);
    }
    return informer_synced(w->informer);
}

const struct mesh_config *const *mesh_config_watch_get(const struct mesh_config_watch *w)
{
    return &w->config;
}
