/* Names of resources, by text and by number. Numbers that are free are given out again, so that
 * they stay as small as there were ever names at a time. Of a type that nobody has a name of,
 * nothing is kept. */
#include "xds/xds_name.h"

#include "base/assert.h"
#include "base/map.h"
#include "base/vec.h"

static _Thread_local struct {
    struct map by_text; /* text -> struct xds_name */
    VEC(struct xds_name *) by_id;
    VEC(uint32_t) free;
} names[XDS_RESOURCES];

struct xds_name *xds_name_find(enum xds_resource type, struct str text)
{
    return map_find(&names[type].by_text, text);
}

struct xds_name *xds_name_get(enum xds_resource type, uint32_t id)
{
    ASSERT(id < names[type].by_id.n && names[type].by_id.v[id]);
    return names[type].by_id.v[id];
}

static uint32_t take_id(enum xds_resource type)
{
    if (names[type].free.n)
        return vec_pop(&names[type].free);
    ASSERT(names[type].by_id.n < UINT32_MAX);
    vec_push(&names[type].by_id, NULL);
    return (uint32_t)(names[type].by_id.n - 1);
}

struct xds_name *xds_name_new(enum xds_resource type, struct str text)
{
    struct xds_name *n = xds_name_find(type, text);
    if (n)
        return xds_name_ref(n);
    n = xmalloc(sizeof(*n) + text.n + 1);
    struct str table = type == XDS_HOST ? xds_host_table(text) : STR("");
    *n = (struct xds_name){.refs = 1,
                           .id = take_id(type),
                           .type = type,
                           .table = table.n ? xds_name_new(type, table) : NULL,
                           .text = str_of(n->data, text.n)};
    if (text.n)
        memcpy(n->data, text.p, text.n);
    n->data[text.n] = 0;
    names[type].by_id.v[n->id] = n;
    names[type].by_text.borrows = true;
    map_put(&names[type].by_text, n->text, n);
    return n;
}

struct xds_name *xds_name_ref(struct xds_name *n)
{
    ASSERT(n->refs);
    n->refs++;
    return n;
}

void xds_name_unref(struct xds_name *n)
{
    if (!n || --n->refs)
        return;
    enum xds_resource type = n->type;
    struct xds_name *table = n->table;
    map_remove(&names[type].by_text, n->text);
    names[type].by_id.v[n->id] = NULL;
    vec_push(&names[type].free, n->id);
    free(n);
    if (!names[type].by_text.used) {
        map_done(&names[type].by_text);
        vec_done(&names[type].by_id);
        vec_done(&names[type].free);
    }
    xds_name_unref(table);
}

size_t xds_names_used(enum xds_resource type)
{
    return names[type].by_text.used;
}
