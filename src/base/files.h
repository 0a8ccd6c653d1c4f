#pragma once
/* Files and directories a program writes: made with their parents, replaced in one step. */

#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

/* mkdir -p; mode for what is new. */
int directory_make(const char *path, mode_t mode, struct err *reterr) NODISCARD;
/* Writes path anew (another name, then rename): a reader, or a kill in between, finds the old file
 * or the new one, never half of one. */
int file_replace(const char *path, struct str text, mode_t mode, struct err *reterr) NODISCARD;
