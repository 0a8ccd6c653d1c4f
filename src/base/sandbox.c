/* A seccomp filter of our own: what is refused, system call by system call, with the reason. Not a
 * list of what is allowed: that one depends on the versions of libc, kernel and compiler, and is
 * found to be too short where a rare path meets it, on somebody's cluster. What came into kernels
 * after the headers this was built with is refused as well, as not there, for which libc has an
 * answer. No sanitizer can live in it: builds with one go without. */
#include "base/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"

#if defined(__x86_64__)
#define SANDBOX_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SANDBOX_ARCH AUDIT_ARCH_AARCH64
#else
#error "sandbox.c knows the system calls of x86-64 and arm64 alone"
#endif

enum {
    /* set_mempolicy_home_node, of Linux 5.17; since 424 all architectures count alike. Above it are
     * x32's, too. */
    SANDBOX_CALL_MAX = 450,
    SANDBOX_STEPS_MAX = 255, /* jumps are counted in a byte */
};

#ifndef __NR_set_mempolicy_home_node
#define __NR_set_mempolicy_home_node 450
#endif
static_assert(__NR_set_mempolicy_home_node == SANDBOX_CALL_MAX, "where the list ends");

/* What a request costs, first: most calls end here. */
static const int hot[] = {
    __NR_read,       __NR_write,     __NR_writev, __NR_recvfrom,    __NR_sendto, __NR_recvmsg,
    __NR_sendmsg,    __NR_epoll_ctl, __NR_futex,  __NR_epoll_pwait, __NR_close,  __NR_accept4,
#ifdef __NR_epoll_wait
    __NR_epoll_wait,
#endif
};

static const int refused[] = {
    /* other programs; clone is looked at below */
    __NR_execve,
    __NR_execveat,
#ifdef __NR_fork
    __NR_fork,
    __NR_vfork,
#endif
    /* other processes' memory, files and lives */
    __NR_ptrace,
    __NR_process_vm_readv,
    __NR_process_vm_writev,
    __NR_process_madvise,
    __NR_process_mrelease,
    __NR_kcmp,
    __NR_pidfd_open,
    __NR_pidfd_getfd,
    __NR_pidfd_send_signal,
    __NR_kill,
    __NR_tkill,
    /* file systems and namespaces */
    __NR_mount,
    __NR_umount2,
    __NR_pivot_root,
    __NR_chroot,
    __NR_move_mount,
    __NR_open_tree,
    __NR_fsopen,
    __NR_fsconfig,
    __NR_fsmount,
    __NR_fspick,
    __NR_mount_setattr,
    __NR_unshare,
    __NR_setns,
    __NR_swapon,
    __NR_swapoff,
    __NR_quotactl,
    __NR_quotactl_fd,
    __NR_name_to_handle_at,
    __NR_open_by_handle_at,
    __NR_fanotify_init,
    __NR_fanotify_mark,
    __NR_mknodat,
#ifdef __NR_mknod
    __NR_mknod,
#endif
    /* who we are */
    __NR_setuid,
    __NR_setgid,
    __NR_setreuid,
    __NR_setregid,
    __NR_setresuid,
    __NR_setresgid,
    __NR_setfsuid,
    __NR_setfsgid,
    __NR_setgroups,
    __NR_capset,
    __NR_personality,
    /* the kernel itself */
    __NR_bpf,
    __NR_perf_event_open,
    __NR_init_module,
    __NR_finit_module,
    __NR_delete_module,
    __NR_kexec_load,
#ifdef __NR_kexec_file_load
    __NR_kexec_file_load,
#endif
    __NR_reboot,
    __NR_syslog,
    __NR_acct,
    __NR_settimeofday,
    __NR_clock_settime,
    __NR_clock_adjtime,
    __NR_adjtimex,
    __NR_sethostname,
    __NR_setdomainname,
    __NR_lookup_dcookie,
    __NR_vhangup,
    __NR_nfsservctl,
#ifdef __x86_64__
    __NR_iopl,
    __NR_ioperm,
    __NR_modify_ldt,
    __NR_uselib,
    __NR__sysctl,
#endif
    /* large, seldom needed, often broken */
    __NR_io_uring_setup,
    __NR_io_uring_enter,
    __NR_io_uring_register,
    __NR_userfaultfd,
    __NR_add_key,
    __NR_request_key,
    __NR_keyctl,
    __NR_vmsplice,
    __NR_remap_file_pages,
    __NR_mbind,
    __NR_migrate_pages,
    __NR_move_pages,
    __NR_set_mempolicy,
    __NR_set_mempolicy_home_node,
};

/* The program that the kernel runs on each call. */
struct program_of_filter {
    struct sock_filter step[SANDBOX_STEPS_MAX];
    unsigned n;
};

static void add(struct program_of_filter *p, struct sock_filter step)
{
    ASSERT(p->n < SANDBOX_STEPS_MAX);
    p->step[p->n++] = step;
}

