#pragma once
/* What one agent says to the others several times a second: that it is there. A datagram with a
 * signature by a key that all share; the time in it only ever grows, so that one that was recorded
 * says nothing any more. Pure. */

#include "base/buf.h"

enum {
    HEARTBEAT_NAME_MAX = 253,
    HEARTBEAT_BYTES_MAX = 4 + 1 + 8 + 1 + HEARTBEAT_NAME_MAX + 32,
    HEARTBEAT_SKEW_MS = 60 * 1000, /* how far clocks of nodes may be apart */
};

struct heartbeat {
    struct str node;
    int64_t time_ms; /* of its node's clock, since the epoch */
    bool serves;     /* what Services need is in its kernel; false: it is about to go, too */
};

void heartbeat_encode(const struct heartbeat *h, struct str key, struct buf *ret);
/* ret->node borrows from the datagram. -EINVAL: no heartbeat; -EACCES: by another key. */
int heartbeat_decode(struct str datagram, struct str key, struct heartbeat *ret) NODISCARD;
/* May it be believed now, of a node whose last one had last_ms (0: none yet)? */
bool heartbeat_is_new(const struct heartbeat *h, int64_t last_ms, int64_t now_ms);
