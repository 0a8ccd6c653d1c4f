/* Open-addressing hash map with linear probing and tombstones. Keys are owned copies; grows at 3/4
 * full. */
#include "base/map.h"

#include "base/assert.h"
#include "base/hash.h"

/* 24 bytes: a large cluster has a million of them. */
struct map_slot {
    uint32_t hash; /* the low half */
    uint32_t key_bytes;
    char *key; /* NULL: never used, or deleted if value is the tombstone */
    void *value;
};

static char tombstone_mark;
#define TOMBSTONE ((void *)&tombstone_mark)

static uint32_t hash_of(struct str key)
{
    ASSERT(key.n <= UINT32_MAX);
    return (uint32_t)hash_bytes(key.p, key.n);
}

void map_done(struct map *m)
{
    for (size_t i = 0; i < m->size && !m->borrows; i++)
        free(m->slots[i].key);
    free(m->slots);
    *m = (struct map){.borrows = m->borrows};
}

static struct map_slot *map_probe(const struct map *m, struct str key, uint32_t hash)
{
    if (!m->size)
        return NULL;
    size_t mask = m->size - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_slot *s = &m->slots[i];
        if (!s->key && s->value != TOMBSTONE)
            return NULL;
        if (s->key && s->hash == hash && s->key_bytes == key.n &&
            (key.n == 0 || memcmp(s->key, key.p, key.n) == 0))
            return s;
    }
}

void *map_find(const struct map *m, struct str key)
{
    struct map_slot *s = map_probe(m, key, hash_of(key));
    return s ? s->value : NULL;
}

static void map_insert(struct map *m, struct map_slot entry)
{
    size_t mask = m->size - 1;
    size_t i = entry.hash & mask;
    while (m->slots[i].key)
        i = (i + 1) & mask;
    if (m->slots[i].value != TOMBSTONE)
        m->full++;
    m->slots[i] = entry;
    m->used++;
}

static void map_grow(struct map *m)
{
    if (m->size && (m->full + 1) * 4 <= m->size * 3)
        return;
    struct map old = *m;
    m->size = 8;
    while ((old.used + 1) * 2 > m->size)
        m->size *= 2;
    m->slots = xcalloc(m->size, sizeof(*m->slots));
    m->used = m->full = 0;
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].key)
            map_insert(m, old.slots[i]);
    free(old.slots);
}

void *map_put(struct map *m, struct str key, void *value)
{
    ASSERT(value && value != TOMBSTONE);
    uint32_t hash = hash_of(key);
    struct map_slot *s = map_probe(m, key, hash);
    if (s) {
        void *before = s->value;
        s->value = value;
        if (m->borrows)
            s->key = (char *)(uintptr_t)key.p;
        return before;
    }
    map_grow(m);
    char *kept = m->borrows ? (char *)(uintptr_t)key.p : xstrndup(key.p, key.n);
    map_insert(m, (struct map_slot){hash, (uint32_t)key.n, kept, value});
    return NULL;
}

void *map_remove(struct map *m, struct str key)
{
    struct map_slot *s = map_probe(m, key, hash_of(key));
    if (!s)
        return NULL;
    void *value = s->value;
    if (!m->borrows)
        free(s->key);
    *s = (struct map_slot){.value = TOMBSTONE};
    m->used--;
    return value;
}

bool map_next(const struct map *m, size_t *at, struct str *key, void **value)
{
    while (*at < m->size) {
        struct map_slot *s = &m->slots[(*at)++];
        if (!s->key)
            continue;
        if (key)
            *key = (struct str){s->key, s->key_bytes};
        if (value)
            *value = s->value;
        return true;
    }
    return false;
}
