/* gRPC's server on HTTP/2 streams. A call lives until its user ends it or on_over; what is still to
 * be sent of it then goes on alone with its stream. */
#include "net/grpc_server.h"

#include <errno.h>

#include "base/assert.h"
#include "base/list.h"
#include "net/http2_conn.h"

enum {
    MESSAGE_BYTES_MAX = 16 << 20,
    CONNECTIONS_MAX = 16384,
};

struct grpc_server {
    struct loop *loop;
    struct listener *listener;
    struct grpc_server_config config;
    struct http_conn_config conn_config;
    const struct grpc_server_ops *ops;
    void *user;
    struct list_node connections;
    size_t n_connections;
};

struct connection {
    struct list_node node;
    struct grpc_server *server;
    struct http_conn *hc;
};

struct grpc_server_call {
    struct grpc_server *server;
    struct http_stream *stream;
    struct loop_timer *timer; /* of the client's time-out; NULL: none */
    const struct grpc_server_call_ops *ops;
    void *user;
    struct chain in;
    bool head_sent;
    bool *gone; /* set when the call goes while its messages are told */
};

/* ---- ends ---- */

static void call_free(struct grpc_server_call *call)
{
    if (call->gone)
        *call->gone = true;
    loop_timer_free(call->timer);
    chain_done(&call->in);
    free(call);
}

/* ---- sending ---- */

static struct http_head answer_head(struct http_field *fields, size_t n)
{
    return (struct http_head){
        .fields = fields, .cap = (uint16_t)n, .status = 200, .content_length = HTTP_LENGTH_NONE};
}

static void send_head(struct grpc_server_call *call)
{
    struct http_field fields[2];
    struct http_head h = answer_head(fields, ARRAY_LEN(fields));
    IGNORE_RESULT(http_head_add(&h, HTTP_NAME_CONTENT_TYPE, STR("application/grpc")));
    http_stream_send_head(call->stream, &h, false);
    call->head_sent = true;
}

/* Takes all. */
static void send_framed(struct grpc_server_call *call, struct chain *framed)
{
    if (!call->head_sent)
        send_head(call);
    http_stream_send_data(call->stream, framed, false);
    chain_done(framed);
}

void grpc_server_call_send(struct grpc_server_call *call, struct str message)
{
    struct chain out = {0};
    grpc_add(&out, message);
    send_framed(call, &out);
}

void grpc_server_call_move(struct grpc_server_call *call, struct chain *message)
{
    struct chain out = {0};
    grpc_move(&out, message);
    send_framed(call, &out);
}

size_t grpc_server_call_queued(const struct grpc_server_call *call)
{
    return http_stream_queued(call->stream);
}

/* Trailers, or a head that is all there is. */
static void send_status(struct grpc_server_call *call, enum grpc_code code, const char *text)
{
    AUTO_DONE(buf) struct buf number = {0};
    AUTO_DONE(buf) struct buf message = {0};
    struct http_field fields[4];
    struct http_head h = answer_head(fields, ARRAY_LEN(fields));
    buf_addf(&number, "%d", (int)code);
    grpc_message_encode(&message, str_from(text ? text : ""));
    if (!call->head_sent)
        IGNORE_RESULT(http_head_add(&h, HTTP_NAME_CONTENT_TYPE, STR("application/grpc")));
    IGNORE_RESULT(http_head_add(&h, HTTP_NAME_GRPC_STATUS, buf_str(&number)));
    if (message.n)
        IGNORE_RESULT(http_head_add(&h, HTTP_NAME_GRPC_MESSAGE, buf_str(&message)));
    if (call->head_sent)
        http_stream_send_trailers(call->stream, &h);
    else
        http_stream_send_head(call->stream, &h, true);
}

void grpc_server_call_end(struct grpc_server_call *call, enum grpc_code code, const char *text)
{
    http_stream_set_ops(call->stream, &http_stream_spent_ops, NULL);
    send_status(call, code, text);
    call_free(call);
}

/* Not by its user. */
static void break_off(struct grpc_server_call *call, enum grpc_code code, const char *text)
{
    http_stream_set_ops(call->stream, &http_stream_spent_ops, NULL);
    send_status(call, code, text);
    if (call->ops)
        call->ops->on_over(call, call->user);
    call_free(call);
}

/* ---- receiving ---- */

/* False: the call is gone. */
static bool tell_messages(struct grpc_server_call *call)
{
    size_t max = call->server->config.message_bytes_max;
    bool gone = false;
    call->gone = &gone;
    while (!gone) {
        struct chain message = {0};
        int r = grpc_next(&call->in, max, &message);
        if (r == 0)
            break;
        struct str linear = r > 0 ? chain_linear(&message, message.n) : STR("");
        if (r > 0 && (linear.p || !message.n))
            call->ops->on_message(call, linear.p ? linear : STR(""), call->user);
        else if (r == -EPROTO)
            break_off(call, GRPC_UNIMPLEMENTED, "compressed messages are not understood");
        else
            break_off(call, GRPC_RESOURCE_EXHAUSTED, "the message is over the limit");
        chain_done(&message);
    }
    if (!gone)
        call->gone = NULL;
    return !gone;
}

static void tell_end(struct grpc_server_call *call)
{
    if (call->in.n)
        break_off(call, GRPC_INTERNAL, "the request ends inside a message");
    else
        call->ops->on_client_end(call, call->user);
}

static void on_data(struct http_stream *s, struct chain *data, bool end, void *user)
{
    struct grpc_server_call *call = user;
    (void)s;
    chain_move_all(&call->in, data);
    if (tell_messages(call) && end)
        tell_end(call);
}

static void on_trailers(struct http_stream *s, struct http_head *trailers, void *user)
{
    (void)s;
    (void)trailers;
    tell_end(user);
}

