/* The names of a cluster, straight from the model's join of Services and slices: nothing is
 * compiled, so nothing can be stale. PTR walks all services; that is fine for a lab and is the
 * limit of this design. */
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/rand.h"
#include "lab/dns/dns.h"

enum { DNS_TTL = 5, DNS_LABELS_MAX = 12, DNS_ALIASES_MAX = 8 };

struct answer {
    const struct dns_zone *zone;
    const struct dns_query *query;
    const char *name; /* owner of the records: the query's, or what that is an alias of */
    unsigned aliases; /* followed so far */
    struct dns_reply reply;
    bool exists; /* the name is there, whatever its types */
};

static bool wants(const struct answer *a, uint16_t type)
{
    return a->query->type == type || a->query->type == DNS_ANY;
}

static void add_ip(struct answer *a, const char *name, const struct ip *ip)
{
    if (wants(a, ip->family == AF_INET6 ? DNS_AAAA : DNS_A))
        dns_reply_ip(&a->reply, DNS_ANSWER, name, DNS_TTL, ip);
}

/* ---- endpoints ---- */

struct endpoint_ref {
    const struct slice_object *slice;
    struct ip ip;
    const char *hostname; /* NULL = none */
    char host[80];        /* its hostname, or its address with dashes */
};

static struct endpoint_ref endpoint_ref(const struct slice_object *slice, uint32_t i)
{
    struct endpoint_ref e = {
        .slice = slice, .ip = slice_object_ip(slice, i), .hostname = slice->names[i].hostname};
    char text[IP_TEXT_BYTES];
    snprintf(e.host, sizeof(e.host), "%s", e.hostname ? e.hostname : ip_format(&e.ip, text));
    if (!e.hostname)
        for (char *p = e.host; *p; p++)
            if (*p == '.' || *p == ':')
                *p = '-';
    return e;
}

typedef void endpoint_fn(const struct endpoint_ref *e, void *user);

/* Many clients take the first address they are told: the order is turned by chance, so that all
 * endpoints have their share. The endpoints are walked twice, [first, …) and then [0, first). */
struct walk {
    endpoint_fn *fn;
    void *user;
    size_t n;           /* seen */
    size_t from, until; /* told */
};

static size_t walk_service(const struct joined_service *s, struct walk w)
{
    VEC_FOREACH (slice, &s->slices)
        for (uint32_t i = 0; i < (*slice)->n_endpoints; i++) {
            if (!s->object->publish_not_ready && !(*slice)->endpoints[i].ready)
                continue;
            size_t at = w.n++;
            if (at < w.from || at >= w.until)
                continue;
            struct endpoint_ref e = endpoint_ref(*slice, i);
            w.fn(&e, w.user);
        }
    return w.n;
}

static void endpoints_each(const struct joined_service *s, endpoint_fn *fn, void *user)
{
    walk_service(s, (struct walk){fn, user, 0, 0, SIZE_MAX});
}

static void endpoints_by_chance(const struct joined_service *s, endpoint_fn *fn, void *user)
{
    size_t n = walk_service(s, (struct walk){.n = 0});
    size_t first = n ? rand_below(n) : 0;
    walk_service(s, (struct walk){fn, user, 0, first, n});
    if (first)
        walk_service(s, (struct walk){fn, user, 0, 0, first});
}

/* ---- addresses and SRV of a service ---- */

struct want {
    struct answer *answer;
    const char *name; /* owner of the records */
    const char *host; /* only this endpoint; NULL = all */
    const char *port; /* SRV: port and protocol, NULL = every port */
    const char *protocol;
    char base[DNS_NAME_BYTES]; /* SERVICE.NS.svc.DOMAIN */
};

static void endpoint_ip(const struct endpoint_ref *e, void *user)
{
    struct want *w = user;
    if (w->host && !streq(w->host, e->host))
        return;
    w->answer->exists = true;
    add_ip(w->answer, w->name, &e->ip);
}

static const char *protocol_name(uint8_t proto)
{
    return proto == IPPROTO_TCP ? "tcp" : proto == IPPROTO_UDP ? "udp" : "sctp";
}

static void port_srv(const struct want *w, const char *name, uint8_t proto, uint16_t port,
                     const char *target)
{
    if (w->port && (!streq(w->port, name) || strcasecmp(w->protocol, protocol_name(proto)) != 0))
        return;
    w->answer->exists = true;
    if (wants(w->answer, DNS_SRV))
        dns_reply_srv(&w->answer->reply, w->name, DNS_TTL, 0, 100, port, target);
}

