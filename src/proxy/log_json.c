/* Access logs as JSON. */
#include "proxy/log_json.h"

#include <errno.h>

#include "base/assert.h"
#include "base/vec.h"

enum node_kind {
    NODE_OBJECT,
    NODE_LIST,
    NODE_END,
    NODE_CONSTANT, /* JSON as it is */
    NODE_VALUE,
};

struct log_json_node {
    uint8_t kind;
    struct str key; /* with quotes and colon; empty in a list */
    struct str constant;
    struct format format;
};

/* ---- making ---- */

struct making {
    struct arena *arena;
    struct err *err;
    VEC(struct log_json_node) nodes;
    VEC(struct format_piece) pieces;
    const char *name; /* of the member at hand */
};

static int add(struct making *m, struct log_json_node node)
{
    if (m->nodes.n == LOG_JSON_NODES_MAX)
        return err_set(m->err, -E2BIG, NULL, "more than %d values", LOG_JSON_NODES_MAX);
    vec_push(&m->nodes, node);
    return 0;
}

static int add_constant(struct making *m, struct str key, const json_t *j)
{
    AUTO_DONE(buf) struct buf text = {0};
    json_write(&text, j);
    struct str kept = arena_str(m->arena, buf_str(&text));
    return kept.p && !text.failed ? add(m, (struct log_json_node){NODE_CONSTANT, key, kept, {0}})
                                  : -ENOMEM;
}

