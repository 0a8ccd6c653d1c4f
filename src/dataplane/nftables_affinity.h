#pragma once
/* ClientIP affinity on its way into the kernel: what a frontend that has it adds to a transaction,
 * and how the books are read back. Part of the nftables backend. */

#include "dataplane/affinity.h"
#include "dataplane/nftables_changes.h"

struct affinity_class {
    uint32_t seconds; /* 0: unused so far */
    uint32_t refs;    /* frontends */
    bool known;       /* the kernel has a timeout for it, this or another */
    bool changed;     /* to be written by the next transaction */
};

struct nftables_affinity {
    struct affinity_book books[2];
    struct affinity_class classes[AFFINITY_CLASSES_MAX + 1];
};

void nftables_affinity_done(struct nftables_affinity *a);

/* The frontend is to have this affinity (seconds 0: none). It leaves another group before its
 * endpoints change and joins after that: within one transaction no element may be added and then
 * deleted, since deletions go first. */
void nftables_affinity_leave(struct nftables_affinity *a, struct nftables_changes *c,
                             struct frontend_state *s, uint32_t seconds,
                             const struct frontend_key *group);
void nftables_affinity_join(struct nftables_affinity *a, struct nftables_changes *c,
                            struct frontend_state *s, uint32_t seconds,
                            const struct frontend_key *group);
/* An index of the frontend changes. */
void nftables_affinity_index(struct nftables_changes *c, struct frontend_state *s,
                             enum endpoint_scope scope, uint32_t index,
                             const struct dataplane_endpoint *old_,
                             const struct dataplane_endpoint *new_);
/* After all changes of a frontend. */
void nftables_affinity_sweep(struct nftables_changes *c, struct frontend_state *s);
/* Some frontend has affinity. */
bool nftables_affinity_is_used(const struct nftables_affinity *a);
bool nftables_affinity_is_pending(const struct nftables_affinity *a);
/* Adds all there is of a frontend, and of the books: what the kernel ought to have. */
void nftables_affinity_want(const struct frontend_state *s, struct nftables_changes *want);
void nftables_affinity_want_books(const struct nftables_affinity *a, struct nftables_changes *want);
/* The rules of all timeouts are to be written again by the next transaction. */
void nftables_affinity_rewrite(struct nftables_affinity *a);
void nftables_affinity_emit(struct nftables_affinity *a, struct nfnl_batch *b);

/* An element of one of the maps of affinity, as dumped; seconds first, then affinity, endpoints,
 * numbers and pins. -EBADMSG: it contradicts the others. */
int nftables_affinity_adopt(struct nftables_affinity *a, const struct nftables_family *f,
                            enum nftables_map map, const struct nfnl_elem *e,
                            struct frontend_table *t);
/* A frontend that was taken over has a number for each of its endpoints. */
bool nftables_affinity_is_whole(const struct frontend_state *s);
