#pragma once
/* What listeners tell of what they serve (model/telemetry_policy.h), as parts of connection
 * managers and TCP proxies. Pure. */

#include "control/translate_mesh.h"
#include "model/telemetry_policy.h"

/* Owned; compared as values. */
struct mesh_told {
    json_t *tracing; /* of connection managers; NULL: none */
    json_t *logs;    /* access_log, of connections of bytes, too; NULL: none */
    json_t *stats;   /* of the filter that counts; NULL: nothing is counted */
};
/* Both sides of a workload. */
struct mesh_telemetry {
    struct mesh_told side[_TELEMETRY_SIDES];
};

/* The cluster of a host's port, as those who tell have it. False: there is none. */
typedef bool translate_find_cluster(const char *host, uint16_t port, char ret[CLUSTER_NAME_MAX],
                                    void *user);
struct mesh_told translate_told(const struct telemetry_view *v, const struct mesh_config *c,
                                enum telemetry_side side, translate_find_cluster *find, void *user);
void mesh_told_done(struct mesh_told *t);
/* Spans go to the control plane itself, which every proxy of ours tells on its own way. */
bool mesh_told_traces_to_us(const struct mesh_told *t);
bool mesh_told_eq(const struct mesh_told *a, const struct mesh_told *b);

/* Of a whole listener, as JSON: all of its chains tell so. NULL: as they are. */
void translate_tell(json_t *listener, const struct mesh_told *t);
