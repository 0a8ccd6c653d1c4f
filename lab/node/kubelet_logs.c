/* `kubectl logs`: a container's log file as text, with follow, tail, since, timestamps and a limit.
 *
 * A log_stream reads the file in pieces while the client takes them; following means to be told by
 * the container_log when there is more, and to end when the run has ended. It holds the file open
 * by itself, so the pod may go meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/time.h"
#include "codec/url.h"
#include "lab/node/kubelet_priv.h"

enum {
    LOGS_PIECE = 64 * 1024,
    LOGS_QUEUE_MAX = 256 * 1024,
};

struct log_stream {
    struct http_exchange *x;
    struct container_log *log; /* while followed */
    struct container_log_follower follower;
    char *path;
    unsigned rotations;
    int fd;
    struct buf in;
    uint64_t skip; /* lines, for tail */
    uint64_t left; /* bytes still allowed */
    int64_t since_us;
    bool timestamps;
    bool follow;
    bool finished;
};

static void stream_done(struct http_exchange *x, void *user)
{
    (void)x;
    struct log_stream *s = user;
    list_remove(&s->follower.node);
    if (s->fd >= 0)
        close(s->fd);
    buf_done(&s->in);
    free(s->path);
    free(s);
}

/* One line of the file ("TIME STREAM TAG TEXT") to the client. */
static void put_line(struct log_stream *s, struct str line)
{
    int64_t when;
    struct str text, tag, time = str_cut(line, ' ', &text);
    (void)str_cut(text, ' ', &text);
    tag = str_cut(text, ' ', &text);
    if (s->skip) {
        s->skip--;
        return;
    }
    if (!text.p || (s->since_us && time_parse_rfc3339(time, &when) == 0 && when < s->since_us))
        return;
    AUTO_DONE(buf) struct buf b = {0};
    if (s->timestamps)
        buf_addf(&b, STR_FMT " ", STR_ARG(time));
    buf_add_str(&b, text);
    if (str_is(tag, "F"))
        buf_add_char(&b, '\n');
    struct str out = buf_str(&b);
    out.n = (size_t)MIN((uint64_t)out.n, s->left);
    s->left -= out.n;
    if (out.n)
        http_exchange_write(s->x, out);
}

static void put_lines(struct log_stream *s)
{
    size_t used = 0;
    for (;;) {
        const char *from = s->in.p + used,
                   *newline = s->in.n > used ? memchr(from, '\n', s->in.n - used) : NULL;
        if (!newline)
            break;
        put_line(s, str_of(from, (size_t)(newline - from)));
        used += (size_t)(newline - from) + 1;
    }
    buf_consume(&s->in, used);
}

static bool reopen(struct log_stream *s)
{
    if (!s->log || container_log_rotations(s->log) == s->rotations)
        return false;
    s->rotations = container_log_rotations(s->log);
    close(s->fd);
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
    return s->fd >= 0;
}

/* Sends what the client can take now. */
static void pump(struct log_stream *s)
{
    while (!s->finished && s->left && http_exchange_queued(s->x) < LOGS_QUEUE_MAX) {
        char *room = buf_reserve(&s->in, LOGS_PIECE);
        ssize_t n = room && s->fd >= 0 ? read(s->fd, room, LOGS_PIECE) : -1;
        if (n > 0) {
            s->in.n += (size_t)n;
            put_lines(s);
        } else if (!reopen(s)) {
            break;
        }
    }
    bool more_later = s->follow && s->log && !container_log_is_finished(s->log);
    if (s->finished || (s->left && http_exchange_queued(s->x) >= LOGS_QUEUE_MAX) ||
        (s->left && more_later))
        return;
    s->finished = true;
    list_remove(&s->follower.node);
    http_exchange_finish(s->x); /* may free s */
}

static void on_more(void *user)
{
    struct log_stream *s = user;
    if (s->log && container_log_is_finished(s->log)) {
        list_remove(&s->follower.node);
        pump(s);
        return;
    }
    pump(s);
}

static void on_drain(struct http_exchange *x, void *user)
{
    (void)x;
    struct log_stream *s = user;
    if (!list_is_linked(&s->follower.node))
        s->log = NULL; /* the run is over, and may be gone */
    pump(s);
}

static uint64_t count_lines(int fd)
{
    char block[16384];
    uint64_t lines = 0;
    for (ssize_t n; (n = read(fd, block, sizeof(block))) > 0;)
        for (ssize_t i = 0; i < n; i++)
            lines += block[i] == '\n';
    (void)lseek(fd, 0, SEEK_SET);
    return lines;
}

static bool number_param(struct str query, const char *name, uint64_t *ret)
{
    AUTO_CHARS char *text = url_param(query, name);
    return text && str_to_u64(str_from(text), ret) == 0;
}

static void read_options(struct log_stream *s, struct str query)
{
    uint64_t n;
    AUTO_CHARS char *since = url_param(query, "sinceTime");
    s->follow = url_param_bool(query, "follow");
    s->timestamps = url_param_bool(query, "timestamps");
    s->left = UINT64_MAX;
    if (number_param(query, "limitBytes", &n))
        s->left = n;
    if (number_param(query, "sinceSeconds", &n))
        s->since_us = time_real_us() - (int64_t)n * 1000000;
    if (since && time_parse_rfc3339(str_from(since), &s->since_us) < 0)
        s->since_us = 0;
    if (number_param(query, "tailLines", &n) && s->fd >= 0) {
        uint64_t lines = count_lines(s->fd);
        s->skip = lines > n ? lines - n : 0;
    }
}

/* While a container waits for its next start, the run that just ended is the one before. */
static const char *log_path(const struct pod_container *c, bool previous)
{
    const char *newest = c->log ? container_log_path(c->log) : NULL;
    bool between = c->state == CONTAINER_TERMINATED && pod_container_waits(c);
    return previous && !between ? c->last_log : newest;
}

void kubelet_logs(struct pod_container *c, struct http_exchange *x)
{
    struct str query = http_exchange_query(x);
    bool previous = url_param_bool(query, "previous");
    const char *path = log_path(c, previous);
    if (!path) {
        if (previous)
            kubelet_fail(x, 400, "BadRequest",
                         "previous terminated container \"%s\" in pod \"%s\" not found", c->name,
                         c->pod->name);
        else
            kubelet_fail(x, 400, "BadRequest",
                         "container \"%s\" in pod \"%s\" is waiting to start: %s", c->name,
                         c->pod->name, c->pod->step == POD_FETCH ? c->pod->waiting : c->reason);
        return;
    }
    const struct http_header type = {STR("Content-Type"), STR("text/plain")};
    struct log_stream *s = NEW(struct log_stream);
    s->x = x;
    s->path = xstrdup(path);
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    read_options(s, query);
    s->follower.on_more = on_more;
    s->follower.user = s;
    if (s->follow && !previous && !container_log_is_finished(c->log)) {
        s->log = c->log;
        s->rotations = container_log_rotations(c->log);
        container_log_follow(c->log, &s->follower);
    }
    http_exchange_set_done(x, stream_done, s);
    http_exchange_set_drain(x, on_drain, s);
    http_exchange_start(x, 200, &type, 1);
    pump(s);
}
