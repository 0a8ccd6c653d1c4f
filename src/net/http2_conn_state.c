/* What receiving and sending on an HTTP/2 connection both need: the records of streams, their ends
 * and the connection's, which settle() of http2_conn.c tells. */
#include "base/assert.h"
#include "net/http2_conn_priv.h"

enum { KEPT_MAX = 16 };

struct http2_stream_state *http2_state_new(struct http2_conn *h)
{
    struct http2_stream_state *r = h->kept;
    if (r) {
        h->kept = r->next;
        h->n_kept--;
    } else {
        r = xmalloc(sizeof(*r));
    }
    *r = (struct http2_stream_state){.s = {.hc = &h->base}, .tx_left = -1};
    list_add_tail(&h->open, &r->node);
    h->touched = true;
    return r;
}

void http2_state_keep(struct http2_conn *h, struct http2_stream_state *r)
{
    http_stream_done(&r->s);
    if (MEM_POOLS_ARE_OFF || h->n_kept == KEPT_MAX) {
        free(r);
        return;
    }
    r->next = h->kept;
    h->kept = r;
    h->n_kept++;
}

void http2_state_forget(struct http2_conn *h, struct http2_stream_state *r)
{
    r->s.over = true;
    chain_done(&r->held);
    list_remove(&r->due);
    list_remove(&r->node);
    list_add_tail(&h->gone, &r->node);
    if (h->arriving == r)
        h->arriving = NULL;
    if (h->base.client && !r->s.id)
        h->n_unsent--;
    http2_conn_wake(h);
}

void http2_state_end(struct http2_conn *h, struct http2_stream_state *r, enum http_end end,
                     int code, const char *text)
{
    struct http_stream *s = &r->s;
    if (s->over)
        return;
    http2_state_forget(h, r);
    if (s->ops) /* else nobody has heard of it */
        s->ops->on_over(s, end, code, text, s->user);
}

void http2_state_end_later(struct http2_conn *h, struct http2_stream_state *r, enum http_end end,
                           int code, const char *text)
{
    if (r->broken || r->s.over)
        return;
    r->broken = true;
    r->end = end;
    r->code = code;
    r->text = text;
    list_remove(&r->due);
    list_add_tail(&h->due, &r->due);
    http2_conn_wake(h);
}

void http2_conn_die(struct http2_conn *h, enum http_end end, int code, const char *text)
{
    if (h->dead)
        return;
    h->dead = true;
    h->end = end;
    h->code = code;
    char *kept = str_empty(text) ? NULL : xstrdup(text); /* it may be h->text */
    free(h->text);
    h->text = kept;
    loop_timer_stop(h->timer);
    conn_free(h->base.conn);
    http2_conn_wake(h);
}

void http2_conn_wake(struct http2_conn *h)
{
    loop_defer(h->loop, &h->settle);
}
