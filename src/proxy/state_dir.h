#pragma once
/* A directory of the proxy's own, in which one file is replaced whole or not at all. */

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct state_dir;

/* Makes the directory (0700) if it is not there, and locks it for as long as the process has it.
 * -EPERM: others may write there. -EBUSY: another process has it. Else what the system says. */
int state_dir_open(const char *path, struct state_dir **ret, struct err *reterr) NODISCARD;
void state_dir_close(struct state_dir *d); /* NULL is allowed */

/* Adds the file's bytes. -ENOENT: there is none. -EPERM: others may write it. -E2BIG. */
int state_dir_read(const struct state_dir *d, size_t max, struct buf *b, struct err *reterr)
    NODISCARD;
/* Temporary file (0600), fsync, rename, fsync of the directory: blocks. Any thread, one at a
 * time. */
int state_dir_write(const struct state_dir *d, struct str bytes, struct err *reterr) NODISCARD;
