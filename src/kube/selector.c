/* Label and field selectors. A parsed selector is a list of requirements that must all hold; it
 * owns its strings. The grammar of labels is that of apimachinery's labels.Parse; the messages are
 * its too, since kubectl shows them. Limits: SELECTOR_REQUIREMENTS_MAX and SELECTOR_VALUES_MAX. */
#include "kube/selector.h"

#include <errno.h>

#include "base/vec.h"
#include "kube/validate.h"

void selector_done(struct selector *s)
{
    for (size_t i = 0; i < s->n; i++) {
        for (size_t k = 0; k < s->v[i].n; k++)
            free(s->v[i].values[k]);
        free(s->v[i].values);
        free(s->v[i].key);
    }
    free(s->v);
    *s = (struct selector){0};
}

static struct requirement *add_requirement(struct selector *s, struct str key, enum selector_op op)
{
    if (s->n >= SELECTOR_REQUIREMENTS_MAX)
        return NULL;
    struct requirement *r = vec_add(s);
    r->key = str_dup(key);
    r->op = op;
    return r;
}

static bool add_value(struct selector *s, struct requirement *r, struct str value)
{
    if (++s->n_values > SELECTOR_VALUES_MAX)
        return false;
    r->values = xrealloc(r->values, (r->n + 1) * sizeof(*r->values));
    r->values[r->n++] = str_dup(value);
    return true;
}

struct parser {
    struct str rest;
    struct selector *out;
    struct err *reterr;
};

static bool is_symbol(char c)
{
    return c == '=' || c == '!' || c == '(' || c == ')' || c == ',' || c == '>' || c == '<';
}

static void skip_space(struct parser *p)
{
    while (p->rest.n && strchr(" \t\r\n", p->rest.p[0]))
        p->rest = str_sub(p->rest, 1, p->rest.n);
}

static struct str peek_word(struct parser *p)
{
    skip_space(p);
    size_t n = 0;
    while (n < p->rest.n && !is_symbol(p->rest.p[n]) && !strchr(" \t\r\n", p->rest.p[n]))
        n++;
    return str_sub(p->rest, 0, n);
}

static struct str take_word(struct parser *p)
{
    struct str w = peek_word(p);
    p->rest = str_sub(p->rest, w.n, p->rest.n);
    return w;
}

static bool take_symbol(struct parser *p, const char *symbol)
{
    skip_space(p);
    if (!str_starts(p->rest, str_from(symbol)))
        return false;
    p->rest = str_sub(p->rest, strlen(symbol), p->rest.n);
    return true;
}

static int unexpected(struct parser *p, const char *expected)
{
    size_t n = MIN(p->rest.n, (size_t)40);
    return err_set(p->reterr, -EINVAL, NULL,
                   "unable to parse requirement: found '%.*s', expected: %s", (int)n,
                   n ? p->rest.p : "", expected);
}

static int check_value(struct parser *p, struct str value)
{
    if (!label_value_is_valid(value))
        return err_set(p->reterr, -EINVAL, NULL,
                       "unable to parse requirement: values[0][]: Invalid value: "
                       "\"%.*s\": " LABEL_VALUE_MESSAGE,
                       (int)MIN(value.n, (size_t)80), value.p);
    return 0;
}

static int too_many(struct parser *p)
{
    return err_set(p->reterr, -EINVAL, NULL, "the selector has too many requirements or values");
}

static int parse_values(struct parser *p, struct requirement *r)
{
    if (!take_symbol(p, "("))
        return unexpected(p, "'('");
    for (;;) {
        struct str w = take_word(p);
        if (check_value(p, w) < 0)
            return -EINVAL;
        if (!add_value(p->out, r, w))
            return too_many(p);
        if (take_symbol(p, ","))
            continue;
        return take_symbol(p, ")") ? 0 : unexpected(p, "',', or ')'");
    }
}

