/* HTTP/1.1 server: connections, request assembly, replies and streams.
 *
 * Owns its listener, its connections and at most one exchange per connection. A request's head is
 * copied once, so that its slices stay good while the body arrives; the body gathers up to the
 * configured limit. Streams are chunked. While an exchange is open the connection goes on being
 * read only to notice that the peer has gone. */
#include "net/http_server.h"

#include <errno.h>
#include <stdio.h>

#include "base/list.h"

enum {
    HTTP_BODY_DEFAULT = 1024 * 1024,
    HTTP_HEAD_TIMEOUT_MS = 10000,
    HTTP_BODY_TIMEOUT_MS = 30000,
    HTTP_IDLE_TIMEOUT_MS = 90000,
    HTTP_CONNECTIONS_MAX = 16384,
    HTTP_BODIES_TOGETHER_MAX = 64 * 1024 * 1024, /* in memory, of all requests of a server */
    HTTP_BODY_SMALL = 64 * 1024,                 /* these always find room */
    HTTP_QUEUE_MAX = 256 * 1024, /* a reader with more to read is not answered again yet */
};

struct http_server {
    struct loop *loop;
    struct listener *listener;
    struct http_server_config config;
    const struct http_server_ops *ops;
    void *user;
    struct list_node connections;
    size_t n_connections;
    size_t body_bytes; /* of large bodies, gathered so far */
};

struct http_connection {
    struct list_node node;
    struct http_server *server;
    struct conn *conn;
    struct http_exchange *exchange;
    struct loop_timer *timer; /* head or idle */
    size_t scanned;
    bool closing;
    bool head_begun;  /* of the next request: its time runs */
    bool waits;       /* the next request waits until answers are read */
    bool next_queued; /* connection_next is deferred: pipelined requests do not recurse */
};

struct http_exchange {
    struct http_connection *connection;
    struct http_server *server;
    size_t counted; /* in the server's body_bytes */
    char *head_bytes;
    struct http1_head head;
    struct http1_chunked chunked;
    struct buf body;
    bool complete; /* request is whole and was given to on_request */
    bool streaming;
    bool no_body; /* asked with HEAD, or a status that has none */
    bool ends_with_client;
    void (*on_done)(struct http_exchange *x, void *user);
    void *done_user;
    void (*on_drain)(struct http_exchange *x, void *user);
    void *drain_user;
};

static void connection_read(struct http_connection *hc);
static void connection_next(void *user);

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Status";
}

/* ---- ends ---- */

static void exchange_free(struct http_exchange *x)
{
    if (x->counted)
        x->server->body_bytes -= x->counted;
    free(x->head_bytes);
    buf_done(&x->body);
    free(x);
}

/* Tells the owner and frees; the connection may live on. */
static void exchange_over(struct http_exchange *x)
{
    struct http_connection *hc = x->connection;
    if (hc)
        hc->exchange = NULL;
    if (x->on_done)
        x->on_done(x, x->done_user);
    exchange_free(x);
}

/* Detaches from the conn, which the caller has freed or taken. */
static void connection_free(struct http_connection *hc)
{
    if (hc->exchange && hc->exchange->complete)
        exchange_over(hc->exchange);
    else if (hc->exchange)
        exchange_free(hc->exchange);
    if (hc->next_queued)
        loop_defer_cancel(hc->server->loop, connection_next, hc);
    list_remove(&hc->node);
    hc->server->n_connections--;
    loop_timer_free(hc->timer);
    free(hc);
}

static void on_connection_close(struct conn *c, int code, const char *text, void *user)
{
    (void)c;
    (void)code;
    (void)text;
    connection_free(user);
}

static void connection_drop(struct http_connection *hc)
{
    conn_free(hc->conn);
    connection_free(hc);
}

static void on_timer(void *user)
{
    connection_drop(user);
}

static void arm_idle(struct http_connection *hc)
{
    loop_timer_start(hc->timer, hc->server->config.idle_timeout_ms);
}

/* ---- writing ---- */

