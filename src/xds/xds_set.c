/* Resources to be served, packed once. */
#include "xds/xds_set.h"

#include <envoy/service/discovery/v3/discovery.pb-c.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/hash.h"
#include "codec/pb.h"
#include "codec/pb_msg.h"

enum { VERSION_SEED = 1, VERSION_N = 16 };

static struct xds_entry *entry_alloc(enum xds_resource type, struct str name, struct str version,
                                     struct str endpoints, size_t more)
{
    size_t n = name.n + version.n + endpoints.n + more;
    struct xds_entry *e = xmalloc(sizeof(*e) + n);
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

/* Resource{name = 3, version = 1, resource = 2: an Any}, the Any last so that it is a run. */
static void pack(struct buf *to, enum xds_resource type, struct str name, struct str version,
                 struct str message, size_t *ret_any)
{
    Envoy__Service__Discovery__V3__Resource head;
    Google__Protobuf__Any any;
    AUTO_DONE(buf) struct buf inner = {0};
    AUTO_CHARS char *name_text = str_dup(name), *version_text = str_dup(version);
    google__protobuf__any__init(&any);
    any.type_url = (char *)(uintptr_t)xds_resource_type(type)->type_url;
    any.value.data = (uint8_t *)(uintptr_t)message.p;
    any.value.len = message.n;
    IGNORE_RESULT(pb_pack(&any.base, &inner));
    envoy__service__discovery__v3__resource__init(&head);
    head.name = name_text;
    head.version = version_text;
    IGNORE_RESULT(pb_pack(&head.base, to));
    pb_add_bytes(to, 2, buf_str(&inner));
    *ret_any = to->n - inner.n;
    ASSERT(!to->failed && !inner.failed);
}

struct xds_entry *xds_entry_new(enum xds_resource type, struct str name, struct str message,
                                struct str endpoints)
{
    AUTO_DONE(buf) struct buf packed = {0};
    char version[VERSION_N + 1];
    size_t any;
    snprintf(version, sizeof(version), "%016llx",
             (unsigned long long)hash_bytes_seed(message.p, message.n, VERSION_SEED));
    pack(&packed, type, name, str_from(version), message, &any);
    struct xds_entry *e = entry_alloc(type, name, str_from(version), endpoints, packed.n);
    char *p = e->data + name.n + VERSION_N + endpoints.n;
    memcpy(p, packed.p, packed.n);
    e->resource = str_of(p, packed.n);
    e->any = str_of(p + any, packed.n - any);
    e->message = str_of(p + packed.n - message.n, message.n); /* an Any's value stands last */
    return e;
}

struct xds_entry *xds_entry_new_held(enum xds_resource type, struct str name, struct str version)
{
    return entry_alloc(type, name, version, STR(""), 0);
}

struct xds_entry *xds_entry_ref(struct xds_entry *e)
{
    e->refs++;
    return e;
}

void xds_entry_unref(struct xds_entry *e)
{
    if (e && --e->refs == 0)
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

void xds_set_free(struct xds_set *s)
{
    if (!s)
        return;
    ASSERT(list_is_empty(&s->watches));
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
    return map_find(&s->entries[type], name);
}

void xds_set_watch(struct xds_set *s, struct xds_watch *w)
{
    list_add_tail(&s->watches, &w->node);
}

void xds_set_unwatch(struct xds_watch *w)
{
    list_remove(&w->node);
}
