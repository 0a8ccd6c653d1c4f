#pragma once
/* HTTP messages as streams, the same for either end and every version: a request with its answer is
 * one stream, read and written by heads, data, trailers and ends. What it travels on is a struct
 * http_conn (http1_conn.h); how many streams that has at a time is its own matter.
 *
 * A stream is over when both messages are whole, or when something broke: on_over says which, comes
 * last, exactly once and never from inside a call of the user's, and the stream is gone when it
 * returns. http_stream_abort() ends it without. */

#include "base/arena.h"
#include "codec/http_head.h"
#include "net/conn.h"

struct http2_limits;
struct http_stream;
struct http_conn;

enum http_end {
    HTTP_END_DONE,     /* both messages were whole */
    HTTP_END_CLOSED,   /* the connection ended first */
    HTTP_END_RESET,    /* the peer gave the stream up */
    HTTP_END_REFUSED,  /* the peer has not looked at it: it may be sent elsewhere */
    HTTP_END_PROTOCOL, /* the peer broke the protocol */
};

struct http_stream_ops {
    /* Client: the answer's head; of an interim one (1xx but 101) too, which more follow. The head
     * is the callee's to change and lives as long as the stream. */
    void (*on_head)(struct http_stream *s, struct http_head *h, bool end, void *user);
    /* A piece of the body; may be empty if it is the end. Take what you want of the chain: the rest
     * is dropped. */
    void (*on_data)(struct http_stream *s, struct chain *data, bool end, void *user);
    /* The end of a body that has trailers. NULL: reported as on_data's end. */
    void (*on_trailers)(struct http_stream *s, struct http_head *trailers, void *user);
    /* What was queued to be sent has gone. May be NULL. */
    void (*on_drain)(struct http_stream *s, void *user);
    /* Server: the client has sent its end, and may have gone; the answer is not complete. NULL: it
     * is answered all the same. */
    void (*on_client_end)(struct http_stream *s, void *user);
    void (*on_over)(struct http_stream *s, enum http_end end, int code, const char *text,
                    void *user);
};

/* Of a stream whose user is done with it: what still comes is dropped, what is queued goes out. */
extern const struct http_stream_ops http_stream_spent_ops;
void http_stream_set_ops(struct http_stream *s, const struct http_stream_ops *ops, void *user);
struct http_conn *http_stream_conn(const struct http_stream *s);
/* What was received: the request, or the answer's head so far. */
struct http_head *http_stream_head(struct http_stream *s);
/* Memory that lives as long as the stream, at most HTTP_STREAM_BYTES of it. */
struct arena *http_stream_arena(struct http_stream *s);
enum { HTTP_STREAM_BYTES = 256 * 1024 };

/* ---- receiving ---- */
void http_stream_pause(struct http_stream *s); /* on_data comes no more; the peer is held back */
void http_stream_resume(struct http_stream *s);
bool http_stream_is_received(const struct http_stream *s); /* the peer's message is whole */

/* ---- sending ---- */
/* `end`: no body follows. What frames the message is decided here: fields Transfer-Encoding and
 * Connection are taken out of h, and what is right is written. With h->content_length the body must
 * be of that length. Interim answers (1xx but 101) may come before. An answer 101, or one to
 * CONNECT below 300, makes both directions raw bytes. */
void http_stream_send_head(struct http_stream *s, struct http_head *h, bool end);
void http_stream_send_data(struct http_stream *s, struct chain *data, bool end);  /* takes all */
void http_stream_send_text(struct http_stream *s, struct str data, bool end);     /* copies */
void http_stream_send_trailers(struct http_stream *s, const struct http_head *h); /* and ends */
size_t http_stream_queued(const struct http_stream *s); /* bytes not yet on their way */
bool http_stream_is_sent(const struct http_stream *s);  /* our message is whole */

/* Ends it at once, without a callback. What the peer has of a message it will see as broken off,
 * never as whole. */
void http_stream_abort(struct http_stream *s);

/* ---- connections ---- */

struct http_bad_request {
    int status; /* 400, 408, 431, 501, 505 */
    const char *why;
    bool begun; /* the head was read: a stream has told its user already */
};

struct http_conn_ops {
    /* Server: a request's head has come. Set the stream's ops now. */
    void (*on_request)(struct http_conn *hc, struct http_stream *s, void *user);
    /* Server: what to say to a request that cannot be read; the connection ends behind it. NULL, or
     * nothing added to the body: an empty one. *ret_type is its content type. */
    void (*on_bad_request)(struct http_conn *hc, const struct http_bad_request *bad,
                           struct buf *body, const char **ret_type, void *user);
    /* Client: connected; streams may be opened. */
    void (*on_open)(struct http_conn *hc, void *user);
    /* Client: more streams may be opened than before (http_conn_streams_free). HTTP/1: its stream
     * has ended well. HTTP/2: one has ended, or the peer allows more. */
    void (*on_free)(struct http_conn *hc, void *user);
    /* Over, after all of its streams; gone when this returns. */
    void (*on_close)(struct http_conn *hc, int code, const char *text, void *user);
};

struct http_conn_config {
    size_t head_bytes_max;     /* 0 = 60 KiB */
    size_t fields_max;         /* 0 = 100 */
    uint64_t head_timeout_ms;  /* from a head's first byte; 0 = 10 s */
    uint64_t idle_timeout_ms;  /* no stream; 0 = 90 s */
    uint64_t first_timeout_ms; /* server: until the first head; 0 = as idle */
    uint64_t requests_max;     /* on one connection; 0 = no limit */
    /* HTTP/2: so often the peer is asked whether it is there; 0 = never. Some percent more by
     * chance. Nothing heard for so long after that: the connection ends. */
    uint64_t ping_interval_ms, ping_timeout_ms;
    uint32_t ping_jitter_percent;
    const struct http2_limits *http2; /* of HTTP/2 alone, but for those of heads; NULL = defaults */
};

/* No new streams; closed once those that are open have ended. Server: HTTP/1 answers that go out
 * from now on say `connection: close`. */
void http_conn_shutdown(struct http_conn *hc);
/* At once; open streams end with on_over(HTTP_END_CLOSED) first, on_close does not come. */
void http_conn_free(struct http_conn *hc);
struct conn *http_conn_conn(const struct http_conn *hc); /* borrowed: addresses, TLS */

/* Client: -EAGAIN: as many streams as it may have; -ENOTCONN: it takes no more. */
int http_conn_open(struct http_conn *hc, const struct http_stream_ops *ops, void *user,
                   struct http_stream **ret) NODISCARD;
/* Client: how many streams may be opened now. */
unsigned http_conn_streams_free(const struct http_conn *hc);
unsigned http_conn_version(const struct http_conn *hc); /* 1, 2; 0: not chosen yet */
/* Takes the connection away from HTTP/1 streams that became raw; what was read waits in conn_in.
 * The stream and its http_conn are gone. */
struct conn *http_stream_take_conn(struct http_stream *s);
