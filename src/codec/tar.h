#pragma once
/* Archives of tar (POSIX ustar) as bytes: plain files, nothing else. Written, never read. */

#include "base/buf.h"
#include "base/err.h"

enum { TAR_NAME_MAX = 99 };

/* name: relative, at most TAR_NAME_MAX bytes; mode 0600, nobody's. -ENAMETOOLONG; -ENOMEM: over
 * the buffer's cap. */
int tar_add(struct buf *b, const char *name, uint64_t time_s, struct str content,
            struct err *reterr) NODISCARD;
/* The two empty blocks at the end. */
void tar_end(struct buf *b);
