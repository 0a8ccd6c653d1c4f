/* HTTP/1.1 client: a small pool of connections to one origin.
 *
 * Owns its connections and the calls in flight. A call takes an idle connection or opens one; when
 * a reused connection turns out dead before any byte of an answer came, a call whose method is safe
 * to repeat is sent once more on a new one. Callbacks never run inside http_call_start. A call ends
 * exactly once: on_done, on_upgrade or http_call_cancel. A host name is resolved when a connection
 * is needed and no address is known; its addresses are tried in turn, and forgotten when the last
 * of them has failed. */
#include "net/http_client.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/list.h"

enum {
    CLIENT_CONNECT_TIMEOUT_MS = 10000,
    CLIENT_IDLE_MAX = 4,
    CLIENT_BODY_MAX = 512 * 1024 * 1024,
    HTTP_INTERIM_MAX = 64, /* 1xx before an answer */
};

struct http_client {
    struct loop *loop;
    struct http_client_config config;
    char *host;
    char *resolve;
    char *prefix;
    char *authorization;
    char *user_agent;
    struct resolver *resolver; /* its own, made at the first need */
    struct ip ips[RESOLVER_IPS_MAX];
    size_t n_ips;          /* 0 = to be resolved */
    size_t ip_at;          /* the one that took the last connection */
    struct list_node idle; /* struct client_conn */
    size_t n_idle;
    struct list_node calls; /* struct http_call */
};

struct client_conn {
    struct list_node node; /* in the idle list, or unlinked */
    struct http_client *client;
    struct conn *conn;
    struct http_call *call;
    bool open;
    bool used; /* carried a call before */
};

struct http_call {
    struct list_node node;
    struct http_client *client;
    struct client_conn *cc;
    struct resolver_query *query;
    size_t connects; /* addresses tried for this call */
    const struct http_call_ops *ops;
    void *user;
    struct buf request; /* kept until an answer begins, for a repeat */
    bool repeatable;
    bool is_head;
    struct loop_timer *timer;
    uint64_t timeout_ms;
    size_t body_max;
    /* the answer */
    size_t scanned;
    unsigned interim; /* 1xx seen */
    bool head_seen;
    bool paused;
    char *head_bytes;
    struct http1_head head;
    struct http1_chunked chunked;
    int64_t body_left; /* with Content-Length */
    struct buf body;
    bool until_close;
    bool in_callback;
    bool cancelled;
};

static void call_send(struct http_call *call);

/* The address in use took no connection: the next one, or after the last a fresh look-up. */
static void addresses_failed(struct http_client *c)
{
    if (c->config.ip.family)
        return;
    if (++c->ip_at >= c->n_ips)
        c->n_ips = 0;
}

static void call_free(struct http_call *call)
{
    list_remove(&call->node);
    resolver_cancel(call->query);
    loop_timer_free(call->timer);
    buf_done(&call->request);
    buf_done(&call->body);
    free(call->head_bytes);
    free(call);
}

static void conn_drop(struct client_conn *cc)
{
    if (list_is_linked(&cc->node)) {
        list_remove(&cc->node);
        cc->client->n_idle--;
    }
    conn_free(cc->conn);
    free(cc);
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
    if (call->cc)
        conn_drop(call->cc);
    call->cc = NULL;
    call_end(call, code, text);
}

static void on_call_timeout(void *user)
{
    struct http_call *call = user;
    bool connecting = !call->cc || !call->cc->open;
    if (connecting)
        addresses_failed(call->client);
    call_fail(call, -ETIMEDOUT,
              connecting ? "timed out while connecting" : "timed out waiting for the answer");
}

/* ---- the answer ---- */

static void call_complete(struct http_call *call)
{
    struct client_conn *cc = call->cc;
    struct http_client *client = call->client;
    bool reuse = !call->paused && !call->head.close && !call->until_close &&
                 conn_in(cc->conn)->n == 0 && !conn_eof(cc->conn) &&
                 client->n_idle < client->config.idle_connections_max;
    call->cc = NULL;
    cc->call = NULL;
    cc->used = true;
    if (reuse) {
        list_add_head(&client->idle, &cc->node);
        client->n_idle++;
    } else {
        conn_drop(cc);
    }
    call_end(call, 0, "");
}

/* Hands a piece over; false when the callback has ended the call. */
static bool call_piece(struct http_call *call, struct str piece)
{
    if (!piece.n)
        return true;
    if (call->ops->on_data) {
        call->in_callback = true;
        call->ops->on_data(call, piece, call->user);
        call->in_callback = false;
        if (call->cancelled) {
            call_fail(call, -ECANCELED, "");
            return false;
        }
        return true;
    }
    if (call->body.n + piece.n > call->body_max) {
        call_fail(call, -E2BIG, "the answer is too large");
        return false;
    }
    buf_add(&call->body, piece.p, piece.n);
    return true;
}

