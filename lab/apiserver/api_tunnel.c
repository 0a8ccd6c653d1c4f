/* pods/log, exec, attach, portforward: a byte tunnel to the node that runs the pod.
 *
 * Finds the node's kubelet address, opens TLS with the API server's own client certificate, sends
 * the same request in the kubelet's form (/containerLogs, /exec, /attach, /portForward) and from
 * then on copies bytes both ways without looking at them, so every protocol that kubectl and the
 * node agree on (WebSocket, chunked logs) passes. Back-pressure: one side is not read while the
 * other has more than 256 KiB queued. */
#include <errno.h>
#include <stdio.h>

#include "codec/url.h"
#include "lab/apiserver/api_priv.h"

enum {
    TUNNEL_QUEUE_BYTES = 256 * 1024,
    KUBELET_PORT = 10250,
    CONNECT_TIMEOUT_MS = 5000,
};

struct tunnel {
    struct api_request *request; /* until the node is connected */
    struct conn *client;         /* from then on */
    struct conn *node;
    struct loop_timer *timer;
    char *node_name;
    struct buf head;
};

static void tunnel_free(struct tunnel *t)
{
    conn_free(t->client);
    conn_free(t->node);
    loop_timer_free(t->timer);
    buf_done(&t->head);
    free(t->node_name);
    free(t);
}

static void copy(struct conn *from, struct conn *to)
{
    conn_write_chain(to, conn_in(from));
    if (conn_queued(to) > TUNNEL_QUEUE_BYTES)
        conn_pause(from);
    if (conn_eof(from))
        conn_finish(to);
}

static void on_client_data(struct conn *c, void *user)
{
    struct tunnel *t = user;
    if (conn_eof(c) && !conn_in(c)->n) {
        tunnel_free(t); /* kubectl has gone: so does the command's stream */
        return;
    }
    copy(c, t->node);
}

static void on_client_drain(struct conn *c, void *user)
{
    struct tunnel *t = user;
    (void)c;
    if (conn_eof(t->node))
        tunnel_free(t);
    else
        conn_resume(t->node);
}

static void on_client_close(struct conn *c, int code, const char *text, void *user)
{
    struct tunnel *t = user;
    (void)c;
    (void)code;
    (void)text;
    t->client = NULL;
    tunnel_free(t);
}

static void on_node_data(struct conn *c, void *user)
{
    struct tunnel *t = user;
    if (!t->client)
        return; /* the answer waits until the client's connection is ours */
    copy(c, t->client);
    if (conn_eof(c) && !conn_queued(t->client))
        tunnel_free(t);
}

static void on_node_drain(struct conn *c, void *user)
{
    struct tunnel *t = user;
    (void)c;
    if (t->client)
        conn_resume(t->client);
}

static void on_lingering_data(struct conn *c, void *user)
{
    (void)user;
    chain_done(conn_in(c));
}

static void on_lingering_close(struct conn *c, int code, const char *text, void *user)
{
    (void)c;
    (void)code;
    (void)text;
    (void)user;
}

static void on_node_close(struct conn *c, int code, const char *text, void *user)
{
    struct tunnel *t = user;
    (void)c;
    t->node = NULL;
    if (t->request) {
        struct api_request *r = TAKE(t->request);
        http_exchange_set_done(r->exchange, NULL, NULL);
        api_status(r, 500, "InternalError", NULL, "error dialing backend: node %s: %s",
                   t->node_name, code ? text : "closed the connection");
    } else if (t->client) {
        static const struct conn_ops lingering = {NULL, on_lingering_data, NULL,
                                                  on_lingering_close};
        struct conn *client = TAKE(t->client);
        conn_set_ops(client, &lingering, NULL);
        conn_close_after_flush(client); /* what the node said last still reaches the client */
    }
    tunnel_free(t);
}

static const struct conn_ops client_ops = {NULL, on_client_data, on_client_drain, on_client_close};

static void on_node_open(struct conn *c, void *user)
{
    struct tunnel *t = user;
    struct api_request *r = TAKE(t->request);
    (void)c;
    loop_timer_stop(t->timer);
    http_exchange_set_done(r->exchange, NULL, NULL);
    t->client = http_exchange_take_conn(r->exchange);
    api_request_free(r);
    conn_set_ops(t->client, &client_ops, t);
    conn_write(t->node, buf_str(&t->head));
}

static const struct conn_ops node_ops = {on_node_open, on_node_data, on_node_drain, on_node_close};

static void on_timeout(void *user)
{
    struct tunnel *t = user;
    struct api_request *r = TAKE(t->request);
    http_exchange_set_done(r->exchange, NULL, NULL);
    api_status(r, 504, "Timeout", NULL, "error dialing backend: node %s did not answer in %d s",
               t->node_name, CONNECT_TIMEOUT_MS / 1000);
    tunnel_free(t);
}

static void on_client_gone(struct http_exchange *x, void *user)
{
    struct tunnel *t = user;
    (void)x;
    api_request_free(TAKE(t->request));
    tunnel_free(t);
}

/* ---- opening ---- */

