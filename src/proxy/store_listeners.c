/* Listeners, and which route tables are wanted for them. */
#include <errno.h>

#include "base/assert.h"
#include "proxy/store_priv.h"

typedef Envoy__Config__Listener__V3__Listener pb_listener;

/* ---- route tables ---- */

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
    store_hosts_unwant(s, slot);
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

/* The clusters that filters of the chain ask, and those of a TCP proxy: is fn true of one? */
static bool any_cluster(struct store *s, const struct filter_chain *chain, struct str of,
                        bool (*fn)(struct store *s, struct str name, struct str of))
{
    const struct http_filters *filters = chain->http ? chain->http->filters : NULL;
    for (size_t i = 0; filters && i < filters->n; i++)
        if (filters->filters[i].type->cluster &&
            fn(s, filters->filters[i].type->cluster(filters->filters[i].config), of))
            return true;
    if (chain->tcp)
        VEC_FOREACH (c, &chain->tcp->clusters)
            if (fn(s, str_from(c->name), of))
                return true;
    return false;
}

static bool is_warming(struct store *s, struct str name, struct str of)
{
    const struct store_cluster *sc = map_find(&s->clusters, name);
    (void)of;
    return sc && sc->warming && !sc->live;
}

static bool chain_is_ready(struct store *s, const struct filter_chain *chain)
{
    const struct http_config *h = chain->http;
    if (h && (h->slot ? !h->slot->table : store_is_warming(s, store_table_names, h->routes)))
        return false;
    if (chain->tls && !tls_slot_is_ready(chain->tls))
        return false;
    return !any_cluster(s, chain, STR(""), is_warming);
}

static bool is_ready(struct store *s, const struct store_listener *l)
{
    const struct filter_chains *chains = &l->warming->chains;
    if (l->late)
        return true;
    VEC_FOREACH (chain, &chains->v)
        if (!chain_is_ready(s, chain))
            return false;
    return !chains->otherwise || chain_is_ready(s, chains->otherwise);
}

/* Asks for what it needs; how long to wait for that. */
static struct store_wait want_all(struct store *s, const struct listener_config *c)
{
    struct store_wait wait = {.ms = 0};
    VEC_FOREACH (h, &c->https)
        if ((*h)->slot) {
            want_slot(s, (*h)->slot);
            store_wait_add(&wait, (*h)->slot->source.warm_ms);
        }
    VEC_FOREACH (chain, &c->chains.v)
        store_secrets_wait(s, chain->tls, &wait);
    if (c->chains.otherwise)
        store_secrets_wait(s, c->chains.otherwise->tls, &wait);
    return wait;
}

/* Routes of each chain are found by listener and chain, so that connections by a configuration that
 * was replaced follow them: what their own table names may be gone. */
static void give_seat(struct store *s, const char *listener, const struct filter_chain *chain,
                      size_t i)
{
    AUTO_DONE(buf) struct buf key = {0};
    if (!chain->http)
        return;
    if (*chain->name)
        buf_addf(&key, "%s\n%s", listener, chain->name);
    else
        buf_addf(&key, "%s\n\n%zu", listener, i);
    chain->http->seat = route_seats_get(&s->seats, buf_str(&key));
}

static void give_seats(struct store *s, const struct listener_config *c)
{
    for (size_t i = 0; i < c->chains.v.n; i++)
        give_seat(s, c->name, &c->chains.v.v[i], i);
    if (c->chains.otherwise)
        give_seat(s, c->name, c->chains.otherwise, c->chains.v.n);
}

