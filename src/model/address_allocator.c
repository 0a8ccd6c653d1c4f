/* Two tables: who wants what (items), and who has an address (users). Pools that overlap an older
 * one are refused: nothing is given of them; what they have given stays while they are there.
 *
 * The search for a free address goes through a pool's ranges in their order, from the first address
 * that has not been seen to be taken on: of all addresses below, each is somebody's. */
#include "model/address_allocator.h"

#include <stdio.h>

#include "base/map.h"

struct item {
    struct balanced_service *service;
    struct ip ips[2]; /* given */
    size_t n_ips;
    struct address_pool *pool; /* of them */
    bool dirty;
    /* While it is worked on: it has what it had; or why not ("": it had nothing). */
    bool kept;
    struct buf why;
    char *told; /* the last Event's message; NULL: none */
};

/* An address that is somebody's. */
struct user {
    VEC(struct item *) items;
};

/* An address from which on to look, of a range. */
struct cursor {
    struct ip ip;
    bool full;
};

struct pool {
    struct address_pool *p;
    VEC(struct cursor) cursors; /* as its ranges */
    uint64_t in_use[2];
    size_t decoded_findings; /* of them, those that are its own; the others are of overlaps */
    bool refused_itself;
};

struct address_allocator {
    char *class_;
    struct map pools;          /* key -> struct pool */
    struct map items;          /* key -> struct item */
    struct map users;          /* bytes of an address -> struct user */
    struct map namespaces;     /* name -> labels (json_t) */
    VEC(struct pool *) sorted; /* by age, then by name */
    bool pools_changed, released;
};

static struct str ip_key(const struct ip *ip)
{
    return str_of(ip->bytes, ip_bytes(ip)); /* the lengths tell families apart */
}

static const json_t *labels_of_namespace(const struct address_allocator *a, const char *ns)
{
    return map_find_cstr(&a->namespaces, ns);
}

static struct pool *pool_entry(const struct address_allocator *a, const struct address_pool *p)
{
    return map_find_cstr(&a->pools, p->key);
}

static void mark_all(struct address_allocator *a)
{
    void *i;
    for (size_t at = 0; map_next(&a->items, &at, NULL, &i);)
        ((struct item *)i)->dirty = true;
}

/* ---- pools ---- */

static int by_age(const void *x, const void *y)
{
    const struct address_pool *a = (*(const struct pool *const *)x)->p,
                              *b = (*(const struct pool *const *)y)->p;
    int r = strcmp(a->created, b->created);
    return r ? r : strcmp(a->key, b->key);
}

static int by_first(const void *x, const void *y)
{
    const struct ip_range *a = x, *b = y;
    return ip_cmp(&a->first, &b->first);
}

