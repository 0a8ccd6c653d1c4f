#pragma once
/* Named network namespaces (/run/netns/NAME, as iproute2 keeps them) and work done inside another
 * namespace.
 *
 * The calling thread never leaves its own namespace: work in another one runs on a short-lived
 * thread of its own that is joined before the call returns. So a process is always found in the
 * namespace it belongs to, even when it is killed in the middle. */

#include <sys/types.h>

#include "base/err.h"

#define NETNS_DIR "/run/netns"

/* Makes and pins a namespace; -EEXIST when the name is taken. */
int netns_add(const char *name, struct err *reterr) NODISCARD;
/* Unpins; the namespace itself goes when nobody uses it any more. 0 when it is not there. */
int netns_remove(const char *name, struct err *reterr) NODISCARD;
/* An fd of the pinned namespace, or -errno. */
int netns_open(const char *name, struct err *reterr) NODISCARD;
/* The identity shown by /proc/PID/ns/net; 0 = none. */
ino_t netns_inode(const char *name);
/* Every pinned name that is `prefix` itself or starts with `prefix` and a dot; prefix "" = all. */
int netns_each(const char *prefix, void (*fn)(const char *name, void *user), void *user) NODISCARD;

/* Moves the calling thread (for programs that live in a namespace, at their start). */
int netns_enter(const char *path, struct err *reterr) NODISCARD;

/* Runs fn in the namespace fd on a thread of its own; returns what fn returns. */
typedef int netns_fn(void *user, struct err *reterr);
int netns_run(int fd, netns_fn *fn, void *user, struct err *reterr) NODISCARD;

/* Writes a sysctl ("net/ipv4/ip_forward") of the calling thread's namespace. -ENOENT: the kernel
 * has no such thing. */
int netns_sysctl(const char *name, const char *value, struct err *reterr) NODISCARD;

/* New IPC and UTS namespaces with this host name, held by two fds. */
int netns_ipc_uts_new(const char *hostname, int *ret_ipc, int *ret_uts, struct err *reterr)
    NODISCARD;
