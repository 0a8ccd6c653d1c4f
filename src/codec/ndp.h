#pragma once
/* Neighbour discovery of IPv6 (RFC 4861), as far as somebody answers for an address: solicitations
 * in, advertisements out. Packets from the IPv6 header on. */

#include "base/addr.h"

enum { NDP_ADVERTISEMENT_BYTES = 72 }; /* with the option that carries the hardware address */

struct ndp_solicitation {
    struct ip source, target; /* source ::, while somebody finds out whether he may have it */
    bool has_mac;             /* what the source says to be reached at */
    uint8_t mac[6];
};

struct ndp_advertisement {
    struct ip source, destination, target;
    uint8_t mac[6];
    bool solicited, override;
};

/* All that RFC 4861 7.1.1 asks of one; else -EINVAL. */
int ndp_parse_solicitation(struct str packet, struct ndp_solicitation *ret) NODISCARD;
void ndp_format_advertisement(const struct ndp_advertisement *a,
                              uint8_t ret[NDP_ADVERTISEMENT_BYTES]);
/* ff02::1:ffXX:XXXX of an address: where one asks for it. */
struct ip ndp_solicited_node(const struct ip *ip);
/* 33:33:XX:XX:XX:XX of a multicast address. */
void ndp_multicast_mac(const struct ip *ip, uint8_t ret[6]);
