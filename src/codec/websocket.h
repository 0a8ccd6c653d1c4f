#pragma once
/* WebSocket frames (RFC 6455), both ends, on bytes. No extensions, no compression. Control frames
 * are at most 125 bytes and not fragmented; clients mask, servers do not: what breaks that is
 * refused. */

#include "base/chain.h"

enum websocket_opcode {
    WEBSOCKET_CONTINUATION = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10,
};

enum { WEBSOCKET_FRAME_BYTES_MAX = 1024 * 1024 };

struct websocket_frame {
    enum websocket_opcode opcode;
    bool final;
    struct str payload; /* unmasked, in place */
};

/* Takes the next frame from the front of *in (unmasking it there); the payload is good until in
 * changes. from_client says which side we read. 1 = *ret is set and *ret_consumed bytes belong to
 * it, 0 = more bytes are needed, -EBADMSG = a protocol error, -E2BIG = a frame over
 * WEBSOCKET_FRAME_BYTES_MAX; -ENOMEM. */
int websocket_frame_read(struct chain *in, bool from_client, struct websocket_frame *ret,
                         size_t *ret_consumed) NODISCARD;

/* Appends a whole (final) frame. masked: we are the client. */
void websocket_frame_write(struct buf *out, enum websocket_opcode opcode, bool masked,
                           struct str payload);
/* The same with one byte before the payload: the channel number of Kubernetes' remote command
 * protocol. */
void websocket_channel_write(struct buf *out, uint8_t channel, bool masked, struct str payload);
void websocket_close_write(struct buf *out, bool masked, uint16_t code);

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 section 4.2.2): SHA-1 and base64, done
 * here so that no one needs a crypto library for it (SHA-1 protects nothing here). */
void websocket_accept_key(struct str key, char ret[29]);
/* A random Sec-WebSocket-Key. */
void websocket_key_new(char ret[25]);
