#pragma once
/* What all objects of the mesh come to: the one snapshot that `explain --from` and `analyze` ask.
 * Made once, never changed. Objects may come in any order. */

#include "model/mesh_rules.h"
#include "model/peer_authentication.h"
#include "model/selected_objects.h"

struct mesh_snapshot {
    struct service_join *join; /* borrowed, if it was given */
    bool owns_join;
    struct workloads *pods;
    struct service_entries *entries;
    struct mesh_rules *rules;
    struct peer_authentications *authentications;
    struct selected_objects *authorizations, *tokens, *sidecars;
};

/* An empty one. join: of Services that are there already; NULL: there are none yet. */
struct mesh_snapshot *mesh_snapshot_new(struct service_join *join);
void mesh_snapshot_free(struct mesh_snapshot *s); /* NULL is allowed */
DEFINE_AUTO(mesh_snapshot);
/* What is wrong with it by itself goes to `found` (NULL: nobody is told). True: it is of a kind
 * that is known here. Services, slices, pods and nodes: only without a join of somebody else's. */
bool mesh_snapshot_put(struct mesh_snapshot *s, const json_t *object, struct findings *found);
/* All of them. What makes pods stands for these, if there are no pods among them. */
struct mesh_snapshot *mesh_snapshot_of(const json_t *objects);
