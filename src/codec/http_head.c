/* Looking into heads and changing them; how they come and go on the wire is http1_head.c's and
 * http2.c's. */
#include "codec/http_head.h"

#include <errno.h>

#include "base/assert.h"

const struct http_field *http_head_find(const struct http_head *h, enum http_name id)
{
    ASSERT(id != HTTP_NAME_OTHER);
    for (uint16_t i = 0; i < h->n; i++)
        if (h->fields[i].id == id && h->fields[i].name_n)
            return &h->fields[i];
    return NULL;
}

const struct http_field *http_head_find_text(const struct http_head *h, struct str name)
{
    for (uint16_t i = 0; i < h->n; i++)
        if (h->fields[i].name_n == name.n && str_eq_nocase(str_of(h->fields[i].name, name.n), name))
            return &h->fields[i];
    return NULL;
}

unsigned http_head_remove(struct http_head *h, enum http_name id)
{
    unsigned n = 0;
    ASSERT(id != HTTP_NAME_OTHER);
    for (uint16_t i = 0; i < h->n; i++)
        if (h->fields[i].id == id && h->fields[i].name_n) {
            h->fields[i].name_n = 0;
            n++;
        }
    return n;
}

static bool is_tchar(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool http_is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_tchar((unsigned char)s.p[i]))
            return false;
    return s.n > 0;
}

bool http_is_value(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

bool http_has_token(struct str value, const char *token)
{
    struct str rest = value;
    while (rest.p) {
        struct str item = str_trim(str_cut(rest, ',', &rest));
        if (str_eq_nocase(item, str_from(token)))
            return true;
    }
    return false;
}

int http_head_add_text(struct http_head *h, struct str name, struct str value)
{
    if (!http_is_token(name) || !http_is_value(value))
        return -EBADMSG;
    if (h->n == h->cap)
        return -E2BIG;
    h->fields[h->n++] = (struct http_field){name.p, value.p, (uint32_t)value.n, (uint16_t)name.n,
                                            (uint16_t)http_name_find(name)};
    return 0;
}

int http_head_add(struct http_head *h, enum http_name id, struct str value)
{
    struct str name = http_name_text(id);
    ASSERT(id != HTTP_NAME_OTHER && value.n <= UINT32_MAX);
    if (h->n == h->cap)
        return -E2BIG;
    h->fields[h->n++] =
        (struct http_field){name.p, value.p, (uint32_t)value.n, (uint16_t)name.n, (uint16_t)id};
    return 0;
}

size_t http_head_list(const struct http_head *h, struct http_header *ret, size_t max)
{
    size_t n = 0;
    for (uint16_t i = 0; i < h->n && n < max; i++) {
        const struct http_field *f = &h->fields[i];
        if (f->name_n)
            ret[n++] = (struct http_header){str_of(f->name, f->name_n), http_field_value(f)};
    }
    return n;
}
