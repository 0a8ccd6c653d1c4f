#pragma once
/* One HTTP/2 connection (RFC 9113), either role, sans-I/O: bytes in, events and bytes out. Messages
 * have the form of codec/http_head.h. Nothing is pushed, nobody's priorities are followed: streams
 * that have something to send take turns.
 *
 * Callbacks come from within http2_receive() and http2_send(). They may call everything here but
 * http2_receive(), http2_send() and http2_free(): who wants the connection to be gone remembers it
 * and frees it when the call has returned. After on_reset, on_closed or a call of http2_reset()
 * nothing more is told of that stream; calls that name it do nothing. One thread only. */

#include "base/arena.h"
#include "base/chain.h"
#include "codec/http_head.h"

struct http2;

enum http2_role {
    HTTP2_CLIENT,
    HTTP2_SERVER,
};

/* Of RFC 9113 section 7, those that others name. */
enum http2_code {
    HTTP2_NO_ERROR = 0,
    HTTP2_PROTOCOL_ERROR = 1,
    HTTP2_INTERNAL_ERROR = 2,
    HTTP2_REFUSED_STREAM = 7,
    HTTP2_CANCEL = 8,
    HTTP2_CONNECT_ERROR = 10,
    HTTP2_ENHANCE_YOUR_CALM = 11,
};

/* Why a connection is over. */
enum http2_reason {
    HTTP2_REASON_NONE,     /* it is not, or it ended well */
    HTTP2_REASON_PROTOCOL, /* the peer broke the protocol */
    HTTP2_REASON_FLOOD,    /* the peer spent a budget against abuse */
    HTTP2_REASON_MEMORY,
};

/* Why a stream is. */
enum http2_cause {
    HTTP2_BY_PEER,     /* it said so */
    HTTP2_BY_ERROR,    /* of the peer's */
    HTTP2_UNPROCESSED, /* the peer has not looked at it, and it may be sent elsewhere */
};

enum {
    HTTP2_FIELDS_SPARE = 12, /* room in a received head for fields to be added */
    HTTP2_RESETS_WINDOW_MS = 10 * 1000,
};

/* 0 in a field means what is written beside it. */
struct http2_limits {
    uint32_t streams_max;       /* open at a time, of the peer's; 100 */
    uint32_t stream_window;     /* bytes received and not consumed; 64 KiB */
    uint32_t connection_window; /* the same of all streams; 1 MiB */
    uint32_t head_bytes_max;    /* decoded: names, values and 32 for each field; 60 KiB. Twice as
                                   much ends the connection, not the stream alone */
    uint32_t fields_max;        /* crumbs of cookies too; 100; at most HTTP_FIELDS_MAX */
    uint32_t write_low;         /* on_writable at or below; 0 means 0 */
    /* Budgets; whoever exceeds one is sent GOAWAY with ENHANCE_YOUR_CALM. */
    uint32_t
        resets_max; /* server: streams cut short, by the peer or for its errors, in 10 s; 100 */
    uint32_t frames_queued_max;  /* frames waiting to be sent, DATA aside; 1,000 */
    uint32_t empty_data_max;     /* frames without a byte or an end in a row; 1 */
    uint32_t window_updates_max; /* for each DATA frame sent, and 100; 10 */
    uint32_t priorities_max;     /* for each stream there was, and 100; 100 */
};

