#pragma once
/* Who has called whom in the last minute, as sidecars tell it: an edge for each pair of workloads,
 * Service and protocol, with numbers of both ends, of which each end tells its own. Pure: who asks
 * says what time it is.
 *
 * Limits: EDGES_MAX edges, of which proxies of a namespace make EDGES_NAMESPACE_MAX; what is beyond
 * is counted and left out. An edge of which nothing is heard for EDGE_IDLE_MS goes. */

#include <fairlead/telemetry/v1/telemetry.pb-c.h>

#include "base/str.h"
#include "codec/json.h"

enum {
    EDGES_MAX = 8192,
    EDGES_NAMESPACE_MAX = 2048,
    EDGE_IDLE_MS = 5 * 60 * 1000,
    EDGE_NAME_BYTES = 253, /* of each name; what is longer is cut */
};

/* Who tells, as the control plane knows it. */
struct traffic_reporter {
    const char *workload, *ns;
};

struct traffic_sink;

struct traffic_sink *traffic_sink_new(void);
void traffic_sink_free(struct traffic_sink *s); /* NULL is allowed */
void traffic_sink_add(struct traffic_sink *s, uint64_t now_ms, const struct traffic_reporter *r,
                      const Fairlead__Telemetry__V1__Traffic *m);
/* [{source, destination, service, protocol, security, client, server}], by names; client and server
 * as model/traffic.h has them, where that end tells. ns: with an end there; NULL or "": all. */
json_t *traffic_sink_edges(struct traffic_sink *s, const char *ns, uint64_t now_ms);

struct traffic_sink_stats {
    size_t edges;
    uint64_t overflow; /* times that something was told of an edge there was no room for */
};
struct traffic_sink_stats traffic_sink_get_stats(const struct traffic_sink *s);

/* The source and the destination of what is told: {workload, namespace} each. */
json_t *traffic_side_json(const struct traffic_reporter *r, const Fairlead__Telemetry__V1__Pair *p,
                          bool source);
/* The host that was called, for people. */
json_t *traffic_service_json(const Fairlead__Telemetry__V1__Pair *p);
const char *traffic_security_word(Fairlead__Telemetry__V1__Pair__Security s);
