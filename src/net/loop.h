#pragma once
/* The event loop: edge-triggered epoll, timers, deferred calls, signals and child exits. One loop
 * per thread; nothing here is thread-safe except loop_post. Callbacks may free any source, their
 * own included. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/list.h"

struct loop;
struct loop_io;
struct loop_timer;

int loop_new(struct loop **ret, struct err *reterr) NODISCARD;
void loop_free(struct loop *l);
DEFINE_AUTO(loop);

/* Runs until loop_stop; returns the code given there. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l, int code);
/* One turn: waits at most timeout_ms (-1 = until something happens) and dispatches. For tests and
 * clients. */
void loop_turn(struct loop *l, int timeout_ms);

/* Watches fd, edge-triggered, for reading and writing: the callback must read (write) until EAGAIN.
 * events is a set of EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR. The fd stays the caller's,
 * who removes the source before closing. */
typedef void loop_io_fn(struct loop_io *io, uint32_t events, void *user);
/* Negative errno of epoll_ctl: out of memory or of watches, or no fd that can be waited for. */
int loop_io_add(struct loop *l, int fd, loop_io_fn *fn, void *user, struct loop_io **ret) NODISCARD;
void loop_io_remove(struct loop_io *io); /* NULL is allowed */

/* One-shot timers; a started timer can be moved by starting it again. To stop one or to move it to
 * a later time costs next to nothing, so a timer that is moved with every message is fine. Equal
 * times fire in the order in which they were started. */
typedef void loop_timer_fn(void *user);
struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn *fn, void *user);
void loop_timer_free(struct loop_timer *t); /* NULL is allowed */
/* Another callback for a timer that is not started. */
void loop_timer_set(struct loop_timer *t, loop_timer_fn *fn, void *user);
void loop_timer_start(struct loop_timer *t, uint64_t after_ms);
void loop_timer_stop(struct loop_timer *t); /* NULL is allowed */
bool loop_timer_is_started(const struct loop_timer *t);

/* The time of this turn, read once after it has waited: monotonic milliseconds. */
uint64_t loop_now_ms(const struct loop *l);

/* A call to be made soon, embedded in its owner, who cancels it before going away. */
struct loop_call {
    struct list_node node;
    loop_timer_fn *fn;
    void *user;
};
static inline void loop_call_init(struct loop_call *c, loop_timer_fn *fn, void *user)
{
    *c = (struct loop_call){.fn = fn, .user = user};
}
/* Once, at the end of this turn. Waits it already: no effect. */
void loop_defer(struct loop *l, struct loop_call *c);
/* As soon as the callback that runs now has returned: what was received goes out while it is still
 * in the cache. */
void loop_defer_soon(struct loop *l, struct loop_call *c);
/* In the next turn, after its I/O; that turn does not wait for any. */
void loop_defer_next(struct loop *l, struct loop_call *c);
/* No effect if it does not wait. */
static inline void loop_call_cancel(struct loop_call *c)
{
    list_remove(&c->node);
}
static inline bool loop_call_is_queued(const struct loop_call *c)
{
    return list_is_linked(&c->node);
}

/* The only call for other threads: fn(user) runs on the loop's thread. */
void loop_post(struct loop *l, loop_timer_fn *fn, void *user);

/* Signals through signalfd: blocks signo in this thread. */
typedef void loop_signal_fn(int signo, void *user);
void loop_signal_add(struct loop *l, int signo, loop_signal_fn *fn, void *user);

/* A child's exit (pidfd): fn gets the wait status, once; the child is reaped. */
typedef void loop_child_fn(pid_t pid, int status, void *user);
int loop_child_add(struct loop *l, pid_t pid, loop_child_fn *fn, void *user) NODISCARD;
/* Forgets the callbacks of a child (still reaped). */
void loop_child_forget(struct loop *l, pid_t pid);
