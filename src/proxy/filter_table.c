/* The table of HTTP filters. */
#include "proxy/filter_table.h"

static const struct filter_type *const types[] = {
#define FILTER(name) &filter_##name,
#include "proxy/filters.def"
#undef FILTER
};

const struct filter_type *filter_type_find(const ProtobufCMessageDescriptor *d, bool route)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if ((route ? types[i]->route_message : types[i]->message) == d)
            return types[i];
    return NULL;
}
