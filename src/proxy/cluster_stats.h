#pragma once
/* What the main thread counts of a cluster beside its requests. */

#include "base/assert.h"
#include "proxy/cluster.h"

/* One of the counters of the cluster. Main thread. */
static inline void cluster_count(struct cluster *c, enum cluster_stat what)
{
    ASSERT(what < CLUSTER_STATS_MAIN);
    stats_inc(stats_main(c->stats), what);
}

/* Endpoints were sent for it. */
static inline void cluster_count_update(struct cluster *c, bool taken)
{
    cluster_count(c, CLUSTER_STAT_UPDATE_ATTEMPT);
    cluster_count(c, taken ? CLUSTER_STAT_UPDATE_SUCCESS : CLUSTER_STAT_UPDATE_REJECTED);
}
