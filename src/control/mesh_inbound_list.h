#pragma once
/* Ports at which a workload is served. */

#include "base/vec.h"
#include "control/translate_mesh.h"

struct inbound_list {
    VEC(struct mesh_inbound) v;
};

void inbound_list_done(struct inbound_list *l);
/* Of two that say different things of a port the one that says something. service: NULL: none. */
void inbound_list_add(struct inbound_list *to, uint16_t port, enum port_protocol protocol,
                      const char *service);
void inbound_list_sort(struct inbound_list *l); /* by port */
bool inbound_list_eq(const struct inbound_list *a, const struct inbound_list *b);
