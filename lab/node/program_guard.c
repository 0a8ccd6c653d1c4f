/* A container's process begins as a copy of the node, so what it executes may be a script whose
 * interpreter is /proc/self/exe: then the node's program runs inside the container and is at the
 * end of a link there. It cannot be written to while it runs, but its mode, owner and times could
 * be changed through that link, as the mount it was started from is writable (runc's
 * CVE-2019-5736). So the node runs from a mount of its own program that is read-only and attached
 * nowhere: nothing shows in a mount table, and it is gone with the last process that uses it. */
#include "lab/node/program_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "base/vec.h"

#define DIRECTORY "FAIRLEAD_PROGRAM_DIR" /* set: this is the second execution */

char *program_guard_directory(void)
{
    char path[PATH_MAX];
    const char *known = getenv(DIRECTORY);
    ssize_t n = known ? 0 : readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (known || n <= 0)
        return xstrdup(known ? known : "/usr/bin");
    path[n] = 0;
    *strrchr(path, '/') = 0;
    return xstrdup(path);
}

int program_guard(char **argv, struct err *reterr)
{
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    if (getenv(DIRECTORY)) {
        (void)prctl(PR_SET_NAME, "fairlead-labd"); /* else the number of a descriptor */
        return 0;
    }
    AUTO_CHARS char *directory = program_guard_directory();
    AUTO_FD int fd = open_tree(AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) < 0 ||
        setenv(DIRECTORY, directory, 1) < 0)
        return err_set(reterr, -errno, NULL, "a read-only view of the program: %s",
                       strerror(errno));
    VEC(char *) words = {0};
    vec_push(&words, (char *)(uintptr_t) "fairlead-labd");
    do
        vec_push(&words, *argv);
    while (*argv++);
    (void)syscall(SYS_execveat, fd, "", words.v, environ, AT_EMPTY_PATH);
    int code = -errno;
    vec_done(&words);
    (void)unsetenv(DIRECTORY);
    return err_set(reterr, code, NULL, "execute the program again: %s", strerror(-code));
}
