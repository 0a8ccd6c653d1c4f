#pragma once
/* What workloads tell of their requests, as those who make their listeners need it. */

#include "control/mesh_peers.h"
#include "control/translate_telemetry.h"
#include "model/mesh_rules.h"

/* What holds for a pod (NULL: for whatever is of the namespace; ns "": of the mesh). Owned; NULL:
 * nobody says anything. */
struct mesh_telemetry *mesh_telemetry_find(const struct mesh_peers *p,
                                           const struct mesh_rules *rules,
                                           const struct service_join *join, struct str ns,
                                           const struct workload *pod);
void mesh_telemetry_free(struct mesh_telemetry *t); /* NULL is allowed */
/* NULL: as listeners are made. */
bool mesh_telemetry_eq(const struct mesh_telemetry *a, const struct mesh_telemetry *b);
/* The Service, by key (the caller's), and the port that such a client's spans go to; NULL: none
 * that is a Service and there. */
char *mesh_telemetry_collector(const struct mesh_peers *p, const struct service_join *join,
                               struct str ns, uint16_t *ret_port);
/* Does one tell it to a host of that Service or entry? */
bool mesh_telemetry_needs(const struct mesh_peers *p, const char *key);
