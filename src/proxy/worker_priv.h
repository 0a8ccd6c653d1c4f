#pragma once
/* A worker's state, shared by worker.c (thread, listeners, clients) and worker_kept.c (what it
 * keeps for requests).
 */

#include <pthread.h>

#include "net/listener.h"
#include "proxy/answer_cache.h"
#include "proxy/worker.h"

struct worker_listener {
    struct worker *worker;
    struct listener_config *config;
    VEC(struct listener *) sockets; /* one for each address; none if it does not bind */
};

/* What a worker has of a cluster. */
struct worker_cluster {
    struct cluster *cluster;
    struct cluster_watch watch;
    struct lb_plan *plan;
    bool dropped;
    VEC(uint32_t) cursors;         /* of the plan */
    struct original_dst *original; /* NULL: its endpoints are the plan's */
    /* Of each entry of its set; NULL: not chosen yet. The second one of HTTP/2 where the cluster
     * speaks as its clients do. */
    struct upstream_list {
        struct upstream **v;
        size_t n, cap;
    } upstreams[2];
};

struct worker_log {
    struct access_log *log;
    struct access_log_writer *writer;
};

struct worker {
    struct loop *loop;
    struct worker_config *config;
    unsigned index;
    pthread_t thread;
    struct loop *main; /* is told of the thread's end */
    loop_timer_fn *on_end;
    void *end_user;
    VEC(struct worker_listener *) listeners;
    VEC(struct worker_cluster *) clusters; /* by id */
    VEC(struct worker_log) logs;
    VEC(struct loop_timer *) timers; /* that nobody has */
    struct list_node downstreams;
    size_t n_downstreams;
    struct mirrors mirrors;
    struct answer_cache answers; /* that filters were given */
    struct loop_timer *drain;
    struct loop_timer *leave;  /* looks whether anybody still comes */
    struct loop_timer *stale;  /* clients of listeners that have changed are told to go */
    _Atomic uint64_t drain_ms; /* told by the main thread, at a second signal again */
    uint64_t leave_by_ms, drain_by_ms;
    unsigned busy, busy_then; /* connections and requests that have come: now, at the last look */
    bool ended;
    bool draining;
    bool telling;        /* clients are told to go */
    bool closed;         /* its listeners, for good */
    bool closed_inbound; /* those of them */
};

/* Pools of clusters that are not in force any more end. */
void worker_keep_clusters(struct worker *w);
/* Writers of logs that no configuration has any more go. */
void worker_keep_logs(struct worker *w);
void worker_drop_kept(struct worker *w);
