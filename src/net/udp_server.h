#pragma once
/* A UDP socket that answers datagram by datagram, each from the address it was sent to: a host with
 * several addresses must not answer from another one (RFC 1122 4.1.3.5). */

#include "base/addr.h"
#include "base/buf.h"
#include "net/loop.h"

struct udp_server;

/* Writes the answer to one datagram; nothing written: none is sent. */
typedef void udp_server_fn(struct str datagram, struct buf *ret, void *user);

/* Binds to the address; datagrams of up to 65,535 bytes. Answers that the socket cannot take at
 * once are lost, as datagrams are. */
int udp_server_new(struct loop *l, const struct ip *ip, uint16_t port, udp_server_fn *fn,
                   void *user, struct udp_server **ret, struct err *reterr) NODISCARD;
void udp_server_free(struct udp_server *s); /* NULL is allowed */
uint16_t udp_server_port(const struct udp_server *s);
