/* What the session, its receiving and its sending all need: the records of open streams, the ends
 * of streams and of the connection, and the budget of streams cut short. */
#include <stdio.h>

#include "base/assert.h"
#include "codec/http2_priv.h"

/* ---- streams ---- */

static struct http2_stream **bucket_of(const struct http2 *h, int32_t id)
{
    struct http2 *mine = (struct http2 *)(uintptr_t)h;
    return &mine->buckets[((uint32_t)id >> 1) % HTTP2_BUCKETS];
}

struct http2_stream *http2_find(const struct http2 *h, int32_t id)
{
    struct http2_stream *s = *bucket_of(h, id);
    while (s && s->id != id)
        s = s->next;
    return s;
}

struct http2_stream *http2_find_live(const struct http2 *h, int32_t id)
{
    struct http2_stream *s = http2_find(h, id);
    return s && !s->dead ? s : NULL;
}

struct http2_stream *http2_stream_new(struct http2 *h, int32_t id)
{
    struct http2_stream *s = h->free, **bucket = bucket_of(h, id);
    if (s) {
        h->free = s->next;
        h->n_free--;
    } else if (!(s = try_malloc(sizeof(*s)))) {
        return NULL;
    }
    *s = (struct http2_stream){.id = id, .next = *bucket};
    *bucket = s;
    h->n_streams++;
    return s;
}

static void stream_clear(struct http2_stream *s)
{
    chain_done(&s->out);
    free(TAKE(s->trailers));
    list_remove(&s->writable);
}

void http2_stream_free(struct http2 *h, struct http2_stream *s)
{
    struct http2_stream **at = bucket_of(h, s->id);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    h->n_streams--;
    if (h->server && (s->received || s->peer_reset))
        h->ended[h->n_ended++ % ARRAY_LEN(h->ended)] = s->id;
    stream_clear(s);
    if (h->arriving.stream == s)
        h->arriving.stream = NULL;
    if (MEM_POOLS_ARE_OFF || h->n_free == HTTP2_STREAMS_KEPT) {
        free(s);
        return;
    }
    s->next = h->free;
    h->free = s;
    h->n_free++;
}

static void give_back(struct http2 *h, struct http2_stream *s, size_t n)
{
    if (n == 0)
        return;
    s->unconsumed -= n;
    int r = s->received || s->dead ? nghttp2_session_consume_connection(h->session, n)
                                   : nghttp2_session_consume(h->session, s->id, n);
    if (r == NGHTTP2_ERR_NOMEM)
        http2_end(h, HTTP2_REASON_MEMORY, HTTP2_INTERNAL_ERROR, "out of memory");
}

void http2_consume(struct http2 *h, int32_t id, size_t n)
{
    struct http2_stream *s = http2_find_live(h, id);
    if (s)
        give_back(h, s, MIN(n, s->unconsumed));
}

void http2_kill(struct http2 *h, struct http2_stream *s)
{
    s->dead = true;
    give_back(h, s, s->unconsumed);
    stream_clear(s);
}

void http2_submit_reset(struct http2 *h, int32_t id, uint32_t code)
{
    if (nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, code) == NGHTTP2_ERR_NOMEM)
        http2_end(h, HTTP2_REASON_MEMORY, HTTP2_INTERNAL_ERROR, "out of memory");
}

void http2_reset(struct http2 *h, int32_t id, uint32_t code)
{
    struct http2_stream *s = http2_find_live(h, id);
    if (!s)
        return;
    s->by_user = true;
    http2_kill(h, s);
    http2_submit_reset(h, id, code);
}

void http2_break(struct http2 *h, struct http2_stream *s, uint32_t code)
{
    http2_kill(h, s);
    http2_submit_reset(h, s->id, code);
    h->ops->on_reset(h->user, s->id, s->user, code, HTTP2_BY_ERROR);
}

/* ---- the connection ends ---- */

int http2_end(struct http2 *h, enum http2_reason reason, uint32_t code, const char *why)
{
    if (!h->over) {
        h->over = true;
        h->reason = reason;
        snprintf(h->error, sizeof(h->error), "%s", why);
        /* Out of memory it ends without a word. */
        IGNORE_RESULT(nghttp2_session_terminate_session(h->session, code));
    }
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

int http2_flood(struct http2 *h, const char *why)
{
    return http2_end(h, HTTP2_REASON_FLOOD, HTTP2_ENHANCE_YOUR_CALM, why);
}

/* A server is made to begin work for nothing by streams cut short, whoever cuts them (rapid reset;
 * its own resets for the peer's errors). Those its user ended are not the peer's doing. */
int http2_count_reset(struct http2 *h)
{
    if (!h->server)
        return 0;
    if (h->now_ms - h->resets_since_ms >= HTTP2_RESETS_WINDOW_MS) {
        h->resets_since_ms = h->now_ms;
        h->resets = 0;
    }
    return ++h->resets > h->limits.resets_max ? http2_flood(h, "too many streams cut short") : 0;
}

enum http2_reason http2_reason(const struct http2 *h)
{
    return h->reason;
}

const char *http2_error(const struct http2 *h)
{
    return h->error;
}
