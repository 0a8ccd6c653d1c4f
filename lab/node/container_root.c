/* A container's view of the file system.
 *
 * The root is an overlay: the host's own files below, a tmpfs above. So every program of the host
 * is there, nothing has to be copied or unpacked, writes never reach the host, mount points can be
 * made anywhere, and all of it is gone with the container's mount namespace, even after kill -9.
 * The upper layer is a tmpfs because an overlay cannot be the upper layer of another (the host may
 * itself be a container), and because it needs no cleaning up. Other mounts of the host below / (a
 * separate /usr or /home) are bound read-only, since an overlay shows one file system only. /proc,
 * /dev, /run and /tmp are fresh; the lab's own state is hidden.
 *
 * Runs in the child between clone and exec; all paths are of the host until the last step. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/files.h"
#include "base/str.h"
#include "lab/file_tree.h"
#include "lab/node/container_priv.h"

#define SCRATCH_OPTIONS "mode=0755,size=512m"

static int do_mount(const char *source, const char *target, const char *type, unsigned long flags,
                    const char *options, struct err *reterr)
{
    if (mount(source, target, type, flags, options) < 0)
        return err_set(reterr, -errno, NULL, "mount %s on %s: %s", type ? type : source, target,
                       strerror(errno));
    return 0;
}

/* Makes the directories of path below base (path may end without being a directory itself). */
static void make_parents(char *path, size_t base)
{
    for (char *p = path + base + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        (void)mkdir(path, 0755);
        *p = '/';
    }
}

/* Makes target, of the same type as source, so that it can be mounted over. A symbolic link in the
 * last place is replaced: it would lead out of the container's tree (/etc/resolv.conf often is
 * one). */
static int make_target(const char *root, const char *target, bool is_dir, char *ret, size_t size,
                       struct err *reterr)
{
    struct stat st;
    snprintf(ret, size, "%s%s", root, target);
    if (strstr(target, "/../") || target[0] != '/')
        return err_set(reterr, -EINVAL, NULL, "mount path %s is not absolute or leads upwards",
                       target);
    make_parents(ret, strlen(root));
    bool exists = lstat(ret, &st) == 0;
    if (exists && S_ISLNK(st.st_mode))
        exists = unlink(ret) < 0;
    if (is_dir) {
        if (mkdir(ret, 0755) < 0 && errno != EEXIST)
            return err_set(reterr, -errno, NULL, "make mount point %s: %s", target,
                           strerror(errno));
        return 0;
    }
    if (exists) /* not opened: a program may have left a pipe there, and the node would wait */
        return 0;
    int fd = open(ret, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_set(reterr, -errno, NULL, "make mount point %s: %s", target, strerror(errno));
    close(fd);
    return 0;
}

/* What the source forbids stays forbidden: a remount sets all flags anew. */
static unsigned long kept_flags(const char *path)
{
    static const unsigned long pairs[][2] = {
        {ST_NOSUID, MS_NOSUID}, {ST_NODEV, MS_NODEV}, {ST_NOEXEC, MS_NOEXEC}};
    unsigned long flags = 0;
    struct statvfs st;
    for (size_t i = 0; statvfs(path, &st) == 0 && i < ARRAY_LEN(pairs); i++)
        flags |= st.f_flag & pairs[i][0] ? pairs[i][1] : 0;
    return flags;
}

/* below: MS_REC takes along what is mounted below the source, which then stays writable; 0 does
 * not. */
static int bind_at(const char *root, const char *source, bool is_dir, const char *target,
                   unsigned long below, bool read_only, struct err *reterr)
{
    char path[4096];
    int r = make_target(root, target, is_dir, path, sizeof(path), reterr);
    if (r == 0)
        r = do_mount(source, path, NULL, MS_BIND | below, NULL, reterr);
    if (r == 0 && read_only)
        r = do_mount(source, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | kept_flags(path), NULL,
                     reterr);
    return r;
}

/* For targets known to have no symbolic link on the way. */
static int bind_one(const char *root, const char *source, const char *target, bool read_only,
                    struct err *reterr)
{
    struct stat st;
    if (stat(source, &st) < 0)
        return err_set(reterr, -errno, NULL, "volume source %s: %s", source, strerror(errno));
    return bind_at(root, source, S_ISDIR(st.st_mode), target, 0, read_only, reterr);
}

/* For targets that users name: /var/run is a link to /run on most systems, and seen from outside an
 * absolute link leads to the host's files. So the mount is made from inside the new root; the
 * source comes along as an open file. */
static int bind_inside(const char *root, const struct container_mount *m, struct err *reterr)
{
    AUTO_FD int host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_FD int volume = open(m->source, O_PATH | O_CLOEXEC);
    AUTO_FD int source = m->below ? file_open_below(volume, m->below) : TAKE_FD(volume);
    struct stat st;
    char path[64];
    if (host < 0 || source < 0 || fstat(source, &st) < 0)
        return err_set(reterr, -errno, NULL, "volume source %s: %s", m->source, strerror(errno));
    if (chroot(root) < 0)
        return err_set(reterr, -errno, NULL, "chroot %s: %s", root, strerror(errno));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", source);
    int r = bind_at("", path, S_ISDIR(st.st_mode), m->target, MS_REC, m->read_only, reterr);
    if (fchdir(host) < 0 || chroot(".") < 0)
        return err_set(reterr, -errno, NULL, "chroot back: %s", strerror(errno));
    return r;
}

/* ---- the host's other mounts ---- */

static bool mount_is_kept(const char *path, const char *scratch)
{
    static const char *const fresh[] = {"/proc", "/sys", "/dev", "/run", "/tmp", "/var/run"};
    if (streq(path, "/") || str_starts(str_from(scratch), str_from(path)) ||
        str_starts(str_from(path), str_from(scratch)))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(fresh); i++) {
        size_t n = strlen(fresh[i]);
        if (strncmp(path, fresh[i], n) == 0 && (path[n] == 0 || path[n] == '/'))
            return false;
    }
    return true;
}

