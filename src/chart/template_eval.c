/* Evaluation of templates: nodes and values into text. Values are borrowed from the tree or owned
 * for one expression; variables own theirs. */
#include <errno.h>
#include <stdio.h>

#include "chart/template_priv.h"

static int run_list(struct template_run *r, const struct node *n, json_t *dot, struct buf *out);

/* ---- values ---- */

static json_t *variable(struct template_run *r, const struct expr *e)
{
    for (size_t i = r->variables.n; i-- > r->base;)
        if (str_eq(r->variables.v[i].name, e->name))
            return json_incref(r->variables.v[i].value);
    return template_fail(r, e->line, "no variable $" STR_FMT, STR_ARG(e->name));
}

static json_t *evaluate(struct template_run *r, const struct expr *e, json_t *dot);

static json_t *field(struct template_run *r, const struct expr *e, json_t *dot)
{
    AUTO_JSON json_t *of = evaluate(r, e->of, dot);
    if (!of)
        return NULL;
    if (!json_is_object(of))
        return template_fail(r, e->line, "." STR_FMT " of something that has no fields",
                             STR_ARG(e->name));
    json_t *v = json_object_getn(of, e->name.p, e->name.n);
    return v ? json_incref(v) : json_null();
}

static json_t *call(struct template_run *r, const struct expr *e, json_t *dot)
{
    json_t *args[TEMPLATE_ARGS_MAX] = {0}, *v = NULL;
    size_t n = 0;
    const struct expr *a = e->args;
    for (; a && n < ARRAY_LEN(args); a = a->next) {
        if (!(args[n] = evaluate(r, a, dot)))
            break;
        n++;
    }
    if (!a)
        v = template_call(r, e, args, n);
    while (n)
        json_decref(args[--n]);
    return v;
}

static json_t *evaluate(struct template_run *r, const struct expr *e, json_t *dot)
{
    json_t *v = NULL;
    if (++r->steps > TEMPLATE_STEPS_MAX || r->depth >= TEMPLATE_DEPTH_MAX * 4)
        return template_fail(r, e->line, "too much to do");
    r->depth++;
    switch (e->type) {
    case EXPR_VALUE:
        v = json_incref(e->value);
        break;
    case EXPR_DOT:
        v = json_incref(dot);
        break;
    case EXPR_VARIABLE:
        v = variable(r, e);
        break;
    case EXPR_FIELD:
        v = field(r, e, dot);
        break;
    case EXPR_CALL:
        v = call(r, e, dot);
        break;
    }
    r->depth--;
    return v;
}

/* ---- nodes ---- */

static void push_variable(struct template_run *r, struct str name, json_t *value)
{
    vec_push(&r->variables, ((struct template_variable){name, json_incref(value)}));
}

static void pop_variables(struct template_run *r, size_t to)
{
    while (r->variables.n > to)
        json_decref(vec_pop(&r->variables).value);
}

static int set_variable(struct template_run *r, const struct node *n, json_t *value)
{
    if (n->declares) {
        push_variable(r, n->variable, value);
        return 0;
    }
    for (size_t i = r->variables.n; i-- > r->base;) {
        struct template_variable *v = &r->variables.v[i];
        if (!str_eq(v->name, n->variable))
            continue;
        json_incref(value);
        json_decref(v->value);
        v->value = value;
        return 0;
    }
    template_fail(r, n->line, "no variable $" STR_FMT, STR_ARG(n->variable));
    return -EINVAL;
}

/* What is declared inside ends with it. */
static int run_scope(struct template_run *r, const struct node *body, json_t *dot, struct buf *out)
{
    size_t n = r->variables.n;
    int result = run_list(r, body, dot, out);
    pop_variables(r, n);
    return result;
}