static void fill_seats(const struct listener_config *c)
{
    VEC_FOREACH (h, &c->https)
        if ((*h)->seat)
            route_seat_set((*h)->seat, (*h)->slot, (*h)->routes);
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

/* Its sockets, unless those of the listener that it replaces will do. */
static int bind_sockets(struct store *s, const struct store_listener *l, struct listener_config *c,
                        const struct store_item *i)
{
    struct err err = {0};
    if (i->is_static || !s->ops->on_bind ||
        (l && l->live && listener_config_listens_alike(l->live, c)))
        return 0;
    int r = s->ops->on_bind(c, s->user, &err);
    return r < 0 ? err_set(i->err, r, NULL, "cannot bind: %s", err_text(&err)) : 0;
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
    if (r == 0)
        r = bind_sockets(s, l, config, i);
    if (r < 0) {
        listener_config_unref(config);
        return r;
    }
    if (!i->is_static)
        give_seats(s, config);
    store_count(l ? SERVER_STAT_LISTENER_MODIFIED : SERVER_STAT_LISTENER_ADDED);
    l = listener_get(s, i->name);
    l->hash = hash;
    l->is_static = i->is_static;
    store_keep(s, &l->text, i);
    l->late = false;
    listener_config_unref(l->warming);
    l->warming = config;
    loop_timer_stop(l->timer);
    s->secrets_stale = true;
    struct store_wait wait = want_all(s, config);
    if (wait.ms && !wait.for_ever)
        loop_timer_start(l->timer, wait.ms);
    loop_defer_soon(s->loop, &s->settle);
    return 0;
}

/* ---- what open connections go by when their filter chain is not in force any more ---- */

static void cover(const struct listener_config *l, bool covered)
{
    VEC_FOREACH (h, &l->https)
        if ((*h)->seat)
            (*h)->seat->covered = covered;
}

/* now: what takes its place; NULL: nothing. The last form is kept of each name. */
static void leave(struct store *s, struct listener_config *l, const struct listener_config *now)
{
    bool left = false;
    cover(l, false);
    if (now)
        cover(now, true);
    VEC_FOREACH (h, &l->https)
        left |= (*h)->seat && !(*h)->seat->covered;
    if (left)
        listener_config_unref(map_put_cstr(&s->gone, l->name, listener_config_ref(l)));
}

/* Nobody goes by l but itself: the store has a reference to each seat, and l. */
static bool is_left(const struct listener_config *l)
{
    VEC_FOREACH (h, &l->https)
        if ((*h)->seat && !(*h)->seat->covered &&
            atomic_load_explicit(&(*h)->seat->refs, memory_order_acquire) > 2)
            return false;
    return true;
}

static void sweep_gone(struct store *s)
{
    void *p;
    if (!s->gone.used)
        return;
    for (size_t at = 0; map_next(&s->gone, &at, NULL, &p);)
        cover(p, false);
    for (size_t at = 0; map_next(&s->listeners, &at, NULL, &p);)
        if (((const struct store_listener *)p)->live)
            cover(((const struct store_listener *)p)->live, true);
    for (size_t at = 0; map_next(&s->gone, &at, NULL, &p);) {
        struct listener_config *l = p;
        if (!is_left(l))
            continue;
        map_remove_cstr(&s->gone, l->name);
        listener_config_unref(l);
    }
}

void store_listener_remove(struct store *s, struct str name)
{
    struct store_listener *l = map_find(&s->listeners, name);
    if (!l || l->is_static)
        return;
    map_remove(&s->listeners, name);
    store_count(SERVER_STAT_LISTENER_REMOVED);
    if (l->live)
        leave(s, l->live, NULL);
    listener_free_entry(l);
    s->secrets_stale = true;
    store_changed(s);
}

/* ---- what is ready comes into force ---- */

void store_listeners_settle(struct store *s)
{
    void *p;
    store_routes_settle(s);
    for (size_t at = 0; map_next(&s->listeners, &at, NULL, &p);) {
        struct store_listener *l = p;
        if (!l->warming || !is_ready(s, l))
            continue;
        loop_timer_stop(l->timer);
        if (l->live)
            leave(s, l->live, l->warming);
        listener_config_unref(l->live);
        l->live = TAKE(l->warming);
        fill_seats(l->live);
        s->secrets_stale = true;
        kept_texts_commit(&l->text);
        s->changed = true;
    }
    sweep_gone(s);
    route_seats_sweep(&s->seats); /* first: they hold slots */
    route_slots_sweep(&s->slots, on_slot_free, s);
}

static bool is_same(struct store *s, struct str name, struct str of)
{
    (void)s;
    return str_eq(name, of);
}

static bool names_cluster(struct store *s, const struct filter_chain *chain, struct str name)
{
    if (chain->http && chain->http->routes && !chain->http->seat &&
        route_table_names_cluster(chain->http->routes, name))
        return true;
    return any_cluster(s, chain, name, is_same);
}

bool store_names_cluster(struct store *s, struct str name)
{
    void *p;
    VEC_FOREACH (slot, &s->slots.slots)
        if (*slot && store_slot_names(*slot, name))
            return true;
    VEC_FOREACH (seat, &s->seats.seats) /* those in slots were seen */
        if (*seat && (*seat)->table && route_table_names_cluster((*seat)->table, name))
            return true;
    for (size_t at = 0; map_next(&s->listeners, &at, NULL, &p);) {
        const struct listener_config *l = ((const struct store_listener *)p)->live;
        if (!l)
            continue;
        VEC_FOREACH (chain, &l->chains.v)
            if (names_cluster(s, chain, name))
                return true;
        if (l->chains.otherwise && names_cluster(s, l->chains.otherwise, name))
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

bool store_listeners_wait(const struct store *s)
{
    void *p;
    for (size_t at = 0; map_next(&s->listeners, &at, NULL, &p);)
        if (((const struct store_listener *)p)->warming)
            return true;
    VEC_FOREACH (slot, &s->slots.slots)
        if (*slot && (*slot)->next)
            return true;
    return false;
}

void store_listeners_done(struct store *s)
{
    void *p;
    for (size_t at = 0; map_next(&s->listeners, &at, NULL, &p);)
        listener_free_entry(p);
    map_done(&s->listeners);
    for (size_t at = 0; map_next(&s->gone, &at, NULL, &p);)
        listener_config_unref(p);
    map_done(&s->gone);
    route_seats_done(&s->seats);
    route_slots_done(&s->slots);
    vec_done(&s->wanted_slots);
}
