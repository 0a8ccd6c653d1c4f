/* Sending on an HTTP/1 connection: how a message is framed is decided here, whatever its head said
 * where it came from. A body that is not what was declared ends the connection: half a message is
 * never made to look whole. */
#include <errno.h>

#include "base/assert.h"
#include "codec/http1_head.h"
#include "codec/http_status.h"
#include "net/http1_priv.h"

/* Lines of our own behind the fields. */
struct extra {
    char text[128];
    size_t n;
};

static void extra_add(struct extra *e, struct str line)
{
    ASSERT(e->n + line.n <= sizeof(e->text));
    memcpy(e->text + e->n, line.p, line.n);
    e->n += line.n;
}

static void extra_add_length(struct extra *e, uint64_t n)
{
    char digits[24];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    extra_add(e, STR("Content-Length: "));
    extra_add(e, str_of(digits + at, sizeof(digits) - at));
    extra_add(e, STR("\r\n"));
}

/* What the head says of framing; these fields are taken out but for a length, which stays as it
 * is. */
struct said {
    struct http_field *length;
    struct http_field *coding;
    bool upgrade;
};

static struct said look(struct http1_conn *h, struct http_head *m)
{
    struct said said = {0};
    for (uint16_t i = 0; i < m->n; i++) {
        struct http_field *f = &m->fields[i];
        if (!f->name_n)
            continue;
        if (f->id == HTTP_NAME_CONTENT_LENGTH) {
            said.length = f;
        } else if (f->id == HTTP_NAME_TRANSFER_ENCODING) {
            if (said.coding)
                said.coding->name_n = 0;
            said.coding = f;
        } else if (f->id == HTTP_NAME_CONNECTION) {
            h->close = h->close || http_has_token(http_field_value(f), "close");
            f->name_n = 0;
        } else if (f->id == HTTP_NAME_UPGRADE) {
            said.upgrade = true;
        }
    }
    return said;
}

static void drop(struct http_field *f)
{
    if (f)
        f->name_n = 0;
}

static bool has_body_method(struct str method)
{
    return str_is(method, "POST") || str_is(method, "PUT") || str_is(method, "PATCH");
}

/* A message without a body. */
static void frame_empty(struct http1_conn *h, struct http_head *m, struct said *said,
                        struct extra *e)
{
    bool may_have = h->base.client ? has_body_method(m->method) : true;
    drop(said->coding);
    if (said->length && m->content_length > 0)
        drop(TAKE(said->length)); /* it would promise what does not come */
    if (!said->length && may_have)
        extra_add_length(e, 0);
    h->tx = TX_DONE;
}

static void frame_body(struct http1_conn *h, struct http_head *m, struct said *said,
                       struct extra *e)
{
    if (m->content_length != HTTP_LENGTH_NONE) {
        drop(said->coding);
        if (!said->length)
            extra_add_length(e, (uint64_t)m->content_length);
        h->tx = TX_LENGTH;
        h->tx_left = m->content_length;
        return;
    }
    drop(said->length);
    if (!h->base.client && h->minor_0) {
        drop(said->coding);
        h->close = true; /* HTTP/1.0 has no chunks: the connection's end is the body's */
        h->tx = TX_UNTIL_CLOSE;
        return;
    }
    if (!said->coding)
        extra_add(e, STR("Transfer-Encoding: chunked\r\n"));
    h->tx = TX_CHUNKED;
}

static void frame_raw(struct http1_conn *h, struct said *said)
{
    drop(said->coding);
    drop(said->length);
    h->raw = true;
    h->tx = TX_RAW;
    h->rx = RX_RAW;
    h->stream->received = false;
    conn_resume(h->base.conn); /* what came before now has waited */
}

static void frame_answer(struct http1_conn *h, struct http_head *m, bool end, struct extra *e)
{
    struct said said = look(h, m);
    unsigned status = m->status;
    if (status == 101 || (h->connect && status < 300)) {
        frame_raw(h, &said);
        if (status == 101 && said.upgrade)
            extra_add(e, STR("Connection: upgrade\r\n"));
        return;
    }
    if (status == 204 || status == 304 || h->head_only) {
        if (status == 204) {
            drop(said.length);
            drop(said.coding);
        } else if (h->head_only && !said.length && m->content_length != HTTP_LENGTH_NONE) {
            extra_add_length(e, (uint64_t)m->content_length);
        }
        h->tx = end ? TX_DONE : TX_DROPPED;
    } else if (end) {
        frame_empty(h, m, &said, e);
    } else {
        frame_body(h, m, &said, e);
    }
    if (h->close || h->draining || (end && !h->stream->received)) {
        h->close = true;
        extra_add(e, STR("Connection: close\r\n"));
    } else if (h->minor_0) {
        extra_add(e, STR("Connection: keep-alive\r\n")); /* HTTP/1.0 ends it unless told */
    }
}

