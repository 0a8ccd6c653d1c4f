/* Traces of requests. */
#include "proxy/trace.h"

#include "base/rand.h"
#include "base/time.h"
#include "codec/json.h"
#include "proxy/otlp.h"
#include "proxy/trace_context.h"
#include "proxy/trace_export.h"

struct request_trace {
    struct trace_context own, parent;
    int64_t begin_us;      /* Unix */
    struct str host, path; /* as they came */
};

/* ---- the beginning ---- */

static bool read_parent(const struct trace_config *t, const struct http_head *h,
                        struct trace_context *ret)
{
    if (t->b3 && trace_read_b3_fields(h, ret))
        return true;
    return t->w3c &&
           trace_read_w3c(http_field_value(http_head_find(h, HTTP_NAME_TRACEPARENT)), ret);
}

/* What of interest a request carries, in one walk: most carry nothing. */
enum { CARRIES_CONTEXT = 1, CARRIES_CLIENT_ID = 2 };

static unsigned carries(const struct http_head *h)
{
    unsigned found = 0;
    for (uint16_t i = 0; i < h->n; i++) {
        enum http_name id = h->fields[i].id;
        if (id == HTTP_NAME_TRACEPARENT || id == HTTP_NAME_B3 || id == HTTP_NAME_X_B3_TRACEID ||
            id == HTTP_NAME_X_B3_SPANID || id == HTTP_NAME_X_B3_SAMPLED ||
            id == HTTP_NAME_X_B3_FLAGS)
            found |= CARRIES_CONTEXT;
        else if (id == HTTP_NAME_X_CLIENT_TRACE_ID)
            found |= CARRIES_CLIENT_ID;
    }
    return found;
}

/* Where nobody before us has. Two halves of one draw decide: fractions are of a million at most. */
static bool decide(struct request *r, const struct trace_config *t, bool has_client_id,
                   uint64_t luck)
{
    uint64_t first = luck >> 32, second = luck & UINT32_MAX;
    bool asked = has_client_id && fraction_hits(t->client, first, true);
    bool drawn = !asked && fraction_hits(t->random, first, true);
    bool yes = (asked || drawn) && fraction_hits(t->overall, second, true);
    stats_inc(r->stats, !yes    ? HTTP_STAT_TRACE_NOT
                        : asked ? HTTP_STAT_TRACE_CLIENT
                                : HTTP_STAT_TRACE_RANDOM);
    return yes;
}

struct request_trace *trace_begin(struct request *r)
{
    const struct trace_config *t = r->http->trace;
    const struct http_head *h = http_stream_head(r->down);
    struct request_trace *x = arena_alloc(http_stream_arena(r->down), sizeof(*x));
    uint64_t bits[4];
    if (!x)
        return NULL;
    x->host = h->authority.p ? h->authority : http_field_value(http_head_find(h, HTTP_NAME_HOST));
    x->path = h->path;
    unsigned found = carries(h);
    bool has_parent = found & CARRIES_CONTEXT && read_parent(t, h, &x->parent);
    rand_bytes(bits, sizeof(bits));
    for (size_t i = 0; i < 3; i++)
        bits[i] |= 1; /* no id is all zeros */
    if (has_parent && x->parent.has_ids)
        memcpy(x->own.trace_id, x->parent.trace_id, sizeof(x->own.trace_id));
    else
        memcpy(x->own.trace_id + (t->wide ? 0 : 8), bits, t->wide ? 16 : 8);
    memcpy(x->own.span_id, &bits[2], sizeof(x->own.span_id));
    x->own.has_ids = true;
    x->own.sampled = x->parent.sampled;
    if (x->own.sampled == TRACE_SAMPLED_UNKNOWN)
        x->own.sampled =
            decide(r, t, found & CARRIES_CLIENT_ID, bits[3]) ? TRACE_SAMPLED_YES : TRACE_SAMPLED_NO;
    r->traced = x->own.sampled == TRACE_SAMPLED_YES;
    if (r->traced)
        x->begin_us = time_real_us();
    return x;
}

/* ---- to the endpoint ---- */

