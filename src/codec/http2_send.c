/* What goes out over HTTP/2: heads are given to nghttp2 at once, which copies them; data wait in
 * their stream's chain until nghttp2 asks, and then move into the output without a copy; trailers
 * wait behind the data. */
#include <errno.h>

#include "base/assert.h"
#include "codec/http2_priv.h"

/* In one piece of memory, bytes behind the array. */
struct http2_trailers {
    size_t n;
    nghttp2_nv nv[];
};

static struct http2_trailers *trailers_copy(const nghttp2_nv *nv, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += nv[i].namelen + nv[i].valuelen;
    struct http2_trailers *t = try_malloc(sizeof(*t) + n * sizeof(*nv) + bytes);
    if (!t)
        return NULL;
    uint8_t *p = (uint8_t *)(t->nv + n);
    t->n = n;
    for (size_t i = 0; i < n; i++) {
        t->nv[i] = nv[i];
        t->nv[i].name = p;
        p = mempcpy(p, nv[i].name, nv[i].namelen);
        t->nv[i].value = p;
        p = mempcpy(p, nv[i].value, nv[i].valuelen);
        t->nv[i].flags &= (uint8_t)~NGHTTP2_NV_FLAG_NO_COPY_NAME;
    }
    return t;
}

/* nghttp2 asks how much of a stream's data may become a frame of at most `max`. */
static ssize_t read_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t max,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct http2 *h = user;
    struct http2_stream *s = source->ptr;
    (void)buf;
    if (s->dead)
        return NGHTTP2_ERR_DEFERRED; /* its RST_STREAM is on the way */
    if (s->out.n == 0 && !s->end_queued) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (h->to->n >= h->max)
        return NGHTTP2_ERR_PAUSE;
    size_t n = MIN(s->out.n, max);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n < s->out.n || !s->end_queued)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (s->trailers) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(session, id, s->trailers->nv, s->trailers->n) < 0)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        free(TAKE(s->trailers));
    }
    return (ssize_t)n;
}

