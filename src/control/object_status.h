#pragma once
/* Writes into status.conditions of Istio's objects that cannot be taken as they are, or that have
 * no effect here (model/object_condition.h). Only the leader among the replicas does. */

#include "kube/client.h"
#include "model/finding.h"

struct object_status;

struct object_status *object_status_new(struct kube_client *c);
void object_status_free(struct object_status *s); /* NULL is allowed */
/* An object as the API server tells of it; list: the path of its kind's list. */
void object_status_put(struct object_status *s, const char *list, const json_t *object,
                       const struct findings *f);
void object_status_remove(struct object_status *s, const char *list, struct str key);
/* May it write? Until it is told: no. */
void object_status_set_leads(struct object_status *s, bool leads);
