/* What a name of a Service stands for, read from the model's join at the moment of the question:
 * nothing is compiled, so nothing can be stale. Knows no messages and no names but labels. Only
 * `ready` counts: who publishes addresses that are not ready has slices that say they are. */
#include "lab/dns/dns_targets.h"

#include <netinet/in.h>
#include <stdio.h>
#include <strings.h>

#include "base/rand.h"
#include "base/vec.h"

void dns_targets_done(struct dns_targets *t)
{
    vec_done(t);
}

static bool word_matches(const char *wanted, const char *have)
{
    return str_empty(wanted) || strcasecmp(wanted, have) == 0;
}

static bool port_matches(const struct dns_filter *f, const char *name, uint8_t proto)
{
    const char *protocol = proto == IPPROTO_TCP ? "tcp" : proto == IPPROTO_UDP ? "udp" : "sctp";
    return word_matches(f->port, name) && word_matches(f->protocol, protocol);
}

bool dns_target_port(const struct joined_service *s, const struct dns_target *t,
                     const struct dns_filter *f, uint32_t *at, uint16_t *ret)
{
    uint32_t n = t->slice ? t->slice->n_ports : s->object->n_ports;
    while (*at < n) {
        uint32_t i = (*at)++;
        const char *name = t->slice ? t->slice->ports[i].name : s->object->ports[i].name;
        uint8_t proto = t->slice ? t->slice->ports[i].proto : s->object->ports[i].proto;
        *ret = t->slice ? t->slice->ports[i].port : s->object->ports[i].port;
        if (port_matches(f, name, proto))
            return true;
    }
    return false;
}

/* A name that asks for a port means nobody who has none of it. */
static void add(struct dns_targets *t, const struct joined_service *s, const struct dns_filter *f,
                const struct dns_target *target)
{
    uint32_t at = 0;
    uint16_t port;
    if ((f->port || f->protocol) && !dns_target_port(s, target, f, &at, &port))
        return;
    vec_push(t, *target);
}

/* The hostname, or the address with dashes. */
static void name_endpoint(struct dns_target *t, const char *hostname)
{
    char text[IP_TEXT_BYTES];
    snprintf(t->host, sizeof(t->host), "%s", hostname ? hostname : ip_format(&t->ip, text));
    for (char *p = t->host; !hostname && *p; p++)
        if (*p == '.' || *p == ':')
            *p = '-';
}

static bool endpoint_next(const struct joined_service *s, size_t *slice, uint32_t *i,
                          struct dns_target *ret)
{
    for (; *slice < s->slices.n; (*slice)++, *i = 0) {
        const struct slice_object *o = s->slices.v[*slice];
        while (*i < o->n_endpoints) {
            uint32_t k = (*i)++;
            if (!o->endpoints[k].ready)
                continue;
            *ret = (struct dns_target){.ip = slice_object_ip(o, k), .slice = o};
            name_endpoint(ret, o->names[k].hostname);
            return true;
        }
    }
    return false;
}

static void turn(struct dns_targets *t)
{
    size_t first = t->n ? rand_below(t->n) : 0;
    struct dns_targets turned = {0};
    if (!first)
        return;
    vec_reserve(&turned, t->n);
    for (size_t i = 0; i < t->n; i++)
        turned.v[turned.n++] = t->v[(first + i) % t->n];
    vec_done(t);
    *t = turned;
}

void dns_targets_add(struct dns_targets *t, const struct joined_service *s,
                     const struct dns_filter *f)
{
    const struct service_object *o = s->object;
    struct dns_target target;
    size_t slice = 0;
    uint32_t i = 0;
    if (o->external_name)
        return;
    if (!o->headless && !f->host) {
        for (uint16_t k = 0; k < o->n_cluster_ips; k++)
            add(t, s, f, &(struct dns_target){.ip = o->cluster_ips[k]});
        return;
    }
    while (endpoint_next(s, &slice, &i, &target))
        if (word_matches(f->host, target.host))
            add(t, s, f, &target);
    turn(t);
}

void dns_targets_add_ip(struct dns_targets *t, const struct joined_service *s, const struct ip *ip)
{
    struct dns_target target;
    size_t slice = 0;
    uint32_t i = 0;
    while (endpoint_next(s, &slice, &i, &target))
        if (ip_eq(&target.ip, ip))
            vec_push(t, target);
}
