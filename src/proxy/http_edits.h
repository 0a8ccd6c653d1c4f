#pragma once
/* What a connection manager adds to every request and answer, whatever the route says. */

#include <envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h>

#include "base/arena.h"
#include "codec/http_head.h"
#include "net/conn.h"

enum http_server_field {
    HTTP_SERVER_OVERWRITE,
    HTTP_SERVER_IF_ABSENT,
    HTTP_SERVER_PASS,
};

enum { HTTP_SERVER_NAME_MAX = 128 };

struct http_edits {
    bool makes_request_id;
    bool keeps_request_id; /* of clients that are not trusted, too */
    bool answers_request_id;
    bool use_remote_address; /* the peer is the client: what it says of itself is not believed */
    bool skip_forwarded_for;
    bool tells_port;       /* x-forwarded-port */
    uint32_t trusted_hops; /* proxies before us whose x-forwarded-for is believed */
    uint8_t server;        /* enum http_server_field */
    uint8_t server_name_n;
    char server_name[8 + HTTP_SERVER_NAME_MAX]; /* behind "server: ", as it is written */
};

/* -EINVAL: server_name is too long, or no value of a field. */
int http_edits_compile(
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager *m,
    struct http_edits *ret) NODISCARD;
/* Who asks: as x-forwarded-for says, in so far as it is believed, else the peer. h NULL: the peer.
 * ret_port 0: not known. Negative: nobody knows. */
int http_edits_client(const struct http_edits *edits, struct http_head *h,
                      const struct conn *client, struct ip *ret, uint16_t *ret_port) NODISCARD;
/* Values lie in a. What does not fit there is left out. */
void http_edit_request(const struct http_edits *edits, struct http_head *h,
                       const struct conn *client, struct arena *a);
/* now_ms: of the loop, for a date that is at most a second old. */
void http_edit_answer(const struct http_edits *edits, const struct http_head *request,
                      struct http_head *h, uint64_t now_ms, struct arena *a);
