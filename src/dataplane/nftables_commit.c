/* Transactions of the nftables backend: what was collected goes to the kernel, whole or not at all,
 * and is counted. After the first failure only the picture goes on; `broken` tells. */
#include "dataplane/nftables_backend.h"

static void add_new_classes(struct nftables *n, struct nfnl_batch *b)
{
    for (unsigned f = 0; f < 2; f++) {
        nfnl_batch_table(b, nftables_families[f].nfproto, NFTABLES_TABLE);
        VEC_FOREACH (count, &n->classes_new[f])
            nftables_add_class(b, *count);
    }
}

int nftables_commit(struct nftables *n, struct nfnl_batch *b, struct err *reterr)
{
    n->counters.transactions++;
    int r = nft_commit(n->nft, b, reterr);
    if (r < 0)
        n->counters.failures++;
    nfnl_batch_done(b);
    return r;
}

/* Sends what was collected. After the first failure only the picture goes on. */
void nftables_flush(struct nftables *n)
{
    if (!n->broken && (n->changes.n || n->classes_new[0].n || n->classes_new[1].n ||
                       nftables_affinity_is_pending(&n->affinity))) {
        struct nfnl_batch b;
        nft_batch_begin(n->nft, &b, 0);
        add_new_classes(n, &b);
        nftables_affinity_emit(&n->affinity, &b);
        nftables_changes_emit(&n->changes, &b);
        n->broken = nftables_commit(n, &b, &n->broken_err) < 0;
        if (!n->broken)
            nftables_changes_count(&n->changes, &n->counters.elements_added,
                                   &n->counters.elements_removed);
    }
    nftables_changes_clear(&n->changes);
    vec_clear(&n->classes_new[0]);
    vec_clear(&n->classes_new[1]);
}

int nftables_send_changes(struct nftables *n, struct err *reterr)
{
    nftables_flush(n);
    if (!n->broken)
        return 0;
    return err_set(reterr, n->broken_err.code, NULL, "%s", err_text(&n->broken_err));
}