static int add_text(struct making *m, struct str key, const json_t *j)
{
    struct str text = str_of(json_string_value(j), json_string_length(j));
    struct format f;
    struct err err = {0};
    if (!memchr(text.p, '%', text.n))
        return add_constant(m, key, j);
    int r = format_compile(text, m->arena, &f, &err);
    if (r < 0)
        return err_set(m->err, r, m->name, "%s", err_text(&err));
    struct log_json_node node = {NODE_VALUE, key, {NULL, 0}, f};
    for (size_t i = 0; i < f.n; i++)
        vec_push(&m->pieces, f.pieces[i]);
    return add(m, node);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add_node(struct making *m, struct str key, const json_t *j, unsigned depth);

static int add_members(struct making *m, const json_t *j, unsigned depth)
{
    VEC(const char *) names = {0};
    const char *name;
    json_t *value;
    int r = 0;
    json_object_foreach((json_t *)(uintptr_t)j, name, value) vec_push(&names, name);
    if (names.n)
        qsort(names.v, names.n, sizeof(names.v[0]), compare_names);
    for (size_t i = 0; i < names.n && r == 0; i++) {
        AUTO_DONE(buf) struct buf text = {0};
        json_write_string(&text, str_from(names.v[i]));
        buf_add_char(&text, ':');
        struct str key = arena_str(m->arena, buf_str(&text));
        m->name = names.v[i];
        r = key.p && !text.failed ? add_node(m, key, json_object_get(j, names.v[i]), depth)
                                  : -ENOMEM;
    }
    vec_done(&names);
    return r;
}

static int add_node(struct making *m, struct str key, const json_t *j, unsigned depth)
{
    if (depth == LOG_JSON_DEPTH_MAX)
        return err_set(m->err, -E2BIG, m->name, "nested deeper than %d", LOG_JSON_DEPTH_MAX);
    if (json_is_string(j))
        return add_text(m, key, j);
    if (!json_is_object(j) && !json_is_array(j))
        return add_constant(m, key, j);
    int r = add(m, (struct log_json_node){
                       json_is_object(j) ? NODE_OBJECT : NODE_LIST, key, {NULL, 0}, {0}});
    if (r == 0 && json_is_object(j))
        r = add_members(m, j, depth + 1);
    for (size_t i = 0; json_is_array(j) && i < json_array_size(j) && r == 0; i++)
        r = add_node(m, (struct str){NULL, 0}, json_array_get(j, i), depth + 1);
    return r < 0 ? r : add(m, (struct log_json_node){.kind = NODE_END});
}

int log_json_compile(const json_t *j, struct arena *a, struct log_json *ret, struct format *ret_all,
                     struct err *reterr)
{
    struct making m = {.arena = a, .err = reterr};
    struct log_json f = {0};
    int r = add_node(&m, (struct str){NULL, 0}, j, 0);
    if (r == 0) {
        f.n = m.nodes.n;
        f.nodes = arena_alloc(a, MAX(f.n, (size_t)1) * sizeof(*f.nodes));
        ret_all->n = m.pieces.n;
        ret_all->pieces = arena_alloc(a, MAX(m.pieces.n, (size_t)1) * sizeof(*ret_all->pieces));
        r = f.nodes && ret_all->pieces ? 0 : -ENOMEM;
    }
    if (r == 0) {
        memcpy(f.nodes, m.nodes.v, f.n * sizeof(*f.nodes));
        if (m.pieces.n)
            memcpy(ret_all->pieces, m.pieces.v, m.pieces.n * sizeof(*ret_all->pieces));
        ret->nodes = f.nodes;
        ret->n = f.n;
    }
    vec_done(&m.nodes);
    vec_done(&m.pieces);
    return r;
}

/* ---- writing ---- */

struct writing {
    const struct log_json *f;
    struct buf *to;
    uint32_t some; /* bit by depth: something stands before */
    unsigned depth;
};

static void begin(struct writing *w, const struct log_json_node *n)
{
    if (w->some & 1u << w->depth)
        buf_add_char(w->to, ',');
    w->some |= 1u << w->depth;
    buf_add_str(w->to, n->key);
}

static void put_string(struct writing *w, const struct log_json_node *n, const struct buf *text)
{
    begin(w, n);
    json_write_string(w->to, buf_str(text));
}

/* A text that is one operator. */
static void put_single(struct writing *w, const struct log_json_node *n, format_value_fn *value,
                       void *user, struct buf *scratch)
{
    const struct format_piece *p = &n->format.pieces[0];
    if (!value(p, scratch, user)) {
        if (w->f->omit)
            return;
        begin(w, n);
        buf_add_cstr(w->to, w->f->texts ? "\"-\"" : "null");
        return;
    }
    if (p->length_max && scratch->n > p->length_max)
        scratch->n = p->length_max;
    if (w->f->texts || p->length_max || !format_is_number(p)) {
        put_string(w, n, scratch);
        return;
    }
    begin(w, n);
    buf_add_str(w->to, buf_str(scratch));
}

static void put_value(struct writing *w, const struct log_json_node *n, format_value_fn *value,
                      void *user, struct buf *scratch)
{
    buf_clear(scratch);
    if (n->format.n == 1) {
        put_single(w, n, value, user, scratch);
        return;
    }
    format_write(&n->format, value, user, w->f->omit ? STR("") : STR("-"), scratch);
    put_string(w, n, scratch);
}

void log_json_write(const struct log_json *f, format_value_fn *value, void *user,
                    struct buf *scratch, struct buf *to)
{
    struct writing w = {.f = f, .to = to};
    uint32_t lists = 0;
    for (size_t i = 0; i < f->n; i++) {
        const struct log_json_node *n = &f->nodes[i];
        switch ((enum node_kind)n->kind) {
        case NODE_OBJECT:
        case NODE_LIST:
            begin(&w, n);
            buf_add_char(to, n->kind == NODE_LIST ? '[' : '{');
            w.depth++;
            ASSERT(w.depth <= LOG_JSON_DEPTH_MAX);
            w.some &= ~(1u << w.depth);
            lists = n->kind == NODE_LIST ? lists | 1u << w.depth : lists & ~(1u << w.depth);
            break;
        case NODE_END:
            buf_add_char(to, lists & 1u << w.depth ? ']' : '}');
            w.depth--;
            break;
        case NODE_CONSTANT:
            begin(&w, n);
            buf_add_str(to, n->constant);
            break;
        case NODE_VALUE:
            put_value(&w, n, value, user, scratch);
            break;
        }
    }
    buf_add_char(to, '\n');
}
