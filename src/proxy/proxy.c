/* The main thread: it makes the workers, waits for signals, and lets the workers drain. */
#include "proxy/proxy.h"

#include <signal.h>
#include <sys/resource.h>

#include "base/log.h"
#include "proxy/worker.h"

struct proxy {
    struct loop *loop;
    struct proxy_config *config;
    struct worker *workers[WORKERS_MAX];
    unsigned n;
    uint64_t drain_ms;
    bool draining;
};

static void on_stop(int signo, void *user)
{
    struct proxy *p = user;
    (void)signo;
    for (unsigned i = 0; i < p->n; i++)
        worker_drain(p->workers[i], p->draining ? 0 : p->drain_ms); /* twice: at once */
    p->draining = true;
    loop_stop(p->loop, 0);
}

/* Whoever rotates logs has moved the files away. */
static void on_reopen(int signo, void *user)
{
    struct proxy *p = user;
    (void)signo;
    VEC_FOREACH (l, &p->config->listeners)
        VEC_FOREACH (log, &(*l)->all_logs)
            if (access_log_reopen(*log) < 0)
                log_error("cannot open the access log again", kv_s("file", (*log)->path));
}

static int start_workers(struct proxy *p, struct proxy_config *c, unsigned n, struct err *reterr)
{
    for (unsigned i = 0; i < n; i++) {
        int r = worker_new(c, i, n, &p->workers[i], reterr);
        if (r < 0)
            return r;
        p->n++;
    }
    for (unsigned i = 0; i < n; i++) {
        int r = worker_start(p->workers[i]);
        if (r < 0)
            return err_set(reterr, r, NULL, "thread of worker %u: %s", i, strerror(-r));
    }
    return 0;
}

/* Each connection is a descriptor, and the soft limit is a shell's. */
static void raise_descriptor_limit(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &l); /* it goes on with fewer */
    }
}

int proxy_run(struct proxy_config *c, const struct proxy_options *o, struct err *reterr)
{
    struct proxy p = {.config = c, .drain_ms = o->drain_ms};
    raise_descriptor_limit();
    int r = loop_new(&p.loop, reterr);
    if (r == 0) {
        loop_signal_add(p.loop, SIGTERM, on_stop,
                        &p); /* before the threads: they inherit the mask */
        loop_signal_add(p.loop, SIGINT, on_stop, &p);
        loop_signal_add(p.loop, SIGUSR1, on_reopen, &p);
        r = start_workers(&p, c, o->workers, reterr);
    }
    if (r == 0) {
        VEC_FOREACH (l, &c->listeners) {
            char text[IP_TEXT_BYTES];
            log_info("listening", kv_s("address", ip_format(&(*l)->ip, text)),
                     kv_i("port", (*l)->port), kv_i("workers", p.n));
        }
        loop_run(p.loop);
        for (unsigned i = 0; i < p.n; i++)
            worker_join(p.workers[i]);
    }
    for (unsigned i = 0; i < p.n; i++)
        worker_free(p.workers[i]);
    loop_free(p.loop);
    return r;
}
