/* Each request on the port is one attempt at the app, which ends by itself, by its time, or with
 * its client. It goes to the pod's address from 127.0.0.6, which interception lets through: an app
 * that listens on loopback alone fails its probe here as it did without us. Main thread. */
#include "proxy/app_probes.h"

#include <errno.h>
#include <netinet/in.h>

#include "base/log.h"
#include "net/grpc_client.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/listener.h"

enum { CONNECTIONS_MAX = 256, ANSWER_BYTES_MAX = 1024 * 1024, SERVING = 1 };

struct app_probes {
    struct loop *loop;
    struct http_server *http;
    struct app_probe_table table;
    struct app_metrics *metrics;
    struct tls_context *tls; /* of HTTPS probes: as a kubelet, whoever it is */
    struct ip pod, from;
    const struct app_probes_ops *ops;
    void *user;
};

struct attempt {
    struct app_probes *all;
    const struct app_probe *probe;
    struct http_exchange *x;
    struct loop_call ending;
    struct loop_timer *timer;
    struct http_client *client;
    struct http_call *call;
    struct conn *conn;
    struct grpc_channel *channel;
};

/* ---- how it ends ---- */

static void reply(struct http_exchange *x, int status, const char *text)
{
    const struct http_header h[] = {{STR("content-type"), STR("text/plain; charset=utf-8")},
                                    {STR("x-content-type-options"), STR("nosniff")}};
    http_exchange_reply(x, status, h, ARRAY_LEN(h), str_from(text));
}

static void free_now(void *user)
{
    struct attempt *a = user;
    http_client_free(a->client);
    grpc_channel_free(a->channel);
    conn_free(a->conn);
    loop_timer_free(a->timer);
    free(a);
}

/* We may stand inside a callback of what it holds. */
static void end(struct attempt *a)
{
    loop_timer_stop(a->timer);
    if (a->call)
        http_call_cancel(a->call);
    a->call = NULL;
    if (!loop_call_is_queued(&a->ending))
        loop_defer(a->all->loop, &a->ending);
}

static void answer(struct attempt *a, int status, const char *text)
{
    struct http_exchange *x = TAKE(a->x);
    if (!x)
        return; /* it has been answered */
    http_exchange_set_done(x, NULL, NULL);
    end(a);
    reply(x, status, text);
}

static void on_client_gone(struct http_exchange *x, void *user)
{
    struct attempt *a = user;
    (void)x;
    a->x = NULL;
    end(a);
}

static void on_time(void *user)
{
    answer(user, 500, "the app has not answered in time\n");
}

/* ---- HTTP ---- */

static void on_http_done(struct http_call *call, int code, const char *text, void *user)
{
    struct attempt *a = user;
    AUTO_CHARS char *why = code < 0 ? xasprintf("%s\n", text) : NULL;
    a->call = NULL;
    answer(a, code < 0 ? 500 : http_call_status(call), why ? why : "");
}

static void try_http(struct attempt *a, struct str user_agent)
{
    static const struct http_call_ops ops = {.on_done = on_http_done};
    const struct app_probe *p = a->probe;
    struct http_header headers[APP_PROBE_HEADERS_MAX + 1];
    char ip[IP_TEXT_BYTES];
    size_t n = 0;
    AUTO_CHARS char *agent = str_dup(user_agent.n ? user_agent : STR("kube-probe"));
    AUTO_CHARS char *host =
        p->host ? xstrdup(p->host) : xasprintf("%s:%u", ip_format(&a->all->pod, ip), p->port);
    for (size_t i = 0; i + 1 < p->n_headers; i += 2)
        headers[n++] = (struct http_header){str_from(p->headers[i]), str_from(p->headers[i + 1])};
    const struct http_client_config config = {.ip = a->all->pod,
                                              .port = p->port,
                                              .host = host,
                                              .tls = p->https ? a->all->tls : NULL,
                                              .from = a->all->from,
                                              .user_agent = agent,
                                              .connect_timeout_ms = p->timeout_ms};
    const struct http_request request = {.method = "GET",
                                         .target = p->target,
                                         .headers = headers,
                                         .n_headers = n,
                                         .timeout_ms = p->timeout_ms,
                                         .body_bytes_max = ANSWER_BYTES_MAX};
    a->client = http_client_new(a->all->loop, &config);
    a->call = http_call_start(a->client, &request, &ops, a);
}

