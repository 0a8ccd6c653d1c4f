#pragma once
/* Heads of HTTP/1.0 and 1.1 (RFC 9112) read from bytes and written to them. Strict: whatever two
 * readers could understand differently is refused. http1_head_length() of codec/http1.h finds where
 * a head ends. */

#include "base/chain.h"
#include "codec/http_head.h"

/* A whole head with its empty line. h->fields and h->cap are the caller's; everything else is set.
 * -EBADMSG: malformed, and the connection must end; -E2BIG: more fields than there is room for;
 * -EPROTONOSUPPORT: not HTTP/1.0 or 1.1. */
int http1_read_request(struct str head, struct http_head *h, struct err *reterr) NODISCARD;
int http1_read_response(struct str head, struct http_head *h, struct err *reterr) NODISCARD;
/* A trailer section with its empty line (RFC 9112 section 7.1.2): fields alone. -EBADMSG also for
 * those that frame or route a message: they come too late to be believed. */
int http1_read_trailers(struct str section, struct http_head *h, struct err *reterr) NODISCARD;

/* Appends the head with its empty line, as HTTP/1.1. Names, values, method and target must have
 * been read by these functions or be our own: they are not looked at. `extra` are whole lines with
 * their CRLF that go behind the fields; empty: none. -ENOMEM: a head too large for memory. */
int http1_write_request(struct chain *to, const struct http_head *h, struct str extra) NODISCARD;
int http1_write_response(struct chain *to, const struct http_head *h, struct str extra) NODISCARD;
/* The fields and the empty line: trailers. */
int http1_write_fields(struct chain *to, const struct http_head *h) NODISCARD;