static void call_read_body(struct http_call *call)
{
    struct conn *c = call->cc->conn;
    struct buf *in = conn_in(c);
    struct str rest = buf_str(in), piece;
    int r = 0;
    if (call->head.chunked) {
        while ((r = http1_chunked_next(&call->chunked, &rest, &piece)) == 1)
            if (!call_piece(call, piece))
                return;
        if (r < 0) {
            call_fail(call, r, "malformed chunked answer");
            return;
        }
    } else {
        size_t take = call->until_close ? rest.n : (size_t)MIN((int64_t)rest.n, call->body_left);
        if (!call_piece(call, str_sub(rest, 0, take)))
            return;
        rest = str_sub(rest, take, rest.n);
        if (!call->until_close)
            call->body_left -= (int64_t)take;
    }
    buf_consume(in, in->n - rest.n);
    bool whole = call->head.chunked  ? call->chunked.done
                 : call->until_close ? conn_eof(c)
                                     : call->body_left == 0;
    if (whole)
        call_complete(call);
    else if (conn_eof(c))
        call_fail(call, -ECONNRESET, "the connection closed in the middle of the answer");
}

/* Sets the framing; true if the answer has no body. */
static bool call_frame(struct http_call *call)
{
    int status = call->head.status;
    if (call->is_head || status == 204 || status == 304)
        return true;
    call->body_left = call->head.content_length;
    call->until_close = !call->head.chunked && call->head.content_length < 0;
    return call->head.content_length == 0;
}

static void call_upgraded(struct http_call *call)
{
    struct client_conn *cc = TAKE(call->cc);
    struct conn *c = cc->conn;
    free(cc);
    list_remove(&call->node);
    call->ops->on_upgrade(call, c, call->user);
    call_free(call);
}

/* One head: 1 = it is there, 0 = more bytes are needed, -1 = the call has ended and is gone. */
static int call_take_head(struct http_call *call)
{
    struct buf *in = conn_in(call->cc->conn);
    struct err err = {0};
    ssize_t n = http1_head_length(buf_str(in), &call->scanned);
    if (n == 0)
        return 0;
    if (n < 0) {
        call_fail(call, (int)n, "the answer's head is too large");
        return -1;
    }
    free(call->head_bytes);
    call->head_bytes = xmalloc((size_t)n);
    memcpy(call->head_bytes, in->p, (size_t)n);
    call->scanned = 0;
    buf_consume(in, (size_t)n);
    int r = http1_parse_response(str_of(call->head_bytes, (size_t)n), &call->head, &err);
    if (r < 0) {
        call_fail(call, r, err_text(&err));
        return -1;
    }
    return 1;
}

/* The same for the head of the answer itself, behind those of 100 Continue and its kin. */
static int call_read_head(struct http_call *call)
{
    do {
        int r = call_take_head(call);
        if (r <= 0)
            return r;
        if (call->head.status == 101 && call->ops->on_upgrade) {
            call_upgraded(call);
            return -1;
        }
        if (call->head.status < 200 && ++call->interim > HTTP_INTERIM_MAX) {
            call_fail(call, -E2BIG, "too many interim answers");
            return -1;
        }
    } while (call->head.status < 200);
    call->head_seen = true;
    buf_done(&call->request);
    if (!call->ops->on_head)
        return 1;
    call->in_callback = true;
    call->ops->on_head(call, call->head.status, call->user);
    call->in_callback = false;
    if (call->cancelled) {
        call_fail(call, -ECANCELED, "");
        return -1;
    }
    return 1;
}

static void on_client_data(struct conn *c, void *user)
{
    struct client_conn *cc = user;
    struct http_call *call = cc->call;
    if (!call) {
        conn_drop(cc); /* bytes or the end of the stream on an idle connection */
        return;
    }
    if (!call->head_seen) {
        int r = call_read_head(call);
        if (r == 0 && conn_eof(c))
            conn_close_after_flush(c); /* no answer: on_client_close decides about a repeat */
        if (r <= 0)
            return;
        if (call_frame(call)) {
            call_complete(call);
            return;
        }
    }
    call_read_body(call);
}

static void on_client_open(struct conn *c, void *user)
{
    struct client_conn *cc = user;
    (void)c;
    cc->open = true;
    if (!cc->call)
        return;
    loop_timer_stop(cc->call->timer);
    if (cc->call->timeout_ms)
        loop_timer_start(cc->call->timer, cc->call->timeout_ms);
}

static void call_connect(struct http_call *call);

static void on_client_close(struct conn *c, int code, const char *text, void *user)
{
    struct client_conn *cc = user;
    struct http_call *call = cc->call;
    bool reused = cc->used;
    bool nothing_came = call && !call->head_seen && conn_in(c)->n == 0;
    bool unconnected = !cc->open;
    if (list_is_linked(&cc->node)) {
        list_remove(&cc->node);
        cc->client->n_idle--;
    }
    free(cc);
    if (!call)
        return;
    call->cc = NULL;
    if (unconnected) {
        addresses_failed(call->client);
        if (call->client->n_ips && call->connects < RESOLVER_IPS_MAX) {
            call_connect(call);
            return;
        }
    }
    if (reused && nothing_came && call->repeatable) {
        call->scanned = 0;
        call_send(call);
        return;
    }
    if (call->head_seen && call->until_close && code == 0)
        call_end(call, 0, "");
    else
        call_end(call, code ? code : -ECONNRESET,
                 code ? text : "the connection closed before the answer");
}

