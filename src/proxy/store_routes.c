/* Route tables that come by themselves, and the virtual hosts of those that have them come so, too
 * (VHDS). A change of hosts makes a table of the old one's and the new ones, which comes into force
 * as any other does. */
#include "base/assert.h"
#include "proxy/store_priv.h"

/* ---- tables ---- */

static void take_next(struct store *s, struct route_slot *slot, struct route_table *t)
{
    slot->came_ms = loop_now_ms(s->loop);
    route_table_unref(slot->next);
    slot->next = t;
    loop_defer_soon(s->loop, &s->settle);
}

static void want_hosts(struct store *s, const struct route_slot *slot, bool wanted)
{
    const struct config_source ads = {.path = NULL};
    s->ops->on_want(&ads, XDS_HOST, str_from(slot->name), wanted, s->user);
}

/* Until another table is in force, what its hosts name is named: as of hosts that go with it. */
static void keep_named(struct route_slot *slot)
{
    void *h;
    VEC_FOREACH (c, &slot->changes)
        route_host_unref(TAKE(c->after));
    for (size_t at = 0; map_next(&slot->hosts, &at, NULL, &h);)
        vec_push(&slot->changes,
                 (struct route_change){route_host_ref(((struct slot_host *)h)->host), NULL});
}

void store_hosts_unwant(struct store *s, struct route_slot *slot)
{
    if (!slot->outer)
        return;
    route_table_unref(TAKE(slot->outer));
    keep_named(slot);
    route_slot_drop_hosts(slot);
    want_hosts(s, slot, false);
}

/* t: to which hosts are joined, taken. */
static int take_outer(struct store *s, struct route_slot *slot, struct route_table *t,
                      struct err *reterr)
{
    VEC(struct route_change) all = {0};
    struct route_table *joined;
    void *h;
    for (size_t at = 0; map_next(&slot->hosts, &at, NULL, &h);)
        vec_push(&all, (struct route_change){NULL, ((const struct slot_host *)h)->host});
    int r = route_table_join(t, NULL, all.v, all.n, &joined, reterr);
    vec_done(&all);
    if (r < 0) {
        route_table_unref(t);
        return r;
    }
    bool first = !slot->outer;
    route_table_unref(slot->outer);
    slot->outer = t;
    take_next(s, slot, joined);
    if (first)
        want_hosts(s, slot, true);
    return 0;
}

int store_routes_read(struct store *s, const struct store_item *i, struct xds_report *report)
{
    struct route_slot *slot = route_slots_find(&s->slots, i->name);
    struct route_table *t, *before;
    uint64_t hash = store_hash(i->bytes);
    if (!slot || ((slot->table || slot->next) && slot->hash == hash))
        return 0; /* nobody wants it, or it is the same */
    before = slot->outer ? slot->outer : slot->next ? slot->next : slot->table;
    int r = route_table_read(i->bytes, before, &t, report, i->err);
    if (r < 0)
        return r;
    if (t->hosts_come) {
        r = take_outer(s, slot, t, i->err);
        if (r < 0)
            return r;
    } else {
        store_hosts_unwant(s, slot);
        take_next(s, slot, t);
    }
    slot->hash = hash;
    store_keep(s, &slot->text, i);
    return 0;
}

/* ---- hosts ---- */

/* What an update has done to a table, so that it can be undone. */
struct change {
    struct route_slot *slot;
    struct slot_host *before, *after; /* NULL: there was none, it was removed */
    struct xds_item *item;            /* of after */
};

struct changes {
    VEC(struct change) v;
};

/* Of hosts that nobody asked for: NULL. */
static struct route_slot *slot_of(const struct store *s, struct str name)
{
    struct route_slot *slot = route_slots_find(&s->slots, xds_host_table(name));
    return slot && slot->outer ? slot : NULL;
}

static void remove_host(struct route_slot *slot, struct str name, struct changes *ret)
{
    struct slot_host *h = route_slot_put_host(slot, name, NULL);
    if (h)
        vec_push(&ret->v, (struct change){slot, h, NULL, NULL});
}

static void remove_named(struct store *s, const struct xds_update *u, struct changes *ret)
{
    for (size_t i = 0; i < u->n_removed; i++) {
        struct route_slot *slot = slot_of(s, u->removed[i]),
                          *whole = route_slots_find(&s->slots, u->removed[i]);
        if (slot)
            remove_host(slot, u->removed[i], ret);
        if (whole && whole->outer)
            whole->hosts_came = true; /* it was told that there are none */
    }
}

/* The whole state: what is not among the items has gone. */
static void remove_others(struct store *s, const struct xds_update *u, struct changes *ret)
{
    AUTO_DONE(map) struct map named = {.borrows = true};
    struct str name;
    for (size_t i = 0; i < u->n_items; i++)
        map_put(&named, u->items[i].name, &u->items[i]);
    VEC_FOREACH (slot, &s->slots.slots)
        for (size_t at = 0; *slot && map_next(&(*slot)->hosts, &at, &name, NULL);)
            if (!map_find(&named, name))
                remove_host(*slot, name, ret);
}

