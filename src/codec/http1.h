#pragma once
/* HTTP/1.1 on bytes (RFC 9112): strict parsing of heads, message framing, the chunked coding. No
 * sockets. Whatever is ambiguous is refused, because two readers of one message must never disagree
 * about where it ends. */

#include "base/buf.h"
#include "base/err.h"

struct http_header {
    struct str name;
    struct str value;
};

enum {
    HTTP1_HEAD_BYTES_MAX = 64 * 1024,
    HTTP1_HEADERS_MAX = 128,
    HTTP1_CHUNK_EXT_BYTES_MAX = 4096, /* all extensions and trailers of one body */
};

struct http1_head {
    struct str method; /* requests */
    struct str target;
    int status;                                    /* responses */
    int minor;                                     /* HTTP/1.minor */
    struct http_header headers[HTTP1_HEADERS_MAX]; /* slices of the input */
    size_t n_headers;
    /* Framing, from the headers (RFC 9112 section 6.3). */
    int64_t content_length; /* -1 = not given */
    bool chunked;
    bool close;   /* the connection ends after this message */
    bool upgrade; /* Connection: upgrade is there */
    bool expect_continue;
};

/* Looks for the end of a head in the first bytes of a connection. Returns its length with the empty
 * line, 0 when more bytes are needed, -E2BIG over HTTP1_HEAD_BYTES_MAX. scanned carries progress
 * between calls (start with 0). */
ssize_t http1_head_length(struct str in, size_t *scanned);

/* Parses a whole head (as measured above) into slices of it. -EBADMSG: malformed, the connection
 * must end; -E2BIG: too many headers; -EPROTONOSUPPORT: not HTTP/1.0 or 1.1. */
int http1_parse_request(struct str head, struct http1_head *ret, struct err *reterr) NODISCARD;
int http1_parse_response(struct str head, struct http1_head *ret, struct err *reterr) NODISCARD;

/* First header of a name; .p is NULL if absent. */
struct str http1_find(const struct http_header *headers, size_t n, const char *name);
/* Is token (case-insensitive) a member of the comma-separated value? */
bool http1_has_token(struct str value, const char *token);

/* The chunked decoder: feed bytes, get pieces of the body. Zero-initialised is the start. */
struct http1_chunked {
    int state;
    uint64_t left;      /* of the current chunk */
    size_t extra_bytes; /* extensions and trailers so far */
    unsigned digits;
    bool done;
    /* Where the trailer section goes, as it came and with its empty line, for
     * http1_read_trailers(); NULL: it is passed over. Borrowed. */
    struct buf *trailers;
};
/* Consumes from *in. 1 = *ret is a piece of the body (a slice of in), 0 = more input needed or
 * (c->done) the end, -EBADMSG = malformed. */
int http1_chunked_next(struct http1_chunked *c, struct str *in, struct str *ret) NODISCARD;

/* "GET" etc.: RFC 9110 token. */
bool http1_is_token(struct str s);
/* A header value that may be written: no CR, LF, NUL or other controls but TAB. */
bool http1_is_value(struct str s);
