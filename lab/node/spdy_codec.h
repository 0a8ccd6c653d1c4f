#pragma once
/* Frames of SPDY/3.1 (draft-mbelshe-httpbis-spdy-00), as kubectl speaks it for port-forward and,
 * before 1.31, for exec: one side's reading and writing, with the compression of headers that both
 * directions of a connection keep. No sockets, no streams. */

#include "base/buf.h"

enum spdy_type {
    SPDY_DATA = 0, /* not a control frame; no number of its own */
    SPDY_SYN_STREAM = 1,
    SPDY_SYN_REPLY = 2,
    SPDY_RST_STREAM = 3,
    SPDY_SETTINGS = 4,
    SPDY_PING = 6,
    SPDY_GOAWAY = 7,
    SPDY_HEADERS = 8,
    SPDY_WINDOW_UPDATE = 9,
};

enum {
    SPDY_FLAG_FIN = 1,
    SPDY_REFUSED_STREAM = 3, /* of RST_STREAM: status */
    SPDY_FRAME_BYTES_MAX = 1024 * 1024,
    SPDY_HEADER_BYTES_MAX = 16 * 1024, /* of one frame, inflated */
};

struct spdy_header {
    struct str name, value;
};

struct spdy_frame {
    enum spdy_type type;
    uint32_t stream; /* of PING: its number */
    bool fin;
    struct str payload; /* of DATA */
};

struct spdy_codec;
struct spdy_codec *spdy_codec_new(void);
void spdy_codec_free(struct spdy_codec *c);

/* The frame at the front of in. 1: *ret is set (its payload lies in in) and *ret_used bytes are
 * its; 0: more bytes are needed; -EBADMSG: no SPDY, or headers that are none; -E2BIG: beyond the
 * limits; -ENOMEM. After an error the connection is of no use. */
int spdy_read(struct spdy_codec *c, struct str in, struct spdy_frame *ret, size_t *ret_used)
    NODISCARD;
/* Of the SYN_STREAM read last; an empty text if it is not there. Good until the next is read. */
struct str spdy_header_of(const struct spdy_codec *c, const char *name);

/* Each appends one frame. */
void spdy_write_reply(struct spdy_codec *c, struct buf *out, uint32_t stream);
void spdy_write_data(struct buf *out, uint32_t stream, bool fin, struct str bytes);
void spdy_write_reset(struct buf *out, uint32_t stream, uint32_t status);
void spdy_write_ping(struct buf *out, uint32_t number);
