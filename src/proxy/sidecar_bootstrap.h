#pragma once
/* The configuration that a sidecar begins with: who it is, its control plane, its admin interface
 * on loopback, and two ports that others ask: 15021 (/healthz/ready) and 15090 (/stats/prometheus).
 * Ports and names are Istio's. */

#include "base/buf.h"
#include "base/err.h"

enum { SIDECAR_STATS_PORT = 15090 };

struct sidecar_bootstrap {
    const char *control;   /* "HOST:PORT" */
    const char *root_file; /* PEM; whom it trusts to be the control plane */
    bool identity;         /* it has one, which says whom to trust from then on */
    const char *pod, *namespace_, *ip;
    const char *workload; /* what it is a part of; NULL: the pod's name stands for it */
    /* Of the process, ends in NULL: ISTIO_META_X=y says X in the node's metadata, as it does of
     * Istio's agents. NULL: none. */
    char *const *environment;
};

/* As JSON. -EINVAL: what is missing or wrong. */
int sidecar_bootstrap_json(const struct sidecar_bootstrap *s, struct buf *ret, struct err *reterr)
    NODISCARD;