/* ---- TCP ---- */

static void on_tcp_open(struct conn *c, void *user)
{
    (void)c;
    answer(user, 200, "");
}

static void on_tcp_data(struct conn *c, void *user)
{
    (void)c;
    (void)user;
}

static void on_tcp_close(struct conn *c, int code, const char *text, void *user)
{
    struct attempt *a = user;
    AUTO_CHARS char *why = xasprintf("%s\n", text);
    (void)c;
    (void)code;
    a->conn = NULL; /* it goes when this returns */
    answer(a, 500, why);
}

static socklen_t pod_address(const struct attempt *a, struct sockaddr_storage *ret)
{
    return ip_to_sockaddr(&a->all->pod, a->probe->port, ret);
}

static void try_tcp(struct attempt *a)
{
    static const struct conn_ops ops = {
        .on_open = on_tcp_open, .on_data = on_tcp_data, .on_close = on_tcp_close};
    const struct conn_options o = {.from = &a->all->from};
    struct sockaddr_storage to;
    socklen_t n = pod_address(a, &to);
    a->conn = conn_connect(a->all->loop, &to, n, &o, &ops, a);
}

/* ---- gRPC: grpc.health.v1 ---- */

/* HealthCheckResponse{1: status}, of one byte each. */
static void on_health(struct grpc_call *call, struct str message, void *user)
{
    const bool serving = message.n == 2 && message.p[0] == 0x08 && (uint8_t)message.p[1] == SERVING;
    (void)call;
    answer(user, serving ? 200 : 500, serving ? "" : "the service is not serving\n");
}

static void on_health_over(struct grpc_call *call, int code, const char *text, void *user)
{
    AUTO_CHARS char *why = xasprintf("gRPC status %d: %s\n", code, text ? text : "");
    (void)call;
    answer(user, 500, why); /* unless a message came before */
}

static void on_channel_open(struct grpc_channel *channel, void *user)
{
    static const struct grpc_call_ops ops = {.on_message = on_health, .on_over = on_health_over};
    struct attempt *a = user;
    AUTO_DONE(buf) struct buf request = {0};
    size_t n = strlen(a->probe->service);
    struct grpc_call *call =
        grpc_call_new(channel, "/grpc.health.v1.Health/Check", NULL, 0, &ops, a);
    if (!call) {
        answer(a, 500, "the app takes no call\n");
        return;
    }
    if (n) { /* HealthCheckRequest{1: service} */
        buf_add_char(&request, 0x0a);
        buf_add_char(&request, (char)n);
        buf_add_cstr(&request, a->probe->service);
    }
    grpc_call_send(call, buf_str(&request));
    grpc_call_finish(call);
}

static void on_channel_close(struct grpc_channel *channel, int code, const char *text, void *user)
{
    struct attempt *a = user;
    AUTO_CHARS char *why = xasprintf("%s\n", text ? text : "");
    (void)channel;
    (void)code;
    a->channel = NULL; /* it goes when this returns */
    answer(a, 500, why);
}

static void try_grpc(struct attempt *a)
{
    static const struct grpc_channel_ops ops = {.on_open = on_channel_open,
                                                .on_close = on_channel_close};
    char ip[IP_TEXT_BYTES];
    AUTO_CHARS char *authority = xasprintf("%s:%u", ip_format(&a->all->pod, ip), a->probe->port);
    struct grpc_channel_config config = {.from = &a->all->from,
                                         .authority = authority,
                                         .connect_timeout_ms = a->probe->timeout_ms,
                                         .message_bytes_max = 4096};
    config.to_bytes = pod_address(a, &config.to);
    a->channel = grpc_channel_new(a->all->loop, &config, &ops, a);
}

