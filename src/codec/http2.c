/* HTTP/2 over nghttp2, which nobody else sees. Owns the session, what comes in, and the budgets
 * against abuse. What nghttp2 forbids in its callbacks (to receive, to send, to go) is
 * forbidden to the user's too; all else is only queued there, so nothing is put off here.
 *
 * A record lives until nghttp2 closes its stream; a stream that broke before is `dead`: its frames
 * are read and dropped. Streams are looked up here, not in nghttp2, which does not know a request
 * that waits to be sent. */
#include "codec/http2.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "codec/http2_priv.h"

/* ---- receiving ---- */

static void tell_data(struct http2 *h, struct http2_stream *s, bool end)
{
    s->received = s->received || end;
    h->ops->on_data(h->user, s->id, s->user, &h->piece, end);
    chain_done(&h->piece);
}

/* Data of a frame whose end has not come, or will not. */
static void flush_piece(struct http2 *h)
{
    struct http2_stream *s = h->piece.n ? http2_find_live(h, h->piece_id) : NULL;
    if (s)
        tell_data(h, s, false);
    chain_done(&h->piece);
}

/* A number that was passed over may not be used any more, nor has it ever been (RFC 9113 section
 * 5.1.1). The last gap is remembered: of other numbers nobody knows whether they were once open. */
static bool was_passed_over(struct http2 *h, int32_t id)
{
    if (id <= h->last_id)
        return id >= h->gap_from && id < h->gap_to;
    if (id > h->last_id + 2) {
        h->gap_from = h->last_id + (h->last_id ? 2 : 1);
        h->gap_to = id;
    }
    h->last_id = id;
    return false;
}

/* Its peer has ended it, and knows. What is on its way to streams that were ended here is dropped,
 * and so is all DATA of either (nghttp2 does not tell of them). */
static bool is_ended(const struct http2 *h, int32_t id)
{
    if (id <= 0 || id > h->last_id || http2_find(h, id))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(h->ended); i++)
        if (h->ended[i] == id)
            return true;
    return false;
}

/* Every frame's header, before the frame is judged. */
static int on_frame_head(nghttp2_session *session, const nghttp2_frame_hd *f, void *user)
{
    struct http2 *h = user;
    const struct http2_limits *l = &h->limits;
    flush_piece(h);
    if (nghttp2_session_get_outbound_queue_size(session) > l->frames_queued_max + h->n_streams)
        return http2_flood(h, "too many frames wait to be sent");
    if (f->type != NGHTTP2_DATA || f->length || (f->flags & NGHTTP2_FLAG_END_STREAM))
        h->empty_data = 0;
    else if (++h->empty_data > l->empty_data_max)
        return http2_flood(h, "too many empty DATA frames");
    if (f->type == NGHTTP2_WINDOW_UPDATE &&
        ++h->window_updates > 100 + l->window_updates_max * h->data_frames_sent)
        return http2_flood(h, "too many WINDOW_UPDATE frames");
    if (f->type == NGHTTP2_HEADERS && is_ended(h, f->stream_id))
        return http2_end(h, HTTP2_REASON_PROTOCOL, NGHTTP2_STREAM_CLOSED,
                         "HEADERS: of a stream that has ended");
    if (h->server && f->type == NGHTTP2_HEADERS && was_passed_over(h, f->stream_id))
        return http2_end(h, HTTP2_REASON_PROTOCOL, HTTP2_PROTOCOL_ERROR,
                         "HEADERS: a number that was passed over");
    if (f->type == NGHTTP2_PRIORITY && !f->stream_id) /* nghttp2 drops them unread */
        return http2_end(h, HTTP2_REASON_PROTOCOL, HTTP2_PROTOCOL_ERROR, "PRIORITY: of no stream");
    if (f->type == NGHTTP2_PRIORITY && ++h->priorities > 100 + l->priorities_max * h->streams_begun)
        return http2_flood(h, "too many PRIORITY frames");
    return 0;
}

