#pragma once
/* A growable byte buffer with a cap. Zero-initialised is empty and valid; the cap 0 means
 * BUF_CAP_DEFAULT. Appending past the cap or out of memory sets `failed` and drops the bytes: check
 * once, at the end. */

#include <stdarg.h>
#include <stdint.h>

#include "base/str.h"

#define BUF_CAP_DEFAULT (1u << 30)

struct buf {
    char *p;
    size_t n;    /* bytes in use */
    size_t size; /* bytes allocated */
    size_t cap;  /* most bytes ever, 0 = BUF_CAP_DEFAULT */
    bool failed; /* something did not fit; the contents are incomplete */
};

void buf_done(struct buf *b);  /* frees, back to empty; the cap stays */
void buf_clear(struct buf *b); /* empties, keeps the memory */

void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, struct str s);
void buf_add_cstr(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_add_u8(struct buf *b, uint8_t v);
void buf_add_be16(struct buf *b, uint16_t v);
void buf_add_be32(struct buf *b, uint32_t v);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_addv(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* Room for n more bytes at the end, uninitialised; NULL (and failed) if it cannot be had. Add what
 * was used to b->n. */
void *buf_reserve(struct buf *b, size_t n) NODISCARD;

/* Drops n bytes from the front (memmove). */
void buf_consume(struct buf *b, size_t n);

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->n};
}

/* NUL-terminated view; never NULL. Borrowed until the next change. */
const char *buf_cstr(struct buf *b);

/* Moves the contents out as an owned NUL-terminated string; the buffer is empty afterwards. */
char *buf_take_cstr(struct buf *b);
