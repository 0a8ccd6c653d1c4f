#pragma once
/* Who calls whom, as the control plane's replicas tell it, each of the proxies that are connected
 * to it: added up. */

#include "cli/proxy_source.h"
#include "model/traffic.h"

struct traffic_edge {
    char *source, *source_ns, *destination, *destination_ns, *service, *protocol;
    char *security;                /* mutual_tls, none, unknown */
    struct traffic client, server; /* as either end tells it */
    bool has_client, has_server;
};

struct traffic_edges {
    VEC(struct traffic_edge) v;
    int64_t proxies; /* that tell */
};

/* Words and flags that say which edges. */
struct traffic_choice {
    const char *target; /* NAME, TYPE/NAME of a workload, svc/NAME; NULL: all */
    const char *file;   /* an answer that was kept, "-": stdin; NULL: the cluster is asked */
    const char *control_namespace;
    bool all_namespaces;
};

/* Of the session's namespace, at either end. -1, or the exit code, told. */
int traffic_edges_get(struct cli_session *s, const struct traffic_choice *c,
                      struct traffic_edges *ret);
void traffic_edges_done(struct traffic_edges *e);

/* What the caller has seen, where it tells. */
const struct traffic *traffic_edge_numbers(const struct traffic_edge *e);
/* Within 16 bytes. */
const char *traffic_format_ms(double ms, char ret[16]);
