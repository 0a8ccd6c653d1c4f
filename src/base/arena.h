#pragma once
/* Arena: many small allocations freed in one step, with a cap. One per stream, watch batch or
 * reconcile pass. */

#include "base/str.h"

struct arena;

/* cap_bytes bounds the total; 0 = no bound. */
struct arena *arena_new(size_t cap_bytes);
/* The same; its first chunk has `first` bytes (4 KiB otherwise): for many small ones. */
struct arena *arena_new_first(size_t cap_bytes, size_t first);
/* The same, but the arena itself and its first `n` bytes (at least ARENA_IN_MIN) are in memory,
 * 16-byte aligned, which stays the caller's and must outlive it. */
struct arena *arena_new_in(void *memory, size_t n, size_t cap_bytes);
enum { ARENA_IN_MIN = 128 };
void arena_free(struct arena *a); /* runs deferred callbacks, newest first; NULL is allowed */
DEFINE_AUTO(arena);

/* Zeroed, 16-byte aligned; NULL over the cap or out of memory. */
void *arena_alloc(struct arena *a, size_t size) NODISCARD;
/* The same, but not zeroed. */
void *arena_alloc_raw(struct arena *a, size_t size) NODISCARD;
/* Copies; .p is NULL over the cap. The copy ends in NUL. */
struct str arena_str(struct arena *a, struct str s) NODISCARD;
/* fn(p) when the arena is freed: drops references that arena objects hold. -ENOMEM over the cap. */
int arena_defer(struct arena *a, void (*fn)(void *p), void *p) NODISCARD;
