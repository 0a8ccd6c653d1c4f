/* The names of a cluster (Kubernetes DNS-Based Service Discovery 1.1.0), answered as CoreDNS
 * answers them: tests/e2e/dns/answers.txt has its words, with the few that differ on purpose. Owns
 * the meaning of names; what Services and endpoints are there is dns_targets.c's, the way back
 * dns_reverse.c's. */
#include <ctype.h>
#include <stdio.h>

#include "base/vec.h"
#include "lab/dns/dns_answer.h"

enum { LABELS_MAX = 12, ALIASES_MAX = 8, VERSION_TTL = 28800 };

/* A name of ours taken apart: what stands before the domain, first label first. */
struct name {
    char text[DNS_NAME_BYTES];
    char *labels[LABELS_MAX];
    size_t n;
};

/* False: not in the domain. */
static bool name_split(const struct dns_zone *z, const char *name, struct name *ret)
{
    size_t n = strlen(name), d = strlen(z->domain);
    ret->n = 0;
    if (n < d || n >= sizeof(ret->text) || strcasecmp(name + n - d, z->domain) != 0 ||
        (n > d && name[n - d - 1] != '.'))
        return false;
    for (size_t i = 0; i < n - d; i++)
        ret->text[i] = (char)tolower((unsigned char)name[i]);
    ret->text[n > d ? n - d - 1 : 0] = 0;
    char *save = NULL;
    for (char *p = strtok_r(ret->text, ".", &save); p && ret->n < LABELS_MAX;
         p = strtok_r(NULL, ".", &save))
        ret->labels[ret->n++] = p;
    return true;
}

static const struct joined_service *find_service(const struct dns_zone *z, const char *ns,
                                                 const char *name)
{
    char key[DNS_NAME_BYTES];
    snprintf(key, sizeof(key), "%s/%s", ns, name);
    const struct joined_service *s = service_join_find(z->join, key);
    return s && s->object ? s : NULL;
}

/* ---- records ---- */

static void add_ip(struct dns_answer *a, enum dns_section section, const char *name,
                   const struct ip *ip)
{
    dns_reply_ip(&a->reply, section, name, DNS_TTL, ip);
}

static void add_addresses(struct dns_answer *a, const char *name, const struct dns_targets *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (a->query->type == (t->v[i].ip.family == AF_INET6 ? DNS_AAAA : DNS_A))
            add_ip(a, DNS_ANSWER, name, &t->v[i].ip);
}

/* 100 shared among all records, and never nothing: so more than 100 need not be counted. */
static uint16_t srv_weight(const struct joined_service *s, const struct dns_filter *f,
                           const struct dns_targets *t)
{
    size_t n = 0;
    uint16_t port;
    for (size_t i = 0; i < t->n && n < 100; i++)
        for (uint32_t at = 0; n < 100 && dns_target_port(s, &t->v[i], f, &at, &port);)
            n++;
    return (uint16_t)(100 / MAX(n, (size_t)1));
}

/* A record per address and port; then the addresses of the hosts. What is full is not filled: there
 * may be a hundred thousand records. */
static void add_srv(struct dns_answer *a, const struct joined_service *s,
                    const struct dns_filter *f, const struct dns_targets *t)
{
    char host[DNS_NAME_BYTES * 2];
    uint16_t port, weight = srv_weight(s, f, t);
    for (size_t i = 0; i < t->n; i++)
        for (uint32_t at = 0; !a->reply.truncated && dns_target_port(s, &t->v[i], f, &at, &port);)
            dns_reply_srv(&a->reply, a->query->name, DNS_TTL, 0, weight, port,
                          dns_host_name(a, s->key, t->v[i].host, host));
    for (size_t i = 0; a->reply.counts[DNS_ANSWER] && !a->reply.truncated && i < t->n; i++)
        add_ip(a, DNS_ADDITIONAL, dns_host_name(a, s->key, t->v[i].host, host), &t->v[i].ip);
}

/* ---- aliases ---- */

/* Follows a Service that is an alias: to the addresses it ends at within the zone, or out of it. A
 * resolver asks no second time, so an alias that leads to nothing is not told. */
static void answer_alias(struct dns_answer *a, const struct joined_service *s)
{
    const char *names[ALIASES_MAX + 1] = {a->query->name};
    AUTO_DONE(dns_targets) struct dns_targets t = {0};
    struct name name;
    size_t n = 0;
    bool out = false;
    while (s && s->object->external_name && n < ALIASES_MAX && !out) {
        names[++n] = s->object->external_name;
        out = !name_split(a->zone, names[n], &name);
        s = !out && name.n == 3 && streq(name.labels[2], "svc")
                ? find_service(a->zone, name.labels[1], name.labels[0])
                : NULL;
    }
    if (a->query->type == DNS_CNAME)
        n = 1;
    else if (s && !out)
        dns_targets_add(&t, s, &(struct dns_filter){0});
    bool told = out || a->query->type == DNS_CNAME;
    for (size_t i = 0; i < t.n; i++)
        told = told || a->query->type == (t.v[i].ip.family == AF_INET6 ? DNS_AAAA : DNS_A);
    for (size_t i = 0; told && i < n; i++)
        dns_reply_name(&a->reply, DNS_ANSWER, names[i], DNS_CNAME, DNS_TTL, names[i + 1]);
    if (told)
        add_addresses(a, names[n], &t);
}