static void frame_request(struct http1_conn *h, struct http_head *m, bool end, struct extra *e)
{
    struct said said = look(h, m);
    h->head_only = str_is(m->method, "HEAD");
    h->connect = str_is(m->method, "CONNECT");
    if (end)
        frame_empty(h, m, &said, e);
    else
        frame_body(h, m, &said, e);
    if (said.upgrade)
        extra_add(e, STR("Connection: upgrade\r\n"));
    else if (h->close)
        extra_add(e, STR("Connection: close\r\n"));
}

/* Our message is whole. */
static void sent(struct http1_conn *h)
{
    h->stream->sent = true;
    if (h->raw)
        conn_finish(h->base.conn);
    h->tx = TX_DONE;
    if (http1_is_over(h))
        http1_settle_later(h);
}

void http1_send_head(struct http_stream *s, struct http_head *m, bool end)
{
    struct http1_conn *h = http1_of(s);
    struct extra e;
    struct chain *out = conn_out(h->base.conn);
    int r;
    e.n = 0;
    ASSERT(h->tx == TX_HEAD);
    if (h->base.client) {
        frame_request(h, m, end, &e);
        r = http1_write_request(out, m, str_of(e.text, e.n));
    } else {
        bool interim = m->status < 200 && m->status != 101;
        if (!m->reason.n)
            m->reason = http_status_text(m->status);
        if (!interim)
            frame_answer(h, m, end, &e);
        r = http1_write_response(out, m, str_of(e.text, e.n));
        end = end && !interim;
    }
    if (r < 0) {
        http1_die(h, HTTP_END_CLOSED, r, "no memory for a head");
        return;
    }
    conn_wake(h->base.conn);
    if (end)
        sent(h);
}

static void send_chunk(struct conn *c, struct chain *data)
{
    static const char digits[] = "0123456789abcdef";
    char line[20];
    size_t at = sizeof(line), n = data->n;
    line[--at] = '\n';
    line[--at] = '\r';
    do
        line[--at] = digits[n % 16];
    while (n /= 16);
    conn_write(c, str_of(line + at, sizeof(line) - at));
    conn_write_chain(c, data);
    conn_write(c, STR("\r\n"));
}

/* False: the body is not what its head declared. */
static bool count_length(struct http1_conn *h, size_t n, bool end)
{
    if ((int64_t)n > h->tx_left || (end && (int64_t)n < h->tx_left))
        return false;
    h->tx_left -= (int64_t)n;
    return true;
}

void http1_send_data(struct http_stream *s, struct chain *data, bool end)
{
    struct http1_conn *h = http1_of(s);
    struct conn *c = h->base.conn;
    ASSERT(h->tx != TX_HEAD && h->tx != TX_DONE);
    if (h->tx == TX_LENGTH && !count_length(h, data->n, end)) {
        chain_done(data);
        COUNT_IF(true, "a body that is not of its declared length");
        http1_die(h, HTTP_END_CLOSED, -EMSGSIZE, "the body is not of its declared length");
        return;
    }
    if (h->tx == TX_DROPPED)
        chain_done(data);
    else if (h->tx == TX_CHUNKED && data->n)
        send_chunk(c, data);
    else if (data->n)
        conn_write_chain(c, data);
    if (h->tx == TX_CHUNKED && end)
        conn_write(c, STR("0\r\n\r\n"));
    if (end)
        sent(h);
}

void http1_send_trailers(struct http_stream *s, const struct http_head *m)
{
    struct http1_conn *h = http1_of(s);
    struct chain none = {0};
    if (h->tx != TX_CHUNKED) {
        http1_send_data(s, &none, true); /* there is no place for them */
        return;
    }
    conn_write(h->base.conn, STR("0\r\n"));
    int r = http1_write_fields(conn_out(h->base.conn), m);
    conn_wake(h->base.conn);
    if (r < 0)
        http1_die(h, HTTP_END_CLOSED, r, "no memory for trailers");
    else
        sent(h);
}
