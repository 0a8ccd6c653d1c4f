/* Clients' connections: accepted, given what their listener serves them by, drained, ended. */
#include "proxy/downstream.h"

#include <unistd.h>

#include "net/http1_conn.h"
#include "net/http2_conn.h"
#include "net/http_auto.h"
#include "proxy/request.h"

struct downstream {
    struct list_node node;
    struct worker *worker;
    struct listener_config *listener; /* as it was when the connection came */
    struct http_conn *hc;
};

enum { DOWNSTREAMS_MAX = 50000 }; /* of a worker */

static void downstream_free(struct downstream *d)
{
    struct worker *w = d->worker;
    list_remove(&d->node);
    w->n_downstreams--;
    listener_config_unref(d->listener);
    free(d);
    if (w->draining && !w->n_downstreams)
        loop_stop(w->loop, 0);
}

static void on_request(struct http_conn *hc, struct http_stream *s, void *user)
{
    struct downstream *d = user;
    (void)hc;
    request_begin(d->worker, d->listener->http, s);
}

static void on_bad_request(struct http_conn *hc, const struct http_bad_request *bad,
                           struct buf *body, const char **ret_type, void *user)
{
    struct downstream *d = user;
    (void)hc;
    if (!bad->begun) /* else its request has logged itself */
        request_log_bad(d->worker, d->listener->http, (unsigned)bad->status);
    buf_add_cstr(body, bad->status == 431   ? "Request Header Fields Too Large"
                       : bad->status == 501 ? "Not Implemented"
                       : bad->status == 505 ? "HTTP Version Not Supported"
                       : bad->status == 408 ? "Request Timeout"
                                            : "Bad Request");
    *ret_type = "text/plain";
}

static void on_close(struct http_conn *hc, int code, const char *text, void *user)
{
    (void)hc;
    (void)code;
    (void)text;
    downstream_free(user);
}

static struct http_conn *serve(struct downstream *d, struct conn *c)
{
    static const struct http_conn_config config = {.idle_timeout_ms = 3600 * 1000};
    static const struct http_conn_ops ops = {
        .on_request = on_request, .on_bad_request = on_bad_request, .on_close = on_close};
    switch (d->listener->http->version) {
    case 1:
        return http1_conn_new_server(c, &config, &ops, d);
    case 2:
        return http2_conn_new_server(c, &config, &ops, d);
    default:
        return http_auto_conn_new_server(c, &config, &ops, d);
    }
}

void downstream_accept(int fd, void *user)
{
    struct worker_listener *l = user;
    struct worker *w = l->worker;
    if (w->n_downstreams >= DOWNSTREAMS_MAX) {
        close(fd);
        return;
    }
    struct downstream *d = NEW(struct downstream);
    d->worker = w;
    d->listener = listener_config_ref(l->config);
    list_add_tail(&w->downstreams, &d->node);
    w->n_downstreams++;
    d->hc = serve(d, conn_new_accepted(w->loop, fd, NULL, &conn_no_ops, NULL));
}

void downstreams_drain(struct worker *w)
{
    LIST_FOREACH_SAFE (node, &w->downstreams)
        http_conn_shutdown(CONTAINER_OF(node, struct downstream, node)->hc);
}

void downstreams_free(struct worker *w)
{
    LIST_FOREACH_SAFE (node, &w->downstreams) {
        struct downstream *d = CONTAINER_OF(node, struct downstream, node);
        http_conn_free(d->hc);
        downstream_free(d);
    }
}
