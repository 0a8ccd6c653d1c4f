#pragma once
/* A program's last words to the kernel about itself: what it will never ask for from here on, in
 * any thread (seccomp). docs/threat-model.md says why it is a list of what is refused. */

#include <stdbool.h>

#include "base/err.h"

/* What a program still needs, besides sockets of IP and Unix. */
enum sandbox_keep {
    SANDBOX_NETLINK = 1 << 0, /* programs the kernel's tables */
    SANDBOX_PACKET = 1 << 1,  /* speaks to the link itself */
};

/* After start-up: all threads that are there, and those to come. Nobody gets new privileges by
 * running a program, either. -ENOSYS: this kernel has no such filters. What is refused fails with
 * EPERM; what is newer than this program's kernel headers does not exist (ENOSYS). */
int sandbox_enter(unsigned keep, struct err *reterr) NODISCARD;

/* The same for a program's start: `off` as its flag says. Tells the log what has come of it, and
 * goes on without where the kernel has none. */
void sandbox_start(bool off, unsigned keep);