static int run_element(struct template_run *r, const struct node *n, json_t *key, json_t *value,
                       struct buf *out)
{
    size_t before = r->variables.n;
    if (n->key.p)
        push_variable(r, n->key, key);
    if (n->variable.p)
        push_variable(r, n->variable, value);
    int result = run_list(r, n->body, value, out);
    pop_variables(r, before);
    return result;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int run_range(struct template_run *r, const struct node *n, json_t *over, json_t *dot,
                     struct buf *out)
{
    int result = 0;
    size_t i, n_keys = 0;
    json_t *v;
    const char *key;
    if (!json_is_array(over) && !json_is_object(over) && !json_is_null(over)) {
        template_fail(r, n->line, "range over something that is no list");
        return -EINVAL;
    }
    if (!template_truth(over))
        return run_scope(r, n->otherwise, dot, out);
    if (json_is_array(over)) {
        json_array_foreach(over, i, v)
        {
            AUTO_JSON json_t *index = json_integer((json_int_t)i);
            result = result < 0 ? result : run_element(r, n, index, v, out);
        }
        return result;
    }
    AUTO_CHARS const char **keys = xcalloc(json_object_size(over), sizeof(*keys));
    json_object_foreach(over, key, v) keys[n_keys++] = key;
    qsort(keys, n_keys, sizeof(*keys), compare_keys);
    for (i = 0; i < n_keys && result == 0; i++) {
        AUTO_JSON json_t *name = json_string(keys[i]);
        result = run_element(r, n, name, json_object_get(over, keys[i]), out);
    }
    return result;
}

static int run_node(struct template_run *r, const struct node *n, json_t *dot, struct buf *out)
{
    if (n->type == NODE_TEXT) {
        buf_add_str(out, n->text);
        return 0;
    }
    AUTO_JSON json_t *v = evaluate(r, n->value, dot);
    if (!v)
        return -EINVAL;
    switch (n->type) {
    case NODE_PRINT:
        if (!template_print(v, out)) {
            template_fail(r, n->line, "a list or a map is printed: toJson");
            return -EINVAL;
        }
        return 0;
    case NODE_SET:
        return set_variable(r, n, v);
    case NODE_IF:
        return run_scope(r, template_truth(v) ? n->body : n->otherwise, dot, out);
    case NODE_WITH:
        return template_truth(v) ? run_scope(r, n->body, v, out)
                                 : run_scope(r, n->otherwise, dot, out);
    case NODE_RANGE:
        return run_range(r, n, v, dot, out);
    case NODE_TEXT:
        break;
    }
    return 0;
}

static int run_list(struct template_run *r, const struct node *n, json_t *dot, struct buf *out)
{
    int result = 0;
    for (; n && result == 0; n = n->next) {
        if (++r->steps > TEMPLATE_STEPS_MAX || out->failed) {
            template_fail(r, n->line, "too much to do");
            return -E2BIG;
        }
        result = run_node(r, n, dot, out);
    }
    return result;
}

static int run_part(struct template_run *r, struct str name, unsigned line, json_t *dot,
                    struct buf *out)
{
    const struct template_part *part = templates_find(r->t, name);
    const char *file = r->file;
    size_t base = r->base, n = r->variables.n;
    if (!part) {
        template_fail(r, line, "no template \"" STR_FMT "\"", STR_ARG(name));
        return -ENOENT;
    }
    if (r->depth >= TEMPLATE_DEPTH_MAX) {
        template_fail(r, line, "templates that include one another without an end");
        return -EINVAL;
    }
    r->depth++;
    r->file = part->file;
    r->base = n;
    push_variable(r, STR(""), dot); /* $ */
    int result = run_list(r, part->body, dot, out);
    pop_variables(r, n);
    r->base = base;
    r->file = file;
    r->depth--;
    return result;
}

int templates_render(const struct templates *t, const char *name, json_t *data, struct buf *out,
                     struct err *reterr)
{
    struct err err = {0};
    struct template_run r = {.t = t, .file = name, .run_part = run_part, .err = &err};
    out->cap = out->cap ? out->cap : TEMPLATE_OUTPUT_MAX;
    int result = run_part(&r, str_from(name), 0, data, out);
    vec_done(&r.variables);
    if (result == 0 && out->failed)
        err_set(&err, result = -E2BIG, NULL, "%s: more text than is taken", name);
    if (result < 0 && reterr)
        *reterr = err;
    return result;
}
