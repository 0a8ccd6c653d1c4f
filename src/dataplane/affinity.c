/* Groups, slots and numbers of ClientIP affinity. Numbers are given out from a random place on, so
 * that what the kernel remembers of a group that is gone does not meet another one's. Pure; the
 * book owns its groups, frontends hold references. */
#include "dataplane/affinity.h"

#include "base/assert.h"
#include "base/rand.h"

static void group_free(struct affinity_group *g)
{
    map_done(&g->by_endpoint);
    vec_done(&g->slots);
    vec_done(&g->free);
    free(g);
}

void affinity_book_done(struct affinity_book *b)
{
    for (uint32_t i = 0; i <= AFFINITY_GROUPS_MAX; i++)
        if (b->groups[i])
            group_free(b->groups[i]);
    map_done(&b->by_key);
    memset(b, 0, sizeof(*b));
}

/* ---- groups ---- */

struct group_name {
    struct frontend_key key;
    uint16_t class_;
};
static_assert(sizeof(struct group_name) == 24, "group_name has padding");

static struct group_name name_of(const struct frontend_key *key, unsigned class_)
{
    struct group_name n = {.class_ = (uint16_t)class_};
    n.key = *key;
    return n;
}

static struct affinity_group *group_new(struct affinity_book *b, uint32_t number)
{
    struct affinity_group *g = NEW(struct affinity_group);
    g->number = number;
    b->groups[number >> AFFINITY_GROUP_SHIFT & AFFINITY_GROUPS_MAX] = g;
    return g;
}

struct affinity_group *affinity_group_get(struct affinity_book *b, const struct frontend_key *key,
                                          unsigned class_)
{
    ASSERT(class_ > 0 && class_ <= AFFINITY_CLASSES_MAX);
    struct group_name name = name_of(key, class_);
    struct affinity_group *g = map_find(&b->by_key, str_of(&name, sizeof(name)));
    if (!b->next)
        b->next = 1 + (uint32_t)rand_below(AFFINITY_GROUPS_MAX);
    for (uint32_t tries = 0; !g && tries < AFFINITY_GROUPS_MAX; tries++) {
        uint32_t id = b->next;
        b->next = id == AFFINITY_GROUPS_MAX ? 1 : id + 1;
        if (b->groups[id])
            continue;
        g = group_new(b, (uint32_t)class_ << AFFINITY_CLASS_SHIFT | id << AFFINITY_GROUP_SHIFT);
        g->named = true;
        g->key = *key;
        map_put(&b->by_key, str_of(&name, sizeof(name)), g);
    }
    if (!COUNT_IF(!g, "no group left for affinity"))
        g->refs++;
    return g;
}

struct affinity_group *affinity_group_adopt(struct affinity_book *b, uint32_t number)
{
    uint32_t id = number >> AFFINITY_GROUP_SHIFT & AFFINITY_GROUPS_MAX;
    if (!id || !affinity_class(number) || number & AFFINITY_SLOT_MASK)
        return NULL;
    struct affinity_group *g = b->groups[id];
    if (g && g->number != number)
        return NULL;
    if (!g)
        g = group_new(b, number);
    g->refs++;
    return g;
}

bool affinity_group_name(struct affinity_book *b, struct affinity_group *g,
                         const struct frontend_key *key)
{
    ASSERT(b->groups[g->number >> AFFINITY_GROUP_SHIFT & AFFINITY_GROUPS_MAX] == g);
    struct group_name name = name_of(key, affinity_class(g->number));
    if (g->named)
        return memcmp(&g->key, key, sizeof(*key)) == 0;
    if (map_find(&b->by_key, str_of(&name, sizeof(name))))
        return false;
    map_put(&b->by_key, str_of(&name, sizeof(name)), g);
    g->key = *key;
    g->named = true;
    return true;
}

bool affinity_group_unref(struct affinity_book *b, struct affinity_group *g)
{
    ASSERT(g->refs > 0 && b->groups[g->number >> AFFINITY_GROUP_SHIFT & AFFINITY_GROUPS_MAX] == g);
    if (--g->refs)
        return false;
    struct group_name name = name_of(&g->key, affinity_class(g->number));
    if (g->named)
        map_remove(&b->by_key, str_of(&name, sizeof(name)));
    b->groups[g->number >> AFFINITY_GROUP_SHIFT & AFFINITY_GROUPS_MAX] = NULL;
    group_free(g);
    return true;
}