/* The range of v, which is sorted, that shares an address with r; NULL: none. */
static const struct ip_range *overlapping(const struct ip_range *v, size_t n,
                                          const struct ip_range *r)
{
    size_t low = 0, high = n;
    while (low < high) { /* the first that ends at r or later */
        size_t middle = (low + high) / 2;
        if (ip_cmp(&v[middle].last, &r->first) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && ip_cmp(&v[low].first, &r->last) <= 0 ? &v[low] : NULL;
}

static void refuse_overlap(struct pool *p, const struct ip_range *r, const struct pool *other)
{
    char field[40], first[IP_TEXT_BYTES], last[IP_TEXT_BYTES];
    snprintf(field, sizeof(field), "spec.addresses[%u]", r->at);
    finding_add(&p->p->findings, FINDING_ERROR, "InvalidAddressPool", p->p->key, field,
                "take the addresses out of one of them", "%s to %s overlaps with %s %s",
                ip_format(&r->first, first), ip_format(&r->last, last),
                p == other ? "another one of" : "pool", other->p->key);
    p->p->refused = true;
}

static void drop_findings(struct pool *p)
{
    struct findings *f = &p->p->findings;
    while (f->n > p->decoded_findings) {
        struct finding *one = &f->v[--f->n];
        free(one->object);
        free(one->field);
        free(one->message);
    }
    p->p->refused = p->refused_itself;
}

static void reset_cursors(struct pool *p)
{
    vec_clear(&p->cursors);
    VEC_FOREACH (r, &p->p->ranges)
        vec_push(&p->cursors, (struct cursor){.ip = r->first});
}

/* Of two that overlap the younger one is refused; a refused one keeps nobody else away. */
static void settle_pools(struct address_allocator *a)
{
    VEC(struct ip_range) taken = {0}; /* at: whose, in sorted */
    void *value;
    vec_clear(&a->sorted);
    for (size_t at = 0; map_next(&a->pools, &at, NULL, &value);)
        vec_push(&a->sorted, (struct pool *)value);
    if (a->sorted.n)
        qsort(a->sorted.v, a->sorted.n, sizeof(*a->sorted.v), by_age);
    for (size_t i = 0; i < a->sorted.n; i++) {
        struct pool *p = a->sorted.v[i];
        size_t before = taken.n;
        drop_findings(p);
        reset_cursors(p);
        VEC_FOREACH (r, &p->p->ranges) {
            const struct ip_range *other = overlapping(taken.v, before, r);
            if (other)
                refuse_overlap(p, r, a->sorted.v[other->at]);
            for (struct ip_range *own = p->p->ranges.v; own < r; own++)
                if (own->first.family == r->first.family && ip_cmp(&own->first, &r->last) <= 0 &&
                    ip_cmp(&r->first, &own->last) <= 0)
                    refuse_overlap(p, r, p);
        }
        VEC_FOREACH (r, &p->p->ranges)
            if (!p->p->refused)
                vec_push(&taken, (struct ip_range){r->first, r->last, (uint32_t)i});
        if (taken.n > before)
            qsort(taken.v, taken.n, sizeof(*taken.v), by_first);
    }
    vec_done(&taken);
    a->pools_changed = false;
    mark_all(a);
}

static void pool_free(struct pool *p)
{
    if (!p)
        return;
    address_pool_free(p->p);
    vec_done(&p->cursors);
    free(p);
}

/* The items of a pool that is another one now, or gone. */
static void move_items(struct address_allocator *a, const struct address_pool *from,
                       struct pool *to)
{
    void *value;
    for (size_t at = 0; map_next(&a->items, &at, NULL, &value);) {
        struct item *i = value;
        if (i->n_ips && i->pool == from)
            i->pool = to ? to->p : NULL;
    }
}

void address_allocator_put_pool(struct address_allocator *a, const json_t *j)
{
    struct address_pool *decoded = address_pool_decode(j);
    if (!decoded)
        return;
    struct pool *p = NEW(struct pool), *before = pool_entry(a, decoded);
    p->p = decoded;
    p->decoded_findings = decoded->findings.n;
    p->refused_itself = decoded->refused;
    if (before)
        move_items(a, before->p, p);
    map_put_cstr(&a->pools, decoded->key, p);
    pool_free(before);
    a->pools_changed = true;
}

void address_allocator_remove_pool(struct address_allocator *a, struct str key)
{
    struct pool *p = map_remove(&a->pools, key);
    if (!p)
        return;
    move_items(a, p->p, NULL);
    pool_free(p);
    a->pools_changed = true;
}

void address_allocator_put_namespace(struct address_allocator *a, const json_t *j)
{
    const char *name = json_at_str(j, "metadata.name");
    json_t *labels = json_at(j, "metadata.labels");
    if (!name)
        return;
    json_t *now = labels ? json_incref(labels) : json_object();
    json_t *before = map_put_cstr(&a->namespaces, name, now);
    if (!before || !json_equal(before, now))
        mark_all(a);
    json_decref(before);
}

void address_allocator_remove_namespace(struct address_allocator *a, struct str name)
{
    json_decref(map_remove(&a->namespaces, name));
}

/* ---- who has what ---- */

static void lower_cursor(struct pool *p, const struct ip *ip)
{
    for (size_t i = 0; i < p->cursors.n; i++) {
        struct cursor *c = &p->cursors.v[i];
        if (ip_range_has(&p->p->ranges.v[i], ip) && (c->full || ip_cmp(ip, &c->ip) < 0))
            *c = (struct cursor){.ip = *ip};
    }
}

/* One address is not its own any more. */
static void release_ip(struct address_allocator *a, struct item *i, const struct ip *ip)
{
    struct user *u = map_find(&a->users, ip_key(ip));
    for (size_t k = 0; u && k < u->items.n; k++)
        if (u->items.v[k] == i) {
            vec_remove(&u->items, k);
            break;
        }
    if (u && !u->items.n) {
        map_remove(&a->users, ip_key(ip));
        vec_done(&u->items);
        free(u);
    }
    for (size_t k = 0; k < a->sorted.n && !a->pools_changed; k++)
        lower_cursor(a->sorted.v[k], ip);
    a->released = true;
}

static void release(struct address_allocator *a, struct item *i)
{
    for (size_t k = 0; k < i->n_ips; k++)
        release_ip(a, i, &i->ips[k]);
    i->n_ips = 0;
    i->pool = NULL;
}

static void take_ip(struct address_allocator *a, struct item *i, struct pool *p,
                    const struct ip *ip)
{
    struct user *u = map_find(&a->users, ip_key(ip));
    if (!u) {
        u = NEW(struct user);
        map_put(&a->users, ip_key(ip), u);
    }
    vec_push(&u->items, i);
    i->ips[i->n_ips++] = *ip;
    i->pool = p->p;
}

/* Nobody has it who would not share it. why: NULL or what stands against it. */
static bool is_free(const struct address_allocator *a, const struct item *i, const struct ip *ip,
                    struct buf *why)
{
    const struct user *u = map_find(&a->users, ip_key(ip));
    for (size_t k = 0; u && k < u->items.n; k++)
        if (u->items.v[k] != i && !balanced_services_share(i->service, u->items.v[k]->service, why))
            return false;
    return true;
}

static bool is_for(const struct address_allocator *a, const struct pool *p, const struct item *i)
{
    const struct balanced_service *s = i->service;
    return address_pool_is_for(p->p, s->ns, labels_of_namespace(a, s->ns), s->labels);
}

/* The pool that has all of them; one that is refused only if it is to be. */
static struct pool *pool_of(const struct address_allocator *a, const struct ip *ips, size_t n,
                            bool refused)
{
    VEC_FOREACH (p, &a->sorted) {
        size_t k = 0;
        while (k < n && address_pool_has((*p)->p, &ips[k]))
            k++;
        if (n && k == n && (*p)->p->refused == refused)
            return *p;
    }
    return NULL;
}

/* ---- keeping ---- */

static bool same_ips(const struct ip *a, size_t n, const struct ip *b, size_t n_b)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n_b; k++)
            found += ip_eq(&a[i], &b[k]);
    return n == n_b && found == n;
}

