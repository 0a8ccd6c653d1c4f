#pragma once
/* The HTTP/1 connection, shared by its files: http1_conn.c receives and owns, http1_send.c sends,
 * http1_state.c is what both need. */

#include "codec/http1.h"
#include "net/http_stream_priv.h"

enum http1_rx {
    RX_HEAD,
    RX_LENGTH,
    RX_CHUNKED,
    RX_UNTIL_CLOSE,
    RX_RAW,
    RX_DONE,
};

enum http1_tx {
    TX_HEAD,
    TX_LENGTH,
    TX_CHUNKED,
    TX_UNTIL_CLOSE,
    TX_RAW,
    TX_DROPPED, /* an answer that has no body: to HEAD */
    TX_DONE,
};

enum { TRAILERS_BYTES_MAX = 16 * 1024 };

struct http1_conn {
    struct http_conn base;
    struct loop *loop;
    struct http_stream *stream;
    struct loop_timer *timer; /* a head's, or idle, or lingering */
    struct loop_call settle;
    struct http1_chunked chunked;
    struct buf trailers;
    int64_t rx_left;
    int64_t tx_left;
    size_t scanned;
    uint64_t requests;
    uint8_t rx;
    uint8_t tx;
    uint8_t interim;
    bool opened;
    bool head_only; /* asked with HEAD */
    bool connect;   /* asked with CONNECT */
    bool minor_0;   /* the client speaks HTTP/1.0 */
    bool raw;       /* both directions are bytes */
    bool close;     /* no message behind this one */
    bool draining;
    bool lingering;
    bool cutting;    /* what was queued of a broken message still goes out, and nothing behind it */
    bool head_begun; /* of the next request: its time runs */
    bool waits;      /* the next request waits until answers are read */
    bool dead;       /* the conn is gone; settle() tells */
    bool freed;      /* and nobody wants to know */
    enum http_end end;
    int code;
    char *text;
};

static inline struct http1_conn *http1_of(const struct http_stream *s)
{
    return (struct http1_conn *)s->hc;
}

/* In memory from malloc, which becomes the connection's own. */
struct http_conn *http1_conn_init(struct http1_conn *h, struct conn *c, bool client,
                                  const struct http_conn_config *config,
                                  const struct http_conn_ops *ops, void *user);
/* Ends the connection; told at the end of the turn. */
void http1_die(struct http1_conn *h, enum http_end end, int code, const char *text);
void http1_settle_later(struct http1_conn *h);
bool http1_is_over(const struct http1_conn *h);

void http1_send_head(struct http_stream *s, struct http_head *m, bool end);
void http1_send_data(struct http_stream *s, struct chain *data, bool end);
void http1_send_trailers(struct http_stream *s, const struct http_head *m);
