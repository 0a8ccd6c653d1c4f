/* The grammar of formats: %NAME%, %NAME(ARGUMENT)%, %NAME(ARGUMENT):LENGTH%, %% for a percent sign.
 */
#include "codec/format.h"

#include <errno.h>

#include "base/assert.h"

enum argument { NONE, NAMES, TEXT };
enum state { DONE, LATER };

enum { PIECES_MAX = 256 };

static const struct {
    struct str name;
    enum argument argument;
    enum state state;
} operators[_FORMAT_MAX] = {
#define FORMAT_OP(name, argument, state)                                                           \
    [FORMAT_##name] = {{#name, sizeof(#name) - 1}, argument, state},
#include "codec/format_ops.def"
#undef FORMAT_OP
};

static enum format_op find_operator(struct str name)
{
    for (int i = 1; i < _FORMAT_MAX; i++)
        if (str_eq(operators[i].name, name))
            return (enum format_op)i;
    return FORMAT_LITERAL;
}

static struct str lower_copy(struct arena *a, struct str s)
{
    struct str copy = arena_str(a, s);
    for (size_t i = 0; copy.p && i < copy.n; i++)
        if (copy.p[i] >= 'A' && copy.p[i] <= 'Z')
            ((char *)(uintptr_t)copy.p)[i] = (char)(copy.p[i] + 32);
    return copy;
}

static int read_names(struct str argument, struct arena *a, struct format_piece *p)
{
    struct str other, name = str_cut(argument, '?', &other);
    p->text = lower_copy(a, name);
    if (other.p)
        p->other = lower_copy(a, other);
    if (!p->text.p || (other.p && !p->other.p))
        return -ENOMEM;
    struct str plain = name.n && name.p[0] == ':' ? str_sub(name, 1, name.n) : name;
    if (!plain.n || (other.p && (!other.n || str_is(other, ":"))))
        return -EINVAL;
    p->id = (uint16_t)http_name_find(p->text);
    p->other_id = other.p ? (uint16_t)http_name_find(p->other) : HTTP_NAME_OTHER;
    return 0;
}

/* What stands between two percent signs; *s is behind the first. */
static int read_operator(struct str *s, struct arena *a, struct format_piece *p, struct err *reterr)
{
    struct str whole = *s, argument = {NULL, 0};
    size_t i = 0;
    while (i < s->n && ((s->p[i] >= 'A' && s->p[i] <= 'Z') || s->p[i] == '_' ||
                        (s->p[i] >= '0' && s->p[i] <= '9')))
        i++;
    struct str name = str_sub(*s, 0, i);
    *s = str_sub(*s, i, s->n);
    if (s->n && s->p[0] == '(') {
        const char *end = memchr(s->p, ')', s->n);
        if (!end)
            return err_set(reterr, -EINVAL, NULL, "no ')' behind %%" STR_FMT, STR_ARG(name));
        argument = str_of(s->p + 1, (size_t)(end - s->p) - 1);
        *s = str_sub(*s, argument.n + 2, s->n);
    }
    if (s->n && s->p[0] == ':') {
        struct str rest;
        uint64_t length;
        struct str digits = str_cut(str_sub(*s, 1, s->n), '%', &rest);
        if (str_to_u64(digits, &length) < 0 || length > UINT32_MAX)
            return err_set(reterr, -EINVAL, NULL, "\"" STR_FMT "\" is no length", STR_ARG(digits));
        p->length_max = (uint32_t)length;
        *s = str_sub(*s, digits.n + 1, s->n);
    }
    if (!s->n || s->p[0] != '%')
        return err_set(reterr, -EINVAL, NULL, "malformed operator at \"%%" STR_FMT "\"",
                       STR_ARG(str_sub(whole, 0, MIN(whole.n, (size_t)40))));
    *s = str_sub(*s, 1, s->n);
    p->op = (uint8_t)find_operator(name);
    if (p->op == FORMAT_LITERAL)
        return err_set(reterr, -EINVAL, NULL, "unknown operator %%" STR_FMT "%%", STR_ARG(name));
    if (operators[p->op].state == LATER)
        return err_set(reterr, -EINVAL, NULL, "operator %%" STR_FMT "%% is not implemented yet",
                       STR_ARG(name));
    if (operators[p->op].argument == NAMES && !argument.n)
        return err_set(reterr, -EINVAL, NULL, "%%" STR_FMT "%% needs a name in parentheses",
                       STR_ARG(name));
    if (operators[p->op].argument == NONE && argument.p)
        return err_set(reterr, -EINVAL, NULL, "%%" STR_FMT "%% takes no argument", STR_ARG(name));
    if (operators[p->op].argument == NAMES) {
        int r = read_names(argument, a, p);
        return r == -EINVAL ? err_set(reterr, r, NULL,
                                      "%%" STR_FMT "%% needs a name in parentheses", STR_ARG(name))
                            : r;
    }
    if (argument.p && !(p->text = arena_str(a, argument)).p)
        return -ENOMEM;
    return 0;
}

static int read_piece(struct str *s, struct arena *a, struct format_piece *p, struct err *reterr)
{
    size_t n = 0;
    *p = (struct format_piece){0};
    if (s->p[0] == '%' && !(s->n > 1 && s->p[1] == '%')) {
        *s = str_sub(*s, 1, s->n);
        return read_operator(s, a, p, reterr);
    }
    if (s->p[0] == '%') {
        p->text = STR("%");
        *s = str_sub(*s, 2, s->n);
        return 0;
    }
    while (n < s->n && s->p[n] != '%')
        n++;
    p->text = arena_str(a, str_sub(*s, 0, n));
    *s = str_sub(*s, n, s->n);
    return p->text.p ? 0 : -ENOMEM;
}

int format_compile(struct str text, struct arena *a, struct format *ret, struct err *reterr)
{
    struct format_piece pieces[PIECES_MAX];
    struct format f = {0};
    while (text.n) {
        if (f.n == PIECES_MAX)
            return err_set(reterr, -E2BIG, NULL, "more than %d operators in a format", PIECES_MAX);
        int r = read_piece(&text, a, &pieces[f.n], reterr);
        if (r < 0)
            return r;
        f.n++;
    }
    f.pieces = arena_alloc(a, MAX(f.n, (size_t)1) * sizeof(*f.pieces));
    if (!f.pieces)
        return -ENOMEM;
    memcpy(f.pieces, pieces, f.n * sizeof(*f.pieces));
    *ret = f;
    return 0;
}

bool format_is_number(const struct format_piece *p)
{
    switch ((int)p->op) {
    case FORMAT_RESPONSE_CODE:
    case FORMAT_BYTES_RECEIVED:
    case FORMAT_BYTES_SENT:
    case FORMAT_DURATION:
    case FORMAT_GRPC_STATUS_NUMBER:
    case FORMAT_UPSTREAM_REQUEST_ATTEMPT_COUNT:
    case FORMAT_DOWNSTREAM_REMOTE_PORT:
    case FORMAT_DOWNSTREAM_DIRECT_REMOTE_PORT:
    case FORMAT_DOWNSTREAM_LOCAL_PORT:
        return true;
    default:
        return false;
    }
}

size_t format_write(const struct format *f, format_value_fn *value, void *user, struct str absent,
                    struct buf *to)
{
    size_t values = 0;
    for (size_t i = 0; i < f->n; i++) {
        const struct format_piece *p = &f->pieces[i];
        size_t before = to->n;
        if (p->op == FORMAT_LITERAL) {
            buf_add_str(to, p->text);
        } else if (!value(p, to, user)) {
            to->n = before;
            buf_add_str(to, absent);
        } else {
            values++;
            if (p->length_max && to->n - before > p->length_max)
                to->n = before + p->length_max;
        }
    }
    return values;
}
