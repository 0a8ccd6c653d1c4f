/* Container output to files: "2026-01-02T03:04:05.000006Z stdout F text", as the container runtime
 * interface has it (P marks a part of a line that was too long). One file of at most 10 MiB and one
 * predecessor (.1) per run: older output goes. */
#include "lab/node/container_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/time.h"
#include "base/vec.h"

enum {
    LOG_LINE_MAX = 16 * 1024,
    LOG_FILE_MAX = 10 * 1024 * 1024,
    TAIL_BYTES = 32 * 1024,
};

struct log_pipe {
    struct container_log *log;
    const char *name;
    int fd;
    struct loop_io *io;
    struct buf line;
};

struct container_log {
    struct loop *loop;
    char *path;
    int fd;
    size_t bytes;
    unsigned rotations;
    bool finished;
    struct log_pipe pipes[2];
    unsigned holds;
    struct list_node followers;
    struct list_node taps;
};

static void log_rotate(struct container_log *log)
{
    AUTO_CHARS char *old = xasprintf("%s.1", log->path);
    close(log->fd);
    (void)rename(log->path, old);
    log->fd = open(log->path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    log->bytes = 0;
    log->rotations++;
}

static void log_line(struct log_pipe *p, struct str text, char tag)
{
    struct container_log *log = p->log;
    AUTO_DONE(buf) struct buf b = {0};
    char when[28];
    time_format_rfc3339_micro(time_real_us(), when);
    buf_addf(&b, "%s %s %c ", when, p->name, tag);
    buf_add_str(&b, text);
    buf_add_char(&b, '\n');
    if (log->bytes + b.n > LOG_FILE_MAX)
        log_rotate(log);
    if (log->fd >= 0 && write(log->fd, b.p, b.n) == (ssize_t)b.n)
        log->bytes += b.n;
}

static void log_cut(struct log_pipe *p, bool at_end)
{
    struct str rest = buf_str(&p->line);
    for (;;) {
        const char *newline = rest.n ? memchr(rest.p, '\n', rest.n) : NULL;
        if (newline) {
            size_t n = (size_t)(newline - rest.p);
            log_line(p, str_of(rest.p, n), 'F');
            rest = str_sub(rest, n + 1, rest.n);
        } else if (rest.n >= LOG_LINE_MAX) {
            log_line(p, str_of(rest.p, LOG_LINE_MAX), 'P');
            rest = str_sub(rest, LOG_LINE_MAX, rest.n);
        } else {
            break;
        }
    }
    if (at_end && rest.n) {
        log_line(p, rest, 'P');
        rest.n = 0;
    }
    buf_consume(&p->line, p->line.n - rest.n);
}

static void log_tell(struct container_log *log)
{
    LIST_FOREACH_SAFE (node, &log->followers) {
        struct container_log_follower *f = CONTAINER_OF(node, struct container_log_follower, node);
        f->on_more(f->user);
    }
}

static bool pipe_read(struct log_pipe *p)
{
    char *room = buf_reserve(&p->line, LOG_LINE_MAX);
    ssize_t n = room ? read(p->fd, room, LOG_LINE_MAX) : -1;
    if (n <= 0)
        return n < 0 && errno == EINTR;
    LIST_FOREACH_SAFE (node, &p->log->taps) {
        struct container_log_tap *t = CONTAINER_OF(node, struct container_log_tap, node);
        t->on_bytes(p == &p->log->pipes[1], str_of(room, (size_t)n), t->user);
    }
    p->line.n += (size_t)n;
    log_cut(p, false);
    return true;
}

static void on_pipe(struct loop_io *io, uint32_t events, void *user)
{
    (void)io;
    (void)events;
    struct log_pipe *p = user;
    while (p->log->holds == 0 && pipe_read(p))
        ;
    log_tell(p->log);
}

static void pipe_watch(struct container_log *log, struct log_pipe *p, const char *name, int fd)
{
    p->log = log;
    p->name = name;
    p->fd = fd;
    if (fd >= 0 && loop_io_add(log->loop, fd, on_pipe, p, &p->io) < 0)
        log_error("cannot wait for a container's output", kv_s("stream", name));
}

int container_log_new(struct loop *l, const char *path, int out_fd, int err_fd,
                      struct container_log **ret, struct err *reterr)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(reterr, -errno, NULL, "%s: %s", path, strerror(errno));
    struct container_log *log = NEW(struct container_log);
    log->loop = l;
    log->path = xstrdup(path);
    log->fd = fd;
    list_init(&log->followers);
    list_init(&log->taps);
    pipe_watch(log, &log->pipes[0], "stdout", out_fd);
    pipe_watch(log, &log->pipes[1], "stderr", err_fd);
    *ret = log;
    return 0;
}