/* ---- names ---- */

static const char *without_underscore(const char *label)
{
    return *label == '_' ? label + 1 : label;
}

/* [_PORT._PROTOCOL.|HOST.]SERVICE.NAMESPACE, labels[0…n) */
static void answer_service(struct dns_answer *a, char **labels, size_t n)
{
    const struct joined_service *s = find_service(a->zone, labels[n - 1], labels[n - 2]);
    AUTO_DONE(dns_targets) struct dns_targets t = {0};
    struct dns_filter f = {0};
    struct ip ip;
    if (!s || n > 4)
        return;
    if (s->object->external_name) {
        bool is_ip = ip_parse(str_from(s->object->external_name), &ip) == 0;
        uint16_t type = a->query->type;
        a->exists = n == 2 && !is_ip;
        if (a->exists && (type == DNS_A || type == DNS_AAAA || type == DNS_CNAME))
            answer_alias(a, s);
        return;
    }
    if (n == 3)
        f.host = labels[0];
    if (n == 4) {
        f.port = without_underscore(labels[0]);
        f.protocol = without_underscore(labels[1]);
    }
    dns_targets_add(&t, s, &f);
    a->exists = t.n > 0;
    add_addresses(a, a->query->name, &t);
    if (a->query->type == DNS_SRV)
        add_srv(a, s, &f, &t);
}

/* 10-1-0-1.NAMESPACE.pod: the address that the name says, whoever has it. */
static void answer_pod(struct dns_answer *a, const char *label)
{
    char text[DNS_NAME_BYTES];
    unsigned dashes = 0;
    struct ip ip;
    snprintf(text, sizeof(text), "%s", label);
    for (const char *p = text; *p; p++)
        dashes += *p == '-';
    bool v4 = dashes == 3 && !strstr(text, "--");
    for (char *p = text; *p; p++)
        if (*p == '-')
            *p = v4 ? '.' : ':';
    if (ip_parse(str_from(text), &ip) < 0)
        return;
    struct dns_target t = {.ip = ip};
    a->exists = true;
    add_addresses(a, a->query->name, &(struct dns_targets){&t, 1, 1});
}

/* The server's own addresses, or those of the Services that lead to it. */
static void answer_ns_host(struct dns_answer *a)
{
    AUTO_DONE(dns_hosts) struct dns_hosts hosts = {0};
    dns_hosts_of_server(a->zone, &hosts);
    a->exists = true;
    VEC_FOREACH (h, &hosts)
        if (a->query->type == (h->ip.family == AF_INET6 ? DNS_AAAA : DNS_A))
            add_ip(a, DNS_ANSWER, a->query->name, &h->ip);
}

static void answer_forward(struct dns_answer *a, struct name *name)
{
    char **labels = name->labels;
    size_t n = name->n;
    if (n == 0) {
        dns_answer_apex(a);
    } else if (n == 1 && streq(labels[0], "dns-version")) {
        a->exists = true;
        if (a->query->type == DNS_TXT)
            dns_reply_txt(&a->reply, a->query->name, VERSION_TTL, STR("1.1.0"));
    } else if (n == 2 && streq(labels[0], "ns") && streq(labels[1], "dns")) {
        answer_ns_host(a);
    } else if (streq(labels[n - 1], "svc") || streq(labels[n - 1], "pod")) {
        if (n == 1)
            a->exists = true;
        else if (n == 2)
            a->exists = map_find_cstr(a->zone->namespaces, labels[0]) != NULL;
        else if (!map_find_cstr(a->zone->namespaces, labels[n - 2]))
            a->exists = false;
        else if (labels[n - 1][0] == 's')
            answer_service(a, labels, n - 1);
        else if (n == 3)
            answer_pod(a, labels[0]);
    }
}

void dns_zone_answer(const struct dns_zone *z, const struct dns_query *q, size_t limit,
                     struct buf *ret)
{
    struct dns_answer a = {.zone = z, .query = q, .apex = z->domain};
    enum dns_rcode rcode = DNS_NOERROR;
    struct name name;
    dns_reply_begin(&a.reply, ret, q, limit);
    if (name_split(z, q->name, &name))
        answer_forward(&a, &name);
    else if (!dns_answer_reverse(&a))
        rcode = DNS_REFUSED; /* not ours, and nothing is forwarded */
    if (rcode == DNS_NOERROR && !a.exists)
        rcode = DNS_NXDOMAIN;
    if (rcode != DNS_REFUSED && !a.reply.counts[DNS_ANSWER] && !a.reply.truncated)
        dns_reply_soa(&a.reply, a.apex, DNS_TTL, z->serial, DNS_TTL);
    dns_reply_end(&a.reply, rcode);
}
