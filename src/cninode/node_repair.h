#pragma once
/* Pods of this node that have started without their rules, as those that came before us: they have
 * seen it themselves (exit code 126 of istio-validation) and would see it for ever. Who has a
 * controller is deleted, so that it makes another; others are told of in an Event. */

#include "kube/client.h"
#include "kube/event_recorder.h"

struct node_repair;

/* All borrowed. */
struct node_repair *node_repair_new(struct kube_client *c, struct event_recorder *events,
                                    const char *node_name);
void node_repair_free(struct node_repair *r); /* NULL is allowed */

/* ---- pure ---- */
bool node_repair_is_broken(const json_t *pod); /* and not on its way out */
bool node_repair_has_controller(const json_t *pod);
