#pragma once
/* A worker: one thread, one loop, its own listening sockets, connections and pools. */

#include "net/loop.h"
#include "proxy/config.h"
#include "proxy/upstream.h"

struct worker;

/* Copies of requests that live on a worker by themselves (mirror.h). Zeroed. */
struct mirrors {
    struct list_node running; /* struct mirror */
    size_t n, bytes;
    uint64_t dropped; /* copies that were not made, for want of anything but the policy's will */
    void (*end)(struct mirrors *m); /* all that run, with the worker; NULL: there never were any */
};

/* The snapshot that a worker has: requests hold it by a count that no other thread touches. */
struct worker_config {
    unsigned refs;
    struct proxy_config *config;
};
struct worker_config *worker_config(struct worker *w); /* a reference */
void worker_config_unref(struct worker_config *c);

/* Makes it with its listening sockets; runs nothing yet. `first` binds ports 0 for real. */
int worker_new(struct proxy_config *c, unsigned index, unsigned of, struct worker **ret,
               struct err *reterr) NODISCARD;
/* Its thread; when that ends, fn(user) is called at the loop `main`. */
int worker_start(struct worker *w, struct loop *main, loop_timer_fn *fn, void *user) NODISCARD;
/* From the main thread: another snapshot, between two events. Takes the reference. */
void worker_set_config(struct worker *w, struct proxy_config *c);
/* From the main thread: no new connections; those that are there end with their requests, or after
 * drain_ms. */
void worker_drain(struct worker *w, uint64_t drain_ms);
/* From the main thread: the same, but not before nobody has come for a second, or linger_ms have
 * passed, which count among drain_ms: others may hear late that we are to end. Clients are told to
 * go meanwhile. worker_drain() ends it. */
void worker_leave(struct worker *w, uint64_t linger_ms, uint64_t drain_ms);
/* From the main thread: with their next answer clients are told to go, those too that come, until
 * it is off again. */
void worker_tell_clients(struct worker *w, bool go);
/* From the main thread: no new connections, for ever; of the inbound ones, or all. Those that are
 * there go on. */
void worker_close_listeners(struct worker *w, bool inbound_only);
void worker_join(struct worker *w); /* waits for the thread's end */
void worker_free(struct worker *w);

/* For requests, on the worker's thread. */
struct loop *worker_loop(struct worker *w);
unsigned worker_index(const struct worker *w); /* of its own blocks and lines */
/* A timer from those that are kept: taking one and giving it back costs next to nothing. */
/* Where this worker gathers the lines of a log. */
struct access_log_writer *worker_log_writer(struct worker *w, struct access_log *l);
struct loop_timer *worker_timer_take(struct worker *w, loop_timer_fn *fn, void *user);
void worker_timer_give(struct worker *w, struct loop_timer *t); /* NULL is allowed */
struct mirrors *worker_mirrors(struct worker *w);
struct answer_cache *worker_answers(struct worker *w);
/* The pool of the endpoint that is chosen for it; NULL: there is none. */
struct upstream *worker_upstream(struct worker *w, struct cluster *c, struct lb_request *q);
/* Has the cluster the endpoint that a session keeps (lb_preferred)? */
bool worker_has_endpoint(struct worker *w, struct cluster *c, uint64_t id);
/* For what is proxied without being understood. Both NULL: there is none; both borrowed. */
struct cluster *worker_find_cluster(struct worker *w, struct str name);
struct endpoint *worker_choose_endpoint(struct worker *w, struct cluster *c,
                                        const struct conn *client);