static int parse_operator(struct parser *p, struct str key)
{
    static const struct {
        const char *text;
        enum selector_op op;
    } ops[] = {{"==", SELECTOR_IN},
               {"=", SELECTOR_IN},
               {"!=", SELECTOR_NOT_IN},
               {">", SELECTOR_GT},
               {"<", SELECTOR_LT}};
    skip_space(p);
    if (!p->rest.n || p->rest.p[0] == ',')
        return add_requirement(p->out, key, SELECTOR_EXISTS) ? 0 : too_many(p);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (!take_symbol(p, ops[i].text))
            continue;
        struct requirement *r = add_requirement(p->out, key, ops[i].op);
        struct str value = take_word(p);
        int64_t number;
        if (check_value(p, value) < 0)
            return -EINVAL;
        if (ops[i].op >= SELECTOR_GT && str_to_i64(value, &number) < 0)
            return err_set(p->reterr, -EINVAL, NULL,
                           "unable to parse requirement: values[0]: Invalid value: \"%.*s\": for "
                           "'Gt', 'Lt' operators, "
                           "the value must be an integer",
                           (int)MIN(value.n, (size_t)80), value.p);
        return r && add_value(p->out, r, value) ? 0 : too_many(p);
    }
    struct str word = peek_word(p);
    if (!str_is(word, "in") && !str_is(word, "notin"))
        return unexpected(p, "in, notin, =, ==, !=, gt, lt");
    take_word(p);
    struct requirement *r =
        add_requirement(p->out, key, str_is(word, "in") ? SELECTOR_IN : SELECTOR_NOT_IN);
    return r ? parse_values(p, r) : too_many(p);
}

static int parse_requirement(struct parser *p)
{
    bool negated = take_symbol(p, "!");
    struct str key = take_word(p);
    if (!key.n)
        return unexpected(p, "!, identifier, or 'end of string'");
    if (!qualified_name_is_valid(key))
        return err_set(
            p->reterr, -EINVAL, NULL,
            "unable to parse requirement: <nil>: Invalid value: \"%.*s\": " QUALIFIED_NAME_MESSAGE,
            (int)MIN(key.n, (size_t)80), key.p);
    if (negated)
        return add_requirement(p->out, key, SELECTOR_ABSENT) ? 0 : too_many(p);
    return parse_operator(p, key);
}

int selector_parse_labels(struct str text, struct selector *ret, struct err *reterr)
{
    struct selector out = {0};
    struct parser p = {text, &out, reterr};
    int code = 0;
    bool comma = false;
    skip_space(&p);
    while (code == 0 && (p.rest.n || comma)) {
        code = p.rest.n ? parse_requirement(&p) : unexpected(&p, "identifier after ','");
        skip_space(&p);
        comma = code == 0 && p.rest.n && take_symbol(&p, ",");
        if (code == 0 && p.rest.n && !comma)
            code = unexpected(&p, "',' or 'end of string'");
        skip_space(&p);
    }
    if (code < 0) {
        selector_done(&out);
        return code;
    }
    *ret = out;
    return 0;
}

/* One unescaped term up to ','; returns what is left. */
static int parse_field_term(struct str *text, struct selector *out, struct err *reterr)
{
    AUTO_DONE(buf) struct buf part = {0};
    AUTO_DONE(buf) struct buf key = {0};
    struct str whole = *text;
    bool have_op = false;
    enum selector_op op = SELECTOR_IN;
    size_t i = 0;
    for (; i < whole.n && whole.p[i] != ','; i++) {
        char c = whole.p[i];
        char next = i + 1 < whole.n ? whole.p[i + 1] : '\0';
        if (c == '\\' && (next == '\\' || next == ',' || next == '=')) {
            buf_add_char(&part, next);
            i++;
        } else if (!have_op && (c == '=' || (c == '!' && next == '='))) {
            have_op = true;
            op = c == '!' ? SELECTOR_NOT_IN : SELECTOR_IN;
            i += c == '!' || next == '=';
            buf_add_str(&key, buf_str(&part));
            buf_clear(&part);
        } else {
            buf_add_char(&part, c);
        }
    }
    *text = str_sub(whole, MIN(i + 1, whole.n), whole.n);
    if (i == 0)
        return 0;
    if (!have_op)
        return err_set(reterr, -EINVAL, NULL, "invalid selector: '%.*s'; can't understand '%.*s'",
                       (int)MIN(whole.n, (size_t)80), whole.p, (int)MIN(i, (size_t)80), whole.p);
    struct requirement *r = add_requirement(out, buf_str(&key), op);
    return r && add_value(out, r, buf_str(&part))
               ? 0
               : err_set(reterr, -EINVAL, NULL, "the selector has too many terms");
}