static void bind_host_mounts(const char *root, const char *scratch)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[4096], path[2048];
    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%*s %*s %*s %*s %2047s", path) == 1 && mount_is_kept(path, scratch) &&
            !strchr(path, '\\'))
            (void)bind_one(root, path, path, true, NULL); /* what cannot be shown is not there */
    }
    if (f)
        fclose(f);
}

/* ---- /dev ---- */

static int make_dev(const char *root, struct err *reterr)
{
    static const char *const nodes[] = {"null", "zero", "full", "random", "urandom", "tty"};
    char target[4096], source[32];
    snprintf(target, sizeof(target), "%s/dev", root);
    int r = do_mount("tmpfs", target, "tmpfs", MS_NOSUID, "mode=0755,size=64k", reterr);
    for (size_t i = 0; i < ARRAY_LEN(nodes) && r == 0; i++) {
        snprintf(source, sizeof(source), "/dev/%s", nodes[i]);
        r = bind_one(root, source, source, false, reterr);
    }
    if (r < 0)
        return r;
    static const char *const dirs[] = {"pts", "shm", "mqueue"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        snprintf(target, sizeof(target), "%s/dev/%s", root, dirs[i]);
        (void)mkdir(target, 0755);
    }
    snprintf(target, sizeof(target), "%s/dev/pts", root);
    r = do_mount("devpts", target, "devpts", MS_NOSUID | MS_NOEXEC,
                 "newinstance,ptmxmode=0666,mode=0620", reterr);
    snprintf(target, sizeof(target), "%s/dev/shm", root);
    if (r == 0)
        r = do_mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m", reterr);
    static const char *const links[][2] = {{"pts/ptmx", "ptmx"},
                                           {"/proc/self/fd", "fd"},
                                           {"/proc/self/fd/0", "stdin"},
                                           {"/proc/self/fd/1", "stdout"},
                                           {"/proc/self/fd/2", "stderr"}};
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        snprintf(target, sizeof(target), "%s/dev/%s", root, links[i][1]);
        (void)!symlink(links[i][0], target);
    }
    return r;
}

static int mount_fresh(const char *root, const char *dir, const char *type, unsigned long flags,
                       const char *options, struct err *reterr)
{
    char target[4096];
    snprintf(target, sizeof(target), "%s%s", root, dir);
    (void)mkdir(target, 0755);
    return do_mount(type, target, type, flags, options, reterr);
}

/* A directory looks empty afterwards, a file too; what is not there is fine. */
static int hide(const char *path, struct err *reterr)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return 0;
    if (S_ISDIR(st.st_mode))
        return do_mount("tmpfs", path, "tmpfs", MS_RDONLY, "mode=0700,size=4k", reterr);
    return do_mount("/dev/null", path, NULL, MS_BIND, NULL, reterr);
}

