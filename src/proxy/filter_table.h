#pragma once
/* The table of HTTP filters (filters.def). */

#include "proxy/filter.h"

#define FILTER(name) extern const struct filter_type filter_##name;
#include "proxy/filters.def"
#undef FILTER

/* By the message of a filter's configuration, or of a route's for it. NULL: none. */
const struct filter_type *filter_type_find(const ProtobufCMessageDescriptor *d, bool route);
