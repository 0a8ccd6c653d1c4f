/* fuzz-layer: codec
 * DNS queries from the network: parsing never reads past the end, and every query that parses can
 * be answered within its limit. */
#include <stdlib.h>

#include "codec/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_query q;
    struct dns_reply r;
    struct ip ip = {.family = AF_INET};
    if (dns_query_parse(str_of(data, size), &q) < 0)
        return 0;
    AUTO_DONE(buf) struct buf b = {0};
    dns_reply_begin(&r, &b, &q, q.udp_bytes);
    for (int i = 0; i < 60; i++)
        dns_reply_ip(&r, DNS_ANSWER, q.name, 5, &ip);
    dns_reply_srv(&r, q.name, 5, 0, 100, 80, "a.b.c");
    dns_reply_soa(&r, "cluster.local", 5, 1, 5);
    dns_reply_end(&r, DNS_NOERROR);
    if (b.n > q.udp_bytes)
        abort();
    return 0;
}
