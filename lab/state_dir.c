/* The lab's directory. Writes are atomic (temporary file, rename), so that a kill in between leaves
 * the old or the new file, never half of one. The lock is an flock on a file inside: it ends with
 * the process that holds it, however that ends. */
#include "lab/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/files.h"
#include "base/vec.h"
#include "lab/file_tree.h"

const char *state_dir_root(void)
{
    static char root[512];
    const char *base = getenv("FAIRLEAD_STATE_DIR");
    snprintf(root, sizeof(root), "%s/labs", str_empty(base) ? "/var/lib/fairlead" : base);
    return root;
}

void state_dir_of(const char *lab, struct state_dir *ret)
{
    ret->path = xasprintf("%s/%s", state_dir_root(), lab);
    ret->lock_fd = -1;
}

void state_dir_done(struct state_dir *d)
{
    free(d->path);
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    *d = (struct state_dir){.lock_fd = -1};
}

int state_dir_make(struct state_dir *d, struct err *reterr)
{
    static const char *const parts[] = {"", "pki", "logs", "nodes"};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        AUTO_CHARS char *path =
            *parts[i] ? xasprintf("%s/%s", d->path, parts[i]) : xstrdup(d->path);
        int r = directory_make(path, 0700, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

bool state_dir_exists(const struct state_dir *d)
{
    struct stat st;
    return lstat(d->path, &st) == 0 && S_ISDIR(st.st_mode);
}

int state_dir_lock(struct state_dir *d, int *ret_holder, struct err *reterr)
{
    AUTO_CHARS char *path = state_dir_file(d, "lock");
    char pid[24] = "";
    AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set(reterr, -errno, NULL, "open %s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
        if (ret_holder)
            *ret_holder = n > 0 ? atoi(pid) : 0;
        return err_set(reterr, -EBUSY, NULL, "the lab is running (pid %s)",
                       n > 0 ? pid : "unknown");
    }
    int n = snprintf(pid, sizeof(pid), "%d", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
        return err_set(reterr, -EIO, NULL, "write %s: %s", path, strerror(errno));
    d->lock_fd = TAKE_FD(fd);
    return 0;
}

int state_dir_remove(struct state_dir *d, struct err *reterr)
{
    return tree_remove(d->path, reterr);
}

char *state_dir_file(const struct state_dir *d, const char *name)
{
    return xasprintf("%s/%s", d->path, name);
}

int state_dir_write(const struct state_dir *d, const char *name, struct str text,
                    struct err *reterr)
{
    AUTO_CHARS char *path = state_dir_file(d, name);
    return file_replace(path, text, 0600, reterr);
}

int state_dir_read(const struct state_dir *d, const char *name, struct buf *ret, struct err *reterr)
{
    AUTO_CHARS char *path = state_dir_file(d, name);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(reterr, -errno, NULL, "open %s: %s", path, strerror(errno));
    char piece[8192];
    ssize_t n;
    while ((n = read(fd, piece, sizeof(piece))) > 0)
        buf_add(ret, piece, (size_t)n);
    return n < 0 ? err_set(reterr, -errno, NULL, "read %s: %s", path, strerror(errno)) : 0;
}
