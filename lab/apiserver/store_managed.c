/* The texts of managedFields, each kept once. */
#include "lab/apiserver/store_managed.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"

#define TIME_MARK "\"time\":\""

struct text {
    size_t refs;
    size_t time_at; /* where the time stands; 0: it has none */
    size_t n;
    char p[];
};

struct managed {
    size_t refs;
    size_t n;
    struct managed_entry {
        struct text *text;
        char time[20]; /* "2006-01-02T15:04:05Z", not terminated */
    } v[];
};

static struct map texts; /* text -> struct text, whose bytes are the key */
static size_t texts_bytes;

static struct text *text_get(struct str s, size_t time_at)
{
    struct text *t = map_find(&texts, s);
    if (!t) {
        t = xcalloc(1, sizeof(*t) + s.n);
        t->time_at = time_at;
        t->n = s.n;
        memcpy(t->p, s.p, s.n);
        texts.borrows = true;
        map_put(&texts, str_of(t->p, t->n), t);
        texts_bytes += t->n;
    }
    t->refs++;
    return t;
}

static void text_unref(struct text *t)
{
    if (--t->refs)
        return;
    map_remove(&texts, str_of(t->p, t->n));
    texts_bytes -= t->n;
    free(t);
    if (!texts.used)
        map_done(&texts);
}

/* The entry's text without its time. */
static void take_entry(const json_t *entry, struct managed_entry *ret)
{
    static const char none[] = TIME_MARK "\"";
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_JSON json_t *bare = json_copy((json_t *)(uintptr_t)entry);
    const char *time = json_key_str(entry, "time");
    bool timed = time && strlen(time) == sizeof(ret->time);
    if (timed)
        json_object_set_new(bare, "time", json_string(""));
    json_write(&b, bare);
    const char *mark = timed ? memmem(b.p, b.n, none, sizeof(none) - 1) : NULL;
    if (mark)
        memcpy(ret->time, time, sizeof(ret->time));
    ret->text = text_get(buf_str(&b), mark ? (size_t)(mark - b.p) + sizeof(none) - 2 : 0);
}

struct managed *managed_new(const json_t *list)
{
    size_t i, n = json_array_size(list);
    json_t *entry;
    if (!n)
        return NULL;
    struct managed *m = xcalloc(1, sizeof(*m) + n * sizeof(m->v[0]));
    m->refs = 1;
    json_array_foreach((json_t *)(uintptr_t)list, i, entry)
    {
        if (json_is_object(entry))
            take_entry(entry, &m->v[m->n++]);
    }
    return m;
}

struct managed *managed_ref(struct managed *m)
{
    if (m)
        m->refs++;
    return m;
}

void managed_unref(struct managed *m)
{
    if (!m || --m->refs)
        return;
    for (size_t i = 0; i < m->n; i++)
        text_unref(m->v[i].text);
    free(m);
}

static void write_entry(struct buf *b, const struct managed_entry *e)
{
    const struct text *t = e->text;
    buf_add(b, t->p, t->time_at);
    if (t->time_at)
        buf_add(b, e->time, sizeof(e->time));
    buf_add(b, t->p + t->time_at, t->n - t->time_at);
}

static void write_list(struct buf *b, const struct managed *m)
{
    buf_add_char(b, '[');
    for (size_t i = 0; m && i < m->n; i++) {
        if (i)
            buf_add_char(b, ',');
        write_entry(b, &m->v[i]);
    }
    buf_add_char(b, ']');
}

void managed_write(struct buf *b, const struct managed *m)
{
    if (!m || !m->n)
        return;
    buf_add_cstr(b, "\"managedFields\":");
    write_list(b, m);
}

json_t *managed_tree(const struct managed *m)
{
    AUTO_DONE(buf) struct buf b = {0};
    json_t *list = NULL;
    write_list(&b, m);
    int r = json_parse(buf_str(&b), 0, NULL, &list, NULL);
    ASSERT(r == 0); /* texts that this process encoded */
    return list;
}

size_t managed_texts(size_t *ret_bytes)
{
    *ret_bytes = texts_bytes;
    return texts.used;
}
