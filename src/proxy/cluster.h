#pragma once
/* Clusters: how to reach the endpoints of a service. What is compiled is immutable; the plan of its
 * endpoints is exchanged by the main thread while the cluster stays, and each worker takes it over
 * at its own loop. */

#include <pthread.h>

#include <envoy/config/cluster/v3/cluster.pb-c.h>

#include "base/list.h"
#include "net/loop.h"
#include "proxy/breaker.h"
#include "proxy/lb.h"
#include "proxy/protocol_config.h"
#include "proxy/stats.h"
#include "proxy/transport_config.h"

struct dns;
struct dns_config;
struct health;
struct health_config;
struct outlier;
struct original_dst_config;
struct outlier_config;
struct socket_matches;
struct tls_context;

enum cluster_type {
    CLUSTER_STATIC,
    CLUSTER_EDS,          /* has no endpoints until cluster_set_endpoints() brings some */
    CLUSTER_DNS,          /* nor until names are resolved */
    CLUSTER_ORIGINAL_DST, /* nor ever: they are made as requests come */
};

struct cluster;
/* Whence endpoints of that family are spoken to; NULL: as routes say. Borrowed. */
const struct ip *cluster_source(const struct cluster *c, int family);

struct cluster {
    atomic_uint refs;
    uint32_t id; /* small, unique while it lives: a worker's place for it */
    char *name;
    struct stats_set *stats;
    const char *mesh_service; /* a label_text(): "HOST;NAME;NAMESPACE"; NULL: none */
    bool added_via_api;       /* it did not stand in the bootstrap */
    char *eds_name;           /* what to ask for; its name if the configuration says no other */
    uint8_t type;             /* enum cluster_type */
    uint64_t connect_timeout_ms;
    struct ip from[2];         /* whence endpoints of a family are spoken to; none: as routes say */
    struct http_protocol http; /* to its endpoints */
    struct upstream_tls *tls;  /* how its endpoints are spoken to; NULL: plain */
    struct socket_matches *matches; /* before that, by their labels; NULL: none */
    uint8_t proxy_version;          /* of the PROXY protocol that its endpoints are spoken to by */
    bool keeps_alive;               /* in its own way: */
    struct conn_keepalive keepalive;
    struct lb_config lb;
    struct breakers breakers;
    uint32_t host_connections_max;  /* to one endpoint, of all workers; 0: no limit */
    struct outlier_config *outlier; /* NULL: none */
    struct health_config *health;   /* NULL: no active checks */
    struct dns_config *dns;         /* NULL: no names */
    bool asks_for_client; /* where a request goes, or how, depends on its client's connection */
    struct original_dst_config *original; /* NULL: not of that type */
    atomic_bool has_traffic;              /* a connection has been made for a request */

    /* The main thread's, while it runs (cluster_start); but for main_loop, which workers post to.
     */
    _Atomic(struct loop *) main_loop;
    struct list_node followers; /* struct cluster_follower */
    struct loop_call replan;
    struct loop_timer *warm; /* NULL: endpoints get their weight at once */
    struct outlier *outlier_run;
    struct health *health_run;
    struct dns *dns_run;
    bool ready; /* names have been asked for once, with or without success */
    void (*on_ready)(struct cluster *c, void *user); /* NULL: nobody waits */
    void *ready_user;

    pthread_mutex_t lock;      /* guards what follows; never taken for a request */
    struct lb_plan *plan;      /* the newest */
    struct list_node watchers; /* struct cluster_watch */
};

struct cluster *cluster_new(struct str name);
struct cluster *cluster_ref(struct cluster *c);
void cluster_unref(struct cluster *c); /* NULL is allowed */
/* c->path stands at the message. -EINVAL with the path of what is wrong. */
int cluster_compile(struct compile *c, const Envoy__Config__Cluster__V3__Cluster *m,
                    struct cluster **ret) NODISCARD;

/* ---- the main thread ---- */
/* Another set of endpoints. Those with an address that was there before live on: their health, load
 * and connections. Refused: the old set stays. */
int cluster_set_endpoints(struct cluster *c,
                          const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *m,
                          struct pb_path *path, struct err *reterr) NODISCARD;
/* A set that is made already. */
void cluster_put_endpoints(struct cluster *c, struct endpoint_set *s);
/* The flags of an endpoint have changed: a new plan at the end of this turn. */
void cluster_replan_soon(struct cluster *c);
void cluster_replan(void *cluster); /* at once */

/* Before its first request, and after its last one: what runs for it beside requests. */
void cluster_start(struct cluster *c, struct loop *l);
void cluster_stop(struct cluster *c);

void cluster_is_ready(struct cluster *c);

/* Is told of each set before a plan of it is made. */
struct cluster_follower {
    struct list_node node;
    void (*on_endpoints)(const struct endpoint_set *s, void *user);
    void *user;
};
void cluster_follow(struct cluster *c, struct cluster_follower *f);

/* Each way to speak TLS to its endpoints. */
bool cluster_next_tls(const struct cluster *c, size_t *at, const struct upstream_tls **ret);

/* ---- any thread ---- */
/* How that endpoint is spoken to; NULL: plain. */
const struct upstream_tls *cluster_tls(const struct cluster *c, const struct endpoint *e);
struct lb_plan *cluster_plan(struct cluster *c); /* a reference to the newest */

/* Called at the loop when there is a newer plan than the caller may have. */
struct cluster_watch {
    struct list_node node;
    struct loop *loop;
    loop_timer_fn *fn;
    void *user;
};
void cluster_watch(struct cluster *c, struct cluster_watch *w);
/* A call that is posted already still comes: free what it needs by a post of your own. */
void cluster_unwatch(struct cluster *c, struct cluster_watch *w);
