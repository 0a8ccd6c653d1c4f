#pragma once
/* Sidecar (networking.istio.io/v1): what the sidecars of a namespace, or of some pods in it, know
 * of the mesh, and where they take in calls. Of several for a pod that of its namespace with labels
 * counts, then that without, then that of the root namespace; of two alike the older one. Pure. */

#include "model/port_protocol.h"
#include "model/selected_objects.h"

enum { SIDECAR_HOSTS_MAX = 1024, SIDECAR_INGRESS_MAX = 256 };

enum outbound_mode { OUTBOUND_AS_ALL, OUTBOUND_ALLOW_ANY, OUTBOUND_REGISTRY_ONLY };

/* Hosts that are known: all of a namespace that its name covers. */
struct scope_host {
    const char *ns; /* "*": any, ".": the sidecar's own; owned */
    char *name;     /* "*", "*.name" or a name */
};

/* A port at which calls are taken in, and where they go. */
struct scope_ingress {
    uint16_t port;
    enum port_protocol protocol;
    uint16_t target; /* of the app */
    bool loopback;   /* the app is at 127.0.0.1, not at the pod's address */
};

struct sidecar_scope {
    unsigned refs;
    struct istio_object o;
    const json_t *labels; /* of its pods; NULL: all of the namespace */
    bool broken;
    bool sees_all; /* it says nothing of hosts */
    struct scope_host *hosts;
    size_t n_hosts;
    struct scope_ingress *ingress; /* none: as Services say */
    size_t n_ingress;
    enum outbound_mode outbound;
};

struct sidecar_scope *sidecar_scope_decode(const json_t *j); /* NULL: no object */
struct sidecar_scope *sidecar_scope_ref(const struct sidecar_scope *s);
void sidecar_scope_unref(struct sidecar_scope *s); /* NULL is allowed */

/* Is a host of that namespace known to a sidecar of `own`? */
bool sidecar_scope_sees(const struct sidecar_scope *s, struct str own, struct str ns,
                        const char *host);

/* struct sidecar_scope of workloads. */
struct selected_objects *sidecar_scopes_new(const char *root_namespace);
/* That of a pod (NULL: of what is not known of a namespace), borrowed; NULL: none. */
const struct sidecar_scope *sidecar_scopes_find(const struct selected_objects *t, struct str ns,
                                                const struct workloads *pods,
                                                const struct workload *pod);
