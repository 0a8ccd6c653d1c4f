/* `kubectl exec`: a further process in a container.
 *
 * A session lives as long as its connection or its process, whichever ends last; output is read
 * only while the client takes it. Without a connection the process sees its terminal hang up, or
 * its pipes close. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/url.h"
#include "lab/node/container.h"
#include "lab/node/kubelet_stream.h"
#include "lab/node/process_streams.h"

enum { EXEC_PIECE = 32 * 1024, EXEC_WORDS_MAX = 1024 };

struct exec_output {
    struct exec *exec;
    enum kubelet_channel channel;
    int fd;
    struct loop_io *io;
};

struct exec {
    struct loop_call free_now;
    struct loop *loop;
    struct kubelet_stream *stream; /* NULL = gone */
    struct process_input *in;      /* NULL = none */
    struct exec_output out[2];
    bool tty;
    pid_t pid; /* 0 = ended */
};

static void output_close(struct exec_output *o)
{
    loop_io_remove(o->io);
    o->io = NULL;
    if (o->fd >= 0)
        close(o->fd);
    o->fd = -1;
}

static void streams_close(struct exec *e)
{
    output_close(&e->out[0]);
    output_close(&e->out[1]);
    process_input_free(e->in);
    e->in = NULL;
}

static void exec_free_now(void *user)
{
    struct exec *e = user;
    streams_close(e);
    free(e);
}

/* ---- output ---- */

