#pragma once
/* Interned texts: many owners of equal texts share one copy and hold a small integer each. A table
 * zero-initialised is empty and valid. Id 0 is the empty text and belongs to nobody. */

#include <stdint.h>

#include "base/map.h"
#include "base/vec.h"

enum { INTERN_IDS_MAX = 1 << 28 };

struct interned {
    char *text; /* NULL: a free place */
    uint32_t bytes;
    uint32_t refs; /* of a free place: the next one, or 0 */
};

struct intern {
    struct map ids; /* text -> id */
    VEC(struct interned) texts;
    uint32_t free; /* the first free place, or 0 */
};

/* No reference may be left. */
void intern_done(struct intern *t);
/* The id of the text, with one more reference. */
uint32_t intern_ref(struct intern *t, struct str text);
void intern_unref(struct intern *t, uint32_t id);
/* Borrowed: good until the last reference goes. */
struct str intern_get(const struct intern *t, uint32_t id);
/* Texts that are in use. */
static inline size_t intern_count(const struct intern *t)
{
    return t->ids.used;
}
