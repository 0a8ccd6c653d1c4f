/* Access logs. Lines gather in the worker and go out when there are 16 KiB of them or a second has
 * passed, in one write, so that lines of several workers do not mix. */
#include "proxy/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"

enum {
    LOG_BATCH_BYTES = 16 * 1024,
    LOG_KEPT_BYTES = 1024 * 1024,
    LOG_LINE_BYTES = 64 * 1024,
    LOG_DELAY_MS = 1000,
};

struct access_log *access_log_new(void)
{
    struct access_log *l = NEW(struct access_log);
    l->refs = 1;
    l->fd = -1;
    l->arena = arena_new(0);
    return l;
}

int access_log_open(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    return fd < 0 ? -errno : fd;
}

void access_log_unref(struct access_log *l)
{
    if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (l->path && l->fd >= 0)
        close(l->fd);
    free(l->path);
    arena_free(l->arena);
    free(l);
}

void access_logs_done(struct access_logs *l)
{
    VEC_FOREACH (log, l)
        access_log_unref(*log);
    vec_done(l);
}

int access_log_reopen(struct access_log *l)
{
    if (!l->path)
        return 0;
    int fd = access_log_open(l->path);
    if (fd < 0)
        return fd;
    int r = dup3(fd, l->fd, O_CLOEXEC) < 0 ? -errno : 0; /* workers go on with the same number */
    close(fd);
    return r;
}

/* ---- writing ---- */

struct access_log_writer {
    struct loop *loop;
    struct access_log *log;
    struct loop_timer *timer;
    struct stats_cell *stats;
    struct buf lines;
    struct buf scratch; /* of JSON: one value */
};

/* What the file takes now; a pipe takes at most what it has room for. */
static void flush(struct access_log_writer *w)
{
    size_t done = 0;
    while (done < w->lines.n) {
        struct pollfd p = {.fd = w->log->fd, .events = POLLOUT};
        if (poll(&p, 1, 0) == 0)
            break;
        size_t n = MIN(w->lines.n - done, (size_t)PIPE_BUF);
        if (w->log->path)
            n = w->lines.n - done;
        ssize_t written = write(w->log->fd, w->lines.p + done, n);
        if (written < 0 && errno == EINTR)
            continue;
        stats_inc(w->stats, written < 0 ? SERVER_STAT_LOG_FAILED : SERVER_STAT_LOG_WRITES);
        if (written < 0)
            break;
        done += (size_t)written;
    }
    buf_consume(&w->lines, done);
}

static void on_timer(void *user)
{
    struct access_log_writer *w = user;
    flush(w);
    if (w->lines.n)
        loop_timer_start(w->timer, LOG_DELAY_MS);
}

struct access_log_writer *access_log_writer_new(struct loop *loop, struct access_log *l,
                                                struct stats_cell *stats)
{
    struct access_log_writer *w = NEW(struct access_log_writer);
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->writers, 1, memory_order_release); /* behind it: never more */
    w->loop = loop;
    w->log = l;
    w->stats = stats;
    w->lines.cap = LOG_KEPT_BYTES + LOG_LINE_BYTES;
    w->timer = loop_timer_new(loop, on_timer, w);
    return w;
}

void access_log_writer_free(struct access_log_writer *w)
{
    if (!w)
        return;
    flush(w);
    loop_timer_free(w->timer);
    buf_done(&w->lines);
    buf_done(&w->scratch);
    atomic_fetch_sub_explicit(&w->log->writers, 1, memory_order_release);
    access_log_unref(w->log);
    free(w);
}

bool access_log_writer_is_orphan(const struct access_log_writer *w)
{
    unsigned refs = atomic_load_explicit(&w->log->refs, memory_order_acquire);
    return refs <= atomic_load_explicit(&w->log->writers, memory_order_acquire);
}

void access_log_writer_add(struct access_log_writer *w, format_value_fn *value, void *user,
                           const struct http_head *head)
{
    size_t before = w->lines.n;
    const struct access_log *l = w->log;
    if (l->filter && !log_filter_passes(l->filter, value, user, head))
        return;
    if (before >= LOG_KEPT_BYTES) {
        stats_inc(w->stats, SERVER_STAT_LOG_DROPPED);
        return;
    }
    if (l->is_json)
        log_json_write(&l->json, value, user, &w->scratch, &w->lines);
    else
        format_write(&l->format, value, user, l->json.omit ? STR("") : STR("-"), &w->lines);
    if (w->lines.failed || w->lines.n - before > LOG_LINE_BYTES) {
        w->lines.n = before;
        w->lines.failed = false;
        stats_inc(w->stats, SERVER_STAT_LOG_DROPPED);
    } else {
        stats_inc(w->stats, SERVER_STAT_LOG_LINES);
    }
    if (w->lines.n >= LOG_BATCH_BYTES)
        flush(w);
    else if (!loop_timer_is_started(w->timer))
        loop_timer_start(w->timer, LOG_DELAY_MS);
}
