/* Slots of route tables. */
#include "proxy/route_slot.h"

#include "base/mem.h"

struct slot_host *slot_host_new(struct str name, struct route_host *host, struct kept_text *text)
{
    struct slot_host *h = xmalloc(sizeof(*h) + name.n + 1);
    memcpy(h->data, name.p, name.n);
    h->data[name.n] = 0;
    h->host = host;
    h->text = text;
    h->name = str_of(h->data, name.n);
    return h;
}

void slot_host_free(struct slot_host *h)
{
    if (!h)
        return;
    route_host_unref(h->host);
    kept_text_unref(h->text);
    free(h);
}

static void count_one(struct str name, void *user)
{
    struct map *m = user;
    uintptr_t n = (uintptr_t)map_find(m, name);
    map_put(m, name, (void *)(n + 1));
}

static void count_one_less(struct str name, void *user)
{
    struct map *m = user;
    uintptr_t n = (uintptr_t)map_find(m, name);
    if (n > 1)
        map_put(m, name, (void *)(n - 1));
    else
        map_remove(m, name);
}

struct slot_host *route_slot_put_host(struct route_slot *s, struct str name, struct slot_host *h)
{
    struct slot_host *before = map_remove(&s->hosts, name);
    if (h) { /* first: names that both have stay as they are */
        route_host_each_cluster(h->host, count_one, &s->clusters);
        map_put(&s->hosts, h->name, h);
    }
    if (before)
        route_host_each_cluster(before->host, count_one_less, &s->clusters);
    return before;
}

void route_slot_forget_changes(struct route_slot *s)
{
    VEC_FOREACH (c, &s->changes) {
        route_host_unref(c->before);
        route_host_unref(c->after);
    }
    vec_clear(&s->changes);
}

void route_slot_drop_hosts(struct route_slot *s)
{
    void *h;
    for (size_t at = 0; map_next(&s->hosts, &at, NULL, &h);)
        slot_host_free(h);
    map_done(&s->hosts);
    map_done(&s->clusters);
    s->hosts_came = false;
}

struct route_slot *route_slot_ref(struct route_slot *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void route_slot_unref(struct route_slot *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    route_table_unref(s->table);
    route_table_unref(s->next);
    route_table_unref(s->outer);
    route_slot_drop_hosts(s);
    route_slot_forget_changes(s);
    vec_done(&s->changes);
    config_source_done(&s->source);
    kept_texts_done(&s->text);
    free(s->name);
    free(s);
}

struct route_slot *route_slots_find(const struct route_slots *s, struct str name)
{
    return map_find(&s->by_name, name);
}

struct route_slot *route_slots_get(struct route_slots *s, struct str name,
                                   const struct config_source *source)
{
    struct route_slot *slot = route_slots_find(s, name);
    size_t id = 0;
    if (slot)
        return route_slot_ref(slot);
    while (id < s->slots.n && s->slots.v[id])
        id++;
    if (id == s->slots.n)
        vec_push(&s->slots, NULL);
    slot = NEW(struct route_slot);
    slot->refs = 2;
    slot->id = (uint32_t)id;
    slot->name = str_dup(name);
    slot->hosts.borrows = true;
    config_source_copy(&slot->source, source);
    s->slots.v[id] = slot;
    map_put(&s->by_name, name, slot);
    return slot;
}

void route_slots_sweep(struct route_slots *s, void (*on_free)(struct route_slot *s, void *user),
                       void *user)
{
    VEC_FOREACH (slot, &s->slots)
        if (*slot && atomic_load_explicit(&(*slot)->refs, memory_order_acquire) == 1) {
            on_free(*slot, user);
            map_remove_cstr(&s->by_name, (*slot)->name);
            route_slot_unref(TAKE(*slot));
        }
}

void route_slots_done(struct route_slots *s)
{
    VEC_FOREACH (slot, &s->slots)
        route_slot_unref(*slot);
    vec_done(&s->slots);
    map_done(&s->by_name);
}

/* ---- seats ---- */

void route_seat_unref(struct route_seat *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    route_slot_unref(p->from);
    route_table_unref(p->table);
    free(p->key);
    free(p);
}

struct route_seat *route_seats_get(struct route_seats *all, struct str key)
{
    struct route_seat *p = map_find(&all->by_key, key);
    size_t id = 0;
    if (p) {
        atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
        return p;
    }
    while (id < all->seats.n && all->seats.v[id])
        id++;
    if (id == all->seats.n)
        vec_push(&all->seats, NULL);
    p = NEW(struct route_seat);
    p->refs = 2;
    p->id = (uint32_t)id;
    p->key = str_dup(key);
    all->seats.v[id] = p;
    map_put(&all->by_key, key, p);
    return p;
}

void route_seat_set(struct route_seat *p, struct route_slot *from, struct route_table *table)
{
    if (from)
        route_slot_ref(from);
    if (table)
        route_table_ref(table);
    route_slot_unref(p->from);
    route_table_unref(p->table);
    p->from = from;
    p->table = table;
}

struct route_table *route_seat_table(const struct route_seat *p)
{
    return p->from ? p->from->table : p->table;
}

void route_seats_sweep(struct route_seats *all)
{
    VEC_FOREACH (p, &all->seats)
        if (*p && atomic_load_explicit(&(*p)->refs, memory_order_acquire) == 1) {
            map_remove_cstr(&all->by_key, (*p)->key);
            route_seat_unref(TAKE(*p));
        }
}

void route_seats_done(struct route_seats *all)
{
    VEC_FOREACH (p, &all->seats)
        route_seat_unref(*p);
    vec_done(&all->seats);
    map_done(&all->by_key);
}