/* May it go on having these? why says why not. */
static struct pool *may_keep(const struct address_allocator *a, const struct item *i,
                             const struct ip *ips, size_t n, struct buf *why)
{
    const struct balanced_service *s = i->service;
    bool families[2] = {false, false};
    struct pool *p = pool_of(a, ips, n, false);
    p = p ? p : pool_of(a, ips, n, true);
    if (!p) {
        buf_addf(why, "no pool has it any more");
        return NULL;
    }
    for (size_t k = 0; k < n; k++)
        families[ips[k].family == AF_INET6] = true;
    bool fewer = s->prefers_two && s->families[0] && s->families[1] && n == 1;
    if (!fewer && (families[0] != s->families[0] || families[1] != s->families[1]))
        buf_addf(why, "the Service has other IP families");
    else if (!is_for(a, p, i))
        buf_addf(why, "pool %s is not for this Service (spec.serviceAllocation)", p->p->name);
    else if (s->pool && !streq(s->pool, p->p->name))
        buf_addf(why, "the Service asks for pool %s", s->pool);
    else if (s->n_wanted && !same_ips(ips, n, s->wanted, s->n_wanted))
        buf_addf(why, "the Service asks for another address");
    for (size_t k = 0; k < n && !why->n; k++)
        (void)is_free(a, i, &ips[k], why);
    return why->n ? NULL : p;
}

/* ---- choosing ---- */

