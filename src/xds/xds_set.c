/* Resources to be served, and whom changes of them are told. */
#include "xds/xds_set.h"

#include "base/assert.h"
#include "base/vec.h"
#include "xds/xds_runs.h"

struct xds_set *xds_set_new(void)
{
    struct xds_set *s = NEW(struct xds_set);
    list_init(&s->watches);
    return s;
}

static void tell(struct xds_set *s, struct xds_name *name);

/* Of what is below. */
static void on_change_below(struct xds_watch *w, struct xds_name *name)
{
    struct xds_set *s = CONTAINER_OF(w, struct xds_set, watch);
    if (!xds_table_find(&s->entries[name->type], name))
        tell(s, name);
}

struct xds_set *xds_set_new_over(struct xds_set *under)
{
    struct xds_set *s = xds_set_new();
    s->over = under;
    s->watch.on_change = on_change_below;
    xds_set_watch(under, &s->watch);
    return s;
}

void xds_set_free(struct xds_set *s)
{
    if (!s)
        return;
    ASSERT(list_is_empty(&s->watches));
    if (s->over)
        xds_set_unwatch(&s->watch);
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++)
        xds_table_done(&s->entries[type], type);
    xds_runs_free(s->runs);
    free(s);
}

static void tell(struct xds_set *s, struct xds_name *name)
{
    s->changes++;
    LIST_FOREACH (node, &s->watches) {
        struct xds_watch *w = CONTAINER_OF(node, struct xds_watch, node);
        w->on_change(w, name);
    }
}

bool xds_set_put(struct xds_set *s, struct xds_entry *e)
{
    struct xds_entry *before = xds_table_find(&s->entries[e->type], e->key);
    if (before && str_eq(before->version, e->version)) {
        xds_entry_unref(e);
        return false;
    }
    xds_entry_unref(xds_table_put(&s->entries[e->type], e));
    tell(s, e->key);
    return true;
}

bool xds_set_remove(struct xds_set *s, enum xds_resource type, struct str name)
{
    const struct xds_name *n = xds_name_find(type, name);
    struct xds_entry *e = n ? xds_table_take(&s->entries[type], n) : NULL;
    if (!e)
        return false;
    tell(s, e->key);
    xds_entry_unref(e);
    return true;
}

struct xds_entry *xds_set_find_name(const struct xds_set *s, const struct xds_name *name)
{
    struct xds_entry *e = NULL;
    for (; s && !e; s = s->over)
        e = xds_table_find(&s->entries[name->type], name);
    return e;
}

struct xds_entry *xds_set_find(const struct xds_set *s, enum xds_resource type, struct str name)
{
    const struct xds_name *n = xds_name_find(type, name);
    return n ? xds_set_find_name(s, n) : NULL;
}

size_t xds_set_count(const struct xds_set *s, enum xds_resource type)
{
    return s->entries[type].counts[XDS_HELD];
}

bool xds_set_next(const struct xds_set *s, enum xds_resource type, struct xds_iter *i,
                  struct xds_entry **ret)
{
    struct xds_name *name;
    if (!i->layer)
        i->layer = s;
    for (; i->layer; i->layer = i->layer->over, i->at = 0)
        while (xds_table_next(&i->layer->entries[type], type, XDS_HELD, &i->at, &name)) {
            *ret = xds_table_find(&i->layer->entries[type], name);
            if (i->layer == s || xds_set_find_name(s, name) == *ret)
                return true;
        }
    return false;
}

struct entries {
    VEC(struct xds_entry *) v;
};

/* What `a` shows, and `b` does not, or otherwise. */
static void add_differing(const struct xds_set *a, const struct xds_set *b, struct entries *to)
{
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++) {
        struct xds_entry *e;
        for (struct xds_iter i = {0}; xds_set_next(a, type, &i, &e);) {
            const struct xds_entry *other = xds_set_find_name(b, e->key);
            if (!other || (other != e && !str_eq(other->version, e->version)))
                vec_push(&to->v, xds_entry_ref(e));
        }
    }
}

void xds_set_move(struct xds_set *s, struct xds_set *under)
{
    struct entries differ = {0};
    struct xds_set *before = s->over;
    if (before == under)
        return;
    add_differing(before, under, &differ);
    add_differing(under, before, &differ);
    xds_set_unwatch(&s->watch);
    s->over = under;
    xds_set_watch(under, &s->watch);
    VEC_FOREACH (e, &differ.v) {
        if (!xds_table_find(&s->entries[(*e)->type], (*e)->key))
            tell(s, (*e)->key); /* of those that have changed twice: no harm */
        xds_entry_unref(*e);
    }
    vec_done(&differ.v);
}

void xds_set_watch(struct xds_set *s, struct xds_watch *w)
{
    list_add_tail(&s->watches, &w->node);
}

void xds_set_unwatch(struct xds_watch *w)
{
    list_remove(&w->node);
}
