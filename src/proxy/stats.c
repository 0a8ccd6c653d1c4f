/* Sets of statistics: found by name behind a mutex, counted in without one. */
#include "proxy/stats.h"

#include <pthread.h>

#include "base/assert.h"
#include "base/map.h"
#include "proxy/endpoint.h"

enum { CODES = STATS_CODES_TO - STATS_CODES_FROM };

/* ---- what there is ---- */

#define ROW(kind, id, type, name, unit, text)                                                      \
    {kind##_STAT_##id, STATS_##type, {name, sizeof(name) - 1}, unit, text},
static const struct stats_row http_rows[] = {
#define HTTP_STAT(id, type, name, unit, text) ROW(HTTP, id, type, name, unit, text)
#include "proxy/stats.def"
};
static const struct stats_row listener_rows[] = {
#define LISTENER_STAT(id, type, name, unit, text) ROW(LISTENER, id, type, name, unit, text)
#include "proxy/stats.def"
};
static const struct stats_row listener_http_rows[] = {
#define LISTENER_HTTP_STAT(id, type, name, unit, text)                                             \
    ROW(LISTENER_HTTP, id, type, name, unit, text)
#include "proxy/stats.def"
};
static const struct stats_row cluster_rows[] = {
#define CLUSTER_STAT(id, type, name, unit, text) ROW(CLUSTER, id, type, name, unit, text)
#include "proxy/stats.def"
};
static const struct stats_row tcp_rows[] = {
#define TCP_STAT(id, type, name, unit, text) ROW(TCP, id, type, name, unit, text)
#include "proxy/stats.def"
};
static const struct stats_row rate_limit_rows[] = {
#define RATE_LIMIT_STAT(id, type, name, unit, text) ROW(RATE_LIMIT, id, type, name, unit, text)
#include "proxy/stats.def"
};
static const struct stats_row server_rows[] = {
#define SERVER_STAT(id, type, name, unit, text) ROW(SERVER, id, type, name, unit, text)
#include "proxy/stats.def"
};
#undef ROW

static const struct {
    const struct stats_row *rows;
    size_t n;
    unsigned words;
    unsigned main_words; /* the same of the main thread; 0: no fewer */
} kinds[_STATS_KINDS] = {
    [STATS_SERVER] = {server_rows, ARRAY_LEN(server_rows), _SERVER_STATS, 0},
    [STATS_LISTENER] = {listener_rows, ARRAY_LEN(listener_rows), _LISTENER_STATS, 0},
    [STATS_LISTENER_HTTP] = {listener_http_rows, ARRAY_LEN(listener_http_rows),
                             _LISTENER_HTTP_STATS, 0},
    [STATS_HTTP] = {http_rows, ARRAY_LEN(http_rows), _HTTP_STATS, 0},
    [STATS_TCP] = {tcp_rows, ARRAY_LEN(tcp_rows), _TCP_STATS, 0},
    [STATS_RATE_LIMIT] = {rate_limit_rows, ARRAY_LEN(rate_limit_rows), _RATE_LIMIT_STATS, 0},
    [STATS_CLUSTER] = {cluster_rows, ARRAY_LEN(cluster_rows), _CLUSTER_STATS, CLUSTER_STATS_MAIN},
};

const struct stats_row *stats_rows(enum stats_kind k, size_t *ret_n)
{
    ASSERT(k < _STATS_KINDS);
    *ret_n = kinds[k].n;
    return kinds[k].rows;
}

/* ---- sets ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards `sets`, and references from 0 */
static struct map sets;                                  /* kind, name, 0, name2 -> stats_set */

static char *make_key(enum stats_kind k, struct str name, struct str name2, struct str *ret)
{
    char *key = xmalloc(name.n + name2.n + 2);
    key[0] = (char)k;
    if (name.n)
        memcpy(key + 1, name.p, name.n);
    key[1 + name.n] = 0;
    if (name2.n)
        memcpy(key + 2 + name.n, name2.p, name2.n);
    *ret = str_of(key, name.n + name2.n + 2);
    return key;
}

struct stats_set *stats_get(enum stats_kind k, struct str name, struct str name2)
{
    struct str key;
    char *owned = make_key(k, name, name2, &key);
    pthread_mutex_lock(&lock);
    struct stats_set *s = map_find(&sets, key);
    if (s) {
        atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    } else {
        unsigned blocks = endpoint_workers() + 1;
        s = xmalloc(sizeof(*s) + blocks * sizeof(s->v[0]));
        memset(s, 0, sizeof(*s) + blocks * sizeof(s->v[0]));
        s->refs = 1;
        s->kind = (uint8_t)k;
        s->n_blocks = (uint8_t)blocks;
        s->name = str_dup(name);
        s->name2 = str_dup(name2);
        map_put(&sets, key, s);
    }
    pthread_mutex_unlock(&lock);
    free(owned);
    return s;
}

struct stats_set *stats_ref(struct stats_set *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

/* Of a block. */
static unsigned words_of(const struct stats_set *s, unsigned worker)
{
    unsigned main_words = kinds[s->kind].main_words;
    return main_words && worker == s->n_blocks - 1u ? main_words : kinds[s->kind].words;
}

static void block_free(const struct stats_set *s, unsigned worker)
{
    struct stats_cell *b = atomic_load(&s->v[worker]);
    bool counts_codes =
        b && s->kind == STATS_CLUSTER && CLUSTER_STAT_RQ_CODES < words_of(s, worker);
    for (unsigned i = 0; counts_codes && i < STATS_WORDS_CODES; i++)
        free((void *)(uintptr_t)atomic_load(&b[CLUSTER_STAT_RQ_CODES + i].n));
    free(b);
}

static void set_free(struct stats_set *s)
{
    for (unsigned i = 0; i < s->n_blocks; i++)
        block_free(s, i);
    free(atomic_load(&s->base));
    free(s->name);
    free(s->name2);
    free(s);
}

void stats_unref(struct stats_set *s)
{
    struct str key;
    if (!s)
        return;
    unsigned refs = atomic_load(&s->refs);
    while (refs > 1)
        if (atomic_compare_exchange_weak(&s->refs, &refs, refs - 1))
            return;
    /* It may be the last one: nobody finds it meanwhile. */
    char *owned = make_key((enum stats_kind)s->kind, str_from(s->name), str_from(s->name2), &key);
    pthread_mutex_lock(&lock);
    bool last = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1;
    if (last)
        map_remove(&sets, key);
    if (last && !sets.used)
        map_done(&sets);
    pthread_mutex_unlock(&lock);
    free(owned);
    if (last)
        set_free(s);
}

static _Atomic(struct stats_set *) server; /* a reference that ends with the program */

struct stats_set *stats_server(void)
{
    struct stats_set *s = atomic_load_explicit(&server, memory_order_acquire), *none = NULL;
    if (s)
        return s;
    s = stats_get(STATS_SERVER, STR(""), STR(""));
    if (atomic_compare_exchange_strong(&server, &none, s))
        return s;
    stats_unref(s);
    return none;
}

void stats_server_done(void)
{
    stats_unref(atomic_exchange(&server, NULL));
}

static int by_name(const void *a, const void *b)
{
    const struct stats_set *const *x = a, *const *y = b;
    int d = (*x)->kind - (*y)->kind;
    d = d ? d : strcmp((*x)->name, (*y)->name);
    return d ? d : strcmp((*x)->name2, (*y)->name2);
}

void stats_list(struct stats_sets *ret)
{
    void *s;
    *ret = (struct stats_sets){NULL, 0, 0};
    pthread_mutex_lock(&lock);
    vec_reserve(ret, sets.used + 1);
    for (size_t at = 0; map_next(&sets, &at, NULL, &s);)
        vec_push(ret, stats_ref(s));
    pthread_mutex_unlock(&lock);
    qsort(ret->v, ret->n, sizeof(struct stats_set *), by_name);
}

void stats_list_done(struct stats_sets *l)
{
    VEC_FOREACH (s, l)
        stats_unref(*s);
    vec_done(l);
}

/* ---- counting ---- */

struct stats_cell *stats_block_make(struct stats_set *s, unsigned worker)
{
    size_t bytes = words_of(s, worker) * sizeof(struct stats_cell);
    bytes = (bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    ASSERT(worker < s->n_blocks);
    struct stats_cell *b = aligned_alloc(CACHE_LINE_BYTES, bytes);
    ASSERT(b); /* a kilobyte */
    memset(b, 0, bytes);
    atomic_store_explicit(&s->v[worker], b, memory_order_release); /* nobody else makes it */
    return b;
}

const uint32_t stats_bounds_tenths[STATS_BOUNDS] = {
    5,     10,    50,     100,    250,    500,     1000,    2500,     5000,    10000,
    25000, 50000, 100000, 300000, 600000, 3000000, 6000000, 18000000, 36000000};

void stats_record_ms(struct stats_cell *b, unsigned i, uint64_t ms)
{
    static const uint8_t low[] = {0, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3}; /* 0 to 10 ms */
    unsigned bucket = ms < ARRAY_LEN(low) ? low[ms] : 4;
    while (ms >= ARRAY_LEN(low) && bucket < STATS_BOUNDS && ms * 10 > stats_bounds_tenths[bucket])
        bucket++;
    stats_inc(b, i + bucket);
    stats_add(b, i + STATS_BOUNDS + 1, ms);
}

void stats_count_code(struct stats_cell *b, unsigned completed, unsigned codes, unsigned status)
{
    stats_count_class(b, completed, status);
    if (status < STATS_CODES_FROM || status >= STATS_CODES_TO)
        return;
    struct stats_cell *word = &b[codes + status / STATS_PAGE - 1], *page;
    uint64_t p = atomic_load_explicit(&word->n, memory_order_relaxed);
    if (!p) {
        page = xcalloc(STATS_PAGE, sizeof(*page));
        p = (uintptr_t)page;
        atomic_store_explicit(&word->n, p, memory_order_release);
    }
    page = (void *)(uintptr_t)p;
    stats_inc(page, status % STATS_PAGE);
}

/* ---- asking ---- */

static uint64_t sum(const struct stats_set *s, unsigned i)
{
    uint64_t n = 0;
    for (unsigned w = 0; w < s->n_blocks; w++) {
        const struct stats_cell *b = atomic_load_explicit(&s->v[w], memory_order_acquire);
        if (b && i < words_of(s, w))
            n += atomic_load_explicit(&b[i].n, memory_order_relaxed);
    }
    return n;
}

static uint64_t sum_code(const struct stats_set *s, unsigned codes, unsigned status)
{
    uint64_t n = 0;
    for (unsigned w = 0; w < s->n_blocks; w++) {
        const struct stats_cell *b = atomic_load_explicit(&s->v[w], memory_order_acquire);
        if (!b || codes >= words_of(s, w))
            continue;
        const struct stats_cell *page = (const void *)(uintptr_t)atomic_load_explicit(
            &b[codes + status / STATS_PAGE - 1].n, memory_order_acquire);
        n += page ? atomic_load_explicit(&page[status % STATS_PAGE].n, memory_order_relaxed) : 0;
    }
    return n;
}

uint64_t stats_sum(const struct stats_set *s, unsigned i)
{
    const uint64_t *base = atomic_load(&s->base);
    return sum(s, i) - (base ? base[i] : 0);
}

uint64_t stats_sum_code(const struct stats_set *s, unsigned codes, unsigned status)
{
    const uint64_t *base = atomic_load(&s->base);
    uint64_t before = base ? base[kinds[s->kind].words + status - STATS_CODES_FROM] : 0;
    return sum_code(s, codes, status) - before;
}

unsigned stats_code_classes(const struct stats_set *s, unsigned codes)
{
    unsigned classes = 0;
    for (unsigned i = 0; i < STATS_WORDS_CODES; i++)
        classes |= sum(s, codes + i) ? 1u << i : 0;
    return classes;
}

void stats_reset(struct stats_set *s)
{
    uint64_t *base = atomic_load(&s->base);
    if (!base)
        base = xcalloc(kinds[s->kind].words + CODES, sizeof(*base));
    for (size_t k = 0; k < kinds[s->kind].n; k++) {
        const struct stats_row *row = &kinds[s->kind].rows[k];
        if (row->type == STATS_COUNTER)
            base[row->at] = sum(s, row->at);
        for (unsigned code = 0; row->type == STATS_CODES && code < CODES; code++)
            base[kinds[s->kind].words + code] = sum_code(s, row->at, STATS_CODES_FROM + code);
    }
    atomic_store(&s->base, base);
}
