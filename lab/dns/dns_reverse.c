/* From addresses to names: PTR. Walks all Services; that is fine for a lab and the limit of this
 * design. */
#include <netinet/in.h>
#include <stdio.h>

#include "lab/dns/dns_answer.h"

static bool has_cluster_ip(const struct joined_service *s, const struct ip *ip)
{
    for (uint16_t i = 0; s->object && i < s->object->n_cluster_ips; i++)
        if (ip_eq(&s->object->cluster_ips[i], ip))
            return true;
    return false;
}

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

static void add_ptr(struct dns_answer *a, const char *key, const char *host)
{
    char name[DNS_NAME_BYTES * 2];
    a->exists = true;
    if (a->query->type == DNS_PTR)
        dns_reply_name(&a->reply, DNS_ANSWER, a->query->name, DNS_PTR, DNS_TTL,
                       dns_host_name(a, key, host, name));
}

/* The Service that has the address; if none has, every endpoint that has it. */
static void answer_ip(struct dns_answer *a, const struct ip *ip)
{
    struct joined_service *s;
    for (size_t at = 0; service_join_next(a->zone->join, &at, &s);)
        if (has_cluster_ip(s, ip))
            add_ptr(a, s->key, "");
    bool is_service = a->exists;
    for (size_t at = 0; !is_service && service_join_next(a->zone->join, &at, &s);) {
        AUTO_DONE(dns_targets) struct dns_targets t = {0};
        if (s->object)
            dns_targets_add_ip(&t, s, ip);
        for (size_t i = 0; i < t.n; i++)
            add_ptr(a, s->key, t.v[i].host);
    }
}

bool dns_answer_reverse(struct dns_answer *a)
{
    static const char *const zones[] = {"in-addr.arpa", "ip6.arpa"};
    const char *name = a->query->name;
    struct ip ip;
    for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
        size_t n = strlen(name), z = strlen(zones[i]);
        if (n < z || strcmp(name + n - z, zones[i]) != 0 || (n > z && name[n - z - 1] != '.'))
            continue;
        a->apex = zones[i];
        if (n == z)
            dns_answer_apex(a);
        else if (reverse_v4(name, &ip) || reverse_v6(name, &ip))
            answer_ip(a, &ip);
        return true;
    }
    return false;
}
