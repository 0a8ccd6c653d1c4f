#pragma once
/* What those who know the same are given by where they are: a layer for each locality over what all
 * of them are given. Those who are in one place call the same endpoints first. */

#include "control/mesh_view.h"

struct mesh_zone {
    struct xds_set *set;
    unsigned workloads;
    struct map put; /* as a namespace's */
};

struct mesh_zones {
    struct map v; /* "region/zone/subzone" -> struct mesh_zone */
};

/* One more is there. *ret_new: nobody was: it is to be filled. */
struct mesh_zone *mesh_zones_enter(struct mesh_zones *z, struct str locality, struct xds_set *under,
                                   bool *ret_new);
void mesh_zones_leave(struct mesh_zones *z, struct mesh_zone *one, const char *locality);
/* Into each of them (only: one of them; NULL: all). view: of the layer under them. is: it is not
 * the same in all. */
void mesh_zones_exchange(const struct mesh_zones *z, const struct mesh_zone *only,
                         const struct mesh_view *view, const char *key, bool is);
void mesh_zones_done(struct mesh_zones *z); /* all have left */
