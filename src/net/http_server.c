/* A server of whole requests: its listener and connections, the gathering of bodies, replies and
 * chunked streams.
 *
 * An exchange is a stream whose request has come whole; it ends with the reply, after which its
 * stream goes on alone until the answer is out. Bodies gather before anybody is asked who he is, so
 * together they have a limit. */
#include "net/http_server.h"

#include <errno.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/list.h"
#include "net/http1_conn.h"

enum {
    HTTP_BODY_DEFAULT = 1024 * 1024,
    HTTP_HEAD_TIMEOUT_MS = 10000,
    HTTP_BODY_TIMEOUT_MS = 30000,
    HTTP_CONNECTIONS_MAX = 16384,
    HTTP_BODIES_TOGETHER_MAX = 64 * 1024 * 1024, /* in memory, of all requests of a server */
    HTTP_BODY_SMALL = 64 * 1024,                 /* these always find room */
    HTTP_ANSWER_FIELDS_MAX = 64,
};

struct http_server {
    struct loop *loop;
    struct listener *listener;
    struct http_server_config config;
    struct http_conn_config conn_config;
    const struct http_server_ops *ops;
    void *user;
    struct list_node connections;
    size_t n_connections;
    size_t body_bytes; /* of large bodies, gathered so far */
};

struct http_connection {
    struct list_node node;
    struct http_server *server;
    struct http_conn *hc;
};

struct http_exchange {
    struct http_connection *connection;
    struct http_server *server;
    struct http_stream *stream;
    struct loop_timer *timer; /* the body's; NULL once it is whole */
    struct buf body;
    size_t counted; /* in the server's body_bytes */
    bool complete;  /* the request is whole and was given to on_request */
    bool streaming;
    bool ends_with_client;
    void (*on_done)(struct http_exchange *x, void *user);
    void *done_user;
    void (*on_drain)(struct http_exchange *x, void *user);
    void *drain_user;
};

/* ---- ends ---- */

static void connection_free(struct http_connection *c)
{
    list_remove(&c->node);
    c->server->n_connections--;
    free(c);
}

static void exchange_free(struct http_exchange *x)
{
    x->server->body_bytes -= x->counted;
    loop_timer_free(x->timer);
    buf_done(&x->body);
    free(x);
}

/* Tells the owner and frees; the stream is somebody else's by now, or gone. */
static void exchange_over(struct http_exchange *x)
{
    if (x->complete && x->on_done)
        x->on_done(x, x->done_user);
    exchange_free(x);
}

static struct http_stream *exchange_detach(struct http_exchange *x)
{
    struct http_stream *s = x->stream;
    http_stream_set_ops(s, &http_stream_spent_ops, NULL);
    return s;
}

/* ---- answering ---- */

static struct http_stream *answer_head(struct http_exchange *x, int status,
                                       const struct http_header *headers, size_t n, int64_t length,
                                       bool end)
{
    struct http_field fields[HTTP_ANSWER_FIELDS_MAX];
    struct http_head head = {.fields = fields,
                             .cap = HTTP_ANSWER_FIELDS_MAX,
                             .status = (uint16_t)status,
                             .content_length = length};
    ASSERT(status >= 100 && status <= 999);
    for (size_t i = 0; i < n; i++)
        IGNORE_RESULT(http_head_add_text(&head, headers[i].name,
                                         headers[i].value)); /* what may not be is left out */
    http_stream_send_head(x->stream, &head, end);
    return x->stream;
}

void http_exchange_reply(struct http_exchange *x, int status, const struct http_header *headers,
                         size_t n, struct str body)
{
    ASSERT(!x->streaming);
    struct http_stream *s = answer_head(x, status, headers, n, (int64_t)body.n, body.n == 0);
    if (body.n)
        http_stream_send_text(s, body, true);
    exchange_detach(x);
    exchange_over(x);
}

void http_exchange_reply_bytes(struct http_exchange *x, int status,
                               const struct http_header *headers, size_t n, struct bytes *body)
{
    struct chain data = {0};
    ASSERT(!x->streaming);
    struct http_stream *s = answer_head(x, status, headers, n, (int64_t)body->n, body->n == 0);
    chain_add_bytes(&data, body);
    if (body->n)
        http_stream_send_data(s, &data, true);
    exchange_detach(x);
    exchange_over(x);
}

void http_exchange_start(struct http_exchange *x, int status, const struct http_header *headers,
                         size_t n)
{
    ASSERT(!x->streaming);
    x->streaming = true;
    answer_head(x, status, headers, n, HTTP_LENGTH_NONE, false);
}

void http_exchange_write(struct http_exchange *x, struct str s)
{
    ASSERT(x->streaming);
    if (s.n)
        http_stream_send_text(x->stream, s, false);
}

void http_exchange_write_bytes(struct http_exchange *x, struct bytes *b)
{
    struct chain data = {0};
    ASSERT(x->streaming);
    chain_add_bytes(&data, b);
    if (b->n)
        http_stream_send_data(x->stream, &data, false);
}

