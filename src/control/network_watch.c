#include "control/network_watch.h"

#include "base/log.h"
#include "kube/informer.h"
#include "model/clusters.h"

enum { NAMESPACES = 2 }; /* in the order that they count */

struct network_watch {
    struct informer *informer;
    const char *names[NAMESPACES];
    char *networks[NAMESPACES]; /* NULL: it says none */
    network_fn *fn;
    void *user;
};

static void set(struct network_watch *w, struct str name, const char *network)
{
    for (unsigned i = 0; i < NAMESPACES; i++)
        if (str_is(name, w->names[i])) {
            free(w->networks[i]);
            w->networks[i] = str_empty(network) ? NULL : xstrdup(network);
        }
}

static void tell(struct network_watch *w)
{
    const char *network = "";
    for (unsigned i = NAMESPACES; i-- > 0;)
        network = w->networks[i] ? w->networks[i] : network;
    w->fn(network, w->user);
}

static void on_upsert(json_t *object, void *user)
{
    struct network_watch *w = user;
    char key[512];
    set(w, str_from(object_key(object, key)),
        json_key_str(json_at(object, "metadata.labels"), NETWORK_LABEL));
    if (informer_synced(w->informer))
        tell(w);
}

static void on_delete(struct str key, json_t *object, void *user)
{
    struct network_watch *w = user;
    (void)object;
    set(w, key, NULL);
    tell(w);
}

static void on_synced(void *user)
{
    tell(user);
}

static void on_error(const char *text, void *user)
{
    (void)user;
    log_warn("namespaces cannot be watched; which network a cluster is on is not known",
             kv_s("cause", text));
}

struct network_watch *network_watch_new(struct kube_client *c, const char *root_namespace,
                                        network_fn *fn, void *user)
{
    static const struct informer_ops ops = {on_upsert, on_delete, on_synced, on_error};
    static const struct informer_options options = {.path = "/api/v1/namespaces",
                                                    .label_selector = NETWORK_LABEL,
                                                    .lean = true,
                                                    .optional = true};
    struct network_watch *w = NEW(struct network_watch);
    w->names[0] = root_namespace;
    w->names[1] = "istio-system";
    w->fn = fn;
    w->user = user;
    w->informer = informer_start(c, &options, &ops, w);
    return w;
}

void network_watch_move(struct network_watch *w, struct kube_client *c)
{
    informer_move(w->informer, c);
}

void network_watch_free(struct network_watch *w)
{
    if (!w)
        return;
    informer_free(w->informer);
    for (unsigned i = 0; i < NAMESPACES; i++)
        free(w->networks[i]);
    free(w);
}

bool network_watch_synced(const struct network_watch *w)
{
    return informer_synced(w->informer);
}
