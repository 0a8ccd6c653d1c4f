#pragma once
/* Framing of HTTP/1.1 messages on bytes (RFC 9112): where a head ends, and the chunked coding.
 * Heads themselves are read in codec/http1_head.h. Whatever is ambiguous is refused, because two
 * readers of one message must never disagree about where it ends. */

#include "base/buf.h"

enum {
    HTTP1_HEAD_BYTES_MAX = 64 * 1024,
    HTTP1_CHUNK_EXT_BYTES_MAX = 4096, /* all extensions and trailers of one body */
};

/* Looks for the end of a head in the first bytes of a connection. Returns its length with the empty
 * line, 0 when more bytes are needed, -E2BIG over HTTP1_HEAD_BYTES_MAX. scanned carries progress
 * between calls (start with 0). */
ssize_t http1_head_length(struct str in, size_t *scanned);

/* The chunked decoder: feed bytes, get pieces of the body. Zero-initialised is the start. */
struct http1_chunked {
    int state;
    uint64_t left;      /* of the current chunk */
    size_t extra_bytes; /* extensions and trailers so far */
    unsigned digits;
    bool done;
    /* Where a trailer section goes, as it came and with its empty line, for http1_read_trailers();
     * stays empty if there is none. NULL: it is passed over. Borrowed. */
    struct buf *trailers;
};
/* Consumes from *in. 1 = *ret is a piece of the body (a slice of in), 0 = more input needed or
 * (c->done) the end, -EBADMSG = malformed. */
int http1_chunked_next(struct http1_chunked *c, struct str *in, struct str *ret) NODISCARD;
