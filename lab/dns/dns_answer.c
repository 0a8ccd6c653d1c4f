/* What both directions of the zone say: hosts' names, what the server itself is called, SOA and NS.
 * Looks for the server's Services among all of them. */
#include "lab/dns/dns_answer.h"

#include <stdio.h>

#include "base/vec.h"

static void host_name(const char *domain, const char *key, const char *host,
                      char ret[DNS_NAME_BYTES * 2])
{
    struct str name, ns = str_cut(str_from(key), '/', &name);
    snprintf(ret, DNS_NAME_BYTES * 2, "%s%s" STR_FMT "." STR_FMT ".svc.%s", host, *host ? "." : "",
             STR_ARG(name), STR_ARG(ns), domain);
}

const char *dns_host_name(const struct dns_answer *a, const char *key, const char *host,
                          char ret[DNS_NAME_BYTES * 2])
{
    host_name(a->zone->domain, key, host, ret);
    return ret;
}

/* ---- the server itself ---- */

void dns_hosts_done(struct dns_hosts *h)
{
    vec_done(h);
}

static void add_host(struct dns_hosts *h, const char *name, const struct ip *ip)
{
    struct dns_host *host = vec_add(h);
    snprintf(host->name, sizeof(host->name), "%s", name);
    host->ip = *ip;
}

void dns_hosts_of_server(const struct dns_zone *z, struct dns_hosts *ret)
{
    struct joined_service *s;
    char name[DNS_NAME_BYTES * 2];
    for (size_t at = 0; service_join_next(z->join, &at, &s);) {
        AUTO_DONE(dns_targets) struct dns_targets t = {0};
        for (size_t i = 0; s->object && i < z->n_own; i++)
            dns_targets_add_ip(&t, s, &z->own[i]);
        host_name(z->domain, s->key, "", name);
        for (uint16_t i = 0; t.n && i < s->object->n_cluster_ips; i++)
            add_host(ret, name, &s->object->cluster_ips[i]);
    }
    snprintf(name, sizeof(name), "ns.dns.%s", z->domain);
    for (size_t i = 0, found = ret->n; !found && i < z->n_own; i++)
        add_host(ret, name, &z->own[i]);
}

/* ---- zones ---- */

void dns_answer_apex(struct dns_answer *a)
{
    AUTO_DONE(dns_hosts) struct dns_hosts hosts = {0};
    a->exists = true;
    if (a->query->type == DNS_SOA)
        dns_reply_soa(&a->reply, a->apex, DNS_TTL, a->zone->serial, DNS_TTL);
    if (a->query->type != DNS_NS)
        return;
    dns_hosts_of_server(a->zone, &hosts);
    VEC_FOREACH (h, &hosts)
        dns_reply_name(&a->reply, DNS_ANSWER, a->apex, DNS_NS, DNS_TTL, h->name);
    VEC_FOREACH (h, &hosts)
        dns_reply_ip(&a->reply, DNS_ADDITIONAL, h->name, DNS_TTL, &h->ip);
}
