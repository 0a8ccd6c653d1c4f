/* The applying thread. Handover: one delta slot under a mutex and an eventfd as bell; results go
 * back with loop_post. The backend belongs to the thread, from applier_new to applier_free. When
 * idle the thread sleeps on the bell and on the backend's own fd, which tells that somebody changed
 * our table: put right at once, and then at most once a second, or a tenth of the time, so that one
 * who fights for it costs little. After a failure it tries again every second. */
#include "agent/applier.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "base/assert.h"
#include "base/time.h"

enum {
    RETRY_MS = 1000,
    SETTLE_MS = 5,
    SAMPLE_MS = 10 * 1000,
    REPAIR_PAUSE_MIN_MS = 1000,
    REPAIR_PAUSE_MAX_MS = 4000,
    DUMPED_MAX = 32
};

struct applier {
    struct loop *loop;
    struct dataplane *backend;
    applier_fn *fn;
    void *user;
    pthread_t thread;
    pthread_mutex_t lock;
    int bell;
    struct agent_delta *next; /* under lock */
    bool stop;                /* under lock */
    bool busy, freed;         /* the loop's */
    _Atomic unsigned answers; /* on their way to the loop, which keep this alive */
    bool failed, unsettled;   /* the thread's */
    bool loaded;              /* the thread's: everything was, since the last settle */
    uint64_t look_at_ms;      /* the thread's: not at the table before */
    struct dataplane_counters told;
    const struct agent_delta *applying; /* the thread's; NULL: it looks after the table or sleeps */
};

struct answer {
    struct applier *applier;
    bool delta;
    struct applier_result result;
};

static void on_answer(void *user)
{
    struct answer *r = user;
    struct applier *a = r->applier;
    bool last = --a->answers == 0;
    if (r->delta)
        a->busy = false;
    if (!a->freed)
        a->fn(&r->result, a->user);
    else if (last)
        free(a);
    free(r);
}

static void answer(struct applier *a, const struct applier_result *result, bool delta)
{
    struct answer *r = NEW(struct answer);
    r->applier = a;
    r->delta = delta;
    r->result = *result;
    a->backend->ops->counters(a->backend, &r->result.counters);
    a->told = r->result.counters;
    a->unsettled = a->told.unsettled || a->loaded;
    a->answers++;
    loop_post(a->loop, on_answer, r);
}

static void apply_delta(struct applier *a, struct agent_delta *d)
{
    struct applier_result r = {.oldest_us = d->oldest_us, .services = d->services};
    const struct dataplane_networks networks = {d->pod_networks.v, d->pod_networks.n,
                                                d->service_networks.v, d->service_networks.n};
    struct dataplane_delta delta = {.full = d->full,
                                    .networks = d->has_networks ? &networks : NULL,
                                    .frontends = d->frontends.v,
                                    .n_frontends = d->frontends.n,
                                    .addresses = d->addresses.v,
                                    .n_addresses = d->addresses.n};
    uint64_t start = time_mono_us();
    a->applying = d;
    r.code = a->backend->ops->apply(a->backend, &delta, &r.err);
    r.took_us = time_mono_us() - start;
    a->failed = r.code < 0;
    a->loaded = a->loaded || d->full;
    a->applying = NULL;
    agent_delta_free(d);
    answer(a, &r, true);
}

/* A tenth of the time at most, as long as what others do is back within five seconds. */
static uint64_t pause_after_ms(uint64_t took_us)
{
    uint64_t ms = took_us / 100;
    return MAX((uint64_t)REPAIR_PAUSE_MIN_MS, MIN(ms, (uint64_t)REPAIR_PAUSE_MAX_MS));
}

static void repair(struct applier *a)
{
    struct applier_result r = {0};
    uint64_t start = time_mono_us();
    r.code = a->backend->ops->repair(a->backend, &r.err);
    r.took_us = time_mono_us() - start;
    bool tell = r.code != 0 || a->failed;
    r.repaired = r.code > 0 && !a->failed;
    a->failed = r.code < 0;
    if (r.code > 0)
        r.code = 0;
    a->loaded = a->loaded || r.repaired; /* its lists are given back, too */
    if (tell)
        a->look_at_ms = time_mono_ms() + pause_after_ms(r.took_us);
    if (tell)
        answer(a, &r, false);
}

/* Told only if it did something: most of the time there is nothing to do. */
static void settle(struct applier *a)
{
    struct applier_result r = {.sample = true};
    struct dataplane_counters now;
    a->unsettled = false;
    a->backend->ops->settle(a->backend);
    if (a->loaded) /* lists, deltas and batches of everything: not needed again soon */
        malloc_trim(0);
    a->loaded = false;
    a->backend->ops->counters(a->backend, &now);
    if (memcmp(&now, &a->told, sizeof(now)) != 0)
        answer(a, &r, false);
}

