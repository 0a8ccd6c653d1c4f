#pragma once
/* The statistics that nobody counts but that are worked out when somebody asks (VALUE in
 * stats.def), of one snapshot. Main thread. */

#include "base/map.h"
#include "proxy/config.h"

/* What the program knows of itself. */
struct stats_program {
    bool live;
    unsigned state; /* of server.state */
    uint64_t uptime_s;
    unsigned workers;
    bool running;
    size_t clusters_warming, listeners_warming;
};

struct stats_values {
    struct proxy_config *config; /* a reference */
    struct stats_program program;
    struct map clusters; /* struct stats_set * -> struct cluster, of the snapshot */
};

/* Takes a reference to the snapshot. */
void stats_values_init(struct stats_values *v, struct proxy_config *c,
                       const struct stats_program *p);
void stats_values_done(struct stats_values *v);
/* One row of one set, which has that row. */
uint64_t stats_value(const struct stats_values *v, const struct stats_set *s, unsigned at);
