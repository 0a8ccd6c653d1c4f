/* Starting processes: new containers, and further processes in them.
 *
 * The caller clones (new PID and mount namespace), the child joins the pod's other namespaces, has
 * its file system built (container_root.c) and executes the program. A close-on-exec pipe brings
 * back what failed, so the caller knows before going on whether the program runs. For a join, the
 * caller borrows the target's PID namespace for its next child only. Everything dies with the
 * thread that calls: PR_SET_PDEATHSIG kills PID 1, which takes its namespace along. */
#include "lab/node/container.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/str.h"
#include "lab/node/container_priv.h"

struct spawn_failure {
    int code;
    char what[240];
};

static pid_t clone_child(uint64_t flags)
{
    /* fork with namespaces; glibc has no call for it that keeps the memory apart. */
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
}

static void __attribute__((noreturn)) child_fail(int pipe_fd, int code, const char *what)
{
    struct spawn_failure f = {.code = code};
    snprintf(f.what, sizeof(f.what), "%s", what);
    (void)!write(pipe_fd, &f, sizeof(f));
    _exit(127);
}

static int child_join(const struct container_spec *s, int target)
{
    if (s->join) {
        /* A mount namespace's root is not always the container's: on a node that itself lives in a
         * chroot it is what lies below. The root of the container's first process is right
         * everywhere. */
        char path[40];
        snprintf(path, sizeof(path), "/proc/%d/root", (int)s->join);
        int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0 || setns(target, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
            return -1;
        return fchdir(root) < 0 || chroot(".") < 0 ? -1 : 0;
    }
    if (s->netns >= 0 && setns(s->netns, CLONE_NEWNET) < 0)
        return -1;
    if (s->ipcns >= 0 && setns(s->ipcns, CLONE_NEWIPC) < 0)
        return -1;
    return s->utsns >= 0 ? setns(s->utsns, CLONE_NEWUTS) : 0;
}

static int child_stdio(const struct container_spec *s)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int fds[3] = {s->in >= 0 ? s->in : null, s->out >= 0 ? s->out : null,
                  s->err >= 0 ? s->err : null};
    /* Out of the way of 0 to 2 first, so that none overwrites another. */
    for (int i = 0; i < 3; i++)
        if ((fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3)) < 0)
            return -1;
    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], i) < 0)
            return -1;
    if (setsid() < 0 && errno != EPERM)
        return -1;
    return s->tty ? ioctl(0, TIOCSCTTY, 0) : 0;
}

/* The bounding set is what root can get back by executing something, together with what is
 * inheritable: none. */
static int child_capabilities(const struct container_spec *s)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (unsigned cap = 0; cap < 64; cap++)
        if (!(s->capabilities >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 &&
            errno != EINVAL) /* one the kernel does not know */
            return -1;
    if (syscall(SYS_capget, &head, data) < 0)
        return -1;
    data[0].inheritable = data[1].inheritable = 0;
    if (syscall(SYS_capset, &head, data) < 0)
        return -1;
    return s->no_new_privs ? prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) : 0;
}

