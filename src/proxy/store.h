#pragma once
/* What is known of resources, and the snapshot that is made of them. Main thread only.
 *
 * Static resources come from the bootstrap, others by updates. What is new is warmed before it is
 * in force: a cluster until its endpoints have come, a listener until its route tables have, a
 * route table until the clusters that it names have (make before break); each for at most its
 * source's initial_fetch_timeout. A cluster that goes stays while a table in force names it, for at
 * most STORE_LEAVING_MS. */

#include <envoy/config/bootstrap/v3/bootstrap.pb-c.h>

#include "net/loop.h"
#include "proxy/config.h"
#include "xds/xds_client.h"

struct store;

enum {
    STORE_LEAVING_MS = 15 * 1000,
    STORE_NAMES_MS = 5 * 1000, /* a cluster waits for its names to be resolved */
    STORE_UNKNOWN_MS = 1000,   /* a table, for clusters that nobody has told of yet */
};

struct store_ops {
    /* A snapshot to be put in force; takes the reference. */
    void (*on_config)(struct proxy_config *c, void *user);
    /* A listener that is not of the bootstrap is to have its sockets; NULL: without them. */
    int (*on_bind)(struct listener_config *c, void *user, struct err *reterr);
    /* A resource by name is wanted of the source, or no more. name "" : all of the kind. */
    void (*on_want)(const struct config_source *from, enum xds_resource type, struct str name,
                    bool wanted, void *user);
};

struct store *store_new(struct loop *l, const struct store_ops *ops, void *user);
void store_free(struct store *s); /* NULL is allowed */

/* The static resources of a bootstrap that xds_check() has accepted, and where dynamic ones come
 * from: these are asked for at once, listeners once the first clusters are warm. -EINVAL with the
 * path of what is wrong, from the bootstrap on. */
int store_load(struct store *s, const Envoy__Config__Bootstrap__V3__Bootstrap *b,
               struct err *reterr) NODISCARD;
/* What runs for clusters beside requests, such as checks of health, while the loop runs. */
void store_start(struct store *s);
void store_stop(struct store *s);
/* What a source has sent. Each resource is taken or refused by itself (item->refused); why, goes to
 * `refused`. */
void store_update(struct store *s, const struct xds_update *u, struct buf *refused);
/* What is ready comes into force: a reference to that. */
struct proxy_config *store_config(struct store *s);
/* A cluster that is in force; NULL: none of that name. Borrowed. */
struct cluster *store_find_cluster(const struct store *s, const char *name);
/* Everything that was asked for at the start is there, or was waited for in vain. */
bool store_is_ready(const struct store *s);
/* Nothing that is known waits to come into force. */
bool store_is_settled(const struct store *s);
/* How many wait for what they need. */
void store_count_warming(const struct store *s, size_t *ret_clusters, size_t *ret_listeners);