/* The first address of the family that it can have. */
static bool find_free(const struct address_allocator *a, struct pool *p, const struct item *i,
                      uint8_t family, struct ip *ret)
{
    for (size_t k = 0; k < p->p->ranges.n; k++) {
        const struct ip_range *r = &p->p->ranges.v[k];
        struct cursor *c = &p->cursors.v[k];
        bool alone = true; /* all below were taken, by whomever */
        if (r->first.family != family)
            continue;
        /* Who shares may have one that is somebody's. */
        struct ip ip = i->service->sharing ? r->first : c->ip;
        bool more = i->service->sharing || !c->full;
        for (; more && ip_cmp(&ip, &r->last) <= 0; more = ip_increment(&ip)) {
            bool avoided = p->p->avoid_buggy && ip_is_buggy(&ip);
            if (!i->service->sharing && alone)
                c->ip = ip;
            alone = alone && (avoided || map_find(&a->users, ip_key(&ip)));
            if (avoided || !is_free(a, i, &ip, NULL))
                continue;
            *ret = ip;
            return true;
        }
        if (!i->service->sharing && alone)
            c->full = true;
    }
    return false;
}

/* What this pool has for it, in the order of its families; how many. */
static size_t offer(const struct address_allocator *a, struct pool *p, const struct item *i,
                    struct ip ret[2])
{
    size_t n = 0;
    for (unsigned k = 0; k < 2; k++) {
        unsigned f = i->service->v6_first ? !k : k;
        if (i->service->families[f] && find_free(a, p, i, f ? AF_INET6 : AF_INET, &ret[n]))
            n++;
    }
    return n;
}

/* How many addresses it has to have, at least. */
static size_t needed(const struct balanced_service *s)
{
    size_t n = (size_t)s->families[0] + s->families[1];
    return s->prefers_two && n ? 1 : n;
}

static void take(struct address_allocator *a, struct item *i, struct pool *p, const struct ip *ips,
                 size_t n)
{
    release(a, i);
    for (size_t k = 0; k < n; k++)
        take_ip(a, i, p, &ips[k]);
}

/* The first pool that has all of it; else, if one is enough, the first that has the family that
 * comes first; else any. */
static bool take_from(struct address_allocator *a, struct item *i, struct pool *const *v, size_t n)
{
    const struct balanced_service *s = i->service;
    struct pool *best = NULL;
    struct ip best_ip = {0};
    size_t want = (size_t)s->families[0] + s->families[1];
    for (size_t k = 0; k < n; k++) {
        struct ip ips[2];
        size_t found = offer(a, v[k], i, ips);
        if (found == want) {
            take(a, i, v[k], ips, found);
            return true;
        }
        bool first = found && (ips[0].family == AF_INET6) == s->v6_first;
        bool better = !best || (first && (best_ip.family == AF_INET6) != s->v6_first);
        if (found >= needed(s) && better) {
            best = v[k];
            best_ip = ips[0];
        }
    }
    if (best)
        take(a, i, best, &best_ip, 1);
    return best != NULL;
}

static int by_priority(const void *x, const void *y)
{
    const struct address_pool *a = (*(const struct pool *const *)x)->p,
                              *b = (*(const struct pool *const *)y)->p;
    int64_t pa = a->priority > 0 ? a->priority : INT64_MAX,
            pb = b->priority > 0 ? b->priority : INT64_MAX;
    return pa != pb ? (pa < pb ? -1 : 1) : strcmp(a->name, b->name);
}

/* Those that are for it first (serviceAllocation), then those that are for all. */
static bool take_any(struct address_allocator *a, struct item *i)
{
    bool taken = false;
    for (int pinned = 1; pinned >= 0 && !taken; pinned--) {
        VEC(struct pool *) v = {0};
        VEC_FOREACH (p, &a->sorted)
            if ((*p)->p->pinned == pinned && (*p)->p->auto_assign && !(*p)->p->refused &&
                is_for(a, *p, i))
                vec_push(&v, *p);
        if (v.n)
            qsort(v.v, v.n, sizeof(*v.v), by_priority);
        taken = take_from(a, i, v.v, v.n);
        vec_done(&v);
    }
    return taken;
}

