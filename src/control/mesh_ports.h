#pragma once
/* Which ports of Services sidecars are given, and how. Pure. */

#include "model/port_protocol.h"
#include "model/service_join.h"

bool mesh_is_http(enum port_protocol p);
/* The proxy has a listener of every address at that port, or a chain of its own: of two it refuses
 * the later one, and that must not be its own. */
bool mesh_is_proxys(uint16_t port);
/* Is port i given to clients? A Service without an address, of bytes, is not: it goes on as it is,
 * whoever of its pods was meant. */
bool mesh_is_carried(const struct service_object *o, uint16_t i);
/* Of an entry, and of bytes: found in listeners that it shares with others. */
bool mesh_is_shared(const struct service_object *o, uint16_t i);
/* Of an entry whose host has an address that was found for it (status.addresses), and is nobody
 * else's. */
bool mesh_is_allocated(const struct joined_service *s);
