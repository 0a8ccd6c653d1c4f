/* A reference-counted table of texts. Ids are places in an array, given out again when the last
 * reference went; place 0 stays empty, so that a zeroed owner holds nothing. Not for several
 * threads: a table has one owner, who frees those that hold ids before it. */
#include "base/intern.h"

void intern_done(struct intern *t)
{
    ASSERT(t->ids.used == 0);
    map_done(&t->ids);
    vec_done(&t->texts);
    *t = (struct intern){0};
}

static uint32_t intern_add(struct intern *t, struct str text)
{
    uint32_t id = t->free;
    ASSERT(text.n <= UINT32_MAX && t->texts.n < INTERN_IDS_MAX);
    if (t->texts.n == 0)
        vec_add(&t->texts);
    if (id) {
        t->free = t->texts.v[id].refs;
    } else {
        id = (uint32_t)t->texts.n;
        vec_add(&t->texts);
    }
    t->texts.v[id] =
        (struct interned){.text = xmalloc(text.n), .bytes = (uint32_t)text.n, .refs = 0};
    memcpy(t->texts.v[id].text, text.p, text.n);
    map_put(&t->ids, text, (void *)(uintptr_t)id);
    return id;
}

uint32_t intern_ref(struct intern *t, struct str text)
{
    if (text.n == 0)
        return 0;
    uint32_t id = (uint32_t)(uintptr_t)map_find(&t->ids, text);
    if (!id)
        id = intern_add(t, text);
    ASSERT(t->texts.v[id].refs < UINT32_MAX);
    t->texts.v[id].refs++;
    return id;
}

void intern_unref(struct intern *t, uint32_t id)
{
    if (id == 0)
        return;
    ASSERT(id < t->texts.n && t->texts.v[id].text && t->texts.v[id].refs > 0);
    struct interned *x = &t->texts.v[id];
    if (--x->refs)
        return;
    map_remove(&t->ids, str_of(x->text, x->bytes));
    free(x->text);
    *x = (struct interned){.refs = t->free};
    t->free = id;
}

struct str intern_get(const struct intern *t, uint32_t id)
{
    if (id == 0)
        return (struct str){0};
    ASSERT(id < t->texts.n && t->texts.v[id].text);
    return str_of(t->texts.v[id].text, t->texts.v[id].bytes);
}
