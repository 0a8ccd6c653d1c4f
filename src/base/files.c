/* Files made whole: another name first, then that of the one that was. */
#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

int directory_make(const char *path, mode_t mode, struct err *reterr)
{
    AUTO_CHARS char *copy = xstrdup(path);
    for (char *at = copy + 1;; at++) {
        if (*at && *at != '/')
            continue;
        char end = *at;
        *at = '\0';
        if (mkdir(copy, mode) < 0 && errno != EEXIST)
            return err_set(reterr, -errno, NULL, "mkdir %s: %s", copy, strerror(errno));
        if (!end)
            return 0;
        *at = end;
    }
}

static int write_all(int fd, struct str text)
{
    for (size_t done = 0; done < text.n;) {
        ssize_t n = write(fd, text.p + done, text.n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        done += (size_t)n;
    }
    return 0;
}

int file_replace(const char *path, struct str text, mode_t mode, struct err *reterr)
{
    AUTO_CHARS char *fresh = xasprintf("%s.new", path);
    AUTO_FD int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = fd < 0 ? -errno : write_all(fd, text);
    if (r == 0 && (fchmod(fd, mode & 07777) < 0 || rename(fresh, path) < 0))
        r = -errno;
    return r < 0 ? err_set(reterr, r, NULL, "write %s: %s", path, strerror(-r)) : 0;
}
