#pragma once
/* Row 38: flows of UDP that lead to endpoints which are no more. The kernel keeps a flow's
 * rewriting for as long as packets come, so the flow is deleted when its frontend changes.
 * Blocking; one thread. */

#include "base/vec.h"
#include "dataplane/frontend_table.h"
#include "nl/conntrack.h"

struct udp_flows {
    struct conntrack *conntrack;
    VEC(struct frontend_key) changed;
    bool all;            /* every frontend is to be looked at */
    struct map draining; /* key -> endpoints whose flows may go on, as last noted */
};

int udp_flows_init(struct udp_flows *u, struct err *reterr) NODISCARD;
void udp_flows_done(struct udp_flows *u);
/* The frontend lost endpoints, or came or went. Other protocols are ignored. */
void udp_flows_note_changed(struct udp_flows *u, const struct frontend_key *k);
static inline bool udp_flows_are_pending(const struct udp_flows *u)
{
    return u->all || u->changed.n > 0;
}
/* After a start or a repair: nobody knows what was missed. */
void udp_flows_note_all(struct udp_flows *u);
/* Those of the frontend from now on; that some are no more is a change. */
void udp_flows_note_draining(struct udp_flows *u, const struct frontend *f);
void udp_flows_note_removed(struct udp_flows *u, const struct frontend_key *k);
/* What was noted; borrowed until the next note. */
const struct dataplane_endpoint *udp_flows_draining(const struct udp_flows *u,
                                                    const struct frontend_key *k, size_t *ret_n);
/* Deletes what is stale, and forgets what has changed. Counts what was done. -errno: the connection
 * table could not be read. */
int udp_flows_settle(struct udp_flows *u, const struct frontend_table *t,
                     struct dataplane_counters *c) NODISCARD;