static void write_head(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t n, int64_t length)
{
    AUTO_DONE(buf) struct buf b = {0};
    buf_addf(&b, "HTTP/1.1 %d %s\r\n", status, http_status_text(status));
    for (size_t i = 0; i < n; i++) {
        const struct http_header *h = &headers[i];
        if (status != 101 && str_eq_nocase(h->name, STR("connection")) &&
            http1_has_token(h->value, "close"))
            x->head.close = true; /* said below, and done */
        else if (http1_is_token(h->name) && http1_is_value(h->value))
            buf_addf(&b, STR_FMT ": " STR_FMT "\r\n", STR_ARG(h->name), STR_ARG(h->value));
    }
    bool close = x->head.close || x->connection->closing;
    if (status == 101 || status == 204 || status == 304)
        x->no_body = true; /* and no length of one that is not there */
    else if (length >= 0)
        buf_addf(&b, "Content-Length: %lld\r\n", (long long)length);
    else if (x->streaming && x->head.minor == 1)
        buf_add_cstr(&b, "Transfer-Encoding: chunked\r\n");
    if (close && status != 101)
        buf_add_cstr(&b, "Connection: close\r\n");
    else if (x->head.minor == 0)
        buf_add_cstr(&b, "Connection: keep-alive\r\n"); /* HTTP/1.0 ends it unless told */
    buf_add_cstr(&b, "\r\n");
    conn_write(x->connection->conn, buf_str(&b));
}

static void connection_next(void *user)
{
    struct http_connection *hc = user;
    hc->next_queued = false;
    connection_read(hc);
}

/* After the last byte of an answer was queued. */
static void exchange_answered(struct http_exchange *x)
{
    struct http_connection *hc = x->connection;
    bool close = x->head.close || hc->closing;
    exchange_over(x);
    if (close) {
        hc->closing = true;
        conn_close_after_flush(hc->conn);
        loop_timer_start(hc->timer, hc->server->config.idle_timeout_ms);
        return;
    }
    arm_idle(hc);
    conn_resume(hc->conn);
    if (!hc->next_queued && (conn_in(hc->conn)->n || conn_eof(hc->conn))) {
        hc->next_queued = true;
        loop_defer(hc->server->loop, connection_next, hc);
    }
}

void http_exchange_reply(struct http_exchange *x, int status, const struct http_header *headers,
                         size_t n, struct str body)
{
    ASSERT(!x->streaming && status >= 100 && status <= 999);
    write_head(x, status, headers, n, (int64_t)body.n);
    if (!x->no_body)
        conn_write(x->connection->conn, body);
    exchange_answered(x);
}

void http_exchange_reply_bytes(struct http_exchange *x, int status,
                               const struct http_header *headers, size_t n, struct bytes *body)
{
    ASSERT(!x->streaming && status >= 100 && status <= 999);
    write_head(x, status, headers, n, (int64_t)body->n);
    if (!x->no_body)
        conn_write_bytes(x->connection->conn, body);
    exchange_answered(x);
}

void http_exchange_start(struct http_exchange *x, int status, const struct http_header *headers,
                         size_t n)
{
    ASSERT(!x->streaming && status >= 100 && status <= 999);
    x->streaming = true;
    if (x->head.minor == 0)
        x->head.close = true; /* HTTP/1.0 has no chunks: the end of the connection ends the body */
    write_head(x, status, headers, n, -1);
}

static void write_chunk_head(struct http_exchange *x, size_t n)
{
    char head[24];
    int len = snprintf(head, sizeof(head), "%zx\r\n", n);
    if (x->head.minor == 1)
        conn_write(x->connection->conn, str_of(head, (size_t)len));
}

void http_exchange_write(struct http_exchange *x, struct str s)
{
    ASSERT(x->streaming);
    if (!s.n || x->no_body)
        return;
    write_chunk_head(x, s.n);
    conn_write(x->connection->conn, s);
    if (x->head.minor == 1)
        conn_write(x->connection->conn, STR("\r\n"));
}

void http_exchange_write_bytes(struct http_exchange *x, struct bytes *b)
{
    if (!b->n || x->no_body)
        return;
    write_chunk_head(x, b->n);
    conn_write_bytes(x->connection->conn, b);
    if (x->head.minor == 1)
        conn_write(x->connection->conn, STR("\r\n"));
}

