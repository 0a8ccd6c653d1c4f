#pragma once
/* What a name of a Service stands for: addresses, each with the host that has it and its ports. */

#include "model/service_join.h"

enum { DNS_LABEL_BYTES = 64 }; /* with NUL */

/* Which of a Service's endpoints and ports a name means; NULL and "": all. Lower case. */
struct dns_filter {
    const char *host;
    const char *port;
    const char *protocol;
};

struct dns_target {
    struct ip ip;
    const struct slice_object *slice; /* of an endpoint; NULL: the Service's own address */
    char host[DNS_LABEL_BYTES];       /* what the endpoint is called; "" */
};

struct dns_targets {
    struct dns_target *v;
    size_t n;
    size_t cap;
};
void dns_targets_done(struct dns_targets *t);

/* Adds the ClusterIPs, or the ready endpoints of a headless Service or of a filter that names a
 * host; in an order by chance, because many clients take the first address they are told. */
void dns_targets_add(struct dns_targets *t, const struct joined_service *s,
                     const struct dns_filter *f);
/* Adds the ready endpoints that have an address. */
void dns_targets_add_ip(struct dns_targets *t, const struct joined_service *s, const struct ip *ip);

/* for (uint32_t at = 0; dns_target_port(s, t, f, &at, &port);) The ports of a target that the
 * filter means. */
bool dns_target_port(const struct joined_service *s, const struct dns_target *t,
                     const struct dns_filter *f, uint32_t *at, uint16_t *ret);
