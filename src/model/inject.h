#pragma once
/* A proxy put beside a pod: what the webhook does to pods as they are created, and `fairlead
 * inject` to manifests. Labels, annotations, names of containers and who decides are Istio's. Pure.
 */

#include "base/err.h"
#include "codec/json.h"
#include "model/inject_config.h"

#define INJECT_LABEL    "sidecar.istio.io/inject"
#define INJECT_REVISION "istio.io/rev"
#define INJECT_PROXY    "istio-proxy"           /* its container */
#define INJECT_INIT     "istio-init"            /* the one that leads the pod's traffic there */
#define INJECT_CHECK    "istio-validation"      /* sees that the node has */
#define INJECT_TRUST    "fairlead-ca-root-cert" /* ConfigMap of the pod's namespace */

struct inject_options {
    const char *image;      /* of the proxy */
    const char *control;    /* "HOST:PORT"; NULL: where it is by itself */
    const char *revision;   /* the control plane's; what carries another one's is not ours */
    const char *cluster_id; /* NULL: as by default; what metrics call the pod's */
    const struct inject_settings *settings; /* ProxyConfigs that hold for the pod; NULL: none */
    bool cni; /* nodes lead pods' traffic to their proxies (fairlead-cni): pods need no right to */
    bool dns_capture; /* what pods ask of DNS goes to their proxies, unless they say otherwise */
};

/* Why a pod gets a proxy, or none. */
struct inject_verdict {
    bool yes;
    const char *why;
};

/* pod: anything with metadata and spec, a pod or its template. namespace_: NULL: not known.
 * namespace_labels: NULL: whoever asks wants it, whatever the namespace says. */
struct inject_verdict inject_decide(const json_t *pod, const char *namespace_,
                                    const json_t *namespace_labels, const struct inject_options *o);

/* Puts it in, whatever inject_decide() says. workload: what the pod is a part of; NULL: not known.
 * -EINVAL: an annotation that cannot be heeded, with its field; pod is as it was. */
int inject_pod(json_t *pod, const char *workload, const struct inject_options *o,
               struct err *reterr) NODISCARD;

/* The pod in an object: itself, or its template (Deployment, CronJob and their kin). NULL: there is
 * none in it. Borrowed. */
json_t *inject_pod_of(json_t *object);
