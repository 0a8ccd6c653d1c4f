/* What is refused from inside, each in a process of its own: by the errno it gets, and that the
 * rest goes on. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/sandbox.h"
#include "test.h"

enum { INSIDE_FAILED = 200 };

/* What the call's errno is inside (0: it succeeded). */
static int inside(unsigned keep, int (*call)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct err e = {0};
        if (sandbox_enter(keep, &e) < 0)
            _exit(INSIDE_FAILED);
        errno = 0;
        _exit(call() < 0 ? errno : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status))
        fail_msg("ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

static int call_exec(void)
{
    char *argv[] = {(char *)(uintptr_t) "true", NULL};
    return execv("/bin/true", argv);
}

static int call_fork(void)
{
    pid_t p = fork();
    if (p == 0)
        _exit(0);
    return p;
}

static int call_clone3(void)
{
    return (int)syscall(SYS_clone3, NULL, 0);
}

static int call_ptrace(void)
{
    return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int call_read_memory(void)
{
    char c = 0;
    struct iovec v = {&c, 1};
    return (int)process_vm_readv(getpid(), &v, 1, &v, 1, 0);
}

static int call_mount(void)
{
    return mount("none", "/nowhere", "tmpfs", 0, NULL);
}

static int call_unshare(void)
{
    return unshare(CLONE_NEWNS);
}

static int call_kill(void)
{
    return kill(getpid(), 0);
}

static int call_bpf(void)
{
    return (int)syscall(SYS_bpf, 0, NULL, 0);
}

static int call_io_uring(void)
{
    return (int)syscall(SYS_io_uring_setup, 1, NULL);
}

static int call_keyctl(void)
{
    return (int)syscall(SYS_keyctl, 0, 0, 0, 0, 0);
}

static int call_setuid(void)
{
    return (int)syscall(SYS_setuid, 12345);
}

static int call_code(void)
{
    void *p =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? -1 : 0;
}

static int call_make_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? 0 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static int call_newer(void)
{
    return (int)syscall(9999, 0);
}

static int call_netlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 0);
}

static int call_packet(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0);
}

static int call_vsock(void)
{
    return socket(AF_VSOCK, SOCK_STREAM, 0);
}

static void test_refused(void **state)
{
    static const struct {
        const char *name;
        int (*call)(void);
        int error;
    } calls[] = {
        {"execve", call_exec, EPERM},
        {"fork", call_fork, EPERM},
        {"clone3", call_clone3, ENOSYS},
        {"ptrace", call_ptrace, EPERM},
        {"process_vm_readv", call_read_memory, EPERM},
        {"mount", call_mount, EPERM},
        {"unshare", call_unshare, EPERM},
        {"kill", call_kill, EPERM},
        {"bpf", call_bpf, EPERM},
        {"io_uring_setup", call_io_uring, EPERM},
        {"keyctl", call_keyctl, EPERM},
        {"setuid", call_setuid, EPERM},
        {"mmap of code", call_code, EPERM},
        {"mprotect to code", call_make_code, EPERM},
        {"a call that is newer", call_newer, ENOSYS},
        {"netlink", call_netlink, EAFNOSUPPORT},
        {"packets", call_packet, EAFNOSUPPORT},
        {"vsock", call_vsock, EAFNOSUPPORT},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        int error = inside(0, calls[i].call);
        if (error != calls[i].error)
            fail_msg("%s: %s", calls[i].name, error ? strerror(error) : "not refused");
    }
}

static void *in_thread(void *user)
{
    *(int *)user = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
    return NULL;
}

/* A thread is made, has the filter, and comes back. */
static int call_thread(void)
{
    pthread_t t;
    int mode = 0;
    if (pthread_create(&t, NULL, in_thread, &mode) != 0 || pthread_join(t, NULL) != 0)
        return -1;
    return mode == 2 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -1;
}

static int call_everyday(void)
{
    int fds[2];
    char c = 'x';
    int s = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    AUTO_CHARS char *large = malloc(4 << 20);
    if (!large || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0 || write(fds[0], &c, 1) != 1 ||
        read(fds[1], &c, 1) != 1)
        return -1;
    return s < 0 && errno != EAFNOSUPPORT ? -1 : 0;
}

static void test_allowed(void **state)
{
    (void)state;
    assert_int_equal(inside(0, call_thread), 0);
    assert_int_equal(inside(0, call_everyday), 0);
    assert_int_equal(inside(SANDBOX_NETLINK, call_netlink), 0);
    assert_int_equal(inside(SANDBOX_NETLINK, call_packet), EAFNOSUPPORT);
    int error = inside(SANDBOX_PACKET, call_packet); /* EPERM: who is not root */
    assert_true(error == 0 || error == EPERM);
    assert_int_equal(inside(SANDBOX_PACKET, call_netlink), EAFNOSUPPORT);
}

static int went[2];

/* Began before the filter, and asks after it. */
static void *early(void *user)
{
    char c;
    if (read(went[0], &c, 1) == 1)
        *(int *)user = unshare(CLONE_NEWNS) < 0 ? errno : 0;
    return NULL;
}

static void test_threads_that_were_there(void **state)
{
    int status;
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        pthread_t t;
        int error = 0;
        struct err e = {0};
        if (pipe(went) < 0 || pthread_create(&t, NULL, early, &error) != 0 ||
            sandbox_enter(0, &e) < 0 || write(went[1], "x", 1) != 1 || pthread_join(t, NULL) != 0)
            _exit(INSIDE_FAILED);
        _exit(error);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EPERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_threads_that_were_there),
    };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 77;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
