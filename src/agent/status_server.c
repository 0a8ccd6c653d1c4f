/* Health and metrics over HTTP, rows 42 to 44, in kube-proxy's forms. Reads the agent's figures on
 * the loop; owns its two listeners. */
#include "agent/status_server.h"

#include <errno.h>
#include <time.h>

#include "agent/metrics.h"
#include "base/log.h"
#include "base/time.h"
#include "net/http_server.h"

enum { RETRY_MS = 5000 };

struct endpoint {
    struct status_server *owner;
    const struct http_server_ops *ops;
    const char *address; /* borrowed */
    struct ip ip;
    uint16_t port;
    struct http_server *server;
    struct loop_timer *retry; /* while the port is taken */
};

struct status_server {
    struct loop *loop;
    const struct agent *agent;
    struct status_options options; /* what it points to is borrowed */
    struct endpoint healthz, metrics, probe;
    struct health_counts counts;
    uint64_t started_us;
    int64_t started_real_us;
};

static void reply(struct http_exchange *x, int status, const char *type, struct buf *body)
{
    const struct http_header h[] = {{STR("Content-Type"), str_from(type)},
                                    {STR("X-Content-Type-Options"), STR("nosniff")}};
    http_exchange_reply(x, status, h, ARRAY_LEN(h), buf_str(body));
    buf_done(body);
}

static void reply_text(struct http_exchange *x, int status, const char *text)
{
    struct buf b = {0};
    buf_add_cstr(&b, text);
    reply(x, status, "text/plain; charset=utf-8", &b);
}

/* When the kernel had taken all of it last; before the first sync: now. */
static const char *updated(const struct agent_family_stats *f, int64_t now_us, char ret[28])
{
    int64_t age = f->last_sync_us ? (int64_t)(time_mono_us() - f->last_sync_us) : 0;
    time_format_rfc3339_micro(now_us - age, ret);
    return ret;
}

static void health(struct status_server *s, struct http_exchange *x, bool with_node)
{
    struct agent_stats st;
    struct buf b = {0};
    char now[28], text[28];
    agent_get_stats(s->agent, &st);
    bool kernel = st.synced && st.healthy, ok = kernel && (!with_node || st.node_eligible);
    const struct agent_family_stats *v = st.families;
    const struct agent_family_stats *behind = v[0].healthy ? &v[1] : &v[0];
    int64_t now_us = time_real_us();
    time_format_rfc3339_micro(now_us, now);
    buf_addf(&b, "{\"lastUpdated\":\"%s\",\"currentTime\":\"%s\",",
             kernel ? now : updated(behind, now_us, text), now);
    if (with_node)
        buf_addf(&b, "\"nodeEligible\":%s,", st.node_eligible ? "true" : "false");
    buf_addf(&b, "\"healthy\":%s,\"status\":{", ok ? "true" : "false");
    for (unsigned f = 0; f < 2; f++) {
        bool healthy = st.synced && v[f].healthy;
        buf_addf(&b, "\"IPv%d\":{\"lastUpdated\":\"%s\",\"healthy\":%s}%s", f ? 6 : 4,
                 updated(&v[f], now_us, text), healthy ? "true" : "false", f ? "}}" : ",");
    }
    (with_node ? s->counts.healthz : s->counts.livez)[!ok]++;
    reply(x, ok ? 200 : 503, "application/json", &b);
}

static void metrics(struct status_server *s, struct http_exchange *x)
{
    struct agent_stats st;
    struct buf b = {0};
    agent_get_stats(s->agent, &st);
    metrics_format(&st, &s->counts, &b);
    if (s->options.add_metrics)
        s->options.add_metrics(&b, s->options.metrics_user);
    reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", &b);
}

/* ---- for people ---- */

#define FOR_PEOPLE                                                                                 \
    "Warning: This endpoint is not meant to be machine parseable, has no formatting "              \
    "compatibility guarantees and is for debugging purposes only.\n"

static void statusz(struct status_server *s, struct http_exchange *x)
{
    struct buf b = {0};
    char started[32];
    time_t t = (time_t)(s->started_real_us / 1000000);
    struct tm tm;
    uint64_t up = (time_mono_us() - s->started_us) / 1000000;
    strftime(started, sizeof(started), "%a %b %d %H:%M:%S UTC %Y", gmtime_r(&t, &tm));
    buf_addf(&b,
             "\nfairlead-agent statusz\n" FOR_PEOPLE "\nStarted  %s\n"
             "Up  %llu hr %02llu min %02llu sec\nBinary version  %s\n"
             "Paths  /configz /flagz /healthz /metrics /proxyMode /statusz\n",
             started, (unsigned long long)(up / 3600), (unsigned long long)(up / 60 % 60),
             (unsigned long long)(up % 60), FAIRLEAD_VERSION);
    reply(x, 200, "text/plain; charset=utf-8", &b);
}

static void flagz(struct status_server *s, struct http_exchange *x)
{
    struct buf b = {0};
    const char *name;
    json_t *value;
    buf_add_cstr(&b, "\nfairlead-agent flagz\n" FOR_PEOPLE);
    json_object_foreach((json_t *)(uintptr_t)s->options.flags, name, value)
    {
        if (json_is_boolean(value))
            buf_addf(&b, "%s=%s\n", name, json_is_true(value) ? "true" : "false");
        else
            buf_addf(&b, "%s=%s\n", name, json_string_value(value));
    }
    reply(x, 200, "text/plain; charset=utf-8", &b);
}

