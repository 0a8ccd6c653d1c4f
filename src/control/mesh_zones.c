#include "control/mesh_zones.h"

struct mesh_zone *mesh_zones_enter(struct mesh_zones *z, struct str locality, struct xds_set *under,
                                   bool *ret_new)
{
    struct mesh_zone *one = map_find(&z->v, locality);
    *ret_new = !one;
    if (!one) {
        one = NEW(struct mesh_zone);
        one->set = xds_set_new_over(under);
        map_put(&z->v, locality, one);
    }
    one->workloads++;
    return one;
}

void mesh_zones_leave(struct mesh_zones *z, struct mesh_zone *one, const char *locality)
{
    if (--one->workloads)
        return;
    map_remove_cstr(&z->v, locality);
    put_resources_drop_map(one->set, &one->put);
    xds_set_free(one->set);
    free(one);
}

void mesh_zones_exchange(const struct mesh_zones *z, const struct mesh_zone *only,
                         const struct mesh_view *view, const char *key, bool is)
{
    struct str locality;
    void *p;
    for (size_t at = 0; map_next(&z->v, &at, &locality, &p);) {
        struct mesh_zone *one = p;
        struct mesh_view v = *view;
        if (only && only != one)
            continue;
        v.client.locality = locality;
        v.findings = NULL;
        v.set = one->set;
        mesh_view_exchange(&v, &one->put, key, is);
    }
}

void mesh_zones_done(struct mesh_zones *z)
{
    map_done(&z->v);
}
