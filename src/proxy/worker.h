#pragma once
/* A worker: one thread, one loop, its own listening sockets, connections and pools. */

#include "net/loop.h"
#include "proxy/config.h"
#include "proxy/upstream.h"

struct worker;

/* Makes it with its listening sockets; runs nothing yet. `first` binds ports 0 for real. */
int worker_new(struct proxy_config *c, unsigned index, unsigned of, struct worker **ret,
               struct err *reterr) NODISCARD;
int worker_start(struct worker *w) NODISCARD; /* its thread */
/* From the main thread: no new connections; those that are there end with their requests, or after
 * drain_ms. */
void worker_drain(struct worker *w, uint64_t drain_ms);
void worker_join(struct worker *w); /* waits for the thread's end */
void worker_free(struct worker *w);
uint16_t worker_port(const struct worker *w, size_t listener);

/* For requests, on the worker's thread. */
struct loop *worker_loop(struct worker *w);
struct proxy_config *worker_config(struct worker *w);
/* A timer from those that are kept: taking one and giving it back costs next to nothing. */
/* Where this worker gathers the lines of a log. */
struct access_log_writer *worker_log_writer(struct worker *w, struct access_log *l);
struct loop_timer *worker_timer_take(struct worker *w, loop_timer_fn *fn, void *user);
void worker_timer_give(struct worker *w, struct loop_timer *t); /* NULL is allowed */
/* A pool of the cluster's next endpoint in turn; NULL: it has none. */
struct upstream *worker_upstream(struct worker *w, struct cluster *c);
/* For what is proxied without being understood. Both NULL: there is none; both borrowed. */
struct cluster *worker_find_cluster(struct worker *w, struct str name);
struct endpoint *worker_choose_endpoint(struct worker *w, struct cluster *c);
