/* gRPC's client on HTTP/2 streams. A call lives until on_over or grpc_call_cancel; the channel
 * until on_close or grpc_channel_free. */
#include "net/grpc_client.h"

#include <errno.h>

#include "base/list.h"
#include "net/http2_conn.h"

enum {
    CONNECT_TIMEOUT_MS = 10 * 1000,
    MESSAGE_BYTES_MAX = 64 << 20,
    METADATA_MAX = 32,
};

struct grpc_channel {
    struct loop *loop;
    const struct grpc_channel_ops *ops;
    void *user;
    struct http_conn *hc;
    struct http_conn_config config;
    struct loop_timer *timer; /* of connecting */
    struct list_node calls;
    char *authority;
    bool tls;
    bool open;
    size_t message_bytes_max;
};

struct grpc_call {
    struct list_node node;
    struct grpc_channel *channel;
    struct http_stream *stream;
    const struct grpc_call_ops *ops;
    void *user;
    struct chain in;
    struct buf text; /* of the status */
    int code;        /* -1: not told yet */
    unsigned http_status;
    bool *gone; /* set when the call goes while its messages are told */
};

/* ---- calls ---- */

static void call_free(struct grpc_call *call)
{
    if (call->gone)
        *call->gone = true;
    list_remove(&call->node);
    chain_done(&call->in);
    buf_done(&call->text);
    free(call);
}

static void end_call(struct grpc_call *call, int code, const char *text)
{
    if (call->stream)
        http_stream_abort(TAKE(call->stream));
    list_remove(&call->node); /* the user may free the channel */
    call->ops->on_over(call, code, text, call->user);
    call_free(call);
}

static void on_head(struct http_stream *s, struct http_head *h, bool end, void *user)
{
    struct grpc_call *call = user;
    (void)s;
    (void)end;
    if (h->status < 200)
        return;
    call->http_status = h->status;
    if (grpc_status_read(h, &call->code, &call->text) < 0)
        call->code = -1;
}

/* False: the call is gone. */
static bool tell_messages(struct grpc_call *call)
{
    bool gone = false;
    call->gone = &gone;
    for (;;) {
        struct chain message = {0};
        int r = grpc_next(&call->in, call->channel->message_bytes_max, &message);
        if (r == 0)
            break;
        struct str linear = r > 0 ? chain_linear(&message, message.n) : STR("");
        if (r > 0 && (linear.p || !message.n)) {
            call->ops->on_message(call, linear.p ? linear : STR(""), call->user);
        } else {
            call->gone = NULL;
            end_call(call, r == -EPROTO ? GRPC_INTERNAL : GRPC_RESOURCE_EXHAUSTED,
                     r == -EPROTO ? "a compressed message" : "a message over the limit");
            gone = true;
        }
        chain_done(&message);
        if (gone)
            return false;
    }
    call->gone = NULL;
    return true;
}

static void on_data(struct http_stream *s, struct chain *data, bool end, void *user)
{
    struct grpc_call *call = user;
    (void)s;
    (void)end;
    chain_move_all(&call->in, data);
    if (call->http_status == 200)
        (void)tell_messages(call);
    else
        chain_done(&call->in);
}

static void on_trailers(struct http_stream *s, struct http_head *trailers, void *user)
{
    struct grpc_call *call = user;
    (void)s;
    if (grpc_status_read(trailers, &call->code, &call->text) < 0)
        call->code = -1;
}

static void on_over(struct http_stream *s, enum http_end end, int code, const char *text,
                    void *user)
{
    struct grpc_call *call = user;
    (void)s;
    (void)code;
    call->stream = NULL;
    if (call->code >= 0)
        end_call(call, call->code, call->text.n ? buf_cstr(&call->text) : "");
    else if (end == HTTP_END_DONE && call->http_status != 200)
        end_call(call, grpc_code_of_http(call->http_status), "the server's answer is not gRPC's");
    else
        end_call(call,
                 end == HTTP_END_DONE       ? GRPC_UNKNOWN
                 : end == HTTP_END_PROTOCOL ? GRPC_INTERNAL
                                            : GRPC_UNAVAILABLE,
                 text && *text ? text : "the stream ended without a status");
}

static const struct http_stream_ops stream_ops = {
    .on_head = on_head, .on_data = on_data, .on_trailers = on_trailers, .on_over = on_over};

