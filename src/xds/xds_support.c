/* The table of what is supported, and two indexes over it that are made once: by descriptor for the
 * walkers, by name for the types of an Any. Immutable afterwards; any thread. */
#include "xds/xds_support.h"

#include <pthread.h>

#include "base/assert.h"

#define SECTION(title)
#define MESSAGE(symbol, full_name)      extern const ProtobufCMessageDescriptor symbol##__descriptor;
#define OPAQUE(symbol, full_name, note) MESSAGE(symbol, full_name)
#define FIELD(field, state, note)
#define EXTENSION(symbol, name, slots, state, note)
#define SLOT(symbol, field, slot)
#define VALUE(symbol, field, value, state, note)
#include "xds/xds_support.def"

static const struct xds_row rows[] = {
#define SECTION(title) {{.name = title}, "", XDS_ROW_SECTION, XDS_USED},
#define MESSAGE(symbol, full_name)                                                                 \
    {{.message = &symbol##__descriptor}, "", XDS_ROW_MESSAGE, XDS_USED},
#define OPAQUE(symbol, full_name, note)                                                            \
    {{.message = &symbol##__descriptor}, note, XDS_ROW_OPAQUE, XDS_USED},
#define FIELD(field, state, note) {{.name = #field}, note, XDS_ROW_FIELD, XDS_##state},
#define EXTENSION(symbol, name, slots, state, note)
#define SLOT(symbol, field, slot)
#define VALUE(symbol, field, value, state, note)
#include "xds/xds_support.def"
};
static_assert(ARRAY_LEN(rows) < UINT16_MAX, "an index has 16 bits");

/* Rows of messages, sorted. */
static uint16_t by_descriptor[ARRAY_LEN(rows)], by_name[ARRAY_LEN(rows)];
static size_t messages;

static bool is_message(const struct xds_row *row)
{
    return row->kind == XDS_ROW_MESSAGE || row->kind == XDS_ROW_OPAQUE;
}

static int compare_descriptors(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)rows[*(const uint16_t *)a].message;
    uintptr_t y = (uintptr_t)rows[*(const uint16_t *)b].message;
    return (x > y) - (x < y);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(rows[*(const uint16_t *)a].message->name,
                  rows[*(const uint16_t *)b].message->name);
}

static void make_indexes(void)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (is_message(&rows[i]))
            by_descriptor[messages++] = (uint16_t)i;
    memcpy(by_name, by_descriptor, messages * sizeof(*by_name));
    qsort(by_descriptor, messages, sizeof(*by_descriptor), compare_descriptors);
    qsort(by_name, messages, sizeof(*by_name), compare_names);
}

static void prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_indexes);
}

const struct xds_row *xds_support_rows(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(rows);
    return rows;
}

const struct xds_row *xds_support_find(const ProtobufCMessageDescriptor *d)
{
    size_t from = 0, to;
    prepare();
    to = messages;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        const struct xds_row *row = &rows[by_descriptor[middle]];
        if (row->message == d)
            return row;
        if ((uintptr_t)row->message < (uintptr_t)d)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

const ProtobufCMessageDescriptor *xds_support_type(struct str full_name)
{
    size_t from = 0, to;
    prepare();
    to = messages;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        const ProtobufCMessageDescriptor *d = rows[by_name[middle]].message;
        int order = strncmp(d->name, full_name.p, full_name.n);
        if (order == 0 && !d->name[full_name.n])
            return d;
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}