/* What carried a context until here, if we carry that kind. */
static bool is_replaced(const struct trace_config *t, enum http_name id)
{
    if (id == HTTP_NAME_TRACEPARENT)
        return t->w3c;
    return t->b3 && (id == HTTP_NAME_X_B3_TRACEID || id == HTTP_NAME_X_B3_SPANID ||
                     id == HTTP_NAME_X_B3_PARENTSPANID || id == HTTP_NAME_X_B3_SAMPLED ||
                     id == HTTP_NAME_B3);
}

/* No room: the trace breaks off here. */
static void add(struct http_head *h, enum http_name id, const char *text, size_t n)
{
    IGNORE_RESULT(http_head_add(h, id, str_of(text, n)));
}

/* Both kinds say the same ids: B3's are parts of W3C's text. */
void trace_inject(struct request *r, struct http_head *h)
{
    const struct trace_config *t = r->http->trace;
    const struct request_trace *x = r->trace;
    char *text = arena_alloc_raw(http_stream_arena(r->down), TRACE_PARENT_BYTES + TRACE_SPAN_HEX);
    for (uint16_t i = 0; i < h->n; i++)
        if (is_replaced(t, h->fields[i].id))
            h->fields[i].name_n = 0;
    if (!text)
        return;
    trace_write_w3c(&x->own, text);
    if (t->w3c)
        add(h, HTTP_NAME_TRACEPARENT, text, TRACE_PARENT_BYTES);
    if (!t->b3)
        return;
    size_t from = t->wide ? 0 : 8; /* a wide one that came goes on as it is */
    for (size_t i = 0; i < 8; i++)
        from = x->own.trace_id[i] ? 0 : from;
    add(h, HTTP_NAME_X_B3_TRACEID, text + TRACE_PARENT_TRACE + 2 * from, 2 * (16 - from));
    add(h, HTTP_NAME_X_B3_SPANID, text + TRACE_PARENT_SPAN, TRACE_SPAN_HEX);
    if (x->parent.has_ids) {
        trace_hex(x->parent.span_id, 8, text + TRACE_PARENT_BYTES);
        add(h, HTTP_NAME_X_B3_PARENTSPANID, text + TRACE_PARENT_BYTES, TRACE_SPAN_HEX);
    }
    add(h, HTTP_NAME_X_B3_SAMPLED, x->own.sampled == TRACE_SAMPLED_YES ? "1" : "0", 1);
}

/* ---- to the collector ---- */

struct telling {
    struct request *request;
    bool zipkin;
    struct buf tags;
};

static void tell(struct telling *w, const char *name, struct str value)
{
    if (!value.p)
        return;
    if (!w->zipkin) {
        otlp_attribute(&w->tags, str_from(name), value);
        return;
    }
    if (w->tags.n)
        buf_add_char(&w->tags, ',');
    json_write_string(&w->tags, str_from(name));
    buf_add_char(&w->tags, ':');
    json_write_string(&w->tags, value);
}

/* What an operator stands for. */
static void tell_value(struct telling *w, const char *name, enum format_op op)
{
    AUTO_DONE(buf) struct buf value = {0};
    const struct format_piece p = {.op = (uint8_t)op};
    if (request_value(&p, &value, w->request))
        tell(w, name, buf_str(&value));
}

static void tell_url(struct telling *w)
{
    AUTO_DONE(buf) struct buf url = {0};
    const struct request_trace *x = w->request->trace;
    bool tls = conn_tls(http_conn_conn(http_stream_conn(w->request->down)));
    size_t n = MIN(x->path.n, (size_t)w->request->http->trace->path_bytes);
    buf_addf(&url, "%s://" STR_FMT, tls ? "https" : "http", STR_ARG(x->host));
    buf_add_str(&url, str_sub(x->path, 0, n));
    tell(w, "http.url", buf_str(&url));
}

