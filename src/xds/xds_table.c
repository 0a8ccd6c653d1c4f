/* Pages of what is known of 64 names each. */
#include "xds/xds_table.h"

#include "base/assert.h"
#include "base/mem.h"

enum { PAGE = 64, PAGES_STEP = 8 };

struct xds_page {
    uint64_t marks[XDS_MARKS];
    struct xds_entry *entries[PAGE];
};

static struct xds_page *page_find(const struct xds_table *t, uint32_t id)
{
    return id / PAGE < t->n_pages ? t->pages[id / PAGE] : NULL;
}

static uint64_t bit_of(uint32_t id)
{
    return (uint64_t)1 << id % PAGE;
}

static struct xds_page *page_make(struct xds_table *t, uint32_t id)
{
    uint32_t at = id / PAGE;
    if (at >= t->n_pages) {
        uint32_t n = (at / PAGES_STEP + 1) * PAGES_STEP;
        t->pages = xrealloc(t->pages, n * sizeof(struct xds_page *));
        memset(t->pages + t->n_pages, 0, (n - t->n_pages) * sizeof(struct xds_page *));
        t->n_pages = n;
    }
    if (!t->pages[at])
        t->pages[at] = NEW(struct xds_page);
    return t->pages[at];
}

/* Has it a mark but that of an entry? */
static bool is_marked(const struct xds_page *p, uint64_t bit)
{
    uint64_t any = 0;
    for (unsigned m = XDS_HELD + 1; m < XDS_MARKS; m++)
        any |= p->marks[m];
    return any & bit;
}

static void drop_if_empty(struct xds_table *t, uint32_t id)
{
    struct xds_page *p = t->pages[id / PAGE];
    uint64_t any = 0;
    for (unsigned m = 0; m < XDS_MARKS; m++)
        any |= p->marks[m];
    if (!any)
        free(TAKE(t->pages[id / PAGE]));
}

/* Puts the mark there or takes it away. */
static void set(struct xds_table *t, struct xds_page *p, uint32_t id, enum xds_mark mark, bool is)
{
    bool was = p->marks[mark] & bit_of(id);
    if (was == is)
        return;
    p->marks[mark] ^= bit_of(id);
    t->counts[mark] += is ? 1 : (uint32_t)-1;
}

static void page_done(struct xds_page *p, uint32_t first, enum xds_resource type)
{
    for (uint32_t i = 0; i < PAGE; i++) {
        bool marked = is_marked(p, bit_of(i));
        struct xds_name *n = marked ? xds_name_get(type, first + i) : NULL;
        xds_entry_unref(p->entries[i]);
        xds_name_unref(n);
    }
    free(p);
}

void xds_table_done(struct xds_table *t, enum xds_resource type)
{
    for (uint32_t i = 0; i < t->n_pages; i++)
        if (t->pages[i])
            page_done(t->pages[i], i * PAGE, type);
    free(t->pages);
    *t = (struct xds_table){0};
}

struct xds_entry *xds_table_find(const struct xds_table *t, const struct xds_name *n)
{
    const struct xds_page *p = page_find(t, n->id);
    return p ? p->entries[n->id % PAGE] : NULL;
}

struct xds_entry *xds_table_put(struct xds_table *t, struct xds_entry *e)
{
    uint32_t id = e->key->id;
    struct xds_page *p = page_make(t, id);
    struct xds_entry *before = p->entries[id % PAGE];
    p->entries[id % PAGE] = e;
    set(t, p, id, XDS_HELD, true);
    return before;
}

struct xds_entry *xds_table_take(struct xds_table *t, const struct xds_name *n)
{
    struct xds_page *p = page_find(t, n->id);
    struct xds_entry *before = p ? p->entries[n->id % PAGE] : NULL;
    if (!before)
        return NULL;
    p->entries[n->id % PAGE] = NULL;
    set(t, p, n->id, XDS_HELD, false);
    drop_if_empty(t, n->id);
    return before;
}

bool xds_table_has(const struct xds_table *t, const struct xds_name *n, enum xds_mark mark)
{
    const struct xds_page *p = page_find(t, n->id);
    return p && p->marks[mark] & bit_of(n->id);
}

void xds_table_mark(struct xds_table *t, struct xds_name *n, enum xds_mark mark)
{
    struct xds_page *p = page_make(t, n->id);
    ASSERT(mark != XDS_HELD);
    if (!is_marked(p, bit_of(n->id)))
        xds_name_ref(n);
    set(t, p, n->id, mark, true);
}

bool xds_table_unmark(struct xds_table *t, struct xds_name *n, enum xds_mark mark)
{
    uint32_t id = n->id;
    struct xds_page *p = page_find(t, id);
    ASSERT(mark != XDS_HELD);
    if (!p || !(p->marks[mark] & bit_of(id)))
        return false;
    set(t, p, id, mark, false);
    if (!is_marked(p, bit_of(id)))
        xds_name_unref(n);
    drop_if_empty(t, id);
    return true;
}

void xds_table_unmark_all(struct xds_table *t, enum xds_resource type, enum xds_mark mark)
{
    struct xds_name *n;
    for (size_t at = 0; xds_table_next(t, type, mark, &at, &n);)
        xds_table_unmark(t, n, mark);
}

bool xds_table_next(const struct xds_table *t, enum xds_resource type, enum xds_mark mark,
                    size_t *at, struct xds_name **ret)
{
    for (; *at / PAGE < t->n_pages; *at = (*at / PAGE + 1) * PAGE) {
        const struct xds_page *p = t->pages[*at / PAGE];
        uint64_t rest = p ? p->marks[mark] >> *at % PAGE : 0;
        if (!rest)
            continue;
        uint32_t id = (uint32_t)*at + (uint32_t)__builtin_ctzll(rest);
        *ret = mark == XDS_HELD ? p->entries[id % PAGE]->key : xds_name_get(type, id);
        *at = (size_t)id + 1;
        return true;
    }
    return false;
}
