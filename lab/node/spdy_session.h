#pragma once
/* One SPDY/3.1 connection of a client: its streams, over the bytes of an upgraded connection or
 * within the messages of a WebSocket (SPDY/3.1+…, as kubectl has it since 1.31). No flow control of
 * single streams, as in the clients: one that takes no more holds all. */

#include "lab/node/kubelet_priv.h"
#include "lab/node/spdy_codec.h"

struct spdy_session;
struct spdy_stream;

struct spdy_session_ops {
    /* A stream begins; its headers: spdy_session_header. User data by spdy_stream_set_user. False:
     * it is refused. */
    bool (*on_stream)(struct spdy_session *s, struct spdy_stream *st, void *user);
    /* Bytes of the client's, then the end. False: take no more until spdy_session_resume. */
    bool (*on_data)(struct spdy_stream *st, struct str bytes, bool end, void *user);
    /* The client has thrown it away; it is gone after this. */
    void (*on_reset)(struct spdy_stream *st, void *user);
    void (*on_drain)(struct spdy_session *s, void *user);
    /* The connection is over, and all its streams; the session is freed after this. */
    void (*on_gone)(struct spdy_session *s, void *user);
};

enum { SPDY_STREAMS_MAX = 4096 };

/* Which way a request wants SPDY of this protocol ("portforward.k8s.io", or a list of remote
 * command protocols, the best first). NULL: none. */
const char *spdy_protocol_wanted(struct http_exchange *x, const char *const *known, size_t n);
/* Answers 101. */
struct spdy_session *spdy_session_new(struct http_exchange *x, const char *protocol,
                                      const struct spdy_session_ops *ops, void *user);
/* Once everything is in place. */
void spdy_session_start(struct spdy_session *s);
/* Of the stream that on_stream tells of. */
struct str spdy_session_header(const struct spdy_session *s, const char *name);
bool spdy_session_is_full(const struct spdy_session *s);
void spdy_session_resume(struct spdy_session *s);
/* Sends what waits, then ends; on_gone follows. */
void spdy_session_finish(struct spdy_session *s);

void spdy_stream_set_user(struct spdy_stream *st, void *user);
void *spdy_stream_user(const struct spdy_stream *st);
void spdy_stream_send(struct spdy_stream *st, struct str bytes);
/* Our side ends. When the client's has, too, the stream is gone: do not use it after this, unless
 * its on_data has not told the end. */
void spdy_stream_end(struct spdy_stream *st);
/* Thrown away, by us: gone. */
void spdy_stream_reset(struct spdy_stream *st);
