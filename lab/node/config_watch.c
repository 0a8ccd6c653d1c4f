/* Watches of single objects (fieldSelector metadata.name=…), counted by their users. A node of a
 * cluster may read only the objects its pods name, so there is no watch of a whole namespace. The
 * last user that leaves ends the watch. */
#include "lab/node/config_watch.h"

#include "base/map.h"
#include "kube/informer.h"

struct config_watch {
    char *key; /* resource/namespace/name */
    struct informer *informer;
    json_t *object; /* NULL = not there, or not known yet */
    struct list_node watchers;
};

struct config_watches {
    struct kube_client *client;
    struct map by_key;
};

struct config_watches *config_watches_new(struct kube_client *c)
{
    struct config_watches *all = NEW(struct config_watches);
    all->client = c;
    return all;
}

void config_watches_free(struct config_watches *all)
{
    if (!all)
        return;
    ASSERT(all->by_key.used == 0);
    map_done(&all->by_key);
    free(all);
}

static void tell(struct config_watch *w)
{
    LIST_FOREACH_SAFE (node, &w->watchers) {
        struct config_watcher *one = CONTAINER_OF(node, struct config_watcher, node);
        one->on_object(w->object, one->user);
    }
}

static void on_upsert(json_t *object, void *user)
{
    struct config_watch *w = user;
    json_decref(w->object);
    w->object = json_incref(object);
    tell(w);
}

static void on_delete(struct str key, json_t *object, void *user)
{
    struct config_watch *w = user;
    (void)key;
    (void)object;
    json_decref(w->object);
    w->object = NULL;
    tell(w);
}

void config_watch_add(struct config_watches *all, const char *resource, const char *ns,
                      const char *name, struct config_watcher *one)
{
    static const struct informer_ops ops = {.on_upsert = on_upsert, .on_delete = on_delete};
    AUTO_CHARS char *key = xasprintf("%s/%s/%s", resource, ns, name);
    struct config_watch *w = map_find_cstr(&all->by_key, key);
    if (!w) {
        AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/%s/%s", ns, resource);
        AUTO_CHARS char *selector = xasprintf("metadata.name=%s", name);
        const struct informer_options o = {.path = path, .field_selector = selector};
        w = NEW(struct config_watch);
        list_init(&w->watchers);
        w->key = xstrdup(key);
        map_put_cstr(&all->by_key, w->key, w);
        w->informer = informer_start(all->client, &o, &ops, w);
    }
    one->watch = w;
    list_add_tail(&w->watchers, &one->node);
    if (w->object)
        one->on_object(w->object, one->user);
}

void config_watch_remove(struct config_watches *all, struct config_watcher *one)
{
    struct config_watch *w = one->watch;
    if (!w)
        return;
    one->watch = NULL;
    list_remove(&one->node);
    if (!list_is_empty(&w->watchers))
        return;
    map_remove_cstr(&all->by_key, w->key);
    informer_free(w->informer);
    json_decref(w->object);
    free(w->key);
    free(w);
}
