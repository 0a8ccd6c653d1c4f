/* Resources to be served, packed once. */
#include "xds/xds_set.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/vec.h"
#include "codec/pb.h"

enum { VERSION_SEED = 1, VERSION_N = 16 };

static struct xds_entry *entry_alloc(enum xds_resource type, struct str name, struct str version,
                                     struct str endpoints)
{
    struct xds_entry *e = xmalloc(sizeof(*e) + name.n + version.n + endpoints.n);
    char *p = e->data;
    *e = (struct xds_entry){.refs = 1, .type = type};
#define KEEP(to, from)                                                                             \
    do {                                                                                           \
        if ((from).n)                                                                              \
            memcpy(p, (from).p, (from).n);                                                         \
        (to) = str_of(p, (from).n);                                                                \
        p += (from).n;                                                                             \
    } while (0)
    KEEP(e->name, name);
    KEEP(e->version, version);
    KEEP(e->endpoints, endpoints);
#undef KEEP
    return e;
}

/* Of a field of bytes whose number is below 16. */
static size_t field_size(size_t n)
{
    size_t size = 2 + n;
    for (uint64_t rest = n; rest >= 0x80; rest >>= 7)
        size++;
    return size;
}

enum {
    RESOURCE_VERSION = 1,
    RESOURCE_RESOURCE = 2,
    RESOURCE_NAME = 3,
    ANY_TYPE = 1,
    ANY_VALUE = 2
};

/* Resource{name, version, resource: an Any}, the Any and the message in it last, so that they are
 * runs; the message, which may be long, is copied once. */
static void pack(struct xds_entry *e, struct str message)
{
    struct str url = str_from(xds_resource_type(e->type)->type_url);
    size_t any_n = field_size(url.n) + field_size(message.n);
    struct buf b = {0};
    IGNORE_RESULT(buf_reserve(&b, field_size(e->name.n) + field_size(e->version.n) +
                                      field_size(any_n))); /* what fails is seen below */
    pb_add_bytes(&b, RESOURCE_NAME, e->name);
    pb_add_bytes(&b, RESOURCE_VERSION, e->version);
    pb_add_varint(&b, (uint64_t)RESOURCE_RESOURCE << 3 | PB_BYTES);
    pb_add_varint(&b, any_n);
    pb_add_bytes(&b, ANY_TYPE, url);
    pb_add_bytes(&b, ANY_VALUE, message);
    ASSERT(!b.failed);
    e->packed = b.p;
    e->resource = buf_str(&b);
    e->any = str_sub(e->resource, b.n - any_n, b.n);
    e->message = str_sub(e->resource, b.n - message.n, b.n);
}

struct xds_entry *xds_entry_new(enum xds_resource type, struct str name, struct str message,
                                struct str endpoints)
{
    char version[VERSION_N + 1];
    snprintf(version, sizeof(version), "%016llx",
             (unsigned long long)hash_bytes_seed(message.p, message.n, VERSION_SEED));
    struct xds_entry *e = entry_alloc(type, name, str_from(version), endpoints);
    pack(e, message);
    return e;
}

struct xds_entry *xds_entry_new_held(enum xds_resource type, struct str name, struct str version)
{
    return entry_alloc(type, name, version, STR(""));
}

struct xds_entry *xds_entry_ref(struct xds_entry *e)
{
    e->refs++;
    return e;
}

void xds_entry_unref(struct xds_entry *e)
{
    if (!e || --e->refs)
        return;
    free(e->packed);
    free(e);
}

struct xds_set *xds_set_new(void)
{
    struct xds_set *s = NEW(struct xds_set);
    for (size_t i = 0; i < XDS_RESOURCES; i++)
        s->entries[i].borrows = true;
    list_init(&s->watches);
    return s;
}

static void tell(struct xds_set *s, enum xds_resource type, struct str name);

/* Of what is below. */
static void on_change_below(struct xds_watch *w, enum xds_resource type, struct str name)
{
    struct xds_set *s = CONTAINER_OF(w, struct xds_set, watch);
    if (!map_find(&s->entries[type], name))
        tell(s, type, name);
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
    for (size_t i = 0; i < XDS_RESOURCES; i++) {
        void *e;
        for (size_t at = 0; map_next(&s->entries[i], &at, NULL, &e);)
            xds_entry_unref(e);
        map_done(&s->entries[i]);
    }
    free(s);
}

static void tell(struct xds_set *s, enum xds_resource type, struct str name)
{
    s->changes++;
    LIST_FOREACH (node, &s->watches) {
        struct xds_watch *w = CONTAINER_OF(node, struct xds_watch, node);
        w->on_change(w, type, name);
    }
}

bool xds_set_put(struct xds_set *s, struct xds_entry *e)
{
    struct map *m = &s->entries[e->type];
    struct xds_entry *before = map_find(m, e->name);
    if (before && str_eq(before->version, e->version)) {
        xds_entry_unref(e);
        return false;
    }
    if (before) /* the key is its name */
        map_remove(m, e->name);
    map_put(m, e->name, e);
    xds_entry_unref(before);
    tell(s, e->type, e->name);
    return true;
}

bool xds_set_remove(struct xds_set *s, enum xds_resource type, struct str name)
{
    struct xds_entry *e = map_remove(&s->entries[type], name);
    if (!e)
        return false;
    tell(s, type, e->name);
    xds_entry_unref(e);
    return true;
}

struct xds_entry *xds_set_find(const struct xds_set *s, enum xds_resource type, struct str name)
{
    struct xds_entry *e = map_find(&s->entries[type], name);
    return e || !s->over ? e : xds_set_find(s->over, type, name);
}

bool xds_set_next(const struct xds_set *s, enum xds_resource type, struct xds_iter *i,
                  struct xds_entry **ret)
{
    struct str name;
    void *e;
    if (!i->layer)
        i->layer = s;
    for (; i->layer; i->layer = i->layer->over, i->at = 0)
        while (map_next(&i->layer->entries[type], &i->at, &name, &e))
            if (i->layer == s || xds_set_find(s, type, name) == e) {
                *ret = e;
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
            const struct xds_entry *other = xds_set_find(b, type, e->name);
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
        if (!map_find(&s->entries[(*e)->type], (*e)->name))
            tell(s, (*e)->type, (*e)->name); /* of those that have changed twice: no harm */
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
