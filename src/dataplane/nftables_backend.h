#pragma once
/* The backend's own state, for its parts: changes (nftables.c), transactions (nftables_commit.c),
 * the picture (nftables_picture.c) and how it is read back from the kernel (nftables_adopt.c), what
 * others did to it (nftables_mend.c), flows of UDP (udp_flows.c). */

#include "dataplane/nftables_affinity.h"
#include "dataplane/udp_flows.h"
#include "nl/nft_watch.h"

/* Of an address in a list: a full delta has named it. */
#define SEEN   ((void *)(uintptr_t)1)
#define UNSEEN ((void *)(uintptr_t)2)

/* The chain that chooses among so many endpoints. */
struct class
{
    uint32_t refs;
    bool in_kernel;
};

struct nftables {
    struct dataplane base;
    struct dataplane_config config;
    struct {
        struct prefix *v;
        size_t n, cap;
    } pods, services; /* the networks in config, once they were changed */
    struct nft *nft;
    struct nft_watch *watch;
    struct frontend_table table;
    struct map lists[_DATAPLANE_LIST_MAX]; /* struct ip bytes -> SEEN or UNSEEN */
    uint32_t n_classes, n_idle;            /* in the kernel; of them without a user */
    struct class classes[2][_SCOPE_MAX][DATAPLANE_ENDPOINTS_MAX + 1];
    VEC(uint32_t) classes_new[2]; /* needed by the transaction that is being collected */
    struct nftables_changes changes;
    struct nftables_affinity affinity;
    struct udp_flows flows;
    struct dataplane_counters counters;
    uint64_t
        forgotten[2]; /* what the kernel's counters said last: they begin anew with the table */
    uint64_t rejected[2][DATAPLANE_PROTOCOLS]; /* the same, on loopback */
    bool hooked;
    bool broken;
    struct err broken_err;
};

/* What the kernel's maps hold for a frontend; 0 = no element. */
struct values {
    uint32_t v[_SCOPE_MAX];
};

struct values nftables_values(const struct frontend_state *s);

/* All changes of classes go through these, which keep their number. count as in a value: with
 * VALUE_SCOPE_LOCAL where it is that scope's. */
struct class *nftables_class(struct nftables *n, unsigned family, uint32_t count);
void nftables_class_note(struct nftables *n, struct class *c, bool in_kernel);
void nftables_class_use(struct nftables *n, const struct frontend_key *k, uint32_t count, int by);

static inline unsigned family_index(uint8_t family)
{
    return family == AF_INET6;
}

/* Reads a family's elements into the empty picture. thorough: also those that no frontend tells of.
 * -EBADMSG: some are not ours. */
int nftables_adopt(struct nftables *n, const struct nftables_family *f, bool thorough,
                   struct err *reterr) NODISCARD;

/* ---- what somebody else did to our table ---- */

struct nftables_touched {
    bool skeleton;  /* chains, rules, sets, or elements that lead to chains */
    bool rewritten; /* … and it is known, not just to be feared */
    bool all;       /* elements beyond counting, or nobody knows which */
    size_t n;
    bool maps[2][_NFTABLES_MAP_MAX];
    struct buf keys[2][_NFTABLES_MAP_MAX]; /* of elements, unless all */
};
/* An nft_elem_fn. */
void nftables_touched_add(uint8_t family, struct str set, const struct nfnl_elem *e, void *user);
void nftables_touched_done(struct nftables_touched *t);
/* Brings the kernel back to the picture. 1: something was wrong; 0: nothing was. */
int nftables_mend(struct nftables *n, const struct nftables_touched *t, struct err *reterr)
    NODISCARD;

/* ---- transactions (nftables_commit.c) ---- */

/* Counted; takes the batch. */
int nftables_commit(struct nftables *n, struct nfnl_batch *b, struct err *reterr) NODISCARD;
/* Sends what was collected. */
void nftables_flush(struct nftables *n);
/* The same, and says whether it went. */
int nftables_send_changes(struct nftables *n, struct err *reterr) NODISCARD;
