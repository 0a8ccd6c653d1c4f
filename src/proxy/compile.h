#pragma once
/* Where the compilation of a resource stands: shared by all that turn messages into configuration.
 */

#include <errno.h>

#include "base/map.h"
#include "codec/pb_msg.h"
#include "codec/pb_path.h"

struct Envoy__Extensions__TransportSockets__Tls__V3__Secret;

/* The secret of that name, borrowed until the compilation ends; NULL: it is not there (yet). */
typedef const struct Envoy__Extensions__TransportSockets__Tls__V3__Secret *
secret_find_fn(struct str name, void *user);

struct compile {
    struct arena *scratch;       /* for what is packed inside messages */
    const struct map *clusters;  /* those that a route table written in place may name; NULL: any */
    secret_find_fn *find_secret; /* NULL: there are none */
    void *secrets;               /* its user */
    struct pb_path path;
    struct err *err;
};

#define COMPILE_FAIL(c, ...) pb_path_fail(&(c)->path, (c)->err, -EINVAL, __VA_ARGS__)
