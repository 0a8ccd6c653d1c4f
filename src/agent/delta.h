#pragma once
/* A delta under way from the decision thread to the thread that applies it: owns everything it
 * points to. And the book of who owns which frontend. */

#include "base/map.h"
#include "dataplane/dataplane.h"
#include "model/service.h"

struct agent_delta {
    bool full;
    bool families[2]; /* IPv4, IPv6: something of it is in here */
    VEC(struct frontend) frontends;
    VEC(struct address_change) addresses;
    bool has_networks;
    VEC(struct prefix) pod_networks, service_networks; /* with has_networks */
    VEC(void *) memory;
    uint64_t oldest_us; /* when the first change in it was seen */
    size_t services;
};

struct agent_delta *agent_delta_new(bool full);
void agent_delta_free(struct agent_delta *d);
bool agent_delta_is_empty(const struct agent_delta *d);

/* Two Services may claim one external address and port: the first keeps it (row 15: and an address
 * wins over a node port, which is a matter of the chains). Counts addresses that several endpoints
 * or Services share. */
struct delta_book {
    struct map owners;                      /* frontend_key -> owner, as given: borrowed */
    struct map counts[_DATAPLANE_LIST_MAX]; /* ip -> count */
    bool contested; /* an address was refused: when one is released, look again */
};
void delta_book_done(struct delta_book *b);

struct delta_options {
    bool external_ips;
    struct ip node_ips[2]; /* IPv4, IPv6; family 0: not known */
    bool node_ips_changed; /* since what was applied before */
};

/* owner: the Service's key; lives as long as it has frontends. Adds what changes when `before`
 * becomes `after` (NULL = absent). Returns true if a frontend was released that somebody else had
 * been refused. */
bool agent_delta_add(struct agent_delta *d, struct delta_book *b, const struct delta_options *o,
                     const char *owner, const struct model_service *before,
                     const struct model_service *after);
