#pragma once
/* What gRPC's own clients are given, which need no proxy: by the name and port of a Service its
 * listener, cluster and endpoints. Which Ingresses there are is nothing to them, nor are
 * certificates. */

#include "model/service_join.h"
#include "xds/xds_set.h"

struct proxyless;

/* join: borrowed, must outlive it. */
struct proxyless *proxyless_new(const struct service_join *join);
void proxyless_free(struct proxyless *p); /* NULL is allowed; nobody watches its set any more */
/* Borrowed. Made of all Services when it is first asked for; from then on kept. */
struct xds_set *proxyless_set(struct proxyless *p);
/* A Service, or an endpoint of it, has come, changed or gone. key: namespace/name. */
void proxyless_service_changed(struct proxyless *p, const char *key);
