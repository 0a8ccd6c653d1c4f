#pragma once
/* Clusters and their endpoints: what a snapshot says of them, and the little about an endpoint that
 * all workers write, each in its own cache line. */

#include <stdatomic.h>

#include <envoy/config/cluster/v3/cluster.pb-c.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/vec.h"
#include "codec/pb_path.h"
#include "proxy/transport_config.h"

enum {
    WORKERS_MAX = 64,
    ENDPOINT_TEXT_BYTES = 128,
};

struct endpoint {
    atomic_uint refs;
    struct sockaddr_storage address;
    socklen_t address_bytes;
    char text[ENDPOINT_TEXT_BYTES]; /* 10.0.0.1:80, [::1]:80, or a path */
};

struct endpoint *endpoint_new(const struct ip *ip, uint16_t port);
/* -ENAMETOOLONG. */
int endpoint_new_unix(struct str path, struct endpoint **ret) NODISCARD;
struct endpoint *endpoint_ref(struct endpoint *e);
void endpoint_unref(struct endpoint *e); /* NULL is allowed */

struct cluster {
    atomic_uint refs;
    uint32_t id; /* small, unique while it lives: a worker's place for it */
    char *name;
    VEC(struct endpoint *) endpoints;
    uint64_t connect_timeout_ms;
    uint64_t idle_timeout_ms;
    uint32_t connections_max; /* to one endpoint, of one worker */
    uint32_t pending_max;     /* requests that wait for one of them */
    struct upstream_tls *tls; /* how its endpoints are spoken to; NULL: plain */
};

struct cluster *cluster_new(struct str name);
struct cluster *cluster_ref(struct cluster *c);
void cluster_unref(struct cluster *c); /* NULL is allowed */
/* c->path stands at the message. -EINVAL with the path of what is wrong. */
int cluster_compile(struct compile *c, const Envoy__Config__Cluster__V3__Cluster *m,
                    struct cluster **ret) NODISCARD;
