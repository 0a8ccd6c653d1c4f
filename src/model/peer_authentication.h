#pragma once
/* PeerAuthentications (security.istio.io/v1): whether a workload takes calls in plain text, over
 * mutual TLS, or both. Of several the narrowest wins: port, workload, namespace, mesh; of two of
 * the same width the older. Pure. */

#include "base/err.h"
#include "base/vec.h"
#include "model/workload.h"

enum mtls_mode { MTLS_UNSET, MTLS_DISABLE, MTLS_PERMISSIVE, MTLS_STRICT };

enum { PEER_AUTHENTICATION_PORTS_MAX = 1000 };

struct mtls_port {
    uint16_t port; /* of the workload */
    enum mtls_mode mode;
};

struct peer_authentications;

/* What is in root_namespace without a selector holds for the whole mesh. */
struct peer_authentications *peer_authentications_new(const char *root_namespace);
void peer_authentications_free(struct peer_authentications *t); /* NULL is allowed */
/* As the API server tells of it. -EINVAL: what is wrong; its form before that stays. */
int peer_authentications_put(struct peer_authentications *t, const json_t *object,
                             struct err *reterr) NODISCARD;
void peer_authentications_remove(struct peer_authentications *t, struct str key);
/* Is what holds there said of the whole mesh? */
bool peer_authentications_is_root(const struct peer_authentications *t, struct str ns);

/* What holds for a pod (NULL: for what is not known of a namespace). Borrowed until something
 * changes. */
struct mtls_policy {
    enum mtls_mode mode; /* never MTLS_UNSET */
    const struct mtls_port *ports;
    size_t n_ports;
};
void peer_authentications_find(const struct peer_authentications *t, struct str ns,
                               const struct workloads *pods, const struct workload *pod,
                               struct mtls_policy *ret);
enum mtls_mode mtls_policy_of(const struct mtls_policy *p, uint16_t port);
