/* Filters of access logs. */
#include "proxy/log_filter.h"

#include <errno.h>

#include "base/hash.h"
#include "base/rand.h"
#include "proxy/fraction.h"
#include "proxy/string_match.h"

typedef Envoy__Config__Accesslog__V3__AccessLogFilter pb_filter;
typedef Envoy__Config__Accesslog__V3__ComparisonFilter pb_comparison;

enum kind {
    KIND_STATUS,
    KIND_DURATION,
    KIND_ALL, /* every request passes */
    KIND_SAMPLE,
    KIND_AND,
    KIND_OR,
    KIND_FIELD,
    KIND_FLAGS,
    KIND_TRACED,
    KIND_GRPC,
};

struct log_filter {
    uint8_t kind;
    uint8_t op; /* of a comparison: ComparisonFilter.Op */
    uint64_t value;
    struct fraction fraction;
    bool drawn; /* for each request anew, not by its id */
    bool exclude;
    uint32_t statuses; /* bits */
    struct field_match field;
    struct str *flags; /* n; none: any flag */
    struct log_filter **of;
    size_t n;
};

struct making {
    struct arena *arena;
    struct pb_path *path;
    struct err *err;
    unsigned n, depth;
    bool grpc;
};

#define FAIL(c, ...) pb_path_fail((c)->path, (c)->err, -EINVAL, __VA_ARGS__)

/* ---- making ---- */

static int make(struct making *c, const pb_filter *m, struct log_filter **ret);

static int make_comparison(struct making *c, const pb_comparison *m, enum kind kind,
                           struct log_filter *f)
{
    if (!m || !m->value)
        return FAIL(c, "comparison and its value must be set");
    f->kind = (uint8_t)kind;
    f->op = (uint8_t)m->op;
    f->value = m->value->default_value;
    return 0;
}

static int make_list(struct making *c, pb_filter *const *m, size_t n, struct log_filter *f)
{
    if (n < 2)
        return FAIL(c, "filters: at least two are needed");
    f->of = arena_alloc(c->arena, n * sizeof(struct log_filter *));
    int r = f->of ? 0 : -ENOMEM;
    size_t mark = pb_path_field(c->path, "filters");
    for (size_t i = 0; i < n && r == 0; i++) {
        size_t at = c->path->n;
        pb_path_index(c->path, i);
        r = make(c, m[i], &f->of[f->n]);
        f->n += r == 0;
        if (r == 0)
            pb_path_back(c->path, at);
    }
    if (r == 0)
        pb_path_back(c->path, mark);
    return r;
}

static int make_field(struct making *c, const Envoy__Config__Accesslog__V3__HeaderFilter *m,
                      struct log_filter *f)
{
    if (!m->header)
        return FAIL(c, "header must be set");
    size_t mark = pb_path_field(c->path, "header");
    f->kind = KIND_FIELD;
    int r = field_match_compile(m->header, c->arena, c->path, &f->field, c->err);
    if (r == 0)
        pb_path_back(c->path, mark);
    return r;
}

static int make_flags(struct making *c, const Envoy__Config__Accesslog__V3__ResponseFlagFilter *m,
                      struct log_filter *f)
{
    f->kind = KIND_FLAGS;
    f->flags = arena_alloc(c->arena, MAX(m->n_flags, (size_t)1) * sizeof(*f->flags));
    for (size_t i = 0; f->flags && i < m->n_flags; i++) {
        f->flags[i] = arena_str(c->arena, str_from(m->flags[i]));
        if (!f->flags[i].p)
            return -ENOMEM;
    }
    f->n = m->n_flags;
    return f->flags ? 0 : -ENOMEM;
}

static int make_one(struct making *c, const pb_filter *m, struct log_filter *f)
{
    switch ((unsigned)m->filter_specifier_case) {
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_STATUS_CODE_FILTER:
        return make_comparison(c, m->status_code_filter->comparison, KIND_STATUS, f);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_DURATION_FILTER:
        return make_comparison(c, m->duration_filter->comparison, KIND_DURATION, f);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_NOT_HEALTH_CHECK_FILTER:
        f->kind = KIND_ALL; /* there is no filter that answers health checks */
        return 0;
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_TRACEABLE_FILTER:
        f->kind = KIND_TRACED;
        return 0;
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_RUNTIME_FILTER:
        f->kind = KIND_SAMPLE;
        f->fraction = fraction_of(m->runtime_filter->percent_sampled);
        f->drawn = m->runtime_filter->use_independent_randomness;
        return 0;
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_AND_FILTER:
        f->kind = KIND_AND;
        return make_list(c, m->and_filter->filters, m->and_filter->n_filters, f);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_OR_FILTER:
        f->kind = KIND_OR;
        return make_list(c, m->or_filter->filters, m->or_filter->n_filters, f);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_HEADER_FILTER:
        return make_field(c, m->header_filter, f);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_RESPONSE_FLAG_FILTER:
        return make_flags(c, m->response_flag_filter, f);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_GRPC_STATUS_FILTER:
        f->kind = KIND_GRPC;
        f->exclude = m->grpc_status_filter->exclude;
        for (size_t i = 0; i < m->grpc_status_filter->n_statuses; i++)
            f->statuses |= 1u << (unsigned)m->grpc_status_filter->statuses[i] % 32;
        c->grpc = true;
        return 0;
    default:
        return FAIL(c, "no filter that is implemented");
    }
}

