/* Sets of endpoints. Pure: no thread of its own, no clock. */
#include "proxy/endpoint_set.h"

#include "base/assert.h"

struct endpoint_set *endpoint_set_new(void)
{
    struct endpoint_set *s = NEW(struct endpoint_set);
    s->refs = 1;
    s->overprovisioning_percent = OVERPROVISIONING_PERCENT;
    return s;
}

struct endpoint_set *endpoint_set_ref(struct endpoint_set *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void endpoint_set_unref(struct endpoint_set *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    VEC_FOREACH (e, &s->entries) {
        endpoint_unref(e->endpoint);
        free(e->name);
        free(e->hostname);
        buf_done(&e->labels);
        free(e->check.hostname);
    }
    VEC_FOREACH (l, &s->localities) {
        free(l->region);
        free(l->zone);
        free(l->sub_zone);
    }
    vec_done(&s->entries);
    vec_done(&s->localities);
    vec_done(&s->by_id);
    free(s);
}

void endpoint_maker_init(struct endpoint_maker *m, const struct endpoint_set *before)
{
    *m = (struct endpoint_maker){.set = endpoint_set_new()};
    m->before.borrows = m->now.borrows = true;
    if (before)
        VEC_FOREACH (e, &before->entries)
            map_put_cstr(&m->before, e->endpoint->text, e->endpoint);
}

void endpoint_maker_locality(struct endpoint_maker *m, uint32_t priority, uint32_t weight)
{
    struct endpoint_locality *l = vec_add(&m->set->localities);
    l->priority = priority;
    l->weight = weight;
    l->first = (uint32_t)m->set->entries.n;
}

static struct endpoint_entry *add_entry(struct endpoint_maker *m)
{
    struct endpoint_set *s = m->set;
    ASSERT(s->localities.n);
    struct endpoint_entry *entry = vec_add(&s->entries);
    entry->weight = 1;
    entry->locality = (uint32_t)s->localities.n - 1;
    s->localities.v[entry->locality].n++;
    return entry;
}

struct endpoint_entry *endpoint_maker_add_name(struct endpoint_maker *m, const char *name,
                                               uint16_t port, struct str labels)
{
    struct endpoint_entry *entry = add_entry(m);
    buf_add_str(&entry->labels, labels);
    entry->name = xstrdup(name);
    entry->name_port = port;
    return entry;
}

static struct str labels_of(const struct endpoint *e)
{
    return str_of(e->labels, e->labels_n);
}

/* Takes e. */
static struct endpoint_entry *add(struct endpoint_maker *m, struct endpoint *e, struct str labels)
{
    struct endpoint *known = map_find_cstr(&m->before, e->text);
    if (map_find_cstr(&m->now, e->text)) {
        endpoint_unref(e);
        return NULL;
    }
    if (known && str_eq(labels_of(known), labels)) {
        endpoint_unref(e);
        e = endpoint_ref(known);
    } else if (labels.n) {
        e->labels = str_dup(labels);
        e->labels_n = labels.n;
    }
    struct endpoint_entry *entry = add_entry(m);
    entry->endpoint = e;
    map_put_cstr(&m->now, e->text, e);
    return entry;
}

struct endpoint_entry *endpoint_maker_add(struct endpoint_maker *m, const struct ip *ip,
                                          uint16_t port, struct str labels)
{
    return add(m, endpoint_new(ip, port), labels);
}

int endpoint_maker_add_unix(struct endpoint_maker *m, struct str path, struct str labels,
                            struct endpoint_entry **ret)
{
    struct endpoint *e;
    int r = endpoint_new_unix(path, &e);
    if (r == 0)
        *ret = add(m, e, labels);
    return r;
}

static int by_priority(const void *a, const void *b)
{
    const struct endpoint_locality *x = a, *y = b;
    if (x->priority != y->priority)
        return x->priority < y->priority ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static int by_id(const void *a, const void *b, void *user)
{
    const struct endpoint_set *s = user;
    uint64_t x = s->entries.v[*(const uint32_t *)a].endpoint->id;
    uint64_t y = s->entries.v[*(const uint32_t *)b].endpoint->id;
    return (x > y) - (x < y);
}

static void sort_by_id(struct endpoint_set *s)
{
    for (uint32_t i = 0; i < s->entries.n; i++)
        if (s->entries.v[i].endpoint)
            vec_push(&s->by_id, i);
    if (s->by_id.n)
        qsort_r(s->by_id.v, s->by_id.n, sizeof(*s->by_id.v), by_id, s);
}

const struct endpoint_entry *endpoint_set_find(const struct endpoint_set *s, uint64_t id)
{
    size_t low = 0, high = s->by_id.n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        const struct endpoint_entry *e = &s->entries.v[s->by_id.v[mid]];
        if (e->endpoint->id == id)
            return e;
        *(e->endpoint->id < id ? &low : &high) = mid + (e->endpoint->id < id);
    }
    return NULL;
}

struct endpoint_set *endpoint_maker_take(struct endpoint_maker *m)
{
    struct endpoint_set *s = TAKE(m->set);
    if (s->localities.n)
        qsort(s->localities.v, s->localities.n, sizeof(s->localities.v[0]), by_priority);
    for (size_t i = 0, given = 0; i < s->localities.n; i++) {
        struct endpoint_locality *l = &s->localities.v[i];
        if (i == 0 || l->priority != given)
            s->n_priorities++;
        given = l->priority;
        l->priority = s->n_priorities - 1;
        for (uint32_t k = 0; k < l->n; k++)
            s->entries.v[l->first + k].locality = (uint32_t)i;
    }
    sort_by_id(s);
    vec_fit(&s->entries);
    vec_fit(&s->localities);
    vec_fit(&s->by_id);
    return s;
}

void endpoint_maker_done(struct endpoint_maker *m)
{
    endpoint_set_unref(m->set);
    map_done(&m->before);
    map_done(&m->now);
}
