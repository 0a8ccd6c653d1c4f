/* Looking into heads and changing them; how they come and go on the wire is http1_head.c's. */
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
