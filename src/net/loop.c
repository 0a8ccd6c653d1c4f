/* The event loop: epoll, a timer heap, deferred calls, signals, child exits and posts from other
 * threads.
 *
 * Owns its sources' bookkeeping; fds stay their owners'. One loop per thread; only loop_post may be
 * called from elsewhere. Sources removed inside callbacks are kept until the end of the turn,
 * because the epoll answer being walked may still name them. Timers live in a binary heap ordered
 * by (due, start order), so equal times fire in the order they were started; a timer that is
 * stopped or moved to a later time keeps its place until that has come, and is looked at then. */
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

enum { LOOP_EVENTS = 128, MANY_EVENTS = 32, DEFERRED_PER_TURN = 8192 };

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
    uint64_t due_ms; /* as it was started last */
    uint64_t order;
    uint64_t slot_due_ms; /* its place in the heap; never later than due_ms */
    uint64_t slot_order;
    size_t slot; /* SIZE_MAX = not in the heap */
    bool started;
};

/* From another thread: allocated, for its owner may be anywhere. */
struct loop_post {
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
    uint64_t now_ms;
    VEC(struct loop_timer *) heap;
    VEC(struct loop_io *) removed;
    struct list_node deferred; /* struct loop_call */
    struct list_node soon;     /* behind the callback that runs */
    struct list_node next;     /* of the next turn */
    struct list_node children;
    sigset_t signals;
    int signal_fd;
    struct loop_io *signal_io;
    loop_signal_fn *signal_fns[64];
    void *signal_users[64];
    int post_fd;
    struct loop_io *post_io;
    pthread_mutex_t post_lock; /* guards posts */
    VEC(struct loop_post) posts;
};

/* ---- sources ---- */

int loop_io_add(struct loop *l, int fd, loop_io_fn *fn, void *user, struct loop_io **ret)
{
    struct loop_io *io = NEW(struct loop_io);
    *io = (struct loop_io){.loop = l, .fd = fd, .fn = fn, .user = user};
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = io};
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) {
        int code = -errno;
        free(io);
        return code;
    }
    *ret = io;
    return 0;
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
    return a->slot_due_ms != b->slot_due_ms ? a->slot_due_ms < b->slot_due_ms
                                            : a->slot_order < b->slot_order;
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

static void heap_remove(struct loop_timer *t)
{
    struct loop *l = t->loop;
    size_t slot = t->slot;
    if (slot == SIZE_MAX)
        return;
    struct loop_timer *last = vec_pop(&l->heap);
    t->slot = SIZE_MAX;
    if (last == t)
        return;
    heap_place(l, slot, last);
    heap_up(l, slot);
    heap_down(l, last->slot);
}

static void heap_add(struct loop_timer *t)
{
    struct loop *l = t->loop;
    t->slot_due_ms = t->due_ms;
    t->slot_order = t->order;
    vec_push(&l->heap, t);
    t->slot = l->heap.n - 1;
    heap_up(l, t->slot);
}

void loop_timer_free(struct loop_timer *t)
{
    if (!t)
        return;
    heap_remove(t);
    free(t);
}

void loop_timer_set(struct loop_timer *t, loop_timer_fn *fn, void *user)
{
    ASSERT(fn && !t->started);
    t->fn = fn;
    t->user = user;
}

void loop_timer_start(struct loop_timer *t, uint64_t after_ms)
{
    struct loop *l = t->loop;
    uint64_t now = loop_now_ms(l);
    t->due_ms = after_ms > UINT64_MAX - now ? UINT64_MAX : now + after_ms;
    t->order = l->order++;
    t->started = true;
    if (t->slot != SIZE_MAX && t->slot_due_ms <= t->due_ms)
        return; /* it is looked at in time */
    heap_remove(t);
    heap_add(t);
}

void loop_timer_stop(struct loop_timer *t)
{
    if (t)
        t->started = false;
}

bool loop_timer_is_started(const struct loop_timer *t)
{
    return t && t->started;
}

/* The calls of a list and those that they add, up to a bound: a pair of callbacks that keep
 * deferring each other cannot starve I/O. */
static void run_calls(struct list_node *calls, unsigned bound)
{
    while (bound-- && !list_is_empty(calls)) {
        struct loop_call *c = CONTAINER_OF(calls->next, struct loop_call, node);
        list_remove(&c->node);
        c->fn(c->user);
    }
}

static void loop_run_soon(struct loop *l)
{
    if (!list_is_empty(&l->soon))
        run_calls(&l->soon, DEFERRED_PER_TURN);
}

/* Timers that callbacks start have orders from `newest` on, and wait for the next turn. */
static void loop_run_timers(struct loop *l)
{
    uint64_t newest = l->order;
    while (l->heap.n && l->heap.v[0]->slot_due_ms <= l->now_ms) {
        struct loop_timer *t = l->heap.v[0];
        bool moved = t->slot_due_ms != t->due_ms || t->slot_order != t->order;
        if (t->slot_order >= newest)
            break;
        heap_remove(t);
        if (t->started && moved) {
            heap_add(t);
        } else if (t->started) {
            t->started = false;
            t->fn(t->user);
            loop_run_soon(l);
        }
    }
}

