#pragma once
/* Where the compilation of a resource stands: shared by all that turn messages into configuration.
 */

#include <errno.h>

#include "base/map.h"
#include "codec/pb_msg.h"
#include "codec/pb_path.h"

struct Envoy__Extensions__TransportSockets__Tls__V3__Secret;
struct Envoy__Config__Core__V3__ConfigSource;
struct route_slots;

/* The secret of that name, borrowed until the compilation ends; NULL: it is not there (yet). from:
 * where it may be asked for; NULL: nowhere. */
typedef const struct Envoy__Extensions__TransportSockets__Tls__V3__Secret *
secret_find_fn(struct str name, const struct Envoy__Config__Core__V3__ConfigSource *from,
               void *user);

struct compile {
    struct arena *scratch;       /* for what is packed inside messages */
    const struct map *clusters;  /* those that a route table written in place may name; NULL: any */
    secret_find_fn *find_secret; /* NULL: there are none */
    void *secrets;               /* its user */
    struct route_slots *route_slots; /* of tables that come by themselves */
    bool inbound;                    /* of a listener of what is sent to the pod beside it */
    bool counts;                     /* whose connections are counted as Istio counts them */
    struct pb_path path;
    struct err *err;
};

#define COMPILE_FAIL(c, ...) pb_path_fail(&(c)->path, (c)->err, -EINVAL, __VA_ARGS__)
