/* Between the books of affinity and the maps that hold them: groups and numbers of frontends, pins,
 * classes of timeouts. A frontend's part goes into the same transaction as its endpoints. What
 * packets write (the map of clients) is never read nor changed here. */
#include "dataplane/nftables_affinity.h"

#include <errno.h>

void nftables_affinity_done(struct nftables_affinity *a)
{
    affinity_book_done(&a->books[0]);
    affinity_book_done(&a->books[1]);
    memset(a, 0, sizeof(*a));
}

static struct affinity_book *book_of(struct nftables_affinity *a, const struct frontend_state *s)
{
    return &a->books[s->key.family == AF_INET6];
}

/* ---- classes ---- */

static uint32_t distance(uint32_t a, uint32_t b)
{
    return a > b ? a - b : b - a;
}

/* The class of this timeout, a free one, or the nearest where all are taken. */
static unsigned class_for(struct nftables_affinity *a, uint32_t seconds)
{
    unsigned best = 1, unused = 0;
    for (unsigned i = 1; i <= AFFINITY_CLASSES_MAX; i++) {
        const struct affinity_class *c = &a->classes[i];
        if (c->seconds == seconds)
            return i;
        if (c->refs == 0 && (!unused || (a->classes[unused].seconds && !c->seconds)))
            unused = i;
        if (distance(c->seconds, seconds) < distance(a->classes[best].seconds, seconds))
            best = i;
    }
    if (COUNT_IF(!unused, "more timeouts of affinity than classes"))
        return best;
    a->classes[unused].seconds = seconds;
    a->classes[unused].changed = true;
    return unused;
}

bool nftables_affinity_is_used(const struct nftables_affinity *a)
{
    for (unsigned i = 1; i <= AFFINITY_CLASSES_MAX; i++)
        if (a->classes[i].refs)
            return true;
    return false;
}

bool nftables_affinity_is_pending(const struct nftables_affinity *a)
{
    for (unsigned i = 1; i <= AFFINITY_CLASSES_MAX; i++)
        if (a->classes[i].changed)
            return true;
    return false;
}

void nftables_affinity_emit(struct nftables_affinity *a, struct nfnl_batch *b)
{
    for (unsigned i = 1; i <= AFFINITY_CLASSES_MAX; i++) {
        struct affinity_class *c = &a->classes[i];
        if (c->changed)
            nftables_set_timeout(b, i, c->seconds, c->known);
        c->known = c->known || c->changed;
        c->changed = false;
    }
}

/* ---- frontends ---- */

void nftables_affinity_index(struct nftables_changes *c, struct frontend_state *s,
                             enum endpoint_scope scope, uint32_t index,
                             const struct dataplane_endpoint *old_,
                             const struct dataplane_endpoint *new_)
{
    if (!s->group)
        return;
    uint32_t number = old_ ? affinity_endpoint_number(s->group, old_) : 0;
    if (number) {
        nftables_change_number(c, false, scope, &s->key, index, number);
        affinity_endpoint_unref(s->group, scope, old_);
    }
    number = new_ ? affinity_endpoint_ref(s->group, scope, new_) : 0;
    if (number)
        nftables_change_number(c, true, scope, &s->key, index, number);
}

static void each_index(struct nftables_changes *c, struct frontend_state *s, bool add)
{
    for (int i = 0; i < _SCOPE_MAX; i++)
        for (uint32_t k = 0; k < s->slots[i].n; k++) {
            const struct dataplane_endpoint *e = &s->slots[i].v[k];
            nftables_affinity_index(c, s, (enum endpoint_scope)i, k, add ? NULL : e,
                                    add ? e : NULL);
        }
}

struct pin_change {
    struct nftables_changes *changes;
    uint8_t family;
};

static void on_pin(bool add, enum endpoint_scope scope, uint32_t number,
                   const struct dataplane_endpoint *e, void *user)
{
    struct pin_change *p = user;
    nftables_change_pin(p->changes, add, scope, p->family, number, e);
}

void nftables_affinity_sweep(struct nftables_changes *c, struct frontend_state *s)
{
    struct pin_change p = {c, s->key.family};
    if (s->group)
        affinity_group_sweep(s->group, on_pin, &p);
}

static void detach(struct nftables_affinity *a, struct nftables_changes *c,
                   struct frontend_state *s)
{
    ASSERT(a->classes[affinity_class(s->group->number)].refs > 0);
    nftables_change_affinity(c, false, &s->key, s->group->number);
    each_index(c, s, false);
    nftables_affinity_sweep(c, s);
    a->classes[affinity_class(s->group->number)].refs--;
    affinity_group_unref(book_of(a, s), s->group);
    s->group = NULL;
}

void nftables_affinity_leave(struct nftables_affinity *a, struct nftables_changes *c,
                             struct frontend_state *s, uint32_t seconds,
                             const struct frontend_key *group)
{
    bool same =
        s->group && seconds == s->affinity_s && affinity_group_name(book_of(a, s), s->group, group);
    if (!same && s->group)
        detach(a, c, s);
}

