/* `kubectl exec`: a further process in a container, its streams over one WebSocket
 * (v5.channel.k8s.io, v4 too).
 *
 * First byte of a message = channel: 0 stdin, 1 stdout, 2 stderr, 3 the final status, 4 terminal
 * size, 255 (v5) the end of a channel. A session lives as long as its connection or its process,
 * whichever ends last; output is read only while the client takes it. With a terminal there is one
 * pty and no stderr; without a connection the process sees its terminal hang up, or its pipes
 * close. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/url.h"
#include "codec/websocket.h"
#include "lab/container.h"
#include "lab/kubelet_priv.h"

enum {
    EXEC_PIECE = 32 * 1024,
    EXEC_QUEUE_MAX = 256 * 1024,
    EXEC_STDIN_MAX = 1024 * 1024,
    EXEC_WORDS_MAX = 1024
};
enum { CHANNEL_IN, CHANNEL_OUT, CHANNEL_ERR, CHANNEL_STATUS, CHANNEL_SIZE, CHANNEL_CLOSE = 255 };

struct exec_output {
    struct exec *exec;
    uint8_t channel;
    int fd;
    struct loop_io *io;
};

struct exec {
    struct loop *loop;
    struct conn *conn; /* NULL = gone */
    bool tty;
    pid_t pid; /* 0 = ended */
    int in_fd; /* to the process, -1 = closed */
    struct loop_io *in_io;
    struct buf in;
    bool in_ends;
    struct exec_output out[2];
    struct buf message; /* of a fragmented WebSocket message */
};

static void output_close(struct exec_output *o)
{
    loop_io_remove(o->io);
    o->io = NULL;
    if (o->fd >= 0)
        close(o->fd);
    o->fd = -1;
}

static void input_close(struct exec *e)
{
    loop_io_remove(e->in_io);
    e->in_io = NULL;
    if (e->in_fd >= 0)
        close(e->in_fd);
    e->in_fd = -1;
}

static void exec_free_now(void *user)
{
    struct exec *e = user;
    output_close(&e->out[0]);
    output_close(&e->out[1]);
    input_close(e);
    buf_done(&e->in);
    buf_done(&e->message);
    free(e);
}

static void exec_send(struct exec *e, uint8_t channel, struct str bytes)
{
    AUTO_DONE(buf) struct buf b = {0};
    if (!e->conn)
        return;
    websocket_channel_write(&b, channel, false, bytes);
    conn_write(e->conn, buf_str(&b));
}

/* ---- output ---- */

static void output_read(struct exec_output *o, bool all)
{
    char piece[EXEC_PIECE];
    struct exec *e = o->exec;
    while (o->fd >= 0 && (all || !e->conn || conn_queued(e->conn) < EXEC_QUEUE_MAX)) {
        ssize_t n = read(o->fd, piece, sizeof(piece));
        if (n > 0)
            exec_send(e, o->channel, str_of(piece, (size_t)n));
        else if (n == 0 || (errno != EINTR && errno != EAGAIN))
            output_close(o);
        else if (errno == EAGAIN)
            return;
    }
}

static void on_output(struct loop_io *io, uint32_t events, void *user)
{
    (void)io;
    (void)events;
    output_read(user, false);
}

/* ---- input ---- */

static void input_write(struct exec *e)
{
    while (e->in_fd >= 0 && e->in.n) {
        ssize_t n = write(e->in_fd, e->in.p, e->in.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            input_close(e);
            break;
        }
        buf_consume(&e->in, (size_t)n);
    }
    if (e->in_fd < 0)
        buf_clear(&e->in);
    else if (e->in_ends && e->tty)
        e->in_ends = write(e->in_fd, "\004", 1) < 0; /* a terminal's end of file */
    else if (e->in_ends)
        input_close(e);
    if (e->conn && e->in.n < EXEC_STDIN_MAX)
        conn_resume(e->conn);
}

static void on_input(struct loop_io *io, uint32_t events, void *user)
{
    (void)io;
    (void)events;
    input_write(user);
}

static void resize(struct exec *e, struct str json)
{
    AUTO_JSON json_t *j = NULL;
    if (!e->tty || e->in_fd < 0 || json_parse(json, 4096, NULL, &j, NULL) < 0)
        return;
    struct winsize size = {.ws_col = (unsigned short)json_at_int(j, "Width", 80),
                           .ws_row = (unsigned short)json_at_int(j, "Height", 24)};
    (void)ioctl(e->in_fd, TIOCSWINSZ, &size);
}

static void on_message(struct exec *e, struct str m)
{
    if (!m.n)
        return;
    uint8_t channel = (uint8_t)m.p[0];
    struct str payload = str_sub(m, 1, m.n);
    if (channel == CHANNEL_IN && e->in_fd >= 0 && !e->in_ends) {
        buf_add_str(&e->in, payload);
        input_write(e);
        if (e->in.n >= EXEC_STDIN_MAX)
            conn_pause(e->conn);
    } else if (channel == CHANNEL_SIZE) {
        resize(e, payload);
    } else if (channel == CHANNEL_CLOSE && payload.n && payload.p[0] == CHANNEL_IN) {
        e->in_ends = true;
        input_write(e);
    }
}

