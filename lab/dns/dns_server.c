/* Answers are computed at once, so there is no state per query; beside the sockets the two HTTP
 * ports a probe asks. Until Services and EndpointSlices have been listed every answer is SERVFAIL:
 * "no such name" would be a lie that clients remember. */
#include "lab/dns/dns.h"
#include "net/dns_listener.h"
#include "net/http_server.h"

struct dns_server {
    struct loop *loop;
    struct dns_server_options options;
    struct dns_listener *dns;
    struct http_server *ready;
    struct http_server *health;
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

static void on_asked(struct dns_asked *q, struct str message, void *user)
{
    AUTO_DONE(buf) struct buf b = {0};
    answer(user, message, dns_asked_is_tcp(q), &b);
    dns_asked_answer(q, b.failed ? STR("") : buf_str(&b));
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
    int r = dns_listener_new(l, &any, o->port, on_asked, s, &s->dns, reterr);
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
    dns_listener_free(s->dns);
    if (s->ready)
        http_server_free(s->ready);
    if (s->health)
        http_server_free(s->health);
    free(s);
}