static struct http2_stream *begin(struct http2 *h, int32_t id)
{
    static const nghttp2_extpri in_turns = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
    void *stream_user = NULL;
    h->streams_begun++;
    struct arena *a = h->ops->on_begin(h->user, id, &stream_user);
    struct http2_stream *s = a ? http2_stream_new(h, id) : NULL;
    if (!a) {
        http2_submit_reset(h, id, HTTP2_REFUSED_STREAM);
    } else if (!s) {
        http2_end(h, HTTP2_REASON_MEMORY, HTTP2_INTERNAL_ERROR, "out of memory");
    } else {
        s->arena = a;
        s->user = stream_user;
        /* Fails for a stream that is not there, and it is. */
        IGNORE_RESULT(nghttp2_session_change_extpri_stream_priority(h->session, id, &in_turns, 1));
    }
    return s;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
    struct http2 *h = user;
    struct http2_stream *s = http2_find_live(h, f->hd.stream_id);
    (void)session;
    if (h->server && f->headers.cat == NGHTTP2_HCAT_REQUEST)
        s = begin(h, f->hd.stream_id);
    http2_head_begin(h, s);
    return h->over ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* What a head's error means for its stream. */
static int refuse_head(struct http2 *h, int r)
{
    struct http2_stream *s = h->arriving.stream;
    if (r == -ERANGE)
        return http2_flood(h, "a head far over the limit");
    if (s && !s->dead)
        http2_break(h, s, r == -EBADMSG ? HTTP2_PROTOCOL_ERROR : HTTP2_ENHANCE_YOUR_CALM);
    return h->over ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *n, size_t nn,
                     const uint8_t *v, size_t vn, uint8_t flags, void *user)
{
    struct http2 *h = user;
    (void)session, (void)f, (void)flags;
    int r = http2_head_field(h, str_of(n, nn), str_of(v, vn));
    return r < 0 ? refuse_head(h, r) : 0;
}

/* nghttp2 would leave it out and go on. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *n,
                             size_t nn, const uint8_t *v, size_t vn, uint8_t flags, void *user)
{
    (void)session, (void)f, (void)n, (void)nn, (void)v, (void)vn, (void)flags;
    return refuse_head(user, -EBADMSG);
}

static int on_headers_end(struct http2 *h, struct http2_stream *s, bool end)
{
    struct http_head *head;
    bool trailers = s->head_received;
    int r = http2_head_end(h, trailers, &head);
    if (r < 0)
        return refuse_head(h, r);
    h->arriving.stream = NULL;
    s->received = end;
    s->head_received = h->server || head->status >= 200;
    s->connect = s->connect || str_is(head->method, "CONNECT");
    if (trailers)
        h->ops->on_trailers(h->user, s->id, s->user, head);
    else
        h->ops->on_head(h->user, s->id, s->user, head, end);
    return 0;
}

/* The second of a server's GOAWAYs: what came until now is the last. */
static void shutdown_finish(struct http2 *h)
{
    h->shutting = false;
    h->refuses = true;
    if (nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR,
                              NULL, 0) == NGHTTP2_ERR_NOMEM)
        http2_end(h, HTTP2_REASON_MEMORY, HTTP2_INTERNAL_ERROR, "out of memory");
}

/* What a http2_ping() carries; that of a shutdown is all zeros. */
static const uint8_t alive[8] = "alive?\0";