/* ---- the connection ---- */

static void exec_disconnect(struct exec *e)
{
    e->conn = NULL;
    output_close(&e->out[0]);
    output_close(&e->out[1]);
    input_close(e);
    if (e->pid && e->tty)
        (void)kill(e->pid, SIGHUP);
    if (!e->pid)
        loop_defer(e->loop, exec_free_now, e);
}

static void on_data(struct conn *c, void *user)
{
    struct exec *e = user;
    struct websocket_frame f;
    size_t used;
    int r;
    while ((r = websocket_frame_read(conn_in(c), true, &f, &used)) == 1) {
        bool closing = f.opcode == WEBSOCKET_CLOSE;
        if (f.opcode == WEBSOCKET_PING) {
            AUTO_DONE(buf) struct buf b = {0};
            websocket_frame_write(&b, WEBSOCKET_PONG, false, f.payload);
            conn_write(c, buf_str(&b));
        } else if (f.opcode <= WEBSOCKET_BINARY) {
            buf_add_str(&e->message, f.payload);
            if (f.final && !e->message.failed)
                on_message(e, buf_str(&e->message));
            if (f.final)
                buf_clear(&e->message);
        }
        buf_consume(conn_in(c), used);
        if (closing) {
            r = -ECONNRESET;
            break;
        }
    }
    if (r < 0 || conn_eof(c)) {
        conn_free(c);
        exec_disconnect(e);
    }
}

static void on_drained(struct conn *c, void *user)
{
    (void)c;
    struct exec *e = user;
    output_read(&e->out[0], false);
    output_read(&e->out[1], false);
}

static void on_close(struct conn *c, int code, const char *text, void *user)
{
    (void)c;
    (void)code;
    (void)text;
    exec_disconnect(user);
}

/* ---- the end ---- */

static void send_status(struct exec *e, json_t *status)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_DONE(buf) struct buf end = {0};
    json_write(&b, status);
    json_decref(status);
    exec_send(e, CHANNEL_STATUS, buf_str(&b));
    websocket_close_write(&end, false, 1000);
    if (e->conn) {
        conn_write(e->conn, buf_str(&end));
        conn_close_after_flush(e->conn);
    }
}

static json_t *status_of(int wait_status)
{
    int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
    char message[80], text[16];
    if (code == 0)
        return json_pack("{s:{},s:s}", "metadata", "status", "Success");
    snprintf(message, sizeof(message), "command terminated with non-zero exit code: exit status %d",
             code);
    snprintf(text, sizeof(text), "%d", code);
    return json_pack("{s:{},s:s,s:s,s:s,s:{s:[{s:s,s:s}]}}", "metadata", "status", "Failure",
                     "message", message, "reason", "NonZeroExitCode", "details", "causes", "reason",
                     "ExitCode", "message", text);
}

static void on_exit_of(pid_t pid, int status, void *user)
{
    (void)pid;
    struct exec *e = user;
    e->pid = 0;
    output_read(&e->out[0], true);
    output_read(&e->out[1], true);
    if (!e->conn) {
        loop_defer(e->loop, exec_free_now, e);
        return;
    }
    send_status(e, status_of(status));
}

/* ---- the beginning ---- */

struct exec_fds {
    int process[3]; /* given to the process */
    int in;         /* ours */
    int out[2];
};

static int open_pipe(int *ret_ours, int *ret_theirs, bool we_write)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    *ret_ours = fds[we_write ? 1 : 0];
    *ret_theirs = fds[we_write ? 0 : 1];
    (void)fcntl(*ret_ours, F_SETFL, O_NONBLOCK);
    return 0;
}

static int open_pty(struct exec_fds *f)
{
    char name[64];
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (master < 0)
        return -errno;
    f->in = master;
    if (grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, name, sizeof(name)) != 0)
        return -EIO;
    int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return -errno;
    f->process[0] = slave;
    f->process[1] = fcntl(slave, F_DUPFD_CLOEXEC, 3);
    f->process[2] = fcntl(slave, F_DUPFD_CLOEXEC, 3);
    f->out[0] = fcntl(master, F_DUPFD_CLOEXEC, 3);
    return f->out[0] < 0 || f->process[1] < 0 || f->process[2] < 0 ? -errno : 0;
}

static int open_fds(struct exec_fds *f, bool tty, bool in)
{
    if (tty)
        return open_pty(f);
    int r = open_pipe(&f->out[0], &f->process[1], false);
    if (r == 0)
        r = open_pipe(&f->out[1], &f->process[2], false);
    return r == 0 && in ? open_pipe(&f->in, &f->process[0], true) : r;
}

