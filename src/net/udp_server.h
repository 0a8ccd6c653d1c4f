#pragma once
/* A UDP socket that answers datagram by datagram, each from the address it was sent to: a host with
 * several addresses must not answer from another one (RFC 1122 4.1.3.5). */

#include <sys/socket.h>

#include "base/addr.h"
#include "base/buf.h"
#include "net/loop.h"

struct udp_server;

/* Who asked, and which of our addresses: for an answer that comes later. */
struct udp_peer {
    struct sockaddr_storage address;
    socklen_t address_len;
    union {
        char bytes[64]; /* IP_PKTINFO or IPV6_PKTINFO */
        size_t align;   /* that of a struct cmsghdr, which clang wants at ends alone */
    } control;
    size_t control_len;
};

/* Writes the answer to one datagram; nothing written: none is sent. */
typedef void udp_server_fn(struct str datagram, struct buf *ret, void *user);

/* Binds to the address; datagrams of up to 65,535 bytes. Answers that the socket cannot take at
 * once are lost, as datagrams are. */
int udp_server_new(struct loop *l, const struct ip *ip, uint16_t port, udp_server_fn *fn,
                   void *user, struct udp_server **ret, struct err *reterr) NODISCARD;
void udp_server_free(struct udp_server *s); /* NULL is allowed */
/* Within the callback: who has sent this datagram. */
void udp_server_peer(const struct udp_server *s, struct udp_peer *ret);
void udp_server_send(struct udp_server *s, const struct udp_peer *to, struct str datagram);
uint16_t udp_server_port(const struct udp_server *s);