void nftables_affinity_join(struct nftables_affinity *a, struct nftables_changes *c,
                            struct frontend_state *s, uint32_t seconds,
                            const struct frontend_key *group)
{
    ASSERT(!s->group || seconds == s->affinity_s); /* it has left any other */
    s->affinity_s = seconds;
    s->affinity_key = *group;
    if (s->group || !seconds)
        return;
    unsigned class_ = class_for(a, seconds);
    s->group = affinity_group_get(book_of(a, s), group, class_);
    if (!s->group)
        return;
    a->classes[class_].refs++;
    nftables_change_affinity(c, true, &s->key, s->group->number);
    each_index(c, s, true);
}

/* ---- what ought to be there ---- */

void nftables_affinity_want(const struct frontend_state *s, struct nftables_changes *want)
{
    if (!s->group)
        return;
    nftables_change_affinity(want, true, &s->key, s->group->number);
    for (int i = 0; i < _SCOPE_MAX; i++)
        for (uint32_t k = 0; k < s->slots[i].n; k++) {
            uint32_t number = affinity_endpoint_number(s->group, &s->slots[i].v[k]);
            if (number)
                nftables_change_number(want, true, (enum endpoint_scope)i, &s->key, k, number);
        }
}

static void want_pins(const struct affinity_group *g, uint8_t family, struct nftables_changes *want)
{
    for (uint32_t i = 0; i < g->slots.n; i++)
        for (int scope = 0; scope < _SCOPE_MAX; scope++)
            if (g->slots.v[i].pinned[scope])
                nftables_change_pin(want, true, (enum endpoint_scope)scope, family,
                                    g->number | (i + 1), &g->slots.v[i].endpoint);
}

void nftables_affinity_want_books(const struct nftables_affinity *a, struct nftables_changes *want)
{
    for (unsigned f = 0; f < 2; f++) {
        for (size_t i = 1; i <= AFFINITY_GROUPS_MAX; i++)
            if (a->books[f].groups[i])
                want_pins(a->books[f].groups[i], nftables_families[f].family, want);
        for (unsigned i = 1; i <= AFFINITY_CLASSES_MAX; i++)
            if (a->classes[i].known)
                nftables_change_seconds(want, f, i, a->classes[i].seconds);
    }
}

void nftables_affinity_rewrite(struct nftables_affinity *a)
{
    for (unsigned i = 1; i <= AFFINITY_CLASSES_MAX; i++)
        a->classes[i].changed = a->classes[i].changed || a->classes[i].known;
}

/* ---- taking over ---- */

static int adopt_affinity(struct nftables_affinity *a, struct frontend_state *s, uint32_t number)
{
    const struct affinity_class *class_ = &a->classes[affinity_class(number)];
    s->group = class_->seconds ? affinity_group_adopt(book_of(a, s), number) : NULL;
    if (!s->group)
        return -EBADMSG;
    s->affinity_s = class_->seconds;
    a->classes[affinity_class(number)].refs++;
    return 0;
}

static int adopt_number(const struct nftables_family *f, bool node_port, const struct nfnl_elem *e,
                        struct frontend_table *t)
{
    struct frontend_key k;
    enum endpoint_scope scope;
    uint32_t index, number;
    if (!nftables_parse_number(f, node_port, e, &k, &scope, &index, &number))
        return -EBADMSG;
    struct frontend_state *s = frontend_table_find(t, &k);
    if (!s || !s->group || index >= s->slots[scope].n)
        return -EBADMSG;
    return affinity_endpoint_adopt(s->group, scope, number, &s->slots[scope].v[index]) ? 0
                                                                                       : -EBADMSG;
}

int nftables_affinity_adopt(struct nftables_affinity *a, const struct nftables_family *f,
                            enum nftables_map map, const struct nfnl_elem *e,
                            struct frontend_table *t)
{
    struct frontend_key k;
    struct dataplane_endpoint ep;
    uint32_t number;
    unsigned class_ = affinity_class(nla_u32(e->key, 0));
    bool node = map == MAP_NODE_PORT_AFFINITY || map == MAP_NODE_PORT_NUMBERS;
    if (map == MAP_SECONDS) {
        a->classes[class_].seconds = nla_u32(e->data, 0);
        a->classes[class_].known = true;
        a->classes[class_].changed = true; /* another version may have written its rules */
        return class_ ? 0 : -EBADMSG;
    }
    if (map == MAP_AFFINITY || map == MAP_NODE_PORT_AFFINITY) {
        if (!nftables_parse_frontend(f, node, e, &k, &number))
            return -EBADMSG;
        return adopt_affinity(a, frontend_table_get(t, &k), number);
    }
    if (map == MAP_NUMBERS || map == MAP_NODE_PORT_NUMBERS)
        return adopt_number(f, node, e, t);
    if (!nftables_parse_pin(f, e, &number, &ep) ||
        !affinity_pin_adopt(&a->books[f->family == AF_INET6],
                            map == MAP_LOCAL_PINNED ? SCOPE_LOCAL : SCOPE_CLUSTER, number, &ep))
        return -EBADMSG;
    return 0;
}

bool nftables_affinity_is_whole(const struct frontend_state *s)
{
    for (int i = 0; i < _SCOPE_MAX && s->group; i++)
        for (uint32_t k = 0; k < s->slots[i].n; k++) {
            uint32_t number = affinity_endpoint_number(s->group, &s->slots[i].v[k]);
            if (!number || !s->group->slots.v[(number & AFFINITY_SLOT_MASK) - 1].refs[i])
                return false;
        }
    return true;
}
