/* Tokens as time, as in token_bucket.c; entries in the order in which they were heard of. */
#include "proxy/client_table.h"

#include <pthread.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"

enum {
    KEY_BYTES = 1 + 16,
    FORGOTTEN_MAX = 2,  /* at each new address */
    LOOKED_AT_MAX = 64, /* to find one to forget */
};

struct client {
    struct list_node node;
    unsigned char key[KEY_BYTES];
    uint32_t active;
    int64_t empty_ns[CLIENT_RATES_MAX]; /* when its bucket was, or would have been, empty */
};

struct client_table {
    char *name;
    unsigned refs; /* of `tables_lock` */
    struct client_limits limits;
    pthread_mutex_t lock; /* guards the next two */
    struct map clients;
    struct list_node order; /* the one that was heard of last is last */
};

static pthread_mutex_t tables_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the next one */
static struct map tables;

/* ---- tables ---- */

static char *full_name(struct str name, const struct client_limits *l)
{
    AUTO_DONE(buf) struct buf b = {0};
    buf_addf(&b, STR_FMT "|%u", STR_ARG(name), l->concurrent);
    for (uint32_t i = 0; i < l->n_rates; i++)
        buf_addf(&b, "|%u/%lld", l->rates[i].burst, (long long)l->rates[i].token_ns);
    return buf_take_cstr(&b);
}

struct client_table *client_table_get(struct str name, const struct client_limits *l)
{
    char *full = full_name(name, l);
    ASSERT(l->n_rates <= CLIENT_RATES_MAX);
    pthread_mutex_lock(&tables_lock);
    struct client_table *t = map_find_cstr(&tables, full);
    if (t) {
        t->refs++;
        free(full);
    } else {
        t = NEW(struct client_table);
        t->name = full;
        t->refs = 1;
        t->limits = *l;
        t->clients.borrows = true;
        list_init(&t->order);
        pthread_mutex_init(&t->lock, NULL);
        map_put_cstr(&tables, full, t);
    }
    pthread_mutex_unlock(&tables_lock);
    return t;
}

void client_table_unref(struct client_table *t)
{
    pthread_mutex_lock(&tables_lock);
    bool last = --t->refs == 0;
    if (last)
        map_remove_cstr(&tables, t->name);
    if (last && !tables.used)
        map_done(&tables);
    pthread_mutex_unlock(&tables_lock);
    if (!last)
        return;
    map_done(&t->clients);
    while (!list_is_empty(&t->order)) {
        struct client *c = CONTAINER_OF(t->order.next, struct client, node);
        list_remove(&c->node);
        free(c);
    }
    pthread_mutex_destroy(&t->lock);
    free(t->name);
    free(t);
}

/* ---- clients ---- */

static struct str key_of(const struct ip *ip, unsigned char key[KEY_BYTES])
{
    key[0] = ip->family == AF_INET6 ? 6 : 4;
    memcpy(key + 1, ip->bytes, ip_bytes(ip));
    return str_of(key, 1 + ip_bytes(ip));
}

static int64_t full_ns(const struct client_rate *r)
{
    int64_t ns;
    return __builtin_mul_overflow((int64_t)r->burst, r->token_ns, &ns) ? INT64_MAX / 4 : ns;
}

/* It has asked for nothing that still counts. */
static bool is_quiet(const struct client_table *t, const struct client *c, int64_t now_ns)
{
    for (uint32_t i = 0; i < t->limits.n_rates; i++)
        if (now_ns - c->empty_ns[i] < full_ns(&t->limits.rates[i]))
            return false;
    return !c->active;
}

static void forget(struct client_table *t, struct client *c)
{
    map_remove(&t->clients, str_of(c->key, c->key[0] == 6 ? KEY_BYTES : 5));
    list_remove(&c->node);
    free(c);
}

/* False: those that were looked at all have requests under way. */
static bool make_room(struct client_table *t, int64_t now_ns)
{
    for (unsigned i = 0; i < FORGOTTEN_MAX && !list_is_empty(&t->order); i++) {
        struct client *oldest = CONTAINER_OF(t->order.next, struct client, node);
        if (is_quiet(t, oldest, now_ns))
            forget(t, oldest);
    }
    if (t->clients.used < CLIENT_TABLE_MAX)
        return true;
    for (unsigned i = 0; i < LOOKED_AT_MAX; i++) {
        struct client *c = CONTAINER_OF(t->order.next, struct client, node);
        if (!c->active) {
            forget(t, c);
            return true;
        }
        list_remove(&c->node);
        list_add_tail(&t->order, &c->node);
    }
    return false;
}

static struct client *find_or_add(struct client_table *t, const struct ip *ip, int64_t now_ns)
{
    unsigned char key[KEY_BYTES];
    struct str k = key_of(ip, key);
    struct client *c = map_find(&t->clients, k);
    if (!c) {
        if (!make_room(t, now_ns))
            return NULL;
        c = NEW(struct client);
        memcpy(c->key, key, k.n);
        for (uint32_t i = 0; i < t->limits.n_rates; i++)
            c->empty_ns[i] = now_ns - full_ns(&t->limits.rates[i]);
        map_put(&t->clients, str_of(c->key, k.n), c);
    } else {
        list_remove(&c->node);
    }
    list_add_tail(&t->order, &c->node);
    return c;
}

/* Nanoseconds of tokens in a bucket. */
static int64_t have(const struct client *c, uint32_t i, const struct client_rate *r, int64_t now_ns)
{
    int64_t ns = now_ns - c->empty_ns[i];
    return MAX(MIN(ns, full_ns(r)), INT64_C(0));
}

static bool is_busy(const struct client_table *t, const struct client *c)
{
    return t->limits.concurrent && c->active >= t->limits.concurrent;
}

static bool may(const struct client_table *t, const struct client *c, int64_t now_ns)
{
    const struct client_limits *l = &t->limits;
    if (is_busy(t, c))
        return false;
    for (uint32_t i = 0; i < l->n_rates; i++)
        if (have(c, i, &l->rates[i], now_ns) < l->rates[i].token_ns)
            return false;
    return true;
}

bool client_table_enter(struct client_table *t, const struct ip *ip, int64_t now_ns, bool *ret_busy)
{
    pthread_mutex_lock(&t->lock);
    struct client *c = find_or_add(t, ip, now_ns);
    bool ok = c && may(t, c, now_ns);
    if (ret_busy)
        *ret_busy = c && is_busy(t, c);
    for (uint32_t i = 0; ok && i < t->limits.n_rates; i++) {
        const struct client_rate *r = &t->limits.rates[i];
        c->empty_ns[i] = now_ns - have(c, i, r, now_ns) + r->token_ns;
    }
    if (ok)
        c->active++;
    pthread_mutex_unlock(&t->lock);
    return ok;
}

void client_table_leave(struct client_table *t, const struct ip *ip)
{
    unsigned char key[KEY_BYTES];
    pthread_mutex_lock(&t->lock);
    struct client *c = map_find(&t->clients, key_of(ip, key));
    ASSERT(c && c->active); /* who is active is not forgotten */
    c->active--;
    pthread_mutex_unlock(&t->lock);
}

size_t client_table_n(struct client_table *t)
{
    pthread_mutex_lock(&t->lock);
    size_t n = t->clients.used;
    pthread_mutex_unlock(&t->lock);
    return n;
}
