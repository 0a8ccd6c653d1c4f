#pragma once
/* One process tree in its own mount and PID namespace: how it is started, joined and reported. No
 * Kubernetes here. */

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/vec.h"

/* Where the directory of our own programs appears inside every container. */
#define CONTAINER_BIN "/run/fairlead/bin"

struct container_mount {
    char *source; /* on the host */
    char *below;  /* a path inside source that must not lead out of it; NULL = source itself */
    char *target; /* absolute, in the container; made when missing (in the container's scratch
                     layer) */
    bool read_only;
};
typedef VEC(struct container_mount) container_mounts;

struct container_spec {
    char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
    char *const *envp;
    const char *cwd; /* NULL = "/" */
    uid_t uid;
    gid_t gid;
    const gid_t *groups; /* supplementary */
    size_t n_groups;
    uint64_t capabilities; /* bit N: CAP N; all others can never be had again */
    bool no_new_privs;     /* nor anything by executing a file */
    int in;                /* fds; -1 = /dev/null. tty: in is the slave side of a pty */
    int out;
    int err;
    bool tty;

    /* A new container. The fds of namespaces to join; -1 = the caller's. */
    int netns;
    int ipcns;
    int utsns;
    pid_t share_pids;          /* be in the PID namespace of this process; 0 = in one of its own */
    const char *scratch;       /* an existing directory: the mount point of the container's tmpfs */
    const char *program_dir;   /* shown at CONTAINER_BIN */
    const char *const *hidden; /* host files and directories nobody may see, NULL-terminated */
    bool open_proc;            /* /proc is all there and writable (privileged) */
    bool read_only_root;
    const struct container_mount *mounts;
    size_t n_mounts;

    /* Or: a further process in the container of this PID 1 (exec, probes). */
    pid_t join;
};

/* Starts it, and waits until the program has been executed (or could not be: -errno and why). The
 * process is PID 1 of its container and dies with the calling thread. */
int container_spawn(const struct container_spec *s, pid_t *ret_pid, struct err *reterr) NODISCARD;
/* Kills PID 1, and so everything in the container. */
void container_kill(pid_t pid, int signo);

void container_mounts_done(container_mounts *m);
