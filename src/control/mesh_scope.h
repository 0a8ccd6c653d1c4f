#pragma once
/* What sidecars of a namespace are given that a Sidecar object lets know of some hosts alone: a set
 * by itself, of what those are. What is the same for who knows all is shared with him. */

#include "control/mesh_listeners.h"
#include "control/mesh_view.h"
#include "control/mesh_zones.h"
#include "model/sidecar_scope.h"

struct mesh_scope {
    struct list_node node;
    char *ns;
    struct sidecar_scope *of; /* its own reference */
    size_t users;
    struct xds_set *set;
    struct map put;  /* as a namespace's */
    struct map uses; /* key of a Service -> struct mesh_uses */
    struct mesh_listeners listeners;
    struct mesh_zones zones;
};

/* common: what its set lies over. all_registry_only: where the object does not say. Nothing is put
 * yet. */
struct mesh_scope *mesh_scope_new(const struct sidecar_scope *of, struct str ns,
                                  struct xds_set *common, const struct mesh_view *view,
                                  bool all_registry_only);
void mesh_scope_free(struct mesh_scope *s); /* nobody uses its set any more */
/* Its listeners tell that; what Services have put is to be exchanged then, too. */
void mesh_scope_tell(struct mesh_scope *s, const struct mesh_told *told);
bool mesh_scope_knows(const struct mesh_scope *s, const char *key);
/* A Service (NULL: it has gone) is another one. */
struct mesh_scope_change {
    const struct mesh_view *view; /* peers, rules, join; whose set has what may be the same */
    const struct joined_service *service;
    const char *key;
    bool endpoints_only, by_locality; /* the latter: is, or was, another one by where one is */
    bool is_local;                    /* is, now */
};
void mesh_scope_exchange(struct mesh_scope *s, const struct mesh_scope_change *c);
