/* Listeners and the route tables that come by themselves. */
#include <errno.h>

#include "base/assert.h"
#include "proxy/store_priv.h"

typedef Envoy__Config__Listener__V3__Listener pb_listener;
typedef Envoy__Config__Route__V3__RouteConfiguration pb_table;

/* ---- route tables ---- */

int store_routes_add(struct store *s, const struct store_item *i)
{
    struct route_slot *slot = route_slots_find(&s->slots, i->name);
    struct route_table *t;
    uint64_t hash = store_hash(i->bytes);
    if (!slot || ((slot->table || slot->next) && slot->hash == hash))
        return 0; /* nobody wants it, or it is the same */
    int r = route_table_compile((const pb_table *)(const void *)i->message, &t, i->err);
    if (r < 0)
        return r;
    slot->hash = hash;
    route_table_unref(slot->next);
    slot->next = t;
    store_keep(s, &slot->text, i);
    loop_defer_soon(s->loop, &s->settle);
    return 0;
}

static void want_slot(struct store *s, const struct route_slot *slot)
{
    while (s->wanted_slots.n <= slot->id)
        vec_push(&s->wanted_slots, false);
    if (s->wanted_slots.v[slot->id])
        return;
    s->wanted_slots.v[slot->id] = true;
    s->ops->on_want(&slot->source, XDS_ROUTE, str_from(slot->name), true, s->user);
}

static void on_slot_free(struct route_slot *slot, void *user)
{
    struct store *s = user;
    if (slot->id >= s->wanted_slots.n || !s->wanted_slots.v[slot->id])
        return; /* of a listener that was refused */
    s->wanted_slots.v[slot->id] = false;
    s->ops->on_want(&slot->source, XDS_ROUTE, str_from(slot->name), false, s->user);
}

/* ---- listeners ---- */

static void listener_free_entry(struct store_listener *l)
{
    listener_config_unref(l->live);
    listener_config_unref(l->warming);
    loop_timer_free(l->timer);
    kept_texts_done(&l->text);
    free(l->name);
    free(l);
}

static void on_late(void *user)
{
    struct store_listener *l = user;
    l->late = true;
    loop_defer_soon(l->store->loop, &l->store->settle);
}

static bool is_ready(struct store *s, const struct store_listener *l)
{
    if (l->late)
        return true;
    VEC_FOREACH (h, &l->warming->https) {
        const struct route_slot *slot = (*h)->slot;
        if (slot ? !slot->table : store_is_warming(s, (*h)->routes))
            return false;
    }
    return true;
}

/* Asks for what it needs; how long to wait for that. 0: as long as it takes. */
static uint64_t want_tables(struct store *s, const struct listener_config *c)
{
    uint64_t wait_ms = 0;
    bool for_ever = false;
    VEC_FOREACH (h, &c->https)
        if ((*h)->slot) {
            want_slot(s, (*h)->slot);
            for_ever |= !(*h)->slot->source.warm_ms;
            wait_ms = MAX(wait_ms, (*h)->slot->source.warm_ms);
        }
    return for_ever ? 0 : wait_ms;
}

static int check_address(struct store *s, const struct listener_config *c,
                         const struct store_item *i)
{
    void *p;
    for (size_t at = 0; map_next(&s->listeners, &at, NULL, &p);) {
        const struct store_listener *l = p;
        const struct listener_config *o = l->warming ? l->warming : l->live;
        char text[IP_TEXT_BYTES];
        if (o && !str_is(i->name, l->name) && c->port && o->port == c->port &&
            ip_eq(&o->ip, &c->ip))
            return pb_path_fail(i->path, i->err, -EINVAL,
                                "error adding listener: '" STR_FMT
                                "' has duplicate address '%s:%u' as existing listener '%s'",
                                STR_ARG(i->name), ip_format(&c->ip, text), c->port, l->name);
    }
    return 0;
}

static struct store_listener *listener_get(struct store *s, struct str name)
{
    struct store_listener *l = map_find(&s->listeners, name);
    if (l)
        return l;
    l = NEW(struct store_listener);
    l->store = s;
    l->name = str_dup(name);
    l->timer = loop_timer_new(s->loop, on_late, l);
    map_put(&s->listeners, name, l);
    return l;
}