static int on_control(struct http2 *h, const nghttp2_frame *f)
{
    struct http2_stream *s;
    switch ((int)f->hd.type) {
    case NGHTTP2_SETTINGS:
        h->has_settings = h->has_settings || !(f->hd.flags & NGHTTP2_FLAG_ACK);
        return 0;
    case NGHTTP2_PING:
        if (!(f->hd.flags & NGHTTP2_FLAG_ACK))
            return 0;
        if (memcmp(f->ping.opaque_data, alive, sizeof(alive)) != 0) {
            if (h->shutting)
                shutdown_finish(h);
        } else if (h->ops->on_pong) {
            h->ops->on_pong(h->user);
        }
        return 0;
    case NGHTTP2_GOAWAY:
        h->refuses = true;
        if (h->ops->on_goaway)
            h->ops->on_goaway(h->user, f->goaway.last_stream_id, f->goaway.error_code);
        return 0;
    case NGHTTP2_RST_STREAM:
        if (!(s = http2_find(h, f->hd.stream_id)))
            return 0;
        s->peer_reset = true;
        return http2_count_reset(h);
    default:
        return 0;
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
    struct http2 *h = user;
    bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
    int r = 0;
    (void)session;
    if (f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS) {
        struct http2_stream *s = http2_find_live(h, f->hd.stream_id);
        if (s && f->hd.type == NGHTTP2_HEADERS && h->arriving.stream == s)
            r = on_headers_end(h, s, end);
        else if (s && f->hd.type == NGHTTP2_DATA && (h->piece.n || end))
            tell_data(h, s, end);
    } else {
        r = on_control(h, f);
    }
    return h->over ? NGHTTP2_ERR_CALLBACK_FAILURE : r;
}

/* Moves the bytes out of the input without a copy. */
static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                    void *user)
{
    struct http2 *h = user;
    struct http2_stream *s = http2_find_live(h, id);
    (void)flags;
    if (!s)
        return nghttp2_session_consume_connection(session, n) == NGHTTP2_ERR_NOMEM
                   ? NGHTTP2_ERR_CALLBACK_FAILURE
                   : 0;
    chain_consume(h->in, (size_t)((const char *)p - h->at));
    chain_move(&h->piece, h->in, n);
    h->at = (const char *)p + n;
    h->piece_id = id;
    s->unconsumed += n;
    return 0;
}

/* ---- what nghttp2 tells of its own doing ---- */

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct http2 *h = user;
    struct http2_stream *s = http2_find(h, id);
    (void)session;
    if (!s)
        return 0;
    flush_piece(h);
    bool live = !s->dead, well = code == 0 && !s->peer_reset;
    enum http2_cause cause = s->peer_reset ? HTTP2_BY_PEER : HTTP2_BY_ERROR;
    if (!h->server && (s->unprocessed || code == NGHTTP2_REFUSED_STREAM))
        cause = HTTP2_UNPROCESSED;
    void *stream_user = s->user;
    http2_kill(h, s);
    http2_stream_free(h, s);
    if (live && well)
        h->ops->on_closed(h->user, id, stream_user);
    else if (live)
        h->ops->on_reset(h->user, id, stream_user, code, cause);
    return h->over && h->in ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* The answer is out and the request is not whole: nobody waits for the rest. */
static void stop_asking(struct http2 *h, int32_t id)
{
    struct http2_stream *s = http2_find_live(h, id);
    if (!s || s->received || s->connect)
        return;
    s->by_user = true;
    http2_kill(h, s);
    http2_submit_reset(h, id, HTTP2_NO_ERROR);
    h->ops->on_closed(h->user, id, s->user);
}

static int on_sent(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
    struct http2 *h = user;
    (void)session;
    if (f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS) {
        if (h->server && (f->hd.flags & NGHTTP2_FLAG_END_STREAM))
            stop_asking(h, f->hd.stream_id);
    } else if (f->hd.type == NGHTTP2_RST_STREAM) {
        const struct http2_stream *s = http2_find(h, f->hd.stream_id);
        /* One that was refused has begun nothing. */
        if (s ? !s->by_user : f->rst_stream.error_code != NGHTTP2_REFUSED_STREAM)
            IGNORE_RESULT(http2_count_reset(h)); /* what is queued goes out all the same */
    } else if (f->hd.type == NGHTTP2_GOAWAY && f->goaway.error_code && !h->over) {
        h->over = true;
        h->reason = f->goaway.error_code == NGHTTP2_ENHANCE_YOUR_CALM ? HTTP2_REASON_FLOOD
                                                                      : HTTP2_REASON_PROTOCOL;
        snprintf(h->error, sizeof(h->error), "%.*s", (int)f->goaway.opaque_data_len,
                 f->goaway.opaque_data_len ? (const char *)f->goaway.opaque_data : "");
        if (!h->error[0])
            snprintf(h->error, sizeof(h->error), "%s",
                     nghttp2_http2_strerror(f->goaway.error_code));
    }
    return 0;
}

