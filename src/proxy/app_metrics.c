#include "proxy/app_metrics.h"

#include <errno.h>

#include "base/list.h"
#include "base/log.h"
#include "codec/json.h"
#include "net/http_client.h"

enum { OWN_BYTES_MAX = 64 << 20 };

struct app_metrics {
    struct loop *loop;
    struct app_metrics_config config;
    struct http_client *own, *app; /* app NULL: it has none */
    struct list_node scrapes;
    size_t n;
    bool told; /* that the app does not answer */
};

struct scrape {
    struct list_node node;
    struct app_metrics *all;
    struct http_exchange *x;
    struct http_call *call;
    struct buf page;
};

/* ---- what is asked ---- */

int app_metrics_parse(struct str json, struct app_metrics_target *ret, struct err *reterr)
{
    AUTO_JSON json_t *j = NULL;
    uint64_t port = 0;
    int r = json_parse(json, 4096, NULL, &j, reterr);
    if (r < 0)
        return r;
    const char *text = json_key_str(j, "port"), *path = json_key_str(j, "path");
    if (!streq(json_key_str(j, "scrape"), "true"))
        return 0;
    if (str_to_u64(str_from(text ? text : "80"), &port) < 0 || !port || port > UINT16_MAX)
        return err_set(reterr, -EINVAL, "port", "%.32s is no port", text);
    path = path ? path : "/metrics";
    if (*path != '/' || strpbrk(path, " \t\r\n"))
        return err_set(reterr, -EINVAL, "path", "%.64s is no path", path);
    ret->port = (uint16_t)port;
    ret->path = xstrdup(path);
    return 0;
}

void app_metrics_target_done(struct app_metrics_target *t)
{
    free(TAKE(t->path));
    t->port = 0;
}

/* ---- a scrape ---- */

static void scrape_free(struct scrape *s)
{
    if (s->call)
        http_call_cancel(s->call);
    buf_done(&s->page);
    list_remove(&s->node);
    s->all->n--;
    free(s);
}

static void answer(struct scrape *s, int status, const char *why)
{
    const struct http_header type = {STR("content-type"),
                                     STR("text/plain; version=0.0.4; charset=utf-8")};
    struct http_exchange *x = TAKE(s->x);
    http_exchange_set_done(x, NULL, NULL);
    http_exchange_reply(x, status, &type, 1, why ? str_from(why) : buf_str(&s->page));
    scrape_free(s);
}

static void on_client_gone(struct http_exchange *x, void *user)
{
    struct scrape *s = user;
    (void)x;
    s->x = NULL;
    scrape_free(s);
}

static void add_page(struct scrape *s, struct str body)
{
    if (s->page.n && s->page.p[s->page.n - 1] != '\n')
        buf_add_char(&s->page, '\n');
    buf_add_str(&s->page, body);
}

static void on_app(struct http_call *call, int code, const char *text, void *user)
{
    struct scrape *s = user;
    struct app_metrics *m = s->all;
    int status = code < 0 ? 0 : http_call_status(call);
    s->call = NULL;
    if (status == 200)
        add_page(s, http_call_body(call));
    else if (!m->told)
        log_warn("the app's metrics cannot be had: the page has the proxy's alone",
                 kv_i("port", m->config.target.port), kv_s("path", m->config.target.path),
                 kv_i("status", status), kv_s("error", code < 0 ? text : ""));
    m->told = status != 200;
    answer(s, s->page.failed ? 500 : 200, NULL);
}

static void ask(struct scrape *s, struct http_client *of, const char *path, size_t max,
                const struct http_call_ops *ops)
{
    static const struct http_header plain = {STR("accept"), STR("text/plain;version=0.0.4")};
    const struct http_request request = {.method = "GET",
                                         .target = path,
                                         .headers = &plain,
                                         .n_headers = 1,
                                         .timeout_ms = APP_METRICS_TIMEOUT_MS,
                                         .body_bytes_max = max};
    s->call = http_call_start(of, &request, ops, s);
}

static void on_own(struct http_call *call, int code, const char *text, void *user)
{
    static const struct http_call_ops app = {.on_done = on_app};
    struct scrape *s = user;
    (void)text;
    s->call = NULL;
    if (code < 0 || http_call_status(call) != 200) {
        answer(s, 503, "the proxy's own metrics cannot be had\n");
        return;
    }
    add_page(s, http_call_body(call));
    if (s->all->app)
        ask(s, s->all->app, s->all->config.target.path, APP_METRICS_BYTES_MAX, &app);
    else
        answer(s, s->page.failed ? 500 : 200, NULL);
}

void app_metrics_serve(struct app_metrics *m, struct http_exchange *x)
{
    static const struct http_call_ops own = {.on_done = on_own};
    if (m->n >= APP_METRICS_SCRAPES_MAX) {
        http_exchange_reply(x, 503, NULL, 0, STR("too many scrapes at a time\n"));
        return;
    }
    struct scrape *s = NEW(struct scrape);
    s->all = m;
    s->x = x;
    list_add_tail(&m->scrapes, &s->node);
    m->n++;
    http_exchange_set_done(x, on_client_gone, s);
    ask(s, m->own, "/stats/prometheus", OWN_BYTES_MAX, &own);
}

/* ---- the whole ---- */

struct app_metrics *app_metrics_new(struct loop *l, const struct app_metrics_config *c)
{
    struct app_metrics *m = NEW(struct app_metrics);
    char ip[IP_TEXT_BYTES];
    m->loop = l;
    m->config = *c;
    list_init(&m->scrapes);
    struct http_client_config own = {.port = c->own_port, .host = "127.0.0.1"};
    IGNORE_RESULT(ip_parse(STR("127.0.0.1"), &own.ip));
    m->own = http_client_new(l, &own);
    if (!c->target.port)
        return m;
    const struct http_client_config app = {.ip = c->pod,
                                           .port = c->target.port,
                                           .host = ip_format(&c->pod, ip),
                                           .from = c->from,
                                           .connect_timeout_ms = 1000};
    m->app = http_client_new(l, &app);
    return m;
}

void app_metrics_free(struct app_metrics *m)
{
    if (!m)
        return;
    while (!list_is_empty(&m->scrapes)) {
        struct scrape *s = CONTAINER_OF(m->scrapes.next, struct scrape, node);
        http_exchange_set_done(s->x, NULL, NULL);
        scrape_free(s);
    }
    http_client_free(m->own);
    http_client_free(m->app);
    app_metrics_target_done(&m->config.target);
    free(m);
}
