#pragma once
/* What is counted. A set holds the statistics of one thing (a cluster, a listener, a prefix) under
 * its name, and lives as long as somebody refers to it: a configuration that changes finds the set
 * of the one before. In it each worker, and the main thread, owns a block, made when it first asks
 * for it, which nobody else writes: counting is an addition to memory of one's own. Who asks sums
 * the blocks. What there is to count stands in stats.def.
 *
 * Sets are got and dropped by any thread, behind a mutex that no request takes. */

#include <stdatomic.h>

#include "base/str.h"
#include "base/vec.h"

enum stats_kind {
    STATS_SERVER,        /* one, without a name */
    STATS_LISTENER,      /* name: address, or its stat_prefix */
    STATS_LISTENER_HTTP, /* and the connection manager's prefix */
    STATS_HTTP,          /* stat_prefix */
    STATS_TCP,           /* stat_prefix */
    STATS_RATE_LIMIT,    /* stat_prefix */
    STATS_CLUSTER,       /* name, or alt_stat_name */
    _STATS_KINDS,
};

enum {
    STATS_BOUNDS = 19, /* of histograms: Envoy's, in ms; above them one bucket more */
    STATS_CODES_FROM = 100,
    STATS_CODES_TO = 600, /* not included: counted by class alone */
    STATS_PAGE = 100,     /* codes of one class */
};

/* How many words of a block each type takes. */
enum {
    STATS_WORDS_COUNTER = 1,
    STATS_WORDS_GAUGE = 1,
    STATS_WORDS_VALUE = 1,
    STATS_WORDS_TIMES = STATS_BOUNDS + 2,                                 /* buckets, and the sum */
    STATS_WORDS_CODES = (STATS_CODES_TO - STATS_CODES_FROM) / STATS_PAGE, /* pages of counters */
};

#define STATS_INDEX(kind, id, type)                                                                \
    kind##_STAT_##id, kind##_STAT_##id##_END_ = kind##_STAT_##id + STATS_WORDS_##type - 1,
enum http_stat {
#define HTTP_STAT(id, type, name, unit, text) STATS_INDEX(HTTP, id, type)
#include "proxy/stats.def"
    _HTTP_STATS,
};
enum listener_stat {
#define LISTENER_STAT(id, type, name, unit, text) STATS_INDEX(LISTENER, id, type)
#include "proxy/stats.def"
    _LISTENER_STATS,
};
enum listener_http_stat {
#define LISTENER_HTTP_STAT(id, type, name, unit, text) STATS_INDEX(LISTENER_HTTP, id, type)
#include "proxy/stats.def"
    _LISTENER_HTTP_STATS,
};
enum cluster_stat {
#define CLUSTER_STAT(id, type, name, unit, text) STATS_INDEX(CLUSTER, id, type)
#include "proxy/stats.def"
    _CLUSTER_STATS,
    CLUSTER_STATS_MAIN = CLUSTER_STAT_RQ_TOTAL, /* before it is what the main thread counts */
};
enum tcp_stat {
#define TCP_STAT(id, type, name, unit, text) STATS_INDEX(TCP, id, type)
#include "proxy/stats.def"
    _TCP_STATS,
};
enum rate_limit_stat {
#define RATE_LIMIT_STAT(id, type, name, unit, text) STATS_INDEX(RATE_LIMIT, id, type)
#include "proxy/stats.def"
    _RATE_LIMIT_STATS,
};
enum server_stat {
#define SERVER_STAT(id, type, name, unit, text) STATS_INDEX(SERVER, id, type)
#include "proxy/stats.def"
    _SERVER_STATS,
};
#undef STATS_INDEX

enum stats_type {
    STATS_COUNTER,
    STATS_GAUGE,
    STATS_VALUE,
    STATS_TIMES,
    STATS_CODES,
};