static void endpoint_srv(const struct endpoint_ref *e, void *user)
{
    const struct want *w = user;
    char target[DNS_NAME_BYTES + 100];
    snprintf(target, sizeof(target), "%s.%s", e->host, w->base);
    for (uint32_t i = 0; i < e->slice->n_ports; i++) {
        const struct slice_port *p = &e->slice->ports[i];
        port_srv(w, p->name, p->proto, p->port, target);
    }
}

static void service_srv(const struct joined_service *s, struct want *w)
{
    if (s->object->headless) {
        endpoints_by_chance(s, endpoint_srv, w);
        return;
    }
    for (uint16_t i = 0; i < s->object->n_ports; i++) {
        const struct service_port *p = &s->object->ports[i];
        port_srv(w, p->name, p->proto, p->port, w->base);
    }
}

static void answer_alias(struct answer *a, const char *target);

static void service_addresses(const struct joined_service *s, struct want *w)
{
    const struct service_object *o = s->object;
    w->answer->exists = true;
    if (o->external_name) {
        if (*o->external_name) {
            dns_reply_name(&w->answer->reply, DNS_ANSWER, w->name, DNS_CNAME, DNS_TTL,
                           o->external_name);
            answer_alias(w->answer, o->external_name);
        }
        return;
    }
    if (o->headless) {
        endpoints_by_chance(s, endpoint_ip, w);
        return;
    }
    for (uint16_t i = 0; i < o->n_cluster_ips; i++)
        add_ip(w->answer, w->name, &o->cluster_ips[i]);
}

/* ---- names ---- */

/* for (size_t at = 0; service_next(z, &at, &s);) Services alone, not what only slices name. */
static bool service_next(const struct dns_zone *z, size_t *at, struct joined_service **ret)
{
    while (service_join_next(z->join, at, ret))
        if ((*ret)->object)
            return true;
    return false;
}

static bool namespace_has_services(const struct dns_zone *z, const char *ns)
{
    struct joined_service *s;
    struct str rest;
    for (size_t at = 0; service_next(z, &at, &s);)
        if (str_is(str_cut(str_from(s->key), '/', &rest), ns))
            return true;
    return false;
}

/* labels[0…n): what stands before ".svc.DOMAIN", in the order of the name. */
static void answer_svc(struct answer *a, char **labels, size_t n)
{
    char key[DNS_NAME_BYTES];
    if (n == 0) {
        a->exists = true;
        return;
    }
    const char *ns = labels[n - 1];
    if (n == 1) {
        a->exists = namespace_has_services(a->zone, ns);
        return;
    }
    snprintf(key, sizeof(key), "%s/%s", ns, labels[n - 2]);
    const struct joined_service *s = service_join_find(a->zone->join, key);
    struct want w = {.answer = a, .name = a->name};
    if (!s || !s->object)
        return;
    snprintf(w.base, sizeof(w.base), "%s.%s.svc.%s", labels[n - 2], ns, a->zone->domain);
    if (n == 2) {
        service_addresses(s, &w);
        service_srv(s, &w);
    } else if (n == 3 && s->object->headless) {
        w.host = labels[0];
        endpoints_each(s, endpoint_ip, &w);
    } else if (n == 4 && labels[0][0] == '_' && labels[1][0] == '_') {
        w.port = labels[0] + 1;
        w.protocol = labels[1] + 1;
        service_srv(s, &w);
    }
}

/* True when the name is in the cluster's domain; fills labels with what stands before it. */
static bool in_domain(const struct answer *a, char *copy, char **labels, size_t *ret_n)
{
    size_t n = strlen(copy), d = strlen(a->zone->domain);
    *ret_n = 0;
    if (n < d || strcmp(copy + n - d, a->zone->domain) != 0 || (n > d && copy[n - d - 1] != '.'))
        return false;
    copy[n > d ? n - d - 1 : 0] = 0;
    char *save = NULL;
    for (char *p = strtok_r(copy, ".", &save); p && *ret_n < DNS_LABELS_MAX;
         p = strtok_r(NULL, ".", &save))
        labels[(*ret_n)++] = p;
    return true;
}

static void answer_forward(struct answer *a, char **labels, size_t n)
{
    if (n == 0)
        a->exists = true;
    else if (n == 1 && streq(labels[0], "dns-version")) {
        a->exists = true;
        if (wants(a, DNS_TXT))
            dns_reply_txt(&a->reply, a->name, DNS_TTL, STR("1.1.0"));
    } else if (streq(labels[n - 1], "svc"))
        answer_svc(a, labels, n - 1);
}

/* An alias of a name of ours: its records belong into the same answer, because the resolvers of
 * programs ask no second time. */
