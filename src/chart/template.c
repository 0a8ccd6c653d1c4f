/* Parser of templates: text with actions in {{ }} into nodes. Knows nothing of values. What it
 * makes lives in the set's arena; names and texts point into the template. */
#include "chart/template_priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

enum stop {
    STOP_NONE,
    STOP_EOF,
    STOP_END,
    STOP_ELSE, /* the cursor is behind the word */
};

struct parser {
    struct templates *t;
    const char *file;
    struct str text;
    size_t at;
    unsigned line, depth;
    bool trim; /* the last action took the white space behind it */
    struct err *err;
};

static int parse_list(struct parser *p, struct node **ret, enum stop *ret_stop);
static struct expr *parse_pipeline(struct parser *p);

/* ---- words ---- */

static void *fail(struct parser *p, const char *what)
{
    if (p->err && !p->err->code)
        err_set(p->err, -EINVAL, NULL, "%s:%u: %s", p->file, p->line, what);
    return NULL;
}

static char peek(const struct parser *p, size_t ahead)
{
    return p->at + ahead < p->text.n ? p->text.p[p->at + ahead] : '\0';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static void advance(struct parser *p, size_t n)
{
    for (; n && p->at < p->text.n; n--)
        p->line += p->text.p[p->at++] == '\n';
}

static void skip_space(struct parser *p)
{
    while (is_space(peek(p, 0)))
        advance(p, 1);
}

static bool ahead_is(const struct parser *p, const char *word)
{
    return str_starts(str_sub(p->text, p->at, p->text.n), str_from(word));
}

static bool at_close(const struct parser *p)
{
    return ahead_is(p, "}}") || ahead_is(p, "-}}");
}

/* The word that begins here, without moving. */
static struct str word_ahead(const struct parser *p)
{
    size_t n = 0;
    while (is_word(peek(p, n)))
        n++;
    return str_sub(p->text, p->at, p->at + n);
}

static struct str take_word(struct parser *p)
{
    struct str w = word_ahead(p);
    advance(p, w.n);
    skip_space(p);
    return w;
}

static int close_action(struct parser *p)
{
    skip_space(p);
    p->trim = ahead_is(p, "-}}");
    if (!at_close(p)) {
        fail(p, "unexpected text before }}");
        return -EINVAL;
    }
    advance(p, p->trim ? 3 : 2);
    return 0;
}

/* ---- expressions ---- */

static struct expr *new_expr(struct parser *p, enum expr_type type, struct str name)
{
    struct expr *e = arena_alloc(p->t->arena, sizeof(*e));
    if (!e)
        return fail(p, "too large");
    e->type = type;
    e->line = p->line;
    e->name = name;
    return e;
}

static void drop_value(void *value)
{
    json_decref(value);
}

static struct expr *value_expr(struct parser *p, json_t *value)
{
    struct expr *e = new_expr(p, EXPR_VALUE, (struct str){0});
    if (!e || !value || arena_defer(p->t->arena, drop_value, value) < 0) {
        json_decref(value);
        return fail(p, "a value that cannot be had");
    }
    e->value = value;
    return e;
}

/* "…" with Go's simple escapes, or `…`. */
static struct expr *parse_string(struct parser *p)
{
    static const char from[] = "ntr\\\"'", to[] = "\n\t\r\\\"'";
    AUTO_DONE(buf) struct buf b = {0};
    char quote = peek(p, 0);
    for (advance(p, 1); p->at < p->text.n && peek(p, 0) != quote; advance(p, 1)) {
        char c = peek(p, 0);
        if (c == '\n' && quote == '"')
            return fail(p, "a text without an end");
        if (c == '\\' && quote == '"') {
            advance(p, 1);
            const char *found = peek(p, 0) ? strchr(from, peek(p, 0)) : NULL;
            if (!found)
                return fail(p, "an escape that is not known");
            c = to[found - from];
        }
        buf_add_char(&b, c);
    }
    if (p->at >= p->text.n)
        return fail(p, "a text without an end");
    advance(p, 1);
    return value_expr(p, json_text(buf_str(&b)));
}

static struct expr *parse_number(struct parser *p)
{
    size_t n = 1;
    int64_t value;
    while (is_word(peek(p, n)))
        n++;
    struct str digits = str_sub(p->text, p->at, p->at + n);
    if (str_to_i64(digits, &value) < 0)
        return fail(p, "not a whole number");
    advance(p, n);
    return value_expr(p, json_integer(value));
}

static struct expr *parse_word(struct parser *p)
{
    struct str w = word_ahead(p);
    struct expr *e;
    if (str_is(w, "true") || str_is(w, "false"))
        e = value_expr(p, json_boolean(str_is(w, "true")));
    else if (str_is(w, "nil"))
        e = value_expr(p, json_null());
    else if (template_function_exists(w))
        e = new_expr(p, EXPR_CALL, w);
    else
        return fail(p, "a function that is not known here");
    advance(p, w.n);
    return e;
}

/* The names behind an operand: .a.b */
static struct expr *parse_fields(struct parser *p, struct expr *of)
{
    while (of && peek(p, 0) == '.' && is_word(peek(p, 1))) {
        advance(p, 1);
        struct str w = word_ahead(p);
        struct expr *e = new_expr(p, EXPR_FIELD, w);
        if (!e)
            return NULL;
        advance(p, w.n);
        e->of = of;
        of = e;
    }
    return of;
}

static struct expr *parse_operand(struct parser *p)
{
    char c = peek(p, 0);
    struct expr *e;
    if (c == '"' || c == '`') {
        e = parse_string(p);
    } else if (isdigit((unsigned char)c) || (c == '-' && isdigit((unsigned char)peek(p, 1)))) {
        e = parse_number(p);
    } else if (c == '.') {
        e = parse_fields(p, new_expr(p, EXPR_DOT, (struct str){0}));
        if (e && e->type == EXPR_DOT)
            advance(p, 1);
    } else if (c == '$') {
        advance(p, 1);
        struct str w = word_ahead(p);
        advance(p, w.n);
        e = parse_fields(p, new_expr(p, EXPR_VARIABLE, w));
    } else if (c == '(') {
        if (++p->depth > TEMPLATE_DEPTH_MAX)
            return fail(p, "nested too deeply");
        advance(p, 1);
        e = parse_pipeline(p);
        if (e && peek(p, 0) != ')')
            return fail(p, "a ) is missing");
        advance(p, 1);
        p->depth--;
        e = parse_fields(p, e);
    } else if (is_word(c)) {
        e = parse_word(p);
    } else {
        return fail(p, "a value is missing");
    }
    if (e && p->at >= p->text.n)
        return fail(p, "a }} is missing");
    if (e && !is_space(peek(p, 0)) && peek(p, 0) != ')' && peek(p, 0) != '|' && peek(p, 0) != ',' &&
        !at_close(p))
        return fail(p, "a blank is missing");
    skip_space(p);
    return e;
}

/* .Files.Get and .Files.Glob are functions of a field. */
static bool is_method(const struct expr *e)
{
    return e->type == EXPR_FIELD && e->of->type == EXPR_FIELD && str_is(e->of->name, "Files") &&
           (str_is(e->name, "Get") || str_is(e->name, "Glob"));
}

static struct expr *parse_command(struct parser *p)
{
    struct expr *first = parse_operand(p), **tail, *arg;
    size_t n = 0;
    if (!first)
        return NULL;
    if (is_method(first))
        first->type = EXPR_CALL;
    tail = &first->args;
    while (p->at < p->text.n && peek(p, 0) != ')' && peek(p, 0) != '|' && !at_close(p)) {
        if (first->type != EXPR_CALL)
            return fail(p, "something that is no function is given arguments");
        if (++n > TEMPLATE_ARGS_MAX - 1)
            return fail(p, "too many arguments");
        arg = parse_operand(p);
        if (!arg)
            return NULL;
        *tail = arg;
        tail = &arg->next;
    }
    return first;
}

static struct expr *parse_pipeline(struct parser *p)
{
    skip_space(p);
    struct expr *value = parse_command(p);
    while (value && peek(p, 0) == '|') {
        advance(p, 1);
        skip_space(p);
        struct expr *next = parse_command(p), **tail;
        if (!next)
            return NULL;
        if (next->type != EXPR_CALL)
            return fail(p, "behind a | is no function");
        for (tail = &next->args; *tail;)
            tail = &(*tail)->next;
        *tail = value;
        value = next;
    }
    return value;
}

/* ---- blocks ---- */

static struct node *new_node(struct parser *p, enum node_type type)
{
    struct node *n = arena_alloc(p->t->arena, sizeof(*n));
    if (!n)
        return fail(p, "too large");
    n->type = type;
    n->line = p->line;
    return n;
}

static bool takes(struct parser *p, const char *sign)
{
    if (!ahead_is(p, sign))
        return false;
    advance(p, strlen(sign));
    skip_space(p);
    return true;
}

/* "$a, $b :=" of a range, if it is there. */
static int parse_range_variables(struct parser *p, struct node *n)
{
    struct parser before = *p;
    if (!takes(p, "$"))
        return 0;
    n->variable = take_word(p);
    if (takes(p, ",")) {
        n->key = n->variable;
        if (!takes(p, "$") || !(n->variable = take_word(p)).n)
            return -EINVAL;
    }
    if (takes(p, ":="))
        return 0;
    *p = before;
    n->key = n->variable = (struct str){0};
    return 0;
}

/* What follows if, with, range; also after else. */
static int parse_block(struct parser *p, struct node *n)
{
    enum stop stop;
    if (++p->depth > TEMPLATE_DEPTH_MAX) {
        fail(p, "nested too deeply");
        return -EINVAL;
    }
    if ((n->type == NODE_RANGE && parse_range_variables(p, n) < 0) ||
        !(n->value = parse_pipeline(p)) || close_action(p) < 0 ||
        parse_list(p, &n->body, &stop) < 0)
        return -EINVAL;
    skip_space(p);
    if (stop == STOP_ELSE && str_is(word_ahead(p), "if") && n->type != NODE_RANGE) {
        take_word(p);
        if (!(n->otherwise = new_node(p, NODE_IF)) || parse_block(p, n->otherwise) < 0)
            return -EINVAL;
    } else if (stop == STOP_ELSE) {
        if (close_action(p) < 0 || parse_list(p, &n->otherwise, &stop) < 0)
            return -EINVAL;
        if (stop == STOP_END && close_action(p) < 0)
            return -EINVAL;
        if (stop != STOP_END)
            stop = STOP_NONE;
    } else if (stop == STOP_END && close_action(p) < 0) {
        return -EINVAL;
    }
    p->depth--;
    if (stop == STOP_NONE || stop == STOP_EOF) {
        fail(p, "an {{ end }} is missing");
        return -EINVAL;
    }
    return 0;
}

static int parse_define(struct parser *p)
{
    enum stop stop;
    struct expr *name = parse_operand(p);
    struct template_part part = {.file = p->file};
    if (!name || !json_is_string(name->value) || p->depth) {
        fail(p, "define wants a name, and stands by itself");
        return -EINVAL;
    }
    p->depth++;
    if (close_action(p) < 0 || parse_list(p, &part.body, &stop) < 0)
        return -EINVAL;
    p->depth--;
    if (stop != STOP_END) {
        fail(p, "an {{ end }} is missing");
        return -EINVAL;
    }
    part.name = str_from(json_string_value(name->value));
    vec_push(&p->t->parts, part);
    return close_action(p);
}

/* $x := …; $x = …; or a value that is printed. */
static struct node *parse_value_action(struct parser *p)
{
    struct parser before = *p;
    struct node *n = new_node(p, NODE_PRINT);
    if (n && takes(p, "$")) {
        n->variable = take_word(p);
        n->declares = takes(p, ":=");
        if (n->variable.n && (n->declares || takes(p, "=")))
            n->type = NODE_SET;
        else
            *p = before;
    }
    if (!n || !(n->value = parse_pipeline(p)) || close_action(p) < 0)
        return NULL;
    return n;
}

/* One action, behind its {{. NULL and *ret_stop: it ends the list; NULL and no stop: nothing, or an
 * error. */
static struct node *parse_action(struct parser *p, enum stop *ret_stop)
{
    static const struct {
        const char *word;
        enum node_type type;
    } blocks[] = {{"if", NODE_IF}, {"with", NODE_WITH}, {"range", NODE_RANGE}};
    skip_space(p);
    if (ahead_is(p, "/*")) {
        while (p->at < p->text.n && !ahead_is(p, "*/"))
            advance(p, 1);
        advance(p, 2);
        (void)close_action(p);
        return NULL;
    }
    struct str word = word_ahead(p);
    if (str_is(word, "end") || str_is(word, "else")) {
        take_word(p);
        *ret_stop = str_is(word, "end") ? STOP_END : STOP_ELSE;
        return NULL;
    }
    if (str_is(word, "define")) {
        take_word(p);
        (void)parse_define(p);
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
        if (!str_is(word, blocks[i].word))
            continue;
        struct node *n = new_node(p, blocks[i].type);
        take_word(p);
        return n && parse_block(p, n) == 0 ? n : NULL;
    }
    return parse_value_action(p);
}

static int parse_text(struct parser *p, struct node ***tail)
{
    size_t from = p->at, to;
    while (p->at < p->text.n && !ahead_is(p, "{{"))
        advance(p, 1);
    to = p->at;
    while (p->trim && from < to && is_space(p->text.p[from]))
        from++;
    if (ahead_is(p, "{{-") && is_space(peek(p, 3)))
        while (to > from && is_space(p->text.p[to - 1]))
            to--;
    p->trim = false;
    if (from == to)
        return 0;
    struct node *n = new_node(p, NODE_TEXT);
    if (!n)
        return -EINVAL;
    n->text = str_sub(p->text, from, to);
    **tail = n;
    *tail = &n->next;
    return 0;
}

static int parse_list(struct parser *p, struct node **ret, enum stop *ret_stop)
{
    struct node **tail = ret;
    *ret_stop = STOP_NONE;
    while (*ret_stop == STOP_NONE) {
        if (parse_text(p, &tail) < 0)
            return -EINVAL;
        if (p->at >= p->text.n) {
            *ret_stop = STOP_EOF;
            return 0;
        }
        advance(p, ahead_is(p, "{{-") && is_space(peek(p, 3)) ? 3 : 2);
        struct node *n = parse_action(p, ret_stop);
        if (p->err->code)
            return -EINVAL;
        if (n) {
            *tail = n;
            tail = &n->next;
        }
    }
    return 0;
}

int templates_add(struct templates *t, const char *name, struct str text, struct err *reterr)
{
    struct err err = {0};
    struct parser p = {.t = t, .file = name, .text = text, .line = 1, .err = &err};
    struct template_part part = {.name = str_from(name), .file = name};
    enum stop stop = STOP_NONE;
    if (text.n > TEMPLATE_TEXT_MAX)
        return err_set(reterr, -E2BIG, NULL, "%s: longer than %d MiB", name,
                       TEMPLATE_TEXT_MAX >> 20);
    if (parse_list(&p, &part.body, &stop) == 0 && stop != STOP_EOF)
        fail(&p, "an {{ end }} or {{ else }} of nothing");
    if (err.code) {
        if (reterr)
            *reterr = err;
        return err.code;
    }
    vec_push(&t->parts, part);
    return 0;
}
