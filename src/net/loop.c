/* The event loop: epoll, a timer heap, deferred calls, signals, child exits and posts from other
 * threads.
 *
 * Owns its sources' bookkeeping; fds stay their owners'. One loop per thread; only loop_post may be
 * called from elsewhere. Sources removed inside callbacks are kept until the end of the turn,
 * because the epoll answer being walked may still name them. Timers live in a binary heap ordered
 * by (due, start order), so equal times fire in the order they were started. */
#include "net/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/list.h"
#include "base/time.h"
#include "base/vec.h"

enum { LOOP_EVENTS = 128 };

struct loop_io {
    struct loop *loop;
    int fd;
    loop_io_fn *fn; /* NULL: removed, waits for the end of the turn */
    void *user;
};

struct loop_timer {
    struct loop *loop;
    loop_timer_fn *fn;
    void *user;
    uint64_t due_ms;
    uint64_t order;
    size_t slot; /* in the heap, SIZE_MAX = not started */
};

struct loop_call {
    loop_timer_fn *fn;
    void *user;
};

struct loop_child {
    struct list_node node;
    struct loop *loop;
    struct loop_io *io;
    int pidfd;
    pid_t pid;
    loop_child_fn *fn;
    void *user;
};

struct loop {
    int epoll_fd;
    bool stopping;
    int code;
    uint64_t order;
    VEC(struct loop_timer *) heap;
    VEC(struct loop_io *) removed;
    VEC(struct loop_call) deferred;
    struct list_node children;
    sigset_t signals;
    int signal_fd;
    struct loop_io *signal_io;
    loop_signal_fn *signal_fns[64];
    void *signal_users[64];
    int post_fd;
    struct loop_io *post_io;
    pthread_mutex_t post_lock; /* guards posts */
    VEC(struct loop_call) posts;
};

/* ---- sources ---- */

struct loop_io *loop_io_add(struct loop *l, int fd, loop_io_fn *fn, void *user)
{
    struct loop_io *io = NEW(struct loop_io);
    *io = (struct loop_io){.loop = l, .fd = fd, .fn = fn, .user = user};
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = io};
    ASSERT(epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0);
    return io;
}

