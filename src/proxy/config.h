#pragma once
/* The configuration: one immutable snapshot, shared by all threads by reference. */

#include <envoy/config/bootstrap/v3/bootstrap.pb-c.h>

#include "base/map.h"
#include "proxy/cluster.h"
#include "proxy/listener_config.h"

struct proxy_config {
    atomic_uint refs;
    VEC(struct listener_config *) listeners;
    struct map clusters; /* name -> struct cluster; a reference each */
};

struct proxy_config *proxy_config_ref(struct proxy_config *c);
void proxy_config_unref(struct proxy_config *c); /* NULL is allowed */

/* Static listeners and clusters of a bootstrap that xds_check() has accepted. -EINVAL with the path
 * of what is wrong, from the bootstrap on. */
int proxy_config_from_bootstrap(const Envoy__Config__Bootstrap__V3__Bootstrap *b,
                                struct proxy_config **ret, struct err *reterr) NODISCARD;

/* One listener from "PATH=URL" texts (http://ADDRESS:PORT): the bootstrap that says the same, as
 * JSON. Longer paths match first. access_log: a file, "-" for standard output, NULL for none. tls:
 * "CERT,KEY", two files, NULL for none.
 * -EINVAL with what is wrong. */
int proxy_config_json_of_routes(const char *listen, const char *access_log, const char *tls,
                                const char *const *routes, size_t n, struct buf *ret,
                                struct err *reterr) NODISCARD;

struct cluster *proxy_config_cluster(const struct proxy_config *c, struct str name); /* borrowed */
