/* Slots of route tables. */
#include "proxy/route_slot.h"

#include "base/mem.h"

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
    config_source_done(&s->source);
    kept_texts_done(&s->text);
    free(s->name);
    free(s);
}

struct route_slot *route_slots_find(const struct route_slots *s, struct str name)
{
    VEC_FOREACH (slot, &s->slots)
        if (*slot && str_is(name, (*slot)->name))
            return *slot;
    return NULL;
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
    config_source_copy(&slot->source, source);
    s->slots.v[id] = slot;
    return slot;
}

void route_slots_sweep(struct route_slots *s, void (*on_free)(struct route_slot *s, void *user),
                       void *user)
{
    VEC_FOREACH (slot, &s->slots)
        if (*slot && atomic_load_explicit(&(*slot)->refs, memory_order_acquire) == 1) {
            on_free(*slot, user);
            route_slot_unref(TAKE(*slot));
        }
}

void route_slots_done(struct route_slots *s)
{
    VEC_FOREACH (slot, &s->slots)
        route_slot_unref(*slot);
    vec_done(&s->slots);
}
