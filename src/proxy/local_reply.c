/* Local replies. */
#include "proxy/local_reply.h"

#include <errno.h>

#include "base/mem.h"
#include "codec/pb_msg.h"
#include "proxy/data_source.h"
#include "proxy/string_match.h"

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager
    pb_hcm;
typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__ResponseMapper pb_mapper;
typedef Envoy__Config__Accesslog__V3__AccessLogFilter pb_filter;
typedef Envoy__Config__Core__V3__SubstitutionFormatString pb_format;

enum { FILTERS_NESTED_MAX = 8 };

enum pick_kind { PICK_STATUS, PICK_FLAG, PICK_FIELD, PICK_ALL_OF, PICK_ANY_OF };

struct pick {
    uint8_t kind;
    uint8_t op; /* of a status: Envoy's numbers, EQ, GE, LE, NE */
    uint32_t status;
    struct str *flags; /* none: any but "-" */
    size_t n_flags;
    struct field_match field;
    struct pick *of;
    size_t n_of;
};

struct body_format {
    bool set;
    struct format format;
    struct str content_type;
};

struct mapper {
    struct pick pick;
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

static int compile_pick(struct making *m, const pb_filter *f, unsigned depth, struct pick *ret);

static int compile_picks(struct making *m, enum pick_kind kind, pb_filter *const *f, size_t n,
                         unsigned depth, struct pick *ret)
{
    int r = 0;
    ret->kind = (uint8_t)kind;
    ret->n_of = n;
    ret->of = arena_alloc(m->a, n * sizeof(*ret->of));
    if (!ret->of)
        return -ENOMEM;
    for (size_t i = 0; i < n && r == 0; i++)
        r = compile_pick(m, f[i], depth + 1, &ret->of[i]);
    return r;
}

static int compile_flags(struct making *m,
                         const Envoy__Config__Accesslog__V3__ResponseFlagFilter *f,
                         struct pick *ret)
{
    ret->kind = PICK_FLAG;
    ret->n_flags = f->n_flags;
    ret->flags = arena_alloc(m->a, f->n_flags * sizeof(*ret->flags));
    for (size_t i = 0; ret->flags && i < f->n_flags; i++) {
        ret->flags[i] = arena_str(m->a, str_from(f->flags[i]));
        if (!ret->flags[i].p)
            return -ENOMEM;
    }
    return ret->flags ? 0 : -ENOMEM;
}

static int compile_pick(struct making *m, const pb_filter *f, unsigned depth, struct pick *ret)
{
    struct compile *c = m->c;
    const Envoy__Config__Accesslog__V3__ComparisonFilter *compare;
    if (!f || depth > FILTERS_NESTED_MAX)
        return COMPILE_FAIL(c, "filter: must be set, and filters in filters at most %d deep",
                            FILTERS_NESTED_MAX);
    switch ((int)f->filter_specifier_case) {
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_STATUS_CODE_FILTER:
        compare = f->status_code_filter->comparison;
        if (!compare || !compare->value)
            return COMPILE_FAIL(c, "filter.status_code_filter: needs comparison.value");
        ret->kind = PICK_STATUS;
        ret->op = (uint8_t)compare->op;
        ret->status = compare->value->default_value;
        return 0;
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_RESPONSE_FLAG_FILTER:
        return compile_flags(m, f->response_flag_filter, ret);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_HEADER_FILTER:
        if (!f->header_filter->header)
            return COMPILE_FAIL(c, "filter.header_filter: needs header");
        ret->kind = PICK_FIELD;
        return field_match_compile(f->header_filter->header, m->a, &c->path, &ret->field, c->err);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_AND_FILTER:
        return compile_picks(m, PICK_ALL_OF, f->and_filter->filters, f->and_filter->n_filters,
                             depth, ret);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_OR_FILTER:
        return compile_picks(m, PICK_ANY_OF, f->or_filter->filters, f->or_filter->n_filters, depth,
                             ret);
    default:
        return COMPILE_FAIL(c, "filter: only status_code_filter, response_flag_filter, "
                               "header_filter, and_filter and or_filter are implemented here");
    }
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
    int r = compile_pick(m, from->filter, 0, &ret->pick);
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

static bool picks_status(const struct pick *p, uint32_t status)
{
    switch ((int)p->op) {
    case ENVOY__CONFIG__ACCESSLOG__V3__COMPARISON_FILTER__OP__GE:
        return status >= p->status;
    case ENVOY__CONFIG__ACCESSLOG__V3__COMPARISON_FILTER__OP__LE:
        return status <= p->status;
    case ENVOY__CONFIG__ACCESSLOG__V3__COMPARISON_FILTER__OP__NE:
        return status != p->status;
    default:
        return status == p->status;
    }
}

static bool picks_flag(const struct pick *p, struct str flag)
{
    for (size_t i = 0; i < p->n_flags; i++)
        if (str_eq(p->flags[i], flag))
            return true;
    return !p->n_flags && !str_is(flag, "-");
}

static bool picks(const struct pick *p, const struct local_reply *r)
{
    bool any = p->kind == PICK_ANY_OF;
    switch ((enum pick_kind)p->kind) {
    case PICK_STATUS:
        return picks_status(p, r->status);
    case PICK_FLAG:
        return picks_flag(p, r->flag);
    case PICK_FIELD:
        return field_matches(&p->field, r->request);
    case PICK_ALL_OF:
    case PICK_ANY_OF:
        break;
    }
    for (size_t i = 0; i < p->n_of; i++)
        if (picks(&p->of[i], r) == any)
            return any;
    return !any;
}

static const struct mapper *find(const struct local_replies *l, const struct local_reply *r)
{
    for (size_t i = 0; i < l->n; i++)
        if (picks(&l->mappers[i].pick, r))
            return &l->mappers[i];
    return NULL;
}

/* %LOCAL_REPLY_BODY%, and what the request can tell. */
static bool value_of(const struct format_piece *p, struct buf *to, void *user)
{
    const struct local_reply *r = user;
    if (p->op != FORMAT_LOCAL_REPLY_BODY)
        return r->value(p, to, r->user);
    buf_add_str(to, r->body);
    return true;
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