size_t http_exchange_queued(const struct http_exchange *x)
{
    return http_stream_queued(x->stream);
}

void http_exchange_finish(struct http_exchange *x)
{
    struct chain none = {0};
    ASSERT(x->streaming);
    http_stream_send_data(exchange_detach(x), &none, true);
    exchange_over(x);
}

void http_exchange_end_with_client(struct http_exchange *x)
{
    x->ends_with_client = true;
}

void http_exchange_abort(struct http_exchange *x)
{
    http_stream_abort(exchange_detach(x));
    exchange_over(x);
}

struct conn *http_exchange_upgrade(struct http_exchange *x, const struct http_header *headers,
                                   size_t n)
{
    answer_head(x, 101, headers, n, HTTP_LENGTH_NONE, false);
    return http_exchange_take_conn(x);
}

struct conn *http_exchange_take_conn(struct http_exchange *x)
{
    struct http_stream *s = x->stream;
    connection_free(x->connection);
    exchange_free(x);
    return http_stream_take_conn(s);
}

/* ---- requests ---- */

static void write_bad_request(struct http_server *s, int status, const char *why, struct buf *body,
                              const char **ret_type)
{
    if (s->ops->on_bad_request) {
        s->ops->on_bad_request(status, why, body, s->user);
        *ret_type = "application/json";
    } else {
        buf_addf(body, "%s\n", why);
    }
}

static void on_bad_request(struct http_conn *hc, const struct http_bad_request *bad,
                           struct buf *body, const char **ret_type, void *user)
{
    struct http_connection *c = user;
    (void)hc;
    write_bad_request(c->server, bad->status, bad->why, body, ret_type);
}

/* An answer before the body is whole ends the connection. */
static void reject(struct http_exchange *x, int status, const char *why)
{
    AUTO_DONE(buf) struct buf body = {0};
    const char *type = "text/plain";
    write_bad_request(x->server, status, why, &body, &type);
    struct http_header headers[] = {{STR("Content-Type"), str_from(type)},
                                    {STR("Connection"), STR("close")}};
    http_exchange_reply(x, status, headers, 2, buf_str(&body));
}

/* False: answered, and x is gone. */
static bool body_add(struct http_exchange *x, struct chain *data)
{
    struct http_server *s = x->server;
    if (x->body.n + data->n > s->config.body_bytes_max) {
        reject(x, 413, "the request body is too large");
        return false;
    }
    if (x->body.n + data->n > HTTP_BODY_SMALL) {
        if (s->body_bytes + data->n > HTTP_BODIES_TOGETHER_MAX) {
            reject(x, 503, "too many large requests at a time");
            return false;
        }
        s->body_bytes += data->n;
        x->counted += data->n;
    }
    char *to = buf_reserve(&x->body, data->n);
    if (!to) {
        reject(x, 503, "no memory for the request body");
        return false;
    }
    chain_copy(data, to, data->n);
    x->body.n += data->n;
    return true;
}

static void exchange_complete(struct http_exchange *x)
{
    loop_timer_free(TAKE(x->timer));
    x->complete = true;
    x->server->ops->on_request(x, x->server->user);
}

static void on_stream_data(struct http_stream *s, struct chain *data, bool end, void *user)
{
    struct http_exchange *x = user;
    (void)s;
    if (body_add(x, data) && end)
        exchange_complete(x);
}

static void on_stream_drain(struct http_stream *s, void *user)
{
    struct http_exchange *x = user;
    (void)s;
    if (x->on_drain)
        x->on_drain(x, x->drain_user);
}

static void on_client_end(struct http_stream *s, void *user)
{
    struct http_exchange *x = user;
    (void)s;
    if (x->streaming || x->ends_with_client)
        http_exchange_abort(x); /* a stream's reader has gone */
}

static void on_stream_over(struct http_stream *s, enum http_end end, int code, const char *text,
                           void *user)
{
    (void)s;
    (void)end;
    (void)code;
    (void)text;
    exchange_over(user);
}

static const struct http_stream_ops stream_ops = {
    .on_data = on_stream_data,
    .on_drain = on_stream_drain,
    .on_client_end = on_client_end,
    .on_over = on_stream_over,
};

static void on_body_timeout(void *user)
{
    struct http_exchange *x = user;
    reject(x, 408, "the request body took too long");
}

static void on_request(struct http_conn *hc, struct http_stream *s, void *user)
{
    struct http_connection *c = user;
    struct http_server *server = c->server;
    const struct http_head *head = http_stream_head(s);
    struct http_exchange *x = NEW(struct http_exchange);
    (void)hc;
    x->connection = c;
    x->server = server;
    x->stream = s;
    http_stream_set_ops(s, &stream_ops, x);
    if (http_stream_is_received(s)) {
        exchange_complete(x);
        return;
    }
    if (head->content_length > 0 &&
        (uint64_t)head->content_length > server->config.body_bytes_max) {
        reject(x, 413, "the request body is too large");
        return;
    }
    x->timer = loop_timer_new(server->loop, on_body_timeout, x);
    loop_timer_start(x->timer, server->config.body_timeout_ms);
    if (head->expect_continue && head->minor == 1) {
        struct http_head go_on = {.status = 100};
        http_stream_send_head(s, &go_on, false);
    }
}