static void configz(struct status_server *s, struct http_exchange *x)
{
    struct buf b = {0};
    buf_add_cstr(&b, "{\"kubeproxy.config.k8s.io\":");
    json_write(&b, s->options.config);
    buf_add_cstr(&b, ",\"fairlead-agent\":");
    json_write(&b, s->options.flags);
    buf_add_char(&b, '}');
    reply(x, 200, "application/json", &b);
}

/* ---- paths ---- */

static void on_healthz(struct http_exchange *x, void *user)
{
    struct str path = http_exchange_path(x);
    const struct status_server *s = user;
    bool known = str_is(path, "/healthz") || str_is(path, "/livez");
    if (known && s->options.cleaned)
        reply_text(x, 200, "clean\n");
    else if (known)
        health(user, x, str_is(path, "/healthz"));
    else
        reply_text(x, 404, "not found: /healthz or /livez\n");
}

static void metrics_healthz(struct status_server *s, struct http_exchange *x)
{
    (void)s;
    reply_text(x, 200, "ok");
}

static void proxy_mode(struct status_server *s, struct http_exchange *x)
{
    (void)s;
    reply_text(x, 200, "nftables");
}

static void on_metrics(struct http_exchange *x, void *user)
{
    static const struct {
        const char *path;
        void (*answer)(struct status_server *s, struct http_exchange *x);
    } paths[] = {{"/metrics", metrics},      {"/healthz", metrics_healthz},
                 {"/proxyMode", proxy_mode}, {"/statusz", statusz},
                 {"/flagz", flagz},          {"/configz", configz}};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (str_is(http_exchange_path(x), paths[i].path)) {
            paths[i].answer(user, x);
            return;
        }
    reply_text(x, 404, "not found: /metrics, /healthz, /proxyMode, /statusz, /flagz or /configz\n");
}

/* ---- life ---- */

static int open_one(struct endpoint *e, struct err *reterr)
{
    static const struct http_server_config c = {.connections_max = 64};
    return http_server_new(e->owner->loop, &e->ip, e->port, &c, e->ops, e->owner, &e->server,
                           reterr);
}

static void on_retry(void *user)
{
    struct endpoint *e = user;
    struct err err = {0};
    if (open_one(e, &err) < 0)
        loop_timer_start(e->retry, RETRY_MS);
    else
        log_info("listening", kv_s("address", e->address));
}

/* As kube-proxy: a port that is taken is tried again, or (hard fail) ends the program. */
static int serve(struct status_server *s, struct endpoint *e, const char *address,
                 const struct http_server_ops *ops, bool hard_fail, struct err *reterr)
{
    struct err err = {0};
    e->owner = s;
    e->ops = ops;
    e->address = address;
    if (str_empty(address))
        return 0;
    if (ip_port_parse(str_from(address), &e->ip, &e->port) < 0)
        return err_set(reterr, -EINVAL, NULL, "\"%s\" is not IP:PORT", address);
    int r = open_one(e, &err);
    if (r < 0 && hard_fail)
        return err_set(reterr, r, NULL, "%s: %s", address, err_text(&err));
    if (r < 0) {
        log_warn("not listening yet", kv_s("address", address), kv_s("cause", err_text(&err)));
        e->retry = loop_timer_new(s->loop, on_retry, e);
        loop_timer_start(e->retry, RETRY_MS);
    }
    return 0;
}

int status_server_new(struct loop *l, const struct status_options *o, struct status_server **ret,
                      struct err *reterr)
{
    static const struct http_server_ops health_ops = {on_healthz, NULL};
    static const struct http_server_ops metrics_ops = {on_metrics, NULL};
    struct status_server *s = NEW(struct status_server);
    s->loop = l;
    s->agent = o->agent;
    s->options = *o;
    s->started_us = time_mono_us();
    s->started_real_us = time_real_us();
    int r = serve(s, &s->healthz, o->healthz_address, &health_ops, o->hard_fail, reterr);
    if (r == 0)
        r = serve(s, &s->probe, o->probe_address, &health_ops, o->hard_fail, reterr);
    if (r == 0)
        r = serve(s, &s->metrics, o->metrics_address, &metrics_ops, o->hard_fail, reterr);
    if (r < 0) {
        status_server_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

static void endpoint_done(struct endpoint *e)
{
    loop_timer_free(e->retry);
    if (e->server)
        http_server_free(e->server);
}

void status_server_free(struct status_server *s)
{
    if (!s)
        return;
    endpoint_done(&s->healthz);
    endpoint_done(&s->metrics);
    endpoint_done(&s->probe);
    free(s);
}

uint16_t status_server_healthz_port(const struct status_server *s)
{
    return s->healthz.server ? http_server_port(s->healthz.server) : 0;
}

uint16_t status_server_probe_port(const struct status_server *s)
{
    return s->probe.server ? http_server_port(s->probe.server) : 0;
}

uint16_t status_server_metrics_port(const struct status_server *s)
{
    return s->metrics.server ? http_server_port(s->metrics.server) : 0;
}