static bool take_wanted(struct address_allocator *a, struct item *i, struct buf *why)
{
    const struct balanced_service *s = i->service;
    char text[IP_TEXT_BYTES];
    bool families[2] = {false, false};
    for (size_t k = 0; k < s->n_wanted; k++)
        families[s->wanted[k].family == AF_INET6] = true;
    struct pool *p = pool_of(a, s->wanted, s->n_wanted, false);
    ip_format(&s->wanted[0], text);
    if (families[0] != s->families[0] || families[1] != s->families[1])
        buf_addf(why, "the addresses asked for (%s) are not of the IP families of the Service",
                 text);
    else if (!p)
        buf_addf(why, "no pool has %s%s", text, s->n_wanted > 1 ? " and the other address" : "");
    else if (s->pool && !streq(s->pool, p->p->name))
        buf_addf(why, "%s is of pool %s, and the Service asks for pool %s", text, p->p->name,
                 s->pool);
    else if (!is_for(a, p, i))
        buf_addf(why, "pool %s is not for this Service (spec.serviceAllocation)", p->p->name);
    for (size_t k = 0; k < s->n_wanted && !why->n; k++)
        (void)is_free(a, i, &s->wanted[k], why);
    if (why->n)
        return false;
    take(a, i, p, s->wanted, s->n_wanted);
    return true;
}

static struct pool *pool_by_name(const struct address_allocator *a, const char *name)
{
    VEC_FOREACH (p, &a->sorted)
        if (streq((*p)->p->name, name))
            return *p;
    return NULL;
}

static bool take_of_pool(struct address_allocator *a, struct item *i, struct buf *why)
{
    struct pool *p = pool_by_name(a, i->service->pool);
    if (!p)
        buf_addf(why, "there is no pool %s", i->service->pool);
    else if (p->p->refused)
        buf_addf(why, "pool %s has errors; its Events say which", p->p->name);
    else if (!is_for(a, p, i))
        buf_addf(why, "pool %s is not for this Service (spec.serviceAllocation)", p->p->name);
    else if (!take_from(a, i, &p, 1))
        buf_addf(why, "no address of pool %s is free", p->p->name);
    return !why->n;
}

static bool allocate(struct address_allocator *a, struct item *i, struct buf *why)
{
    if (i->service->n_wanted)
        return take_wanted(a, i, why);
    if (i->service->pool)
        return take_of_pool(a, i, why);
    if (take_any(a, i))
        return true;
    buf_addf(why, "%s",
             a->sorted.n ? "no address of a pool that is for it is free"
                         : "there are no IPAddressPools");
    return false;
}

/* One address and a wish for two: the other one, of the same pool. */
static bool add_second(struct address_allocator *a, struct item *i)
{
    const struct balanced_service *s = i->service;
    struct ip ip;
    struct pool *p = i->pool ? pool_entry(a, i->pool) : NULL;
    if (!p || i->n_ips != 1 || !s->prefers_two || !s->families[0] || !s->families[1] ||
        s->n_wanted || p->p->refused)
        return false;
    if (!find_free(a, p, i, i->ips[0].family == AF_INET6 ? AF_INET : AF_INET6, &ip))
        return false;
    take_ip(a, i, p, &ip);
    return true;
}

/* ---- one Service ---- */

static void say(struct item *i, struct address_verdict *v, const char *reason, bool warning,
                struct buf *message)
{
    if (streq(i->told, buf_cstr(message)))
        return;
    free(i->told);
    i->told = xstrdup(buf_cstr(message));
    v->reason = reason;
    v->warning = warning;
    v->message = i->told;
}

static bool is_written(const struct item *i)
{
    const struct balanced_service *s = i->service;
    bool same = s->n_has == i->n_ips;
    for (size_t k = 0; same && k < i->n_ips; k++)
        same = ip_eq(&s->has[k], &i->ips[k]);
    return same && !s->has_others &&
           (i->n_ips ? i->pool && streq(s->annotated_pool, i->pool->name) : !s->annotated);
}

static void conclude(struct item *i, struct address_verdict *v)
{
    v->n_ips = i->n_ips;
    for (size_t k = 0; k < i->n_ips; k++)
        v->ips[k] = i->ips[k];
    v->pool = i->pool ? i->pool->name : NULL;
    v->write = !is_written(i);
}

/* Status has what we have not given, and nobody here has: another one's Service. */
static bool is_somebody_elses(const struct address_allocator *a, const struct item *i)
{
    const struct balanced_service *s = i->service;
    if (i->n_ips || s->annotated || (!s->n_has && !s->has_others))
        return false;
    return s->has_others ||
           (!pool_of(a, s->has, s->n_has, false) && !pool_of(a, s->has, s->n_has, true));
}

