#pragma once
/* Where the compilation of a resource stands: shared by all that turn messages into configuration.
 */

#include <errno.h>

#include "base/map.h"
#include "codec/pb_msg.h"
#include "codec/pb_path.h"

struct route_slots;

struct compile {
    struct arena *scratch;      /* for what is packed inside messages */
    const struct map *clusters; /* those that a route table written in place may name; NULL: any */
    struct route_slots *route_slots; /* of tables that come by themselves */
    struct pb_path path;
    struct err *err;
};

#define COMPILE_FAIL(c, ...) pb_path_fail(&(c)->path, (c)->err, -EINVAL, __VA_ARGS__)