/* A row of stats.def. */
struct stats_row {
    uint16_t at;  /* first word in a block */
    uint8_t type; /* enum stats_type */
    struct str name;
    const char *unit;
    const char *text;
};
/* In the order of stats.def. */
const struct stats_row *stats_rows(enum stats_kind k, size_t *ret_n);

/* A word of a block. What one thread has counted is as many as the kind has, on cache lines of its
 * own. */
struct stats_cell {
    _Atomic(uint64_t) n;
};

struct stats_set {
    atomic_uint refs;
    uint8_t kind; /* enum stats_kind */
    uint8_t n_blocks;
    char *name;
    char *name2;                      /* of a listener's connection manager; else "" */
    _Atomic(uint64_t *) base;         /* taken off counters since stats_reset(); NULL: nothing */
    _Atomic(struct stats_cell *) v[]; /* by worker, the last one the main thread's */
};

/* ---- sets ---- */
/* The one of that name, or a new one: a reference. */
struct stats_set *stats_get(enum stats_kind k, struct str name, struct str name2);
struct stats_set *stats_ref(struct stats_set *s);
void stats_unref(struct stats_set *s); /* NULL is allowed */
/* The program's own; it stays until stats_server_done(). Borrowed. */
struct stats_set *stats_server(void);
void stats_server_done(void);

struct stats_sets {
    struct stats_set **v;
    size_t n, cap;
};
/* A reference to each set that there is, by kind, then by name. */
void stats_list(struct stats_sets *ret);
void stats_list_done(struct stats_sets *l);

/* ---- counting ---- */
struct stats_cell *stats_block_make(struct stats_set *s, unsigned worker);
/* The worker's own block; it stays as long as the set. */
static inline struct stats_cell *stats_of(struct stats_set *s, unsigned worker)
{
    struct stats_cell *b = atomic_load_explicit(&s->v[worker], memory_order_acquire);
    return b ? b : stats_block_make(s, worker);
}
/* The main thread's. */
static inline struct stats_cell *stats_main(struct stats_set *s)
{
    return stats_of(s, s->n_blocks - 1u);
}

static inline void stats_add(struct stats_cell *b, unsigned i, uint64_t n)
{
    uint64_t before = atomic_load_explicit(&b[i].n, memory_order_relaxed);
    atomic_store_explicit(&b[i].n, before + n, memory_order_relaxed);
}
static inline void stats_inc(struct stats_cell *b, unsigned i)
{
    stats_add(b, i, 1);
}
static inline void stats_dec(struct stats_cell *b, unsigned i)
{
    stats_add(b, i, UINT64_MAX); /* the sum of all blocks comes out right */
}
/* A gauge that one thread alone writes. */
static inline void stats_set_to(struct stats_cell *b, unsigned i, uint64_t n)
{
    atomic_store_explicit(&b[i].n, n, memory_order_relaxed);
}
/* TIMES. */
void stats_record_ms(struct stats_cell *b, unsigned i, uint64_t ms);
/* CODES, and `completed` and the class before them: rows that stand in that order. */
void stats_count_code(struct stats_cell *b, unsigned completed, unsigned codes, unsigned status);
static inline void stats_count_class(struct stats_cell *b, unsigned completed, unsigned status)
{
    stats_inc(b, completed);
    if (status >= STATS_CODES_FROM && status < STATS_CODES_TO)
        stats_inc(b, completed + status / STATS_PAGE);
}

/* ---- asking: the main thread ---- */
/* The sum of all blocks, since the last reset where it is a counter's. */
uint64_t stats_sum(const struct stats_set *s, unsigned i);
/* A counter of CODES. */
uint64_t stats_sum_code(const struct stats_set *s, unsigned codes, unsigned status);
/* Which classes have a page at all: bit 0 for 1xx. */
unsigned stats_code_classes(const struct stats_set *s, unsigned codes);
/* Upper bounds of the buckets, in tenths of a ms. */
extern const uint32_t stats_bounds_tenths[STATS_BOUNDS];
/* Counters begin again from 0; gauges and histograms go on, as in Envoy. */
void stats_reset(struct stats_set *s);
