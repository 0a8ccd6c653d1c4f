#pragma once
/* What becomes of a call of a pod in the mesh: whom it is for, which route decides and why those
 * before it do not, how its endpoints are called, over what, and what their policies say. Pure. */

#include "model/explain.h"
#include "model/mesh_snapshot.h"

struct mesh_explain_call {
    const struct workload *from; /* of the snapshot */
    const char *trust_domain;
    struct explain_request q;
    uint16_t port;
};

/* objects: what the snapshot was made of. As data, of which text is made; owned:
 * {from, principal, to: {host, service, port, protocol}, steps: […], decided, action,
 * destinations: [{service, subset, port, weight, balance, tls, workloads: [{name, pods, tls,
 * verdict, by, policies: […]}]}], findings: […]}. What is for nobody has no `to`. */
json_t *mesh_explain(const struct mesh_snapshot *s, const json_t *objects,
                     const struct mesh_explain_call *c);
