/* Standard streams of processes. A process with a terminal has one pty and no stderr; without,
 * three pipes. Our ends never block; what a process does not read yet waits in a bounded queue. */
#include "lab/node/process_streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"

enum { INPUT_QUEUE_MAX = 1024 * 1024 };

void process_streams_init(struct process_streams *s)
{
    *s = (struct process_streams){{-1, -1, -1}, -1, {-1, -1}};
}

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

static int open_pty(struct process_streams *s)
{
    char name[64];
    s->in = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (s->in < 0)
        return -errno;
    if (grantpt(s->in) < 0 || unlockpt(s->in) < 0 || ptsname_r(s->in, name, sizeof(name)) != 0)
        return -EIO;
    s->process[0] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (s->process[0] < 0)
        return -errno;
    s->process[1] = fcntl(s->process[0], F_DUPFD_CLOEXEC, 3);
    s->process[2] = fcntl(s->process[0], F_DUPFD_CLOEXEC, 3);
    s->out[0] = fcntl(s->in, F_DUPFD_CLOEXEC, 3);
    return s->out[0] < 0 || s->process[1] < 0 || s->process[2] < 0 ? -errno : 0;
}

int process_streams_open(struct process_streams *s, bool tty, bool input, struct err *reterr)
{
    int r;
    process_streams_init(s);
    if (tty) {
        r = open_pty(s);
    } else {
        r = open_pipe(&s->out[0], &s->process[1], false);
        if (r == 0)
            r = open_pipe(&s->out[1], &s->process[2], false);
        if (r == 0 && input)
            r = open_pipe(&s->in, &s->process[0], true);
    }
    return r < 0 ? err_set(reterr, r, NULL, "streams: %s", strerror(-r)) : 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void process_streams_close_process(struct process_streams *s)
{
    for (int i = 0; i < 3; i++)
        close_fd(&s->process[i]);
}

void process_streams_done(struct process_streams *s)
{
    process_streams_close_process(s);
    close_fd(&s->in);
    close_fd(&s->out[0]);
    close_fd(&s->out[1]);
}

/* ---- input ---- */

struct process_input {
    int fd; /* -1 = closed */
    bool tty;
    bool ends;
    bool full;
    struct loop_io *io;
    struct buf queue;
    void (*on_room)(void *user);
    void *user;
};

static void input_close(struct process_input *in)
{
    loop_io_remove(in->io);
    in->io = NULL;
    close_fd(&in->fd);
    buf_clear(&in->queue);
}

static void input_flush(struct process_input *in)
{
    while (in->fd >= 0 && in->queue.n) {
        ssize_t n = write(in->fd, in->queue.p, in->queue.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            input_close(in);
        else
            buf_consume(&in->queue, (size_t)n);
    }
    if (in->fd >= 0 && in->ends && in->tty)
        in->ends = write(in->fd, "\004", 1) < 0; /* a terminal's end of file */
    else if (in->fd >= 0 && in->ends)
        input_close(in);
}

static void on_writable(struct loop_io *io, uint32_t events, void *user)
{
    struct process_input *in = user;
    (void)io;
    (void)events;
    input_flush(in);
    if (in->full && in->queue.n < INPUT_QUEUE_MAX) {
        in->full = false;
        if (in->on_room)
            in->on_room(in->user);
    }
}

struct process_input *process_input_new(struct loop *l, int fd, bool tty, void (*on_room)(void *),
                                        void *user)
{
    struct process_input *in = NEW(struct process_input);
    *in = (struct process_input){
        .fd = fd, .tty = tty, .on_room = on_room, .user = user, .queue.cap = 4 * INPUT_QUEUE_MAX};
    if (loop_io_add(l, fd, on_writable, in, &in->io) < 0)
        log_error("cannot wait for a process's input");
    return in;
}

void process_input_free(struct process_input *in)
{
    if (!in)
        return;
    input_close(in);
    buf_done(&in->queue);
    free(in);
}

bool process_input_write(struct process_input *in, struct str bytes)
{
    if (in->fd < 0 || in->ends)
        return true; /* nobody reads it: gone, as with a closed pipe */
    buf_add_str(&in->queue, bytes);
    input_flush(in);
    in->full = in->queue.n >= INPUT_QUEUE_MAX;
    return !in->full;
}

void process_input_end(struct process_input *in)
{
    in->ends = true;
    input_flush(in);
}

void process_input_resize(struct process_input *in, unsigned columns, unsigned rows)
{
    const struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
    if (in->tty && in->fd >= 0)
        (void)ioctl(in->fd, TIOCSWINSZ, &size);
}