/* ---- connections ---- */

static void on_connection_close(struct http_conn *hc, int code, const char *text, void *user)
{
    (void)hc;
    (void)code;
    (void)text;
    connection_free(user);
}

static const struct http_conn_ops connection_ops = {
    .on_request = on_request,
    .on_bad_request = on_bad_request,
    .on_close = on_connection_close,
};

static void on_accept(int fd, void *user)
{
    struct http_server *s = user;
    if (s->n_connections >= s->config.connections_max) {
        close(fd);
        return;
    }
    struct http_connection *c = NEW(struct http_connection);
    struct conn_options o = {.tls = s->config.tls};
    c->server = s;
    list_add_tail(&s->connections, &c->node);
    s->n_connections++;
    c->hc = http1_conn_new_server(conn_new_accepted(s->loop, fd, &o, &conn_no_ops, NULL),
                                  &s->conn_config, &connection_ops, c);
}

/* ---- server ---- */

static struct http_server *server_new(struct loop *l, const struct http_server_config *c,
                                      const struct http_server_ops *ops, void *user)
{
    struct http_server *s = NEW(struct http_server);
    s->loop = l;
    s->config = *c;
    s->ops = ops;
    s->user = user;
    list_init(&s->connections);
    if (!s->config.body_bytes_max)
        s->config.body_bytes_max = HTTP_BODY_DEFAULT;
    if (!s->config.body_timeout_ms)
        s->config.body_timeout_ms = HTTP_BODY_TIMEOUT_MS;
    if (!s->config.connections_max)
        s->config.connections_max = HTTP_CONNECTIONS_MAX;
    s->conn_config = (struct http_conn_config){
        .head_bytes_max = 64 * 1024,
        .fields_max = HTTP_FIELDS_MAX,
        .head_timeout_ms = c->head_timeout_ms,
        .idle_timeout_ms = c->idle_timeout_ms,
        .first_timeout_ms = c->head_timeout_ms ? c->head_timeout_ms : HTTP_HEAD_TIMEOUT_MS,
    };
    if (c->tls)
        s->config.tls = tls_context_ref(c->tls);
    return s;
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    listener_free(s->listener);
    LIST_FOREACH_SAFE (node, &s->connections) {
        struct http_connection *c = CONTAINER_OF(node, struct http_connection, node);
        http_conn_free(c->hc);
        connection_free(c);
    }
    tls_context_unref(s->config.tls);
    free(s);
}

int http_server_new(struct loop *l, const struct ip *ip, uint16_t port,
                    const struct http_server_config *c, const struct http_server_ops *ops,
                    void *user, struct http_server **ret, struct err *reterr)
{
    struct http_server *s = server_new(l, c, ops, user);
    int r = listener_new(l, ip, port, NULL, on_accept, s, &s->listener, reterr);
    if (r < 0) {
        http_server_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

int http_server_new_at(struct loop *l, const struct listener_address *at,
                       const struct http_server_config *c, const struct http_server_ops *ops,
                       void *user, struct http_server **ret, struct err *reterr)
{
    struct http_server *s = server_new(l, c, ops, user);
    int fd, r = listener_socket_open(at, &(struct listener_options){0}, &fd, reterr);
    if (r == 0) {
        r = listener_adopt(l, fd, on_accept, s, &s->listener);
        if (r < 0)
            close(fd);
    }
    if (r < 0) {
        http_server_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void http_server_set_tls(struct http_server *s, struct tls_context *tls)
{
    tls_context_unref(s->config.tls);
    s->config.tls = tls_context_ref(tls);
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

const struct http_head *http_exchange_head(const struct http_exchange *x)
{
    return http_stream_head(x->stream);
}

struct str http_exchange_method(const struct http_exchange *x)
{
    return http_exchange_head(x)->method;
}

struct str http_exchange_path(const struct http_exchange *x)
{
    struct str query;
    return str_cut(http_exchange_head(x)->path, '?', &query);
}

struct str http_exchange_query(const struct http_exchange *x)
{
    struct str query;
    (void)str_cut(http_exchange_head(x)->path, '?', &query);
    return query;
}

struct str http_exchange_header(const struct http_exchange *x, const char *name)
{
    return http_field_value(http_head_find_text(http_exchange_head(x), str_from(name)));
}

struct str http_exchange_body(const struct http_exchange *x)
{
    return buf_str(&x->body);
}

struct conn *http_exchange_conn(struct http_exchange *x)
{
    return http_conn_conn(http_stream_conn(x->stream));
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