int http2_write_data(nghttp2_session *session, nghttp2_frame *f, const uint8_t *head, size_t n,
                     nghttp2_data_source *source, void *user)
{
    struct http2 *h = user;
    struct http2_stream *s = source->ptr;
    (void)session;
    ASSERT(f->data.padlen == 0 && !s->dead && n <= s->out.n);
    if (n == 0 && !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0; /* trailers follow, and there is nothing to say before */
    chain_add_exact(h->to, str_of(head, 9));
    chain_move(h->to, &s->out, n);
    h->data_frames_sent++;
    if (s->filled && s->out.n <= h->limits.write_low && !s->end_queued) {
        s->filled = false;
        list_add_tail(&h->writable, &s->writable);
    }
    return 0;
}

static nghttp2_data_provider provider_of(struct http2_stream *s)
{
    return (nghttp2_data_provider){.source.ptr = s, .read_callback = read_data};
}

size_t http2_free_streams(const struct http2 *h)
{
    uint32_t most = 100; /* until the peer has said */
    if (h->refuses || h->over || !nghttp2_session_check_request_allowed(h->session))
        return 0;
    if (h->has_settings)
        most = nghttp2_session_get_remote_settings(h->session,
                                                   NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return h->n_streams < most ? most - h->n_streams : 0;
}

int http2_open(struct http2 *h, struct arena *a, void *stream_user, const struct http_head *request,
               bool end, int32_t *ret_id)
{
    ASSERT(!h->server && a && request->method.n);
    if (h->refuses || h->over || !nghttp2_session_check_request_allowed(h->session))
        return -ENOTCONN;
    if (!http2_free_streams(h))
        return -EAGAIN;
    /* It has no number before it is submitted, and must be known when it is. */
    int32_t id = (int32_t)nghttp2_session_get_next_stream_id(h->session);
    struct http2_stream *s = http2_stream_new(h, id);
    if (!s)
        return -ENOMEM;
    nghttp2_data_provider data = provider_of(s);
    s->arena = a;
    s->user = stream_user;
    s->head_sent = true;
    s->end_queued = end;
    int32_t r = nghttp2_submit_request(h->session, NULL, h->nv, http2_write_request(h, request),
                                       end ? NULL : &data, s);
    if (r < 0) {
        http2_stream_free(h, s);
        return r == NGHTTP2_ERR_NOMEM ? -ENOMEM : -ENOTCONN;
    }
    ASSERT(r == id);
    *ret_id = id;
    return 0;
}

int http2_send_head(struct http2 *h, int32_t id, const struct http_head *answer, bool end)
{
    struct http2_stream *s = http2_find_live(h, id);
    char status[4];
    ASSERT(h->server);
    if (!s || s->head_sent)
        return -ENOENT;
    nghttp2_data_provider data = provider_of(s);
    size_t n = http2_write_answer(h, answer, status);
    int r;
    if (answer->status < 200) {
        r = nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, id, NULL, h->nv, n, NULL);
    } else {
        r = nghttp2_submit_response(h->session, id, h->nv, n, end ? NULL : &data);
        s->head_sent = r == 0;
        s->end_queued = r == 0 && end;
    }
    return r < 0 ? -ENOMEM : 0;
}

static void resume(struct http2 *h, struct http2_stream *s)
{
    if (!s->deferred)
        return;
    s->deferred = false;
    if (nghttp2_session_resume_data(h->session, s->id) == NGHTTP2_ERR_NOMEM)
        http2_end(h, HTTP2_REASON_MEMORY, HTTP2_INTERNAL_ERROR, "out of memory");
}

void http2_send_data(struct http2 *h, int32_t id, struct chain *data, bool end)
{
    struct http2_stream *s = http2_find_live(h, id);
    if (!s || s->end_queued) {
        chain_done(data);
        return;
    }
    ASSERT(s->head_sent);
    if (data->n) {
        chain_move_all(&s->out, data);
        s->filled = true;
        list_remove(&s->writable);
    }
    s->end_queued = end;
    if (s->out.n || end)
        resume(h, s);
}

int http2_send_trailers(struct http2 *h, int32_t id, const struct http_head *trailers)
{
    struct http2_stream *s = http2_find_live(h, id);
    if (!s || s->end_queued)
        return -ENOENT;
    ASSERT(s->head_sent);
    size_t n = http2_write_trailers(h, trailers);
    if (n && !(s->trailers = trailers_copy(h->nv, n)))
        return -ENOMEM;
    s->end_queued = true;
    resume(h, s);
    return 0;
}

size_t http2_queued(const struct http2 *h, int32_t id)
{
    const struct http2_stream *s = http2_find_live(h, id);
    return s ? s->out.n : 0;
}

bool http2_is_sent(const struct http2 *h, int32_t id)
{
    return http2_find_live(h, id) && nghttp2_session_get_stream_local_close(h->session, id) == 1;
}

/* Was there anybody to tell? They may have queued more. */
static bool tell_writable(struct http2 *h)
{
    bool told = false;
    while (!list_is_empty(&h->writable)) {
        struct http2_stream *s = CONTAINER_OF(h->writable.next, struct http2_stream, writable);
        list_remove(&s->writable);
        if (s->dead || !h->ops->on_writable)
            continue;
        h->ops->on_writable(h->user, s->id, s->user);
        told = true;
    }
    return told;
}

int http2_send(struct http2 *h, struct chain *out, size_t max)
{
    const uint8_t *p;
    ssize_t n = 0;
    ASSERT(!h->busy);
    h->busy = true;
    h->to = out;
    h->max = max;
    do {
        while (out->n < max && (n = nghttp2_session_mem_send(h->session, &p)) > 0)
            chain_add(out, str_of(p, (size_t)n));
    } while (tell_writable(h) && n >= 0 && out->n < max);
    h->busy = false;
    h->to = NULL;
    if (n >= 0)
        return 0;
    h->over = true;
    h->reason = HTTP2_REASON_MEMORY;
    return -ENOMEM;
}
