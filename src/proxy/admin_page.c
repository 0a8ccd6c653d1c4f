/* How a page of the admin interface goes out: whole, or in pieces of 64 KiB, one in a turn of the
 * loop, which wait while the client has not read what went before: other work of the main thread
 * goes on meanwhile, and nothing piles up. */
#include <stdarg.h>

#include "proxy/admin_priv.h"

enum { HEADERS = 3 };

static void make_headers(const char *type, struct http_header ret[HEADERS])
{
    ret[0] = (struct http_header){STR("content-type"), str_from(type)};
    ret[1] = (struct http_header){STR("cache-control"), STR("no-cache, max-age=0")};
    ret[2] = (struct http_header){STR("x-content-type-options"), STR("nosniff")};
}

static void admin_start(struct admin_page *p)
{
    struct http_header headers[HEADERS];
    p->streams = true;
    make_headers(p->type, headers);
    http_exchange_start(p->x, p->status, headers, HEADERS);
}

void admin_page_end(struct admin_page *p)
{
    struct http_header headers[HEADERS];
    if (!p->streams) {
        make_headers(p->type, headers);
        http_exchange_reply(p->x, p->status, headers, HEADERS, buf_str(&p->body));
    }
    buf_done(&p->body);
}

void admin_refuse(struct admin_page *p, int status, const char *fmt, ...)
{
    va_list ap;
    p->status = status;
    p->type = ADMIN_TEXT;
    va_start(ap, fmt);
    buf_addv(&p->body, fmt, ap);
    va_end(ap);
    buf_add_char(&p->body, '\n');
}

/* ---- in pieces ---- */

enum { PIECE_BYTES = 64 * 1024, QUEUE_HIGH = 256 * 1024 };

struct sending {
    struct http_exchange *x;
    struct loop *loop;
    const struct admin_source *source;
    void *user;
    struct loop_call next;
    struct buf piece;
};

static void on_done(struct http_exchange *x, void *user)
{
    struct sending *s = user;
    (void)x;
    loop_call_cancel(&s->next);
    s->source->free(s->user);
    buf_done(&s->piece);
    free(s);
}

static void on_next(void *user)
{
    struct sending *s = user;
    buf_clear(&s->piece);
    bool more = s->source->next(s->user, PIECE_BYTES, &s->piece);
    if (s->piece.n)
        http_exchange_write(s->x, buf_str(&s->piece));
    if (!more)
        http_exchange_finish(s->x);
    else if (http_exchange_queued(s->x) < QUEUE_HIGH)
        loop_defer_next(s->loop, &s->next);
    /* else on_drain */
}

static void on_drain(struct http_exchange *x, void *user)
{
    struct sending *s = user;
    (void)x;
    if (!loop_call_is_queued(&s->next))
        loop_defer_next(s->loop, &s->next);
}

void admin_stream(struct admin *a, struct admin_page *p, const struct admin_source *source,
                  void *user)
{
    struct sending *s = NEW(struct sending);
    s->x = p->x;
    s->loop = a->loop;
    s->source = source;
    s->user = user;
    loop_call_init(&s->next, on_next, s);
    admin_start(p);
    http_exchange_set_done(p->x, on_done, s);
    http_exchange_set_drain(p->x, on_drain, s);
    loop_defer_next(s->loop, &s->next);
}
