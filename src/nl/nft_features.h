#pragma once
/* What of nf_tables this kernel has, asked by doing: each part is put into a batch that the kernel
 * has to refuse at its last message, so that nothing of it ever comes to be. */

#include "nl/nft.h"

struct nft_feature {
    const char *name;   /* "numgen", as nft(8) has it */
    const char *option; /* of the kernel's configuration */
    const char *since;  /* the version that brought it */
    bool mesh;          /* for the rules beside a pod, not for Services */
    void (*add)(struct nfnl_batch *b, uint8_t family); /* into chain "probe" of the table */
};

/* What Services and the mesh need. */
extern const struct nft_feature nft_features[];
extern const size_t nft_features_n;

/* Calls on_missing for each that this kernel lacks, with its own words. Returns how many, or a
 * negative errno if nf_tables cannot be asked at all. Loads modules, if there are any to load. */
int nft_features_probe(const struct nft_feature *features, size_t n,
                       void (*on_missing)(const struct nft_feature *f, uint8_t family,
                                          const char *why, void *user),
                       void *user, struct err *reterr) NODISCARD;

/* "this kernel lacks numgen for IPv6 (CONFIG_NFT_NUMGEN, in Linux since 4.9), …", into ret; empty:
 * nothing that is known. mesh: with what only the mesh needs. The same result. */
int nft_features_missing_text(bool mesh, struct buf *ret, struct err *reterr) NODISCARD;
