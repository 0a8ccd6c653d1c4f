#pragma once
/* Objects that others name, each watched by itself as long as somebody names it: of all Secrets and
 * ConfigMaps of a cluster we are to know these alone. */

#include "kube/client.h"

struct named_objects;

enum named_kind { NAMED_SECRET, NAMED_CONFIG_MAP, NAMED_KINDS };

struct named_objects_ops {
    /* It is there, or has changed; NULL: it is not, or nobody knows. Borrowed. */
    void (*on_object)(enum named_kind kind, const char *key, json_t *object, void *user);
    /* named_objects_synced() has become true. */
    void (*on_synced)(void *user);
};

struct named_objects *named_objects_new(struct kube_client *c, const struct named_objects_ops *ops,
                                        void *user);
void named_objects_free(struct named_objects *n);
/* key: namespace/name. Each use is to be ended by itself; with the last one on_object(NULL) is
 * called. */
void named_objects_use(struct named_objects *n, enum named_kind kind, const char *key);
void named_objects_end_use(struct named_objects *n, enum named_kind kind, const char *key);
/* It is known what it is (named_objects_synced() of one). */
bool named_objects_settled(const struct named_objects *n, enum named_kind kind, const char *key);
/* Of each it is known what it is, that it is not there, or that it may not be asked for. */
bool named_objects_synced(const struct named_objects *n);