/* ---- endpoints ---- */

static_assert(sizeof(struct dataplane_endpoint) == 18, "dataplane_endpoint has padding");

static struct str endpoint_str(const struct dataplane_endpoint *e)
{
    return str_of(e, sizeof(*e));
}

static uint32_t slot_of(const struct affinity_group *g, const struct dataplane_endpoint *e)
{
    return (uint32_t)(uintptr_t)map_find(&g->by_endpoint, endpoint_str(e));
}

static void slot_take(struct affinity_group *g, uint32_t slot, const struct dataplane_endpoint *e)
{
    while (g->slots.n < slot) {
        vec_push(&g->slots, (struct affinity_slot){0});
        if (g->slots.n < slot)
            vec_push(&g->free, (uint32_t)g->slots.n);
    }
    g->slots.v[slot - 1] = (struct affinity_slot){.endpoint = *e};
    map_put(&g->by_endpoint, endpoint_str(e), (void *)(uintptr_t)slot);
}

uint32_t affinity_endpoint_number(const struct affinity_group *g,
                                  const struct dataplane_endpoint *e)
{
    uint32_t slot = slot_of(g, e);
    return slot ? g->number | slot : 0;
}

uint32_t affinity_endpoint_ref(struct affinity_group *g, enum endpoint_scope scope,
                               const struct dataplane_endpoint *e)
{
    ASSERT(scope < _SCOPE_MAX && e->port);
    uint32_t slot = slot_of(g, e);
    while (!slot && g->free.n) {
        uint32_t candidate = vec_pop(&g->free);
        if (g->slots.v[candidate - 1].endpoint.port == 0)
            slot_take(g, slot = candidate, e);
    }
    if (!slot && g->slots.n < AFFINITY_SLOTS_MAX)
        slot_take(g, slot = (uint32_t)g->slots.n + 1, e);
    if (COUNT_IF(!slot, "no number left for an endpoint with affinity"))
        return 0;
    g->slots.v[slot - 1].refs[scope]++;
    return g->number | slot;
}

void affinity_endpoint_unref(struct affinity_group *g, enum endpoint_scope scope,
                             const struct dataplane_endpoint *e)
{
    uint32_t slot = slot_of(g, e);
    if (slot && g->slots.v[slot - 1].refs[scope])
        g->slots.v[slot - 1].refs[scope]--;
}

bool affinity_endpoint_adopt(struct affinity_group *g, enum endpoint_scope scope, uint32_t number,
                             const struct dataplane_endpoint *e)
{
    uint32_t slot = number & AFFINITY_SLOT_MASK, known = slot_of(g, e);
    if (!slot || (number & ~(uint32_t)AFFINITY_SLOT_MASK) != g->number || (known && known != slot))
        return false;
    if (!known) {
        if (slot <= g->slots.n && g->slots.v[slot - 1].endpoint.port)
            return false;
        slot_take(g, slot, e);
    }
    g->slots.v[slot - 1].refs[scope]++;
    return true;
}

bool affinity_pin_adopt(struct affinity_book *b, enum endpoint_scope scope, uint32_t number,
                        const struct dataplane_endpoint *e)
{
    struct affinity_group *g = b->groups[number >> AFFINITY_GROUP_SHIFT & AFFINITY_GROUPS_MAX];
    if (!g || affinity_endpoint_number(g, e) != number)
        return false;
    g->slots.v[(number & AFFINITY_SLOT_MASK) - 1].pinned[scope] = true;
    return true;
}

void affinity_group_sweep(struct affinity_group *g, affinity_pin_fn *on_pin, void *user)
{
    for (uint32_t slot = 1; slot <= g->slots.n; slot++) {
        struct affinity_slot *s = &g->slots.v[slot - 1];
        bool used = false;
        for (int i = 0; i < _SCOPE_MAX && s->endpoint.port; i++) {
            bool want = s->refs[i] > 0;
            used = used || want;
            if (want != s->pinned[i])
                on_pin(want, (enum endpoint_scope)i, g->number | slot, &s->endpoint, user);
            s->pinned[i] = want;
        }
        if (used || !s->endpoint.port)
            continue;
        map_remove(&g->by_endpoint, endpoint_str(&s->endpoint));
        *s = (struct affinity_slot){0};
        vec_push(&g->free, slot);
    }
}
