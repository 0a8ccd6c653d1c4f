/* One allocation an answer: its key, its fields, their bytes. */
#include "proxy/answer_cache.h"

#include "base/mem.h"

struct answer_entry {
    struct list_node lately; /* the last one was asked for last */
    uint64_t until_ms;
    size_t size;
    struct str key;
    struct http_head head;
    struct http_field fields[];
};

static void forget(struct answer_cache *c, struct answer_entry *e)
{
    map_remove(&c->entries, e->key);
    list_remove(&e->lately);
    c->bytes -= e->size;
    free(e);
}

const struct http_head *answer_cache_find(struct answer_cache *c, struct str key, uint64_t now_ms)
{
    struct answer_entry *e = map_find(&c->entries, key);
    if (!e)
        return NULL;
    if (now_ms >= e->until_ms) {
        forget(c, e);
        return NULL;
    }
    list_remove(&e->lately);
    list_add_tail(&c->lately, &e->lately);
    return &e->head;
}

static const char *keep(char **to, const char *p, size_t n)
{
    char *at = *to;
    if (n)
        memcpy(at, p, n);
    *to += n;
    return at;
}

static size_t size_of(struct str key, const struct http_head *h)
{
    size_t size = sizeof(struct answer_entry) + key.n;
    for (uint16_t i = 0; i < h->n; i++)
        if (h->fields[i].name_n)
            size += sizeof(struct http_field) + h->fields[i].name_n + h->fields[i].value_n;
    return size;
}

static struct answer_entry *entry_new(struct str key, const struct http_head *h, size_t size)
{
    struct answer_entry *e = xcalloc(1, size);
    uint16_t n = 0;
    for (uint16_t i = 0; i < h->n; i++)
        n = (uint16_t)(n + (h->fields[i].name_n != 0));
    char *to = (char *)(e->fields + n);
    e->size = size;
    e->key = str_of(keep(&to, key.p, key.n), key.n);
    e->head = (struct http_head){.fields = e->fields, .cap = n, .status = h->status};
    for (uint16_t i = 0; i < h->n; i++) {
        struct http_field f = h->fields[i];
        if (!f.name_n)
            continue;
        f.name = keep(&to, f.name, f.name_n);
        f.value = keep(&to, f.value, f.value_n);
        e->fields[e->head.n++] = f;
    }
    return e;
}

void answer_cache_put(struct answer_cache *c, struct str key, const struct http_head *answer,
                      uint64_t until_ms)
{
    struct answer_entry *old = map_find(&c->entries, key);
    size_t size = size_of(key, answer);
    if (!c->lately.next)
        list_init(&c->lately);
    if (old)
        forget(c, old);
    if (size > ANSWER_CACHE_ENTRY_MAX)
        return;
    while (c->entries.used >= ANSWER_CACHE_MAX || c->bytes + size > ANSWER_CACHE_BYTES_MAX)
        forget(c, CONTAINER_OF(c->lately.next, struct answer_entry, lately));
    struct answer_entry *e = entry_new(key, answer, size);
    e->until_ms = until_ms;
    c->bytes += size;
    map_put(&c->entries, e->key, e);
    list_add_tail(&c->lately, &e->lately);
}

void answer_cache_done(struct answer_cache *c)
{
    while (c->lately.next && !list_is_empty(&c->lately))
        forget(c, CONTAINER_OF(c->lately.next, struct answer_entry, lately));
    map_done(&c->entries);
    *c = (struct answer_cache){0};
}
