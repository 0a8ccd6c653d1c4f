/* Domains in shards, each a hash of its own and shared by reference: a change copies the shards
 * that it touches. Wildcards stand among the names, as they are written; of how long they are there
 * is a list, the longest first. */
#include "proxy/route_domains.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

enum {
    NAME_MAX_BYTES = 256,
    SHARD_DOMAINS = 64,
    SHARDS_MAX = 1 << 16,
};

struct shard {
    atomic_uint refs;
    struct map hosts; /* domain -> struct route_host, whose memory it is in: a reference */
};

/* How many wildcards there are of each length, without the asterisk. */
struct lengths {
    uint32_t count[NAME_MAX_BYTES];
    uint8_t list[NAME_MAX_BYTES]; /* those there are, the longest first */
    unsigned n;
};

struct route_domains {
    struct shard **shards;
    size_t n_shards; /* a power of two */
    size_t n;        /* domains in them */
    struct lengths suffixes, prefixes;
    struct route_host *any; /* a reference; NULL: none */
};

/* ---- shards ---- */

static struct shard *shard_new(void)
{
    struct shard *s = NEW(struct shard);
    s->refs = 1;
    s->hosts.borrows = true;
    return s;
}

static void shard_unref(struct shard *s)
{
    void *h;
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t at = 0; map_next(&s->hosts, &at, NULL, &h);)
        route_host_unref(h);
    map_done(&s->hosts);
    free(s);
}

static struct shard *shard_copy(const struct shard *from)
{
    struct shard *s = shard_new();
    struct str domain;
    void *h;
    for (size_t at = 0; map_next(&from->hosts, &at, &domain, &h);)
        map_put(&s->hosts, domain, route_host_ref(h));
    return s;
}

static struct shard **shard_at(const struct route_domains *d, struct str domain)
{
    if (d->n_shards == 1)
        return &d->shards[0];
    return &d->shards[(hash_bytes(domain.p, domain.n) >> 40) & (d->n_shards - 1)];
}

/* Nobody else has it: it is copied before it is written. */
static struct map *writable(struct route_domains *d, struct str domain)
{
    struct shard **s = shard_at(d, domain);
    if (atomic_load_explicit(&(*s)->refs, memory_order_acquire) > 1) {
        struct shard *own = shard_copy(*s);
        shard_unref(*s);
        *s = own;
    }
    return &(*s)->hosts;
}

static void make_shards(struct route_domains *d, size_t n)
{
    d->n_shards = n;
    d->shards = xmalloc(n * sizeof(struct shard *));
    for (size_t i = 0; i < n; i++)
        d->shards[i] = shard_new();
}

/* As many as so many domains want. */
static void make_room(struct route_domains *d, size_t domains)
{
    struct shard **before = d->shards;
    size_t had = d->n_shards, n = had;
    while (n < SHARDS_MAX && domains > n * SHARD_DOMAINS * 2)
        n *= 4;
    if (n == had)
        return;
    make_shards(d, n);
    for (size_t i = 0; i < had; i++) {
        struct str domain;
        void *h;
        for (size_t at = 0; map_next(&before[i]->hosts, &at, &domain, &h);)
            map_put(&(*shard_at(d, domain))->hosts, domain, route_host_ref(h));
        shard_unref(before[i]);
    }
    free(before);
}

/* ---- domains ---- */

static struct lengths *lengths_of(struct route_domains *d, struct str domain)
{
    return domain.p[0] == '*' ? &d->suffixes : domain.p[domain.n - 1] == '*' ? &d->prefixes : NULL;
}

static void count(struct route_domains *d, struct str domain, int by)
{
    struct lengths *l = lengths_of(d, domain);
    d->n += (size_t)by;
    if (l)
        l->count[domain.n - 1] += (uint32_t)by;
}

static void list_lengths(struct lengths *l)
{
    l->n = 0;
    for (unsigned n = NAME_MAX_BYTES; n > 0; n--)
        if (l->count[n - 1])
            l->list[l->n++] = (uint8_t)(n - 1);
}

