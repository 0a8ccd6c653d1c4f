#pragma once
/* Do the first bytes of a connection speak HTTP, and which version of it? */

#include "base/str.h"

enum { HTTP_INSPECT_BYTES_MAX = 8 * 1024 }; /* of a request line */

/* 1: it does, *ret says "http/1.0", "http/1.1" or "h2c". 0: more is needed. -EPROTO: it does not.
 */
int http_inspect(struct str bytes, struct str *ret) NODISCARD;
