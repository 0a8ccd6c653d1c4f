/* fairlead exec: a command in a container, over WebSocket (v5.channel.k8s.io, v4 for older
 * servers).
 *
 * Channels: 0 stdin, 1 stdout, 2 stderr, 3 the Status at the end, 255 (v5) closes a channel. The
 * exit code is the command's. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "codec/url.h"
#include "codec/websocket.h"

struct remote {
    struct loop *loop;
    struct conn *conn;
    struct loop_io *stdin_io;
    struct buf status;
    struct buf error; /* body of a refusal */
    int http_status;
    bool done;
    bool v5;
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
            write_all(channel, data);
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
            finish(r, program_fail(EXIT_FAILED, NULL,
                                   "exec: the server broke the WebSocket protocol"));
            return;
        }
        on_frame(r, &f);
        buf_consume(conn_in(c), used);
    }
    if (!r->done && conn_eof(c))
        finish(r, r->status.n ? exit_code_of(&r->status)
                              : program_fail(EXIT_FAILED, NULL,
                                             "exec: the connection ended before the command"));
}

static void on_close(struct conn *c, int code, const char *text, void *user)
{
    struct remote *r = user;
    (void)c;
    (void)code;
    r->conn = NULL;
    if (!r->done)
        finish(r, r->status.n ? exit_code_of(&r->status)
                              : program_fail(EXIT_FAILED, NULL, "exec: %s", text));
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
        r->stdin_io = loop_io_add(r->loop, 0, on_stdin, r);
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
    conn_resume(c);
}

static void on_refused(struct http_call *call, int code, const char *text, void *user)
{
    struct remote *r = user;
    struct cli_answer a = {.status = http_call_status(call)};
    if (code < 0) {
        finish(r, program_fail(EXIT_UNREACHABLE, NULL, "exec: %s", text));
        return;
    }
    buf_add_str(&a.body, http_call_body(call));
    finish(r, cli_server_error(&a));
    buf_done(&a.body);
}

static char *build_target(const struct cli_session *s, const char *pod, const char *container,
                          bool input, const struct arg_list *command, size_t from)
{
    const struct cli_resource pods = {
        .plural = "pods", .kind = "Pod", .group_version = "v1", .namespaced = true};
    AUTO_CHARS char *path = cli_resource_path(&pods, s->namespace_, pod);
    AUTO_DONE(buf) struct buf b = {0};
    buf_addf(&b, "%s/exec?stdout=true&stderr=true", path);
    if (input)
        buf_add_cstr(&b, "&stdin=true");
    if (container) {
        buf_add_cstr(&b, "&container=");
        url_encode(str_from(container), &b);
    }
    for (size_t i = from; i < command->n; i++) {
        buf_add_cstr(&b, "&command=");
        url_encode(str_from(command->v[i]), &b);
    }
    return buf_take_cstr(&b);
}

static int run(struct cli_session *s, const char *target, bool input)
{
    static const struct http_call_ops ops = {.on_done = on_refused, .on_upgrade = on_upgrade};
    struct remote r = {.loop = s->loop};
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
    (void)http_call_start(kube_client_http(s->client), &request, &ops, &r);
    while (!r.done) {
        if (input && r.conn && !r.stdin_io) {
            input = false;
            start_stdin(&r);
        }
        loop_turn(s->loop, -1);
    }
    loop_io_remove(r.stdin_io);
    conn_free(r.conn);
    buf_done(&r.status);
    return r.code;
}

int cli_exec(int argc, char **argv)
{
    struct cli_session s = {0};
    const char *container = NULL;
    bool input = false;
    struct arg args[] = {
        CLI_SESSION_ARGS(&s),
        {"container", 'c', ARG_STRING, &container, "NAME", "container of the pod", 0, 0, false},
        {"stdin", 'i', ARG_BOOL, &input, NULL, "pass standard input on", 0, 0, false},
        {.name = NULL},
    };
    bool dashed = false;
    for (int i = 1; i < argc; i++)
        dashed = dashed || streq(argv[i], "--");
    /* Without "--" the first word after POD begins the command, its flags included. */
    const struct program p = {"fairlead exec",
                              "runs a command in a container",
                              "POD [flags] -- COMMAND…",
                              "  fairlead exec web -- ls -l\n",
                              args,
                              !dashed};
    AUTO_DONE(arg_list) struct arg_list rest = {0};
    size_t dashes = SIZE_MAX;
    int code = program_start(&p, argc, argv, &rest, &dashes);
    if (code >= 0)
        return code;
    size_t at = 1;
    if (rest.n <= at || (dashed && dashes != 1))
        return program_fail(EXIT_USAGE_ERROR, "fairlead exec POD -- COMMAND",
                            "name a pod and a command");
    code = cli_session_open(&s);
    if (code >= 0)
        return code;
    const char *pod = str_starts(str_from(rest.v[0]), STR("pod/")) ? rest.v[0] + 4 : rest.v[0];
    AUTO_CHARS char *target = build_target(&s, pod, container, input, &rest, at);
    code = run(&s, target, input);
    cli_session_close(&s);
    return code;
}
