#include "proxy/filter_field.h"

bool filter_field_is_of_one_hop(const struct http_field *f)
{
    static const bool hop[_HTTP_NAME_MAX] = {
        [HTTP_NAME_CONNECTION] = true,
        [HTTP_NAME_KEEP_ALIVE] = true,
        [HTTP_NAME_PROXY_CONNECTION] = true,
        [HTTP_NAME_UPGRADE] = true,
        [HTTP_NAME_TE] = true,
        [HTTP_NAME_TRANSFER_ENCODING] = true,
        [HTTP_NAME_CONTENT_LENGTH] = true,
        [HTTP_NAME_EXPECT] = true,
    };
    return !f->name_n || hop[f->id];
}

bool filter_field_keep(const struct http_field *f, struct arena *a, struct http_header *ret)
{
    ret->name = arena_str(a, str_of(f->name, f->name_n));
    ret->value = arena_str(a, http_field_value(f));
    return ret->name.p && ret->value.p;
}
