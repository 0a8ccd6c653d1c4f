/* /stats, /stats/prometheus, /reset_counters. A page goes out in pieces of 64 KiB, one in a turn of
 * the loop, and waits while the client has not read what went before: other work of the main thread
 * goes on meanwhile, and nothing piles up. */
#include "codec/url.h"
#include "proxy/admin_priv.h"
#include "proxy/stats_page.h"

enum { PIECE_BYTES = 64 * 1024, QUEUE_HIGH = 256 * 1024 };

struct sending {
    struct http_exchange *x;
    struct loop *loop;
    struct stats_page *page;
    struct loop_call next;
    struct buf piece;
};

static void sending_free(struct sending *s)
{
    loop_call_cancel(&s->next);
    stats_page_free(s->page);
    buf_done(&s->piece);
    free(s);
}

static void on_done(struct http_exchange *x, void *user)
{
    (void)x;
    sending_free(user);
}

static void on_next(void *user)
{
    struct sending *s = user;
    buf_clear(&s->piece);
    bool more = stats_page_next(s->page, PIECE_BYTES, &s->piece);
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

static void send_page(struct admin *a, struct admin_page *p, const struct stats_page_options *o)
{
    struct sending *s = NEW(struct sending);
    struct stats_program program;
    a->ops->program(&program, a->user);
    s->x = p->x;
    s->loop = a->loop;
    s->page = stats_page_new(o, admin_config(a), &program);
    loop_call_init(&s->next, on_next, s);
    admin_start(p);
    http_exchange_set_done(p->x, on_done, s);
    http_exchange_set_drain(p->x, on_drain, s);
    loop_defer_next(s->loop, &s->next);
}

/* ---- what is asked for ---- */

static void refuse(struct admin_page *p, const char *why)
{
    p->status = 400;
    p->type = ADMIN_TEXT;
    buf_addf(&p->body, "%s\n", why);
}

/* A part of the name is enough. */
static bool read_filter(struct admin_page *p, struct regex **ret)
{
    AUTO_DONE(buf) struct buf whole = {0};
    struct err err = {0};
    char *text = url_param(p->query, "filter");
    bool good = true;
    if (text && *text) {
        buf_addf(&whole, "(?s:.*)(?:%s)(?s:.*)", text);
        good = regex_new(str_from(text), ret, &err) == 0; /* what is wrong is the user's own */
        if (good) {
            regex_free(*ret);
            *ret = NULL;
            good = regex_new(buf_str(&whole), ret, &err) == 0;
        }
    }
    if (!good) {
        buf_addf(&p->body, "Invalid re2 regex: %s\n", err_text(&err));
        p->status = 400;
        p->type = ADMIN_TEXT;
    }
    free(text);
    return good;
}

static bool read_format(struct admin_page *p, uint8_t *ret)
{
    char *format = url_param(p->query, "format");
    bool good = true;
    if (!format || streq(format, "text"))
        *ret = STATS_TEXT;
    else if (streq(format, "json"))
        *ret = STATS_JSON;
    else if (streq(format, "prometheus"))
        *ret = STATS_PROMETHEUS;
    else
        good = false;
    free(format);
    if (!good)
        refuse(p, "usage: /stats?format=json, /stats?format=prometheus or /stats?format=text");
    return good;
}

static bool read_types(struct admin_page *p, uint8_t *ret)
{
    static const struct {
        const char *word;
        uint8_t bits;
    } words[] = {{"All", 0},
                 {"Counters", 1 << STATS_COUNTER | 1 << STATS_CODES},
                 {"Gauges", 1 << STATS_GAUGE | 1 << STATS_VALUE},
                 {"Histograms", 1 << STATS_TIMES}};
    char *type = url_param(p->query, "type");
    bool good = !type;
    for (size_t i = 0; i < ARRAY_LEN(words) && !good; i++)
        if (streq(type, words[i].word)) {
            *ret = words[i].bits;
            good = true;
        }
    free(type);
    if (!good)
        refuse(p, "invalid &type= param: All, Counters, Gauges or Histograms");
    return good;
}

static void show(struct admin *a, struct admin_page *p, struct stats_page_options *o)
{
    char *used = url_param(p->query, "usedonly");
    o->used_only = used != NULL;
    free(used);
    if (!read_types(p, &o->types) || !read_filter(p, &o->filter))
        return;
    p->type = o->format == STATS_JSON ? ADMIN_JSON : ADMIN_TEXT;
    send_page(a, p, o);
}

void admin_stats(struct admin *a, struct admin_page *p)
{
    struct stats_page_options o = {0};
    if (read_format(p, &o.format))
        show(a, p, &o);
}

void admin_prometheus(struct admin *a, struct admin_page *p)
{
    struct stats_page_options o = {.format = STATS_PROMETHEUS};
    show(a, p, &o);
}

void admin_reset_counters(struct admin *a, struct admin_page *p)
{
    struct stats_sets sets;
    (void)a;
    stats_list(&sets);
    VEC_FOREACH (s, &sets)
        stats_reset(*s);
    stats_list_done(&sets);
    buf_add_cstr(&p->body, "OK\n");
}
