#pragma once
/* gRPC over HTTP/2, without the streams: messages in their frames of five bytes, status, time-outs
 * (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). */

#include "base/buf.h"
#include "base/chain.h"
#include "codec/http_head.h"

enum grpc_code {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16,
};

/* Moves the next message out of `in`: 1, 0 = more bytes are needed, -EMSGSIZE = longer than max,
 * -EPROTO = compressed, which nobody has agreed to. */
int grpc_next(struct chain *in, size_t max, struct chain *ret) NODISCARD;
/* Appends a message in its frame. */
void grpc_add(struct chain *out, struct str message);
void grpc_move(struct chain *out, struct chain *message); /* the same, without a copy */

/* Of the trailers, or of a head without a body. -ENOENT: there is no grpc-status. A code that is no
 * number is GRPC_UNKNOWN. The message is decoded. */
int grpc_status_read(const struct http_head *h, int *ret_code, struct buf *ret_message) NODISCARD;
/* What the HTTP status of an answer without grpc-status means. */
int grpc_code_of_http(unsigned status);
/* Percent-encodes what may not stand in a field. */
void grpc_message_encode(struct buf *to, struct str message);
/* "15S" to milliseconds; -EINVAL. */
int grpc_timeout_parse(struct str s, uint64_t *ret_ms) NODISCARD;
