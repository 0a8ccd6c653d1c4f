/* What receiving and sending on an HTTP/1 connection both ask and decide: is the stream over, and
 * the end of the connection, which settle() of http1_conn.c tells. */
#include "base/assert.h"
#include "net/http1_priv.h"

void http1_die(struct http1_conn *h, enum http_end end, int code, const char *text)
{
    if (h->dead)
        return;
    h->dead = true;
    h->end = end;
    h->code = code;
    h->text = str_empty(text) ? NULL : xstrdup(text);
    loop_timer_stop(h->timer);
    if (h->stream && (h->tx == TX_UNTIL_CLOSE || h->tx == TX_RAW))
        conn_reset(h->base.conn); /* an orderly end would make the whole of what was sent */
    else
        conn_free(h->base.conn);
    loop_defer(h->loop, &h->settle);
}

void http1_settle_later(struct http1_conn *h)
{
    loop_defer(h->loop, &h->settle);
}

bool http1_is_over(const struct http1_conn *h)
{
    const struct http_stream *s = h->stream;
    if (!s)
        return false;
    if (h->rx == RX_RAW || h->tx == TX_RAW || h->raw)
        return s->received && s->sent;
    return h->base.client ? s->received : s->sent;
}
