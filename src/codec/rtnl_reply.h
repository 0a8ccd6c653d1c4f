#pragma once
/* What rtnetlink answers (linux/rtnetlink.h): a link, an address, a route. No sockets. */

#include "base/addr.h"
#include "codec/netlink.h"

/* Each is false for another kind of message, another family, or a malformed one. */
bool rtnl_parse_link(const struct nlmsg *m, unsigned *ret_index);
struct rtnl_link {
    unsigned index, master; /* of what it is a part of; 0: nothing */
    unsigned flags;         /* IFF_UP, … */
    bool ethernet;          /* with a hardware address of 6 bytes */
    uint8_t mac[6];
    char name[16];
};
bool rtnl_parse_link_whole(const struct nlmsg *m, struct rtnl_link *ret);
bool rtnl_parse_addr(const struct nlmsg *m, struct prefix *ret, unsigned *ret_index);
/* The destination, and the device (0 = none or several); default routes of length 0 carry no
 * destination and are left out. */
bool rtnl_parse_route(const struct nlmsg *m, struct prefix *ret, unsigned *ret_index);