/* The container meant; NULL: answered. */
static char *choose_container(struct api_request *r, const json_t *pod)
{
    AUTO_CHARS char *wanted = url_param(r->query, "container");
    AUTO_DONE(buf) struct buf names = {0};
    AUTO_CHARS char *pod_name = xstrdup(r->name);
    static const char *const lists[] = {"spec.containers", "spec.initContainers",
                                        "spec.ephemeralContainers"};
    const char *first = NULL;
    json_t *c;
    size_t i, n = 0;
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        json_array_foreach(json_at(pod, lists[l]), i, c)
        {
            const char *name = json_key_str(c, "name");
            if (!str_empty(wanted) && streq(name, wanted))
                return xstrdup(wanted);
            if (l == 0) {
                first = first ? first : name;
                buf_addf(&names, "%s%s", n++ ? " " : "", name);
            }
        }
    }
    if (!str_empty(wanted)) {
        api_status(r, 400, "BadRequest", NULL, "container %s is not valid for pod %s", wanted,
                   pod_name);
        return NULL;
    }
    const char *preferred = json_key_str(json_at(pod, "metadata.annotations"),
                                         "kubectl.kubernetes.io/default-container");
    /* The annotation is anybody's text, and the name goes into a request line. */
    json_array_foreach(json_at(pod, lists[0]), i,
                       c) if (preferred &&
                              streq(json_key_str(c, "name"), preferred)) return xstrdup(preferred);
    if (n == 1)
        return xstrdup(first);
    api_status(r, 400, "BadRequest", NULL,
               "a container name must be specified for pod %s, choose one of: [%s]", pod_name,
               buf_cstr(&names));
    return NULL;
}

static void add_query(struct buf *b, struct str query)
{
    struct str rest = query, name, value;
    char sep = '?';
    while (url_param_next(&rest, &name, &value)) {
        if (str_is(name, "container"))
            continue;
        const char *as = str_is(name, "stdin")    ? "input"
                         : str_is(name, "stdout") ? "output"
                         : str_is(name, "stderr") ? "error"
                                                  : NULL;
        buf_addf(b, "%c" STR_FMT "=" STR_FMT, sep, STR_ARG(as ? str_from(as) : name),
                 STR_ARG(value));
        sep = '&';
    }
}

/* Credentials end here, and so does the body. */
static bool stays_here(struct str name)
{
    static const char *const names[] = {"host",           "authorization",     "cookie",
                                        "content-length", "transfer-encoding", "content-type",
                                        "expect"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_nocase(name, str_from(names[i])))
            return true;
    return false;
}

/* container NULL: none is meant. Log answers end with the connection, which is not used again. */
static void build_head(struct api_request *r, const char *container, const char *host,
                       struct buf *b)
{
    bool log = streq(r->subresource, "log"), forward = !container;
    struct http_header headers[HTTP_FIELDS_MAX];
    size_t n = http_head_list(http_exchange_head(r->exchange), headers, HTTP_FIELDS_MAX);
    buf_addf(b, STR_FMT " /%s/%s/%s", STR_ARG(http_exchange_method(r->exchange)),
             log       ? "containerLogs"
             : forward ? "portForward"
                       : r->subresource,
             r->ns, r->name);
    if (container)
        buf_addf(b, "/%s", container);
    add_query(b, r->query);
    buf_addf(b, " HTTP/1.1\r\nHost: %s\r\n", host);
    for (size_t i = 0; i < n; i++) {
        struct str name = headers[i].name;
        if (stays_here(name) || (log && str_eq_nocase(name, STR("connection"))))
            continue;
        buf_addf(b, STR_FMT ": " STR_FMT "\r\n", STR_ARG(name), STR_ARG(headers[i].value));
    }
    if (log)
        buf_add_cstr(b, "Connection: close\r\n");
    buf_add_cstr(b, "\r\n");
}

static int node_address(struct api_server *s, const char *node_name, struct ip *ret,
                        uint16_t *ret_port)
{
    int index = api_kind_find(STR(""), STR("v1"), STR("nodes"));
    struct object *o = store_find(s->store, (uint32_t)index, "", node_name);
    json_t *a;
    size_t i;
    if (!o)
        return -ENOENT;
    AUTO_JSON json_t *node = object_tree(o);
    *ret_port =
        (uint16_t)json_at_int(node, "status.daemonEndpoints.kubeletEndpoint.Port", KUBELET_PORT);
    json_array_foreach(json_at(node, "status.addresses"), i,
                       a) if (streq(json_key_str(a, "type"), "InternalIP") &&
                              json_key_str(a, "address") &&
                              ip_parse(str_from(json_key_str(a, "address")), ret) == 0) return 0;
    return -ENOENT;
}

void api_tunnel(struct api_request *r)
{
    AUTO_JSON json_t *pod =
        object_tree(store_find(r->server->store, r->kind_index, r->ns, r->name));
    const char *node_name = json_at_str(pod, "spec.nodeName");
    struct sockaddr_storage to;
    struct ip ip;
    uint16_t port;
    if (streq(r->subresource, "log") && !api_log_options_check(r))
        return;
    bool forward = streq(r->subresource, "portforward"); /* to the pod, whichever container */
    AUTO_CHARS char *container = forward ? NULL : choose_container(r, pod);
    if (!container && !forward)
        return;
    AUTO_CHARS char *name = xstrdup(r->name);
    if (!node_name) {
        api_status(r, 400, "BadRequest", NULL, "pod %s does not have a host assigned", name);
        return;
    }
    if (node_address(r->server, node_name, &ip, &port) < 0) {
        api_status(r, 500, "InternalError", NULL,
                   "node %s of pod %s is not known or has no InternalIP", node_name, name);
        return;
    }
    struct tunnel *t = NEW(struct tunnel);
    char host[IP_TEXT_BYTES];
    t->request = r;
    t->node_name = xstrdup(node_name);
    build_head(r, container, ip_format(&ip, host), &t->head);
    http_exchange_set_done(r->exchange, on_client_gone, t);
    const struct tls_session_options tls = {.server_name = host};
    struct conn_options o = {.tls = r->server->kubelet_tls, .tls_options = &tls};
    t->node = conn_connect(r->server->loop, &to, ip_to_sockaddr(&ip, port, &to), &o, &node_ops, t);
    t->timer = loop_timer_new(r->server->loop, on_timeout, t);
    loop_timer_start(t->timer, CONNECT_TIMEOUT_MS);
}