/* The same host of another table (of the same name, at the other side): it is shared. */
static const struct slot_host *find_alike(const struct store *s, const struct route_slot *slot,
                                          const struct xds_item *item)
{
    const uint64_t hash = route_host_hash(item->bytes);
    struct str table = xds_host_table(item->name);
    VEC_FOREACH (other, &s->slots.slots) {
        AUTO_DONE(buf) struct buf name = {0};
        if (!*other || *other == slot || !(*other)->hosts.used ||
            (*other)->outer->body_max != slot->outer->body_max)
            continue;
        buf_add_cstr(&name, (*other)->name);
        buf_add_str(&name, str_sub(item->name, table.n, item->name.n));
        const struct slot_host *h = map_find(&(*other)->hosts, buf_str(&name));
        if (h && h->host->hash == hash)
            return h;
    }
    return NULL;
}

static int read_host(struct store *s, struct route_slot *slot, struct xds_item *item,
                     struct changes *ret, struct err *reterr)
{
    const struct slot_host *same = map_find(&slot->hosts, item->name);
    struct xds_report report = {0};
    struct route_host *host;
    if (same && same->host->hash == route_host_hash(item->bytes))
        return 0;
    const struct slot_host *alike = find_alike(s, slot, item);
    int r = 0;
    if (alike)
        host = route_host_ref(alike->host);
    else
        r = route_host_read(item->bytes, slot->outer, &host, &report, reterr);
    if (r == 0) {
        if (alike && alike->text && !item->text && str_eq(kept_version(alike->text), item->version))
            item->text = kept_text_ref(alike->text);
        struct slot_host *h =
            slot_host_new(item->name, host, s->keeps_texts ? xds_item_text(item) : NULL);
        struct slot_host *before = route_slot_put_host(slot, h->name, h);
        vec_push(&ret->v, (struct change){slot, before, h, item});
        store_tell(s, XDS_HOST, item->name, &report);
    }
    xds_report_done(&report);
    return r;
}

static void read_hosts(struct store *s, const struct xds_update *u, struct changes *ret,
                       struct buf *refused)
{
    for (size_t i = 0; i < u->n_items; i++) {
        struct route_slot *slot = slot_of(s, u->items[i].name);
        struct err err = {0};
        if (!slot)
            continue;
        slot->hosts_came = true;
        u->items[i].refused = read_host(s, slot, &u->items[i], ret, &err) < 0;
        if (u->items[i].refused)
            store_refuse(XDS_HOST, &u->items[i], &err, refused);
    }
}

/* Of what was told; what went has gone: nobody tells that again. Backwards: a name may have gone
 * and come, and then it stays as it was. */
static void undo(struct route_slot *slot, struct changes *all, const struct err *why,
                 struct buf *refused)
{
    AUTO_DONE(map) struct map told = {.borrows = true};
    for (size_t i = all->v.n; i > 0; i--) {
        struct change *c = &all->v.v[i - 1];
        if (c->slot != slot || (!c->item && !map_find(&told, c->before->name)))
            continue;
        struct str name = c->before ? c->before->name : c->after->name;
        struct slot_host *after = route_slot_put_host(slot, name, TAKE(c->before));
        c->slot = NULL;
        if (c->item) {
            c->item->refused = true;
            map_put(&told, c->item->name, c);
            store_refuse(XDS_HOST, c->item, why, refused);
        }
        slot_host_free(after);
    }
}

/* What was joined last: next, or what is in force. */
static const struct route_table *newest(const struct route_slot *slot)
{
    const struct route_table *t = slot->next ? slot->next : slot->table;
    ASSERT(t && t->outer == slot->outer);
    return t;
}

static struct route_host *host_of(const struct slot_host *h)
{
    return h ? h->host : NULL;
}

/* A table of the newest one and what is another now. */
static int join(struct store *s, struct route_slot *slot, const struct changes *all,
                struct err *reterr)
{
    VEC(struct route_change) changes = {0};
    struct route_table *t;
    VEC_FOREACH (c, &all->v)
        if (c->slot == slot)
            vec_push(&changes, (struct route_change){host_of(c->before), host_of(c->after)});
    int r = changes.n
                ? route_table_join(slot->outer, newest(slot), changes.v, changes.n, &t, reterr)
                : 0;
    if (r == 0 && changes.n) {
        take_next(s, slot, t);
        VEC_FOREACH (c, &changes)
            vec_push(&slot->changes,
                     (struct route_change){c->before ? route_host_ref(c->before) : NULL,
                                           c->after ? route_host_ref(c->after) : NULL});
    }
    vec_done(&changes);
    return r;
}

