/* Questions are written by the numbers of the .proto files, answers read by their descriptors. What
 * an answer asks for and is not done here makes the whole of no use: who relies on it would be let
 * in without. */
#include "proxy/authz_check.h"

#include <envoy/service/auth/v3/external_auth.pb-c.h>
#include <errno.h>
#include <stdio.h>

#include "codec/pb.h"
#include "codec/pb_msg.h"

typedef Envoy__Service__Auth__V3__CheckResponse pb_answer;
typedef Envoy__Config__Core__V3__HeaderValueOption pb_option;

/* ---- the question ---- */

enum {
    F_CHECK_ATTRIBUTES = 1,
    F_SOURCE = 1,
    F_DESTINATION = 2,
    F_REQUEST = 4,
    F_PEER_ADDRESS = 1,
    F_PEER_PRINCIPAL = 4,
    F_ADDRESS_SOCKET = 1,
    F_SOCKET_ADDRESS = 2,
    F_SOCKET_PORT = 3,
    F_REQUEST_TIME = 1,
    F_REQUEST_HTTP = 2,
    F_TIME_SECONDS = 1,
    F_TIME_NANOS = 2,
    F_HTTP_ID = 1,
    F_HTTP_METHOD = 2,
    F_HTTP_HEADERS = 3,
    F_HTTP_PATH = 4,
    F_HTTP_HOST = 5,
    F_HTTP_SCHEME = 6,
    F_HTTP_SIZE = 9,
    F_HTTP_PROTOCOL = 10,
    F_HTTP_BODY = 11,
    F_HTTP_RAW_BODY = 12,
    F_ENTRY_KEY = 1,
    F_ENTRY_VALUE = 2,
};

static void add_peer(struct buf *to, unsigned number, const struct authz_peer *p)
{
    char text[IP_TEXT_BYTES];
    size_t peer = pb_begin(to, number);
    if (p->ip.family) {
        size_t address = pb_begin(to, F_PEER_ADDRESS), socket = pb_begin(to, F_ADDRESS_SOCKET);
        pb_add_text(to, F_SOCKET_ADDRESS, ip_format(&p->ip, text));
        pb_add_uint(to, F_SOCKET_PORT, p->port);
        pb_end(to, socket);
        pb_end(to, address);
    }
    if (p->principal.n)
        pb_add_bytes(to, F_PEER_PRINCIPAL, p->principal);
    pb_end(to, peer);
}

static void add_text(struct buf *to, unsigned number, struct str text)
{
    if (text.n)
        pb_add_bytes(to, number, text);
}

static void add_field(struct buf *to, struct str name, struct str value)
{
    size_t entry = pb_begin(to, F_HTTP_HEADERS);
    pb_add_bytes(to, F_ENTRY_KEY, name);
    pb_add_bytes(to, F_ENTRY_VALUE, value);
    pb_end(to, entry);
}

static void add_http(struct buf *to, const struct authz_question *q)
{
    char id[24];
    size_t http = pb_begin(to, F_REQUEST_HTTP);
    snprintf(id, sizeof(id), "%llu", (unsigned long long)q->id);
    pb_add_text(to, F_HTTP_ID, id);
    add_text(to, F_HTTP_METHOD, q->method);
    for (size_t i = 0; i < q->n_fields; i++)
        add_field(to, q->fields[i].name, q->fields[i].value);
    if (q->body.p)
        add_field(to, STR("x-envoy-auth-partial-body"), STR("false"));
    add_text(to, F_HTTP_PATH, q->path);
    add_text(to, F_HTTP_HOST, q->host);
    add_text(to, F_HTTP_SCHEME, q->scheme);
    if (q->size)
        pb_add_uint(to, F_HTTP_SIZE, (uint64_t)q->size);
    add_text(to, F_HTTP_PROTOCOL, q->protocol);
    if (q->body.n)
        pb_add_bytes(to, q->raw ? F_HTTP_RAW_BODY : F_HTTP_BODY, q->body);
    pb_end(to, http);
}

void authz_question_encode(const struct authz_question *q, struct buf *to)
{
    size_t attributes = pb_begin(to, F_CHECK_ATTRIBUTES), request, time;
    add_peer(to, F_SOURCE, &q->source);
    add_peer(to, F_DESTINATION, &q->destination);
    request = pb_begin(to, F_REQUEST);
    time = pb_begin(to, F_REQUEST_TIME);
    pb_add_uint(to, F_TIME_SECONDS, (uint64_t)(q->now_us / 1000000));
    pb_add_uint(to, F_TIME_NANOS, (uint64_t)(q->now_us % 1000000 * 1000));
    pb_end(to, time);
    add_http(to, q);
    pb_end(to, request);
    pb_end(to, attributes);
}

/* ---- the answer ---- */