static int exec_spawn(struct pod_container *c, struct exec *e, char **argv, bool in,
                      struct err *reterr)
{
    struct exec_fds f = {{-1, -1, -1}, -1, {-1, -1}};
    int r = open_fds(&f, e->tty, in);
    if (r < 0)
        (void)err_set(reterr, r, NULL, "streams: %s", strerror(-r));
    struct container_spec s = pod_container_join(c, argv);
    s.in = f.process[0];
    s.out = f.process[1];
    s.err = f.process[2];
    s.tty = e->tty;
    if (r == 0)
        r = container_spawn(&s, &e->pid, reterr);
    for (int i = 0; i < 3; i++)
        if (f.process[i] >= 0)
            close(f.process[i]);
    e->in_fd = f.in;
    for (int i = 0; i < 2; i++)
        e->out[i].fd = f.out[i];
    return r;
}

static void exec_watch(struct exec *e)
{
    if (loop_child_add(e->loop, e->pid, on_exit_of, e) < 0)
        log_error("cannot watch an exec process", kv_i("pid", e->pid));
    if (e->in_fd >= 0)
        e->in_io = loop_io_add(e->loop, e->in_fd, on_input, e);
    for (int i = 0; i < 2; i++)
        if (e->out[i].fd >= 0)
            e->out[i].io = loop_io_add(e->loop, e->out[i].fd, on_output, &e->out[i]);
}

static char **read_command(struct str query)
{
    VEC(char *) words = {0};
    struct str rest = query, name, value;
    while (url_param_next(&rest, &name, &value) && words.n < EXEC_WORDS_MAX) {
        struct buf word = {0};
        if (!str_is(name, "command"))
            continue;
        if (url_decode(value, true, &word) == 0)
            vec_push(&words, buf_take_cstr(&word));
        buf_done(&word);
    }
    if (!words.n)
        return NULL;
    vec_push(&words, NULL);
    return words.v;
}

/* The subprotocol we both speak; NULL = none. */
static const char *choose_protocol(struct str offered)
{
    static const char *const known[] = {"v5.channel.k8s.io", "v4.channel.k8s.io"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        for (struct str rest = offered, one; rest.p && rest.n;) {
            one = str_trim(str_cut(rest, ',', &rest));
            if (str_is(one, known[i]))
                return known[i];
        }
    return NULL;
}

static struct conn *upgrade(struct http_exchange *x, const char *protocol)
{
    char accept[29];
    websocket_accept_key(http_exchange_header(x, "sec-websocket-key"), accept);
    const struct http_header headers[] = {
        {STR("Upgrade"), STR("websocket")},
        {STR("Connection"), STR("Upgrade")},
        {STR("Sec-WebSocket-Accept"), str_from(accept)},
        {STR("Sec-WebSocket-Protocol"), str_from(protocol)},
    };
    return http_exchange_upgrade(x, headers, ARRAY_LEN(headers));
}

void kubelet_exec(struct pod_container *c, struct http_exchange *x)
{
    static const struct conn_ops ops = {
        .on_data = on_data, .on_drain = on_drained, .on_close = on_close};
    struct str query = http_exchange_query(x);
    const char *protocol = choose_protocol(http_exchange_header(x, "sec-websocket-protocol"));
    bool in = url_param_bool(query, "input") || url_param_bool(query, "stdin");
    if (!c->pid) {
        kubelet_fail(x, 500, "InternalError", "container %s of pod %s is not running", c->name,
                     c->pod->name);
        return;
    }
    if (!str_eq_nocase(http_exchange_header(x, "upgrade"), STR("websocket")) || !protocol) {
        kubelet_fail(x, 400, "BadRequest",
                     "exec needs a WebSocket with v5.channel.k8s.io or v4.channel.k8s.io (kubectl "
                     "1.31 or newer)");
        return;
    }
    char **argv = read_command(query);
    if (!argv) {
        kubelet_fail(x, 400, "BadRequest", "you must specify at least 1 command for the container");
        return;
    }
    struct exec *e = NEW(struct exec);
    struct err err = {0};
    *e = (struct exec){.loop = c->pod->node->loop,
                       .tty = url_param_bool(query, "tty"),
                       .in_fd = -1,
                       .in.cap = 2 * EXEC_STDIN_MAX,
                       .message.cap = EXEC_STDIN_MAX};
    e->out[0] = (struct exec_output){e, CHANNEL_OUT, -1, NULL};
    e->out[1] = (struct exec_output){e, CHANNEL_ERR, -1, NULL};
    int r = exec_spawn(c, e, argv, in, &err);
    argv_free(argv);
    e->conn = upgrade(x, protocol);
    conn_set_ops(e->conn, &ops, e);
    if (r < 0) {
        e->pid = 0;
        send_status(e,
                    json_pack("{s:{},s:s,s:s,s:s,s:i}", "metadata", "status", "Failure", "message",
                              err_text(&err), "reason", "InternalError", "code", 500));
        return;
    }
    exec_watch(e);
    if (conn_in(e->conn)->n)
        conn_resume(e->conn);
}
