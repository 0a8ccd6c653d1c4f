#pragma once
/* Files and directories the lab writes: made with their parents, replaced in one step, removed
 * without being led elsewhere. */

#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

/* mkdir -p; mode for what is new. */
int directory_make(const char *path, mode_t mode, struct err *reterr) NODISCARD;
/* Writes path anew (another name, then rename): a reader, or a kill in between, finds the old file
 * or the new one, never half of one. */
int file_replace(const char *path, struct str text, mode_t mode, struct err *reterr) NODISCARD;
/* Removes path and all below. Follows no links, crosses no mounts; what is not there is fine. */
int tree_remove(const char *path, struct err *reterr) NODISCARD;
/* Opens (O_PATH) what is at path below dir_fd; links are followed only while they stay below it.
 * -errno. */
int file_open_below(int dir_fd, const char *path) NODISCARD;