static void on_drain(struct http_stream *s, void *user)
{
    struct grpc_server_call *call = user;
    (void)s;
    if (call->ops->on_drain)
        call->ops->on_drain(call, call->user);
}

static void on_over(struct http_stream *s, enum http_end end, int code, const char *text,
                    void *user)
{
    struct grpc_server_call *call = user;
    (void)s;
    (void)end;
    (void)code;
    (void)text;
    call->ops->on_over(call, call->user);
    call_free(call);
}

static const struct http_stream_ops stream_ops = {
    .on_data = on_data, .on_trailers = on_trailers, .on_drain = on_drain, .on_over = on_over};

static void on_timeout(void *user)
{
    break_off(user, GRPC_DEADLINE_EXCEEDED, "the client's time-out");
}

/* 415, as gRPC's protocol has it for what is none. */
static void refuse(struct http_stream *s, uint16_t status)
{
    struct http_head h = {.status = status, .content_length = 0};
    http_stream_set_ops(s, &http_stream_spent_ops, NULL);
    http_stream_send_head(s, &h, true);
}

static void on_request(struct http_conn *hc, struct http_stream *s, void *user)
{
    struct connection *c = user;
    struct grpc_server *server = c->server;
    const struct http_head *h = http_stream_head(s);
    struct str type = http_field_value(http_head_find(h, HTTP_NAME_CONTENT_TYPE)),
               timeout = http_field_value(http_head_find(h, HTTP_NAME_GRPC_TIMEOUT));
    uint64_t ms = 0;
    (void)hc;
    if (!str_is(h->method, "POST") || !str_starts(type, STR("application/grpc"))) {
        refuse(s, 415);
        return;
    }
    struct grpc_server_call *call = NEW(struct grpc_server_call);
    call->server = server;
    call->stream = s;
    if (timeout.p && grpc_timeout_parse(timeout, &ms) < 0) {
        grpc_server_call_end(call, GRPC_INTERNAL, "grpc-timeout cannot be read");
        return;
    }
    bool gone = false;
    call->gone = &gone;
    server->ops->on_call(call, server->user);
    if (gone)
        return;
    call->gone = NULL;
    ASSERT(call->ops);
    http_stream_set_ops(s, &stream_ops, call);
    if (timeout.p) {
        call->timer = loop_timer_new(server->loop, on_timeout, call);
        loop_timer_start(call->timer, ms);
    }
    if (http_stream_is_received(s))
        tell_end(call);
}

/* ---- calls ---- */

struct str grpc_server_call_path(const struct grpc_server_call *call)
{
    return http_stream_head(call->stream)->path;
}

struct str grpc_server_call_metadata(const struct grpc_server_call *call, const char *name)
{
    return http_field_value(http_head_find_text(http_stream_head(call->stream), str_from(name)));
}

struct conn *grpc_server_call_conn(const struct grpc_server_call *call)
{
    return http_conn_conn(http_stream_conn(call->stream));
}

void grpc_server_call_set_ops(struct grpc_server_call *call, const struct grpc_server_call_ops *ops,
                              void *user)
{
    call->ops = ops;
    call->user = user;
}

/* ---- connections ---- */

static void connection_free(struct connection *c)
{
    list_remove(&c->node);
    c->server->n_connections--;
    free(c);
}

static void on_close(struct http_conn *hc, int code, const char *text, void *user)
{
    (void)hc;
    (void)code;
    (void)text;
    connection_free(user);
}

static void on_accept(int fd, void *user)
{
    static const struct http_conn_ops conn_ops = {.on_request = on_request, .on_close = on_close};
    struct grpc_server *s = user;
    if (s->n_connections >= s->config.connections_max) {
        close(fd);
        return;
    }
    struct connection *c = NEW(struct connection);
    struct conn_options o = {.tls = s->config.tls};
    c->server = s;
    list_add_tail(&s->connections, &c->node);
    s->n_connections++;
    c->hc = http2_conn_new_server(conn_new_accepted(s->loop, fd, &o, &conn_no_ops, NULL),
                                  &s->conn_config, &conn_ops, c);
}

/* ---- the server ---- */

int grpc_server_new(struct loop *l, const struct ip *ip, uint16_t port,
                    const struct grpc_server_config *config, const struct grpc_server_ops *ops,
                    void *user, struct grpc_server **ret, struct err *reterr)
{
    struct grpc_server *s = NEW(struct grpc_server);
    s->loop = l;
    s->config = *config;
    s->ops = ops;
    s->user = user;
    list_init(&s->connections);
    if (!s->config.message_bytes_max)
        s->config.message_bytes_max = MESSAGE_BYTES_MAX;
    if (!s->config.connections_max)
        s->config.connections_max = CONNECTIONS_MAX;
    int r = listener_new(l, ip, port, NULL, on_accept, s, &s->listener, reterr);
    if (r < 0) {
        free(s);
        return r;
    }
    if (config->tls)
        s->config.tls = tls_context_ref(config->tls);
    *ret = s;
    return 0;
}

void grpc_server_set_tls(struct grpc_server *s, struct tls_context *tls)
{
    tls_context_unref(s->config.tls);
    s->config.tls = tls_context_ref(tls);
}

void grpc_server_free(struct grpc_server *s)
{
    if (!s)
        return;
    listener_free(s->listener);
    LIST_FOREACH_SAFE (node, &s->connections) {
        struct connection *c = CONTAINER_OF(node, struct connection, node);
        http_conn_free(c->hc);
        connection_free(c);
    }
    tls_context_unref(s->config.tls);
    free(s);
}

uint16_t grpc_server_port(const struct grpc_server *s)
{
    return listener_port(s->listener);
}

size_t grpc_server_connections(const struct grpc_server *s)
{
    return s->n_connections;
}
