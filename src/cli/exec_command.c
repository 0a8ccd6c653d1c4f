/* fairlead exec and attach: a command in a container, or its own program, over WebSocket
 * (v5.channel.k8s.io, v4 for older servers).
 *
 * Channels: 0 stdin, 1 stdout, 2 stderr, 3 the Status at the end, 4 the terminal's size, 255 (v5)
 * closes a channel. The exit code is the command's. With -t our terminal is raw while it lasts, and
 * its size follows. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "cli/exec.h"
#include "cli/pod_choice.h"
#include "codec/url.h"
#include "codec/websocket.h"

struct remote {
    struct loop *loop;
    struct conn *conn;
    struct loop_io *stdin_io;
    struct buf status;
    struct buf *out, *errors; /* where the command's output goes; NULL: to ours */
    const char *verb;
    bool done;
    bool v5;
    bool tty;
    int code;
};

static void write_all(int fd, struct str s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        s = str_sub(s, (size_t)n, s.n);
    }
}

static void take_output(const struct remote *r, int channel, struct str data)
{
    struct buf *to = channel == 1 ? r->out : r->errors;
    if (to)
        buf_add_str(to, data);
    else
        write_all(channel, data);
}

/* The Status on channel 3: Success, or NonZeroExitCode with the code among its causes. */
static int exit_code_of(const struct buf *text)
{
    AUTO_JSON json_t *status = NULL;
    json_t *cause;
    size_t i;
    uint64_t code;
    if (json_parse(buf_str(text), 0, NULL, &status, NULL) < 0 ||
        streq(json_key_str(status, "status"), "Success"))
        return EXIT_OK;
    json_array_foreach(json_at(status, "details.causes"), i,
                       cause) if (streq(json_key_str(cause, "reason"), "ExitCode") &&
                                  str_to_u64(str_from(json_key_str(cause, "message")), &code) ==
                                      0) return (int)code;
    return program_fail(EXIT_FAILED, NULL, "%s",
                        json_key_str(status, "message") ? json_key_str(status, "message")
                                                        : "the command failed");
}

static void send_size(int signo, void *user)
{
    struct remote *r = user;
    struct winsize size;
    char text[64];
    (void)signo;
    if (!r->conn || ioctl(0, TIOCGWINSZ, &size) < 0)
        return;
    AUTO_DONE(buf) struct buf out = {0};
    snprintf(text, sizeof(text), "{\"Width\":%u,\"Height\":%u}", size.ws_col, size.ws_row);
    websocket_channel_write(&out, 4, true, str_from(text));
    conn_write(r->conn, buf_str(&out));
}

static void finish(struct remote *r, int code)
{
    r->done = true;
    r->code = code;
}

static void on_frame(struct remote *r, const struct websocket_frame *f)
{
    AUTO_DONE(buf) struct buf out = {0};
    if (f->opcode == WEBSOCKET_PING) {
        websocket_frame_write(&out, WEBSOCKET_PONG, true, f->payload);
        conn_write(r->conn, buf_str(&out));
    } else if (f->opcode == WEBSOCKET_CLOSE) {
        finish(r, exit_code_of(&r->status));
    } else if (f->payload.n) {
        struct str data = str_sub(f->payload, 1, f->payload.n);
        int channel = (unsigned char)f->payload.p[0];
        if (channel == 1 || channel == 2)
            take_output(r, channel, data);
        else if (channel == 3)
            buf_add_str(&r->status, data);
    }
}

static void on_data(struct conn *c, void *user)
{
    struct remote *r = user;
    struct websocket_frame f;
    size_t used;
    int code;
    while (!r->done && (code = websocket_frame_read(conn_in(c), false, &f, &used)) != 0) {
        if (code < 0) {
            finish(r, program_fail(EXIT_FAILED, NULL, "%s: the server broke the WebSocket protocol",
                                   r->verb));
            return;
        }
        on_frame(r, &f);
        chain_consume(conn_in(c), used);
    }
    if (!r->done && conn_eof(c))
        finish(r, r->status.n
                      ? exit_code_of(&r->status)
                      : program_fail(EXIT_FAILED, NULL,
                                     "%s: the connection ended before the command", r->verb));
}

static void on_close(struct conn *c, int code, const char *text, void *user)
{
    struct remote *r = user;
    (void)c;
    (void)code;
    r->conn = NULL;
    if (!r->done)
        finish(r, r->status.n ? exit_code_of(&r->status)
                              : program_fail(EXIT_FAILED, NULL, "%s: %s", r->verb, text));
}

