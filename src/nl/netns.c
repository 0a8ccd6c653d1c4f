/* Network namespaces by name.
 *
 * Owns the files under /run/netns that it makes: each is an empty file with a bind mount of a
 * namespace. Knows nothing of what the names mean. A namespace that is being made is pinned by the
 * thread that made it before anyone else can see it, so a process killed in between leaves at most
 * an empty file, which netns_add takes over and netns_remove removes. Unlike iproute2, /run/netns
 * is not turned into a mount point of its own: what is not done need not be undone. */
#include "nl/netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/str.h"

enum { NETNS_PATH_BYTES = 320, COVERS_MAX = 8 };

#define THREAD_NETNS "/proc/thread-self/ns/net"

static int netns_path(const char *name, char ret[NETNS_PATH_BYTES], struct err *reterr)
{
    if (str_empty(name) || strlen(name) > 255 || strchr(name, '/') || name[0] == '.')
        return err_set(reterr, -EINVAL, NULL, "network namespace name '%s' is not a file name",
                       name);
    snprintf(ret, NETNS_PATH_BYTES, NETNS_DIR "/%s", name);
    return 0;
}

static bool path_is_namespace(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

/* ---- a thread per errand ---- */

struct errand {
    int fd; /* namespace to enter, -1 = stay */
    netns_fn *fn;
    void *user;
    struct err err;
    int result;
};

static void *errand_main(void *p)
{
    struct errand *e = p;
    if (e->fd >= 0 && setns(e->fd, CLONE_NEWNET) < 0)
        e->result = err_set(&e->err, -errno, NULL, "enter network namespace: %s", strerror(errno));
    else
        e->result = e->fn(e->user, &e->err);
    return NULL;
}

static int errand_run(int fd, netns_fn *fn, void *user, struct err *reterr)
{
    struct errand e = {.fd = fd, .fn = fn, .user = user};
    pthread_t thread;
    int r = pthread_create(&thread, NULL, errand_main, &e);
    if (r != 0)
        return err_set(reterr, -r, NULL, "start a thread: %s", strerror(r));
    r = pthread_join(thread, NULL);
    ASSERT(r == 0);
    if (e.result < 0 && reterr)
        *reterr = e.err;
    return e.result;
}

int netns_run(int fd, netns_fn *fn, void *user, struct err *reterr)
{
    ASSERT(fd >= 0);
    return errand_run(fd, fn, user, reterr);
}

/* ---- pinned namespaces ---- */

static int netns_make(void *user, struct err *reterr)
{
    const char *path = user;
    if (unshare(CLONE_NEWNET) < 0)
        return err_set(reterr, -errno, NULL, "new network namespace: %s%s", strerror(errno),
                       errno == EPERM ? " (are you root?)" : "");
    if (mount(THREAD_NETNS, path, "none", MS_BIND, NULL) < 0)
        return err_set(reterr, -errno, NULL, "pin %s: %s", path, strerror(errno));
    return 0;
}

/* See unpin_covered. -1 without the directory. */
static int netns_lock(int how)
{
    int fd = open(NETNS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)flock(fd, how);
    return fd;
}

int netns_add(const char *name, struct err *reterr)
{
    char path[NETNS_PATH_BYTES];
    int r = netns_path(name, path, reterr);
    if (r < 0)
        return r;
    if (mkdir(NETNS_DIR, 0755) < 0 && errno != EEXIST)
        return err_set(reterr, -errno, NULL, NETNS_DIR ": %s", strerror(errno));
    AUTO_FD int lock = netns_lock(LOCK_SH);
    (void)lock; /* held until the return */
    if (path_is_namespace(path))
        return err_set(reterr, -EEXIST, NULL, "network namespace %s exists", name);
    AUTO_FD int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0444);
    if (fd < 0)
        return err_set(reterr, -errno, NULL, "%s: %s", path, strerror(errno));
    r = errand_run(-1, netns_make, path, reterr);
    if (r < 0)
        (void)unlink(path);
    return r;
}

static int unpin(const char *path, struct err *reterr)
{
    while (path_is_namespace(path))
        if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
            return err_set(reterr, -errno, NULL, "unmount %s: %s", path, strerror(errno));
    return 0;
}

/* The first `ip netns add` on a machine binds /run/netns onto itself, all mounts below included.
 * Where mounts are private our pins are then there twice, and the older ones are covered: no path
 * leads to them, but they keep the file busy. So the cover is moved aside for a moment. Whoever
 * pins or unpins meanwhile waits for the lock, which is one of the directory's inode and so the
 * same above and below the cover. */