int store_listener_add(struct store *s, const struct store_item *i)
{
    struct compile c = {.scratch = i->arena,
                        .clusters = &s->clusters,
                        .route_slots = &s->slots,
                        .find_secret = store_find_secret,
                        .secrets = s,
                        .path = *i->path,
                        .err = i->err};
    struct store_listener *l = map_find(&s->listeners, i->name);
    struct listener_config *config;
    uint64_t hash = store_hash(i->bytes);
    if (l && i->is_static)
        return pb_path_fail(i->path, i->err, -EINVAL, "duplicate listener '%s'", l->name);
    if (l && l->is_static)
        return 0; /* is not replaced, as in Envoy */
    if (l && !i->is_static && l->hash == hash)
        return 0;
    int r = listener_config_compile(&c, (const pb_listener *)(const void *)i->message, &config);
    if (r < 0)
        return r;
    r = check_address(s, config, i);
    if (r < 0) {
        listener_config_unref(config);
        return r;
    }
    store_count(l ? SERVER_STAT_LISTENER_MODIFIED : SERVER_STAT_LISTENER_ADDED);
    l = listener_get(s, i->name);
    l->hash = hash;
    l->is_static = i->is_static;
    store_keep(s, &l->text, i);
    l->late = false;
    listener_config_unref(l->warming);
    l->warming = config;
    loop_timer_stop(l->timer);
    uint64_t wait_ms = want_tables(s, config);
    if (wait_ms)
        loop_timer_start(l->timer, wait_ms);
    loop_defer_soon(s->loop, &s->settle);
    return 0;
}

void store_listener_remove(struct store *s, struct str name)
{
    struct store_listener *l = map_find(&s->listeners, name);
    if (!l || l->is_static)
        return;
    map_remove(&s->listeners, name);
    store_count(SERVER_STAT_LISTENER_REMOVED);
    listener_free_entry(l);
    store_changed(s);
}

/* ---- what is ready comes into force ---- */

static void settle_tables(struct store *s)
{
    VEC_FOREACH (slot, &s->slots.slots) {
        struct route_slot *rs = *slot;
        if (!rs || !rs->next || store_is_warming(s, rs->next))
            continue;
        route_table_unref(rs->table);
        rs->table = TAKE(rs->next);
        kept_texts_commit(&rs->text);
        s->changed = true;
    }
}

void store_listeners_settle(struct store *s)
{
    void *p;
    settle_tables(s);
    for (size_t at = 0; map_next(&s->listeners, &at, NULL, &p);) {
        struct store_listener *l = p;
        if (!l->warming || !is_ready(s, l))
            continue;
        loop_timer_stop(l->timer);
        listener_config_unref(l->live);
        l->live = TAKE(l->warming);
        kept_texts_commit(&l->text);
        s->changed = true;
    }
    route_slots_sweep(&s->slots, on_slot_free, s);
}

bool store_names_cluster(struct store *s, struct str name)
{
    void *p;
    VEC_FOREACH (slot, &s->slots.slots)
        if (*slot && (*slot)->table && route_table_names_cluster((*slot)->table, name))
            return true;
    for (size_t at = 0; map_next(&s->listeners, &at, NULL, &p);) {
        const struct store_listener *l = p;
        if (!l->live)
            continue;
        VEC_FOREACH (h, &l->live->https)
            if ((*h)->routes && route_table_names_cluster((*h)->routes, name))
                return true;
    }
    return false;
}

bool store_listeners_are_warm(const struct store *s)
{
    void *p;
    for (size_t at = 0; map_next(&s->listeners, &at, NULL, &p);)
        if (!((const struct store_listener *)p)->live)
            return false;
    return true;
}

void store_listeners_done(struct store *s)
{
    void *p;
    for (size_t at = 0; map_next(&s->listeners, &at, NULL, &p);)
        listener_free_entry(p);
    map_done(&s->listeners);
    route_slots_done(&s->slots);
    vec_done(&s->wanted_slots);
}
