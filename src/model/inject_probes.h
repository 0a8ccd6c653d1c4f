#pragma once
/* Probes and hooks of a pod's containers, led to its proxy's port 15020: the proxy does them, from
 * inside. A kubelet has no certificate of the mesh, and what it asks is no call of it. Pure. */

#include "base/err.h"
#include "codec/json.h"

enum { INJECT_PROBES_PORT = 15020 };

/* Rewrites them in spec, of all containers but the proxy's own. What they were is the value of
 * ISTIO_KUBE_APP_PROBERS, a new object: path on our port -> probe, ports as numbers. exec, and what
 * asks another host, stays. -EINVAL with the field: a port by a name that its container has not. */
int inject_probes(json_t *spec, json_t **ret, struct err *reterr) NODISCARD;