static int unpin_covered(const char *path, struct err *reterr)
{
    char aside[] = "/run/.fairlead-netns-XXXXXX";
    if (!mkdtemp(aside))
        return err_set(reterr, -errno, NULL, "mkdir %s: %s", aside, strerror(errno));
    int r = 0;
    if (mount(NETNS_DIR, aside, NULL, MS_MOVE, NULL) < 0) {
        r = err_set(reterr, -EBUSY, NULL, "remove %s: it is pinned by a mount that is covered",
                    path);
    } else {
        r = unpin(path, reterr);
        if (r == 0)
            (void)unlink(path);
        if (mount(aside, NETNS_DIR, NULL, MS_MOVE, NULL) < 0)
            r = err_set(reterr, -errno, NULL, "move %s back to " NETNS_DIR ": %s", aside,
                        strerror(errno));
    }
    (void)rmdir(aside);
    return r;
}

int netns_remove(const char *name, struct err *reterr)
{
    char path[NETNS_PATH_BYTES];
    AUTO_FD int lock = netns_lock(LOCK_SH);
    int r = netns_path(name, path, reterr);
    if (r == 0)
        r = unpin(path, reterr);
    for (int covers = 0; r == 0 && unlink(path) < 0 && errno != ENOENT; covers++) {
        if (errno != EBUSY || covers == COVERS_MAX)
            return err_set(reterr, -errno, NULL, "remove %s: %s", path, strerror(errno));
        (void)flock(lock, LOCK_EX);
        r = unpin_covered(path, reterr);
        (void)flock(lock, LOCK_SH);
    }
    return r;
}

int netns_open(const char *name, struct err *reterr)
{
    char path[NETNS_PATH_BYTES];
    int r = netns_path(name, path, reterr);
    if (r < 0)
        return r;
    if (!path_is_namespace(path))
        return err_set(reterr, -ENOENT, NULL, "no network namespace %s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : err_set(reterr, -errno, NULL, "%s: %s", path, strerror(errno));
}

ino_t netns_inode(const char *name)
{
    char path[NETNS_PATH_BYTES];
    struct stat st;
    if (netns_path(name, path, NULL) < 0 || !path_is_namespace(path) || stat(path, &st) < 0)
        return 0;
    return st.st_ino;
}

int netns_each(const char *prefix, void (*fn)(const char *name, void *user), void *user)
{
    size_t n = strlen(prefix);
    DIR *dir = opendir(NETNS_DIR);
    if (!dir)
        return errno == ENOENT ? 0 : -errno;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.' || strncmp(e->d_name, prefix, n) != 0)
            continue;
        if (n && e->d_name[n] && e->d_name[n] != '.')
            continue;
        fn(e->d_name, user);
    }
    closedir(dir);
    return 0;
}

int netns_enter(const char *path, struct err *reterr)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        return err_set(reterr, -errno, NULL, "enter network namespace %s: %s", path,
                       strerror(errno));
    return 0;
}

int netns_sysctl(const char *name, const char *value, struct err *reterr)
{
    char path[256];
    snprintf(path, sizeof(path), "/proc/sys/%s", name);
    AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(reterr, -errno, NULL, "%s: %s", path, strerror(errno));
    if (write(fd, value, strlen(value)) < 0)
        return err_set(reterr, -errno, NULL, "%s = %s: %s", path, value, strerror(errno));
    return 0;
}

/* ---- IPC and UTS ---- */

struct ipc_uts {
    const char *hostname;
    int ipc;
    int uts;
};

static int ipc_uts_make(void *user, struct err *reterr)
{
    struct ipc_uts *w = user;
    if (unshare(CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return err_set(reterr, -errno, NULL, "new IPC and UTS namespaces: %s", strerror(errno));
    if (sethostname(w->hostname, strlen(w->hostname)) < 0)
        return err_set(reterr, -errno, NULL, "host name %s: %s", w->hostname, strerror(errno));
    AUTO_FD int ipc = open("/proc/thread-self/ns/ipc", O_RDONLY | O_CLOEXEC);
    AUTO_FD int uts = open("/proc/thread-self/ns/uts", O_RDONLY | O_CLOEXEC);
    if (ipc < 0 || uts < 0)
        return err_set(reterr, -errno, NULL, "open namespaces: %s", strerror(errno));
    w->ipc = TAKE_FD(ipc);
    w->uts = TAKE_FD(uts);
    return 0;
}

int netns_ipc_uts_new(const char *hostname, int *ret_ipc, int *ret_uts, struct err *reterr)
{
    struct ipc_uts w = {.hostname = hostname, .ipc = -1, .uts = -1};
    int r = errand_run(-1, ipc_uts_make, &w, reterr);
    if (r < 0)
        return r;
    *ret_ipc = w.ipc;
    *ret_uts = w.uts;
    return 0;
}
