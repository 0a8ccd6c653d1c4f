/* What users ask of HTTP/2 streams. Nothing is sent here: it is queued in the codec, and goes out
 * with all else of this turn. A body that is not what was declared breaks its stream: half a
 * message is never made to look whole. */
#include <errno.h>

#include "base/assert.h"
#include "net/http2_conn_priv.h"

static void break_off(struct http2_conn *h, struct http2_stream_state *r, enum http_end end,
                      int code, const char *text)
{
    http2_reset(h->h, (int32_t)r->s.id, HTTP2_INTERNAL_ERROR);
    http2_state_end_later(h, r, end, code, text);
}

/* Room for the digits is the caller's. Where there is no room for a field it may be left out: the
 * frames say where the body ends. */
static void add_length(struct http_head *m, char digits[24])
{
    uint64_t n = (uint64_t)m->content_length;
    size_t at = 24;
    do
        digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    IGNORE_RESULT(http_head_add(m, HTTP_NAME_CONTENT_LENGTH, str_of(digits + at, 24 - at)));
}

/* What the head says of the body is made true. */
static void frame(struct http2_conn *h, struct http2_stream_state *r, struct http_head *m, bool end,
                  char digits[24])
{
    bool has_length = http_head_find(m, HTTP_NAME_CONTENT_LENGTH) != NULL;
    bool answer = !h->base.client;
    r->tx_left = -1;
    if (answer && (r->head_only || m->status == 204 || m->status == 304)) {
        r->dropped = !end;
        if (m->status == 204)
            http_head_remove(m, HTTP_NAME_CONTENT_LENGTH);
        else if (!has_length && r->head_only && m->content_length > 0)
            add_length(m, digits);
    } else if (r->connect && (!answer || m->status < 300)) {
        http_head_remove(m, HTTP_NAME_CONTENT_LENGTH);
    } else if (end) {
        if (has_length && m->content_length > 0)
            http_head_remove(m, HTTP_NAME_CONTENT_LENGTH); /* it would promise what does not come */
    } else if (m->content_length != HTTP_LENGTH_NONE) {
        r->tx_left = m->content_length;
        if (!has_length)
            add_length(m, digits);
    } else if (has_length) {
        http_head_remove(m, HTTP_NAME_CONTENT_LENGTH);
    }
}

static int send_request(struct http2_conn *h, struct http2_stream_state *r, struct http_head *m,
                        bool end)
{
    int32_t id;
    char digits[24];
    r->head_only = str_is(m->method, "HEAD");
    r->connect = str_is(m->method, "CONNECT");
    frame(h, r, m, end, digits);
    int code = http2_open(h->h, http_stream_arena(&r->s), r, m, end, &id);
    if (code < 0)
        return code;
    r->s.id = (uint32_t)id;
    h->n_unsent--;
    return 0;
}

void http2_conn_send_head(struct http_stream *s, struct http_head *m, bool end)
{
    struct http2_conn *h = http2_conn_of(s);
    struct http2_stream_state *r = http2_state_of(s);
    char digits[24];
    int code;
    ASSERT(!r->head_sent);
    if (h->dead || r->broken)
        return;
    if (h->base.client) {
        code = send_request(h, r, m, end);
        r->head_sent = true;
    } else if (m->status < 200) {
        code = http2_send_head(h->h, (int32_t)s->id, m, false);
        end = false;
    } else {
        frame(h, r, m, end, digits);
        code = http2_send_head(h->h, (int32_t)s->id, m, end);
        r->head_sent = true;
    }
    if (code == -EAGAIN || code == -ENOTCONN)
        http2_state_end_later(h, r, HTTP_END_REFUSED, code,
                              "the connection takes no more requests");
    else if (code < 0)
        break_off(h, r, HTTP_END_CLOSED, code, "no memory for a head");
    else
        s->sent = end;
    http2_conn_wake(h);
}

/* False: the body is not what its head declared. */
static bool count(struct http2_stream_state *r, size_t n, bool end)
{
    if (r->tx_left < 0)
        return true;
    if ((int64_t)n > r->tx_left || (end && (int64_t)n < r->tx_left))
        return false;
    r->tx_left -= (int64_t)n;
    return true;
}

void http2_conn_send_data(struct http_stream *s, struct chain *data, bool end)
{
    struct http2_conn *h = http2_conn_of(s);
    struct http2_stream_state *r = http2_state_of(s);
    ASSERT(r->head_sent || r->broken || h->dead);
    if (h->dead || r->broken) {
        chain_done(data);
        return;
    }
    if (r->dropped)
        chain_done(data);
    if (!count(r, data->n, end)) {
        chain_done(data);
        COUNT_IF(true, "a body that is not of its declared length");
        break_off(h, r, HTTP_END_CLOSED, -EMSGSIZE, "the body is not of its declared length");
        return;
    }
    s->sent = end;
    if (!data->n && !end)
        return;
    http2_send_data(h->h, (int32_t)s->id, data, end);
    http2_conn_wake(h);
}

void http2_conn_send_trailers(struct http_stream *s, const struct http_head *m)
{
    struct http2_conn *h = http2_conn_of(s);
    struct http2_stream_state *r = http2_state_of(s);
    struct chain none = {0};
    ASSERT(r->head_sent || r->broken || h->dead);
    if (h->dead || r->broken)
        return;
    if (r->dropped || !count(r, 0, true)) {
        http2_conn_send_data(s, &none, true);
        return;
    }
    if (http2_send_trailers(h->h, (int32_t)s->id, m) == -ENOMEM)
        break_off(h, r, HTTP_END_CLOSED, -ENOMEM, "no memory for trailers");
    else
        s->sent = true;
    http2_conn_wake(h);
}

size_t http2_conn_queued(const struct http_stream *s)
{
    return s->id ? http2_queued(http2_conn_of(s)->h, (int32_t)s->id) : 0;
}

/* What comes is held, and the peer may send as much again when it was told: by settle(). */
void http2_conn_set_paused(struct http_stream *s, bool paused)
{
    struct http2_conn *h = http2_conn_of(s);
    struct http2_stream_state *r = http2_state_of(s);
    s->paused = paused;
    if (paused)
        return;
    if ((r->held.n || r->held_end || r->closed) && !list_is_linked(&r->due))
        list_add_tail(&h->due, &r->due);
    http2_conn_wake(h);
}

void http2_conn_abort(struct http_stream *s)
{
    struct http2_conn *h = http2_conn_of(s);
    struct http2_stream_state *r = http2_state_of(s);
    if (s->over)
        return;
    if (s->id && !h->dead)
        http2_reset(h->h, (int32_t)s->id, h->base.client ? HTTP2_CANCEL : HTTP2_INTERNAL_ERROR);
    http2_state_forget(h, r);
}