#define LOAD(field)                                                                                \
    (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(what) (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, (what))
/* Goes over `over` steps unless what was loaded is (or has) the value. */
#define UNLESS_IS(value, over)                                                                     \
    (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, (over))
#define UNLESS_ABOVE(value, over)                                                                  \
    (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)(value), 0, (over))
#define UNLESS_HAS(bits, over)                                                                     \
    (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (uint32_t)(bits), 0, (over))
#define FAIL(error) (SECCOMP_RET_ERRNO | (error))

/* The low half of an argument: both architectures put it first. */
#define ARGUMENT(i) args[i]

/* A thread is made with clone; a process is not. clone3 has its flags in memory, where a filter
 * cannot look: libc takes clone if it is not there. */
static void add_threads_alone(struct program_of_filter *p)
{
    add(p, UNLESS_IS(__NR_clone3, 1));
    add(p, ANSWER(FAIL(ENOSYS)));
    add(p, UNLESS_IS(__NR_clone, 4));
    add(p, LOAD(ARGUMENT(0)));
    add(p, UNLESS_HAS(CLONE_THREAD, 1));
    add(p, ANSWER(SECCOMP_RET_ALLOW));
    add(p, ANSWER(FAIL(EPERM)));
}

/* No memory becomes code. */
static void add_no_new_code(struct program_of_filter *p)
{
    static const int calls[] = {__NR_mmap, __NR_mprotect, __NR_pkey_mprotect};
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        add(p, UNLESS_IS(calls[i], 4));
        add(p, LOAD(ARGUMENT(2)));
        add(p, UNLESS_HAS(PROT_EXEC, 1));
        add(p, ANSWER(FAIL(EPERM)));
        add(p, ANSWER(SECCOMP_RET_ALLOW));
    }
}

static void add_socket_families(struct program_of_filter *p, unsigned keep)
{
    int families[5] = {AF_UNIX, AF_INET, AF_INET6};
    unsigned n = 3;
    if (keep & SANDBOX_NETLINK)
        families[n++] = AF_NETLINK;
    if (keep & SANDBOX_PACKET)
        families[n++] = AF_PACKET;
    add(p, UNLESS_IS(__NR_socket, (uint8_t)(2 * n + 2)));
    add(p, LOAD(ARGUMENT(0)));
    for (unsigned i = 0; i < n; i++) {
        add(p, UNLESS_IS(families[i], 1));
        add(p, ANSWER(SECCOMP_RET_ALLOW));
    }
    add(p, ANSWER(FAIL(EAFNOSUPPORT)));
}

static void build(struct program_of_filter *p, unsigned keep)
{
    add(p, LOAD(arch));
    add(p, UNLESS_IS(SANDBOX_ARCH, 1));
    add(p, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 1));
    add(p, ANSWER(SECCOMP_RET_KILL_PROCESS));
    add(p, LOAD(nr));
    for (size_t i = 0; i < ARRAY_LEN(hot); i++) {
        add(p, UNLESS_IS(hot[i], 1));
        add(p, ANSWER(SECCOMP_RET_ALLOW));
    }
    add(p, UNLESS_ABOVE(SANDBOX_CALL_MAX, 1));
    add(p, ANSWER(FAIL(ENOSYS)));
    add_threads_alone(p);
    add_no_new_code(p);
    add_socket_families(p, keep);
    /* each that is refused jumps to the last step but one */
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)refused[i],
                                            (uint8_t)(ARRAY_LEN(refused) - i), 0));
    add(p, ANSWER(SECCOMP_RET_ALLOW));
    add(p, ANSWER(FAIL(EPERM)));
}

int sandbox_enter(unsigned keep, struct err *reterr)
{
    struct program_of_filter p = {.n = 0};
    build(&p, keep);
    const struct sock_fprog filter = {.len = (unsigned short)p.n, .filter = p.step};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(reterr, -errno, NULL, "no_new_privs: %s", strerror(errno));
    /* SPEC_ALLOW: without it kernels before 5.16 slow all of the process down, for the sake of
     * programs that run other people's code. */
    long r = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
                     SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter);
    if (r == 0)
        return 0;
    if (r > 0)
        return err_set(reterr, -EBUSY, NULL, "thread %ld has a filter of its own", r);
    return err_set(reterr, errno == EINVAL ? -ENOSYS : -errno, NULL, "seccomp: %s",
                   strerror(errno));
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_BUILT 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOX_BUILT 0
#endif
#endif
#ifndef SANDBOX_BUILT
#define SANDBOX_BUILT 1
#endif

void sandbox_start(bool off, unsigned keep)
{
    struct err err = {0};
    if (off || !SANDBOX_BUILT)
        log_info("no system call is refused", kv_s("why", off ? "--no-seccomp" : "a sanitizer"));
    else if (sandbox_enter(keep, &err) < 0)
        log_warn("no system call is refused", kv_s("why", err_text(&err)));
}
