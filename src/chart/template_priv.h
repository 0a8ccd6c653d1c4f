#pragma once
/* What is between parser, evaluation and functions of templates. */

#include "base/arena.h"
#include "base/vec.h"
#include "chart/template.h"

enum expr_type {
    EXPR_VALUE, /* value */
    EXPR_DOT,
    EXPR_VARIABLE, /* name, without $; "" is the root */
    EXPR_FIELD,    /* name of `of` */
    EXPR_CALL,     /* function name, args */
};

struct expr {
    enum expr_type type;
    unsigned line;
    struct str name;
    json_t *value;
    struct expr *of;
    struct expr *args; /* the first; the others by next */
    struct expr *next;
};

enum node_type {
    NODE_TEXT,
    NODE_PRINT,
    NODE_SET, /* $variable := or = */
    NODE_IF,
    NODE_WITH,
    NODE_RANGE,
};

struct node {
    enum node_type type;
    unsigned line;
    bool declares;       /* := */
    struct str text;     /* NODE_TEXT */
    struct str variable; /* NODE_SET; NODE_RANGE: the element's */
    struct str key;      /* NODE_RANGE: the index's or key's */
    struct expr *value;
    struct node *body;
    struct node *otherwise;
    struct node *next;
};

struct template_part { /* a file, or what it defines */
    struct str name;
    const char *file;
    struct node *body;
};

struct templates {
    struct arena *arena;
    const struct chart_file *files;
    size_t n_files;
    VEC(struct template_part) parts;
};

const struct template_part *templates_find(const struct templates *t, struct str name);

struct template_variable {
    struct str name;
    json_t *value;
};

struct template_run {
    const struct templates *t;
    const char *file;
    VEC(struct template_variable) variables;
    size_t base; /* the first that this template sees */
    unsigned depth;
    unsigned steps;
    /* What include does. */
    int (*run_part)(struct template_run *r, struct str name, unsigned line, json_t *dot,
                    struct buf *out);
    struct err *err;
};

/* An error with file and line; NULL. */
json_t *template_fail(struct template_run *r, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

enum { TEMPLATE_ARGS_MAX = 32 };
bool template_function_exists(struct str name);
/* A new reference, NULL on failure. */
json_t *template_call(struct template_run *r, const struct expr *e, json_t *const *args, size_t n);
bool template_truth(const json_t *v);
/* As Go prints it; false: a list or a map, which have no text that anybody wants. */
bool template_print(const json_t *v, struct buf *out);