static const struct conn_ops client_ops = {
    .on_open = on_client_open,
    .on_data = on_client_data,
    .on_close = on_client_close,
};

/* ---- the request ---- */

static void call_take_conn(struct http_call *call, struct client_conn *cc)
{
    cc->call = call;
    call->cc = cc;
    conn_write(cc->conn, buf_str(&call->request));
}

static void call_connect(struct http_call *call)
{
    struct http_client *client = call->client;
    const struct ip *ip =
        client->config.ip.family ? &client->config.ip : &client->ips[client->ip_at];
    struct sockaddr_storage to;
    socklen_t to_len = ip_to_sockaddr(ip, client->config.port, &to);
    struct conn_options o = {.tls = client->config.tls, .server_name = client->host};
    struct client_conn *cc = NEW(struct client_conn);
    call->connects++;
    cc->client = client;
    cc->conn = conn_connect(client->loop, &to, to_len, &o, &client_ops, cc);
    loop_timer_start(call->timer, client->config.connect_timeout_ms);
    call_take_conn(call, cc);
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
    if (!list_is_empty(&client->idle)) {
        struct client_conn *cc = CONTAINER_OF(client->idle.next, struct client_conn, node);
        list_remove(&cc->node);
        client->n_idle--;
        if (call->timeout_ms)
            loop_timer_start(call->timer, call->timeout_ms);
        call_take_conn(call, cc);
    } else if (client->config.ip.family || client->n_ips) {
        call_connect(call);
    } else {
        call_resolve(call);
    }
}

static bool request_has(const struct http_request *r, const char *name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (str_eq_nocase(r->headers[i].name, str_from(name)))
            return true;
    return false;
}

/* A request that names its host or its user agent itself means those, not ours beside them. */
static void build_request(struct http_call *call, const struct http_request *r)
{
    struct http_client *c = call->client;
    struct buf *b = &call->request;
    bool v6 = c->config.ip.family == AF_INET6 && strchr(c->host, ':');
    buf_addf(b, "%s %s%s HTTP/1.1\r\n", r->method, c->prefix, r->target);
    if (!request_has(r, "host"))
        buf_addf(b, "Host: %s%s%s:%u\r\n", v6 ? "[" : "", c->host, v6 ? "]" : "", c->config.port);
    if (c->user_agent && !request_has(r, "user-agent"))
        buf_addf(b, "User-Agent: %s\r\n", c->user_agent);
    if (c->authorization)
        buf_addf(b, "Authorization: %s\r\n", c->authorization);
    for (size_t i = 0; i < r->n_headers; i++)
        if (http1_is_token(r->headers[i].name) && http1_is_value(r->headers[i].value))
            buf_addf(b, STR_FMT ": " STR_FMT "\r\n", STR_ARG(r->headers[i].name),
                     STR_ARG(r->headers[i].value));
    if (r->body.n || streq(r->method, "POST") || streq(r->method, "PUT") ||
        streq(r->method, "PATCH"))
        buf_addf(b, "Content-Length: %zu\r\n", r->body.n);
    buf_add_cstr(b, "\r\n");
    buf_add_str(b, r->body);
}

struct http_call *http_call_start(struct http_client *c, const struct http_request *r,
                                  const struct http_call_ops *ops, void *user)
{
    struct http_call *call = NEW(struct http_call);
    ASSERT(ops->on_done && http1_is_token(str_from(r->method)) && r->target[0] == '/');
    call->client = c;
    call->ops = ops;
    call->user = user;
    call->repeatable = streq(r->method, "GET") || streq(r->method, "HEAD");
    call->is_head = streq(r->method, "HEAD");
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
    call->paused = true;
    conn_pause(call->cc->conn);
}

void http_call_resume(struct http_call *call)
{
    ASSERT(call->head_seen);
    if (!call->paused)
        return;
    call->paused = false;
    conn_resume(call->cc->conn);
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

int http_call_status(const struct http_call *call)
{
    return call->head_seen ? call->head.status : 0;
}

size_t http_call_headers(const struct http_call *call, const struct http_header **ret)
{
    *ret = call->head.headers;
    return call->head.n_headers;
}

struct str http_call_header(const struct http_call *call, const char *name)
{
    return http1_find(call->head.headers, call->head.n_headers, name);
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
    if (!c->config.idle_connections_max)
        c->config.idle_connections_max = CLIENT_IDLE_MAX;
    list_init(&c->idle);
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
    while (!list_is_empty(&c->idle))
        conn_drop(CONTAINER_OF(c->idle.next, struct client_conn, node));
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
