#pragma once
/* A configuration from the command line. */

#include "base/buf.h"
#include "base/err.h"

/* One listener from "PATH=URL" texts (http://ADDRESS:PORT): the bootstrap that says the same, as
 * JSON. Longer paths match first. access_log: a file, "-" for standard output, NULL for none. tls:
 * "CERT,KEY", two files, NULL for none. -EINVAL with what is wrong. */
int command_routes_json(const char *listen, const char *access_log, const char *tls,
                        const char *const *routes, size_t n, struct buf *ret, struct err *reterr)
    NODISCARD;
