#include "proxy/dns_capture.h"

#include "base/rand.h"
#include "net/dns_listener.h"
#include "proxy/dns_forward.h"
#include "proxy/stats.h"

struct dns_capture {
    const struct name_table *names;
    const struct resolv_conf *conf;
    struct dns_listener *listener, *listener_6; /* NULL: there is no IPv6 */
    struct dns_forward *forward;
};

/* ---- answers ---- */

/* The name without what the search list has put behind it; empty: there is nothing behind it. */
static struct str without_search(struct str name, const char *suffix)
{
    struct str s = str_from(suffix);
    return name.n > s.n + 1 && str_ends(name, s) && name.p[name.n - s.n - 1] == '.'
               ? str_sub(name, 0, name.n - s.n - 1)
               : STR("");
}

static const struct name_addresses *find(const struct name_table *names,
                                         const struct resolv_conf *conf, const char *asked,
                                         struct str *ret_name)
{
    const struct name_addresses *a = name_table_find(names, *ret_name = str_from(asked));
    for (size_t i = 0; !a && i < conf->n_search; i++) {
        *ret_name = without_search(str_from(asked), conf->search[i]);
        a = ret_name->n ? name_table_find(names, *ret_name) : NULL;
    }
    return a;
}

bool dns_capture_answer(const struct name_table *names, const struct resolv_conf *conf,
                        const struct dns_query *q, size_t limit, struct buf *ret)
{
    struct dns_reply r;
    struct str name;
    if (q->opcode != 0 || q->class_ != DNS_CLASS_IN || q->edns_version != 0 ||
        (q->type != DNS_A && q->type != DNS_AAAA))
        return false;
    const struct name_addresses *a = find(names, conf, q->name, &name);
    if (!a)
        return false;
    AUTO_CHARS char *text = str_dup(name);
    int family = q->type == DNS_A ? AF_INET : AF_INET6;
    size_t first = a->n ? rand_u64() % a->n : 0; /* who takes the first one takes another one */
    dns_reply_begin(&r, ret, q, limit);
    if (!streq(text, q->name))
        dns_reply_name(&r, DNS_ANSWER, q->name, DNS_CNAME, DNS_CAPTURE_TTL_S, text);
    for (size_t i = 0; i < a->n; i++) {
        const struct ip *ip = &a->ips[(first + i) % a->n];
        if (ip->family == family)
            dns_reply_ip(&r, DNS_ANSWER, text, DNS_CAPTURE_TTL_S, ip);
    }
    dns_reply_end(&r, DNS_NOERROR);
    return true;
}

/* ---- questions ---- */

static void count(enum server_stat stat)
{
    stats_inc(stats_main(stats_server()), stat);
}

struct waiting {
    struct dns_asked *asked;
    struct buf refusal; /* if nobody answers */
};

static void on_forwarded(struct str answer, void *user)
{
    struct waiting *w = user;
    if (!answer.n)
        count(SERVER_STAT_DNS_FAILED);
    dns_asked_answer(w->asked, answer.n ? answer : buf_str(&w->refusal));
    buf_done(&w->refusal);
    free(w);
}

static void forward(struct dns_capture *d, struct dns_asked *asked, struct str message)
{
    struct waiting *w = NEW(struct waiting);
    w->asked = asked;
    dns_refuse(message, DNS_SERVFAIL, &w->refusal);
    int r = dns_forward_ask(d->forward, message, dns_asked_is_tcp(asked), on_forwarded, w);
    count(SERVER_STAT_DNS_FORWARDED);
    if (r < 0)
        on_forwarded(STR(""), w);
}

static void on_asked(struct dns_asked *asked, struct str message, void *user)
{
    struct dns_capture *d = user;
    struct dns_query q;
    AUTO_DONE(buf) struct buf b = {0};
    bool parsed = dns_query_parse(message, &q) == 0;
    count(SERVER_STAT_DNS_REQUESTS);
    if (parsed && dns_capture_answer(d->names, d->conf, &q,
                                     dns_asked_is_tcp(asked) ? DNS_TCP_BYTES_MAX : q.udp_bytes, &b))
        dns_asked_answer(asked, buf_str(&b));
    else
        forward(d, asked, message);
}

int dns_capture_new(struct loop *l, const struct name_table *names, const struct resolv_conf *conf,
                    uint16_t port, uint16_t server_port, struct dns_capture **ret,
                    struct err *reterr)
{
    static const struct ip loopback = {AF_INET, {127, 0, 0, 1}};
    struct dns_capture *d = NEW(struct dns_capture);
    d->names = names;
    d->conf = conf;
    d->forward = dns_forward_new(l, conf, server_port);
    static const struct ip loopback_6 = {AF_INET6, {[15] = 1}};
    int r = dns_listener_new(l, &loopback, port, on_asked, d, &d->listener, reterr);
    if (r == 0) /* where name servers have such addresses, there is IPv6 */
        IGNORE_RESULT(dns_listener_new(l, &loopback_6, dns_listener_port(d->listener), on_asked, d,
                                       &d->listener_6, NULL));
    if (r < 0) {
        dns_capture_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

void dns_capture_free(struct dns_capture *d)
{
    if (!d)
        return;
    dns_forward_free(d->forward);
    dns_listener_free(d->listener);
    dns_listener_free(d->listener_6);
    free(d);
}

uint16_t dns_capture_port(const struct dns_capture *d)
{
    return dns_listener_port(d->listener);
}
