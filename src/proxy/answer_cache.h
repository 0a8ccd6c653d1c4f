#pragma once
/* Answers of other servers to questions of filters, remembered for a while: the heads alone. A
 * worker's own. Bounded by number and bytes: what was asked for least lately goes first. Keys are
 * compared whole, never by a hash alone. */

#include "base/list.h"
#include "base/map.h"
#include "codec/http_head.h"

enum {
    ANSWER_CACHE_MAX = 4096,           /* answers of a worker */
    ANSWER_CACHE_BYTES_MAX = 4 << 20,  /* keys and fields, of a worker */
    ANSWER_CACHE_ENTRY_MAX = 16 << 10, /* of one: a larger one is not remembered */
};

/* Zeroed is empty and valid. */
struct answer_cache {
    struct map entries; /* key -> struct answer_entry */
    struct list_node lately;
    size_t bytes;
};

/* The status and fields as they came; good until the next put. NULL: none, or its
 * time is over. */
const struct http_head *answer_cache_find(struct answer_cache *c, struct str key, uint64_t now_ms);
/* Copies; replaces what was there. Left out if it is too large. */
void answer_cache_put(struct answer_cache *c, struct str key, const struct http_head *answer,
                      uint64_t until_ms);
void answer_cache_done(struct answer_cache *c);
