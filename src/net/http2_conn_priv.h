#pragma once
/* The HTTP/2 connection, shared by its files: http2_conn.c receives and owns, http2_conn_send.c is
 * what streams' users ask for, http2_conn_state.c is what both need. */

#include "base/list.h"
#include "codec/http2.h"
#include "net/http_stream_priv.h"

struct http2_stream_state {
    struct http_stream s;
    struct http2_stream_state *next; /* among those kept for reuse */
    struct list_node node;           /* in open, or in gone */
    struct list_node due;            /* settle() has something to tell of it */
    struct chain held;               /* what came while it was paused */
    struct http_head *held_trailers;
    size_t queued_then; /* when the clock looked last */
    int64_t tx_left;    /* of a body of a declared length; else -1 */
    uint8_t stuck;      /* how often it has looked in vain */
    uint8_t interim;    /* 1xx that came */
    bool head_sent : 1; /* the last one */
    bool head_only : 1; /* asked with HEAD */
    bool connect : 1;   /* asked with CONNECT */
    bool dropped : 1;   /* an answer that has no body */
    bool held_end : 1;  /* the peer's end came while it was paused */
    bool closed : 1;    /* both directions ended, which is to be told behind what is held */
    bool broken : 1;    /* its end below is due */
    enum http_end end;
    int code;
    const char *text;
};

enum http2_clock {
    CLOCK_NONE,
    CLOCK_OPENING, /* a server's handshake */
    CLOCK_IDLE,
    CLOCK_HEAD, /* one is arriving */
    CLOCK_BUSY, /* there are streams: is any of them stuck? */
    CLOCK_DRAINING,
    CLOCK_LINGER,
};

struct http2_conn {
    struct http_conn base;
    struct loop *loop;
    struct http2 *h;
    struct http2_limits limits;
    struct loop_timer *timer;
    struct loop_timer *ping; /* NULL: the peer is not asked */
    struct loop_call settle;
    struct list_node open; /* struct http2_stream_state */
    struct list_node due;
    struct list_node gone;               /* to be freed by settle() */
    struct http2_stream_state *kept;     /* for reuse */
    struct http2_stream_state *arriving; /* its head is not whole */
    unsigned n_kept;
    unsigned n_unsent; /* opened, and nothing sent: the codec does not know them yet */
    unsigned free_told;
    uint64_t requests;
    uint8_t clock;
    bool opened;
    bool pinged;  /* and has not been answered */
    bool touched; /* there was a stream since the clock was set */
    bool draining;
    bool going;     /* the peer takes no more */
    bool lingering; /* over, but for what is still to be flushed */
    bool dead;      /* the conn is gone; settle() tells */
    bool freed;     /* and nobody wants to know */
    enum http_end end;
    int code;
    char *text;
};

static inline struct http2_conn *http2_conn_of(const struct http_stream *s)
{
    return (struct http2_conn *)s->hc;
}

static inline struct http2_stream_state *http2_state_of(const struct http_stream *s)
{
    return (struct http2_stream_state *)(uintptr_t)s; /* its first member */
}

/* In memory from malloc, which becomes the connection's own. */
struct http_conn *http2_conn_init(struct http2_conn *h, struct conn *c, bool client,
                                  const struct http_conn_config *config,
                                  const struct http_conn_ops *ops, void *user);

struct http2_stream_state *http2_state_new(struct http2_conn *h);
/* Nobody hears of it any more; its memory goes with settle(). */
void http2_state_forget(struct http2_conn *h, struct http2_stream_state *r);
void http2_state_keep(struct http2_conn *h, struct http2_stream_state *r); /* or frees it */
/* From the loop only. */
void http2_state_end(struct http2_conn *h, struct http2_stream_state *r, enum http_end end,
                     int code, const char *text);
/* The same, at the end of the turn. The text is constant. */
void http2_state_end_later(struct http2_conn *h, struct http2_stream_state *r, enum http_end end,
                           int code, const char *text);
/* Ends the connection; told at the end of the turn. */
void http2_conn_die(struct http2_conn *h, enum http_end end, int code, const char *text);
void http2_conn_wake(struct http2_conn *h); /* settle() at the end of the turn */

void http2_conn_send_head(struct http_stream *s, struct http_head *m, bool end);
void http2_conn_send_data(struct http_stream *s, struct chain *data, bool end);
void http2_conn_send_trailers(struct http_stream *s, const struct http_head *m);
size_t http2_conn_queued(const struct http_stream *s);
void http2_conn_set_paused(struct http_stream *s, bool paused);
void http2_conn_abort(struct http_stream *s);
