#pragma once
/* The files of one ConfigMap-like volume, and writing them so that they change all at once. */

#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

struct payload_file {
    char *path; /* relative, no way up */
    char *bytes;
    size_t n;
    mode_t mode;
};

struct volume_payload {
    VEC(struct payload_file) files;
    int64_t gid; /* owner group of all files (fsGroup); 0 = root's */
};

void volume_payload_done(struct volume_payload *p);
/* A path that is there already is replaced. -EINVAL: it leads out of the volume. */
int volume_payload_put(struct volume_payload *p, const char *path, struct str bytes, int64_t mode,
                       struct err *reterr) NODISCARD;
/* Makes dir show exactly these files. Nothing is touched when it does already. */
int volume_payload_write(const struct volume_payload *p, const char *dir, struct err *reterr)
    NODISCARD;

/* Relative, and no component is "..". */
bool path_is_inside(const char *path);
