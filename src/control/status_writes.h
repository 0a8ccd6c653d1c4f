#pragma once
/* Patches of objects' status under way: eight at a time, and of an object one at most. What waits,
 * and what is tried again, is its owner's. */

#include "kube/client.h"

struct status_writes;

/* One is over. key as it was given; it is not under way any more. */
typedef void status_writes_fn(const char *key, const struct kube_result *r, void *user);

struct status_writes *status_writes_new(struct kube_client *c, status_writes_fn *fn, void *user);
void status_writes_free(struct status_writes *w); /* NULL is allowed; nothing is told any more */
bool status_writes_have_room(const struct status_writes *w);
bool status_writes_have(const struct status_writes *w, struct str key); /* it is under way */
/* A merge patch; there is room. */
void status_writes_patch(struct status_writes *w, struct str key, const char *path,
                         const json_t *patch);
