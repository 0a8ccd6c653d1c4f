/* A client of whole messages: a small pool of connections to one origin, and the calls in flight.
 *
 * A call takes an idle connection or opens one; when a reused connection turns out dead before any
 * byte of an answer came, a call whose method is safe to repeat is sent once more on a new one.
 * Callbacks never run inside http_call_start. A call ends exactly once: on_done, on_upgrade or
 * http_call_cancel. A host name is resolved when a connection is needed and no address is known;
 * its addresses are tried in turn, and forgotten when the last of them has failed. */
#include "net/http_client.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/list.h"
#include "net/http1_conn.h"

enum {
    CLIENT_CONNECT_TIMEOUT_MS = 10000,
    CLIENT_IDLE_MAX = 4,
    CLIENT_BODY_MAX = 512 * 1024 * 1024,
    CLIENT_FIELDS_MAX = 64,
};

struct http_client {
    struct loop *loop;
    struct http_client_config config;
    struct tls_session_options tls_options;
    char *host;
    char *resolve;
    char *prefix;
    char *authorization;
    char *user_agent;
    struct resolver *resolver; /* its own, made at the first need */
    struct ip ips[RESOLVER_IPS_MAX];
    size_t n_ips;           /* 0 = to be resolved */
    size_t ip_at;           /* the one that took the last connection */
    struct list_node conns; /* struct client_conn */
    size_t n_idle;
    struct list_node calls; /* struct http_call */
};

struct client_conn {
    struct list_node node;
    struct http_client *client;
    struct http_conn *hc;
    struct http_call *call; /* on it, or waiting for it to open */
    bool open;
    bool used; /* carried a call before */
    bool idle;
    bool freeing; /* its call is over, on_free is about to come */
};

struct http_call {
    struct list_node node;
    struct http_client *client;
    struct client_conn *cc;
    struct http_stream *stream;
    struct resolver_query *query;
    size_t connects; /* addresses tried for this call */
    const struct http_call_ops *ops;
    void *user;
    struct buf line;          /* method, target, and all texts of the request's fields */
    struct http_head request; /* kept for a repeat */
    struct bytes *request_body;
    bool repeatable;
    struct loop_timer *timer;
    uint64_t timeout_ms;
    size_t body_max;
    struct buf body;
    bool head_seen;
    bool paused;
    bool in_callback;
    bool cancelled;
};

static void call_send(struct http_call *call);
static void call_connect(struct http_call *call);

/* The address in use took no connection: the next one, or after the last a fresh look-up. */
static void addresses_failed(struct http_client *c)
{
    if (c->config.ip.family)
        return;
    if (++c->ip_at >= c->n_ips)
        c->n_ips = 0;
}

/* ---- ends ---- */

static void call_free(struct http_call *call)
{
    list_remove(&call->node);
    resolver_cancel(call->query);
    loop_timer_free(call->timer);
    buf_done(&call->line);
    bytes_unref(call->request_body);
    buf_done(&call->body);
    free(call->request.fields);
    free(call);
}

static void conn_forget(struct client_conn *cc)
{
    list_remove(&cc->node);
    if (cc->idle)
        cc->client->n_idle--;
    free(cc);
}

static void conn_drop(struct client_conn *cc)
{
    struct http_conn *hc = cc->hc;
    conn_forget(cc);
    http_conn_free(hc);
}

/* Ends a call; its connection is already elsewhere. */
static void call_end(struct http_call *call, int code, const char *text)
{
    list_remove(&call->node);
    if (!call->cancelled) {
        call->in_callback = true;
        call->ops->on_done(call, code, text, call->user);
    }
    call_free(call);
}

static void call_fail(struct http_call *call, int code, const char *text)
{
    struct client_conn *cc = TAKE(call->cc);
    if (cc) {
        cc->call = NULL;
        if (call->stream)
            http_stream_abort(TAKE(call->stream));
        conn_drop(cc);
    }
    call_end(call, code, text);
}

static void on_call_timeout(void *user)
{
    struct http_call *call = user;
    bool connecting = !call->stream;
    if (connecting)
        addresses_failed(call->client);
    call_fail(call, -ETIMEDOUT,
              connecting ? "timed out while connecting" : "timed out waiting for the answer");
}

/* True: the callback that just ran has ended the call. */
static bool call_was_cancelled(struct http_call *call)
{
    call->in_callback = false;
    if (!call->cancelled)
        return false;
    call_fail(call, -ECANCELED, "");
    return true;
}

/* ---- the answer ---- */

