#pragma once
/* What somebody has put into a set, by name, so that a change of his puts what there is now and
 * takes out what is no more. Zero-initialised it is nothing. */

#include "base/map.h"
#include "base/vec.h"
#include "xds/xds_set.h"

struct put_resource {
    enum xds_resource type;
    char *name;
};

struct put_resources {
    VEC(struct put_resource) v;
};

/* Takes the entry. */
void put_resources_add(struct xds_set *s, struct put_resources *list, struct xds_entry *e);
/* The same, unless what lies under the set shows it already. */
void put_resources_over(struct xds_set *s, struct put_resources *list, struct xds_entry *e);
bool put_resources_has(const struct put_resources *list, enum xds_resource type, const char *name);
/* before: what was put, of which what is not in `now` goes; it is nothing afterwards. */
void put_resources_drop_rest(struct xds_set *s, struct put_resources *before,
                             const struct put_resources *now);
/* The same of all that a map has, by whatever name; it is nothing afterwards. */
void put_resources_drop_map(struct xds_set *s, struct map *put);
void put_resources_drop_all(struct xds_set *s, struct put_resources *list);