size_t http_exchange_queued(const struct http_exchange *x)
{
    return conn_queued(x->connection->conn);
}

void http_exchange_finish(struct http_exchange *x)
{
    ASSERT(x->streaming);
    if (x->head.minor == 1 && !x->no_body)
        conn_write(x->connection->conn, STR("0\r\n\r\n"));
    exchange_answered(x);
}

void http_exchange_end_with_client(struct http_exchange *x)
{
    x->ends_with_client = true;
}

void http_exchange_abort(struct http_exchange *x)
{
    connection_drop(x->connection);
}

static struct conn *exchange_detach(struct http_exchange *x)
{
    struct http_connection *hc = x->connection;
    struct conn *c = hc->conn;
    hc->exchange = NULL;
    exchange_free(x);
    connection_free(hc);
    return c;
}

struct conn *http_exchange_upgrade(struct http_exchange *x, const struct http_header *headers,
                                   size_t n)
{
    write_head(x, 101, headers, n, -1);
    return exchange_detach(x);
}

struct conn *http_exchange_take_conn(struct http_exchange *x)
{
    return exchange_detach(x);
}

/* ---- reading ---- */

static void bad_request(struct http_connection *hc, int status, const char *why)
{
    AUTO_DONE(buf) struct buf body = {0};
    AUTO_DONE(buf) struct buf head = {0};
    const struct http_server_ops *ops = hc->server->ops;
    const char *type = "application/json";
    if (ops->on_bad_request) {
        ops->on_bad_request(status, why, &body, hc->server->user);
    } else {
        type = "text/plain";
        buf_addf(&body, "%s\n", why);
    }
    buf_addf(
        &head,
        "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
        status, http_status_text(status), type, body.n);
    conn_write(hc->conn, buf_str(&head));
    conn_write(hc->conn, buf_str(&body));
    if (hc->exchange)
        exchange_free(TAKE(hc->exchange));
    hc->closing = true;
    conn_finish(hc->conn); /* what the peer still sends is read and dropped until it closes or the
                              timer fires */
    loop_timer_start(hc->timer, hc->server->config.head_timeout_ms);
}

static int head_status(int code)
{
    return code == -E2BIG ? 431 : code == -EPROTONOSUPPORT ? 501 : 400;
}

/* Whoever stands before us may have gone by the other one. */
static unsigned count_hosts(const struct http1_head *head)
{
    unsigned n = 0;
    for (size_t i = 0; i < head->n_headers; i++)
        n += str_eq_nocase(head->headers[i].name, STR("host"));
    return n;
}