static void call_upgraded(struct http_call *call)
{
    struct client_conn *cc = TAKE(call->cc);
    struct http_stream *s = call->stream;
    conn_forget(cc);
    list_remove(&call->node);
    call->ops->on_upgrade(call, http_stream_take_conn(s), call->user);
    call_free(call);
}

static void on_head(struct http_stream *s, struct http_head *h, bool end, void *user)
{
    struct http_call *call = user;
    (void)s;
    (void)end;
    if (h->status < 200 && h->status != 101)
        return;
    call->head_seen = true;
    if (h->status == 101 && call->ops->on_upgrade) {
        call_upgraded(call);
        return;
    }
    if (!call->ops->on_head)
        return;
    call->in_callback = true;
    call->ops->on_head(call, h->status, call->user);
    call_was_cancelled(call);
}

/* Each run of the chain is one piece. */
static void tell_pieces(struct http_call *call, struct chain *data)
{
    while (data->n) {
        struct str piece = chain_front(data);
        call->in_callback = true;
        call->ops->on_data(call, piece, call->user);
        if (call_was_cancelled(call))
            return;
        chain_consume(data, piece.n);
    }
}

static void on_data(struct http_stream *s, struct chain *data, bool end, void *user)
{
    struct http_call *call = user;
    (void)s;
    (void)end;
    if (call->ops->on_data) {
        tell_pieces(call, data);
        return;
    }
    char *to = call->body.n + data->n <= call->body_max ? buf_reserve(&call->body, data->n) : NULL;
    if (!to) {
        call_fail(call, -E2BIG, "the answer is too large");
        return;
    }
    chain_copy(data, to, data->n);
    call->body.n += data->n;
}

static void on_stream_over(struct http_stream *s, enum http_end end, int code, const char *text,
                           void *user)
{
    struct http_call *call = user;
    struct client_conn *cc = TAKE(call->cc);
    (void)s;
    cc->call = NULL;
    if (end != HTTP_END_DONE && cc->used && !call->head_seen && call->repeatable) {
        call->stream = NULL;
        call_send(call); /* an idle connection that the server had given up */
        return;
    }
    cc->used = true;
    cc->freeing = end == HTTP_END_DONE;
    call_end(call, end == HTTP_END_DONE ? 0 : code ? code : -ECONNRESET, text);
}

static const struct http_stream_ops stream_ops = {
    .on_head = on_head,
    .on_data = on_data,
    .on_over = on_stream_over,
};

/* ---- the request ---- */

/* The stream is ours: what it is asked is kept, for it may be asked again. */
static void call_write(struct http_call *call)
{
    struct http_field fields[CLIENT_FIELDS_MAX];
    struct http_head head = call->request;
    struct chain body = {0};
    memcpy(fields, head.fields, head.n * sizeof(*fields));
    head.fields = fields;
    http_stream_send_head(call->stream, &head, !call->request_body);
    if (!call->request_body)
        return;
    chain_add_bytes(&body, call->request_body);
    http_stream_send_data(call->stream, &body, true);
}

/* False: the connection does not take it. */
static bool call_begin(struct http_call *call, struct client_conn *cc)
{
    if (http_conn_open(cc->hc, &stream_ops, call, &call->stream) < 0)
        return false;
    if (cc->idle) {
        cc->idle = false;
        call->client->n_idle--;
    }
    cc->call = call;
    call->cc = cc;
    if (call->timeout_ms)
        loop_timer_start(call->timer, call->timeout_ms);
    else
        loop_timer_stop(call->timer);
    call_write(call);
    return true;
}

static void on_open(struct http_conn *hc, void *user)
{
    struct client_conn *cc = user;
    (void)hc;
    cc->open = true;
    if (cc->call)
        call_begin(cc->call, cc);
}

static void on_free(struct http_conn *hc, void *user)
{
    struct client_conn *cc = user;
    (void)hc;
    cc->freeing = false;
    if (cc->call) {
        call_begin(cc->call, cc);
        return;
    }
    if (cc->client->n_idle >= cc->client->config.idle_connections_max) {
        conn_drop(cc);
        return;
    }
    cc->idle = true;
    cc->client->n_idle++;
}

static void on_conn_close(struct http_conn *hc, int code, const char *text, void *user)
{
    struct client_conn *cc = user;
    struct http_call *call = cc->call;
    bool cc_was_open = cc->open;
    (void)hc;
    conn_forget(cc);
    if (!call)
        return;
    call->cc = NULL; /* it waited */
    if (cc_was_open) {
        call_send(call);
        return;
    }
    addresses_failed(call->client);
    if (call->client->n_ips && call->connects < RESOLVER_IPS_MAX)
        call_connect(call);
    else
        call_end(call, code ? code : -ECONNRESET,
                 code ? text : "the connection closed before the answer");
}