static int on_not_sent(nghttp2_session *session, const nghttp2_frame *f, int error, void *user)
{
    struct http2_stream *s = http2_find(user, f->hd.stream_id);
    (void)session, (void)error;
    if (s && f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST)
        s->unprocessed = true;
    return 0;
}

/* ---- the session ---- */

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *c;
    if (nghttp2_session_callbacks_new(&c) < 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, on_frame_head);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_not_sent);
    nghttp2_session_callbacks_set_send_data_callback(c, http2_write_data);
    return c;
}

/* What nghttp2 asks for is small (a frame, a head within its limits, a record), and 1.52 does not
 * live through every failure: where its queue of streams cannot grow it frees a frame twice
 * (nghttp2_submit_data). So it does not see one. May go when Debian has a version without that. */
static void *mem_malloc(size_t n, void *user)
{
    (void)user;
    return xmalloc(n);
}

static void mem_free(void *p, void *user)
{
    (void)user;
    free(p);
}

static void *mem_calloc(size_t n, size_t size, void *user)
{
    (void)user;
    return xcalloc(n, size);
}

static void *mem_realloc(void *p, size_t n, void *user)
{
    (void)user;
    return xrealloc(p, n);
}

static int session_new(struct http2 *h)
{
    nghttp2_mem mem = {NULL, mem_malloc, mem_free, mem_calloc, mem_realloc};
    nghttp2_session_callbacks *c = callbacks_new();
    nghttp2_option *o = NULL;
    int r = c ? nghttp2_option_new(&o) : NGHTTP2_ERR_NOMEM;
    if (r == 0) {
        nghttp2_option_set_no_auto_window_update(o, 1);
        nghttp2_option_set_no_closed_streams(o, 1);
        /* Ours counts, on the clock it is given. */
        nghttp2_option_set_stream_reset_rate_limit(o, UINT32_MAX, UINT32_MAX);
        nghttp2_option_set_max_outbound_ack(o, h->limits.frames_queued_max);
        r = h->server ? nghttp2_session_server_new3(&h->session, c, h, o, &mem)
                      : nghttp2_session_client_new3(&h->session, c, h, o, &mem);
    }
    nghttp2_option_del(o);
    nghttp2_session_callbacks_del(c);
    return r;
}

static int submit_settings(struct http2 *h)
{
    const struct http2_limits *l = &h->limits;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, l->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, l->stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, l->head_bytes_max},
        {h->server ? NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES : NGHTTP2_SETTINGS_ENABLE_PUSH,
         h->server},
    };
    int r = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
    return r < 0 ? r
                 : nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                                         (int32_t)l->connection_window);
}

static void set_limits(struct http2_limits *l, const struct http2_limits *from)
{
#define DEFAULT(field, n) l->field = l->field ? l->field : (n)
    if (from)
        *l = *from;
    DEFAULT(streams_max, 100);
    DEFAULT(stream_window, 64 * 1024);
    DEFAULT(connection_window, 1024 * 1024);
    DEFAULT(head_bytes_max, 60 * 1024);
    DEFAULT(fields_max, 100);
    DEFAULT(resets_max, 100);
    DEFAULT(frames_queued_max, 1000);
    DEFAULT(empty_data_max, 1);
    DEFAULT(window_updates_max, 10);
    DEFAULT(priorities_max, 100);
#undef DEFAULT
    ASSERT(l->fields_max <= HTTP_FIELDS_MAX && l->stream_window <= INT32_MAX &&
           l->connection_window <= INT32_MAX);
}

