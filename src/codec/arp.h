#pragma once
/* ARP for IPv4 over Ethernet (RFC 826): the message behind the frame's header. */

#include "base/addr.h"

enum { ARP_BYTES = 28, ARP_REQUEST = 1, ARP_REPLY = 2 };

struct arp {
    uint16_t operation; /* ARP_REQUEST, ARP_REPLY */
    uint8_t sender_mac[6], target_mac[6];
    struct ip sender, target;
};

/* Other protocols, sizes and operations are -EINVAL. */
int arp_parse(struct str message, struct arp *ret) NODISCARD;
void arp_format(const struct arp *a, uint8_t ret[ARP_BYTES]);