static int loop_wait_ms(struct loop *l, int timeout_ms)
{
    if (!list_is_empty(&l->deferred) || !list_is_empty(&l->next) || !list_is_empty(&l->soon))
        return 0;
    if (!l->heap.n)
        return timeout_ms;
    uint64_t now = time_mono_ms(), due = l->heap.v[0]->slot_due_ms;
    uint64_t wait = due > now ? due - now : 0;
    if (timeout_ms >= 0 && wait > (uint64_t)timeout_ms)
        return timeout_ms;
    return (int)MIN(wait, (uint64_t)3600000);
}

/* ---- deferred calls ---- */

uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_ms;
}

void loop_defer(struct loop *l, struct loop_call *c)
{
    ASSERT(c->fn);
    if (!loop_call_is_queued(c))
        list_add_tail(&l->deferred, &c->node);
}

void loop_defer_soon(struct loop *l, struct loop_call *c)
{
    ASSERT(c->fn);
    if (!loop_call_is_queued(c))
        list_add_tail(&l->soon, &c->node);
}

void loop_defer_next(struct loop *l, struct loop_call *c)
{
    ASSERT(c->fn);
    if (!loop_call_is_queued(c))
        list_add_tail(&l->next, &c->node);
}

static void loop_run_deferred(struct loop *l)
{
    for (unsigned bound = DEFERRED_PER_TURN; bound && !list_is_empty(&l->deferred); bound--) {
        run_calls(&l->deferred, 1);
        loop_run_soon(l);
    }
}

/* Calls for the next turn become this one's. */
static void loop_take_next(struct loop *l)
{
    while (!list_is_empty(&l->next)) {
        struct list_node *node = l->next.next;
        list_remove(node);
        list_add_tail(&l->deferred, node);
    }
}

/* ---- posts from other threads ---- */

void loop_post(struct loop *l, loop_timer_fn *fn, void *user)
{
    uint64_t one = 1;
    ASSERT(fn);
    pthread_mutex_lock(&l->post_lock);
    vec_push(&l->posts, (struct loop_post){fn, user});
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
    VEC(struct loop_post) posts;
    pthread_mutex_lock(&l->post_lock);
    memcpy(&posts, &l->posts, sizeof(posts));
    memset(&l->posts, 0, sizeof(l->posts));
    pthread_mutex_unlock(&l->post_lock);
    VEC_FOREACH (post, &posts)
        post->fn(post->user);
    vec_done(&posts);
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
        int r = loop_io_add(l, fd, on_signal, l, &l->signal_io);
        ASSERT(r == 0); /* programs do this as they start */
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
    int r = loop_io_add(l, pidfd, on_child, c, &c->io);
    if (r < 0) {
        close(pidfd);
        free(c);
        return r;
    }
    list_add_tail(&l->children, &c->node);
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
    list_init(&l->deferred);
    list_init(&l->soon);
    list_init(&l->next);
    l->now_ms = time_mono_ms();
    pthread_mutex_init(&l->post_lock, NULL);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->post_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code = l->epoll_fd < 0 || l->post_fd < 0
                   ? -errno
                   : loop_io_add(l, l->post_fd, on_post, l, &l->post_io);
    if (code < 0) {
        loop_free(l);
        return err_set(reterr, code, NULL, "event loop: %s", strerror(-code));
    }
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
    LIST_FOREACH_SAFE (node, &l->deferred)
        list_remove(node); /* these are their owners', too */
    LIST_FOREACH_SAFE (node, &l->soon)
        list_remove(node);
    LIST_FOREACH_SAFE (node, &l->next)
        list_remove(node);
    vec_done(&l->heap);
    vec_done(&l->removed);
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

/* With many connections the next event's are out of the cache: they are fetched while this one's
 * callback runs. */
static void prefetch_ahead(const struct epoll_event *events, int i, int n)
{
    if (i + 4 < n)
        __builtin_prefetch(events[i + 4].data.ptr);
    if (i + 2 < n) {
        const char *owner = ((const struct loop_io *)events[i + 2].data.ptr)->user;
        __builtin_prefetch(owner);
        __builtin_prefetch(owner + 64);
        __builtin_prefetch(owner + 128);
    }
}

void loop_turn(struct loop *l, int timeout_ms)
{
    struct epoll_event events[LOOP_EVENTS];
    int n = epoll_wait(l->epoll_fd, events, LOOP_EVENTS, loop_wait_ms(l, timeout_ms));
    ASSERT(n >= 0 || errno == EINTR);
    l->now_ms = time_mono_ms();
    loop_take_next(l);
    for (int i = 0; i < n; i++) {
        struct loop_io *io = events[i].data.ptr;
        if (n >= MANY_EVENTS)
            prefetch_ahead(events, i, n);
        if (io->fn)
            io->fn(io, events[i].events, io->user);
        loop_run_soon(l);
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
