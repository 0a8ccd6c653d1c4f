#include "control/authentication_watch.h"

#include "base/log.h"
#include "kube/informer.h"

#define PATH "/apis/security.istio.io/v1/peerauthentications"

struct authentication_watch {
    struct kube_client *client;
    const struct authentication_watch_ops *ops;
    void *user;
    struct peer_authentications *table;
    struct informer *informer; /* NULL: nobody wants them yet */
    bool no_such_kind;
    bool told; /* what is wrong */
};

static void changed(struct authentication_watch *w, struct str key)
{
    struct str name;
    w->ops->on_change(str_cut(key, '/', &name), w->user);
}

static void on_upsert(json_t *object, void *user)
{
    struct authentication_watch *w = user;
    struct err err = {0};
    char key[512];
    object_key(object, key);
    if (peer_authentications_put(w->table, object, &err) < 0)
        log_warn("a PeerAuthentication cannot be used; its last good form holds",
                 kv_s("object", key), kv_s("error", err_text(&err)));
    else
        changed(w, str_from(key));
}

static void on_delete(struct str key, json_t *object, void *user)
{
    struct authentication_watch *w = user;
    (void)object;
    peer_authentications_remove(w->table, key);
    changed(w, key);
}

static void on_synced(void *user)
{
    struct authentication_watch *w = user;
    w->no_such_kind = w->told = false;
    w->ops->on_synced(w->user);
}

/* The informer goes on asking: the kind may be defined later. */
static void on_error(const char *text, void *user)
{
    struct authentication_watch *w = user;
    bool no_such_kind = strstr(text, PATH ": HTTP 404:") != NULL;
    if (!w->told && no_such_kind)
        log_info("there are no PeerAuthentications: the server does not know the kind");
    else if (!w->told)
        log_warn("PeerAuthentications cannot be watched", kv_s("cause", text));
    w->told = true;
    if (no_such_kind && !w->no_such_kind) {
        w->no_such_kind = true;
        w->ops->on_synced(w->user);
    }
}

struct authentication_watch *authentication_watch_new(struct kube_client *c,
                                                      const char *root_namespace,
                                                      const struct authentication_watch_ops *ops,
                                                      void *user)
{
    struct authentication_watch *w = NEW(struct authentication_watch);
    w->client = c;
    w->ops = ops;
    w->user = user;
    w->table = peer_authentications_new(root_namespace);
    return w;
}

void authentication_watch_free(struct authentication_watch *w)
{
    if (!w)
        return;
    informer_free(w->informer);
    peer_authentications_free(w->table);
    free(w);
}

bool authentication_watch_want(struct authentication_watch *w)
{
    static const struct informer_ops ops = {.on_upsert = on_upsert,
                                            .on_delete = on_delete,
                                            .on_synced = on_synced,
                                            .on_error = on_error};
    static const struct informer_options options = {.path = PATH, .lean = true};
    if (!w->informer)
        w->informer = informer_start(w->client, &options, &ops, w);
    return informer_synced(w->informer) || w->no_such_kind;
}

const struct peer_authentications *authentication_watch_table(const struct authentication_watch *w)
{
    return w->table;
}
