#pragma once
/* Informer: LIST (paged, parsed item by item as it arrives), then WATCH, for ever: reconnects with
 * back-off, relists on 410 Gone, tolerates bookmarks. Events of one object come in order. A relist
 * reports only what changed. */

#include "kube/client.h"

struct informer;

struct informer_ops {
    /* Added or changed. object is borrowed: keep it with json_incref, and never change it. */
    void (*on_upsert)(json_t *object, void *user);
    /* key is "namespace/name" (or "name"); object is the last state known: NULL unless the informer
     * caches. */
    void (*on_delete)(struct str key, json_t *object, void *user);
    /* After the first complete list, and after every relist. */
    void (*on_synced)(void *user);
    /* Connection lost or refused (for logging and health); retried by itself. May be NULL. */
    void (*on_error)(const char *text, void *user);
};

struct informer_options {
    const char *path; /* /api/v1/services, /apis/discovery.k8s.io/v1/namespaces/x/endpointslices */
    const char *label_selector; /* NULL = all */
    const char *field_selector;
    bool lean; /* without metadata.managedFields, a third of what is to be parsed */
    /* It may not be defined (404), or not be ours to see (403): then it is an empty list, and
     * looked for again every few seconds. on_error tells of a refusal once. */
    bool optional;
    bool no_refusal; /* with optional: 403 is trouble as others are, and no empty list */
    bool cache; /* keep the last object of each key (informer_find); else only keys and versions */
};

struct informer *informer_start(struct kube_client *c, const struct informer_options *o,
                                const struct informer_ops *ops, void *user);
void informer_free(struct informer *i);
/* Asks another server from now on, or the same as somebody else. Everything that the new list has
 * is told (again); what it has not goes then, and not before. The loop is the same. Not from within
 * a callback of it. */
void informer_move(struct informer *i, struct kube_client *c);

/* Puts what a write of ours was answered with into the cache (and through on_upsert) without
 * waiting for the watch, so that a controller never acts on a state older than its own writes.
 * Ignored if the cache is newer, or has seen
 * the object go. */
void informer_offer(struct informer *i, json_t *object);

/* Caches only: replaces the cached object by this guess of its next state, silently, until the
 * watch tells a newer one, a list tells it, or informer_correct() does. Same resourceVersion as the
 * cached one. */
void informer_assume(struct informer *i, json_t *object);
/* Like informer_offer, for what was read because a guess has proved wrong. */
void informer_correct(struct informer *i, json_t *object);

bool informer_synced(const struct informer *i);
/* Cached objects; borrowed. */
json_t *informer_find(const struct informer *i, struct str key);
/* for (size_t at = 0; informer_next(i, &at, &object);) */
bool informer_next(const struct informer *i, size_t *at, json_t **ret);
size_t informer_count(const struct informer *i);
/* "namespace/name" or "name" of an object, into a buffer of 512 bytes. */
const char *object_key(const json_t *object, char ret[512]);
