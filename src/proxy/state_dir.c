/* The state directory. Everything goes by its descriptor: what it is called may change. */
#include "proxy/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static const char file_name[] = "last-good", temporary_name[] = "last-good.new";

struct state_dir {
    char *path;
    int fd;
};

#define FAIL(code, what)                                                                           \
    err_set(reterr, -(code), NULL, "%.200s%s: %s", d->path, what, strerror(code))

/* Whoever may write there decides what this program does. */
static bool is_ours(const struct stat *s)
{
    return (s->st_uid == geteuid() || s->st_uid == 0) && !(s->st_mode & 022);
}

static int open_dir(struct state_dir *d, struct err *reterr)
{
    struct stat s;
    if (mkdir(d->path, 0700) < 0 && errno != EEXIST)
        return FAIL(errno, "");
    d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0 || fstat(d->fd, &s) < 0)
        return FAIL(errno, "");
    if (!is_ours(&s))
        return err_set(
            reterr, -EPERM, NULL,
            "%.200s: others may write there (mode %03o); use a directory of its own, which "
            "is made if it is not there",
            d->path, s.st_mode & 0777);
    if (flock(d->fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? err_set(reterr, -EBUSY, NULL, "%.200s: another process uses it", d->path)
                   : FAIL(errno, "");
    return 0;
}

int state_dir_open(const char *path, struct state_dir **ret, struct err *reterr)
{
    struct state_dir *d = NEW(struct state_dir);
    d->path = xstrdup(path);
    d->fd = -1;
    int r = open_dir(d, reterr);
    if (r < 0) {
        state_dir_close(d);
        return r;
    }
    *ret = d;
    return 0;
}

void state_dir_close(struct state_dir *d)
{
    if (!d)
        return;
    if (d->fd >= 0)
        close(d->fd);
    free(d->path);
    free(d);
}

static int read_all(const struct state_dir *d, int fd, size_t max, struct buf *b,
                    struct err *reterr)
{
    for (;;) {
        char *room = buf_reserve(b, 65536);
        ssize_t n = room ? read(fd, room, 65536) : -1;
        if (!room)
            return FAIL(ENOMEM, "/last-good");
        if (n < 0)
            return FAIL(errno, "/last-good");
        if (n == 0)
            return 0;
        b->n += (size_t)n;
        if (b->n > max)
            return FAIL(E2BIG, "/last-good");
    }
}

int state_dir_read(const struct state_dir *d, size_t max, struct buf *b, struct err *reterr)
{
    struct stat s;
    AUTO_FD int fd = openat(d->fd, file_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &s) < 0)
        return FAIL(errno, "/last-good");
    if (!S_ISREG(s.st_mode) || !is_ours(&s))
        return err_set(reterr, -EPERM, NULL,
                       "%.200s/last-good: not a file that only this user may write", d->path);
    return read_all(d, fd, max, b, reterr);
}

static int write_all(int fd, struct str bytes)
{
    for (size_t done = 0; done < bytes.n;) {
        ssize_t n = write(fd, bytes.p + done, bytes.n - done);
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int write_new(const struct state_dir *d, struct str bytes)
{
    (void)unlinkat(d->fd, temporary_name, 0); /* of a process that was killed */
    AUTO_FD int fd =
        openat(d->fd, temporary_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int r = write_all(fd, bytes);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    return r;
}

int state_dir_write(const struct state_dir *d, struct str bytes, struct err *reterr)
{
    int r = write_new(d, bytes);
    if (r == 0 && renameat(d->fd, temporary_name, d->fd, file_name) < 0)
        r = -errno;
    if (r == 0)
        return fsync(d->fd) < 0 ? FAIL(errno, "") : 0;
    (void)unlinkat(d->fd, temporary_name, 0);
    return FAIL(-r, "/last-good");
}
