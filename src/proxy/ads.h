#pragma once
/* The aggregated discovery stream: resources from a control plane (ads_config), delta or state of
 * the world, over gRPC. Main thread. */

#include "proxy/last_good.h"
#include "proxy/name_table.h"

struct ads;

struct ads_options {
    const char *token_file; /* what each stream says as "authorization: Bearer …", read when it is
                               opened; NULL: nothing */
    bool identity;          /* it says that it has a certificate of the mesh */
    struct name_table *names; /* names of its DNS; outlives it; NULL: it has none */
};

/* Reads ads_config and node; connects soon, and again for ever. The cluster must be static.
 * -EINVAL with the path of what is wrong, from the bootstrap on. */
int ads_new(struct loop *l, struct store *s, const Envoy__Config__Bootstrap__V3__Bootstrap *b,
            const struct ads_options *o, struct ads **ret, struct err *reterr) NODISCARD;
void ads_free(struct ads *a);                 /* NULL is allowed */
const char *ads_cluster(const struct ads *a); /* the control plane's */
/* How the workload is: told now, and at the beginning of each stream. */
void ads_tell_health(struct ads *a, bool healthy, const char *message);
/* A resource is wanted, or no more; name "": all of the kind. */
void ads_want(struct ads *a, enum xds_resource type, struct str name, bool wanted);
/* What is accepted is kept by g, which outlives a, and what it has already comes into the store. */
void ads_keep(struct ads *a, struct last_good *g, const Envoy__Config__Bootstrap__V3__Bootstrap *b);
