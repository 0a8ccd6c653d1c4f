/* Runs of resources, by the entries that they are made of. A run holds its entries, so that the
 * pointers, which are its key, stand for the same as long as it is there. */
#include "xds/xds_runs.h"

#include "base/assert.h"
#include "base/map.h"

struct run {
    struct bytes *bytes;
    size_t n;
    struct xds_entry *entries[];
};

struct xds_runs {
    struct map runs[2]; /* by form; entries, as bytes -> struct run */
    size_t bytes;
};

struct xds_runs *xds_runs_new(void)
{
    return NEW(struct xds_runs);
}

void xds_runs_clear(struct xds_runs *r)
{
    void *p;
    for (size_t form = 0; form < ARRAY_LEN(r->runs); form++) {
        for (size_t at = 0; map_next(&r->runs[form], &at, NULL, &p);) {
            struct run *run = p;
            for (size_t i = 0; i < run->n; i++)
                xds_entry_unref(run->entries[i]);
            bytes_unref(run->bytes);
            free(run);
        }
        map_done(&r->runs[form]);
    }
    r->bytes = 0;
}

void xds_runs_free(struct xds_runs *r)
{
    if (r)
        xds_runs_clear(r);
    free(r);
}

size_t xds_runs_bytes(const struct xds_runs *r)
{
    return r->bytes;
}

static struct bytes *make(enum xds_form form, struct xds_entry *const *v, size_t n)
{
    AUTO_DONE(buf) struct buf b = {0};
    for (size_t i = 0; i < n; i++)
        xds_entry_add(&b, form, v[i]);
    ASSERT(!b.failed);
    return bytes_new(buf_str(&b));
}

static void keep(struct xds_runs *r, enum xds_form form, struct xds_entry *const *v, size_t n,
                 struct bytes *b)
{
    struct run *run = xmalloc(sizeof(*run) + n * sizeof(struct xds_entry *));
    if (r->bytes + b->n > XDS_RUNS_BYTES_MAX)
        xds_runs_clear(r);
    *run = (struct run){.bytes = bytes_ref(b), .n = n};
    for (size_t i = 0; i < n; i++)
        run->entries[i] = xds_entry_ref(v[i]);
    map_put(&r->runs[form], str_of((const char *)v, n * sizeof(struct xds_entry *)), run);
    r->bytes += b->n;
}

void xds_runs_add(struct xds_runs *r, enum xds_form form, struct xds_entry *const *v, size_t n,
                  struct chain *to)
{
    const struct run *run =
        map_find(&r->runs[form], str_of((const char *)v, n * sizeof(struct xds_entry *)));
    ASSERT(n <= XDS_RUN_ENTRIES);
    struct bytes *b = run ? bytes_ref(run->bytes) : make(form, v, n);
    if (!run && n > 1 && b->n >= XDS_RUN_MIN)
        keep(r, form, v, n, b);
    chain_add_bytes(to, b);
    bytes_unref(b);
}