static int hide_all(const char *root, const char *const *paths, struct err *reterr)
{
    char target[4096];
    int r = 0;
    for (; paths && *paths && r == 0; paths++) {
        snprintf(target, sizeof(target), "%s%s", root, *paths);
        r = hide(target, reterr);
    }
    return r;
}

/* What of /proc is the machine's and not the container's: kernel settings, devices, keys. */
static int close_proc(const char *root, struct err *reterr)
{
    static const char *const read_only[] = {"bus", "fs", "irq", "sys", "sysrq-trigger"},
                             *const masked[] = {"acpi", "asound",        "kcore",
                                                "keys", "latency_stats", "sched_debug",
                                                "scsi", "timer_list",    "timer_stats"};
    char path[4096];
    int r = 0;
    for (size_t i = 0; i < ARRAY_LEN(read_only) && r == 0; i++) {
        snprintf(path, sizeof(path), "%s/proc/%s", root, read_only[i]);
        if (access(path, F_OK) == 0)
            r = do_mount(path, path, NULL, MS_BIND | MS_REC, NULL, reterr);
        if (r == 0 && access(path, F_OK) == 0)
            r = do_mount(path, path, NULL,
                         MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL,
                         reterr);
    }
    for (size_t i = 0; i < ARRAY_LEN(masked) && r == 0; i++) {
        snprintf(path, sizeof(path), "%s/proc/%s", root, masked[i]);
        r = hide(path, reterr);
    }
    return r;
}

/* Makes root the root. pivot_root fails on an initial ramfs (some virtual machines): moving works
 * everywhere. */
static int enter(const char *root, struct err *reterr)
{
    if (chdir(root) < 0)
        return err_set(reterr, -errno, NULL, "enter %s: %s", root, strerror(errno));
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        if (umount2(".", MNT_DETACH) < 0)
            return err_set(reterr, -errno, NULL, "leave the host's files: %s", strerror(errno));
    } else if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0) {
        return err_set(reterr, -errno, NULL, "change root: %s", strerror(errno));
    }
    return chdir("/") < 0 ? -errno : 0;
}

static int make_root(const struct container_spec *s, char *root, size_t size, struct err *reterr)
{
    char options[3 * 1024];
    int r = do_mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL, reterr);
    if (r == 0)
        r = do_mount("tmpfs", s->scratch, "tmpfs", 0, SCRATCH_OPTIONS, reterr);
    if (r < 0)
        return r;
    static const char *const dirs[] = {"upper", "work", "root"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        snprintf(root, size, "%s/%s", s->scratch, dirs[i]);
        if (mkdir(root, 0755) < 0)
            return err_set(reterr, -errno, NULL, "%s: %s", root, strerror(errno));
    }
    snprintf(options, sizeof(options), "lowerdir=/,upperdir=%s/upper,workdir=%s/work", s->scratch,
             s->scratch);
    return do_mount("overlay", root, "overlay", MS_NODEV, options, reterr);
}

int container_root_enter(const struct container_spec *s, struct err *reterr)
{
    char root[1024];
    int r = make_root(s, root, sizeof(root), reterr);
    if (r < 0)
        return r;
    bind_host_mounts(root, s->scratch);
    r = mount_fresh(root, "/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL, reterr);
    if (r == 0)
        r = mount_fresh(root, "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64m", reterr);
    if (r == 0)
        r = mount_fresh(root, "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=512m", reterr);
    if (r == 0)
        r = make_dev(root, reterr);
    if (r == 0 && mount_fresh(root, "/sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY,
                              NULL, NULL) < 0)
        r = 0; /* refused inside some containers; few programs miss it */
    if (r == 0 && !s->open_proc)
        r = close_proc(root, reterr);
    if (r == 0)
        r = hide_all(root, s->hidden, reterr);
    if (r == 0 && s->program_dir)
        r = bind_one(root, s->program_dir, CONTAINER_BIN, true, reterr);
    for (size_t i = 0; i < s->n_mounts && r == 0; i++)
        r = bind_inside(root, &s->mounts[i], reterr);
    if (r == 0)
        r = enter(root, reterr);
    if (r == 0 && !str_empty(s->cwd)) /* images have theirs; the machine has not */
        r = directory_make(s->cwd, 0755, reterr);
    if (r == 0 && s->read_only_root)
        r = do_mount(NULL, "/", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NODEV, NULL, reterr);
    return r;
}
