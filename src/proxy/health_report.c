/* A question at a time, a timer between two. Times and thresholds are those of Istio's agent. */
#include "proxy/health_report.h"

#include <errno.h>

#include "codec/json.h"
#include "net/http_client.h"

enum {
    BYTES_MAX = 256 * 1024,
    PERIOD_S = 10,
    TIMEOUT_S = 1,
    UP = 1,
    DOWN = 3,
    SECONDS_MAX = 3600,
    MORE_MS = 1000, /* beyond the app's own time: our port answers by then */
    MESSAGE_MAX = 200,
};

/* ---- what is asked for ---- */

static int read_number(const json_t *probe, const char *name, int64_t least, int64_t usual,
                       int64_t *ret, struct err *reterr)
{
    int64_t n = json_at_int(probe, name, 0);
    *ret = n ? n : usual;
    if (*ret < least || *ret > SECONDS_MAX)
        return err_set(reterr, -EINVAL, name, "is not between %d and %d", (int)least, SECONDS_MAX);
    return 0;
}

int health_settings_parse(struct str json, struct health_settings *ret, char **ret_probers,
                          struct err *reterr)
{
    AUTO_JSON json_t *j = NULL;
    AUTO_DONE(buf) struct buf text = {0};
    int64_t delay, period, timeout, up, down;
    *ret_probers = NULL;
    int r = json_parse(json, BYTES_MAX, NULL, &j, reterr);
    json_t *probe = r == 0 ? json_object_get(j, "readinessProbe") : NULL;
    if (r < 0 || !probe || json_is_null(probe))
        return r < 0 ? -EINVAL : 0;
    if (json_object_get(probe, "exec"))
        return err_set(reterr, -EINVAL, "readinessProbe.exec",
                       "is not offered: give httpGet, tcpSocket or grpc");
    if (read_number(probe, "initialDelaySeconds", 0, 0, &delay, reterr) < 0 ||
        read_number(probe, "periodSeconds", 1, PERIOD_S, &period, reterr) < 0 ||
        read_number(probe, "timeoutSeconds", 1, TIMEOUT_S, &timeout, reterr) < 0 ||
        read_number(probe, "successThreshold", 1, UP, &up, reterr) < 0 ||
        read_number(probe, "failureThreshold", 1, DOWN, &down, reterr) < 0)
        return -EINVAL;
    AUTO_JSON json_t *table = json_pack("{s:O}", HEALTH_REPORT_PATH, probe);
    json_write(&text, table);
    if (text.failed)
        return err_set(reterr, -EINVAL, "readinessProbe", "cannot be written");
    *ret = (struct health_settings){.delay_ms = (uint64_t)delay * 1000,
                                    .period_ms = (uint64_t)period * 1000,
                                    .timeout_ms = (uint64_t)timeout * 1000,
                                    .up = (unsigned)up,
                                    .down = (unsigned)down};
    *ret_probers = buf_take_cstr(&text);
    return 0;
}

/* ---- asking ---- */

struct health_report {
    struct health_settings settings;
    struct http_client *client;
    struct http_call *call;
    struct loop_timer *timer;
    unsigned in_turn; /* answers that are not what has been told */
    bool told, healthy;
    void (*on_change)(bool healthy, const char *message, void *user);
    void *user;
};

static void hear(struct health_report *h, bool healthy, const char *why)
{
    if (h->told && h->healthy == healthy) {
        h->in_turn = 0;
        return;
    }
    if (!h->told && h->healthy != healthy) { /* of one that has said nothing yet, too */
        h->healthy = healthy;
        h->in_turn = 0;
    }
    if (++h->in_turn < (healthy ? h->settings.up : h->settings.down))
        return;
    h->told = true;
    h->healthy = healthy;
    h->in_turn = 0;
    h->on_change(healthy, why, h->user);
}

static void on_done(struct http_call *call, int code, const char *text, void *user)
{
    struct health_report *h = user;
    int status = code < 0 ? 0 : http_call_status(call);
    struct str body = code < 0 ? str_from(text) : http_call_body(call);
    while (body.n && (body.p[body.n - 1] == '\n' || body.p[body.n - 1] == '\r'))
        body.n--;
    AUTO_CHARS char *why = body.n ? str_dup(str_sub(body, 0, MIN(body.n, (size_t)MESSAGE_MAX)))
                                  : xasprintf("HTTP status %d", status);
    h->call = NULL;
    loop_timer_start(h->timer, h->settings.period_ms);
    hear(h, status >= 200 && status < 400, why);
}

static void on_time(void *user)
{
    static const struct http_call_ops ops = {.on_done = on_done};
    struct health_report *h = user;
    const struct http_request r = {.method = "GET",
                                   .target = HEALTH_REPORT_PATH,
                                   .timeout_ms = h->settings.timeout_ms + MORE_MS,
                                   .body_bytes_max = 4096};
    h->call = http_call_start(h->client, &r, &ops, h);
}

struct health_report *
health_report_new(struct loop *l, const struct health_settings *s, uint16_t port,
                  void (*on_change)(bool healthy, const char *message, void *user), void *user)
{
    struct health_report *h = NEW(struct health_report);
    struct http_client_config config = {
        .port = port, .host = "127.0.0.1", .user_agent = "fairlead"};
    IGNORE_RESULT(ip_parse(STR("127.0.0.1"), &config.ip));
    h->settings = *s;
    h->on_change = on_change;
    h->user = user;
    h->client = http_client_new(l, &config);
    h->timer = loop_timer_new(l, on_time, h);
    loop_timer_start(h->timer, s->delay_ms);
    return h;
}

void health_report_free(struct health_report *h)
{
    if (!h)
        return;
    if (h->call)
        http_call_cancel(h->call);
    loop_timer_free(h->timer);
    http_client_free(h->client);
    free(h);
}
