#pragma once
/* Readings of API objects that controllers and nodes share: owners, conditions, selectors, states
 * of pods. Pure. */

#include "codec/json.h"

#define MERGE_PATCH     "application/merge-patch+json"
#define STRATEGIC_PATCH "application/strategic-merge-patch+json"

/* "ns/name" of an object's parts, into a static buffer of this thread. */
const char *key_of(const char *ns, const char *name);
/* The controller ownerReference, or NULL. */
json_t *owner_controller(const json_t *object);
bool owned_by(const json_t *object, const char *owner_uid);
bool pod_is_ready(const json_t *pod);
/* Neither Succeeded nor Failed nor being deleted. */
bool pod_is_active(const json_t *pod);
/* status.conditions[type] of any object, or NULL. */
json_t *condition_find(const json_t *object, const char *type);
bool condition_is_true(const json_t *object, const char *type);
/* {type,status,reason,message,…}: the old one's lastTransitionTime is kept while the status stays.
 */
json_t *condition_new(const json_t *object, const char *type, const char *status,
                      const char *reason, const char *message);
bool labels_match(const json_t *match_labels,
                  const json_t *labels); /* plain map; an empty or absent one matches nothing */
bool label_selector_matches(
    const json_t *selector,
    const json_t *labels); /* matchLabels, matchExpressions; Gt and Lt of nodes, too */
bool is_deleting(const json_t *object);
