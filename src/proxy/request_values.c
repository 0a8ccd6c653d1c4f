/* What can be told of a request: the values of operators, for added fields and for logs. */
#include <unistd.h>

#include "base/time.h"
#include "codec/grpc.h"
#include "proxy/conn_values.h"
#include "proxy/format_time.h"
#include "proxy/request_priv.h"

enum { HOST_NAME_BYTES = 65 };

static struct str field_value(struct http_head *head, struct header_name name)
{
    if (name.text.n && name.text.p[0] == ':')
        return pseudo_value(name.text, head);
    return http_field_value(head_find(head, name));
}

static struct str request_field(struct request *r, const struct format_piece *p)
{
    struct str none = {NULL, 0};
    if (!r->down)
        return none;
    struct http_head *head = http_stream_head(r->down);
    struct str value = field_value(head, (struct header_name){p->id, p->text});
    if (!value.p && p->other.p)
        value = field_value(head, (struct header_name){p->other_id, p->other});
    return value;
}

static struct str answer_field(const struct request *r, const struct format_piece *p)
{
    for (size_t i = 0; i < r->n_answer_values; i++)
        if (str_eq(r->answer_values[i].name, p->text) ||
            (p->other.p && str_eq(r->answer_values[i].name, p->other)))
            return r->answer_values[i].value;
    return (struct str){NULL, 0};
}

static bool add(struct buf *to, struct str s)
{
    if (s.p)
        buf_add_str(to, s);
    return s.p != NULL;
}

static bool add_number(struct buf *to, uint64_t n)
{
    char digits[24];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    buf_add(to, digits + at, sizeof(digits) - at);
    return true;
}

static bool add_flags(struct buf *to, const struct request *r, const struct reason_row *reason)
{
    bool exhausted = r->retry && r->retry->exhausted;
    if (r->delayed)
        buf_add_cstr(to, exhausted ? "DI,URX" : "DI");
    else if (exhausted)
        buf_add_cstr(to, "URX");
    else
        return add(to, reason->flag);
    if (str_is(reason->flag, "-"))
        return true;
    buf_add_char(to, ',');
    return add(to, reason->flag);
}

static bool add_address(struct buf *to, const struct ip *ip, uint16_t port)
{
    char text[IP_TEXT_BYTES];
    buf_addf(to, ip->family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip_format(ip, text), port);
    return true;
}

static bool add_grpc(struct buf *to, const struct request *r, bool word)
{
    static const char *const words[] = {
        "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
        "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
        "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
        "DataLoss", "Unauthenticated"};
    if (!r->grpc && !r->status)
        return false;
    unsigned code = r->grpc ? r->grpc - 1u : (unsigned)grpc_code_of_http(r->status);
    if (word && code < ARRAY_LEN(words))
        buf_add_cstr(to, words[code]);
    else
        add_number(to, code);
    return true;
}

static const char *host_name(void)
{
    static _Thread_local char name[HOST_NAME_BYTES];
    if (!*name && gethostname(name, sizeof(name) - 1) < 0)
        return "-";
    return name;
}

static struct str protocol(struct http_stream *s)
{
    if (http_conn_version(http_stream_conn(s)) == 2)
        return STR("HTTP/2");
    return http_stream_head(s)->minor ? STR("HTTP/1.1") : STR("HTTP/1.0");
}

/* The client, who may stand behind proxies. */
static bool add_client(struct buf *to, struct request *r, enum format_op op)
{
    struct ip ip;
    uint16_t port;
    char text[IP_TEXT_BYTES];
    if (!r->down || http_edits_client(&r->http->edits, http_stream_head(r->down),
                                      http_conn_conn(http_stream_conn(r->down)), &ip, &port) < 0)
        return false;
    ip = ip_unmapped(&ip);
    bool both = op == FORMAT_DOWNSTREAM_REMOTE_ADDRESS, v6 = both && ip.family == AF_INET6;
    if (op == FORMAT_DOWNSTREAM_REMOTE_PORT)
        return add_number(to, port);
    buf_addf(to, "%s%s%s", v6 ? "[" : "", ip_format(&ip, text), v6 ? "]" : "");
    if (both)
        buf_addf(to, ":%u", port);
    return true;
}

