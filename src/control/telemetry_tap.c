/* Who watches: an exchange that goes on, and the order that proxies of its pods were given. */
#include "base/log.h"
#include "base/time.h"
#include "codec/pb_msg.h"
#include "codec/url.h"
#include "control/telemetry_priv.h"

enum { QUEUED_MAX = 1 << 20, FIELDS_MAX = 16, RATE = 100, RATE_MAX = 1000 };

typedef Fairlead__Telemetry__V1__Order pb_order;
typedef Fairlead__Telemetry__V1__Request pb_request;

struct tap {
    struct list_node node;
    struct telemetry *telemetry;
    struct http_exchange *exchange;
    struct loop_timer *timer;
    uint64_t id;
    VEC(char *) pods; /* "NAMESPACE/NAME", or "NAMESPACE/" for all of it */
    VEC(char *) fields;
    char *method, *path, *peer;
    uint32_t status_from, status_to, rate;
};

/* ---- orders ---- */

static bool is_for(const struct tap *tap, const struct telemetry_stream *s)
{
    struct str pod = str_from(s->pod);
    VEC_FOREACH (p, &tap->pods)
        if (str_is(pod, *p) || (str_ends(str_from(*p), STR("/")) && str_starts(pod, str_from(*p))))
            return true;
    return false;
}

static void send_order(const struct tap *tap, struct telemetry_stream *s, bool ends)
{
    AUTO_DONE(buf) struct buf b = {0};
    pb_order m;
    fairlead__telemetry__v1__order__init(&m);
    m.id = tap->id;
    m.end = ends;
    if (!ends) {
        m.method = tap->method;
        m.path_prefix = tap->path;
        m.peer = (ProtobufCBinaryData){strlen(tap->peer), (uint8_t *)tap->peer};
        m.status_from = tap->status_from;
        m.status_to = tap->status_to;
        m.fields = tap->fields.v;
        m.n_fields = tap->fields.n;
        m.requests_per_second = tap->rate;
        m.seconds = TELEMETRY_TAP_SECONDS;
    }
    if (pb_pack(&m.base, &b) == 0)
        grpc_server_call_send(s->call, buf_str(&b));
}

static size_t send_all(const struct tap *tap, bool ends)
{
    size_t n = 0;
    LIST_FOREACH (node, &tap->telemetry->streams) {
        struct telemetry_stream *s = CONTAINER_OF(node, struct telemetry_stream, node);
        if (!s->pod || !is_for(tap, s))
            continue;
        send_order(tap, s, ends);
        n++;
    }
    return n;
}

void telemetry_tap_join(struct telemetry_stream *s)
{
    LIST_FOREACH (node, &s->telemetry->taps) {
        const struct tap *tap = CONTAINER_OF(node, struct tap, node);
        if (is_for(tap, s))
            send_order(tap, s, false);
    }
}

/* ---- what is seen ---- */

static void write_line(struct tap *tap, json_t *j)
{
    AUTO_DONE(buf) struct buf line = {0};
    json_write(&line, j);
    buf_add_char(&line, '\n');
    json_decref(j);
    if (!line.failed && http_exchange_queued(tap->exchange) < QUEUED_MAX)
        http_exchange_write(tap->exchange, buf_str(&line));
}

static json_t *text_of(ProtobufCBinaryData b)
{
    return json_text(str_of(b.data, b.len));
}

static json_t *line_of(const struct telemetry_stream *s, const pb_request *m)
{
    const struct traffic_reporter who = {s->workload, s->ns};
    json_t *fields = json_object();
    for (size_t i = 0; i < m->n_fields; i++) {
        AUTO_JSON json_t *name = text_of(m->fields[i]->name);
        json_object_set_new(fields, json_string_value(name), text_of(m->fields[i]->value));
    }
    return json_pack(
        "{s:I,s:s,s:s,s:o,s:o,s:o,s:o,s:s,s:o,s:o,s:o,s:i,s:o,s:f,s:o,s:o}", "beginMicroseconds",
        (json_int_t)m->begin_us, "proxy", s->pod, "direction",
        m->pair->source ? "outbound" : "inbound", "source", traffic_side_json(&who, m->pair, true),
        "destination", traffic_side_json(&who, m->pair, false), "service",
        traffic_service_json(m->pair), "protocol", text_of(m->pair->protocol), "security",
        traffic_security_word(m->pair->security), "method", text_of(m->method), "path",
        text_of(m->path), "authority", text_of(m->authority), "status", (int)m->status, "flags",
        text_of(m->flags), "milliseconds", (double)m->microseconds / 1000, "endpoint",
        text_of(m->endpoint), "headers", fields);
}

/* Of a proxy that was asked for that. */
void telemetry_tap_request(struct telemetry_stream *s, const pb_request *m)
{
    LIST_FOREACH (node, &s->telemetry->taps) {
        struct tap *tap = CONTAINER_OF(node, struct tap, node);
        if (tap->id == m->order && m->pair && is_for(tap, s)) {
            write_line(tap, line_of(s, m));
            return;
        }
    }
}