static const struct http_conn_ops http_ops = {
    .on_open = on_open,
    .on_free = on_free,
    .on_close = on_conn_close,
};

static void call_connect(struct http_call *call)
{
    static const struct http_conn_config conn_config = {
        .head_bytes_max = 64 * 1024, .fields_max = HTTP_FIELDS_MAX, .idle_timeout_ms = UINT32_MAX};
    struct http_client *client = call->client;
    const struct ip *ip =
        client->config.ip.family ? &client->config.ip : &client->ips[client->ip_at];
    struct sockaddr_storage to;
    socklen_t to_len = ip_to_sockaddr(ip, client->config.port, &to);
    struct conn_options o = {.tls = client->config.tls,
                             .tls_options = &client->tls_options,
                             .from = client->config.from.family ? &client->config.from : NULL};
    struct client_conn *cc = NEW(struct client_conn);
    call->connects++;
    cc->client = client;
    cc->call = call;
    call->cc = cc;
    list_add_head(&client->conns, &cc->node);
    loop_timer_start(call->timer, client->config.connect_timeout_ms);
    cc->hc = http1_conn_new_client(conn_connect(client->loop, &to, to_len, &o, &conn_no_ops, NULL),
                                   &conn_config, &http_ops, cc);
}

static void on_resolved(int code, const struct ip *ips, size_t n, const char *text, void *user)
{
    struct http_call *call = user;
    struct http_client *client = call->client;
    call->query = NULL;
    if (code < 0) {
        call_end(call, code, text);
        return;
    }
    memcpy(client->ips, ips, n * sizeof(*ips));
    client->n_ips = n;
    client->ip_at = 0;
    call_connect(call);
}

static void call_resolve(struct http_call *call)
{
    struct http_client *client = call->client;
    loop_timer_start(call->timer, client->config.connect_timeout_ms);
    struct resolver *r = client->config.resolver;
    if (!r && !client->resolver && resolver_new(client->loop, &client->resolver, NULL) < 0)
        return; /* out of memory or of descriptors: the call ends by its connect timeout */
    call->query = resolver_lookup(r ? r : client->resolver, client->resolve, on_resolved, call);
}

static void call_send(struct http_call *call)
{
    struct http_client *client = call->client;
    LIST_FOREACH (node, &client->conns) {
        struct client_conn *cc = CONTAINER_OF(node, struct client_conn, node);
        if (cc->idle && call_begin(call, cc))
            return;
        if (cc->freeing && !cc->call) {
            cc->call = call;
            call->cc = cc;
            return;
        }
    }
    if (client->config.ip.family || client->n_ips)
        call_connect(call);
    else
        call_resolve(call);
}

static bool request_has(const struct http_request *r, const char *name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (str_eq_nocase(r->headers[i].name, str_from(name)))
            return true;
    return false;
}

static struct str keep(struct buf *texts, struct str s)
{
    struct str kept = {texts->p + texts->n, s.n};
    buf_add_str(texts, s);
    return kept;
}

/* A request that names its host or its user agent itself means those, not ours beside them. */
static void build_fields(struct http_call *call, const struct http_request *r)
{
    struct http_client *c = call->client;
    struct http_head *h = &call->request;
    struct buf *texts = &call->line;
    bool v6 = c->config.ip.family == AF_INET6 && strchr(c->host, ':');
    AUTO_DONE(buf) struct buf host = {0};
    buf_addf(&host, "%s%s%s:%u", v6 ? "[" : "", c->host, v6 ? "]" : "", c->config.port);
    if (!request_has(r, "host"))
        IGNORE_RESULT(http_head_add(h, HTTP_NAME_HOST, keep(texts, buf_str(&host))));
    if (c->user_agent && !request_has(r, "user-agent"))
        IGNORE_RESULT(http_head_add(h, HTTP_NAME_USER_AGENT, keep(texts, str_from(c->user_agent))));
    if (c->authorization)
        IGNORE_RESULT(
            http_head_add(h, HTTP_NAME_AUTHORIZATION, keep(texts, str_from(c->authorization))));
    for (size_t i = 0; i < r->n_headers; i++)
        IGNORE_RESULT(http_head_add_text(h, keep(texts, r->headers[i].name),
                                         keep(texts, r->headers[i].value)));
}