bool request_value(const struct format_piece *p, struct buf *to, void *user)
{
    struct request *r = user;
    const struct reason_row *reason = reason_row((enum reason)r->reason);
    switch ((int)p->op) {
    case FORMAT_REQ:
        return add(to, request_field(r, p));
    case FORMAT_RESP:
        return add(to, answer_field(r, p));
    case FORMAT_START_TIME:
        format_time(p, r->begin_real_us ? r->begin_real_us : time_real_us(), to);
        return true;
    case FORMAT_DURATION:
        return add_number(to, (time_mono_us() - r->begin_us) / 1000);
    case FORMAT_PROTOCOL:
        return r->down && add(to, protocol(r->down));
    case FORMAT_RESPONSE_CODE:
        return add_number(to, r->status);
    case FORMAT_RESPONSE_CODE_DETAILS:
        return add(to, r->details.p ? r->details : reason->details);
    case FORMAT_RESPONSE_FLAGS:
        return add_flags(to, r, reason);
    case FORMAT_BYTES_RECEIVED:
        return add_number(to, r->received_bytes);
    case FORMAT_BYTES_SENT:
        return add_number(to, r->sent_bytes);
    case FORMAT_UPSTREAM_HOST:
    case FORMAT_UPSTREAM_REMOTE_ADDRESS:
        return add(to, r->upstream_host);
    case FORMAT_UPSTREAM_LOCAL_ADDRESS:
        return r->up_port && add_address(to, &r->up_ip, r->up_port);
    case FORMAT_UPSTREAM_TRANSPORT_FAILURE_REASON:
        return add(to, r->up_failure);
    case FORMAT_UPSTREAM_REQUEST_ATTEMPT_COUNT:
        return add_number(to, r->upstream_host.p ? (r->retry ? r->retry->n_retries : 0) + 1 : 0);
    case FORMAT_GRPC_STATUS:
    case FORMAT_GRPC_STATUS_NUMBER:
        return add_grpc(to, r, p->op == FORMAT_GRPC_STATUS);
    case FORMAT_CONNECTION_TERMINATION_DETAILS:
        return false; /* only network filters have some */
    case FORMAT_TRACE_SAMPLED:
        return r->traced && add(to, STR("1"));
    case FORMAT_HOSTNAME:
        return add(to, str_from(host_name()));
    case FORMAT_UPSTREAM_CLUSTER_RAW:
    case FORMAT_UPSTREAM_CLUSTER:
        return r->cluster && r->cluster->name.n && add(to, r->cluster->name);
    case FORMAT_DOWNSTREAM_REMOTE_ADDRESS:
    case FORMAT_DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT:
    case FORMAT_DOWNSTREAM_REMOTE_PORT:
        return add_client(to, r, (enum format_op)p->op);
    case FORMAT_ROUTE_NAME:
        return r->route && r->route->name.n && add(to, r->route->name);
    default:
        return r->down && conn_value(p, to, http_conn_conn(http_stream_conn(r->down)));
    }
}

static void keep_field(struct request *r, struct http_head *h, struct str name, uint16_t id)
{
    const struct http_field *f = name.p ? head_find(h, (struct header_name){id, name}) : NULL;
    struct str value =
        f ? arena_str(http_stream_arena(r->down), http_field_value(f)) : (struct str){NULL, 0};
    if (value.p)
        r->answer_values[r->n_answer_values++] = (struct answer_value){name, value};
}

void request_keep_answer(struct request *r, const struct http_head *h)
{
    struct http_head head = *h;
    size_t wanted = 0;
    VEC_FOREACH (log, &r->http->logs)
        for (size_t i = 0; i < (*log)->format.n; i++)
            wanted += (*log)->format.pieces[i].op == FORMAT_RESP;
    if (r->http->logs.wants_grpc)
        request_keep_grpc(r, h);
    if (!wanted || r->answer_values)
        return;
    r->answer_values =
        arena_alloc(http_stream_arena(r->down), 2 * wanted * sizeof(*r->answer_values));
    if (!r->answer_values)
        return;
    VEC_FOREACH (log, &r->http->logs)
        for (size_t i = 0; i < (*log)->format.n; i++) {
            const struct format_piece *p = &(*log)->format.pieces[i];
            if (p->op != FORMAT_RESP)
                continue;
            keep_field(r, &head, p->text, p->id);
            keep_field(r, &head, p->other, p->other_id);
        }
}

void request_keep_grpc(struct request *r, const struct http_head *h)
{
    struct str text = http_field_value(http_head_find(h, HTTP_NAME_GRPC_STATUS));
    uint64_t code;
    if (text.p)
        r->grpc = str_to_u64(text, &code) == 0 && code <= GRPC_UNAUTHENTICATED ? (uint8_t)(code + 1)
                                                                               : GRPC_UNKNOWN + 1;
}

void request_log(struct request *r)
{
    if (r->unlogged)
        return;
    const struct http_head *head = r->down ? http_stream_head(r->down) : NULL;
    VEC_FOREACH (log, &r->http->logs)
        access_log_writer_add(worker_log_writer(r->worker, *log), request_value, r, head);
}