void loop_io_remove(struct loop_io *io)
{
    if (!io)
        return;
    ASSERT(io->fn);
    (void)epoll_ctl(io->loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
    io->fn = NULL;
    vec_push(&io->loop->removed, io);
}

static void loop_free_removed(struct loop *l)
{
    VEC_FOREACH (io, &l->removed)
        free(*io);
    vec_clear(&l->removed);
}

/* ---- timers ---- */

static bool timer_before(const struct loop_timer *a, const struct loop_timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void heap_place(struct loop *l, size_t slot, struct loop_timer *t)
{
    l->heap.v[slot] = t;
    t->slot = slot;
}

static void heap_up(struct loop *l, size_t slot)
{
    struct loop_timer *t = l->heap.v[slot];
    while (slot && timer_before(t, l->heap.v[(slot - 1) / 2])) {
        heap_place(l, slot, l->heap.v[(slot - 1) / 2]);
        slot = (slot - 1) / 2;
    }
    heap_place(l, slot, t);
}

static void heap_down(struct loop *l, size_t slot)
{
    struct loop_timer *t = l->heap.v[slot];
    for (;;) {
        size_t child = slot * 2 + 1;
        if (child >= l->heap.n)
            break;
        if (child + 1 < l->heap.n && timer_before(l->heap.v[child + 1], l->heap.v[child]))
            child++;
        if (!timer_before(l->heap.v[child], t))
            break;
        heap_place(l, slot, l->heap.v[child]);
        slot = child;
    }
    heap_place(l, slot, t);
}

struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn *fn, void *user)
{
    struct loop_timer *t = NEW(struct loop_timer);
    ASSERT(fn);
    *t = (struct loop_timer){.loop = l, .fn = fn, .user = user, .slot = SIZE_MAX};
    return t;
}

void loop_timer_free(struct loop_timer *t)
{
    if (!t)
        return;
    loop_timer_stop(t);
    free(t);
}

void loop_timer_start(struct loop_timer *t, uint64_t after_ms)
{
    struct loop *l = t->loop;
    loop_timer_stop(t);
    t->due_ms = time_mono_ms() + after_ms;
    t->order = l->order++;
    vec_push(&l->heap, t);
    t->slot = l->heap.n - 1;
    heap_up(l, t->slot);
}

void loop_timer_stop(struct loop_timer *t)
{
    if (!loop_timer_is_started(t))
        return;
    struct loop *l = t->loop;
    size_t slot = t->slot;
    struct loop_timer *last = vec_pop(&l->heap);
    t->slot = SIZE_MAX;
    if (last == t)
        return;
    heap_place(l, slot, last);
    heap_up(l, slot);
    heap_down(l, last->slot);
}

bool loop_timer_is_started(const struct loop_timer *t)
{
    return t && t->slot != SIZE_MAX;
}

static void loop_run_timers(struct loop *l)
{
    uint64_t now = time_mono_ms();
    uint64_t newest = l->order; /* timers started by these callbacks wait for the next turn */
    while (l->heap.n && l->heap.v[0]->due_ms <= now && l->heap.v[0]->order < newest) {
        struct loop_timer *t = l->heap.v[0];
        loop_timer_stop(t);
        t->fn(t->user);
    }
}

static int loop_wait_ms(struct loop *l, int timeout_ms)
{
    if (l->deferred.n)
        return 0;
    if (!l->heap.n)
        return timeout_ms;
    uint64_t now = time_mono_ms(), due = l->heap.v[0]->due_ms;
    uint64_t wait = due > now ? due - now : 0;
    if (timeout_ms >= 0 && wait > (uint64_t)timeout_ms)
        return timeout_ms;
    return (int)MIN(wait, (uint64_t)3600000);
}

/* ---- deferred calls ---- */

void loop_defer(struct loop *l, loop_timer_fn *fn, void *user)
{
    ASSERT(fn);
    vec_push(&l->deferred, (struct loop_call){fn, user});
}

void loop_defer_cancel(struct loop *l, loop_timer_fn *fn, void *user)
{
    VEC_FOREACH (call, &l->deferred)
        if (call->fn == fn && call->user == user)
            call->fn = NULL;
}

/* Runs what was deferred before this turn's end; calls deferred meanwhile run too, up to a bound,
 * so that a pair of callbacks that keep deferring each other cannot starve I/O. */
static void loop_run_deferred(struct loop *l)
{
    size_t bound = l->deferred.n + 4096, i;
    for (i = 0; i < l->deferred.n && i < bound; i++) {
        struct loop_call call = l->deferred.v[i];
        l->deferred.v[i].fn = NULL;
        if (call.fn)
            call.fn(call.user);
    }
    l->deferred.n -= i;
    if (l->deferred.n)
        memmove(l->deferred.v, l->deferred.v + i, l->deferred.n * sizeof(*l->deferred.v));
}

/* ---- posts from other threads ---- */

void loop_post(struct loop *l, loop_timer_fn *fn, void *user)
{
    uint64_t one = 1;
    ASSERT(fn);
    pthread_mutex_lock(&l->post_lock);
    vec_push(&l->posts, (struct loop_call){fn, user});
    pthread_mutex_unlock(&l->post_lock);
    while (write(l->post_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void on_post(struct loop_io *io, uint32_t events, void *user)
{
    struct loop *l = user;
    uint64_t count;
    (void)io;
    (void)events;
    while (read(l->post_fd, &count, sizeof(count)) > 0)
        ;
    pthread_mutex_lock(&l->post_lock);
    VEC_FOREACH (call, &l->posts)
        loop_defer(l, call->fn, call->user);
    vec_clear(&l->posts);
    pthread_mutex_unlock(&l->post_lock);
}

/* ---- signals and children ---- */

static void on_signal(struct loop_io *io, uint32_t events, void *user)
{
    struct loop *l = user;
    struct signalfd_siginfo info;
    (void)io;
    (void)events;
    while (read(l->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo < 64 && l->signal_fns[info.ssi_signo])
            l->signal_fns[info.ssi_signo]((int)info.ssi_signo, l->signal_users[info.ssi_signo]);
}

void loop_signal_add(struct loop *l, int signo, loop_signal_fn *fn, void *user)
{
    ASSERT(signo > 0 && signo < 64);
    sigaddset(&l->signals, signo);
    pthread_sigmask(SIG_BLOCK, &l->signals, NULL);
    l->signal_fns[signo] = fn;
    l->signal_users[signo] = user;
    int fd = signalfd(l->signal_fd, &l->signals, SFD_CLOEXEC | SFD_NONBLOCK);
    ASSERT(fd >= 0);
    if (l->signal_fd < 0) {
        l->signal_fd = fd;
        l->signal_io = loop_io_add(l, fd, on_signal, l);
    }
}

static void child_free(struct loop_child *c)
{
    list_remove(&c->node);
    loop_io_remove(c->io);
    close(c->pidfd);
    free(c);
}

static void on_child(struct loop_io *io, uint32_t events, void *user)
{
    struct loop_child *c = user;
    int status = 0;
    (void)io;
    (void)events;
    if (waitpid(c->pid, &status, WNOHANG) != c->pid)
        return;
    loop_child_fn *fn = c->fn;
    void *fn_user = c->user;
    pid_t pid = c->pid;
    child_free(c);
    if (fn)
        fn(pid, status, fn_user);
}

int loop_child_add(struct loop *l, pid_t pid, loop_child_fn *fn, void *user)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return -errno;
    (void)fcntl(pidfd, F_SETFD, FD_CLOEXEC);
    struct loop_child *c = NEW(struct loop_child);
    *c = (struct loop_child){.loop = l, .pidfd = pidfd, .pid = pid, .fn = fn, .user = user};
    list_add_tail(&l->children, &c->node);
    c->io = loop_io_add(l, pidfd, on_child, c);
    return 0;
}

void loop_child_forget(struct loop *l, pid_t pid)
{
    LIST_FOREACH (node, &l->children) {
        struct loop_child *c = CONTAINER_OF(node, struct loop_child, node);
        if (c->pid == pid)
            c->fn = NULL;
    }
}

/* ---- the loop itself ---- */

int loop_new(struct loop **ret, struct err *reterr)
{
    struct loop *l = NEW(struct loop);
    l->signal_fd = -1;
    sigemptyset(&l->signals);
    list_init(&l->children);
    pthread_mutex_init(&l->post_lock, NULL);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->post_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->epoll_fd < 0 || l->post_fd < 0) {
        int code = -errno;
        loop_free(l);
        return err_set(reterr, code, NULL, "event loop: %s", strerror(-code));
    }
    l->post_io = loop_io_add(l, l->post_fd, on_post, l);
    signal(SIGPIPE, SIG_IGN); /* a closed peer is an errno, not a death */
    *ret = l;
    return 0;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    LIST_FOREACH_SAFE (node, &l->children)
        child_free(CONTAINER_OF(node, struct loop_child, node));
    loop_io_remove(l->signal_io);
    loop_io_remove(l->post_io);
    loop_free_removed(l);
    VEC_FOREACH (t, &l->heap)
        (*t)->slot = SIZE_MAX; /* their owners free them */
    vec_done(&l->heap);
    vec_done(&l->removed);
    vec_done(&l->deferred);
    vec_done(&l->posts);
    if (l->signal_fd >= 0)
        close(l->signal_fd);
    if (l->post_fd >= 0)
        close(l->post_fd);
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    pthread_mutex_destroy(&l->post_lock);
    free(l);
}

void loop_turn(struct loop *l, int timeout_ms)
{
    struct epoll_event events[LOOP_EVENTS];
    int n = epoll_wait(l->epoll_fd, events, LOOP_EVENTS, loop_wait_ms(l, timeout_ms));
    ASSERT(n >= 0 || errno == EINTR);
    for (int i = 0; i < n; i++) {
        struct loop_io *io = events[i].data.ptr;
        if (io->fn)
            io->fn(io, events[i].events, io->user);
    }
    loop_run_timers(l);
    loop_run_deferred(l);
    loop_free_removed(l);
}

int loop_run(struct loop *l)
{
    l->stopping = false;
    while (!l->stopping)
        loop_turn(l, -1);
    return l->code;
}

void loop_stop(struct loop *l, int code)
{
    l->stopping = true;
    l->code = code;
}