void store_hosts_update(struct store *s, const struct xds_update *u, struct buf *refused)
{
    struct changes all = {0};
    bool nothing = !u->n_items && !u->n_removed;
    if (u->full)
        remove_others(s, u, &all);
    remove_named(s, u, &all);
    read_hosts(s, u, &all, refused);
    VEC_FOREACH (slot, &s->slots.slots) {
        struct err err = {0};
        if (!*slot || !(*slot)->outer)
            continue;
        if (u->full || nothing)
            (*slot)->hosts_came = true;
        if (join(s, *slot, &all, &err) < 0) {
            undo(*slot, &all, &err, refused);
            IGNORE_RESULT(join(s, *slot, &all, &err)); /* what went leaves nothing to clash */
        }
    }
    VEC_FOREACH (c, &all.v)
        slot_host_free(c->before);
    vec_done(&all.v);
    loop_defer_soon(s->loop, &s->settle);
}

/* ---- what is ready comes into force ---- */

bool store_table_names(const void *table, struct str cluster)
{
    return route_table_names_cluster(table, cluster);
}

struct search {
    struct str name;
    bool found;
};

static void compare(struct str name, void *user)
{
    struct search *search = user;
    search->found = search->found || str_eq(name, search->name);
}

static bool host_names(const struct route_host *h, struct str cluster)
{
    struct search search = {cluster, false};
    if (h)
        route_host_each_cluster(h, compare, &search);
    return search.found;
}

/* The next table. */
static bool next_names(const void *what, struct str cluster)
{
    const struct route_slot *slot = what;
    return route_table_names_cluster(slot->next, cluster) || map_find(&slot->clusters, cluster);
}

bool store_slot_names(const struct route_slot *slot, struct str cluster)
{
    if (slot->table && route_table_names_cluster(slot->table, cluster))
        return true;
    if (map_find(&slot->clusters, cluster))
        return true;
    VEC_FOREACH (c, &slot->changes)
        if (host_names(c->before, cluster))
            return true;
    return false;
}

/* ---- clusters that nobody has told of yet ---- */

struct unknown {
    const struct store *store;
    const struct route_host *before; /* what it names was not known before, either */
    bool found;
};

static void look_for_unknown(struct str name, void *user)
{
    struct unknown *u = user;
    u->found = u->found || (!map_find(&u->store->clusters, name) && !host_names(u->before, name));
}

/* The next table names a cluster that is not known, and that the one in force does not name. */
static bool names_unknown(const struct store *s, const struct route_slot *slot)
{
    struct unknown u = {s, NULL, false};
    struct str name;
    for (size_t at = 0; map_next(&slot->next->clusters, &at, &name, NULL);)
        if (!map_find(&s->clusters, name) && !route_table_names_cluster(slot->table, name))
            return true;
    VEC_FOREACH (c, &slot->changes) {
        u.before = c->before;
        if (c->after)
            route_host_each_cluster(c->after, look_for_unknown, &u);
    }
    return u.found;
}

/* Looks again by then. */
static void look_at(struct store *s, uint64_t ms)
{
    if (loop_timer_is_started(s->again) && s->again_ms <= ms)
        return;
    s->again_ms = ms;
    loop_timer_start(s->again, ms - loop_now_ms(s->loop));
}

/* A control plane that waits for an answer about clusters may send the table first
 * (go-control-plane 0.14): the one before serves a little longer. What is wrong for good holds
 * nothing up twice. */
static bool waits_for_unknown(struct store *s, const struct route_slot *slot)
{
    uint64_t until = slot->came_ms + STORE_UNKNOWN_MS;
    if (!s->has_cds || !slot->table || loop_now_ms(s->loop) >= until || !names_unknown(s, slot))
        return false;
    look_at(s, until);
    return true;
}

static bool waits_for_hosts(struct store *s, struct route_slot *slot)
{
    if (!slot->outer || slot->hosts_came)
        return false;
    uint64_t until = slot->came_ms + slot->outer->hosts_warm_ms;
    if (!slot->outer->hosts_warm_ms)
        return true;
    if (loop_now_ms(s->loop) >= until) {
        slot->hosts_came = true; /* goes without, until they do */
        return false;
    }
    look_at(s, until);
    return true;
}

void store_routes_settle(struct store *s)
{
    VEC_FOREACH (slot, &s->slots.slots) {
        struct route_slot *rs = *slot;
        if (!rs || !rs->next || waits_for_hosts(s, rs) || store_is_warming(s, next_names, rs) ||
            waits_for_unknown(s, rs))
            continue;
        route_table_unref(rs->table);
        rs->table = TAKE(rs->next);
        route_slot_forget_changes(rs);
        kept_texts_commit(&rs->text);
        s->changed = true;
    }
}
