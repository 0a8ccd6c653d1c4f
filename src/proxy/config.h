#pragma once
/* The configuration in force: one immutable snapshot, shared by all threads by reference. The store
 * (store.h) makes it. What changes alone, endpoints and certificates, is swapped inside clusters
 * and contexts. */

#include <stdatomic.h>

#include "base/map.h"
#include "proxy/cluster.h"
#include "proxy/listener_config.h"

/* Shared by snapshots between which no cluster has changed. */
struct cluster_table {
    atomic_uint refs;
    struct map by_name; /* name -> struct cluster; a reference each; borrows their names */
};

struct cluster_table *cluster_table_new(void);
void cluster_table_add(struct cluster_table *t, struct cluster *c); /* takes a reference */
struct cluster_table *cluster_table_ref(struct cluster_table *t);
void cluster_table_unref(struct cluster_table *t); /* NULL is allowed */

/* What requests of a filter chain go by, whatever listener of that name their connection has come
 * by. */
struct config_seat {
    struct route_table *table;      /* NULL: none */
    const struct http_config *http; /* of the listener in force, or the last; NULL: none */
};

struct proxy_config {
    atomic_uint refs;
    VEC(struct listener_config *) listeners;
    struct map by_name;                 /* the same; borrows their names */
    VEC(struct listener_config *) gone; /* that open connections still go by */
    VEC(struct route_table *) routes;   /* by slot; NULL: none */
    VEC(struct config_seat) seats;      /* by seat */
    struct cluster_table *clusters;
};

struct proxy_config *proxy_config_ref(struct proxy_config *c);
void proxy_config_unref(struct proxy_config *c); /* NULL is allowed */

struct cluster *proxy_config_cluster(const struct proxy_config *c, struct str name); /* borrowed */
/* The newest form of h, which its connection has begun with. Borrowed. */
const struct http_config *proxy_config_http(const struct proxy_config *c,
                                            const struct http_config *h);
/* What h routes by; NULL: it has not come. Borrowed. */
const struct route_table *proxy_config_routes(const struct proxy_config *c,
                                              const struct http_config *h);
