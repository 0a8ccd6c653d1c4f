#pragma once
/* What a cluster of type ORIGINAL_DST says of where its requests go. */

#include <envoy/config/cluster/v3/cluster.pb-c.h>

#include "base/err.h"
#include "codec/pb_path.h"

struct original_dst_config {
    char *header;        /* lower case; NULL: none is looked at */
    uint16_t port;       /* instead of the one found; 0: that */
    uint64_t cleanup_ms; /* how long one that nobody asks for stays, at least */
};

/* path stands at the cluster. -EINVAL with the path of what is wrong. */
int original_dst_compile(const Envoy__Config__Cluster__V3__Cluster *m, struct pb_path *path,
                         struct original_dst_config **ret, struct err *reterr) NODISCARD;
void original_dst_config_free(struct original_dst_config *c); /* NULL is allowed */
