#pragma once
/* ConfigMaps and Secrets that running pods use, kept up to date: one watch per object, shared by
 * all pods of the node that name it. */

#include "base/list.h"
#include "kube/client.h"

struct config_watches;
struct config_watch;

/* Part of whoever wants to know. */
struct config_watcher {
    struct list_node node;
    struct config_watch *watch; /* NULL = watches nothing */
    /* The object as it is now; NULL: it is gone. Borrowed. Not for the state the watch starts from
     * unless it is there. */
    void (*on_object)(json_t *object, void *user);
    void *user;
};

struct config_watches *config_watches_new(struct kube_client *c);
/* Nobody watches any more. */
void config_watches_free(struct config_watches *all);
/* resource: "configmaps" or "secrets". What is known already is told at once, from inside. */
void config_watch_add(struct config_watches *all, const char *resource, const char *ns,
                      const char *name, struct config_watcher *w);
void config_watch_remove(struct config_watches *all, struct config_watcher *w);
