/* Streams, as far as all versions of HTTP agree: their memory, and the way to what carries them.
 * Both come from pools of the thread, so that a request of the common kind allocates nothing. */
#include "net/http_stream_priv.h"

#include <errno.h>

#include "base/assert.h"

enum {
    MEMORY_BLOCK = 2048,
    KEPT = 256, /* of each kind */
};

/* What is kept for reuse is linked through its first bytes. */
struct kept {
    struct kept *next;
};

static _Thread_local struct {
    struct kept *streams, *memory;
    unsigned n_streams, n_memory;
} pool;

const struct http_conn_config http_conn_defaults;

static void *take(struct kept **list, unsigned *n, size_t size)
{
    struct kept *k = *list;
    if (!k)
        return xmalloc(size);
    *list = k->next;
    (*n)--;
    return k;
}

static void give(struct kept **list, unsigned *n, void *p)
{
    struct kept *k = p;
    if (MEM_POOLS_ARE_OFF || *n >= KEPT) {
        free(p);
        return;
    }
    k->next = *list;
    *list = k;
    (*n)++;
}

struct http_stream *http_stream_new(struct http_conn *hc)
{
    struct http_stream *s = take(&pool.streams, &pool.n_streams, sizeof(*s));
    *s = (struct http_stream){.hc = hc};
    return s;
}

/* Its memory is taken when it is first asked for: a client's stream that waits for its answer has
 * none, and one whose answer comes whole gives back at once what is still in the cache. */
struct arena *http_stream_arena(struct http_stream *s)
{
    if (!s->arena) {
        s->memory = take(&pool.memory, &pool.n_memory, MEMORY_BLOCK);
        s->arena = arena_new_in(s->memory, MEMORY_BLOCK, HTTP_STREAM_BYTES);
    }
    return s->arena;
}

void http_stream_done(struct http_stream *s)
{
    if (!s->arena)
        return;
    arena_free(s->arena);
    give(&pool.memory, &pool.n_memory, s->memory);
    s->arena = NULL;
}

void http_stream_free(struct http_stream *s)
{
    http_stream_done(s);
    give(&pool.streams, &pool.n_streams, s);
}

int http_stream_keep_fields(struct http_stream *s, struct http_head *h)
{
    size_t cap = (size_t)h->n + HTTP_FIELDS_SPARE;
    struct http_field *fields = arena_alloc(http_stream_arena(s), cap * sizeof(*fields));
    if (!fields)
        return -ENOMEM;
    if (h->n)
        memcpy(fields, h->fields, h->n * sizeof(*fields));
    h->fields = fields;
    h->cap = (uint16_t)cap;
    return 0;
}

static void spent_data(struct http_stream *s, struct chain *data, bool end, void *user)
{
    (void)s;
    (void)data;
    (void)end;
    (void)user;
}

static void spent_over(struct http_stream *s, enum http_end end, int code, const char *text,
                       void *user)
{
    (void)s;
    (void)end;
    (void)code;
    (void)text;
    (void)user;
}

const struct http_stream_ops http_stream_spent_ops = {.on_data = spent_data, .on_over = spent_over};

void http_stream_set_ops(struct http_stream *s, const struct http_stream_ops *ops, void *user)
{
    ASSERT(ops->on_data && ops->on_over);
    s->ops = ops;
    s->user = user;
}

struct http_conn *http_stream_conn(const struct http_stream *s)
{
    return s->hc;
}

struct http_head *http_stream_head(struct http_stream *s)
{
    return &s->head;
}

bool http_stream_is_received(const struct http_stream *s)
{
    return s->received;
}

bool http_stream_is_sent(const struct http_stream *s)
{
    return s->sent;
}

void http_stream_pause(struct http_stream *s)
{
    if (!s->paused && !s->over)
        s->hc->type->set_paused(s, true);
}

void http_stream_resume(struct http_stream *s)
{
    if (s->paused && !s->over)
        s->hc->type->set_paused(s, false);
}

void http_stream_send_head(struct http_stream *s, struct http_head *h, bool end)
{
    ASSERT(!s->sent);
    if (!s->over)
        s->hc->type->send_head(s, h, end);
}

void http_stream_send_data(struct http_stream *s, struct chain *data, bool end)
{
    if (s->over || s->sent)
        chain_done(data);
    else
        s->hc->type->send_data(s, data, end);
}

void http_stream_send_text(struct http_stream *s, struct str data, bool end)
{
    struct chain c = {0};
    chain_add(&c, data);
    http_stream_send_data(s, &c, end);
}

void http_stream_send_trailers(struct http_stream *s, const struct http_head *h)
{
    ASSERT(!s->sent);
    if (!s->over)
        s->hc->type->send_trailers(s, h);
}

size_t http_stream_queued(const struct http_stream *s)
{
    return s->over ? 0 : s->hc->type->queued(s);
}

void http_stream_abort(struct http_stream *s)
{
    s->hc->type->abort(s);
}

int http_conn_open(struct http_conn *hc, const struct http_stream_ops *ops, void *user,
                   struct http_stream **ret)
{
    ASSERT(hc->client && ops->on_head);
    int r = hc->type->open(hc, ret);
    if (r == 0)
        http_stream_set_ops(*ret, ops, user);
    return r;
}

unsigned http_conn_streams_free(const struct http_conn *hc)
{
    return hc->type->streams_free ? hc->type->streams_free(hc) : 0;
}

unsigned http_conn_version(const struct http_conn *hc)
{
    return hc->type->version;
}

void http_conn_shutdown(struct http_conn *hc)
{
    hc->type->shutdown(hc);
}

void http_conn_free(struct http_conn *hc)
{
    if (hc)
        hc->type->free(hc);
}

struct conn *http_conn_conn(const struct http_conn *hc)
{
    return hc->conn;
}

struct conn *http_stream_take_conn(struct http_stream *s)
{
    return s->hc->type->take_conn(s);
}