static void on_stdin(struct loop_io *io, uint32_t events, void *user)
{
    struct remote *r = user;
    char piece[8192];
    ssize_t n;
    (void)io;
    (void)events;
    while (r->conn && (n = read(0, piece, sizeof(piece))) != 0) {
        AUTO_DONE(buf) struct buf out = {0};
        if (n < 0)
            return;
        websocket_channel_write(&out, 0, true, str_of(piece, (size_t)n));
        conn_write(r->conn, buf_str(&out));
    }
    loop_io_remove(r->stdin_io);
    r->stdin_io = NULL;
    if (r->conn && r->v5) {
        AUTO_DONE(buf) struct buf out = {0};
        websocket_channel_write(&out, 255, true, str_of("\0", 1)); /* no more input */
        conn_write(r->conn, buf_str(&out));
    }
}

/* Pipes, sockets and terminals can be waited for; a file or /dev/null is simply read to its end. */
static void start_stdin(struct remote *r)
{
    struct stat st;
    bool waits = fstat(0, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || isatty(0));
    if (waits) {
        (void)fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
        if (loop_io_add(r->loop, 0, on_stdin, r, &r->stdin_io) < 0)
            r->stdin_io = NULL; /* read to its end, as a file is */
    }
    on_stdin(r->stdin_io, 0, r);
}

static void on_upgrade(struct http_call *call, struct conn *c, void *user)
{
    static const struct conn_ops ops = {.on_data = on_data, .on_close = on_close};
    struct remote *r = user;
    r->conn = c;
    r->v5 = str_is(http_call_header(call, "sec-websocket-protocol"), "v5.channel.k8s.io");
    conn_set_ops(c, &ops, r);
    if (r->tty)
        send_size(0, r);
    conn_resume(c);
}

static void on_refused(struct http_call *call, int code, const char *text, void *user)
{
    struct remote *r = user;
    struct cli_answer a = {.status = http_call_status(call)};
    if (code < 0) {
        finish(r, program_fail(EXIT_UNREACHABLE, NULL, "%s: %s", r->verb, text));
        return;
    }
    buf_add_str(&a.body, http_call_body(call));
    finish(r, cli_server_error(&a));
    buf_done(&a.body);
}

/* What exec and attach have in common. */
struct remote_args {
    struct cli_session session;
    const char *container;
    bool input;
    bool tty;
};

static char *build_target(const struct remote_args *a, const char *verb, const char *pod,
                          const char *const *command, size_t n_command)
{
    const struct kube_resource pods = {
        .plural = "pods", .kind = "Pod", .group_version = "v1", .namespaced = true};
    AUTO_CHARS char *path = kube_resource_path(&pods, a->session.namespace_, pod);
    AUTO_DONE(buf) struct buf b = {0};
    buf_addf(&b, "%s/%s?stdout=true&stderr=%s", path, verb, a->tty ? "false&tty=true" : "true");
    if (a->input)
        buf_add_cstr(&b, "&stdin=true");
    if (a->container) {
        buf_add_cstr(&b, "&container=");
        url_encode(str_from(a->container), &b);
    }
    for (size_t i = 0; i < n_command; i++) {
        buf_add_cstr(&b, "&command=");
        url_encode(str_from(command[i]), &b);
    }
    return buf_take_cstr(&b);
}

static int run(struct cli_session *s, struct remote *r, const char *target, bool input)
{
    static const struct http_call_ops ops = {.on_done = on_refused, .on_upgrade = on_upgrade};
    char key[25];
    websocket_key_new(key);
    struct http_header headers[] = {
        {STR("Connection"), STR("Upgrade")},
        {STR("Upgrade"), STR("websocket")},
        {STR("Sec-WebSocket-Version"), STR("13")},
        {STR("Sec-WebSocket-Key"), str_from(key)},
        {STR("Sec-WebSocket-Protocol"), STR("v5.channel.k8s.io, v4.channel.k8s.io")}};
    struct http_request request = {
        .method = "GET", .target = target, .headers = headers, .n_headers = ARRAY_LEN(headers)};
    r->loop = s->loop;
    (void)http_call_start(kube_client_http(s->client), &request, &ops, r);
    while (!r->done) {
        if (input && r->conn && !r->stdin_io) {
            input = false;
            start_stdin(r);
        }
        loop_turn(s->loop, -1);
    }
    loop_io_remove(r->stdin_io);
    conn_free(r->conn);
    buf_done(&r->status);
    return r->code;
}

