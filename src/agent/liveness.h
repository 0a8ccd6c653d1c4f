#pragma once
/* Which agents of other nodes are there: each tells all candidates so several times a second, by
 * UDP (agent/heartbeat.h), and is taken for gone when nothing has been heard of it for a little
 * more than a second. A table with a clock that is given, and the socket and timers around it. */

#include "agent/heartbeat.h"
#include "base/addr.h"
#include "net/loop.h"

enum {
    LIVENESS_PERIOD_MS = 300,
    LIVENESS_DEAD_MS = 1200,
    LIVENESS_PEERS_MAX = 1000,
};

/* ---- the table ---- */

struct peer_table;

struct peer_table *peer_table_new(void);
void peer_table_free(struct peer_table *t); /* NULL is allowed */
/* One that is expected: it counts as heard of now, if it is assumed to be there. Known ones keep
 * what is known. False: there are too many. */
bool peer_table_put(struct peer_table *t, const char *node, const struct ip *ip, bool assumed,
                    uint64_t now_ms);
/* All that have not been put since the last call of this go. */
void peer_table_sweep(struct peer_table *t);
/* True: it is taken (known, new, by the clock of this node: real_ms). */
bool peer_table_hear(struct peer_table *t, const struct heartbeat *h, uint64_t now_ms,
                     int64_t real_ms);
bool peer_table_is_alive(const struct peer_table *t, const char *node);
/* Who has been silent for too long is gone. Returns whether somebody has come or gone since the
 * last call; *ret_next_ms: when the next one would be, UINT64_MAX: never. */
bool peer_table_look(struct peer_table *t, uint64_t now_ms, uint64_t *ret_next_ms);
/* Nobody could have been heard until now: who was there is there; with all, everybody is. */
void peer_table_forgive(struct peer_table *t, bool all, uint64_t now_ms);
bool peer_table_next(const struct peer_table *t, size_t *at, struct ip *ret_ip);
size_t peer_table_count_alive(const struct peer_table *t);

/* ---- the socket ---- */

struct liveness;

struct liveness_stats {
    uint64_t sent, received, refused; /* refused: not by our key, old, or of nobody known */
    size_t alive;
};

/* family: of the addresses by which agents speak with one another. */
int liveness_new(struct loop *l, const char *node, uint8_t family, uint16_t port,
                 void (*on_change)(void *user), void *user, struct liveness **ret,
                 struct err *reterr) NODISCARD;
/* Says good-bye. NULL is allowed. */
void liveness_free(struct liveness *l);
/* Until there is one, nothing is said and nobody is there. */
void liveness_set_key(struct liveness *l, struct str key);
/* Who is to be spoken with: put, one by one, then end; who was not put goes. Those of the first
 * time are taken to be there, until they have been silent for too long. */
void liveness_put_peer(struct liveness *l, const char *node, const struct ip *ip);
void liveness_end_peers(struct liveness *l);
/* What we say of ourselves: told at once if it is something else. */
void liveness_set_serves(struct liveness *l, bool serves);
/* This node: if it serves. */
bool liveness_is_alive(const struct liveness *l, const char *node);
void liveness_get_stats(const struct liveness *l, struct liveness_stats *ret);