/* What it has, by us or by what its status says, if that can stay. */
static bool keep(struct address_allocator *a, struct item *i, struct buf *why)
{
    const struct balanced_service *s = i->service;
    if (i->n_ips) {
        struct pool *p = may_keep(a, i, i->ips, i->n_ips, why);
        if (!p) {
            release(a, i);
            return false;
        }
        if (p->p != i->pool) {
            struct ip ips[2] = {i->ips[0], i->ips[1]};
            take(a, i, p, ips, i->n_ips);
        }
        return true;
    }
    if (!s->n_has)
        return false;
    struct pool *p = s->n_has <= 2 && !s->has_others ? may_keep(a, i, s->has, s->n_has, why) : NULL;
    if (!p)
        return false;
    take(a, i, p, s->has, s->n_has);
    return true;
}

static bool can_have(const struct balanced_service *s, struct buf *why)
{
    if (s->error)
        buf_addf(why, "%s", s->error);
    else if (s->requires_two && !(s->families[0] && s->families[1]))
        buf_addf(why, "ipFamilyPolicy RequireDualStack, and not two cluster IPs");
    else if (!s->families[0] && !s->families[1])
        buf_addf(why, "it has no cluster IP yet");
    return !why->n;
}

/* First of all: what somebody has is his before anybody is given anything. */
static void settle_claim(struct address_allocator *a, struct item *i)
{
    i->dirty = false;
    buf_clear(&i->why);
    if (!i->service->balanced)
        release(a, i);
    i->kept = i->service->balanced && !is_somebody_elses(a, i) && keep(a, i, &i->why);
}

static void say_assigned(struct item *i, struct address_verdict *v)
{
    AUTO_DONE(buf) struct buf text = {0};
    char ip[IP_TEXT_BYTES];
    buf_addf(&text, "Assigned IP [");
    for (size_t k = 0; k < i->n_ips; k++)
        buf_addf(&text, "%s\"%s\"", k ? " " : "", ip_format(&i->ips[k], ip));
    buf_addf(&text, "]");
    if (i->why.n)
        buf_addf(&text, " in place of what it had: %s", buf_cstr(&i->why));
    say(i, v, "IPAllocated", false, &text);
}

static void settle(struct address_allocator *a, struct item *i, struct address_verdict *v)
{
    const struct balanced_service *s = i->service;
    AUTO_DONE(buf) struct buf cannot = {0};
    AUTO_DONE(buf) struct buf text = {0};
    v->service = s;
    if (!s->balanced) {
        v->write = s->left; /* the API server has taken the addresses out itself */
        return;
    }
    if (is_somebody_elses(a, i))
        return;
    if (i->kept ? add_second(a, i) : can_have(s, &cannot) && allocate(a, i, &cannot)) {
        say_assigned(i, v);
    } else if (!i->kept) {
        buf_addf(&text, "Failed to allocate IP for \"%s\": %s", s->key, buf_cstr(&cannot));
        if (i->why.n)
            buf_addf(&text, "; what it had is taken back: %s", buf_cstr(&i->why));
        say(i, v, s->error ? "LoadBalancerFailed" : "AllocationFailed", true, &text);
    }
    conclude(i, v);
}

/* ---- all of them ---- */

static size_t wanted(const struct balanced_service *s)
{
    return s->prefers_two && s->families[0] && s->families[1] ? 2 : 1;
}

/* Those that have something go before those that want something; of equals the older one. */
static int by_claim(const void *x, const void *y)
{
    const struct item *a = *(const struct item *const *)x, *b = *(const struct item *const *)y;
    bool has_a = a->n_ips || a->service->n_has, has_b = b->n_ips || b->service->n_has;
    if (has_a != has_b)
        return has_a ? -1 : 1;
    int r = strcmp(a->service->created, b->service->created);
    return r ? r : strcmp(a->service->key, b->service->key);
}

