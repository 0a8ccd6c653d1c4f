#pragma once
/* Where resources of a kind come from. */

#include <envoy/config/core/v3/config_source.pb-c.h>

#include "codec/pb_path.h"

/* The cluster of Istio's agent, where its proxies ask for their certificates. */
#define CONFIG_SOURCE_IDENTITY "sds-grpc"

struct config_source {
    char *path;       /* a file with a DiscoveryResponse; NULL: the aggregated stream */
    bool of_identity; /* neither: this proxy's own identity (identity.h) */
    uint64_t warm_ms; /* how long to wait for the first; 0: for ever */
};

/* path stands at the ConfigSource. -EINVAL: another kind of source. */
int config_source_compile(const Envoy__Config__Core__V3__ConfigSource *m, struct pb_path *path,
                          struct config_source *ret, struct err *reterr) NODISCARD;
void config_source_copy(struct config_source *to, const struct config_source *from);
void config_source_done(struct config_source *s);
