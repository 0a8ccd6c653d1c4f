#pragma once
/* Splits a Kubernetes list as it arrives: each element of the top-level member "items" is handed
 * over as its own text, the rest is kept as a small skeleton
 * ({"kind":…,"metadata":{…},"items":[]}). So a list of 100,000 endpoints never stands in memory as
 * one tree. No JSON is checked here beyond nesting: the item parser does that. */

#include "base/buf.h"

struct json_items {
    struct buf skeleton; /* everything but the items; valid JSON at the end */
    struct buf item;
    struct buf key;        /* the last string at depth 1 */
    size_t item_bytes_max; /* 0 = 8 MiB */
    unsigned depth;
    bool in_string;
    bool escaped;
    bool in_items;     /* inside the items array */
    bool key_is_items; /* "items": was just read */
};

/* Feeds a piece; calls on_item(text) for each complete item, which returns 0 or a negative errno
 * that ends the feeding. -EBADMSG: unbalanced; -E2BIG: an item over the limit, or a skeleton over 1
 * MiB. */
int json_items_feed(struct json_items *s, struct str piece,
                    int (*on_item)(struct str text, void *user), void *user) NODISCARD;
void json_items_done(struct json_items *s);
