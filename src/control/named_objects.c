#include "control/named_objects.h"

#include "base/log.h"
#include "base/map.h"
#include "kube/informer.h"

struct named {
    struct named_objects *all;
    enum named_kind kind;
    char *key;
    unsigned users;
    bool settled, present;
    struct informer *informer;
};

struct named_objects {
    struct kube_client *client;
    const struct named_objects_ops *ops;
    void *user;
    struct map objects[NAMED_KINDS]; /* key -> struct named */
    size_t n_unsettled;
};

struct named_objects *named_objects_new(struct kube_client *c, const struct named_objects_ops *ops,
                                        void *user)
{
    struct named_objects *n = NEW(struct named_objects);
    n->client = c;
    n->ops = ops;
    n->user = user;
    return n;
}

static void settle(struct named *o)
{
    if (o->settled)
        return;
    o->settled = true;
    if (!o->present) /* that, too, is something to know */
        o->all->ops->on_object(o->kind, o->key, NULL, o->all->user);
    if (--o->all->n_unsettled == 0)
        o->all->ops->on_synced(o->all->user);
}

static void on_upsert(json_t *object, void *user)
{
    struct named *o = user;
    o->present = true;
    o->all->ops->on_object(o->kind, o->key, object, o->all->user);
}

static void on_delete(struct str key, json_t *object, void *user)
{
    const struct named *o = user;
    (void)key;
    (void)object;
    o->all->ops->on_object(o->kind, o->key, NULL, o->all->user);
}

static void on_synced(void *user)
{
    settle(user);
}

static void on_error(const char *text, void *user)
{
    struct named *o = user;
    log_warn("an object that is named cannot be watched", kv_s("object", o->key),
             kv_s("cause", text));
    settle(o); /* the others are not to wait for it */
}

static void named_free(struct named *o)
{
    informer_free(o->informer);
    if (!o->settled)
        o->all->n_unsettled--;
    free(o->key);
    free(o);
}

void named_objects_free(struct named_objects *n)
{
    void *o;
    if (!n)
        return;
    for (unsigned kind = 0; kind < NAMED_KINDS; kind++) {
        for (size_t at = 0; map_next(&n->objects[kind], &at, NULL, &o);)
            named_free(o);
        map_done(&n->objects[kind]);
    }
    free(n);
}

void named_objects_use(struct named_objects *n, enum named_kind kind, const char *key)
{
    static const struct informer_ops ops = {on_upsert, on_delete, on_synced, on_error};
    static const char *const plurals[] = {"secrets", "configmaps"};
    struct named *o = map_find_cstr(&n->objects[kind], key);
    if (o) {
        o->users++;
        return;
    }
    struct str name, ns = str_cut(str_from(key), '/', &name);
    AUTO_CHARS char *path =
                        xasprintf("/api/v1/namespaces/" STR_FMT "/%s", STR_ARG(ns), plurals[kind]),
                    *selector = xasprintf("metadata.name=" STR_FMT, STR_ARG(name));
    const struct informer_options options = {
        .path = path, .field_selector = selector, .lean = true};
    o = NEW(struct named);
    o->all = n;
    o->kind = kind;
    o->key = xstrdup(key);
    o->users = 1;
    n->n_unsettled++;
    map_put_cstr(&n->objects[kind], key, o);
    o->informer = informer_start(n->client, &options, &ops, o);
}

void named_objects_end_use(struct named_objects *n, enum named_kind kind, const char *key)
{
    struct named *o = map_find_cstr(&n->objects[kind], key);
    if (--o->users)
        return;
    map_remove_cstr(&n->objects[kind], key);
    n->ops->on_object(kind, o->key, NULL, n->user);
    settle(o);
    named_free(o);
}

bool named_objects_settled(const struct named_objects *n, enum named_kind kind, const char *key)
{
    const struct named *o = map_find_cstr(&n->objects[kind], key);
    return o && o->settled;
}

bool named_objects_synced(const struct named_objects *n)
{
    return n->n_unsettled == 0;
}
