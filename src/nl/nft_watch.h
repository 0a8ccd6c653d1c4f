#pragma once
/* A socket that is told of every change to the ruleset but those made through `own`: what others do
 * to a table of ours. Costs nothing while nobody changes anything. */

#include "nl/nft.h"

struct nft_watch;

enum nft_thing {
    NFT_THING_TABLE,
    NFT_THING_CHAIN,
    NFT_THING_RULE,
    NFT_THING_SET, /* and maps, and named objects */
    NFT_THING_ELEMENT,
    _NFT_THING_MAX,
};

struct nft_news {
    uint64_t changes[_NFT_THING_MAX]; /* told of, in this table */
    bool lost;                        /* messages were: anything may have changed */
};
static inline bool nft_news_are_none(const struct nft_news *n)
{
    static const struct nft_news none;
    return !n->lost && memcmp(n->changes, none.changes, sizeof(none.changes)) == 0;
}

int nft_watch_new(const struct nft *own, struct nft_watch **ret, struct err *reterr) NODISCARD;
void nft_watch_free(struct nft_watch *w);
int nft_watch_fd(const struct nft_watch *w);
/* Reads all that waits, without blocking, and adds it up. on_elem is given each element of the
 * table that came or went. */
typedef void nft_elem_fn(uint8_t family, struct str set, const struct nfnl_elem *e, void *user);
void nft_watch_read(struct nft_watch *w, const char *table, nft_elem_fn *on_elem, void *user,
                    struct nft_news *ret);
