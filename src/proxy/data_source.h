#pragma once
/* Bytes that a configuration names: written in place, in a file, in the environment. */

#include <envoy/config/core/v3/base.pb-c.h>

#include "proxy/compile.h"

enum { DATA_SOURCE_BYTES_MAX = 1024 * 1024 };

/* Into c->scratch. NULL m: nothing, which is no error. c->path stands at the source. */
int data_source_read(struct compile *c, const Envoy__Config__Core__V3__DataSource *m,
                     struct str *ret) NODISCARD;
