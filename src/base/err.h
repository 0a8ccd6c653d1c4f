#pragma once
/* The detail of a failure: code, field path, message. Functions return 0 or a negative errno and
 * fill an optional last parameter `struct err *reterr`; the caller turns it into a log line, a
 * condition or an API answer. */

#include <stdarg.h>

#include "base/mem.h"

struct err {
    int code;       /* negative errno, 0 = no error */
    char path[160]; /* field path such as spec.ports[2].port, or "" */
    char msg[400];
};

/* Fills e (which may be NULL) and returns code. path may be NULL. */
int err_set(struct err *e, int code, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "prefix: " before the message, "prefix." before the path. Both may be NULL. Returns e->code.
 */
int err_prefix(struct err *e, const char *path_prefix, const char *msg_prefix);

/* "path: message", or the message alone; never NULL. Borrowed from e or a static buffer of this
 * thread. */
const char *err_text(const struct err *e);
