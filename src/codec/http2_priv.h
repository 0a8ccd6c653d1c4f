#pragma once
/* What http2.c (the session, and what comes in), http2_send.c (what goes out), http2_state.c (what
 * both need) and http2_head.c (heads) share. The only ones that see nghttp2. */

#include <nghttp2/nghttp2.h>

#include "base/list.h"
#include "codec/http2.h"

enum {
    HTTP2_BUCKETS = 64,      /* of streams by number, which come one after the other */
    HTTP2_STREAMS_KEPT = 16, /* records for reuse */
    HTTP2_SEND_FIELDS = HTTP_FIELDS_MAX + HTTP2_FIELDS_SPARE + 8,
};

/* A stream from its begin until nghttp2 has forgotten it. */
struct http2_stream {
    struct http2_stream *next; /* in its bucket, or among the free */
    struct list_node writable; /* in h->writable: on_writable is due */
    void *user;
    struct arena *arena;
    struct chain out; /* not yet in frames */
    struct http2_trailers *trailers;
    size_t unconsumed; /* given by on_data, and not given back to the peer */
    int32_t id;
    bool dead;          /* the user knows it no more */
    bool by_user;       /* and ended it */
    bool head_received; /* the last one: trailers may follow */
    bool received;      /* the peer's end */
    bool connect;       /* server: a tunnel, whose directions end by themselves */
    bool head_sent;     /* the last one */
    bool end_queued;
    bool peer_reset;
    bool deferred; /* nghttp2 waits to be told of data */
    bool filled;   /* there was something to send since on_writable */
    bool unprocessed;
};

/* The head that is arriving: there is one at a time. */
struct http2_arriving {
    struct http2_stream *stream; /* NULL: nobody's; read for HPACK's sake alone */
    size_t bytes;
    uint16_t n; /* fields; [0] is kept for Host */
    uint16_t cookies;
    struct http_head head;
    struct http_field fields[HTTP_FIELDS_MAX + 1];
};

struct http2 {
    nghttp2_session *session;
    const struct http2_ops *ops;
    void *user;
    struct http2_limits limits;
    bool server;
    bool busy;     /* within nghttp2 */
    bool over;     /* broken: nothing more is read */
    bool refuses;  /* no new streams: GOAWAY came or went */
    bool shutting; /* server: the first GOAWAY is out, the second is due */
    bool has_settings;
    enum http2_reason reason;
    char error[120];
    uint64_t now_ms;

    struct http2_stream *buckets[HTTP2_BUCKETS];
    struct http2_stream *free;
    unsigned n_free;
    size_t n_streams;
    struct list_node writable;

    /* receiving */
    int32_t last_id, gap_from, gap_to; /* server: of the client's streams */
    int32_t ended[32];                 /* the latest that the client ended */
    unsigned n_ended;
    struct chain *in;   /* during http2_receive() */
    const char *at;     /* what of its first run is consumed */
    struct chain piece; /* of a DATA frame, not yet told */
    int32_t piece_id;
    struct http2_arriving arriving;

    /* sending */
    struct chain *to; /* during http2_send() */
    size_t max;
    nghttp2_nv nv[HTTP2_SEND_FIELDS];

    /* budgets */
    uint64_t resets_since_ms;
    uint32_t resets, empty_data;
    uint64_t streams_begun, priorities, window_updates, data_frames_sent;
};

/* http2_state.c */
struct http2_stream *http2_find(const struct http2 *h, int32_t id); /* dead ones too */
struct http2_stream *http2_find_live(const struct http2 *h, int32_t id);
struct http2_stream *http2_stream_new(struct http2 *h, int32_t id); /* NULL: out of memory */
void http2_stream_free(struct http2 *h, struct http2_stream *s);
/* The user knows it no more, and what it holds is given back. */
void http2_kill(struct http2 *h, struct http2_stream *s);
void http2_submit_reset(struct http2 *h, int32_t id, uint32_t code);
/* The stream breaks: tells the user, and the peer. */
void http2_break(struct http2 *h, struct http2_stream *s, uint32_t code);
/* The connection breaks; what the callback of nghttp2 has to return. */
int http2_end(struct http2 *h, enum http2_reason reason, uint32_t code, const char *why);
int http2_flood(struct http2 *h, const char *why); /* as http2_end() */
/* One more stream was cut short; 0, or as http2_end(). */
int http2_count_reset(struct http2 *h);

/* http2_head.c */
void http2_head_begin(struct http2 *h, struct http2_stream *s);
/* -EBADMSG: malformed; -E2BIG: over a limit; -ERANGE: far over it; -ENOMEM. */
int http2_head_field(struct http2 *h, struct str name, struct str value);
/* The whole of it, in the stream's arena. -EBADMSG, -ENOMEM. */
int http2_head_end(struct http2 *h, bool trailers, struct http_head **ret);
/* Into h->nv; how many. */
size_t http2_write_request(struct http2 *h, const struct http_head *head);
size_t http2_write_answer(struct http2 *h, const struct http_head *head, char status[4]);
size_t http2_write_trailers(struct http2 *h, const struct http_head *head);

/* http2_send.c */
int http2_write_data(nghttp2_session *session, nghttp2_frame *f, const uint8_t *head, size_t n,
                     nghttp2_data_source *source, void *user);
