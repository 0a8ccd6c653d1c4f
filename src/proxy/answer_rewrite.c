/* Pure. */
#include "proxy/answer_rewrite.h"

#include <strings.h>

enum { VALUE_MAX = 16 * 1024 };

/* What stands at `at` of the field, n bytes, is replaced. */
static void replace(struct http_field *f, struct arena *a, size_t at, size_t n, struct str by)
{
    struct str old = http_field_value(f);
    size_t size = old.n - n + by.n;
    char *p = size <= VALUE_MAX ? arena_alloc_raw(a, size + 1) : NULL;
    if (!p)
        return;
    memcpy(p, old.p, at);
    if (by.n)
        memcpy(p + at, by.p, by.n);
    memcpy(p + at + by.n, old.p + at + n, old.n - at - n);
    f->value = p;
    f->value_n = (uint32_t)size;
}

static void rewrite_beginning(const struct answer_pair *p, struct http_field *f, struct arena *a,
                              size_t at)
{
    struct str value = http_field_value(f);
    if (p->from.n && str_starts(str_sub(value, at, value.n), p->from))
        replace(f, a, at, p->from.n, p->to);
}

/* A dot before the domain says nothing (RFC 6265 section 5.2.3). */
static void rewrite_domain(const struct answer_pair *p, struct http_field *f, struct arena *a,
                           size_t at, size_t n)
{
    struct str domain = str_sub(http_field_value(f), at, at + n);
    struct str bare = domain.n && *domain.p == '.' ? str_sub(domain, 1, domain.n) : domain;
    if (p->from.n && str_eq_nocase(bare, p->from))
        replace(f, a, at, n, p->to);
}

/* Attributes stand behind the first semicolon: what is rewritten moves those behind it. */
void answer_rewrite_cookie(const struct answer_pair *domain, const struct answer_pair *path,
                           struct http_field *f, struct arena *a)
{
    const char *end = f->value_n ? memchr(f->value, ';', f->value_n) : NULL;
    size_t at = end ? (size_t)(end - f->value) + 1 : f->value_n;
    while (at < f->value_n) {
        struct str all = http_field_value(f), value;
        const char *next = memchr(all.p + at, ';', all.n - at);
        size_t to = next ? (size_t)(next - all.p) : all.n;
        struct str name = str_trim(str_cut(str_sub(all, at, to), '=', &value));
        struct str text = value.p ? str_trim(value) : STR("");
        size_t from = text.n ? (size_t)(text.p - all.p) : to;
        if (str_eq_nocase(name, STR("domain")))
            rewrite_domain(domain, f, a, from, text.n);
        else if (str_eq_nocase(name, STR("path")))
            rewrite_beginning(path, f, a, from);
        at = f->value_n - (all.n - to) + 1;
    }
}

void answer_rewrite_location(const struct answer_pair *p, struct http_field *f, struct arena *a)
{
    rewrite_beginning(p, f, a, 0);
}

void answer_rewrite_refresh(const struct answer_pair *p, struct http_field *f, struct arena *a)
{
    for (size_t i = 0; i + 4 <= f->value_n; i++)
        if (strncasecmp(f->value + i, "url=", 4) == 0) {
            rewrite_beginning(p, f, a, i + 4);
            return;
        }
}

void answer_make_relative(struct http_field *f)
{
    struct str value = http_field_value(f);
    size_t scheme = str_starts(value, STR("https://"))  ? 8
                    : str_starts(value, STR("http://")) ? 7
                                                        : 0;
    const char *slash =
        scheme && value.n > scheme ? memchr(value.p + scheme, '/', value.n - scheme) : NULL;
    if (!slash)
        return;
    f->value = slash;
    f->value_n = (uint32_t)(value.n - (size_t)(slash - value.p));
}