static void tell_all(struct telling *w)
{
    struct request *r = w->request;
    const struct trace_config *t = r->http->trace;
    struct http_head *h = http_stream_head(r->down);
    tell(w, "component", STR("proxy"));
    tell(w, "http.method", h->method);
    tell_url(w);
    tell_value(w, "http.protocol", FORMAT_PROTOCOL);
    tell_value(w, "http.status_code", FORMAT_RESPONSE_CODE);
    tell_value(w, "response_flags", FORMAT_RESPONSE_FLAGS);
    tell_value(w, "request_size", FORMAT_BYTES_RECEIVED);
    tell_value(w, "response_size", FORMAT_BYTES_SENT);
    tell_value(w, "upstream_cluster", FORMAT_UPSTREAM_CLUSTER);
    tell_value(w, "upstream_cluster.name", FORMAT_UPSTREAM_CLUSTER);
    tell_value(w, "upstream_address", FORMAT_UPSTREAM_HOST);
    tell_value(w, "peer.address", FORMAT_DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT);
    tell(w, "user_agent", http_field_value(http_head_find(h, HTTP_NAME_USER_AGENT)));
    tell(w, "guid:x-request-id", http_field_value(http_head_find(h, HTTP_NAME_X_REQUEST_ID)));
    if (!r->status || r->status >= 500)
        tell(w, "error", STR("true"));
    for (size_t i = 0; i < t->n_tags; i++) {
        struct str value = {NULL, 0};
        if (t->tags[i].header.text.p)
            value = http_field_value(head_find(h, t->tags[i].header));
        tell(w, t->tags[i].name.p, value.p ? value : t->tags[i].value);
    }
}

static void add_id(struct buf *b, const char *name, const uint8_t *p, size_t n)
{
    char text[TRACE_ID_HEX];
    trace_hex(p, n, text);
    buf_addf(b, "\"%s\":\"%.*s\",", name, (int)(2 * n), text);
}

static void write_zipkin(const struct telling *w, int64_t took_us, struct buf *to)
{
    const struct trace_config *t = w->request->http->trace;
    const struct request_trace *x = w->request->trace;
    size_t from = 8;
    for (size_t i = 0; i < 8; i++)
        from = x->own.trace_id[i] ? 0 : from;
    buf_add_char(to, '{');
    add_id(to, "traceId", x->own.trace_id + from, 16 - from);
    add_id(to, "id", x->own.span_id, 8);
    if (x->parent.has_ids)
        add_id(to, "parentId", x->parent.span_id, 8);
    buf_addf(to, "\"name\":\"%s\",\"kind\":\"%s\",\"timestamp\":%lld,\"duration\":%lld,",
             t->outbound ? "egress" : "ingress", t->outbound ? "CLIENT" : "SERVER",
             (long long)x->begin_us, (long long)MAX(took_us, (int64_t)1));
    buf_add_cstr(to, "\"localEndpoint\":{\"serviceName\":");
    json_write_string(to, str_from(t->collector->service));
    buf_add_cstr(to, "},\"tags\":{");
    buf_add_str(to, buf_str(&w->tags));
    buf_add_cstr(to, "}}");
}

static void write_otlp(const struct telling *w, int64_t took_us, struct buf *to)
{
    const struct trace_config *t = w->request->http->trace;
    const struct request_trace *x = w->request->trace;
    struct http_head *h = http_stream_head(w->request->down);
    const struct otlp_span span = {
        .trace_id = x->own.trace_id,
        .span_id = x->own.span_id,
        .parent_id = x->parent.has_ids ? x->parent.span_id : NULL,
        .name = t->outbound ? STR("egress") : STR("ingress"),
        .state = http_field_value(http_head_find(h, HTTP_NAME_TRACESTATE)),
        .kind = t->outbound ? OTLP_CLIENT : OTLP_SERVER,
        .begin_ns = (uint64_t)x->begin_us * 1000,
        .end_ns = (uint64_t)(x->begin_us + took_us) * 1000,
        .error = !w->request->status || w->request->status >= 500,
        .attributes = buf_str(&w->tags),
    };
    otlp_span(to, &span);
}

void trace_end(struct request *r)
{
    AUTO_DONE(buf) struct buf span = {.cap = 64 * 1024};
    struct telling w = {.request = r, .zipkin = r->http->trace->collector->zipkin};
    if (r->trace->own.sampled != TRACE_SAMPLED_YES)
        return;
    w.tags.cap = 64 * 1024;
    int64_t took_us = (int64_t)(time_mono_us() - r->begin_us);
    tell_all(&w);
    (w.zipkin ? write_zipkin : write_otlp)(&w, took_us, &span);
    struct stats_cell *stats = stats_of(stats_server(), worker_index(r->worker));
    if (span.failed || w.tags.failed)
        stats_inc(stats, SERVER_STAT_TRACE_DROPPED);
    else
        trace_export(r->http->trace->collector, buf_str(&span), stats);
    buf_done(&w.tags);
}