int cli_exec_capture(struct cli_session *s, const char *pod, const char *container,
                     const char *const *command, size_t n_command, struct buf *out,
                     struct buf *errors)
{
    const struct remote_args a = {.session = *s, .container = container};
    struct remote r = {.verb = "exec", .out = out, .errors = errors};
    AUTO_CHARS char *target = build_target(&a, "exec", pod, command, n_command);
    return run(s, &r, target, false);
}

/* Keys go to the other side as they are pressed; ours comes back as it was. */
static int run_raw(struct cli_session *s, struct remote *r, const char *target, bool input)
{
    struct termios before, raw;
    int flags = fcntl(0, F_GETFL);
    bool terminal = r->tty && tcgetattr(0, &before) == 0;
    if (terminal) {
        raw = before;
        cfmakeraw(&raw);
        (void)tcsetattr(0, TCSANOW, &raw);
        loop_signal_add(s->loop, SIGWINCH, send_size, r);
    }
    int code = run(s, r, target, input);
    if (terminal) {
        (void)tcsetattr(0, TCSANOW, &before);
        (void)fcntl(0, F_SETFL, flags);
    }
    return code;
}

static int run_remote(struct remote_args *a, const char *verb, const char *pod,
                      const char *const *command, size_t n_command)
{
    struct remote r = {.verb = verb};
    int code = cli_session_open(&a->session);
    if (code >= 0)
        return code;
    if (a->tty && !isatty(0)) {
        fprintf(stderr, "warning: standard input is not a terminal: -t is not used\n");
        a->tty = false;
    }
    r.tty = a->tty;
    AUTO_CHARS char *chosen = NULL;
    if ((code = cli_pod_choose(&a->session, pod, &chosen)) < 0) {
        AUTO_CHARS char *target = build_target(a, verb, chosen, command, n_command);
        code = run_raw(&a->session, &r, target, a->input);
    }
    cli_session_close(&a->session);
    return code;
}

#define REMOTE_ARGS(a)                                                                             \
    CLI_SESSION_ARGS(&(a)->session),                                                               \
        {"container", 'c', ARG_STRING, &(a)->container, "NAME", "container of the pod",            \
         0,           0,   false},                                                                 \
        {"stdin", 'i', ARG_BOOL, &(a)->input, NULL, "pass standard input on", 0, 0, false},        \
    {                                                                                              \
        "tty", 't', ARG_BOOL, &(a)->tty, NULL, "standard input is a terminal", 0, 0, false         \
    }

int cli_exec(int argc, char **argv)
{
    struct remote_args a = {0};
    struct arg args[] = {REMOTE_ARGS(&a), {.name = NULL}};
    bool dashed = false;
    for (int i = 1; i < argc; i++)
        dashed = dashed || streq(argv[i], "--");
    /* Without "--" the first word after POD begins the command, its flags included. */
    const struct program p = {"fairlead exec",
                              "runs a command in a container; the exit code is the command's",
                              "POD | TYPE/NAME [flags] -- COMMAND…",
                              "  fairlead exec web -- ls -l\n"
                              "  fairlead exec deploy/web -- env\n"
                              "  fairlead exec -it web -c main -- sh\n"
                              "  tar c dir | fairlead exec -i web -- tar x -C /tmp\n",
                              args,
                              !dashed};
    AUTO_DONE(arg_list) struct arg_list rest = {0};
    size_t dashes = SIZE_MAX;
    int code = program_start(&p, argc, argv, &rest, &dashes);
    if (code >= 0)
        return code;
    if (rest.n < 2 || (dashed && dashes != 1))
        return program_fail(EXIT_USAGE_ERROR, "fairlead exec POD -- COMMAND",
                            "name a pod and a command");
    return run_remote(&a, "exec", rest.v[0], rest.v + 1, rest.n - 1);
}

int cli_attach(int argc, char **argv)
{
    struct remote_args a = {0};
    struct arg args[] = {REMOTE_ARGS(&a), {.name = NULL}};
    const struct program p = {"fairlead attach",
                              "joins the output (and, with -i, the input) of a container's program",
                              "POD | TYPE/NAME [flags]",
                              "  fairlead attach web\n"
                              "  fairlead attach -it shell -c main\n"
                              "  echo word | fairlead attach -i reader\n",
                              args,
                              false};
    AUTO_DONE(arg_list) struct arg_list rest = {0};
    int code = program_start(&p, argc, argv, &rest, NULL);
    if (code >= 0)
        return code;
    if (rest.n != 1)
        return program_fail(EXIT_USAGE_ERROR, "fairlead attach POD", "name a pod");
    return run_remote(&a, "attach", rest.v[0], NULL, 0);
}
