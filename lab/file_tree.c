/* Files and directories: the one place that removes them.
 *
 * Containers write below some of these directories, so removal goes by open descriptors: a path
 * that is exchanged for a link while we walk leads nowhere else. No threads, nothing is kept. */
#include "lab/file_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A container can nest directories as deep as it likes: what lies deeper than DEPTH_MAX is moved to
 * the top and removed from there, so neither descriptors nor the stack run out. */
enum { DEPTH_MAX = 64 };

struct removal {
    int top_fd;
    dev_t device;
    unsigned moved; /* names given so far */
};

static int remove_below(struct removal *w, int dir_fd, unsigned depth);

static int move_up(struct removal *w, int dir_fd, const char *name)
{
    char fresh[40];
    do
        snprintf(fresh, sizeof(fresh), "..deep.%u", w->moved++);
    while (faccessat(w->top_fd, fresh, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
    return renameat(dir_fd, name, w->top_fd, fresh) < 0 ? -errno : 0;
}

static int remove_directory(struct removal *w, int dir_fd, const struct stat *st, const char *name,
                            unsigned depth)
{
    if (st->st_dev != w->device)
        return -EBUSY;
    if (depth == DEPTH_MAX)
        return move_up(w, dir_fd, name);
    int sub = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = sub < 0 ? -errno : remove_below(w, sub, depth + 1);
    return r < 0 ? r : unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Takes dir_fd. */
static int remove_below(struct removal *w, int dir_fd, unsigned depth)
{
    int r = 0;
    DIR *dir = fdopendir(dir_fd);
    if (!dir) {
        close(dir_fd);
        return -errno;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        int one = 0;
        if (streq(e->d_name, ".") || streq(e->d_name, ".."))
            continue;
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISDIR(st.st_mode))
            one = remove_directory(w, dirfd(dir), &st, e->d_name, depth);
        else if (unlinkat(dirfd(dir), e->d_name, 0) < 0)
            one = -errno;
        r = r ? r : one;
    }
    closedir(dir);
    return r;
}

/* Takes fd. */
static int remove_tree(int fd)
{
    struct stat st;
    struct removal w = {.top_fd = fd};
    int r = fstat(fd, &st) < 0 ? -errno : 0;
    w.device = st.st_dev;
    for (unsigned before = ~0u; r == 0 && before != w.moved;) { /* again for what was moved up */
        before = w.moved;
        int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = again < 0 ? -errno : remove_below(&w, again, 0);
    }
    close(fd);
    return r;
}

int tree_remove(const char *path, struct err *reterr)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0) {
        r = unlink(path) < 0 ? -errno : 0;
    } else {
        r = remove_tree(fd);
        if (r == 0 && rmdir(path) < 0)
            r = -errno;
    }
    return r < 0 ? err_set(reterr, r, NULL, "remove %s: %s", path, strerror(-r)) : 0;
}

int file_open_below(int dir_fd, const char *path)
{
    const struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
    return fd < 0 ? -errno : fd;
}