static int make(struct making *c, const pb_filter *m, struct log_filter **ret)
{
    if (c->n++ == LOG_FILTERS_MAX || c->depth == LOG_FILTER_DEPTH_MAX)
        return FAIL(c, "more than %d filters, or deeper than %d", LOG_FILTERS_MAX,
                    LOG_FILTER_DEPTH_MAX);
    struct log_filter *f = *ret = arena_alloc(c->arena, sizeof(*f));
    if (!f)
        return -ENOMEM;
    c->depth++;
    int r = make_one(c, m, f);
    c->depth--;
    return r;
}

int log_filter_compile(const pb_filter *m, struct arena *a, struct pb_path *path,
                       struct log_filter **ret, bool *ret_grpc, struct err *reterr)
{
    struct making c = {.arena = a, .path = path, .err = reterr};
    int r = make(&c, m, ret);
    *ret_grpc = c.grpc;
    return r;
}

/* ---- asking ---- */

struct asking {
    format_value_fn *value;
    void *user;
    const struct http_head *head;
};

/* Of an operator without an argument; empty: there is none. */
static struct str ask(const struct asking *q, enum format_op op, struct buf *room)
{
    const struct format_piece p = {.op = (uint8_t)op};
    buf_clear(room);
    return q->value(&p, room, q->user) ? buf_str(room) : STR("");
}

static bool compare(const struct log_filter *f, struct str text)
{
    uint64_t n = 0;
    if (str_to_u64(text, &n) < 0)
        n = 0;
    switch ((unsigned)f->op) {
    case ENVOY__CONFIG__ACCESSLOG__V3__COMPARISON_FILTER__OP__EQ:
        return n == f->value;
    case ENVOY__CONFIG__ACCESSLOG__V3__COMPARISON_FILTER__OP__GE:
        return n >= f->value;
    case ENVOY__CONFIG__ACCESSLOG__V3__COMPARISON_FILTER__OP__LE:
        return n <= f->value;
    default:
        return n != f->value;
    }
}

static bool has_flag(const struct log_filter *f, struct str flags)
{
    if (!f->n)
        return flags.n && !str_is(flags, "-");
    while (flags.p) {
        struct str flag = str_cut(flags, ',', &flags);
        for (size_t i = 0; i < f->n; i++)
            if (str_eq(flag, f->flags[i]))
                return true;
    }
    return false;
}

/* The same requests everywhere where they have the same id. */
static bool is_sampled(const struct log_filter *f, const struct http_head *head)
{
    const struct http_field *id =
        head && !f->drawn ? http_head_find_text(head, STR("x-request-id")) : NULL;
    struct str text = id ? http_field_value(id) : STR("");
    return fraction_hits(f->fraction, text.n ? hash_bytes(text.p, text.n) : rand_u64(), false);
}

static bool passes(const struct log_filter *f, const struct asking *q, struct buf *room)
{
    uint64_t code;
    switch ((enum kind)f->kind) {
    case KIND_STATUS:
        return compare(f, ask(q, FORMAT_RESPONSE_CODE, room));
    case KIND_DURATION:
        return compare(f, ask(q, FORMAT_DURATION, room));
    case KIND_ALL:
        return true;
    case KIND_SAMPLE:
        return is_sampled(f, q->head);
    case KIND_AND:
        for (size_t i = 0; i < f->n; i++)
            if (!passes(f->of[i], q, room))
                return false;
        return true;
    case KIND_OR:
        for (size_t i = 0; i < f->n; i++)
            if (passes(f->of[i], q, room))
                return true;
        return false;
    case KIND_FIELD:
        return q->head && field_matches(&f->field, q->head);
    case KIND_FLAGS:
        return has_flag(f, ask(q, FORMAT_RESPONSE_FLAGS, room));
    case KIND_TRACED:
        return ask(q, FORMAT_TRACE_SAMPLED, room).n;
    case KIND_GRPC:
        if (str_to_u64(ask(q, FORMAT_GRPC_STATUS_NUMBER, room), &code) < 0)
            code = 2; /* UNKNOWN */
        return (code < 32 && (f->statuses & 1u << code)) != f->exclude;
    }
    return true;
}

bool log_filter_passes(const struct log_filter *f, format_value_fn *value, void *user,
                       const struct http_head *head)
{
    AUTO_DONE(buf) struct buf room = {0};
    return passes(f, &(struct asking){value, user, head}, &room);
}
