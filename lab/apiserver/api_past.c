/* A kind as it was at an earlier version: the present with the newer events taken back.
 *
 * The ring holds every event after store_oldest_version() with the state before it, so the first
 * event of an object after the version says what the object was then. Everything is borrowed from
 * store and ring: a struct api_past lives within one call. */
#include "base/vec.h"
#include "lab/apiserver/api_priv.h"

static int key_order(const struct object *a, const char *ns, const char *name)
{
    int d = strcmp(a->ns, ns);
    return d ? d : strcmp(a->name, name);
}

static int by_key_then_age(const void *a, const void *b)
{
    const struct api_past_change *x = a, *y = b;
    int d = key_order(x->key, y->key->ns, y->key->name);
    return d ? d : x->age < y->age ? -1 : x->age > y->age;
}

void api_past_init(struct api_past *p, const struct store *store, uint32_t kind, uint64_t version)
{
    *p = (struct api_past){.store = store, .kind = kind};
    ASSERT(version >= store_oldest_version(store));
    for (uint64_t i = store_events_after(store, version); i < store_events_end(store); i++) {
        const struct store_event *e = store_event(store, i);
        if (e->object->kind == kind)
            vec_push(&p->changes, (struct api_past_change){e->object, e->before, i});
    }
    if (!p->changes.n)
        return;
    qsort(p->changes.v, p->changes.n, sizeof(*p->changes.v), by_key_then_age);
    size_t kept = 1; /* of each object the oldest change only */
    for (size_t i = 1; i < p->changes.n; i++) {
        const struct object *last = p->changes.v[kept - 1].key;
        if (key_order(p->changes.v[i].key, last->ns, last->name))
            p->changes.v[kept++] = p->changes.v[i];
    }
    p->changes.n = kept;
}

void api_past_done(struct api_past *p)
{
    vec_done(&p->changes);
}

void api_past_seek(struct api_past *p, const char *ns, const char *name)
{
    size_t low = 0, high = p->changes.n;
    p->at = store_lower_bound(p->store, p->kind, ns, name);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (key_order(p->changes.v[mid].key, ns, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    p->change_at = low;
}

struct object *api_past_next(struct api_past *p)
{
    size_t n = store_count(p->store, p->kind);
    for (;;) {
        struct object *now = p->at < n ? store_at(p->store, p->kind, p->at) : NULL;
        if (p->change_at == p->changes.n) {
            p->at += now != NULL;
            return now;
        }
        const struct api_past_change *c = &p->changes.v[p->change_at];
        int d = now ? key_order(now, c->key->ns, c->key->name) : 1;
        p->at += d <= 0;
        if (d < 0)
            return now;
        p->change_at++;
        if (c->was)
            return c->was;
    }
}
