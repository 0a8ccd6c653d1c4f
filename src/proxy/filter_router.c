/* The filter that ends every chain. What it does is done when all filters before it have been asked
 * (router.c); its configuration has nothing that is looked at yet. */
#include <envoy/extensions/filters/http/router/v3/router.pb-c.h>

#include "proxy/filter_table.h"

const struct filter_type filter_router = {
    .name = "envoy.filters.http.router",
    .message = &envoy__extensions__filters__http__router__v3__router__descriptor,
    .is_terminal = true,
};
