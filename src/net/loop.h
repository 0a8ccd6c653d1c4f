#pragma once
/* The event loop: edge-triggered epoll, timers, deferred calls, signals and child exits. One loop
 * per thread; nothing here is thread-safe except loop_post. Callbacks may free any source, their
 * own included. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

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
struct loop_io *loop_io_add(struct loop *l, int fd, loop_io_fn *fn, void *user);
void loop_io_remove(struct loop_io *io); /* NULL is allowed */

/* One-shot timers; a started timer can be moved by starting it again. */
typedef void loop_timer_fn(void *user);
struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn *fn, void *user);
void loop_timer_free(struct loop_timer *t); /* NULL is allowed */
void loop_timer_start(struct loop_timer *t, uint64_t after_ms);
void loop_timer_stop(struct loop_timer *t); /* NULL is allowed */
bool loop_timer_is_started(const struct loop_timer *t);

/* Calls fn once, after the current callback returns (same turn). loop_cancel drops calls that still
 * wait. */
void loop_defer(struct loop *l, loop_timer_fn *fn, void *user);
void loop_defer_cancel(struct loop *l, loop_timer_fn *fn, void *user);

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
