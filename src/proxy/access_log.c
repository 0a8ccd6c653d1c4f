/* Access logs. Lines gather in the worker and go out when there are 16 KiB of them or a second has
 * passed, in one write, so that lines of several workers do not mix. */
#include "proxy/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include <envoy/extensions/access_loggers/file/v3/file.pb-c.h>
#include <envoy/extensions/access_loggers/stream/v3/stream.pb-c.h>

#include "base/assert.h"
#include "codec/pb_msg.h"

enum {
    LOG_BATCH_BYTES = 16 * 1024,
    LOG_KEPT_BYTES = 1024 * 1024,
    LOG_LINE_BYTES = 64 * 1024,
    LOG_DELAY_MS = 1000,
};

static const char default_format[] =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" "
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

/* ---- making ---- */

static const char *text_of(const Envoy__Config__Core__V3__SubstitutionFormatString *f)
{
    if (!f)
        return default_format;
    if (f->format_case ==
        ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT_SOURCE)
        return f->text_format_source->specifier_case ==
                       ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING
                   ? f->text_format_source->inline_string
                   : NULL;
    return f->format_case == ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT
               ? f->text_format
               : NULL;
}

static int open_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    return fd < 0 ? -errno : fd;
}

/* What stands in the Any: where to, and how. */
static int read_config(const Google__Protobuf__Any *any, struct access_log *l,
                       const char **ret_text, struct err *reterr)
{
    struct str type = pb_type_name(str_from(any->type_url));
    struct str bytes = str_of(any->value.data, any->value.len);
    bool file = str_is(type, "envoy.extensions.access_loggers.file.v3.FileAccessLog");
    bool out = str_is(type, "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog");
    ProtobufCMessage *m;
    if (!file) {
        int r =
            pb_unpack(&envoy__extensions__access_loggers__stream__v3__stdout_access_log__descriptor,
                      bytes, l->arena, &m, reterr);
        if (r < 0)
            return r;
        l->fd = out ? 1 : 2;
        *ret_text = text_of(
            ((const Envoy__Extensions__AccessLoggers__Stream__V3__StdoutAccessLog *)m)->log_format);
        return 0;
    }
    int r = pb_unpack(&envoy__extensions__access_loggers__file__v3__file_access_log__descriptor,
                      bytes, l->arena, &m, reterr);
    if (r < 0)
        return r;
    const Envoy__Extensions__AccessLoggers__File__V3__FileAccessLog *f = (const void *)m;
    *ret_text =
        f->access_log_format_case ==
                ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_FORMAT
            ? f->format
        : f->access_log_format_case ==
                ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_LOG_FORMAT
            ? text_of(f->log_format)
        : f->access_log_format_case ==
                ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT__NOT_SET
            ? default_format
            : NULL;
    if (streq(f->path, "/dev/stdout") || streq(f->path, "/dev/stderr")) {
        l->fd = streq(f->path, "/dev/stdout") ? 1 : 2;
        return 0;
    }
    l->path = xstrdup(f->path);
    l->fd = open_file(l->path);
    return l->fd < 0 ? err_set(reterr, l->fd, NULL, "%s: %s", l->path, strerror(-l->fd)) : 0;
}

int access_log_compile(const Envoy__Config__Accesslog__V3__AccessLog *m, struct pb_path *path,
                       struct access_log **ret, struct err *reterr)
{
    struct access_log *l = NEW(struct access_log);
    const char *text = NULL;
    struct err err = {0};
    l->refs = 1;
    l->fd = -1;
    l->arena = arena_new(0);
    int r = m->typed_config ? read_config(m->typed_config, l, &text, &err)
                            : err_set(&err, -EINVAL, NULL, "typed_config must be set");
    if (r == 0 && !text)
        r = err_set(&err, -EINVAL, NULL, "log_format: only inline text is implemented yet");
    if (r == 0)
        r = format_compile(str_from(text), l->arena, &l->format, &err);
    if (r < 0) {
        access_log_unref(l);
        return pb_path_fail(path, reterr, r, "%s", err_text(&err));
    }
    *ret = l;
    return 0;
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

int access_logs_compile(Envoy__Config__Accesslog__V3__AccessLog *const *m, size_t n,
                        struct pb_path *path, struct access_logs *ret, struct err *reterr)
{
    for (size_t i = 0; i < n; i++) {
        size_t mark = pb_path_field(path, "access_log");
        struct access_log *log;
        pb_path_index(path, i);
        int r = access_log_compile(m[i], path, &log, reterr);
        if (r < 0)
            return r;
        vec_push(ret, log);
        pb_path_back(path, mark);
    }
    return 0;
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
    int fd = open_file(l->path);
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
    atomic_fetch_sub_explicit(&w->log->writers, 1, memory_order_release);
    access_log_unref(w->log);
    free(w);
}

bool access_log_writer_is_orphan(const struct access_log_writer *w)
{
    unsigned refs = atomic_load_explicit(&w->log->refs, memory_order_acquire);
    return refs <= atomic_load_explicit(&w->log->writers, memory_order_acquire);
}

void access_log_writer_add(struct access_log_writer *w, format_value_fn *value, void *user)
{
    size_t before = w->lines.n;
    if (before >= LOG_KEPT_BYTES) {
        stats_inc(w->stats, SERVER_STAT_LOG_DROPPED);
        return;
    }
    format_write(&w->log->format, value, user, STR("-"), &w->lines);
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