void container_log_hold(struct container_log *log, bool hold)
{
    log->holds = hold ? log->holds + 1 : log->holds - 1;
    if (log->holds || log->finished)
        return;
    for (size_t i = 0; i < ARRAY_LEN(log->pipes); i++) /* edges that came meanwhile are lost */
        if (log->pipes[i].fd >= 0)
            on_pipe(NULL, 0, &log->pipes[i]);
}

void container_log_tap(struct container_log *log, struct container_log_tap *t)
{
    list_add_tail(&log->taps, &t->node);
}

void container_log_finish(struct container_log *log)
{
    if (log->finished)
        return;
    for (size_t i = 0; i < ARRAY_LEN(log->pipes); i++) {
        struct log_pipe *p = &log->pipes[i];
        if (p->fd < 0)
            continue;
        while (pipe_read(p))
            ;
        log_cut(p, true);
        loop_io_remove(p->io);
        close(p->fd);
        p->fd = -1;
        buf_done(&p->line);
    }
    log->finished = true;
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
    log_tell(log);
}

void container_log_free(struct container_log *log)
{
    if (!log)
        return;
    container_log_finish(log);
    LIST_FOREACH_SAFE (node, &log->followers)
        list_remove(node);
    LIST_FOREACH_SAFE (tap, &log->taps)
        list_remove(tap);
    free(log->path);
    free(log);
}

bool container_log_is_finished(const struct container_log *log)
{
    return log->finished;
}

/* Without time, stream and tag. */
static struct str line_text(struct str line)
{
    struct str rest = line;
    for (int i = 0; i < 3; i++)
        (void)str_cut(rest, ' ', &rest);
    return rest;
}

void container_log_mask_zeros(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = p[i] ? p[i] : '\xff';
}

char *container_log_tail(const struct container_log *log, size_t lines_max, size_t bytes_max)
{
    char piece[TAIL_BYTES];
    AUTO_FD int fd = open(log->path, O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END),
          from = size > (off_t)sizeof(piece) ? size - (off_t)sizeof(piece) : 0;
    ssize_t n = fd < 0 ? 0 : pread(fd, piece, sizeof(piece), from);
    struct str all = str_of(piece, n > 0 ? (size_t)n : 0);
    container_log_mask_zeros(piece, all.n);
    VEC(struct str) lines = {0};
    struct buf b = {0};
    size_t bytes = 0, first;
    if (from)
        (void)str_cut(all, '\n', &all); /* the rest of a line */
    while (all.p && all.n)
        vec_push(&lines, line_text(str_cut(all, '\n', &all)));
    for (first = lines.n; first > 0 && lines.n - first < lines_max; first--) {
        bytes += lines.v[first - 1].n + 1;
        if (bytes > bytes_max)
            break;
    }
    for (size_t i = first; i < lines.n; i++) {
        buf_add_str(&b, lines.v[i]);
        buf_add_char(&b, '\n');
    }
    vec_done(&lines);
    return buf_take_cstr(&b);
}

const char *container_log_path(const struct container_log *log)
{
    return log->path;
}

unsigned container_log_rotations(const struct container_log *log)
{
    return log->rotations;
}

void container_log_follow(struct container_log *log, struct container_log_follower *f)
{
    list_add_tail(&log->followers, &f->node);
}
