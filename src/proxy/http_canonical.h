#pragma once
/* What a listener makes of a request before anybody looks at it: one path, one host, no names of
 * fields that some servers take for others. */

#include <envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h>

#include "base/arena.h"
#include "codec/http_head.h"
#include "codec/url_path.h"
#include "net/conn.h"
#include "proxy/reasons.h"

enum http_underscores { /* Envoy's numbers */
                        HTTP_UNDERSCORES_ALLOW,
                        HTTP_UNDERSCORES_REFUSE,
                        HTTP_UNDERSCORES_DROP,
};

struct http_canonical {
    bool on; /* anything of it */
    struct url_path_rules path;
    bool strips_port;          /* of the host, any */
    bool strips_listener_port; /* the one that the client has come to */
    bool strips_dot;           /* behind the host's name */
    uint8_t underscores;       /* enum http_underscores */
};

void http_canonical_compile(
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager *m,
    struct http_canonical *ret);
/* VIA_UPSTREAM: it may go on. Else it is answered for that reason; ret_location->p: it is sent
 * there (307). New texts lie in a. */
enum reason http_canonical_apply(const struct http_canonical *c, struct http_head *h,
                                 const struct conn *client, struct arena *a,
                                 struct str *ret_location);
