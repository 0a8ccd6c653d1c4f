#pragma once
/* Strings are (pointer, length). A struct str borrows; it is never freed and need not end in NUL.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_FMT      "%.*s"
#define STR_ARG(s)   (int)(s).n, (s).p

static inline struct str str_from(const char *cstr)
{
    return (struct str){cstr, cstr ? strlen(cstr) : 0};
}

static inline struct str str_of(const void *p, size_t n)
{
    return (struct str){(const char *)p, n};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_is(struct str a, const char *cstr)
{
    return str_eq(a, str_from(cstr));
}

/* ASCII case-insensitive, as HTTP header names compare (RFC 9110 section 5.1). */
bool str_eq_nocase(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_contains(struct str s, struct str needle);

/* Cuts s at the first `sep`: returns what is before it, leaves what is after in *rest; *rest.p is
 * NULL if there was no separator. *rest may alias s. */
struct str str_cut(struct str s, char sep, struct str *rest);
struct str str_trim(struct str s); /* spaces and tabs, both ends */
struct str str_sub(struct str s, size_t from, size_t to);
/* No more than the first max bytes. */
static inline struct str str_first(struct str s, size_t max)
{
    return (struct str){s.p, s.n < max ? s.n : max};
}

/* Owned NUL-terminated copy. */
char *str_dup(struct str s);

/* Decimal, whole string, no sign for u64, no leading '+'; -EINVAL or -ERANGE. */
int str_to_u64(struct str s, uint64_t *ret) NODISCARD;
int str_to_i64(struct str s, int64_t *ret) NODISCARD;

/* Like strcmp for possibly NULL strings; NULL equals NULL only. */
bool streq(const char *a, const char *b);
static inline bool str_empty(const char *s)
{
    return !s || !*s;
}

/* DNS-1123 label: at most 63 of [a-z0-9-], alphanumeric at both ends. */
bool str_is_dns1123_label(struct str s);
/* DNS-1123 subdomain: labels joined by dots, at most 253. */
bool str_is_dns1123_subdomain(struct str s);