static int pause_ms(const struct applier *a)
{
    uint64_t now = time_mono_ms();
    return a->look_at_ms > now ? (int)(a->look_at_ms - now) : 0;
}

static int idle_ms(const struct applier *a)
{
    int pause = pause_ms(a);
    int ms = a->unsettled ? SETTLE_MS : a->failed ? RETRY_MS : a->told.sampled ? SAMPLE_MS : -1;
    return pause && (ms < 0 || pause < ms) ? pause : ms;
}

static void *applier_thread(void *user)
{
    struct applier *a = user;
    int watch = a->backend->ops->watch_fd(a->backend);
    for (;;) {
        struct pollfd fds[2] = {{.fd = a->bell, .events = POLLIN}, {.fd = watch, .events = POLLIN}};
        if (pause_ms(a))
            fds[1].fd = -1; /* it stays readable */
        int n = poll(fds, 2, idle_ms(a));
        uint64_t rings;
        if (n < 0 && errno != EINTR)
            return NULL;
        if (fds[0].revents & POLLIN)
            (void)!read(a->bell, &rings, sizeof(rings));
        pthread_mutex_lock(&a->lock);
        struct agent_delta *d = TAKE(a->next);
        bool stop = a->stop;
        pthread_mutex_unlock(&a->lock);
        if (d)
            apply_delta(a, d);
        else if (stop)
            return NULL;
        else if (a->unsettled)
            settle(a);
        else if (fds[1].revents || (n == 0 && a->failed))
            repair(a);
        else if (n == 0)
            settle(a);
    }
}

int applier_new(struct loop *l, struct dataplane *backend, applier_fn *fn, void *user,
                struct applier **ret, struct err *reterr)
{
    struct applier *a = NEW(struct applier);
    a->loop = l;
    a->backend = backend;
    a->fn = fn;
    a->user = user;
    a->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&a->lock, NULL);
    int r = a->bell < 0 ? errno : pthread_create(&a->thread, NULL, applier_thread, a);
    if (r) {
        free(a);
        return err_set(reterr, -r, NULL, "applying thread: %s", strerror(r));
    }
    *ret = a;
    return 0;
}

static void ring(struct applier *a)
{
    uint64_t one = 1;
    (void)!write(a->bell, &one, sizeof(one));
}

void applier_start(struct applier *a, struct agent_delta **delta)
{
    ASSERT(!a->busy);
    a->busy = true;
    pthread_mutex_lock(&a->lock);
    a->next = TAKE(*delta);
    pthread_mutex_unlock(&a->lock);
    ring(a);
}

bool applier_is_busy(const struct applier *a)
{
    return a->busy;
}

static void dump_frontend(const struct frontend *f, int fd)
{
    char line[160], text[IP_TEXT_BYTES];
    struct ip ip = {.family = f->key.family};
    memcpy(ip.bytes, f->key.ip, sizeof(ip.bytes));
    int n = snprintf(line, sizeof(line), "  %s %u/%u policy %d: %zu endpoints, %zu local%s\n",
                     f->key.node_port ? "node" : ip_format(&ip, text), f->key.proto, f->key.port,
                     (int)f->policy, f->n_endpoints, f->n_local, f->removed ? ", removed" : "");
    IGNORE_RESULT(write(fd, line, (size_t)n)); /* nowhere to tell it */
}

void applier_dump(const struct applier *a, int fd)
{
    char line[160];
    const struct agent_delta *d = a->applying;
    int n = d ? snprintf(line, sizeof(line), "applying %s of %zu frontends, %zu addresses:\n",
                         d->full ? "all" : "a change", d->frontends.n, d->addresses.n)
              : snprintf(line, sizeof(line), "applying nothing\n");
    IGNORE_RESULT(write(fd, line, (size_t)n));
    for (size_t i = 0; d && i < MIN(d->frontends.n, (size_t)DUMPED_MAX); i++)
        dump_frontend(&d->frontends.v[i], fd);
}

void applier_free(struct applier *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_mutex_unlock(&a->lock);
    ring(a);
    pthread_join(a->thread, NULL);
    agent_delta_free(a->next);
    a->backend->ops->free(a->backend);
    close(a->bell);
    pthread_mutex_destroy(&a->lock);
    a->freed = true;
    if (a->answers == 0)
        free(a);
}