static void answer_alias(struct answer *a, const char *target)
{
    char name[DNS_NAME_BYTES], copy[DNS_NAME_BYTES], *labels[DNS_LABELS_MAX];
    size_t n = strlen(target);
    if (a->query->type == DNS_CNAME || n >= sizeof(name) || ++a->aliases > DNS_ALIASES_MAX)
        return;
    for (size_t i = 0; i <= n; i++)
        name[i] = (char)tolower((unsigned char)target[i]);
    if (n && name[n - 1] == '.')
        name[n - 1] = 0;
    strcpy(copy, name);
    const char *outer = a->name;
    a->name = name;
    if (in_domain(a, copy, labels, &n))
        answer_forward(a, labels, n);
    a->name = outer;
}

/* ---- reverse ---- */

static bool reverse_v4(const char *name, struct ip *ret)
{
    unsigned v[4];
    char tail;
    if (sscanf(name, "%3u.%3u.%3u.%3u.in-addr.arp%c", &v[3], &v[2], &v[1], &v[0], &tail) != 5 ||
        tail != 'a')
        return false;
    *ret = (struct ip){.family = AF_INET};
    for (int i = 0; i < 4; i++)
        ret->bytes[i] = (uint8_t)v[i];
    return v[0] < 256 && v[1] < 256 && v[2] < 256 && v[3] < 256;
}

static bool reverse_v6(const char *name, struct ip *ret)
{
    static const char digits[] = "0123456789abcdef";
    *ret = (struct ip){.family = AF_INET6};
    if (strlen(name) != 72 || strcmp(name + 64, "ip6.arpa") != 0)
        return false;
    for (size_t i = 0; i < 32; i++) {
        const char *digit = strchr(digits, name[2 * i]);
        if (!digit || !*digit || name[2 * i + 1] != '.')
            return false;
        size_t nibble = 31 - i;
        ret->bytes[nibble / 2] |= (uint8_t)((digit - digits) << (nibble % 2 ? 0 : 4));
    }
    return true;
}

struct reverse {
    struct answer *answer;
    const struct ip *ip;
    const char *key; /* of the Service */
};

static void add_ptr(struct reverse *r, const char *host)
{
    char target[DNS_NAME_BYTES * 2];
    struct str name, ns = str_cut(str_from(r->key), '/', &name);
    snprintf(target, sizeof(target), "%s%s" STR_FMT "." STR_FMT ".svc.%s", host ? host : "",
             host ? "." : "", STR_ARG(name), STR_ARG(ns), r->answer->zone->domain);
    r->answer->exists = true;
    if (wants(r->answer, DNS_PTR))
        dns_reply_name(&r->answer->reply, DNS_ANSWER, r->answer->query->name, DNS_PTR, DNS_TTL,
                       target);
}

static void endpoint_ptr(const struct endpoint_ref *e, void *user)
{
    struct reverse *r = user;
    if (e->hostname && ip_eq(&e->ip, r->ip))
        add_ptr(r, e->host);
}

static void answer_reverse(struct answer *a, const struct ip *ip)
{
    struct joined_service *s;
    for (size_t at = 0; service_next(a->zone, &at, &s);) {
        struct reverse r = {a, ip, s->key};
        for (uint16_t i = 0; i < s->object->n_cluster_ips; i++)
            if (ip_eq(&s->object->cluster_ips[i], ip))
                add_ptr(&r, NULL);
        if (s->object->headless)
            endpoints_each(s, endpoint_ptr, &r);
    }
}

void dns_zone_answer(const struct dns_zone *z, const struct dns_query *q, size_t limit,
                     struct buf *ret)
{
    struct answer a = {.zone = z, .query = q, .name = q->name};
    char copy[DNS_NAME_BYTES], *labels[DNS_LABELS_MAX];
    struct ip ip;
    size_t n;
    enum dns_rcode rcode = DNS_NOERROR;
    const char *zone = z->domain;
    dns_reply_begin(&a.reply, ret, q, limit);
    memcpy(copy, q->name, sizeof(copy));
    if (in_domain(&a, copy, labels, &n)) {
        answer_forward(&a, labels, n);
    } else if (reverse_v4(q->name, &ip) || reverse_v6(q->name, &ip)) {
        zone = ip.family == AF_INET ? "in-addr.arpa" : "ip6.arpa";
        answer_reverse(&a, &ip);
    } else {
        rcode = DNS_REFUSED; /* not ours, and nothing is forwarded */
    }
    if (rcode == DNS_NOERROR && !a.exists)
        rcode = DNS_NXDOMAIN;
    if ((rcode == DNS_NOERROR || rcode == DNS_NXDOMAIN) && !a.reply.counts[DNS_ANSWER] &&
        !a.reply.truncated)
        dns_reply_soa(&a.reply, zone, DNS_TTL, 1, DNS_TTL);
    dns_reply_end(&a.reply, rcode);
}
