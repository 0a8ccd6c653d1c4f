#pragma once
/* Who is at the other end, as metrics name it: a workload, told by what its control plane says of
 * an endpoint (the metadata istio.workload), or asked for by the address of a client
 * (istio.workload.Address, "NETWORK/ADDRESS").
 *
 * A workload is a text: "WORKLOAD;NAMESPACE;CANONICAL;REVISION;CLUSTER", behind which APP and
 * VERSION may stand. Texts are few and stay for ever, so that whoever counts compares pointers and
 * takes no lock. */

#include <stdatomic.h>

#include "base/addr.h"
#include "net/loop.h"
#include "xds/xds_client.h"

enum {
    LABEL_TEXTS_MAX = 65536, /* ever; further ones are unknown */
    LABEL_TEXT_BYTES = 1024, /* of one */
    PEER_SLOTS_MAX = 16384,  /* addresses that are asked for at a time */
};

/* The one copy of a text; NULL: it is empty, too long, or there are too many. Any thread. */
const char *label_text(struct str text);
/* Of texts that strangers choose: no more than so many of them are kept, those are found. */
const char *label_text_of_some(struct str text, size_t max);

/* A client's address, and whose that is as soon as it is known. */
struct peer_slot {
    _Atomic(const char *) peer;  /* NULL: not known yet */
    _Atomic(const char *) first; /* the first one that was: it is who was counted before */
    atomic_uint users;
    atomic_bool named; /* something is counted under it: it stays in memory */
    bool leaving;      /* nobody is told of it any more */
    bool queued;       /* to be told to the main thread */
    struct ip ip;
};

/* ---- any thread ---- */
/* A use of the address; the first one asks for it. NULL: nobody answers such questions. */
struct peer_slot *peer_slot_use(const struct ip *ip);
void peer_slot_end_use(struct peer_slot *s); /* NULL is allowed */

/* ---- the main thread ---- */
/* The name is wanted of the control plane, or no more. */
typedef void peers_want_fn(struct str name, bool wanted, void *user);
/* From now on, until peers_stop(): before workers run, and behind them. */
void peers_start(struct loop *l, peers_want_fn *want, void *user);
void peers_stop(void);
/* Resources of XDS_WORKLOAD. Those that cannot be read are as if they were not there. */
void peers_update(const struct xds_update *u);
/* Ourselves: until it is known what is at the address, what somebody has written down. */
void peers_set_self(const struct ip *ip, struct str until_known);
const char *peers_self(void); /* NULL: nobody knows */
