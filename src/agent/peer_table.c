/* The table of agent/liveness.h: names, addresses, when each was heard of. */
#include "agent/liveness.h"
#include "base/map.h"

struct peer {
    struct ip ip;
    uint64_t heard_ms; /* by our clock */
    int64_t last_ms;   /* the newest time that it has said, by its own */
    bool alive, is_put;
};

struct peer_table {
    struct map peers; /* name -> struct peer */
    bool changed;
};

static void set_alive(struct peer_table *t, struct peer *p, bool alive)
{
    t->changed = t->changed || p->alive != alive;
    p->alive = alive;
}

bool peer_table_put(struct peer_table *t, const char *node, const struct ip *ip, bool assumed,
                    uint64_t now_ms)
{
    struct peer *p = map_find_cstr(&t->peers, node);
    if (!p && t->peers.used >= LIVENESS_PEERS_MAX)
        return false;
    if (!p) {
        p = NEW(struct peer);
        p->heard_ms = now_ms;
        map_put_cstr(&t->peers, node, p);
        set_alive(t, p, assumed);
    }
    p->ip = *ip;
    p->is_put = true;
    return true;
}

void peer_table_sweep(struct peer_table *t)
{
    struct str key;
    void *value;
    for (size_t at = 0; map_next(&t->peers, &at, &key, &value);) {
        struct peer *p = value;
        if (!p->is_put) {
            set_alive(t, p, false);
            map_remove(&t->peers, key);
            free(p);
            continue;
        }
        p->is_put = false;
    }
}

bool peer_table_hear(struct peer_table *t, const struct heartbeat *h, uint64_t now_ms,
                     int64_t real_ms)
{
    struct peer *p = map_find(&t->peers, h->node);
    if (!p || !heartbeat_is_new(h, p->last_ms, real_ms))
        return false;
    p->last_ms = h->time_ms;
    p->heard_ms = now_ms;
    set_alive(t, p, h->serves);
    return true;
}

bool peer_table_is_alive(const struct peer_table *t, const char *node)
{
    const struct peer *p = map_find_cstr(&t->peers, node);
    return p && p->alive;
}

bool peer_table_look(struct peer_table *t, uint64_t now_ms, uint64_t *ret_next_ms)
{
    uint64_t next = UINT64_MAX;
    void *value;
    for (size_t at = 0; map_next(&t->peers, &at, NULL, &value);) {
        struct peer *p = value;
        if (p->alive && now_ms >= p->heard_ms + LIVENESS_DEAD_MS)
            set_alive(t, p, false);
        if (p->alive)
            next = MIN(next, p->heard_ms + LIVENESS_DEAD_MS);
    }
    bool changed = t->changed;
    t->changed = false;
    *ret_next_ms = next;
    return changed;
}

void peer_table_forgive(struct peer_table *t, bool all, uint64_t now_ms)
{
    void *value;
    for (size_t at = 0; map_next(&t->peers, &at, NULL, &value);) {
        struct peer *p = value;
        if (all)
            set_alive(t, p, true);
        p->heard_ms = now_ms;
    }
}

bool peer_table_next(const struct peer_table *t, size_t *at, struct ip *ret_ip)
{
    void *value;
    if (!map_next(&t->peers, at, NULL, &value))
        return false;
    *ret_ip = ((const struct peer *)value)->ip;
    return true;
}

size_t peer_table_count_alive(const struct peer_table *t)
{
    size_t n = 0;
    void *value;
    for (size_t at = 0; map_next(&t->peers, &at, NULL, &value);)
        n += ((const struct peer *)value)->alive;
    return n;
}

struct peer_table *peer_table_new(void)
{
    return NEW(struct peer_table);
}

void peer_table_free(struct peer_table *t)
{
    void *value;
    if (!t)
        return;
    for (size_t at = 0; map_next(&t->peers, &at, NULL, &value);)
        free(value);
    map_done(&t->peers);
    free(t);
}
