#pragma once
/* Lists of address prefixes in the configurations of filters. */

#include <envoy/config/core/v3/address.pb-c.h>

#include "proxy/filter.h"

struct filter_prefixes {
    struct prefix *v;
    size_t n;
};

/* field: of the messages, for errors. -EINVAL, -ENOMEM. */
int filter_prefixes_compile(struct filter_compile *c, const char *field,
                            Envoy__Config__Core__V3__CidrRange *const *m, size_t n,
                            struct filter_prefixes *ret) NODISCARD;
/* Is the address, as ip_unmapped() has it, in one of them? */
bool filter_prefixes_have(const struct filter_prefixes *p, const struct ip *ip);