static void send_head(struct grpc_call *call, const char *path,
                      const struct grpc_metadata *metadata, size_t n)
{
    struct http_field fields[METADATA_MAX + 4];
    struct http_head h = {.fields = fields,
                          .cap = ARRAY_LEN(fields),
                          .method = STR("POST"),
                          .scheme = call->channel->tls ? STR("https") : STR("http"),
                          .authority = str_from(call->channel->authority),
                          .target = str_from(path),
                          .path = str_from(path),
                          .content_length = HTTP_LENGTH_NONE};
    IGNORE_RESULT(http_head_add(&h, HTTP_NAME_HOST, h.authority)); /* these fit */
    IGNORE_RESULT(http_head_add(&h, HTTP_NAME_CONTENT_TYPE, STR("application/grpc")));
    IGNORE_RESULT(http_head_add(&h, HTTP_NAME_TE, STR("trailers")));
    for (size_t i = 0; i < n; i++)
        IGNORE_RESULT(http_head_add_text(&h, metadata[i].name, metadata[i].value));
    http_stream_send_head(call->stream, &h, false);
}

struct grpc_call *grpc_call_new(struct grpc_channel *c, const char *path,
                                const struct grpc_metadata *metadata, size_t n_metadata,
                                const struct grpc_call_ops *ops, void *user)
{
    struct grpc_call *call = NEW(struct grpc_call);
    call->channel = c;
    call->ops = ops;
    call->user = user;
    call->code = -1;
    if (!c->open || n_metadata > METADATA_MAX ||
        http_conn_open(c->hc, &stream_ops, call, &call->stream) < 0) {
        free(call);
        return NULL;
    }
    list_add_tail(&c->calls, &call->node);
    send_head(call, path, metadata, n_metadata);
    return call;
}

void grpc_call_send(struct grpc_call *call, struct str message)
{
    struct chain out = {0};
    grpc_add(&out, message);
    if (call->stream)
        http_stream_send_data(call->stream, &out, false);
    chain_done(&out);
}

size_t grpc_call_queued(const struct grpc_call *call)
{
    return call->stream ? http_stream_queued(call->stream) : 0;
}

void grpc_call_finish(struct grpc_call *call)
{
    struct chain none = {0};
    if (call->stream)
        http_stream_send_data(call->stream, &none, true);
}

void grpc_call_cancel(struct grpc_call *call)
{
    if (call->stream)
        http_stream_abort(TAKE(call->stream));
    call_free(call);
}

/* ---- the channel ---- */

static void channel_done(struct grpc_channel *c)
{
    loop_timer_free(c->timer);
    free(c->authority);
    free(c);
}

static void on_open(struct http_conn *hc, void *user)
{
    struct grpc_channel *c = user;
    (void)hc;
    loop_timer_stop(c->timer);
    c->open = true;
    c->ops->on_open(c, c->user);
}

static void on_close(struct http_conn *hc, int code, const char *text, void *user)
{
    struct grpc_channel *c = user;
    (void)hc;
    c->open = false;
    c->ops->on_close(c, code, text, c->user);
    channel_done(c);
}

static void on_timeout(void *user)
{
    struct grpc_channel *c = user;
    http_conn_free(TAKE(c->hc));
    c->ops->on_close(c, -ETIMEDOUT, "connection timeout", c->user);
    channel_done(c);
}

struct grpc_channel *grpc_channel_new(struct loop *l, const struct grpc_channel_config *config,
                                      const struct grpc_channel_ops *ops, void *user)
{
    static const struct http_conn_ops conn_ops = {.on_open = on_open, .on_close = on_close};
    const struct conn_options o = {
        .tls = config->tls, .tls_options = config->tls_options, .from = config->from};
    struct grpc_channel *c = NEW(struct grpc_channel);
    c->loop = l;
    c->ops = ops;
    c->user = user;
    c->tls = config->tls != NULL;
    c->authority = xstrdup(config->authority);
    c->message_bytes_max =
        config->message_bytes_max ? config->message_bytes_max : (size_t)MESSAGE_BYTES_MAX;
    list_init(&c->calls);
    c->timer = loop_timer_new(l, on_timeout, c);
    loop_timer_start(c->timer,
                     config->connect_timeout_ms ? config->connect_timeout_ms : CONNECT_TIMEOUT_MS);
    c->hc = http2_conn_new_client(
        conn_connect(l, &config->to, config->to_bytes, &o, &conn_no_ops, NULL), &c->config,
        &conn_ops, c);
    return c;
}

void grpc_channel_free(struct grpc_channel *c)
{
    if (!c)
        return;
    LIST_FOREACH_SAFE (node, &c->calls)
        grpc_call_cancel(CONTAINER_OF(node, struct grpc_call, node));
    if (c->hc)
        http_conn_free(c->hc);
    channel_done(c);
}
