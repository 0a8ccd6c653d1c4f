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
    struct map draining; /* key -> endpoints whose flows may go on */
};

int udp_flows_init(struct udp_flows *u, struct err *reterr) NODISCARD;
void udp_flows_done(struct udp_flows *u);
/* The frontend lost endpoints, or came or went. Other protocols are ignored. */
void udp_flows_note_changed(struct udp_flows *u, const struct frontend_key *k);
void udp_flows_note_draining(struct udp_flows *u, const struct frontend *f);
/* Deletes what is stale, and forgets what was noted. *deleted counts on. -errno: the connection
 * table could not be read. */
int udp_flows_settle(struct udp_flows *u, const struct frontend_table *t, uint64_t *deleted)
    NODISCARD;
void udp_flows_clear(struct udp_flows *u);
