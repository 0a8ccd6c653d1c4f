#pragma once
/* The endpoints of a cluster at one time, immutable: priorities, localities in them, endpoints in
 * those. Made by the main thread from a ClusterLoadAssignment; shared by reference. */

#include <envoy/config/endpoint/v3/endpoint.pb-c.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/vec.h"
#include "codec/pb_path.h"
#include "proxy/endpoint.h"

enum {
    ENDPOINTS_MAX = 100000, /* of a cluster */
    ENDPOINT_NAME_MAX = 253,
    PRIORITIES_MAX = 129,
    OVERPROVISIONING_PERCENT = 140,
};

enum endpoint_status {
    ENDPOINT_HEALTHY,
    ENDPOINT_DEGRADED,
    ENDPOINT_UNHEALTHY,
    ENDPOINT_DRAINING,
};

struct endpoint_entry {
    struct endpoint *endpoint; /* NULL: a name, which is still to be resolved */
    char *name;
    uint16_t name_port;
    char *hostname;    /* NULL: none */
    struct buf labels; /* of a name, for its endpoints */
    uint32_t weight;
    uint32_t locality; /* index */
    uint8_t status;    /* enum endpoint_status: what the set says */
    bool unchecked;    /* its active health check is switched off */
    struct endpoint_check {
        char *hostname; /* NULL: as the cluster says */
        uint16_t port;  /* 0: the endpoint's own */
        bool other_address;
        struct ip ip;
    } check;
};

struct endpoint_locality {
    char *region;
    char *zone;
    char *sub_zone;
    uint32_t weight; /* 0: none was given */
    uint32_t priority;
    uint32_t first; /* entry */
    uint32_t n;
};

struct endpoint_set {
    atomic_uint refs;
    uint32_t overprovisioning_percent;
    VEC(struct endpoint_entry) entries;       /* of a locality together, in the order given */
    VEC(struct endpoint_locality) localities; /* by priority */
    uint32_t n_priorities;                    /* those that exist, gaps closed */
    VEC(uint32_t) by_id;                      /* entries that have an address, sorted */
};

/* An empty one. */
struct endpoint_set *endpoint_set_new(void);
struct endpoint_set *endpoint_set_ref(struct endpoint_set *s);
void endpoint_set_unref(struct endpoint_set *s); /* NULL is allowed */
/* The entry of the endpoint with that id; NULL: it has none. */
const struct endpoint_entry *endpoint_set_find(const struct endpoint_set *s, uint64_t id);
/* While it is being made. Borrows the address; an endpoint of before with the same one lives on.
 * false: the set has it already, nothing was added. */
struct endpoint_maker {
    struct endpoint_set *set;
    struct map before; /* text -> struct endpoint, borrowed */
    struct map now;
};
void endpoint_maker_init(struct endpoint_maker *m, const struct endpoint_set *before);
void endpoint_maker_locality(struct endpoint_maker *m, uint32_t priority, uint32_t weight);
/* labels: endpoint.h; one whose labels were others before is another endpoint. */
struct endpoint_entry *endpoint_maker_add(struct endpoint_maker *m, const struct ip *ip,
                                          uint16_t port, struct str labels);
/* A Unix socket; -ENAMETOOLONG. */
int endpoint_maker_add_unix(struct endpoint_maker *m, struct str path, struct str labels,
                            struct endpoint_entry **ret) NODISCARD;
/* The same for a name; no two are one. */
struct endpoint_entry *endpoint_maker_add_name(struct endpoint_maker *m, const char *name,
                                               uint16_t port, struct str labels);
/* Closes gaps between priorities. */
struct endpoint_set *endpoint_maker_take(struct endpoint_maker *m);
void endpoint_maker_done(struct endpoint_maker *m);

/* before: whose endpoints live on; NULL: none. path stands at the message. -EINVAL with Envoy's
 * words where it has some. */
int endpoint_set_compile(const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *m,
                         const struct endpoint_set *before, struct pb_path *path,
                         struct endpoint_set **ret, struct err *reterr) NODISCARD;
/* Where an address should be a name may stand: for clusters that resolve them. */
int endpoint_set_compile_names(const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *m,
                               struct pb_path *path, struct endpoint_set **ret, struct err *reterr)
    NODISCARD;
