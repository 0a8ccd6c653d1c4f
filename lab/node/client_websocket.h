#pragma once
/* A client's WebSocket, as a server: which protocol, the answer 101, messages put together of their
 * fragments. What a message says is for its owner. */

#include "net/http_server.h"

bool client_websocket_is_wanted(struct http_exchange *x);
/* The first of `known` that a header of this name lists (there may be several of them), each behind
 * the prefix; NULL: none. */
const char *protocol_offered(struct http_exchange *x, const char *header, const char *prefix,
                             const char *const *known, size_t n);
/* Answers 101. The connection reads frames of any allowed size. */
struct conn *client_websocket_accept(struct http_exchange *x, const char *protocol);
/* Hands the messages that have come to fn, until that returns less than 0; pings are answered while
 * the client reads. *message holds what is no whole message yet; its cap is the longest one
 * allowed. Less than 0: the connection is to end (a protocol error, a message too long, the
 * client's CLOSE, what fn has returned). */
int client_websocket_read(struct conn *c, struct buf *message,
                          int (*fn)(struct str message, void *user), void *user);