/* ---- the port ---- */

static void try_app(struct app_probes *p, const struct app_probe *probe, struct http_exchange *x)
{
    struct attempt *a = NEW(struct attempt);
    a->all = p;
    a->probe = probe;
    a->x = x;
    loop_call_init(&a->ending, free_now, a);
    a->timer = loop_timer_new(p->loop, on_time, a);
    loop_timer_start(a->timer, probe->timeout_ms);
    http_exchange_set_done(x, on_client_gone, a);
    if (probe->kind == APP_PROBE_HTTP)
        try_http(a, http_exchange_header(x, "user-agent"));
    else if (probe->kind == APP_PROBE_TCP)
        try_tcp(a);
    else
        try_grpc(a);
}

/* A container of this pod, by its loopback. */
static bool is_own_caller(struct http_exchange *x)
{
    static const uint8_t one[16] = {[15] = 1};
    struct ip ip;
    uint16_t port;
    if (conn_direct_peer_addr(http_exchange_conn(x), &ip, &port) < 0)
        return false;
    ip = ip_unmapped(&ip);
    return ip.family == AF_INET ? ip.bytes[0] == 127 : memcmp(ip.bytes, one, sizeof(one)) == 0;
}

static void quit(struct app_probes *p, struct http_exchange *x)
{
    if (!str_is(http_exchange_method(x), "POST")) {
        reply(x, 405, "POST\n");
    } else if (!is_own_caller(x)) {
        reply(x, 403, "only this pod may ask for it, at 127.0.0.1\n");
    } else {
        reply(x, 200, "OK\n");
        p->ops->quit(p->user);
    }
}

static void on_request(struct http_exchange *x, void *user)
{
    struct app_probes *p = user;
    struct str path = http_exchange_path(x);
    if (str_is(path, "/healthz/ready")) {
        bool ready = p->ops->is_ready(p->user);
        reply(x, ready ? 200 : 503, ready ? "ok\n" : "not ready\n");
        return;
    }
    if (str_is(path, "/stats/prometheus")) {
        app_metrics_serve(p->metrics, x);
        return;
    }
    if (str_is(path, "/quitquitquit")) {
        quit(p, x);
        return;
    }
    for (size_t i = 0; i < p->table.n; i++)
        if (str_is(path, p->table.v[i].path)) {
            try_app(p, &p->table.v[i], x);
            return;
        }
    reply(x, 404, "/healthz/ready, /stats/prometheus, /quitquitquit, and the app's probes\n");
}

int app_probes_new(struct loop *l, struct app_probes_config *c, const struct app_probes_ops *ops,
                   void *user, struct app_probes **ret, struct err *reterr)
{
    static const struct http_server_ops server_ops = {.on_request = on_request};
    const struct http_server_config config = {.connections_max = CONNECTIONS_MAX};
    const struct tls_config any = {.insecure = true};
    struct app_probes *p = NEW(struct app_probes);
    const struct ip everywhere = listener_any();
    p->loop = l;
    p->ops = ops;
    p->user = user;
    p->pod = c->pod;
    p->table = c->table;
    c->table = (struct app_probe_table){0};
    int r = ip_parse(c->pod.family == AF_INET6 ? STR("::6") : STR("127.0.0.6"), &p->from);
    r = r < 0 ? r : tls_context_new_client(&any, &p->tls, reterr);
    r = r < 0 ? r
              : http_server_new(l, &everywhere, c->port, &config, &server_ops, p, &p->http, reterr);
    if (r < 0) {
        app_probes_free(p);
        return r;
    }
    p->metrics = app_metrics_new(
        l, &(struct app_metrics_config){c->pod, p->from, c->stats_port, c->metrics});
    c->metrics = (struct app_metrics_target){0};
    *ret = p;
    return 0;
}

void app_probes_free(struct app_probes *p)
{
    if (!p)
        return;
    app_metrics_free(p->metrics);
    http_server_free(p->http);
    app_probe_table_done(&p->table);
    tls_context_unref(p->tls);
    free(p);
}
