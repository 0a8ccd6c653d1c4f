/* A series is found by its key's bytes; it stays for ever. Workers put new ones in front of their
 * list, which the main thread goes through. */
#include "proxy/mesh_stats.h"

#include "base/hash.h"
#include "base/time.h"
#include "proxy/mesh_series.h"
#include "proxy/request_priv.h"
#include "proxy/tap.h"

enum { TABLE_FIRST = 64 };

struct table {
    struct mesh_series **v;
    size_t size; /* a power of two, or 0 */
    size_t n;
};

static struct table tables[WORKERS_MAX];
_Atomic(struct mesh_series *) mesh_lists[WORKERS_MAX];
atomic_ullong mesh_overflow;

/* ---- series ---- */

static void put(struct table *t, struct mesh_series *s)
{
    size_t at = s->hash & (t->size - 1);
    while (t->v[at])
        at = (at + 1) & (t->size - 1);
    t->v[at] = s;
}

static void grow(struct table *t)
{
    struct table larger = {.size = t->size ? t->size * 2 : TABLE_FIRST, .n = t->n};
    larger.v = xcalloc(larger.size, sizeof(*larger.v));
    for (size_t i = 0; i < t->size; i++)
        if (t->v[i])
            put(&larger, t->v[i]);
    free(t->v);
    *t = larger;
}

static struct mesh_series *add(unsigned worker, const struct mesh_key *k, uint64_t hash)
{
    struct table *t = &tables[worker];
    struct mesh_series *s = xcalloc(1, sizeof(*s) + mesh_cells(k) * sizeof(s->cells[0]));
    if (t->n * 2 >= t->size)
        grow(t);
    s->key = *k;
    s->hash = hash;
    s->next = atomic_load_explicit(&mesh_lists[worker], memory_order_relaxed);
    if (k->slot)
        atomic_store(&k->slot->named, true);
    put(t, s);
    t->n++;
    atomic_store_explicit(&mesh_lists[worker], s, memory_order_release);
    return s;
}

static struct mesh_series *find(unsigned worker, const struct mesh_key *k)
{
    const struct table *t = &tables[worker];
    uint64_t hash = hash_bytes(k, sizeof(*k));
    for (size_t at = hash & (t->size - 1); t->size && t->v[at]; at = (at + 1) & (t->size - 1))
        if (t->v[at]->hash == hash && memcmp(&t->v[at]->key, k, sizeof(*k)) == 0)
            return t->v[at];
    return t->n < MESH_SERIES_MAX ? add(worker, k, hash) : NULL;
}

/* Where there is no room for more: who it was is not told any more. */
static struct mesh_series *find_or_blur(unsigned worker, struct mesh_key *k)
{
    struct mesh_series *s = find(worker, k);
    if (s)
        return s;
    struct mesh_key blurred = {.flags = k->flags & (MESH_IS_SOURCE | MESH_IS_TCP),
                               .status = k->status};
    atomic_fetch_add(&mesh_overflow, 1);
    uint64_t hash = hash_bytes(&blurred, sizeof(blurred));
    for (s = atomic_load_explicit(&mesh_lists[worker], memory_order_relaxed); s; s = s->next)
        if (s->hash == hash && memcmp(&s->key, &blurred, sizeof(blurred)) == 0)
            return s;
    return add(worker, &blurred, hash); /* one a status: some hundred at most */
}

void mesh_stats_done(void)
{
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        struct mesh_series *s = atomic_exchange(&mesh_lists[i], NULL);
        while (s) {
            struct mesh_series *next = s->next;
            free(s->told);
            free(s);
            s = next;
        }
        free(tables[i].v);
        tables[i] = (struct table){0};
    }
    mesh_edits_done();
}

/* ---- requests ---- */

static bool is_grpc(const struct http_head *h)
{
    struct str grpc = STR("application/grpc"),
               type = http_field_value(http_head_find(h, HTTP_NAME_CONTENT_TYPE));
    return str_starts(type, grpc) &&
           (type.n == grpc.n || type.p[grpc.n] == '+' || type.p[grpc.n] == ';');
}

/* The name that a request for no Service has called. */
static const char *host_of(const struct request *r)
{
    const struct http_head *h = http_stream_head(r->down);
    if (r->http->mesh.no_host)
        return NULL;
    return label_text_of_some(h->authority.p ? h->authority
                                             : http_field_value(http_head_find(h, HTTP_NAME_HOST)),
                              MESH_HOSTS_MAX);
}

static void add_client(struct mesh_key *k, const struct mesh_client *c)
{
    k->peer = c->slot ? atomic_load(&c->slot->peer) : NULL;
    k->slot = k->peer ? NULL : c->slot;
    k->principal = c->principal;
    k->own = c->own;
}

static void add_endpoint(struct mesh_key *k, const char *principal)
{
    k->principal = principal;
    k->own = principal ? mesh_ourselves() : NULL;
}

static struct mesh_key key_of(const struct request *r)
{
    struct mesh_key k = {.status = r->status, .reason = r->reason, .grpc = r->grpc};
    if (is_grpc(http_stream_head(r->down)))
        k.flags |= MESH_IS_GRPC;
    if (r->delayed)
        k.flags |= MESH_IS_DELAYED;
    k.edits = r->http->mesh.edits;
    if (k.edits && k.edits->n_values)
        k.values = mesh_edits_values(k.edits, http_stream_head(r->down));
    k.service = r->service;
    if (r->http->mesh.reporter == MESH_SOURCE) {
        k.flags |= MESH_IS_SOURCE;
        k.peer = r->peer;
        add_endpoint(&k, r->principal);
        if (!k.service || *k.service == ';')
            k.host = host_of(r);
    } else if (r->client) {
        add_client(&k, r->client);
    }
    return k;
}

void mesh_stats_request(const struct request *r)
{
    unsigned worker = worker_index(r->worker);
    struct mesh_key k = key_of(r);
    struct stats_cell *s = find_or_blur(worker, &k)->cells;
    stats_inc(s, MESH_REQUESTS);
    stats_record_ms(s, MESH_DURATION, (time_mono_us() - r->begin_us) / 1000);
    stats_record_ms(s, MESH_REQUEST_BYTES, r->received_bytes);
    stats_record_ms(s, MESH_RESPONSE_BYTES, r->sent_bytes);
    if (tap_is_open())
        tap_request(r, &k);
}

struct stats_cell *mesh_stats_tcp(const struct mesh_tcp *t)
{
    struct mesh_key k = {.flags = MESH_IS_TCP, .reason = t->reason, .service = t->service};
    if (t->reporter == MESH_SOURCE) {
        k.flags |= MESH_IS_SOURCE;
        k.peer = t->peer;
        add_endpoint(&k, t->principal);
    } else if (t->client) {
        add_client(&k, t->client);
    }
    return find_or_blur(t->worker, &k)->cells;
}
