/* struct err: formatting only. No allocation, so that an out-of-memory error can be reported too.
 */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

int err_set(struct err *e, int code, const char *path, const char *fmt, ...)
{
    ASSERT(code < 0);
    if (!e)
        return code;
    e->code = code;
    snprintf(e->path, sizeof(e->path), "%s", path ? path : "");
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    va_end(ap);
    return code;
}

int err_prefix(struct err *e, const char *path_prefix, const char *msg_prefix)
{
    if (!e)
        return 0;
    if (path_prefix) {
        char path[sizeof(e->path)];
        int n = snprintf(path, sizeof(path), "%s%s%s", path_prefix,
                         e->path[0] && e->path[0] != '[' ? "." : "", e->path);
        if (n >= 0)
            memcpy(e->path, path, sizeof(path));
    }
    if (msg_prefix) {
        char msg[sizeof(e->msg)];
        int n = snprintf(msg, sizeof(msg), "%s: %s", msg_prefix, e->msg);
        if (n >= 0)
            memcpy(e->msg, msg, sizeof(msg));
    }
    return e->code;
}

const char *err_text(const struct err *e)
{
    static _Thread_local char text[sizeof(e->path) + sizeof(e->msg) + 2];
    if (!e || (!e->msg[0] && !e->code))
        return "no detail";
    if (!e->msg[0])
        return strerror(-e->code);
    if (!e->path[0])
        return e->msg;
    snprintf(text, sizeof(text), "%s: %s", e->path, e->msg);
    return text;
}