/* A field as it may stand in a message. */
static bool read_field(const pb_option *m, struct http_header *ret)
{
    const Envoy__Config__Core__V3__HeaderValue *h = m->header;
    if (!h)
        return false;
    ret->name = str_from(h->key);
    ret->value =
        h->raw_value.len ? str_of(h->raw_value.data, h->raw_value.len) : str_from(h->value);
    return http_is_token(ret->name) && http_is_value(ret->value);
}

/* Of the request (and of a refusal): set, or put behind what is there. */
static bool way_of_request(const pb_option *m, enum authz_way *ret)
{
    *ret = m->append && m->append->value ? AUTHZ_APPEND_TO : AUTHZ_SET;
    return true;
}

static bool way_of_answer(const pb_option *m, enum authz_way *ret)
{
    static const enum authz_way ways[] = {AUTHZ_APPEND, AUTHZ_ADD_IF_ABSENT, AUTHZ_SET,
                                          AUTHZ_SET_IF_PRESENT};
    if (m->append) {
        *ret = m->append->value ? AUTHZ_APPEND : AUTHZ_SET;
        return true;
    }
    if ((unsigned)m->append_action >= ARRAY_LEN(ways))
        return false;
    *ret = ways[m->append_action];
    return true;
}

static int read_fields(pb_option *const *m, size_t n,
                       bool (*way)(const pb_option *, enum authz_way *), struct arena *a,
                       struct authz_change **ret, size_t *ret_n)
{
    if (n > AUTHZ_FIELDS_MAX)
        return -EBADMSG;
    struct authz_change *v = arena_alloc(a, (n + 1) * sizeof(*v));
    if (!v)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (!read_field(m[i], &v[i].field) || !way(m[i], &v[i].way))
            return -EBADMSG;
    *ret = v;
    *ret_n = n;
    return 0;
}

static int read_refusal(const pb_answer *m, struct arena *a, struct authz_answer *ret)
{
    enum { FORBIDDEN = 403 };
    ret->status = FORBIDDEN;
    if (m->http_response_case !=
        ENVOY__SERVICE__AUTH__V3__CHECK_RESPONSE__HTTP_RESPONSE_DENIED_RESPONSE)
        return 0;
    const Envoy__Service__Auth__V3__DeniedHttpResponse *d = m->denied_response;
    if (d->status && d->status->code) {
        if ((int)d->status->code < 200 || (int)d->status->code > 599)
            return -EBADMSG;
        ret->status = (uint16_t)d->status->code;
    }
    ret->body = str_from(d->body);
    return read_fields(d->headers, d->n_headers, way_of_request, a, &ret->fields, &ret->n_fields);
}

static int read_removed(const Envoy__Service__Auth__V3__OkHttpResponse *m, struct arena *a,
                        struct authz_answer *ret)
{
    if (m->n_headers_to_remove > AUTHZ_FIELDS_MAX)
        return -EBADMSG;
    ret->removed = arena_alloc(a, (m->n_headers_to_remove + 1) * sizeof(*ret->removed));
    if (!ret->removed)
        return -ENOMEM;
    for (size_t i = 0; i < m->n_headers_to_remove; i++) {
        struct str name = str_from(m->headers_to_remove[i]);
        if (http_is_token(name) && !str_eq_nocase(name, STR("host"))) /* it stays, as in Envoy */
            ret->removed[ret->n_removed++] = name;
    }
    return 0;
}

static int read_consent(const pb_answer *m, struct arena *a, struct authz_answer *ret)
{
    ret->allows = true;
    if (m->http_response_case !=
        ENVOY__SERVICE__AUTH__V3__CHECK_RESPONSE__HTTP_RESPONSE_OK_RESPONSE)
        return 0;
    const Envoy__Service__Auth__V3__OkHttpResponse *k = m->ok_response;
    if (k->n_query_parameters_to_set || k->n_query_parameters_to_remove)
        return -EBADMSG;
    int r = read_fields(k->headers, k->n_headers, way_of_request, a, &ret->fields, &ret->n_fields);
    if (r == 0)
        r = read_removed(k, a, ret);
    return r < 0 ? r
                 : read_fields(k->response_headers_to_add, k->n_response_headers_to_add,
                               way_of_answer, a, &ret->answer, &ret->n_answer);
}

int authz_answer_decode(struct str message, struct arena *a, struct authz_answer *ret)
{
    ProtobufCMessage *unpacked;
    struct authz_answer answer = {0};
    if (pb_unpack(&envoy__service__auth__v3__check_response__descriptor, message, a, &unpacked,
                  NULL) < 0)
        return -EBADMSG;
    const pb_answer *m = (const void *)unpacked;
    bool allows = !m->status || m->status->code == 0;
    int r = allows ? read_consent(m, a, &answer) : read_refusal(m, a, &answer);
    if (r == 0)
        *ret = answer;
    return r;
}