struct http2 *http2_new(enum http2_role role, const struct http2_limits *limits,
                        const struct http2_ops *ops, void *user)
{
    struct http2 *h = try_malloc(sizeof(*h));
    if (!h)
        return NULL;
    memset(h, 0, sizeof(*h));
    h->ops = ops;
    h->user = user;
    h->server = role == HTTP2_SERVER;
    list_init(&h->writable);
    set_limits(&h->limits, limits);
    ASSERT(ops->on_head && ops->on_data && ops->on_trailers && ops->on_reset && ops->on_closed);
    ASSERT(!h->server || ops->on_begin);
    if (session_new(h) < 0 || submit_settings(h) < 0) {
        http2_free(h);
        return NULL;
    }
    return h;
}

void http2_free(struct http2 *h)
{
    if (!h)
        return;
    ASSERT(!h->busy);
    nghttp2_session_del(h->session); /* closes no stream */
    for (size_t i = 0; i < HTTP2_BUCKETS; i++)
        while (h->buckets[i])
            http2_stream_free(h, h->buckets[i]);
    while (h->free) {
        struct http2_stream *s = h->free;
        h->free = s->next;
        free(s);
    }
    chain_done(&h->piece);
    free(h);
}

/* One run. Its block stays while nghttp2 reads, whatever is taken out of it. */
static ssize_t receive_run(struct http2 *h)
{
    struct str run = chain_front(h->in);
    struct bytes *block = bytes_ref(h->in->first->block);
    h->at = run.p;
    ssize_t r = nghttp2_session_mem_recv(h->session, (const uint8_t *)run.p, run.n);
    chain_consume(h->in, (size_t)(run.p + run.n - h->at));
    bytes_unref(block);
    return r;
}

int http2_receive(struct http2 *h, struct chain *in, uint64_t now_ms)
{
    ssize_t r = 0;
    ASSERT(!h->busy);
    h->busy = true;
    h->now_ms = now_ms;
    h->in = in;
    while (in->n && r >= 0 && !h->over)
        r = receive_run(h);
    if (!h->over)
        flush_piece(h);
    chain_done(&h->piece);
    chain_done(in);
    h->in = NULL;
    h->busy = false;
    if (r == NGHTTP2_ERR_FLOODED)
        http2_flood(h, "too many answers wait to be sent");
    else if (r == NGHTTP2_ERR_NOMEM)
        http2_end(h, HTTP2_REASON_MEMORY, HTTP2_INTERNAL_ERROR, "out of memory");
    else if (r < 0)
        http2_end(h, HTTP2_REASON_PROTOCOL, HTTP2_PROTOCOL_ERROR, nghttp2_strerror((int)r));
    if (!h->over)
        return 0;
    return h->reason == HTTP2_REASON_MEMORY  ? -ENOMEM
           : h->reason == HTTP2_REASON_FLOOD ? -EBUSY
                                             : -EPROTO;
}

bool http2_wants_send(const struct http2 *h)
{
    return nghttp2_session_want_write(h->session);
}

bool http2_is_over(const struct http2 *h)
{
    return (h->over || !nghttp2_session_want_read(h->session)) && !http2_wants_send(h);
}

size_t http2_open_streams(const struct http2 *h)
{
    return h->n_streams;
}

int http2_ping(struct http2 *h)
{
    return h->over || nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, alive) == 0 ? 0 : -ENOMEM;
}

void http2_shutdown(struct http2 *h)
{
    if (h->over || h->refuses)
        return;
    if (!h->server || h->shutting) {
        shutdown_finish(h);
        return;
    }
    h->shutting = true;
    if (nghttp2_submit_shutdown_notice(h->session) == NGHTTP2_ERR_NOMEM ||
        nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL) == NGHTTP2_ERR_NOMEM)
        http2_end(h, HTTP2_REASON_MEMORY, HTTP2_INTERNAL_ERROR, "out of memory");
}