/* True when a whole head was read into a new exchange. */
static bool read_head(struct http_connection *hc)
{
    struct buf *in = conn_in(hc->conn);
    struct err err = {0};
    while (in->n >= 2 && hc->scanned == 0 && memcmp(in->p, "\r\n", 2) == 0)
        buf_consume(in, 2); /* RFC 9112 section 2.2: empty lines before a request are skipped */
    ssize_t n = http1_head_length(buf_str(in), &hc->scanned);
    if (n == 0) {
        if (in->n && !hc->head_begun) {
            hc->head_begun = true;
            loop_timer_start(hc->timer, hc->server->config.head_timeout_ms);
        }
        return false;
    }
    if (n < 0) {
        bad_request(hc, 431, "the request's headers are over 64 KiB");
        return false;
    }
    struct http_exchange *x = NEW(struct http_exchange);
    x->connection = hc;
    x->server = hc->server;
    hc->head_begun = false;
    loop_timer_start(hc->timer, hc->server->config.body_timeout_ms);
    x->head_bytes = xmalloc((size_t)n);
    memcpy(x->head_bytes, in->p, (size_t)n);
    hc->exchange = x;
    hc->scanned = 0;
    buf_consume(in, (size_t)n);
    int r = http1_parse_request(str_of(x->head_bytes, (size_t)n), &x->head, &err);
    if (r < 0) {
        bad_request(hc, head_status(r), err_text(&err));
        return false;
    }
    x->no_body = str_is(x->head.method, "HEAD");
    unsigned hosts = count_hosts(&x->head);
    if (hosts > 1 || (x->head.minor == 1 && hosts == 0)) {
        bad_request(hc, 400, hosts ? "there are two Host headers" : "the Host header is missing");
        return false;
    }
    bool fits = x->head.content_length > 0 &&
                (uint64_t)x->head.content_length <= hc->server->config.body_bytes_max;
    if (x->head.expect_continue && x->head.minor == 1 && (x->head.chunked || fits))
        conn_write(hc->conn, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    return true;
}

/* Bodies are gathered before anybody is asked who he is, so together they have a limit. False:
 * answered. */
static bool body_add(struct http_connection *hc, const char *p, size_t n)
{
    struct http_exchange *x = hc->exchange;
    if (x->body.n + n > HTTP_BODY_SMALL) {
        if (hc->server->body_bytes + n > HTTP_BODIES_TOGETHER_MAX) {
            bad_request(hc, 503, "too many large requests at a time");
            return false;
        }
        hc->server->body_bytes += n;
        x->counted += n;
    }
    buf_add(&x->body, p, n);
    return true;
}

/* True when the body is whole. */
static bool read_body(struct http_connection *hc)
{
    struct http_exchange *x = hc->exchange;
    struct buf *in = conn_in(hc->conn);
    size_t max = hc->server->config.body_bytes_max;
    if (!x->head.chunked) {
        size_t want = x->head.content_length > 0 ? (size_t)x->head.content_length : 0;
        if (want > max) {
            bad_request(hc, 413, "the request body is too large");
            return false;
        }
        size_t take = MIN(want - x->body.n, in->n);
        if (!body_add(hc, in->p, take))
            return false;
        buf_consume(in, take);
        return x->body.n == want;
    }
    struct str rest = buf_str(in), piece;
    int r;
    while ((r = http1_chunked_next(&x->chunked, &rest, &piece)) == 1) {
        if (x->body.n + piece.n > max) {
            bad_request(hc, 413, "the request body is too large");
            return false;
        }
        if (!body_add(hc, piece.p, piece.n))
            return false;
    }
    buf_consume(in, in->n - rest.n);
    if (r < 0)
        bad_request(hc, 400, "malformed chunked body");
    return r == 0 && x->chunked.done;
}

static void connection_read(struct http_connection *hc)
{
    if (hc->closing) {
        buf_clear(conn_in(hc->conn));
        if (conn_eof(hc->conn) && !conn_queued(hc->conn))
            connection_drop(hc);
        return;
    }
    if (hc->exchange && hc->exchange->complete) {
        if (conn_eof(hc->conn) && (hc->exchange->streaming || hc->exchange->ends_with_client))
            connection_drop(hc); /* a stream's reader has gone */
        else if (conn_in(hc->conn)->n)
            conn_pause(hc->conn); /* a pipelined request waits */
        return;
    }
    if (!hc->exchange && conn_queued(hc->conn) > HTTP_QUEUE_MAX && !conn_eof(hc->conn)) {
        hc->waits = true; /* who does not read what he asked for may not ask for more */
        conn_pause(hc->conn);
        return;
    }
    if (!hc->exchange && !read_head(hc)) {
        if (!hc->closing && conn_eof(hc->conn))
            conn_close_after_flush(hc->conn);
        return;
    }
    if (!read_body(hc)) {
        if (!hc->closing && conn_eof(hc->conn))
            connection_drop(hc);
        return;
    }
    loop_timer_stop(hc->timer);
    hc->exchange->complete = true;
    hc->server->ops->on_request(hc->exchange, hc->server->user);
}

static void on_connection_data(struct conn *c, void *user)
{
    (void)c;
    connection_read(user);
}

static void on_connection_drain(struct conn *c, void *user)
{
    struct http_connection *hc = user;
    (void)c;
    if (hc->closing && conn_eof(hc->conn))
        connection_drop(hc);
    else if (hc->waits) {
        hc->waits = false;
        conn_resume(hc->conn);
        connection_read(hc);
    } else if (hc->exchange && hc->exchange->on_drain)
        hc->exchange->on_drain(hc->exchange, hc->exchange->drain_user);
}

static const struct conn_ops connection_ops = {
    .on_data = on_connection_data,
    .on_drain = on_connection_drain,
    .on_close = on_connection_close,
};

static void on_accept(int fd, void *user)
{
    struct http_server *s = user;
    if (s->n_connections >= s->config.connections_max) {
        close(fd);
        return;
    }
    struct http_connection *hc = NEW(struct http_connection);
    struct conn_options o = {.tls = s->config.tls, .in_bytes_max = HTTP1_HEAD_BYTES_MAX + 1024};
    hc->server = s;
    list_add_tail(&s->connections, &hc->node);
    s->n_connections++;
    hc->timer = loop_timer_new(s->loop, on_timer, hc);
    loop_timer_start(hc->timer, s->config.head_timeout_ms);
    hc->conn = conn_new_accepted(s->loop, fd, &o, &connection_ops, hc);
}

/* ---- server ---- */

int http_server_new(struct loop *l, const struct ip *ip, uint16_t port,
                    const struct http_server_config *c, const struct http_server_ops *ops,
                    void *user, struct http_server **ret, struct err *reterr)
{
    struct http_server *s = NEW(struct http_server);
    s->loop = l;
    s->config = *c;
    s->ops = ops;
    s->user = user;
    list_init(&s->connections);
    if (!s->config.body_bytes_max)
        s->config.body_bytes_max = HTTP_BODY_DEFAULT;
    if (!s->config.head_timeout_ms)
        s->config.head_timeout_ms = HTTP_HEAD_TIMEOUT_MS;
    if (!s->config.body_timeout_ms)
        s->config.body_timeout_ms = HTTP_BODY_TIMEOUT_MS;
    if (!s->config.idle_timeout_ms)
        s->config.idle_timeout_ms = HTTP_IDLE_TIMEOUT_MS;
    if (!s->config.connections_max)
        s->config.connections_max = HTTP_CONNECTIONS_MAX;
    int r = listener_new(l, ip, port, on_accept, s, &s->listener, reterr);
    if (r < 0) {
        free(s);
        return r;
    }
    if (c->tls)
        s->config.tls = tls_context_ref(c->tls);
    *ret = s;
    return 0;
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    listener_free(s->listener);
    LIST_FOREACH_SAFE (node, &s->connections)
        connection_drop(CONTAINER_OF(node, struct http_connection, node));
    tls_context_unref(s->config.tls);
    free(s);
}

uint16_t http_server_port(const struct http_server *s)
{
    return listener_port(s->listener);
}

size_t http_server_connections(const struct http_server *s)
{
    return s->n_connections;
}

/* ---- accessors ---- */

struct str http_exchange_method(const struct http_exchange *x)
{
    return x->head.method;
}

struct str http_exchange_path(const struct http_exchange *x)
{
    struct str query;
    return str_cut(x->head.target, '?', &query);
}

struct str http_exchange_query(const struct http_exchange *x)
{
    struct str query;
    (void)str_cut(x->head.target, '?', &query);
    return query;
}

struct str http_exchange_header(const struct http_exchange *x, const char *name)
{
    return http1_find(x->head.headers, x->head.n_headers, name);
}

size_t http_exchange_headers(const struct http_exchange *x, const struct http_header **ret)
{
    *ret = x->head.headers;
    return x->head.n_headers;
}

struct str http_exchange_body(const struct http_exchange *x)
{
    return buf_str(&x->body);
}

struct conn *http_exchange_conn(struct http_exchange *x)
{
    return x->connection->conn;
}

void http_exchange_set_done(struct http_exchange *x,
                            void (*on_done)(struct http_exchange *x, void *user), void *user)
{
    x->on_done = on_done;
    x->done_user = user;
}

void http_exchange_set_drain(struct http_exchange *x,
                             void (*on_drain)(struct http_exchange *x, void *user), void *user)
{
    x->on_drain = on_drain;
    x->drain_user = user;
}
