/* How the node's server refuses: a Status object, as the API server passes it on to kubectl. Below
 * the routes and the streams, which all use it. */
#include <stdarg.h>
#include <stdio.h>

#include "lab/node/kubelet_priv.h"

void kubelet_fail(struct http_exchange *x, int status, const char *reason, const char *fmt, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    AUTO_JSON json_t *j = json_pack("{s:s,s:s,s:{},s:s,s:o,s:s,s:i}", "kind", "Status",
                                    "apiVersion", "v1", "metadata", "status", "Failure", "message",
                                    json_text(str_from(text)), "reason", reason, "code", status);
    AUTO_DONE(buf) struct buf b = {0};
    const struct http_header type = {STR("Content-Type"), STR("application/json")};
    json_write(&b, j);
    http_exchange_reply(x, status, &type, 1, buf_str(&b));
}
