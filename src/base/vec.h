#pragma once
/* Typed growable arrays: VEC(struct endpoint) endpoints = {0}. Zero-initialised is empty and valid.
 */

#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *v;                                                                                   \
        size_t n;                                                                                  \
        size_t cap;                                                                                \
    }

#define vec_reserve(vec, want)                                                                     \
    do {                                                                                           \
        size_t want_ = (want);                                                                     \
        if (want_ > (vec)->cap) {                                                                  \
            (vec)->cap = MAX(want_, (vec)->cap ? (vec)->cap * 2 : 4);                              \
            (vec)->v = xrealloc((vec)->v, (vec)->cap * sizeof(*(vec)->v));                         \
        }                                                                                          \
    } while (0)

#define vec_push(vec, ...)                                                                         \
    do {                                                                                           \
        vec_reserve(vec, (vec)->n + 1);                                                            \
        (vec)->v[(vec)->n++] = (__VA_ARGS__);                                                      \
    } while (0)

/* A zeroed element at the end; the pointer is good until the next growth. */
#define vec_add(vec)                                                                               \
    ({                                                                                             \
        vec_reserve(vec, (vec)->n + 1);                                                            \
        memset(&(vec)->v[(vec)->n], 0, sizeof(*(vec)->v));                                         \
        &(vec)->v[(vec)->n++];                                                                     \
    })

#define vec_pop(vec)                                                                               \
    ({                                                                                             \
        ASSERT((vec)->n > 0);                                                                      \
        (vec)->v[--(vec)->n];                                                                      \
    })

/* Keeps the order. */
#define vec_remove(vec, index)                                                                     \
    do {                                                                                           \
        size_t index_ = (index);                                                                   \
        ASSERT(index_ < (vec)->n);                                                                 \
        memmove(&(vec)->v[index_], &(vec)->v[index_ + 1],                                          \
                ((vec)->n - index_ - 1) * sizeof(*(vec)->v));                                      \
        (vec)->n--;                                                                                \
    } while (0)

/* Gives back what was taken in reserve, of one that is not to grow any more. */
#define vec_fit(vec)                                                                               \
    do {                                                                                           \
        if ((vec)->n && (vec)->n < (vec)->cap) {                                                   \
            (vec)->cap = (vec)->n;                                                                 \
            (vec)->v = xrealloc((vec)->v, (vec)->cap * sizeof(*(vec)->v));                         \
        }                                                                                          \
    } while (0)

#define vec_clear(vec) ((void)((vec)->n = 0))

#define vec_done(vec)                                                                              \
    do {                                                                                           \
        free((vec)->v);                                                                            \
        (vec)->v = NULL;                                                                           \
        (vec)->n = (vec)->cap = 0;                                                                 \
    } while (0)

#define VEC_FOREACH(item, vec)                                                                     \
    for (__typeof__(*(vec)->v) *item = (vec)->v; item && item < (vec)->v + (vec)->n; item++)
