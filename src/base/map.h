#pragma once
/* Hash map from bytes to a pointer: open addressing, keys copied and owned by the map, values
 * borrowed. Zero-initialised is empty and valid. Iteration order is unspecified: sort where order
 * can be seen. */

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct map_slot;

struct map {
    struct map_slot *slots;
    size_t size;  /* power of two, or 0 */
    size_t used;  /* live entries */
    size_t full;  /* live and deleted entries */
    bool borrows; /* set while empty: keys are not copied, they belong to the values and live as
                     long */
};

void map_done(struct map *m); /* frees keys and table, not the values */

/* Returns the value, or NULL if absent. */
void *map_find(const struct map *m, struct str key);

/* Adds or replaces; returns the value that was there before, or NULL. value must not be NULL. */
void *map_put(struct map *m, struct str key, void *value);

/* Returns the removed value, or NULL if absent. */
void *map_remove(struct map *m, struct str key);

/* for (size_t at = 0; map_next(m, &at, &key, &value);) … The current entry may be removed inside
 * the loop; adding is not allowed. key and value may be NULL. */
bool map_next(const struct map *m, size_t *at, struct str *key, void **value);

/* Shorthands for NUL-terminated keys. */
static inline void *map_find_cstr(const struct map *m, const char *key)
{
    return map_find(m, str_from(key));
}
static inline void *map_put_cstr(struct map *m, const char *key, void *value)
{
    return map_put(m, str_from(key), value);
}
static inline void *map_remove_cstr(struct map *m, const char *key)
{
    return map_remove(m, str_from(key));
}