static void output_read(struct exec_output *o, bool all)
{
    char piece[EXEC_PIECE];
    struct exec *e = o->exec;
    while (o->fd >= 0 && e->stream && (all || !kubelet_stream_is_full(e->stream))) {
        ssize_t n = read(o->fd, piece, sizeof(piece));
        if (n > 0)
            kubelet_stream_send(e->stream, o->channel, str_of(piece, (size_t)n));
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

/* ---- the client ---- */

static bool on_input(struct str bytes, void *user)
{
    struct exec *e = user;
    return !e->in || process_input_write(e->in, bytes);
}

static void on_room(void *user)
{
    struct exec *e = user;
    if (e->stream)
        kubelet_stream_resume(e->stream);
}

static void on_input_end(void *user)
{
    struct exec *e = user;
    if (e->in)
        process_input_end(e->in);
}

static void on_resize(unsigned columns, unsigned rows, void *user)
{
    struct exec *e = user;
    if (e->in)
        process_input_resize(e->in, columns, rows);
}

static void on_drained(void *user)
{
    struct exec *e = user;
    output_read(&e->out[0], false);
    output_read(&e->out[1], false);
}

static void on_gone(void *user)
{
    struct exec *e = user;
    e->stream = NULL;
    streams_close(e);
    if (e->pid && e->tty)
        (void)kill(e->pid, SIGHUP);
    if (!e->pid)
        loop_defer(e->loop, &e->free_now);
}

/* ---- the end ---- */

static json_t *status_of_code(int code)
{
    char message[80], text[16];
    if (code == 0)
        return kubelet_stream_success();
    snprintf(message, sizeof(message), "command terminated with non-zero exit code: exit status %d",
             code);
    snprintf(text, sizeof(text), "%d", code);
    return json_pack("{s:{},s:s,s:s,s:s,s:{s:[{s:s,s:s}]}}", "metadata", "status", "Failure",
                     "message", message, "reason", "NonZeroExitCode", "details", "causes", "reason",
                     "ExitCode", "message", text);
}

static json_t *status_of(int wait_status)
{
    return status_of_code(WIFEXITED(wait_status) ? WEXITSTATUS(wait_status)
                                                 : 128 + WTERMSIG(wait_status));
}

static void on_exit_of(pid_t pid, int status, void *user)
{
    (void)pid;
    struct exec *e = user;
    e->pid = 0;
    output_read(&e->out[0], true);
    output_read(&e->out[1], true);
    if (e->stream)
        kubelet_stream_finish(e->stream, status_of(status));
    else
        loop_defer(e->loop, &e->free_now);
}

/* ---- the beginning ---- */

/* The container's variables, and TERM, which container runtimes add for a terminal. The array is
 * the caller's, the strings are not. */
static char **env_of_terminal(char *const *envp)
{
    static char term[] = "TERM=xterm";
    bool has = false;
    size_t n = 0;
    for (; envp[n]; n++)
        has = has || strncmp(envp[n], "TERM=", 5) == 0;
    char **v = xcalloc(n + 2, sizeof(*v));
    memcpy(v, envp, n * sizeof(*v));
    if (!has)
        v[n] = term;
    return v;
}

static int exec_spawn(struct pod_container *c, struct exec *e, char **argv, bool in,
                      struct err *reterr)
{
    struct process_streams f;
    int r = process_streams_open(&f, e->tty, in, reterr);
    struct container_spec s = pod_container_join(c, argv);
    s.in = f.process[0];
    s.out = f.process[1];
    s.err = f.process[2];
    s.tty = e->tty;
    char **with_term = e->tty ? env_of_terminal(s.envp) : NULL;
    s.envp = with_term ? with_term : s.envp;
    if (r == 0)
        r = container_spawn(&s, &e->pid, reterr);
    free(with_term);
    process_streams_close_process(&f);
    if (r < 0) {
        process_streams_done(&f);
        return r;
    }
    if (f.in >= 0)
        e->in = process_input_new(e->loop, f.in, e->tty, on_room, e);
    for (int i = 0; i < 2; i++)
        e->out[i].fd = f.out[i];
    return 0;
}

static void exec_watch(struct exec *e)
{
    if (loop_child_add(e->loop, e->pid, on_exit_of, e) < 0)
        log_error("cannot watch an exec process", kv_i("pid", e->pid));
    for (int i = 0; i < 2; i++)
        if (e->out[i].fd >= 0 &&
            loop_io_add(e->loop, e->out[i].fd, on_output, &e->out[i], &e->out[i].io) < 0)
            log_error("cannot watch the output of an exec process", kv_i("pid", e->pid));
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

/* A program that is not there, or may not run, is a command that ended, as with a real runtime. */
static void refuse(struct exec *e, const char *program, const struct err *err)
{
    bool absent = err->code == -ENOENT || err->code == -ENOTDIR, denied = err->code == -EACCES;
    if (!absent && !denied) {
        kubelet_stream_finish(e->stream, kubelet_stream_error(err_text(err)));
        return;
    }
    AUTO_CHARS char *looked = xasprintf("stat %s: no such file or directory", program);
    AUTO_CHARS char *text =
        xasprintf("OCI runtime exec failed: exec failed: unable to start container process: exec: "
                  "\"%s\": %s\n",
                  program,
                  denied                 ? "permission denied"
                  : strchr(program, '/') ? looked
                                         : "executable file not found in $PATH");
    kubelet_stream_send(e->stream, e->tty ? CHANNEL_OUT : CHANNEL_ERR, str_from(text));
    kubelet_stream_finish(e->stream, status_of_code(denied ? 126 : 127));
}

void kubelet_exec(struct pod_container *c, struct http_exchange *x)
{
    static const struct kubelet_stream_ops ops = {on_input, on_input_end, on_resize, on_drained,
                                                  on_gone};
    struct str query = http_exchange_query(x);
    bool in = url_param_bool(query, "input") || url_param_bool(query, "stdin");
    struct err err = {0};
    if (!c->pid) {
        kubelet_fail(x, 500, "InternalError", "container %s of pod %s is not running", c->name,
                     c->pod->name);
        return;
    }
    if (!kubelet_stream_is_wanted(x, "exec"))
        return;
    char **argv = read_command(query);
    if (!argv) {
        kubelet_fail(x, 400, "BadRequest", "you must specify at least 1 command for the container");
        return;
    }
    struct exec *e = NEW(struct exec);
    *e = (struct exec){.loop = c->pod->node->loop, .tty = url_param_bool(query, "tty")};
    loop_call_init(&e->free_now, exec_free_now, e);
    e->out[0] = (struct exec_output){e, CHANNEL_OUT, -1, NULL};
    e->out[1] = (struct exec_output){e, CHANNEL_ERR, -1, NULL};
    int r = exec_spawn(c, e, argv, in, &err);
    e->stream = kubelet_stream_new(x, &ops, e);
    if (r < 0)
        refuse(e, argv[0], &err);
    argv_free(argv);
    if (r < 0)
        return;
    exec_watch(e);
    kubelet_stream_start(e->stream);
}