void telemetry_tap_dropped(struct telemetry_stream *s, uint64_t n)
{
    LIST_FOREACH (node, &s->telemetry->taps) {
        struct tap *tap = CONTAINER_OF(node, struct tap, node);
        if (is_for(tap, s))
            write_line(tap, json_pack("{s:s,s:I}", "proxy", s->pod, "dropped", (json_int_t)n));
    }
}

/* ---- who watches ---- */

static void tap_free(struct tap *tap)
{
    if (list_is_linked(&tap->node)) {
        send_all(tap, true);
        list_remove(&tap->node);
        tap->telemetry->stats.taps--;
    }
    VEC_FOREACH (p, &tap->pods)
        free(*p);
    VEC_FOREACH (f, &tap->fields)
        free(*f);
    vec_done(&tap->pods);
    vec_done(&tap->fields);
    loop_timer_free(tap->timer);
    free(tap->method);
    free(tap->path);
    free(tap->peer);
    free(tap);
}

/* "503", "5xx" */
static bool read_status(const char *text, struct tap *to)
{
    uint64_t n;
    if (strlen(text) == 3 && *text >= '1' && *text <= '5' && streq(text + 1, "xx")) {
        to->status_from = (uint32_t)(*text - '0') * 100;
        to->status_to = to->status_from + 99;
        return true;
    }
    if (str_to_u64(str_from(text), &n) < 0 || n < 100 || n > 599)
        return false;
    to->status_from = to->status_to = (uint32_t)n;
    return true;
}

static char *param(struct str query, const char *name)
{
    char *value = url_param(query, name);
    return value && json_is_utf8(str_from(value)) ? value : xstrdup("");
}

/* NULL: all is read; else what is wrong. */
static const char *read_query(struct str query, struct tap *to)
{
    struct str rest = query, name, value;
    AUTO_CHARS char *status = param(query, "status");
    AUTO_CHARS char *rate = param(query, "max-rps");
    uint64_t n = RATE;
    to->method = param(query, "method");
    to->path = param(query, "path");
    to->peer = param(query, "peer");
    if (*status && !read_status(status, to))
        return "status: give 503, or 5xx";
    if (*rate && (str_to_u64(str_from(rate), &n) < 0 || !n || n > RATE_MAX))
        return "max-rps: 1 to 1000";
    to->rate = (uint32_t)n;
    while (url_param_next(&rest, &name, &value)) {
        AUTO_DONE(buf) struct buf text = {0};
        bool pod = str_is(name, "pod"), header = str_is(name, "header");
        if (!pod && !header)
            continue;
        if (url_decode(value, true, &text) < 0 || !json_is_utf8(buf_str(&text)) ||
            (pod && !str_contains(buf_str(&text), STR("/"))))
            return "pod: give NAMESPACE/NAME, or NAMESPACE/";
        if (pod ? to->pods.n >= TELEMETRY_PODS_MAX : to->fields.n >= FIELDS_MAX)
            return "too many of pod or header";
        if (pod)
            vec_push(&to->pods, buf_take_cstr(&text));
        else
            vec_push(&to->fields, buf_take_cstr(&text));
    }
    return to->pods.n ? NULL : "pod: name at least one, as NAMESPACE/NAME";
}

static void on_done(struct http_exchange *x, void *user)
{
    (void)x;
    tap_free(user);
}

static void on_late(void *user)
{
    struct tap *tap = user;
    http_exchange_finish(tap->exchange); /* on_done comes */
}

static void refuse(struct http_exchange *x, int status, const char *why)
{
    const struct http_header h = {STR("Content-Type"), STR("text/plain; charset=utf-8")};
    AUTO_CHARS char *text = xasprintf("%s\n", why);
    http_exchange_reply(x, status, &h, 1, str_from(text));
}

void telemetry_tap_answer(struct telemetry *t, struct http_exchange *x)
{
    const struct http_header h[] = {{STR("Content-Type"), STR("application/x-ndjson")},
                                    {STR("X-Content-Type-Options"), STR("nosniff")}};
    struct tap *tap = NEW(struct tap);
    const char *wrong = read_query(http_exchange_query(x), tap);
    tap->telemetry = t;
    if (wrong || t->stats.taps >= TELEMETRY_TAPS_MAX) {
        refuse(x, wrong ? 400 : 429, wrong ? wrong : "too many watch already");
        tap_free(tap);
        return;
    }
    /* Of other replicas, and of one that is over, a proxy may have some, too. */
    tap->id = (uint64_t)time_real_us() << 8 | (++t->last_tap & 255);
    tap->exchange = x;
    list_add_tail(&t->taps, &tap->node);
    t->stats.taps++;
    tap->timer = loop_timer_new(kube_client_loop(t->client), on_late, tap);
    loop_timer_start(tap->timer, TELEMETRY_TAP_SECONDS * 1000);
    http_exchange_start(x, 200, h, ARRAY_LEN(h));
    http_exchange_set_done(x, on_done, tap);
    http_exchange_end_with_client(x);
    log_info("somebody watches requests", kv_s("of", tap->pods.v[0]),
             kv_i("names", (int64_t)tap->pods.n));
    write_line(tap, json_pack("{s:I}", "proxies", (json_int_t)send_all(tap, false)));
}
