#pragma once
/* nf_tables over a socket: a batch is a transaction that happens whole or not at all; dumps that
 * start again when the ruleset changed under them. Blocking; one per thread, which keeps the
 * network namespace it was opened in. */

#include "codec/nfnl.h"
#include "nl/nl_socket.h"

struct nft;

int nft_new(struct nft **ret, struct err *reterr) NODISCARD;
void nft_free(struct nft *n);
DEFINE_AUTO(nft);

/* An empty batch with fresh sequence numbers. genid 0 = do not check. */
void nft_batch_begin(struct nft *n, struct nfnl_batch *b, uint32_t genid);

/* Sends the batch and waits for the kernel's answer. An empty batch succeeds. On failure nothing
 * has changed; reterr has the index of the refused message in the batch (0 = the batch as a whole)
 * and the kernel's words. -ERESTART: the generation was not the expected one. */
int nft_commit(struct nft *n, struct nfnl_batch *b, struct err *reterr) NODISCARD;
/* The same; ret_refused is the sequence number of the refused message, 0 for the batch as a whole.
 */
int nft_refused(struct nft *n, struct nfnl_batch *b, uint32_t *ret_refused, struct err *reterr)
    NODISCARD;

/* Whether the table is there. */
int nft_table_exists(struct nft *n, uint8_t family, const char *table, bool *ret,
                     struct err *reterr) NODISCARD;

/* One pass over all elements of a set. on_restart: forget what came so far, the dump begins again
 * (at most 10 times, then -EINTR). -ENOENT: no such set or table. */
int nft_dump_elems(struct nft *n, uint8_t family, const char *table, const char *set,
                   int (*on_elem)(const struct nfnl_elem *e, void *user),
                   void (*on_restart)(void *user), void *user, struct err *reterr) NODISCARD;

/* Elements by their keys, which stand one after the other, key_bytes each; linear, where a pass
 * over a large hash set is quadratic. -ENOENT: one of them is not there (on_elem may have seen
 * others).
 */
int nft_get_elems(struct nft *n, uint8_t family, const char *table, const char *set,
                  struct str keys, size_t key_bytes,
                  int (*on_elem)(const struct nfnl_elem *e, void *user), void *user,
                  struct err *reterr) NODISCARD;

/* The same, but those that are not there are passed over. -ENOENT is not told from a set that is
 * not there: no element was. */
int nft_find_elems(struct nft *n, uint8_t family, const char *table, const char *set,
                   struct str keys, size_t key_bytes,
                   int (*on_elem)(const struct nfnl_elem *e, void *user), void *user,
                   struct err *reterr) NODISCARD;

/* The names of a table's chains (NFT_MSG_GETCHAIN) or sets (NFT_MSG_GETSET). on_restart: as in
 * nft_dump_elems. */
int nft_list(struct nft *n, uint8_t family, const char *table, uint16_t op,
             int (*on_name)(struct str name, void *user), void (*on_restart)(void *user),
             void *user, struct err *reterr) NODISCARD;

/* What the counters in a chain's rules have seen, together. */
int nft_chain_packets(struct nft *n, uint8_t family, const char *table, const char *chain,
                      uint64_t *ret, struct err *reterr) NODISCARD;

/* Its socket: whose changes a watch does not tell of. */
int nft_fd(const struct nft *n);
