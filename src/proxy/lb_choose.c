/* One choice by a plan: reads the plan, moves the worker's cursors, nothing else. */
#include "base/assert.h"
#include "proxy/lb.h"

uint32_t lb_plan_cursors(const struct lb_plan *p)
{
    return (uint32_t)(p->groups.n + p->lists.n);
}

/* More draws out of one (splitmix64). */
static uint64_t next_draw(uint64_t *random)
{
    uint64_t z = *random += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* Of n, by the upper half of a draw: no division. */
static uint32_t below(uint64_t draw, uint32_t n)
{
    return (uint32_t)(((draw >> 32) * n) >> 32);
}

/* The first in turn, so that those without load are taken evenly; each further one takes its place
 * if it has less to do for its weight. */
static uint32_t least_loaded(const struct lb_plan *p, const struct lb_list *l, uint32_t *cursor,
                             uint64_t *random)
{
    const struct endpoint_entry *entries = p->set->entries.v;
    uint32_t best = l->order[lb_in_turn(cursor, l->n)];
    uint64_t load = endpoint_active(entries[best].endpoint);
    for (uint32_t i = 1; i < p->config.choices; i++) {
        uint32_t other = l->order[below(next_draw(random), l->n)];
        uint64_t other_load = endpoint_active(entries[other].endpoint);
        if (other_load * entries[best].weight < load * entries[other].weight) {
            best = other;
            load = other_load;
        }
    }
    return best;
}

static uint32_t from_list(const struct lb_plan *p, const struct lb_list *l, uint32_t *cursor,
                          uint64_t *random, const struct lb_request *q, uint32_t attempt)
{
    if (!l->n)
        return LB_NONE;
    switch ((enum lb_policy)p->config.policy) {
    case LB_ROUND_ROBIN:
        break;
    case LB_LEAST_REQUEST:
        return least_loaded(p, l, cursor, random);
    case LB_RANDOM:
        return l->order[below(next_draw(random), l->n)];
    case LB_RING_HASH:
        return l->order[lb_ring_find(l->ring, q->has_hash ? q->hash : next_draw(random), attempt)];
    case LB_MAGLEV:
        return l
            ->order[lb_maglev_find(l->maglev, q->has_hash ? q->hash : next_draw(random), attempt)];
    }
    return l->order[lb_in_turn(cursor, l->n)];
}

static bool was_tried(const struct lb_plan *p, uint32_t entry, const struct lb_request *q)
{
    for (uint32_t i = 0; i < q->n_tried; i++)
        if (q->tried[i] == p->set->entries.v[entry].endpoint)
            return true;
    return false;
}

/* As Envoy's override_host_status by default: not what is unhealthy. */
const struct endpoint_entry *lb_preferred(const struct lb_plan *p, uint64_t id)
{
    const struct endpoint_entry *e = endpoint_set_find(p->set, id);
    bool usable = e && (e->status == ENDPOINT_HEALTHY || e->status == ENDPOINT_DEGRADED) &&
                  !atomic_load_explicit(&e->endpoint->flags, memory_order_relaxed);
    return usable ? e : NULL;
}

uint32_t lb_choose(const struct lb_plan *p, uint32_t *cursors, const struct lb_request *q)
{
    const struct endpoint_entry *preferred = q->prefers ? lb_preferred(p, q->preferred) : NULL;
    if (preferred && !q->n_tried)
        return (uint32_t)(preferred - p->set->entries.v);
    if (p->plain && !q->n_tried)
        return p->lists.v[0].order[lb_in_turn(cursors, p->lists.v[0].n)];
    uint64_t random = q->random;
    uint32_t chosen = LB_NONE;
    if (p->empty)
        return LB_NONE;
    for (uint32_t attempt = 0; attempt <= q->tries_max; attempt++) {
        size_t at = 0;
        if (p->groups.n > 1) { /* a request with a hash stays in its priority, too */
            bool stays = lb_by_hash(&p->config) && q->has_hash;
            at = p->group_of[stays ? q->hash % LB_SLOTS : below(next_draw(&random), LB_SLOTS)];
        }
        const struct lb_group *g = &p->groups.v[at];
        uint32_t list = g->first_list;
        if (g->localities)
            list += g->localities[lb_in_turn(&cursors[at], g->n_localities)];
        chosen = from_list(p, &p->lists.v[list], &cursors[p->groups.n + list], &random, q, attempt);
        if (chosen == LB_NONE || !was_tried(p, chosen, q))
            break;
    }
    return chosen;
}
