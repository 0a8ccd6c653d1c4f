/* /stats, /stats/prometheus, /reset_counters. */
#include "codec/url.h"
#include "proxy/admin_priv.h"
#include "proxy/stats_page.h"

static bool next_piece(void *page, size_t bytes, struct buf *to)
{
    return stats_page_next(page, bytes, to);
}

static void page_free(void *page)
{
    stats_page_free(page);
}

static void send_page(struct admin *a, struct admin_page *p, const struct stats_page_options *o)
{
    static const struct admin_source source = {next_piece, page_free};
    struct stats_program program;
    a->ops->program(&program, a->user);
    admin_stream(a, p, &source, stats_page_new(o, admin_config(a), &program));
}

/* ---- what is asked for ---- */

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
        admin_refuse(p, 400, "Invalid re2 regex: %s", err_text(&err));
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
        admin_refuse(p, 400,
                     "usage: /stats?format=json, /stats?format=prometheus or /stats?format=text");
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
        admin_refuse(p, 400, "invalid &type= param: All, Counters, Gauges or Histograms");
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