static void remove_host(struct route_domains *d, const struct route_host *h)
{
    for (size_t k = 0; k < h->n_domains; k++) {
        struct str domain = h->domains[k];
        if (str_is(domain, "*")) {
            route_host_unref(TAKE(d->any));
            continue;
        }
        route_host_unref(map_remove(writable(d, domain), domain));
        count(d, domain, -1);
    }
}

/* NULL: it is there; else what is wrong with it. */
static const char *add_domain(struct route_domains *d, struct route_host *h, struct str domain)
{
    if (domain.n >= NAME_MAX_BYTES)
        return "is too long";
    if (!domain.n)
        return "must not be empty";
    if (str_is(domain, "*")) {
        if (d->any)
            return "is there twice: only a single wildcard domain is permitted";
        d->any = route_host_ref(h);
        return NULL;
    }
    struct map *m = writable(d, domain);
    if (map_find(m, domain))
        return "is there twice";
    map_put(m, domain, route_host_ref(h));
    count(d, domain, 1);
    return NULL;
}

static bool add_host(struct route_domains *d, struct route_host *h, struct route_clash *ret)
{
    for (size_t k = 0; k < h->n_domains; k++) {
        ret->domain = k;
        ret->text = add_domain(d, h, h->domains[k]);
        if (ret->text)
            return false;
    }
    return true;
}

static struct route_domains *copy(const struct route_domains *from)
{
    struct route_domains *d = NEW(struct route_domains);
    *d = *from;
    d->shards = xmalloc(d->n_shards * sizeof(struct shard *));
    for (size_t i = 0; i < d->n_shards; i++) {
        d->shards[i] = from->shards[i];
        atomic_fetch_add_explicit(&d->shards[i]->refs, 1, memory_order_relaxed);
    }
    if (d->any)
        route_host_ref(d->any);
    return d;
}

static struct route_domains *empty(void)
{
    struct route_domains *d = NEW(struct route_domains);
    make_shards(d, 1);
    return d;
}

struct route_domains *route_domains_new(const struct route_domains *before,
                                        const struct route_change *changes, size_t n,
                                        struct route_clash *ret)
{
    struct route_domains *d = before ? copy(before) : empty();
    size_t domains = 0;
    for (size_t i = 0; i < n; i++) {
        if (changes[i].before)
            remove_host(d, changes[i].before);
        domains += changes[i].after ? changes[i].after->n_domains : 0;
    }
    make_room(d, d->n + domains);
    for (size_t i = 0; i < n; i++) {
        ret->change = i;
        if (changes[i].after && !add_host(d, changes[i].after, ret)) {
            route_domains_free(d);
            return NULL;
        }
    }
    list_lengths(&d->suffixes);
    list_lengths(&d->prefixes);
    return d;
}

void route_domains_free(struct route_domains *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n_shards; i++)
        shard_unref(d->shards[i]);
    free(d->shards);
    route_host_unref(d->any);
    free(d);
}

/* ---- to find one ---- */

static struct route_host *find(const struct route_domains *d, struct str domain)
{
    return map_find(&(*shard_at(d, domain))->hosts, domain);
}

/* name[from..to) with an asterisk at either end, for which there is room: it is put back. */
static struct route_host *find_wildcard(const struct route_domains *d, char *star, struct str key)
{
    char was = *star;
    *star = '*';
    struct route_host *h = find(d, key);
    *star = was;
    return h;
}

struct route_host *route_domains_find(const struct route_domains *d, struct str name)
{
    char text[NAME_MAX_BYTES];
    struct route_host *h = NULL;
    if (name.n >= sizeof(text))
        return d->any;
    for (size_t i = 0; i < name.n; i++)
        text[i] = name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i];
    if (d->n)
        h = find(d, str_of(text, name.n));
    for (unsigned i = 0; i < d->suffixes.n && !h; i++) {
        size_t n = d->suffixes.list[i];
        if (n < name.n) /* the star stands for something */
            h = find_wildcard(d, &text[name.n - n - 1], str_of(&text[name.n - n - 1], n + 1));
    }
    for (unsigned i = 0; i < d->prefixes.n && !h; i++) {
        size_t n = d->prefixes.list[i];
        if (n < name.n)
            h = find_wildcard(d, &text[n], str_of(text, n + 1));
    }
    return h ? h : d->any;
}
