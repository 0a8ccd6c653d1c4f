#include "control/put_resources.h"

void put_resources_add(struct xds_set *s, struct put_resources *list, struct xds_entry *e)
{
    vec_push(&list->v, (struct put_resource){e->type, str_dup(e->name)});
    xds_set_put(s, e);
}

bool put_resources_has(const struct put_resources *list, enum xds_resource type, const char *name)
{
    for (size_t i = 0; i < list->v.n; i++)
        if (list->v.v[i].type == type && streq(list->v.v[i].name, name))
            return true;
    return false;
}

void put_resources_over(struct xds_set *s, struct put_resources *list, struct xds_entry *e)
{
    const struct xds_entry *under = s->over ? xds_set_find(s->over, e->type, e->name) : NULL;
    if (under && str_eq(under->version, e->version))
        xds_entry_unref(e);
    else
        put_resources_add(s, list, e);
}

void put_resources_drop_rest(struct xds_set *s, struct put_resources *before,
                             const struct put_resources *now)
{
    VEC_FOREACH (r, &before->v) {
        if (!put_resources_has(now, r->type, r->name))
            xds_set_remove(s, r->type, str_from(r->name));
        free(r->name);
    }
    vec_done(&before->v);
}

void put_resources_drop_all(struct xds_set *s, struct put_resources *list)
{
    put_resources_drop_rest(s, list, &(struct put_resources){{NULL, 0, 0}});
}

void put_resources_drop_map(struct xds_set *s, struct map *put)
{
    void *list;
    for (size_t at = 0; map_next(put, &at, NULL, &list);) {
        put_resources_drop_all(s, list);
        free(list);
    }
    map_done(put);
}