static void build_request(struct http_call *call, const struct http_request *r)
{
    struct http_client *c = call->client;
    size_t n = strlen(r->method) + strlen(c->prefix) + strlen(r->target) + strlen(c->host) + 16;
    n += str_from(c->user_agent).n + str_from(c->authorization).n;
    for (size_t i = 0; i < r->n_headers; i++)
        n += r->headers[i].name.n + r->headers[i].value.n;
    char *all = buf_reserve(&call->line, n); /* what points into it must not move */
    ASSERT(all);
    call->request =
        (struct http_head){.fields = xcalloc(CLIENT_FIELDS_MAX, sizeof(struct http_field)),
                           .cap = CLIENT_FIELDS_MAX,
                           .content_length = HTTP_LENGTH_NONE};
    call->request.method = keep(&call->line, str_from(r->method));
    struct str prefix = keep(&call->line, str_from(c->prefix));
    call->request.target = str_of(prefix.p, prefix.n + strlen(r->target));
    keep(&call->line, str_from(r->target));
    build_fields(call, r);
    if (!r->body.n)
        return;
    call->request.content_length = (int64_t)r->body.n;
    call->request_body = bytes_new(r->body);
}

struct http_call *http_call_start(struct http_client *c, const struct http_request *r,
                                  const struct http_call_ops *ops, void *user)
{
    struct http_call *call = NEW(struct http_call);
    ASSERT(ops->on_done && http_is_token(str_from(r->method)) && r->target[0] == '/');
    call->client = c;
    call->ops = ops;
    call->user = user;
    call->repeatable = streq(r->method, "GET") || streq(r->method, "HEAD");
    call->timeout_ms = r->timeout_ms;
    call->body_max = r->body_bytes_max ? r->body_bytes_max : CLIENT_BODY_MAX;
    call->timer = loop_timer_new(c->loop, on_call_timeout, call);
    list_add_tail(&c->calls, &call->node);
    build_request(call, r);
    call_send(call);
    return call;
}

void http_call_pause(struct http_call *call)
{
    ASSERT(call->head_seen);
    http_stream_pause(call->stream);
}

void http_call_resume(struct http_call *call)
{
    ASSERT(call->head_seen);
    http_stream_resume(call->stream);
}

void http_call_cancel(struct http_call *call)
{
    if (!call)
        return;
    call->cancelled = true;
    if (call->in_callback)
        return; /* the caller on the stack finishes it */
    call_fail(call, -ECANCELED, "");
}

const struct http_head *http_call_head(const struct http_call *call)
{
    static const struct http_head none;
    return call->head_seen && call->stream ? http_stream_head(call->stream) : &none;
}

int http_call_status(const struct http_call *call)
{
    return http_call_head(call)->status;
}

struct str http_call_header(const struct http_call *call, const char *name)
{
    return http_field_value(http_head_find_text(http_call_head(call), str_from(name)));
}

struct str http_call_body(const struct http_call *call)
{
    return buf_str(&call->body);
}

/* ---- client ---- */

struct http_client *http_client_new(struct loop *l, const struct http_client_config *o)
{
    struct http_client *c = NEW(struct http_client);
    c->loop = l;
    c->config = *o;
    c->host = xstrdup(o->host);
    c->resolve = xstrdup(o->resolve ? o->resolve : o->host);
    c->prefix = xstrdup(o->prefix ? o->prefix : "");
    c->authorization = o->authorization ? xstrdup(o->authorization) : NULL;
    c->user_agent = o->user_agent ? xstrdup(o->user_agent) : NULL;
    if (o->tls)
        tls_context_ref(o->tls);
    if (!c->config.connect_timeout_ms)
        c->config.connect_timeout_ms = CLIENT_CONNECT_TIMEOUT_MS;
    c->tls_options.server_name = c->host;
    if (!c->config.idle_connections_max)
        c->config.idle_connections_max = CLIENT_IDLE_MAX;
    list_init(&c->conns);
    list_init(&c->calls);
    return c;
}

void http_client_set_authorization(struct http_client *c, const char *value)
{
    free(c->authorization);
    c->authorization = value ? xstrdup(value) : NULL;
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    while (!list_is_empty(&c->calls))
        call_fail(CONTAINER_OF(c->calls.next, struct http_call, node), -ECANCELED,
                  "the client is closing");
    LIST_FOREACH_SAFE (node, &c->conns)
        conn_drop(CONTAINER_OF(node, struct client_conn, node));
    resolver_free(c->resolver);
    tls_context_unref(c->config.tls);
    if (c->authorization)
        explicit_bzero(c->authorization, strlen(c->authorization));
    free(c->authorization);
    free(c->user_agent);
    free(c->host);
    free(c->resolve);
    free(c->prefix);
    free(c);
}