struct http2_ops {
    /* Server: a stream begins. The arena in which its heads are kept; it and the stream's user are
     * left alone from on_reset, on_closed or http2_reset() on. NULL refuses the stream. */
    struct arena *(*on_begin)(void *user, int32_t id, void **ret_stream_user);
    /* A request; an answer, interim ones (1xx) included. The head lives in the arena. `end`: no
     * body follows. */
    void (*on_head)(void *user, int32_t id, void *stream_user, struct http_head *head, bool end);
    /* Take what you want: the rest is dropped. May be empty if it is the end. The peer may send as
     * much again when http2_consume() was told. */
    void (*on_data)(void *user, int32_t id, void *stream_user, struct chain *data, bool end);
    void (*on_trailers)(void *user, int32_t id, void *stream_user, struct http_head *trailers);
    void (*on_reset)(void *user, int32_t id, void *stream_user, uint32_t code,
                     enum http2_cause cause);
    /* Both directions ended well. On a server an answer that is whole is the end (but for CONNECT):
     * a client that is still sending is told to stop. */
    void (*on_closed)(void *user, int32_t id, void *stream_user);
    /* What http2_send_data() took has become frames, but for write_low bytes at most. */
    void (*on_writable)(void *user, int32_t id, void *stream_user);
    /* The peer takes no more streams; those up to last_id go on. May come more than once. */
    void (*on_goaway)(void *user, int32_t last_id, uint32_t code);
    /* The peer has answered a http2_ping(). May be NULL. */
    void (*on_pong)(void *user);
};

/* limits may be NULL; both it and ops are read later too only where said: ops must outlive it.
 * NULL: out of memory. */
struct http2 *http2_new(enum http2_role role, const struct http2_limits *limits,
                        const struct http2_ops *ops, void *user);
/* Not a word to anybody: streams that are open are the user's to end. NULL is allowed. */
void http2_free(struct http2 *h);

/* Consumes all of `in`. Negative: the connection is over once what http2_send() gives is sent;
 * -EPROTO, -EBUSY (a budget was spent), -ENOMEM. Some errors of the peer are known only when the
 * GOAWAY is written: look at http2_is_over() after http2_send(). now_ms: any clock that does not go
 * back. */
int http2_receive(struct http2 *h, struct chain *in, uint64_t now_ms) NODISCARD;
/* Appends what may go now, until there is `max` or some more in `out`. -ENOMEM: the connection is
 * of no use any more. */
int http2_send(struct http2 *h, struct chain *out, size_t max) NODISCARD;
bool http2_wants_send(const struct http2 *h);
/* Nothing more will be received, and all is sent. */
bool http2_is_over(const struct http2 *h);
enum http2_reason http2_reason(const struct http2 *h);
const char *http2_error(const struct http2 *h); /* a phrase; empty if there was none */
size_t http2_open_streams(const struct http2 *h);
/* Client: how many more may be opened now. */
size_t http2_free_streams(const struct http2 *h);

/* ---- sending ----
 * Heads are copied. Fields that belong to a connection (those that Connection names too) are left
 * out; Host becomes :authority. */

/* Client. -EAGAIN: as many streams as the peer allows; -ENOTCONN: it takes no more; -ENOMEM. */
int http2_open(struct http2 *h, struct arena *a, void *stream_user, const struct http_head *request,
               bool end, int32_t *ret_id) NODISCARD;
/* Server. 1xx may come before, without an end. -ENOENT: no such stream; -ENOMEM. */
int http2_send_head(struct http2 *h, int32_t id, const struct http_head *answer, bool end)
    NODISCARD;
void http2_send_data(struct http2 *h, int32_t id, struct chain *data, bool end); /* takes all */
size_t http2_queued(const struct http2 *h, int32_t id);
bool http2_is_sent(const struct http2 *h, int32_t id); /* the end too */
/* And ends. -ENOENT, -ENOMEM. */
int http2_send_trailers(struct http2 *h, int32_t id, const struct http_head *trailers) NODISCARD;

/* n bytes that on_data gave are dealt with. */
void http2_consume(struct http2 *h, int32_t id, size_t n);
/* Gives the stream up at once; no callback for it comes any more. */
void http2_reset(struct http2 *h, int32_t id, uint32_t code);
/* Is the peer there? -ENOMEM: the connection is of no use any more. */
int http2_ping(struct http2 *h) NODISCARD;
/* No new streams; those that are open go on. A server says so at once and means it when the peer
 * has heard, or when called again; the connection is over when the last stream has ended. */
void http2_shutdown(struct http2 *h);