int selector_parse_fields(struct str text, struct selector *ret, struct err *reterr)
{
    struct selector out = {0};
    int code = 0;
    while (code == 0 && text.n)
        code = parse_field_term(&text, &out, reterr);
    if (code < 0) {
        selector_done(&out);
        return code;
    }
    *ret = out;
    return 0;
}

static int add_expression(const json_t *e, struct selector *out, struct err *reterr)
{
    static const char *const names[] = {"In", "NotIn", "Exists", "DoesNotExist"};
    static const enum selector_op ops[] = {SELECTOR_IN, SELECTOR_NOT_IN, SELECTOR_EXISTS,
                                           SELECTOR_ABSENT};
    const char *key = json_at_str(e, "key"), *name = json_at_str(e, "operator");
    for (size_t i = 0; key && i < ARRAY_LEN(names); i++) {
        if (!streq(name, names[i]))
            continue;
        struct requirement *r = add_requirement(out, str_from(key), ops[i]);
        size_t at;
        json_t *v;
        json_array_foreach(
            json_at(e, "values"), at,
            v) if (!r || !json_is_string(v) ||
                   !add_value(out, r,
                              str_from(json_string_value(
                                  v)))) return err_set(reterr, -EINVAL, NULL,
                                                       "invalid values in a label selector");
        return r ? 0 : -EINVAL;
    }
    return err_set(reterr, -EINVAL, NULL, "\"%.60s\" is not a valid label selector operator",
                   name ? name : "");
}

int selector_from_object(const json_t *object, struct selector *ret, bool *ret_none,
                         struct err *reterr)
{
    struct selector out = {0};
    const char *key;
    json_t *v;
    size_t i;
    int code = 0;
    json_object_foreach(json_at(object, "matchLabels"), key, v)
    {
        struct requirement *r = add_requirement(&out, str_from(key), SELECTOR_IN);
        if (!r || !json_is_string(v) || !add_value(&out, r, str_from(json_string_value(v))))
            code = err_set(reterr, -EINVAL, "matchLabels", "cannot be read");
    }
    json_array_foreach(json_at(object, "matchExpressions"), i, v) if (code == 0) code =
        add_expression(v, &out, reterr);
    if (code < 0) {
        selector_done(&out);
        return code;
    }
    *ret_none = !json_is_object(object);
    *ret = out;
    return 0;
}

static bool has_value(const struct requirement *r, const char *value)
{
    for (size_t i = 0; i < r->n; i++)
        if (streq(r->values[i], value))
            return true;
    return false;
}

static bool requirement_matches(const struct requirement *r, const char *value)
{
    int64_t have, limit;
    switch (r->op) {
    case SELECTOR_IN:
        return value && has_value(r, value);
    case SELECTOR_NOT_IN:
        return !value || !has_value(r, value);
    case SELECTOR_EXISTS:
        return value != NULL;
    case SELECTOR_ABSENT:
        return value == NULL;
    case SELECTOR_GT:
    case SELECTOR_LT:
        if (!value || !r->n || str_to_i64(str_from(value), &have) < 0 ||
            str_to_i64(str_from(r->values[0]), &limit) < 0)
            return false;
        return r->op == SELECTOR_GT ? have > limit : have < limit;
    }
    return false;
}

bool selector_matches(const struct selector *s, const struct label *labels, size_t n)
{
    for (size_t i = 0; i < s->n; i++) {
        const char *value = NULL;
        for (size_t k = 0; k < n && !value; k++)
            if (streq(labels[k].key, s->v[i].key))
                value = labels[k].value;
        if (!requirement_matches(&s->v[i], value))
            return false;
    }
    return true;
}

bool selector_matches_object(const struct selector *s, const json_t *labels)
{
    for (size_t i = 0; i < s->n; i++)
        if (!requirement_matches(&s->v[i], json_key_str(labels, s->v[i].key)))
            return false;
    return true;
}
