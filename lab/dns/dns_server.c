/* DNS over UDP and TCP, and the two HTTP ports a probe asks. One loop; answers are computed at
 * once, so there is no state per query. TCP (RFC 7766): messages with a length in front, any number
 * per connection; one that asks nothing for a while is closed, one that does not read its
 * answers is not read from, and the oldest makes room for one too many. Until Services and
 * EndpointSlices have been listed every answer is SERVFAIL: "no such name" would be a lie that
 * clients remember. */
#include "base/vec.h"
#include "lab/dns/dns.h"
#include "net/http_server.h"
#include "net/udp_server.h"

enum { DNS_STREAMS_MAX = 256, DNS_STREAM_IDLE_MS = 10 * 1000, DNS_STREAM_QUEUE_MAX = 256 * 1024 };

struct dns_server {
    struct loop *loop;
    struct dns_server_options options;
    struct udp_server *udp;
    struct listener *listener;
    struct http_server *ready;
    struct http_server *health;
    VEC(struct dns_stream *) streams;
};

static bool is_ready(const struct dns_server *s)
{
    return s->options.is_ready(s->options.user);
}

/* What is answered whatever the name is; DNS_NOERROR: the zone says. */
static enum dns_rcode refusal(const struct dns_server *s, const struct dns_query *q)
{
    if (q->opcode != 0)
        return DNS_NOTIMP;
    if (q->edns_version != 0)
        return DNS_BADVERS; /* RFC 6891 section 6.1.3 */
    if (q->class_ != DNS_CLASS_IN || q->type == DNS_AXFR || q->type == DNS_IXFR)
        return DNS_REFUSED;
    return is_ready(s) ? DNS_NOERROR : DNS_SERVFAIL;
}

static void answer(const struct dns_server *s, struct str bytes, bool tcp, struct buf *ret)
{
    struct dns_query q;
    struct dns_reply r;
    bool parsed = dns_query_parse(bytes, &q) == 0;
    enum dns_rcode refused = parsed ? refusal(s, &q) : DNS_FORMERR;
    if (!refused) {
        dns_zone_answer(s->options.zone, &q, tcp ? DNS_TCP_BYTES_MAX : q.udp_bytes, ret);
    } else if (parsed || (bytes.n >= 12 && !(bytes.p[2] & 0x80))) {
        dns_reply_begin(&r, ret, &q, DNS_UDP_BYTES);
        dns_reply_end(&r, refused);
    }
}

static void on_datagram(struct str datagram, struct buf *ret, void *user)
{
    answer(user, datagram, false, ret);
}

/* ---- TCP ---- */

struct dns_stream {
    struct dns_server *server;
    struct conn *conn;
    struct loop_timer *idle;
};

static void stream_free(struct dns_stream *t)
{
    struct dns_server *s = t->server;
    for (size_t i = 0; i < s->streams.n; i++)
        if (s->streams.v[i] == t) {
            vec_remove(&s->streams, i);
            break;
        }
    loop_timer_free(t->idle);
    free(t);
}

static void stream_data(struct conn *c, void *user)
{
    struct dns_stream *t = user;
    struct chain *in = conn_in(c);
    while (in->n >= 2 && conn_queued(c) <= DNS_STREAM_QUEUE_MAX) {
        uint8_t length[2];
        chain_copy(in, length, 2);
        size_t n = (size_t)(length[0] << 8 | length[1]);
        if (in->n < n + 2)
            break;
        struct str message = chain_linear(in, n + 2);
        AUTO_DONE(buf) struct buf b = {0};
        answer(t->server, str_sub(message, 2, n + 2), true, &b);
        if (b.n && !b.failed) {
            length[0] = (uint8_t)(b.n >> 8);
            length[1] = (uint8_t)b.n;
            conn_write(c, str_of(length, 2));
            conn_write(c, buf_str(&b));
        }
        chain_consume(in, n + 2);
        loop_timer_start(t->idle, DNS_STREAM_IDLE_MS);
    }
    if (conn_queued(c) > DNS_STREAM_QUEUE_MAX && in->n)
        conn_pause(c);
    else if (conn_eof(c))
        conn_close_after_flush(c);
}

static void stream_drain(struct conn *c, void *user)
{
    (void)user;
    conn_resume(c);
}

static void stream_close(struct conn *c, int code, const char *text, void *user)
{
    (void)c;
    (void)code;
    (void)text;
    stream_free(user);
}

static void on_idle(void *user)
{
    struct dns_stream *t = user;
    conn_free(t->conn);
    stream_free(t);
}

static void on_stream(int fd, void *user)
{
    static const struct conn_ops ops = {
        .on_data = stream_data, .on_drain = stream_drain, .on_close = stream_close};
    const struct conn_options o = {.in_bytes_max = 2 * DNS_TCP_BYTES_MAX};
    struct dns_server *s = user;
    if (s->streams.n >= DNS_STREAMS_MAX)
        on_idle(s->streams.v[0]);
    struct dns_stream *t = NEW(struct dns_stream);
    t->server = s;
    t->idle = loop_timer_new(s->loop, on_idle, t);
    t->conn = conn_new_accepted(s->loop, fd, &o, &ops, t);
    loop_timer_start(t->idle, DNS_STREAM_IDLE_MS);
    vec_push(&s->streams, t);
}

/* ---- readiness ---- */

static void on_request(struct http_exchange *x, void *user)
{
    bool asked_health = str_eq(http_exchange_path(x), STR("/health"));
    if (asked_health || is_ready(user))
        http_exchange_reply(x, 200, NULL, 0, STR("OK\n"));
    else
        http_exchange_reply(x, 503, NULL, 0, STR("waiting for the first list of services\n"));
}

int dns_server_new(struct loop *l, const struct dns_server_options *o, struct dns_server **ret,
                   struct err *reterr)
{
    static const struct http_server_ops ops = {.on_request = on_request};
    const struct http_server_config http = {.body_bytes_max = 1024};
    struct ip any = listener_any();
    struct dns_server *s = NEW(struct dns_server);
    s->loop = l;
    s->options = *o;
    int r = udp_server_new(l, &any, o->port, on_datagram, s, &s->udp, reterr);
    if (r == 0)
        r = listener_new(l, &any, o->port, NULL, on_stream, s, &s->listener, reterr);
    if (r == 0)
        r = http_server_new(l, &any, o->ready_port, &http, &ops, s, &s->ready, reterr);
    if (r == 0)
        r = http_server_new(l, &any, o->health_port, &http, &ops, s, &s->health, reterr);
    if (r < 0) {
        dns_server_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void dns_server_free(struct dns_server *s)
{
    if (!s)
        return;
    udp_server_free(s->udp);
    listener_free(s->listener);
    if (s->ready)
        http_server_free(s->ready);
    if (s->health)
        http_server_free(s->health);
    while (s->streams.n)
        on_idle(s->streams.v[0]);
    vec_done(&s->streams);
    free(s);
}
