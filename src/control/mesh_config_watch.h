#pragma once
/* Istio's mesh config, watched in its ConfigMap from the day that the first sidecar asks. One that
 * is not there, or is not ours to see, says nothing: all is as by default. */

#include "kube/client.h"
#include "kube/event_recorder.h"
#include "model/mesh_config.h"

struct mesh_config_watch;

/* key: namespace/name, borrowed, as is events. on_change: also once it is known. */
struct mesh_config_watch *mesh_config_watch_new(struct kube_client *c,
                                                struct event_recorder *events, const char *key,
                                                void (*on_change)(void *user), void *user);
void mesh_config_watch_free(struct mesh_config_watch *w); /* NULL is allowed */
/* From now on. True: it is known. */
bool mesh_config_watch_want(struct mesh_config_watch *w);
/* Where it stands, as it is now; never NULL. */
const struct mesh_config *const *mesh_config_watch_get(const struct mesh_config_watch *w);
