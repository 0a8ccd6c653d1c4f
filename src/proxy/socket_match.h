#pragma once
/* How the endpoints of a cluster are spoken to where that is not the same for all of them: by what
 * an endpoint's metadata envoy.transport_socket_match says (Envoy's transport_socket_matches). Part
 * of the cluster; immutable. */

#include <envoy/config/cluster/v3/cluster.pb-c.h>
#include <envoy/config/endpoint/v3/endpoint_components.pb-c.h>

#include "proxy/transport_config.h"

enum {
    SOCKET_MATCHES_MAX = 64,
    SOCKET_LABELS_BYTES_MAX = 4096, /* of one endpoint, or of one match */
};

struct socket_matches;

/* c->path stands at the cluster. *ret NULL: it has none. */
int socket_matches_compile(struct compile *c, const Envoy__Config__Cluster__V3__Cluster *m,
                           struct socket_matches **ret) NODISCARD;
/* The version of the PROXY protocol before all of them; -1: not the same. */
int socket_matches_proxy(const struct socket_matches *m);
void socket_matches_free(struct socket_matches *m); /* NULL is allowed */

/* The first that asks for nothing that labels (socket_labels_read()) have not; false: none does.
 * *ret NULL: plain. */
bool socket_matches_find(const struct socket_matches *m, struct str labels,
                         struct upstream_tls **ret);
/* Each of them. *ret NULL: plain. */
bool socket_matches_next(const struct socket_matches *m, size_t *at, struct upstream_tls **ret);

/* Those of an endpoint, appended; nothing: it has none. What is no text matches nothing. -E2BIG. */
int socket_labels_read(const Envoy__Config__Core__V3__Metadata *m, struct buf *ret) NODISCARD;