static int child_identity(const struct container_spec *s)
{
    if (child_capabilities(s) < 0)
        return -1;
    if (s->uid == 0 && s->gid == 0 && !s->n_groups)
        return 0;
    /* As container runtimes do: it may open /dev/stdout by its name. What cannot be given stays. */
    const int given[] = {s->in, s->out, s->err};
    for (int i = 0; i < 3; i++)
        if (given[i] >= 0)
            IGNORE_RESULT(fchown(i, s->uid, (gid_t)-1));
    if (setgroups(s->n_groups, s->groups) < 0 || setresgid(s->gid, s->gid, s->gid) < 0 ||
        setresuid(s->uid, s->uid, s->uid) < 0)
        return -1;
    /* Changing identity clears the request to die with the parent. */
    return prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void child_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int i = 1; i < 32; i++)
        signal(i, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void __attribute__((noreturn))
child_main(const struct container_spec *s, int pipe_fd, int target)
{
    struct err err = {0};
    char what[240];
    /* Until it executes its program this is a copy of the node, keys included, and those in the
     * container's PID namespace can see it. */
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        child_fail(pipe_fd, -errno, "ask to die with the node");
    if (child_join(s, target) < 0)
        child_fail(pipe_fd, -errno, "join namespaces");
    if (!s->join && container_root_enter(s, &err) < 0)
        child_fail(pipe_fd, err.code, err.msg);
    if (child_stdio(s) < 0)
        child_fail(pipe_fd, -errno, "standard input and output");
    if (chdir(str_empty(s->cwd) ? "/" : s->cwd) < 0) {
        int code = -errno;
        snprintf(what, sizeof(what), "working directory %s", s->cwd);
        child_fail(pipe_fd, code, what);
    }
    if (child_identity(s) < 0)
        child_fail(pipe_fd, -errno, "change user");
    child_signals();
    (void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    environ = (char **)(uintptr_t)s->envp;
    execvp(s->argv[0], s->argv);
    int code = -errno;
    snprintf(what, sizeof(what), "exec: \"%s\"", s->argv[0]);
    child_fail(pipe_fd, code, what);
}

/* Reads what the child has to say; 0 when the pipe closed because it executed its program. */
static int spawn_result(int fd, pid_t pid, struct err *reterr)
{
    struct spawn_failure f;
    ssize_t n;
    do
        n = read(fd, &f, sizeof(f));
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return 0;
    (void)waitpid(pid, NULL, 0);
    if (n != sizeof(f))
        return err_set(reterr, -EIO, NULL, "the process died while it was being started");
    f.what[sizeof(f.what) - 1] = 0;
    int code = f.code < 0 ? f.code : -EIO;
    return err_set(reterr, code, NULL, "%s: %s", f.what, strerror(-code));
}

static pid_t spawn_joined(const struct container_spec *s, int target, struct err *reterr)
{
    AUTO_FD int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (own < 0 || setns(target, CLONE_NEWPID) < 0)
        return err_set(reterr, -errno, NULL, "join the container's processes: %s", strerror(errno));
    pid_t pid = clone_child(s->join ? 0 : CLONE_NEWNS);
    if (pid != 0) {
        int saved = errno;
        int r = setns(own, CLONE_NEWPID);
        ASSERT(r == 0); /* going home is always allowed */
        errno = saved;
    }
    return pid;
}

int container_spawn(const struct container_spec *s, pid_t *ret_pid, struct err *reterr)
{
    ASSERT(s->argv && s->argv[0] && s->envp);
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_set(reterr, -errno, NULL, "pipe: %s", strerror(errno));
    AUTO_FD int read_end = fds[0];
    AUTO_FD int write_end = fds[1];
    AUTO_FD int target = -1;
    pid_t pid;
    if (s->join || s->share_pids) {
        target = (int)syscall(SYS_pidfd_open, s->join ? s->join : s->share_pids, 0);
        if (target < 0)
            return err_set(reterr, -errno, NULL, "the container is gone");
        pid = spawn_joined(s, target, reterr);
        if (pid < 0 && pid != -1)
            return pid;
    } else {
        pid = clone_child(CLONE_NEWNS | CLONE_NEWPID);
    }
    if (pid < 0)
        return err_set(reterr, -errno, NULL, "start a process: %s", strerror(errno));
    if (pid == 0)
        child_main(s, write_end, target);
    close(TAKE_FD(write_end));
    int r = spawn_result(read_end, pid, reterr);
    if (r == 0)
        *ret_pid = pid;
    return r;
}

void container_kill(pid_t pid, int signo)
{
    if (pid > 0)
        (void)kill(pid, signo);
}

void container_mounts_done(container_mounts *m)
{
    VEC_FOREACH (mount, m) {
        free(mount->source);
        free(mount->below);
        free(mount->target);
    }
    vec_done(m);
}
