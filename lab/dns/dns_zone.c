/* The names of a cluster, straight from the informers' caches: nothing is compiled, so nothing can
 * be stale. Finding the slices of a service walks all slices; that is fine for a lab (a query over
 * 1,000 slices costs well under a millisecond) and is the limit of this design. PTR walks services
 * likewise. */
#include <ctype.h>
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

static void add_ip(struct answer *a, const char *name, const char *text)
{
    struct ip ip;
    if (text && ip_parse(str_from(text), &ip) == 0 &&
        wants(a, ip.family == AF_INET6 ? DNS_AAAA : DNS_A))
        dns_reply_ip(&a->reply, DNS_ANSWER, name, DNS_TTL, &ip);
}

/* ---- endpoints ---- */

struct endpoint_ref {
    const json_t *slice;
    const json_t *endpoint;
    const char *address;
    char host[80]; /* its hostname, or its address with dashes */
};

static void endpoint_host(struct endpoint_ref *e)
{
    const char *hostname = json_key_str(e->endpoint, "hostname");
    snprintf(e->host, sizeof(e->host), "%s", str_empty(hostname) ? e->address : hostname);
    if (str_empty(hostname))
        for (char *p = e->host; *p; p++)
            if (*p == '.' || *p == ':')
                *p = '-';
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

static void walk_slice(const json_t *slice, bool not_ready_too, struct walk *w)
{
    json_t *endpoint, *address;
    size_t i, k;
    json_array_foreach(json_at(slice, "endpoints"), i, endpoint)
    {
        if (!not_ready_too && !json_at_bool(endpoint, "conditions.ready", true))
            continue;
        json_array_foreach(json_at(endpoint, "addresses"), k, address)
        {
            struct endpoint_ref e = {
                .slice = slice, .endpoint = endpoint, .address = json_string_value(address)};
            size_t at = w->n++;
            if (!e.address || at < w->from || at >= w->until)
                continue;
            endpoint_host(&e);
            w->fn(&e, w->user);
        }
    }
}

static size_t walk_service(const struct dns_zone *z, const json_t *service, struct walk w)
{
    const char *name = json_at_str(service, "metadata.name"),
               *ns = json_at_str(service, "metadata.namespace");
    bool not_ready_too = json_at_bool(service, "spec.publishNotReadyAddresses", false);
    json_t *slice;
    for (size_t at = 0; informer_next(z->slices, &at, &slice);)
        if (streq(json_at_str(slice, "metadata.namespace"), ns) &&
            streq(json_key_str(json_at(slice, "metadata.labels"), "kubernetes.io/service-name"),
                  name))
            walk_slice(slice, not_ready_too, &w);
    return w.n;
}

static void endpoints_each(const struct dns_zone *z, const json_t *service, endpoint_fn *fn,
                           void *user)
{
    walk_service(z, service, (struct walk){fn, user, 0, 0, SIZE_MAX});
}

static void endpoints_by_chance(const struct dns_zone *z, const json_t *service, endpoint_fn *fn,
                                void *user)
{
    size_t n = walk_service(z, service, (struct walk){.n = 0});
    size_t first = n ? rand_below(n) : 0;
    walk_service(z, service, (struct walk){fn, user, 0, first, n});
    if (first)
        walk_service(z, service, (struct walk){fn, user, 0, 0, first});
}

static bool is_headless(const json_t *service)
{
    return streq(json_at_str(service, "spec.clusterIP"), "None");
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
    add_ip(w->answer, w->name, e->address);
}

static bool port_matches(const struct want *w, const json_t *port)
{
    const char *name = json_key_str(port, "name"), *protocol = json_key_str(port, "protocol");
    return !w->port ||
           (streq(w->port, name) && !strcasecmp(w->protocol, protocol ? protocol : "TCP"));
}

static void endpoint_srv(const struct endpoint_ref *e, void *user)
{
    struct want *w = user;
    char target[DNS_NAME_BYTES + 100];
    json_t *port;
    size_t i;
    snprintf(target, sizeof(target), "%s.%s", e->host, w->base);
    json_array_foreach(json_at(e->slice, "ports"), i, port)
    {
        if (!port_matches(w, port))
            continue;
        w->answer->exists = true;
        if (wants(w->answer, DNS_SRV))
            dns_reply_srv(&w->answer->reply, w->name, DNS_TTL, 0, 100,
                          (uint16_t)json_at_int(port, "port", 0), target);
    }
}

static void service_srv(const json_t *service, struct want *w)
{
    json_t *port;
    size_t i;
    if (is_headless(service)) {
        endpoints_by_chance(w->answer->zone, service, endpoint_srv, w);
        return;
    }
    json_array_foreach(json_at(service, "spec.ports"), i, port)
    {
        if (!port_matches(w, port))
            continue;
        w->answer->exists = true;
        if (wants(w->answer, DNS_SRV))
            dns_reply_srv(&w->answer->reply, w->name, DNS_TTL, 0, 100,
                          (uint16_t)json_at_int(port, "port", 0), w->base);
    }
}

static void answer_alias(struct answer *a, const char *target);

static void service_addresses(const json_t *service, struct want *w)
{
    json_t *ip;
    size_t i;
    w->answer->exists = true;
    if (streq(json_at_str(service, "spec.type"), "ExternalName")) {
        const char *target = json_at_str(service, "spec.externalName");
        if (target) {
            dns_reply_name(&w->answer->reply, DNS_ANSWER, w->name, DNS_CNAME, DNS_TTL, target);
            answer_alias(w->answer, target);
        }
        return;
    }
    if (is_headless(service)) {
        endpoints_by_chance(w->answer->zone, service, endpoint_ip, w);
        return;
    }
    const json_t *ips = json_at(service, "spec.clusterIPs");
    json_array_foreach((json_t *)(uintptr_t)ips, i, ip)
        add_ip(w->answer, w->name, json_string_value(ip));
    if (!ips)
        add_ip(w->answer, w->name, json_at_str(service, "spec.clusterIP"));
}

/* ---- names ---- */

static bool namespace_has_services(const struct dns_zone *z, const char *ns)
{
    json_t *service;
    for (size_t at = 0; informer_next(z->services, &at, &service);)
        if (streq(json_at_str(service, "metadata.namespace"), ns))
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
    const json_t *service = informer_find(a->zone->services, str_from(key));
    struct want w = {.answer = a, .name = a->name};
    if (!service)
        return;
    snprintf(w.base, sizeof(w.base), "%s.%s.svc.%s", labels[n - 2], ns, a->zone->domain);
    if (n == 2) {
        service_addresses(service, &w);
        service_srv(service, &w);
    } else if (n == 3 && is_headless(service)) {
        w.host = labels[0];
        endpoints_each(a->zone, service, endpoint_ip, &w);
    } else if (n == 4 && labels[0][0] == '_' && labels[1][0] == '_') {
        w.port = labels[0] + 1;
        w.protocol = labels[1] + 1;
        service_srv(service, &w);
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

static bool text_is_ip(const char *text, const struct ip *ip)
{
    struct ip other;
    return text && ip_parse(str_from(text), &other) == 0 && ip_eq(&other, ip);
}

struct reverse {
    struct answer *answer;
    const struct ip *ip;
    const json_t *service;
};

static void add_ptr(struct reverse *r, const char *host)
{
    char target[DNS_NAME_BYTES * 2];
    snprintf(target, sizeof(target), "%s%s%s.%s.svc.%s", host ? host : "", host ? "." : "",
             json_at_str(r->service, "metadata.name"),
             json_at_str(r->service, "metadata.namespace"), r->answer->zone->domain);
    r->answer->exists = true;
    if (wants(r->answer, DNS_PTR))
        dns_reply_name(&r->answer->reply, DNS_ANSWER, r->answer->query->name, DNS_PTR, DNS_TTL,
                       target);
}

static void endpoint_ptr(const struct endpoint_ref *e, void *user)
{
    struct reverse *r = user;
    if (text_is_ip(e->address, r->ip) && !str_empty(json_key_str(e->endpoint, "hostname")))
        add_ptr(r, e->host);
}

static void answer_reverse(struct answer *a, const struct ip *ip)
{
    json_t *service, *item;
    size_t i;
    for (size_t at = 0; informer_next(a->zone->services, &at, &service);) {
        struct reverse r = {a, ip, service};
        json_array_foreach(json_at(service, "spec.clusterIPs"), i,
                           item) if (text_is_ip(json_string_value(item), ip)) add_ptr(&r, NULL);
        if (is_headless(service))
            endpoints_each(a->zone, service, endpoint_ptr, &r);
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
