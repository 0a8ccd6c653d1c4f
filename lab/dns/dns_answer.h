#pragma once
/* One answer in the making, and what the two directions share: names to addresses (dns_zone.c),
 * addresses to names (dns_reverse.c). */

#include "lab/dns/dns.h"
#include "lab/dns/dns_targets.h"

enum { DNS_TTL = 5 };

struct dns_answer {
    const struct dns_zone *zone;
    const struct dns_query *query;
    const char *apex; /* of the zone that the name is in */
    struct dns_reply reply;
    bool exists; /* the name is there, whatever its types */
};

/* SOA and NS of a->apex. */
void dns_answer_apex(struct dns_answer *a);
/* False: the name is not one of the way back. */
bool dns_answer_reverse(struct dns_answer *a);

/* HOST.SERVICE.NAMESPACE.svc.DOMAIN, or without a host where that is ""; key: the Service's.
 * Returns ret. */
const char *dns_host_name(const struct dns_answer *a, const char *key, const char *host,
                          char ret[DNS_NAME_BYTES * 2]);

/* What the server itself is called, and where it is. */
struct dns_host {
    char name[DNS_NAME_BYTES * 2];
    struct ip ip;
};
struct dns_hosts {
    struct dns_host *v;
    size_t n;
    size_t cap;
};
void dns_hosts_done(struct dns_hosts *h);
/* The ClusterIPs of the Services that have one of its addresses as an endpoint; if there are none,
 * those addresses, under ns.dns.DOMAIN. */
void dns_hosts_of_server(const struct dns_zone *z, struct dns_hosts *ret);
