/* Local replies. */
#include "proxy/local_reply.h"

#include <errno.h>

#include "base/mem.h"
#include "codec/pb_msg.h"
#include "proxy/data_source.h"
#include "proxy/log_filter.h"

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager
    pb_hcm;
typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__ResponseMapper pb_mapper;
typedef Envoy__Config__Core__V3__SubstitutionFormatString pb_format;

struct body_format {
    bool set;
    struct format format;
    struct str content_type;
};

struct mapper {
    struct log_filter *filter;
    uint16_t status; /* 0: stays */
    struct str body; /* .p NULL: stays */
    struct body_format format;
    struct header_ops ops;
};

struct local_replies {
    struct arena *arena;
    struct mapper *mappers;
    size_t n;
    struct body_format format;
};

void local_replies_free(struct local_replies *l)
{
    if (!l)
        return;
    arena_free(l->arena);
    free(l);
}

/* ---- configuration ---- */

struct making {
    struct compile *c;
    struct arena *a;
};

static int compile_filter(struct making *m, const pb_mapper *from, struct log_filter **ret)
{
    struct compile *c = m->c;
    bool grpc;
    size_t mark = pb_path_field(&c->path, "filter");
    if (!from->filter)
        return COMPILE_FAIL(c, "must be set");
    int r = log_filter_compile(from->filter, m->a, &c->path, ret, &grpc, c->err);
    if (r == 0 && grpc)
        return COMPILE_FAIL(c, "grpc_status_filter is not implemented here");
    if (r == 0)
        pb_path_back(&c->path, mark);
    return r;
}

static int compile_format(struct making *m, const char *field, const pb_format *f,
                          struct body_format *ret)
{
    struct compile *c = m->c;
    struct err err = {0};
    struct str text = {NULL, 0};
    int r = 0;
    if (!f)
        return 0;
    size_t mark = pb_path_field(&c->path, field);
    if (f->format_case == ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT)
        text = str_from(f->text_format);
    else if (f->format_case ==
             ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT_SOURCE)
        r = data_source_read(c, f->text_format_source, &text);
    else
        r = COMPILE_FAIL(c, "only text_format and text_format_source are implemented here");
    if (r == 0 && format_compile(text, m->a, &ret->format, &err) < 0)
        r = COMPILE_FAIL(c, "%s", err_text(&err));
    if (r == 0 && !http_is_value(str_from(f->content_type)))
        r = COMPILE_FAIL(c, "content_type: is no value of a header");
    if (r < 0)
        return r;
    ret->set = true;
    ret->content_type =
        arena_str(m->a, str_from(*f->content_type ? f->content_type : "text/plain"));
    pb_path_back(&c->path, mark);
    return ret->content_type.p ? 0 : -ENOMEM;
}

static int compile_mapper(struct making *m, const pb_mapper *from, struct mapper *ret)
{
    struct compile *c = m->c;
    struct str body;
    int r = compile_filter(m, from, &ret->filter);
    if (r == 0 && from->status_code &&
        (from->status_code->value < 200 || from->status_code->value > 599))
        r = COMPILE_FAIL(c, "status_code %u: expected 200 to 599", from->status_code->value);
    if (r < 0)
        return r;
    ret->status = from->status_code ? (uint16_t)from->status_code->value : 0;
    size_t mark = pb_path_field(&c->path, "body");
    r = data_source_read(c, from->body, &body);
    if (r < 0)
        return r;
    pb_path_back(&c->path, mark);
    if (body.p) {
        ret->body = arena_str(m->a, body);
        if (!ret->body.p)
            return -ENOMEM;
    }
    r = compile_format(m, "body_format_override", from->body_format_override, &ret->format);
    if (r < 0)
        return r;
    return header_ops_compile(from->headers_to_add, from->n_headers_to_add, "headers_to_add", NULL,
                              0, "", m->a, &c->path, &ret->ops, c->err);
}

int local_replies_compile(struct compile *c, const pb_hcm *hcm, struct local_replies **ret)
{
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__LocalReplyConfig *from =
        hcm->local_reply_config;
    *ret = NULL;
    if (!from)
        return 0;
    size_t mark = pb_path_field(&c->path, "local_reply_config");
    if (from->n_mappers > LOCAL_REPLY_MAPPERS_MAX)
        return COMPILE_FAIL(c, "mappers: more than %d", LOCAL_REPLY_MAPPERS_MAX);
    struct local_replies *l = *ret = NEW(struct local_replies);
    l->arena = arena_new(0);
    struct making m = {c, l->arena};
    l->n = from->n_mappers;
    l->mappers = arena_alloc(l->arena, l->n * sizeof(*l->mappers));
    int r = l->mappers ? compile_format(&m, "body_format", from->body_format, &l->format) : -ENOMEM;
    for (size_t i = 0; i < l->n && r == 0; i++) {
        size_t at = pb_path_field(&c->path, "mappers");
        pb_path_index(&c->path, i);
        r = compile_mapper(&m, from->mappers[i], &l->mappers[i]);
        if (r == 0)
            pb_path_back(&c->path, at);
    }
    if (r == 0)
        pb_path_back(&c->path, mark);
    return r == -ENOMEM ? COMPILE_FAIL(c, "no memory") : r;
}

/* ---- answers ---- */

/* What the answer is about to have, and what the request can tell. */
static bool value_of(const struct format_piece *p, struct buf *to, void *user)
{
    const struct local_reply *r = user;
    switch ((int)p->op) {
    case FORMAT_LOCAL_REPLY_BODY:
        buf_add_str(to, r->body);
        return true;
    case FORMAT_RESPONSE_CODE:
        buf_addf(to, "%u", r->status);
        return true;
    default:
        return r->value(p, to, r->user);
    }
}

static const struct mapper *find(const struct local_replies *l, struct local_reply *r)
{
    for (size_t i = 0; i < l->n; i++)
        if (log_filter_passes(l->mappers[i].filter, value_of, r, r->request))
            return &l->mappers[i];
    return NULL;
}

void local_reply_map(const struct local_replies *l, struct local_reply *r)
{
    const struct mapper *m = find(l, r);
    r->format = m && m->format.set ? &m->format : l->format.set ? &l->format : NULL;
    if (!m)
        return;
    if (m->status)
        r->status = m->status;
    if (m->body.p)
        r->body = m->body;
    r->ops = header_ops_is_empty(&m->ops) ? NULL : &m->ops;
}

void local_reply_format(struct local_reply *r)
{
    AUTO_DONE(buf) struct buf b = {.cap = LOCAL_REPLY_BYTES_MAX};
    if (!r->format)
        return;
    format_write(&r->format->format, value_of, r, STR("-"), &b);
    struct str body = b.failed ? (struct str){NULL, 0} : arena_str(r->a, buf_str(&b));
    if (!body.p)
        return; /* out of memory, or too long: as it was */
    r->body = body;
    r->content_type = r->format->content_type;
}