void address_allocator_work(struct address_allocator *a, address_verdict_fn *fn, void *user)
{
    VEC(struct item *) dirty = {0};
    void *value;
    if (a->pools_changed)
        settle_pools(a);
    do {
        vec_clear(&dirty);
        for (size_t at = 0; map_next(&a->items, &at, NULL, &value);) {
            struct item *i = value;
            /* What was set free may be what somebody waits for. */
            if (i->dirty || (a->released && i->service->balanced && i->n_ips < wanted(i->service)))
                vec_push(&dirty, i);
        }
        a->released = false;
        if (dirty.n)
            qsort(dirty.v, dirty.n, sizeof(*dirty.v), by_claim);
        VEC_FOREACH (i, &dirty)
            settle_claim(a, *i);
        VEC_FOREACH (i, &dirty) {
            struct address_verdict v = {0};
            settle(a, *i, &v);
            if (v.write || v.reason)
                fn(&v, user);
        }
    } while (a->released);
    vec_done(&dirty);
}

void address_allocator_put_service(struct address_allocator *a, const json_t *j)
{
    struct balanced_service *s = balanced_service_decode(j, a->class_);
    if (!s)
        return;
    struct item *i = map_find_cstr(&a->items, s->key);
    if (!i && !s->balanced && !s->left) {
        balanced_service_free(s);
        return; /* the many that are nobody's business */
    }
    if (!i) {
        i = NEW(struct item);
        map_put_cstr(&a->items, s->key, i);
    } else if (!streq(i->service->uid, s->uid)) {
        release(a, i); /* another one of the same name */
    } else if (i->n_ips && s->sharing) {
        a->released = true; /* who waits may share it now */
    }
    balanced_service_free(i->service);
    i->service = s;
    i->dirty = true;
}

static void item_free(struct address_allocator *a, struct item *i)
{
    release(a, i);
    balanced_service_free(i->service);
    buf_done(&i->why);
    free(i->told);
    free(i);
}

void address_allocator_remove_service(struct address_allocator *a, struct str key)
{
    struct item *i = map_remove(&a->items, key);
    if (i)
        item_free(a, i);
}

void address_allocator_forget(struct address_allocator *a)
{
    void *value;
    for (size_t at = 0; map_next(&a->items, &at, NULL, &value);) {
        release(a, value);
        ((struct item *)value)->dirty = true;
    }
    a->pools_changed = true;
}

void address_allocator_mark(struct address_allocator *a, struct str key)
{
    struct item *i = map_find(&a->items, key);
    if (i)
        i->dirty = true;
}

void address_allocator_count(struct address_allocator *a)
{
    void *value;
    for (size_t at = 0; map_next(&a->pools, &at, NULL, &value);)
        memset(((struct pool *)value)->in_use, 0, sizeof(((struct pool *)value)->in_use));
    struct str key;
    for (size_t at = 0; map_next(&a->users, &at, &key, &value);) {
        const struct user *u = value;
        const struct address_pool *of = u->items.v[0]->pool;
        struct pool *p = of ? pool_entry(a, of) : NULL;
        if (p)
            p->in_use[key.n == 16]++;
    }
}

bool address_allocator_next_pool(const struct address_allocator *a, size_t *at,
                                 const struct address_pool **ret, uint64_t ret_in_use[2])
{
    void *value;
    if (!map_next(&a->pools, at, NULL, &value))
        return false;
    const struct pool *p = value;
    *ret = p->p;
    ret_in_use[0] = p->in_use[0];
    ret_in_use[1] = p->in_use[1];
    return true;
}

struct address_allocator *address_allocator_new(const char *class_)
{
    struct address_allocator *a = NEW(struct address_allocator);
    a->class_ = class_ ? xstrdup(class_) : NULL;
    return a;
}

void address_allocator_free(struct address_allocator *a)
{
    void *value;
    if (!a)
        return;
    for (size_t at = 0; map_next(&a->items, &at, NULL, &value);)
        item_free(a, value);
    for (size_t at = 0; map_next(&a->pools, &at, NULL, &value);)
        pool_free(value);
    for (size_t at = 0; map_next(&a->namespaces, &at, NULL, &value);)
        json_decref(value);
    map_done(&a->items);
    map_done(&a->pools);
    map_done(&a->users);
    map_done(&a->namespaces);
    vec_done(&a->sorted);
    free(a->class_);
    free(a);
}
