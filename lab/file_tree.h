#pragma once
/* Files and directories the lab has written: removed without being led elsewhere. */

#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

/* Removes path and all below. Follows no links, crosses no mounts; what is not there is fine. */
int tree_remove(const char *path, struct err *reterr) NODISCARD;
/* Opens (O_PATH) what is at path below dir_fd; links are followed only while they stay below it.
 * -errno. */
int file_open_below(int dir_fd, const char *path) NODISCARD;
